//! CPU time and memory of a process and its children, read from `/proc`. Elsewhere than on Linux nothing is known.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// CPU time of the process tree in microseconds, as exact as the kernel tells: nanoseconds a thread.
pub fn cpu_us(root: u32) -> f64 {
    let nanoseconds: u64 = tree(root).into_iter().flat_map(threads).map(|path| run_ns(&path)).sum();
    nanoseconds as f64 / 1e3
}

/// Resident memory of the process tree in KiB: now, and its peak since [`reset_peak`].
pub fn memory_kib(root: u32) -> (u64, u64) {
    let mut sum = (0, 0);
    for pid in tree(root) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.0 += field_kib(&status, "VmRSS:");
        sum.1 += field_kib(&status, "VmHWM:");
    }
    sum
}

/// Lets the peak begin anew.
pub fn reset_peak(root: u32) {
    for pid in tree(root) {
        // Not ours, or gone: the peak then stays that of its life.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// Busy time of the whole machine in microseconds.
pub fn machine_busy_us() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|number| number.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; a tick is 10 ms.
    let busy: f64 = ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, t)| t).sum();
    busy * 10_000.0
}

/// How many sockets and files a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The process and all that descend from it.
fn tree(root: u32) -> Vec<u32> {
    let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = parent(&entry.path()) {
            parents.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(parents.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found
}

fn parent(process: &Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name in brackets may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn threads(pid: u32) -> Vec<std::path::PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn run_ns(thread: &Path) -> u64 {
    let schedstat = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    schedstat.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn field_kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_use_is_seen() {
        let pid = std::process::id();
        let before = cpu_us(pid);
        let mut sum = 0_u64;
        while cpu_us(pid) - before < 5_000.0 {
            sum = sum.wrapping_add(1);
        }
        let (now, peak) = memory_kib(pid);
        assert!(now > 500 && peak >= now, "{now} {peak} {sum}");
        assert!(open_files(pid) >= 3);
        assert!(machine_busy_us() > 0.0);
    }
}
