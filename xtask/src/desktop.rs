//! The desktop app: what a machine needs to build it and to drive it, how it is run, how it is tested.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{console, installed, process, setup};

/// Package of the app.
pub(crate) const PACKAGE: &str = "myelin-desktop";
/// What it is built with on Debian and its kin.
const BUILD: [&str; 3] = ["pkg-config", "libwebkit2gtk-4.1-dev", "libayatana-appindicator3-dev"];
/// What its tests drive it with.
const DRIVE: [&str; 6] = ["xvfb", "dbus-daemon", "openbox", "xdotool", "imagemagick", "xclip"];
/// Programs of those packages.
const DRIVERS: [&str; 6] = ["Xvfb", "dbus-run-session", "openbox", "xdotool", "import", "xclip"];

/// Installs what the app is built with, or says how.
pub(crate) fn ensure_build() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let there = || process::answers("pkg-config", &["--exists", "webkit2gtk-4.1", "ayatana-appindicator3-0.1"]);
    if there() {
        return Ok(());
    }
    setup::apt_install("what the desktop app is built with", &BUILD)?;
    if !there() {
        bail!("webkit2gtk-4.1 is still not found by pkg-config");
    }
    Ok(())
}

/// Whether the app can be built here. In continuous integration it must be.
pub(crate) fn can_build() -> Result<bool> {
    match ensure_build() {
        Ok(()) => Ok(true),
        Err(why) if process::is_ci() => Err(why),
        Err(why) => {
            eprintln!("the desktop app is left out: {why:#}");
            Ok(false)
        }
    }
}

/// `--workspace`, without the app where it cannot be built.
pub(crate) fn workspace() -> Result<Vec<&'static str>> {
    Ok(if can_build()? { vec!["--workspace"] } else { vec!["--workspace", "--exclude", PACKAGE] })
}

/// Builds the app with its console and starts it in the foreground.
pub(crate) fn run(release: bool, passed_on: &[String]) -> Result<()> {
    ensure_build()?;
    console::build_if_possible()?;
    let binary = build(release)?;
    let mut app = process::command(&binary);
    app.current_dir(std::env::current_dir().context("cannot tell the current folder")?);
    app.args(passed_on).stdin(Stdio::inherit());
    eprintln!("$ myelin-desktop {}", passed_on.join(" "));
    let status = app.status().with_context(|| format!("cannot start {}", binary.display()))?;
    if !status.success() && status.code().is_some() {
        bail!("myelin-desktop ended with {status}");
    }
    Ok(())
}

fn build(release: bool) -> Result<PathBuf> {
    let profile = if release { "release" } else { "dev" };
    process::run(process::cargo().args(["build", "--locked", "--profile", profile, "-p", PACKAGE]))?;
    Ok(setup::built_binary(PACKAGE, if release { "release" } else { "debug" }))
}

/// The app as its owner meets it: under a display and a session bus of its own, its tray driven over D-Bus, its package installed and taken away again.
pub(crate) fn test() -> Result<()> {
    if !cfg!(target_os = "linux") || !can_build()? {
        eprintln!("desktop: skipped, its tests drive the app on Linux");
        return Ok(());
    }
    let needed = || DRIVERS.iter().chain(&installed::PROGRAMS);
    if needed().any(|program| setup::on_path(program).is_none()) {
        setup::apt_install("what the desktop app's tests need", &[&DRIVE[..], &installed::TOOLS].concat())?;
    }
    console::build_if_possible()?;
    // With the tests, as the run before has built them: by itself the app would be built a second time, with features of its own.
    process::run(process::cargo().args(["build", "--locked", "--workspace", "--bins", "--tests"]))?;
    let app = setup::built_binary(PACKAGE, "debug");
    let python = setup::python_environment("desktop")?;
    let tests = process::root().join("src-tauri").join("tests");
    let folder = process::root().join("target").join("desktop");
    let mut session = process::command("dbus-run-session");
    session.arg("--").arg(python).arg(tests.join("desktop.py"));
    session.arg(app).arg(setup::built_binary("myelin", "debug")).arg(folder);
    process::run(&mut session)?;
    crate::dist::test()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_may_call_the_app_and_none_of_elsewhere_is_shown() {
        let source = process::root().join("src-tauri");
        let text = std::fs::read_to_string(source.join("tauri.conf.json")).unwrap();
        let about: serde_json::Value = serde_json::from_str(&text).unwrap();
        let app = &about["app"];
        assert_eq!(app["security"]["capabilities"], serde_json::json!([]));
        assert_eq!(app["security"]["csp"], "default-src 'none'");
        assert_eq!((&app["windows"], &app["withGlobalTauri"]), (&serde_json::json!([]), &false.into()));
        // With an empty list the bundler takes whatever lies in this folder.
        assert!(!source.join("capabilities").exists());
        for word in ["remote", "dangerousRemote", "frontendDist", "devUrl", "dangerousDisable"] {
            assert!(!text.contains(&format!("\"{word}")), "{word}");
        }
    }
}
