//! Tools of the machine that the gateway runs on: which there are, connecting them, taking them back, folders bound to profiles.

use std::path::PathBuf;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Asked, Named, Sent};
use super::{Admin, Done};
use crate::gateway::{Bench, BenchError, ToolAsk};
use crate::told;
use crate::tools::{Connected, Note, Pin, Restored, ToolError, View};

/// A tool with its key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ToolView {
    #[serde(flatten)]
    tool: View,
    /// Name of its key, if that works.
    key: Option<String>,
    /// First six and last four characters of the key.
    key_hint: Option<String>,
    /// The key's own active profile; `null` follows the gateway's.
    profile: Option<String>,
}

/// Tools.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ToolList {
    /// The address that is written into their files, without a path.
    base: String,
    /// All that run on this system.
    tools: Vec<ToolView>,
    /// The gateway's active profile: what tools without one of their own follow.
    active: String,
    /// Profiles that a tool can have of its own, beside `direct`.
    profiles: Vec<String>,
    /// Models that can be asked for, at most 100: what tools that offer a list are told.
    models: Vec<String>,
}

/// Where tools are looked at.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ToolQuery {
    /// A project's folder, whose files may beat the tools' own.
    project: Option<String>,
}

/// What text is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct SnippetQuery {
    /// The model to name in it.
    model: Option<String>,
    /// Pins a profile by its path.
    profile: Option<String>,
    /// The address by which the other machine reaches this one.
    base: Option<String>,
}

/// Text for people to paste.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Snippet {
    /// The tool.
    tool: String,
    /// The text, with `KEY` where the key belongs.
    text: String,
    /// What people should know.
    notes: Vec<Note>,
}

/// How to take a tool back.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RestoreInput {
    /// Its key goes too: whatever still uses it is refused from then on.
    remove_key: bool,
}

/// The tool's key was made, or is there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ToolKey {
    /// Name of the key.
    key: String,
}

/// Folders that are bound to profiles.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PinList {
    pins: Vec<Pin>,
    /// Profiles that a folder can be bound to, beside `direct`.
    profiles: Vec<String>,
    /// Tools that `myelin run` can start.
    tools: Vec<String>,
}

/// A binding.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PinInput {
    /// The folder; all below it is bound too.
    folder: String,
    /// For this tool only; absent: for every tool.
    #[serde(default)]
    tool: Option<String>,
    /// The profile; `null`: the binding goes.
    #[serde(default)]
    profile: Option<String>,
}

impl From<ToolError> for AdminError {
    fn from(error: ToolError) -> Self {
        let (status, kind) = match &error {
            ToolError::Unknown(_) => (StatusCode::NOT_FOUND, "not-found"),
            ToolError::Disk { .. } | ToolError::Memory { .. } | ToolError::NoBackup { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "store")
            }
            _ => (StatusCode::CONFLICT, "refused"),
        };
        Self::told(status, kind, error.told())
    }
}

impl From<BenchError> for AdminError {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Tool(error) => error.into(),
            BenchError::Change(error) => error.into(),
            BenchError::Stopped => {
                let told = told!("stopped", "it was stopped before it was done");
                Self::told(StatusCode::INTERNAL_SERVER_ERROR, "store", told)
            }
        }
    }
}

impl Admin {
    pub(super) fn bench(&self) -> Bench {
        Bench::new(self.services.clone(), &self.desk.facts().listen, crate::config::variables())
    }
}

fn with_key(bench: &Bench, tool: View) -> ToolView {
    let key = bench.known_key(&tool.id);
    ToolView {
        key: key.as_ref().map(|key| key.name.clone()),
        key_hint: key.as_ref().map(|key| key.hint.clone()),
        profile: key.and_then(|key| key.profile),
        tool,
    }
}

/// Every tool of this system as it stands, and what it can be told: one answer for one page.
#[utoipa::path(get, path = "/api/v1/tools", tag = "tools", operation_id = "list_tools", params(ToolQuery), responses((status = 200, body = ToolList)))]
pub(super) async fn list(State(admin): State<Admin>, Asked(query): Asked<ToolQuery>) -> Json<ToolList> {
    let bench = admin.bench();
    let base = bench.base().to_owned();
    let models = bench.wanted(&ToolAsk::default()).models;
    let read =
        move || bench.list(query.project.map(PathBuf::from)).into_iter().map(|tool| with_key(&bench, tool)).collect();
    let entities = admin.services.store.entities();
    Json(ToolList {
        base,
        tools: tokio::task::spawn_blocking(read).await.unwrap_or_default(),
        active: entities.active_profile.clone(),
        profiles: entities.profiles.iter().map(|profile| profile.name.clone()).collect(),
        models,
    })
}

/// One tool, as it stands.
#[utoipa::path(get, path = "/api/v1/tools/{tool}", tag = "tools", operation_id = "get_tool", params(("tool" = String, Path), ToolQuery),
    responses((status = 200, body = ToolView), (status = 404, body = Failure)))]
pub(super) async fn one(
    State(admin): State<Admin>,
    Named(tool): Named,
    Asked(query): Asked<ToolQuery>,
) -> Result<Json<ToolView>, AdminError> {
    let bench = admin.bench();
    let read = move || bench.look(&tool, query.project.map(PathBuf::from)).map(|view| with_key(&bench, view));
    Ok(Json(tokio::task::spawn_blocking(read).await.map_err(|_| BenchError::Stopped)??))
}

