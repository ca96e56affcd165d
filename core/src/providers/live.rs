//! One configured account at a provider, resolved: addresses parsed, dialects merged, credentials at hand.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use myelin_protocol::{ApiError, ApiFormat};
use serde_json::{Map, Value};

use super::auth::LiveCredential;
use super::base::Base;
use super::catalog::{AuthStyle, Catalog, EmbeddingWire, Endpoint, ModelListWire, Provider, RerankWire, Site, Surface};
use super::endpoint::{Accepted, LiveEndpoint, Paths, Targets};
use super::template::{Target, fill};
use super::{azure, classify, guard, vertex};
use crate::error::GatewayError;
use crate::model::{Channel, Secret, SecretSource};

/// Finds the secrets that channels only name.
pub trait SecretResolver {
    /// The secret, or in words why there is none.
    fn resolve(&self, source: &SecretSource) -> Result<Secret, String>;
}

/// Why a channel cannot be used as it is configured. Every message can be shown to its owner; none holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The catalog has no such row.
    #[error(
        "provider `{0}` is not in the catalog; for any other address take openai-compatible, anthropic-compatible or gemini-compatible"
    )]
    UnknownProvider(String),
    /// An address that cannot be used.
    #[error("address {0}")]
    Address(String),
    /// The provider has no address of its own.
    #[error("provider `{0}` needs a base_url")]
    NoAddress(String),
    /// The provider's address needs an option.
    #[error("option `{0}` is missing or is no plain word")]
    Option(String),
    /// A secret that cannot be found.
    #[error("credential {position} ({source_text}): {why}")]
    Secret {
        /// Position, from 1.
        position: usize,
        /// Where it should come from.
        source_text: String,
        /// Why it is not there.
        why: String,
    },
    /// A credential of the wrong shape.
    #[error("credential {position}: {why}")]
    Credential {
        /// Position, from 1.
        position: usize,
        /// What is wrong.
        why: String,
    },
    /// The provider needs a credential and the channel has none.
    #[error("a credential is missing (people keep it in {0})")]
    NoCredential(String),
    /// A header that cannot be sent.
    #[error("header `{0}` cannot be sent")]
    Header(String),
    /// Fields of a dialect that do not exist.
    #[error("dialect: {0}")]
    Dialect(String),
    /// A format that the provider does not speak.
    #[error("provider `{provider}` does not speak `{format}`")]
    Format {
        /// The provider.
        provider: String,
        /// The format.
        format: String,
    },
    /// Asked for something that the provider does not have.
    #[error("provider `{provider}` has no {what}")]
    NotOffered {
        /// The provider.
        provider: String,
        /// What it lacks.
        what: &'static str,
    },
    /// The address is the gateway itself, or one that no provider has.
    #[error("address `{host}` is refused: {why}")]
    Refused {
        /// The host.
        host: String,
        /// Why.
        why: &'static str,
    },
    /// A token could not be had, or a request not be signed.
    #[error("{0}")]
    Authorize(String),
}

/// How the connection to a channel's provider is made. Channels with equal ones share connections.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Dial {
    /// `http://`, `https://` or `socks5://` proxy, perhaps with a password in it.
    pub proxy: Option<String>,
    /// Link-local and metadata addresses are allowed.
    pub allow_link_local: bool,
    /// Limit for TCP and TLS, in milliseconds.
    pub connect_ms: Option<u64>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("proxy", &self.proxy.is_some())
            .field("allow_link_local", &self.allow_link_local)
            .field("connect_ms", &self.connect_ms)
            .finish()
    }
}

/// One configured account at a provider, resolved. Immutable; a change of the channel makes a new one.
#[derive(Debug)]
pub struct LiveChannel {
    /// As configured.
    pub config: Arc<Channel>,
    /// Its row in the catalog.
    pub provider: Arc<Provider>,
    /// How to connect.
    pub dial: Dial,
    pub(super) endpoints: Vec<LiveEndpoint>,
    pub(super) embeddings: Option<(EmbeddingWire, Vec<Target>)>,
    pub(super) rerank: Option<(RerankWire, Vec<Target>)>,
    pub(super) surfaces: Vec<(Surface, Vec<Target>)>,
    pub(super) models: Option<(ModelListWire, AuthStyle, Vec<Target>)>,
    pub(super) headers: HeaderMap,
    pub(super) credentials: Vec<LiveCredential>,
    bases: usize,
}

