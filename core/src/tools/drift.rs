//! How tools stand: there or not, connected or not, changed by others, beaten by variables or by files of a project.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::connect::names;
use super::kept::{Kept, KeptFile, filled};
use super::table::{Models, Note, Tool, Wanted};
use super::{ToolError, Tools, diff, disk, edit};
use crate::model::Secret;

/// Files in which people set variables for good.
const SHELL_FILES: &[&str] = &[
    ".profile",
    ".bash_profile",
    ".bashrc",
    ".zshenv",
    ".zprofile",
    ".zshrc",
    ".config/fish/config.fish",
    ".config/environment.d/myelin.conf",
];

/// Other programs that take a tool's traffic, by the ports at which they listen.
const OTHERS: &[(&str, &str)] = &[
    (":15721", "cc-switch"),
    (":3456", "claude-code-router"),
    (":3457", "claude-code-router"),
    (":8317", "CLIProxyAPI"),
    (":8045", "Antigravity"),
    (":4000", "LiteLLM"),
    (":11434", "Ollama"),
    (":1234", "LM Studio"),
    (":1337", "Jan"),
];

/// How a tool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing of it was found.
    Absent,
    /// It is there and not connected.
    Available,
    /// It points here.
    Connected,
    /// It was connected and something was changed since.
    Drifted,
    /// It is connected, and a variable or a file of the project beats that.
    Overridden,
    /// A file of it cannot be read.
    Unreadable,
    /// It is there, and must be set up by hand.
    ByHand,
}

impl State {
    /// In words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Absent => "not found",
            Self::Available => "not connected",
            Self::Connected => "connected",
            Self::Drifted => "drifted",
            Self::Overridden => "overridden",
            Self::Unreadable => "unreadable",
            Self::ByHand => "by hand",
        }
    }
}

/// What is not as we left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// The value is gone.
    Missing,
    /// Another value is there.
    Changed,
    /// A value that we took out is there again.
    Returned,
    /// The file is gone.
    NoFile,
    /// The file cannot be read.
    Unreadable,
    /// The gateway has another address now.
    Address,
    /// The tool's key is not one that the gateway knows.
    Key,
}

impl DriftKind {
    /// In words for people: they stand between the file and the value.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "misses",
            Self::Changed => "has another",
            Self::Returned => "has again",
            Self::NoFile => "is gone",
            Self::Unreadable => "cannot be read",
            Self::Address => "points at another address",
            Self::Key => "has a key that the gateway does not know",
        }
    }
}

/// Something that is not as we left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// In which file.
    pub path: String,
    /// Which value; empty: the whole file.
    pub at: String,
    /// What is with it.
    pub kind: DriftKind,
    /// What is there now; secrets are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// Where something stands that beats the tool's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// In the environment.
    Environment,
    /// In a file that a shell reads, with the line.
    Shell(String),
    /// In a file of the project.
    Project(String),
}

/// Something that beats the tool's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ToolOverride)]
pub struct Override {
    /// The variable or the value.
    pub name: String,
    /// Where it is set.
    pub from: Source,
    /// To what; secrets are masked.
    pub value: String,
}

/// A tool as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct View {
    /// What it is called here.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What shows that it is there.
    pub found: Option<String>,
    /// The files that are, or would be, changed.
    pub files: Vec<String>,
    /// When it was connected; milliseconds since 1970.
    pub connected: Option<u64>,
    /// The address that was written into its files.
    pub base: Option<String>,
    /// The model that it was told.
    pub model: Option<String>,
    /// What is not as we left it.
    pub drift: Vec<Drift>,
    /// What beats its files.
    pub overrides: Vec<Override>,
    /// Another program that its files point at.
    pub points_at: Option<String>,
    /// The format that it speaks to us.
    pub wire: String,
    /// What it must be told of models.
    pub models: Models,
    /// When it sees a change.
    pub effect: String,
    /// Its files can be changed.
    pub can_connect: bool,
    /// It can be started with nothing changed: `myelin run`.
    pub can_run: bool,
    /// What people should know.
    pub notes: Vec<Note>,
}

impl Tools {
    /// Every tool of this system. `base`: the gateway's address now; `project`: a folder whose files are looked at too.
    pub fn list(&self, base: &str, project: Option<&Path>) -> Vec<View> {
        self.table().map(|tool| self.view(tool, base, project)).collect()
    }

    /// One tool.
    ///
    /// # Errors
    /// When there is none.
    pub fn look(&self, id: &str, base: &str, project: Option<&Path>) -> Result<View, ToolError> {
        Ok(self.view(self.find(id)?, base, project))
    }

