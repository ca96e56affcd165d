//! Channels: configured accounts at providers. Secrets go in and never come out.

mod input;
mod view;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Named, Sent};
use super::{Admin, Done};
use crate::model::check::Problem;
use crate::model::{Channel, ChannelState, Entities, Origin};
use crate::store::{Applied, Change, ChangeError};
use crate::told;

pub use input::{ChannelInput, ChannelPatch};
pub use view::ChannelView;

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
            let why = told!(
                "untested",
                "no test of the channel '{name}' has passed: test it first, or force it",
                name = wanted,
            );
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
