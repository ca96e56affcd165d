//! Reads what the clients' scripts tell (`@case ok|fail|skip NAME<TAB>WHY`), counts, and says the outcome.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// Outcomes of all cases so far.
pub(super) struct Report {
    verbose: bool,
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    pub(super) fn new(verbose: bool) -> Self {
        Self { verbose, passed: 0, failed: Vec::new(), skipped: Vec::new() }
    }

    /// Something that could not be run here, and why.
    pub(super) fn skipped(&mut self, name: &str, why: &str) {
        eprintln!("SKIP {name}: {why}");
        self.skipped.push(format!("{name}: {why}"));
    }

    /// Runs one script and counts its cases. A script that ends badly or too late is a failed case of its own.
    pub(super) fn run(&mut self, name: &str, command: &mut Command, limit: Duration) -> Result<()> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().context("no output to read")?;
        let reading = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().context("no output to read")?;
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });

        let before = self.passed + self.failed.len() + self.skipped.len();
        let (late, took) = process::timed(|| self.follow(&lines, limit));
        if late {
            let _ = child.kill();
        }
        let status = child.wait().context("cannot wait for a client")?;
        let _ = reading.join();
        let complaints = complaints.join().unwrap_or_default();
        if late {
            self.failed(&format!("{name}: not done after {}", process::human(limit)));
        } else if !status.success() {
            let tail: Vec<&str> = complaints.lines().rev().take(12).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            self.failed(&format!("{name}: ended with {status}\n{}", tail.join("\n")));
        }
        let cases = self.passed + self.failed.len() + self.skipped.len() - before;
        eprintln!("  {cases} cases in {}", process::human(took));
        Ok(())
    }

    /// Takes lines until the script closes its output; `true` if that took too long.
    fn follow(&mut self, lines: &mpsc::Receiver<String>, limit: Duration) -> bool {
        // No line for a whole limit, rather than a limit on all: one case has its own limits inside the scripts.
        loop {
            match lines.recv_timeout(limit) {
                Ok(line) => self.line(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(mpsc::RecvTimeoutError::Timeout) => return true,
            }
        }
    }

    fn line(&mut self, line: &str) {
        let Some((outcome, name, why)) = case(line) else {
            if self.verbose {
                eprintln!("  {line}");
            }
            return;
        };
        match outcome {
            "ok" => {
                self.passed += 1;
                if self.verbose || !why.is_empty() {
                    eprintln!("  ok {name} {why}");
                }
            }
            "skip" => self.skipped(name, why),
            _ => self.failed(&format!("{name}: {why}")),
        }
    }

    fn failed(&mut self, what: &str) {
        eprintln!("  FAIL {what}");
        self.failed.push(what.to_owned());
    }

    /// Says the sum on a line that tools read; fails if a case failed, or was skipped where nothing may be.
    pub(super) fn finish(self) -> Result<()> {
        if !self.failed.is_empty() {
            eprintln!("\nfailed cases:");
            self.failed.iter().for_each(|failed| eprintln!("  {failed}"));
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len());
        if !self.failed.is_empty() {
            bail!("{} cases of real clients failed", self.failed.len());
        }
        if self.passed == 0 {
            bail!("no case of a real client ran");
        }
        if process::is_ci() && !self.skipped.is_empty() {
            bail!("skipped, which CI does not accept: {}", self.skipped.join("; "));
        }
        Ok(())
    }
}

/// Takes a line of a script apart: outcome, name, reason.
fn case(line: &str) -> Option<(&str, &str, &str)> {
    let rest = line.strip_prefix("@case ")?;
    let (head, why) = rest.split_once('\t').unwrap_or((rest, ""));
    let (outcome, name) = head.split_once(' ')?;
    Some((outcome, name, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_scripts_are_counted_by_outcome() {
        let mut report = Report::new(false);
        for line in
            ["@case ok a/b/c", "noise", "@case fail d\twhy not", "@case skip e\tnot here", "@case ok f\tslow: 6s"]
        {
            report.line(line);
        }
        assert_eq!(
            (report.passed, report.failed.as_slice(), report.skipped.len()),
            (2, ["d: why not".to_owned()].as_slice(), 1)
        );
        assert!(report.finish().is_err());
    }

    #[test]
    fn a_script_that_dies_is_a_failure_with_its_last_words() {
        let mut report = Report::new(false);
        let mut dying = process::command("rustc");
        dying.arg("--no-such-flag");
        report.run("dying", &mut dying, Duration::from_secs(20)).unwrap();
        assert!(report.failed[0].contains("no-such-flag"), "{:?}", report.failed);
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(Report::new(false).finish().is_err());
    }
}
