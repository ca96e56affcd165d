//! `cargo xtask test`: the README's test command. Unit and integration tests, doctests, the console, real clients.

use anyhow::{Result, bail};

use crate::{clients, console, process, setup};

/// Builds and runs every test.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let quick = match arguments {
        [] => false,
        [word] if word == "--quick" => true,
        other => bail!("`cargo xtask test` takes --quick, not `{}`", other.join(" ")),
    };
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    console::check()?;
    rust_tests()?;
    if quick {
        eprintln!("browser and real clients: skipped, --quick was given");
        return Ok(());
    }
    console::browse()?;
    clients::run(&[])
}

fn rust_tests() -> Result<()> {
    // Both runners take the workspace in one go, so that dependencies are built once.
    let nextest = process::cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    if nextest {
        // nextest leaves doctests out; they go first, so that its summary ends the run.
        process::run(pinned().args(["test", "--doc", "--workspace", "--locked"]))?;
        process::run(pinned().args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--no-tests=pass"]))
    } else {
        process::run(pinned().args(["test", "--workspace", "--locked", "--no-fail-fast"]))
    }
}

/// Cargo with snapshots frozen: a test must never write what it is compared with.
fn pinned() -> std::process::Command {
    let mut cargo = process::cargo();
    cargo.env("INSTA_UPDATE", "no");
    cargo
}
