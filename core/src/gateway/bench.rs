//! The tools of this machine with this gateway's address, models and keys: what the admin API, the command line and the tray work with.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{Secret, VirtualKey};
use crate::pipeline::Services;
use crate::store::{Change, ChangeError, NewKey, hash_secret, same_hash};
use crate::tools::{Connected, Machine, Restored, ToolError, Tools, View, Wanted};

/// Models that a tool is told at most.
const MOST_MODELS: usize = 100;
/// How long a tool's older key works beside a new one, in seconds: programs that run keep what they read at their start.
const GRACE_SECONDS: u64 = 86_400;

/// How a tool is to be connected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolAsk {
    /// The model that it is told; absent: the first that can be asked for, where it must be told one.
    pub model: Option<String>,
    /// The models that it offers, for tools that do not ask; absent: all that can be asked for.
    pub models: Option<Vec<String>>,
    /// Pins a profile by its path, for this tool; absent: its key's, else the gateway's.
    pub profile: Option<String>,
    /// The address that is written; absent: this gateway's own.
    pub base: Option<String>,
}

/// Something could not be done for a tool.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// On this machine.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// In the store.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// It was stopped.
    #[error("it was stopped before it was done")]
    Stopped,
}

/// The tools of this machine at this gateway. Cheap to make.
#[derive(Clone)]
pub struct Bench {
    tools: Tools,
    services: Arc<Services>,
    base: String,
}

impl Bench {
    /// `listen`: the addresses that are listened on, none if the gateway does not serve.
    pub fn new(
        services: Arc<Services>,
        listen: &[String],
        variables: std::collections::BTreeMap<String, String>,
    ) -> Self {
        let store = services.store.path();
        let data = store.parent().unwrap_or(&store).to_owned();
        let configured = services.store.entities().settings.listen.clone();
        let base = base_of(if listen.is_empty() { &configured } else { listen });
        Self { tools: Tools::new(Machine::new(variables, &data), &data), services, base }
    }

    /// The tools without the gateway.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The gateway's address without a path: `http://127.0.0.1:6935`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Every tool as it stands. `project`: a folder whose files are looked at too. Reads files: not for the hot path.
    pub fn list(&self, project: Option<PathBuf>) -> Vec<View> {
        let mut views = self.tools.list(&self.base, project.as_deref());
        views.iter_mut().for_each(|view| self.judge(view));
        views
    }

    /// One tool as it stands.
    ///
    /// # Errors
    /// When there is none.
    pub fn look(&self, id: &str, project: Option<PathBuf>) -> Result<View, ToolError> {
        let mut view = self.tools.look(id, &self.base, project.as_deref())?;
        self.judge(&mut view);
        Ok(view)
    }

    /// A connected tool whose key the gateway does not take is not connected.
    fn judge(&self, view: &mut View) {
        use crate::tools::{Drift, DriftKind, State};
        if view.connected.is_some() && self.known_key(&view.id).is_none() {
            let path = view.files.first().cloned().unwrap_or_default();
            view.drift.push(Drift { path, at: String::new(), kind: DriftKind::Key, found: None });
            if view.state != State::Unreadable {
                view.state = State::Drifted;
            }
        }
    }

    /// The tool's key as the gateway knows it, if it is good.
    pub fn known_key(&self, id: &str) -> Option<VirtualKey> {
        let secret = self.tools.key(id).ok().flatten()?;
        let hash = hash_secret(secret.expose());
        let now = self.services.clock.unix_ms();
        let entities = self.services.store.entities();
        let good =
            |key: &&VirtualKey| same_hash(&key.hash, &hash) && !key.blocked && key.expires.is_none_or(|end| end > now);
        entities.keys.iter().find(good).cloned()
    }

    /// What a tool is told.
    pub fn wanted(&self, ask: &ToolAsk) -> Wanted {
        let root = ask.base.as_deref().unwrap_or(&self.base).trim_end_matches('/');
        let base = match &ask.profile {
            Some(profile) => format!("{root}/p/{profile}"),
            None => root.to_owned(),
        };
        let models = ask.models.clone().unwrap_or_else(|| {
            let snapshot = self.services.snapshot.load();
            snapshot.routing.names().into_iter().take(MOST_MODELS).map(str::to_owned).collect()
        });
        Wanted { base, model: ask.model.clone(), models }
    }

