//! `MYELIN__SECTION__KEY`: every key of the file as a variable. Sets values in the file's tree before anything reads it.
//!
//! Entries of lists of tables are named by their name (`MYELIN__CHANNELS__MAIN__WEIGHT`) or their position; the position after the last one makes a new
//! entry. Lists of texts may be written as TOML or separated by commas.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::fields::{self, Field, Shape};
use super::lines::{Lines, entry_path};
use crate::model::Told;
use crate::model::check::Problem;
use crate::told;

/// Begins every variable that sets a key.
pub(super) const PREFIX: &str = "MYELIN__";

/// The variables of this process that set keys, in order of their names.
pub(super) fn of_process() -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    out.sort();
    out
}

/// Every variable of this process that is text. For those who look at what beats other programs' files; it holds secrets.
pub fn variables() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Sets what the variables say.
pub(super) fn set<'t>(
    table: &mut DeTable<'t>,
    variables: &'t [(String, String)],
    lines: &mut Lines,
    problems: &mut Vec<Problem>,
) {
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        match set_in_table(table, "", "", &parts, value) {
            Ok(path) => lines.set_by(path, variable.clone()),
            Err(why) => problems.push(Problem::error(variable, why)),
        }
    }
}

type Set = Result<String, Told>;

/// Sets one value below a table; returns the path that was set.
fn set_in_table<'t>(table: &mut DeTable<'t>, section: &str, path: &str, parts: &[String], raw: &'t str) -> Set {
    let Some((name, rest)) = parts.split_first() else {
        return Err(told!("variable-no-key", "a key must follow"));
    };
    let Some(field) = fields::find(section, name) else {
        return Err(unknown(section, name));
    };
    let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
    if rest.is_empty() {
        let value = value(field, raw)?;
        // The two spellings of base addresses exclude each other: the variable wins over the file.
        if section == "channels" && name.starts_with("base_url") {
            table.remove("base_url");
            table.remove("base_urls");
        }
        table.insert(fresh(Cow::Owned(name.clone())), fresh(value));
        return Ok(below);
    }
    let section = fields::below(section, name);
    let slot = table.entry(fresh(Cow::Owned(name.clone())));
    match field.shape {
        Shape::Table => match slot.or_insert_with(|| fresh(DeValue::Table(DeTable::new()))).get_mut() {
            DeValue::Table(inner) => set_in_table(inner, &section, &below, rest, raw),
            _ => Err(told!("no-table", "'{path}' is no table in the file", path = below)),
        },
        Shape::Free => match slot.or_insert_with(|| fresh(DeValue::Table(DeTable::new()))).get_mut() {
            DeValue::Table(inner) => {
                // Names of dialect settings hold hyphens, which variables cannot.
                let key = rest.join("__");
                let key = if name == "dialect" { key.replace('_', "-") } else { key };
                inner.insert(fresh(Cow::Owned(key.clone())), fresh(any(raw)));
                Ok(format!("{below}.{key}"))
            }
            _ => Err(told!("no-table", "'{path}' is no table in the file", path = below)),
        },
        Shape::Tables => match slot.or_insert_with(|| fresh(DeValue::Array(DeArray::new()))).get_mut() {
            DeValue::Array(entries) => set_in_entry(entries, &section, &below, rest, raw),
            _ => Err(told!("no-list", "'{path}' is no list in the file", path = below)),
        },
        _ => Err(told!(
            "no-keys-below",
            "'{path}' holds {shape} and has no keys of its own",
            path = below,
            shape = field.shape.words()
        )),
    }
}

