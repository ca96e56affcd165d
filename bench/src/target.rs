//! The programs that are compared: how each is started over the mock, and when it is ready.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::load::{Pressure, Whom, press};
use crate::peers::{self, Peer};
use crate::scenario::{Scenario, peer_scenarios, scenarios};
use crate::shape::{Format, Shape, Wire, ask};
use crate::{now_ns, process};

/// Key that the gateway under test issues.
const KEY: &str = "my-bench-0123456789abcdefghijklmnopqrstuv";
/// What a target is asked until it answers.
pub(crate) const READY: Shape = Shape { wire: Wire::Chat, latency_ms: 0, chunks: 0, interval_ms: 0, size: 64 };
/// The longest that a target may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Myelin's channels, all of them the mock: the wire, the channel's name, its provider, what follows the host, and what else it says.
const CHANNELS: [(Wire, &str, &str, &str, &str); 4] = [
    (Wire::Chat, "chat", "openai-compatible", "/v1", ""),
    (Wire::Messages, "messages", "anthropic-compatible", "", ""),
    (Wire::Responses, "responses", "openai-compatible", "/v1", "options = { formats = [\"openai-responses\"] }\n"),
    (Wire::Gemini, "gemini", "gemini-compatible", "", ""),
];

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The mock itself: what the load alone costs.
    Direct,
    /// A proxy written for nothing else.
    Nginx,
    /// What any developer writes in an hour: axum, `serde_json::Value`, reqwest.
    Relay,
    /// Myelin with a channel and a key and nothing more; it records every request.
    Bare,
    /// Myelin with profile rules, routes, limits, budgets, prices and kept bodies.
    Full,
    /// The same under callgrind.
    Counted,
    /// Somebody else's.
    Other(Peer),
}

impl Kind {
    /// All that are compared, the baselines first.
    pub const ALL: [Self; 5] = [Self::Direct, Self::Nginx, Self::Relay, Self::Bare, Self::Full];

    /// The target of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain(Peer::ALL.map(Self::Other)).find(|kind| kind.name() == name)
    }

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Relay => "relay",
            Self::Bare => "myelin-bare",
            Self::Full => "myelin",
            Self::Counted => "myelin-counted",
            Self::Other(peer) => peer.name(),
        }
    }

    fn is_gateway(self) -> bool {
        matches!(self, Self::Bare | Self::Full | Self::Counted)
    }

    /// Whether it can serve a scenario.
    pub fn serves(self, scenario: &Scenario) -> bool {
        match self {
            Self::Full | Self::Counted => true,
            Self::Other(peer) => peer.serves(scenario.format),
            _ => scenario.plain(),
        }
    }
}

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    /// The `myelin` binary.
    pub myelin: PathBuf,
    /// The `bench-relay` binary.
    pub relay: PathBuf,
    /// Where other gateways are installed.
    pub peers: PathBuf,
    /// A directory of our own.
    pub scratch: PathBuf,
}

/// A target that listens.
#[derive(Debug)]
pub struct Running {
    /// What it is.
    pub kind: Kind,
    /// Where, and with which key.
    pub whom: Whom,
    /// Milliseconds from its start to its first good answer.
    pub start_ms: f64,
    /// Its own directory.
    pub folder: PathBuf,
    /// Resident memory when it had answered one request and rested, in KiB.
    pub idle_kib: u64,
    child: Option<Child>,
}

impl Running {
    /// Starts `kind` in front of the mock at `mock` and waits for its first good answer.
    ///
    /// # Errors
    /// When it cannot be started or never answers.
    pub async fn start(kind: Kind, mock: SocketAddr, programs: &Programs) -> Result<Self> {
        let address = free_address()?;
        let folder = programs.scratch.join(format!("{}-{}", kind.name(), address.port()));
        std::fs::create_dir_all(&folder)?;
        let begin = now_ns();
        let command = match kind {
            Kind::Direct => None,
            Kind::Nginx => Some(nginx(address, mock, &folder)?),
            Kind::Relay => {
                let mut relay = Command::new(&programs.relay);
                relay.args([address.to_string(), format!("http://{mock}")]);
                Some(relay)
            }
            Kind::Other(peer) => Some(peer.command(address, mock, &programs.peers, &folder)?),
            Kind::Bare | Kind::Full | Kind::Counted => Some(myelin(kind, address, mock, programs, &folder)?),
        };
        let log = std::fs::File::create(folder.join("log"))?;
        let child = match command {
            Some(mut command) => {
                let program = command.as_std().get_program().to_owned();
                command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
                Some(command.spawn().with_context(|| format!("cannot start {}", program.display()))?)
            }
            None => None,
        };
        let (key, headers) = match kind {
            Kind::Other(peer) => (Some(peers::KEY.to_owned()), peer.headers(mock)),
            _ => (kind.is_gateway().then(|| KEY.to_owned()), Vec::new()),
        };
        let whom = Whom { address: if child.is_some() { address } else { mock }, key, headers };
        let mut running = Self { kind, whom, start_ms: 0.0, folder, idle_kib: 0, child };
        running.wait_ready(begin).await?;
        running.start_ms = (now_ns() - begin) as f64 / 1e6;
        tokio::time::sleep(Duration::from_millis(500)).await;
        running.idle_kib = running.pid().map_or(0, |pid| process::memory_kib(pid).0);
        Ok(running)
    }

