//! Sources that stand in the envelope and not at the text: `search_results` (Perplexity) and `citations` (Perplexity, xAI). They become citations
//! of the text, so that other formats can show them; the fields themselves stay with Chat clients.

use serde_json::Value;

use super::response::annotation;
use super::wire::{FORMAT, Object};
use crate::ir::{Citation, Content, Extras, Part};

/// What the envelope of an answer names, in order.
pub(super) fn of_envelope(fields: &Object) -> Vec<Citation> {
    let list = |name: &str| fields.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let results: Vec<Citation> = list("search_results").iter().filter_map(result).collect();
    if !results.is_empty() {
        return results;
    }
    list("citations").iter().filter_map(|entry| entry.as_str().map(address).or_else(|| result(entry))).collect()
}

fn result(entry: &Value) -> Option<Citation> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let citation = Citation { title: text("title"), cited_text: text("snippet"), ..address(&text("url")?) };
    Some(as_annotation(citation))
}

fn address(url: &str) -> Citation {
    as_annotation(Citation { url: Some(url.to_owned()), ..Citation::default() })
}

/// Carries its own form in Chat, as if the host had sent that.
fn as_annotation(citation: Citation) -> Citation {
    let plain = Citation { extras: Extras::NONE, ..citation };
    let own = match annotation(&plain, 0) {
        Value::Object(fields) => Extras::new(FORMAT, fields),
        _ => Extras::NONE,
    };
    Citation { extras: own, ..plain }
}

/// Gives the sources to the last text, unless the host did so itself.
pub(super) fn attach(parts: &mut [Part], sources: Vec<Citation>) {
    let texts =
        || parts.iter().filter_map(|part| if let Content::Text(text) = &part.content { Some(text) } else { None });
    if texts().any(|text| !text.citations.is_empty()) {
        return;
    }
    let last = parts.iter_mut().rev().find_map(|part| match &mut part.content {
        Content::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = last {
        text.citations = sources;
    }
}
