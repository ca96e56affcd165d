//! A hundred thousand requests against a made-up world with a clock of its own: who gets how much, who is left alone when it breaks, how fast it is back. The
//! table in `docs/routing.md` is what this prints.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use super::live::{Ended, Errand, Failure, Fleet, How, Standing};
use super::resolve::tests::channel;
use super::resolve::{Resolution, RoutingTable, TableChannel, Tariffs, Terms};
use super::{Candidate, Described, Desire, plan};
use crate::model::{BreakerSettings, Strategy};

const REQUESTS: u64 = 100_000;
/// Milliseconds between two requests.
const GAP_MS: u64 = 20;
/// The world's beginning.
const START_MS: u64 = 1_700_000_000_000;
/// One of the deployments fails in this part of the run, in thousandths.
const BROKEN: std::ops::Range<u64> = 400..600;
/// From here on, in thousandths, nothing may remind of it.
const AFTER: u64 = 750;

/// One deployment of the world.
struct Actor {
    name: &'static str,
    weight: u32,
    latency_ms: u64,
    price: u64,
    context: u64,
    rpm: u64,
    tag: &'static str,
}

const ACTORS: [Actor; 4] = [
    Actor { name: "fast", weight: 1, latency_ms: 200, price: 40, context: 128_000, rpm: 6_000, tag: "eu" },
    Actor { name: "cheap", weight: 2, latency_ms: 600, price: 10, context: 32_000, rpm: 3_000, tag: "us" },
    Actor { name: "large", weight: 3, latency_ms: 400, price: 80, context: 1_000_000, rpm: 2_000, tag: "default" },
    Actor { name: "plain", weight: 4, latency_ms: 400, price: 20, context: 64_000, rpm: 1_000, tag: "eu" },
];

#[derive(Debug)]
struct World;

fn actor(name: &str) -> Option<&'static Actor> {
    ACTORS.iter().find(|actor| actor.name == name)
}

impl Tariffs for World {
    fn terms(&self, channel: &TableChannel, _: &str) -> Terms {
        let Some(actor) = actor(&channel.name) else { return Terms::default() };
        Terms { context: Some(actor.context), rpm: Some(actor.rpm), tpm: Some(actor.rpm * 1_000) }
    }

    fn cost(&self, channel: &TableChannel, _: &str, input: u64, output: u64, _: u64) -> Option<u64> {
        Some(actor(&channel.name)?.price * (input + output))
    }
}

/// A made-up world under way.
struct Sim {
    table: RoutingTable,
    fleet: Arc<Fleet>,
    random: fastrand::Rng,
    rules: BreakerSettings,
    /// Answers that are under way: when they come, from whom, by which credential, since when.
    under_way: BinaryHeap<Reverse<(u64, usize, u32, u64)>>,
}

/// What became of one request.
struct Asked {
    /// Who was asked, in order; the last one answers if `served`.
    tried: Vec<Candidate>,
    served: bool,
    /// Milliseconds that the answer takes.
    takes_ms: u64,
}

impl Sim {
    /// A world whose deployments have so many credentials each. `route`: the groups of the route `m`; without any, all of them are one group.
    fn new(strategy: Strategy, credentials: u64, route: &[&[&str]]) -> Self {
        let channels = ACTORS.iter().map(|actor| TableChannel {
            weight: actor.weight,
            credentials: (1..=credentials).collect(),
            ..channel(actor.name, &[actor.tag], &[("m", "m")])
        });
        let groups: Vec<_> = route
            .iter()
            .map(|names| names.iter().map(|name| format!("{name}/m")).collect::<Vec<_>>())
            .map(|names| serde_json::json!({"strategy": strategy, "use": names}))
            .collect();
        let route = serde_json::from_value(serde_json::json!({"model": "m", "groups": groups})).expect("a route");
        let routes = (!groups.is_empty()).then_some(route);
        let fleet = Arc::new(Fleet::default());
        let table = RoutingTable::new(channels.collect(), routes, fleet.clone(), Arc::new(World), strategy);
        let (random, rules) = (fastrand::Rng::with_seed(42), BreakerSettings::default());
        Self { table, fleet, random, rules, under_way: BinaryHeap::new() }
    }

