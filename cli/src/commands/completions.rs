//! `myelin completions`: for bash, zsh, fish and others.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;

/// Completions for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Prints them.
pub(crate) fn run(completions: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Args::command(), "myelin", &mut script);
    crate::output::line(String::from_utf8_lossy(&script).trim_end())
}
