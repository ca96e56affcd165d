//! Other gateways from the package registries, each installed in a folder of its own below `target/peers`. What cannot be installed is left out of the
//! comparison, aloud.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;

/// npm packages: the peer's folder, and its `package.json`.
const NPM: [(&str, &str); 2] = [
    // As npm resolves it without these two, its server answers every stream with 500.
    (
        "portkey",
        r#"{"private":true,"dependencies":{"@portkey-ai/gateway":"1.15.2"},"overrides":{"@hono/node-server":"1.13.8","hono":"4.9.8"}}"#,
    ),
    ("claude-code-router", r#"{"private":true,"dependencies":{"@musistudio/claude-code-router":"2.0.0"}}"#),
];

/// Python packages: the peer's folder, and what pip is asked for.
const PYPI: [(&str, &str); 1] = [("litellm", "litellm[proxy]==1.106.2")];

/// Installs what is missing; gives the folder with all of them.
pub(super) fn install() -> Result<PathBuf> {
    let all = process::root().join("target").join("peers");
    let npm = NPM.iter().map(|(name, package)| (*name, *package, node as fn(&Path, &str) -> Result<()>));
    let pypi = PYPI.iter().map(|(name, package)| (*name, *package, python as fn(&Path, &str) -> Result<()>));
    for (name, package, install) in npm.chain(pypi) {
        let folder = all.join(name);
        let done = folder.join("installed");
        if std::fs::read_to_string(&done).is_ok_and(|text| text == package) {
            continue;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        match install(&folder, package) {
            Ok(()) => std::fs::write(&done, package)?,
            Err(error) => eprintln!("{name} is left out: {error:#}"),
        }
    }
    Ok(all)
}

fn node(folder: &Path, package: &str) -> Result<()> {
    std::fs::write(folder.join("package.json"), package)?;
    process::run(process::command("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(folder))
}

fn python(folder: &Path, package: &str) -> Result<()> {
    let environment = folder.join("venv");
    process::run(process::command("python3").args(["-m", "venv"]).arg(&environment))?;
    let mut pip = process::command(environment.join("bin").join("pip"));
    process::run(pip.args(["install", "--quiet", "--disable-pip-version-check", package]))
}