/// What connecting would change: the diff of each file, secrets masked. Changes nothing.
#[utoipa::path(post, path = "/api/v1/tools/{tool}/preview", tag = "tools", operation_id = "preview_tool", params(("tool" = String, Path)),
    request_body = ToolAsk, responses((status = 200, body = Connected), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn preview(
    State(admin): State<Admin>,
    Named(tool): Named,
    Sent(ask): Sent<ToolAsk>,
) -> Result<Json<Connected>, AdminError> {
    Ok(Json(admin.bench().preview(&tool, &ask).await?))
}

/// Connects a tool: its files point here, with a key of its own. A second time changes nothing.
#[utoipa::path(post, path = "/api/v1/tools/{tool}/connect", tag = "tools", operation_id = "connect_tool", params(("tool" = String, Path)),
    request_body = ToolAsk, responses((status = 200, body = Connected), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn connect(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(tool): Named,
    Sent(ask): Sent<ToolAsk>,
) -> Result<Json<Connected>, AdminError> {
    Ok(Json(admin.bench().connect(&tool, &ask, &who.0).await?))
}

/// Connects a tool again as it was connected, at the address of now: after a drift.
#[utoipa::path(post, path = "/api/v1/tools/{tool}/repair", tag = "tools", operation_id = "repair_tool", params(("tool" = String, Path)),
    responses((status = 200, body = Connected), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn repair(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(tool): Named,
) -> Result<Json<Connected>, AdminError> {
    Ok(Json(admin.bench().repair(&tool, &who.0).await?))
}

/// Takes a tool's files back: byte for byte, or only our values where somebody changed a file since.
#[utoipa::path(post, path = "/api/v1/tools/{tool}/restore", tag = "tools", operation_id = "restore_tool", params(("tool" = String, Path)),
    request_body = RestoreInput, responses((status = 200, body = Restored), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn restore(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(tool): Named,
    Sent(input): Sent<RestoreInput>,
) -> Result<Json<Restored>, AdminError> {
    Ok(Json(admin.bench().restore(&tool, input.remove_key, &who.0).await?))
}

/// Makes the tool's key if it has none that works. The secret is not in the answer: it lies below the data directory, for the owner alone.
#[utoipa::path(post, path = "/api/v1/tools/{tool}/key", tag = "tools", operation_id = "make_tool_key", params(("tool" = String, Path)),
    responses((status = 200, body = ToolKey), (status = 404, body = Failure)))]
pub(super) async fn key(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(tool): Named,
) -> Result<Json<ToolKey>, AdminError> {
    let bench = admin.bench();
    bench.key(&tool, &who.0).await?;
    let key = bench.known_key(&tool).map(|key| key.name).unwrap_or_default();
    Ok(Json(ToolKey { key }))
}

/// Text for people to paste where no file can be changed, or on another machine.
#[utoipa::path(get, path = "/api/v1/tools/{tool}/snippet", tag = "tools", operation_id = "tool_snippet",
    params(("tool" = String, Path), SnippetQuery), responses((status = 200, body = Snippet), (status = 404, body = Failure)))]
pub(super) async fn snippet(
    State(admin): State<Admin>,
    Named(tool): Named,
    Asked(query): Asked<SnippetQuery>,
) -> Result<Json<Snippet>, AdminError> {
    let bench = admin.bench();
    let ask = ToolAsk { model: query.model, profile: query.profile, base: query.base, models: None };
    let text = bench.tools().snippet(&tool, &bench.wanted(&ask), None)?;
    let notes = bench.tools().find(&tool)?.notes.clone();
    Ok(Json(Snippet { tool, text, notes }))
}

/// Folders that are bound to profiles: `myelin run` inside one uses it.
#[utoipa::path(get, path = "/api/v1/pins", tag = "tools", operation_id = "list_pins", responses((status = 200, body = PinList)))]
pub(super) async fn pins(State(admin): State<Admin>) -> Result<Json<PinList>, AdminError> {
    let bench = admin.bench();
    let tools = bench.tools().table().filter(|tool| tool.run.is_some()).map(|tool| tool.id.clone()).collect();
    let pins = tokio::task::spawn_blocking(move || bench.tools().pins()).await.map_err(|_| BenchError::Stopped)??;
    let profiles = admin.services.store.entities().profiles.iter().map(|profile| profile.name.clone()).collect();
    Ok(Json(PinList { pins, profiles, tools }))
}

/// Binds a folder to a profile, or frees it.
#[utoipa::path(put, path = "/api/v1/pins", tag = "tools", operation_id = "pin_folder", request_body = PinInput,
    responses((status = 200, body = Done), (status = 404, body = Failure)))]
pub(super) async fn pin(State(admin): State<Admin>, Sent(input): Sent<PinInput>) -> Result<Json<Done>, AdminError> {
    if let Some(profile) = &input.profile
        && admin.services.store.entities().profile(profile).is_none()
        && profile != crate::model::DIRECT
    {
        return Err(AdminError::missing("profile", profile));
    }
    let bench = admin.bench();
    let work =
        move || bench.tools().pin(std::path::Path::new(&input.folder), input.tool.as_deref(), input.profile.as_deref());
    tokio::task::spawn_blocking(work).await.map_err(|_| BenchError::Stopped)??;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}