    fn end(&self, who: usize, credential: u32, how: How<'_>, now_ms: u64, jitter: u64) {
        let name = ACTORS[who].name;
        let credential = self.table.credential(name, credential).map(|live| &**live);
        self.fleet.ended(
            &Ended { channel: name, upstream: "m", errand: Errand::Conversation, credential, how, now_ms, jitter },
            &self.rules,
        );
    }

    /// Answers that came up to now: when and from whom.
    fn land(&mut self, now_ms: u64) -> Vec<(u64, usize, u32)> {
        let mut came = Vec::new();
        while let Some(Reverse((at, who, credential, since))) = self.under_way.peek().copied() {
            if at > now_ms {
                break;
            }
            self.under_way.pop();
            let how = How::Answered { first_token: Some((at - since) as f64), whole: (at - since) as f64 };
            self.end(who, credential, how, at, 0);
            self.fleet.used(ACTORS[who].name, "m", Errand::Conversation, 1_000, at);
            came.push((at, who, credential));
        }
        came
    }

    /// The next request: every other one tagged otherwise, every tenth long, every hundredth very long.
    fn ask(&mut self, number: u64, fails: &dyn Fn(&Candidate) -> Option<Failure>) -> Asked {
        let now_ms = START_MS + number * GAP_MS;
        let tags = if number.is_multiple_of(2) { vec!["eu".to_owned()] } else { vec!["us".to_owned()] };
        let tokens = if number.is_multiple_of(100) {
            200_000
        } else if number.is_multiple_of(10) {
            50_000
        } else {
            1_000
        };
        let mut query = Described { now_ms, stream: true, tokens, tags, ..Described::default() };
        let Resolution::Groups(groups) = self.table.resolve("m", "m", &mut query) else { panic!("m is offered") };
        let desire = Desire {
            strategy: None,
            barred: &|_| None,
            place: None,
            bound: None,
            dry: false,
            errand: Errand::Conversation,
        };
        let random = &mut self.random;
        let plan = plan(&self.table, &groups, &desire, &mut query, &mut |n| random.u64(0..n.max(1)));
        let mut asked = Asked { tried: Vec::new(), served: false, takes_ms: 0 };
        let mut waiting: VecDeque<Candidate> = plan.candidates.into();
        while let Some(candidate) = waiting.pop_front() {
            let Some(probe) = self.table.take_probe(&candidate, now_ms) else {
                waiting.push_back(Candidate { standing: Standing::Benched(now_ms), ..candidate });
                continue;
            };
            probe.hand_over();
            let Candidate { channel: who, credential, .. } = candidate;
            self.fleet.begin(ACTORS[who].name, "m", Errand::Conversation, now_ms);
            let failure = fails(&candidate);
            asked.tried.push(candidate);
            if let Some(failure) = failure {
                let how = How::Failed { failure, wait: None, words: "broken", rule: None };
                self.end(who, credential, how, now_ms, 500);
                continue;
            }
            asked.takes_ms = ACTORS[who].latency_ms * self.random.u64(80..=120) / 100;
            self.under_way.push(Reverse((now_ms + asked.takes_ms, who, credential, now_ms)));
            asked.served = true;
            break;
        }
        asked
    }
}

/// What came of one run.
#[derive(Default)]
struct Run {
    /// Requests that each served while all were sound and nobody had been broken.
    sound: [u64; 4],
    /// Requests that each served in the last part of the run, long after the trouble.
    after: [u64; 4],
    /// Milliseconds that the answers of `sound` took, all together.
    waited_ms: u64,
    /// Attempts at the broken one while it was broken, and all requests of that time.
    at_broken: u64,
    while_broken: u64,
    /// Milliseconds from the end of the trouble to its next answer.
    back_after_ms: Option<u64>,
    /// Requests that nobody served.
    unserved: u64,
}

/// Who breaks under a strategy: the one that it likes best, so that everything changes.
fn breaks(strategy: Strategy) -> usize {
    match strategy {
        Strategy::LowestCost | Strategy::ContextFit => 1,
        Strategy::Weighted | Strategy::WeightedShuffle | Strategy::LeastBusy => 3,
        _ => 0,
    }
}

