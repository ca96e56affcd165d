//! One configured account at a provider, resolved: addresses parsed, dialects merged, credentials at hand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use myelin_protocol::dialect::Prefill;
use myelin_protocol::formats::embeddings::EmbeddingFormat;
use myelin_protocol::{ApiError, ApiFormat, Dialect};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::addresses::Addresses;
use super::auth::LiveCredential;
use super::catalog::{AuthStyle, Catalog, ModelListWire, Provider, RerankWire, Site, Surface};
use super::endpoint::{Accepted, LiveEndpoint, merged};
use super::error::ChannelError;
use super::plan::Plan;
use super::template::Target;
use super::{classify, guard, vertex};
use crate::error::GatewayError;
use crate::model::{Channel, ModelTuning, Override, Patterns, Retry, Secret, SecretSource, Timeouts};
use crate::overrides::Overrides;

/// Finds the secrets that channels only name.
pub trait SecretResolver {
    /// The secret, or in words why there is none.
    fn resolve(&self, source: &SecretSource) -> Result<Secret, String>;
}

/// How the connection to a channel's provider is made. Channels with equal ones share connections.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Dial {
    /// `http://`, `https://` or `socks5://` proxy, perhaps with a password in it.
    pub proxy: Option<String>,
    /// Link-local and metadata addresses are allowed.
    pub allow_link_local: bool,
    /// Only the public internet may be reached: for addresses that a caller names.
    pub public_only: bool,
    /// Limit for TCP and TLS, in milliseconds.
    pub connect_ms: Option<u64>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca: Option<Arc<str>>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("proxy", &self.proxy.is_some())
            .field("allow_link_local", &self.allow_link_local)
            .field("public_only", &self.public_only)
            .field("connect_ms", &self.connect_ms)
            .field("ca", &self.ca.is_some())
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
    pub(super) embeddings: Option<(EmbeddingFormat, Vec<Target>)>,
    embedding_dialect: Arc<Dialect>,
    pub(super) rerank: Option<(RerankWire, Vec<Target>)>,
    pub(super) surfaces: Vec<(Surface, Vec<Target>)>,
    pub(super) models: Option<((ModelListWire, AuthStyle), Vec<Target>)>,
    pub(super) headers: HeaderMap,
    pub(super) credentials: Vec<LiveCredential>,
    overrides: Overrides,
    tunings: Vec<Tuning>,
    addresses: Addresses,
    /// It refused to be asked for usage in streams.
    no_stream_options: AtomicBool,
}

/// What holds for some models of a channel.
#[derive(Debug)]
struct Tuning {
    models: Patterns,
    timeouts: Timeouts,
    retry: Retry,
    overrides: Overrides,
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
        let provider = &with_auth(provider, &channel.options)?;
        let credentials = LiveCredential::all(channel, provider, secrets)?;
        let mut options = channel.options.clone();
        if provider.site == Site::Vertex {
            vertex::complete(&mut options, &credentials);
        }
        let plan = Plan::new(channel, provider, options)?;
        let endpoints = plan.endpoints()?;
        let mut surfaces = Vec::new();
        for surface in &provider.surfaces {
            if let Some(targets) = plan.side(None, &format!("/{}", surface.segment()))? {
                surfaces.push((*surface, targets));
            }
        }
        let embeddings = provider.embeddings.as_ref().map(|row| (row.wire, row.base_url.as_deref(), &row.path));
        let rerank = provider.rerank.as_ref().map(|row| (row.wire, row.base_url.as_deref(), &row.path));
        let models = provider
            .models
            .as_ref()
            .map(|row| ((row.wire, row.auth.unwrap_or(provider.auth)), row.base_url.as_deref(), &row.path));
        let live = Self {
            config: Arc::new(channel.clone()),
            provider: Arc::clone(provider),
            dial: Dial {
                proxy: channel.proxy.clone(),
                allow_link_local: channel.allow_link_local,
                public_only: false,
                connect_ms: channel.timeouts.connect_ms,
                ca: authorities(channel, secrets)?,
            },
            endpoints,
            embeddings: plan.aside(embeddings)?,
            embedding_dialect: merged(provider.embeddings.iter().map(|row| &row.dialect).chain([&channel.dialect]))?,
            rerank: plan.aside(rerank)?,
            surfaces,
            models: plan.aside(models)?,
            headers: headers(&[&provider.headers, &channel.headers])?,
            credentials,
            overrides: compiled(&channel.overrides)?,
            tunings: channel.for_models.iter().map(Tuning::new).collect::<Result<_, _>>()?,
            addresses: Addresses::new(plan.bases()),
            no_stream_options: AtomicBool::new(false),
        };
        live.check_hosts(own)?;
        Ok(live)
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What is known of its base addresses; [`Self::request`] takes their position.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// How many credentials there are, at least one (a channel without a key has one empty credential); [`Self::authorize`] takes their index.
    pub fn credentials(&self) -> usize {
        self.credentials.len()
    }

