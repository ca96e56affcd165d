//! `myelin price`: what models cost, and what requests did.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, pair, plain, text};

/// Prices.
#[derive(Debug, Subcommand)]
pub(crate) enum Price {
    /// What the models of the channels cost, in dollars a million tokens; with a part of a name, rows of the price lists too.
    Show {
        /// A part of the model's name.
        search: Option<String>,
        /// Only this channel.
        #[arg(long)]
        channel: Option<String>,
        /// Only models that have no price.
        #[arg(long)]
        unpriced: bool,
    },
    /// Set the price of a model, by the provider's name of it.
    Set(Set),
    /// Take back a price that was set: the lists hold again.
    Unset {
        /// CHANNEL/MODEL, or MODEL wherever it is.
        target: String,
    },
    /// Take a price list: LiteLLM's JSON, models.dev's JSON, or {"prices": {"provider/model": {"input": 1.25, …}}}. One with a mistake is refused whole.
    Import {
        /// The file; - reads standard input.
        file: String,
    },
    /// Take the imported list back: the one that comes with the program holds again.
    Reset,
    /// Price earlier requests anew, at today's prices, and let budgets count them so. What providers reported stays.
    Reprice(Reprice),
}

/// Set a price.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// CHANNEL/MODEL, or MODEL wherever it is.
    target: String,
    /// Dollars a million tokens read.
    #[arg(long, value_name = "DOLLARS")]
    input: Option<String>,
    /// Dollars a million tokens written.
    #[arg(long, value_name = "DOLLARS")]
    output: Option<String>,
    /// Dollars a million tokens read from the provider's cache (else they cost what input does).
    #[arg(long, value_name = "DOLLARS")]
    cache_read: Option<String>,
    /// Dollars a million tokens written to the provider's cache (else they cost what input does).
    #[arg(long, value_name = "DOLLARS")]
    cache_write: Option<String>,
    /// Another rate: reasoning=…, cache_write_1h=…, web_search=…, priority.input=…, above_200k.output=…; may be repeated.
    #[arg(long, value_name = "CLASS=DOLLARS")]
    rate: Vec<String>,
}

/// Price earlier requests anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Reprice {
    /// Requests since this date or time (2026-01-31, 2026-01-31T18:00), or so long ago (7d).
    #[arg(long)]
    from: Option<String>,
    /// Requests before this date or time, or up to so long ago.
    #[arg(long)]
    to: Option<String>,
    /// Only this model, by the name that was asked for.
    #[arg(long)]
    model: Option<String>,
    /// Only this channel.
    #[arg(long)]
    channel: Option<String>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
}

/// Does it.
pub(crate) fn run(place: &Place, price: Price) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let (answer, words) = match price {
        Price::Show { search, channel, unpriced } => {
            let answer = carrier.get(&query(search.as_deref(), channel.as_deref(), unpriced))?;
            if !place.json {
                return show(&answer, search.is_some(), unpriced);
            }
            (answer, String::new())
        }
        Price::Set(set) => {
            let price = rates(&set)?;
            let (channel, model) = target(&carrier, &set.target)?;
            let body = json!({"channel": channel, "model": model, "price": price});
            let place = match (&channel, model.split_once('/')) {
                (Some(channel), _) => format!("at the channel {channel}"),
                (None, Some((head, _))) => {
                    format!("wherever it is (no channel is called {head}, so it is all a model's name)")
                }
                (None, None) => "wherever it is".to_owned(),
            };
            let words = format!("{model} is priced {place}; `myelin price reprice` prices earlier requests anew");
            (carrier.put("/api/v1/prices", &body)?, words)
        }
        Price::Unset { target: name } => {
            let (channel, model) = target(&carrier, &name)?;
            let body = json!({"channel": channel, "model": model, "price": null});
            (carrier.put("/api/v1/prices", &body)?, format!("the price of {name} is taken back"))
        }
        Price::Import { file } => {
            let answer = carrier.post("/api/v1/prices/import", &read(&file)?)?;
            let words = format!(
                "{} prices taken ({}), version {}",
                text(&answer, "/priced"),
                text(&answer, "/source"),
                text(&answer, "/version")
            );
            (answer, words)
        }
        Price::Reset => (carrier.delete("/api/v1/prices/import")?, "the bundled list holds again".to_owned()),
        Price::Reprice(asked) => reprice(&carrier, &asked)?,
    };
    if place.json {
        return output::json(&answer);
    }
    output::line(&plain(&words))
}

fn query(search: Option<&str>, channel: Option<&str>, unpriced: bool) -> String {
    let mut fields = Vec::new();
    fields.extend(search.map(|search| format!("search={}", segment(search))));
    fields.extend(channel.map(|channel| format!("channel={}", segment(channel))));
    if unpriced {
        fields.push("unpriced=true".to_owned());
    }
    format!("/api/v1/prices?{}", fields.join("&"))
}

/// `x/y` names a channel only if channel `x` exists, else it is a model's name.
fn target(carrier: &Carrier, name: &str) -> anyhow::Result<(Option<String>, String)> {
    let Some((head, model)) = name.split_once('/') else { return Ok((None, name.to_owned())) };
    let channels = carrier.get("/api/v1/channels")?;
    let is_channel = list(&channels, "/channels").iter().any(|channel| text(channel, "/name") == head);
    Ok(if is_channel { (Some(head.to_owned()), model.to_owned()) } else { (None, name.to_owned()) })
}

