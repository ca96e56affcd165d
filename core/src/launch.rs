//! From paths and flags to a running gateway: the one way that the headless binary and the desktop app start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::config::{
    ConfigError, Flags, Keychain, KeychainError, Loader, Paths, SecretReader, SystemKeychain, WatchError, Watcher,
};
use crate::gateway::Gateway;
use crate::model::check::{self, Problem};
use crate::model::{Secret, SecretSource};
use crate::providers::{BuiltinRows, SecretResolver};
use crate::store::{Change, ChangeError, Issued, MasterKey, Store, StoreError};
use crate::upstream::UpstreamError;

/// File in the data directory that names the keychain's entry with the key that seals provider secrets.
const KEYCHAIN_NOTE: &str = "seal.keychain";

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
    /// The keychain does not give the key that the store's secrets are sealed with.
    #[error("provider secrets are sealed with the entry '{name}' of the system's keychain: {why}")]
    Keychain {
        /// Name of the entry.
        name: String,
        /// Why.
        why: KeychainError,
    },
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
    let desktop = flags.desktop;
    let loader = Loader::new(paths, flags, Arc::clone(&catalog));
    let loaded = loader.load()?;
    let master = match loaded.master_key.clone() {
        Some(given) => MasterKey::Given(given),
        None => own_master_key(&paths.data, desktop, &SystemKeychain::new())?,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Store::open(&paths.data, Arc::clone(&clock), &master, catalog)?;
    let applied = store.declare(loaded.declared.clone())?;
    let keys = applied.issued;
    let warnings = loaded.locate(store.problems());
    let secrets = Arc::new(Resolver(Arc::clone(loader.secrets())));
    let file = loaded.file.clone();
    let gateway = Gateway::open(store.clone(), clock, secrets)?;
    if let Some(file) = &file {
        gateway.set_config_file(file.clone());
    }
    if !paths.are_of_service() {
        // A folder of the superuser's for himself would hide the file from the service.
        make_folder(&paths.config);
    }
    let watcher = watch(loader, store, gateway.clone());
    Ok(Launched { gateway, keys, admin_token: None, warnings, file, watcher })
}

