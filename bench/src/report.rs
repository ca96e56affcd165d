//! The figures as a table, as JSON and as plots. Pure but for [`Machine::read`] and [`Report::write_docs`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figures::Figures;
use crate::goals::{Goal, goals};
use crate::scenario::{About, Scenario};
use crate::target::Kind;

/// What the run was made on.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor, as the kernel names it.
    pub processor: String,
    /// How many cores mock, load and target shared.
    pub cores: usize,
    /// The kernel.
    pub system: String,
}

impl Machine {
    /// This machine.
    pub fn read() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

/// How a target starts and what it holds.
#[derive(Debug, Serialize)]
pub struct Start {
    /// Its name.
    pub target: &'static str,
    /// Milliseconds from its start to its first good answer.
    pub start_ms: f64,
    /// Resident memory at rest before the load.
    pub idle_mib: f64,
    /// Resident memory fifteen seconds after all load.
    pub after_mib: f64,
}

/// All targets in one scenario.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Which figures matter.
    pub about: About,
    /// The client's format is not the provider's.
    pub converts: bool,
    /// The row whose proxies this one is compared with, where they cannot serve it themselves.
    pub base: Option<&'static str>,
    /// Medians by target, in the order in which they were asked for.
    pub targets: Vec<(&'static str, Figures)>,
}

impl Row {
    /// What was measured of a target.
    pub fn figures(&self, target: &str) -> Option<&Figures> {
        self.targets.iter().find(|(name, _)| *name == target).map(|(_, figures)| figures)
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was made on.
    pub machine: Machine,
    /// Rounds of each scenario; figures are their medians.
    pub rounds: usize,
    /// Seconds of a round.
    pub seconds: f64,
    /// Size of the `myelin` binary.
    pub binary_bytes: u64,
    /// Starts and memory.
    pub starts: Vec<Start>,
    /// One a scenario.
    pub rows: Vec<Row>,
}

/// A column: its head, what it shows of a target, the digits after the point.
type Column = (&'static str, fn(&Figures) -> f64, usize);

/// A plot: its file's name, its title, the rows it shows (of formats or plain), and the figure.
type Plot = (&'static str, &'static str, About, bool, fn(&Figures) -> f64);

const THROUGHPUT: &[Column] = &[
    ("requests/s", |f| f.per_second, 0),
    ("CPU µs/request", |f| f.cpu_us_per_request, 1),
    ("p50 ms", |f| f.p50_ms, 2),
    ("p99 ms", |f| f.p99_ms, 2),
    ("peak MiB", |f| f.peak_mib, 0),
];
const LATENCY: &[Column] = &[
    ("p50 ms", |f| f.p50_ms, 3),
    ("p99 ms", |f| f.p99_ms, 3),
    ("p99.9 ms", |f| f.p999_ms, 3),
    ("first token p50 ms", |f| f.first_token_p50_ms, 3),
    ("CPU µs/request", |f| f.cpu_us_per_request, 1),
];
const CHUNKS: &[Column] = &[
    ("CPU µs/chunk", |f| f.cpu_us_per_chunk, 1),
    ("delay mean ms", |f| f.delay_mean_ms, 3),
    ("delay p99 ms", |f| f.delay_p99_ms, 3),
    ("delay p99.9 ms", |f| f.delay_p999_ms, 2),
    ("first token p50 ms", |f| f.first_token_p50_ms, 2),
];
const MEMORY: &[Column] = &[
    ("KiB/stream", |f| f.kib_per_stream, 1),
    ("peak MiB", |f| f.peak_mib, 0),
    ("CPU µs/chunk", |f| f.cpu_us_per_chunk, 1),
    ("delay p99 ms", |f| f.delay_p99_ms, 2),
];

/// The columns of a scenario, and which of them the ratios compare.
fn columns(about: About) -> (&'static [Column], fn(&Figures) -> f64) {
    match about {
        About::Throughput => (THROUGHPUT, |f| f.cpu_us_per_request),
        About::Latency => (LATENCY, |f| f.p50_ms),
        About::Chunks => (CHUNKS, |f| f.cpu_us_per_chunk),
        About::Memory => (MEMORY, |f| f.kib_per_stream),
    }
}

impl Figures {
    /// One line while the run goes on.
    pub fn line(&self, target: &str) -> String {
        format!(
            "{target:<12} {:>8.0}/s p50 {:.3} p99 {:.3} ms, {:.1} µs/request, {:.1} µs/chunk, delay {:.3} ms, peak {:.0} MiB, others {:.0} %{}",
            self.per_second,
            self.p50_ms,
            self.p99_ms,
            self.cpu_us_per_request,
            self.cpu_us_per_chunk,
            self.delay_mean_ms,
            self.peak_mib,
            self.foreign * 100.0,
            if self.not_ok > 0 { format!(", NOT OK {}", self.not_ok) } else { String::new() }
        )
    }
}

impl Report {
    /// A report without rows.
    pub fn new(machine: Machine, rounds: usize, seconds: f64) -> Self {
        Self { machine, rounds, seconds, binary_bytes: 0, starts: Vec::new(), rows: Vec::new() }
    }

    /// Adds a scenario's rounds.
    pub fn add(&mut self, scenario: &Scenario, targets: &[Kind], rounds: &BTreeMap<&str, Vec<Figures>>) {
        let medians = targets.iter().filter_map(|kind| Some((kind.name(), Figures::median(rounds.get(kind.name())?))));
        self.rows.push(Row {
            scenario: scenario.name,
            what: scenario.what,
            about: scenario.about,
            converts: scenario.converts(),
            base: scenario.base(),
            targets: medians.collect(),
        });
    }

    /// What was measured of a target in a scenario.
    pub fn figures(&self, scenario: &str, target: &str) -> Option<&Figures> {
        self.rows.iter().find(|row| row.scenario == scenario)?.figures(target)
    }

    /// The figures of a proxy that a row is compared with: its own, or those of its base.
    fn compared<'a>(&'a self, row: &'a Row, proxy: Kind) -> Option<&'a Figures> {
        row.figures(proxy.name()).or_else(|| self.figures(row.base?, proxy.name()))
    }

    /// As JSON, indented.
    ///
    /// # Errors
    /// Never in practice: all figures are numbers.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// As Markdown tables, ratios first.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} cores of {}, Linux {}; medians of {} rounds of {} s. Mock, load and target share the cores.\n",
            self.machine.cores, self.machine.processor, self.machine.system, self.rounds, self.seconds
        );
        text.push_str(&self.goals());
        for (about, title, ratio) in [
            (About::Throughput, "Throughput and CPU", "CPU"),
            (About::Latency, "Latency", "p50"),
            (About::Chunks, "Streams", "CPU a chunk"),
            (About::Memory, "Open streams", "memory"),
        ] {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.about == about).collect();
            if rows.is_empty() {
                continue;
            }
            let (columns, compared) = columns(about);
            let _ = write!(text, "\n### {title}\n\n| scenario | target | {ratio} × nginx | {ratio} × relay |");
            columns.iter().for_each(|(head, ..)| text.push_str(&format!(" {head} |")));
            let _ = write!(text, " not ok |\n|---|---|--:|--:|{}--:|\n", "--:|".repeat(columns.len()));
            for row in rows {
                for (name, figures) in &row.targets {
                    let against = |kind: Kind| {
                        let base = self.compared(row, kind).map(compared).filter(|base| *base > 0.0);
                        base.map_or_else(|| "–".to_owned(), |base| format!("{:.2}", compared(figures) / base))
                    };
                    let ratios = if *name == Kind::Direct.name() {
                        ["–".to_owned(), "–".to_owned()]
                    } else {
                        [against(Kind::Nginx), against(Kind::Relay)]
                    };
                    let _ = write!(text, "| {} | {name} | {} |", row.what, ratios.join(" | "));
                    columns
                        .iter()
                        .for_each(|(_, value, digits)| text.push_str(&format!(" {:.*} |", *digits, value(figures))));
                    let _ = writeln!(text, " {} |", figures.not_ok);
                }
            }
        }
        text.push_str("\n### Start and memory\n\n| target | first answer ms | idle MiB | 15 s after all load MiB |\n|---|--:|--:|--:|\n");
        for start in self.starts.iter().filter(|start| start.target != Kind::Direct.name()) {
            let _ = writeln!(
                text,
                "| {} | {:.0} | {:.1} | {:.1} |",
                start.target, start.start_ms, start.idle_mib, start.after_mib
            );
        }
        let _ = writeln!(text, "\nThe `myelin` binary has {:.1} MB.", self.binary_bytes as f64 / 1e6);
        text
    }

