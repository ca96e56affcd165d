//! `cargo xtask run`: from a fresh machine to a gateway that answers.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{console, desktop, process, setup};

/// Checks the machine, builds the binary, and becomes its parent until it ends.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let wants_app = arguments.first().is_some_and(|word| word == "--desktop");
    let arguments = arguments.get(usize::from(wants_app)..).unwrap_or_default();
    let release = arguments.first().is_some_and(|word| word == "--release");
    let passed_on = arguments.get(usize::from(release)..).unwrap_or_default();
    let profile = if release { "release" } else { "dev" };

    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    if wants_app {
        return desktop::run(release, passed_on);
    }
    console::build_if_possible()?;
    process::run(process::cargo().args([
        "build",
        "--locked",
        "--profile",
        profile,
        "-p",
        "myelin",
        "--bin",
        "myelin",
    ]))?;

    let binary = setup::built_binary("myelin", if release { "release" } else { "debug" });
    let mut serve = process::command(&binary);
    // The caller's folder, not the root: a relative `--config` means what the caller sees.
    serve.current_dir(std::env::current_dir().context("cannot tell the current folder")?);
    serve.arg("serve").args(passed_on).stdin(Stdio::inherit());
    eprintln!("$ myelin serve {}", passed_on.join(" "));
    let status = serve.status().with_context(|| format!("cannot start {}", binary.display()))?;
    if !status.success() && status.code().is_some() {
        bail!("myelin ended with {status}");
    }
    Ok(())
}
