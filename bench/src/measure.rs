//! One round: a target under one kind of load, with what it used of the machine meanwhile.

use crate::figures::Figures;
use crate::load::press;
use crate::scenario::{About, Scenario};
use crate::shape::ask;
use crate::target::Running;
use crate::{now_ns, process};

/// Warms a target up, presses on it for about so many seconds, and says what that took. What a wrong answer said goes to stderr.
pub async fn round(target: &Running, scenario: &Scenario, seconds: f64) -> Figures {
    let ask = ask(scenario.format, scenario.shape, scenario.body);
    if scenario.about != About::Memory {
        let mut warm_up = scenario.pressure(0.3);
        warm_up.requests = Some(warm_up.requests.map_or(2_000, |_| 0));
        press(&target.whom, &ask, warm_up).await;
    }
    let pid = target.pid();
    if let Some(pid) = pid {
        process::reset_peak(pid);
    }
    let cpu = || pid.map_or(0.0, process::cpu_us);
    let own = std::process::id();
    let before = (cpu(), process::cpu_us(own), process::machine_busy_us(), now_ns());
    let tally = press(&target.whom, &ask, scenario.pressure(seconds)).await;
    let used = cpu() - before.0;
    let peak = pid.map_or(0, |pid| process::memory_kib(pid).1);
    // `own` counts the target too: it is our child.
    let ours = process::cpu_us(own) - before.1;
    let elapsed_us = (now_ns() - before.3) as f64 / 1e3;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let foreign = ((process::machine_busy_us() - before.2 - ours) / (elapsed_us * cores)).max(0.0);
    if let Some(sample) = &tally.sample {
        eprintln!("  a wrong answer of {}: {sample}", target.kind.name());
    }
    let mut figures = Figures::of(&tally, used, peak, foreign);
    if scenario.about == About::Memory {
        figures.kib_per_stream = peak.saturating_sub(target.idle_kib) as f64 / scenario.connections as f64;
    }
    figures
}
