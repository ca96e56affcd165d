//! Tools from the tray: what the owner is asked before files of a tool are touched, and touching them.

use http::Method;
use myelin_core::tools::{Connected, Restored};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::actions::{self, Action};
use crate::carrier::{Failure, segment};
use crate::desk::Desk;
use crate::facts::Tool;
use crate::message;

/// Lines of a change that a question shows; the console shows all.
const MOST_LINES: usize = 28;
/// Letters of such a line.
const MOST_LETTERS: usize = 110;

/// What can be done to a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Its files point here.
    Connect,
    /// They point here again.
    Repair,
    /// They are as they were.
    Restore,
}

impl Deed {
    /// As buttons say it.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Connect => "Connect",
            Self::Repair => "Repair",
            Self::Restore => "Restore",
        }
    }

    /// As the admin API says it.
    fn path(self, tool: &str) -> String {
        format!("/api/v1/tools/{}/{}", segment(tool), self.verb().to_lowercase())
    }
}

/// Asks, showing what would be changed; a yes does it.
pub(crate) async fn ask(desk: &Desk, deed: Deed, id: &str) -> Result<(), Failure> {
    let tool = desk.facts().tools.into_iter().find(|tool| tool.id == id);
    let Some(tool) = tool else { return Ok(()) };
    let preview = match deed {
        Deed::Connect => {
            let path = format!("/api/v1/tools/{}/preview", segment(id));
            Some(read(desk.carrier().tell(&Method::POST, &path, &json!({})).await?)?)
        }
        Deed::Repair | Deed::Restore => None,
    };
    let words = question(deed, &tool, preview.as_ref());
    let (desk, id, app) = (desk.clone(), id.to_owned(), desk.app().clone());
    message::ask(&app, words, deed.verb(), "Cancel", move |yes| {
        if yes {
            actions::run(&desk, Action::DoTool(deed, id));
        }
    });
    Ok(())
}

/// Does it, and says what came of it.
pub(crate) async fn act(desk: &Desk, deed: Deed, id: &str) -> Result<(), Failure> {
    let done = desk.carrier().tell(&Method::POST, &deed.path(id), &json!({})).await?;
    let facts = desk.facts();
    let name = facts.tools.iter().find(|tool| tool.id == id).map_or(id, |tool| tool.name.as_str());
    let words = match deed {
        Deed::Connect | Deed::Repair => connected(name, &read(done)?),
        Deed::Restore => restored(&read(done)?),
    };
    // Asked for, so it is shown whatever is set about notifications.
    crate::notify::show(desk.app(), name.to_owned(), words);
    Ok(())
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|why| Failure::Gone(why.to_string()))
}

/// Its first line is the question itself.
fn question(deed: Deed, tool: &Tool, preview: Option<&Connected>) -> String {
    let mut lines = vec![match deed {
        Deed::Connect => format!("Connect {} to Myelin?", tool.name),
        Deed::Repair => format!("Point {} at Myelin again?", tool.name),
        Deed::Restore => format!("Put back the files of {} as they were?", tool.name),
    }];
    match preview {
        Some(preview) => {
            lines.extend(changes(preview));
            lines.push(format!("{} sees it {}. Restore, in the same menu, takes it back.", tool.name, preview.effect));
        }
        None if deed == Deed::Repair => lines.extend(tool.amiss.iter().cloned()),
        None => lines.push("It then goes its own way, past Myelin, from its next start on.".to_owned()),
    }
    lines.join("\n")
}

fn changes(preview: &Connected) -> Vec<String> {
    if !preview.changed {
        return vec!["Its files say so already: nothing would be changed.".to_owned()];
    }
    let mut lines = Vec::new();
    for file in preview.files.iter().filter(|file| !file.diff.is_empty()) {
        lines.push(format!("{}{}", file.path, if file.new { " (new)" } else { "" }));
        // The head of a diff names the file again.
        let changed = file.diff.lines().skip(2).filter(|line| !line.starts_with("@@"));
        lines.extend(changed.map(|line| line.replace('\t', "    ").chars().take(MOST_LETTERS).collect()));
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.truncate(MOST_LINES);
        lines.push(format!("… and {more} lines more: Details in the menu shows them."));
    }
    lines
}

fn connected(name: &str, done: &Connected) -> String {
    let mut words = if done.changed {
        format!("{name} points here now; it sees it {}.", done.effect)
    } else {
        format!("{name} points here already: nothing was changed.")
    };
    for warning in &done.warnings {
        words.push('\n');
        words.push_str(warning);
    }
    words
}

fn restored(done: &Restored) -> String {
    let files = done.files.iter().map(|file| format!("{} {}", file.path, file.how.words()));
    files.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use myelin_core::tools::{FileDiff, State};

    fn tool() -> Tool {
        Tool {
            id: "codex".into(),
            name: "Codex".into(),
            state: State::Available,
            keyed: false,
            profile: None,
            amiss: vec!["~/.codex/config.toml misses model_provider".into()],
            runs: true,
        }
    }

    #[test]
    fn the_question_shows_the_change_and_no_more_of_it_than_a_dialog_holds() {
        let diff = format!("--- a\n+++ a\n@@ -1 +1,40 @@\n context\n{}", "+\tadded\n".repeat(40));
        let file = FileDiff { path: "~/.codex/config.toml".into(), new: false, diff };
        let preview = Connected {
            tool: "codex".into(),
            changed: true,
            files: vec![file],
            warnings: Vec::new(),
            effect: "at its next start".into(),
        };
        let asked = question(Deed::Connect, &tool(), Some(&preview));
        let lines: Vec<&str> = asked.lines().collect();
        assert_eq!(lines[..4], ["Connect Codex to Myelin?", "~/.codex/config.toml", " context", "+    added"]);
        assert!(asked.contains("… and 14 lines more") && asked.contains("at its next start"), "{asked}");
        assert!(lines.len() <= MOST_LINES + 3, "{}", lines.len());
    }

    #[test]
    fn the_question_before_a_repair_says_what_is_amiss() {
        let asked = question(Deed::Repair, &tool(), None);
        assert_eq!(asked, "Point Codex at Myelin again?\n~/.codex/config.toml misses model_provider");
        assert!(question(Deed::Restore, &tool(), None).starts_with("Put back the files of Codex"));
    }
}
