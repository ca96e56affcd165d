//! How commands reach the admin API: over the socket of the running gateway, or in this process when none runs.

use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{self, Poll};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use myelin_core::config::{Flags, Paths};
use myelin_core::gateway::Gateway;
use myelin_core::launch::{self, LaunchError};
use myelin_core::store::StoreError;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::args::Place;
use crate::whose::{self, Choice, Whose};

/// The way to the admin API.
pub(crate) struct Carrier {
    runtime: Runtime,
    way: Way,
    paths: Paths,
    /// The places are the machine's, not this user's.
    machines: bool,
}

enum Way {
    /// A gateway runs; this is its socket.
    #[cfg(unix)]
    Socket(PathBuf),
    /// None runs: the same API in this process, on the store itself.
    Here(Box<Gateway>),
}

impl Carrier {
    /// Reaches the running gateway, else opens the store in this process and says so.
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        match Self::running(place)? {
            Some(carrier) => Ok(carrier),
            None => Self::here(place),
        }
    }

    /// Reaches the running gateway: one's own, else the service of this machine; `None`: none runs. A user who has none of his own and may not reach the
    /// machine's is told so.
    pub(crate) fn running(place: &Place) -> anyhow::Result<Option<Self>> {
        let paths = Paths::find(place.config.clone(), place.data_dir.clone())?;
        #[cfg(unix)]
        {
            let service = Paths::of_service(place.config.as_deref(), place.data_dir.as_deref());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
            for (own, paths) in [(true, Some(paths)), (false, service)] {
                let Some(paths) = paths else { continue };
                let socket = paths.data.join(myelin_core::server::socket::SOCKET);
                match runtime.block_on(tokio::net::UnixStream::connect(&socket)) {
                    Ok(_) => return Ok(Some(Self { runtime, way: Way::Socket(socket), paths, machines: !own })),
                    Err(why) if own && why.kind() == io::ErrorKind::PermissionDenied => {
                        bail!("{} belongs to another user: run this as the user of the gateway", socket.display())
                    }
                    Err(_) => {}
                }
            }
        }
        #[cfg(not(unix))]
        drop(paths);
        whose::choose(place)?.refuse_others()?;
        Ok(None)
    }

    /// Whether a gateway answers that has just these places.
    #[cfg(unix)]
    pub(crate) fn answers(paths: &Paths) -> bool {
        std::os::unix::net::UnixStream::connect(paths.data.join(myelin_core::server::socket::SOCKET)).is_ok()
    }

    /// Nothing is known of others on this system.
    #[cfg(not(unix))]
    pub(crate) fn answers(_: &Paths) -> bool {
        false
    }

    fn here(place: &Place) -> anyhow::Result<Self> {
        let choice = whose::choose(place)?;
        choice.refuse_others()?;
        let Choice { paths, whose, beside } = choice;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let launched = {
            let _inside = runtime.enter();
            launch::open(&paths, Flags::default()).map_err(explain)?
        };
        // Now already: who ends this command with Ctrl-C must not keep the service from starting.
        #[cfg(unix)]
        hand_over(&paths.data);
        crate::output::aside!("no gateway is running: working on {} directly", paths.data.display());
        if let Some(beside) = beside {
            crate::output::aside!("{beside}");
        }
        for key in &launched.keys {
            // Keys of the file without a secret get one whenever the file is read first: now or never.
            crate::output::aside!("key {}: {}   (shown once)", key.name, key.secret.expose());
        }
        Ok(Self { runtime, way: Way::Here(Box::new(launched.gateway)), paths, machines: whose == Whose::Machine })
    }

    /// Refuses what is done to the tools of a user: what the service's own user can write must not say which files the superuser changes, and the
    /// superuser's tools are hardly meant.
    pub(crate) fn refuse_tools_of_the_machine(&self) -> anyhow::Result<()> {
        ensure!(
            !self.machines,
            "tools belong to a user, and this is the machine's gateway: `sudo myelin key create NAME` makes a key, `sudo myelin tool snippet TOOL` shows what to write with it into the tool"
        );
        Ok(())
    }

    /// Where things are.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(&Method::GET, path, None)
    }

    /// Sends something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(&Method::POST, path, Some(body))
    }

    /// Changes a part of something.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(&Method::PATCH, path, Some(body))
    }

    /// Puts something in place of what was.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(&Method::PUT, path, Some(body))
    }

    /// Removes something.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(&Method::DELETE, path, None)
    }

    /// Asks for a file, and writes it as it comes.
    pub(crate) fn download(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        out: &mut dyn Write,
    ) -> anyhow::Result<u64> {
        let bytes = Bytes::from(body.map(Value::to_string).unwrap_or_default());
        let body = Full::new(bytes).map_err(|never| match never {}).boxed();
        let request = head(method, path, "application/json").body(body)?;
        self.runtime.block_on(async {
            let mut answer = self.exchange(request).await?;
            if !answer.status().is_success() {
                let (status, bytes) = whole(answer).await?;
                return Err(refusal(status, &serde_json::from_slice(&bytes).unwrap_or_default()));
            }
            let mut written = 0;
            while let Some(frame) = answer.frame().await {
                let frame = frame.context("the file broke off: something went wrong while it was made")?;
                if let Ok(data) = frame.into_data() {
                    out.write_all(&data).context("cannot write")?;
                    written += data.len() as u64;
                }
            }
            out.flush().context("cannot write")?;
            Ok(written)
        })
    }

    /// Sends a file behind a first line.
    pub(crate) fn upload(&self, path: &str, line: &Value, file: std::fs::File) -> anyhow::Result<Value> {
        let body = Upload { line: Some(format!("{line}\n").into()), file };
        let request = head(&Method::POST, path, "application/octet-stream").body(body.boxed())?;
        let (status, bytes) = self.runtime.block_on(async { whole(self.exchange(request).await?).await })?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() { Ok(answer) } else { Err(refusal(status, &answer)) }
    }

    /// One request with a body of any length, and an answer that may still be coming.
    async fn exchange(&self, request: Request<BoxBody<Bytes, io::Error>>) -> anyhow::Result<Answer> {
        match &self.way {
            #[cfg(unix)]
            Way::Socket(path) => {
                let gone = || format!("the gateway at {} does not answer", path.display());
                let stream = tokio::net::UnixStream::connect(path).await.with_context(gone)?;
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
                        .await
                        .with_context(gone)?;
                tokio::spawn(connection);
                let answer = sender.send_request(request).await.with_context(gone)?;
                Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
            }
            Way::Here(gateway) => {
                Ok(gateway.ask_as_owner(request).await.map(|body| body.map_err(io::Error::other).boxed_unsync()))
            }
        }
    }

    fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(bytes)))?;
        let (status, bytes) = self.runtime.block_on(async {
            match &self.way {
                #[cfg(unix)]
                Way::Socket(socket) => over_socket(socket, request).await,
                Way::Here(gateway) => in_process(gateway, request).await,
            }
        })?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        Err(refusal(status, &answer))
    }
}

