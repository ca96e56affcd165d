//! Amounts of dollars as people and providers write them, read exactly.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

const MILLION: u64 = 1_000_000;

/// Dollars as a JSON number or decimal text, in units of 1/`scale` dollar.
pub fn amount(value: &Value, scale: u64) -> Option<u64> {
    match value {
        Value::Number(number) => decimal(&plain(number)?, scale),
        Value::String(text) => decimal(text.trim(), scale),
        _ => None,
    }
}

/// A number without exponent.
fn plain(number: &Number) -> Option<String> {
    match number.as_u64() {
        Some(whole) => Some(whole.to_string()),
        None => number.as_f64().filter(|float| float.is_finite()).map(|float| format!("{float}")),
    }
}

/// A decimal text in units of 1/`scale`, rounded half up; `None`: no decimal number, negative, or too large. What [`f64`] printed is read exactly.
pub fn decimal(text: &str, scale: u64) -> Option<u64> {
    if text.contains(['e', 'E']) {
        let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
        return decimal(&format!("{float}"), scale);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = u128::from(scale);
    // 18 digits are more than any unit here can tell.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let unit = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = (part.checked_mul(scale)?.checked_mul(2)? + unit) / (2 * unit);
    u64::try_from(whole.checked_mul(scale)?.checked_add(part)?).ok()
}

/// Picodollars of one as dollars of `per`.
pub(super) fn dollars(pico: u64, per: u64) -> Number {
    let scale = MILLION * MILLION / per;
    let text = format!("{}.{:0width$}", pico / scale, pico % scale, width = scale.ilog10() as usize);
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.unwrap_or_else(|| Number::from(0))
}

/// What a channel's prices are multiplied with, in parts per million; 1 unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Multiplier(pub u64);

impl Multiplier {
    /// As listed.
    pub const ONE: Self = Self(MILLION);
    /// The largest that makes sense.
    pub const MOST: u64 = 1_000 * MILLION;

    /// Nothing is changed.
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }
}

impl Default for Multiplier {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", dollars(self.0 * MILLION, 1))
    }
}

impl Serialize for Multiplier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        dollars(self.0, MILLION).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Multiplier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{value} is no factor between 0 and 1000"));
        amount(&value, MILLION).filter(|ppm| *ppm <= Self::MOST).map(Self).ok_or_else(wrong)
    }
}
