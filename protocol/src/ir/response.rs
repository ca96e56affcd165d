//! A whole answer.

use super::{Extras, Finish, Part, Usage};

/// A whole answer, or a folded stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatResponse {
    /// The provider's id.
    pub id: Option<String>,
    /// The model that answered, in the provider's words.
    pub model: Option<String>,
    /// Seconds since 1970.
    pub created: Option<u64>,
    /// The answers, by index. Formats with only one have one.
    pub choices: Vec<Choice>,
    /// What it took.
    pub usage: Option<Usage>,
    /// Fields of the body that the model has no word for.
    pub extras: Extras,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// What was said, in order.
    pub parts: Vec<Part>,
    /// How it ended. `None` only in a folded stream that was cut.
    pub finish: Option<Finish>,
    /// Fields of the choice that the model has no word for (`logprobs`, `content_filter_results` …).
    pub extras: Extras,
}

impl ChatResponse {
    /// The first answer, which is the only one for most formats.
    pub fn first(&self) -> Option<&Choice> {
        self.choices.first()
    }
}
