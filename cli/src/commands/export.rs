//! `myelin export`: request records as a file for other programs.

use std::fs;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use http::Method;
use serde_json::json;

use super::logs::Filter;
use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, moment};

/// Request records as a file for other programs, newest first.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The file; otherwise the records go to the standard output. Its ending tells the format.
    file: Option<PathBuf>,
    /// How they are written.
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    shape: Option<Format>,
    /// From this day or moment on: 2026-01-31, 2026-01-31T12:00:00Z, or so long ago: 12h, 30d.
    #[arg(long)]
    from: Option<String>,
    /// Before this day or moment.
    #[arg(long)]
    to: Option<String>,
    /// Only those that hold this text.
    #[arg(long)]
    search: Option<String>,
    /// Kept bodies too; JSON lines only.
    #[arg(long)]
    bodies: bool,
    #[command(flatten)]
    filter: Filter,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line for each, a head line first.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet, for DuckDB, pandas, Spark.
    Parquet,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    fn of(file: &Path) -> Option<Self> {
        let ending = file.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "ndjson" | "json" => Some(Self::Jsonl),
            ending => [Self::Csv, Self::Jsonl, Self::Parquet].into_iter().find(|own| own.word() == ending),
        }
    }
}

/// Does it.
pub(crate) fn run(place: &Place, export: &Export) -> anyhow::Result<()> {
    let format = match (export.shape, &export.file) {
        (Some(format), _) => format,
        (None, Some(file)) => Format::of(file).with_context(|| {
            format!("{} does not end in .csv, .jsonl or .parquet: --as says what it is to be", file.display())
        })?,
        (None, None) if export.bodies => Format::Jsonl,
        (None, None) => Format::Csv,
    };
    if export.file.is_none() && format == Format::Parquet && io::stdout().is_terminal() {
        bail!("Parquet is nothing to look at: name a file");
    }
    if export.bodies && format != Format::Jsonl {
        bail!("--bodies goes with JSON lines only: name a file that ends in .jsonl, or say --as jsonl");
    }
    // `format` is the file's here.
    let filter = export.filter.query()?.replace("&format=", "&client_format=");
    let mut query = format!("format={}{filter}", format.word());
    for (name, value) in [("since", &export.from), ("until", &export.to)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", moment(value)?));
        }
    }
    if let Some(search) = &export.search {
        query.push_str(&format!("&q={}", segment(search)));
    }
    if export.bodies {
        query.push_str("&with_bodies=true");
    }
    let carrier = Carrier::open(place)?;
    let address = format!("/api/v1/requests/export?{query}");
    let Some(file) = &export.file else {
        let mut out = BufWriter::new(io::stdout().lock());
        return match carrier.download(&Method::GET, &address, None, &mut out) {
            Err(why) if why.downcast_ref::<io::Error>().is_some_and(|why| why.kind() == io::ErrorKind::BrokenPipe) => {
                Ok(())
            }
            done => done.map(drop),
        };
    };
    let written = whole_file(file, false, |out| carrier.download(&Method::GET, &address, None, out))?;
    let file = file.display().to_string();
    if place.json {
        return output::json(&json!({"file": file, "bytes": written}));
    }
    output::line(&format!("{file}: {written} bytes"))
}

/// Writes a file under another name first: what breaks off leaves nothing that looks whole. `private`: for the owner only.
pub(super) fn whole_file(
    file: &Path,
    private: bool,
    write: impl FnOnce(&mut dyn io::Write) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
    let part = file.with_file_name(format!("{}.part", name.to_string_lossy()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let opened = options.open(&part).with_context(|| format!("cannot write {}", part.display()))?;
    let mut out = BufWriter::new(opened);
    let done = write(&mut out).and_then(|written| {
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(written)
    });
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_tells_its_format() {
        for (name, format) in [
            ("a.csv", Some(Format::Csv)),
            ("a.JSONL", Some(Format::Jsonl)),
            ("a.ndjson", Some(Format::Jsonl)),
            ("a.parquet", Some(Format::Parquet)),
            ("a.xlsx", None),
            ("a", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn what_breaks_off_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.csv");
        fs::write(&file, "before").unwrap();
        let broken = whole_file(&file, false, |out| {
            out.write_all(b"half")?;
            bail!("gone")
        });
        assert!(broken.is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
