//! A channel as it is shown: secrets by their last four characters, values of headers not at all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{
    Channel, ChannelModel, ChannelProbe, ChannelState, DisableRule, ModelNames, ModelTuning, Multiplier, Origin,
    Override, Retry, Timeouts,
};

/// A channel as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelView {
    /// Unique name.
    pub name: String,
    /// Row of the provider catalog.
    pub provider: String,
    /// Base addresses; empty takes the catalog's.
    pub base_urls: Vec<String>,
    /// Where each credential comes from; a secret is shown by its last four characters.
    pub credentials: Vec<String>,
    /// Models offered; `null`: whatever the provider lists.
    pub models: Option<Vec<ChannelModel>>,
    /// Models that the provider listed at the last sync.
    pub listed: Vec<String>,
    /// Under which names the models are offered.
    pub names: ModelNames,
    /// Failures that take a credential or the channel out of rotation at once.
    pub disable: Vec<DisableRule>,
    /// Looks by itself whether it works; `null`: only traffic shows it.
    pub probe: Option<ChannelProbe>,
    /// Labels.
    pub tags: Vec<String>,
    /// Share among channels that list the same model.
    pub weight: u32,
    /// Takes part in routing.
    pub enabled: bool,
    /// What the last test or traffic said.
    pub state: ChannelState,
    /// Provider settings that are no secret.
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
    /// Headers added to requests upstream; values are masked.
    #[schema(value_type = Object)]
    pub headers: Map<String, Value>,
    /// Overrides of the catalog's dialect.
    #[schema(value_type = Object)]
    pub dialect: Map<String, Value>,
    /// Limits on waiting.
    pub timeouts: Timeouts,
    /// Proxy; a password in it is masked.
    pub proxy: Option<String>,
    /// Certificates to trust beside the system's.
    pub ca: Option<String>,
    /// Second tries.
    pub retry: Retry,
    /// Changes in requests and answers; fixed values of headers are masked.
    pub overrides: Vec<Override>,
    /// What holds for some of its models.
    pub for_models: Vec<ModelTuning>,
    /// What list prices are multiplied with.
    #[schema(value_type = f64)]
    pub price_multiplier: Multiplier,
    /// The provider whose price list holds; `null`: its own.
    pub prices_of: Option<String>,
    /// Link-local and metadata addresses are allowed.
    pub allow_link_local: bool,
    /// Where it is declared; `file` is read-only here.
    pub origin: Origin,
}

impl From<&Channel> for ChannelView {
    fn from(channel: &Channel) -> Self {
        Self {
            name: channel.name.clone(),
            provider: channel.provider.clone(),
            base_urls: channel.base_urls.clone(),
            credentials: channel.credentials.iter().map(|credential| credential.secret.describe()).collect(),
            models: channel.models.clone(),
            listed: channel.listed.clone(),
            names: channel.names.clone(),
            disable: channel.disable.clone(),
            probe: channel.probe.clone(),
            tags: channel.tags.clone(),
            weight: channel.weight,
            enabled: channel.enabled,
            state: channel.state.clone(),
            options: channel.options.clone(),
            headers: channel.headers.keys().map(|name| (name.clone(), "***".into())).collect(),
            dialect: channel.dialect.clone(),
            timeouts: channel.timeouts,
            proxy: channel.proxy.as_deref().map(without_password),
            ca: channel.ca.clone(),
            retry: channel.retry.clone(),
            overrides: channel.overrides.iter().map(masked).collect(),
            for_models: channel.for_models.iter().map(masked_tuning).collect(),
            price_multiplier: channel.price_multiplier,
            prices_of: channel.prices_of.clone(),
            allow_link_local: channel.allow_link_local,
            origin: channel.origin,
        }
    }
}

/// A proxy's address without what stands before the `@`.
fn without_password(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => proxy.to_owned(),
    }
}

/// An override whose fixed header values, which may be secrets, are not shown.
fn masked(shown: &Override) -> Override {
    let mut shown = shown.clone();
    for value in shown.headers.set.values_mut().chain(shown.headers.default.values_mut()) {
        if !value.contains("{{") {
            "***".clone_into(value);
        }
    }
    shown
}

fn masked_tuning(shown: &ModelTuning) -> ModelTuning {
    ModelTuning { overrides: shown.overrides.iter().map(masked).collect(), ..shown.clone() }
}