    /// The tool's own key, made if it has none that works. Its secret is only ever in the tool's files and in a file of ours beside them.
    ///
    /// # Errors
    /// When there is no such tool, or disk or store refuse.
    pub async fn key(&self, id: &str, who: &str) -> Result<Secret, BenchError> {
        self.tools.find(id)?;
        if self.known_key(id).is_some()
            && let Some(secret) = self.tools.key(id)?
        {
            return Ok(secret);
        }
        let (tool, store) = (id.to_owned(), &self.services.store);
        let make = move |entities: &crate::model::Entities| {
            let own = |key: &&VirtualKey| key.tool.as_deref() == Some(&tool) && key.name == tool && !key.blocked;
            if let Some(key) = entities.keys.iter().find(own).filter(|key| key.origin != crate::model::Origin::File) {
                return Ok(Change::RotateKey { key: key.id.clone(), grace_seconds: GRACE_SECONDS });
            }
            let mut names = std::iter::once(tool.clone()).chain((2..).map(|number| format!("{tool}-{number}")));
            let name = names.find(|name| entities.key(name).is_none()).unwrap_or_else(|| tool.clone());
            Ok(Change::CreateKey(Box::new(NewKey { name, tool: Some(tool), ..NewKey::default() })))
        };
        let applied = store.apply_with(who, make).await?;
        let issued = applied.issued.first().ok_or(BenchError::Stopped)?;
        let (tools, id, secret) = (self.tools.clone(), id.to_owned(), issued.secret.clone());
        tokio::task::spawn_blocking(move || tools.keep_key(&id, Some(&secret)).map(|()| secret))
            .await
            .map_err(|_| BenchError::Stopped)?
            .map_err(BenchError::Tool)
    }

    /// What connecting would change.
    ///
    /// # Errors
    /// When it cannot be connected.
    pub async fn preview(&self, id: &str, ask: &ToolAsk) -> Result<Connected, BenchError> {
        let (tools, id, wanted) = (self.tools.clone(), id.to_owned(), self.wanted(ask));
        let key = self.known_key(&id).and(self.tools.key(&id)?);
        blocking(move || tools.preview(&id, &wanted, key.as_ref())).await
    }

    /// Connects a tool, with a key of its own.
    ///
    /// # Errors
    /// When it cannot be connected. A key that was made stays for the next try.
    pub async fn connect(&self, id: &str, ask: &ToolAsk, who: &str) -> Result<Connected, BenchError> {
        self.connect_as(id, self.wanted(ask), who).await
    }

    /// Connects a tool again as it was connected, at the address of now.
    ///
    /// # Errors
    /// When it is not connected or cannot be.
    pub async fn repair(&self, id: &str, who: &str) -> Result<Connected, BenchError> {
        let kept = self.tools.wanted(id)?;
        let kept = kept.ok_or_else(|| ToolError::NotConnected(id.to_owned()))?;
        // A profile in the path stays; the address is that of now.
        let profile = kept.base.split_once("/p/").map(|(_, profile)| profile.to_owned());
        let fresh = self.wanted(&ToolAsk { model: kept.model.clone(), profile, ..ToolAsk::default() });
        let models = if fresh.models.is_empty() { kept.models } else { fresh.models.clone() };
        self.connect_as(id, Wanted { models, ..fresh }, who).await
    }

    async fn connect_as(&self, id: &str, wanted: Wanted, who: &str) -> Result<Connected, BenchError> {
        // What would fail for its files fails before a key is made.
        let (tools, tool, ask) = (self.tools.clone(), id.to_owned(), wanted.clone());
        blocking(move || tools.preview(&tool, &ask, None)).await?;
        let key = self.key(id, who).await?;
        let (tools, id, at) = (self.tools.clone(), id.to_owned(), self.services.clock.unix_ms());
        blocking(move || tools.connect(&id, &wanted, &key, at)).await
    }

    /// Takes a tool's files back. Its key stays good, so that what runs goes on and its history stays; or goes, if that is wanted.
    ///
    /// # Errors
    /// When it is not connected or its files cannot be taken back.
    pub async fn restore(&self, id: &str, remove_key: bool, who: &str) -> Result<Restored, BenchError> {
        let (tools, tool) = (self.tools.clone(), id.to_owned());
        let restored = blocking(move || tools.restore(&tool)).await?;
        if remove_key {
            self.drop_key(id, who).await?;
        }
        Ok(restored)
    }

    /// The tool's key goes.
    ///
    /// # Errors
    /// When store or disk refuse.
    pub async fn drop_key(&self, id: &str, who: &str) -> Result<(), BenchError> {
        if let Some(key) = self.known_key(id) {
            self.services.store.apply(Change::RemoveKey { key: key.id }, who).await?;
        }
        let (tools, id) = (self.tools.clone(), id.to_owned());
        blocking(move || tools.keep_key(&id, None)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, BenchError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BenchError::Stopped)?.map_err(BenchError::Tool)
}

/// The address that tools of this machine reach: the first that is listened on, loopback where that is every address.
fn base_of(listen: &[String]) -> String {
    let first = listen.first().map_or("127.0.0.1:6935", String::as_str);
    let (host, port) = first.rsplit_once(':').unwrap_or((first, "6935"));
    let host = match host {
        "0.0.0.0" | "" | "*" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    format!("http://{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_that_this_machine_reaches() {
        for (listen, base) in [
            ("127.0.0.1:6935", "http://127.0.0.1:6935"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:7", "http://[::1]:7"),
            ("10.0.0.5:6935", "http://10.0.0.5:6935"),
        ] {
            assert_eq!(base_of(&[listen.to_owned()]), base);
        }
        assert_eq!(base_of(&[]), "http://127.0.0.1:6935");
    }
}
