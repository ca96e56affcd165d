//! Looks now and then whether spend stands out, and tells the owner: once for each hour and group.

use std::collections::HashSet;
use std::time::Duration;

use super::Gateway;
use crate::events::{Event, Level};
use crate::store::{Dimension, Grouping, UsageQuery};
use crate::told;

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
    pub(super) async fn look_at_spend(&self, heard: &mut HashSet<(u64, String)>) {
        let services = self.services();
        let now = services.clock.unix_ms();
        heard.retain(|(at, _)| now.saturating_sub(*at) < 2 * NEWS_MS);
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
                if !heard.insert((hour.at, subject.clone())) {
                    continue;
                }
                let dollars = |nanos: i64| format!("${:.2}", nanos as f64 / 1e9);
                let (cost, usual) = (dollars(hour.cost), dollars(hour.usual));
                let told = if hour.values.is_empty() {
                    told!(
                        "event-spend-spike-all",
                        "all: {cost} were spent in an hour that usually takes {usual}",
                        cost = cost,
                        usual = usual,
                    )
                } else {
                    told!(
                        "event-spend-spike",
                        "{by} {name}: {cost} were spent in an hour that usually takes {usual}",
                        by = dimension.word(),
                        name = name,
                        cost = cost,
                        usual = usual,
                    )
                };
                let event = Event::new(now, Level::Warning, "spend-spike", subject, told);
                services.events.tell(event.with("hour", hour.at).with("cost", hour.cost).with("usual", hour.usual));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock as _, TestClock};
    use crate::model::{NanoUsd, RequestRecord, Secret, SecretSource};
    use crate::providers::SecretResolver;
    use crate::store::{Change, MasterKey, NewKey, Store};

    const HOUR: u64 = 3_600_000;
    /// The beginning of an hour.
    const START: u64 = 1_800_000_000_000 / HOUR * HOUR;
    const DOLLAR: i64 = 1_000_000_000;

    #[derive(Debug)]
    struct NoSecrets;

    impl SecretResolver for NoSecrets {
        fn resolve(&self, _: &SecretSource) -> Result<Secret, String> {
            Err("there are none".to_owned())
        }
    }

    /// A gateway at ten to some hour, with a key `laptop` and one that is gone, and two days in which every hour cost each of them a dollar.
    struct World {
        gateway: Gateway,
        clock: TestClock,
        laptop: String,
        _dir: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let clock = TestClock::default();
            clock.advance_ms(START + 50 * 60_000);
            let known = Arc::new(|_: &str| true);
            let store = Store::open(dir.path(), Arc::new(clock.clone()), &MasterKey::KeyFile, known).unwrap();
            let new = NewKey { name: "laptop".into(), ..NewKey::default() };
            store.apply(Change::CreateKey(Box::new(new)), "test").await.unwrap();
            let laptop = store.entities().key("laptop").unwrap().id.clone();
            let gateway = Gateway::open(store, Arc::new(clock.clone()), Arc::new(NoSecrets)).unwrap();
            let world = Self { gateway, clock, laptop, _dir: dir };
            for hour in 1..=48 {
                world.spend("laptop", "steady", START - hour * HOUR, DOLLAR).await;
                world.spend("key_gone", "steady", START - hour * HOUR, DOLLAR).await;
            }
            world
        }

        /// A request that cost something.
        async fn spend(&self, key: &str, model: &str, at: u64, cost: i64) {
            let key = if key == "laptop" { &self.laptop } else { key };
            let store = self.gateway.store();
            let unique = u128::from(store.ledger().health().committed);
            let record = RequestRecord {
                id: format!("req_{:032x}", (u128::from(at) << 80) | unique),
                started: at,
                key: Some(key.to_owned()),
                model: model.to_owned(),
                channel: Some("main".into()),
                cost: Some(NanoUsd(cost)),
                ..RequestRecord::default()
            };
            store.ledger().append_durable(record).await.unwrap().unwrap();
        }

        /// What is told since the last time, each `subject: message`.
        fn heard(&self, since: &mut u64) -> Vec<(String, String)> {
            let heard = self.gateway.services().events.after(*since, 100);
            *since = heard.next;
            assert!(heard.events.iter().all(|event| event.kind == "spend-spike" && event.level == Level::Warning));
            heard.events.iter().map(|event| (event.subject.clone(), event.message.clone())).collect()
        }
    }

    #[tokio::test]
    async fn an_hour_in_which_much_more_was_spent_is_told_once_for_each_group() {
        let world = World::new().await;
        let (mut told, mut since) = (HashSet::new(), 0);
        world.gateway.look_at_spend(&mut told).await;
        assert_eq!(world.heard(&mut since), [], "a usual hour is no news");
        world.spend("laptop", "dear", START + 1, 30 * DOLLAR).await;
        world.gateway.look_at_spend(&mut told).await;
        let heard = world.heard(&mut since);
        let subjects: Vec<&str> = heard.iter().map(|(subject, _)| subject.as_str()).collect();
        // The model was never asked before: it has no usual.
        assert_eq!(subjects, ["all", "key laptop", "channel main"], "{heard:?}");
        assert_eq!(heard[1].1, "key laptop: $30.00 were spent in an hour that usually takes $1.00");
        assert_eq!(heard[0].1, "all: $30.00 were spent in an hour that usually takes $2.00");
        let event = world.gateway.services().events.after(0, 1).events[0].clone();
        assert_eq!((event.at, &event.data["hour"]), (world.clock.unix_ms(), &START.into()));
        assert_eq!((&event.data["cost"], &event.data["usual"]), (&(30 * DOLLAR).into(), &(2 * DOLLAR).into()));
        world.spend("laptop", "dear", START + 2, 5 * DOLLAR).await;
        for _ in 0..3 {
            world.clock.advance_ms(15 * 60_000);
            world.gateway.look_at_spend(&mut told).await;
        }
        assert_eq!(world.heard(&mut since), [], "once for each hour");
        // The next hour is another one.
        world.spend("key_gone", "steady", START + HOUR + 1, 40 * DOLLAR).await;
        world.gateway.look_at_spend(&mut told).await;
        let subjects: Vec<String> = world.heard(&mut since).into_iter().map(|(subject, _)| subject).collect();
        assert_eq!(
            subjects,
            ["all", "key key_gone", "model steady", "channel main"],
            "a key that is gone is told by its id"
        );
    }

    #[tokio::test]
    async fn what_stood_out_long_ago_is_no_news() {
        let world = World::new().await;
        world.spend("laptop", "steady", START - 5 * HOUR, 30 * DOLLAR).await;
        let (mut told, mut since) = (HashSet::new(), 0);
        world.gateway.look_at_spend(&mut told).await;
        assert_eq!(world.heard(&mut since), []);
        assert!(told.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_gateway_looks_every_ten_minutes() {
        let world = World::new().await;
        world.spend("laptop", "steady", START + 1, 30 * DOLLAR).await;
        let begun = tokio::time::Instant::now();
        let watching = tokio::spawn(world.gateway.clone().watch_spend());
        world.gateway.services().events.wait(0).await;
        assert!(begun.elapsed() >= EVERY && begun.elapsed() < EVERY * 2, "{:?}", begun.elapsed());
        watching.abort();
    }
}
