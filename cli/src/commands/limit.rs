//! `myelin limit`: budgets and limits.

use anyhow::bail;
use clap::Subcommand;
use myelin_core::model::dollars;
use serde_json::{Map, Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, seconds, text, time};

/// Budgets and limits.
#[derive(Debug, Subcommand)]
pub(crate) enum Limit {
    /// All limits, and how far they are used.
    #[command(visible_alias = "usage")]
    List,
    /// One limit, and how far it is used.
    Show {
        /// Its name.
        name: String,
    },
    /// Set a limit: --requests, --tokens or --money with --per, or --parallel.
    Add(Add),
    /// Change a limit. Another amount keeps what was counted.
    Set(Set),
    /// Begin anew: forget what a limit has counted. Cannot be taken back.
    Reset {
        /// Its name.
        name: String,
    },
    /// Remove a limit.
    Remove {
        /// Its name.
        name: String,
    },
}

/// Set a limit.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// What it holds back: gateway, key:NAME, tool:NAME, user:NAME, team:NAME, project:NAME, organisation:NAME, model:NAME, channel:NAME,
    /// channel:NAME/MODEL, tag:NAME or profile:NAME.
    on: String,
    /// Unique name (default: made of the rest).
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    what: What,
}

/// Change a limit.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Its name.
    name: String,
    #[command(flatten)]
    what: What,
}

/// How much of what in which time, and what happens then.
#[derive(Debug, clap::Args)]
struct What {
    /// Requests in the window.
    #[arg(long, group = "amount")]
    requests: Option<u64>,
    /// Tokens in and out in the window.
    #[arg(long, group = "amount")]
    tokens: Option<u64>,
    /// US dollars in the window.
    #[arg(long, group = "amount", value_name = "DOLLARS")]
    money: Option<String>,
    /// Requests at the same time.
    #[arg(long, group = "amount")]
    parallel: Option<u64>,
    /// The window: minute, 30s, 5h, 7d … (the last so long), day, week, month (by the calendar) or total.
    #[arg(long, value_name = "WINDOW")]
    per: Option<String>,
    /// Time zone of a day, week or month, such as Europe/Berlin (default: the gateway machine's).
    #[arg(long)]
    zone: Option<String>,
    /// Only requests for this model count, exact or with *; may be repeated.
    #[arg(long)]
    model: Vec<String>,
    /// A percentage at which an event tells of it; may be repeated (default: 80 for money).
    #[arg(long, value_name = "PERCENT")]
    soft: Vec<u8>,
    /// Tell, but refuse nothing.
    #[arg(long)]
    alert_only: bool,
    /// Wait so long for room instead of being refused at once: 10s, 2m.
    #[arg(long, value_name = "TIME")]
    queue: Option<String>,
    /// How many may wait at the same time.
    #[arg(long, requires = "queue", value_name = "COUNT")]
    max_waiting: Option<u32>,
}

impl What {
    fn into_fields(self) -> anyhow::Result<Map<String, Value>> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| fields.extend(value.map(|value| (name.to_owned(), value)));
        put("requests", self.requests.map(Value::from));
        put("tokens", self.tokens.map(Value::from));
        put("money", self.money.map(Value::from));
        put("parallel", self.parallel.map(Value::from));
        put("per", self.per.map(Value::from));
        put("zone", self.zone.map(Value::from));
        put("models", (!self.model.is_empty()).then(|| json!(self.model)));
        put("soft", (!self.soft.is_empty()).then(|| json!(self.soft)));
        put("refuse", self.alert_only.then_some(Value::Bool(false)));
        if let Some(queue) = self.queue {
            let mut line = json!({"timeout_ms": seconds(&queue)?.saturating_mul(1_000)});
            if let (Some(most), Some(line)) = (self.max_waiting, line.as_object_mut()) {
                line.insert("max_waiting".to_owned(), most.into());
            }
            put("queue", Some(line));
        }
        Ok(fields)
    }
}

/// Does it.
pub(crate) fn run(place: &Place, limit: Limit) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let (answer, words) = match limit {
        Limit::List => {
            let answer = carrier.get("/api/v1/limits")?;
            if !place.json {
                return show_list(&answer);
            }
            (answer, String::new())
        }
        Limit::Show { name } => {
            let answer = carrier.get(&path(&name))?;
            let words = told(&answer);
            (answer, words)
        }
        Limit::Add(Add { on, name, what }) => {
            let mut fields = what.into_fields()?;
            fields.insert("on".to_owned(), on.into());
            fields.extend(name.map(|name| ("name".to_owned(), Value::from(name))));
            changed(carrier.post("/api/v1/limits", &Value::Object(fields))?)
        }
        Limit::Set(Set { name, what }) => {
            let fields = what.into_fields()?;
            if fields.is_empty() {
                bail!("nothing to change: name an amount, --per, --zone, --model, --soft, --alert-only or --queue");
            }
            changed(carrier.patch(&path(&name), &Value::Object(fields))?)
        }
        Limit::Reset { name } => {
            let answer = carrier.post(&format!("{}/reset", path(&name)), &json!({}))?;
            (answer, format!("{name} begins anew"))
        }
        Limit::Remove { name } => (carrier.delete(&path(&name))?, format!("{name} is removed")),
    };
    if place.json { output::json(&answer) } else { output::line(&words) }
}

fn path(name: &str) -> String {
    format!("/api/v1/limits/{}", segment(name))
}

fn changed(answer: Value) -> (Value, String) {
    output::warnings(&answer);
    let words = told(answer.pointer("/limit").unwrap_or(&Value::Null));
    (answer, words)
}

/// One limit in words.
fn told(limit: &Value) -> String {
    let mut words = format!("{}: {} on {}", text(limit, "/name"), text(limit, "/words"), text(limit, "/on"));
    words.push_str(&format!("; used {}, left {}", amount(limit, "/used"), amount(limit, "/remaining")));
    if let Some(resets) = limit.pointer("/resets").and_then(Value::as_u64) {
        words.push_str(&format!(", resets {}", time(resets)));
    }
    words
}

fn amount(limit: &Value, pointer: &str) -> String {
    let amount = limit.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    if limit.pointer("/measure") == Some(&json!("money")) { dollars(amount) } else { amount.to_string() }
}

fn show_list(answer: &Value) -> anyhow::Result<()> {
    let row = |limit: &Value| {
        let at = |pointer| limit.pointer(pointer).and_then(Value::as_u64);
        let percent = at("/used").unwrap_or_default().saturating_mul(100) / at("/amount").unwrap_or(1).max(1);
        // What is in flight is not used up.
        let used = match limit.pointer("/measure") == Some(&json!("parallel")) {
            true => "-".to_owned(),
            false => format!("{} ({percent} %)", amount(limit, "/used")),
        };
        vec![
            text(limit, "/name"),
            text(limit, "/on"),
            text(limit, "/words"),
            used,
            amount(limit, "/held"),
            amount(limit, "/remaining"),
            at("/resets").map_or_else(|| "-".to_owned(), time),
            text(limit, "/origin"),
        ]
    };
    let rows: Vec<_> = list(answer, "/limits").iter().map(row).collect();
    output::table(&["name", "on", "limit", "used", "in flight", "left", "resets", "from"], &rows)
}