/// Every strategy's run, made once.
fn runs() -> &'static [(Strategy, &'static str, Run)] {
    static RUNS: std::sync::OnceLock<Vec<(Strategy, &'static str, Run)>> = std::sync::OnceLock::new();
    RUNS.get_or_init(|| {
        std::thread::scope(|scope| {
            let begun: Vec<_> =
                Strategy::WORDS.into_iter().map(|(own, word)| (own, word, scope.spawn(move || run(own)))).collect();
            begun.into_iter().map(|(own, word, run)| (own, word, run.join().expect("it ends"))).collect()
        })
    })
}

fn run(strategy: Strategy) -> Run {
    let mut sim = Sim::new(strategy, 1, &[]);
    let mut done = Run::default();
    let broken = breaks(strategy);
    let ends_ms = START_MS + REQUESTS * BROKEN.end / 1_000 * GAP_MS;
    for number in 0..REQUESTS {
        for (at, who, _) in sim.land(START_MS + number * GAP_MS) {
            if who == broken && at >= ends_ms {
                done.back_after_ms.get_or_insert(at - ends_ms);
            }
        }
        let part = number * 1_000 / REQUESTS;
        let trouble = BROKEN.contains(&part);
        let fails = |own: &Candidate| (trouble && own.channel == broken).then_some(Failure::Failed);
        let asked = sim.ask(number, &fails);
        done.while_broken += u64::from(trouble);
        done.at_broken += asked.tried.iter().filter(|own| trouble && own.channel == broken).count() as u64;
        done.unserved += u64::from(!asked.served);
        let Some(who) = asked.tried.last().map(|own| own.channel).filter(|_| asked.served) else { continue };
        if part < BROKEN.start {
            done.sound[who] += 1;
            done.waited_ms += asked.takes_ms;
        }
        done.after[who] += u64::from(part >= AFTER);
    }
    done
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// The table of the documentation.
fn table() -> String {
    let mut text = String::from("| strategy |");
    for actor in &ACTORS {
        let _ = write!(text, " {} |", actor.name);
    }
    text.push_str(" mean answer | broken one | attempts at it while broken | back after |\n|---|---|---|---|---|---|---|---|---|\n");
    for (strategy, word, done) in runs() {
        let _ = write!(text, "| `{word}` |");
        for share in shares(done.sound) {
            let _ = write!(text, " {share:.1} % |");
        }
        let mean = done.waited_ms as f64 / done.sound.iter().sum::<u64>().max(1) as f64;
        let _ = write!(text, " {mean:.0} ms |");
        let back = done.back_after_ms.map_or("never".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0));
        let broken = ACTORS[breaks(*strategy)].name;
        let _ = writeln!(text, " {broken} | {:.2} % | {back} |", percent(done.at_broken, done.while_broken));
    }
    text
}

fn of(strategy: Strategy) -> &'static Run {
    runs().iter().find(|(own, ..)| *own == strategy).map(|(.., done)| done).expect("it ran")
}

fn shares(served: [u64; 4]) -> [f64; 4] {
    let all: u64 = served.iter().sum();
    served.map(|share| percent(share, all))
}

fn near(strategy: Strategy, expected: [f64; 4], give: f64) {
    let found = shares(of(strategy).sound);
    let fits = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= give);
    assert!(fits, "{}: {found:.1?}, not {expected:.1?}", strategy.word());
}

/// Shares at which nothing changes any more, of a hundred: `next` gives what a strategy makes of the requests a second that each has, as weights.
fn settled(next: impl Fn([f64; 4]) -> [f64; 4]) -> [f64; 4] {
    let all = 1_000.0 / GAP_MS as f64;
    let mut rates = [all / 4.0; 4];
    for _ in 0..2_000 {
        let weights = next(rates);
        let sum: f64 = weights.iter().sum();
        for (rate, weight) in rates.iter_mut().zip(weights) {
            *rate = 0.9 * *rate + 0.1 * all * weight / sum;
        }
    }
    rates.map(|rate| rate * 100.0 / all)
}

/// How many requests are under way where so many a second come.
fn busy(rate: f64, actor: &Actor) -> f64 {
    rate * actor.latency_ms as f64 / 1_000.0
}

/// How likely so many are under way, up to 60, where that many are on average (Poisson).
fn likely(mean: f64) -> Vec<f64> {
    let mut all = vec![(-mean).exp()];
    for count in 1..60_u32 {
        all.push(all[all.len() - 1] * mean / f64::from(count));
    }
    all
}

