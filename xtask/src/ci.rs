//! `cargo xtask ci`: what a change must pass, in the order in which failures are cheapest to learn.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::{bench, dependencies, desktop, generate, process, setup};

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 8] = [
    ("format", format),
    ("spelling", spelling),
    ("dependencies", dependencies::check),
    ("lints", lints),
    ("docs", docs),
    ("generated files", generated),
    ("instructions", instructions),
    ("tests", tests),
];

/// Runs every check, even after one failed, so that one run tells all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(word) = arguments.first() {
        bail!("`cargo xtask ci` takes no arguments, not `{word}`");
    }
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    let outcomes: Vec<(&str, Result<()>, Duration)> = CHECKS
        .iter()
        .map(|(name, check)| {
            eprintln!("\n== {name}");
            let (outcome, took) = process::timed(check);
            if let Err(error) = &outcome {
                eprintln!("{name}: {error:#}");
            }
            (*name, outcome, took)
        })
        .collect();

    eprintln!();
    for (name, outcome, took) in &outcomes {
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        eprintln!("{name:<16} {word:<7} {}", process::human(*took));
    }
    let failed: Vec<&str> =
        outcomes.iter().filter(|(_, outcome, _)| outcome.is_err()).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn spelling() -> Result<()> {
    let typos = setup::lint_program("typos")?;
    process::run(process::command(typos).args(["--config", "typos.toml"]))
}

fn lints() -> Result<()> {
    process::run(tuned().arg("clippy").args(desktop::workspace()?).args([
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn docs() -> Result<()> {
    process::run(
        tuned()
            .arg("doc")
            .args(desktop::workspace()?)
            .args(["--no-deps", "--locked", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn generated() -> Result<()> {
    generate::run(&["--check".to_owned()])
}

/// What the main paths cost the processor, against ceilings in the tree: no clock is asked, so a slow machine passes as a fast one does.
fn instructions() -> Result<()> {
    bench::instructions(&[])
}

/// The README's test command, as a person would run it.
fn tests() -> Result<()> {
    process::run(tuned().args(["xtask", "test"]))
}

/// Cargo for machines that build once and throw away: no debug info, nothing kept for the next small edit.
fn tuned() -> Command {
    let mut cargo = process::cargo();
    if process::is_ci() {
        cargo
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
    }
    cargo.env("INSTA_UPDATE", "no");
    cargo
}
