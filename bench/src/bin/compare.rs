//! `bench-compare`: every target under every scenario, side by side in one run. `cargo xtask bench` builds what it needs and starts it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use myelin_bench::figures::Figures;
use myelin_bench::measure::round;
use myelin_bench::peers::Peer;
use myelin_bench::report::{Machine, Report, Start};
use myelin_bench::scenario::{About, Scenario, named, peer_scenarios, scenarios};
use myelin_bench::target::{Kind, Programs, Running};
use myelin_bench::{mock, process};

/// A round in which others took more of the machine than this is measured again.
const FOREIGN: f64 = 0.12;
/// How often a spoiled round is measured again before it is taken as it is.
const AGAIN: usize = 2;
/// So many spoiled rounds are measured again in the whole run: on a machine that is never quiet it must end too.
const AGAIN_IN_ALL: usize = 60;
/// How long memory gets to fall back when all load is over.
const REST: Duration = Duration::from_secs(15);

/// What was asked for on the command line.
struct Wish {
    programs: Programs,
    rounds: usize,
    seconds: f64,
    scenarios: Vec<Scenario>,
    targets: Vec<Kind>,
    /// Other gateways are measured, not proxies.
    peers: bool,
    /// How many spoiled rounds may be measured again.
    again: usize,
    json: Option<PathBuf>,
    docs: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let wish = wish(std::env::args().skip(1), scratch.path().to_owned())?;
    let mock = mock::start().await?;
    let mut report = Report::new(Machine::read(), wish.rounds, wish.seconds);
    report.binary_bytes = std::fs::metadata(&wish.programs.myelin).map_or(0, |file| file.len());

    let mut running = Vec::new();
    for &kind in &wish.targets {
        let target = match Running::start(kind, mock, &wish.programs).await {
            Ok(target) => target,
            // One that is not installed, or does not start, leaves the others.
            Err(error) if matches!(kind, Kind::Other(_)) => {
                eprintln!("{} is left out: {error:#}", kind.name());
                continue;
            }
            Err(error) => return Err(error),
        };
        report.starts.push(Start {
            target: kind.name(),
            start_ms: target.start_ms,
            idle_mib: target.idle_kib as f64 / 1024.0,
            after_mib: 0.0,
        });
        running.push(target);
    }
    let mut again = wish.again;
    for scenario in &wish.scenarios {
        eprintln!("{}: {}", scenario.name, scenario.what);
        let mut rounds: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
        for round in 0..wish.rounds {
            for place in 0..running.len() {
                let Some(target) = running.get((place + round) % running.len()) else { continue };
                if !target.kind.serves(scenario) {
                    continue;
                }
                let figures = if scenario.about == About::Memory {
                    // Memory of open streams is counted from a fresh start.
                    let fresh = Running::start(target.kind, mock, &wish.programs).await?;
                    let figures = quiet(&fresh, scenario, wish.seconds, &mut again).await;
                    fresh.stop().await;
                    figures
                } else {
                    quiet(target, scenario, wish.seconds, &mut again).await
                };
                eprintln!("  {}", figures.line(target.kind.name()));
                rounds.entry(target.kind.name()).or_default().push(figures);
            }
        }
        report.add(scenario, &wish.targets, &rounds);
    }
    tokio::time::sleep(REST).await;
    for (start, target) in report.starts.iter_mut().zip(&running) {
        start.after_mib = target.pid().map_or(0.0, |pid| process::memory_kib(pid).0 as f64 / 1024.0);
    }
    for target in running {
        target.stop().await;
    }
    print!("{}", if wish.peers { report.peers_table() } else { report.table() });
    if let Some(file) = &wish.json {
        std::fs::write(file, report.json()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(folder) = &wish.docs {
        if wish.peers { report.write_peers(folder)? } else { report.write_docs(folder)? }
    }
    Ok(())
}

/// One round, again if others took too much of the machine.
async fn quiet(target: &Running, scenario: &Scenario, seconds: f64, again: &mut usize) -> Figures {
    let mut best = round(target, scenario, seconds).await;
    // What somebody else's gateway gets wrong is what it is.
    let own = !matches!(target.kind, Kind::Other(_));
    for _ in 0..AGAIN {
        if *again == 0 || best.foreign <= FOREIGN && (best.not_ok == 0 || !own) {
            break;
        }
        *again -= 1;
        let next = round(target, scenario, seconds).await;
        if (next.not_ok, next.foreign) < (best.not_ok, best.foreign) {
            best = next;
        }
    }
    best
}

fn wish(words: impl Iterator<Item = String>, scratch: PathBuf) -> Result<Wish> {
    let mut words = words.peekable();
    let mut wish = Wish {
        programs: Programs { myelin: "myelin".into(), relay: "bench-relay".into(), peers: PathBuf::new(), scratch },
        rounds: 3,
        seconds: 2.0,
        scenarios: scenarios(),
        targets: Kind::ALL.to_vec(),
        peers: false,
        again: AGAIN_IN_ALL,
        json: None,
        docs: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--myelin" => wish.programs.myelin = value()?.into(),
            "--relay" => wish.programs.relay = value()?.into(),
            "--rounds" => wish.rounds = value()?.parse().context("--rounds takes a number")?,
            "--seconds" => wish.seconds = value()?.parse().context("--seconds takes a number")?,
            // For a first look on a machine that is not quiet.
            "--as-it-is" => wish.again = 0,
            "--json" => wish.json = Some(value()?.into()),
            "--docs" => wish.docs = Some(value()?.into()),
            "--only" => {
                let names = value()?;
                let one = |name: &str| {
                    named(name).with_context(|| {
                        let known: Vec<_> = scenarios().iter().map(|scenario| scenario.name).collect();
                        format!("no scenario {name:?}; there are {}", known.join(", "))
                    })
                };
                wish.scenarios = names.split(',').map(one).collect::<Result<_>>()?;
            }
            "--targets" => {
                let names = value()?;
                let one = |name: &str| {
                    Kind::named(name).with_context(|| {
                        let known = Kind::ALL.into_iter().chain(Peer::ALL.map(Kind::Other)).map(Kind::name);
                        format!("no target {name:?}; there are {}", known.collect::<Vec<_>>().join(", "))
                    })
                };
                wish.targets = names.split(',').map(one).collect::<Result<_>>()?;
            }
            "--peers" => {
                wish.programs.peers = value()?.into();
                wish.peers = true;
                wish.scenarios = peer_scenarios();
                wish.targets = [Kind::Direct, Kind::Full].into_iter().chain(Peer::ALL.map(Kind::Other)).collect();
            }
            other => bail!("unknown argument {other:?}"),
        }
    }
    Ok(wish)
}