impl LiveChannel {
    /// Resolves a channel. `own` are the addresses that the gateway itself listens on: a channel that leads back to them is refused.
    pub fn build(
        channel: &Channel,
        catalog: &Catalog,
        secrets: &dyn SecretResolver,
        own: &[std::net::SocketAddr],
    ) -> Result<Self, ChannelError> {
        let provider =
            catalog.get(&channel.provider).ok_or_else(|| ChannelError::UnknownProvider(channel.provider.clone()))?;
        let credentials = LiveCredential::all(channel, provider, secrets)?;
        let mut options = channel.options.clone();
        if provider.site == Site::Vertex {
            vertex::complete(&mut options, &credentials);
        }
        let plan = Plan::new(channel, provider, options)?;
        let endpoints = plan.endpoints()?;
        let embeddings = match &provider.embeddings {
            Some(row) => plan.side(row.base_url.as_deref(), &row.path)?.map(|targets| (row.wire, targets)),
            None => None,
        };
        let rerank = match &provider.rerank {
            Some(row) => plan.side(row.base_url.as_deref(), &row.path)?.map(|targets| (row.wire, targets)),
            None => None,
        };
        let mut surfaces = Vec::new();
        for surface in &provider.surfaces {
            if let Some(targets) = plan.side(None, &format!("/{}", surface.segment()))? {
                surfaces.push((*surface, targets));
            }
        }
        let models = match &provider.models {
            Some(row) => {
                let auth = row.auth.unwrap_or(provider.auth);
                plan.side(row.base_url.as_deref(), &row.path)?.map(|targets| (row.wire, auth, targets))
            }
            None => None,
        };
        let live = Self {
            config: Arc::new(channel.clone()),
            provider: Arc::clone(provider),
            dial: Dial {
                proxy: channel.proxy.clone(),
                allow_link_local: channel.allow_link_local,
                connect_ms: channel.timeouts.connect_ms,
            },
            endpoints,
            embeddings,
            rerank,
            surfaces,
            models,
            headers: headers(&[&provider.headers, &channel.headers])?,
            credentials,
            bases: plan.bases.len().max(1),
        };
        live.check_hosts(own)?;
        Ok(live)
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How many base addresses there are, at least one; [`Self::request`] takes their index.
    pub fn bases(&self) -> usize {
        self.bases
    }

    /// How many credentials there are, at least one (a channel without a key has one empty credential); [`Self::authorize`] takes their index.
    pub fn credentials(&self) -> usize {
        self.credentials.len()
    }

    /// In which format to ask for `upstream_model` when the caller speaks `client`: the caller's own if the channel speaks it, else the
    /// channel's preferred one. `None`: no endpoint of the channel serves the model.
    pub fn accepts(&self, client: ApiFormat, upstream_model: &str) -> Option<Accepted> {
        let serving = || self.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.serves(upstream_model));
        let (index, endpoint) = serving()
            .find(|(_, endpoint)| endpoint.format == client)
            .or_else(|| serving().find(|(_, endpoint)| endpoint.preferred(upstream_model)))
            .or_else(|| serving().find(|(_, endpoint)| !is_last_resort(endpoint.format)))
            .or_else(|| serving().next())?;
        let dialect = Arc::clone(endpoint.dialect(upstream_model));
        // A body with `anthropic_version` and without `model` (Vertex) is never the caller's.
        let native = endpoint.format == client && dialect.anthropic_version.is_none();
        Some(Accepted { format: endpoint.format, dialect, native, endpoint: index })
    }

    /// Every format in which the channel serves the model, its own order.
    pub fn formats<'a>(&'a self, upstream_model: &'a str) -> impl Iterator<Item = ApiFormat> + 'a {
        self.endpoints.iter().filter(move |endpoint| endpoint.serves(upstream_model)).map(|endpoint| endpoint.format)
    }

    /// Whether the host itself counts tokens for this format.
    pub fn counts_tokens(&self, accepted: &Accepted) -> bool {
        self.endpoints.get(accepted.endpoint).is_some_and(|endpoint| !endpoint.count.is_empty())
    }

    /// How embeddings are written here; `None` if there are none.
    pub fn embeddings(&self) -> Option<EmbeddingWire> {
        self.embeddings.as_ref().map(|(wire, _)| *wire)
    }

    /// How reranking is written here; `None` if there is none.
    pub fn rerank(&self) -> Option<RerankWire> {
        self.rerank.as_ref().map(|(wire, _)| *wire)
    }

    /// Whether this surface can be passed through.
    pub fn offers(&self, surface: Surface) -> bool {
        self.surfaces.iter().any(|(offered, _)| *offered == surface)
    }

    /// What a failed answer of this channel means. The channel's own secrets never appear in it.
    pub fn classify(&self, status: u16, headers: &HeaderMap, error: ApiError, now_ms: u64) -> GatewayError {
        let error = ApiError { message: self.redact(&error.message).into_owned(), ..error };
        classify::classify(status, headers, error, &self.provider, &self.config.name, now_ms)
    }

