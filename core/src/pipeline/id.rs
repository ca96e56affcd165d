//! What requests are called: `req_` and the 32 hex digits of a UUIDv7. Must not know what a request is.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::clock;

/// Bits below the milliseconds that count within them.
const COUNTER: u32 = 12;
/// Time and counter of the last id: the next one is greater, whatever the clock does (RFC 9562 §6.2, methods 1 and 3).
static LAST: AtomicU64 = AtomicU64::new(0);

/// A new id: later ones sort behind earlier ones of this process. What follows the time is no secret, so it costs no call of the system.
pub(crate) fn request_id() -> String {
    let now = clock::unix_ms() << COUNTER;
    let next = |last: u64| Some(now.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(now);
    let mut text = String::with_capacity(36);
    text.push_str("req_");
    let mut digits = [0; 32];
    text.push_str(uuid(now.max(last + 1), fastrand::u64(..)).simple().encode_lower(&mut digits));
    text
}

/// Time and counter, then version and variant in their places, and the rest of the bits by chance.
fn uuid(moment: u64, chance: u64) -> Uuid {
    let (time, count) = (moment >> COUNTER, moment & ((1 << COUNTER) - 1));
    Uuid::from_u64_pair(time << 16 | 0x7000 | count, 1 << 63 | chance >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_that_sort_as_they_were_made() {
        let before = clock::unix_ms();
        let made: Vec<String> = (0..10_000).map(|_| request_id()).collect();
        assert!(made.iter().zip(made.iter().skip(1)).all(|(one, next)| one < next));
        let parse = |id: &String| Uuid::parse_str(id.strip_prefix("req_").unwrap()).unwrap();
        for id in made.iter().map(parse) {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122), "{id}");
        }
        // Whoever else made ids meanwhile, or more than fit into one millisecond, is at most a little ahead.
        let (seconds, nanos) = parse(made.first().unwrap()).get_timestamp().unwrap().to_unix();
        let ms = seconds * 1_000 + u64::from(nanos) / 1_000_000;
        assert!((before..before + 60_000).contains(&ms), "{ms} is not {before}");
    }

    #[test]
    fn no_two_threads_make_the_same_id() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..2_000).map(|_| request_id()).collect::<Vec<_>>())).collect();
        let mut made: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        made.sort_unstable();
        made.dedup();
        assert_eq!(made.len(), 8_000);
    }
}