    /// A number for each credential, made of its secret and telling nothing of it: another secret in the same place is another number.
    pub fn credential_marks(&self) -> Vec<u64> {
        self.credentials.iter().map(LiveCredential::mark).collect()
    }

    /// In which format to ask for `upstream_model` when the caller speaks `client`: the caller's own if the channel speaks it, else the
    /// channel's preferred one. `None`: no endpoint of the channel serves the model.
    pub fn accepts(&self, client: ApiFormat, upstream_model: &str) -> Option<Accepted> {
        let serving = || {
            let all = self.endpoints.iter().enumerate();
            all.filter(|(_, endpoint)| !endpoint.resumes && endpoint.serves(upstream_model))
        };
        let (index, endpoint) = serving()
            .find(|(_, endpoint)| endpoint.format == client)
            .or_else(|| serving().find(|(_, endpoint)| endpoint.preferred(upstream_model)))
            .or_else(|| serving().find(|(_, endpoint)| !is_last_resort(endpoint.format)))
            .or_else(|| serving().next())?;
        let dialect = self.learned(endpoint.dialect(upstream_model));
        // A body with `anthropic_version` and without `model` (Vertex) is never the caller's.
        let native = endpoint.format == client && dialect.anthropic_version.is_none();
        let invented = self.invented(endpoint.format);
        let stateless = endpoint.stateless;
        Some(Accepted { format: endpoint.format, dialect, native, invented, stateless, endpoint: index })
    }

    /// In which format to ask `upstream_model` to go on from the beginning of an answer, for a caller who speaks `client`. `None`: nobody here is known to
    /// do that.
    pub fn resumes(&self, client: ApiFormat, upstream_model: &str) -> Option<Accepted> {
        let able = |endpoint: &LiveEndpoint| {
            let prefill = endpoint.dialect(upstream_model).prefill;
            endpoint.serves(upstream_model)
                && match endpoint.format {
                    ApiFormat::OpenaiChat => prefill != Prefill::None,
                    ApiFormat::AnthropicMessages | ApiFormat::BedrockConverse | ApiFormat::OllamaChat => {
                        prefill == Prefill::Plain
                    }
                    _ => false,
                }
        };
        let serving = || self.endpoints.iter().enumerate().filter(|(_, endpoint)| able(endpoint));
        let (index, endpoint) =
            serving().find(|(_, endpoint)| endpoint.format == client).or_else(|| serving().next())?;
        let dialect = self.learned(endpoint.dialect(upstream_model));
        let invented = self.invented(endpoint.format);
        let stateless = endpoint.stateless;
        Some(Accepted { format: endpoint.format, dialect, native: false, invented, stateless, endpoint: index })
    }

