use serde_json::{Value, json};

use super::*;
use crate::model::Service;

fn price(table: Value) -> Price {
    Price::read(table.as_object().expect("a table")).expect("a price")
}

fn nano(price: &Price, usage: &Usage) -> Option<i64> {
    bill(price, usage, 0).map(|bill| bill.total(Multiplier::ONE).0)
}

/// Claude Opus 4.6's public list, dollars a million.
fn opus() -> Price {
    price(json!({"input": 5, "cache_read": 0.5, "cache_write": 6.25, "cache_write_1h": 10, "output": 25}))
}

#[test]
fn case_29_the_cached_part_of_the_input_is_billed_once_at_the_read_rate() {
    // Gemini 2.5 Pro below 200k: 150,000 read, 140,000 of it from the cache.
    let pro = price(json!({"input": 1.25, "cache_read": 0.125, "output": 10}));
    let usage = Usage { input: Some(150_000), cache_read: Some(140_000), output: Some(1_000), ..Usage::default() };
    // 10,000 × 1.25e-6 + 140,000 × 0.125e-6 + 1,000 × 10e-6
    assert_eq!(nano(&pro, &usage), Some(12_500_000 + 17_500_000 + 10_000_000));
}

#[test]
fn what_the_prompt_cache_saved_is_held_against_the_full_price_of_input() {
    let sums = Usage {
        input: Some(2_000_000),
        cache_read: Some(1_000_000),
        cache_write: Some(400_000),
        cache_write_1h: Some(100_000),
        ..Usage::default()
    };
    let caching = caching(&opus(), &sums, 100).expect("all rates are known");
    let nano = |sum| total(&[(sum, Multiplier::ONE)]).0;
    // A million read at 0.5 instead of 5; 300k written at 6.25 and 100k at 10 instead of 5.
    assert_eq!(nano(caching.read), 4_500_000_000);
    assert_eq!(nano(caching.write), 375_000_000 + 500_000_000);
}

#[test]
fn a_cache_without_a_rate_of_its_own_saves_nothing_and_one_without_any_is_unknown() {
    let sums = Usage { input: Some(10), cache_read: Some(5), ..Usage::default() };
    assert_eq!(caching(&price(json!({"input": 2, "output": 8})), &sums, 1), Some(Caching::default()));
    assert_eq!(caching(&price(json!({"output": 8})), &sums, 1), None);
    let plain = Usage { input: Some(10), ..Usage::default() };
    assert_eq!(caching(&price(json!({"output": 8})), &plain, 1), Some(Caching::default()));
}

#[test]
fn the_mean_prompt_decides_which_tier_the_cache_is_held_against() {
    let tiered =
        price(json!({"input": 1, "cache_read": 0.1, "output": 1, "above_200k": {"input": 2, "cache_read": 0.2}}));
    let sums = Usage { input: Some(1_000_000), cache_read: Some(1_000_000), ..Usage::default() };
    let saved = |requests| total(&[(caching(&tiered, &sums, requests).expect("priced").read, Multiplier::ONE)]).0;
    assert_eq!(saved(10), 900_000_000);
    assert_eq!(saved(1), 1_800_000_000);
}

#[test]
fn case_30_a_price_of_ones_own_has_every_class() {
    let own = price(json!({"input": 2, "cache_read": 0.2, "cache_write": 2.5, "cache_write_1h": 4, "output": 8}));
    let usage = Usage {
        input: Some(1_000_000),
        cache_read: Some(400_000),
        cache_write: Some(300_000),
        cache_write_1h: Some(100_000),
        output: Some(0),
        ..Usage::default()
    };
    // 300k × 2 + 400k × 0.2 + 200k × 2.5 + 100k × 4, a million.
    assert_eq!(nano(&own, &usage), Some(600_000_000 + 80_000_000 + 500_000_000 + 400_000_000));
}

#[test]
fn a_tier_by_length_of_prompt_holds_for_the_whole_request_from_the_first_token() {
    let tiered = price(json!({
        "input": 1.25, "cache_read": 0.125, "cache_write": 1.5625, "cache_write_1h": 2.5, "output": 10, "reasoning": 12,
        "above_200k": {"input": 2.5, "cache_read": 0.25, "cache_write": 3.125, "output": 15},
        "priority": {"input": 5, "above_200k": {"input": 9}},
    }));
    let usage = |input, tier: Option<&str>| Usage {
        input: Some(input),
        cache_read: Some(150_000),
        cache_write: Some(30_000),
        cache_write_1h: Some(10_000),
        output: Some(1_000),
        reasoning: Some(400),
        service_tier: tier.map(str::to_owned),
        ..Usage::default()
    };
    // The prompt: 20,000 and what comes on top plain, 150,000 read, 20,000 + 10,000 written. 600 written words, 400 thought.
    let below = 20_000 * 1_250 + 150_000 * 125 + 20_000 * 15_625 / 10 + 10_000 * 2_500 + 600 * 10_000 + 400 * 12_000;
    assert_eq!(nano(&tiered, &usage(200_000, None)), Some(below), "200,000 are not above 200k, cached ones included");
    // One token more: every token of every class that the tier names at its rates. An hour's cache and thinking are not named: their rates stay.
    let above = 20_001 * 2_500 + 150_000 * 250 + 20_000 * 3_125 + 10_000 * 2_500 + 600 * 15_000 + 400 * 12_000;
    assert_eq!(nano(&tiered, &usage(200_001, None)), Some(above));
    // A better service: its own rate of the tier where there is one, else the tier's standard one.
    assert_eq!(nano(&tiered, &usage(200_001, Some("priority"))), Some(above + 20_001 * 6_500));
    assert_eq!(nano(&tiered, &usage(200_000, Some("priority"))), Some(below + 20_000 * 3_750));
    // A multiplier is of the whole.
    let bill = bill(&tiered, &usage(200_001, None), 0).unwrap();
    assert_eq!(bill.total(Multiplier(500_000)).0, above / 2);
}

