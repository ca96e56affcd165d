//! What the tray shows, gathered through the admin API. Owns the reading of its answers; must not know how it is shown.

use http::Method;
use jiff::Zoned;
use myelin_core::tools::{Override, State, View};
use serde_json::{Value, json};

use crate::carrier::{Carrier, Failure};

/// Recent errors that are shown.
const ERRORS: usize = 5;

/// How the gateway is, seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Reach {
    /// Not yet known.
    #[default]
    Starting,
    /// It answers.
    Running,
    /// It lets open answers finish.
    Draining,
    /// The service that the app was attached to does not answer.
    Gone,
}

/// A tool that was found on this machine, or that has a key of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// As keys and commands say it.
    pub(crate) id: String,
    /// As people say it.
    pub(crate) name: String,
    /// How its files stand.
    pub(crate) state: State,
    /// It has a key, so it can have a profile.
    pub(crate) keyed: bool,
    /// Its own profile; `None`: it follows the gateway.
    pub(crate) profile: Option<String>,
    /// What is not as it was connected, or beats its files: a line each.
    pub(crate) amiss: Vec<String>,
    /// `myelin run` starts it.
    pub(crate) runs: bool,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Its id.
    pub(crate) id: String,
    /// In a line.
    pub(crate) text: String,
}

/// What the owner set for the app.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    pub(crate) notifications: bool,
    pub(crate) free_window_seconds: u64,
    pub(crate) shortcut_open: String,
    pub(crate) shortcut_next_profile: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            notifications: true,
            free_window_seconds: 60,
            shortcut_open: String::new(),
            shortcut_next_profile: String::new(),
        }
    }
}

/// Everything that the tray shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    pub(crate) reach: Reach,
    /// The gateway is a service of its own.
    pub(crate) attached: bool,
    /// `host:port` that tools call.
    pub(crate) address: String,
    /// Version of the gateway.
    pub(crate) version: String,
    pub(crate) active: String,
    /// All profiles, `direct` first.
    pub(crate) profiles: Vec<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) paused: bool,
    /// Channels with something out of rotation.
    pub(crate) degraded: Vec<String>,
    /// Records cannot be written.
    pub(crate) failing: bool,
    pub(crate) in_flight: usize,
    /// Nanodollars since midnight.
    pub(crate) cost: i64,
    pub(crate) requests: i64,
    pub(crate) errors: i64,
    pub(crate) recent: Vec<Trouble>,
    pub(crate) starts_at_login: bool,
    pub(crate) wanted: Wanted,
}

impl Facts {
    /// What changes when the configuration does.
    pub(crate) async fn read_configuration(&mut self, carrier: &Carrier) -> Result<(), Failure> {
        let profiles = carrier.get("/api/v1/profiles").await?;
        let keys = carrier.get("/api/v1/keys").await?;
        let settings = carrier.get("/api/v1/settings").await?;
        self.active = text(&profiles, "/active");
        self.profiles = std::iter::once("direct".to_owned())
            .chain(list(&profiles, "/profiles").iter().map(|profile| text(profile, "/name")))
            .collect();
        let found = carrier.get("/api/v1/tools").await?;
        self.tools = tools(&keys, &found);
        self.paused = settings.pointer("/settings/paused").and_then(Value::as_bool).unwrap_or_default();
        let wanted = settings.pointer("/settings/desktop").cloned().unwrap_or_default();
        self.wanted = serde_json::from_value(wanted).unwrap_or_default();
        self.starts_at_login = crate::autostart::is_on();
        Ok(())
    }

    /// What changes by itself.
    pub(crate) async fn read_numbers(&mut self, carrier: &Carrier) -> Result<(), Failure> {
        let status = carrier.get("/api/v1/status").await?;
        let midnight = midnight();
        let usage = carrier.get(&format!("/api/v1/usage?since={midnight}")).await?;
        let failed = format!("/api/v1/requests?state=failed&state=interrupted&since={midnight}&limit={ERRORS}");
        let failed = carrier.get(&failed).await?;
        self.address = list(&status, "/listen").first().and_then(Value::as_str).unwrap_or_default().to_owned();
        self.version = text(&status, "/version");
        self.degraded = list(&status, "/degraded").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        self.failing = status.pointer("/ledger/failing").and_then(Value::as_bool).unwrap_or_default();
        self.in_flight = number(&status, "/in_flight").try_into().unwrap_or_default();
        self.cost = number(&usage, "/total/cost");
        self.requests = number(&usage, "/total/requests");
        self.errors = number(&usage, "/total/errors");
        self.recent = list(&failed, "/records").iter().map(trouble).collect();
        Ok(())
    }

    /// The profile after the active one, in the order of the menu.
    pub(crate) fn next_profile(&self) -> Option<String> {
        let at = self.profiles.iter().position(|profile| *profile == self.active)?;
        self.profiles.get(at + 1).or_else(|| self.profiles.first()).cloned()
    }
}

/// Switches the active profile: of the gateway, or of all keys of a tool.
pub(crate) async fn switch(carrier: &Carrier, profile: Option<&str>, tool: Option<&str>) -> Result<(), Failure> {
    let mut body = json!({"profile": profile});
    if let (Some(tool), Some(fields)) = (tool, body.as_object_mut()) {
        fields.insert("tool".to_owned(), tool.into());
    }
    carrier.tell(&Method::PUT, "/api/v1/active-profile", &body).await.map(drop)
}

