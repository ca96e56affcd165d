//! From a row and a channel's options to addresses: which endpoints a channel has, and where.

use serde_json::{Map, Value};

use super::base::Base;
use super::catalog::{Endpoint, Provider, Site};
use super::endpoint::{LiveEndpoint, Paths, Targets};
use super::template::{Target, fill};
use super::{ChannelError, azure, vertex};
use crate::model::Channel;

/// What is needed while addresses are worked out.
pub(super) struct Plan<'a> {
    channel: &'a Channel,
    provider: &'a Provider,
    options: Map<String, Value>,
    /// As configured, else the row's own.
    bases: Vec<Base>,
    /// Path of the vendor's main address.
    main: String,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        channel: &'a Channel,
        provider: &'a Provider,
        options: Map<String, Value>,
    ) -> Result<Self, ChannelError> {
        let own = fill(&provider.base_url, &options, &provider.options);
        let main = match &own {
            Ok(own) => Base::parse(own)?.path,
            // The row's address needs options that a channel with its own address need not have.
            Err(_) => path_of(&provider.base_url),
        };
        let bases = if channel.base_urls.is_empty() {
            if provider.needs_address {
                return Err(ChannelError::NoAddress(provider.id.clone()));
            }
            vec![Base::parse(&own?)?]
        } else {
            channel.base_urls.iter().map(|written| Base::parse(written)).collect::<Result<_, _>>()?
        };
        Ok(Self { channel, provider, options, bases, main })
    }

    pub(super) fn endpoints(&self) -> Result<Vec<LiveEndpoint>, ChannelError> {
        let mut live = Vec::new();
        for endpoint in self.wanted()? {
            let paths = Paths::of(endpoint);
            if let Some(targets) = self.targets(endpoint, &paths)? {
                live.push(LiveEndpoint::new(self.provider, endpoint, &self.channel.dialect, targets)?);
            }
        }
        if live.is_empty() && !self.provider.endpoints.is_empty() {
            return Err(ChannelError::Address("leads to none of the provider's endpoints".to_owned()));
        }
        Ok(live)
    }

    /// The endpoints that the channel takes: those of `options.formats` in that order, else all that are not optional.
    fn wanted(&self) -> Result<Vec<&'a Endpoint>, ChannelError> {
        let Some(formats) = self.channel.options.get("formats").and_then(Value::as_array) else {
            return Ok(self.provider.endpoints.iter().filter(|endpoint| !endpoint.optional).collect());
        };
        let mut wanted = Vec::new();
        for format in formats.iter().map(|format| format.as_str().unwrap_or_default()) {
            let before = wanted.len();
            wanted.extend(self.provider.endpoints.iter().filter(|endpoint| endpoint.format.as_str() == format));
            if wanted.len() == before {
                let (provider, format) = (self.provider.id.clone(), format.to_owned());
                return Err(ChannelError::Format { provider, format });
            }
        }
        Ok(wanted)
    }

    fn targets(&self, endpoint: &Endpoint, paths: &Paths) -> Result<Option<Targets>, ChannelError> {
        if self.provider.site == Site::Azure {
            return azure::targets(endpoint, &self.bases, &self.options);
        }
        let base = endpoint.base_url.as_deref();
        let (Some(chat), Some(stream)) = (self.side(base, &paths.chat)?, self.side(base, &paths.stream)?) else {
            return Ok(None);
        };
        let count = match &paths.count {
            Some(path) => self.side(base, path)?.unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Some(Targets { chat, stream, count }))
    }

    /// Addresses for `path` at every base; `own` is the endpoint's own address in the row.
    pub(super) fn side(&self, own: Option<&str>, path: &str) -> Result<Option<Vec<Target>>, ChannelError> {
        if self.provider.site == Site::Azure {
            let path = |base: &Base| azure::side(base, path, &self.options);
            let target = |base: &Base| Target::new(&base.scheme, &base.authority, &path(base));
            return self.bases.iter().map(target).collect::<Result<_, _>>().map(Some);
        }
        let Some(path) = vertex::path(path, self.provider.site, &self.options) else { return Ok(None) };
        let path = fill(&path, &self.options, &self.provider.options)?;
        if self.channel.base_urls.is_empty()
            && let Some(own) = own
        {
            let base = Base::parse(&fill(own, &self.options, &self.provider.options)?)?;
            return target(&base, &path).map(|target| Some(vec![target; self.bases.len()]));
        }
        let wanted = own.map_or_else(|| self.main.clone(), path_of);
        let groups = self.groups();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let mut targets = Vec::new();
        for base in &self.bases {
            let Some(base) = base.for_endpoint(&self.main, &wanted, &groups) else { return Ok(None) };
            targets.push(target(&base, &path)?);
        }
        Ok(Some(targets))
    }

    /// The same for a side of the vendor that a row may lack: how it is written, its own address, its path.
    pub(super) fn aside<W>(
        &self,
        row: Option<(W, Option<&str>, &String)>,
    ) -> Result<Option<(W, Vec<Target>)>, ChannelError> {
        let Some((wire, own, path)) = row else { return Ok(None) };
        Ok(self.side(own, path)?.map(|targets| (wire, targets)))
    }

    /// How many base addresses there are.
    pub(super) fn bases(&self) -> usize {
        self.bases.len()
    }

    /// Paths of the main addresses of all endpoints of the vendor.
    fn groups(&self) -> Vec<String> {
        // Who writes the address that goes on with answers means it for everything.
        let plain = self.provider.endpoints.iter().filter(|endpoint| !endpoint.resumes);
        let own = plain.filter_map(|endpoint| endpoint.base_url.as_deref()).map(path_of);
        own.chain([self.main.clone()]).collect()
    }
}

fn target(base: &Base, path: &str) -> Result<Target, ChannelError> {
    Target::new(&base.scheme, &base.authority, &base.join(path))
}

/// The path of an address that may still have `{names}` in its host.
fn path_of(template: &str) -> String {
    let rest = template.split_once("://").map_or(template, |(_, rest)| rest);
    rest.split_once('/').map(|(_, path)| format!("/{}", path.trim_end_matches('/'))).unwrap_or_default()
}
