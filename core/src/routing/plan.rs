//! From groups to one ordered list of candidates, and the reasons for it.
//!
//! Group after group; within one by its strategy; a conversation first where its prompt is cached; what is benched last, and what may not serve not at all.

use std::fmt;
use std::sync::Arc;

use super::affinity::Place;
use super::live::{Breaker, Standing};
use super::strategy::{self, Scene, Why};
use super::{Deployment, Group, Query, RoutingTable};
use crate::model::Strategy;

/// One try that the attempts loop may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Which credential of the channel.
    pub credential: u32,
}

/// What is wanted of a plan.
pub struct Desire<'a> {
    /// How to choose within groups, in place of what they say.
    pub strategy: Option<Strategy>,
    /// Why a channel may not serve; `None`: it may.
    pub barred: &'a dyn Fn(usize) -> Option<&'static str>,
    /// Where the conversation is.
    pub place: Option<Place>,
    /// Who made the opaque reasoning that the request brings back: only they can read it.
    pub bound: Option<&'a dyn Fn(&Candidate) -> bool>,
    /// Only looked at: no turn is taken, no probe is used up.
    pub dry: bool,
}

impl fmt::Debug for Desire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desire").field("strategy", &self.strategy).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Who is asked in which order, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Tries, in order.
    pub candidates: Vec<Candidate>,
    /// Deployments, in the order of their first tries.
    pub steps: Vec<Step>,
    /// Deployments that may not serve.
    pub left_out: Vec<LeftOut>,
}

/// One deployment of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// The group that it is of, from 0.
    pub group: usize,
    /// How its group chooses.
    pub strategy: Strategy,
    /// Why it stands where it stands.
    pub why: Why,
    /// What moved it from there.
    pub note: Note,
}

/// What moves a deployment from where its strategy put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Nothing.
    Plain,
    /// The conversation is there.
    Conversation,
    /// It made the opaque reasoning that the request brings back.
    Maker,
    /// It failed before and shows whether it works again.
    Probe,
    /// Benched up to then: only if nobody else can serve. Milliseconds since 1970.
    LastResort(u64),
}

/// A deployment that may not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Why not.
    pub why: &'static str,
}

impl Plan {
    /// The steps in words, one line each: `main/gpt-5: group 1 weighted, its turn: 7 of 10`.
    pub fn words(&self, table: &RoutingTable) -> Vec<String> {
        self.steps.iter().map(|step| step.words(table)).collect()
    }
}

impl Step {
    fn words(&self, table: &RoutingTable) -> String {
        let channel = table.channels.get(self.channel).map_or("?", |channel| channel.name.as_str());
        let (group, strategy) = (self.group + 1, self.strategy.word());
        format!("{channel}/{}: group {group} {strategy}, {}", self.upstream, self.reason())
    }

    /// Only if nobody else can serve: when it may be asked again, milliseconds since 1970.
    pub fn benched_until(&self) -> Option<u64> {
        match self.note {
            Note::LastResort(until) => Some(until),
            _ => None,
        }
    }

    /// Why it stands where it stands, in words.
    pub fn reason(&self) -> String {
        let note = match self.note {
            Note::Plain => "",
            Note::Conversation => "; the conversation is there",
            Note::Maker => "; it made the reasoning that comes back",
            Note::Probe => "; a probe: it failed before",
            Note::LastResort(_) => "; benched: only if nobody else can",
        };
        format!("{}{note}", self.why)
    }
}

/// A deployment with the credentials that may be used, in order.
struct Ranked<'g> {
    step: Step,
    deployment: &'g Deployment,
    credentials: Vec<u32>,
}

