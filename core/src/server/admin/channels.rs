//! Channels: configured accounts at providers. Secrets go in and never come out.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Named, Sent, given};
use super::{Admin, Done};
use crate::model::check::Problem;
use crate::model::{
    Channel, ChannelModel, ChannelProbe, ChannelState, Credential, DisableRule, Entities, ModelNames, ModelTuning,
    Multiplier, Origin, Override, Retry, SecretSource, Timeouts,
};
use crate::store::{Applied, Change, ChangeError};

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
    fn apply(self, channel: &mut Channel) {
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

/// What a test of a channel showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChannelTest {
    /// Whether it answered.
    pub passed: bool,
    /// The upstream's name of the model.
    pub model: String,
    /// The format that was spoken.
    pub format: Option<String>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// From the request to the whole answer, in milliseconds.
    pub latency_ms: u64,
    /// The first words of the answer.
    pub text: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The channel takes part in routing now.
    pub enabled: bool,
}

/// A test.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestInput {
    /// The model to ask, by the upstream's name; absent: the provider's own choice, else the first of the channel.
    model: Option<String>,
    /// Lets the channel take part if the test passes.
    enable: bool,
}

/// Letting a channel take part.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EnableInput {
    /// Even if no test has passed.
    force: bool,
}

/// A channel after a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChannelChanged {
    channel: ChannelView,
    /// What was taken but is surely not as meant.
    warnings: Vec<Problem>,
}

/// Channels.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChannelList {
    channels: Vec<ChannelView>,
}

/// The models that a provider lists.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Listed {
    models: Vec<String>,
}

fn changed(applied: &Applied, name: &str) -> Result<Json<ChannelChanged>, AdminError> {
    let channel = applied.entities.channel(name).ok_or_else(|| AdminError::missing("channel", name))?;
    let own = format!("channels.{name}.");
    let warnings = applied.warnings.iter().filter(|problem| problem.path.starts_with(&own)).cloned();
    Ok(Json(ChannelChanged { channel: channel.into(), warnings: warnings.collect() }))
}

fn find(entities: &Entities, name: &str) -> Result<Channel, ChangeError> {
    entities.channel(name).cloned().ok_or_else(|| ChangeError::NotFound { what: "channel", name: name.to_owned() })
}

/// All channels.
#[utoipa::path(get, path = "/api/v1/channels", tag = "channels", operation_id = "list_channels", responses((status = 200, body = ChannelList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<ChannelList> {
    let entities = admin.services.store.entities();
    Json(ChannelList { channels: entities.channels.iter().map(ChannelView::from).collect() })
}

/// A new channel.
#[utoipa::path(post, path = "/api/v1/channels", tag = "channels", operation_id = "create_channel", request_body = ChannelInput,
    responses((status = 201, body = ChannelChanged), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<ChannelInput>,
) -> Result<(StatusCode, Json<ChannelChanged>), AdminError> {
    let name = input.name.clone();
    let applied = admin.services.store.apply(Change::CreateChannel(Box::new(input.into())), &who.0).await?;
    Ok((StatusCode::CREATED, changed(&applied, &name)?))
}

/// One channel.
#[utoipa::path(get, path = "/api/v1/channels/{name}", tag = "channels", operation_id = "get_channel", params(("name" = String, Path)),
    responses((status = 200, body = ChannelView), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(name): Named) -> Result<Json<ChannelView>, AdminError> {
    let channel = find(&admin.services.store.entities(), &name)?;
    Ok(Json((&channel).into()))
}

/// Changes a channel; what is omitted stays as it is.
#[utoipa::path(patch, path = "/api/v1/channels/{name}", tag = "channels", operation_id = "patch_channel", params(("name" = String, Path)),
    request_body = ChannelPatch,
    responses((status = 200, body = ChannelChanged), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
    Sent(patch): Sent<ChannelPatch>,
) -> Result<Json<ChannelChanged>, AdminError> {
    let wanted = name.clone();
    let make = move |entities: &Entities| {
        let mut channel = find(entities, &wanted)?;
        patch.apply(&mut channel);
        Ok(Change::UpdateChannel(Box::new(channel)))
    };
    changed(&admin.services.store.apply_with(&who.0, make).await?, &name)
}

