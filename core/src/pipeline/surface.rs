//! Which surface a path means: the one table of inference addresses. Pure; what a surface *does* is the pipeline's business.

use http::{HeaderMap, HeaderName, Method};
use myelin_protocol::ApiFormat;
use myelin_protocol::formats::embeddings::EmbeddingFormat;

use super::aside::Aside;
use crate::providers;

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surface {
    /// An answer in a conversation.
    Chat {
        /// The caller's format.
        format: ApiFormat,
        /// The model, where the path names it (Gemini).
        model: Option<String>,
        /// Whether the path asks for a stream (Gemini).
        stream: Option<bool>,
    },
    /// How many tokens a conversation has.
    CountTokens {
        /// The caller's format.
        format: ApiFormat,
        /// The model, where the path names it (Gemini).
        model: Option<String>,
    },
    /// Vectors.
    Embeddings {
        /// The caller's format.
        format: EmbeddingFormat,
        /// The model, where the path names it (Gemini).
        model: Option<String>,
        /// Several requests in one body (Gemini's `batchEmbedContents`).
        batch: bool,
    },
    /// The model list.
    Models {
        /// Whose shape of list.
        format: ApiFormat,
    },
    /// One model.
    Model {
        /// Whose shape.
        format: ApiFormat,
        /// Its name.
        id: String,
    },
    /// A stored response (Responses).
    StoredResponse {
        /// Its id.
        id: String,
        /// What to do with it.
        action: StoredAction,
    },
    /// Compaction of a conversation (Responses).
    Compact,
    /// Details of one model (Ollama's `POST /api/show`).
    OllamaShow,
    /// Ollama's version.
    OllamaVersion,
    /// What Ollama has loaded.
    OllamaLoaded,
    /// Moderations, images, audio, reranking.
    Aside(Aside),
    /// Earlier messages of a Dify conversation.
    DifyMessages,
    /// No address of ours; answered in the format that the path suggests.
    Unknown {
        /// That format.
        format: ApiFormat,
    },
}

/// What to do with a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredAction {
    /// `GET /v1/responses/{id}`.
    Get,
    /// `DELETE /v1/responses/{id}`.
    Delete,
    /// `GET /v1/responses/{id}/input_items`.
    InputItems,
    /// `POST /v1/responses/{id}/cancel`.
    Cancel,
}

impl Surface {
    /// The format that errors are rendered in.
    pub fn error_format(&self) -> ApiFormat {
        match self {
            Surface::Chat { format, .. }
            | Surface::CountTokens { format, .. }
            | Surface::Models { format }
            | Surface::Model { format, .. }
            | Surface::Unknown { format } => *format,
            Surface::Embeddings { format: EmbeddingFormat::Gemini, .. } => ApiFormat::Gemini,
            Surface::Embeddings { format: EmbeddingFormat::Ollama, .. }
            | Surface::OllamaShow
            | Surface::OllamaVersion
            | Surface::OllamaLoaded => ApiFormat::OllamaChat,
            Surface::Embeddings { .. } | Surface::Aside(_) => ApiFormat::OpenaiChat,
            Surface::StoredResponse { .. } | Surface::Compact => ApiFormat::OpenaiResponses,
            Surface::DifyMessages => ApiFormat::Dify,
        }
    }

    /// The word for records: the client format, or the surface where there is none.
    pub fn label(&self) -> &'static str {
        match self {
            Surface::Chat { format, .. } => format.as_str(),
            Surface::CountTokens { .. } => "count-tokens",
            Surface::Embeddings { .. } => "embeddings",
            Surface::Models { .. }
            | Surface::Model { .. }
            | Surface::OllamaShow
            | Surface::OllamaVersion
            | Surface::OllamaLoaded => "models",
            Surface::StoredResponse { .. } => "stored-response",
            Surface::Compact => "compact",
            Surface::Aside(aside) => aside.label(),
            Surface::DifyMessages => "dify-messages",
            Surface::Unknown { .. } => "unknown",
        }
    }
}

