//! Which gateway the app works with: a service that runs already, or one of its own. When neither can be had, one message says why and what to do.

use std::path::Path;

use anyhow::{Context as _, Result};
use myelin_core::config::{Flags, KeychainError, Paths};
use myelin_core::gateway::Gateway;
use myelin_core::launch::{self, LaunchError, Launched};
use myelin_core::store::StoreError;
use tauri::async_runtime::JoinHandle;
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::carrier::Carrier;
#[cfg(unix)]
use crate::facts::list;
use crate::quit::Serving;
use crate::{message, surroundings};

/// What can be done about a start that fails.
const CHOICES: [&str; 2] = ["Try again", "Quit"];

/// The gateway that the app works with.
pub(crate) struct Started {
    /// The way to it.
    pub(crate) carrier: Carrier,
    /// Where tools call it, `host:port`.
    pub(crate) address: String,
    /// What lives in this process; `None`: a service has the gateway.
    pub(crate) own: Option<Own>,
}

/// A gateway of this process.
pub(crate) struct Own {
    pub(crate) gateway: Gateway,
    /// Ends when the gateway has served its last.
    pub(crate) serving: JoinHandle<()>,
    /// Kept for what it holds: the watcher of the configuration file.
    _launched: Launched,
}

/// Starts, and asks again as often as the owner wants. `None`: the owner gave up.
///
/// # Errors
/// When the system does not say where things belong.
pub(crate) fn start(runtime: &Runtime, args: &Args, paths: &Paths, serving: &Serving) -> Result<Option<Started>> {
    loop {
        match attempt(runtime, args, paths, serving) {
            Ok(started) => return Ok(Some(started)),
            Err(why) => {
                if message::ask_before(&why, &CHOICES) != 0 {
                    return Ok(None);
                }
            }
        }
    }
}

fn attempt(runtime: &Runtime, args: &Args, paths: &Paths, begun: &Serving) -> Result<Started, String> {
    if let Some((carrier, address)) = service(runtime, &paths.data) {
        tracing::info!("attached to the service that has {}", paths.data.display());
        begun.begin();
        return Ok(Started { carrier, address, own: None });
    }
    let launched = {
        let _inside = runtime.enter();
        launch::open(paths, Flags { listen: args.listen.clone(), desktop: true }).map_err(|why| cannot_open(&why))?
    };
    for problem in &launched.warnings {
        tracing::warn!(%problem, "configuration");
    }
    let gateway = launched.gateway.clone();
    gateway.set_desktop();
    begun.begin();
    match serve(runtime, &gateway) {
        Ok((serving, address)) => {
            let carrier = Carrier::here(&gateway);
            Ok(Started { carrier, address, own: Some(Own { gateway, serving, _launched: launched }) })
        }
        Err(why) => {
            begun.cease();
            let listen = gateway.store().entities().settings.listen.clone();
            gateway.store().close();
            Err(cannot_listen(&why, &listen, paths))
        }
    }
}

/// Serves; comes back with the first address once it listens, or with the reason why it cannot.
fn serve(runtime: &Runtime, gateway: &Gateway) -> Result<(JoinHandle<()>, String), String> {
    let (ready_out, ready) = tokio::sync::oneshot::channel();
    let gateway = gateway.clone();
    let serving = tauri::async_runtime::spawn(async move {
        let told = std::sync::Mutex::new(Some(ready_out));
        let tell = |outcome: Result<String, String>| {
            let waiting = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            waiting.map(|waiting| waiting.send(outcome));
        };
        let served = gateway.serve(|own| tell(Ok(own.first().map(ToString::to_string).unwrap_or_default()))).await;
        if let Err(why) = served {
            tell(Err(why.to_string()));
        }
    });
    let address = runtime.block_on(ready).unwrap_or_else(|_| Err("the gateway ended at once".to_owned()))?;
    Ok((serving, address))
}

/// A gateway that runs already on this data directory.
#[cfg(unix)]
fn service(runtime: &Runtime, data: &Path) -> Option<(Carrier, String)> {
    let socket = data.join(myelin_core::server::socket::SOCKET);
    if !socket.exists() {
        return None;
    }
    let carrier = Carrier::socket(socket);
    let status = runtime.block_on(carrier.get("/api/v1/status")).ok()?;
    let address = list(&status, "/listen").first().and_then(|first| first.as_str()).unwrap_or_default().to_owned();
    Some((carrier, address))
}

#[cfg(not(unix))]
fn service(_: &Runtime, _: &Path) -> Option<(Carrier, String)> {
    None
}

fn cannot_open(error: &LaunchError) -> String {
    match error {
        LaunchError::Store(StoreError::InUse { dir, owner }) => {
            let pid = owner.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            format!(
                "Another Myelin{pid} has the data directory, and it does not answer.\nStop it and try again. The directory: {}",
                dir.display()
            )
        }
        LaunchError::Keychain { name, why } => cannot_unseal(name, why),
        other => format!("Myelin cannot start.\n{other}"),
    }
}

/// The key that the store's secrets are sealed with is in the keychain, and stays there.
fn cannot_unseal(name: &str, why: &KeychainError) -> String {
    let (head, advice) = match why {
        KeychainError::Locked => ("The keychain is locked.", "Unlock it and try again.".to_owned()),
        KeychainError::Absent(why) => {
            ("No keychain answers.", format!("It says: {why}.\nStart your desktop's keychain and try again."))
        }
        KeychainError::Missing => (
            "The keychain has lost Myelin's key.",
            "Bring the entry back and try again, or name another data directory and restore a backup into it."
                .to_owned(),
        ),
        KeychainError::Refused(why) => ("The keychain refuses.", format!("It says: {why}.")),
    };
    format!("{head}\nThe secrets of your providers are sealed with its entry '{name}'.\n{advice}")
}

fn cannot_listen(why: &str, listen: &[String], paths: &Paths) -> String {
    let holder = listen.iter().find_map(|address| {
        let port = address.rsplit(':').next()?.parse().ok()?;
        surroundings::holder_of(port).map(|(name, pid)| (address, name, pid))
    });
    let file = paths.config.display();
    match holder {
        Some((address, name, pid)) => format!(
            "{address} is taken by {name} (process {pid}).\nTools know Myelin by this address, so it does not move by itself. Stop {name} and try again, \
             or name another address as `listen` in {file}."
        ),
        None => format!("Myelin cannot listen.\n{why}\nAddresses are set as `listen` in {file}."),
    }
}

/// Where things are, as the arguments and the environment say.
///
/// # Errors
/// When the system does not say where things belong.
pub(crate) fn paths(args: &Args) -> Result<Paths> {
    Paths::find(args.config.clone(), args.data_dir.clone()).context("no place for the data")
}
