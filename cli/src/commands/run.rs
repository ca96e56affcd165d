//! `myelin run`: a tool pointed here by variables alone; no file of it is touched.

use std::process::Command;

use anyhow::{Context as _, bail};

use super::tool::{Ask, Desk};
use crate::args::Place;
use crate::carrier::Carrier;
use crate::whose;

/// Start a tool pointed here; no file of it is touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The tool; `myelin tool list` names them.
    tool: String,
    /// The profile for this start, whatever is active elsewhere (default: the folder's, else the key's, else the gateway's).
    #[arg(long)]
    profile: Option<String>,
    /// The model that it is told.
    #[arg(long)]
    model: Option<String>,
    /// The program, where it is not on the search path by its usual name.
    #[arg(long, value_name = "FILE")]
    program: Option<String>,
    /// Show what would be started and with which variables; start nothing.
    #[arg(long)]
    dry_run: bool,
    /// Words for the tool.
    #[arg(last = true)]
    words: Vec<String>,
}

/// Does it. On Unix the tool takes the place of this process: its signals and its end are its own.
pub(crate) fn run(place: &Place, run: Run) -> anyhow::Result<()> {
    let tool = alias(&run.tool).to_owned();
    let Some(carrier) = Carrier::running(place)? else {
        bail!("no gateway is running: start it with {}, then {} finds it", whose::starter(place), run.tool)
    };
    carrier.refuse_tools_of_the_machine()?;
    let desk = Desk::new(&carrier)?;
    let profile = match run.profile {
        Some(profile) => Some(profile),
        None => {
            let folder = std::env::current_dir().context("this folder cannot be found")?;
            let pin = desk.tools.pinned(&folder, &tool)?;
            if let Some(pin) = &pin {
                crate::output::aside!("{} is bound to profile {}", pin.folder, pin.profile);
            }
            pin.map(|pin| pin.profile)
        }
    };
    let wanted = desk.wanted(&Ask { model: run.model, profile, base: None })?;
    let key = desk.key(&tool)?;
    let launch = desk.tools.launch(&tool, &wanted, &key)?;
    // Who passes a word of ours means it: theirs is the one that counts.
    let words = if launch.words.first().is_some_and(|first| first.starts_with("--") && run.words.contains(first)) {
        Vec::new()
    } else {
        launch.words.clone()
    };
    let program = run.program.unwrap_or_else(|| launch.program.clone());
    if run.dry_run {
        let secret = key.expose();
        for (name, value) in &launch.set {
            crate::output::line(&format!("{name}={}", value.replace(secret, &myelin_core::tools::diff::hint(secret))))?;
        }
        launch.unset.iter().try_for_each(|name| crate::output::line(&format!("unset {name}")))?;
        let line: Vec<String> = std::iter::once(program).chain(words).chain(run.words).collect();
        return crate::output::line(&line.join(" "));
    }
    drop(desk);
    drop(carrier);
    let mut command = Command::new(&program);
    command.args(words).args(run.words).envs(&launch.set);
    launch.unset.iter().for_each(|name| {
        command.env_remove(name);
    });
    start(command).with_context(|| format!("'{program}' cannot be started: install it, or name it with --program"))
}

/// What people type for a tool.
fn alias(name: &str) -> &str {
    match name {
        "claude" => "claude-code",
        "gemini" => "gemini-cli",
        "qwen" => "qwen-code",
        "copilot" => "copilot-cli",
        "cn" => "continue",
        name => name,
    }
}

#[cfg(unix)]
fn start(mut command: Command) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn start(mut command: Command) -> anyhow::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}
