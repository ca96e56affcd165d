//! `myelin channel`: accounts at providers.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, pair, plain, text, warnings};

/// Accounts at providers.
#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// All channels.
    List,
    /// One channel, whole.
    Show {
        /// Its name.
        name: String,
    },
    /// Add a channel and test it; it takes part once the test passes.
    Add(Add),
    /// Test a channel with one small conversation; one that was waiting for it takes part then.
    Test {
        /// Its name.
        name: String,
        /// The model to ask, by the provider's name.
        #[arg(long)]
        model: Option<String>,
    },
    /// Let a channel take part in routing.
    Enable {
        /// Its name.
        name: String,
        /// Even if no test has passed.
        #[arg(long)]
        force: bool,
    },
    /// Take a channel out of routing.
    Disable {
        /// Its name.
        name: String,
    },
    /// Remove a channel.
    Remove {
        /// Its name.
        name: String,
    },
    /// Fetch the provider's list of models.
    Models {
        /// The channel's name.
        name: String,
    },
}

/// Add a channel.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// A row of the provider catalog: openai, anthropic, deepseek, ollama, openai-compatible …
    provider: String,
    /// Its name (default: the provider's).
    #[arg(long)]
    name: Option<String>,
    /// The credential: the secret itself, env:NAME, file:PATH, or - to read it from standard input; may be repeated.
    #[arg(long, value_name = "SECRET")]
    key: Vec<String>,
    /// Base address, in place of the catalog's; may be repeated.
    #[arg(long, value_name = "URL")]
    base_url: Vec<String>,
    /// A model that it offers, as NAME or NAME=UPSTREAM; may be repeated (default: what the provider lists).
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// A label for routes and keys; may be repeated.
    #[arg(long)]
    tag: Vec<String>,
    /// Share among channels that list the same model.
    #[arg(long)]
    weight: Option<u32>,
    /// A setting of the provider (region=…, project=…); may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    option: Vec<String>,
    /// A header for every request upstream; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// http://, https:// or socks5:// proxy.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Let it take part at once, without a test.
    #[arg(long)]
    force: bool,
}

/// Does it.
pub(crate) fn run(place: &Place, channel: Channel) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let answer = match channel {
        Channel::List => {
            let answer = carrier.get("/api/v1/channels")?;
            if !place.json {
                return show_list(&answer);
            }
            answer
        }
        Channel::Show { name } => carrier.get(&path(&name, ""))?,
        Channel::Add(new) => return add(place, &carrier, new),
        Channel::Test { name, model } => return test(place, &carrier, &name, model),
        Channel::Enable { name, force } => said(
            place,
            &carrier.post(&path(&name, "/enable"), &json!({"force": force}))?,
            &format!("{name} takes part"),
        )?,
        Channel::Disable { name } => {
            said(place, &carrier.post(&path(&name, "/disable"), &json!({}))?, &format!("{name} takes no part"))?
        }
        Channel::Remove { name } => said(place, &carrier.delete(&path(&name, ""))?, &format!("{name} is removed"))?,
        Channel::Models { name } => {
            let answer = carrier.post(&path(&name, "/models"), &json!({}))?;
            if !place.json {
                return list(&answer, "/models").iter().try_for_each(|model| output::line(&plain(&text(model, ""))));
            }
            answer
        }
    };
    if answer.is_null() { Ok(()) } else { output::json(&answer) }
}

fn path(name: &str, rest: &str) -> String {
    format!("/api/v1/channels/{}{rest}", segment(name))
}

/// Says what was done, or gives the answer back to be printed as JSON.
fn said(place: &Place, answer: &Value, words: &str) -> anyhow::Result<Value> {
    if place.json {
        return Ok(answer.clone());
    }
    warnings(answer);
    output::line(words)?;
    Ok(Value::Null)
}

fn show_list(answer: &Value) -> anyhow::Result<()> {
    let row = |channel: &Value| {
        let models = match channel.pointer("/models").and_then(Value::as_array) {
            Some(models) => models.len().to_string(),
            None => format!("{} listed", list(channel, "/listed").len()),
        };
        let takes_part = channel.pointer("/enabled") == Some(&json!(true));
        vec![
            text(channel, "/name"),
            text(channel, "/provider"),
            if takes_part { "on" } else { "off" }.to_owned(),
            text(channel, "/state/is"),
            models,
            text(channel, "/tags"),
            text(channel, "/origin"),
        ]
    };
    let rows: Vec<_> = list(answer, "/channels").iter().map(row).collect();
    output::table(&["name", "provider", "", "test", "models", "tags", "from"], &rows)
}

