//! A channel as it is sent, whole or in part. What came back as it was shown (a masked header, the last characters of a secret) is what is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{
    Channel, ChannelModel, ChannelProbe, ChannelState, Credential, DisableRule, ModelNames, ModelTuning, Multiplier,
    Origin, Override, Retry, SecretSource, Timeouts,
};
use crate::server::admin::extract::given;

/// Header values that came back masked are those that are there.
fn unmask<'o>(new: impl Iterator<Item = &'o mut Override>, old: &[&Override]) {
    for (index, new) in new.enumerate() {
        let known = |name: &str, pick: fn(&Override) -> &BTreeMap<String, String>| {
            let own = old.get(index).and_then(|old| pick(old).get(name));
            own.or_else(|| old.iter().find_map(|old| pick(old).get(name))).cloned()
        };
        for (name, value) in new.headers.set.iter_mut().filter(|(_, value)| *value == "***") {
            if let Some(old) = known(name, |old| &old.headers.set) {
                *value = old;
            }
        }
        for (name, value) in new.headers.default.iter_mut().filter(|(_, value)| *value == "***") {
            if let Some(old) = known(name, |old| &old.headers.default) {
                *value = old;
            }
        }
    }
}

/// A new channel. It is off until a test passes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelInput {
    /// Unique name.
    pub name: String,
    /// Row of the provider catalog.
    pub provider: String,
    /// Base addresses; empty takes the catalog's.
    #[serde(default)]
    pub base_urls: Vec<String>,
    /// `env:NAME`, `file:PATH`, `keychain:NAME` or the secret itself.
    #[serde(default)]
    pub credentials: Vec<String>,
    /// Models offered; absent: whatever the provider lists.
    #[serde(default)]
    pub models: Option<Vec<ChannelModel>>,
    /// Under which names the models are offered.
    #[serde(default)]
    pub names: ModelNames,
    /// Failures that take a credential or the channel out of rotation at once.
    #[serde(default)]
    pub disable: Vec<DisableRule>,
    /// Looks by itself whether it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ChannelProbe>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Share among channels that list the same model.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Takes part in routing at once, without a test.
    #[serde(default)]
    pub enabled: bool,
    /// Provider settings that are no secret.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
    /// Headers added to requests upstream.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub headers: Map<String, Value>,
    /// Overrides of the catalog's dialect.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub dialect: Map<String, Value>,
    /// Limits on waiting.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Proxy.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Certificates (PEM) to trust beside the system's: `file:PATH`, `env:NAME` or the text itself.
    #[serde(default)]
    pub ca: Option<String>,
    /// Second tries.
    #[serde(default)]
    pub retry: Retry,
    /// Changes in requests and answers, in the provider's words.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// What holds for some of its models.
    #[serde(default)]
    pub for_models: Vec<ModelTuning>,
    /// What list prices are multiplied with.
    #[serde(default)]
    #[schema(value_type = f64)]
    pub price_multiplier: Multiplier,
    /// The provider whose price list holds; absent: its own.
    #[serde(default)]
    pub prices_of: Option<String>,
    /// Allows link-local and metadata addresses.
    #[serde(default)]
    pub allow_link_local: bool,
}

fn credentials(texts: &[String]) -> Vec<Credential> {
    texts.iter().map(|text| Credential { secret: SecretSource::parse(text) }).collect()
}

/// The new list of credentials. Nobody who edits a channel can know its secrets, so what came back as it was shown is the one that is there; of
/// several that look alike, each stands for itself once.
fn renewed(texts: &[String], before: &[Credential]) -> Vec<Credential> {
    let mut left: Vec<Option<&Credential>> = before.iter().map(Some).collect();
    let mut kept = |text: &String| {
        let same = |slot: &&mut Option<&Credential>| slot.is_some_and(|old| old.secret.describe() == *text);
        left.iter_mut().find(same).and_then(Option::take).cloned()
    };
    texts.iter().map(|text| kept(text).unwrap_or_else(|| Credential { secret: SecretSource::parse(text) })).collect()
}

