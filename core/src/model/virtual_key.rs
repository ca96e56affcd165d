//! Keys that Myelin issues.

use serde::{Deserialize, Serialize};

use super::{BodyPolicy, Origin, OwnerRef, Policy};

/// A key that Myelin issues. The secret itself is never kept: only its SHA-256, its prefix and its last four characters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct VirtualKey {
    /// Stable identity: `key_…`. Rotation keeps it, so history stays with the key.
    pub id: String,
    /// For people; unique.
    pub name: String,
    /// SHA-256 of the secret, 64 hex digits.
    pub hash: String,
    /// `my-abc…wxyz`: first six and last four characters.
    pub hint: String,
    /// Older secrets that still work for a while after a rotation.
    #[serde(default)]
    pub grace: Vec<KeyGrace>,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Milliseconds since 1970; refused from then on.
    #[serde(default)]
    pub expires: Option<u64>,
    /// Refused until unblocked.
    #[serde(default)]
    pub blocked: bool,
    /// Models (exact or glob) that may be asked for; empty allows all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Channels (name or `tag:t`) that may serve; empty allows all.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Client formats ([`myelin_protocol::ApiFormat`] names, `embeddings`, …); empty allows all.
    #[serde(default)]
    pub formats: Vec<String>,
    /// The key's own active profile; `None` follows the gateway's.
    #[serde(default)]
    pub profile: Option<String>,
    /// The tool that the key belongs to.
    #[serde(default)]
    pub tool: Option<String>,
    /// How to choose within groups, in place of what profile and routes say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<super::Strategy>,
    /// The user, team, project or organisation that the key belongs to.
    #[serde(default)]
    pub owner: Option<OwnerRef>,
    /// The last byte of an answer waits for the record to be on disk.
    #[serde(default)]
    pub strict: bool,
    /// Which bodies are kept for this key; `None`: as for the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bodies: Option<BodyPolicy>,
    /// Retries, hedges, races, mirrors and the answer cache for this key.
    #[serde(default, skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// Where it is declared.
    #[serde(default)]
    pub origin: Origin,
}

/// An older secret of a rotated key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGrace {
    /// SHA-256 of the older secret, 64 hex digits.
    pub hash: String,
    /// Milliseconds since 1970; refused from then on.
    pub until: u64,
}
