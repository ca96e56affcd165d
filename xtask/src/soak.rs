//! `cargo xtask soak`: kills the gateway under load at random moments, again and again. The test run does the same a few times.

use anyhow::{Context, Result, bail};

use crate::process;

/// Kills when nobody says how many.
const ROUNDS: u64 = 50;
/// The test that does it.
const TEST: &str = "process::what_was_answered_is_in_the_log_after_the_process_was_killed";

/// Runs the test with more rounds: no completed request may be missing, and sums must be those of the records.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let rounds = match arguments {
        [] => ROUNDS,
        [name, count] if name == "--rounds" => count.parse().context("--rounds takes a number")?,
        other => bail!("`cargo xtask soak` takes --rounds N, not `{}`", other.join(" ")),
    };
    eprintln!("killing the gateway {rounds} times under load");
    process::run(
        process::cargo()
            .args(["test", "--locked", "-p", "myelin", "--test", "it", "--", "--exact", TEST, "--nocapture"])
            .env("MYELIN_SOAK_ROUNDS", rounds.to_string()),
    )
}
