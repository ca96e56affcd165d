//! `metadata.usage`: tokens as numbers, prices as strings.

use serde_json::{Map, Value, json};

use crate::formats::fields::set;
use crate::ir::Usage;

/// Reads the object. Prices count only where they are in dollars.
pub(super) fn read(raw: &Value) -> Usage {
    let count = |name: &str| raw.get(name).and_then(Value::as_u64);
    let in_dollars = raw.get("currency").and_then(Value::as_str) == Some("USD");
    let price = raw.get("total_price").and_then(|price| match price {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    Usage {
        input: count("prompt_tokens"),
        output: count("completion_tokens"),
        cost_usd: price.filter(|_| in_dollars),
        raw: Some(raw.into()),
        ..Usage::default()
    }
}

/// Writes the object for a client: a Dify app's own one as it was, else what is known. Prices that nobody told are left out.
pub(super) fn write(usage: &Usage) -> Option<Value> {
    if let Some(own) = usage.raw.as_ref().and_then(|raw| raw.with_any(&["prompt_unit_price"])) {
        return Some(own);
    }
    let mut out = Map::new();
    set(&mut out, "prompt_tokens", usage.input);
    set(&mut out, "completion_tokens", usage.output);
    set(&mut out, "total_tokens", usage.total());
    if let Some(cost) = &usage.cost_usd {
        out.insert("total_price".to_owned(), cost.clone().into());
        out.insert("currency".to_owned(), json!("USD"));
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_dollars_are_read() {
        let raw = json!({"prompt_tokens": 21, "prompt_unit_price": "0.15", "completion_tokens": 3, "total_tokens": 24,
            "total_price": "0.0000050", "currency": "USD"});
        let usage = read(&raw);
        assert_eq!((usage.input, usage.output, usage.cost_usd.as_deref()), (Some(21), Some(3), Some("0.0000050")));
        assert_eq!(write(&usage), Some(raw));
    }

    #[test]
    fn other_money_is_no_dollars_and_unknown_stays_unknown() {
        assert_eq!(read(&json!({"total_price": "3", "currency": "RMB"})).cost_usd, None);
        assert!(read(&json!({})).is_unknown());
        assert_eq!(write(&Usage::default()), None);
        let written = write(&Usage { input: Some(2), ..Usage::default() }).unwrap();
        assert_eq!(written, json!({"prompt_tokens": 2}));
    }
}