    /// What was agreed and what of it holds.
    fn goals(&self) -> String {
        let goals = goals(self);
        if goals.is_empty() {
            return String::new();
        }
        let mut text = "\n### What was agreed\n\n| what | agreed | measured | holds |\n|---|---|--:|---|\n".to_owned();
        for Goal { what, agreed, measured, unit, holds } in goals {
            let digits = if measured >= 10.0 { 1 } else { 2 };
            let measured = format!("{measured:.digits$} {unit}");
            let _ = writeln!(
                text,
                "| {what} | {agreed} | {} | {} |",
                measured.trim(),
                if holds { "yes" } else { "**no**" }
            );
        }
        text
    }

    /// The table of a run of peers, by how much dearer than Myelin they are.
    pub fn peers_table(&self) -> String {
        let mut text = format!(
            "{} cores of {}, Linux {}; medians of {} rounds of {} s. Mock, load and target share the cores.\n\n",
            self.machine.cores, self.machine.processor, self.machine.system, self.rounds, self.seconds
        );
        text.push_str("| scenario | gateway | CPU × myelin | CPU µs/request | CPU µs/chunk | requests/s | p50 ms | added p50 ms | first token p50 ms | peak MiB | not ok |\n");
        text.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        let or_dash = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        for row in &self.rows {
            let chunks = row.about == About::Chunks;
            let cost = |f: &Figures| if chunks { f.cpu_us_per_chunk } else { f.cpu_us_per_request };
            let own = row.figures(Kind::Full.name()).map(cost).filter(|own| *own > 0.0);
            let direct = row.figures(Kind::Direct.name()).map(|f| f.p50_ms);
            for (name, f) in row.targets.iter().filter(|(name, _)| *name != Kind::Direct.name()) {
                let times = own.filter(|_| f.ok > 0).map(|own| cost(f) / own);
                let added = direct.filter(|_| row.about == About::Latency).map(|direct| f.p50_ms - direct);
                let _ = writeln!(
                    text,
                    "| {} | {name} | {} | {} | {} | {:.0} | {:.2} | {} | {} | {:.0} | {} |",
                    row.what,
                    or_dash(times, 1),
                    or_dash(Some(f.cpu_us_per_request).filter(|_| !chunks), 1),
                    or_dash(Some(f.cpu_us_per_chunk).filter(|_| chunks), 1),
                    f.per_second,
                    f.p50_ms,
                    or_dash(added, 3),
                    or_dash(Some(f.first_token_p50_ms).filter(|_| chunks), 2),
                    f.peak_mib,
                    f.not_ok
                );
            }
        }
        text.push_str("\n| gateway | first answer ms | idle MiB |\n|---|--:|--:|\n");
        for start in self.starts.iter().filter(|start| start.target != Kind::Direct.name()) {
            let _ = writeln!(text, "| {} | {:.0} | {:.1} |", start.target, start.start_ms, start.idle_mib);
        }
        text
    }

