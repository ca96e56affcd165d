//! `myelin channel`: accounts at providers.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::health;
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
    /// The providers that `add` knows, and the variable in which people keep each one's key.
    Providers,
    /// Add a channel and test it; it takes part once the test passes.
    Add(Add),
    /// Change a channel, and test it if that could break it; what is not named stays as it is.
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
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
    /// How channels, their credentials and their models fare: what is out of rotation, why, and until when.
    Health {
        /// Only this channel.
        name: Option<String>,
    },
    /// Put what is out of rotation back in.
    Reset {
        /// Only this channel.
        name: Option<String>,
        /// Only this model, by the provider's name.
        #[arg(long)]
        model: Option<String>,
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
    /// The provider: openai, anthropic, deepseek, ollama, openai-compatible … (`myelin channel providers` lists them).
    provider: String,
    /// Its name (default: the provider's).
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Let it take part at once, without a test.
    #[arg(long)]
    force: bool,
}

/// What can be said of a channel.
#[derive(Debug, clap::Args)]
pub(crate) struct Fields {
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
    /// What list prices are multiplied with here: 0.8 for a fifth off.
    #[arg(long, value_name = "FACTOR")]
    price_multiplier: Option<String>,
    /// The provider whose price list holds, for a host that resells another's models.
    #[arg(long, value_name = "PROVIDER")]
    prices_of: Option<String>,
    /// Certificates (PEM) to trust beside the system's: file:PATH or env:NAME.
    #[arg(long, value_name = "SOURCE")]
    ca: Option<String>,
    /// A change in requests or answers, as JSON; may be repeated, and replaces all that were there.
    #[arg(long = "override", value_name = "JSON")]
    overrides: Vec<String>,
    /// Second tries, as JSON.
    #[arg(long, value_name = "JSON")]
    retry: Option<String>,
    /// What holds for some of its models, as JSON; may be repeated, and replaces all that was there.
    #[arg(long, value_name = "JSON")]
    for_model: Vec<String>,
    /// A failure that takes the credential or the channel out of rotation at once, as JSON: '{"status": 403, "text": "suspended", "minutes": 60}'; may be
    /// repeated, and replaces all that was there.
    #[arg(long, value_name = "JSON")]
    disable: Vec<String>,
    /// Look by itself whether the channel works, as JSON: '{"every_seconds": 60}' lists models, which costs nothing; '{"how": "talk"}' asks a question, which
    /// is billed; null: never.
    #[arg(long, value_name = "JSON")]
    probe: Option<String>,
}

