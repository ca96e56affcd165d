//! The table of tools, as data: where each keeps its configuration, which keys in it are ours, which variables beat it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::edit::{Edit, Format, Path};
use super::machine::Machine;

static TABLE: LazyLock<Vec<Tool>> = LazyLock::new(|| match serde_json::from_str(include_str!("tools.json")) {
    Ok(tools) => tools,
    Err(error) => {
        tracing::error!(%error, "the table of tools cannot be read");
        Vec::new()
    }
});

/// How much a tool asks of the models that it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Models {
    /// It finds or knows its models; one may be named.
    #[default]
    Own,
    /// It must be told one.
    One,
    /// It offers those that it is told.
    All,
}

/// One tool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it is called here, for ever: keys and records name it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Commands that show that it is installed.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Files and folders that show that it is, or was, used.
    #[serde(default)]
    pub seen: Vec<String>,
    /// Systems that it runs on; empty: all.
    #[serde(default)]
    pub systems: Vec<String>,
    /// The format that it speaks to us.
    #[serde(default)]
    pub wire: String,
    /// When it reads its configuration again.
    #[serde(default)]
    pub effect: String,
    /// What it must be told of models.
    #[serde(default)]
    pub models: Models,
    /// The files that we change. Empty: none can be changed for it.
    #[serde(default)]
    pub files: Vec<ToolFile>,
    /// Variables that beat its files.
    #[serde(default)]
    pub beats: Vec<String>,
    /// Files of a project that beat its own.
    #[serde(default)]
    pub project: Vec<ProjectFile>,
    /// How it is started with nothing changed.
    #[serde(default)]
    pub run: Option<Run>,
    /// Text for people to paste.
    #[serde(default)]
    pub snippet: String,
    /// What people should know.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// What people should know of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Which of the tool's notes: translations go by it.
    pub code: String,
    /// In English.
    pub text: String,
}

/// A file of a tool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolFile {
    /// Where it is: alternatives for [`Machine::place`].
    pub at: Vec<String>,
    /// How it is written.
    pub format: Format,
    /// Values that we own.
    #[serde(default)]
    pub set: Vec<Row>,
    /// Values that must not be there.
    #[serde(default)]
    pub clear: Vec<String>,
}

/// A value that we own. `{base}`, `{key}`, `{model}` are filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Where: the notation of [`Path`].
    pub at: String,
    /// What.
    pub to: Value,
    /// Once for each model.
    #[serde(default)]
    pub each: bool,
    /// Only if a model was named.
    #[serde(default)]
    pub named: bool,
}

/// A file of a project that beats the tool's own, and the values in it that matter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectFile {
    /// Below the project's folder.
    pub at: String,
    /// How it is written.
    pub format: Format,
    /// The values.
    pub keys: Vec<String>,
}

/// How a tool is started with nothing changed. `{file:NAME}` is the path of a file of ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program.
    pub command: String,
    /// Words before those of the user.
    #[serde(default)]
    pub words: Vec<String>,
    /// Words before those of the user if a model was named.
    #[serde(default)]
    pub model_words: Vec<String>,
    /// Variables that are set.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Variables that are set if a model was named.
    #[serde(default)]
    pub model_set: BTreeMap<String, Value>,
    /// Variables that are taken away.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Files of ours, by name.
    #[serde(default)]
    pub files: BTreeMap<String, Value>,
}

/// What is filled into the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// Our address without a path: `http://127.0.0.1:6935`, a profile's segment with it.
    pub base: String,
    /// The model that was named.
    #[serde(default)]
    pub model: Option<String>,
    /// Models that can be asked for.
    #[serde(default)]
    pub models: Vec<String>,
}

/// Stands for the tool's key until it is written.
pub(super) const KEY: &str = "{key}";

impl Wanted {
    /// The model for tools that must be told one.
    pub fn first(&self) -> Option<&str> {
        self.model.as_deref().or_else(|| self.models.first().map(String::as_str))
    }

    fn each(&self) -> Vec<&str> {
        let named = self.model.as_deref();
        named.into_iter().chain(self.models.iter().map(String::as_str).filter(|model| Some(*model) != named)).collect()
    }

    fn text(&self, text: &str, model: &str) -> String {
        text.replace("{base}", &self.base).replace("{model}", model)
    }

    /// A value with everything filled in but the key.
    pub(super) fn value(&self, value: &Value, model: &str) -> Value {
        map_texts(value, &|text| self.text(text, model))
    }
}

/// A value with each text in it, names of members too, changed.
pub(super) fn map_texts(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => change(text).into(),
        Value::Array(entries) => entries.iter().map(|entry| map_texts(entry, change)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (change(key), map_texts(value, change))).collect())
        }
        other => other.clone(),
    }
}

impl ToolFile {
    /// The values that we own and those that must go, the key not yet filled in.
    pub(super) fn edits(&self, wanted: &Wanted) -> Vec<Edit> {
        let models = wanted.each();
        let first = wanted.first().unwrap_or_default();
        let rows = self.set.iter().filter(|row| !row.named || wanted.model.is_some());
        let set = rows.flat_map(|row| {
            let models = if row.each { models.clone() } else { vec![first] };
            models.into_iter().map(|model| {
                let path = Path::parse(&row.at).map(|text| wanted.text(text, model));
                Edit::Set(path, wanted.value(&row.to, model))
            })
        });
        let clear = self.clear.iter().map(|at| Edit::Remove(Path::parse(at)));
        clear.chain(set).collect()
    }
}

impl Tool {
    /// All of them, in the order in which people look for them.
    pub fn all() -> &'static [Tool] {
        &TABLE
    }

    /// The one of that id.
    pub fn find(id: &str) -> Option<&'static Tool> {
        TABLE.iter().find(|tool| tool.id == id)
    }

    /// Whether it runs on this machine's system.
    pub fn runs_on(&self, machine: &Machine) -> bool {
        self.systems.is_empty() || self.systems.iter().any(|system| machine.is(system))
    }

    /// What shows that it is installed.
    pub fn trace(&self, machine: &Machine) -> Option<std::path::PathBuf> {
        let command = self.commands.iter().find_map(|command| machine.command(command));
        command.or_else(|| {
            let seen = self.seen.iter().filter_map(|place| machine.place(std::slice::from_ref(place)));
            seen.filter(|path| path.exists()).map(|path| path.to_owned()).next()
        })
    }
}
