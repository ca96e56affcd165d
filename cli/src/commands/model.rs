//! `myelin model list`: what can be asked for.

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, list, text};

/// Shows it.
pub(crate) fn run(place: &Place) -> anyhow::Result<()> {
    let answer = Carrier::open(place)?.get("/api/v1/models")?;
    if place.json {
        return output::json(&answer);
    }
    let row = |model: &serde_json::Value| {
        let by = if model.pointer("/routed").and_then(serde_json::Value::as_bool) == Some(true) { "route" } else { "" };
        let channels = text(model, "/channels");
        let by = [by, channels.as_str()]
            .iter()
            .filter(|part| !part.is_empty() && **part != "-")
            .copied()
            .collect::<Vec<_>>();
        vec![text(model, "/name"), if by.is_empty() { "built in".to_owned() } else { by.join(": ") }]
    };
    let rows: Vec<_> = list(&answer, "/models").iter().map(row).collect();
    output::table(&["model", "by"], &rows)
}
