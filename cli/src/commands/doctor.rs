//! `myelin doctor`: looks for what is wrong or weak.

use anyhow::bail;
use myelin_core::config::Paths;
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::Carrier;
use crate::commands::config;
use crate::output::{self, list, plain, text};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Weak,
    Bad,
}

struct Finding {
    grade: Grade,
    what: String,
}

/// Looks, and fails if something is bad.
pub(crate) fn run(place: &Place) -> anyhow::Result<()> {
    let running = Carrier::running(place)?;
    let mut findings = Vec::new();
    let carrier = match running {
        Some(carrier) => {
            findings.push(Finding { grade: Grade::Good, what: "the gateway runs and answers".to_owned() });
            carrier
        }
        None => {
            findings.push(Finding {
                grade: Grade::Weak,
                what: format!("no gateway is running: {} starts it", crate::whose::starter(place)),
            });
            Carrier::open(place)?
        }
    };
    let status = carrier.get("/api/v1/status")?;
    let channels = carrier.get("/api/v1/channels")?;
    examine(&status, &channels, &mut findings);
    configuration(&status, &mut findings)?;
    permissions(&carrier, &mut findings);
    report(place, &findings)
}

fn examine(status: &Value, channels: &Value, findings: &mut Vec<Finding>) {
    let mut find = |grade, what: String| findings.push(Finding { grade, what });
    if status.pointer("/key_file") == Some(&json!(true)) {
        find(
            Grade::Weak,
            "provider secrets are sealed with a key file beside the store: who copies the folder has both; name a master_key".to_owned(),
        );
    }
    if status.pointer("/ledger/failing") == Some(&json!(true)) {
        find(Grade::Bad, format!("records cannot be written: {}", text(status, "/ledger/last_error")));
    }
    match status.pointer("/ledger/lost").and_then(Value::as_u64) {
        Some(lost) if lost > 0 => find(Grade::Bad, format!("{lost} records were lost since the start")),
        _ => find(Grade::Good, "no record was lost".to_owned()),
    }
    for problem in list(status, "/problems") {
        find(Grade::Weak, format!("{}: {}", text(problem, "/path"), text(problem, "/message")));
    }
    let all = list(channels, "/channels");
    if !all.iter().any(|channel| channel.pointer("/enabled") == Some(&json!(true))) {
        find(
            Grade::Weak,
            "no channel takes part: only the model echo answers; `myelin channel add` adds one".to_owned(),
        );
    }
    for channel in all {
        if text(channel, "/state/is") == "failing" {
            find(
                Grade::Bad,
                format!("the last test of {} failed: {}", text(channel, "/name"), text(channel, "/state/why")),
            );
        }
    }
}

/// A gateway that runs keeps what it read before its file went wrong, and so the mistake shows nowhere else.
fn configuration(status: &Value, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let Some(file) = status.pointer("/config").and_then(Value::as_str) else { return Ok(()) };
    let paths = Paths::find(Some(file.into()), None)?;
    let (problems, sound) = config::problems(&paths);
    if sound {
        findings.push(Finding { grade: Grade::Good, what: format!("{file} is sound") });
        return Ok(());
    }
    let errors = problems.iter().filter(|problem| problem.is_error());
    findings.extend(errors.map(|problem| Finding { grade: Grade::Bad, what: format!("{file}: {problem}") }));
    Ok(())
}

/// The data directory is for its owner alone.
#[cfg(unix)]
fn permissions(carrier: &Carrier, findings: &mut Vec<Finding>) {
    use std::os::unix::fs::PermissionsExt as _;
    let data = &carrier.paths().data;
    match std::fs::metadata(data) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            findings.push(Finding { grade: Grade::Bad, what: format!("others can look into {}", data.display()) });
        }
        Ok(_) => {
            findings.push(Finding { grade: Grade::Good, what: "the data directory is closed to others".to_owned() })
        }
        Err(why) => findings.push(Finding { grade: Grade::Bad, what: format!("{}: {why}", data.display()) }),
    }
}

#[cfg(not(unix))]
fn permissions(_: &Carrier, _: &mut Vec<Finding>) {}

fn report(place: &Place, findings: &[Finding]) -> anyhow::Result<()> {
    let word = |grade| match grade {
        Grade::Good => "good",
        Grade::Weak => "weak",
        Grade::Bad => "bad",
    };
    if place.json {
        let findings: Vec<Value> = findings.iter().map(|f| json!({"grade": word(f.grade), "what": f.what})).collect();
        output::json(&json!({"findings": findings}))?;
    } else {
        for finding in findings {
            output::line(&format!("{:<6}{}", word(finding.grade), plain(&finding.what)))?;
        }
    }
    match findings.iter().filter(|finding| finding.grade == Grade::Bad).count() {
        0 => Ok(()),
        bad => bail!("{bad} of these should be mended"),
    }
}
