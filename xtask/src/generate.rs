//! `cargo xtask gen`: files that are made from others and committed. Each is named here once, with the command that prints it.

use anyhow::{Context, Result, bail};

use crate::{console, process};

/// A committed file and the program of the workspace whose output it is.
struct Generated {
    path: &'static str,
    /// Arguments of `cargo run`.
    command: &'static [&'static str],
}

const FILES: [Generated; 2] = [
    Generated { path: "docs/reference/config.md", command: &["-p", "myelin", "--", "config", "reference"] },
    Generated { path: "docs/reference/openapi.json", command: &["-p", "myelin", "--", "admin", "openapi"] },
];

/// Writes the files; with `--check` only tells whether they would change.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [word] if word == "--check" => true,
        other => bail!("`cargo xtask gen` takes --check, not `{}`", other.join(" ")),
    };
    let mut stale = Vec::new();
    for Generated { path, command } in &FILES {
        let wanted = process::run_quietly(process::cargo().args(["run", "-q", "--locked"]).args(*command))?;
        let file = process::root().join(path);
        let present = std::fs::read_to_string(&file).unwrap_or_default();
        if present == wanted {
            continue;
        }
        if check {
            stale.push(*path);
            continue;
        }
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(&file, wanted).with_context(|| format!("cannot write {path}"))?;
        eprintln!("wrote {path}");
    }
    if !check {
        // Its types follow the API's description; its own test tells when they do not.
        console::generate_if_possible()?;
    }
    if !stale.is_empty() {
        bail!("out of date, run `cargo xtask gen` and commit: {}", stale.join(", "));
    }
    Ok(())
}
