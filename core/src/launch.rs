//! From paths and flags to a running gateway: the one way that the headless binary and the desktop app start.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, Flags, Loader, Paths, SecretReader, WatchError, Watcher};
use crate::gateway::Gateway;
use crate::model::check::{self, Problem};
use crate::model::{Secret, SecretSource};
use crate::providers::{BuiltinRows, SecretResolver};
use crate::store::{Change, ChangeError, Issued, MasterKey, Store, StoreError};
use crate::upstream::UpstreamError;

/// A gateway that is ready to serve.
pub struct Launched {
    /// The gateway.
    pub gateway: Gateway,
    /// Secrets that were made just now and are never shown again: keys, then the admin token.
    pub keys: Vec<Issued>,
    /// The first admin token, at the very first start.
    pub admin_token: Option<Issued>,
    /// What is surely not as meant.
    pub warnings: Vec<Problem>,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Reads the file again when it changes, for as long as it lives.
    pub watcher: Option<Watcher>,
}

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the file declares cannot be taken.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Reads the configuration, opens the store, puts both together. Blocks for the disk.
///
/// # Errors
/// When the configuration is wrong, or the store cannot be opened or is another process's.
pub fn launch(paths: &Paths, flags: Flags) -> Result<Launched, LaunchError> {
    let mut launched = open(paths, flags)?;
    let store = launched.gateway.store();
    if store.entities().keys.is_empty() {
        let key = crate::store::NewKey { name: "default".to_owned(), ..Default::default() };
        launched.keys.extend(store.apply_blocking(Change::CreateKey(Box::new(key)), "first start")?.issued);
    }
    if store.admin_tokens().is_empty() {
        let made = store.apply_blocking(Change::CreateAdminToken { name: "first".to_owned() }, "first start")?;
        launched.admin_token = made.issued.into_iter().next();
    }
    Ok(launched)
}

/// As [`launch`], but makes no first key and no first token: for commands that work on the store while no gateway runs.
///
/// # Errors
/// As [`launch`].
pub fn open(paths: &Paths, flags: Flags) -> Result<Launched, LaunchError> {
    let catalog: Arc<dyn check::Catalog> = Arc::new(BuiltinRows);
    let loader = Loader::new(paths, flags, Arc::clone(&catalog));
    let loaded = loader.load()?;
    let master = loaded.master_key.clone().map_or(MasterKey::KeyFile, MasterKey::Given);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Store::open(&paths.data, Arc::clone(&clock), &master, catalog)?;
    let applied = store.declare(loaded.declared.clone())?;
    let keys = applied.issued;
    let warnings = loaded.locate(store.problems());
    let secrets = Arc::new(Resolver(Arc::clone(loader.secrets())));
    let file = loaded.file.clone();
    let watcher = watch(loader, store.clone());
    let gateway = Gateway::open(store, clock, secrets)?;
    if let Some(file) = &file {
        gateway.set_config_file(file.clone());
    }
    Ok(Launched { gateway, keys, admin_token: None, warnings, file, watcher })
}

/// Takes the file again whenever it changes; one with a mistake is reported and changes nothing.
fn watch(loader: Loader, store: Store) -> Option<Watcher> {
    let path = loader.path().to_owned();
    let taken = move |loaded: Result<crate::config::Loaded, ConfigError>| match loaded {
        Ok(loaded) => match store.declare(loaded.declared.clone()) {
            Ok(applied) => {
                for problem in loaded.locate(applied.warnings) {
                    tracing::warn!(%problem, "configuration");
                }
                tracing::info!("the configuration was read again");
            }
            Err(error) => tracing::error!(%error, "the configuration was not taken; the old one stays"),
        },
        Err(error) => tracing::error!(%error, "the configuration was not taken; the old one stays"),
    };
    match Watcher::start(loader, taken) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            log_unwatched(&path, &error);
            None
        }
    }
}

fn log_unwatched(path: &std::path::Path, error: &WatchError) {
    if path.exists() {
        tracing::warn!(%error, "changes of the configuration file are not seen until the next start");
    } else {
        tracing::debug!(%error, "no configuration file to watch");
    }
}

/// Reads credentials of channels the way the configuration reads its secrets.
struct Resolver(Arc<dyn SecretReader>);

impl SecretResolver for Resolver {
    fn resolve(&self, source: &SecretSource) -> Result<Secret, String> {
        self.0.read(source).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Settings;

    fn problems(channel: serde_json::Value) -> Vec<String> {
        let channel: crate::model::Channel = serde_json::from_value(channel).unwrap();
        let found = check::channel(&channel, &Settings::default(), &BuiltinRows);
        found.into_iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn case_27_a_model_that_no_endpoint_of_its_channel_serves_is_refused_when_it_is_configured() {
        let channel = |formats: serde_json::Value, models: &[&str]| json!({"name": "main", "provider": "openai", "credentials": ["sk-1"], "options": formats, "models": models});
        let found = problems(channel(json!({"formats": ["openai-chat"]}), &["gpt-4.1", "gpt-5-codex"]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("models[1]") && found[0].contains("gpt-5-codex"), "{found:?}");
        let all = ["gpt-4.1", "gpt-5-codex", "text-embedding-3-small", "whisper-1", "gpt-3.5-turbo-instruct"];
        assert_eq!(problems(channel(json!({}), &all)), [""; 0]);
        let jina = json!({"name": "jina", "provider": "jina", "credentials": ["k"], "models": ["jina-embeddings-v3"]});
        assert_eq!(problems(jina), [""; 0]);
    }
}