impl From<ChannelInput> for Channel {
    fn from(input: ChannelInput) -> Self {
        Self {
            credentials: credentials(&input.credentials),
            name: input.name,
            provider: input.provider,
            base_urls: input.base_urls,
            models: input.models,
            names: input.names,
            disable: input.disable,
            probe: input.probe,
            tags: input.tags,
            weight: input.weight.unwrap_or(1),
            enabled: input.enabled,
            state: ChannelState::Untested,
            options: input.options,
            headers: input.headers,
            dialect: input.dialect,
            timeouts: input.timeouts,
            proxy: input.proxy,
            ca: input.ca,
            retry: input.retry,
            overrides: input.overrides,
            for_models: input.for_models,
            price_multiplier: input.price_multiplier,
            prices_of: input.prices_of,
            allow_link_local: input.allow_link_local,
            listed: Vec::new(),
            origin: Origin::Store,
        }
    }
}

/// What is to be changed of a channel. What is omitted stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelPatch {
    /// Row of the provider catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Base addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_urls: Option<Vec<String>>,
    /// All credentials anew, in order; one written as it is shown keeps the one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Vec<String>>,
    /// Models offered; `null`: whatever the provider lists.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ChannelModel>>)]
    pub models: Option<Option<Vec<ChannelModel>>>,
    /// Under which names the models are offered, all anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<ModelNames>,
    /// Failures that take a credential or the channel out of rotation at once, all anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable: Option<Vec<DisableRule>>,
    /// Looks by itself whether it works; `null`: only traffic shows it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ChannelProbe>)]
    pub probe: Option<Option<ChannelProbe>>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Share among channels that list the same model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Provider settings that are no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub options: Option<Map<String, Value>>,
    /// Headers; a value of `***` keeps the one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub headers: Option<Map<String, Value>>,
    /// Overrides of the catalog's dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub dialect: Option<Map<String, Value>>,
    /// Limits on waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Proxy; `null`: none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub proxy: Option<Option<String>>,
    /// Certificates to trust beside the system's; `null`: none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ca: Option<Option<String>>,
    /// Second tries, all anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Overrides, all anew; a header value of `***` keeps the one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Vec<Override>>,
    /// What holds for some of its models, all anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_models: Option<Vec<ModelTuning>>,
    /// What list prices are multiplied with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub price_multiplier: Option<Multiplier>,
    /// The provider whose price list holds; `null`: its own.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub prices_of: Option<Option<String>>,
    /// Allows link-local and metadata addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_link_local: Option<bool>,
}

impl ChannelPatch {
    pub(super) fn apply(self, channel: &mut Channel) {
        let before = channel.headers.clone();
        let old = (channel.overrides.clone(), channel.for_models.clone());
        macro_rules! take {
            ($($field:ident),*) => { $( if let Some(value) = self.$field { channel.$field = value; } )* };
        }
        take!(names, disable, probe);
        take!(provider, base_urls, models, tags, weight, options, headers, dialect, timeouts, proxy, allow_link_local);
        take!(ca, retry, overrides, for_models, price_multiplier, prices_of);
        unmask(channel.overrides.iter_mut(), &old.0.iter().collect::<Vec<_>>());
        let tuned: Vec<&Override> = old.1.iter().flat_map(|tuning| &tuning.overrides).collect();
        unmask(channel.for_models.iter_mut().flat_map(|tuning| &mut tuning.overrides), &tuned);
        for (name, value) in &mut channel.headers {
            if value == "***"
                && let Some(old) = before.get(name)
            {
                value.clone_from(old);
            }
        }
        if let Some(texts) = self.credentials {
            channel.credentials = renewed(&texts, &channel.credentials);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_comes_back_as_it_was_shown_is_kept() {
        let before =
            credentials(&["sk-first-secret-0001".into(), "env:OTHER".into(), "short-a".into(), "short-b".into()]);
        let shown: Vec<String> = before.iter().map(|credential| credential.secret.describe()).collect();
        assert_eq!(renewed(&shown, &before), before, "looking alike is no reason to lose one: {shown:?}");
        let mut more = vec!["sk-new-secret-000002".to_owned()];
        more.extend(shown.iter().rev().cloned());
        let after = renewed(&more, &before);
        assert_eq!(after.len(), 5);
        assert_eq!(after.first().map(|first| first.secret.describe()).as_deref(), Some("…0002"));
        assert_eq!(after.last(), before.first());
        assert_eq!(renewed(&["env:OTHER".into()], &before), before.get(1..2).unwrap_or_default());
    }
}
