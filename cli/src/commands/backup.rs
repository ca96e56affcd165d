//! `myelin backup` and `myelin restore`: everything as one encrypted file, and back.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::{Value, json};

use super::export::whole_file;
use crate::args::Place;
use crate::carrier::Carrier;
use crate::output::{self, text, time};

/// Everything as one encrypted file: configuration with its secrets, records, sums, counters, history, kept bodies. Traffic goes on.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The file.
    file: PathBuf,
    /// Leave kept bodies out.
    #[arg(long)]
    without_bodies: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

/// Put a backup in place of everything. Nothing is changed unless all of it is right; what was there before lies beside the store afterwards, as
/// before-restore.redb.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The file.
    file: PathBuf,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

/// What opens the file. Asked for on a terminal.
#[derive(Debug, clap::Args)]
struct Passphrase {
    /// The file whose first line is the passphrase; - reads it from the standard input.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The passphrase itself, for scripts.
    #[arg(long = "passphrase-from-env", env = "MYELIN_PASSPHRASE", hide_env_values = true, hide = true)]
    value: Option<String>,
}

impl Passphrase {
    /// Reads it; `again`: a new one is typed twice.
    fn read(&self, again: bool) -> anyhow::Result<String> {
        let line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        if let Some(file) = &self.passphrase_file {
            return if file == Path::new("-") {
                io::read_to_string(io::stdin()).map(line).context("cannot read the passphrase")
            } else {
                fs::read_to_string(file).map(line).with_context(|| format!("cannot read {}", file.display()))
            };
        }
        if let Some(value) = &self.value {
            return Ok(value.clone());
        }
        if !io::stdin().is_terminal() {
            bail!("a passphrase is needed: --passphrase-file FILE, or MYELIN_PASSPHRASE");
        }
        let first = rpassword::prompt_password("passphrase: ")?;
        if again && rpassword::prompt_password("once more: ")? != first {
            bail!("these are not the same");
        }
        Ok(first)
    }
}

/// Makes a backup.
pub(crate) fn run(place: &Place, backup: &Backup) -> anyhow::Result<()> {
    let wish = json!({"passphrase": backup.passphrase.read(true)?, "bodies": !backup.without_bodies});
    let carrier = Carrier::open(place)?;
    let written =
        whole_file(&backup.file, true, |out| carrier.download(&Method::POST, "/api/v1/backup", Some(&wish), out))?;
    let file = backup.file.display().to_string();
    if place.json {
        return output::json(&json!({"file": file, "bytes": written}));
    }
    output::line(&format!("{file}: {written} bytes. Without the passphrase nobody can read it, nor can you"))
}

/// Puts a backup back.
pub(crate) fn restore(place: &Place, restore: &Restore) -> anyhow::Result<()> {
    let file = File::open(&restore.file).with_context(|| format!("cannot read {}", restore.file.display()))?;
    let passphrase = restore.passphrase.read(false)?;
    if !restore.yes && io::stdin().is_terminal() {
        eprint!(
            "what is configured and recorded now gives way to what is in {}. Go on? [y/N] ",
            restore.file.display()
        );
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            bail!("nothing was changed");
        }
    }
    let carrier = Carrier::open(place)?;
    let done = carrier.upload("/api/v1/restore", &json!({ "passphrase": passphrase }), file)?;
    if place.json {
        return output::json(&done);
    }
    let made = time(done.pointer("/backup/made").and_then(Value::as_u64).unwrap_or_default());
    output::line(&format!("restored what was backed up at {made}: {} records", text(&done, "/backup/records")))?;
    output::line(
        "admin tokens are those of the backup now; what was there before is in before-restore.redb beside the store",
    )
}
