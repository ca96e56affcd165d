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
        let (sign, nanos) = if self.0 < 0 { ("-", self.0.unsigned_abs()) } else { ("", self.0.unsigned_abs()) };
        // Nine places at once: every answer tells amounts, and padding is slow.
        let mut places = *b".000000000";
        let mut rest = nanos % 1_000_000_000;
        for place in places.iter_mut().skip(1).rev() {
            *place += (rest % 10) as u8;
            rest /= 10;
        }
        f.write_str(sign)?;
        write!(f, "{}", nanos / 1_000_000_000)?;
        f.write_str(str::from_utf8(&places).map_err(|_| fmt::Error)?)
    }
}
