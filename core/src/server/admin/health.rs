//! How channels, their credentials and their models fare, as traffic shows it; and forgetting what was.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::Sent;
use crate::events::{Event, Level};
use crate::routing::{BreakerView, Errand, HeldKey, LoadView, Trouble};
use crate::told;

/// How everything fares.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct HealthList {
    channels: Vec<ChannelHealth>,
    /// Keys that are held back because their traffic was out of the ordinary.
    #[serde(default)]
    keys: Vec<HeldKey>,
}

/// How one channel fares.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChannelHealth {
    /// The channel.
    channel: String,
    /// It takes part in routing.
    serving: bool,
    /// `sound`, `degraded` (some of it is out of rotation, as far as somebody goes without) or `down` (all of it).
    state: String,
    /// What is out of rotation, or has only just come back.
    troubles: Vec<TroubleView>,
    /// Models that were asked for.
    models: Vec<ModelHealth>,
}

/// Something that is out of rotation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TroubleView {
    /// The model, where it is about one.
    model: Option<String>,
    /// What the model is not asked for, where that is no conversation: `count-tokens`, `embeddings`, `images` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// Position of the credential, where it is about one.
    credential: Option<u32>,
    /// How it stands.
    breaker: BreakerView,
    /// The reason in words.
    reason: String,
}

/// How one model of a channel fares.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ModelHealth {
    /// What the provider calls the model.
    model: String,
    /// What was asked for, where that is no conversation: `count-tokens`, `embeddings`, `images` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// The numbers.
    #[serde(flatten)]
    load: LoadView,
}

/// What is to be forgotten.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResetInput {
    /// The channel; absent: all.
    channel: Option<String>,
    /// The model, by the provider's name; absent: everything at the channel.
    model: Option<String>,
    /// A key that is held back, by id or name; then nothing else is put back.
    key: Option<String>,
}

/// What was forgotten.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ResetDone {
    /// So many are back in rotation.
    reset: usize,
}

/// The word of an errand, where it is no conversation.
fn operation(errand: Errand) -> Option<String> {
    (errand != Errand::Conversation).then(|| errand.word().to_owned())
}

fn trouble(trouble: Trouble) -> Option<TroubleView> {
    let breaker = trouble.view?;
    let reason = breaker.why.words().to_owned();
    let operation = operation(trouble.errand);
    Some(TroubleView { model: trouble.upstream, operation, credential: trouble.credential, breaker, reason })
}

/// How one channel fares.
fn channel(admin: &Admin, name: &str, serving: bool, now_ms: u64) -> ChannelHealth {
    let fleet = &admin.services.fleet;
    let troubles = fleet.troubles(name, now_ms);
    let is_out = |own: &Trouble| own.matters() && own.view.as_ref().is_some_and(|view| view.state != "recovering");
    let out: Vec<&Trouble> = troubles.iter().filter(|own| is_out(own)).collect();
    let snapshot = admin.services.snapshot.load();
    let credentials = snapshot.routing.channel(name).map_or(1, |channel| channel.credentials.len().max(1));
    let keys_out = out.iter().filter(|own| own.upstream.is_none() && own.credential.is_some()).count();
    let whole = out.iter().any(|own| own.upstream.is_none() && own.credential.is_none());
    let state = match () {
        () if whole || keys_out >= credentials => "down",
        () if !out.is_empty() => "degraded",
        () => "sound",
    };
    let models = fleet.loads(name, now_ms).into_iter();
    let models = models.map(|(model, errand, load)| ModelHealth {
        model: model.as_ref().to_owned(),
        operation: operation(errand),
        load,
    });
    let (models, troubles) = (models.collect(), troubles.into_iter().filter_map(trouble).collect());
    ChannelHealth { channel: name.to_owned(), serving, state: state.to_owned(), troubles, models }
}

/// How channels, their credentials and their models fare, as traffic shows it.
#[utoipa::path(get, path = "/api/v1/health", tag = "channels", operation_id = "get_health", responses((status = 200, body = HealthList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<HealthList> {
    let now_ms = admin.services.clock.unix_ms();
    let entities = admin.services.store.entities();
    let channels = entities.channels.iter().map(|own| channel(&admin, &own.name, own.enabled, now_ms));
    Json(HealthList { channels: channels.collect(), keys: admin.services.fleet.held_keys(now_ms) })
}

/// Puts what is out of rotation back in, and forgets why it was out; or lets a key go on that is held back.
#[utoipa::path(post, path = "/api/v1/health/reset", tag = "channels", operation_id = "reset_health", request_body = ResetInput,
    responses((status = 200, body = ResetDone), (status = 404, body = Failure)))]
pub(super) async fn reset(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<ResetInput>,
) -> Result<Json<ResetDone>, AdminError> {
    let now_ms = admin.services.clock.unix_ms();
    if let Some(key) = &input.key {
        if input.channel.is_some() || input.model.is_some() {
            return Err(AdminError::invalid("name a key, or a channel, not both"));
        }
        let entities = admin.services.store.entities();
        let key = entities.key(key).ok_or_else(|| AdminError::missing("key", key))?;
        let released = admin.services.fleet.release_key(&key.id, now_ms);
        if released {
            let told = told!("event-key-released", "the key {name} is released by {who}", name = key.name, who = who.0);
            let event = Event::new(now_ms, Level::Info, "key-released", key.name.as_str(), told);
            admin.services.events.tell(event.with("key", key.id.clone()));
        }
        return Ok(Json(ResetDone { reset: usize::from(released) }));
    }
    if let Some(name) = &input.channel
        && admin.services.store.entities().channel(name).is_none()
    {
        return Err(AdminError::missing("channel", name));
    }
    let reset = admin.services.fleet.reset(input.channel.as_deref(), input.model.as_deref());
    tracing::info!(who = who.0, channel = input.channel, model = input.model, reset, "put back in rotation");
    if reset > 0 {
        let subject = input.channel.clone().unwrap_or_else(|| "all".to_owned());
        let told = match (&input.channel, &input.model) {
            (Some(channel), Some(model)) => told!(
                "event-reset-model",
                "{channel}/{model} is put back in rotation by {who}",
                channel = channel,
                model = model,
                who = who.0,
            ),
            (Some(channel), None) => told!(
                "event-reset-channel",
                "everything at {channel} is put back in rotation by {who}",
                channel = channel,
                who = who.0,
            ),
            _ => told!("event-reset-all", "everything is put back in rotation by {who}", who = who.0),
        };
        let event = Event::new(now_ms, Level::Info, "breaker-closed", subject, told);
        let event = event.with("channel", input.channel).with("model", input.model);
        admin.services.events.tell(event.with("reset", reset));
    }
    Ok(Json(ResetDone { reset }))
}

/// How many channels have something out of rotation.
pub(super) fn degraded(admin: &Admin) -> Vec<String> {
    let now_ms = admin.services.clock.unix_ms();
    let snapshot = admin.services.snapshot.load();
    let names = snapshot.lines.iter().map(|line| line.channel.name().to_owned());
    names.filter(|name| channel(admin, name, true, now_ms).state != "sound").collect()
}
