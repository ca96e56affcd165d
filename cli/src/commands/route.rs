//! `myelin route`: from a model's name to ordered groups of deployments.

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

use myelin_core::model::Strategy;

use crate::args::Place;
use crate::carrier::{Carrier, segment};
use crate::output::{self, list, text, warnings};

/// Routes.
#[derive(Debug, Subcommand)]
pub(crate) enum Route {
    /// All routes.
    List,
    /// Make a route, or replace its groups.
    Set {
        /// The name that clients ask for.
        model: String,
        /// A group of targets (channel/model, channel/*, tag:T) separated by commas; repeat for colder groups. A strategy and `:` before them
        /// says how to choose: ordered:, lowest-latency:, lowest-cost: …; else they share by weight.
        #[arg(long, required = true, value_name = "TARGETS")]
        group: Vec<String>,
    },
    /// Remove a route.
    Remove {
        /// The model.
        model: String,
    },
}

/// Does it.
pub(crate) fn run(place: &Place, route: Route) -> anyhow::Result<()> {
    let carrier = Carrier::open(place)?;
    let (answer, words) = match route {
        Route::List => {
            let answer = carrier.get("/api/v1/routes")?;
            if !place.json {
                return show_list(&answer);
            }
            (answer, String::new())
        }
        Route::Set { model, group } => {
            let groups = group.iter().map(|group| self::group(group)).collect::<anyhow::Result<Vec<Value>>>()?;
            let routes = carrier.get("/api/v1/routes")?;
            let there = list(&routes, "/routes").iter().any(|route| text(route, "/model") == model);
            let answer = if there {
                carrier.patch(&path(&model), &json!({"groups": groups}))?
            } else {
                carrier.post("/api/v1/routes", &json!({"model": model, "groups": groups}))?
            };
            (answer, format!("{model} is routed"))
        }
        Route::Remove { model } => (carrier.delete(&path(&model))?, format!("the route of {model} is removed")),
    };
    if place.json {
        return output::json(&answer);
    }
    warnings(&answer);
    output::line(&words)
}

fn path(model: &str) -> String {
    format!("/api/v1/routes/{}", segment(model))
}

fn group(words: &str) -> anyhow::Result<Value> {
    let (strategy, targets) = match words.split_once(':') {
        Some((word, targets)) if Strategy::of(word).is_some() => (Some(word), targets),
        // A channel has a `/` behind its name, and models may have a `:` in theirs.
        Some((word, _)) if word != "tag" && !word.contains(['/', ',']) => {
            let known = Strategy::WORDS.map(|(_, word)| word).join(", ");
            bail!("there is no strategy {word:?}: {known}");
        }
        _ => (None, words),
    };
    let targets: Vec<&str> = targets.split(',').map(str::trim).filter(|target| !target.is_empty()).collect();
    Ok(match strategy {
        Some(strategy) => json!({"strategy": strategy, "use": targets}),
        None => json!({"use": targets}),
    })
}

/// How a group chooses: as it says itself, as its route says, else by weight.
fn strategy(group: &Value, route: &Value) -> String {
    let said = [text(group, "/strategy"), text(route, "/strategy")];
    said.into_iter().find(|word| word != "-").unwrap_or_else(|| "weighted".to_owned())
}

fn show_list(answer: &Value) -> anyhow::Result<()> {
    let row = |route: &Value| {
        let groups = list(route, "/groups").iter();
        let groups = groups.map(|group| format!("{}: {}", strategy(group, route), text(group, "/use")));
        vec![text(route, "/model"), groups.collect::<Vec<_>>().join("  then  "), text(route, "/origin")]
    };
    let rows: Vec<_> = list(answer, "/routes").iter().map(row).collect();
    output::table(&["model", "groups", "from"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read() {
        let group = |words: &str| group(words).unwrap();
        assert_eq!(group("a/b, tag:paid"), json!({"use": ["a/b", "tag:paid"]}));
        assert_eq!(group("ordered:a/*,b/x"), json!({"strategy": "ordered", "use": ["a/*", "b/x"]}));
        assert_eq!(group("tag:free"), json!({"use": ["tag:free"]}));
        assert_eq!(group("lowest-cost:a/*"), json!({"strategy": "lowest-cost", "use": ["a/*"]}));
        assert_eq!(group("ollama/llama3:8b"), json!({"use": ["ollama/llama3:8b"]}));
    }

    #[test]
    fn a_mistyped_strategy_is_no_channel() {
        let why = group("lowest-latencyy:lab/m").unwrap_err().to_string();
        assert!(why.contains("lowest-latencyy") && why.contains("lowest-latency,"), "{why}");
    }
}
