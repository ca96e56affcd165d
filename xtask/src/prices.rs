//! `cargo xtask prices`: the bundled price list, made anew from LiteLLM's and models.dev's JSON.

use anyhow::{Context, Result, bail};

use crate::process;

const FILE: &str = "core/src/pricing/prices.tsv";

/// Writes the list.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [version, litellm, models_dev] = arguments else {
        bail!("`cargo xtask prices` takes VERSION LITELLM.json MODELS_DEV.json; VERSION names both: 1.109.1+f3fc692");
    };
    let example = ["run", "-q", "--locked", "-p", "myelin-core", "--example", "prices", "--"];
    let table = process::run_quietly(process::cargo().args(example).args([version, litellm, models_dev]))?;
    std::fs::write(process::root().join(FILE), &table).with_context(|| format!("cannot write {FILE}"))?;
    eprintln!("wrote {FILE}: {} rows", table.lines().filter(|line| !line.starts_with('#')).count());
    Ok(())
}
