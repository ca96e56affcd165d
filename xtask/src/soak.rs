//! `cargo xtask soak`: kills the gateway under load at random moments, again and again, or lets mixed traffic with faults run for long. The test run does the
//! same for a short while.

use anyhow::{Context, Result, bail};

use crate::process;

/// Kills when nobody says how many.
const ROUNDS: u64 = 50;
/// Minutes of traffic when nobody says how many.
const MINUTES: u64 = 30;
/// The test that kills.
const KILLS: &str = "crash::what_was_answered_is_in_the_log_after_the_process_was_killed";
/// The test that looks at memory.
const TRAFFIC: &str = "process::case_48_memory_stays_where_it_is_under_traffic_with_faults_and_nothing_is_left_open";

/// Runs one of the tests for longer: no completed request may be missing, sums, budgets and kept bodies must be those of the
/// records; or memory must stay where it is.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let number = |text: &String, name: &str| text.parse::<u64>().with_context(|| format!("{name} takes a number"));
    match arguments {
        [] => kills(ROUNDS),
        [name, count] if name == "--rounds" => kills(number(count, "--rounds")?),
        [name] if name == "--traffic" => traffic(MINUTES),
        [name, minutes] if name == "--traffic" => traffic(number(minutes, "--traffic")?),
        other => bail!("`cargo xtask soak` takes --rounds N or --traffic [MINUTES], not `{}`", other.join(" ")),
    }
}

fn kills(rounds: u64) -> Result<()> {
    eprintln!("killing the gateway {rounds} times under load");
    test(KILLS, "MYELIN_SOAK_ROUNDS", rounds)
}

fn traffic(minutes: u64) -> Result<()> {
    eprintln!("mixed traffic with faults for {minutes} minutes");
    test(TRAFFIC, "MYELIN_SOAK_MINUTES", minutes)
}

fn test(name: &str, variable: &str, value: u64) -> Result<()> {
    process::run(
        process::cargo()
            .args(["test", "--locked", "-p", "myelin", "--test", "it", "--", "--exact", name, "--nocapture"])
            .env(variable, value.to_string()),
    )
}