/// Does it.
pub(crate) fn run(place: &Place, channel: Channel) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let answer = match channel {
        Channel::List => {
            let answer = carrier.get("/api/v1/channels")?;
            if !place.json {
                return show_list(&answer, &carrier.get("/api/v1/health")?);
            }
            answer
        }
        Channel::Show { name } => carrier.get(&path(&name, ""))?,
        Channel::Providers => {
            let answer = carrier.get("/api/v1/providers")?;
            if !place.json {
                return show_providers(&answer);
            }
            answer
        }
        Channel::Add(new) => return add(place, &carrier, new),
        Channel::Set { name, fields } => return set(place, &carrier, &name, fields),
        Channel::Test { name, model } => return test(place, &carrier, &name, model),
        Channel::Enable { name, force } => said(
            place,
            &carrier.post(&path(&name, "/enable"), &json!({"force": force}))?,
            &format!("{name} takes part"),
        )?,
        Channel::Disable { name } => {
            said(place, &carrier.post(&path(&name, "/disable"), &json!({}))?, &format!("{name} takes no part"))?
        }
        Channel::Health { name } => {
            let answer = carrier.get("/api/v1/health")?;
            if !place.json {
                return health::show(&answer, name.as_deref());
            }
            answer
        }
        Channel::Reset { name, model } => {
            let answer = carrier.post("/api/v1/health/reset", &json!({"channel": name, "model": model}))?;
            said(place, &answer, &format!("{} back in rotation", text(&answer, "/reset")))?
        }
        Channel::Remove { name } => said(place, &carrier.delete(&path(&name, ""))?, &format!("{name} is removed"))?,
        Channel::Models { name } => {
            let answer = carrier.post(&path(&name, "/models"), &json!({}))?;
            if !place.json {
                let models = list(&answer, "/models");
                if models.is_empty() {
                    output::aside!("the provider lists no model: name them with `myelin channel set {name} --model …`");
                }
                return models.iter().try_for_each(|model| output::line(&plain(&text(model, ""))));
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

fn show_list(answer: &Value, health: &Value) -> anyhow::Result<()> {
    let fares = list(health, "/channels");
    let row = |channel: &Value| {
        let own = fares.iter().find(|own| own.pointer("/channel") == channel.pointer("/name"));
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
            own.map_or_else(|| "-".to_owned(), |own| text(own, "/state")),
            models,
            text(channel, "/tags"),
            text(channel, "/origin"),
        ]
    };
    let rows: Vec<_> = list(answer, "/channels").iter().map(row).collect();
    output::table(&["name", "provider", "state", "test", "traffic", "models", "tags", "from"], &rows)
}

fn show_providers(answer: &Value) -> anyhow::Result<()> {
    let row = |provider: &Value| {
        let keyless = provider.pointer("/keyless") == Some(&json!(true));
        let key = if keyless { "needs none".to_owned() } else { text(provider, "/keys/0") };
        vec![text(provider, "/id"), text(provider, "/name"), key, text(provider, "/formats")]
    };
    let rows: Vec<_> = list(answer, "/providers").iter().map(row).collect();
    output::table(&["provider", "name", "key", "formats"], &rows)
}

fn add(place: &Place, carrier: &Carrier, new: Add) -> anyhow::Result<()> {
    let name = new.name.clone().unwrap_or_else(|| new.provider.clone());
    if carrier.get(&path(&name, "")).is_ok() {
        bail!(
            "there already is a channel '{name}': `myelin channel set {name} …` changes it, --name adds another beside it"
        );
    }
    let force = new.force;
    let body = body_of(new, &name, &usual_variables(carrier)?)?;
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

fn body_of(new: Add, name: &str, variables: &Map<String, Value>) -> anyhow::Result<Value> {
    let mut body = given(&new.fields)?;
    if new.fields.key.is_empty()
        && let Some(variable) = variables.get(&new.provider).and_then(Value::as_str)
        && std::env::var_os(variable).is_some()
    {
        output::aside!("taking the key from the environment variable {variable}");
        body.insert("credentials".to_owned(), json!([format!("env:{variable}")]));
    }
    body.insert("name".to_owned(), name.into());
    body.insert("provider".to_owned(), new.provider.into());
    body.insert("enabled".to_owned(), new.force.into());
    Ok(Value::Object(body))
}

/// The fields that are named on the command line, as the admin API calls them.
fn given(fields: &Fields) -> anyhow::Result<Map<String, Value>> {
    let pairs = |texts: &[String]| -> anyhow::Result<Value> {
        texts
            .iter()
            .map(|text| pair(text).map(|(key, value)| (key, value.into())))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object)
    };
    let credentials = fields.key.iter().map(|key| credential(key)).collect::<anyhow::Result<Vec<String>>>()?;
    let models: Vec<Value> = fields.model.iter().map(|text| model(text)).collect();
    let lists = [
        ("base_urls", json!(fields.base_url)),
        ("credentials", json!(credentials)),
        ("models", json!(models)),
        ("tags", json!(fields.tag)),
        ("options", pairs(&fields.option)?),
        ("headers", pairs(&fields.header)?),
        ("overrides", json!(values(&fields.overrides)?)),
        ("for_models", json!(values(&fields.for_model)?)),
        ("disable", json!(values(&fields.disable)?)),
    ];
    let empty = |value: &Value| *value == json!([]) || *value == json!({});
    let named = lists.into_iter().filter(|(_, value)| !empty(value));
    let retry = fields.retry.as_ref().map(|text| value(text)).transpose()?;
    let single = [
        ("weight", json!(fields.weight)),
        ("proxy", json!(fields.proxy)),
        ("ca", json!(fields.ca)),
        ("retry", json!(retry)),
        ("price_multiplier", json!(fields.price_multiplier)),
        ("prices_of", json!(fields.prices_of)),
    ];
    let named = named.chain(single.into_iter().filter(|(_, value)| !value.is_null()));
    let mut named: Map<String, Value> = named.map(|(name, value)| (name.to_owned(), value)).collect();
    if let Some(probe) = &fields.probe {
        named.insert("probe".to_owned(), value(probe)?);
    }
    Ok(named)
}

fn values(texts: &[String]) -> anyhow::Result<Vec<Value>> {
    texts.iter().map(|text| value(text)).collect()
}

fn value(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("'{text}' is no JSON"))
}

/// Changes that only a new test can vouch for.
const TESTED: [&str; 9] =
    ["base_urls", "credentials", "models", "options", "headers", "proxy", "ca", "overrides", "for_models"];

fn set(place: &Place, carrier: &Carrier, name: &str, fields: Fields) -> anyhow::Result<()> {
    let mut changes = given(&fields)?;
    if changes.is_empty() {
        bail!("nothing is to be changed: name a field, `myelin channel set --help` lists them");
    }
    let before = carrier.get(&path(name, ""))?;
    for table in ["options", "headers"] {
        let old = before.get(table).and_then(Value::as_object);
        if let (Some(new), Some(old)) = (changes.get_mut(table).and_then(Value::as_object_mut), old) {
            // Values of headers come masked; sent back masked they stay as they are.
            for (key, value) in old {
                new.entry(key).or_insert_with(|| value.clone());
            }
        }
    }
    let tested = TESTED.iter().any(|field| changes.contains_key(*field));
    let changed = carrier.patch(&path(name, ""), &Value::Object(changes))?;
    if !tested {
        let answer = said(place, &changed, &format!("{name} is changed"))?;
        return if answer.is_null() { Ok(()) } else { output::json(&answer) };
    }
    if !place.json {
        warnings(&changed);
        output::line(&format!("{name} is changed; testing it …"))?;
    }
    test(place, carrier, name, None)
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

/// A channel that works and has no models serves nobody: says so. The gateway fetches the list of a new channel beside its other work; who is asked
/// right after the test waits for it.
fn offers_something(carrier: &Carrier, name: &str) -> anyhow::Result<()> {
    let channel = carrier.get(&path(name, ""))?;
    let none = |field: &str| list(&channel, field).is_empty();
    if !none("/models") || !none("/listed") {
        return Ok(());
    }
    let why = match carrier.post(&path(name, "/models"), &json!({})) {
        Ok(listed) if !list(&listed, "/models").is_empty() => return Ok(()),
        Ok(_) => "the provider lists none".to_owned(),
        Err(error) => plain(&format!("the provider's list cannot be fetched ({error})")),
    };
    output::line(&format!(
        "it offers no model: {why}; name them with `myelin channel set {name} --model NAME` (may be repeated)"
    ))
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
        offers_something(carrier, name)?;
    }
    if passed {
        return Ok(());
    }
    let why = plain(&text(&outcome, "/error"));
    let off = before.pointer("/enabled") == Some(&json!(false));
    let then = if off {
        format!(
            "\nit stays off until a test passes: `myelin channel set {name} …` mends it, `myelin channel test {name} --model …` asks \
             another model, `myelin channel enable {name} --force` lets it take part untested"
        )
    } else {
        String::new()
    };
    bail!("the test of {name} failed: {why}{then}")
}
