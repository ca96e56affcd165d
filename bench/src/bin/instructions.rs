//! `bench-instructions`: counts what a request costs and compares it with the ceilings. `cargo xtask bench instructions` builds what it needs and starts it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use myelin_bench::instructions::{Counts, count, excess};
use myelin_bench::mock;
use myelin_bench::target::Programs;

/// Room above what was counted when ceilings are set: the count itself moves by a few per mille.
const ROOM: f64 = 1.03;

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let usage = "bench-instructions MYELIN CEILINGS [--set] [--keep DIR]";
    let myelin: PathBuf = words.next().context(usage)?.into();
    let file: PathBuf = words.next().context(usage)?.into();
    let (mut set, mut keep) = (false, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--set" => set = true,
            "--keep" => keep = Some(PathBuf::from(words.next().context(usage)?)),
            other => bail!("unknown argument {other:?}: {usage}"),
        }
    }
    let scratch = tempfile::tempdir()?;
    let programs =
        Programs { myelin, relay: PathBuf::new(), peers: PathBuf::new(), scratch: scratch.path().to_owned() };
    let counts = count(mock::start().await?, &programs, keep.as_deref()).await?;
    if set {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^52")]
        let ceilings: Counts =
            counts.iter().map(|(name, count)| (name.clone(), (*count as f64 * ROOM) as u64)).collect();
        std::fs::write(&file, serde_json::to_string_pretty(&ceilings)? + "\n")?;
        println!("ceilings written to {}", file.display());
    }
    let ceilings: Counts =
        serde_json::from_str(&std::fs::read_to_string(&file).context("no ceilings: --set writes them")?)?;
    println!("{:<28} {:>12} {:>12}", "instructions", "counted", "ceiling");
    for (name, count) in &counts {
        println!("{name:<28} {count:>12} {:>12}", ceilings.get(name).copied().unwrap_or(0));
    }
    let excess = excess(&counts, &ceilings);
    if !excess.is_empty() {
        bail!(
            "more work than agreed (a wanted change: `cargo xtask bench instructions --set`):\n{}",
            excess.join("\n")
        );
    }
    Ok(())
}
