//! A request as routing sees it: answers are found when they are asked for, and the tree is built only for those that need it.

use http::HeaderMap;
use myelin_protocol::ir::{ChatRequest, Content, MediaKind, Part};
use myelin_protocol::{ApiFormat, tokens};
use serde_json::Value;

use super::ask::Ask;
use crate::routing::Query;

/// Header that names tags, separated by commas.
pub(super) const TAGS_HEADER: &str = "x-myelin-tags";

/// What there is of the body.
pub(crate) enum Body<'a> {
    /// A conversation as it came.
    Ask(&'a mut Ask),
    /// A conversation as a tree.
    Tree(&'a ChatRequest),
    /// Texts, so many bytes of them.
    Texts(usize),
    /// Not there yet. `true`: something of it was asked for.
    Arriving(bool),
}

/// A request as routing sees it.
pub(crate) struct Sight<'a> {
    pub(crate) now_ms: u64,
    pub(crate) tool: Option<&'a str>,
    pub(crate) format: &'a str,
    pub(crate) stream: bool,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Body<'a>,
    /// Counted once.
    pub(crate) counted: Option<u64>,
}

impl Sight<'_> {
    fn tree<T>(&mut self, look: impl FnOnce(&ChatRequest) -> T) -> Option<T> {
        match &mut self.body {
            // A body that cannot be read is refused later, in the words of its format.
            Body::Ask(ask) => ask.tree().ok().map(|tree| look(&tree)),
            Body::Tree(tree) => Some(look(tree)),
            Body::Texts(_) => None,
            Body::Arriving(needed) => {
                *needed = true;
                None
            }
        }
    }

    /// The format of a conversation.
    pub(crate) fn format_of_body(&self) -> Option<ApiFormat> {
        match &self.body {
            Body::Ask(ask) => Some(ask.format),
            Body::Tree(_) | Body::Texts(_) | Body::Arriving(_) => None,
        }
    }

    fn metadata_value(&mut self, name: &str) -> Option<Value> {
        match &mut self.body {
            Body::Ask(ask) => {
                let metadata: Value = serde_json::from_slice(ask.whole()?.raw("metadata")?).ok()?;
                metadata.get(name).cloned()
            }
            Body::Tree(tree) => tree.metadata.as_ref()?.get(name).cloned(),
            Body::Texts(_) => None,
            Body::Arriving(needed) => {
                *needed = true;
                None
            }
        }
    }
}

impl Query for Sight<'_> {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn tool(&self) -> Option<&str> {
        self.tool
    }

    fn format(&self) -> &str {
        self.format
    }

    fn stream(&self) -> bool {
        self.stream
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn metadata(&mut self, name: &str) -> Option<String> {
        Some(match self.metadata_value(name)? {
            Value::String(text) => text,
            other => other.to_string(),
        })
    }

    fn tokens(&mut self) -> u64 {
        if let Some(counted) = self.counted {
            return counted;
        }
        let counted = match self.body {
            // Between three and four bytes a token, as most tokenizers have it.
            Body::Texts(bytes) => (bytes as u64).div_ceil(3),
            _ => self.tree(tokens::estimate).unwrap_or_default(),
        };
        self.counted = Some(counted);
        counted
    }

    fn max_output(&mut self) -> Option<u64> {
        match &mut self.body {
            Body::Ask(ask) => ask.whole()?.max_tokens(),
            Body::Tree(tree) => tree.max_tokens,
            Body::Texts(_) => Some(0),
            Body::Arriving(needed) => {
                *needed = true;
                None
            }
        }
    }

    fn images(&mut self) -> bool {
        self.tree(|tree| tree.messages.iter().flat_map(|message| &message.parts).any(shows)).unwrap_or(false)
    }

    fn thinking(&mut self) -> bool {
        let thinks = |tree: &ChatRequest| {
            tree.reasoning.as_ref().is_some_and(|reasoning| {
                let word = reasoning.effort.is_some_and(|effort| effort != myelin_protocol::ir::Effort::None);
                reasoning.enabled.unwrap_or(word || reasoning.budget.is_some_and(|budget| budget > 0))
            })
        };
        self.tree(thinks).unwrap_or(false)
    }

    fn tags(&mut self) -> Vec<String> {
        if let Some(header) = self.header(TAGS_HEADER) {
            return tags_in(header);
        }
        match self.metadata_value("tags") {
            Some(Value::Array(tags)) => tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
            Some(Value::String(text)) => tags_in(&text),
            _ => Vec::new(),
        }
    }
}

/// Tags that stand in one text, separated by commas.
pub(super) fn tags_in(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn shows(part: &Part) -> bool {
    match &part.content {
        Content::Media(media) => media.kind == MediaKind::Image,
        Content::ToolResult(result) => result.content.iter().any(shows),
        _ => false,
    }
}
