//! Where spend is going: to the end of the month, and hours that stand out. Pure arithmetic over sums by day and hour.
//!
//! A day is expected to cost what the same weekday cost lately, moved by the trend of the last four weeks; the range is what days have strayed from that.

use std::collections::BTreeMap;

use super::books::HOUR_MS;
use super::usage::UsageAnswer;

/// An hour stands out only by more than a tenth of a dollar.
const LEAST_NANOS: i64 = 100_000_000;
/// Hours that are looked through.
const HOURS: u64 = 24 * 7;

/// Days that the trend is read from.
pub const LOOK_BACK_DAYS: usize = 28;
/// Fewer days than this say nothing about weekdays.
const LEAST_FOR_WEEKDAYS: usize = 14;

/// What a month comes to, in nanodollars.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Outlook {
    /// Spent in this month so far.
    pub spent: i64,
    /// At the end of the month, spent and expected together.
    pub expected: i64,
    /// It may well stay above this …
    pub low: i64,
    /// … and below that.
    pub high: i64,
    /// By how much a day's spend grows from day to day.
    pub trend: f64,
}

/// Looks ahead. `past`: whole days, the oldest first, the last one is yesterday. `today`: so far. `day_share`: how much of today has passed, 0 to 1.
/// `days_left`: whole days of this month after today. `spent_before`: in this month before today.
pub fn outlook(past: &[i64], today: i64, day_share: f64, days_left: usize, spent_before: i64) -> Outlook {
    let past = past.get(past.len().saturating_sub(LOOK_BACK_DAYS)..).unwrap_or(past);
    // Days before the first spend are not days without spend: nobody was there yet.
    let first = past.iter().position(|cost| *cost != 0).unwrap_or(past.len());
    let days: Vec<f64> = past.iter().skip(first).map(|cost| *cost as f64).collect();
    let spent = spent_before.saturating_add(today);
    let model = Model::of(&days);
    // With no past at all, today is all that is known.
    let share = day_share.clamp(0.02, 1.0);
    let known = today as f64;
    let day = |ahead: usize| if days.is_empty() { known / share } else { model.day(days.len() + ahead) };
    let rest_of_today = (day(0) - known).max(0.0).min(day(0) * (1.0 - share) * 2.0);
    let ahead: f64 = rest_of_today + (1..=days_left).map(day).sum::<f64>();
    let stray = model.stray * ((days_left as f64 + (1.0 - share)).max(0.0)).sqrt();
    let whole = |number: f64| number.round() as i64;
    Outlook {
        spent,
        expected: spent.saturating_add(whole(ahead)),
        low: spent.saturating_add(whole((ahead - stray).max(0.0))),
        high: spent.saturating_add(whole(ahead + stray)),
        trend: model.slope,
    }
}

/// A straight line, and how weekdays differ from it.
struct Model {
    level: f64,
    slope: f64,
    weekdays: [f64; 7],
    stray: f64,
}

impl Model {
    fn of(days: &[f64]) -> Self {
        let mut out = Self { level: 0.0, slope: 0.0, weekdays: [1.0; 7], stray: 0.0 };
        let count = days.len() as f64;
        if days.is_empty() {
            return out;
        }
        let mean = days.iter().sum::<f64>() / count;
        let middle = (count - 1.0) / 2.0;
        // A line through few days would shoot anywhere, and one through days and not weeks would lean to where weekends lie.
        let weeks: Vec<f64> = days.rchunks_exact(7).map(|week| week.iter().sum::<f64>() / 7.0).collect();
        let centre = (weeks.len() as f64 - 1.0) / 2.0;
        let spread: f64 = (0..weeks.len()).map(|at| (at as f64 - centre).powi(2)).sum();
        if days.len() >= LEAST_FOR_WEEKDAYS && spread > 0.0 {
            // The last week comes first.
            let lean: f64 = weeks.iter().enumerate().map(|(at, cost)| (centre - at as f64) * cost).sum();
            out.slope = lean / spread / 7.0;
        }
        out.level = mean - out.slope * middle;
        if days.len() >= LEAST_FOR_WEEKDAYS {
            for (weekday, factor) in out.weekdays.iter_mut().enumerate() {
                let line = |at: usize| (out.level + out.slope * at as f64).max(0.0);
                let own = || days.iter().enumerate().filter(|(at, _)| at % 7 == weekday);
                let (real, expected) =
                    own().fold((0.0, 0.0), |(real, expected), (at, cost)| (real + cost, expected + line(at)));
                *factor = if expected > 0.0 { real / expected } else { 1.0 };
            }
        }
        let strays: f64 = days.iter().enumerate().map(|(at, cost)| (cost - out.day(at)).powi(2)).sum();
        out.stray = (strays / count).sqrt();
        out
    }

    fn day(&self, at: usize) -> f64 {
        let factor = self.weekdays.get(at % 7).copied().unwrap_or(1.0);
        ((self.level + self.slope * at as f64) * factor).max(0.0)
    }
}

/// An hour that stands out.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spike {
    /// Which of the hours.
    at: usize,
    /// What it was.
    value: i64,
    /// What such hours usually are.
    usual: i64,
}