/// Removes a channel.
#[utoipa::path(delete, path = "/api/v1/channels/{name}", tag = "channels", operation_id = "remove_channel", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
) -> Result<Json<Done>, AdminError> {
    let applied = admin.services.store.apply(Change::RemoveChannel { name: name.clone() }, &who.0).await?;
    // Routes and profiles that named it point nowhere now.
    let quoted = format!("'{name}'");
    let warnings = applied.warnings.iter().filter(|problem| problem.message.contains(&quoted));
    Ok(Json(Done { ok: true, warnings: warnings.map(ToString::to_string).collect() }))
}

/// Tests a channel with one small conversation.
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", tag = "channels", operation_id = "test_channel", params(("name" = String, Path)),
    request_body = TestInput, responses((status = 200, body = ChannelTest), (status = 404, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn test(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
    Sent(input): Sent<TestInput>,
) -> Result<Json<ChannelTest>, AdminError> {
    find(&admin.services.store.entities(), &name)?;
    let mut outcome = admin.desk.test_channel(name.clone(), input.model).await.map_err(unusable)?;
    let now = find(&admin.services.store.entities(), &name)?;
    if input.enable && outcome.passed && !now.enabled && now.origin == Origin::Store {
        let enable = Change::EnableChannel { name: name.clone(), enabled: true };
        admin.services.store.apply(enable, &who.0).await?;
    }
    outcome.enabled = find(&admin.services.store.entities(), &name)?.enabled;
    Ok(Json(outcome))
}

fn unusable(why: String) -> AdminError {
    AdminError::new(StatusCode::UNPROCESSABLE_ENTITY, "upstream", why)
}

/// Fetches the provider's list of models.
#[utoipa::path(post, path = "/api/v1/channels/{name}/models", tag = "channels", operation_id = "sync_channel_models", params(("name" = String, Path)),
    responses((status = 200, body = Listed), (status = 404, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn sync(State(admin): State<Admin>, Named(name): Named) -> Result<Json<Listed>, AdminError> {
    find(&admin.services.store.entities(), &name)?;
    let models = admin.desk.sync_models(name).await.map_err(unusable)?;
    Ok(Json(Listed { models }))
}

/// Lets a channel take part in routing; its last test must have passed.
#[utoipa::path(post, path = "/api/v1/channels/{name}/enable", tag = "channels", operation_id = "enable_channel", params(("name" = String, Path)),
    request_body = EnableInput, responses((status = 200, body = ChannelChanged), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn enable(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
    Sent(input): Sent<EnableInput>,
) -> Result<Json<ChannelChanged>, AdminError> {
    let wanted = name.clone();
    let make = move |entities: &Entities| {
        let channel = find(entities, &wanted)?;
        if !input.force && channel.origin == Origin::Store && !matches!(channel.state, ChannelState::Working { .. }) {
            let why = format!("no test of the channel '{wanted}' has passed: test it first, or force it");
            return Err(ChangeError::Refused(why));
        }
        Ok(Change::EnableChannel { name: wanted, enabled: true })
    };
    changed(&admin.services.store.apply_with(&who.0, make).await?, &name)
}

/// Takes a channel out of routing.
#[utoipa::path(post, path = "/api/v1/channels/{name}/disable", tag = "channels", operation_id = "disable_channel", params(("name" = String, Path)),
    responses((status = 200, body = ChannelChanged), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn disable(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
) -> Result<Json<ChannelChanged>, AdminError> {
    let change = Change::EnableChannel { name: name.clone(), enabled: false };
    changed(&admin.services.store.apply(change, &who.0).await?, &name)
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
