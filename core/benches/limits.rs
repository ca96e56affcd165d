//! What reserving and settling costs a request, in nanoseconds. `cargo bench -p myelin-core --bench limits` runs it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use myelin_core::limits::{Amounts, Caller, Limiter};
use myelin_core::model::{Entities, Limit, LimitSpec, Origin, VirtualKey};

const NOW: u64 = 1_800_000_000_000;

fn limits(specs: serde_json::Value) -> Vec<Limit> {
    let specs: Vec<LimitSpec> = serde_json::from_value(specs).unwrap_or_default();
    specs.into_iter().filter_map(|spec| spec.into_limit("limits", Origin::Store).ok()).collect()
}

fn reserve(c: &mut Criterion) {
    let key: VirtualKey = match serde_json::from_value(serde_json::json!({
        "id": "key_a", "name": "a", "hash": "", "hint": "", "created": 0,
    })) {
        Ok(key) => key,
        Err(why) => {
            eprintln!("no key: {why}");
            return;
        }
    };
    let cases = [
        ("none", serde_json::json!([])),
        ("one", serde_json::json!([{"name": "rpm", "on": "gateway", "requests": 1_000_000_000, "per": "minute"}])),
        (
            "eight",
            serde_json::json!([
                {"name": "rpm", "on": "gateway", "requests": 1_000_000_000, "per": "minute"},
                {"name": "tpm", "on": "gateway", "tokens": 1_000_000_000_000_u64, "per": "minute"},
                {"name": "month", "on": "gateway", "money": 1_000_000, "per": "month", "zone": "UTC"},
                {"name": "flights", "on": "gateway", "parallel": 1_000_000},
                {"name": "key rpm", "on": "key:a", "requests": 1_000_000_000, "per": "1h"},
                {"name": "key tpm", "on": "key:a", "tokens": 1_000_000_000_000_u64, "per": "day", "zone": "UTC"},
                {"name": "key money", "on": "key:a", "money": 1_000_000, "per": "7d"},
                {"name": "model", "on": "model:m*", "requests": 1_000_000_000, "per": "5h"},
            ]),
        ),
    ];
    for (name, specs) in cases {
        let entities = Entities { limits: limits(specs), keys: vec![key.clone()], ..Entities::default() };
        let (table, _) = Limiter::default().compile(&entities, NOW);
        let caller = Caller { key: "key_a", model: "m", ..Caller::default() };
        let need = Amounts { requests: 1, tokens: 5_000, money: 1_000_000 };
        let mut now = NOW;
        c.bench_function(&format!("find, reserve and settle, limits: {name}"), |bench| {
            bench.iter(|| {
                now += 1;
                let chain = table.for_caller(black_box(caller));
                match chain.reserve(&need, now, None) {
                    Ok(reservation) => drop(black_box(reservation.settle(&need, now))),
                    Err(_) => eprintln!("refused"),
                }
            });
        });
    }
}

criterion_group!(benches, reserve);
criterion_main!(benches);
