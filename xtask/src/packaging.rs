//! The tools of `packaging/`: the bundler, installed as its lockfile names it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{process, setup};

/// Oldest Node that the bundler runs on.
const NODE: (u32, u32) = (18, 0);

/// The Tauri command line, installed anew only when its manifest has changed. It has no lockfile: its parts differ by system, and a lockfile made on
/// one of them leaves out the others; its version is exact.
pub(crate) fn tauri() -> Result<PathBuf> {
    setup::ensure_node(NODE)?;
    let folder = process::root().join("packaging").join("node");
    let manifest = folder.join("package.json");
    let wanted = std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let stamp = folder.join("node_modules").join(".installed.json");
    if !std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        eprintln!("installing the bundler (packaging/node/node_modules)");
        let mut install = process::command(if cfg!(windows) { "npm.cmd" } else { "npm" });
        let arguments = [
            "install",
            "--no-save",
            "--no-package-lock",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ];
        install.current_dir(&folder).args(arguments);
        process::run_quietly(&mut install)?;
        std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(folder.join("node_modules").join(".bin").join(if cfg!(windows) { "tauri.cmd" } else { "tauri" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_exact() {
        let manifest = process::root().join("packaging").join("node").join("package.json");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        assert!(!manifest.contains("\"^") && !manifest.contains("\"~"), "{manifest}");
    }
}