    /// Writes `performance-peers.json` and the table between its marks of `performance.md`.
    ///
    /// # Errors
    /// When a file cannot be written, or the page has lost its marks.
    pub fn write_peers(&self, folder: &Path) -> Result<()> {
        write(folder, "performance-peers.json", &self.json()?)?;
        fill(folder, "peers", &self.peers_table())
    }

    /// Writes `performance.json`, the tables between the marks of `performance.md`, and the plots below `images/`.
    ///
    /// # Errors
    /// When a file cannot be written, or the page has lost its marks.
    pub fn write_docs(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder.join("images"))?;
        write(folder, "performance.json", &self.json()?)?;
        fill(folder, "figures", &self.table())?;
        let plots: [Plot; 4] = [
            ("cpu", "CPU a request, µs", About::Throughput, false, |f| f.cpu_us_per_request),
            ("chunks", "CPU a chunk, µs", About::Chunks, false, |f| f.cpu_us_per_chunk),
            ("formats", "CPU a request by formats, µs", About::Throughput, true, |f| f.cpu_us_per_request),
            ("formats-chunks", "CPU a chunk by formats, µs", About::Chunks, true, |f| f.cpu_us_per_chunk),
        ];
        for (name, title, about, formats, figure) in plots {
            write(folder, &format!("images/performance-{name}.svg"), &self.bars(title, about, formats, figure))?;
        }
        Ok(())
    }

    /// Bars of one figure: a group a scenario, a bar a target.
    fn bars(&self, title: &str, about: About, formats: bool, figure: fn(&Figures) -> f64) -> String {
        const COLOURS: [(&str, &str); 4] =
            [("nginx", "#8a8f98"), ("relay", "#c9a227"), ("myelin-bare", "#6fb1a0"), ("myelin", "#1f7a63")];
        let rows: Vec<_> = self.rows.iter().filter(|row| row.about == about && row.base.is_some() == formats).collect();
        let (line, left, wide) = (15.0, 250.0, 420.0);
        let mut y = 48.0;
        let mut marks = String::new();
        for row in rows {
            let shown: Vec<_> = COLOURS
                .iter()
                .filter_map(|(name, colour)| {
                    let base = row.base.filter(|_| *name == "nginx");
                    let figures = row.figures(name).or_else(|| self.figures(base?, name))?;
                    Some((*colour, *name, figures))
                })
                .collect();
            let most = shown.iter().map(|(.., figures)| figure(figures)).fold(1e-9, f64::max);
            let _ = writeln!(
                marks,
                "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                left - 10.0,
                y + line * shown.len() as f64 / 2.0 + 4.0,
                row.what
            );
            for (colour, name, figures) in shown {
                let value = figure(figures);
                let _ = writeln!(
                    marks,
                    "<rect x=\"{left}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.0}\">{value:.1} {name}</text>",
                    value / most * wide,
                    line - 3.0,
                    left + value / most * wide + 6.0,
                    y + 10.0
                );
                y += line;
            }
            y += 14.0;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 820 {y:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"11\" fill=\"#667\">\n<title>{title}</title>\n<text x=\"16\" y=\"26\" font-size=\"15\" font-weight=\"600\">{title}</text>\n{marks}</svg>\n"
        )
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Puts a text between the marks `name: begin` and `name: end` of `performance.md`.
fn fill(folder: &Path, name: &str, text: &str) -> Result<()> {
    let page = std::fs::read_to_string(folder.join("performance.md")).context("cannot read performance.md")?;
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let parts = page.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = parts.with_context(|| format!("performance.md has lost its marks of {name}"))?;
    write(folder, "performance.md", &format!("{head}{begin}{text}{end}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::named;

    fn report() -> Report {
        let machine = Machine { processor: "test".into(), cores: 2, system: "6".into() };
        let mut report = Report::new(machine, 1, 1.0);
        let figures = |cpu: f64| {
            vec![Figures { ok: 1, cpu_us_per_request: cpu, per_second: 1_200.0 / cpu, ..Figures::default() }]
        };
        let rounds = BTreeMap::from([("nginx", figures(10.0)), ("relay", figures(20.0)), ("myelin", figures(15.0))]);
        report.add(&named("saturated").unwrap(), &Kind::ALL, &rounds);
        let rounds = BTreeMap::from([("myelin", figures(30.0))]);
        report.add(&named("messages-to-chat").unwrap(), &Kind::ALL, &rounds);
        report
    }

    #[test]
    fn ratios_come_first() {
        let table = report().table();
        assert!(table.contains("| 64 connections, 1 KB bodies | myelin | 1.50 | 0.75 | 80 | 15.0 |"), "{table}");
        assert!(table.contains("| Anthropic in, Chat out | myelin | 3.00 | 1.50 | 40 | 30.0 |"), "{table}");
    }

    #[test]
    fn what_was_agreed_is_held_against_what_was_measured() {
        let table = report().table();
        assert!(table.contains("| CPU of a request, saturated | ≤ 0.75 × relay | 0.75 × | yes |"), "{table}");
        assert!(table.contains("| requests a second, saturated | ≥ 1.3 × relay | 1.33 × | yes |"), "{table}");
    }

    #[test]
    fn the_page_keeps_what_people_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("performance.md");
        std::fs::write(&page, "words\n<!-- figures: begin -->\nformer\n<!-- figures: end -->\nmore\n<!-- peers: begin -->\n<!-- peers: end -->\n").unwrap();
        report().write_docs(folder.path()).unwrap();
        report().write_peers(folder.path()).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("words\n") && text.contains("-->\nmore\n<!--") && !text.contains("former"), "{text}");
        assert!(folder.path().join("images/performance-cpu.svg").exists());
    }
}
