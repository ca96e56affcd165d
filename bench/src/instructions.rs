//! How many instructions the gateway's process spends on a request, counted by callgrind: the same binary and load give the same count to a few
//! per mille, however busy the machine is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::load::{Pressure, press};
use crate::scenario::{Scenario, named};
use crate::shape::ask;
use crate::target::{Kind, Programs, Running};

/// What is counted: a scenario, and how many requests.
const COUNTED: [(&str, u64); 9] = [
    ("saturated", 400),
    ("body-1m", 10),
    ("messages", 400),
    ("streams", 20),
    ("messages-to-chat", 400),
    ("chat-to-messages", 400),
    ("messages-to-chat-streams", 20),
    ("responses-to-chat-streams", 20),
    ("chat-to-gemini-streams", 20),
];

/// Instructions by scenario: per request, of streams per chunk.
pub type Counts = BTreeMap<String, u64>;

/// Starts Myelin under callgrind in front of the mock and counts each scenario. `keep`: where the dumps go, for `callgrind_annotate`.
///
/// # Errors
/// When valgrind is missing, or an answer is not what it must be.
pub async fn count(mock: SocketAddr, programs: &Programs, keep: Option<&Path>) -> Result<Counts> {
    let running = Running::start(Kind::Counted, mock, programs).await?;
    let pid = running.pid().context("the gateway has no process")?;
    let mut counts = Counts::new();
    for (name, requests) in COUNTED {
        let scenario = named(name).with_context(|| format!("no scenario {name}"))?;
        // Twice as many are worked through before: caches are warm, pools filled.
        answer(&running, &scenario, requests / 2).await?;
        control(&["--zero", &pid.to_string()]).await?;
        answer(&running, &scenario, requests).await?;
        control(&[&format!("--dump={name}"), &pid.to_string()]).await?;
        let mut total = 0;
        for dump in dumps(&running.folder)? {
            total += counted(&dump)?;
            if let Some(keep) = keep {
                std::fs::create_dir_all(keep)?;
                let thread = dump.extension().unwrap_or_default().to_string_lossy().into_owned();
                std::fs::copy(&dump, keep.join(format!("callgrind.out.{name}.{thread}")))?;
            }
            std::fs::remove_file(&dump)?;
        }
        let units = requests * u64::from(scenario.shape.chunks.max(1));
        counts.insert(name.to_owned(), total / units);
    }
    Ok(counts)
}

async fn answer(running: &Running, scenario: &Scenario, requests: u64) -> Result<()> {
    let pressure = Pressure { connections: 2, rate: None, seconds: 300.0, requests: Some(requests) };
    let ask = ask(scenario.format, scenario.unpaced(), scenario.body);
    let tally = press(&running.whom, &ask, pressure).await;
    if tally.ok != requests {
        bail!("{}: {} of {requests} requests were answered: {:?}", scenario.name, tally.ok, tally.sample);
    }
    Ok(())
}

async fn control(words: &[&str]) -> Result<()> {
    let output =
        Command::new("callgrind_control").args(words).output().await.context("callgrind_control is missing")?;
    if !output.status.success() {
        bail!("callgrind_control {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// The dumps of all threads: `callgrind.out.<process>.<dump>-<thread>`. The file without a number is for the end.
fn dumps(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut dumps: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    let of_thread = |name: &str| name.starts_with("callgrind.out.") && name.contains('-');
    dumps.retain(|path| path.file_name().is_some_and(|name| of_thread(&name.to_string_lossy())));
    if dumps.is_empty() {
        bail!("callgrind wrote no dump");
    }
    Ok(dumps)
}

/// What a thread's dump counts. The store's writer is left out: it commits by the clock, and under callgrind a commit holds a few records instead of hundreds.
fn counted(path: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(path)?;
    if is_writer(&text) {
        return Ok(0);
    }
    let total =
        text.lines().rev().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    total.and_then(|total| total.trim().parse().ok()).with_context(|| format!("{} has no total", path.display()))
}

/// Whether the dump is of the thread that writes: it calls redb and runs no tasks. Not told by a function of our own: which of those the compiler inlines
/// away changes from build to build.
fn is_writer(dump: &str) -> bool {
    dump.contains("redb::") && !dump.contains("scheduler::multi_thread::worker::Context::run")
}

/// What passed its ceiling, in words; empty when all is well.
pub fn excess(counts: &Counts, ceilings: &Counts) -> Vec<String> {
    let over = counts.iter().filter_map(|(name, count)| match ceilings.get(name) {
        Some(ceiling) if count <= ceiling => None,
        Some(ceiling) => Some(format!("{name}: {count} instructions, the ceiling is {ceiling}")),
        None => Some(format!("{name}: {count} instructions, and no ceiling is set")),
    });
    over.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_its_ceiling_is_named() {
        let counts = Counts::from([("a".into(), 10), ("b".into(), 11), ("c".into(), 1)]);
        let ceilings = Counts::from([("a".into(), 10), ("b".into(), 10)]);
        let excess = excess(&counts, &ceilings);
        assert_eq!(excess.len(), 2);
        assert!(excess[0].starts_with("b: 11") && excess[1].contains("no ceiling"), "{excess:?}");
    }

    #[test]
    fn the_writer_is_told_by_what_it_calls() {
        assert!(is_writer("fn=(1) redb::tree_store::btree::insert\ncfn=(2) myelin_core::store::ledger::put"));
        let worker = "fn=(1) tokio::runtime::scheduler::multi_thread::worker::Context::run\n";
        assert!(!is_writer(worker));
        // A request that asked the store would be counted, not hidden.
        assert!(!is_writer(&format!("{worker}fn=(2) redb::db::begin_read")));
    }

    #[test]
    fn everything_counted_is_a_scenario() {
        for (name, _) in COUNTED {
            assert!(named(name).is_some(), "{name}");
        }
    }
}