#[test]
fn case_31_cached_tokens_of_a_large_prompt_follow_the_public_formula() {
    let usage = Usage {
        input: Some(172_000),
        cache_read: Some(155_000),
        cache_write: Some(3_000),
        output: Some(0),
        ..Usage::default()
    };
    // (172k − 155k − 3k) × 5e-6 + 155k × 5e-7 + 3k × 6.25e-6 = 0.07 + 0.0775 + 0.01875
    assert_eq!(nano(&opus(), &usage), Some(166_250_000));
}

#[test]
fn case_33_a_total_of_writes_without_a_split_is_of_the_short_kind_and_a_split_is_respected() {
    let usage = |total, long| Usage {
        input: Some(100_000),
        cache_write: total,
        cache_write_1h: long,
        output: Some(0),
        ..Usage::default()
    };
    assert_eq!(nano(&opus(), &usage(Some(100_000), None)), Some(625_000_000));
    assert_eq!(nano(&opus(), &usage(Some(100_000), Some(40_000))), Some(375_000_000 + 400_000_000));
    assert_eq!(nano(&opus(), &usage(None, Some(100_000))), Some(1_000_000_000));
    // A price without the hour's rate takes the short one.
    let short = price(json!({"input": 5, "cache_write": 6.25, "output": 25}));
    assert_eq!(nano(&short, &usage(Some(100_000), Some(100_000))), Some(625_000_000));
}

#[test]
fn case_34_parts_larger_than_the_whole_are_flagged_and_never_below_zero() {
    let usage = Usage { input: Some(100), cache_read: Some(150), output: Some(10), ..Usage::default() };
    let bill = bill(&opus(), &usage, 0).unwrap();
    assert!(bill.odd);
    // All 100 as cache reads, none below zero.
    assert_eq!(bill.total(Multiplier::ONE).0, 50_000 + 250_000);
    let counted: u64 = bill.lines.iter().map(|line| line.count).sum();
    assert_eq!(counted, 110);
}

#[test]
fn case_37_zero_is_zero_and_unknown_is_unknown() {
    let zero = Usage { input: Some(0), output: Some(0), ..Usage::default() };
    assert_eq!(nano(&opus(), &zero), Some(0));
    assert_eq!(nano(&opus(), &Usage::default()), None);
}

#[test]
fn what_has_no_rate_is_unpriced_and_not_free() {
    let images = price(json!({"image_made": 0.04}));
    let usage = Usage { input: Some(10), output: Some(10), ..Usage::default() };
    assert_eq!(nano(&images, &usage), None);
    // An embedding has no output rate and needs none.
    let embedding = price(json!({"input": 0.02}));
    assert_eq!(nano(&embedding, &Usage { input: Some(1_000_000), ..Usage::default() }), Some(20_000_000));
    assert_eq!(nano(&embedding, &usage), None);
}

#[test]
fn thinking_and_sound_have_their_own_rates_where_the_price_has_them() {
    let usage = Usage {
        input: Some(1_000),
        audio_input: Some(400),
        output: Some(2_000),
        reasoning: Some(1_500),
        audio_output: Some(200),
        ..Usage::default()
    };
    let plain = price(json!({"input": 1, "output": 10}));
    assert_eq!(nano(&plain, &usage), Some(1_000_000 + 20_000_000));
    let rich = price(json!({"input": 1, "audio_input": 3, "output": 10, "reasoning": 40, "audio_output": 20}));
    // 600 × 1 + 400 × 3 + (2000 − 200 − 1500) × 10 + 1500 × 40 + 200 × 20
    assert_eq!(nano(&rich, &usage), Some(600_000 + 1_200_000 + 3_000_000 + 60_000_000 + 4_000_000));
}

#[test]
fn searches_cost_apart_where_the_price_says_so() {
    let usage = Usage { input: Some(100), output: Some(0), web_searches: Some(3), ..Usage::default() };
    assert_eq!(nano(&price(json!({"input": 1, "web_search": 0.01})), &usage), Some(100_000 + 30_000_000));
    assert_eq!(nano(&price(json!({"input": 1})), &usage), Some(100_000));
}

