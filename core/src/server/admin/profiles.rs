//! Profiles, and which one is active: for the gateway and for each key.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Who;
use super::error::{AdminError, Failure};
use super::extract::{Named, Sent, given};
use super::{Admin, Done};
use crate::model::check::Problem;
use crate::model::{DIRECT, Entities, Origin, Override, Policy, Preset, Profile, ProfileRule, Strategy, presets};
use crate::store::{Applied, Change, ChangeError};

/// A new profile.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileInput {
    /// Unique name.
    name: String,
    /// For people.
    #[serde(default)]
    description: Option<String>,
    /// Rules in order.
    #[serde(default)]
    rules: Vec<ProfileRule>,
    /// Only these channels may serve: names, globs, `tag:t`; with `!` before it: not these. Empty allows all.
    #[serde(default)]
    channels: Vec<String>,
    /// How to choose within groups, in place of what routes say.
    #[serde(default)]
    strategy: Option<Strategy>,
    /// Changes in requests and answers, in the caller's words.
    #[serde(default)]
    overrides: Vec<Override>,
    /// Retries, hedges, races, mirrors and the answer cache while this profile holds.
    #[serde(default)]
    policy: Policy,
}

/// What is to be changed of a profile.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProfilePatch {
    /// For people; `null`: nothing.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// All rules anew.
    rules: Option<Vec<ProfileRule>>,
    /// All channels anew.
    channels: Option<Vec<String>>,
    /// How to choose within groups; `null`: as routes say.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Strategy>)]
    strategy: Option<Option<Strategy>>,
    /// All overrides anew.
    overrides: Option<Vec<Override>>,
    /// The whole policy anew.
    policy: Option<Policy>,
}

/// Profiles and who uses them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ProfileList {
    /// The profiles; `direct`, which is built in, is not among them.
    profiles: Vec<Profile>,
    /// The gateway's active profile.
    active: String,
    /// Keys with a profile of their own.
    keys: Vec<KeyProfile>,
}

/// The profile of one key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct KeyProfile {
    /// Id of the key.
    key: String,
    /// Its name.
    name: String,
    /// The tool that it belongs to.
    tool: Option<String>,
    /// Its own active profile.
    profile: String,
}

/// Which profile is active.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Active {
    /// The gateway's active profile.
    active: String,
    /// Keys with a profile of their own.
    keys: Vec<KeyProfile>,
}

/// A switch.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SwitchInput {
    /// The profile; `null` (for keys and tools) follows the gateway's.
    profile: Option<String>,
    /// Id or name of a key; absent: the whole gateway.
    key: Option<String>,
    /// All keys of a tool.
    tool: Option<String>,
}

/// A profile after a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ProfileChanged {
    profile: Profile,
    /// Rules that can never match or point nowhere.
    warnings: Vec<Problem>,
}

fn find(entities: &Entities, name: &str) -> Result<Profile, ChangeError> {
    if name == DIRECT {
        return Ok(Profile { name: DIRECT.to_owned(), ..Profile::default() });
    }
    entities.profile(name).cloned().ok_or_else(|| ChangeError::NotFound { what: "profile", name: name.to_owned() })
}

fn changed(applied: &Applied, name: &str) -> Result<Json<ProfileChanged>, AdminError> {
    let path = format!("profiles.{name}");
    let warnings = applied.warnings.iter().filter(|problem| problem.path.starts_with(&path)).cloned().collect();
    Ok(Json(ProfileChanged { profile: find(&applied.entities, name)?, warnings }))
}

fn own_profiles(entities: &Entities) -> Vec<KeyProfile> {
    let own = entities.keys.iter().filter_map(|key| {
        let profile = key.profile.clone()?;
        Some(KeyProfile { key: key.id.clone(), name: key.name.clone(), tool: key.tool.clone(), profile })
    });
    own.collect()
}

/// All profiles, and which one is active.
#[utoipa::path(get, path = "/api/v1/profiles", tag = "profiles", operation_id = "list_profiles", responses((status = 200, body = ProfileList)))]
pub(super) async fn list(State(admin): State<Admin>) -> Json<ProfileList> {
    let entities = admin.services.store.entities();
    Json(ProfileList {
        profiles: entities.profiles.clone(),
        active: entities.active_profile.clone(),
        keys: own_profiles(&entities),
    })
}

/// A new profile.
#[utoipa::path(post, path = "/api/v1/profiles", tag = "profiles", operation_id = "create_profile", request_body = ProfileInput,
    responses((status = 201, body = ProfileChanged), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<ProfileInput>,
) -> Result<(StatusCode, Json<ProfileChanged>), AdminError> {
    let ProfileInput { name, description, rules, channels, strategy, overrides, policy } = input;
    let origin = Origin::Store;
    let profile = Profile { name, description, rules, channels, strategy, overrides, policy, origin };
    let name = profile.name.clone();
    let applied = admin.services.store.apply(Change::CreateProfile(profile), &who.0).await?;
    Ok((StatusCode::CREATED, changed(&applied, &name)?))
}

