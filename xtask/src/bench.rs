//! `cargo xtask bench`: builds everything in release, then lets `bench-compare` measure all targets side by side and write `docs/performance.*`.

use anyhow::{Context, Result, bail};

use crate::{process, setup};

/// Builds, measures, and writes the figures into the docs; `--dry` only prints them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let dry = arguments.iter().any(|word| word == "--dry");
    let passed_on: Vec<&String> = arguments.iter().filter(|word| *word != "--dry").collect();
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    setup::ensure_nginx()?;
    let build = |package: &str, features: &[&str]| {
        let mut cargo = process::cargo();
        process::run(cargo.args(["build", "--locked", "--release", "-p", package]).args(features))
    };
    build("myelin", &["--bin", "myelin"])?;
    build("myelin-bench", &["--features", "compare", "--bins"])?;
    let mut compare = process::command(setup::built_binary("bench-compare", "release"));
    compare.arg("--myelin").arg(setup::built_binary("myelin", "release"));
    compare.arg("--relay").arg(setup::built_binary("bench-relay", "release"));
    if !dry {
        compare.arg("--docs").arg(process::root().join("docs"));
    }
    let status = compare.args(passed_on).status().context("cannot start bench-compare")?;
    if !status.success() {
        bail!("bench-compare ended with {status}");
    }
    Ok(())
}