#[test]
fn the_service_that_answered_sets_the_rate() {
    let gpt = price(
        json!({"input": 1.25, "output": 10, "priority": {"input": 2.5, "output": 20}, "batch": {"input": 0.625, "output": 5}}),
    );
    let cost = |tier: Option<&str>| {
        let usage = Usage {
            input: Some(1_000_000),
            output: Some(1_000_000),
            service_tier: tier.map(str::to_owned),
            ..Usage::default()
        };
        nano(&gpt, &usage).unwrap() / 1_000_000
    };
    assert_eq!(cost(None), 11_250);
    assert_eq!(cost(Some("default")), 11_250);
    assert_eq!(cost(Some("PRIORITY")), 22_500);
    assert_eq!(cost(Some("batch")), 5_625);
    // No rates of this service: the standard ones.
    assert_eq!(cost(Some("flex")), 11_250);
}

#[test]
fn a_multiplier_is_applied_before_the_one_rounding() {
    let tiny = price(json!({"input": 0.0001}));
    // 100 picodollars a token: 7 tokens are 0.7 nanodollars.
    let bill = bill(&tiny, &Usage { input: Some(7), ..Usage::default() }, 0).unwrap();
    assert_eq!(bill.total(Multiplier::ONE).0, 1);
    assert_eq!(bill.total(Multiplier(500_000)).0, 0);
    assert_eq!(bill.total(Multiplier(10_000_000)).0, 7);
    // Two answers of one request are added before rounding: 1.4, not 1 + 1.
    assert_eq!(total(&[(bill.sum(), Multiplier::ONE), (bill.sum(), Multiplier::ONE)]).0, 1);
}

#[test]
fn an_estimate_is_never_below_the_bill_of_what_it_allows() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    for _ in 0..2_000 {
        let table = json!({
            "input": next(1_000), "cache_read": next(100), "cache_write": next(2_000), "output": next(5_000),
            "above_200k": {"input": 1_000 + next(1_000), "output": 5_000 + next(5_000), "cache_write": 2_000 + next(9)},
        });
        let price = price(table);
        let (input, output) = (next(400_000), next(64_000));
        let read = next(input + 1);
        let usage = Usage {
            input: Some(input),
            cache_read: Some(read),
            cache_write: Some(next(input - read + 1)),
            output: Some(output),
            ..Usage::default()
        };
        let most = estimate(&price, Multiplier::ONE, input, output, 0).unwrap();
        let real = bill(&price, &usage, 0).unwrap();
        let expensive_read = price.rate(PriceClass::CacheRead, input, Service::Standard)
            > price.rate(PriceClass::Input, input, Service::Standard);
        assert!(expensive_read || real.total(Multiplier::ONE) <= most, "{usage:?}");
        // Every token is in exactly one line.
        let counted: u64 = real.lines.iter().map(|line| line.count).sum();
        assert_eq!(counted, input + output);
    }
}

#[test]
fn what_has_no_tokens_is_billed_by_its_units() {
    for (table, usage, nanos) in [
        (json!({"image_made": 0.04}), Usage { units: Some(Units::Images(2)), ..Usage::default() }, Some(80_000_000)),
        (
            json!({"second_read": 0.0001}),
            Usage { units: Some(Units::Seconds(37)), ..Usage::default() },
            Some(3_700_000),
        ),
        (
            json!({"character_read": 15}),
            Usage { units: Some(Units::Characters(1_000)), ..Usage::default() },
            Some(15_000_000),
        ),
        (
            json!({"input": 0, "request": 0.002}),
            Usage { units: Some(Units::Searches(3)), ..Usage::default() },
            Some(6_000_000),
        ),
        // Tokens that are counted and have rates go before units.
        (
            json!({"input": 5, "output": 0, "image_output": 40, "image_made": 0.04}),
            Usage {
                input: Some(100),
                output: Some(1_000),
                image_output: Some(1_000),
                units: Some(Units::Images(1)),
                ..Usage::default()
            },
            Some(500_000 + 40_000_000),
        ),
        // Tokens without rates do not hide what has one.
        (
            json!({"image_made": 0.04}),
            Usage { input: Some(100), output: Some(1_000), units: Some(Units::Images(1)), ..Usage::default() },
            Some(40_000_000),
        ),
        (json!({"input": 1}), Usage { units: Some(Units::Images(1)), ..Usage::default() }, None),
        (json!({"input": 1}), Usage { units: Some(Units::Searches(1)), ..Usage::default() }, None),
        (json!({"image_made": 0.04}), Usage { units: Some(Units::Seconds(1)), ..Usage::default() }, None),
        (
            json!({"input": 1, "request": 0.005}),
            Usage { input: Some(1_000_000), ..Usage::default() },
            Some(1_005_000_000),
        ),
        (json!({"image_made": 0.04}), Usage { units: Some(Units::Images(0)), ..Usage::default() }, Some(0)),
    ] {
        assert_eq!(nano(&price(table.clone()), &usage), nanos, "{table} {usage:?}");
    }
}
