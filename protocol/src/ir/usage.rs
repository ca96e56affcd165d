//! Tokens by class, in one normal form.
//!
//! | source | input total | cache inside? | output total | reasoning inside? |
//! |---|---|---|---|---|
//! | OpenAI chat, Responses | `prompt_tokens` / `input_tokens` | yes | `completion_tokens` / `output_tokens` | yes |
//! | Anthropic, Bedrock Converse | `input + cache_creation + cache_read` | **no, added here** | `output_tokens` | yes |
//! | Gemini, Vertex | `promptTokenCount + toolUsePromptTokenCount` | yes | `candidates + thoughts` | **no, added here** |
//! | xAI chat | `prompt_tokens` | yes | `completion + reasoning` | **no, added here** |
//! | Ollama | `prompt_eval_count` | – | `eval_count` | yes |
//!
//! `None` is "unknown", never zero: an absent counter stays absent and a reported zero stays zero.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Token counters of one answer. All counts are tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Everything that was read, cache reads and writes included.
    pub input: Option<u64>,
    /// Part of `input` that came from the provider's prompt cache.
    pub cache_read: Option<u64>,
    /// Part of `input` that was written to the prompt cache, all lifetimes together.
    pub cache_write: Option<u64>,
    /// Part of `cache_write` with the one-hour lifetime.
    pub cache_write_1h: Option<u64>,
    /// Part of `input` that was audio.
    pub audio_input: Option<u64>,
    /// Part of `input` that was images.
    pub image_input: Option<u64>,
    /// Everything that was written, reasoning included.
    pub output: Option<u64>,
    /// Part of `output` that was reasoning.
    pub reasoning: Option<u64>,
    /// Part of `output` that was audio.
    pub audio_output: Option<u64>,
    /// Part of `output` that was images.
    pub image_output: Option<u64>,
    /// Server-side web searches, which are billed per call.
    pub web_searches: Option<u64>,
    /// What is billed where no tokens are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// What the provider says that the call cost, in US dollars as it wrote them (OpenRouter, Dify, xAI ticks converted).
    pub cost_usd: Option<String>,
    /// The service tier that answered (`priority`, `flex`, `batch`), where the provider tells.
    pub service_tier: Option<String>,
    /// The provider's own usage object, untouched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawUsage>,
}

/// A provider's own usage object, as JSON text: it is kept with every answer and hardly ever looked into.
#[derive(Debug, Clone)]
pub struct RawUsage(Box<str>);

impl RawUsage {
    /// Text that was read as JSON already.
    pub(crate) fn of_text(text: &[u8]) -> Option<Self> {
        std::str::from_utf8(text).ok().map(|text| Self(text.into()))
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The object as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The tree, if the object has one of these fields. What has none of their names is not parsed.
    pub(crate) fn with_any(&self, names: &[&str]) -> Option<Value> {
        if !names.iter().any(|name| self.0.contains(name)) {
            return None;
        }
        Some(self.value()).filter(|value| names.iter().any(|name| value.get(name).is_some()))
    }
}

impl From<&Value> for RawUsage {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Value> for RawUsage {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

/// White space makes no difference.
impl PartialEq for RawUsage {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.value() == other.value()
    }
}

impl Serialize for RawUsage {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(output),
            Err(_) => output.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for RawUsage {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Value::deserialize(input).map(Self::from)
    }
}

/// What is billed where no tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Pictures that were made.
    Images(u64),
    /// Seconds of sound that were read, rounded up.
    Seconds(u64),
    /// Characters that were read aloud.
    Characters(u64),
    /// Searches of a reranker, as its provider bills them.
    Searches(u64),
}

impl Units {
    /// How many.
    pub fn count(self) -> u64 {
        match self {
            Self::Images(count) | Self::Seconds(count) | Self::Characters(count) | Self::Searches(count) => count,
        }
    }
}

impl Usage {
    /// Input that was neither read from nor written to the cache; never below zero even if a provider counts oddly.
    pub fn uncached_input(&self) -> Option<u64> {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        self.input.map(|input| input.saturating_sub(cached))
    }

    /// Input and output together, if both are known.
    pub fn total(&self) -> Option<u64> {
        Some(self.input?.saturating_add(self.output?))
    }

    /// No answer counts more of anything: a counter beyond it tells nothing.
    pub const MOST: u64 = 1 << 40;

    /// Takes counters that no answer can have for unknown.
    pub fn drop_absurd(&mut self) {
        let counters = [
            &mut self.input,
            &mut self.cache_read,
            &mut self.cache_write,
            &mut self.cache_write_1h,
            &mut self.audio_input,
            &mut self.image_input,
            &mut self.output,
            &mut self.reasoning,
            &mut self.audio_output,
            &mut self.image_output,
            &mut self.web_searches,
        ];
        counters.into_iter().for_each(|counter| *counter = counter.filter(|count| *count <= Self::MOST));
        self.units = self.units.filter(|units| units.count() <= Self::MOST);
    }

    /// Whether no counter is known.
    pub fn is_unknown(&self) -> bool {
        self.input.is_none() && self.output.is_none() && self.units.is_none()
    }

    /// Counts another answer's tokens too: for one answer that several calls gave. What only one of them knows is no longer known; what the providers
    /// said of one call (cost, tier, their own object) goes.
    pub fn add(&mut self, other: &Usage) {
        macro_rules! sum {
            ($($field:ident),*) => {
                $( self.$field = self.$field.zip(other.$field).map(|(a, b)| a.saturating_add(b)); )*
            };
        }
        sum!(input, output);
        macro_rules! sum_known {
            ($($field:ident),*) => { $(
                self.$field = match (self.$field, other.$field) {
                    (None, None) => None,
                    (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
                };
            )* };
        }
        sum_known!(
            cache_read,
            cache_write,
            cache_write_1h,
            audio_input,
            image_input,
            reasoning,
            audio_output,
            image_output,
            web_searches
        );
        self.cost_usd = None;
        self.service_tier = None;
        self.raw = None;
    }

    /// Takes every field that `newer` knows; keeps the rest. For formats that report cumulative counters in pieces
    /// (Anthropic `message_start` then `message_delta`): fields are replaced, never added.
    pub fn update(&mut self, newer: Usage) {
        macro_rules! take {
            ($($field:ident),*) => { $( if newer.$field.is_some() { self.$field = newer.$field; } )* };
        }
        take!(
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            audio_input,
            image_input,
            output,
            reasoning,
            audio_output,
            image_output,
            web_searches,
            units,
            cost_usd,
            service_tier,
            raw
        );
    }
}
