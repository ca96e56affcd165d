//! `myelin owner`: whom keys belong to.

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, text};

/// Whom keys belong to.
#[derive(Debug, Subcommand)]
pub(crate) enum Owner {
    /// All owners.
    List,
    /// Make an owner.
    Add {
        /// tool:NAME, user:NAME, team:NAME, project:NAME or organisation:NAME.
        owner: String,
        /// The owner above: what limits it limits this one too.
        #[arg(long, value_name = "OWNER")]
        parent: Option<String>,
    },
    /// Move an owner below another one, or below none.
    Move {
        /// Which one.
        owner: String,
        /// The owner above (default: none).
        parent: Option<String>,
    },
    /// Remove an owner, with its limits. Nothing may belong to it any more.
    Remove {
        /// Which one.
        owner: String,
    },
}

/// Does it.
pub(crate) fn run(place: &Place, owner: Owner) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let (answer, words) = match owner {
        Owner::List => {
            let answer = carrier.get("/api/v1/owners")?;
            if !place.json {
                return show_list(&answer);
            }
            (answer, String::new())
        }
        Owner::Add { owner, parent } => {
            let (kind, name) = owner
                .split_once(':')
                .ok_or_else(|| anyhow!("'{owner}' is no owner: write team:{owner} or the like"))?;
            let body = json!({"kind": kind, "name": name, "parent": parent});
            (
                carrier.post("/api/v1/owners", &body)?,
                format!("{owner} is there; give it a key: myelin key give KEY {owner}"),
            )
        }
        Owner::Move { owner, parent } => {
            let answer = carrier.patch(&path(&owner), &json!({"parent": parent}))?;
            let words = match parent {
                Some(parent) => format!("{owner} stands below {parent}"),
                None => format!("{owner} stands below nobody"),
            };
            (answer, words)
        }
        Owner::Remove { owner } => (carrier.delete(&path(&owner))?, format!("{owner} is removed")),
    };
    if place.json { output::json(&answer) } else { output::line(&words) }
}

fn path(owner: &str) -> String {
    format!("/api/v1/owners/{}", segment(owner))
}

fn show_list(answer: &Value) -> anyhow::Result<()> {
    let row = |owner: &Value| ["/owner", "/parent", "/keys", "/limits", "/origin"].map(|at| text(owner, at)).to_vec();
    let rows: Vec<_> = list(answer, "/owners").iter().map(row).collect();
    output::table(&["owner", "below", "keys", "limits", "from"], &rows)
}
