//! Whom keys belong to: plain nodes in a tree.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Origin;

/// What a node stands for. The order is the usual one from below to above; a parent is never of an earlier kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// A program that calls.
    Tool,
    /// A person.
    User,
    /// People together.
    Team,
    /// What they work on.
    Project,
    /// What they all belong to.
    Organisation,
}

impl OwnerKind {
    /// Every kind with its word.
    pub const WORDS: [(OwnerKind, &'static str); 5] = [
        (OwnerKind::Tool, "tool"),
        (OwnerKind::User, "user"),
        (OwnerKind::Team, "team"),
        (OwnerKind::Project, "project"),
        (OwnerKind::Organisation, "organisation"),
    ];

    /// The word of the kind.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("organisation", |(_, word)| word)
    }
}

impl fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Which node: `team:research`. Kind and name together are its identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnerRef {
    /// What it stands for.
    pub kind: OwnerKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for OwnerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no owner: write tool:NAME, user:NAME, team:NAME, project:NAME or organisation:NAME")]
pub struct NoOwner(pub String);

impl FromStr for OwnerRef {
    type Err = NoOwner;

    fn from_str(text: &str) -> Result<Self, NoOwner> {
        let wrong = || NoOwner(text.to_owned());
        let (word, name) = text.split_once(':').ok_or_else(wrong)?;
        let (kind, _) = OwnerKind::WORDS.iter().find(|(_, own)| *own == word).ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        Ok(Self { kind: *kind, name: name.to_owned() })
    }
}

impl TryFrom<String> for OwnerRef {
    type Error = NoOwner;

    fn try_from(text: String) -> Result<Self, NoOwner> {
        text.parse()
    }
}

impl From<OwnerRef> for String {
    fn from(owner: OwnerRef) -> Self {
        owner.to_string()
    }
}

/// A node: a tool, user, team, project or organisation. Keys belong to one; what limits it limits everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// What it stands for.
    pub kind: OwnerKind,
    /// Unique among its kind.
    pub name: String,
    /// The node above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent: Option<OwnerRef>,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

impl Owner {
    /// Its identity.
    pub fn reference(&self) -> OwnerRef {
        OwnerRef { kind: self.kind, name: self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_they_are_written() {
        for (kind, word) in OwnerKind::WORDS {
            let text = format!("{word}:a.b");
            let read: OwnerRef = text.parse().unwrap();
            assert_eq!((read.kind, read.name.as_str(), read.to_string()), (kind, "a.b", text));
        }
        for wrong in ["", "research", "team:", "key:a", ":a", "Team:a"] {
            assert!(wrong.parse::<OwnerRef>().is_err(), "{wrong}");
        }
    }
}
