//! What must hold under any schedule: caps, all or none, nothing lost, first come first served.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    Entities, Limit, LimitQueue, Measure, Origin, Owner, OwnerKind, OwnerRef, Target, VirtualKey, Window,
};

const NOW: u64 = 1_800_000_000_000;

fn limit(name: &str, on: &str, measure: Measure, amount: u64, per: Option<&str>) -> Limit {
    Limit {
        name: name.to_owned(),
        on: on.parse().unwrap(),
        models: Vec::new(),
        measure,
        amount,
        per: per.map(|per| per.parse().unwrap()),
        zone: Some("UTC".to_owned()),
        soft: Vec::new(),
        refuse: true,
        queue: None,
        origin: Origin::Store,
    }
}

fn key(name: &str, owner: Option<&str>) -> VirtualKey {
    serde_json::from_value(serde_json::json!({
        "id": format!("key_{name}"), "name": name, "hash": "", "hint": "", "created": 0, "owner": owner,
    }))
    .unwrap()
}

fn with(limits: Vec<Limit>) -> Entities {
    Entities { limits, keys: vec![key("a", None)], ..Entities::default() }
}

fn table(limits: Vec<Limit>) -> Arc<LimitTable> {
    Limiter::default().compile(&with(limits), NOW).0
}

fn all(table: &Arc<LimitTable>) -> Chain {
    table.for_caller(Caller { key: "key_a", model: "m", ..Caller::default() })
}

fn need(tokens: u64, money: u64) -> Amounts {
    Amounts { requests: 1, tokens, money }
}

#[test]
fn a_key_is_held_back_by_everything_above_it() {
    let owner = |text: &str, parent: Option<&str>| {
        let own: OwnerRef = text.parse().unwrap();
        Owner { kind: own.kind, name: own.name, parent: parent.map(|p| p.parse().unwrap()), origin: Origin::Store }
    };
    let on = [
        "key:a",
        "key:b",
        "user:u",
        "team:t",
        "team:other",
        "project:p",
        "organisation:o",
        "gateway",
        "model:gpt-*",
        "profile:cheap",
        "tool:cli",
    ];
    let entities = Entities {
        keys: vec![key("a", Some("user:u")), key("b", None), key("c", Some("team:t"))],
        owners: vec![
            owner("user:u", Some("team:t")),
            owner("team:t", Some("project:p")),
            owner("project:p", Some("organisation:o")),
            owner("organisation:o", None),
            owner("tool:cli", Some("organisation:o")),
        ],
        limits: on.iter().map(|on| limit(on, on, Measure::Requests, 1, Some("day"))).collect(),
        ..Entities::default()
    };
    let (table, _) = Limiter::default().compile(&entities, NOW);
    let names = |key, tool, model, profile| {
        let chain = table.for_caller(Caller { key, tool, model, profile });
        chain.names().map(str::to_owned).collect::<Vec<_>>()
    };
    let chain = ["user:u", "team:t", "project:p", "organisation:o", "gateway"];
    assert_eq!(names("key_a", None, "x", "direct"), [&["key:a"], &chain[..]].concat());
    assert_eq!(names("key_b", None, "gpt-5", "cheap"), ["key:b", "gateway", "model:gpt-*", "profile:cheap"]);
    assert_eq!(names("key_c", None, "x", ""), ["team:t", "project:p", "organisation:o", "gateway"]);
    assert_eq!(names("key_unknown", None, "x", ""), ["gateway"]);
    assert_eq!(names("key_b", Some("cli"), "x", ""), ["key:b", "organisation:o", "gateway", "tool:cli"]);
}

#[test]
fn owners_in_a_circle_do_no_harm() {
    let owner = |name: &str, parent: &str| Owner {
        kind: OwnerKind::Team,
        name: name.to_owned(),
        parent: Some(OwnerRef { kind: OwnerKind::Team, name: parent.to_owned() }),
        origin: Origin::Store,
    };
    let entities = Entities { owners: vec![owner("a", "b"), owner("b", "a")], ..Entities::default() };
    assert_eq!(entities.owner_chain(Some(&"team:a".parse().unwrap())).len(), 2);
}

