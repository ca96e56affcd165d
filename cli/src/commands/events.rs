//! `myelin events`: what the owner should hear of.

use anyhow::bail;
use serde_json::Value;

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, list, plain, text, time};

/// What happened that you should hear of since the gateway started, newest last: budgets that run out, spend that stands out, channels out of rotation,
/// a disk that takes no records …
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Follow: show events as they happen.
    #[arg(short, long)]
    follow: bool,
    /// How many of the past.
    #[arg(short = 'n', long, default_value_t = 50)]
    number: usize,
    /// Only those that matter so much, or more.
    #[arg(long, value_parser = LEVELS, default_value = LEVELS[0])]
    level: String,
    /// Only this kind: limit-mark, limit-reached, spend-spike, store-failing, records-lost …; may be repeated.
    #[arg(long)]
    kind: Vec<String>,
}

/// From what is good to know to what does not work.
const LEVELS: [&str; 3] = ["info", "warning", "error"];
/// Seconds that one poll waits; the gateway allows 55.
const WAIT: u64 = 50;
/// Largest page of the API.
const PAGE: usize = 500;

/// Shows them.
pub(crate) fn run(place: &Place, asked: &Events) -> anyhow::Result<()> {
    let Some(carrier) = Carrier::running(place)? else {
        let starter = crate::whose::starter(place);
        bail!("Myelin is not running, and events are told by a gateway that runs: start it with {starter}");
    };
    let (mut past, mut position) = (Vec::new(), 0);
    loop {
        let page = carrier.get(&format!("/api/v1/events?after={position}&limit={PAGE}"))?;
        position = next(&page);
        let events = list(&page, "/events");
        past.extend(events.iter().filter(|event| asked.wants(event)).cloned());
        if events.len() < PAGE {
            break;
        }
    }
    let first = past.len().saturating_sub(asked.number);
    past.iter().skip(first).try_for_each(|event| show(place, event))?;
    if asked.follow { follow(place, &carrier, asked, position) } else { Ok(()) }
}

fn follow(place: &Place, carrier: &Carrier, asked: &Events, mut position: u64) -> anyhow::Result<()> {
    output::only_shows();
    loop {
        let page = carrier.get(&format!("/api/v1/events?after={position}&wait={WAIT}&limit={PAGE}"))?;
        if page.pointer("/gap").and_then(Value::as_bool) == Some(true) {
            output::aside!("… some events came too fast to be shown, or the gateway was started anew");
        }
        list(&page, "/events").iter().filter(|event| asked.wants(event)).try_for_each(|event| show(place, event))?;
        position = next(&page);
    }
}

impl Events {
    fn wants(&self, event: &Value) -> bool {
        let rank = |word: &str| LEVELS.iter().position(|level| *level == word);
        let kind = text(event, "/kind");
        rank(&text(event, "/level")) >= rank(&self.level) && (self.kind.is_empty() || self.kind.contains(&kind))
    }
}

fn next(page: &Value) -> u64 {
    page.pointer("/next").and_then(Value::as_u64).unwrap_or_default()
}

/// One event on one line; as JSON one object a line.
fn show(place: &Place, event: &Value) -> anyhow::Result<()> {
    if place.json {
        return output::line(&event.to_string());
    }
    let at = time(event.pointer("/at").and_then(Value::as_u64).unwrap_or_default());
    let (level, kind) = (text(event, "/level"), text(event, "/kind"));
    let words = format!("{at}  {level:<7}  {kind:<16}  {}: {}", text(event, "/subject"), text(event, "/message"));
    output::line(&plain(&words))
}
