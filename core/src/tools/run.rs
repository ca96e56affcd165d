//! Starting a tool with nothing of its own changed: variables, words before the user's, and files of ours that those words name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::table::{KEY, Models, Wanted, map_texts};
use super::{ToolError, Tools, disk};
use crate::model::Secret;

/// How a tool is to be started.
#[derive(Clone)]
pub struct Launch {
    /// The program.
    pub program: String,
    /// Words before those of the user.
    pub words: Vec<String>,
    /// Variables to set. They hold the key.
    pub set: BTreeMap<String, String>,
    /// Variables to take away.
    pub unset: Vec<String>,
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("program", &self.program).field("words", &self.words).finish_non_exhaustive()
    }
}

impl Tools {
    /// How to start a tool. Files that it is told to read lie below our data directory, for their owner alone, one set an address: two terminals
    /// with two profiles do not meet.
    ///
    /// # Errors
    /// When it cannot be started so, must be told a model, or the disk refuses.
    pub fn launch(&self, id: &str, wanted: &Wanted, key: &Secret) -> Result<Launch, ToolError> {
        let tool = self.find(id)?;
        let no_run = || ToolError::NoRun { name: tool.name.clone(), id: tool.id.clone() };
        let run = tool.run.as_ref().ok_or_else(no_run)?;
        if tool.models != Models::Own && wanted.first().is_none() {
            return Err(ToolError::NoModel(tool.name.clone()));
        }
        let named = wanted.model.is_some();
        let shelf = self.shelf(tool);
        let _lock = shelf.lock()?;
        let mut paths = BTreeMap::new();
        for (name, content) in &run.files {
            let value = self.filled(content, wanted, key);
            // JSON is YAML too.
            let bytes = value.to_string().into_bytes();
            let from = super::kept::hash(wanted.base.as_bytes());
            let name_here = format!("run-{}-{name}", from.get(..8).unwrap_or_default());
            let path = shelf.folder.join(&name_here);
            if disk::read(&path).ok().flatten().as_deref() != Some(&bytes) {
                shelf.put(&name_here, &bytes)?;
            }
            paths.insert(format!("{{file:{name}}}"), path.display().to_string());
        }
        let text = |text: &str| {
            let text = wanted.value(&text.into(), wanted.first().unwrap_or_default());
            let text = text.as_str().unwrap_or_default().replace(KEY, key.expose());
            paths.iter().fold(text, |text, (name, path)| text.replace(name, path))
        };
        let value = |value: &Value| match value {
            Value::String(plain) => text(plain),
            other => self.filled(other, wanted, key).to_string(),
        };
        let model_set = run.model_set.iter().filter(|_| named);
        let model_words = run.model_words.iter().filter(|_| named);
        Ok(Launch {
            program: run.command.clone(),
            words: run.words.iter().chain(model_words).map(|word| text(word)).collect(),
            set: run.set.iter().chain(model_set).map(|(name, to)| (name.clone(), value(to))).collect(),
            unset: run.unset.clone(),
        })
    }

    fn filled(&self, value: &Value, wanted: &Wanted, key: &Secret) -> Value {
        let value = wanted.value(value, wanted.first().unwrap_or_default());
        map_texts(&value, &|text| text.replace(KEY, key.expose()))
    }
}
