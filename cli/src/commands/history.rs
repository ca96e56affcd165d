//! `myelin history`: every change of what is configured, and taking changes back.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, list, plain, text, time};

/// What was changed, when and by whom; taking changes back.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    #[command(subcommand)]
    action: Option<Action>,
    /// How many changes to list.
    #[arg(short, long, default_value_t = 30)]
    number: usize,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// What one change did: before and after.
    Show {
        /// Its number.
        id: u64,
    },
    /// Take a change back: what it touched becomes what it was. Undoing the undo redoes it.
    Undo {
        /// Its number.
        id: u64,
    },
}

/// Largest page of the API.
const PAGE: usize = 1_000;

/// Does it.
pub(crate) fn run(place: &Place, history: &History) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    match history.action {
        None => changes(place, &carrier, history.number),
        Some(Action::Show { id }) => {
            let change = carrier.get(&format!("/api/v1/changes/{id}"))?;
            if place.json { output::json(&change) } else { show(&change) }
        }
        Some(Action::Undo { id }) => {
            let done = carrier.post(&format!("/api/v1/changes/{id}/undo"), &json!({}))?;
            if place.json {
                return output::json(&done);
            }
            output::warnings(&done);
            output::line(&format!(
                "change {id} is taken back; `myelin history` shows the undo, which can be undone too"
            ))
        }
    }
}

fn changes(place: &Place, carrier: &Carrier, number: usize) -> anyhow::Result<()> {
    let mut found: Vec<Value> = Vec::new();
    let mut before = String::new();
    while found.len() < number {
        let limit = (number - found.len()).min(PAGE);
        let page = carrier.get(&format!("/api/v1/changes?limit={limit}{before}"))?;
        let changes = list(&page, "/changes");
        found.extend_from_slice(changes);
        match changes.last().and_then(|last| last.pointer("/id")).and_then(Value::as_u64) {
            Some(last) if changes.len() == limit => before = format!("&before={last}"),
            _ => break,
        }
    }
    if place.json {
        return output::json(&json!({ "changes": found }));
    }
    let row = |change: &Value| {
        let at = time(change.pointer("/at").and_then(Value::as_u64).unwrap_or_default());
        let undo = change.pointer("/undoable").and_then(Value::as_bool).unwrap_or_default();
        let mut row = vec![text(change, "/id"), at];
        row.extend(["/who", "/what", "/name", "/detail"].map(|at| text(change, at)));
        row.push(if undo { "yes" } else { "-" }.to_owned());
        row
    };
    output::table(&["id", "when", "who", "what", "name", "more", "undo"], &found.iter().map(row).collect::<Vec<_>>())
}

fn show(change: &Value) -> anyhow::Result<()> {
    let at = time(change.pointer("/at").and_then(Value::as_u64).unwrap_or_default());
    let head = ["/what", "/name"].map(|at| text(change, at)).join(" ");
    output::line(&plain(&format!("{} {at}  {}  {head}", text(change, "/id"), text(change, "/who"))))?;
    if let Some(detail) = change.pointer("/detail").and_then(Value::as_str) {
        output::line(&plain(&format!("  {detail}")))?;
    }
    if let Some(why) = change.pointer("/final_because").and_then(Value::as_str) {
        output::line(&plain(&format!("  cannot be taken back: {why}")))?;
    }
    for thing in list(change, "/things") {
        let (before, after) = (thing.pointer("/before"), thing.pointer("/after"));
        let verb = match (before, after) {
            (None, _) => "new",
            (_, None) => "removed",
            _ => "changed",
        };
        let secrets = thing.pointer("/secrets").and_then(Value::as_bool).unwrap_or_default();
        let more = if secrets { " (secrets too)" } else { "" };
        output::line(&plain(&format!("{verb} {} {}{more}", text(thing, "/kind"), text(thing, "/name"))))?;
        for line in differences(before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null)) {
            output::line(&plain(&format!("  {line}")))?;
        }
    }
    Ok(())
}

/// `field: before → after`, for what differs.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let none = serde_json::Map::new();
    let (Some(old), Some(new)) = (
        before.as_object().or(before.is_null().then_some(&none)),
        after.as_object().or(after.is_null().then_some(&none)),
    ) else {
        return vec![format!("{before} → {after}")];
    };
    let added = new.keys().filter(|name| !old.contains_key(*name));
    let names = old.keys().chain(added).filter(|name| old.get(*name) != new.get(*name));
    let word = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), Value::to_string);
    names.map(|name| format!("{name}: {} → {}", word(old.get(name)), word(new.get(name)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let before = json!({"a": 1, "b": [2], "c": 3});
        let after = json!({"a": 1, "b": [2, 3], "d": "x"});
        assert_eq!(differences(&before, &after), ["b: [2] → [2,3]", "c: 3 → -", "d: - → \"x\""]);
        assert_eq!(differences(&Value::Null, &json!({"a": 1})), ["a: - → 1"]);
        assert_eq!(differences(&json!(1), &json!(2)), ["1 → 2"]);
    }
}
