//! How people write a limit, in the file and over the API, and how it becomes one.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::amount::amount;
use super::check::Problem;
use super::{Limit, LimitQueue, Measure, Origin, Target, Window};
use super::{NoTarget, NoWindow, Told};
use crate::told;

/// Nanodollars in a dollar.
const NANO: u64 = 1_000_000_000;
/// Where the owner of a budget is told if nothing else is said.
const USUAL_SOFT: u8 = 80;

/// A limit as it is written: one of `requests`, `tokens`, `money` and `parallel` says what is counted and how much of it is allowed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSpec {
    /// Unique name; absent: made of what is counted, on whom and in which time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it holds back: `gateway`, `key:NAME`, `tool:NAME`, `user:NAME`, `team:NAME`, `project:NAME`, `organisation:NAME`, `model:NAME`, `channel:NAME`,
    /// `channel:NAME/MODEL`, `tag:NAME` or `profile:NAME`.
    pub on: String,
    /// Only requests for these models (exact or glob) count; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Requests in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Tokens in and out in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// US dollars in the window, as a number or as decimal text.
    #[serde(default, deserialize_with = "read_dollars", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub money: Option<Dollars>,
    /// Requests in flight at the same time; has no window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u64>,
    /// The window: `minute`, `30s`, `5h`, `7d` … (the last so long), `day`, `week`, `month` (by the calendar) or `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// IANA name of the time zone of a calendar window (`Europe/Berlin`); absent: the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Percentages at which the owner is told; absent: 80 for money, none else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<Vec<u8>>,
    /// `false`: the owner is told, nothing is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse: Option<bool>,
    /// Wait for room instead of being refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<LimitQueue>,
}

/// Dollars, held as nanodollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dollars(pub u64);

impl Serialize for Dollars {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::dollars(self.0).serialize(serializer)
    }
}

/// Reads dollars from a number or a decimal text.
///
/// # Errors
/// When it is neither.
pub fn read_dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Dollars>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let wrong = || serde::de::Error::custom(format!("{value} is no amount of dollars: write 5, 5.5 or \"5.50\""));
    amount(&value, NANO).map(Dollars).map(Some).ok_or_else(wrong)
}

impl LimitSpec {
    /// What people would write for a limit.
    pub fn of(limit: &Limit) -> Self {
        let amount = |measure| (limit.measure == measure).then_some(limit.amount);
        Self {
            name: Some(limit.name.clone()),
            on: limit.on.to_string(),
            models: limit.models.clone(),
            requests: amount(Measure::Requests),
            tokens: amount(Measure::Tokens),
            money: amount(Measure::Money).map(Dollars),
            parallel: amount(Measure::Parallel),
            per: limit.per.map(|per| per.to_string()),
            zone: limit.zone.clone(),
            soft: Some(limit.soft.clone()),
            refuse: Some(limit.refuse),
            queue: limit.queue,
        }
    }

