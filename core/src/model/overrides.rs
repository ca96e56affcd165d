//! Overrides: changes that an owner wants in requests to a provider and in answers from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One set of changes with the condition under which they are made. Order within one: rename, copy, delete, default, set, prepend, append.
///
/// Body fields are named by path: `temperature`, `metadata.user`, `messages[0].role`, `messages.*.name`, or a JSON pointer (`/metadata/user`).
/// Texts may hold templates: `{{model}}`, `{{upstream}}`, `{{tool}}`, `{{key}}`, `{{header.x-team}}`, `{{body.metadata.user|nobody}}` …
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// What is changed.
    pub on: OverrideSide,
    /// Only if this holds; absent: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// Body fields that move: from, to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Body fields that are written to a second place too: from, to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub copy: BTreeMap<String, String>,
    /// Body fields that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<String>,
    /// Body fields that are set if they are absent.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub default: Map<String, Value>,
    /// Body fields that are set.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub set: Map<String, Value>,
    /// Values put in front of lists.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub prepend: Map<String, Value>,
    /// Values put behind lists.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub append: Map<String, Value>,
    /// Headers.
    #[serde(skip_serializing_if = "HeaderChanges::is_empty")]
    pub headers: HeaderChanges,
}

/// Which way an override looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideSide {
    /// What goes to the provider.
    #[default]
    Request,
    /// What comes from it: whole answers, and every event of a stream.
    Response,
}

/// Changes of headers. Order: rename, copy, delete, default, set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderChanges {
    /// From, to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// From, to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub copy: BTreeMap<String, String>,
    /// Headers that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<String>,
    /// Headers that are set if they are absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub default: BTreeMap<String, String>,
    /// Headers that are set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

impl HeaderChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When something holds. Everything that is given must hold; names are texts or lists of texts, with `*` as a wildcard.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    /// The model that was asked for.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub model: Patterns,
    /// The provider's name of the model.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub upstream: Patterns,
    /// The channel.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub channel: Patterns,
    /// The tool of the caller's key.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub tool: Patterns,
    /// The caller's key, by name.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub key: Patterns,
    /// The profile.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub profile: Patterns,
    /// The caller's format.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub format: Patterns,
    /// The format in which the provider is asked.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub upstream_format: Patterns,
    /// What is asked: `chat`, `embeddings`, `count-tokens` … Body fields are changed in conversations only, unless this says otherwise.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub surface: Patterns,
    /// The caller wants a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Headers of the caller.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub header: BTreeMap<String, Patterns>,
    /// Body fields by path: a value to be equal to, or tests (`exists`, `is`, `not`, `matches`, `contains`, `above`, `below`, `at_least`, `at_most`).
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
    /// At least one of these holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub any: Vec<Condition>,
    /// This does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub not: Option<Box<Condition>>,
}

/// One text or several, of which one must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = Vec<String>)]
pub struct Patterns(pub Vec<String>);

impl Patterns {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Patterns;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Patterns, E> {
                Ok(Patterns(vec![text.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element()? {
                    all.push(text);
                }
                Ok(Patterns(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
