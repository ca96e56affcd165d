//! Releases whose compiler knows what runs often (profile-guided optimization): built once to count, driven by the loads of `cargo xtask bench`, built again
//! with what was counted. Must not know what is done with them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{process, setup};

/// Where all of it is.
fn folder() -> PathBuf {
    process::root().join("target").join("trained")
}

/// A release that was trained, or where the compiler's `llvm-profdata` is not to be had, a plain one, aloud: as fast as the compiler makes it by itself.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    let compiler = Compiler::ask()?;
    let merge = match compiler.ensure_merge() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("{package} is not trained, so a request takes half as much processor time again: {error:#}");
            process::run(process::cargo().args(["build", "--locked", "--release", "-p", package]))?;
            return Ok(setup::built_binary(package, "release"));
        }
    };
    let counts = counted(&compiler, &merge)?;
    // Code that the loads never reach is meant to have no counts.
    let flags = format!("-Cprofile-use={} -Cllvm-args=-pgo-warn-missing-function=false", counts.display());
    compiler.build(package, &folder().join("release"), &flags)
}

/// The counts of the sources as they are now.
fn counted(compiler: &Compiler, merge: &Path) -> Result<PathBuf> {
    let raw = folder().join("raw");
    let counts = folder().join("counts.profdata");
    let counting =
        compiler.build("myelin", &folder().join("counting"), &format!("-Cprofile-generate={}", raw.display()))?;
    let made = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    if made(&counts).is_some_and(|at| Some(at) > made(&counting)) {
        return Ok(counts);
    }
    drive(&counting, &raw)?;
    process::run(process::command(merge).args(["merge", "-o"]).arg(&counts).arg(&raw))?;
    // Cargo does not look into the counts: what was built with others is built anew.
    let stale = folder().join("release");
    if stale.exists() {
        std::fs::remove_dir_all(&stale).with_context(|| format!("cannot remove {}", stale.display()))?;
    }
    Ok(counts)
}

/// Every load of the benchmark, with everything on and with nothing on.
fn drive(counting: &Path, raw: &Path) -> Result<()> {
    if raw.exists() {
        std::fs::remove_dir_all(raw).with_context(|| format!("cannot empty {}", raw.display()))?;
    }
    let bench = ["build", "--locked", "-p", "myelin-bench", "--features", "compare", "--bin", "bench-compare"];
    process::run(process::cargo().args(bench))?;
    let mut drive = process::command(setup::built_binary("bench-compare", "debug"));
    drive.arg("--myelin").arg(counting).args(["--targets", "myelin-bare,myelin"]);
    process::run_quietly(drive.args(["--rounds", "1", "--seconds", "1", "--as-it-is"])).map(drop)
}

/// What compiles.
struct Compiler {
    /// For which machine: named, so that flags reach nothing that runs while it builds.
    host: String,
    /// The major version of its LLVM: older ones cannot read what is counted.
    llvm: u32,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let about = process::run_quietly(process::command("rustc").arg("-vV"))?;
        let (host, llvm) = named(&about).context("rustc does not say for which machine it compiles")?;
        let sysroot = process::run_quietly(process::command("rustc").args(["--print", "sysroot"]))?;
        Ok(Self { host, llvm, sysroot: sysroot.trim().into() })
    }

    /// Builds a package for this machine with flags of its own; cargo's own names of things do not depend on them, so that counts are found again.
    fn build(&self, package: &str, target: &Path, flags: &str) -> Result<PathBuf> {
        let mut cargo = process::cargo();
        cargo.args(["build", "--locked", "--release", "--target", &self.host, "-p", package]);
        process::run(cargo.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags).env("CARGO_INCREMENTAL", "0"))?;
        Ok(target.join(&self.host).join("release").join(format!("{package}{}", std::env::consts::EXE_SUFFIX)))
    }

    /// The program that merges counts; Debian and rustup have it.
    fn ensure_merge(&self) -> Result<PathBuf> {
        if let Some(found) = self.merge() {
            return Ok(found);
        }
        let package = format!("llvm-{}", self.llvm);
        let installed = setup::apt_install("llvm-profdata", &[&package]);
        match self.merge() {
            Some(found) => Ok(found),
            None => {
                installed?;
                bail!("there is no llvm-profdata of LLVM {}: `rustup component add llvm-tools` brings it", self.llvm)
            }
        }
    }

    fn merge(&self) -> Option<PathBuf> {
        let own = self.sysroot.join("lib/rustlib").join(&self.host).join("bin/llvm-profdata");
        let debian = format!("llvm-profdata-{}", self.llvm);
        own.is_file().then_some(own).or_else(|| setup::on_path(&debian.as_str()))
    }
}

/// The machine and the major version of LLVM out of `rustc -vV`.
fn named(about: &str) -> Option<(String, u32)> {
    let value = |name: &str| about.lines().find_map(|line| line.strip_prefix(name));
    let llvm = value("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((value("host: ")?.to_owned(), llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_says_what_it_is() {
        let about = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(named(about), Some(("x86_64-unknown-linux-gnu".to_owned(), 22)));
        assert_eq!(named("rustc 1.95.0"), None);
        assert!(Compiler::ask().is_ok(), "this one does too");
    }
}
