//! Counters: `prompt_eval_count` (absent when the whole prompt was cached: unknown, not zero) and `eval_count`.

use serde_json::{Map, Value};

use crate::formats::fields::{Fields, set};
use crate::ir::Usage;

const INPUT: &str = "prompt_eval_count";
const OUTPUT: &str = "eval_count";

/// Takes the counters out of a line. What is no count is unknown.
pub(super) fn take(fields: &mut Fields<'_>) -> Option<Usage> {
    let raw: Map<String, Value> =
        [INPUT, OUTPUT].iter().filter_map(|name| Some(((*name).to_owned(), fields.take(name)?))).collect();
    if raw.is_empty() {
        return None;
    }
    let count = |name: &str| raw.get(name).and_then(Value::as_u64);
    Some(Usage {
        input: count(INPUT),
        output: count(OUTPUT),
        raw: Some(Value::Object(raw.clone())),
        ..Usage::default()
    })
}

/// Writes the counters into the last line.
pub(super) fn write(usage: &Usage, line: &mut Map<String, Value>) {
    set(line, INPUT, usage.input);
    set(line, OUTPUT, usage.output);
}
