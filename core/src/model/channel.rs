//! Channels: configured accounts at providers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ModelTuning, Multiplier, Origin, Override, Price, Retry, SecretSource};

/// One configured account at a provider. Its name is its identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Unique name: letters, digits, `-`, `_`, `.`; no `/`.
    pub name: String,
    /// A row of the provider catalog.
    pub provider: String,
    /// Base addresses; empty takes the catalog's. Written as users write them (OpenAI with `/v1`).
    #[serde(default)]
    pub base_urls: Vec<String>,
    /// Credentials; several are rotated. Empty where the provider needs none.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    /// The models offered; `None`: whatever the provider lists.
    #[serde(default)]
    pub models: Option<Vec<ChannelModel>>,
    /// Under which names the models are offered.
    #[serde(default, skip_serializing_if = "ModelNames::is_usual")]
    pub names: ModelNames,
    /// Failures that take a credential or the channel out of rotation at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<DisableRule>,
    /// Looks by itself whether it works; `None`: only traffic shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ChannelProbe>,
    /// Labels for routes and profiles (`tag:paid`).
    #[serde(default)]
    pub tags: Vec<String>,
    /// Share among channels that list the same model.
    #[serde(default = "one")]
    pub weight: u32,
    /// Takes part in routing. New channels are off until their test passes.
    #[serde(default)]
    pub enabled: bool,
    /// What the last test or traffic said.
    #[serde(default)]
    pub state: ChannelState,
    /// Provider settings that are no secret: `region`, `project`, `location`, `api_version`, `resource` …
    #[serde(default)]
    pub options: Map<String, Value>,
    /// Headers added to every upstream request.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// Overrides of the catalog's [`myelin_protocol::Dialect`], by its field names.
    #[serde(default)]
    pub dialect: Map<String, Value>,
    /// Limits on waiting; `None` takes the gateway's.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// `http://`, `https://` or `socks5://` proxy for this channel.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Certificates (PEM) to trust beside the system's: `file:PATH`, `env:NAME` or the text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Second tries at this channel.
    #[serde(default, skip_serializing_if = "Retry::is_empty")]
    pub retry: Retry,
    /// Changes in requests and answers, in the provider's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// What holds for some of its models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub for_models: Vec<ModelTuning>,
    /// What list prices are multiplied with here.
    #[serde(default, skip_serializing_if = "Multiplier::is_one")]
    pub price_multiplier: Multiplier,
    /// The provider whose price list holds, for hosts that resell or copy another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices_of: Option<String>,
    /// Link-local and metadata addresses are refused as upstream unless this is set.
    #[serde(default)]
    pub allow_link_local: bool,
    /// Models that the provider listed at the last sync, for `models: None`.
    #[serde(default)]
    pub listed: Vec<String>,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

impl Channel {
    /// A channel of which nothing but name and provider is known.
    pub fn bare(name: &str, provider: &str) -> Self {
        Self {
            name: name.to_owned(),
            provider: provider.to_owned(),
            base_urls: Vec::new(),
            credentials: Vec::new(),
            models: None,
            names: ModelNames::default(),
            disable: Vec::new(),
            probe: None,
            tags: Vec::new(),
            weight: 1,
            enabled: false,
            state: ChannelState::Untested,
            options: Map::new(),
            headers: Map::new(),
            dialect: Map::new(),
            timeouts: Timeouts::default(),
            proxy: None,
            ca: None,
            retry: Retry::default(),
            overrides: Vec::new(),
            for_models: Vec::new(),
            price_multiplier: Multiplier::ONE,
            prices_of: None,
            allow_link_local: false,
            listed: Vec::new(),
            origin: Origin::Store,
        }
    }
}

fn one() -> u32 {
    1
}

/// One credential of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credential {
    /// Where its secret comes from. AWS: `ACCESS_KEY:SECRET[:SESSION]` or a bearer key; Vertex: a service-account JSON or an API key.
    pub secret: SecretSource,
}

/// A model of a channel: a bare name, or a name with what the provider calls it and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ChannelModel {
    /// Same name on both sides.
    Same(String),
    /// `{ name = "fast", upstream = "gpt-5-mini", price = { input = 0.25, output = 2 } }`.
    Renamed {
        /// What clients ask for.
        name: String,
        /// What the provider calls it.
        upstream: String,
        /// What it costs here, in dollars a million tokens; `None`: what the price lists say.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Object>)]
        price: Option<Price>,
    },
}

