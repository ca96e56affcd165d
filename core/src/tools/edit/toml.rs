//! TOML, by `toml_edit`. It writes every line anew with `\n`: lines that did not change get back the ends that they had.

use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike};

use super::{EditError, MOST_DEPTH, Path, Step, lines};

pub(super) fn read(text: &str) -> Result<Value, EditError> {
    table(document(text)?.as_table(), 0)
}

pub(super) fn set(text: &str, path: &Path, value: &Value) -> Result<String, EditError> {
    let mut document = document(text)?;
    let Some((Step::Key(last), way)) = path.0.split_last() else { return Err(shape(path)) };
    let mut here: &mut dyn TableLike = document.as_table_mut();
    for (index, step) in way.iter().enumerate() {
        let Step::Key(key) = step else { return Err(shape(path)) };
        let entry = here.entry(key).or_insert_with(|| {
            let mut made = Table::new();
            // `[a.b]` needs no `[a]` of its own.
            made.set_implicit(index + 1 < way.len());
            Item::Table(made)
        });
        here = entry.as_table_like_mut().ok_or_else(|| shape(path))?;
    }
    let new = item(value).ok_or_else(|| shape(path))?;
    match here.get_mut(last) {
        Some(Item::Value(old)) => {
            let Item::Value(mut new) = new else { return Err(shape(path)) };
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        Some(_) => return Err(shape(path)),
        None => {
            here.insert(last, new);
        }
    }
    Ok(with_line_ends_of(text, &document.to_string()))
}

pub(super) fn remove(text: &str, path: &Path) -> Result<String, EditError> {
    let mut document = document(text)?;
    let Some((Step::Key(last), way)) = path.0.split_last() else { return Err(shape(path)) };
    let mut here: &mut dyn TableLike = document.as_table_mut();
    for step in way {
        let Step::Key(key) = step else { return Err(shape(path)) };
        let Some(next) = here.get_mut(key).and_then(Item::as_table_like_mut) else { return Ok(text.to_owned()) };
        here = next;
    }
    here.remove(last);
    Ok(with_line_ends_of(text, &document.to_string()))
}

fn shape(path: &Path) -> EditError {
    EditError::Shape(path.to_string())
}

fn document(text: &str) -> Result<DocumentMut, EditError> {
    text.replace("\r\n", "\n").parse().map_err(|why: toml_edit::TomlError| {
        let line = why.span().map_or(1, |span| lines::number(&text.replace("\r\n", "\n"), span.start));
        EditError::Unreadable { line, why: why.message().to_owned() }
    })
}

/// The new text, in which every line that the old one had ends as it did there, and new ones as most do.
fn with_line_ends_of(old: &str, new: &str) -> String {
    let usual = lines::newline(old);
    let ends: Vec<&str> = old.split_inclusive('\n').collect();
    let flat = old.replace("\r\n", "\n");
    let diff = TextDiff::from_lines(flat.as_str(), new);
    let mut out = String::with_capacity(old.len() + new.len());
    for change in diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Delete) {
        let line = change.value().trim_end_matches('\n');
        let own = change.old_index().and_then(|index| ends.get(index));
        if !out.is_empty() && !out.ends_with('\n') {
            out.push_str(usual);
        }
        match own {
            Some(own) => out.push_str(own),
            None => {
                out.push_str(line);
                out.push_str(if change.value().ends_with('\n') { usual } else { "" });
            }
        }
    }
    out
}

fn item(value: &Value) -> Option<Item> {
    match value {
        Value::Object(members) => {
            let mut table = Table::new();
            for (key, value) in members {
                table.insert(key, item(value)?);
            }
            Some(Item::Table(table))
        }
        other => plain(other).map(Item::Value),
    }
}

fn plain(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(entries) => entries.iter().map(plain).collect::<Option<Array>>()?.into(),
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| Some((key.clone(), plain(value)?)));
            pairs.collect::<Option<InlineTable>>()?.into()
        }
    })
}

fn table(table: &dyn TableLike, depth: usize) -> Result<Value, EditError> {
    if depth > MOST_DEPTH {
        return Err(EditError::Unreadable { line: 1, why: "it is nested too deeply".to_owned() });
    }
    let mut out = Map::new();
    for (key, item) in table.iter() {
        let value = match item {
            Item::None => continue,
            Item::Value(value) => meaning(value, depth + 1)?,
            Item::Table(inner) => self::table(inner, depth + 1)?,
            Item::ArrayOfTables(tables) => several(tables, depth + 1)?,
        };
        out.insert(key.to_owned(), value);
    }
    Ok(Value::Object(out))
}

fn several(tables: &ArrayOfTables, depth: usize) -> Result<Value, EditError> {
    tables.iter().map(|inner| table(inner, depth)).collect::<Result<_, _>>().map(Value::Array)
}

fn meaning(value: &toml_edit::Value, depth: usize) -> Result<Value, EditError> {
    Ok(match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => {
            let number = *number.value();
            serde_json::Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        toml_edit::Value::Boolean(flag) => (*flag.value()).into(),
        toml_edit::Value::Datetime(moment) => Value::String(moment.value().to_string()),
        toml_edit::Value::Array(entries) => {
            entries.iter().map(|entry| meaning(entry, depth + 1)).collect::<Result<_, _>>().map(Value::Array)?
        }
        toml_edit::Value::InlineTable(inner) => table(inner, depth + 1)?,
    })
}
