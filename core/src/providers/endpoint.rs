//! The endpoints of one channel: which format serves which model, at which addresses, in which dialect.

use std::sync::Arc;

use myelin_protocol::{ApiFormat, Dialect};
use serde_json::{Map, Value};

use super::ChannelError;
use super::catalog::{AuthStyle, Endpoint, Provider};
use super::pattern::Pattern;
use super::template::Target;

/// How a model of a channel is to be spoken to.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The format to write.
    pub format: ApiFormat,
    /// How the host differs from the format's inventor.
    pub dialect: Arc<Dialect>,
    /// It is the caller's own format, and the body may pass as bytes but for the model's name.
    pub native: bool,
    /// It is the host of the format's inventor: nothing that a caller of the format asks for is taken out.
    pub invented: bool,
    /// Responses: the host stores no answers.
    pub stateless: bool,
    /// Which endpoint of the channel.
    pub(super) endpoint: usize,
}

/// The dialect that layers of fields amount to; later ones win. Names may be written with `_` or `-`.
pub(super) fn merged<'l>(
    layers: impl IntoIterator<Item = &'l Map<String, Value>>,
) -> Result<Arc<Dialect>, ChannelError> {
    let fields = layers.into_iter().flatten().map(|(name, value)| (name.replace('_', "-"), value.clone()));
    serde_json::from_value(Value::Object(fields.collect()))
        .map(Arc::new)
        .map_err(|error| ChannelError::Dialect(error.to_string()))
}

/// One endpoint, addresses parsed.
#[derive(Debug)]
pub(super) struct LiveEndpoint {
    pub(super) format: ApiFormat,
    pub(super) auth: AuthStyle,
    /// By base address.
    pub(super) chat: Vec<Target>,
    pub(super) stream: Vec<Target>,
    pub(super) count: Vec<Target>,
    models: Vec<Pattern>,
    except: Vec<Pattern>,
    prefer: Vec<Pattern>,
    /// Only asked to go on with an answer that broke off elsewhere.
    pub(super) resumes: bool,
    /// Stores no answers.
    pub(super) stateless: bool,
    dialect: Arc<Dialect>,
    overrides: Vec<(Vec<Pattern>, Arc<Dialect>)>,
}

/// Paths of an endpoint: a conversation, a streamed one, counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) chat: String,
    pub(super) stream: String,
    pub(super) count: Option<String>,
}

/// The usual paths of a format: conversation, stream, count.
fn usual(format: ApiFormat) -> (&'static str, &'static str, &'static str) {
    match format {
        ApiFormat::OpenaiChat => ("/chat/completions", "/chat/completions", ""),
        ApiFormat::OpenaiCompletions => ("/completions", "/completions", ""),
        ApiFormat::OpenaiResponses => ("/responses", "/responses", "/responses/input_tokens"),
        ApiFormat::AnthropicMessages => ("/v1/messages", "/v1/messages", "/v1/messages/count_tokens"),
        ApiFormat::Gemini => (
            "/v1beta/models/{model}:generateContent",
            "/v1beta/models/{model}:streamGenerateContent?alt=sse",
            "/v1beta/models/{model}:countTokens",
        ),
        ApiFormat::BedrockConverse => {
            ("/model/{model}/converse", "/model/{model}/converse-stream", "/model/{model}/count-tokens")
        }
        ApiFormat::OllamaChat => ("/api/chat", "/api/chat", ""),
        ApiFormat::OllamaGenerate => ("/api/generate", "/api/generate", ""),
        ApiFormat::Dify => ("/chat-messages", "/chat-messages", ""),
    }
}

impl Paths {
    /// The row's paths, the format's usual ones where it has none. A path of its own serves streams too, unless they have one.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let (chat, stream, count) = usual(endpoint.format);
        let stream = endpoint.stream_path.as_ref().or(endpoint.path.as_ref()).map_or(stream, String::as_str).to_owned();
        let chat = endpoint.path.as_deref().unwrap_or(chat).to_owned();
        let count = endpoint.count_path.as_deref().or((endpoint.count && !count.is_empty()).then_some(count));
        Self { chat, stream, count: count.map(str::to_owned) }
    }
}

/// Addresses of an endpoint, by base address.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) chat: Vec<Target>,
    pub(super) stream: Vec<Target>,
    pub(super) count: Vec<Target>,
}

impl LiveEndpoint {
    /// An endpoint of a channel of `provider`; `custom` is the channel's own dialect, which wins.
    pub(super) fn new(
        provider: &Provider,
        endpoint: &Endpoint,
        custom: &Map<String, Value>,
        targets: Targets,
    ) -> Result<Self, ChannelError> {
        let dialect = |more: Option<&Map<String, Value>>| {
            let layers = [Some(&endpoint.dialect), more, Some(custom)];
            merged(layers.into_iter().flatten())
        };
        let overrides = provider
            .overrides
            .iter()
            .filter(|rule| rule.format.is_none_or(|format| format == endpoint.format))
            .map(|rule| Ok((rule.models.clone(), dialect(Some(&rule.dialect))?)))
            .collect::<Result<_, ChannelError>>()?;
        Ok(Self {
            format: endpoint.format,
            auth: endpoint.auth.unwrap_or(provider.auth),
            chat: targets.chat,
            stream: targets.stream,
            count: targets.count,
            models: endpoint.models.clone(),
            except: endpoint.except.clone(),
            prefer: endpoint.prefer.clone(),
            resumes: endpoint.resumes,
            stateless: endpoint.stateless,
            dialect: dialect(None)?,
            overrides,
        })
    }

    /// Whether it serves the model.
    pub(super) fn serves(&self, model: &str) -> bool {
        (self.models.is_empty() || Pattern::any(&self.models, model)) && !Pattern::any(&self.except, model)
    }

    /// Whether it goes before the endpoints above it for this model.
    pub(super) fn preferred(&self, model: &str) -> bool {
        Pattern::any(&self.prefer, model)
    }

    /// How to speak to it about this model.
    pub(super) fn dialect(&self, model: &str) -> &Arc<Dialect> {
        self.overrides
            .iter()
            .find(|(models, _)| Pattern::any(models, model))
            .map_or(&self.dialect, |(_, dialect)| dialect)
    }
}
