//! `myelin cache`: answers that are kept and given again.

use clap::Subcommand;

use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, plain, text};

/// Answers that are kept and given again.
#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// How full the cache is, and how it did since the gateway started.
    Status,
    /// Forget every kept answer.
    Clear,
}

/// Does it.
pub(crate) fn run(place: &Place, cache: Cache) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    match cache {
        Cache::Status => {
            let status = carrier.get("/api/v1/cache")?;
            if place.json {
                return output::json(&status);
            }
            let rows = [
                (
                    "in memory",
                    format!("{} answers, {} bytes", text(&status, "/memory_answers"), text(&status, "/memory_bytes")),
                ),
                (
                    "on disk",
                    format!("{} answers, {} bytes", text(&status, "/disk_answers"), text(&status, "/disk_bytes")),
                ),
                ("hits", text(&status, "/hits")),
                ("misses", text(&status, "/misses")),
                ("shared", text(&status, "/shared")),
            ];
            rows.iter().try_for_each(|(name, value)| output::line(&format!("{name:<12}{}", plain(value))))
        }
        Cache::Clear => {
            let done = carrier.delete("/api/v1/cache")?;
            if place.json {
                return output::json(&done);
            }
            output::line("the cache is empty")
        }
    }
}
