//! Measures a gateway from outside: load on one side, a mock provider that costs next to nothing on the other, and what every piece of text
//! took to get through.
//!
//! ```text
//! shape     what is asked and answered: format, size, chunks, pace        (pure)
//! mock      a provider that does just that; every chunk carries its time of birth
//! load      clients that ask, read, check and time every byte of it
//! process   CPU time and memory of the process under test, from /proc
//! figures   what a round measured, medians of rounds                      (pure)
//! scenario  the kinds of load                                             (pure)
//! target    the programs that are compared, and how each is started
//! measure   one round of a target under a load
//! peers     other gateways, the same
//! instructions  what a request costs the processor, by callgrind            (feature `compare`)
//! goals     what was agreed, and what of it holds                         (feature `compare`, pure)
//! report    tables, JSON and plots                                        (feature `compare`, pure)
//! ```
//!
//! Must not know the gateway's code: it measures whatever listens.
#![forbid(unsafe_code)]

pub mod figures;
#[cfg(feature = "compare")]
pub mod goals;
#[cfg(feature = "compare")]
pub mod instructions;
pub mod load;
pub mod measure;
pub mod mock;
pub mod peers;
pub mod process;
#[cfg(feature = "compare")]
pub mod report;
pub mod scenario;
pub mod shape;
pub mod target;

/// Nanoseconds on the clock that mock and load share: both live in one process, so a chunk's delay one way is exact.
pub fn now_ns() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static BIRTH: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "measuring time is what this crate is for")]
    let now = Instant::now();
    u64::try_from(now.duration_since(*BIRTH.get_or_init(|| now)).as_nanos()).unwrap_or(u64::MAX)
}