#[test]
fn shares_are_those_that_a_strategy_promises() {
    near(Strategy::Weighted, [10.0, 20.0, 30.0, 40.0], 0.01);
    near(Strategy::RoundRobin, [25.0; 4], 0.01);
    near(Strategy::Random, [25.0; 4], 1.0);
    near(Strategy::WeightedShuffle, [10.0, 20.0, 30.0, 40.0], 1.0);
    near(Strategy::WeightedShuffleRpm, [50.0, 25.0, 16.7, 8.3], 1.0);
    near(Strategy::WeightedShuffleTpm, [50.0, 25.0, 16.7, 8.3], 1.0);
    near(Strategy::Ordered, [100.0, 0.0, 0.0, 0.0], 0.01);
    near(Strategy::LowestCost, [0.0, 100.0, 0.0, 0.0], 0.01);
    // Short ones fit everywhere, every tenth does not fit in 32 000, every hundredth only in a million.
    near(Strategy::ContextFit, [0.0, 90.0, 1.0, 9.0], 0.1);
    // By limits, 6 : 3 : 2 : 1.
    near(Strategy::LowestTpmRpm, [50.0, 25.0, 16.7, 8.3], 0.5);
    // Half of the requests are tagged eu (two have it, 1 : 4), half us (one has it).
    near(Strategy::TagBased, [10.0, 50.0, 0.0, 40.0], 0.01);
    // As many are under way as the weights say, so the quick ones serve more.
    let by_weight = settled(|_| ACTORS.each_ref().map(|actor| f64::from(actor.weight) / actor.latency_ms as f64));
    near(Strategy::LeastBusy, by_weight, 2.0);
}

#[test]
fn what_looks_at_latency_settles_where_its_rule_says() {
    // weight × headroom ÷ (latency × (under way + 1)); headroom is what is left of a minute's limit.
    let adaptive = settled(|rates| {
        let mut merits = [0.0; 4];
        for (merit, (actor, rate)) in merits.iter_mut().zip(ACTORS.iter().zip(rates)) {
            let headroom = (1.0 - rate * 60.0 / actor.rpm as f64).clamp(0.01, 1.0);
            *merit = f64::from(actor.weight) * headroom / (actor.latency_ms as f64 * (busy(rate, actor) + 1.0));
        }
        merits
    });
    near(Strategy::Adaptive, adaptive, 3.0);
    // Of two that are drawn the one where latency × (under way + 1) is less, by how likely each number under way is.
    let lowest = settled(|rates| {
        let mut wins = [0.0; 4];
        let chances: Vec<_> = ACTORS.iter().zip(rates).map(|(actor, rate)| likely(busy(rate, actor))).collect();
        let wait = |who: usize, count: usize| ACTORS[who].latency_ms as f64 * (count as f64 + 1.0);
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            for (x, p) in chances[a].iter().enumerate() {
                for (y, q) in chances[b].iter().enumerate() {
                    let first = if wait(a, x) < wait(b, y) { a } else { b };
                    let second = if wait(b, y) < wait(a, x) { b } else { a };
                    wins[first] += p * q / 2.0;
                    wins[second] += p * q / 2.0;
                }
            }
        }
        wins
    });
    near(Strategy::LowestLatency, lowest, 4.0);
    // And it is worth it: the mean answer is sooner than where chance decides.
    let mean = |strategy| of(strategy).waited_ms as f64 / of(strategy).sound.iter().sum::<u64>() as f64;
    let chance = mean(Strategy::Random);
    for (strategy, share) in [(Strategy::LowestLatency, 0.85), (Strategy::Adaptive, 0.95)] {
        assert!(mean(strategy) < share * chance, "{}: {} ms, by chance {chance} ms", strategy.word(), mean(strategy));
    }
}

#[test]
fn a_broken_deployment_gets_almost_nothing_and_is_soon_back() {
    for (strategy, word, done) in runs() {
        assert_eq!(done.unserved, 0, "{word}");
        let was = shares(done.sound);
        assert!(was[breaks(*strategy)] >= 10.0, "{word}: it had something to lose: {was:.1?}");
        assert!(percent(done.at_broken, done.while_broken) < 0.2, "{word}: {} attempts", done.at_broken);
        // It is tried all the while: at doubling distances up to a minute, in 400 s, after the three that opened it.
        assert!(done.at_broken >= 3 + 7, "{word}: only {} attempts", done.at_broken);
        // The longest cooldown is 60 s and a tenth; then its turn has to come.
        assert!(done.back_after_ms.is_some_and(|ms| ms < 70_000), "{word}: back after {:?} ms", done.back_after_ms);
        // In the end everybody has again what was theirs.
        let (was, is) = (shares(done.sound), shares(done.after));
        let same = was.iter().zip(is).all(|(was, is)| (was - is).abs() < 2.0);
        assert!(same, "{word}: {was:.1?} before, {is:.1?} after");
    }
}