/// Orders `groups`. `draw` gives a number in `0..n` and decides everything that is left to chance, so a plan can be repeated.
pub fn plan(
    table: &RoutingTable,
    groups: &[Arc<Group>],
    desire: &Desire<'_>,
    query: &mut dyn Query,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Plan {
    let now_ms = query.now_ms();
    let mut plan = Plan::default();
    let mut ranked: Vec<Ranked<'_>> = Vec::new();
    let mut benched: Vec<(u64, Ranked<'_>)> = Vec::new();
    let mut seen: Vec<u32> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let mut ready: Vec<(&Deployment, Vec<u32>, Standing)> = Vec::new();
        let strategy = desire.strategy.unwrap_or(group.strategy);
        for deployment in &group.deployments {
            if seen.contains(&deployment.live.id) {
                continue;
            }
            seen.push(deployment.live.id);
            if let Some(why) = (desire.barred)(deployment.channel) {
                plan.left_out.push(LeftOut { channel: deployment.channel, upstream: deployment.upstream.clone(), why });
                continue;
            }
            let (standing, credentials) = credentials(deployment, desire.place.as_ref(), now_ms, draw);
            match standing {
                Standing::Benched(until) => {
                    let note = Note::LastResort(until);
                    let step = step(deployment, number, strategy, Why::Written, note);
                    benched.push((until, Ranked { step, deployment, credentials }));
                }
                standing => ready.push((deployment, credentials, standing)),
            }
        }
        let turn = !desire.dry && ranked.is_empty();
        ranked.extend(rank(table, group, (number, strategy, turn), ready, desire.place.as_ref(), query, draw));
    }
    if let Some(bound) = desire.bound {
        bind(&mut ranked, bound);
    }
    benched.sort_by_key(|(until, _)| *until);
    if !desire.dry {
        send_probe(&mut ranked, &mut benched, now_ms);
    }
    ranked.extend(benched.into_iter().map(|(_, last)| last));
    for entry in ranked {
        let Deployment { channel, upstream, .. } = entry.deployment;
        let (channel, upstream) = (*channel, upstream.clone());
        plan.candidates.extend(entry.credentials.iter().map(|credential| Candidate {
            channel,
            upstream: upstream.clone(),
            credential: *credential,
        }));
        plan.steps.push(entry.step);
    }
    plan
}

fn step(deployment: &Deployment, group: usize, strategy: Strategy, why: Why, note: Note) -> Step {
    Step { channel: deployment.channel, upstream: deployment.upstream.clone(), group, strategy, why, note }
}

/// One group in order.
fn rank<'g>(
    table: &RoutingTable,
    group: &'g Group,
    (number, strategy, turn): (usize, Strategy, bool),
    ready: Vec<(&'g Deployment, Vec<u32>, Standing)>,
    place: Option<&Place>,
    query: &mut dyn Query,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Vec<Ranked<'g>> {
    if ready.is_empty() {
        return Vec::new();
    }
    let home = place.and_then(|place| {
        let there = |(own, _, standing): &(&Deployment, _, Standing)| {
            own.live.id == place.deployment && *standing == Standing::Ready
        };
        ready.iter().position(there)
    });
    let deployments: Vec<&Deployment> = ready.iter().map(|(deployment, ..)| *deployment).collect();
    let now_ms = query.now_ms();
    // A conversation that stays where it is takes nobody's turn.
    let turn = turn && home.is_none();
    let mut scene = Scene { table, query, draw, rotor: &group.rotor, now_ms, turn };
    let mut order = strategy::order(strategy, &mut scene, &deployments);
    if let Some(at) = order.iter().position(|(position, _)| Some(*position) == home) {
        let first = order.remove(at);
        order.insert(0, first);
    }
    let mut ready: Vec<Option<(&Deployment, Vec<u32>, Standing)>> = ready.into_iter().map(Some).collect();
    let made = order.into_iter().filter_map(|(position, why)| {
        let (deployment, credentials, standing) = ready.get_mut(position)?.take()?;
        let note = match standing {
            Standing::HalfOpen => Note::Probe,
            _ if Some(position) == home => Note::Conversation,
            _ => Note::Plain,
        };
        Some(Ranked { step: step(deployment, number, strategy, why, note), deployment, credentials })
    });
    made.collect()
}

/// How a deployment stands, and its usable credentials in order: where the conversation is first, else from a random one on. If none is usable all are, the
/// first to recover first.
fn credentials(
    deployment: &Deployment,
    place: Option<&Place>,
    now_ms: u64,
    draw: &mut dyn FnMut(u64) -> u64,
) -> (Standing, Vec<u32>) {
    let own = deployment.live.breaker.standing(now_ms).and(deployment.channel_live.breaker.standing(now_ms));
    if let [only] = &*deployment.credentials {
        let standing = only.breaker.standing(now_ms).and(deployment.live.lane(only.mark, now_ms));
        return (own.and(standing), vec![0]);
    }
    let home = place.filter(|place| place.deployment == deployment.live.id).map(|place| place.credential);
    let count = deployment.credentials.len() as u64;
    let start = draw(count.max(1));
    let mut all: Vec<(Standing, u32)> = (0..count)
        .filter_map(|step| {
            let position = (start + step) % count;
            let credential = deployment.credentials.get(usize::try_from(position).ok()?)?;
            let standing = credential.breaker.standing(now_ms).and(deployment.live.lane(credential.mark, now_ms));
            Some((standing, u32::try_from(position).ok()?))
        })
        .collect();
    let at_home = |position: u32| {
        let mark = usize::try_from(position)
            .ok()
            .and_then(|position| deployment.credentials.get(position))
            .map(|own| own.mark);
        home.is_some() && mark == home
    };
    all.sort_by_key(|(standing, position)| match standing {
        Standing::Ready => (0, u64::from(!at_home(*position))),
        Standing::HalfOpen => (1, 0),
        Standing::Benched(until) => (2, *until),
    });
    let Some((best, _)) = all.first().copied() else { return (own, vec![0]) };
    if !matches!(best, Standing::Benched(_)) {
        all.retain(|(standing, _)| !matches!(standing, Standing::Benched(_)));
    }
    (own.and(best), all.into_iter().map(|(_, position)| position).collect())
}

/// Who made what comes back is first, with the credential that made it.
fn bind(ranked: &mut [Ranked<'_>], bound: &dyn Fn(&Candidate) -> bool) {
    for entry in ranked.iter_mut() {
        let (channel, upstream) = (entry.deployment.channel, entry.deployment.upstream.clone());
        let own = |credential: u32| bound(&Candidate { channel, upstream: upstream.clone(), credential });
        if entry.credentials.iter().any(|credential| own(*credential)) {
            entry.credentials.sort_by_key(|credential| !own(*credential));
            if entry.step.note != Note::Probe {
                entry.step.note = Note::Maker;
            }
        }
    }
    ranked.sort_by_key(|entry| entry.step.note != Note::Maker);
}

/// The first of the plan may be one that failed before: then it must be the only request that tries it, else the next one is first.
fn send_probe<'g>(ranked: &mut Vec<Ranked<'g>>, benched: &mut Vec<(u64, Ranked<'g>)>, now_ms: u64) {
    while let Some(first) = ranked.first() {
        if first.step.note != Note::Probe || take_probe(first, now_ms) {
            return;
        }
        let mut late = ranked.remove(0);
        late.step.note = Note::LastResort(now_ms);
        benched.insert(0, (now_ms, late));
    }
}

fn take_probe(first: &Ranked<'_>, now_ms: u64) -> bool {
    let deployment = first.deployment;
    let position = first.credentials.first().and_then(|position| usize::try_from(*position).ok());
    let credential = position.and_then(|position| deployment.credentials.get(position));
    let lane = credential.and_then(|credential| deployment.live.find_lane(credential.mark));
    let own = [Some(&deployment.live.breaker), Some(&deployment.channel_live.breaker)];
    let all: Vec<&Breaker> =
        own.into_iter().chain([credential.map(|credential| &credential.breaker), lane.as_deref()]).flatten().collect();
    let half_open = all.into_iter().filter(|breaker| breaker.standing(now_ms) == Standing::HalfOpen);
    let mut taken: Vec<&Breaker> = Vec::new();
    for breaker in half_open {
        if !breaker.take_probe(now_ms) {
            taken.into_iter().for_each(Breaker::release);
            return false;
        }
        taken.push(breaker);
    }
    // Nothing was half open any more: another request's probe was benched or went well in between.
    true
}

#[cfg(test)]
mod tests {
    use super::super::Described;
    use super::super::live::{Ended, Failure, Fleet, How};
    use super::super::resolve::tests::channel;
    use super::super::resolve::{TableChannel, Tariffs, Terms};
    use super::*;
    use crate::model::BreakerSettings;

    /// Channels `a`, `b`, `c` …, all with the model `m`; the route `m` has them in these groups.
    struct Bench {
        table: RoutingTable,
        fleet: Arc<Fleet>,
        random: fastrand::Rng,
        query: Described,
    }

    #[derive(Debug)]
    struct Sizes;

    impl Tariffs for Sizes {
        fn terms(&self, channel: &TableChannel, _: &str) -> Terms {
            let size = channel.tags.iter().find_map(|tag| tag.strip_prefix("context=")?.parse().ok());
            let limit = channel.tags.iter().find_map(|tag| tag.strip_prefix("tpm=")?.parse().ok());
            Terms { context: size, tpm: limit, rpm: limit }
        }

        fn cost(&self, channel: &TableChannel, _: &str, input: u64, output: u64, _: u64) -> Option<u64> {
            let price: u64 = channel.tags.iter().find_map(|tag| tag.strip_prefix("price=")?.parse().ok())?;
            let fixed: u64 = channel.tags.iter().find_map(|tag| tag.strip_prefix("fixed=")?.parse().ok()).unwrap_or(0);
            Some(fixed + price * (input + output))
        }
    }

    fn bench(channels: &[(&str, u32, &[&str], usize)], groups: &[(Strategy, &[&str])]) -> Bench {
        let made = channels.iter().map(|(name, weight, tags, credentials)| TableChannel {
            weight: *weight,
            credentials: (1..=*credentials as u64).collect(),
            ..channel(name, tags, &[("m", "m")])
        });
        let groups: Vec<_> = groups
            .iter()
            .map(|(strategy, names)| {
                let names: Vec<String> = names.iter().map(|name| format!("{name}/m")).collect();
                serde_json::json!({"strategy": strategy, "use": names})
            })
            .collect();
        let route = serde_json::from_value(serde_json::json!({"model": "m", "groups": groups})).unwrap();
        let fleet = Arc::new(Fleet::default());
        let table = RoutingTable::new(made.collect(), [route], fleet.clone(), Arc::new(Sizes), Strategy::Weighted);
        Bench {
            table,
            fleet,
            random: fastrand::Rng::with_seed(7),
            query: Described { now_ms: 1_000_000, ..Described::default() },
        }
    }

    impl Bench {
        fn plan_with(&mut self, desire: &Desire<'_>) -> Plan {
            let super::super::Resolution::Groups(groups) = self.table.resolve("m", "m", &mut self.query) else {
                panic!("m is routed")
            };
            let random = &mut self.random;
            plan(&self.table, &groups, desire, &mut self.query, &mut |n| random.u64(0..n.max(1)))
        }

        fn plan(&mut self) -> Plan {
            self.plan_with(&Desire { strategy: None, barred: &|_| None, place: None, bound: None, dry: false })
        }

        fn order(&mut self) -> Vec<String> {
            let plan = self.plan();
            plan.steps.iter().map(|step| self.table.channels[step.channel].name.clone()).collect()
        }

        fn fail(&self, channel: &str, credential: u32, failure: Failure) {
            let live = self.table.credential(channel, credential).unwrap();
            let how = How::Failed { failure, wait: None, words: "", rule: None };
            let ended =
                Ended { channel, upstream: "m", credential: Some(live), how, now_ms: self.query.now_ms, jitter: 0 };
            self.fleet.ended(&ended, &BreakerSettings::default());
        }

        fn answer(&self, channel: &str) {
            let live = self.table.credential(channel, 0).unwrap();
            let how = How::Answered { first_token: None, whole: 10.0 };
            let ended =
                Ended { channel, upstream: "m", credential: Some(live), how, now_ms: self.query.now_ms, jitter: 0 };
            self.fleet.ended(&ended, &BreakerSettings::default());
        }
    }

    #[test]
    fn later_groups_stand_behind_and_filters_hold() {
        let mut bench = bench(
            &[("a", 0, &[], 1), ("b", 5, &[], 1), ("c", 1, &[], 1)],
            &[(Strategy::Weighted, &["a", "b"]), (Strategy::Ordered, &["a", "b", "c"])],
        );
        assert_eq!(bench.order(), ["b", "a", "c"]);
        let barred = |channel: usize| (channel == 1).then_some("the key may not use it");
        let plan = bench.plan_with(&Desire { strategy: None, barred: &barred, place: None, bound: None, dry: false });
        assert_eq!(plan.candidates.iter().map(|own| own.channel).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(plan.left_out[0].why, "the key may not use it");
        assert_eq!(plan.words(&bench.table)[1], "c/m: group 2 ordered, the only one");
    }

    #[test]
    fn credentials_take_turns_and_a_benched_one_is_passed_over() {
        let mut bench = bench(&[("a", 1, &[], 3)], &[(Strategy::Ordered, &["a"])]);
        let mut first = [0; 3];
        for _ in 0..300 {
            let plan = bench.plan();
            assert_eq!(plan.candidates.len(), 3);
            first[plan.candidates[0].credential as usize] += 1;
        }
        assert!(first.iter().all(|count| (70..130).contains(count)), "{first:?}");
        bench.fail("a", 1, Failure::BadKey);
        for _ in 0..20 {
            let credentials: Vec<u32> = bench.plan().candidates.iter().map(|own| own.credential).collect();
            assert!(credentials.len() == 2 && !credentials.contains(&1), "{credentials:?}");
        }
    }

    #[test]
    fn a_broken_deployment_is_the_last_resort_and_one_probe_brings_it_back() {
        let mut bench =
            bench(&[("a", 9, &[], 1), ("b", 1, &[], 1)], &[(Strategy::Ordered, &["a"]), (Strategy::Ordered, &["b"])]);
        for _ in 0..3 {
            bench.fail("a", 0, Failure::Failed);
        }
        let plan = bench.plan();
        assert_eq!(
            plan.words(&bench.table)[1],
            "a/m: group 1 ordered, in the order written; benched: only if nobody else can"
        );
        assert_eq!(bench.order(), ["b", "a"]);
        bench.query.now_ms += 5_000;
        assert_eq!(
            bench.plan_with(&Desire { strategy: None, barred: &|_| None, place: None, bound: None, dry: true }).steps
                [0]
            .note,
            Note::Probe
        );
        assert_eq!(bench.order(), ["a", "b"], "the probe");
        assert_eq!(bench.order(), ["b", "a"], "the others wait for it");
        bench.answer("a");
        assert_eq!(bench.order(), ["a", "b"]);
    }

    #[test]
    fn the_only_deployment_is_asked_even_when_benched() {
        let mut bench = bench(&[("a", 1, &[], 2)], &[(Strategy::Weighted, &["a"])]);
        bench.fail("a", 0, Failure::BadKey);
        bench.fail("a", 1, Failure::RateLimited);
        let plan = bench.plan();
        assert_eq!(
            plan.candidates.iter().map(|own| own.credential).collect::<Vec<_>>(),
            [1, 0],
            "the first to recover first"
        );
        assert!(matches!(plan.steps[0].note, Note::LastResort(_)));
    }

    #[test]
    fn a_conversation_stays_in_its_group_where_it_is_unless_that_is_unhealthy() {
        let mut bench = bench(
            &[("a", 9, &[], 1), ("b", 1, &[], 2), ("c", 1, &[], 1)],
            &[(Strategy::Weighted, &["a", "b"]), (Strategy::Weighted, &["c"])],
        );
        let b = bench.fleet.deployment("b", "m").id;
        let there = |deployment, credential| Some(Place { deployment, credential, seen_ms: 0 });
        for _ in 0..20 {
            let plan = bench.plan_with(&Desire {
                strategy: None,
                barred: &|_| None,
                place: there(b, 2),
                bound: None,
                dry: false,
            });
            assert_eq!((plan.candidates[0].channel, plan.candidates[0].credential), (1, 1));
            assert_eq!(plan.steps[0].note, Note::Conversation);
        }
        let c = bench.fleet.deployment("c", "m").id;
        let plan =
            bench.plan_with(&Desire { strategy: None, barred: &|_| None, place: there(c, 1), bound: None, dry: false });
        assert_ne!(plan.candidates[0].channel, 2, "a warmer group that can serve comes first");
        bench.fail("b", 0, Failure::UnknownModel);
        let plan =
            bench.plan_with(&Desire { strategy: None, barred: &|_| None, place: there(b, 2), bound: None, dry: false });
        assert_eq!(plan.candidates[0].channel, 0);
    }

    #[test]
    fn the_cheapest_depends_on_the_tokens_of_the_request() {
        let mut bench = bench(
            &[("flat", 1, &["price=0", "fixed=50000"], 1), ("metered", 1, &["price=10"], 1), ("free?", 1, &[], 1)],
            &[(Strategy::LowestCost, &["flat", "metered", "free?"])],
        );
        bench.query.tokens = 100;
        assert_eq!(bench.order(), ["metered", "flat", "free?"], "without a price it comes last");
        bench.query.tokens = 100_000;
        assert_eq!(bench.order(), ["flat", "metered", "free?"]);
    }

    #[test]
    fn a_long_request_goes_where_it_fits() {
        let mut bench = bench(
            &[
                ("small", 1, &["context=8000"], 1),
                ("large", 1, &["context=200000"], 1),
                ("middle", 1, &["context=32000"], 1),
            ],
            &[(Strategy::ContextFit, &["small", "large", "middle"])],
        );
        for (tokens, expected) in [
            (1_000, ["small", "middle", "large"]),
            (20_000, ["middle", "large", "small"]),
            (100_000, ["large", "middle", "small"]),
            (500_000, ["large", "middle", "small"]),
        ] {
            bench.query.tokens = tokens;
            assert_eq!(bench.order(), expected, "{tokens}");
        }
    }

    #[test]
    fn tags_of_the_request_choose() {
        let mut bench = bench(
            &[("eu", 1, &["eu"], 1), ("us", 1, &["us"], 1), ("any", 1, &["default"], 1)],
            &[(Strategy::TagBased, &["eu", "us", "any"])],
        );
        bench.query.tags = vec!["us".into(), "other".into()];
        assert_eq!(bench.order()[0], "us");
        bench.query.tags = vec!["mars".into()];
        assert_eq!(bench.order()[0], "any");
    }

    #[test]
    fn the_least_used_by_its_limits_is_first() {
        let mut bench = bench(
            &[("big", 1, &["tpm=100000"], 1), ("small", 1, &["tpm=1000"], 1)],
            &[(Strategy::LowestTpmRpm, &["big", "small"])],
        );
        let now = bench.query.now_ms;
        bench.fleet.used("big", "m", 50_000, now);
        bench.fleet.used("small", "m", 100, now);
        assert_eq!(bench.order(), ["small", "big"], "10 % against 50 %");
        bench.query.tokens = 2_000;
        assert_eq!(bench.order(), ["big", "small"], "this request would not fit in the small one's minute");
    }

    #[test]
    fn a_profile_or_key_chooses_otherwise_and_looking_takes_no_turn() {
        let mut bench = bench(&[("a", 1, &[], 1), ("b", 1, &[], 1)], &[(Strategy::Ordered, &["a", "b"])]);
        let busy = |bench: &Bench| bench.fleet.begin("a", "m", 0);
        busy(&bench);
        let strategy = Some(Strategy::LeastBusy);
        let plan = bench.plan_with(&Desire { strategy, barred: &|_| None, place: None, bound: None, dry: true });
        assert_eq!(
            plan.words(&bench.table),
            ["b/m: group 1 least-busy, 0 under way", "a/m: group 1 least-busy, 1 under way"]
        );
    }
}