fn set_in_entry<'t>(entries: &mut DeArray<'t>, section: &str, path: &str, parts: &[String], raw: &'t str) -> Set {
    let Some((which, rest)) = parts.split_first() else {
        return Err(told!("variable-short", "a name or a position must follow"));
    };
    let index = match which.parse::<usize>() {
        Ok(index) if index < entries.len() => index,
        Ok(index) if index == entries.len() => {
            entries.push(fresh(DeValue::Table(DeTable::new())));
            index
        }
        _ => entries
            .iter()
            .position(|entry| name_of(section, entry.get_ref()).is_some_and(|name| as_variable(name) == *which))
            .ok_or_else(|| {
                told!(
                    "no-entry-of",
                    "'{path}' has no entry '{which}': the file declares {count}",
                    path = path,
                    which = which,
                    count = entries.len()
                )
            })?,
    };
    let Some(entry) = entries.get_mut(index) else {
        return Err(told!("no-entry", "'{path}' has no entry '{which}'", path = path, which = which));
    };
    let below = entry_path(section, path, index, entry.get_ref());
    match entry.get_mut() {
        DeValue::Table(inner) => set_in_table(inner, section, &below, rest, raw),
        _ => Err(told!("no-table", "'{path}' is no table in the file", path = below)),
    }
}

fn name_of<'a>(section: &str, entry: &'a DeValue<'_>) -> Option<&'a str> {
    entry.as_table()?.get(fields::identity(section)?)?.get_ref().as_str()
}

/// How a name looks inside a variable's name.
fn as_variable(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// What to say of a key that does not exist.
pub(super) fn unknown(section: &str, name: &str) -> Told {
    match fields::closest(section, name) {
        Some(like) => {
            told!("unknown-key-like", "unknown key '{name}': did you mean '{like}'?", name = name, like = like)
        }
        None => {
            let known: Vec<&str> = fields::section(section).map(|field| field.name).collect();
            told!("unknown-key", "unknown key '{name}': known are {known}", name = name, known = known.join(", "))
        }
    }
}

/// The value of a variable, as the key wants it.
fn value<'t>(field: &Field, raw: &'t str) -> Result<DeValue<'t>, Told> {
    let parsed = parse(raw);
    let text = || DeValue::String(Cow::Borrowed(raw));
    let wrong = || told!("bad-value", "'{value}' is no {shape}", value = raw, shape = field.shape.words());
    match field.shape {
        Shape::Text => Ok(text()),
        Shape::Time => Ok(parsed.filter(|value| value.as_datetime().is_some()).unwrap_or_else(text)),
        Shape::Amount => Ok(parsed.filter(|value| value.is_integer() || value.is_float()).unwrap_or_else(text)),
        Shape::Numbers => parsed.filter(DeValue::is_array).ok_or_else(wrong),
        Shape::Number => parsed.filter(DeValue::is_integer).ok_or_else(wrong),
        Shape::Decimal => parsed.filter(|value| value.is_integer() || value.is_float()).ok_or_else(wrong),
        Shape::Flag => parsed.filter(DeValue::is_bool).ok_or_else(wrong),
        Shape::Texts | Shape::Mixed => Ok(parsed.filter(DeValue::is_array).unwrap_or_else(|| list(raw))),
        Shape::Tables => parsed.filter(DeValue::is_array).ok_or_else(wrong),
        Shape::Table | Shape::Free => parsed.filter(DeValue::is_table).ok_or_else(wrong),
    }
}

/// A value without a shape of its own: TOML if it reads as TOML, else a text.
fn any(raw: &str) -> DeValue<'_> {
    parse(raw).unwrap_or(DeValue::String(Cow::Borrowed(raw)))
}

fn parse(raw: &str) -> Option<DeValue<'_>> {
    DeValue::parse(raw).ok().map(|value| detach(value.into_inner()))
}

/// The same value, standing nowhere in the file: its spans are places in a variable.
fn detach(value: DeValue<'_>) -> DeValue<'_> {
    match value {
        DeValue::Array(entries) => {
            let mut out = DeArray::new();
            for entry in entries {
                out.push(fresh(detach(entry.into_inner())));
            }
            DeValue::Array(out)
        }
        DeValue::Table(table) => {
            let mut out = DeTable::new();
            for (key, value) in table {
                out.insert(fresh(key.into_inner()), fresh(detach(value.into_inner())));
            }
            DeValue::Table(out)
        }
        plain => plain,
    }
}

fn list(raw: &str) -> DeValue<'_> {
    let mut out = DeArray::new();
    for part in raw.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        out.push(fresh(DeValue::String(Cow::Borrowed(part))));
    }
    DeValue::Array(out)
}

fn fresh<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
