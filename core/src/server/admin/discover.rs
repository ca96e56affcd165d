//! What is already on this machine: provider keys, local servers, configurations of other gateways; and taking them over.

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine as _;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::auth::Who;
use super::channels::{ChannelTest, ChannelView};
use super::error::{AdminError, Failure};
use super::extract::Sent;
use super::{Admin, profiles};
use crate::gateway::BenchError;
use crate::model::Told;
use crate::model::{Channel, Profile, Route};
use crate::providers::Catalog;
use crate::store::Change;
use crate::told;
use crate::tools::find::{FoundConfig, FoundKey};
use crate::tools::import::{self, Imported, Kind};

/// Rows of the catalog whose usual addresses are asked.
const LOCAL: &[&str] = &["ollama", "lmstudio", "vllm", "llamacpp"];
/// How long a local server may take to say what it has.
const PROBE: Duration = Duration::from_secs(2);

/// A provider's key that was found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct KeyFound {
    /// Names it in `adopt`.
    id: String,
    /// Row of the catalog.
    provider: String,
    /// Where it is.
    from: String,
    /// What may be seen of it.
    hint: String,
    /// Its own address, where one was beside it.
    base_url: Option<String>,
    /// A channel of that provider is there already.
    known: bool,
}

/// A local server that answered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ServerFound {
    /// Row of the catalog; names it in `adopt`.
    provider: String,
    /// For people.
    name: String,
    /// Where it is.
    base_url: String,
    /// What it has.
    models: Vec<String>,
    /// A channel of that provider is there already.
    known: bool,
}

/// What is already on this machine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Discovered {
    /// Provider keys.
    keys: Vec<KeyFound>,
    /// Local servers.
    servers: Vec<ServerFound>,
    /// Configurations of other gateways.
    configs: Vec<FoundConfig>,
}

/// What is to be taken over.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdoptInput {
    /// Keys, by their ids.
    keys: Vec<String>,
    /// Local servers, by their providers.
    servers: Vec<String>,
}

/// A channel that was made, and what its test showed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Adopted {
    /// The channel.
    name: String,
    /// Its provider.
    provider: String,
    /// The test; it takes part once that passes.
    test: ChannelTest,
}

/// Channels that were made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct AdoptedList {
    channels: Vec<Adopted>,
}

/// A configuration of another gateway.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportInput {
    /// Whose it is.
    kind: Kind,
    /// Its text.
    #[serde(default)]
    text: Option<String>,
    /// Its bytes in base64, where it is no text.
    #[serde(default)]
    base64: Option<String>,
    /// Instead of both: a file of the gateway's machine that `discover` found, by the path it gave.
    #[serde(default)]
    found: Option<String>,
    /// Take it over; else it is only shown.
    #[serde(default)]
    apply: bool,
}

/// What an import makes, or would make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ImportView {
    /// Channels; secrets are masked. They are off until a test passes.
    channels: Vec<ChannelView>,
    /// Profiles.
    profiles: Vec<Profile>,
    /// Routes.
    routes: Vec<Route>,
    /// What was not taken over, or not as it was.
    notes: Vec<Told>,
    /// It was taken over.
    applied: bool,
}

impl Admin {
    fn keys_found(&self) -> Vec<FoundKey> {
        let rows = Catalog::builtin().iter().map(|row| (row.id.as_str(), row.keys.as_slice()));
        self.bench().tools().keys_found(rows)
    }

    fn has_provider(&self, provider: &str) -> bool {
        self.services.store.entities().channels.iter().any(|channel| channel.provider == provider)
    }

    /// A name that no channel has.
    fn free_name(&self, wanted: &str) -> String {
        let entities = self.services.store.entities();
        let mut names = std::iter::once(wanted.to_owned()).chain((2..).map(|number| format!("{wanted}-{number}")));
        names.find(|name| entities.channel(name).is_none()).unwrap_or_else(|| wanted.to_owned())
    }

    async fn server_found(&self, provider: &'static str) -> Option<ServerFound> {
        let row = Catalog::builtin().get(provider)?;
        let channel = channel(provider, provider, None, None)?;
        let models = tokio::time::timeout(PROBE, self.desk.probe(channel)).await.ok()?.ok()?;
        Some(ServerFound {
            provider: row.id.clone(),
            name: row.name.clone(),
            base_url: row.base_url.clone(),
            models,
            known: self.has_provider(provider),
        })
    }
}

fn channel(name: &str, provider: &str, credential: Option<&str>, base_url: Option<&str>) -> Option<Channel> {
    let fields = json!({
        "name": name, "provider": provider, "credentials": credential.into_iter().collect::<Vec<_>>(),
        "base_urls": base_url.into_iter().collect::<Vec<_>>(), "weight": 1,
    });
    serde_json::from_value(fields).ok()
}

/// What is already on this machine: provider keys in variables and tools' files, local servers, configurations of other gateways.
#[utoipa::path(get, path = "/api/v1/discover", tag = "tools", operation_id = "discover", responses((status = 200, body = Discovered)))]
pub(super) async fn discover(State(admin): State<Admin>) -> Result<Json<Discovered>, AdminError> {
    let probes = LOCAL.iter().map(|provider| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.server_found(provider).await })
    });
    let probes: Vec<_> = probes.collect();
    let reading = admin.clone();
    let read = move || (reading.keys_found(), reading.bench().tools().configs_found());
    let (found, configs) = tokio::task::spawn_blocking(read).await.map_err(|_| BenchError::Stopped)?;
    let key = |found: FoundKey| KeyFound {
        id: found.id(),
        hint: found.hint(),
        known: admin.has_provider(&found.provider),
        provider: found.provider,
        from: found.from,
        base_url: found.base_url,
    };
    let mut servers = Vec::new();
    for probe in probes {
        servers.extend(probe.await.ok().flatten());
    }
    Ok(Json(Discovered { keys: found.into_iter().map(key).collect(), servers, configs }))
}