    /// A dialect with what refusals taught.
    fn learned(&self, dialect: &Arc<Dialect>) -> Arc<Dialect> {
        if !self.no_stream_options.load(Ordering::Relaxed) || dialect.no_stream_options {
            return Arc::clone(dialect);
        }
        Arc::new(Dialect { no_stream_options: true, ..Dialect::clone(dialect) })
    }

    /// Learns from a refusal that names `stream_options`, which nobody but us may have asked for. `true`: that is news, and without it the request
    /// may be taken. Forgotten when the channel is changed.
    pub fn learn_refusal(&self, accepted: &Accepted, error: &ApiError) -> bool {
        const FIELD: &str = "stream_options";
        let chat = matches!(accepted.format, ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions);
        let named = error.param.as_deref() == Some(FIELD) || error.message.contains(FIELD);
        chat && named
            && matches!(error.status(), 400 | 422)
            && !accepted.dialect.no_stream_options
            && !self.no_stream_options.swap(true, Ordering::Relaxed)
    }

    /// Whether streamed and whole answers are asked for at the same address.
    pub fn one_address(&self, accepted: &Accepted) -> bool {
        self.endpoints.get(accepted.endpoint).is_some_and(|endpoint| endpoint.chat == endpoint.stream)
    }

    /// Every format in which the channel serves the model, its own order.
    pub fn formats<'a>(&'a self, upstream_model: &'a str) -> impl Iterator<Item = ApiFormat> + 'a {
        self.endpoints
            .iter()
            .filter(move |endpoint| !endpoint.resumes && endpoint.serves(upstream_model))
            .map(|endpoint| endpoint.format)
    }

    /// Whether this is the inventor's own host: a caller who speaks its format says what it means, and nothing is taken out.
    fn invented(&self, format: ApiFormat) -> bool {
        const INVENTORS: [(&str, &[ApiFormat]); 5] = [
            ("openai", &[ApiFormat::OpenaiChat, ApiFormat::OpenaiResponses, ApiFormat::OpenaiCompletions]),
            ("azure", &[ApiFormat::OpenaiChat, ApiFormat::OpenaiResponses, ApiFormat::OpenaiCompletions]),
            ("anthropic", &[ApiFormat::AnthropicMessages]),
            ("gemini", &[ApiFormat::Gemini]),
            ("vertex", &[ApiFormat::Gemini]),
        ];
        INVENTORS.iter().any(|(id, formats)| *id == self.provider.id && formats.contains(&format))
    }

    /// Whether the host itself counts tokens for this format.
    pub fn counts_tokens(&self, accepted: &Accepted) -> bool {
        self.endpoints.get(accepted.endpoint).is_some_and(|endpoint| !endpoint.count.is_empty())
    }

    /// How embeddings are written here; `None` if there are none.
    pub fn embeddings(&self) -> Option<EmbeddingFormat> {
        self.embeddings.as_ref().map(|(wire, _)| *wire)
    }

    /// Whether a caller's request for embeddings in the same format may pass as bytes.
    pub fn embeddings_unchanged(&self) -> bool {
        self.provider.embeddings.as_ref().is_some_and(|row| row.dialect.is_empty())
    }

    /// How many inputs of embeddings one call may have, where the catalog knows.
    pub fn embedding_batch(&self) -> Option<usize> {
        let batch = self.provider.embeddings.as_ref()?.batch?;
        usize::try_from(batch).ok()
    }

    /// How embeddings here differ from the inventor of their wire.
    pub fn embedding_dialect(&self) -> &Arc<Dialect> {
        &self.embedding_dialect
    }

    /// How reranking is written here; `None` if there is none.
    pub fn rerank(&self) -> Option<RerankWire> {
        self.rerank.as_ref().map(|(wire, _)| *wire)
    }

    /// Whether this surface can be passed through.
    pub fn offers(&self, surface: Surface) -> bool {
        self.surfaces.iter().any(|(offered, _)| *offered == surface)
    }

