//! `groundingMetadata` and `citationMetadata` ↔ citations.
//!
//! Gemini counts **bytes** from the start of the visible text of a candidate; the unified model counts characters from the start of a text part.

use serde_json::{Map, Value, json};

use crate::ir::{Citation, Extras};

/// One supported passage: bytes of the visible text, and its source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Support {
    start: u64,
    end: u64,
    url: Option<String>,
    title: Option<String>,
    cited_text: Option<String>,
}

/// A hostile answer must not multiply supports by chunks without bound.
const MOST_SUPPORTS: usize = 10_000;

/// The passages that `groundingMetadata` tells of, one for each source of each segment.
pub(super) fn read_grounding(grounding: &Value) -> Vec<Support> {
    let chunks = grounding.get("groundingChunks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let supports = grounding.get("groundingSupports").and_then(Value::as_array).into_iter().flatten();
    let mut found = Vec::new();
    for support in supports {
        let Some(segment) = support.get("segment") else { continue };
        let start = segment.get("startIndex").and_then(Value::as_u64).unwrap_or(0);
        let Some(end) = segment.get("endIndex").and_then(Value::as_u64) else { continue };
        let indices = support.get("groundingChunkIndices").and_then(Value::as_array).into_iter().flatten();
        for chunk in indices.filter_map(Value::as_u64).filter_map(|index| chunks.get(usize::try_from(index).ok()?)) {
            let Some(source) = ["web", "retrievedContext", "maps"].iter().find_map(|kind| chunk.get(*kind)) else {
                continue;
            };
            let word = |name: &str| source.get(name).and_then(Value::as_str).map(str::to_owned);
            found.push(Support { start, end, url: word("uri"), title: word("title"), cited_text: word("text") });
            if found.len() >= MOST_SUPPORTS {
                return found;
            }
        }
    }
    found
}

/// The passages that `citationMetadata` tells of (text that was recited).
pub(super) fn read_citations(metadata: &Value) -> Vec<Support> {
    let sources = ["citationSources", "citations"].iter().find_map(|name| metadata.get(*name)?.as_array());
    let sources = sources.into_iter().flatten().take(MOST_SUPPORTS);
    let read = |source: &Value| {
        let word = |name: &str| source.get(name).and_then(Value::as_str).map(str::to_owned);
        let start = source.get("startIndex").and_then(Value::as_u64).unwrap_or(0);
        let end = source.get("endIndex").and_then(Value::as_u64)?;
        Some(Support { start, end, url: word("uri"), title: word("title"), cited_text: None })
    };
    sources.filter_map(read).collect()
}

/// The citations of a text part that begins `base` bytes into the visible text.
pub(super) fn citations_of(supports: &[Support], text: &str, base: u64) -> Vec<Citation> {
    let end = base.saturating_add(text.len() as u64);
    let inside =
        supports.iter().filter(|support| support.start >= base && support.start < end && support.end > support.start);
    inside
        .map(|support| Citation {
            url: support.url.clone(),
            title: support.title.clone(),
            cited_text: support.cited_text.clone(),
            start: Some(characters(text, support.start - base)),
            end: Some(characters(text, support.end.min(end) - base)),
            extras: Extras::NONE,
        })
        .collect()
}

/// How many characters begin in the first `bytes` bytes.
fn characters(text: &str, bytes: u64) -> u64 {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    text.char_indices().take_while(|(at, _)| *at < bytes).count() as u64
}

/// How many bytes the first `characters` characters take.
fn bytes(text: &str, characters: u64) -> usize {
    let characters = usize::try_from(characters).unwrap_or(usize::MAX);
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

/// Collects citations of other providers for the `groundingMetadata` of one candidate.
#[derive(Debug, Default)]
pub(super) struct Grounding {
    chunks: Vec<Value>,
    supports: Vec<Value>,
}

impl Grounding {
    /// Adds a citation of a text part that begins `base` bytes into the visible text.
    pub(super) fn add(&mut self, citation: &Citation, text: &str, base: usize) {
        let chunk = chunk_of(citation);
        let index = self.chunks.iter().position(|known| *known == chunk).unwrap_or_else(|| {
            self.chunks.push(chunk);
            self.chunks.len() - 1
        });
        // Without places the citation stands for the whole text.
        let from = citation.start.map_or(0, |start| bytes(text, start));
        let to = citation.end.map_or(text.len(), |end| bytes(text, end)).max(from);
        let mut segment = Map::new();
        if base + from > 0 {
            segment.insert("startIndex".to_owned(), (base + from).into());
        }
        segment.insert("endIndex".to_owned(), (base + to).into());
        segment.insert("text".to_owned(), text.get(from..to).unwrap_or_default().into());
        let segment = Value::Object(segment);
        for support in &mut self.supports {
            if support.get("segment") == Some(&segment) {
                if let Some(indices) = support.get_mut("groundingChunkIndices").and_then(Value::as_array_mut) {
                    indices.push(index.into());
                }
                return;
            }
        }
        self.supports.push(json!({"segment": segment, "groundingChunkIndices": [index]}));
    }

    /// The object as it is by now, if there is anything to tell.
    pub(super) fn told(&self) -> Option<Value> {
        (!self.chunks.is_empty()).then(|| json!({"groundingChunks": self.chunks, "groundingSupports": self.supports}))
    }
}

fn chunk_of(citation: &Citation) -> Value {
    let mut source = Map::new();
    let mut put = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            source.insert(name.to_owned(), value.clone().into());
        }
    };
    put("uri", &citation.url);
    put("title", &citation.title);
    // A page of the web has no text of its own in this format, a document has.
    if citation.cited_text.is_some() {
        put("text", &citation.cited_text);
        return json!({ "retrievedContext": source });
    }
    json!({ "web": source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_the_wire_are_characters_of_the_part() {
        let grounding = json!({
            "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
            "groundingSupports": [
                {"segment": {"endIndex": 6, "text": "Grüß"}, "groundingChunkIndices": [0, 1]},
                {"segment": {"startIndex": 7, "endIndex": 11}, "groundingChunkIndices": [1, 9]},
                {"segment": {"startIndex": 90, "endIndex": 99}, "groundingChunkIndices": [0]}
            ]
        });
        let supports = read_grounding(&grounding);
        let found = citations_of(&supports, "Grüß dich 👋", 0);
        let places: Vec<_> = found.iter().map(|one| (one.url.as_deref(), one.start, one.end)).collect();
        assert_eq!(
            places,
            [
                (Some("https://a"), Some(0), Some(4)),
                (Some("https://b"), Some(0), Some(4)),
                (Some("https://b"), Some(5), Some(9))
            ]
        );
        assert_eq!(citations_of(&supports, "x", 7).len(), 1, "clipped to its part");
    }

    #[test]
    fn citations_come_back_as_they_were() {
        let text = "Grüß dich 👋 hier";
        let citation = |url: &str, start, end| Citation {
            url: Some(url.into()),
            title: Some("T".into()),
            start: Some(start),
            end: Some(end),
            ..Citation::default()
        };
        let citations = [citation("https://a", 0, 4), citation("https://b", 0, 4), citation("https://a", 10, 11)];
        let mut grounding = Grounding::default();
        for one in &citations {
            grounding.add(one, text, 3);
        }
        let wire = grounding.told().unwrap();
        assert_eq!(wire["groundingChunks"].as_array().unwrap().len(), 2);
        assert_eq!(wire["groundingSupports"][1]["segment"]["text"], "👋");
        assert_eq!(citations_of(&read_grounding(&wire), text, 3), citations);
    }
}
