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
    let launched = launch(&paths, Flags { listen: serve.listen, ..Flags::default() })?;
    for problem in &launched.warnings {
        crate::output::aside!("warning: {problem}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(until_stopped(launched))
}

async fn until_stopped(launched: Launched) -> anyhow::Result<()> {
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
        print(&greeting(addresses, &launched));
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

/// Ctrl-C, or SIGTERM where there is one.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut term) = signal(SignalKind::terminate()) else { return drop(tokio::signal::ctrl_c().await) };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
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
fn greeting(addresses: &[SocketAddr], launched: &Launched) -> String {
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
  myelin channel add deepseek --key sk-…
  myelin import                        (keys and local servers that are here already)
  myelin tool connect claude-code      (`myelin tool list` names the others)\n"
        ));
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
