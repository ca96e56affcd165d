//! `myelin import`: what is already on this machine, and what other gateways are configured with.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::tool::confirmed;
use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, plain, text};

/// Take over keys, local servers or another gateway's configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Whose configuration; absent: look around on this machine.
    #[arg(value_enum)]
    kind: Option<Kind>,
    /// Its file; `-`: standard input (default: where it usually is).
    file: Option<PathBuf>,
    /// Take it over without asking.
    #[arg(long, short)]
    yes: bool,
    /// Only show what would be taken over.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// Whose configuration.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// cc-switch: its database, SQL export or older config.json.
    CcSwitch,
    /// claude-code-router: config.json.
    ClaudeCodeRouter,
    /// LiteLLM's proxy: config.yaml.
    Litellm,
    /// LLMux: config.yaml.
    Llmux,
}

impl Kind {
    fn id(self) -> &'static str {
        match self {
            Kind::CcSwitch => "cc-switch",
            Kind::ClaudeCodeRouter => "claude-code-router",
            Kind::Litellm => "litellm",
            Kind::Llmux => "llmux",
        }
    }
}

/// Does it.
pub(crate) fn run(place: &Place, import: Import) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    match import.kind {
        Some(kind) => config(place, &carrier, kind, &import),
        None => around(place, &carrier, &import),
    }
}

fn config(place: &Place, carrier: &Carrier, kind: Kind, import: &Import) -> anyhow::Result<()> {
    let file = match &import.file {
        Some(file) => file.clone(),
        None => {
            let found = carrier.get("/api/v1/discover")?;
            let own = list(&found, "/configs").iter().find(|config| text(config, "/kind") == kind.id());
            own.map(|config| PathBuf::from(text(config, "/path")))
                .with_context(|| format!("no configuration of {} was found: name its file", kind.id()))?
        }
    };
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes)?;
        bytes
    } else {
        std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?
    };
    let mut beside = file.clone().into_os_string();
    beside.push("-wal");
    if std::fs::metadata(&beside).is_ok_and(|wal| wal.len() > 0) {
        output::aside!(
            "warning: the database is in use: close {} first, its latest changes are not in the file yet",
            kind.id()
        );
    }
    let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
    let ask =
        |apply: bool| carrier.post("/api/v1/import", &json!({"kind": kind.id(), "base64": bytes, "apply": apply}));
    let preview = ask(false)?;
    if !place.json || import.dry_run {
        show(place, &preview)?;
    }
    if import.dry_run {
        return Ok(());
    }
    if !import.yes && !confirmed("take it over?")? {
        bail!("nothing was taken over");
    }
    let done = ask(true)?;
    if place.json {
        return output::json(&done);
    }
    for channel in list(&done, "/channels") {
        test(carrier, &text(channel, "/name"))?;
    }
    Ok(())
}

fn show(place: &Place, preview: &Value) -> anyhow::Result<()> {
    if place.json {
        return output::json(preview);
    }
    let row = |channel: &Value| {
        let models = list(channel, "/models").len();
        let models = if models == 0 { "what it lists".to_owned() } else { models.to_string() };
        vec![
            text(channel, "/name"),
            text(channel, "/provider"),
            text(channel, "/base_urls"),
            text(channel, "/credentials"),
            models,
        ]
    };
    let rows: Vec<_> = list(preview, "/channels").iter().map(row).collect();
    output::table(&["channel", "provider", "address", "key", "models"], &rows)?;
    for profile in list(preview, "/profiles") {
        output::line(&format!("profile {} with {} rules", text(profile, "/name"), list(profile, "/rules").len()))?;
    }
    list(preview, "/notes").iter().for_each(|note| output::aside!("note: {}", plain(&text(note, "/words"))));
    Ok(())
}

/// Tests a channel, which takes part then, and says what came of it.
fn test(carrier: &Carrier, name: &str) -> anyhow::Result<()> {
    let tested = carrier.post(&format!("/api/v1/channels/{}/test", segment(name)), &json!({"enable": true}));
    match tested {
        Ok(test) => told(name, &test),
        Err(why) => output::line(&format!("{name} is off: {why:#}")),
    }
}

fn told(name: &str, test: &Value) -> anyhow::Result<()> {
    if test.pointer("/passed") == Some(&json!(true)) {
        return output::line(&format!("{name} works"));
    }
    output::line(&format!("{name} is off until its test passes: {}", plain(&text(test, "/error"))))
}

fn around(place: &Place, carrier: &Carrier, import: &Import) -> anyhow::Result<()> {
    let found = carrier.get("/api/v1/discover")?;
    if place.json && !import.yes {
        return output::json(&found);
    }
    let fresh = |at: &str| {
        list(&found, at).iter().filter(|one| one.pointer("/known") != Some(&json!(true))).collect::<Vec<_>>()
    };
    let (keys, servers) = (fresh("/keys"), fresh("/servers"));
    if !place.json {
        let key = |key: &&Value| vec![text(key, "/provider"), text(key, "/from"), text(key, "/hint")];
        let server = |server: &&Value| {
            vec![
                text(server, "/provider"),
                text(server, "/base_url"),
                format!("{} models", list(server, "/models").len()),
            ]
        };
        let rows: Vec<_> = keys.iter().map(key).chain(servers.iter().map(server)).collect();
        if rows.is_empty() {
            output::line("nothing new was found: no key, no local server")?;
        } else {
            output::table(&["provider", "where", ""], &rows)?;
        }
        for config in list(&found, "/configs") {
            output::line(&format!(
                "another gateway: myelin import {} {}",
                text(config, "/kind"),
                plain(&text(config, "/path"))
            ))?;
        }
    }
    if import.dry_run || (keys.is_empty() && servers.is_empty()) {
        return Ok(());
    }
    if !import.yes && !confirmed("make a channel of each?")? {
        bail!("nothing was taken over");
    }
    let ids: Vec<String> = keys.iter().map(|key| text(key, "/id")).collect();
    let rows: Vec<String> = servers.iter().map(|server| text(server, "/provider")).collect();
    let done = carrier.post("/api/v1/discover/adopt", &json!({"keys": ids, "servers": rows}))?;
    if place.json {
        return output::json(&done);
    }
    list(&done, "/channels").iter().try_for_each(|channel| {
        let test = channel.pointer("/test").cloned().unwrap_or_default();
        told(&text(channel, "/name"), &test)
    })
}