    /// What was wanted when it was connected; nothing: it is not connected.
    ///
    /// # Errors
    /// When there is no such tool or what is remembered cannot be read.
    pub fn wanted(&self, id: &str) -> Result<Option<Wanted>, ToolError> {
        Ok(self.shelf(self.find(id)?).load()?.map(|kept| kept.wanted))
    }

    fn view(&self, tool: &'static Tool, base: &str, project: Option<&Path>) -> View {
        let shelf = self.shelf(tool);
        let loaded = shelf.load();
        let key = self.key(&tool.id).ok().flatten();
        let found = tool.trace(&self.machine);
        let paths: Vec<_> = tool.files.iter().filter_map(|file| Some((file, self.machine.place(&file.at)?))).collect();
        let mut drift = Vec::new();
        let mut points_at = None;
        if let Err(why) = &loaded {
            let found = Some(why.to_string());
            drift.push(Drift {
                path: self.machine.show(&shelf.folder),
                at: String::new(),
                kind: DriftKind::Unreadable,
                found,
            });
        }
        let kept = loaded.ok().flatten();
        match &kept {
            Some(kept) => drift.extend(self.drift(kept, base, key.as_ref())),
            None => {
                for (file, path) in &paths {
                    let shown = self.machine.show(path);
                    let meaning = disk::read(path).map_err(|why| why.to_string()).and_then(|bytes| {
                        edit::read(file.format, bytes.as_deref().unwrap_or_default()).map_err(|why| why.to_string())
                    });
                    match meaning {
                        Err(why) => drift.push(Drift {
                            path: shown,
                            at: String::new(),
                            kind: DriftKind::Unreadable,
                            found: Some(why),
                        }),
                        Ok(meaning) => points_at = points_at.or_else(|| another(file, &meaning, base)),
                    }
                }
            }
        }
        let overrides = if kept.is_some() || found.is_some() {
            self.overrides(tool, base, key.as_ref(), project)
        } else {
            Vec::new()
        };
        let unreadable = drift.iter().any(|drift| drift.kind == DriftKind::Unreadable);
        let state = match (&kept, &found) {
            (_, _) if unreadable => State::Unreadable,
            (Some(_), _) if !drift.is_empty() => State::Drifted,
            (Some(_), _) if !overrides.is_empty() => State::Overridden,
            (Some(_), _) => State::Connected,
            (None, None) if tool.commands.is_empty() && tool.seen.is_empty() => State::ByHand,
            (None, None) => State::Absent,
            (None, Some(_)) if tool.files.is_empty() => State::ByHand,
            (None, Some(_)) => State::Available,
        };
        View {
            id: tool.id.clone(),
            name: tool.name.clone(),
            state,
            found: found.map(|path| self.machine.show(&path)),
            files: paths.iter().map(|(_, path)| self.machine.show(path)).collect(),
            connected: kept.as_ref().map(|kept| kept.at),
            base: kept.as_ref().map(|kept| kept.wanted.base.clone()),
            model: kept.as_ref().and_then(|kept| kept.wanted.model.clone()),
            drift,
            overrides,
            points_at,
            wire: tool.wire.clone(),
            models: tool.models,
            effect: tool.effect.clone(),
            can_connect: !tool.files.is_empty(),
            can_run: tool.run.is_some(),
            notes: tool.notes.clone(),
        }
    }

    /// What of a connected tool is not as we left it.
    fn drift(&self, kept: &Kept, base: &str, key: Option<&Secret>) -> Vec<Drift> {
        let mut out = Vec::new();
        if !kept.wanted.base.starts_with(base) {
            let path = kept.files.first().map(|file| self.machine.show(&file.path)).unwrap_or_default();
            let found = Some(kept.wanted.base.clone());
            out.push(Drift { path, at: String::new(), kind: DriftKind::Address, found });
        }
        for file in &kept.files {
            out.extend(self.drift_of(file, key));
        }
        out
    }

