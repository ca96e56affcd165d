//! What a plan must be.

use super::*;
use crate::model::BreakerSettings;
use crate::routing::Described;
use crate::routing::live::{Ended, Failure, Fleet, How};
use crate::routing::resolve::tests::channel;
use crate::routing::resolve::{TableChannel, Tariffs, Terms};

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
        let crate::routing::Resolution::Groups(groups) = self.table.resolve("m", "m", &mut self.query) else {
            panic!("m is routed")
        };
        let random = &mut self.random;
        plan(&self.table, &groups, desire, &mut self.query, &mut |n| random.u64(0..n.max(1)))
    }

    fn plan(&mut self) -> Plan {
        self.plan_with(&Desire {
            strategy: None,
            barred: &|_| None,
            place: None,
            bound: None,
            dry: false,
            errand: Errand::Conversation,
        })
    }

    /// A request begins its first attempt, as far as it may: whom it asks.
    fn ask(&mut self) -> Candidate {
        let plan = self.plan();
        let mut all = plan.candidates.into_iter();
        loop {
            let candidate = all.next().expect("somebody is asked");
            if let Some(probe) = self.table.take_probe(&candidate, self.query.now_ms) {
                probe.hand_over();
                return candidate;
            }
        }
    }

    fn order(&mut self) -> Vec<String> {
        let plan = self.plan();
        plan.steps.iter().map(|step| self.table.channels[step.channel].name.clone()).collect()
    }

    fn fail(&self, channel: &str, credential: u32, failure: Failure) {
        let live = self.table.credential(channel, credential).unwrap();
        let how = How::Failed { failure, wait: None, words: "", rule: None };
        let ended = Ended {
            channel,
            upstream: "m",
            errand: Errand::Conversation,
            credential: Some(live),
            how,
            now_ms: self.query.now_ms,
            jitter: 0,
        };
        self.fleet.ended(&ended, &BreakerSettings::default());
    }

    fn answer(&self, channel: &str) {
        let live = self.table.credential(channel, 0).unwrap();
        let how = How::Answered { first_token: None, whole: 10.0 };
        let ended = Ended {
            channel,
            upstream: "m",
            errand: Errand::Conversation,
            credential: Some(live),
            how,
            now_ms: self.query.now_ms,
            jitter: 0,
        };
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
    let barred = |channel: usize| (channel == 1).then_some(Omitted::NotForKey);
    let plan = bench.plan_with(&Desire {
        strategy: None,
        barred: &barred,
        place: None,
        bound: None,
        dry: false,
        errand: Errand::Conversation,
    });
    assert_eq!(plan.candidates.iter().map(|own| own.channel).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(plan.left_out[0].why, Omitted::NotForKey);
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
    for _ in 0..3 {
        let plan = bench.plan();
        assert_eq!((plan.steps[0].note, plan.candidates[0].standing), (Note::Probe, Standing::HalfOpen));
        assert_eq!(bench.order(), ["a", "b"], "who only plans holds nothing");
    }
    let (early, late) = (bench.plan(), bench.plan());
    assert_eq!(bench.ask().channel, 0, "the probe");
    assert_eq!(bench.order(), ["b", "a"], "the others wait for it");
    for plan in [early, late] {
        let now = bench.query.now_ms;
        assert!(bench.table.take_probe(&plan.candidates[0], now).is_none(), "those who had planned before as well");
    }
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
    assert!(matches!(plan.steps[0].note, Note::LastResort { .. }));
}

#[test]
fn a_conversation_stays_in_its_group_where_it_is_unless_that_is_unhealthy() {
    let mut bench = bench(
        &[("a", 9, &[], 1), ("b", 1, &[], 2), ("c", 1, &[], 1)],
        &[(Strategy::Weighted, &["a", "b"]), (Strategy::Weighted, &["c"])],
    );
    let b = bench.fleet.deployment("b", "m", Errand::Conversation).id;
    let there = |deployment, credential| Some(Place { deployment, credential, seen_ms: 0 });
    for _ in 0..20 {
        let plan = bench.plan_with(&Desire {
            strategy: None,
            barred: &|_| None,
            place: there(b, 2),
            bound: None,
            dry: false,
            errand: Errand::Conversation,
        });
        assert_eq!((plan.candidates[0].channel, plan.candidates[0].credential), (1, 1));
        assert_eq!(plan.steps[0].note, Note::Conversation);
    }
    let c = bench.fleet.deployment("c", "m", Errand::Conversation).id;
    let plan = bench.plan_with(&Desire {
        strategy: None,
        barred: &|_| None,
        place: there(c, 1),
        bound: None,
        dry: false,
        errand: Errand::Conversation,
    });
    assert_ne!(plan.candidates[0].channel, 2, "a warmer group that can serve comes first");
    bench.fail("b", 0, Failure::UnknownModel);
    let plan = bench.plan_with(&Desire {
        strategy: None,
        barred: &|_| None,
        place: there(b, 2),
        bound: None,
        dry: false,
        errand: Errand::Conversation,
    });
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
    bench.fleet.used("big", "m", Errand::Conversation, 50_000, now);
    bench.fleet.used("small", "m", Errand::Conversation, 100, now);
    assert_eq!(bench.order(), ["small", "big"], "10 % against 50 %");
    bench.query.tokens = 2_000;
    assert_eq!(bench.order(), ["big", "small"], "this request would not fit in the small one's minute");
}

#[test]
fn a_profile_or_key_chooses_otherwise_and_looking_takes_no_turn() {
    let mut bench = bench(&[("a", 1, &[], 1), ("b", 1, &[], 1)], &[(Strategy::Ordered, &["a", "b"])]);
    let busy = |bench: &Bench| bench.fleet.begin("a", "m", Errand::Conversation, 0);
    busy(&bench);
    let strategy = Some(Strategy::LeastBusy);
    let plan = bench.plan_with(&Desire {
        strategy,
        barred: &|_| None,
        place: None,
        bound: None,
        dry: true,
        errand: Errand::Conversation,
    });
    assert_eq!(
        plan.words(&bench.table),
        ["b/m: group 1 least-busy, 0 under way", "a/m: group 1 least-busy, 1 under way"]
    );
}

#[test]
fn a_credential_that_failed_shows_by_one_request_whether_it_works_again() {
    let mut bench = bench(&[("a", 1, &[], 2)], &[(Strategy::Ordered, &["a"])]);
    bench.fail("a", 1, Failure::BadKey);
    let firsts = |bench: &mut Bench| -> Vec<u32> { (0..40).map(|_| bench.ask().credential).collect() };
    assert!(firsts(&mut bench).iter().all(|first| *first == 0), "benched");
    bench.query.now_ms += 60_000;
    assert_eq!(
        firsts(&mut bench).iter().filter(|first| **first == 1).count(),
        1,
        "one request tries it, the others wait"
    );
    let live = bench.table.credential("a", 1).unwrap();
    let how = How::Answered { first_token: None, whole: 10.0 };
    let now_ms = bench.query.now_ms;
    let ended = Ended {
        channel: "a",
        upstream: "m",
        errand: Errand::Conversation,
        credential: Some(live),
        how,
        now_ms,
        jitter: 0,
    };
    bench.fleet.ended(&ended, &BreakerSettings::default());
    let back = firsts(&mut bench).iter().filter(|first| **first == 1).count();
    assert!((8..32).contains(&back), "it takes its turns again: {back}");
}

#[test]
fn a_conversation_does_not_leave_a_good_credential_to_try_another() {
    let mut bench = bench(&[("a", 1, &[], 2)], &[(Strategy::Ordered, &["a"])]);
    bench.fail("a", 0, Failure::BadKey);
    bench.query.now_ms += 60_000;
    let deployment = bench.fleet.deployment("a", "m", Errand::Conversation).id;
    let place = Some(Place { deployment, credential: 2, seen_ms: 0 });
    for _ in 0..40 {
        let plan = bench.plan_with(&Desire {
            strategy: None,
            barred: &|_| None,
            place,
            bound: None,
            dry: false,
            errand: Errand::Conversation,
        });
        assert_eq!(plan.candidates.iter().map(|own| own.credential).collect::<Vec<_>>(), [1, 0]);
    }
}