#[test]
fn attempts_are_held_back_by_channel_tag_and_model() {
    let mut entities = with(vec![
        limit("channel", "channel:main", Measure::Requests, 1, Some("day")),
        limit("tag", "tag:paid", Measure::Requests, 1, Some("day")),
        limit("model", "channel:main/gpt-*", Measure::Requests, 1, Some("day")),
        limit("elsewhere", "channel:other", Measure::Requests, 1, Some("day")),
    ]);
    let channel = serde_json::json!({"name": "main", "provider": "openai", "tags": ["paid"]});
    entities.channels = vec![serde_json::from_value(channel).unwrap()];
    let (table, _) = Limiter::default().compile(&entities, NOW);
    let names = |channel, upstream| {
        table.for_attempt(channel, upstream, "asked").names().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("main", "gpt-5"), ["channel", "tag", "model"]);
    assert_eq!(names("main", "o3"), ["channel", "tag"]);
    assert!(names("gone", "gpt-5").is_empty());
    assert!(all(&table).is_empty());
}

#[test]
fn a_limit_for_some_models_lets_the_others_be() {
    let only = Limit { models: vec!["gpt-5*".to_owned()], ..limit("l", "key:a", Measure::Requests, 1, Some("day")) };
    let table = table(vec![only]);
    let chain = |model| table.for_caller(Caller { key: "key_a", model, ..Caller::default() });
    assert!(chain("claude").is_empty());
    assert!(!chain("gpt-5-mini").is_empty());
}

#[test]
fn a_reload_keeps_what_was_counted_and_takes_the_new_amount() {
    let limiter = Limiter::default();
    let of = |amount| with(vec![limit("l", "key:a", Measure::Requests, amount, Some("day"))]);
    let (first, _) = limiter.compile(&of(2), NOW);
    all(&first).reserve(&need(0, 0), NOW, None).unwrap().settle(&need(0, 0), NOW);
    let open = all(&first).reserve(&need(0, 0), NOW, None).unwrap();
    let (second, gone) = limiter.compile(&of(3), NOW);
    assert!(gone.is_empty());
    let third = all(&second).reserve(&need(0, 0), NOW, None).unwrap();
    assert!(all(&second).reserve(&need(0, 0), NOW, None).is_err());
    drop(open);
    assert_eq!(second.usage("l", NOW).map(|usage| (usage.used, usage.held)), Some((1, 1)));
    drop(third);
    let (_, gone) = limiter.compile(&with(Vec::new()), NOW);
    assert_eq!(gone.len(), 1);
    let (anew, _) = limiter.compile(&of(3), NOW);
    assert_eq!(anew.usage("l", NOW).map(|usage| usage.used), Some(0), "a limit that went and came again begins anew");
}

#[test]
fn a_renamed_key_keeps_what_it_used() {
    let limiter = Limiter::default();
    let mut entities = with(vec![limit("l", "key:a", Measure::Requests, 2, Some("day"))]);
    let (before, _) = limiter.compile(&entities, NOW);
    all(&before).reserve(&need(0, 0), NOW, None).unwrap().settle(&need(0, 0), NOW);
    entities.keys[0].name = "b".to_owned();
    entities.limits[0].on = Target::Key("b".to_owned());
    let (after, gone) = limiter.compile(&entities, NOW);
    assert!(gone.is_empty());
    assert_eq!(after.usage("l", NOW).map(|usage| usage.used), Some(1));
}

#[test]
fn what_the_store_remembers_goes_on() {
    let entities = with(vec![
        limit("month", "key:a", Measure::Money, 100, Some("month")),
        limit("minute", "key:a", Measure::Tokens, 100, Some("1m")),
    ]);
    let limiter = Limiter::default();
    let (table, _) = limiter.compile(&entities, NOW);
    let settled = all(&table).reserve(&need(5, 5), NOW, None).unwrap().settle(&need(40, 30), NOW);
    let rows: Vec<_> = settled.charges.iter().map(|charge| (charge.counter, charge.at, charge.amount)).collect();
    let later = NOW + 30_000;
    let again = Limiter::new(rows.iter().copied().chain([(42, NOW, 1)]));
    let (restored, _) = again.compile(&entities, later);
    assert_eq!(restored.usage("month", later), table.usage("month", later));
    assert_eq!(restored.usage("minute", later), table.usage("minute", later));
    assert_eq!(restored.usage("minute", NOW + 62_000).map(|usage| usage.used), Some(0));
    assert_eq!(again.unclaimed(), [42]);
    assert!(again.unclaimed().is_empty());
}