    /// `text` with every secret of the channel taken out.
    pub fn redact<'t>(&self, text: &'t str) -> std::borrow::Cow<'t, str> {
        let mut text = std::borrow::Cow::Borrowed(text);
        for secret in self.credentials.iter().flat_map(LiveCredential::secrets) {
            if text.contains(secret) {
                text = text.replace(secret, "***").into();
            }
        }
        text
    }

    fn check_hosts(&self, own: &[std::net::SocketAddr]) -> Result<(), ChannelError> {
        let all = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.chat.iter().chain(&endpoint.stream).chain(&endpoint.count));
        let sides = self.embeddings.iter().flat_map(|(_, targets)| targets);
        let sides = sides.chain(self.rerank.iter().flat_map(|(_, targets)| targets));
        let sides = sides.chain(self.models.iter().flat_map(|(_, _, targets)| targets));
        for target in all.chain(sides) {
            let Some(authority) = target.authority() else { continue };
            guard::check(authority, target.is_tls(), self.config.allow_link_local, own)
                .map_err(|why| ChannelError::Refused { host: authority.host().to_owned(), why })?;
        }
        Ok(())
    }
}

/// Formats that lose most when something else is converted to them.
fn is_last_resort(format: ApiFormat) -> bool {
    matches!(format, ApiFormat::OpenaiCompletions | ApiFormat::OllamaGenerate)
}

/// What is needed while addresses are worked out.
struct Plan<'a> {
    channel: &'a Channel,
    provider: &'a Provider,
    options: Map<String, Value>,
    /// As configured, else the row's own.
    bases: Vec<Base>,
    /// Path of the vendor's main address.
    main: String,
}

impl<'a> Plan<'a> {
    fn new(channel: &'a Channel, provider: &'a Provider, options: Map<String, Value>) -> Result<Self, ChannelError> {
        let template = provider.base_url.as_deref();
        let own = template.map(|template| fill(template, &options, &provider.options));
        let main = match &own {
            Some(Ok(own)) => Base::parse(own)?.path,
            // The row's address needs options that a channel with its own address need not have.
            Some(Err(_)) => template.map(path_of).unwrap_or_default(),
            None => String::new(),
        };
        let written: Vec<&str> = channel.base_urls.iter().map(String::as_str).collect();
        let bases = match (written.is_empty(), own) {
            (false, _) => written.into_iter().map(Base::parse).collect::<Result<_, _>>()?,
            (true, Some(own)) => vec![Base::parse(&own?)?],
            (true, None) => return Err(ChannelError::NoAddress(provider.id.clone())),
        };
        Ok(Self { channel, provider, options, bases, main })
    }

    fn endpoints(&self) -> Result<Vec<LiveEndpoint>, ChannelError> {
        let mut live = Vec::new();
        for endpoint in self.wanted()? {
            let paths = Paths::of(endpoint);
            if let Some(targets) = self.targets(endpoint, &paths)? {
                live.push(LiveEndpoint::new(self.provider, endpoint, &self.channel.dialect, targets)?);
            }
        }
        if live.is_empty() {
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
        let paths = match self.provider.site {
            Site::Azure => return azure::targets(endpoint, &self.bases, &self.options),
            Site::Vertex => vertex::paths(paths, &self.options),
            Site::Plain => paths.clone(),
        };
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
    fn side(&self, own: Option<&str>, path: &str) -> Result<Option<Vec<Target>>, ChannelError> {
        if self.provider.site == Site::Azure {
            let path = |base: &Base| azure::side(base, path, &self.options);
            let target = |base: &Base| Target::new(&base.scheme, &base.authority, &path(base));
            return self.bases.iter().map(target).collect::<Result<_, _>>().map(Some);
        }
        let path = fill(path, &self.options, &self.provider.options)?;
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

    /// Paths of the main addresses of all endpoints of the vendor.
    fn groups(&self) -> Vec<String> {
        let own = self.provider.endpoints.iter().filter_map(|endpoint| endpoint.base_url.as_deref()).map(path_of);
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

fn headers(layers: &[&Map<String, Value>]) -> Result<HeaderMap, ChannelError> {
    let mut headers = HeaderMap::new();
    for (name, value) in layers.iter().copied().flatten() {
        let wrong = || ChannelError::Header(name.clone());
        let text = value.as_str().ok_or_else(wrong)?;
        let value = HeaderValue::from_str(text).map_err(|_| wrong())?;
        headers.insert(HeaderName::try_from(name.as_str()).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}
