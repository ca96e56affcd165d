//! The composition root: opens the store, reads the file, builds the snapshot, keeps it fresh, serves.
//!
//! The headless binary and the desktop app open the same [`Gateway`]; neither has a feature by a code path of its own.

mod bench;
mod desk;
mod fares;
mod notices;
mod probes;
mod spend;
mod trouble;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::events::Events;
use crate::limits::Limiter;
use crate::model::{ChannelState, Entities};
use crate::pipeline::{Origins, Resilience, Services, Talks};
use crate::providers::{Catalog, ChannelError, Dial, LiveChannel, SecretResolver, list_models};
use crate::server::front::Front;
use crate::server::{self, listen};
use crate::snapshot::{InForce, Line, Snapshot};
use crate::store::{Change, Store};
use crate::upstream::{Clients, UpstreamError};

pub use bench::{Bench, BenchError, ToolAsk};

/// A running gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    services: Arc<Services>,
    secrets: Arc<dyn SecretResolver + Send + Sync>,
    clients: Clients,
    /// Addresses that we listen on: never an upstream.
    own: std::sync::OnceLock<Vec<SocketAddr>>,
    stop: watch::Sender<bool>,
    /// Model lists are to be fetched now.
    sync: Notify,
    /// When it was opened; milliseconds since 1970.
    started: u64,
    /// The configuration file, for people who ask where it is.
    config_file: std::sync::OnceLock<PathBuf>,
    /// Whether it lives in the desktop app.
    desktop: std::sync::OnceLock<bool>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

/// A channel that cannot take part, with the reason that its owner reads.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Its configuration cannot work.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Its proxy cannot work.
    #[error(transparent)]
    Connect(#[from] UpstreamError),
}