/// The key that seals provider secrets where the configuration names none: the entry of the keychain that a note in the data directory names, else a key
/// file. A store that the desktop app begins gets an entry, if there is a keychain that opens; the others, and those that have a key file, keep that.
fn own_master_key(data: &Path, desktop: bool, keychain: &dyn Keychain) -> Result<MasterKey, LaunchError> {
    let note = data.join(KEYCHAIN_NOTE);
    let unreadable = |why: std::io::Error| LaunchError::Store(StoreError::io(&note)(why));
    match std::fs::read_to_string(&note) {
        Ok(name) => {
            let name = name.trim().to_owned();
            return keychain.get(&name).map(MasterKey::Given).map_err(|why| LaunchError::Keychain { name, why });
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
        Err(why) => return Err(unreadable(why)),
    }
    if !desktop || Store::is_there(data) {
        return Ok(MasterKey::KeyFile);
    }
    let (name, secret) = (format!("store-{}", random(4)?), Secret::new(random(32)?));
    // What cannot be read back would lock the owner out.
    match keychain.put(&name, &secret).and_then(|()| keychain.get(&name)) {
        Ok(kept) if kept == secret => {}
        Ok(_) => return Ok(MasterKey::KeyFile),
        Err(why) => {
            tracing::info!(%why, "provider secrets are sealed with a key file");
            return Ok(MasterKey::KeyFile);
        }
    }
    std::fs::create_dir_all(data).and_then(|()| std::fs::write(&note, format!("{name}\n"))).map_err(unreadable)?;
    Ok(MasterKey::Given(secret))
}

/// So many random bytes in hexadecimal.
fn random(bytes: usize) -> Result<String, LaunchError> {
    let mut random = vec![0_u8; bytes];
    getrandom::fill(&mut random).map_err(|why| StoreError::Random(why.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Takes the file again whenever it changes; one with a mistake is reported and changes nothing.
fn watch(loader: Loader, store: Store, gateway: Gateway) -> Option<Watcher> {
    let path = loader.path().to_owned();
    let taken = move |loaded: Result<crate::config::Loaded, ConfigError>| match loaded {
        Ok(loaded) => match store.declare(loaded.declared.clone()) {
            Ok(applied) => {
                if let Some(file) = &loaded.file {
                    gateway.set_config_file(file.clone());
                }
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

/// The folder of the file, so that one that is written later is seen: that there is none yet is usual at the first start.
fn make_folder(path: &std::path::Path) {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) else {
        return;
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    if let Err(why) = builder.create(folder) {
        tracing::debug!(folder = %folder.display(), %why, "the folder of the configuration file cannot be made");
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

    /// Remembers entries, and may be locked.
    #[derive(Default)]
    struct Chain(std::sync::Mutex<std::collections::BTreeMap<String, Secret>>, std::sync::atomic::AtomicBool);

    impl Chain {
        fn lock(&self, locked: bool) {
            self.1.store(locked, std::sync::atomic::Ordering::SeqCst);
        }

        fn open(&self) -> Result<std::sync::MutexGuard<'_, std::collections::BTreeMap<String, Secret>>, KeychainError> {
            if self.1.load(std::sync::atomic::Ordering::SeqCst) {
                Err(KeychainError::Locked)
            } else {
                Ok(self.0.lock().unwrap())
            }
        }
    }

    impl Keychain for Chain {
        fn get(&self, name: &str) -> Result<Secret, KeychainError> {
            self.open()?.get(name).cloned().ok_or(KeychainError::Missing)
        }

        fn put(&self, name: &str, secret: &Secret) -> Result<(), KeychainError> {
            self.open()?.insert(name.to_owned(), secret.clone());
            Ok(())
        }
    }

    #[test]
    fn a_store_that_the_desktop_begins_is_sealed_by_the_keychain_and_stays_so_for_every_program() {
        let (dir, chain) = (tempfile::tempdir().unwrap(), Chain::default());
        let data = dir.path().join("data");
        let made = own_master_key(&data, true, &chain).unwrap();
        assert!(matches!(&made, MasterKey::Given(secret) if secret.expose().len() == 64));
        let note = std::fs::read_to_string(data.join(KEYCHAIN_NOTE)).unwrap();
        assert!(note.starts_with("store-") && chain.get(note.trim()).is_ok());
        for desktop in [true, false] {
            assert_eq!(own_master_key(&data, desktop, &chain).unwrap(), made);
        }
        chain.lock(true);
        let why = own_master_key(&data, false, &chain).unwrap_err();
        assert!(matches!(&why, LaunchError::Keychain { why: KeychainError::Locked, .. }), "{why}");
        assert!(why.to_string().contains(note.trim()) && why.to_string().contains("locked"), "{why}");
    }

    #[test]
    fn servers_stores_with_a_key_file_and_machines_without_a_keychain_keep_the_key_file() {
        let (dir, chain) = (tempfile::tempdir().unwrap(), Chain::default());
        assert_eq!(own_master_key(dir.path(), false, &chain).unwrap(), MasterKey::KeyFile);
        chain.lock(true);
        assert_eq!(own_master_key(dir.path(), true, &chain).unwrap(), MasterKey::KeyFile);
        chain.lock(false);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        drop(Store::open(dir.path(), clock, &MasterKey::KeyFile, Arc::new(BuiltinRows)).unwrap());
        assert_eq!(own_master_key(dir.path(), true, &chain).unwrap(), MasterKey::KeyFile, "what is there stays");
        assert!(chain.open().unwrap().is_empty() && !dir.path().join(KEYCHAIN_NOTE).exists());
    }

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
