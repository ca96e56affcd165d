//! Looks now and then whether spend stands out, and tells the owner: once for each hour and group.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, json};

use super::Gateway;
use crate::events::{Event, Level};
use crate::store::{Dimension, Grouping, UsageQuery};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(600);
/// Hours that are still news.
const NEWS_MS: u64 = 2 * 3_600_000;
/// What is looked at apart, beside all together.
const BY: [Dimension; 3] = [Dimension::Key, Dimension::Model, Dimension::Channel];

impl Gateway {
    /// Runs as long as the gateway.
    pub(super) async fn watch_spend(self) {
        let mut told = HashSet::new();
        loop {
            tokio::time::sleep(EVERY).await;
            self.look_at_spend(&mut told).await;
        }
    }

    /// One look. `told`: hours and groups that the owner has heard of.
    pub(super) async fn look_at_spend(&self, told: &mut HashSet<(u64, String)>) {
        let services = self.services();
        let now = services.clock.unix_ms();
        told.retain(|(at, _)| now.saturating_sub(*at) < 2 * NEWS_MS);
        for dimension in BY {
            let query = UsageQuery { by: vec![Grouping::Of(dimension)], ..UsageQuery::default() };
            let Ok(found) = services.store.ledger().stood_out(query, now).await else { return };
            for hour in found.into_iter().filter(|hour| now.saturating_sub(hour.at) < NEWS_MS) {
                let value = hour.values.first().cloned().unwrap_or_default();
                let name = match dimension {
                    Dimension::Key => services.store.entities().key(&value).map_or(value, |key| key.name.clone()),
                    _ => value,
                };
                let subject =
                    if hour.values.is_empty() { "all".to_owned() } else { format!("{} {name}", dimension.word()) };
                if !told.insert((hour.at, subject.clone())) {
                    continue;
                }
                let dollars = |nanos: i64| format!("${:.2}", nanos as f64 / 1e9);
                let message = format!(
                    "{subject}: {} were spent in an hour that usually takes {}",
                    dollars(hour.cost),
                    dollars(hour.usual)
                );
                let data = [("hour", json!(hour.at)), ("cost", json!(hour.cost)), ("usual", json!(hour.usual))];
                services.events.tell(Event {
                    id: 0,
                    at: now,
                    level: Level::Warning,
                    kind: "spend-spike".to_owned(),
                    subject,
                    message,
                    data: data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
                });
            }
        }
    }
}
