//! What was agreed, and what of it a run holds. Pure.

use serde::Serialize;

use crate::figures::Figures;
use crate::report::Report;
use crate::scenario::About;

/// One number that was agreed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What it is about.
    pub what: &'static str,
    /// What was agreed, in words.
    pub agreed: &'static str,
    /// What was measured.
    pub measured: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Whether it holds.
    pub holds: bool,
}

/// The goals that a run says something about; `full` is the gateway with everything on.
pub fn goals(report: &Report) -> Vec<Goal> {
    let of = |scenario: &str, target: &str| report.figures(scenario, target);
    let ratio = |scenario: &str, base: &str, figure: fn(&Figures) -> f64| {
        let base = figure(of(scenario, base)?);
        (base > 0.0).then_some(figure(of(scenario, "myelin")?) / base)
    };
    let added = |scenario: &str, figure: fn(&Figures) -> f64| {
        Some((figure(of(scenario, "myelin")?) - figure(of(scenario, "direct")?)) * 1e3)
    };
    let start = report.starts.iter().find(|start| start.target == "myelin");
    let highest = report.rows.iter().filter_map(|row| row.figures("myelin").map(|f| f.peak_mib)).fold(0.0, f64::max);
    let nginx_chunk = of("streams", "nginx").map(|figures| figures.cpu_us_per_chunk);
    let dearest = report
        .rows
        .iter()
        .filter(|row| row.about == About::Chunks && row.converts)
        .filter_map(|row| Some(row.figures("myelin")?.cpu_us_per_chunk / nginx_chunk?))
        .reduce(f64::max);
    let open = of("open-streams", "myelin");

    let mut goals = Vec::new();
    let mut at_most = |what, agreed, measured: Option<f64>, unit, most: f64| {
        goals.extend(measured.map(|measured| Goal { what, agreed, measured, unit, holds: measured <= most }));
    };
    at_most("CPU of a request, saturated", "≤ 0.75 × relay", ratio("saturated", "relay", cpu), "×", 0.75);
    at_most("CPU of a request, saturated", "≤ 1.6 × nginx", ratio("saturated", "nginx", cpu), "×", 1.6);
    at_most("CPU of a chunk passed through", "≤ 1.3 × nginx", ratio("streams", "nginx", chunk), "×", 1.3);
    at_most("CPU of a chunk converted, the dearest pair", "≤ 2 × nginx", dearest, "×", 2.0);
    at_most("CPU of a 1 MB body", "≤ 1.2 × nginx", ratio("body-1m", "nginx", cpu), "×", 1.2);
    at_most("added at 1 connection, p50", "≤ 75 µs", added("single", |f| f.p50_ms), "µs", 75.0);
    at_most("added at 1 connection, p99", "≤ 150 µs", added("single", |f| f.p99_ms), "µs", 150.0);
    at_most("added to the first token, p50", "≤ 75 µs", added("single-stream", |f| f.first_token_p50_ms), "µs", 75.0);
    at_most("added to the first token, p99", "≤ 150 µs", added("single-stream", |f| f.first_token_p99_ms), "µs", 150.0);
    let late = of("streams", "myelin").map(|f| f.delay_p999_ms);
    at_most("a chunk's delay, p99.9 (no cluster at 40 ms)", "< 20 ms", late, "ms", 20.0);
    at_most("memory of each of 2,000 open streams", "≤ 20 KiB", open.map(|f| f.kib_per_stream), "KiB", 20.0);
    at_most("streams of 2,000 that lost something", "0", open.map(|f| f.not_ok as f64), "", 0.0);
    at_most("first answer after the start", "≤ 150 ms", start.map(|s| s.start_ms), "ms", 150.0);
    at_most("memory at rest", "≤ 15 MiB", start.map(|s| s.idle_mib), "MiB", 15.0);
    let left = start.filter(|_| highest > 0.0).map(|s| s.after_mib / highest);
    at_most("memory 15 s after all load, of the highest", "falls back: ≤ 0.5", left, "×", 0.5);
    let binary = (report.binary_bytes > 0).then_some(report.binary_bytes as f64 / 1e6);
    at_most("the binary", "≤ 25 MB", binary, "MB", 25.0);
    let faster = ratio("saturated", "relay", |f| f.per_second);
    let throughput = faster.map(|measured| Goal {
        what: "requests a second, saturated",
        agreed: "≥ 1.3 × relay",
        measured,
        unit: "×",
        holds: measured >= 1.3,
    });
    if let Some(throughput) = throughput {
        goals.insert(2.min(goals.len()), throughput);
    }
    goals
}

fn cpu(figures: &Figures) -> f64 {
    figures.cpu_us_per_request
}

fn chunk(figures: &Figures) -> f64 {
    figures.cpu_us_per_chunk
}
