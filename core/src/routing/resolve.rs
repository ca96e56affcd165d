//! From a target name to groups of deployments.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Route, Strategy};

/// What routing knows of the channels, models and routes: built with each snapshot.
#[derive(Debug, Clone, Default)]
pub struct RoutingTable {
    /// Enabled channels, by position.
    pub channels: Vec<TableChannel>,
    /// Routes by model.
    pub routes: HashMap<String, Route>,
    by_name: HashMap<String, usize>,
    /// Deployments by the name that clients ask for.
    by_model: HashMap<String, Vec<Deployment>>,
}

/// What routing knows of one channel.
#[derive(Debug, Clone, Default)]
pub struct TableChannel {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub tags: Vec<String>,
    /// Its share.
    pub weight: u32,
    /// Name for clients and name upstream of each model.
    pub models: Vec<(String, String)>,
    /// How many credentials it has.
    pub credentials: u32,
}

/// One channel with the name of a model there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Position in [`RoutingTable::channels`].
    pub channel: usize,
    /// What the provider calls the model.
    pub upstream: Arc<str>,
    /// Share within its group.
    pub weight: u32,
}

/// Deployments of equal rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How to choose.
    pub strategy: Strategy,
    /// The deployments, in the order of the configuration.
    pub deployments: Vec<Deployment>,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Groups in order, the later ones cold standby.
    Groups(Vec<Group>),
    /// The built-in model that repeats what it is told.
    Echo,
    /// Nobody offers it.
    Unknown,
}

/// The name of the built-in model.
pub const ECHO: &str = "echo";

impl RoutingTable {
    /// Indexes channels and routes.
    pub fn new(channels: Vec<TableChannel>, routes: impl IntoIterator<Item = Route>) -> Self {
        let by_name = channels.iter().enumerate().map(|(index, channel)| (channel.name.clone(), index)).collect();
        let mut by_model: HashMap<String, Vec<Deployment>> = HashMap::new();
        for (index, channel) in channels.iter().enumerate() {
            for (name, upstream) in &channel.models {
                let deployment =
                    Deployment { channel: index, upstream: Arc::from(upstream.as_str()), weight: channel.weight };
                by_model.entry(name.clone()).or_default().push(deployment);
            }
        }
        let routes = routes.into_iter().map(|route| (route.model.clone(), route)).collect();
        Self { channels, routes, by_name, by_model }
    }

    /// Every name that a client may ask for: routes and models, sorted, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.routes.keys().chain(self.by_model.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Names of the channels that list `model`.
    pub fn owners(&self, model: &str) -> impl Iterator<Item = &str> {
        self.by_model
            .get(model)
            .into_iter()
            .flatten()
            .filter_map(|deployment| self.channels.get(deployment.channel))
            .map(|channel| channel.name.as_str())
    }

    /// What `target` means when the client asked for `asked`. A target is a model, a route, `channel/model`, `channel/*` or `tag:t`.
    ///
    /// `x/y` names a channel only if channel `x` exists; else it is a model name. A route wins over a model of the same name. A
    /// channel named outright serves any model name, listed or not: lists of providers are often incomplete.
    pub fn resolve(&self, target: &str, asked: &str) -> Resolution {
        if target == ECHO {
            return Resolution::Echo;
        }
        if let Some(route) = self.routes.get(target) {
            let groups: Vec<Group> = route
                .groups
                .iter()
                .map(|group| Group {
                    strategy: group.strategy,
                    deployments: group.targets.iter().flat_map(|target| self.deployments(target, asked)).collect(),
                })
                .filter(|group| !group.deployments.is_empty())
                .collect();
            return if groups.is_empty() { Resolution::Unknown } else { Resolution::Groups(groups) };
        }
        let deployments = self.deployments(target, asked);
        if deployments.is_empty() {
            return Resolution::Unknown;
        }
        Resolution::Groups(vec![Group { strategy: Strategy::Weighted, deployments }])
    }

    fn deployments(&self, target: &str, asked: &str) -> Vec<Deployment> {
        if let Some(tag) = target.strip_prefix("tag:") {
            let tagged =
                self.channels.iter().enumerate().filter(|(_, channel)| channel.tags.iter().any(|own| own == tag));
            return tagged.filter_map(|(index, channel)| channel.listed(index, asked)).collect();
        }
        if let Some((name, model)) = target.split_once('/')
            && let Some(&index) = self.by_name.get(name)
            && let Some(channel) = self.channels.get(index)
        {
            let model = if model == "*" { asked } else { model };
            return vec![channel.listed(index, model).unwrap_or_else(|| Deployment {
                channel: index,
                upstream: Arc::from(model),
                weight: channel.weight,
            })];
        }
        self.by_model.get(target).cloned().unwrap_or_default()
    }
}

impl TableChannel {
    fn listed(&self, index: usize, model: &str) -> Option<Deployment> {
        let (_, upstream) = self.models.iter().find(|(name, _)| name == model)?;
        Some(Deployment { channel: index, upstream: Arc::from(upstream.as_str()), weight: self.weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, tags: &[&str], models: &[(&str, &str)]) -> TableChannel {
        TableChannel {
            name: name.into(),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            weight: 1,
            models: models.iter().map(|(name, upstream)| ((*name).into(), (*upstream).into())).collect(),
            credentials: 1,
        }
    }

    fn table() -> RoutingTable {
        let channels = vec![
            channel("main", &["paid"], &[("gpt-5", "gpt-5"), ("fast", "gpt-5-mini")]),
            channel("deepseek", &[], &[("deepseek-chat", "deepseek-chat"), ("gpt-5", "gpt-5-clone")]),
        ];
        let route = serde_json::from_str(
            r#"{"model":"smart","groups":[{"use":["main/gpt-5","deepseek/*"]},{"strategy":"ordered","use":["tag:paid"]}]}"#,
        );
        RoutingTable::new(channels, [route.unwrap()])
    }

    fn upstreams(resolution: Resolution) -> Vec<Vec<String>> {
        match resolution {
            Resolution::Groups(groups) => groups
                .iter()
                .map(|group| group.deployments.iter().map(|d| format!("{}:{}", d.channel, d.upstream)).collect())
                .collect(),
            other => vec![vec![format!("{other:?}")]],
        }
    }

    #[test]
    fn names_mean_what_the_rules_say() {
        let cases: [(&str, &[&[&str]]); 8] = [
            ("gpt-5", &[&["0:gpt-5", "1:gpt-5-clone"]]),
            ("fast", &[&["0:gpt-5-mini"]]),
            ("main/fast", &[&["0:gpt-5-mini"]]),
            ("main/unlisted", &[&["0:unlisted"]]),
            ("meta-llama/llama-3", &[&["Unknown"]]),
            ("tag:paid", &[&["Unknown"]]),
            ("echo", &[&["Echo"]]),
            ("smart", &[&["0:gpt-5", "1:smart"]]),
        ];
        for (target, expected) in cases {
            assert_eq!(upstreams(table().resolve(target, target)), expected, "{target}");
        }
        assert_eq!(upstreams(table().resolve("tag:paid", "fast")), [["0:gpt-5-mini"]]);
        assert_eq!(upstreams(table().resolve("deepseek/*", "deepseek-chat")), [["1:deepseek-chat"]]);
    }

    #[test]
    fn every_name_is_listed_once() {
        assert_eq!(table().names(), ["deepseek-chat", "fast", "gpt-5", "smart"]);
        assert_eq!(table().owners("gpt-5").collect::<Vec<_>>(), ["main", "deepseek"]);
    }
}
