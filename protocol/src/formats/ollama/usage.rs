//! Counters: `prompt_eval_count` (absent when the whole prompt was cached: unknown, not zero) and `eval_count`.

use serde_json::{Map, Value};

use crate::envelope::Envelope;
use crate::formats::fields::{Fields, set};
use crate::ir::Usage;

const INPUT: &str = "prompt_eval_count";
const OUTPUT: &str = "eval_count";

/// Takes the counters out of a line. What is no count is unknown.
pub(super) fn take(fields: &mut Fields<'_>) -> Option<Usage> {
    counted([INPUT, OUTPUT].iter().filter_map(|name| Some(((*name).to_owned(), fields.take(name)?))).collect())
}

/// Reads nothing but the counters of a whole answer.
pub(super) fn peek(answer: &Envelope) -> Option<Usage> {
    let told = |name: &&str| Some(((*name).to_owned(), serde_json::from_slice(answer.raw(name)?).ok()?));
    counted([INPUT, OUTPUT].iter().filter_map(told).filter(|(_, value): &(_, Value)| !value.is_null()).collect())
}

fn counted(raw: Map<String, Value>) -> Option<Usage> {
    if raw.is_empty() {
        return None;
    }
    let count = |name: &str| raw.get(name).and_then(Value::as_u64);
    let (input, output) = (count(INPUT), count(OUTPUT));
    Some(Usage { input, output, raw: Some(Value::Object(raw).into()), ..Usage::default() })
}

/// Writes the counters into the last line.
pub(super) fn write(usage: &Usage, line: &mut Map<String, Value>) {
    set(line, INPUT, usage.input);
    set(line, OUTPUT, usage.output);
}
