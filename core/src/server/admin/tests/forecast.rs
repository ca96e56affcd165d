//! Where spend is going, by a clock that stands still in the middle of a month.

use super::*;
use crate::model::NanoUsd;

const DAY: u64 = 86_400_000;
/// What the clock says: 15 January 2027, 8:00 UTC, a Friday.
const NOW: u64 = 1_800_000_000_000;
const TODAY: u64 = NOW - 8 * 3_600_000;
/// 1 January and 1 February.
const MONTH: u64 = TODAY - 14 * DAY;
const NEXT: u64 = TODAY + 17 * DAY;
const CENT: i64 = 10_000_000;

/// A request of each model and key at some moment.
fn spent(n: u64, at: u64, model: &str, key: &str, cents: i64) -> RequestRecord {
    RequestRecord {
        id: format!("req_{:032x}", (u128::from(at) << 80) | u128::from(n)),
        started: at,
        model: model.into(),
        key: Some(key.into()),
        cost: Some(NanoUsd(cents * CENT)),
        ..RequestRecord::default()
    }
}

/// Five weeks in which every day cost 9 dollars, of which today has seen a third.
async fn steady(world: &World) -> String {
    world.own("POST", "/keys", json!({"name": "laptop"})).await;
    let laptop = world.store.entities().key("laptop").unwrap().id.clone();
    let hours =
        (0..35 * 24).map(|hour| TODAY - 35 * DAY + hour * 3_600_000).chain((0..8).map(|hour| TODAY + hour * 3_600_000));
    // 25 cents an hour and 12.5, so that a day costs 6 and 3 dollars.
    let records = hours.enumerate().flat_map(|(n, at)| {
        let n = n as u64;
        [
            spent(2 * n, at, "big", &laptop, 25),
            spent(2 * n + 1, at, "small", "key_gone", if n.is_multiple_of(2) { 25 } else { 0 }),
        ]
    });
    world.store.ledger().import_blocking(records).unwrap();
    laptop
}

fn outlook(row: &Value) -> [i64; 4] {
    ["spent", "expected", "low", "high"].map(|name| row[name].as_i64().unwrap() / CENT)
}

#[tokio::test]
async fn an_even_spend_goes_on_to_the_end_of_the_month_by_any_dimension() {
    let world = world();
    steady(&world).await;
    let answer = world.get("/forecast").await;
    assert_eq!((answer["from"].as_u64(), answer["until"].as_u64()), (Some(MONTH), Some(NEXT)));
    // 14 days and a third of today; 31 days in all.
    assert_eq!(outlook(&answer["total"]), [12_900, 27_900, 27_900, 27_900], "{answer}");
    assert_eq!((&answer["total"]["trend"], &answer["spikes"]), (&json!(0), &json!([])));
    for (by, rows) in [
        ("model", [("big", 8_600, 18_600), ("small", 4_300, 9_300)]),
        ("key", [("laptop", 8_600, 18_600), ("key_gone", 4_300, 9_300)]),
    ] {
        let answer = world.get(&format!("/forecast?by={by}&zone=UTC")).await;
        let found: Vec<_> = answer["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["values"][0].as_str().unwrap(), outlook(row)))
            .collect();
        let wanted = rows.map(|(name, spent, all)| (name, [spent, all, all, all]));
        assert_eq!(found, wanted, "by {by}: the costliest first");
    }
    let one = world.get("/forecast?model=small").await;
    assert_eq!(outlook(&one["total"]), [4_300, 9_300, 9_300, 9_300], "only what the filter lets through");
    let refused = world.own("GET", "/forecast?by=day", Value::Null).await;
    assert!(refused.status == 400 && refused.text.contains("for the month"), "{}", refused.text);
}

#[tokio::test]
async fn an_hour_that_stands_out_is_in_the_forecast_by_name() {
    let world = world();
    steady(&world).await;
    let laptop = world.store.entities().key("laptop").unwrap().id.clone();
    let at = TODAY + 3 * 3_600_000;
    world.store.ledger().import_blocking([spent(9_999, at + 1, "big", &laptop, 2_000)].into_iter()).unwrap();
    let answer = world.get("/forecast?by=key").await;
    let spikes: Vec<_> = answer["spikes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|spike| (spike["at"].as_u64(), spike["values"].clone(), spike["cost"].as_i64().map(|cost| cost / CENT)))
        .collect();
    let wanted = [(Some(at), json!([]), Some(2_025)), (Some(at), json!(["laptop"]), Some(2_025))];
    assert_eq!(spikes.len(), 2, "{answer}");
    for one in wanted {
        assert!(spikes.contains(&one), "{one:?} in {spikes:?}");
    }
    assert!(answer["total"]["expected"].as_i64() > answer["total"]["spent"].as_i64());
}
