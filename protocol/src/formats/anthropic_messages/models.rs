//! Model lists, both ways: `{"data": [{"type": "model", "id", "display_name", "created_at"}], "has_more", "first_id", "last_id"}`.

use serde::Deserialize;

use super::FORMAT;
use crate::DecodeError;
use crate::ir::ModelInfo;
use crate::json::object;

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    max_input_tokens: Option<u64>,
    #[serde(default)]
    max_tokens: Option<u64>,
}

/// Reads a provider's list.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ModelInfo>, DecodeError> {
    let list: List = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    Ok(list.data.into_iter().map(info).collect())
}

fn info(entry: Entry) -> ModelInfo {
    ModelInfo {
        id: entry.id,
        display_name: entry.display_name,
        created: entry.created_at.as_deref().and_then(seconds),
        owned_by: None,
        context: entry.max_input_tokens,
        max_output: entry.max_tokens,
    }
}

/// Writes a list for a client.
pub(super) fn encode(models: &[ModelInfo]) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut out, |o| {
        o.list("data", |list| {
            for model in models {
                list.object(|o| {
                    o.value("type", "model");
                    o.value("id", &model.id);
                    o.value("display_name", model.display_name.as_deref().unwrap_or(&model.id));
                    // Clients parse it as a date; the API itself gives the epoch when it does not know.
                    o.value("created_at", &timestamp(model.created.unwrap_or(0)));
                    o.some("max_input_tokens", model.context);
                    o.some("max_tokens", model.max_output);
                });
            }
        });
        o.value("has_more", &false);
        o.value("first_id", &models.first().map(|model| &model.id));
        o.value("last_id", &models.last().map(|model| &model.id));
    });
    out
}

const DAY: u64 = 86_400;

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ`.
fn timestamp(seconds: u64) -> String {
    // Days count from 0000-03-01 in eras of 400 years, so that the leap day ends a year.
    let days = (seconds / DAY).min(2_932_896) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let clock = seconds % DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

/// `YYYY-MM-DDTHH:MM:SS` with `Z`, a fraction or an offset behind it, as seconds since 1970.
fn seconds(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    let days = (year / 400 * 146_097 + of_era).checked_sub(719_468)?;
    let local = days * DAY + hour * 3600 + minute * 60 + second;
    offset(text).map_or(Some(local), |shift| local.checked_add_signed(-shift))
}

/// The offset at the end, in seconds east.
fn offset(text: &str) -> Option<i64> {
    let tail = text.get(text.len().checked_sub(6)?..)?;
    let sign = match tail.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = tail.get(1..)?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, value) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2025-10-01T00:00:00Z", 1_759_276_800),
            ("2000-03-01T12:00:00Z", 951_912_000),
        ] {
            assert_eq!(seconds(text), Some(value), "{text}");
            assert_eq!(timestamp(value), text);
        }
        assert_eq!(seconds("2025-10-01T02:00:00.123+02:00"), Some(1_759_276_800));
        assert_eq!(seconds("2025-09-30T19:00:00-05:00"), Some(1_759_276_800));
        for odd in ["", "now", "2025-13-01T00:00:00Z", "20ü5-10-01T00:00:00Z", "0000-01-01T00:00:00Z"] {
            assert_eq!(seconds(odd), None, "{odd}");
        }
        assert_eq!(timestamp(u64::MAX).get(..4), Some("9999"));
    }

    #[test]
    fn a_list_comes_back() {
        let models = vec![
            ModelInfo {
                id: "claude-a".into(),
                display_name: Some("A".into()),
                created: Some(1_709_251_199),
                ..ModelInfo::default()
            },
            ModelInfo {
                id: "b".into(),
                display_name: Some("b".into()),
                created: Some(0),
                context: Some(200),
                max_output: Some(9),
                ..ModelInfo::default()
            },
        ];
        assert_eq!(decode(&encode(&models)).unwrap(), models);
        let text = String::from_utf8(encode(&models)).unwrap();
        assert!(text.ends_with(r#""has_more":false,"first_id":"claude-a","last_id":"b"}"#), "{text}");
        assert!(decode(br#"{"data":{}}"#).is_err());
    }
}