impl Gateway {
    /// Puts a gateway together over an open store. `secrets` reads credentials from where the configuration says.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        secrets: Arc<dyn SecretResolver + Send + Sync>,
    ) -> Result<Self, UpstreamError> {
        let entities = store.entities();
        let clients = Clients::default();
        let media = clients.get(&media_dial(&entities))?;
        let fleet = Arc::default();
        let snapshot = ArcSwap::from_pointee(Snapshot::build(&entities, Vec::new(), media, &fleet));
        let started = clock.unix_ms();
        let path = store.path();
        let resilience = Resilience::beside(path.parent().unwrap_or(&path));
        let limiter = Limiter::new(store.counters().at_start().iter().copied());
        let services = Arc::new(Services {
            snapshot,
            clock,
            store,
            origins: Origins::default(),
            resilience,
            fleet,
            talks: Talks::default(),
            in_force: InForce::default(),
            limiter,
            events: Events::default(),
            flights: Default::default(),
        });
        let (stop, _) = watch::channel(false);
        let gateway = Self(Arc::new(Inner {
            services,
            secrets,
            clients,
            own: std::sync::OnceLock::new(),
            stop,
            sync: Notify::new(),
            started,
            config_file: std::sync::OnceLock::new(),
            desktop: std::sync::OnceLock::new(),
        }));
        gateway.rebuild(&entities);
        Ok(gateway)
    }

    /// What the pipeline works with.
    pub fn services(&self) -> &Arc<Services> {
        &self.0.services
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.services.store
    }

    /// The tools of this machine, at this gateway's address. Reads the environment anew: cheap, but not for the hot path.
    pub fn bench(&self) -> Bench {
        let own = self.0.own.get().map(Vec::as_slice).unwrap_or_default();
        let listen: Vec<String> = own.iter().map(ToString::to_string).collect();
        Bench::new(self.0.services.clone(), &listen, crate::config::variables())
    }

    /// Every route of the gateway.
    pub fn router(&self) -> Router {
        let desk: Arc<dyn server::admin::Desk> = Arc::new(self.clone());
        server::router(self.0.services.clone(), desk, !self.is_desktop())
    }

    /// Every route for the owner alone: the admin API asks for no token. For the CLI's socket and the window's in-process carrier.
    pub fn owner_router(&self) -> Router {
        server::owner_router(self.0.services.clone(), Arc::new(self.clone()))
    }

    /// This gateway lives in the desktop app: its listeners serve neither console nor admin API unless the settings say so.
    pub fn set_desktop(&self) {
        let _ = self.0.desktop.set(true);
    }

    /// Whether it lives in the desktop app.
    pub(crate) fn is_desktop(&self) -> bool {
        self.0.desktop.get().is_some_and(|desktop| *desktop)
    }

    /// Asks the admin API as the owner, without any connection: for commands that work while no gateway runs, and for the window.
    pub async fn ask_as_owner<B>(&self, request: http::Request<B>) -> http::Response<axum::body::Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        use tower::ServiceExt as _;
        let request = request.map(axum::body::Body::new);
        self.owner_router().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    /// Remembers which configuration file is in force, for people who ask.
    pub fn set_config_file(&self, file: PathBuf) {
        let _ = self.0.config_file.set(file);
    }

    /// A channel with its connections, whether it takes part or not: for tests and model lists.
    pub fn line(&self, name: &str) -> Option<Result<Line, LineError>> {
        let entities = self.store().entities();
        entities.channel(name).map(|channel| self.connect(channel))
    }

    /// Listens and serves until [`Gateway::shutdown`]. Calls `ready` with the addresses once they are bound.
    pub async fn serve(&self, ready: impl FnOnce(&[SocketAddr])) -> Result<(), listen::ListenError> {
        let listeners = listen::bind(&self.store().entities().settings.listen).await?;
        let own: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let _ = self.0.own.set(own.clone());
        // Before the snapshot is built: a change in between is then seen twice and not never.
        let changes = self.store().subscribe();
        let entities = self.store().entities();
        self.rebuild(&entities);
        self.0.services.in_force.set(&entities);
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().follow_configuration(changes));
        tasks.spawn(self.clone().watch_spend());
        tasks.spawn(self.clone().watch_store());
        tasks.spawn(self.clone().follow_model_lists());
        tasks.spawn(self.clone().tidy_counters());
        tasks.spawn(self.clone().follow_probes());
        self.restore_fares().await;
        tasks.spawn(self.clone().follow_fares());
        let mut serving = JoinSet::new();
        // One router for all: sessions of the console hold whether the browser comes by IPv4 or IPv6.
        let front = Front::new(self.0.services.clone(), self.router());
        for listener in listeners {
            let front = front.clone();
            let answer = move |request| front.clone().answer(request);
            serving.spawn(listen::serve(listener, answer, self.0.stop.subscribe()));
        }
        #[cfg(unix)]
        self.open_socket(&mut serving);
        ready(&own);
        while serving.join_next().await.is_some() {}
        tasks.shutdown().await;
        self.keep_fares();
        Ok(())
    }

    /// The owner's socket beside the store. Without it the gateway works all the same.
    #[cfg(unix)]
    fn open_socket(&self, serving: &mut JoinSet<()>) {
        use crate::server::socket;
        let path = self.store().path().with_file_name(socket::SOCKET);
        match socket::bind(&path) {
            Ok(listener) => {
                serving.spawn(socket::serve(listener, self.owner_router(), self.0.stop.subscribe()));
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no socket for the command line: use an admin token");
            }
        }
    }

    /// Stops accepting, lets open answers finish, then closes the store.
    pub fn shutdown(&self) {
        self.0.stop.send_replace(true);
    }

    /// Fetches model lists soon, for channels that have none yet.
    pub fn sync_models_soon(&self) {
        self.0.sync.notify_one();
    }

    /// Fetches the model list of one channel and keeps it.
    pub async fn sync_models(&self, name: &str) -> Result<Vec<String>, String> {
        let line = match self.line(name) {
            Some(line) => line.map_err(|error| error.to_string())?,
            None => return Err(format!("there is no channel {name:?}")),
        };
        let listed = list_models(&line.channel, line.client.as_ref(), self.0.services.clock.as_ref()).await;
        let models: Vec<String> =
            listed.map_err(|error| error.public.message.clone())?.into_iter().map(|model| model.id).collect();
        if !models.is_empty() {
            let change = Change::ChannelListed { name: name.to_owned(), models: models.clone() };
            self.store().apply(change, "model sync").await.map_err(|error| error.to_string())?;
        }
        Ok(models)
    }

    fn connect(&self, channel: &crate::model::Channel) -> Result<Line, LineError> {
        let own = self.0.own.get().map(Vec::as_slice).unwrap_or_default();
        let live = LiveChannel::build(channel, Catalog::builtin(), self.0.secrets.as_ref(), own)?;
        let client = self.0.clients.get(&live.dial)?;
        Ok(Line { channel: Arc::new(live), client })
    }

    /// Builds the snapshot and swaps it in. A channel that cannot work is left out and reported; the others go on.
    fn rebuild(&self, entities: &Entities) {
        let enabled = entities.channels.iter().filter(|channel| channel.enabled);
        let lines = enabled.filter_map(|channel| match self.connect(channel) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::error!(channel = channel.name, %error, "a channel is left out");
                None
            }
        });
        let before = self.0.services.snapshot.load_full();
        let media = self.0.clients.get(&media_dial(entities)).unwrap_or_else(|_| before.media.clone());
        let services = &self.0.services;
        let (limits, gone) = services.limiter.compile(entities, services.clock.unix_ms());
        let snapshot = Snapshot::build(entities, lines.collect(), media, &services.fleet).limited(limits);
        let channels: Vec<Arc<LiveChannel>> = snapshot.lines.iter().map(|line| Arc::clone(&line.channel)).collect();
        self.store().bodies().mask(Arc::new(move |text: &str| {
            let without = |text: String, channel: &Arc<LiveChannel>| match channel.redact(&text) {
                Cow::Owned(masked) => masked,
                Cow::Borrowed(_) => text,
            };
            channels.iter().fold(text.to_owned(), without)
        }));
        services.snapshot.store(Arc::new(snapshot));
        self.forget_counters(gone.into_iter().map(|counter| (counter, u64::MAX)).collect());
        self.store().ledger().keep_days(entities.settings.metadata_days);
        self.store().bodies().keep(entities.settings.bodies_days, entities.settings.bodies_bytes);
    }

    /// Limits that are gone leave nothing behind, and what no longer counts goes.
    fn forget_counters(&self, before: Vec<(u64, u64)>) {
        if !before.is_empty() {
            // Nobody waits for it: what is forgotten late is looked at again an hour later.
            drop(self.store().counters().forget(before));
        }
    }

    /// What limits counted in windows that are over is forgotten, now and every hour. Runs once everything is configured.
    async fn tidy_counters(self) {
        loop {
            let services = &self.0.services;
            let unclaimed = services.limiter.unclaimed().into_iter().map(|counter| (counter, u64::MAX));
            let over = services.snapshot.load().limits.kept_from(services.clock.unix_ms());
            self.forget_counters(unclaimed.chain(over).collect());
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
    }

    /// Every change of the configuration makes a new snapshot; requests in flight keep theirs.
    async fn follow_configuration(self, mut changes: watch::Receiver<Arc<Entities>>) {
        let mut before = self.store().entities();
        while changes.changed().await.is_ok() {
            let entities = changes.borrow_and_update().clone();
            self.rebuild(&entities);
            self.0.services.in_force.set(&entities);
            // Who hears of a switch may count on it.
            for event in notices::between(&before, &entities, self.0.services.clock.unix_ms()) {
                self.0.services.events.tell(event);
            }
            before.clone_from(&entities);
            if entities.channels.iter().any(needs_list) {
                self.sync_models_soon();
            }
        }
    }

    /// Model lists of providers are fetched at the start, when a channel is new, and again after a while.
    async fn follow_model_lists(self) {
        let mut first = true;
        loop {
            let entities = self.store().entities();
            let wanted = entities
                .channels
                .iter()
                .filter(|channel| channel.enabled && channel.models.is_none() && (!first || channel.listed.is_empty()));
            let names: Vec<String> = wanted.map(|channel| channel.name.clone()).collect();
            for name in names {
                if let Err(error) = self.sync_models(&name).await {
                    tracing::warn!(channel = name, error, "the model list could not be fetched");
                }
            }
            first = false;
            let every = entities.settings.model_sync_seconds;
            let pause = if every == 0 { Duration::from_secs(365 * 86_400) } else { Duration::from_secs(every) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.0.sync.notified() => first = true,
            }
        }
    }
}

/// How media that callers name by address is reached.
fn media_dial(entities: &Entities) -> Dial {
    Dial { public_only: !entities.settings.private_media, ..Dial::default() }
}

fn needs_list(channel: &crate::model::Channel) -> bool {
    channel.enabled
        && channel.models.is_none()
        && channel.listed.is_empty()
        && !matches!(channel.state, ChannelState::Failing { .. })
}
