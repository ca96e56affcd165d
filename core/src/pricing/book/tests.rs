use serde_json::{Map, Value, json};

use super::*;
use crate::model::{ChannelModel, ImportedPrices, PriceClass, Service};
use crate::pricing::Imported;

fn price(table: Value) -> Price {
    Price::read(table.as_object().expect("a table")).expect("a price")
}

fn channel(provider: &str) -> Channel {
    Channel::bare("main", provider)
}

/// Dollars a million tokens read, as the bundled list has it.
fn input(provider: &str, model: &str) -> Option<f64> {
    let quote = Book::default().quote(&channel(provider), model);
    quote.price.rate(PriceClass::Input, 0, Service::Standard).map(|pico| pico as f64 / 1e6)
}

#[test]
fn the_bundled_list_is_whole_and_in_order() {
    let table = Table::of(Table::bundled().text().to_owned()).expect("it reads");
    assert!(table.rows().filter(|row| row.is_priced()).count() > 4_000);
    assert_eq!(
        table.rows().filter(|row| row.has_limits()).count(),
        table.rows().filter(|row| !row.limits().is_empty()).count()
    );
    for row in table.rows() {
        assert_eq!(table.get(row.key).map(|found| found.key), Some(row.key));
    }
    assert_eq!(table.get("openai/"), None);
    assert_eq!(table.get("zzz/zzz"), None);
    assert_eq!(table.get("a/a"), None);
}

#[test]
fn a_model_is_found_under_the_names_that_people_and_clouds_use() {
    for (provider, model, dollars) in [
        ("openai", "gpt-5", 1.25),
        ("openai", "gpt-5-2025-08-07", 1.25),
        ("openai", "openai/gpt-5", 1.25),
        ("openai", "GPT-5", 1.25),
        ("openai", "gpt-5-2099-01-01", 1.25),
        ("anthropic", "claude-sonnet-4-5", 3.0),
        ("anthropic", "claude-sonnet-4-5-20250929", 3.0),
        ("anthropic", "claude-sonnet-4-5-latest", 3.0),
        ("gemini", "models/gemini-2.5-pro", 1.25),
        ("vertex", "publishers/anthropic/models/claude-sonnet-4-5@20250929", 3.0),
        ("vertex", "gemini-2.5-pro", 1.25),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", 3.0),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3),
        ("azure", "gpt-5", 1.25),
        ("openrouter", "anthropic/claude-sonnet-4.5", 3.0),
        ("openrouter", "anthropic/claude-sonnet-4.5:nitro", 3.0),
        ("vercel-ai-gateway", "anthropic/claude-sonnet-4-5-20250929", 3.0),
        ("deepseek", "deepseek-chat", 0.28),
        ("moonshot-cn", "kimi-k2-thinking", 0.6),
    ] {
        assert_eq!(input(provider, model), Some(dollars), "{provider}/{model}");
    }
    for (provider, model) in [
        ("openai", "gpt-5-made-up"),
        ("openai", "gpt"),
        ("openai", ""),
        ("openai-compatible", "gpt-5"),
        ("nobody", "gpt-5"),
        ("azure", "my-deployment"),
    ] {
        assert_eq!(input(provider, model), None, "{provider}/{model}");
    }
}

#[test]
fn every_bundled_row_prices_its_own_model() {
    let book = Book::default();
    for row in Table::bundled().rows().filter(|row| row.is_priced()) {
        let (provider, model) = row.key.split_once('/').unwrap();
        let (found, _) =
            book.listed(provider, model, None, |row| row.is_priced()).unwrap_or_else(|| panic!("{}", row.key));
        assert_eq!(found.key, row.key);
    }
}

#[test]
fn bedrock_rows_of_a_region_come_first() {
    let row = Table::bundled()
        .rows()
        .find(|row| row.key.starts_with("bedrock/us-") && row.is_priced() && row.key.matches('/').count() == 2);
    let row = row.expect("there are regional rows");
    let (region, model) = row.key.strip_prefix("bedrock/").unwrap().split_once('/').unwrap();
    let mut options = Map::new();
    options.insert("region".to_owned(), region.into());
    let quote = Book::default().quote(&Channel { options, ..channel("bedrock") }, model);
    assert!(quote.label.ends_with(row.key), "{} {}", quote.label, row.key);
}

