//! Damaged traffic: what the fuzz targets run, over seeded mutations of recorded traffic and of our own cases, for a bounded number of rounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use myelin_protocol::ApiFormat;

use crate::support::apis;
use crate::support::findings::Findings;
use crate::support::fixtures::cases;
use crate::support::golden;
use crate::support::splits::Seed;

#[path = "../../fuzz/entries.rs"]
mod entries;

/// Pieces of traffic that decoders have stumbled over elsewhere.
const NASTY: [&str; 16] = [
    "null",
    "18446744073709551616",
    "-1",
    "1e999",
    "\"\"",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[[[[[",
    "\\u0000",
    "\\ud800",
    "\n\n",
    "\r",
    "data:",
    "event: error\n",
    "{\"error\":{}}",
    "99999999",
];

fn mutate(bytes: &mut Vec<u8>, seed: &mut Seed, other: &[u8]) {
    for _ in 0..=seed.below(3) {
        let at = seed.below(bytes.len() + 1);
        let length = seed.below(64).min(bytes.len() - at);
        match seed.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy);
            }
            3 if at < bytes.len() => bytes[at] = seed.next() as u8,
            4 => drop(bytes.splice(at..at + length.min(4), NASTY[seed.below(NASTY.len())].bytes())),
            5 => {
                let from = seed.below(other.len() + 1);
                let piece = &other[from..(from + 200).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => replace_value(bytes, at, seed),
        }
    }
}

/// Puts something nasty in place of the value after the next colon.
fn replace_value(bytes: &mut Vec<u8>, at: usize, seed: &mut Seed) {
    let Some(colon) = bytes[at..].iter().position(|byte| *byte == b':') else { return };
    let start = at + colon + 1;
    let end =
        bytes[start..].iter().position(|byte| b",}\n".contains(byte)).map_or(bytes.len(), |length| start + length);
    bytes.splice(start..end, NASTY[seed.below(NASTY.len())].bytes());
}

/// The index of a format, and what it says.
type Traffic = (u8, Vec<u8>);

/// Traffic to damage: streams, and bodies of requests and answers.
fn corpus() -> (Vec<Traffic>, Vec<Traffic>) {
    let (mut streams, mut bodies) = (Vec::new(), Vec::new());
    for stream in apis::streams() {
        streams.push((stream.format as u8, stream.bytes));
    }
    for case in cases(&[]) {
        let Some(format) = apis::format(&case).filter(|format| apis::is_there(*format)) else { continue };
        bodies.extend(case.request().map(|body| (format as u8, body)));
        bodies.extend(case.response().map(|(body, _)| (format as u8, body)));
    }
    for case in golden::cases().into_iter().filter(|case| apis::is_there(case.format)) {
        let format = case.format as u8;
        bodies.extend([&case.request, &case.response].into_iter().flatten().map(|body| (format, body.clone())));
        streams.extend(case.stream.iter().map(|body| (format, body.clone())));
    }
    (streams, bodies)
}

/// Requests and answers of the recorded surfaces that are no conversations: vectors, counters, lists.
fn side_bodies() -> Vec<Traffic> {
    let beside = cases(&[]).into_iter().filter(|case| apis::format(case).is_none());
    let bodies = beside.flat_map(|case| [case.request(), case.response().map(|(body, _)| body)]);
    // Which codec reads it is chosen by the index: any may get any.
    bodies.flatten().enumerate().map(|(index, body)| (index as u8, body)).collect()
}

fn built(format: u8) -> u8 {
    let there: Vec<u8> = ApiFormat::ALL.into_iter().filter(|format| apis::is_there(*format)).map(|f| f as u8).collect();
    there[usize::from(format) % there.len()]
}

fn run(rounds: usize, traffic: &[Traffic], entry: fn(&[u8]), head: fn(u8, &mut Seed) -> Vec<u8>) {
    if traffic.is_empty() {
        return;
    }
    let mut findings = Findings::default();
    let mut seed = Seed::new(6935);
    for round in 0..rounds {
        let (format, bytes) = &traffic[seed.below(traffic.len())];
        let mut bytes = bytes.clone();
        // Large cases take long and break like small ones.
        bytes.truncate(24 * 1024);
        let (_, other) = &traffic[seed.below(traffic.len())];
        mutate(&mut bytes, &mut seed, other);
        let mut input = head(*format, &mut seed);
        input.extend_from_slice(&bytes);
        let outcome = catch_unwind(AssertUnwindSafe(|| entry(&input)));
        findings.take(outcome.map_err(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or(panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default();
            format!("round {round}: {words}\n      {}", String::from_utf8_lossy(&input[..input.len().min(1500)]))
        }));
    }
    findings.report();
}

#[test]
fn damaged_streams_break_nothing() {
    let (streams, _) = corpus();
    run(1_500, &streams, entries::streams, |format, seed| vec![format, built(seed.next() as u8), seed.next() as u8]);
}

#[test]
fn damaged_bodies_break_nothing() {
    let (_, bodies) = corpus();
    run(3_000, &bodies, entries::bodies, |format, seed| vec![format, built(seed.next() as u8)]);
}

#[test]
fn damaged_vectors_counters_and_stored_answers_break_nothing() {
    let (_, mut bodies) = corpus();
    bodies.extend(side_bodies());
    run(2_000, &bodies, entries::sides, |format, seed| vec![format, seed.next() as u8]);
}

#[test]
fn damaged_frames_are_the_same_at_every_split() {
    let (streams, _) = corpus();
    run(1_000, &streams, entries::framings, |_, seed| vec![seed.next() as u8]);
}

#[test]
fn damaged_envelopes_are_judged_alike_whole_and_in_pieces() {
    let (_, bodies) = corpus();
    run(3_000, &bodies, entries::envelope, |_, seed| vec![seed.next() as u8]);
}

/// Real traffic to start the fuzz targets from, where `cargo fuzz run` looks for it: `cargo test -p myelin-protocol --test it seeds -- --ignored`.
#[test]
#[ignore = "writes files, for the fuzz targets only"]
fn seeds_for_the_fuzz_targets_are_written() {
    let (streams, bodies) = corpus();
    let sides = side_bodies();
    let targets: [(&str, &[Traffic], usize); 5] = [
        ("streams", &streams, 3),
        ("framings", &streams, 1),
        ("bodies", &bodies, 2),
        ("envelope", &bodies, 1),
        ("sides", &sides, 2),
    ];
    for (target, traffic, head) in targets {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (index, (format, bytes)) in traffic.iter().enumerate().filter(|(_, (_, bytes))| bytes.len() < 16 * 1024) {
            let mut input = vec![*format, built(index as u8), index as u8];
            // A target with one byte of head is told a size, and no format.
            input.drain(..3 - head);
            input.extend_from_slice(bytes);
            std::fs::write(folder.join(format!("seed-{index:04}")), input).unwrap();
        }
    }
}

#[test]
fn nesting_of_any_depth_breaks_nothing() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let nests = [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(20_000)];
    let (streams, bodies) = corpus();
    let mut seed = Seed::new(20_000);
    // A stream is told the size of its pieces, too.
    for (traffic, entry, head) in [(bodies, entries::bodies as fn(&[u8]), 0), (streams, entries::streams, 1)] {
        for round in 0..traffic.len().min(150) {
            let (format, bytes) = &traffic[seed.below(traffic.len())];
            let mut bytes = bytes[..bytes.len().min(8 * 1024)].to_vec();
            let Some(colon) = bytes.iter().skip(seed.below(bytes.len())).position(|byte| *byte == b':') else {
                continue;
            };
            bytes.splice(colon + 1..colon + 1, nests[round % nests.len()].bytes().chain([b',']));
            let mut input = vec![*format, built(seed.next() as u8)];
            input.extend(vec![255; head]);
            input.extend_from_slice(&bytes);
            entry(&input);
        }
    }
}
