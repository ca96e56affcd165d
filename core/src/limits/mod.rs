//! The one limiter: whoever or whatever is limited, it is limited here.
//!
//! Reserve before, settle after. A [`Chain`] is every limit that holds for a request (key → owners → gateway, model, profile) or for an attempt
//! (channel, its tags, its models); [`Chain::reserve`] takes all of it or none, and a [`Reservation`] that is dropped gives everything back. What a
//! request counts belongs to the moment at which it was let in.
//!
//! Pure but for locks that are never held across an await: knows no clock, no store, no prices. The store is told what to add up by
//! [`Settled::charges`], and [`Limiter::new`] goes on from its sums.

mod counter;
mod estimate;
mod reserve;
mod table;
#[cfg(test)]
mod tests;
mod usage;
mod window;

pub use estimate::{prompt_tokens, usual_output};
pub use reserve::{Amounts, Notice, Refusal, Reservation, Settled, Standing, Standings, Ticket};
pub use table::{Caller, Chain, LimitTable, Limiter};
pub use usage::LimitUsage;