fn rates(set: &Set) -> anyhow::Result<Map<String, Value>> {
    let mut price = Map::new();
    let named = [
        ("input", &set.input),
        ("output", &set.output),
        ("cache_read", &set.cache_read),
        ("cache_write", &set.cache_write),
    ];
    for (name, dollars) in named {
        if let Some(dollars) = dollars {
            price.insert(name.to_owned(), dollars.clone().into());
        }
    }
    for rate in &set.rate {
        let (name, dollars) = pair(rate)?;
        let mut place = &mut price;
        let (tables, class) = name.rsplit_once('.').unwrap_or(("", &name));
        for table in tables.split('.').filter(|table| !table.is_empty()) {
            let inner = place.entry(table.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else { bail!("'{rate}' names a rate inside a rate") };
            place = inner;
        }
        place.insert(class.to_owned(), dollars.into());
    }
    if price.is_empty() {
        bail!("say what it costs: --input DOLLARS --output DOLLARS, a million tokens; 0 is free");
    }
    Ok(price)
}

fn read(file: &str) -> anyhow::Result<Value> {
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).context("cannot read standard input")?;
        bytes
    } else {
        std::fs::read(file).with_context(|| format!("cannot read {file}"))?
    };
    serde_json::from_slice(&bytes).with_context(|| format!("{file} is no JSON: nothing changed"))
}

fn reprice(carrier: &Carrier, asked: &Reprice) -> anyhow::Result<(Value, String)> {
    let moment = |text: &Option<String>| text.as_deref().map(output::moment).transpose();
    let body = json!({
        "from": moment(&asked.from)?,
        "to": moment(&asked.to)?,
        "model": asked.model,
        "channel": asked.channel,
        "dry_run": asked.dry_run,
    });
    let answer = carrier.post("/api/v1/prices/reprice", &body)?;
    let money = |field: &str| dollars(answer.pointer(field).and_then(Value::as_i64).unwrap_or(0));
    let words = format!(
        "{} of {} requests {}: {} before, {} now",
        text(&answer, "/changed"),
        text(&answer, "/looked_at"),
        if asked.dry_run { "would change" } else { "changed" },
        money("/before"),
        money("/after"),
    );
    Ok((answer, words))
}

/// Nanodollars as dollars.
fn dollars(nano: i64) -> String {
    let amount = nano.unsigned_abs();
    let text = format!("{}.{:09}", amount / 1_000_000_000, amount % 1_000_000_000);
    let short = text.trim_end_matches('0');
    let short = if short.ends_with('.') { format!("{short}00") } else { short.to_owned() };
    format!("{}${short}", if nano < 0 { "-" } else { "" })
}

fn show(answer: &Value, searched: bool, unpriced: bool) -> anyhow::Result<()> {
    let heads = ["model", "input", "cache read", "cache write", "output", "more", "from"];
    let row = |name: String, row: &Value, from: String| {
        let rate = |class: &str| text(row, &format!("/price/{class}"));
        let known = ["input", "cache_read", "cache_write", "output"];
        let more = row.pointer("/price").and_then(Value::as_object).into_iter().flatten();
        let more: Vec<&str> = more.map(|(name, _)| name.as_str()).filter(|name| !known.contains(name)).collect();
        let mut cells = vec![name];
        cells.extend(known.map(rate));
        cells.push(if more.is_empty() { "-".to_owned() } else { more.join(",") });
        cells.push(from);
        cells
    };
    let mut rows = Vec::new();
    for deployment in list(answer, "/deployments") {
        let from = match (text(deployment, "/origin").as_str(), deployment.pointer("/free") == Some(&json!(true))) {
            ("none", _) => "NO PRICE".to_owned(),
            ("no-bill", _) => "no bill".to_owned(),
            (_, true) => format!("free ({})", text(deployment, "/label")),
            _ => text(deployment, "/label"),
        };
        rows.push(row(format!("{}/{}", text(deployment, "/channel"), text(deployment, "/model")), deployment, from));
    }
    if !unpriced {
        for own in list(answer, "/own").iter().filter(|own| text(own, "/channel") == "-") {
            rows.push(row(format!("*/{}", text(own, "/model")), own, format!("set@{}", text(own, "/version"))));
        }
        for listed in list(answer, "/listed") {
            let from = format!("{} list ({})", text(listed, "/origin"), text(listed, "/source"));
            rows.push(row(text(listed, "/key"), listed, from));
        }
    }
    if rows.is_empty() {
        let hint = if searched || unpriced {
            "nothing is like that"
        } else {
            "no channel lists a model; `myelin price show gpt-5` searches the price lists"
        };
        return output::line(hint);
    }
    output::table(&heads, &rows)?;
    let imported = match answer.pointer("/imported") {
        Some(Value::Object(_)) => {
            format!(", import@{} of {}", text(answer, "/imported/version"), text(answer, "/imported/source"))
        }
        _ => String::new(),
    };
    output::line(&format!("dollars a million tokens; lists: bundled {}{imported}", text(answer, "/bundled")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_put_in_their_tables() {
        let set = Set {
            target: "m".into(),
            input: Some("1.25".into()),
            output: None,
            cache_read: None,
            cache_write: None,
            rate: vec!["web_search=0.01".into(), "priority.above_200k.input=5".into()],
        };
        let wanted = json!({"input": "1.25", "web_search": "0.01", "priority": {"above_200k": {"input": "5"}}});
        assert_eq!(Value::Object(rates(&set).unwrap()), wanted);
        let nothing = Set { input: None, rate: Vec::new(), ..set };
        assert!(rates(&nothing).is_err());
    }

    #[test]
    fn money_is_shown_to_the_last_digit_that_counts() {
        for (nano, shown) in [(0, "$0.00"), (1, "$0.000000001"), (-1_500_000_000, "-$1.5"), (2_000_000_000, "$2.00")] {
            assert_eq!(dollars(nano), shown);
        }
    }
}