#[test]
fn a_request_larger_than_the_limit_goes_alone_or_not_at_all() {
    let table = table(vec![limit("l", "key:a", Measure::Money, 100, Some("day"))]);
    let chain = all(&table);
    let alone = chain.reserve(&need(0, 1_000), NOW, None).unwrap();
    let refusal = chain.reserve(&need(0, 1), NOW, None).unwrap_err();
    assert_eq!((refusal.used, refusal.held), (0, 1_000));
    alone.settle(&need(0, 99), NOW);
    chain.reserve(&need(0, 1_000), NOW, None).unwrap().settle(&need(0, 1), NOW);
    let refusal = chain.reserve(&need(0, 1), NOW, None).unwrap_err();
    assert_eq!(refusal.used, 100);
    assert!(refusal.notice.is_some());
    assert!(chain.reserve(&need(0, 1), NOW, None).unwrap_err().notice.is_none(), "told once");
    assert!(chain.reserve(&need(0, 0), NOW, None).is_ok(), "what costs nothing goes on");
}

#[test]
fn case_44_windows_are_independent_and_none_bites_early() {
    let table = table(vec![
        limit("rpm", "key:a", Measure::Requests, 10, Some("1m")),
        limit("tpm", "key:a", Measure::Tokens, 1_000, Some("1m")),
    ]);
    for second in 0..10 {
        let at = NOW + second * 1_000;
        all(&table).reserve(&need(100, 0), at, None).unwrap().settle(&need(100, 0), at);
    }
    assert_eq!(table.usage("tpm", NOW + 9_000).map(|usage| usage.used), Some(1_000));
    let refusal = all(&table).reserve(&need(1, 0), NOW + 30_000, None).unwrap_err();
    // The first leaves a minute after it came, at the latest one part of the window later.
    assert_eq!(refusal.room_at, Some(NOW + 61_000));
    assert!(all(&table).reserve(&need(1, 0), NOW + 61_000, None).is_ok());
}

#[test]
fn case_45_a_refused_request_costs_no_quota() {
    let table = table(vec![
        limit("rpm", "key:a", Measure::Requests, 10, Some("1m")),
        limit("one", "gateway", Measure::Parallel, 1, None),
    ]);
    let first = all(&table).reserve(&need(0, 0), NOW, None).unwrap();
    for _ in 0..50 {
        let refusal = all(&table).reserve(&need(0, 0), NOW, None).unwrap_err();
        assert_eq!(refusal.limit().map(|limit| limit.name.as_str()), Some("one"));
    }
    assert_eq!(table.usage("rpm", NOW).map(|usage| usage.used + usage.held), Some(1));
    drop(first);
    assert_eq!(table.usage("rpm", NOW).map(|usage| usage.used + usage.held), Some(0), "never sent: refunded");
}

#[test]
fn a_soft_limit_tells_and_lets_through() {
    let soft = Limit { soft: vec![80, 100], refuse: false, ..limit("l", "key:a", Measure::Tokens, 100, Some("day")) };
    let table = table(vec![soft]);
    let mut told = Vec::new();
    for _ in 0..30 {
        let settled = all(&table).reserve(&need(1_000, 0), NOW, None).unwrap().settle(&need(10, 0), NOW);
        told.extend(settled.notices.iter().filter_map(|notice| notice.reached));
    }
    assert_eq!(told, [80, 100]);
    assert_eq!(table.usage("l", NOW).map(|usage| usage.used), Some(300));
}

#[test]
fn the_tightest_limit_is_what_callers_are_told() {
    let table = table(vec![
        limit("wide", "gateway", Measure::Requests, 1_000, Some("1m")),
        limit("tight", "key:a", Measure::Requests, 10, Some("day")),
    ]);
    let held = all(&table).reserve(&need(0, 0), NOW, None).unwrap();
    let standing: Vec<_> =
        held.standings().iter().map(|(measure, standing)| (measure, standing.cap, standing.remaining)).collect();
    assert_eq!(standing, [(Measure::Requests, 10, 9)]);
}

