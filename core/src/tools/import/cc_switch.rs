//! cc-switch: a provider for each of several tools, each with the tool's own settings in it. Three carriers: its database, its SQL export, and the
//! JSON of older versions.

use serde_json::{Map, Value};

use super::{Draft, ImportError, Imported, Kind, channels, credential, provider_of, sqlite, text};
use crate::told;
use crate::tools::edit::{self, Format};

const TABLE: &str = "providers";

pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let rows = rows(bytes)?;
    let mut out = Imported::default();
    let mut drafts: Vec<Draft> = Vec::new();
    for row in rows {
        let Some(draft) = draft(&row) else {
            if row.category != "official" {
                out.notes.push(told!(
                    "import-no-key",
                    "left out '{name}' of {tool}: there is no key in it",
                    name = row.name,
                    tool = row.tool
                ));
            }
            continue;
        };
        // The same account for two tools is one channel here.
        let same = |other: &&mut Draft| {
            (&other.provider, &other.credential) == (&draft.provider, &draft.credential)
                && other.base_url == draft.base_url
        };
        match drafts.iter_mut().find(same) {
            Some(other) => {
                other.models.extend(
                    draft.models.iter().filter(|model| !other.models.contains(model)).cloned().collect::<Vec<_>>(),
                );
                other.tags.extend(draft.tags);
            }
            None => drafts.push(draft),
        }
    }
    for draft in &mut drafts {
        // What was named there is not all that the account offers.
        draft.models.clear();
        draft.tags.sort();
        draft.tags.dedup();
    }
    channels(drafts, &mut out);
    if !out.channels.is_empty() {
        out.notes.push(told!(
            "import-switching",
            "switching: cc-switch rewrote a tool's file, here a profile says where a tool's models go (`myelin profile`)"
        ));
    }
    Ok(out)
}

struct Row {
    tool: String,
    name: String,
    category: String,
    settings: Value,
    current: bool,
}

fn rows(bytes: &[u8]) -> Result<Vec<Row>, ImportError> {
    let wrong = |why: &str| Kind::CcSwitch.wrong(why);
    let fields = if sqlite::is(bytes) {
        sqlite::rows(bytes, TABLE).ok_or_else(|| wrong("the database has no table of providers, or is damaged"))?
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is neither a database nor text"))?;
        if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
            return older(bytes);
        }
        dump(text).ok_or_else(|| wrong("it is neither a database, nor an SQL export, nor JSON"))?
    };
    Ok(fields.iter().filter_map(row).collect())
}

fn row(fields: &Map<String, Value>) -> Option<Row> {
    let at = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let current =
        fields.get("is_current").is_some_and(|current| current == &Value::from(1) || current == &Value::from("1"));
    let settings = serde_json::from_str(fields.get("settings_config")?.as_str()?).ok()?;
    Some(Row { tool: at("app_type"), name: at("name"), category: at("category"), settings, current })
}

/// JSON of versions before the database: a section a tool.
fn older(bytes: &[u8]) -> Result<Vec<Row>, ImportError> {
    let config = edit::read(Format::Json, bytes).map_err(|why| Kind::CcSwitch.wrong(why))?;
    let mut out = Vec::new();
    for tool in ["claude", "codex", "gemini"] {
        // The oldest knew Claude Code only.
        let section = config.get(tool).or_else(|| config.get("apps").and_then(|apps| apps.get(tool)));
        let section = section.unwrap_or(if tool == "claude" { &config } else { &Value::Null });
        let current = text(section, "/current").unwrap_or_default();
        for (id, provider) in section.get("providers").and_then(Value::as_object).into_iter().flatten() {
            let settings = provider.get("settingsConfig").cloned().unwrap_or_default();
            let name = text(provider, "/name").unwrap_or(id).to_owned();
            let category = text(provider, "/category").unwrap_or_default().to_owned();
            out.push(Row { tool: tool.to_owned(), name, category, settings, current: current == id });
        }
    }
    Ok(out)
}

fn draft(row: &Row) -> Option<Draft> {
    let env = |name: &str| text(&row.settings, &format!("/env/{name}")).map(str::to_owned);
    let (key, address, wire, model) = match row.tool.as_str() {
        "claude" | "claude-desktop" => (
            env("ANTHROPIC_AUTH_TOKEN").or_else(|| env("ANTHROPIC_API_KEY")),
            env("ANTHROPIC_BASE_URL"),
            "anthropic",
            env("ANTHROPIC_MODEL"),
        ),
        "codex" => {
            let config = text(&row.settings, "/config").unwrap_or_default();
            let config = edit::read(Format::Toml, config.as_bytes()).unwrap_or_default();
            let own = text(&config, "/model_provider").unwrap_or_default();
            let table = config.get("model_providers").and_then(|all| all.get(own)).cloned().unwrap_or_default();
            let key =
                text(&row.settings, "/auth/OPENAI_API_KEY").or_else(|| text(&table, "/experimental_bearer_token"));
            (
                key.map(str::to_owned),
                text(&table, "/base_url").map(str::to_owned),
                "openai",
                text(&config, "/model").map(str::to_owned),
            )
        }
        "gemini" => (env("GEMINI_API_KEY"), env("GOOGLE_GEMINI_BASE_URL"), "gemini", env("GEMINI_MODEL")),
        _ => return None,
    };
    let credential = credential(&key?)?;
    let (provider, base_url) = match address {
        None => (wire.to_owned(), None),
        Some(address) => provider_of(&address, &format!("{wire}-compatible")),
    };
    let models = model.map(|model| (model.clone(), model)).into_iter().collect();
    let mut tags = vec!["cc-switch".to_owned()];
    if row.current {
        tags.push(format!("{}-current", row.tool));
    }
    Some(Draft {
        name: row.name.clone(),
        provider,
        base_url,
        credential: Some(credential),
        models,
        tags,
        ..Draft::default()
    })
}