    fn drift_of(&self, file: &KeptFile, key: Option<&Secret>) -> Vec<Drift> {
        let path = self.machine.show(&file.path);
        let whole = |kind, found| vec![Drift { path: path.clone(), at: String::new(), kind, found }];
        let bytes = match disk::read(&file.path) {
            Err(why) => return whole(DriftKind::Unreadable, Some(why.to_string())),
            Ok(None) => return whole(DriftKind::NoFile, None),
            Ok(Some(bytes)) => bytes,
        };
        let meaning = match edit::read(file.format, &bytes) {
            Err(why) => return whole(DriftKind::Unreadable, Some(why.to_string())),
            Ok(meaning) => meaning,
        };
        let nothing = Secret::default();
        let one = |ours: &super::kept::Ours| {
            let found = edit::at(&meaning, &ours.at);
            let kind = match (&ours.to, found) {
                (Some(_), None) => DriftKind::Missing,
                (Some(to), Some(found)) if filled(to, key.unwrap_or(&nothing)) != *found => DriftKind::Changed,
                (None, Some(_)) => DriftKind::Returned,
                _ => return None,
            };
            let found = found.map(|found| shown(&ours.at.to_string(), found));
            Some(Drift { path: path.clone(), at: ours.at.to_string(), kind, found })
        };
        file.ours.iter().filter_map(one).collect()
    }

    /// What beats the tool's files: variables of this environment, lines of shell files, files of the project.
    pub fn overrides(&self, tool: &Tool, base: &str, key: Option<&Secret>, project: Option<&Path>) -> Vec<Override> {
        let is_ours = |value: &str| value.contains(base) || key.is_some_and(|key| value.contains(key.expose()));
        let mut out = Vec::new();
        for name in &tool.beats {
            if let Some(value) = self.machine.variable(name).filter(|value| !is_ours(value)) {
                out.push(Override { name: name.clone(), from: Source::Environment, value: shown_text(name, value) });
            }
        }
        for file in SHELL_FILES {
            let text = std::fs::read(self.machine.home().join(file)).unwrap_or_default();
            for (number, line) in String::from_utf8_lossy(&text).lines().enumerate() {
                let set = tool.beats.iter().find_map(|name| Some((name, assigned(line, name)?)));
                if let Some((name, value)) = set.filter(|(_, value)| !is_ours(value)) {
                    let from = Source::Shell(format!("~/{file}:{}", number + 1));
                    out.push(Override { name: name.clone(), from, value: shown_text(name, value) });
                }
            }
        }
        for file in project.map(|_| tool.project.iter()).into_iter().flatten() {
            let path = project.unwrap_or(Path::new("")).join(&file.at);
            // Who stands in the home folder has the tool's own file before them.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            let is_same = |own: std::path::PathBuf| own == path || own.canonicalize().is_ok_and(|own| own == real);
            if tool.files.iter().filter_map(|own| self.machine.place(&own.at)).any(is_same) {
                continue;
            }
            let Ok(Some(bytes)) = disk::read(&path) else { continue };
            let Ok(meaning) = edit::read(file.format, &bytes) else { continue };
            for at in &file.keys {
                let at = edit::Path::parse(at);
                if let Some(found) = edit::at(&meaning, &at).filter(|found| !is_ours(&found.to_string())) {
                    let name = at.to_string();
                    let value = shown(&name, found);
                    out.push(Override { name, from: Source::Project(self.machine.show(&path)), value });
                }
            }
        }
        out
    }
}

/// The program at whose port an address in the file points.
fn another(file: &super::table::ToolFile, meaning: &Value, base: &str) -> Option<String> {
    let wanted = Wanted { base: base.to_owned(), ..Wanted::default() };
    let addresses = file.edits(&wanted).into_iter().filter_map(|edit| match edit {
        edit::Edit::Set(at, to) if names(&to, base) => {
            edit::at(meaning, &at).and_then(Value::as_str).map(str::to_owned)
        }
        _ => None,
    });
    let local = |address: &String| ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| address.contains(host));
    let mut found = addresses.filter(|address| !address.contains(base));
    found.find(local).map(|address| {
        let other = OTHERS.iter().find(|(port, _)| address.contains(port));
        other.map_or_else(|| address.clone(), |(_, name)| format!("{name} ({address})"))
    })
}

/// What a line of a shell's file sets a variable to.
fn assigned<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let line = line.trim_start();
    let words = line
        .strip_prefix("export ")
        .or_else(|| line.strip_prefix("set -gx "))
        .or_else(|| line.strip_prefix("set -Ux "));
    let rest = words.unwrap_or(line).trim_start().strip_prefix(name)?;
    let value = rest.strip_prefix('=').or_else(|| words.and(rest.strip_prefix(' ')))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => shown_text(name, text),
        other => diff::masked(&other.to_string()),
    }
}

fn shown_text(name: &str, value: &str) -> String {
    let secret = ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|word| name.to_ascii_uppercase().contains(word));
    if secret { diff::hint(value) } else { diff::masked(value) }
}