/// Hours that stand out from those before them: far above the usual, and by more than `least`.
fn spikes(hours: &[i64], least: i64) -> Vec<Spike> {
    const LEAST_HOURS: usize = 12;
    const LOOK_BACK: usize = 24 * 7;
    const TIMES: i64 = 3;
    let mut out = Vec::new();
    for (at, value) in hours.iter().enumerate().skip(LEAST_HOURS) {
        let before = hours.get(at.saturating_sub(LOOK_BACK)..at).unwrap_or_default();
        let mut busy: Vec<i64> = before.iter().copied().filter(|value| *value > 0).collect();
        // A key that was hardly ever used has no usual.
        if busy.len() < LEAST_HOURS / 2 {
            continue;
        }
        busy.sort_unstable();
        let part = |share: usize| busy.get((busy.len() * share / 100).min(busy.len() - 1)).copied().unwrap_or_default();
        let (usual, high) = (part(50), part(95));
        if *value > usual.saturating_mul(TIMES) && *value > high.saturating_mul(3) / 2 && *value - usual > least {
            out.push(Spike { at, value: *value, usual });
        }
    }
    out
}

/// An hour in which spend stood out, of some group or of all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoodOut {
    /// When it began; milliseconds since 1970.
    pub at: u64,
    /// Values of the group; empty: all together.
    pub values: Vec<String>,
    /// What was spent in it, in nanodollars.
    pub cost: i64,
    /// What is spent in a usual hour.
    pub usual: i64,
}

/// The first hour that is looked at.
pub(super) fn first_hour(now: u64) -> u64 {
    (now - now % HOUR_MS).saturating_sub(HOURS * HOUR_MS)
}

/// Hours that stand out in sums by hour from `first` on; the newest first.
pub(super) fn stood_out(answer: &UsageAnswer, first: u64) -> Vec<StoodOut> {
    let mut series: BTreeMap<&[String], Vec<i64>> = BTreeMap::new();
    for group in &answer.groups {
        let hour = group.from.unwrap_or_default().saturating_sub(first) / HOUR_MS;
        let all: &[String] = &[];
        let mut groups = vec![all];
        if !group.values.is_empty() {
            groups.push(&group.values);
        }
        for values in groups {
            let hours = series.entry(values).or_insert_with(|| vec![0; HOURS as usize + 1]);
            if let Some(cost) = usize::try_from(hour).ok().and_then(|hour| hours.get_mut(hour)) {
                *cost += group.sums.cost;
            }
        }
    }
    let mut out: Vec<StoodOut> = series
        .into_iter()
        .flat_map(|(values, hours)| {
            spikes(&hours, LEAST_NANOS).into_iter().map(|spike| StoodOut {
                at: first + spike.at as u64 * HOUR_MS,
                values: values.to_vec(),
                cost: spike.value,
                usual: spike.usual,
            })
        })
        .collect();
    out.sort_by_key(|hour| std::cmp::Reverse((hour.at, hour.cost)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_spend_goes_on_evenly() {
        let outlook = outlook(&[100; 28], 50, 0.5, 10, 1_900);
        assert_eq!((outlook.spent, outlook.expected), (1_950, 3_000));
        assert_eq!((outlook.low, outlook.high), (3_000, 3_000));
    }

    #[test]
    fn a_growing_spend_goes_on_growing() {
        let past: Vec<i64> = (0..28).map(|day| 1_000 + day * 100).collect();
        let outlook = outlook(&past, 0, 0.0, 1, 0);
        // Day 28 and day 29 of the line.
        assert!((outlook.expected - (3_800 + 3_900)).abs() < 400, "{outlook:?}");
        assert!((outlook.trend - 100.0).abs() < 20.0);
    }

    #[test]
    fn weekends_are_weekends() {
        let past: Vec<i64> = (0..28).map(|day| if day % 7 < 5 { 700 } else { 0 }).collect();
        // Five working days and a weekend lie ahead.
        let outlook = outlook(&past, 700, 1.0, 6, 0);
        assert!((outlook.expected - 3_500).abs() < 350, "{outlook:?}");
    }

    #[test]
    fn without_a_past_today_is_all_that_is_known() {
        assert_eq!(outlook(&[], 100, 0.5, 1, 0).expected, 400);
        assert_eq!(outlook(&[], 0, 0.5, 10, 0).expected, 0);
        assert_eq!(outlook(&[0, 0, 0, 80, 120], 100, 1.0, 2, 0).expected, 300);
    }

    #[test]
    fn an_hour_that_stands_out_is_found_and_a_usual_one_is_not() {
        let mut hours: Vec<i64> = (0..48).map(|hour| 90 + (hour * 7) % 30).collect();
        assert!(spikes(&hours, 10).is_empty());
        hours[40] = 600;
        assert_eq!(spikes(&hours, 10).iter().map(|spike| (spike.at, spike.value)).collect::<Vec<_>>(), [(40, 600)]);
        assert!(spikes(&hours, 1_000).is_empty(), "it is too little to tell anyone");
        assert!(spikes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 900], 10).is_empty(), "there is no usual");
    }
}