/// One step of a schedule.
#[derive(Debug, Clone)]
enum Step {
    Reserve { tokens: u64, money: u64 },
    Settle { which: usize, tokens: u64, money: u64 },
    Drop { which: usize },
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..60_u64, 0..40_u64).prop_map(|(tokens, money)| Step::Reserve { tokens, money }),
        2 => (any::<usize>(), 0..60_u64, 0..40_u64).prop_map(|(which, tokens, money)| Step::Settle { which, tokens, money }),
        1 => any::<usize>().prop_map(|which| Step::Drop { which }),
        2 => (0..20_000_u64).prop_map(|ms| Step::Wait { ms }),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    /// Against a list of everything that happened: no window of that length ever holds more than the limit and one reservation, refusals leave no
    /// trace, and nothing that should have left still counts.
    #[test]
    fn case_41_caps_hold_under_any_schedule(steps in steps()) {
        let caps: HashMap<&str, (Measure, u64, u64)> = HashMap::from([
            ("requests", (Measure::Requests, 12, 60_000)),
            ("tokens", (Measure::Tokens, 200, 60_000)),
            ("money", (Measure::Money, 100, 30_000)),
        ]);
        let limits = caps.iter().map(|(name, (measure, amount, ms))| Limit {
            per: Some(Window::Rolling(*ms)),
            ..limit(name, "key:a", *measure, *amount, None)
        });
        let table = table(limits.chain([limit("parallel", "gateway", Measure::Parallel, 4, None)]).collect());
        let chain = all(&table);
        let mut now = NOW;
        // When, and how much of each measure: held or used, whatever was counted last.
        let mut counted: Vec<(u64, Amounts, bool)> = Vec::new();
        let mut open: Vec<(usize, Reservation)> = Vec::new();
        let of = |amounts: &Amounts, measure| match measure { Measure::Requests => amounts.requests, Measure::Tokens => amounts.tokens, _ => amounts.money };
        for step in steps {
            match step {
                Step::Wait { ms } => now += ms,
                Step::Reserve { tokens, money } => {
                    let before: Vec<_> = caps.keys().map(|name| table.usage(name, now)).collect();
                    let asked = need(tokens, money);
                    match chain.reserve(&asked, now, None) {
                        Ok(reservation) => {
                            open.push((counted.len(), reservation));
                            counted.push((now, asked, true));
                        }
                        Err(refusal) => {
                            let after: Vec<_> = caps.keys().map(|name| table.usage(name, now)).collect();
                            prop_assert_eq!(before, after, "a refusal left a trace");
                            let limit = refusal.limit().unwrap();
                            if limit.measure != Measure::Parallel {
                                prop_assert!(refusal.used + refusal.held + of(&asked, limit.measure) > limit.amount);
                            }
                        }
                    }
                }
                Step::Settle { which, tokens, money } if !open.is_empty() => {
                    let (at, reservation) = open.swap_remove(which % open.len());
                    // Never more than was reserved: that the cap holds is then exact.
                    let held = counted[at].1;
                    let spent = need(tokens.min(held.tokens), money.min(held.money));
                    let settled = reservation.settle(&spent, now);
                    let charged: u64 = settled.charges.iter().map(|charge| charge.amount).sum();
                    prop_assert_eq!(charged, 1 + spent.tokens + spent.money);
                    (counted[at].1, counted[at].2) = (spent, false);
                }
                Step::Drop { which } if !open.is_empty() => {
                    let (at, _) = open.swap_remove(which % open.len());
                    (counted[at].1, counted[at].2) = (Amounts::default(), false);
                }
                _ => {}
            }
            prop_assert!(open.len() <= 4);
            for (name, (measure, cap, ms)) in &caps {
                let within = |span: u64| counted.iter().filter(|(at, ..)| *at + span > now).map(|(_, amounts, _)| of(amounts, *measure)).sum::<u64>();
                let usage = table.usage(name, now).unwrap();
                let total = usage.used + usage.held;
                // Counted is at least what the window holds, at most what a window longer by one part holds.
                prop_assert!(within(*ms) <= total && total <= within(ms + 2 * ms.div_ceil(60)), "{}: {} {} {}", name, within(*ms), total, within(ms + 1_000));
                let largest = counted.iter().filter(|(at, ..)| *at + ms > now).map(|(_, amounts, _)| of(amounts, *measure)).max().unwrap_or(0);
                prop_assert!(within(*ms) <= cap - 1 + largest.max(1), "{} passed its cap by more than one reservation", name);
            }
        }
        drop(open);
        for name in caps.keys() {
            prop_assert_eq!(table.usage(name, now).unwrap().held, 0);
        }
        prop_assert_eq!(table.usage("parallel", now).unwrap().held, 0);
    }
}

