//! `myelin profile`: which one is active, and what they map.

use anyhow::{Context as _, anyhow, bail};
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
        /// Only these channels may serve: a name, a glob or tag:T; with ! before it: not these.
        #[arg(long, value_name = "CHANNEL")]
        channel: Vec<String>,
        /// How to choose within groups.
        #[arg(long)]
        strategy: Option<String>,
        /// For people.
        #[arg(long)]
        description: Option<String>,
    },
    /// Add a ready-made profile, or list those there are.
    Add {
        /// Its name; absent: as the ready-made one is called.
        name: Option<String>,
        /// The ready-made one: claude-code-deepseek, claude-code-kimi, claude-code-glm, claude-code-ollama, cheap, offline.
        #[arg(long)]
        preset: Option<String>,
    },
    /// Print profiles for others to import; they hold no keys.
    Export {
        /// Their names; none: all.
        name: Vec<String>,
    },
    /// Take over profiles that were exported.
    Import {
        /// The file; `-`: standard input.
        file: String,
        /// Replace those that are there.
        #[arg(long)]
        replace: bool,
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
        Profile::Add { name, preset } => {
            let presets = carrier.get("/api/v1/profile-presets")?;
            let Some(preset) = preset else { return show_presets(place, &presets) };
            return add(&carrier, place, &presets, &preset, name);
        }
        Profile::Export { name } => return export(&carrier, &name),
        Profile::Import { file, replace } => return import(&carrier, place, &file, replace),
        Profile::Set { name, rule, channel, strategy, description } => {
            let rules = rule.iter().map(|words| self::rule(words)).collect::<anyhow::Result<Vec<Value>>>()?;
            let mut body = json!({"rules": rules, "channels": channel, "strategy": strategy});
            if let (Some(description), Some(fields)) = (description, body.as_object_mut()) {
                fields.insert("description".to_owned(), description.into());
            }
            let profiles = carrier.get("/api/v1/profiles")?;
            let there = list(&profiles, "/profiles").iter().any(|profile| text(profile, "/name") == name);
            let answer = if there {
                carrier.patch(&path(&name), &body)?
            } else {
                carrier.post("/api/v1/profiles", &named(body, &name))?
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

/// The fields with a name among them.
fn named(mut fields: Value, name: &str) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("name".to_owned(), name.into());
    }
    fields
}

fn show_presets(place: &Place, presets: &Value) -> anyhow::Result<()> {
    if place.json {
        return output::json(presets);
    }
    let row =
        |preset: &Value| vec![text(preset, "/name"), text(preset, "/needs"), text(preset, "/profile/description")];
    let rows: Vec<_> = list(presets, "/presets").iter().map(row).collect();
    output::table(&["--preset", "needs channels", "what it does"], &rows)
}

fn add(carrier: &Carrier, place: &Place, presets: &Value, preset: &str, name: Option<String>) -> anyhow::Result<()> {
    let found = list(presets, "/presets").iter().find(|own| text(own, "/name") == preset);
    let found = found.ok_or_else(|| {
        let names: Vec<String> = list(presets, "/presets").iter().map(|own| text(own, "/name")).collect();
        anyhow!("there is no ready-made profile '{preset}': there are {}", names.join(", "))
    })?;
    let name = name.unwrap_or_else(|| preset.to_owned());
    let answer = carrier.post("/api/v1/profiles", &bare(found.pointer("/profile"), &name))?;
    if place.json {
        return output::json(&answer);
    }
    warnings(&answer);
    output::line(&format!("{name} is there: `myelin profile use {name}` switches to it"))
}

/// A profile as it is created: without where it was declared.
fn bare(profile: Option<&Value>, name: &str) -> Value {
    let mut fields = profile.cloned().unwrap_or_default();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("origin");
    }
    named(fields, name)
}

fn export(carrier: &Carrier, names: &[String]) -> anyhow::Result<()> {
    let all = carrier.get("/api/v1/profiles")?;
    let all = list(&all, "/profiles");
    for name in names {
        if !all.iter().any(|own| text(own, "/name") == *name) {
            bail!("there is no profile '{name}'");
        }
    }
    let wanted = all.iter().filter(|own| names.is_empty() || names.contains(&text(own, "/name")));
    let profiles: Vec<Value> = wanted.map(|own| bare(Some(own), &text(own, "/name"))).collect();
    output::json(&json!({"myelin": "profiles", "version": 1, "profiles": profiles}))
}

fn import(carrier: &Carrier, place: &Place, file: &str, replace: bool) -> anyhow::Result<()> {
    let content = match file {
        "-" => std::io::read_to_string(std::io::stdin()).context("standard input cannot be read")?,
        file => std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?,
    };
    let content: Value = serde_json::from_str(&content).with_context(|| format!("{file} is no JSON"))?;
    if text(&content, "/myelin") != "profiles" || text(&content, "/version") != "1" {
        bail!("{file} holds no exported profiles that this Myelin can read");
    }
    let there = carrier.get("/api/v1/profiles")?;
    let mut answers = Vec::new();
    for profile in list(&content, "/profiles") {
        let name = text(profile, "/name");
        let known = list(&there, "/profiles").iter().any(|own| text(own, "/name") == name);
        if known && !replace {
            bail!("there is a profile '{name}' already: --replace replaces it");
        }
        let mut fields = bare(Some(profile), &name);
        let answer = if known {
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("name");
            }
            carrier.patch(&path(&name), &fields)?
        } else {
            carrier.post("/api/v1/profiles", &fields)?
        };
        if !place.json {
            warnings(&answer);
            output::line(&format!("{name} is there"))?;
        }
        answers.push(answer);
    }
    if place.json { output::json(&Value::from(answers)) } else { Ok(()) }
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
        vec![pattern, text(rule, "/if"), text(rule, "/to"), text(rule, "/fallback"), text(rule, "/set")]
    };
    for (field, head) in [("/description", "for"), ("/channels", "channels"), ("/strategy", "strategy")] {
        if text(profile, field) != "-" {
            output::line(&format!("{head}: {}", output::plain(&text(profile, field))))?;
        }
    }
    let rows: Vec<_> = list(profile, "/rules").iter().map(row).collect();
    output::table(&["asked", "if", "goes to", "else", "sets"], &rows)
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
