//! `myelin config`: is the file sound, and what is in force.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Subcommand;
use myelin_core::config::{Flags, Loader, Paths, reference};
use myelin_core::model::check::Problem;
use myelin_core::providers::Catalog;

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, list, text};

/// The configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say everything that is wrong with the file; changes nothing.
    Check {
        /// The file (default: the one that would be read).
        file: Option<PathBuf>,
    },
    /// The settings in force.
    Show,
    /// Where the file and the data are.
    Path,
    /// The reference of all keys, as Markdown.
    Reference,
}

/// Does it.
pub(crate) fn run(place: &Place, config: Config) -> anyhow::Result<()> {
    match config {
        Config::Check { file } => check(place, file),
        Config::Show => show(place),
        Config::Path => {
            let paths = Paths::find(place.config.clone(), place.data_dir.clone())?;
            if place.json {
                return output::json(&serde_json::json!({"config": paths.config, "data": paths.data}));
            }
            output::line(&format!("config  {}\ndata    {}", paths.config.display(), paths.data.display()))
        }
        Config::Reference => output::line(reference().trim_end()),
    }
}

/// All that is wrong with the file, and whether it can be taken all the same.
pub(crate) fn problems(paths: &Paths) -> (Vec<Problem>, bool) {
    let catalog = |provider: &str| Catalog::builtin().get(provider).is_some();
    match Loader::new(paths, Flags::default(), Arc::new(catalog)).load() {
        Ok(loaded) => (loaded.warnings, true),
        Err(error) => (error.problems, false),
    }
}

fn check(place: &Place, file: Option<PathBuf>) -> anyhow::Result<()> {
    let paths = Paths::find(file.or_else(|| place.config.clone()), place.data_dir.clone())?;
    let (problems, sound) = problems(&paths);
    if place.json {
        output::json(&serde_json::json!({"ok": sound, "problems": problems}))?;
    } else {
        for problem in &problems {
            let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
            let kind = if problem.is_error() { "error" } else { "warning" };
            let place = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
            output::line(&format!("{}{line}: {kind}: {place}{}", paths.config.display(), problem.message))?;
        }
    }
    if !sound {
        bail!("{} cannot be taken", paths.config.display());
    }
    if !place.json {
        let there = paths.config.exists();
        output::line(&format!(
            "{} {}",
            paths.config.display(),
            if there { "is sound" } else { "is not there, and need not be" }
        ))?;
    }
    Ok(())
}

fn show(place: &Place) -> anyhow::Result<()> {
    let answer = Carrier::open(place)?.get("/api/v1/settings")?;
    if place.json {
        return output::json(&answer);
    }
    let fixed: Vec<String> = list(&answer, "/fixed").iter().map(|name| text(name, "")).collect();
    let mut rows = Vec::new();
    for (name, value) in answer.pointer("/settings").and_then(serde_json::Value::as_object).into_iter().flatten() {
        let from =
            if fixed.iter().any(|own| own == name || own.starts_with(&format!("{name}."))) { "file" } else { "" };
        rows.push(vec![name.clone(), text(value, ""), from.to_owned()]);
    }
    output::table(&["setting", "value", "fixed by"], &rows)
}
