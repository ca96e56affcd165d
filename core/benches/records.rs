//! How fast lists, filters, facets and charts are over millions of records. `cargo xtask bench records [--count N]` runs it.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

#[path = "traffic.rs"]
mod traffic;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use myelin_core::clock::{Clock, SystemClock, TestClock};
use myelin_core::store::{Dimension, MasterKey, Store, UsageQuery};

/// Times that each question is asked.
const ASKED: usize = 40;
const DAYS: u64 = 90;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|own| own == name).and_then(|at| arguments.get(at + 1));
    let count: u64 = value("--count").map_or(Ok(1_000_000), |count| count.parse())?;
    if let Some(dir) = value("--leave") {
        return leave(Path::new(dir), count);
    }
    let dir = tempfile::Builder::new().prefix("myelin-records-").tempdir()?;
    // Where the newest records are: retention counts from there.
    let clock = TestClock::default();
    clock.advance_ms(traffic::END);
    let open = || Store::open(dir.path(), Arc::new(clock.clone()), &MasterKey::KeyFile, Arc::new(|_: &str| true));
    let store = open()?;
    let began = Instant::now();
    traffic::fill(&store, count, traffic::END, DAYS, |done| {
        if done.is_multiple_of(100_000) {
            eprintln!("{done} of {count} records, {:.0} s", began.elapsed().as_secs_f64());
        }
    })?;
    let filled = began.elapsed();
    drop(store);
    let began = Instant::now();
    let store = open()?;
    let opened = began.elapsed();
    let bytes = std::fs::metadata(store.path())?.len();
    println!("| {count} records over {DAYS} days | |\n|---|---|");
    println!("| file | {} MB, {} bytes a record |", bytes / 1_000_000, bytes / count);
    println!("| written | {:.0} records a second |", count as f64 / filled.as_secs_f64());
    println!("| opened | {:.0} ms |", millis(opened));
    println!("| memory after that | {} MiB |\n", resident_mib());
    println!("| question | p50 ms | p95 ms | rows read | pages read |\n|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, filter) in traffic::filters(count, DAYS) {
        ask(&store, name, || {
            let page = runtime.block_on(store.ledger().list(filter.clone(), None, 50))?;
            Ok(page.looked_at)
        })?;
    }
    let month = traffic::month();
    let facets: [(&str, UsageQuery); 2] = [
        ("facets: all, 30 days", month.clone()),
        ("facets: all, one model", UsageQuery { any: vec![(Dimension::Model, vec!["gpt-5".into()])], ..month }),
    ];
    for (name, query) in facets {
        let all = Dimension::ALL.map(|(one, _)| one).to_vec();
        ask(&store, name, || Ok(runtime.block_on(store.ledger().facets(query.clone(), all.clone(), 100))?.looked_at))?;
    }
    for (name, query) in traffic::questions() {
        ask(&store, name, || Ok(runtime.block_on(store.ledger().usage(query.clone()))?.looked_at))?;
    }
    println!("\nMemory after all questions: {} MiB.", resident_mib());
    retire(&store, count)
}

/// Lets half of the records go, and tells how long it took and how much memory.
fn retire(store: &Store, count: u64) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    store.ledger().keep_days(u32::try_from(DAYS / 2)?);
    let (mut most, mut left) = (0, count);
    while left > count / 2 + count / 100 {
        std::thread::sleep(Duration::from_millis(200));
        (most, left) = (most.max(resident_mib()), store.ledger().count()?);
    }
    let took = began.elapsed().as_secs_f64();
    let gone = count - left;
    println!(
        "Retention: {gone} records went in {took:.0} s, {:.0} a second, with {most} MiB at most.",
        gone as f64 / took
    );
    Ok(())
}

/// Fills a store that stays, up to the present: what a gateway can then be started on.
fn leave(dir: &Path, count: u64) -> Result<(), Box<dyn Error>> {
    let clock = SystemClock::new();
    let now = clock.unix_ms();
    let store = Store::open(dir, Arc::new(clock), &MasterKey::KeyFile, Arc::new(|_: &str| true))?;
    traffic::fill(&store, count, now, DAYS, |done| {
        if done.is_multiple_of(100_000) {
            eprintln!("{done} of {count} records");
        }
    })
}

fn ask(
    store: &Store,
    name: &str,
    mut work: impl FnMut() -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::with_capacity(ASKED);
    let (mut read, pages) = (0, store.ledger().pages_read());
    for _ in 0..ASKED {
        let began = Instant::now();
        read = work()?;
        times.push(began.elapsed());
    }
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let pages = (store.ledger().pages_read() - pages) / ASKED as u64;
    println!("| {name} | {:.1} | {:.1} | {read} | {pages} |", millis(at(50)), millis(at(95)));
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Memory of this process, where the system tells.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1_024
}