#[test]
fn a_colder_group_serves_only_what_the_warmer_ones_cannot() {
    for (strategy, word) in Strategy::WORDS {
        let mut sim = Sim::new(strategy, 1, &[&["fast", "plain"], &["cheap"], &["large"]]);
        let mut served = [[0_u64; 4]; 4];
        for number in 0..REQUESTS / 10 {
            sim.land(START_MS + number * GAP_MS);
            // All is well; half of the first group is gone; all of it; and the second too.
            let act = usize::try_from(number * 4 / (REQUESTS / 10)).expect("four acts");
            let gone: &[usize] = [&[][..], &[0], &[0, 3], &[0, 1, 3]][act];
            let asked = sim.ask(number, &|own| gone.contains(&own.channel).then_some(Failure::Failed));
            assert!(asked.served, "{word}");
            served[act][asked.tried.last().expect("it was served").channel] += 1;
        }
        let [well, half, second, last] = served;
        assert!(well[1] == 0 && well[2] == 0, "{word}: {well:?}");
        assert!(half[0] == 0 && half[1] == 0 && half[2] == 0, "{word}: {half:?}");
        assert!(second[0] + second[2] + second[3] == 0, "{word}: {second:?}");
        assert!(last[2] == REQUESTS / 40, "{word}: {last:?}");
    }
}

#[test]
fn one_refused_key_of_three_gets_almost_nothing_and_is_soon_back() {
    for (failure, longest_s) in [(Failure::BadKey, 1_800), (Failure::RateLimited, 60)] {
        let mut sim = Sim::new(Strategy::Weighted, 3, &[]);
        let (mut at_bad, mut unserved, mut back) = (0, 0, None);
        let (mut before, mut after) = ([0_u64; 3], [0_u64; 3]);
        let ends_ms = START_MS + REQUESTS * BROKEN.end / 1_000 * GAP_MS;
        for number in 0..REQUESTS {
            for (at, who, credential) in sim.land(START_MS + number * GAP_MS) {
                if (who, credential) == (3, 1) && at >= ends_ms {
                    back.get_or_insert(at - ends_ms);
                }
            }
            let part = number * 1_000 / REQUESTS;
            let bad = |own: &Candidate| BROKEN.contains(&part) && (own.channel, own.credential) == (3, 1);
            let asked = sim.ask(number, &|own| bad(own).then_some(failure));
            at_bad += asked.tried.iter().filter(|own| bad(own)).count();
            unserved += u64::from(!asked.served);
            for own in asked.tried.iter().filter(|own| own.channel == 3) {
                before[own.credential as usize] += u64::from(part < BROKEN.start);
                after[own.credential as usize] += u64::from(back.is_some());
            }
        }
        assert_eq!(unserved, 0, "{failure:?}");
        assert!((3..30).contains(&at_bad), "{failure:?}: {at_bad} attempts at the refused key");
        assert!(back.is_some_and(|ms| ms < longest_s * 1_100 + 10_000), "{failure:?}: back after {back:?} ms");
        for counts in [before, after] {
            let all: u64 = counts.iter().sum();
            let even = counts.iter().all(|count| (percent(*count, all) - 100.0 / 3.0).abs() < 3.0);
            assert!(even, "{failure:?}: keys of one channel take turns: {before:?} {after:?}");
        }
    }
}

#[test]
fn the_table_of_the_documentation_is_what_the_simulation_gives() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/routing.md");
    let text = std::fs::read_to_string(page).unwrap_or_default();
    let (before, rest) = text.split_once("<!-- simulation -->\n").expect("the page has a place for the table");
    let (shown, after) = rest.split_once("<!-- end -->").expect("the place has an end");
    let wanted = table();
    if std::env::var_os("MYELIN_WRITE_TABLE").is_some() {
        std::fs::write(page, format!("{before}<!-- simulation -->\n{wanted}<!-- end -->{after}"))
            .expect("the page can be written");
        return;
    }
    assert_eq!(shown, wanted, "run: MYELIN_WRITE_TABLE=1 cargo test -p myelin-core --lib simulation");
}
