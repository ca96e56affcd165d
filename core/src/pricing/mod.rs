//! What requests cost: which price a deployment has, and what tokens come to at it.
//!
//! Pure: tables are embedded or handed in, nothing is fetched, no clock is read. Must not know the pipeline, nor how prices are stored.

mod book;
mod cost;
mod import;
mod limits;
mod names;
mod record;
mod table;

pub use book::{Book, PriceOrigin, Quote};
pub use cost::{Bill, Caching, Line, bill, caching, estimate, total};
pub use import::{ImportError, Imported, bundle};
pub use limits::ModelLimits;
pub use record::{reprice, settle};
pub use table::{Row, Table};