/// Rows out of `INSERT INTO "providers" (columns) VALUES (…), (…);`. Without columns: those of `CREATE TABLE`.
fn dump(sql: &str) -> Option<Vec<Map<String, Value>>> {
    let mut columns: Vec<String> = Vec::new();
    let mut out = Vec::new();
    let mut rest = sql;
    while let Some(words) = next_statement(&mut rest) {
        let upper: Vec<String> = words.iter().take(8).map(Word::upper).collect();
        let at = upper.iter().position(|word| word == "PROVIDERS");
        let Some(at) = at else { continue };
        if upper.first().map(String::as_str) == Some("CREATE") && columns.is_empty() {
            columns = created(words.get(at + 1..)?);
        } else if upper.first().map(String::as_str) == Some("INSERT") {
            out.extend(inserted(words.get(at + 1..)?, &columns));
        }
    }
    (!out.is_empty()).then_some(out)
}

/// One word of SQL.
enum Word<'s> {
    Text(String),
    Bare(&'s str),
}

impl Word<'_> {
    fn upper(&self) -> String {
        match self {
            Word::Text(text) => text.to_uppercase(),
            Word::Bare(text) => text.trim_matches(['"', '`', '[', ']']).to_uppercase(),
        }
    }

    fn is(&self, what: &str) -> bool {
        matches!(self, Word::Bare(word) if word.eq_ignore_ascii_case(what))
    }

    fn value(&self) -> Value {
        match self {
            Word::Text(text) => text.as_str().into(),
            Word::Bare(word) => word.parse::<i64>().map_or(Value::Null, Value::from),
        }
    }
}

/// The words of the next statement, up to its semicolon.
fn next_statement<'s>(rest: &mut &'s str) -> Option<Vec<Word<'s>>> {
    let mut words = Vec::new();
    loop {
        *rest = rest.trim_start();
        let first = rest.chars().next();
        match first {
            None => return (!words.is_empty()).then_some(words),
            Some(';') => {
                *rest = rest.get(1..)?;
                return Some(words);
            }
            Some('-') if rest.starts_with("--") => {
                *rest = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or("")
            }
            Some('\'') => {
                let mut text = String::new();
                let mut end = 1;
                loop {
                    let piece = rest.get(end..)?;
                    let quote = piece.find('\'')?;
                    text.push_str(piece.get(..quote)?);
                    end += quote + 1;
                    if !rest.get(end..)?.starts_with('\'') {
                        break;
                    }
                    text.push('\'');
                    end += 1;
                }
                words.push(Word::Text(text));
                *rest = rest.get(end..)?;
            }
            Some('(' | ')' | ',') => {
                words.push(Word::Bare(rest.get(..1)?));
                *rest = rest.get(1..)?;
            }
            Some(_) => {
                let end = rest.find(|c: char| c.is_whitespace() || "(),;'".contains(c)).unwrap_or(rest.len()).max(1);
                words.push(Word::Bare(rest.get(..end)?));
                *rest = rest.get(end..)?;
            }
        }
    }
}

fn created(words: &[Word<'_>]) -> Vec<String> {
    let mut depth = 0;
    let mut fresh = false;
    let mut out = Vec::new();
    for word in words {
        match word {
            Word::Bare("(") => {
                depth += 1;
                fresh = depth == 1;
            }
            Word::Bare(")") => depth -= 1,
            Word::Bare(",") => fresh = depth == 1,
            other if fresh => {
                let name = other.upper().to_lowercase();
                if !["primary", "foreign", "unique", "check", "constraint"].contains(&name.as_str()) {
                    out.push(name);
                }
                fresh = false;
            }
            _ => {}
        }
    }
    out
}

fn inserted(words: &[Word<'_>], known: &[String]) -> Vec<Map<String, Value>> {
    let values = words.iter().position(|word| word.is("VALUES")).unwrap_or(words.len());
    let named: Vec<String> = words
        .get(..values)
        .unwrap_or_default()
        .iter()
        .filter(|word| !matches!(word, Word::Bare("(" | ")" | ",")))
        .map(|word| word.upper().to_lowercase())
        .collect();
    let columns = if named.is_empty() { known } else { &named };
    let mut out = Vec::new();
    let mut row: Vec<Value> = Vec::new();
    for word in words.get(values + 1..).unwrap_or_default() {
        match word {
            Word::Bare("(") => row.clear(),
            Word::Bare(")") => out.push(columns.iter().cloned().zip(std::mem::take(&mut row)).collect()),
            Word::Bare(",") => {}
            other => row.push(other.value()),
        }
    }
    out
}
