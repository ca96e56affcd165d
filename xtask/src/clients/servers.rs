//! The two servers that clients talk to: the mock providers and the gateway. Each is stopped when it is dropped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::targets;
use crate::process;

/// A process that ends with us.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The mock providers.
pub(super) struct Mock {
    pub(super) url: String,
    _process: Owned,
    /// Kept open: what it still has to say must find a reader.
    _output: BufReader<ChildStdout>,
}

impl Mock {
    /// Starts it and waits until it says where it listens.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("no output to read")?;
        let process = Owned(child);
        let mut line = String::new();
        let mut output = BufReader::new(stdout);
        output.read_line(&mut line)?;
        let url =
            line.trim().strip_prefix("listening on ").context("mock-upstream did not say where it listens")?.to_owned();
        Ok(Self { url, _process: process, _output: output })
    }
}

/// The gateway, over a configuration that names every mock provider.
pub(super) struct Gateway {
    pub(super) url: String,
    pub(super) key: String,
    _process: Owned,
}

impl Gateway {
    /// Starts `program serve` in a fresh folder below `target/clients` and waits until it answers.
    pub(super) fn start(program: &Path, mock: &str) -> Result<Self> {
        let folder = process::root().join("target").join("clients");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let config = folder.join("myelin.toml");
        fs::write(&config, targets::configuration(mock))?;
        fs::write(folder.join("google.json"), targets::google_account(mock))?;
        let log = folder.join("gateway.log");
        let child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut process = Owned(child);
        for _ in 0..300 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self {
                    url: format!("http://127.0.0.1:{port}"),
                    key: targets::KEY.to_owned(),
                    _process: process,
                });
            }
            if let Some(status) = process.0.try_wait()? {
                bail!("the gateway ended with {status}\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(100));
        }
        bail!("the gateway does not listen after 30 s\n{}", fs::read_to_string(&log).unwrap_or_default())
    }
}

/// A port that nobody listens on just now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
