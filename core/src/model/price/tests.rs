use serde_json::json;

use super::*;
use crate::model::{Multiplier, decimal};

fn read(value: Value) -> Result<Price, String> {
    Price::read(value.as_object().expect("a table"))
}

#[test]
fn amounts_are_exact() {
    for (text, pico) in [
        ("0.00000125", 1_250_000),
        ("1.25e-06", 1_250_000),
        ("3.3000000000000003e-06", 3_300_000),
        ("2.1999999999999997e-07", 220_000),
        ("0", 0),
        ("15", 15_000_000_000_000),
        (".5", 500_000_000_000),
        ("0.0000000000005", 1),
        ("0.0000000000004", 0),
    ] {
        assert_eq!(decimal(text, MILLION * MILLION), Some(pico), "{text}");
    }
    for wrong in ["", ".", "-1", "1,5", "abc", "1e400", "inf", "NaN", "99999999999999999999"] {
        assert_eq!(decimal(wrong, MILLION * MILLION), None, "{wrong}");
    }
}

#[test]
fn what_people_write_is_read_and_written_the_same() {
    let table = json!({
        "input": 1.25, "cache_read": 0.125, "output": 10.0, "web_search": 0.01,
        "above_200k": {"input": 2.5},
        "priority": {"input": 2.5, "above_200k": {"input": 5.0}},
    });
    let price = read(table.clone()).unwrap();
    assert_eq!(Value::Object(price.table()), table);
    assert_eq!(read(Value::Object(price.table())).unwrap(), price);
    assert_eq!(price.rate(PriceClass::WebSearch, 0, Service::Standard), Some(10_000_000_000));
}

#[test]
fn a_price_with_a_mistake_says_which() {
    for (table, part) in [
        (json!({"inptu": 1}), "inptu"),
        (json!({"input": -1}), "-1"),
        (json!({"input": "dear"}), "dear"),
        (json!({"above_200k": {"above_300k": {"input": 1}}}), "above_300k"),
        (json!({"priority": {"flex": {"input": 1}}}), "flex"),
        (json!({"above_0k": {"input": 1}}), "above_0k"),
        (json!({}), "empty"),
    ] {
        let error = read(table).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_whole_request_goes_to_the_longest_tier_that_its_prompt_passes() {
    let price = read(json!({
        "input": 1, "priority": {"input": 2}, "above_200k": {"input": 3}, "above_500k": {"input": 4, "priority": {"input": 5}},
    }))
    .unwrap();
    let rate = |prompt, service| price.rate(PriceClass::Input, prompt, service).unwrap() / MILLION;
    assert_eq!(rate(200_000, Service::Standard), 1);
    assert_eq!(rate(200_001, Service::Standard), 3);
    assert_eq!(rate(500_001, Service::Standard), 4);
    assert_eq!(rate(1, Service::Priority), 2);
    // The tier has no rate of this service: its standard one holds.
    assert_eq!(rate(200_001, Service::Priority), 3);
    assert_eq!(rate(500_001, Service::Priority), 5);
    assert_eq!(rate(1, Service::Flex), 1);
    assert_eq!(price.rate(PriceClass::Output, 1, Service::Standard), None);
}

#[test]
fn off_peak_hours_are_known_by_weekday_and_minute() {
    // Weekdays from 10:00 to midnight.
    let hours = OffPeak { days: 0b0001_1111, from: 600, to: 1_440 };
    // Thursday 1970-01-01, 10:00 and 09:59; Saturday the same hour.
    assert!(hours.holds(600 * 60_000));
    assert!(!hours.holds(599 * 60_000));
    assert!(!hours.holds((2 * 1_440 + 600) * 60_000));
}

#[test]
fn multipliers_are_read_and_shown() {
    let read = |text: &str| serde_json::from_str::<Multiplier>(text);
    assert_eq!(read("0.8").unwrap(), Multiplier(800_000));
    assert_eq!(read("1").unwrap(), Multiplier::ONE);
    assert_eq!(Multiplier(800_000).to_string(), "0.8");
    for wrong in ["-1", "1001", "\"x\"", "null"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn no_two_classes_share_a_name_or_a_code() {
    for class in PriceClass::all() {
        assert_eq!(PriceClass::named(class.name()), Some(class));
        assert_eq!(PriceClass::coded(class.code()), Some(class));
    }
}