/// Splits `/p/{profile}/rest` into the profile and the rest.
pub fn pinned_profile(path: &str) -> (Option<&str>, &str) {
    let Some(rest) = path.strip_prefix("/p/") else { return (None, path) };
    match rest.find('/') {
        Some(end) => {
            let (profile, rest) = rest.split_at(end);
            (Some(profile), rest)
        }
        None => (None, path),
    }
}

/// Which surface `method path` means. `path` has lost its profile prefix; headers decide where two formats share a path.
pub fn surface(method: &Method, path: &str, headers: &HeaderMap, query: &str) -> Surface {
    let (family, rest) = family(path);
    let unknown = Surface::Unknown { format: suggested(family, rest, headers, query) };
    let post = method == Method::POST;
    let get = method == Method::GET || method == Method::HEAD;
    let chat = |format| Surface::Chat { format, model: None, stream: None };
    match rest {
        "/v1/chat/completions" if post => chat(ApiFormat::OpenaiChat),
        "/v1/completions" if post => chat(ApiFormat::OpenaiCompletions),
        "/v1/responses" if post => chat(ApiFormat::OpenaiResponses),
        "/v1/responses/compact" if post => Surface::Compact,
        "/v1/responses/input_tokens" if post => {
            Surface::CountTokens { format: ApiFormat::OpenaiResponses, model: None }
        }
        "/v1/messages" if post => chat(ApiFormat::AnthropicMessages),
        "/v1/messages/count_tokens" if post => {
            Surface::CountTokens { format: ApiFormat::AnthropicMessages, model: None }
        }
        "/v1/embeddings" if post => Surface::Embeddings { format: EmbeddingFormat::Openai, model: None, batch: false },
        "/v1/models" | "/v1beta/models" | "/v1/models/" if get => {
            Surface::Models { format: suggested(family, rest, headers, query) }
        }
        "/api/chat" if post => chat(ApiFormat::OllamaChat),
        "/api/generate" if post => chat(ApiFormat::OllamaGenerate),
        "/api/embed" | "/api/embeddings" if post => {
            Surface::Embeddings { format: EmbeddingFormat::Ollama, model: None, batch: rest == "/api/embed" }
        }
        "/api/tags" if get => Surface::Models { format: ApiFormat::OllamaChat },
        "/api/show" if post => Surface::OllamaShow,
        "/api/version" if get => Surface::OllamaVersion,
        "/api/ps" if get => Surface::OllamaLoaded,
        "/v1/moderations" if post => aside(providers::Surface::Moderations, ""),
        "/v1/rerank" | "/v2/rerank" if post => Surface::Aside(Aside::Rerank),
        "/dify/v1/chat-messages" if post => chat(ApiFormat::Dify),
        "/dify/v1/messages" if get => Surface::DifyMessages,
        _ => nested(method, rest, family, headers, query).unwrap_or(unknown),
    }
}

/// Paths that carry a name.
fn nested(method: &Method, path: &str, family: Option<ApiFormat>, headers: &HeaderMap, query: &str) -> Option<Surface> {
    if let Some(rest) = path.strip_prefix("/v1/responses/") {
        return stored(method, rest);
    }
    const ASIDE: [(&str, providers::Surface); 2] =
        [("/v1/images/", providers::Surface::Images), ("/v1/audio/", providers::Surface::Audio)];
    if let Some((tail, surface)) = ASIDE.iter().find_map(|(start, surface)| Some((path.strip_prefix(start)?, *surface)))
    {
        return (method == Method::POST && !tail.is_empty()).then(|| aside(surface, tail));
    }
    let model_path = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    let model_path = decode(model_path);
    if method == Method::POST {
        let (model, verb) = model_path.rsplit_once(':')?;
        let model = Some(model.strip_prefix("models/").unwrap_or(model).to_owned());
        return Some(match verb {
            "generateContent" => Surface::Chat { format: ApiFormat::Gemini, model, stream: Some(false) },
            "streamGenerateContent" => Surface::Chat { format: ApiFormat::Gemini, model, stream: Some(true) },
            "countTokens" => Surface::CountTokens { format: ApiFormat::Gemini, model },
            "embedContent" => Surface::Embeddings { format: EmbeddingFormat::Gemini, model, batch: false },
            "batchEmbedContents" => Surface::Embeddings { format: EmbeddingFormat::Gemini, model, batch: true },
            _ => return None,
        });
    }
    (method == Method::GET || method == Method::HEAD)
        .then(|| Surface::Model { format: suggested(family, path, headers, query), id: model_path })
}

