//! `myelin key`: virtual keys.

use anyhow::{anyhow, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, seconds, text, time, warnings};

/// Virtual keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// All keys.
    List,
    /// Make a key; its secret is shown once.
    Create(Create),
    /// Change a key; what is not named stays as it is.
    Set(Box<Set>),
    /// Make a new secret for a key; the old one works for a while longer.
    Rotate {
        /// Name or id.
        key: String,
        /// How long the old secret still works: 30s, 15m, 12h, 30d, 2w.
        #[arg(long, default_value = "1d")]
        grace: String,
    },
    /// Give a key to a user, team, project or organisation, whose limits then hold for it.
    Give {
        /// Name or id.
        key: String,
        /// team:NAME or the like (default: nobody).
        owner: Option<String>,
    },
    /// Refuse a key.
    Block {
        /// Name or id.
        key: String,
    },
    /// Accept a blocked key again.
    Unblock {
        /// Name or id.
        key: String,
    },
    /// Let a key go on that is held back because its traffic was out of the ordinary.
    Release {
        /// Name or id.
        key: String,
    },
    /// Remove a key.
    Remove {
        /// Name or id.
        key: String,
    },
}

/// Make a key.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Unique name.
    name: String,
    /// Refused from then on: 2030-12-31, 2030-12-31T18:00:00Z, or a length of time from now (30d).
    #[arg(long)]
    expires: Option<String>,
    /// A model that may be asked for, exact or with *; may be repeated (default: all).
    #[arg(long)]
    model: Vec<String>,
    /// A channel that may serve, by name or tag:T; may be repeated (default: all).
    #[arg(long)]
    channel: Vec<String>,
    /// A client format that may be spoken; may be repeated (default: all).
    #[arg(long)]
    format: Vec<String>,
    /// The key's own active profile (default: follows the gateway's).
    #[arg(long)]
    profile: Option<String>,
    /// The tool that it belongs to.
    #[arg(long)]
    tool: Option<String>,
    /// The user, team, project or organisation that it belongs to: team:NAME or the like.
    #[arg(long)]
    owner: Option<String>,
    /// The last byte of an answer waits until its record is on disk.
    #[arg(long)]
    strict: bool,
}

/// Change a key.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Name or id.
    key: String,
    /// Another name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Refused from then on: 2030-12-31, 2030-12-31T18:00:00Z, a length of time from now (30d), or never.
    #[arg(long)]
    expires: Option<String>,
    /// A model that may be asked for, exact or with *; may be repeated, in place of those before.
    #[arg(long, conflicts_with = "any_model")]
    model: Vec<String>,
    /// Every model may be asked for.
    #[arg(long)]
    any_model: bool,
    /// A channel that may serve, by name or tag:T; may be repeated, in place of those before.
    #[arg(long, conflicts_with = "any_channel")]
    channel: Vec<String>,
    /// Every channel may serve.
    #[arg(long)]
    any_channel: bool,
    /// A client format that may be spoken; may be repeated, in place of those before.
    #[arg(long, conflicts_with = "any_format")]
    format: Vec<String>,
    /// Every client format may be spoken.
    #[arg(long)]
    any_format: bool,
    /// The key's own active profile.
    #[arg(long, conflicts_with = "follow")]
    profile: Option<String>,
    /// No profile of its own: follows the gateway's.
    #[arg(long)]
    follow: bool,
    /// The tool that it belongs to.
    #[arg(long, conflicts_with = "no_tool")]
    tool: Option<String>,
    /// It belongs to no tool.
    #[arg(long)]
    no_tool: bool,
    /// Whether the last byte of an answer waits until its record is on disk.
    #[arg(long, value_name = "true|false")]
    strict: Option<bool>,
    /// Whether it is refused.
    #[arg(long, value_name = "true|false")]
    blocked: Option<bool>,
}

impl Set {
    /// The fields that are named, as the admin API calls them.
    fn changes(&self) -> anyhow::Result<Map<String, Value>> {
        let mut changes = Map::new();
        let mut put = |name: &str, value: Option<Value>| changes.extend(value.map(|value| (name.to_owned(), value)));
        let several = |given: &[String], any: bool| (any || !given.is_empty()).then(|| json!(given));
        let one = |given: &Option<String>, none: bool| {
            given.as_ref().map(|given| json!(given)).or(none.then_some(Value::Null))
        };
        let expires = match self.expires.as_deref() {
            None => None,
            Some("never") => Some(Value::Null),
            Some(words) => Some(json!(moment(words)?)),
        };
        put("name", one(&self.name, false));
        put("expires", expires);
        put("models", several(&self.model, self.any_model));
        put("channels", several(&self.channel, self.any_channel));
        put("formats", several(&self.format, self.any_format));
        put("profile", one(&self.profile, self.follow));
        put("tool", one(&self.tool, self.no_tool));
        put("strict", self.strict.map(Value::from));
        put("blocked", self.blocked.map(Value::from));
        Ok(changes)
    }
}

