//! The figures as a table, as JSON and as plots. Pure but for [`Machine::read`] and [`Report::write_docs`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figures::Figures;
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
    /// Medians by target, in the order of [`Kind::ALL`].
    pub targets: Vec<(&'static str, Figures)>,
}

impl Row {
    fn of(&self, target: Kind) -> Option<&Figures> {
        self.targets.iter().find(|(name, _)| *name == target.name()).map(|(_, figures)| figures)
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
            targets: medians.collect(),
        });
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
                        let base = row.of(kind).map(compared).filter(|base| *base > 0.0);
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
        let _ = writeln!(text, "\nThe `myelin` binary has {:.1} MiB.", self.binary_bytes as f64 / f64::from(1 << 20));
        text
    }

    /// Writes `performance.json`, the tables between the marks of `performance.md`, and the plots below `images/`.
    ///
    /// # Errors
    /// When a file cannot be written, or the page has lost its marks.
    pub fn write_docs(&self, folder: &Path) -> Result<()> {
        const BEGIN: &str = "<!-- figures: begin -->\n";
        const END: &str = "<!-- figures: end -->";
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
        };
        std::fs::create_dir_all(folder.join("images"))?;
        write("performance.json", &self.json()?)?;
        let page = std::fs::read_to_string(folder.join("performance.md")).context("cannot read performance.md")?;
        let (head, rest) = page.split_once(BEGIN).context("performance.md has lost its marks")?;
        let (_, tail) = rest.split_once(END).context("performance.md has lost its marks")?;
        write("performance.md", &format!("{head}{BEGIN}{}{END}{tail}", self.table()))?;
        write(
            "images/performance-cpu.svg",
            &self.bars("CPU a request, µs", About::Throughput, |f| f.cpu_us_per_request),
        )?;
        write("images/performance-chunks.svg", &self.bars("CPU a chunk, µs", About::Chunks, |f| f.cpu_us_per_chunk))
    }

    /// Bars of one figure: a group a scenario, a bar a target.
    fn bars(&self, title: &str, about: About, figure: fn(&Figures) -> f64) -> String {
        const COLOURS: [(&str, &str); 4] =
            [("nginx", "#8a8f98"), ("relay", "#c9a227"), ("myelin-bare", "#6fb1a0"), ("myelin", "#1f7a63")];
        let rows: Vec<_> = self.rows.iter().filter(|row| row.about == about).collect();
        let (line, left, wide) = (15.0, 250.0, 420.0);
        let mut y = 48.0;
        let mut marks = String::new();
        for row in rows {
            let shown: Vec<_> = COLOURS
                .iter()
                .filter_map(|(name, colour)| Some((*colour, row.targets.iter().find(|(own, _)| own == name)?)))
                .collect();
            let most = shown.iter().map(|(_, (_, figures))| figure(figures)).fold(1e-9, f64::max);
            let _ = writeln!(
                marks,
                "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                left - 10.0,
                y + line * shown.len() as f64 / 2.0 + 4.0,
                row.what
            );
            for (colour, (name, figures)) in shown {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    fn report() -> Report {
        let machine = Machine { processor: "test".into(), cores: 2, system: "6".into() };
        let mut report = Report::new(machine, 1, 1.0);
        let figures = |cpu: f64| vec![Figures { ok: 1, cpu_us_per_request: cpu, ..Figures::default() }];
        let rounds = BTreeMap::from([("nginx", figures(10.0)), ("relay", figures(20.0)), ("myelin", figures(15.0))]);
        let saturated = SCENARIOS.into_iter().find(|scenario| scenario.name == "saturated").unwrap();
        report.add(&saturated, &Kind::ALL, &rounds);
        report
    }

    #[test]
    fn ratios_come_first() {
        let table = report().table();
        assert!(table.contains("| 64 connections, 1 KB bodies | myelin | 1.50 | 0.75 | 0 | 15.0 |"), "{table}");
    }

    #[test]
    fn the_page_keeps_what_people_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("performance.md");
        std::fs::write(&page, "words\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nmore\n").unwrap();
        report().write_docs(folder.path()).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.starts_with("words\n") && text.ends_with("\nmore\n") && !text.contains("old"), "{text}");
        assert!(folder.path().join("images/performance-cpu.svg").exists());
    }
}