fn aside(surface: providers::Surface, tail: &str) -> Surface {
    Surface::Aside(Aside::Surface { surface, tail: tail.to_owned() })
}

fn stored(method: &Method, rest: &str) -> Option<Surface> {
    let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
    let action = match (method.as_str(), action) {
        ("GET", "") => StoredAction::Get,
        ("DELETE", "") => StoredAction::Delete,
        ("GET", "input_items") => StoredAction::InputItems,
        ("POST", "cancel") => StoredAction::Cancel,
        _ => return None,
    };
    (!id.is_empty()).then(|| Surface::StoredResponse { id: id.to_owned(), action })
}

/// A family prefix in front of a format's own path: `/anthropic/v1/messages`, `/gemini/v1beta/…`, `/openai/v1/…`.
fn family(path: &str) -> (Option<ApiFormat>, &str) {
    const FAMILIES: [(&str, ApiFormat); 3] = [
        ("/anthropic", ApiFormat::AnthropicMessages),
        ("/gemini", ApiFormat::Gemini),
        ("/openai", ApiFormat::OpenaiChat),
    ];
    FAMILIES
        .into_iter()
        .find_map(|(prefix, format)| {
            path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).map(|rest| (Some(format), rest))
        })
        .unwrap_or((None, path))
}

static GOOGLE_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
static ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The format that a path without a table row most likely wants.
fn suggested(family: Option<ApiFormat>, path: &str, headers: &HeaderMap, query: &str) -> ApiFormat {
    if let Some(family) = family {
        return family;
    }
    let starts = |prefix| path.starts_with(prefix);
    if starts("/v1beta/") || headers.contains_key(&GOOGLE_KEY) || query.split('&').any(|pair| pair.starts_with("key="))
    {
        ApiFormat::Gemini
    } else if starts("/v1/messages") || headers.contains_key(&ANTHROPIC_VERSION) {
        ApiFormat::AnthropicMessages
    } else if starts("/v1/responses") {
        ApiFormat::OpenaiResponses
    } else if starts("/api/") {
        ApiFormat::OllamaChat
    } else if starts("/dify/") {
        ApiFormat::Dify
    } else {
        ApiFormat::OpenaiChat
    }
}

/// The methods that `path` takes, if it is one of ours.
pub(super) fn methods(path: &str, headers: &HeaderMap, query: &str) -> Vec<Method> {
    let known = |method: &Method| !matches!(surface(method, path, headers, query), Surface::Unknown { .. });
    [Method::GET, Method::POST, Method::DELETE].into_iter().filter(known).collect()
}