/// Does it.
pub(crate) fn run(place: &Place, key: Key) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let (answer, words) = match key {
        Key::List => {
            let answer = carrier.get("/api/v1/keys")?;
            if !place.json {
                return show_list(&answer, &carrier.get("/api/v1/health")?);
            }
            (answer, String::new())
        }
        Key::Create(new) => {
            let expires = new.expires.as_deref().map(moment).transpose()?;
            if expires.is_some_and(|at| at <= output::now().unwrap_or(0)) {
                bail!("--expires {} has passed: nobody could use this key", new.expires.as_deref().unwrap_or_default());
            }
            let body = json!({
                "name": new.name, "expires": expires, "models": new.model, "channels": new.channel,
                "formats": new.format, "profile": new.profile, "tool": new.tool, "owner": new.owner, "strict": new.strict,
            });
            let answer = carrier.post("/api/v1/keys", &body)?;
            let words = secret(&answer);
            (answer, words)
        }
        Key::Set(set) => {
            let changes = set.changes()?;
            if changes.is_empty() {
                bail!("nothing is to be changed: name a field, `myelin key set --help` lists them");
            }
            let answer = carrier.patch(&path(&set.key), &Value::Object(changes))?;
            let words = format!("{} is changed", text(&answer, "/name"));
            (answer, words)
        }
        Key::Rotate { key, grace } => {
            let body = json!({"grace_seconds": seconds(&grace)?});
            let answer = carrier.post(&format!("{}/rotate", path(&key)), &body)?;
            let old = match seconds(&grace)? {
                0 => "the secrets before it work no more".to_owned(),
                _ => format!("the secret before it works for another {grace}"),
            };
            let words = format!("{}\n{old}", secret(&answer));
            (answer, words)
        }
        Key::Give { key, owner } => {
            let answer = carrier.patch(&path(&key), &json!({"owner": owner}))?;
            let words = match owner {
                Some(owner) => format!("{key} belongs to {owner}"),
                None => format!("{key} belongs to nobody"),
            };
            (answer, words)
        }
        Key::Block { key } => (carrier.patch(&path(&key), &json!({"blocked": true}))?, format!("{key} is blocked")),
        Key::Unblock { key } => (carrier.patch(&path(&key), &json!({"blocked": false}))?, format!("{key} works again")),
        Key::Release { key } => {
            let answer = carrier.post("/api/v1/health/reset", &json!({"key": key}))?;
            let released = answer.pointer("/reset").and_then(Value::as_u64) == Some(1);
            let words = if released { format!("{key} goes on") } else { format!("{key} was not held back") };
            (answer, words)
        }
        Key::Remove { key } => (carrier.delete(&path(&key))?, format!("{key} is removed")),
    };
    if place.json {
        return output::json(&answer);
    }
    warnings(&answer);
    output::line(&words)
}

fn path(key: &str) -> String {
    format!("/api/v1/keys/{}", segment(key))
}

fn secret(answer: &Value) -> String {
    format!("{}   ({}; shown once)", text(answer, "/secret"), text(answer, "/key/name"))
}

fn show_list(answer: &Value, health: &Value) -> anyhow::Result<()> {
    let now = output::now()?;
    let held = |id: Option<&Value>| list(health, "/keys").iter().find(|held| held.pointer("/key") == id).cloned();
    let row = |key: &Value| {
        let at = |pointer| key.pointer(pointer).and_then(Value::as_u64);
        let state = match held(key.pointer("/id")) {
            _ if key.pointer("/blocked") == Some(&json!(true)) => "blocked".to_owned(),
            _ if at("/expires").is_some_and(|expires| expires <= now) => "expired".to_owned(),
            Some(held) => format!("held back: {}", text(&held, "/why")),
            None => "-".to_owned(),
        };
        vec![
            text(key, "/name"),
            text(key, "/hint"),
            text(key, "/profile"),
            text(key, "/tool"),
            text(key, "/owner"),
            text(key, "/models"),
            at("/expires").map_or_else(|| "never".to_owned(), time),
            at("/created").map_or_else(|| "-".to_owned(), time),
            state,
            text(key, "/origin"),
        ]
    };
    let rows: Vec<_> = list(answer, "/keys").iter().map(row).collect();
    output::table(&["name", "key", "profile", "tool", "owner", "models", "expires", "made", "state", "from"], &rows)
}

/// A moment in milliseconds since 1970: a date (its beginning, in local time), a time with zone, or a length of time from now.
fn moment(words: &str) -> anyhow::Result<u64> {
    if let Ok(seconds) = seconds(words) {
        let now = jiff::Timestamp::now().as_millisecond();
        return Ok(u64::try_from(now)?.saturating_add(seconds.saturating_mul(1_000)));
    }
    let stamp = words.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date = words.parse::<jiff::civil::Date>().ok()?;
        Some(date.to_zoned(jiff::tz::TimeZone::system()).ok()?.timestamp())
    });
    let stamp = stamp.ok_or_else(|| anyhow!("'{words}' is no time: write 2030-12-31, 2030-12-31T18:00:00Z or 30d"))?;
    u64::try_from(stamp.as_millisecond()).map_err(|_| anyhow!("'{words}' is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        assert_eq!(moment("2030-01-01T00:00:00Z").unwrap(), 1_893_456_000_000);
        assert!(moment("2030-01-01").unwrap().abs_diff(1_893_456_000_000) <= 86_400_000);
        assert!(moment("1d").unwrap() > 1_700_000_000_000);
        assert!(moment("soon").is_err() && moment("1960-01-01T00:00:00Z").is_err());
    }
}
