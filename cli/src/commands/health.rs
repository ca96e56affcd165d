//! `myelin channel health`: what is out of rotation, why, and until when.

use serde_json::Value;

use crate::output::{self, list, text, time};

/// Shows all channels, or one.
pub(super) fn show(answer: &Value, name: Option<&str>) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for channel in list(answer, "/channels") {
        let own = text(channel, "/channel");
        if name.is_some_and(|name| name != own) {
            continue;
        }
        let off = channel.pointer("/serving") == Some(&Value::Bool(false));
        let state = if off { "off".to_owned() } else { text(channel, "/state") };
        rows.push(vec![own.clone(), state, String::new(), String::new(), String::new()]);
        for trouble in list(channel, "/troubles") {
            rows.push(row(&own, trouble));
        }
        // Those that were only planned with have nothing to tell.
        let asked = |model: &&Value| ["/calls", "/in_flight"].iter().any(|count| text(model, count) != "0");
        for model in list(channel, "/models").iter().filter(asked) {
            rows.push(numbers(&own, model));
        }
    }
    output::table(&["channel", "state", "until", "why", ""], &rows)
}

fn row(channel: &str, trouble: &Value) -> Vec<String> {
    let model = text(trouble, "/model");
    let credential = trouble.pointer("/credential").and_then(Value::as_u64);
    let mut what = if model == "-" { channel.to_owned() } else { format!("{channel}/{model}") };
    if let Some(operation) = trouble.pointer("/operation").and_then(Value::as_str) {
        what.push_str(&format!(" for {operation}"));
    }
    if let Some(position) = credential {
        what.push_str(&format!(" credential {}", position + 1));
    }
    let until = match trouble.pointer("/breaker/until").and_then(Value::as_u64) {
        Some(at) => time(at),
        None if text(trouble, "/breaker/state") == "open" => "it is reset".to_owned(),
        None => String::new(),
    };
    vec![
        format!("  {what}"),
        text(trouble, "/breaker/state"),
        until,
        text(trouble, "/reason"),
        text(trouble, "/breaker/words"),
    ]
}

fn numbers(channel: &str, model: &Value) -> Vec<String> {
    let ms = |pointer: &str| model.pointer(pointer).and_then(Value::as_f64).map(|ms| format!("{ms:.0} ms"));
    let times = [("first token", ms("/first_token_ms")), ("answer", ms("/answer_ms"))];
    let times = times.into_iter().filter_map(|(name, ms)| Some(format!("{name} {}", ms?)));
    let calls = format!("{} of {} failed in 5 min", text(model, "/failures"), text(model, "/calls"));
    let busy = format!("{} under way", text(model, "/in_flight"));
    let words = std::iter::once(calls).chain(times).collect::<Vec<_>>().join(", ");
    let mut what = format!("  {channel}/{}", text(model, "/model"));
    if let Some(operation) = model.pointer("/operation").and_then(Value::as_str) {
        what.push_str(&format!(" for {operation}"));
    }
    vec![what, busy, String::new(), words, String::new()]
}