    async fn wait_ready(&mut self, begin: u64) -> Result<()> {
        let ask = match self.kind {
            Kind::Other(peer) => peer.first_ask(),
            _ => ask(Format::Chat, READY, 200),
        };
        let once = Pressure { connections: 1, rate: None, seconds: 5.0, requests: Some(1) };
        let mut said = None;
        while now_ns() - begin < PATIENCE.as_nanos() as u64 {
            // Asking a port that nobody listens on costs a pause: look first.
            if tokio::net::TcpStream::connect(self.whom.address).await.is_ok() {
                let tally = press(&self.whom, &ask, once).await;
                if tally.ok == 1 {
                    return Ok(());
                }
                said = tally.sample.or(said);
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("{} ended with {status}:\n{log}", self.kind.name());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        bail!("{} never answered ({}):\n{log}", self.kind.name(), said.unwrap_or_default())
    }

    /// Ends it as a service manager would, and waits: what it writes at its end is written.
    pub async fn stop(mut self) {
        let (Some(pid), Some(child)) = (self.pid(), &mut self.child) else { return };
        let asked = Command::new("kill").arg(pid.to_string()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            let _ = tokio::time::timeout(PATIENCE, child.wait()).await;
        }
    }

    /// Its process; none for the mock itself.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn nginx(address: SocketAddr, mock: SocketAddr, folder: &Path) -> Result<Command> {
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().fold(String::new(), |mut lines, name| {
            let _ = writeln!(lines, "  {name}_temp_path {}/{name};", folder.display());
            lines
        });
    let configuration = format!(
        "daemon off; worker_processes auto; pid {pid}; error_log stderr error;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\n{temporary}  access_log off; client_max_body_size 0; keepalive_requests 1000000000;\n\
         upstream mock {{ server {mock}; keepalive 1024; keepalive_requests 1000000000; }}\n\
         server {{ listen {address} backlog=8192; location / {{\n\
         proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_buffering off; proxy_request_buffering off; }} }}\n}}\n",
        pid = folder.join("nginx.pid").display(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(file);
    Ok(nginx)
}

fn myelin(kind: Kind, address: SocketAddr, mock: SocketAddr, programs: &Programs, folder: &Path) -> Result<Command> {
    let file = folder.join("myelin.toml");
    std::fs::write(&file, configuration(kind, address, mock))?;
    let mut command = if kind == Kind::Counted {
        let mut valgrind = Command::new("valgrind");
        let dumps = folder.join("callgrind.out.%p");
        valgrind
            .args(["--tool=callgrind", "--separate-threads=yes", &format!("--callgrind-out-file={}", dumps.display())])
            .arg(&programs.myelin);
        valgrind
    } else {
        Command::new(&programs.myelin)
    };
    // What its owner has set is not to be measured.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MYELIN_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--config").arg(file).arg("--data-dir").arg(folder.join("data")).env("RUST_LOG", "warn");
    Ok(command)
}

/// The file that Myelin is started with.
fn configuration(kind: Kind, address: SocketAddr, mock: SocketAddr) -> String {
    let full = matches!(kind, Kind::Full | Kind::Counted);
    let models = |wire: Wire| {
        let ready = Shape { wire, ..READY };
        let shapes =
            scenarios().into_iter().chain(peer_scenarios()).flat_map(|scenario| [scenario.shape, scenario.unpaced()]);
        let shapes = shapes.filter(|shape| shape.wire == wire);
        let price = if full { ", price = { input = 1.25, cache_read = 0.125, output = 10 }" } else { "" };
        let names: BTreeSet<String> =
            shapes.chain([ready]).map(|shape| format!("{{ name = \"{shape}\"{price} }}")).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("listen = [\"{address}\"]\n");
    if full {
        text.push_str(include_str!("full_settings.toml"));
    }
    for (wire, name, provider, base, options) in CHANNELS {
        let models = models(wire);
        let _ = write!(
            text,
            "\n[[channels]]\nname = \"{name}\"\nprovider = \"{provider}\"\nbase_url = \"http://{mock}{base}\"\ncredentials = [\"bench\"]\n{options}models = [{models}]\n",
        );
    }
    let _ = write!(text, "\n[[keys]]\nname = \"bench\"\nsecret = \"{KEY}\"\n");
    if full {
        text.push_str(include_str!("full.toml"));
    }
    text
}
