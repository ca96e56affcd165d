//! Looks every few seconds how the store does and tells the owner when writing begins to fail, when it works again, and what was lost.
//!
//! Traffic never stops for the store; so somebody has to hear of it.

use std::time::Duration;

use super::Gateway;
use crate::events::{Event, Level};
use crate::model::Told;
use crate::store::{BodiesHealth, LedgerHealth};
use crate::told;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(3);
/// What goes on being lost is told again after so many looks.
const AGAIN: u32 = 100;

/// Said of a disk that fails without a word.
const WHY_UNKNOWN: &str = "the disk does not say why";

/// How the store was when it was looked at last.
#[derive(Debug, Clone, Default)]
struct Seen {
    ledger: LedgerHealth,
    bodies: BodiesHealth,
    /// Looks until the next loss of records, and of bodies, may be told.
    quiet: [u32; 2],
}

impl Gateway {
    /// Runs as long as the gateway.
    pub(super) async fn watch_store(self) {
        let mut seen = Seen::default();
        loop {
            let services = self.services();
            let (ledger, bodies) = (services.store.ledger().health(), services.store.bodies().health());
            for event in seen.look(ledger, bodies, services.clock.unix_ms()) {
                services.events.tell(event);
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Seen {
    /// What is news since the last look.
    fn look(&mut self, ledger: LedgerHealth, bodies: BodiesHealth, now: u64) -> Vec<Event> {
        let why = |error: &Option<String>| error.clone().unwrap_or_else(|| WHY_UNKNOWN.to_owned());
        let mut news = Vec::new();
        let mut turn =
            |before: bool, after: bool, name: &str, level: Level, trouble: Told, well: Told| match (before, after) {
                (false, true) => news.push(Event::new(now, level, "store-failing", name, trouble)),
                (true, false) => news.push(Event::new(now, Level::Info, "store-works", name, well)),
                _ => {}
            };
        let waits = told!(
            "event-records-fail",
            "records cannot be written, traffic goes on: {why} ({waiting} wait)",
            why = why(&ledger.last_error),
            waiting = ledger.waiting,
        );
        let well = told!("event-records-work", "records are written again");
        turn(self.ledger.failing, ledger.failing, "records", Level::Error, waits, well);
        let journal = told!(
            "event-journal-fails",
            "what is not in the database yet would be lost if the process died: {why}",
            why = why(&ledger.last_error),
        );
        let well = told!("event-journal-works", "the journal is written again");
        turn(self.ledger.journal_failing, ledger.journal_failing, "journal", Level::Error, journal, well);
        let dropped =
            told!("event-bodies-fail", "bodies of requests cannot be kept: {why}", why = why(&bodies.last_error));
        let well = told!("event-bodies-work", "bodies are kept again");
        turn(self.bodies.failing, bodies.failing, "bodies", Level::Warning, dropped, well);

        let [records_quiet, bodies_quiet] = &mut self.quiet;
        let records: fn(u64) -> Told =
            |lost| told!("event-records-lost", "{lost} records are lost: the disk could not take them", lost = lost);
        let no_bodies: fn(u64) -> Told = |lost| {
            told!(
                "event-bodies-lost",
                "{lost} requests have no kept bodies: there was too much at once, or the disk failed",
                lost = lost,
            )
        };
        let losses = [
            (records_quiet, &mut self.ledger.lost, ledger.lost, "records", Level::Error, records),
            (bodies_quiet, &mut self.bodies.dropped, bodies.dropped, "bodies", Level::Warning, no_bodies),
        ];
        for (quiet, told, lost, name, level, tell) in losses {
            *quiet = quiet.saturating_sub(1);
            if lost > *told && *quiet == 0 {
                *quiet = AGAIN;
                let event = Event::new(now, level, "records-lost", name, tell(lost - *told));
                news.push(event.with("lost", lost - *told).with("all", lost));
                *told = lost;
            }
        }
        (self.ledger.failing, self.ledger.journal_failing, self.bodies.failing) =
            (ledger.failing, ledger.journal_failing, bodies.failing);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seen: &mut Seen, ledger: &LedgerHealth, bodies: &BodiesHealth) -> Vec<(String, String, String)> {
        let news = seen.look(ledger.clone(), bodies.clone(), 7);
        news.into_iter().map(|event| (event.kind, event.subject, event.message)).collect()
    }

    #[test]
    fn trouble_is_told_when_it_begins_and_when_it_ends() {
        let (mut seen, well) = (Seen::default(), (LedgerHealth::default(), BodiesHealth::default()));
        assert_eq!(told(&mut seen, &well.0, &well.1), []);
        let ledger = LedgerHealth {
            failing: true,
            journal_failing: true,
            waiting: 9,
            last_error: Some("no space".into()),
            ..well.0.clone()
        };
        let bodies = BodiesHealth { failing: true, ..well.1.clone() };
        let heard = told(&mut seen, &ledger, &bodies);
        let subjects: Vec<_> = heard.iter().map(|(kind, subject, _)| (kind.as_str(), subject.as_str())).collect();
        assert_eq!(subjects, [("store-failing", "records"), ("store-failing", "journal"), ("store-failing", "bodies")]);
        assert_eq!(heard[0].2, "records cannot be written, traffic goes on: no space (9 wait)");
        assert_eq!(told(&mut seen, &ledger, &bodies), [], "once");
        let heard = told(&mut seen, &well.0, &well.1);
        assert!(heard.len() == 3 && heard.iter().all(|(kind, ..)| kind == "store-works"), "{heard:?}");
    }

    #[test]
    fn what_is_lost_is_told_at_once_and_then_now_and_then_with_the_sum() {
        let mut seen = Seen::default();
        let bodies = BodiesHealth::default();
        let lost = |lost| LedgerHealth { lost, ..LedgerHealth::default() };
        let first = told(&mut seen, &lost(5), &bodies);
        assert_eq!(
            first,
            [("records-lost".into(), "records".into(), "5 records are lost: the disk could not take them".into())]
        );
        let mut later = Vec::new();
        for n in 0..u64::from(AGAIN) {
            later.extend(told(&mut seen, &lost(6 + n), &bodies));
        }
        assert_eq!(later.len(), 1, "{later:?}");
        assert!(later[0].2.starts_with("100 records"), "{later:?}");
        let dropped = BodiesHealth { dropped: 3, ..bodies };
        assert_eq!(told(&mut seen, &lost(105), &dropped)[0].1, "bodies");
    }
}