/// An answer that may still be coming.
type Answer = http::Response<UnsyncBoxBody<Bytes, io::Error>>;

fn head(method: &Method, path: &str, kind: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "localhost").header("content-type", kind)
}

async fn whole(answer: Answer) -> anyhow::Result<(StatusCode, Bytes)> {
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

fn refusal(status: StatusCode, answer: &Value) -> anyhow::Error {
    match answer.pointer("/error/message").and_then(Value::as_str) {
        Some(message) => anyhow::anyhow!("{message}{}", hint(message).unwrap_or_default()),
        None => anyhow::anyhow!("the gateway answered {status}"),
    }
}

/// What shows the things of a kind.
const LISTED: [(&str, &str); 9] = [
    ("limit", "myelin limit list"),
    ("owner", "myelin owner list"),
    ("key", "myelin key list"),
    ("channel", "myelin channel list"),
    ("profile", "myelin profile list"),
    ("route", "myelin route list"),
    ("change", "myelin history"),
    ("admin token", "myelin admin tokens"),
    ("price of yours for", "myelin price show"),
];

/// Where to look for the right name, if there is nothing of that one.
fn hint(message: &str) -> Option<String> {
    let (what, name) = message.strip_prefix("there is no ")?.split_once(" '")?;
    let whole = name.ends_with('\'') && !name.trim_end_matches('\'').contains('\'');
    let (_, command) = LISTED.iter().find(|(own, _)| *own == what && whole)?;
    Some(format!(": `{command}` shows what there is"))
}

/// A line, then a file, piece by piece.
struct Upload {
    line: Option<Bytes>,
    file: std::fs::File,
}

/// Bytes of a file that are sent at once.
const PIECE: usize = 64 << 10;

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(line) = self.line.take() {
            return Poll::Ready(Some(Ok(Frame::data(line))));
        }
        let mut piece = vec![0; PIECE];
        Poll::Ready(match self.file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(why) => Some(Err(why)),
        })
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Way::Here(gateway) = &self.way {
            gateway.store().close();
            #[cfg(unix)]
            hand_over(&self.paths.data);
        }
    }
}

/// Gives files that this process made to whoever owns their folder: the superuser who works on the store of a stopped service must not leave what the
/// service cannot open.
#[cfg(unix)]
fn hand_over(folder: &std::path::Path) {
    use std::os::unix::fs::{MetadataExt as _, lchown};
    let Ok(owner) = std::fs::metadata(folder) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(file) = entry.metadata() else { continue };
        // A file with a second name may be somebody else's.
        if (file.is_dir() || file.nlink() == 1) && file.uid() != owner.uid() {
            // Nobody but the superuser may: for all others there is nothing to give.
            let _ = lchown(entry.path(), Some(owner.uid()), Some(owner.gid()));
        }
    }
}

#[cfg(unix)]
async fn over_socket(path: &std::path::Path, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let gone = || format!("the gateway at {} does not answer", path.display());
    let stream = tokio::net::UnixStream::connect(path).await.with_context(gone)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.with_context(gone)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.with_context(gone)?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await.with_context(gone)?.to_bytes();
    connection.abort();
    Ok((status, bytes))
}

async fn in_process(gateway: &Gateway, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let answer = gateway.ask_as_owner(request).await;
    let status = answer.status();
    let bytes = answer.into_body().collect().await.map_err(|why| anyhow::anyhow!("{why}"))?.to_bytes();
    Ok((status, bytes))
}

/// A store that another process has, without a socket to reach it by.
fn explain(error: LaunchError) -> anyhow::Error {
    match error {
        LaunchError::Store(StoreError::InUse { dir, owner }) => {
            let pid = owner.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            anyhow::anyhow!(
                "a myelin{pid} has {} but its socket cannot be reached: use its console or admin API, or stop it",
                dir.display()
            )
        }
        other => other.into(),
    }
}

/// A name as one segment of an address.
pub(crate) fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
