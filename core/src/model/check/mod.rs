//! Is what is configured sound? Pure checks over the model, used when the file is read and when anything is saved.
//!
//! Must not know where an entity comes from nor how it is kept. Nothing here fixes anything: it only says what is wrong and where.

mod channels;
mod conditions;
mod keys;
mod limits;
mod names;
mod pattern;
mod policy;
mod profiles;
mod routes;
mod settings;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use channels::channel;
pub use keys::{client_format, key};
pub use limits::{limit, missing, owner};
pub use names::{closest, name, unique};
pub use pattern::{glob_covers, glob_matches};
pub use policy::policy;
pub use profiles::profile;
pub use routes::route;
pub use settings::{is_loopback, settings};

use super::{Channel, Entities, Told};
use crate::told;

/// How bad a problem is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Works, but surely not as meant.
    Warning,
    /// Cannot be taken.
    Error,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Where: `channels.main.base_urls`, `profiles.cheap.rules[2].to`, `listen`.
    pub path: String,
    /// What, as a lower-case fragment.
    pub message: String,
    /// Which problem: one code for one text.
    #[schema(value_type = String)]
    #[serde(default)]
    pub code: Cow<'static, str>,
    /// What stands in the message, by name.
    #[schema(value_type = BTreeMap<String, String>)]
    #[serde(default)]
    pub values: BTreeMap<Cow<'static, str>, String>,
    /// Line in the file, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Problem {
    /// A problem that forbids taking the value.
    pub fn error(path: impl Into<String>, told: Told) -> Self {
        Self::new(Severity::Error, path.into(), told)
    }

    /// A problem to be told about.
    pub fn warning(path: impl Into<String>, told: Told) -> Self {
        Self::new(Severity::Warning, path.into(), told)
    }

    fn new(severity: Severity, path: String, told: Told) -> Self {
        let Told { code, words: message, values } = told;
        Self { severity, path, message, code, values, line: None }
    }

    /// Whether it forbids taking the value.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// What the checks ask of the provider catalog, so that they need not know it.
pub trait Catalog: Send + Sync {
    /// Whether there is a row of that name.
    fn has_provider(&self, provider: &str) -> bool;

    /// Whether the provider's own models include that one, for rules that name a model nobody lists. `None`: not known.
    fn offers(&self, provider: &str, model: &str) -> Option<bool> {
        let _ = (provider, model);
        None
    }

    /// The names that `options` of the provider's channels may have. `None`: not known.
    fn options(&self, provider: &str) -> Option<BTreeSet<String>> {
        let _ = provider;
        None
    }

    /// Whether the channel has an endpoint, or something beside conversations, that takes this model of its provider. `None`: not known.
    fn serves(&self, channel: &Channel, upstream: &str) -> Option<bool> {
        let _ = (channel, upstream);
        None
    }
}

impl<F: Fn(&str) -> bool + Send + Sync> Catalog for F {
    fn has_provider(&self, provider: &str) -> bool {
        self(provider)
    }
}

/// Checks everything at once, as at start and after the file was read again.
pub fn all(entities: &Entities, catalog: &dyn Catalog) -> Vec<Problem> {
    let mut problems = settings(&entities.settings);
    problems.extend(policy("policy", &entities.settings.policy, entities));
    for entity in &entities.channels {
        problems.extend(channel(entity, &entities.settings, catalog));
    }
    for entity in &entities.routes {
        problems.extend(route(entity, entities));
    }
    for entity in &entities.profiles {
        problems.extend(profile(entity, entities));
    }
    for entity in &entities.keys {
        problems.extend(key(entity, entities));
    }
    for entity in &entities.owners {
        problems.extend(owner(entity, entities));
    }
    let owners: Vec<String> = entities.owners.iter().map(|owner| owner.reference().to_string()).collect();
    problems.extend(unique("owners", owners.iter().map(String::as_str)));
    for entity in &entities.limits {
        problems.extend(limit(entity, entities));
    }
    problems.extend(unique("limits", entities.limits.iter().map(|limit| limit.name.as_str())));
    if !entities.has_profile(&entities.active_profile) {
        problems.push(Problem::warning(
            "active_profile",
            told!("no-profile", "there is no profile '{profile}'", profile = entities.active_profile),
        ));
    }
    if let Some(anonymous) = &entities.settings.anonymous_key
        && !entities.keys.iter().any(|key| key.name == *anonymous)
    {
        problems.push(Problem::warning("anonymous_key", told!("no-key", "there is no key '{key}'", key = anonymous)));
    }
    problems
}