#[test]
fn case_41_a_hundred_at_once_never_pass_the_cap() {
    for round in 0..20_u64 {
        let table = table(vec![
            limit("money", "key:a", Measure::Money, 1_000, Some("month")),
            limit("tokens", "gateway", Measure::Tokens, 5_000, Some("1m")),
            limit("requests", "model:m", Measure::Requests, 60, Some("day")),
            limit("parallel", "gateway", Measure::Parallel, 30, None),
        ]);
        let (let_in, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for worker in 0..8_u64 {
                let (table, let_in, most) = (&table, &let_in, &most);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(round * 8 + worker);
                    for _ in 0..100 {
                        let asked = need(random.u64(1..200), random.u64(1..40));
                        let Ok(held) = all(table).reserve(&asked, NOW, None) else { continue };
                        most.fetch_max(table.usage("parallel", NOW).unwrap().held, Ordering::Relaxed);
                        std::thread::yield_now();
                        if random.u8(..) < 64 {
                            continue;
                        }
                        let_in.fetch_add(1, Ordering::Relaxed);
                        held.settle(&need(random.u64(0..=asked.tokens), random.u64(0..=asked.money)), NOW);
                    }
                });
            }
        });
        let usage = |name| table.usage(name, NOW).unwrap();
        assert!(usage("money").used < 1_000 + 40 && usage("tokens").used < 5_000 + 200);
        assert_eq!(usage("requests").used, let_in.load(Ordering::Relaxed));
        assert!(usage("requests").used <= 60 && most.load(Ordering::Relaxed) <= 30);
        for name in ["money", "tokens", "requests", "parallel"] {
            assert_eq!(usage(name).held, 0, "{name}");
        }
    }
}

fn queued(amount: u64, max_waiting: u32) -> Arc<LimitTable> {
    let queue = Some(LimitQueue { timeout_ms: 10_000, max_waiting });
    table(vec![Limit { queue, ..limit("line", "key:a", Measure::Parallel, amount, None) }])
}

#[tokio::test]
async fn who_waits_is_served_in_the_order_of_coming() {
    let table = queued(1, 10);
    let mut open = all(&table).reserve(&need(0, 0), NOW, None).unwrap();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(all(&table).reserve(&need(0, 0), NOW, None).unwrap_err().line_up().unwrap());
    }
    assert_eq!(table.usage("line", NOW).map(|usage| usage.waiting), Some(3));
    let mut waiting = tickets.into_iter();
    for _ in 0..3 {
        let first = waiting.next().unwrap();
        drop(open);
        first.called().await;
        assert!(all(&table).reserve(&need(0, 0), NOW, None).is_err_and(|refusal| refusal.behind), "nobody overtakes");
        if let Some(second) = waiting.as_slice().first() {
            assert!(all(&table).reserve(&need(0, 0), NOW, Some(second)).is_err());
        }
        open = all(&table).reserve(&need(0, 0), NOW, Some(&first)).unwrap();
    }
    drop((open, waiting));
    assert!(all(&table).reserve(&need(0, 0), NOW, None).is_ok());
}

#[tokio::test]
async fn who_leaves_the_line_holds_nobody_up() {
    let table = queued(1, 2);
    let open = all(&table).reserve(&need(0, 0), NOW, None).unwrap();
    let refused = || all(&table).reserve(&need(0, 0), NOW, None).unwrap_err();
    let (first, second) = (refused().line_up().unwrap(), refused().line_up().unwrap());
    assert!(refused().line_up().is_none(), "the line is bounded");
    drop(open);
    drop(first);
    tokio::time::timeout(Duration::from_secs(5), second.called()).await.unwrap();
    assert!(all(&table).reserve(&need(0, 0), NOW, Some(&second)).is_ok());
}
