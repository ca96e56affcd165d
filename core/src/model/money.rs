//! Money as integers. Rates are picodollars a token; sums are rounded once per request to nanodollars.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// 10⁻¹² US dollars: the unit of rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub i128);

/// 10⁻⁹ US dollars: the unit of spend and budgets.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl PicoUsd {
    /// Rounds half up to nanodollars; saturates far beyond any bill.
    pub fn round(self) -> NanoUsd {
        let nano = (self.0 + 500).div_euclid(1_000);
        NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX))
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl NanoUsd {
    /// Writes the amount behind a text, as [`Display`](fmt::Display) does: every answer's head tells some, and that one is slow.
    pub fn push_to(self, out: &mut String) {
        if self.0 < 0 {
            out.push('-');
        }
        let nanos = self.0.unsigned_abs();
        push_number(out, nanos / 1_000_000_000, 1);
        out.push('.');
        push_number(out, nanos % 1_000_000_000, 9);
    }
}

/// Writes a number behind a text, with zeros before it if it has fewer than `places` digits.
pub fn push_number(out: &mut String, number: u64, places: usize) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut from) = (number, digits.len());
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        if rest == 0 && 19 - at >= places.max(1) {
            break;
        }
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        from = at;
    }
    out.push_str(digits.get(from..).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 1, 9, 10, 999, 1_000, 12_345, u64::MAX] {
            for places in [0, 1, 3, 9, 20] {
                let mut out = String::from("x");
                push_number(&mut out, number, places);
                assert_eq!(out, format!("x{number:0places$}", places = places.max(1)));
            }
        }
        for (nanos, text) in [(0, "0.000000000"), (-1, "-0.000000001"), (12_345_678_901, "12.345678901")] {
            assert_eq!(NanoUsd(nanos).to_string(), text);
        }
        assert_eq!(NanoUsd(i64::MIN).to_string(), "-9223372036.854775808");
    }
}
