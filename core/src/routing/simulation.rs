//! A hundred thousand requests against a made-up world with a clock of its own: who gets how much, who is left alone when it breaks, how fast it is back. The
//! table in `docs/routing.md` is what this prints.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::live::{Ended, Failure, Fleet, How};
use super::resolve::tests::channel;
use super::resolve::{Resolution, RoutingTable, TableChannel, Tariffs, Terms};
use super::{Described, Desire, plan};
use crate::model::{BreakerSettings, Strategy};

const REQUESTS: u64 = 100_000;
/// Milliseconds between two requests.
const GAP_MS: u64 = 20;
/// The world's beginning.
const START_MS: u64 = 1_700_000_000_000;
/// One of the deployments fails in this part of the run, in thousandths.
const BROKEN: std::ops::Range<u64> = 400..600;

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

/// What came of one run.
#[derive(Default)]
struct Run {
    /// Requests that each served in the part of the run in which all were sound.
    sound: [u64; 4],
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
        Strategy::LowestCost => 1,
        Strategy::ContextFit => 1,
        Strategy::Weighted | Strategy::WeightedShuffle => 3,
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
    let channels = ACTORS
        .iter()
        .map(|actor| TableChannel { weight: actor.weight, ..channel(actor.name, &[actor.tag], &[("m", "m")]) });
    let fleet = Arc::new(Fleet::default());
    let table = RoutingTable::new(channels.collect(), [], fleet.clone(), Arc::new(World), strategy);
    let rules = BreakerSettings::default();
    let mut random = fastrand::Rng::with_seed(42);
    let mut done = Run::default();
    let broken = breaks(strategy);
    let ends_ms = START_MS + REQUESTS * BROKEN.end / 1_000 * GAP_MS;
    // Answers that are under way: when they come, from whom, since when.
    let mut under_way: BinaryHeap<Reverse<(u64, usize, u64)>> = BinaryHeap::new();
    for number in 0..REQUESTS {
        let now_ms = START_MS + number * GAP_MS;
        while let Some(Reverse((at, who, since))) = under_way.peek().copied().filter(|Reverse((at, ..))| *at <= now_ms)
        {
            under_way.pop();
            let live = table.credential(ACTORS[who].name, 0).expect("it has one");
            let how = How::Answered { first_token: Some((at - since) as f64), whole: (at - since) as f64 };
            let ended =
                Ended { channel: ACTORS[who].name, upstream: "m", credential: Some(live), how, now_ms: at, jitter: 0 };
            fleet.ended(&ended, &rules);
            fleet.used(ACTORS[who].name, "m", 1_000, at);
            if who == broken && at >= ends_ms {
                done.back_after_ms.get_or_insert(at - ends_ms);
            }
        }
        let trouble = BROKEN.contains(&(number * 1_000 / REQUESTS));
        let tags = if number % 2 == 0 { vec!["eu".to_owned()] } else { vec!["us".to_owned()] };
        // Every tenth is long, every hundredth very long.
        let tokens = if number % 100 == 0 {
            200_000
        } else if number % 10 == 0 {
            50_000
        } else {
            1_000
        };
        let mut query = Described { now_ms, stream: true, tokens, tags, ..Described::default() };
        let Resolution::Groups(groups) = table.resolve("m", "m", &mut query) else { panic!("m is offered") };
        let desire = Desire { strategy: None, barred: &|_| None, place: None, bound: None, dry: false };
        let plan = plan(&table, &groups, &desire, &mut query, &mut |n| random.u64(0..n.max(1)));
        done.while_broken += u64::from(trouble);
        let mut served = false;
        for candidate in &plan.candidates {
            let name = ACTORS[candidate.channel].name;
            fleet.begin(name, "m", now_ms);
            if trouble && candidate.channel == broken {
                done.at_broken += 1;
                let live = table.credential(name, 0);
                let how = How::Failed { failure: Failure::Failed, wait: None, words: "broken", rule: None };
                let credential = live.map(|live| &**live);
                fleet.ended(&Ended { channel: name, upstream: "m", credential, how, now_ms, jitter: 500 }, &rules);
                continue;
            }
            let latency = ACTORS[candidate.channel].latency_ms * random.u64(80..=120) / 100;
            under_way.push(Reverse((now_ms + latency, candidate.channel, now_ms)));
            if number * 1_000 / REQUESTS < BROKEN.start {
                done.sound[candidate.channel] += 1;
            }
            served = true;
            break;
        }
        done.unserved += u64::from(!served);
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
    text.push_str(" broken one | attempts at it while broken | back after |\n|---|---|---|---|---|---|---|---|\n");
    for (strategy, word, done) in runs() {
        let all: u64 = done.sound.iter().sum();
        let _ = write!(text, "| `{word}` |");
        for share in done.sound {
            let _ = write!(text, " {:.1} % |", percent(share, all));
        }
        let back = done.back_after_ms.map_or("not needed".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0));
        let broken = ACTORS[breaks(*strategy)].name;
        let _ = writeln!(text, " {broken} | {:.2} % | {back} |", percent(done.at_broken, done.while_broken));
    }
    text
}

fn shares(strategy: Strategy) -> [f64; 4] {
    let (.., done) = runs().iter().find(|(own, ..)| *own == strategy).expect("it ran");
    let all: u64 = done.sound.iter().sum();
    done.sound.map(|share| percent(share, all))
}

fn near(strategy: Strategy, expected: [f64; 4], give: f64) {
    let found = shares(strategy);
    let fits = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= give);
    assert!(fits, "{}: {found:?}, not {expected:?}", strategy.word());
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
    near(Strategy::LowestTpmRpm, [50.0, 25.0, 16.7, 8.3], 3.0);
    // Half of the requests are tagged eu (two have it, 1 : 4), half us (one has it).
    near(Strategy::TagBased, [10.0, 50.0, 0.0, 40.0], 1.0);
    let fastest = shares(Strategy::LowestLatency);
    assert!(fastest[0] > fastest[2] && fastest[0] > fastest[3] && fastest[1] < fastest[0], "{fastest:?}");
    let least = shares(Strategy::LeastBusy);
    assert!(least.iter().all(|share| *share > 5.0), "{least:?}");
    let adaptive = shares(Strategy::Adaptive);
    assert!(adaptive.iter().all(|share| *share > 2.0), "nobody starves: {adaptive:?}");
}

#[test]
fn a_broken_deployment_gets_almost_nothing_and_is_soon_back() {
    for (_, word, done) in runs() {
        assert_eq!(done.unserved, 0, "{word}");
        assert!(percent(done.at_broken, done.while_broken) < 0.2, "{word}: {} attempts", done.at_broken);
        // The longest cooldown is 60 s and a tenth; then its turn has to come.
        assert!(done.back_after_ms.is_none_or(|ms| ms < 70_000), "{word}: back after {:?} ms", done.back_after_ms);
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