/// One profile.
#[utoipa::path(get, path = "/api/v1/profiles/{name}", tag = "profiles", operation_id = "get_profile", params(("name" = String, Path)),
    responses((status = 200, body = Profile), (status = 404, body = Failure)))]
pub(super) async fn one(State(admin): State<Admin>, Named(name): Named) -> Result<Json<Profile>, AdminError> {
    Ok(Json(find(&admin.services.store.entities(), &name)?))
}

/// Changes a profile; what is omitted stays as it is.
#[utoipa::path(patch, path = "/api/v1/profiles/{name}", tag = "profiles", operation_id = "patch_profile", params(("name" = String, Path)),
    request_body = ProfilePatch,
    responses((status = 200, body = ProfileChanged), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn patch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
    Sent(patch): Sent<ProfilePatch>,
) -> Result<Json<ProfileChanged>, AdminError> {
    let wanted = name.clone();
    let make = move |entities: &Entities| {
        let profile = find(entities, &wanted)?;
        Ok(Change::UpdateProfile(Profile {
            description: patch.description.unwrap_or(profile.description),
            rules: patch.rules.unwrap_or(profile.rules),
            channels: patch.channels.unwrap_or(profile.channels),
            strategy: patch.strategy.unwrap_or(profile.strategy),
            overrides: patch.overrides.unwrap_or(profile.overrides),
            policy: patch.policy.unwrap_or(profile.policy),
            ..profile
        }))
    };
    changed(&admin.services.store.apply_with(&who.0, make).await?, &name)
}

/// Removes a profile that nobody uses.
#[utoipa::path(delete, path = "/api/v1/profiles/{name}", tag = "profiles", operation_id = "remove_profile", params(("name" = String, Path)),
    responses((status = 200, body = Done), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Named(name): Named,
) -> Result<Json<Done>, AdminError> {
    admin.services.store.apply(Change::RemoveProfile { name }, &who.0).await?;
    Ok(Json(Done { ok: true, warnings: Vec::new() }))
}

/// Which profile is active.
#[utoipa::path(get, path = "/api/v1/active-profile", tag = "profiles", operation_id = "get_active_profile", responses((status = 200, body = Active)))]
pub(super) async fn active(State(admin): State<Admin>) -> Json<Active> {
    let entities = admin.services.store.entities();
    Json(Active { active: entities.active_profile.clone(), keys: own_profiles(&entities) })
}

/// Switches the active profile: of the gateway, of one key, or of all keys of a tool. The next request follows it.
#[utoipa::path(put, path = "/api/v1/active-profile", tag = "profiles", operation_id = "switch_profile", request_body = SwitchInput,
    responses((status = 200, body = Active), (status = 404, body = Failure), (status = 409, body = Failure)))]
pub(super) async fn switch(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<SwitchInput>,
) -> Result<Json<Active>, AdminError> {
    let store = &admin.services.store;
    let keys: Vec<Option<String>> = match (input.key, input.tool) {
        (Some(_), Some(_)) => return Err(AdminError::invalid("name a key or a tool, not both")),
        (None, None) => vec![None],
        (Some(key), None) => vec![Some(key)],
        (None, Some(tool)) => {
            let entities = store.entities();
            let own = entities.keys.iter().filter(|key| key.tool.as_ref() == Some(&tool));
            let own: Vec<_> = own.map(|key| Some(key.id.clone())).collect();
            if own.is_empty() {
                return Err(AdminError::missing("key of the tool", &tool));
            }
            own
        }
    };
    for key in keys {
        store.apply(Change::UseProfile { key, profile: input.profile.clone() }, &who.0).await?;
    }
    let entities = store.entities();
    Ok(Json(Active { active: entities.active_profile.clone(), keys: own_profiles(&entities) }))
}

/// Profiles for common cases.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PresetList {
    presets: Vec<Preset>,
}

/// Profiles for common cases, ready to be taken over. They are not among the profiles until they are created.
#[utoipa::path(get, path = "/api/v1/profile-presets", tag = "profiles", operation_id = "list_profile_presets", responses((status = 200, body = PresetList)))]
pub(super) async fn ready_made() -> Json<PresetList> {
    Json(PresetList { presets: presets() })
}

/// A name that no profile has.
pub(super) fn free_name(entities: &Entities, wanted: &str) -> String {
    let mut names = std::iter::once(wanted.to_owned()).chain((2..).map(|number| format!("{wanted}-{number}")));
    names.find(|name| entities.profile(name).is_none()).unwrap_or_else(|| wanted.to_owned())
}
