//! `myelin config`: is the file sound, and what is in force.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Subcommand;
use myelin_core::config::{FIELDS, Field, Flags, Loader, Paths, Shape, reference};
use myelin_core::model::check::{Problem, closest};
use myelin_core::providers::BuiltinRows;
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, list, text};
use crate::whose;

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
    /// One setting in force.
    Get {
        /// Its name, as in the file: max_attempts, timeouts.idle_ms …
        name: String,
    },
    /// Change a setting; what the file, the environment or flags fix is changed there.
    Set {
        /// Its name, as in the file: max_attempts, timeouts.idle_ms …
        name: String,
        /// Its value; a list as a,b or as JSON, a table as JSON.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Take a setting back to its default.
    Unset {
        /// Its name.
        name: String,
    },
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
        Config::Get { name } => get(place, &name),
        Config::Set { name, value } => {
            let field = setting(&name)?;
            let value = value_of(field, &value).with_context(|| format!("'{name}' is not changed"))?;
            change(place, field, &name, value)
        }
        Config::Unset { name } => change(place, setting(&name)?, &name, Value::Null),
        Config::Path => {
            let paths = whose::choose(place)?.paths;
            if place.json {
                return output::json(&json!({"config": paths.config, "data": paths.data}));
            }
            output::line(&format!("config  {}\ndata    {}", paths.config.display(), paths.data.display()))
        }
        Config::Reference => output::line(reference().trim_end()),
    }
}

/// All that is wrong with the file, and whether it can be taken all the same.
pub(crate) fn problems(paths: &Paths) -> (Vec<Problem>, bool) {
    match Loader::new(paths, Flags::default(), Arc::new(BuiltinRows)).load() {
        Ok(loaded) => (loaded.warnings, true),
        Err(error) => (error.problems, false),
    }
}

fn check(place: &Place, file: Option<PathBuf>) -> anyhow::Result<()> {
    let paths = whose::choose(&Place { config: file.or_else(|| place.config.clone()), ..place.clone() })?.paths;
    let (problems, sound) = problems(&paths);
    if place.json {
        output::json(&json!({"ok": sound, "problems": problems}))?;
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
    for (name, value) in answer.pointer("/settings").and_then(Value::as_object).into_iter().flatten() {
        let from =
            if fixed.iter().any(|own| own == name || own.starts_with(&format!("{name}."))) { "file" } else { "" };
        rows.push(vec![name.clone(), text(value, ""), from.to_owned()]);
    }
    output::table(&["setting", "value", "fixed by"], &rows)
}

/// Whether the key of the file is a setting: what stands in lists of tables has commands of its own.
fn is_setting(field: &Field) -> bool {
    let outer = field.section.split('.').next().unwrap_or_default();
    let in_table = || FIELDS.iter().any(|own| own.section.is_empty() && own.name == outer && own.shape == Shape::Table);
    field.shape != Shape::Tables && (field.section.is_empty() || in_table())
}

fn full_name(field: &Field) -> String {
    if field.section.is_empty() { field.name.to_owned() } else { format!("{}.{}", field.section, field.name) }
}

/// The row of a setting in the table of the file's keys.
fn setting(name: &str) -> anyhow::Result<&'static Field> {
    let settings = || FIELDS.iter().filter(|field| is_setting(field));
    settings().find(|field| full_name(field) == name).ok_or_else(|| {
        let names: Vec<String> = settings().map(full_name).collect();
        match closest(names.iter().map(String::as_str), name) {
            Some(like) => anyhow!("there is no setting '{name}': did you mean '{like}'?"),
            None => anyhow!("there is no setting '{name}': `myelin config show` lists them"),
        }
    })
}

/// A value as its setting wants it.
fn value_of(field: &Field, words: &str) -> anyhow::Result<Value> {
    let words = words.trim();
    let value = match field.shape {
        Shape::Text | Shape::Time => Value::from(words),
        Shape::Texts if !words.starts_with('[') => {
            words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
        }
        _ => serde_json::from_str(words)
            .map_err(|_| anyhow!("'{words}' is not what it takes, such as {}", field.example))?,
    };
    Ok(value)
}

fn get(place: &Place, name: &str) -> anyhow::Result<()> {
    setting(name)?;
    let answer = Carrier::open(place)?.get("/api/v1/settings")?;
    let value = answer.pointer(&format!("/settings/{}", name.replace('.', "/"))).unwrap_or(&Value::Null);
    if place.json { output::json(value) } else { output::line(&text(value, "")) }
}

fn change(place: &Place, field: &Field, name: &str, value: Value) -> anyhow::Result<()> {
    let unset = value.is_null();
    let answer = Carrier::open(place)?.patch("/api/v1/settings", &json!({ name: value }))?;
    if place.json {
        return output::json(&answer);
    }
    let now =
        answer.pointer(&format!("/settings/{}", name.replace('.', "/"))).map_or_else(String::new, |now| text(now, ""));
    let back = if unset { ", its default" } else { "" };
    output::line(&format!("{name} is {now}{back}"))?;
    if field.doc.contains("Read at start") {
        output::line("in force from the next start on")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_by_their_names_and_near_misses_are_told() {
        assert_eq!(setting("max_attempts").unwrap().name, "max_attempts");
        assert_eq!(setting("timeouts.idle_ms").unwrap().section, "timeouts");
        assert!(setting("max_atempts").unwrap_err().to_string().contains("did you mean 'max_attempts'"));
        assert!(setting("timeouts.idel_ms").unwrap_err().to_string().contains("'timeouts.idle_ms'"));
        assert!(setting("channels").is_err() && setting("channels.weight").is_err());
    }

    #[test]
    fn values_are_read_as_their_setting_wants_them() {
        let read = |name: &str, words: &str| value_of(setting(name).unwrap(), words).ok();
        assert_eq!(read("max_attempts", "7"), Some(json!(7)));
        assert_eq!(read("lan", "true"), Some(json!(true)));
        assert_eq!(read("bodies", "all"), Some(json!("all")));
        assert_eq!(read("allowed_hosts", "a.example, b.example"), Some(json!(["a.example", "b.example"])));
        assert_eq!(read("allowed_hosts", "[\"a\"]"), Some(json!(["a"])));
        assert_eq!(read("timeouts", "{\"idle_ms\": 5}"), Some(json!({"idle_ms": 5})));
        assert_eq!(read("max_attempts", "many"), None);
    }
}