impl<'de> Deserialize<'de> for ChannelModel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ModelVisitor)
    }
}

/// Read by hand, because an untagged enum only says that nothing fits.
struct ModelVisitor;

impl<'de> serde::de::Visitor<'de> for ModelVisitor {
    type Value = ChannelModel;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a model's name or { name, upstream, price }")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ChannelModel, E> {
        Ok(ChannelModel::Same(name.to_owned()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ChannelModel, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            name: String,
            upstream: Option<String>,
            price: Option<Price>,
        }
        let written = Written::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(match written {
            Written { name, upstream: None, price: None } => ChannelModel::Same(name),
            Written { name, upstream, price } => {
                ChannelModel::Renamed { upstream: upstream.unwrap_or_else(|| name.clone()), name, price }
            }
        })
    }
}

impl ChannelModel {
    /// What clients ask for.
    pub fn name(&self) -> &str {
        match self {
            Self::Same(name) | Self::Renamed { name, .. } => name,
        }
    }

    /// What the provider calls it.
    pub fn upstream(&self) -> &str {
        match self {
            Self::Same(name) => name,
            Self::Renamed { upstream, .. } => upstream,
        }
    }

    /// What it costs here, where the channel says so.
    pub fn price(&self) -> Option<&Price> {
        match self {
            Self::Same(_) => None,
            Self::Renamed { price, .. } => price.as_ref(),
        }
    }
}

/// Under which names a channel offers its models.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelNames {
    /// Offered as `prefix/model` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Beginnings that are taken off: with `models/` the model `models/x` is offered as `x` too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trim: Vec<String>,
    /// Further names, with the model that each one means.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
    /// Models that have another name are not offered under their own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hide_originals: bool,
    /// Names are offered in lower case.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lowercase: bool,
}

impl ModelNames {
    /// Whether models are offered as they are called.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A failure that takes a credential, or the whole channel, out of rotation at once. Everything that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DisableRule {
    /// HTTP status of the provider's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Words in the provider's message, but for case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// For how long; absent: until it is reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u64>,
    /// The whole channel, not just the credential that was used.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole_channel: bool,
}

/// Looking whether a channel works, beside what traffic shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelProbe {
    /// Time between two looks.
    pub every_seconds: u32,
    /// How it is looked.
    pub how: ProbeHow,
    /// The model to talk to, by the provider's name; absent: as for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Default for ChannelProbe {
    fn default() -> Self {
        Self { every_seconds: 60, how: ProbeHow::Models, model: None }
    }
}

/// How it is looked whether a channel works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeHow {
    /// By the provider's list of models, which costs nothing.
    #[default]
    Models,
    /// By a question of a few tokens, which is billed.
    Talk,
}

/// What the last test or traffic said about a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum ChannelState {
    /// Never tested.
    #[default]
    Untested,
    /// The last test passed.
    Working {
        /// Milliseconds since 1970.
        at: u64,
    },
    /// The last test failed.
    Failing {
        /// Milliseconds since 1970.
        at: u64,
        /// What the provider said.
        why: String,
    },
}

/// Limits on waiting, in milliseconds. `None` takes the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect_ms: Option<u64>,
    /// Until the answer's head.
    pub first_byte_ms: Option<u64>,
    /// Until the first content of a stream.
    pub first_token_ms: Option<u64>,
    /// Between two reads of a stream.
    pub idle_ms: Option<u64>,
    /// The whole attempt.
    pub total_ms: Option<u64>,
}

impl Timeouts {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing, those.
    #[must_use]
    pub fn or(self, wider: Self) -> Self {
        Self {
            connect_ms: self.connect_ms.or(wider.connect_ms),
            first_byte_ms: self.first_byte_ms.or(wider.first_byte_ms),
            first_token_ms: self.first_token_ms.or(wider.first_token_ms),
            idle_ms: self.idle_ms.or(wider.idle_ms),
            total_ms: self.total_ms.or(wider.total_ms),
        }
    }
}
