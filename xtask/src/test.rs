//! `cargo xtask test`: the README's test command. Unit and integration tests, doctests, the console, real clients.

use anyhow::{Result, bail};

use crate::{clients, console, desktop, process, setup};

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
        eprintln!("browser, desktop app and real clients: skipped, --quick was given");
        return Ok(());
    }
    desktop::test()?;
    console::browse()?;
    clients::run(&[])
}

fn rust_tests() -> Result<()> {
    // Both runners take the workspace in one go, so that dependencies are built once.
    let workspace = desktop::workspace()?;
    let nextest = process::cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    if nextest {
        // nextest leaves doctests out; they go first, so that its summary ends the run.
        process::run(pinned().args(["test", "--doc", "--locked"]).args(&workspace))?;
        process::run(
            pinned().args(["nextest", "run", "--locked", "--no-fail-fast", "--no-tests=pass"]).args(&workspace),
        )
    } else {
        process::run(pinned().args(["test", "--locked", "--no-fail-fast"]).args(&workspace))
    }
}

/// Cargo with snapshots frozen: a test must never write what it is compared with.
fn pinned() -> std::process::Command {
    let mut cargo = process::cargo();
    cargo.env("INSTA_UPDATE", "no");
    cargo
}
