//! `myelin serve`: the gateway in the foreground.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use myelin_core::config::{Flags, Paths};
use myelin_core::launch::{Launched, launch};

use crate::args::Place;
use crate::notify;

/// Run the gateway in the foreground.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// An address to listen on, in place of those of the configuration; may be repeated.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
}

/// Runs until it is told to stop.
pub(crate) fn run(place: &Place, serve: Serve) -> anyhow::Result<()> {
    log_to_stderr();
    let paths = Paths::find(place.config.clone(), place.data_dir.clone())?;
    let machines = paths.are_of_service();
    let launched = launch(&paths, Flags { listen: serve.listen, ..Flags::default() })?;
    for problem in &launched.warnings {
        crate::output::aside!("warning: {problem}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(until_stopped(launched, machines))
}

async fn until_stopped(launched: Launched, machines: bool) -> anyhow::Result<()> {
    let gateway = launched.gateway.clone();
    let stopping = gateway.clone();
    tokio::spawn(async move {
        stop_signal().await;
        notify::tell("STOPPING=1");
        crate::output::aside!("stopping; open answers may finish (again to stop at once)");
        stopping.shutdown();
        stop_signal().await;
        std::process::exit(130);
    });
    let greeted = AtomicBool::new(false);
    let served = gateway.serve(|addresses| {
        greeted.store(true, Ordering::Relaxed);
        print(&greeting(addresses, &launched, machines));
        notify::tell("READY=1");
    });
    let served = served.await;
    if !greeted.load(Ordering::Relaxed) {
        // A port that is taken must not swallow the only sight of the first key: the next start makes no other.
        print(&secrets(&launched));
    }
    gateway.store().close();
    Ok(served?)
}

/// Ctrl-C, SIGTERM, or the end of the terminal (SIGHUP).
#[cfg(unix)]
async fn stop_signal() {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).ok();
    let mut hangup = if hangup_is_heard() { signal(SignalKind::hangup()).ok() } else { None };
    let heard = async |signal: &mut Option<Signal>| match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = heard(&mut term) => {}
        () = heard(&mut hangup) => {}
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
async fn stop_signal() {
    drop(tokio::signal::ctrl_c().await);
}

/// Whether the end of the terminal is meant to end this: who starts it by `nohup` wants it to stay. Where that cannot be seen it is left to the system.
#[cfg(unix)]
fn hangup_is_heard() -> bool {
    let about = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = about.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 0)
}

/// Prints. A reader that has gone (`| head -1`) does not stop the gateway.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Every secret that was made just now, a line each.
fn secrets(launched: &Launched) -> String {
    let mut text = String::new();
    for key in &launched.keys {
        text.push_str(&format!("  key          {}   ({}; shown once)\n", key.secret.expose(), key.name));
    }
    if let Some(token) = &launched.admin_token {
        let token = token.secret.expose();
        text.push_str(&format!("  admin token  {token}   (shown once; `myelin admin token` makes another)\n"));
    }
    text
}

/// Where the gateway is, every secret that was made just now, and at the first start what to try.
fn greeting(addresses: &[SocketAddr], launched: &Launched, machines: bool) -> String {
    let Some(address) = addresses.first() else { return String::new() };
    let mut text = format!("Myelin is at http://{address}\n");
    let secrets = secrets(launched);
    if !secrets.is_empty() {
        text.push_str(&format!("\n{secrets}"));
    }
    if let Some(key) = launched.keys.first() {
        let secret = key.secret.expose();
        let body = r#"{"model":"echo","messages":[{"role":"user","content":"hello"}]}"#;
        text.push_str(&format!(
            "\nTry:
  curl http://{address}/v1/chat/completions -H 'authorization: Bearer {secret}' \\
       -d '{body}'
  ANTHROPIC_BASE_URL=http://{address}/anthropic ANTHROPIC_AUTH_TOKEN={secret} ANTHROPIC_MODEL=echo claude -p hello
"
        ));
        text.push_str(if machines {
            // Root's commands reach it; tools are other users'.
            "  sudo myelin channel add deepseek --key sk-…
  sudo myelin key create NAME          (one for each tool)
  sudo myelin tool snippet claude-code (what to write with the key into the tool)\n"
        } else {
            "  myelin channel add deepseek --key sk-…
  myelin import                        (keys and local servers that are here already)
  myelin tool connect claude-code      (`myelin tool list` names the others)\n"
        });
    }
    text
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,myelin_core=info"));
    let coloured = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(coloured).with_target(false).init();
}
