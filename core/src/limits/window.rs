//! When the parts of a window begin and end. Pure arithmetic on moments that are handed in; the calendar is jiff's.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::model::Window;

/// Parts that a rolling window is cut into: what was used leaves it part by part, never too early.
const PARTS: u64 = 60;
/// Longer windows are cut finer, so that a month frees something every few hours.
const FINE_PARTS: u64 = 120;
const HOUR_MS: u64 = 3_600_000;

/// How a window is cut into parts. A moment lies in one part; what is counted in a part leaves the window with it.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    /// The last `parts × width` milliseconds, and the part that has begun.
    Rolling { width: u64, parts: u64 },
    /// One part: the day, week or month.
    Calendar { window: Window, zone: TimeZone },
    /// One part that never ends.
    Endless,
}

/// The part that a moment lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Part {
    /// When it began; milliseconds since 1970. Its name, too.
    pub start: u64,
    /// When the next one begins.
    pub end: u64,
    /// Parts that began earlier no longer count.
    pub oldest: u64,
}

impl Frame {
    /// The frame of a window; `None` is for what is only in flight.
    pub(super) fn new(window: Option<Window>, zone: &TimeZone) -> Self {
        match window {
            Some(Window::Rolling(ms)) => {
                let parts = if ms > HOUR_MS { FINE_PARTS } else { PARTS };
                let width = ms.div_ceil(parts).max(1);
                Frame::Rolling { width, parts: ms.div_ceil(width) }
            }
            Some(window) if window.is_calendar() => Frame::Calendar { window, zone: zone.clone() },
            _ => Frame::Endless,
        }
    }

    /// The part in which `now` lies.
    pub(super) fn part(&self, now: u64) -> Part {
        match self {
            Frame::Rolling { width, parts } => {
                let start = now - now % width;
                // A part that has begun to leave still counts: no window of that length ever holds more than the limit.
                Part { start, end: start.saturating_add(*width), oldest: start.saturating_sub(width * parts) }
            }
            Frame::Calendar { window, zone } => {
                // A calendar that cannot tell (beyond the year 9999) is one endless period.
                let (start, end) = period(*window, zone, now).unwrap_or((0, u64::MAX));
                Part { start, end, oldest: start }
            }
            Frame::Endless => Part { start: 0, end: u64::MAX, oldest: 0 },
        }
    }

    /// When what was counted in the part that began at `start` no longer counts; `None`: never.
    pub(super) fn leaves(&self, start: u64, current: &Part) -> Option<u64> {
        match self {
            Frame::Rolling { width, parts } => Some(start.saturating_add(width * (parts + 1))),
            Frame::Calendar { .. } => Some(current.end).filter(|end| *end != u64::MAX),
            Frame::Endless => None,
        }
    }
}

/// The day, week or month that `now` lies in; milliseconds since 1970.
fn period(window: Window, zone: &TimeZone, now: u64) -> Option<(u64, u64)> {
    let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?.to_zoned(zone.clone());
    let today = now.date();
    let (first, next) = match window {
        Window::Day => (today, today.checked_add(1.day()).ok()?),
        Window::Week => {
            let since_monday = i64::from(today.weekday().since(Weekday::Monday));
            let first = today.checked_sub(since_monday.days()).ok()?;
            (first, first.checked_add(7.days()).ok()?)
        }
        _ => (today.first_of_month(), today.first_of_month().checked_add(1.month()).ok()?),
    };
    // Where midnight does not exist or exists twice, the day begins at its first moment.
    let ms = |date: jiff::civil::Date| -> Option<u64> {
        let begin: Zoned = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
        u64::try_from(begin.timestamp().as_millisecond()).ok()
    };
    Some((ms(first)?, ms(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit_zone as zone;

    const HOUR: u64 = HOUR_MS;

    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap()
    }

    fn frame(window: Window, zone: &str) -> Frame {
        Frame::new(Some(window), &self::zone(Some(zone)).unwrap())
    }

    #[test]
    fn days_are_as_long_as_they_are_where_clocks_change() {
        for (zone, moment, hours) in [
            ("Europe/Berlin", "2026-03-29T12:00:00Z", 23),
            ("Europe/Berlin", "2026-10-25T12:00:00Z", 25),
            ("Europe/Berlin", "2026-06-01T12:00:00Z", 24),
            // Midnight did not exist: the day began at one.
            ("America/Sao_Paulo", "2018-11-04T12:00:00Z", 23),
            // A whole day was left out before it.
            ("Pacific/Apia", "2011-12-31T05:00:00Z", 24),
            ("Asia/Kolkata", "2026-01-01T12:00:00Z", 24),
        ] {
            let part = frame(Window::Day, zone).part(at(moment));
            assert_eq!((part.end - part.start) / HOUR, hours, "{zone} {moment}");
            assert!(part.start <= at(moment) && at(moment) < part.end);
        }
    }

    #[test]
    fn a_day_in_lord_howe_ends_half_an_hour_off() {
        let part = frame(Window::Day, "Australia/Lord_Howe").part(at("2026-04-04T20:00:00Z"));
        assert_eq!(part.end - part.start, 24 * HOUR + HOUR / 2);
    }

    #[test]
    fn periods_follow_each_other_without_gap() {
        for window in [Window::Day, Window::Week, Window::Month] {
            for zone in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tehran", "America/Sao_Paulo", "Pacific/Apia"]
            {
                let frame = frame(window, zone);
                let mut part = frame.part(at("2010-01-15T12:00:00Z"));
                for _ in 0..if window == Window::Day { 4_500 } else { 200 } {
                    let next = frame.part(part.end);
                    assert_eq!(next.start, part.end, "{window} {zone}");
                    assert_eq!(frame.part(next.end - 1), next, "{window} {zone}");
                    assert!(next.end > next.start);
                    part = next;
                }
            }
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let week = frame(Window::Week, "UTC").part(at("2026-11-22T23:59:59Z"));
        assert_eq!((week.start, week.end), (at("2026-11-16T00:00:00Z"), at("2026-11-23T00:00:00Z")));
        let month = frame(Window::Month, "Europe/Berlin").part(at("2026-02-28T23:30:00Z"));
        assert_eq!((month.start, month.end), (at("2026-02-28T23:00:00Z"), at("2026-03-31T22:00:00Z")));
    }

    #[test]
    fn a_rolling_window_is_never_shorter_than_it_says() {
        for ms in [1_000, 60_000, 61_001, 5 * HOUR, 24 * HOUR, 30 * 24 * HOUR, 366 * 24 * HOUR] {
            let frame = Frame::new(Some(Window::Rolling(ms)), &TimeZone::UTC);
            for now in [1_800_000_000_000, 1_800_000_012_345] {
                let part = frame.part(now);
                assert!(part.oldest <= now - ms, "{ms}");
                assert!(now - ms - part.oldest <= 2 * ms.div_ceil(PARTS), "{ms}");
                let leaves = frame.leaves(part.start, &part).unwrap();
                assert!(leaves >= now + ms && frame.part(leaves).oldest > part.start, "{ms}");
                assert!(frame.part(leaves - 1).oldest <= part.start, "{ms}");
            }
        }
    }

    #[test]
    fn a_zone_that_does_not_exist_is_none() {
        assert!(zone(Some("Mars/Olympus")).is_none());
        assert!(zone(None).is_some());
    }
}
