//! `cargo xtask bench`: builds everything in release, then lets `bench-compare` measure all targets side by side and write `docs/performance.*`.

mod peers;

use anyhow::{Context, Result, bail};

use crate::{process, setup, trained};

/// Optimized like a release but for what takes the linker minutes.
const OPTIMIZED: &str = "counted";

/// `bench instructions` counts, `bench records` asks a store with millions of records, `bench console` opens the console in front of one, `bench peers`
/// measures other gateways; anything else measures the gateway beside proxies.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((word, rest)) if word == "instructions" => instructions(rest),
        Some((word, rest)) if word == "records" => records(rest, OPTIMIZED),
        Some((word, rest)) if word == "console" => console(rest),
        Some((word, rest)) if word == "peers" => compare(rest, true),
        _ => compare(arguments, false),
    }
}

/// Fills a store in a temporary folder (`--count`, a million without it) and prints how long questions take, for `docs/performance-records.md`.
fn records(arguments: &[String], profile: &str) -> Result<()> {
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    let mut cargo = process::cargo();
    cargo.args(["bench", "--locked", "--profile", profile, "-p", "myelin-core", "--bench", "records", "--"]);
    process::run(cargo.args(arguments))
}

/// Some weeks of traffic in a store, and pictures of the console in front of it.
pub(crate) fn pictures(arguments: &[String]) -> Result<()> {
    if let Some(word) = arguments.first() {
        bail!("`cargo xtask pictures` takes nothing, not `{word}`");
    }
    let dir = process::root().join("target").join("console-pictures");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // What is only looked at needs no optimized build.
    records(
        &["--count".to_owned(), "60000".to_owned(), "--leave".to_owned(), dir.to_string_lossy().into_owned()],
        "dev",
    )?;
    crate::console::pictures(&dir)
}

/// Fills a store that stays (`--count`, a million without it; `--dir`, `target/console-bench` without it), and measures the console in front of it.
/// A folder that is there already is used as it is. `--debug`: with builds that are not optimized, to try the command itself; its figures say nothing.
fn console(arguments: &[String]) -> Result<()> {
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    let value = |name: &str| arguments.iter().position(|own| own == name).and_then(|at| arguments.get(at + 1));
    let profile = if arguments.iter().any(|own| own == "--debug") { "dev" } else { OPTIMIZED };
    let dir = value("--dir").map_or_else(|| process::root().join("target").join("console-bench"), Into::into);
    if !dir.join("myelin.redb").exists() {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let count = value("--count").map_or("1000000", String::as_str);
        let leave = dir.to_string_lossy().into_owned();
        records(&["--count".to_owned(), count.to_owned(), "--leave".to_owned(), leave], profile)?;
    }
    crate::console::measure(&dir, profile)
}

/// Counts instructions by callgrind and compares them with `bench/instructions.json`; `--set` writes the ceilings anew,
/// `--keep DIR` keeps the dumps for `callgrind_annotate`.
pub(crate) fn instructions(arguments: &[String]) -> Result<()> {
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    setup::ensure_valgrind()?;
    let build = |package: &str, features: &[&str]| {
        let mut cargo = process::cargo();
        process::run(cargo.args(["build", "--locked", "--profile", "counted", "-p", package]).args(features))
    };
    build("myelin", &["--bin", "myelin"])?;
    build("myelin-bench", &["--features", "compare", "--bin", "bench-instructions"])?;
    let mut count = process::command(setup::built_binary("bench-instructions", "counted"));
    count.arg(setup::built_binary("myelin", "counted")).arg(process::root().join("bench").join("instructions.json"));
    process::run(count.args(arguments))
}

/// Builds, measures beside proxies or beside other gateways, and writes the figures into the docs; `--dry` only prints them.
fn compare(arguments: &[String], peers: bool) -> Result<()> {
    let dry = arguments.iter().any(|word| word == "--dry");
    let passed_on: Vec<&String> = arguments.iter().filter(|word| *word != "--dry").collect();
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    if !peers {
        setup::ensure_nginx()?;
    }
    // What is measured is what is shipped.
    let myelin = trained::build("myelin")?;
    let mut cargo = process::cargo();
    process::run(cargo.args([
        "build",
        "--locked",
        "--release",
        "-p",
        "myelin-bench",
        "--features",
        "compare",
        "--bins",
    ]))?;
    let mut compare = process::command(setup::built_binary("bench-compare", "release"));
    compare.arg("--myelin").arg(myelin);
    compare.arg("--relay").arg(setup::built_binary("bench-relay", "release"));
    if peers {
        compare.arg("--peers").arg(peers::install()?);
    }
    if !dry {
        compare.arg("--docs").arg(process::root().join("docs"));
    }
    let status = compare.args(passed_on).status().context("cannot start bench-compare")?;
    if !status.success() {
        bail!("bench-compare ended with {status}");
    }
    Ok(())
}