    /// The channel's overrides, then those for this model.
    pub fn overrides<'a>(&'a self, upstream_model: &'a str) -> impl Iterator<Item = &'a Overrides> {
        std::iter::once(&self.overrides).chain(self.tuned(upstream_model).map(|tuning| &tuning.overrides))
    }

    /// What the channel says about second tries: for this model first, then for all.
    pub fn retry<'a>(&'a self, upstream_model: &'a str) -> impl Iterator<Item = &'a Retry> {
        self.tuned(upstream_model).map(|tuning| &tuning.retry).chain([&self.config.retry])
    }

    /// The channel's limits on waiting for this model.
    pub fn timeouts(&self, upstream_model: &str) -> Timeouts {
        let tuned = self.tuned(upstream_model).fold(Timeouts::default(), |all, tuning| all.or(tuning.timeouts));
        tuned.or(self.config.timeouts)
    }

    fn tuned<'a>(&'a self, upstream_model: &'a str) -> impl Iterator<Item = &'a Tuning> {
        self.tunings.iter().filter(move |tuning| crate::overrides::fits(&tuning.models, upstream_model))
    }

    /// What a failed answer of this channel means. The channel's own secrets never appear in it.
    pub fn classify(&self, status: u16, headers: &HeaderMap, error: ApiError, now_ms: u64) -> GatewayError {
        let error = ApiError { message: self.redact(&error.message).into_owned(), ..error };
        classify::classify(status, headers, error, &self.provider, &self.config.name, now_ms)
    }

    /// Whether it offers embeddings and no conversations.
    pub fn is_embedder(&self) -> bool {
        self.endpoints.is_empty() && self.embeddings().is_some()
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
        let sides = sides.chain(self.models.iter().flat_map(|(_, targets)| targets));
        for target in all.chain(sides) {
            let Some(authority) = target.authority() else { continue };
            guard::check(authority, target.is_tls(), self.config.allow_link_local, own)
                .map_err(|why| ChannelError::Refused { host: authority.host().to_owned(), why })?;
        }
        Ok(())
    }
}

impl Tuning {
    fn new(from: &ModelTuning) -> Result<Self, ChannelError> {
        Ok(Self {
            models: from.models.clone(),
            timeouts: from.timeouts,
            retry: from.retry.clone(),
            overrides: compiled(&from.overrides)?,
        })
    }
}

fn compiled(overrides: &[Override]) -> Result<Overrides, ChannelError> {
    Overrides::compile(overrides).map_err(|error| ChannelError::Override(error.to_string()))
}

/// The certificates that the channel trusts beside the system's.
fn authorities(channel: &Channel, secrets: &dyn SecretResolver) -> Result<Option<Arc<str>>, ChannelError> {
    let Some(text) = &channel.ca else { return Ok(None) };
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(Some(Arc::from(text.as_str())));
    }
    let read = secrets.resolve(&SecretSource::parse(text)).map_err(ChannelError::Ca)?;
    Ok(Some(Arc::from(read.expose())))
}

/// Formats that lose most when something else is converted to them.
fn is_last_resort(format: ApiFormat) -> bool {
    matches!(format, ApiFormat::OpenaiCompletions | ApiFormat::OllamaGenerate)
}

/// The row with the channel's own idea of where the key goes (`options.auth`), for hosts that look like another vendor but want it elsewhere.
fn with_auth(provider: &Arc<Provider>, options: &Map<String, Value>) -> Result<Arc<Provider>, ChannelError> {
    let Some(style) = options.get("auth") else { return Ok(Arc::clone(provider)) };
    let auth = AuthStyle::deserialize(style).map_err(|_| ChannelError::Option("auth".to_owned()))?;
    let mut row = Provider::clone(provider);
    row.auth = auth;
    row.endpoints.iter_mut().for_each(|endpoint| endpoint.auth = None);
    if let Some(models) = &mut row.models {
        models.auth = None;
    }
    Ok(Arc::new(row))
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
