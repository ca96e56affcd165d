//! `myelin profile`: which one is active, and what they map.

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, text, warnings};

/// Profiles.
#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// All profiles, and which one is active.
    List,
    /// The rules of a profile.
    Show {
        /// Its name.
        name: String,
    },
    /// Switch: the next request follows it.
    Use {
        /// The profile; `direct` maps nothing.
        name: String,
        /// Only for this key (name or id).
        #[arg(long, conflicts_with = "tool")]
        key: Option<String>,
        /// Only for the keys of this tool.
        #[arg(long)]
        tool: Option<String>,
    },
    /// Let a key or a tool follow the gateway's profile again.
    Follow {
        /// This key (name or id).
        #[arg(long, conflicts_with = "tool", required_unless_present = "tool")]
        key: Option<String>,
        /// The keys of this tool.
        #[arg(long)]
        tool: Option<String>,
    },
    /// Make a profile, or replace its rules.
    Set {
        /// Its name.
        name: String,
        /// A rule PATTERN=TARGET[,FALLBACK…]; the first that matches wins. A pattern is a name, a glob with *, or ~REGEX.
        #[arg(long, value_name = "RULE")]
        rule: Vec<String>,
    },
    /// Remove a profile that nobody uses.
    Remove {
        /// Its name.
        name: String,
    },
}

const ACTIVE: &str = "/api/v1/active-profile";

/// Does it.
pub(crate) fn run(place: &Place, profile: Profile) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let (answer, words) = match profile {
        Profile::List => {
            let answer = carrier.get("/api/v1/profiles")?;
            if !place.json {
                return show_list(&answer);
            }
            (answer, String::new())
        }
        Profile::Show { name } => {
            let answer = carrier.get(&path(&name))?;
            if !place.json {
                return show(&answer);
            }
            (answer, String::new())
        }
        Profile::Use { name, key, tool } => {
            let whose = key.as_ref().or(tool.as_ref()).map_or_else(|| "the gateway".to_owned(), Clone::clone);
            let answer = carrier.put(ACTIVE, &json!({"profile": name, "key": key, "tool": tool}))?;
            (answer, format!("{whose} uses {name}"))
        }
        Profile::Follow { key, tool } => {
            let whose = key.as_ref().or(tool.as_ref()).cloned().unwrap_or_default();
            let answer = carrier.put(ACTIVE, &json!({"profile": null, "key": key, "tool": tool}))?;
            (answer, format!("{whose} follows the gateway's profile"))
        }
        Profile::Set { name, rule } => {
            let rules = rule.iter().map(|words| self::rule(words)).collect::<anyhow::Result<Vec<Value>>>()?;
            let profiles = carrier.get("/api/v1/profiles")?;
            let there = list(&profiles, "/profiles").iter().any(|profile| text(profile, "/name") == name);
            let answer = if there {
                carrier.patch(&path(&name), &json!({"rules": rules}))?
            } else {
                carrier.post("/api/v1/profiles", &json!({"name": name, "rules": rules}))?
            };
            (answer, format!("{name} has {} rules", rules.len()))
        }
        Profile::Remove { name } => (carrier.delete(&path(&name))?, format!("{name} is removed")),
    };
    if place.json {
        return output::json(&answer);
    }
    warnings(&answer);
    output::line(&words)
}

fn path(name: &str) -> String {
    format!("/api/v1/profiles/{}", segment(name))
}

/// `claude-*=deepseek/deepseek-chat,main/fast`.
fn rule(words: &str) -> anyhow::Result<Value> {
    let (pattern, targets) = words
        .split_once('=')
        .ok_or_else(|| anyhow!("'{words}' is no rule: write PATTERN=TARGET, like 'claude-*=deepseek/deepseek-chat'"))?;
    let pattern = pattern.trim();
    let mut targets = targets.split(',').map(str::trim).filter(|target| !target.is_empty());
    let to = targets.next().unwrap_or_default();
    let fallback: Vec<&str> = targets.collect();
    Ok(match pattern.strip_prefix('~') {
        Some(regex) => json!({"regex": regex, "to": to, "fallback": fallback}),
        None => json!({"match": pattern, "to": to, "fallback": fallback}),
    })
}

fn show_list(answer: &Value) -> anyhow::Result<()> {
    let active = text(answer, "/active");
    let used_by = |name: &str| {
        let keys = list(answer, "/keys").iter().filter(|key| text(key, "/profile") == name);
        let keys: Vec<String> = keys.map(|key| text(key, "/name")).collect();
        if keys.is_empty() { "-".to_owned() } else { keys.join(",") }
    };
    let mark = |name: &str| if name == active { "active" } else { "" }.to_owned();
    let direct = vec!["direct".to_owned(), mark("direct"), "0".to_owned(), used_by("direct"), "built in".to_owned()];
    let rows = list(answer, "/profiles").iter().map(|profile| {
        let name = text(profile, "/name");
        let rules = list(profile, "/rules").len().to_string();
        vec![name.clone(), mark(&name), rules, used_by(&name), text(profile, "/origin")]
    });
    let rows: Vec<_> = std::iter::once(direct).chain(rows).collect();
    output::table(&["name", "", "rules", "own of keys", "from"], &rows)
}

fn show(profile: &Value) -> anyhow::Result<()> {
    let row = |rule: &Value| {
        let pattern = match text(rule, "/match") {
            none if none == "-" => format!("~{}", text(rule, "/regex")),
            glob => glob,
        };
        vec![pattern, text(rule, "/to"), text(rule, "/fallback"), text(rule, "/set")]
    };
    let rows: Vec<_> = list(profile, "/rules").iter().map(row).collect();
    output::table(&["asked", "goes to", "else", "sets"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        assert_eq!(rule("claude-*=a/b,c").unwrap(), json!({"match": "claude-*", "to": "a/b", "fallback": ["c"]}));
        assert_eq!(rule("~^gpt=x").unwrap(), json!({"regex": "^gpt", "to": "x", "fallback": []}));
        assert!(rule("nothing").is_err());
    }
}