fn add(place: &Place, carrier: &Carrier, new: Add) -> anyhow::Result<()> {
    let name = new.name.clone().unwrap_or_else(|| new.provider.clone());
    let force = new.force;
    let body = body_of(new, &name, usual_variables(carrier)?)?;
    let made = carrier.post("/api/v1/channels", &body)?;
    if force {
        if place.json {
            return output::json(&made);
        }
        warnings(&made);
        return output::line(&format!("{name} is added and takes part, untested"));
    }
    if !place.json {
        warnings(&made);
        output::line(&format!("{name} is added; testing it …"))?;
    }
    test(place, carrier, &name, None)
}

/// The variable of each provider in which people keep its key.
fn usual_variables(carrier: &Carrier) -> anyhow::Result<Map<String, Value>> {
    let catalog = carrier.get("/api/v1/providers")?;
    let rows = list(&catalog, "/providers").iter();
    Ok(rows.filter_map(|row| Some((text(row, "/id"), row.pointer("/keys/0")?.clone()))).collect())
}

fn body_of(new: Add, name: &str, variables: Map<String, Value>) -> anyhow::Result<Value> {
    let pairs = |texts: &[String]| -> anyhow::Result<Map<String, Value>> {
        texts.iter().map(|text| pair(text).map(|(key, value)| (key, value.into()))).collect()
    };
    let models: Option<Vec<Value>> =
        (!new.model.is_empty()).then(|| new.model.iter().map(|text| model(text)).collect());
    let mut credentials = new.key.iter().map(|key| credential(key)).collect::<anyhow::Result<Vec<String>>>()?;
    if credentials.is_empty()
        && let Some(variable) = variables.get(&new.provider).and_then(Value::as_str)
        && std::env::var_os(variable).is_some()
    {
        eprintln!("taking the key from the environment variable {variable}");
        credentials.push(format!("env:{variable}"));
    }
    Ok(json!({
        "name": name, "provider": new.provider, "base_urls": new.base_url, "credentials": credentials, "models": models, "tags": new.tag,
        "weight": new.weight, "enabled": new.force, "options": pairs(&new.option)?, "headers": pairs(&new.header)?, "proxy": new.proxy,
    }))
}

fn model(text: &str) -> Value {
    match text.split_once('=') {
        Some((name, upstream)) => json!({"name": name, "upstream": upstream}),
        None => json!(text),
    }
}

/// `-` keeps the secret out of the list of processes and the shell's history.
fn credential(key: &str) -> anyhow::Result<String> {
    if key != "-" {
        return Ok(key.to_owned());
    }
    let mut secret = String::new();
    std::io::stdin().lock().read_to_string(&mut secret).context("cannot read the key from standard input")?;
    match secret.trim() {
        "" => bail!("standard input holds no key"),
        secret => Ok(secret.to_owned()),
    }
}

fn test(place: &Place, carrier: &Carrier, name: &str, model: Option<String>) -> anyhow::Result<()> {
    let before = carrier.get(&path(name, ""))?;
    // One that worked and is off was switched off by its owner: a test does not switch it on again.
    let waiting = before.pointer("/enabled") == Some(&json!(false)) && text(&before, "/state/is") != "working";
    let mut body = json!({"enable": waiting});
    if let (Some(model), Some(body)) = (model, body.as_object_mut()) {
        body.insert("model".to_owned(), model.into());
    }
    let outcome = carrier.post(&path(name, "/test"), &body)?;
    let passed = outcome.pointer("/passed") == Some(&json!(true));
    if place.json {
        output::json(&outcome)?;
    } else if passed {
        let words = format!(
            "{name} works: {} answered over {} in {} ms: {}",
            text(&outcome, "/model"),
            text(&outcome, "/format"),
            text(&outcome, "/latency_ms"),
            text(&outcome, "/text")
        );
        output::line(&plain(&words))?;
        let on = outcome.pointer("/enabled") == Some(&json!(true));
        output::line(if on { "it takes part" } else { "it is off: `myelin channel enable` lets it take part" })?;
    }
    if passed {
        return Ok(());
    }
    let why = plain(&text(&outcome, "/error"));
    let off = before.pointer("/enabled") == Some(&json!(false));
    let then = if off { "; it stays off until a test passes (or `myelin channel enable --force`)" } else { "" };
    bail!("the test of {name} failed: {why}{then}")
}
