//! `myelin bench`: how fast the gateway is on this machine. Starts this very program as a gateway of its own, with keys, limits, prices and the request log on, in front of
//! a mock provider inside this process, and asks both: what the gateway adds is the difference.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use myelin_bench::figures::Figures;
use myelin_bench::measure::round;
use myelin_bench::mock;
use myelin_bench::scenario::{About, Scenario, named};
use myelin_bench::target::{Kind, Programs, Running};
use serde_json::{Value, json};

use crate::args::Place;
use crate::output;

/// What is measured: whole answers and streams, passed through and converted, one at a time and many.
const MEASURED: [&str; 7] =
    ["single", "single-stream", "saturated", "messages-to-chat", "body-1m", "streams", "messages-to-chat-streams"];

/// How fast the gateway is on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// How long each measurement takes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
}

/// One row: what was asked, and what came of it without and with the gateway.
struct Measured {
    scenario: Scenario,
    /// Only where the provider can be asked the same without a gateway.
    direct: Option<Figures>,
    through: Figures,
}

/// Measures and prints.
pub(crate) fn run(place: &Place, bench: &Bench) -> anyhow::Result<()> {
    ensure!((0.1..=60.0).contains(&bench.seconds), "--seconds is between 0.1 and 60");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let scratch = Scratch::new()?;
    let measured = runtime.block_on(measure(bench.seconds, scratch.0.clone()));
    // The gateway is gone with the runtime, and its folder after it.
    drop(runtime);
    drop(scratch);
    let (start_ms, idle_mib, measured) = measured?;
    if place.json { output::json(&told(start_ms, idle_mib, &measured)) } else { shown(start_ms, idle_mib, &measured) }
}

async fn measure(seconds: f64, scratch: PathBuf) -> anyhow::Result<(f64, f64, Vec<Measured>)> {
    let myelin = std::env::current_exe().context("this program cannot be found")?;
    let programs = Programs { myelin, relay: PathBuf::new(), peers: PathBuf::new(), scratch };
    let provider = mock::start().await.context("no port for the mock provider")?;
    let direct = Running::start(Kind::Direct, provider, &programs).await?;
    let gateway = Running::start(Kind::Full, provider, &programs).await?;
    let mut measured = Vec::new();
    for name in MEASURED {
        let scenario = named(name).with_context(|| format!("no scenario {name}"))?;
        output::aside!("{} …", scenario.what);
        let direct = if direct.kind.serves(&scenario) { Some(round(&direct, &scenario, seconds).await) } else { None };
        let through = round(&gateway, &scenario, seconds).await;
        measured.push(Measured { scenario, direct, through });
    }
    Ok((gateway.start_ms, gateway.idle_kib as f64 / 1024.0, measured))
}

fn told(start_ms: f64, idle_mib: f64, measured: &[Measured]) -> Value {
    let rows = measured.iter().map(|Measured { scenario, direct, through }| {
        json!({ "scenario": scenario.name, "what": scenario.what, "direct": direct, "through": through })
    });
    json!({ "start_ms": start_ms, "idle_mib": idle_mib, "rows": rows.collect::<Vec<_>>() })
}

fn shown(start_ms: f64, idle_mib: f64, measured: &[Measured]) -> anyhow::Result<()> {
    let heads = ["", "requests/s", "p50 ms", "p99 ms", "added p50", "added p99", "CPU µs", "a", "not ok"];
    let rows: Vec<Vec<String>> = measured.iter().map(row).collect();
    output::table(&heads, &rows)?;
    output::line("")?;
    output::line(&format!(
        "The gateway answered {start_ms:.0} ms after its start and holds {idle_mib:.1} MiB at rest."
    ))?;
    output::line(
        "Measured: a gateway of its own with keys, rules, limits, prices and the request log on; a mock provider that answers at once; loopback, no TLS. \
         Load, provider and gateway share this machine's cores, so times grow when all of them are busy. For streams, times are to the first text.",
    )
}

fn row(measured: &Measured) -> Vec<String> {
    let Measured { scenario, direct, through } = measured;
    let streams = scenario.shape.chunks > 0;
    let half = |figures: &Figures| if streams { figures.first_token_p50_ms } else { figures.p50_ms };
    let most = |figures: &Figures| if streams { figures.first_token_p99_ms } else { figures.p99_ms };
    // Under load, times of both sides tell how busy the cores are and not what the gateway adds.
    let alone = direct.as_ref().filter(|_| scenario.about == About::Latency);
    let added = |of: &dyn Fn(&Figures) -> f64| {
        alone.map_or_else(|| "-".to_owned(), |direct| format!("{:.3}", of(through) - of(direct)))
    };
    let (cpu, unit) = match scenario.about {
        About::Chunks => (through.cpu_us_per_chunk, "chunk"),
        _ => (through.cpu_us_per_request, "request"),
    };
    // Only Linux tells what another process used.
    let cpu = if cpu > 0.0 { format!("{cpu:.1}") } else { "-".to_owned() };
    vec![
        scenario.what.to_owned(),
        format!("{:.0}", through.per_second),
        format!("{:.3}", half(through)),
        format!("{:.3}", most(through)),
        added(&half),
        added(&most),
        cpu,
        unit.to_owned(),
        through.not_ok.to_string(),
    ]
}

/// A folder of our own that goes when we do.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("myelin-bench-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_measured_is_a_scenario_that_the_gateway_serves() {
        for name in MEASURED {
            assert!(named(name).is_some_and(|scenario| Kind::Full.serves(&scenario)), "{name}");
        }
    }

    #[test]
    fn what_is_added_is_told_only_where_nothing_else_is_busy() {
        let figures = |p50_ms: f64| Figures { ok: 1, p50_ms, p99_ms: p50_ms * 2.0, ..Figures::default() };
        let of = |name: &str| {
            let scenario = named(name).unwrap();
            row(&Measured { scenario, direct: Some(figures(0.1)), through: figures(0.15) })
        };
        assert_eq!(of("single")[4..6], ["0.050", "0.100"]);
        assert_eq!(of("saturated")[4..6], ["-", "-"]);
    }
}