/// Undoes percent-encoding, for model names with `/` or `:`.
pub(super) fn decode(path: &str) -> String {
    if !path.contains('%') {
        return path.to_owned();
    }
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                plain.push(decoded);
                at += 3;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> Surface {
        surface(&method.parse().unwrap(), path, &HeaderMap::new(), "")
    }

    #[test]
    fn every_address_of_the_product_page_is_known() {
        let gemini = |stream| Surface::Chat {
            format: ApiFormat::Gemini,
            model: Some("gemini-3-pro".into()),
            stream: Some(stream),
        };
        assert_eq!(of("POST", "/v1beta/models/gemini-3-pro:generateContent"), gemini(false));
        assert_eq!(of("POST", "/v1/models/gemini-3-pro:streamGenerateContent"), gemini(true));
        assert_eq!(of("POST", "/gemini/v1beta/models/gemini-3-pro:streamGenerateContent"), gemini(true));
        for (path, format) in [
            ("/v1/chat/completions", ApiFormat::OpenaiChat),
            ("/v1/completions", ApiFormat::OpenaiCompletions),
            ("/v1/responses", ApiFormat::OpenaiResponses),
            ("/v1/messages", ApiFormat::AnthropicMessages),
            ("/anthropic/v1/messages", ApiFormat::AnthropicMessages),
            ("/api/chat", ApiFormat::OllamaChat),
            ("/api/generate", ApiFormat::OllamaGenerate),
            ("/dify/v1/chat-messages", ApiFormat::Dify),
        ] {
            assert_eq!(of("POST", path), Surface::Chat { format, model: None, stream: None }, "{path}");
        }
        assert_eq!(of("GET", "/v1beta/models"), Surface::Models { format: ApiFormat::Gemini });
        assert_eq!(of("GET", "/anthropic/v1/models"), Surface::Models { format: ApiFormat::AnthropicMessages });
        assert_eq!(
            of("GET", "/v1/models/meta%2Fllama"),
            Surface::Model { format: ApiFormat::OpenaiChat, id: "meta/llama".into() }
        );
        assert_eq!(
            of("GET", "/v1/responses/resp_1/input_items"),
            Surface::StoredResponse { id: "resp_1".into(), action: StoredAction::InputItems }
        );
    }

    #[test]
    fn what_lies_beside_conversations_has_its_addresses() {
        for (path, surface, tail) in [
            ("/v1/moderations", providers::Surface::Moderations, ""),
            ("/v1/images/generations", providers::Surface::Images, "generations"),
            ("/openai/v1/images/edits", providers::Surface::Images, "edits"),
            ("/v1/audio/transcriptions", providers::Surface::Audio, "transcriptions"),
        ] {
            assert_eq!(of("POST", path), aside(surface, tail), "{path}");
            assert_eq!(of("GET", path), Surface::Unknown { format: ApiFormat::OpenaiChat }, "{path}");
        }
        assert_eq!(of("POST", "/v1/rerank"), Surface::Aside(Aside::Rerank));
        assert_eq!(of("POST", "/v1/images/"), Surface::Unknown { format: ApiFormat::OpenaiChat });
    }

    #[test]
    fn a_wrong_address_is_answered_in_the_format_it_suggests() {
        for (path, format) in [
            ("/v1/nothing", ApiFormat::OpenaiChat),
            ("/anthropic/v1/nothing", ApiFormat::AnthropicMessages),
            ("/v1beta/models/x:dance", ApiFormat::Gemini),
            ("/api/pull", ApiFormat::OllamaChat),
            ("/dify/v1/audio-to-text", ApiFormat::Dify),
            ("/v1/responses/", ApiFormat::OpenaiResponses),
        ] {
            assert_eq!(of("POST", path), Surface::Unknown { format }, "{path}");
        }
    }

    #[test]
    fn an_address_knows_its_methods() {
        let methods = |path: &str| methods(path, &HeaderMap::new(), "");
        assert_eq!(methods("/v1/chat/completions"), [Method::POST]);
        assert_eq!(methods("/anthropic/v1/models"), [Method::GET]);
        assert_eq!(methods("/v1/responses/resp_1"), [Method::GET, Method::DELETE]);
        assert!(methods("/v1/nothing").is_empty());
    }

    #[test]
    fn a_profile_can_be_pinned_by_path() {
        assert_eq!(pinned_profile("/p/cheap/v1/messages"), (Some("cheap"), "/v1/messages"));
        assert_eq!(pinned_profile("/v1/messages"), (None, "/v1/messages"));
        assert_eq!(pinned_profile("/p/cheap"), (None, "/p/cheap"));
    }
}