/// Takes over what was found: a channel each, which takes part once its test passes.
#[utoipa::path(post, path = "/api/v1/discover/adopt", tag = "tools", operation_id = "adopt", request_body = AdoptInput,
    responses((status = 200, body = AdoptedList), (status = 404, body = Failure), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn adopt(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<AdoptInput>,
) -> Result<Json<AdoptedList>, AdminError> {
    let found = admin.keys_found();
    let mut wanted: Vec<(String, Option<String>, Option<String>)> = Vec::new();
    for id in &input.keys {
        let key = found.iter().find(|found| found.id() == *id).ok_or_else(|| AdminError::missing("key found", id))?;
        let credential = key.source.clone().unwrap_or_else(|| key.secret.expose().to_owned());
        let provider = match &key.base_url {
            // An address beside it may be another provider's.
            Some(address) => import::provider_at(address, &key.provider),
            None => (key.provider.clone(), None),
        };
        wanted.push((provider.0, Some(credential), provider.1));
    }
    for server in &input.servers {
        let row = LOCAL.iter().find(|row| *row == server).ok_or_else(|| AdminError::missing("local server", server))?;
        wanted.push(((*row).to_owned(), None, None));
    }
    let mut channels = Vec::new();
    for (provider, credential, base_url) in wanted {
        let name = admin.free_name(&provider);
        let Some(made) = channel(&name, &provider, credential.as_deref(), base_url.as_deref()) else { continue };
        admin.services.store.apply(Change::CreateChannel(Box::new(made)), &who.0).await?;
        let failed = |why: String| AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, "store", why);
        let mut test = admin.desk.test_channel(name.clone(), None).await.map_err(failed)?;
        if test.passed {
            admin.services.store.apply(Change::EnableChannel { name: name.clone(), enabled: true }, &who.0).await?;
            test.enabled = true;
        }
        channels.push(Adopted { name, provider, test });
    }
    Ok(Json(AdoptedList { channels }))
}

/// Reads the configuration of another gateway: shows what it becomes here, or takes it over.
#[utoipa::path(post, path = "/api/v1/import", tag = "tools", operation_id = "import_config", request_body = ImportInput,
    responses((status = 200, body = ImportView), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn import_config(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    Sent(input): Sent<ImportInput>,
) -> Result<Json<ImportView>, AdminError> {
    let wrong = |why: Told| AdminError::told(StatusCode::UNPROCESSABLE_ENTITY, "invalid", why);
    let bytes = match (input.text, input.base64, input.found) {
        (Some(text), None, None) => text.into_bytes(),
        (None, None, Some(path)) => read_found(&admin, input.kind, path).await?,
        (None, Some(text), None) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|_| wrong(told!("no-base64", "base64: it is none")))?,
        _ => return Err(wrong(told!("import-one-of", "give one of text, base64 and found"))),
    };
    let mut imported =
        import::read(input.kind, &bytes).map_err(|why| wrong(told!("import-unread", "{why}", why = why)))?;
    rename(&admin, &mut imported);
    if input.apply {
        // Profiles name channels: those first.
        for channel in &imported.channels {
            admin.services.store.apply(Change::CreateChannel(Box::new(channel.clone())), &who.0).await?;
        }
        for route in &imported.routes {
            admin.services.store.apply(Change::CreateRoute(route.clone()), &who.0).await?;
        }
        for profile in &imported.profiles {
            admin.services.store.apply(Change::CreateProfile(profile.clone()), &who.0).await?;
        }
    }
    Ok(Json(ImportView {
        channels: imported.channels.iter().map(ChannelView::from).collect(),
        profiles: imported.profiles,
        routes: imported.routes,
        notes: imported.notes,
        applied: input.apply,
    }))
}

/// The bytes of a configuration that was found. No other file can be read this way.
async fn read_found(admin: &Admin, kind: Kind, path: String) -> Result<Vec<u8>, AdminError> {
    let bench = admin.bench();
    let read = move || {
        let found = bench.tools().configs_found().into_iter().find(|found| found.kind == kind && found.path == path);
        let found = found.ok_or_else(|| AdminError::missing("configuration found", &path))?;
        std::fs::read(&found.path)
            .map_err(|why| AdminError::new(StatusCode::CONFLICT, "refused", format!("{}: {why}", found.path)))
    };
    tokio::task::spawn_blocking(read).await.map_err(|_| BenchError::Stopped)?
}

/// Names that are taken get a number; profiles follow.
fn rename(admin: &Admin, imported: &mut Imported) {
    let entities = admin.services.store.entities();
    for channel in &mut imported.channels {
        let name = admin.free_name(&channel.name);
        if name == channel.name {
            continue;
        }
        imported.notes.push(told!(
            "import-renamed",
            "'{old}' is called '{name}': there is a channel of its name already",
            old = channel.name,
            name = name
        ));
        let (old, new) = (format!("{}/", channel.name), format!("{name}/"));
        for rule in imported.profiles.iter_mut().flat_map(|profile| &mut profile.rules) {
            for to in std::iter::once(&mut rule.to).chain(&mut rule.fallback) {
                if let Some(model) = to.strip_prefix(&old) {
                    *to = format!("{new}{model}");
                }
            }
        }
        channel.name = name;
    }
    for profile in &mut imported.profiles {
        profile.name = profiles::free_name(&entities, &profile.name);
    }
}
