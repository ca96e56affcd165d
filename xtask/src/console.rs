//! The console's part of every task: installs its packages, builds it when its sources are newer, checks it, drives it in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::{process, setup};

/// Oldest Node that the console's tools run on.
const NODE: (u32, u32) = (20, 19);
/// What the build reads, under `ui/`.
const SOURCES: [&str; 6] = ["src", "public", "index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];
/// What the build writes last.
const BUILT: &str = "dist/index.html";

/// What is checked without a gateway: the name of the npm script, in order.
const CHECKS: [&str; 3] = ["lint", "typecheck", "test"];

fn folder() -> PathBuf {
    process::root().join("ui")
}

/// Builds the console if it is stale. Without Node the gateway still runs, and says so.
pub(crate) fn build_if_possible() -> Result<()> {
    if let Err(missing) = setup::check_node(NODE) {
        eprintln!("the console is left as it is: {missing:#}");
        return Ok(());
    }
    build()
}

/// Builds the console if it is stale. Needs Node and installs it where it may.
pub(crate) fn build_for_release() -> Result<()> {
    setup::ensure_node(NODE)?;
    build()
}

/// Writes the types of the admin API. Without Node they stay as they are, and the next test run elsewhere tells.
pub(crate) fn generate_if_possible() -> Result<()> {
    if let Err(missing) = setup::check_node(NODE) {
        eprintln!("ui/src/api/schema.d.ts is left as it is: {missing:#}");
        return Ok(());
    }
    install()?;
    process::run_quietly(&mut npm(&["run", "--silent", "api"])).map(drop)
}

/// Lint, types, unit tests, build, size. Needs Node and installs it where it may.
pub(crate) fn check() -> Result<()> {
    setup::ensure_node(NODE)?;
    install()?;
    for script in CHECKS {
        process::run(&mut npm(&["run", "--silent", script]))?;
    }
    build()?;
    process::run(&mut npm(&["run", "--silent", "budget"]))
}

/// The console in a real browser against the real binary and mock providers.
pub(crate) fn browse() -> Result<()> {
    setup::ensure_node(NODE)?;
    build()?;
    let chromium = setup::ensure_chromium()?;
    process::run(process::cargo().args(["build", "--locked", "-p", "myelin", "-p", "myelin-testkit", "--bins"]))?;
    let mut playwright = npm(&["run", "--silent", "e2e"]);
    playwright
        .env("CHROMIUM", chromium)
        .env("MYELIN_BIN", setup::built_binary("myelin", "debug"))
        .env("MOCK_UPSTREAM_BIN", setup::built_binary("mock-upstream", "debug"));
    process::run(&mut playwright)
}

/// The console in front of a store that is there, timed in a real browser. Prints what it measured.
pub(crate) fn measure(data: &Path, profile: &str) -> Result<()> {
    setup::ensure_node(NODE)?;
    build()?;
    let chromium = setup::ensure_chromium()?;
    process::run(process::cargo().args([
        "build",
        "--locked",
        "--profile",
        profile,
        "-p",
        "myelin",
        "--bin",
        "myelin",
    ]))?;
    let mut measure = npm(&["run", "--silent", "measure"]);
    measure
        .env("CHROMIUM", chromium)
        .env("MYELIN_BIN", setup::built_binary("myelin", if profile == "dev" { "debug" } else { profile }))
        .env("MYELIN_DATA", data);
    process::run(&mut measure)
}

/// Makes the pictures of the README and the guide from the real console in front of a copy of a store.
pub(crate) fn pictures(data: &Path) -> Result<()> {
    setup::ensure_node(NODE)?;
    build()?;
    let chromium = setup::ensure_chromium()?;
    process::run(process::cargo().args(["build", "--locked", "-p", "myelin", "-p", "myelin-testkit", "--bins"]))?;
    let mut pictures = npm(&["run", "--silent", "pictures"]);
    pictures
        .env("CHROMIUM", chromium)
        .env("MYELIN_DATA", data)
        .env("MYELIN_BIN", setup::built_binary("myelin", "debug"))
        .env("MOCK_UPSTREAM_BIN", setup::built_binary("mock-upstream", "debug"));
    process::run(&mut pictures)
}

fn build() -> Result<()> {
    install()?;
    let ui = folder();
    let built = modified(&ui.join(BUILT));
    let newest = SOURCES.iter().filter_map(|source| newest(&ui.join(source))).max();
    if built.is_some() && newest <= built {
        return Ok(());
    }
    process::run(&mut npm(&["run", "--silent", "build"]))
}

/// Installs exactly what the lockfile names; anew only when that file has changed.
fn install() -> Result<()> {
    let ui = folder();
    let lock = ui.join("package-lock.json");
    let wanted = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = ui.join("node_modules").join(".installed-lock.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing the console's packages (ui/node_modules)");
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    process::run_quietly(&mut npm(&arguments))?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

fn npm(arguments: &[&str]) -> Command {
    let mut npm = process::command(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.current_dir(folder()).args(arguments);
    npm
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

/// When the newest file at or under a path was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let Ok(entries) = std::fs::read_dir(path) else { return modified(path) };
    entries.flatten().filter_map(|entry| newest(&entry.path())).chain(modified(path)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_build_reads_exists_and_every_check_is_a_script() {
        for source in SOURCES {
            assert!(newest(&folder().join(source)).is_some(), "{source}");
        }
        let manifest = std::fs::read_to_string(folder().join("package.json")).unwrap();
        for script in CHECKS.iter().chain(&["build", "budget", "e2e", "measure", "pictures"]) {
            assert!(manifest.contains(&format!("\"{script}\": ")), "{script}");
        }
    }

    #[test]
    fn packages_are_pinned_and_the_lockfile_names_no_registry() {
        let manifest = std::fs::read_to_string(folder().join("package.json")).unwrap();
        assert!(!manifest.contains("\"^") && !manifest.contains("\"~"), "every version is exact");
        let lock = std::fs::read_to_string(folder().join("package-lock.json")).unwrap();
        assert!(!lock.contains("\"resolved\""), "npm ci asks the registry that is set up");
    }
}