    /// The limit that is meant, or all that is wrong with how it is written. `path`: where it stands.
    ///
    /// # Errors
    /// Nothing that could not be enforced becomes a limit.
    pub fn into_limit(self, path: &str, origin: Origin) -> Result<Limit, Vec<Problem>> {
        let mut problems = Vec::new();
        let wrong = |field: &str, why: Told| Problem::error(format!("{path}.{field}"), why);
        let on: Option<Target> = self.on.parse().map_err(|why| problems.push(wrong("on", no_target(&why)))).ok();
        let amounts = [
            (Measure::Requests, self.requests),
            (Measure::Tokens, self.tokens),
            (Measure::Money, self.money.map(|Dollars(nano)| nano)),
            (Measure::Parallel, self.parallel),
        ];
        let mut given = amounts.into_iter().filter_map(|(measure, amount)| Some((measure, amount?)));
        let amount = given.next();
        if amount.is_none() || given.next().is_some() {
            problems.push(Problem::error(
                path,
                told!("limit-one-of", "needs exactly one of requests, tokens, money and parallel"),
            ));
        }
        let per: Option<Window> =
            self.per.and_then(|per| per.parse().map_err(|why| problems.push(wrong("per", no_window(&why)))).ok());
        let (Some(on), Some((measure, amount)), true) = (on, amount, problems.is_empty()) else { return Err(problems) };
        if measure != Measure::Parallel && per.is_none() {
            let why = told!(
                "no-window-such",
                "is missing: in which time? minute, 5h, 7d … (the last so long), day, week, month or total"
            );
            return Err(vec![wrong("per", why)]);
        }
        let usual_soft = if measure == Measure::Money { vec![USUAL_SOFT] } else { Vec::new() };
        Ok(Limit {
            name: self.name.unwrap_or_else(|| Limit::usual_name(&on, measure, per)),
            on,
            models: self.models,
            measure,
            amount,
            per,
            zone: self.zone,
            soft: self.soft.unwrap_or(usual_soft),
            refuse: self.refuse.unwrap_or(true),
            queue: self.queue,
            origin,
        })
    }
}

fn no_target(NoTarget(text): &NoTarget) -> Told {
    told!(
        "no-target",
        "'{text}' names nothing that can be limited: write gateway, key:NAME, tool:NAME, user:NAME, team:NAME, project:NAME, organisation:NAME, model:NAME, channel:NAME, channel:NAME/MODEL, tag:NAME or profile:NAME",
        text = text
    )
}

fn no_window(NoWindow(text): &NoWindow) -> Told {
    told!(
        "bad-window",
        "'{text}' is no window: write minute, 30s, 1m, 5h, 7d or 2w (the last so long), day, week or month (by the calendar), or total",
        text = text
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Limit, Vec<Problem>> {
        let spec: LimitSpec = serde_json::from_value(value)
            .map_err(|why| vec![Problem::error("", told!("unreadable", "{why}", why = why))])?;
        spec.into_limit("limits.x", Origin::Store)
    }

    #[test]
    fn dollars_are_read_exactly() {
        for (written, nano) in [
            (json!(5), 5 * NANO),
            (json!(5.1), 5_100_000_000),
            (json!("0.000000001"), 1),
            (json!("12.50"), 12_500_000_000),
        ] {
            let limit = read(json!({"on": "gateway", "money": written, "per": "month"})).unwrap();
            assert_eq!((limit.amount, limit.name.as_str(), &limit.soft), (nano, "gateway-money-month", &vec![80]));
        }
        for wrong in [json!(-5), json!("five"), json!([5]), json!("5 USD")] {
            assert!(read(json!({"on": "gateway", "money": wrong, "per": "month"})).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_comes_back_the_same() {
        for spec in [
            json!({"on": "key:a", "tokens": 1000, "per": "1m", "soft": [50, 90]}),
            json!({"on": "channel:c/m*", "parallel": 4, "queue": {"timeout_ms": 500}}),
            json!({"name": "n", "on": "gateway", "money": 0.25, "per": "week", "zone": "Europe/Berlin", "refuse": false, "models": ["a*"]}),
        ] {
            let limit = read(spec).unwrap();
            let again = serde_json::to_value(LimitSpec::of(&limit)).unwrap();
            assert_eq!(read(again).unwrap(), limit);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (spec, place) in [
            (json!({"on": "moon", "requests": 1, "per": "day"}), "limits.x.on"),
            (json!({"on": "gateway", "per": "day"}), "limits.x"),
            (json!({"on": "gateway", "requests": 1, "tokens": 1, "per": "day"}), "limits.x"),
            (json!({"on": "gateway", "requests": 1, "per": "fortnight"}), "limits.x.per"),
            (json!({"on": "gateway", "requests": 1}), "limits.x.per"),
        ] {
            assert_eq!(read(spec).unwrap_err()[0].path, place);
        }
    }
}