/// Tools in the order of their names: those that were found, and whatever else has a key. The console's own key is no tool's.
fn tools(keys: &Value, found: &Value) -> Vec<Tool> {
    let views = list(found, "/tools").iter().filter_map(|view| serde_json::from_value::<View>(view.clone()).ok());
    let mut tools: Vec<Tool> = views.map(tool).collect();
    for key in list(keys, "/keys") {
        let Some(id) = key.pointer("/tool").and_then(Value::as_str).filter(|id| *id != "playground") else {
            continue;
        };
        let place = tools.iter().position(|tool| tool.id == id).unwrap_or_else(|| {
            tools.push(Tool {
                id: id.to_owned(),
                name: id.to_owned(),
                state: State::Absent,
                keyed: false,
                profile: None,
                amiss: Vec::new(),
                runs: true,
            });
            tools.len() - 1
        });
        // The first of a tool's keys says its profile; a switch sets them all.
        if let Some(tool) = tools.get_mut(place).filter(|tool| !tool.keyed) {
            tool.keyed = true;
            tool.profile = key.pointer("/profile").and_then(Value::as_str).map(str::to_owned);
        }
    }
    tools.retain(|tool| tool.keyed || tool.state != State::Absent);
    tools.sort_by_key(|tool| tool.name.to_lowercase());
    tools
}

/// Tools that were connected and have drifted since.
pub(crate) fn newly_drifted<'a>(before: &'a [Tool], after: &'a [Tool]) -> impl Iterator<Item = &'a Tool> {
    let was = |tool: &Tool| before.iter().find(|old| old.id == tool.id).map(|old| old.state);
    after.iter().filter(move |tool| tool.state == State::Drifted && was(tool) == Some(State::Connected))
}

fn tool(view: View) -> Tool {
    let drift = view.drift.iter().map(|drift| format!("{} {} {}", drift.path, drift.kind.words(), drift.at));
    let beats = |beats: &Override| format!("{} beats its file", beats.name);
    let amiss = drift.chain(view.overrides.iter().map(beats)).map(|line| shortened(line.trim(), 90)).collect();
    Tool {
        id: view.id,
        name: view.name,
        state: view.state,
        keyed: false,
        profile: None,
        amiss: if view.connected.is_some() { amiss } else { Vec::new() },
        runs: view.can_run,
    }
}

fn trouble(record: &Value) -> Trouble {
    let message =
        ["/error/message", "/error"].iter().find_map(|pointer| record.pointer(pointer).and_then(Value::as_str));
    let message = message.map_or_else(|| format!("status {}", number(record, "/status")), str::to_owned);
    let time = jiff::Timestamp::from_millisecond(number(record, "/started")).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M").to_string();
    Trouble { id: text(record, "/id"), text: shortened(&format!("{time}  {}: {message}", text(record, "/model")), 70) }
}

/// At most so many characters, on one line.
fn shortened(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// When today began here; milliseconds since 1970.
fn midnight() -> i64 {
    let now = Zoned::now();
    now.start_of_day()
        .map_or_else(|_| now.timestamp().as_millisecond() - 86_400_000, |day| day.timestamp().as_millisecond())
}

pub(crate) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_shown_once_if_it_was_found_or_has_a_key_and_the_console_is_none() {
        let keys = json!({"keys": [
            {"name": "a", "tool": "codex", "profile": null}, {"name": "b", "tool": "claude-code", "profile": "cheap"},
            {"name": "c", "tool": "codex", "profile": "late"}, {"name": "d", "tool": null}, {"name": "e", "tool": "own"},
            {"name": "playground", "tool": "playground"},
        ]});
        let view = |id: &str, name: &str, state: &str, connected: Option<u64>| {
            json!({"id": id, "name": name, "state": state, "found": null, "files": ["~/f"], "connected": connected, "base": null,
                "model": null, "drift": [{"path": "~/f", "at": "env.URL", "kind": "changed"}], "overrides": [], "points_at": null,
                "wire": "openai-chat", "models": "own", "effect": "at once", "can_connect": true, "can_run": id != "zed", "notes": [],
                "key": null, "key_hint": null, "profile": null})
        };
        let found = json!({"base": "http://127.0.0.1:1", "tools": [
            view("codex", "Codex", "drifted", Some(5)), view("claude-code", "Claude Code", "absent", None),
            view("zed", "Zed", "available", None), view("aider", "aider", "absent", None),
        ]});
        let shown = tools(&keys, &found);
        let rows: Vec<_> =
            shown.iter().map(|tool| (tool.name.as_str(), tool.state, tool.keyed, tool.profile.as_deref())).collect();
        assert_eq!(
            rows,
            [
                ("Claude Code", State::Absent, true, Some("cheap")),
                ("Codex", State::Drifted, true, None),
                ("own", State::Absent, true, None),
                ("Zed", State::Available, false, None),
            ]
        );
        assert_eq!(shown[1].amiss, ["~/f has another env.URL"]);
        assert!(shown[3].amiss.is_empty() && !shown[3].runs, "what is not connected has nothing amiss");
    }

    #[test]
    fn the_next_profile_goes_round() {
        let profiles: Vec<String> = ["direct", "a", "b"].map(str::to_owned).into();
        let next = |active: &str| {
            Facts { active: active.into(), profiles: profiles.clone(), ..Facts::default() }.next_profile()
        };
        assert_eq!((next("direct").as_deref(), next("b").as_deref(), next("gone")), (Some("a"), Some("direct"), None));
    }

    #[test]
    fn errors_are_a_line() {
        let record = json!({"id": "req_1", "started": 0, "model": "gpt", "status": 502, "error": {"message": "a\nb ".repeat(50)}});
        let shown = trouble(&record);
        assert!(
            shown.text.contains("gpt: a b a b") && shown.text.ends_with('…') && !shown.text.contains('\n'),
            "{}",
            shown.text
        );
    }
}
