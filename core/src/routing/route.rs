//! Routes, compiled: which names they take, and what their groups hold.

use std::sync::Arc;

use regex_lite::Regex;

use super::condition::CompiledConditions;
use super::live::Rotor;
use super::profile::ChannelPattern;
use super::{Glob, TableChannel};
use crate::model::{Route, RouteGroup, Strategy};

/// A route that is ready to match.
#[derive(Debug, Clone)]
pub struct CompiledRoute {
    /// The name that it is known by.
    pub model: String,
    also: Vec<Glob>,
    regex: Option<Regex>,
    pub(super) conditions: CompiledConditions,
    pub(super) groups: Vec<CompiledGroup>,
}

#[derive(Debug, Clone)]
pub(super) struct CompiledGroup {
    pub(super) strategy: Strategy,
    pub(super) conditions: CompiledConditions,
    pub(super) targets: Vec<Target>,
    exclude: Vec<Excluded>,
    pub(super) rotor: Arc<Rotor>,
}

/// What a target of a route or a profile points at.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// `channel/…`.
    Channel(String, Models),
    /// `tag:t` and `tag:t/…`.
    Tag(String, Models),
    /// A name that channels list, or `~regex` over all of them.
    Any(Models),
}

/// Which models of a channel.
#[derive(Debug, Clone)]
pub(super) enum Models {
    /// The one that was asked for.
    Asked,
    /// This one.
    Named(String),
    /// All that it lists and that fit.
    Glob(Glob),
    /// All that it lists and that fit.
    Regex(Regex),
}

#[derive(Debug, Clone)]
struct Excluded {
    channel: ChannelPattern,
    /// `None`: all of its models.
    models: Option<Glob>,
}

impl CompiledRoute {
    /// Makes a route ready; an error says what is wrong.
    pub fn compile(route: &Route) -> Result<Self, String> {
        let group = |group: &RouteGroup| {
            Ok(CompiledGroup {
                strategy: group.strategy.or(route.strategy).unwrap_or_default(),
                conditions: CompiledConditions::compile(&group.conditions).map_err(|why| why.words)?,
                targets: group.targets.iter().map(|target| Target::parse(target)).collect::<Result<_, String>>()?,
                exclude: group.exclude.iter().map(|text| Excluded::parse(text)).collect(),
                rotor: Arc::default(),
            })
        };
        Ok(Self {
            model: route.model.clone(),
            also: route.also.iter().map(Glob::new).collect(),
            regex: route.regex.as_deref().map(regex).transpose()?,
            conditions: CompiledConditions::compile(&route.conditions).map_err(|why| why.words)?,
            groups: route.groups.iter().map(group).collect::<Result<_, String>>()?,
        })
    }

    /// Whether it takes a name by pattern.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.also.iter().any(|glob| glob.matches(name)) || self.regex.as_ref().is_some_and(|regex| regex.is_match(name))
    }

    /// Names that it takes and that can be listed.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let plain = self.also.iter().filter(|glob| glob.is_exact()).map(Glob::text);
        std::iter::once(self.model.as_str()).chain(plain)
    }
}

impl CompiledGroup {
    pub(super) fn excludes(&self, channel: &TableChannel, upstream: &str) -> bool {
        self.exclude.iter().any(|entry| {
            entry.channel.fits(channel) && entry.models.as_ref().is_none_or(|models| models.matches(upstream))
        })
    }
}

impl Target {
    /// Reads `channel/…`, `tag:t[/…]`, `~regex` or a name. Whether `x/y` names a channel is decided where the channels are known.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('~') {
            return Ok(Self::Any(Models::parse(text)?));
        }
        if let Some(rest) = text.strip_prefix("tag:") {
            return Ok(match rest.split_once('/') {
                Some((tag, models)) => Self::Tag(tag.to_owned(), Models::parse(models)?),
                None => Self::Tag(rest.to_owned(), Models::Asked),
            });
        }
        match text.split_once('/') {
            Some((channel, models)) => Ok(Self::Channel(channel.to_owned(), Models::parse(models)?)),
            None => Ok(Self::Any(Models::Named(text.to_owned()))),
        }
    }
}

impl Models {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match (text, text.strip_prefix('~')) {
            ("*", _) => Self::Asked,
            (_, Some(pattern)) => Self::Regex(regex(pattern)?),
            _ if text.contains('*') => Self::Glob(Glob::new(text)),
            _ => Self::Named(text.to_owned()),
        })
    }

    /// The pattern, where it is one over listed models.
    pub(super) fn fits(&self, name: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(name),
            Self::Regex(regex) => regex.is_match(name),
            Self::Asked | Self::Named(_) => false,
        }
    }
}

impl Excluded {
    fn parse(text: &str) -> Self {
        let (channel, models) = match text.split_once('/') {
            Some((channel, models)) => (channel, Some(Glob::new(models))),
            None => (text, None),
        };
        Self { channel: ChannelPattern::new(channel), models }
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("'{text}' is no regular expression: {error}"))
}