#[test]
fn what_is_nearer_wins() {
    let own = |channel: Option<&str>, dollars: f64, version| OwnPrice {
        channel: channel.map(str::to_owned),
        model: "gpt-5".into(),
        price: price(json!({"input": dollars, "output": dollars})),
        version,
        at: 0,
        who: "test".into(),
    };
    let list =
        Imported::read(json!({"prices": {"openai/GPT-5": {"input": 2, "output": 2}}}).to_string().as_bytes()).unwrap();
    let imported = ImportedPrices {
        version: 3,
        at: 0,
        who: "test".into(),
        source: "myelin".into(),
        priced: 1,
        text: list.table("3").text().into(),
    };
    let mut data = PriceData::default();
    let told = ChannelModel::Renamed {
        name: "fast".into(),
        upstream: "gpt-5".into(),
        price: Some(price(json!({"input": 5}))),
    };
    let at = |data: &PriceData, channel: &Channel| {
        let quote = Book::new(Arc::new(data.clone())).quote(channel, "gpt-5");
        let cost = quote.estimate(1_000_000, 0, 0).map(|cost| cost.0 / 1_000_000);
        (cost, quote.origin, quote.label.clone())
    };
    let half = Channel { price_multiplier: Multiplier(500_000), ..channel("openai") };
    let (cost, origin, label) = at(&data, &half);
    assert_eq!((cost, origin), (Some(625), PriceOrigin::Bundled));
    assert!(label.ends_with("openai/gpt-5 x0.5"), "{label}");
    data.imported = Some(imported);
    assert_eq!(at(&data, &half), (Some(1_000), PriceOrigin::Imported, "import@3 openai/gpt-5 x0.5".into()));
    data.own.push(own(None, 3.0, 4));
    assert_eq!(at(&data, &half), (Some(1_500), PriceOrigin::Model, "set@4 gpt-5 x0.5".into()));
    data.own.push(own(Some("main"), 4.0, 5));
    // What is told for the channel itself is what it charges: no multiplier.
    assert_eq!(at(&data, &half), (Some(4_000), PriceOrigin::Deployment, "set@5 main/gpt-5".into()));
    assert_eq!(at(&data, &Channel { name: "other".into(), ..half.clone() }).0, Some(1_500));
    let told = Channel { models: Some(vec![told]), ..half };
    assert_eq!(at(&data, &told), (Some(5_000), PriceOrigin::Channel, "channel main/gpt-5".into()));
}

#[test]
fn what_sends_no_bill_is_free_and_what_is_not_known_is_not() {
    let quote = |provider: &str, model: &str| Book::default().quote(&channel(provider), model);
    for (provider, model) in [
        ("ollama", "llama3.1"),
        ("ollama", "something-of-mine"),
        ("vllm", "x"),
        ("zai-coding", "glm-4.7"),
        ("openrouter", "z-ai/glm-4.5-air:free"),
    ] {
        let quote = quote(provider, model);
        assert!(quote.free && quote.is_priced(), "{provider}/{model}: {quote:?}");
        assert_eq!(quote.estimate(1_000, 1_000, 0), Some(NanoUsd(0)));
    }
    let unknown = quote("openai-compatible", "x");
    assert!(!unknown.is_priced());
    assert_eq!(unknown.estimate(1, 1, 0), None);
}

#[test]
fn a_host_that_resells_takes_the_list_of_another() {
    let reseller = Channel { prices_of: Some("openai".into()), ..channel("openai-compatible") };
    let quote = Book::default().quote(&reseller, "gpt-5");
    assert_eq!(quote.price.rate(PriceClass::Output, 0, Service::Standard), Some(10_000_000));
}

#[test]
fn limits_and_abilities_are_told() {
    let book = Book::default();
    let limits = book.limits_of("anthropic", "claude-sonnet-4-5-20250929");
    assert_eq!((limits.context, limits.output, limits.tools), (Some(200_000), Some(64_000), Some(true)));
    assert!(limits.reads.contains(&"image"));
    assert!(book.limits_of("openai-compatible", "x").is_empty());
}

#[test]
fn names_without_end_are_not_remembered_without_end() {
    let book = Book::default();
    for number in 0..MOST_REMEMBERED + 100 {
        book.quote(&channel("openai"), &format!("made-up-{number}"));
    }
    assert_eq!(book.remembered.read().unwrap().values().map(HashMap::len).sum::<usize>(), MOST_REMEMBERED);
}

#[test]
fn off_peak_hours_of_the_bundled_list_hold() {
    let quote = Book::default().quote(&channel("deepseek"), "deepseek-v4-flash");
    let usage = Usage { input: Some(1_000_000), output: Some(0), ..Usage::default() };
    // Monday 2026-01-05: 02:00 is dear, 05:00 is cheap; Sunday is cheap all day.
    let cost = |at: u64| quote.bill(&usage, at).unwrap().total(Multiplier::ONE).0;
    let monday = 1_767_571_200_000;
    assert_eq!(cost(monday + 2 * 3_600_000), 300_000_000);
    assert_eq!(cost(monday + 5 * 3_600_000), 150_000_000);
    assert_eq!(cost(monday - 22 * 3_600_000), 150_000_000);
}
