//! What a path means, after the provider's segment.

/// An operation of some wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// OpenAI Chat Completions; the deployment of Azure's classic path.
    Chat(Option<String>),
    /// OpenAI Completions.
    Completions,
    /// OpenAI Responses.
    Responses,
    /// `…/responses/input_tokens`.
    ResponsesCount,
    /// `…/responses/compact`.
    ResponsesCompact,
    /// `…/responses/{id}`, GET or DELETE.
    StoredResponse(String),
    /// OpenAI embeddings.
    Embeddings,
    /// Cohere's `v2/embed`.
    CohereEmbed,
    /// Anthropic Messages.
    Messages,
    /// `…/messages/count_tokens`.
    MessagesCount,
    /// `models/{model}:{verb}` of Gemini or Vertex AI; the publisher, if the path names one.
    Google {
        /// `google` or `anthropic`.
        publisher: Option<String>,
        /// The model.
        model: String,
        /// `generateContent` …
        verb: String,
    },
    /// `/model/{id}/{verb}` of Bedrock.
    Bedrock {
        /// The model's id, percent-decoded.
        model: String,
        /// `converse`, `converse-stream` …
        verb: String,
    },
    /// `/api/{verb}` of Ollama.
    Ollama(String),
    /// Dify's `chat-messages`.
    DifyChat,
    /// A list of models, or one of them.
    Models(Option<String>),
    /// An OAuth token endpoint.
    Token,
}

/// Reads the path after the provider's segment.
pub(crate) fn endpoint(path: &str) -> Option<Endpoint> {
    let segments: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(percent_decode).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    if let Some(found) = google(&words).or_else(|| bedrock(&words)) {
        return Some(found);
    }
    Some(match words.as_slice() {
        ["openai", "deployments", deployment, "chat", "completions"] => Endpoint::Chat(Some((*deployment).to_owned())),
        [.., "chat", "completions"] => Endpoint::Chat(None),
        [.., "completions"] => Endpoint::Completions,
        [.., "responses"] => Endpoint::Responses,
        [.., "responses", "input_tokens"] => Endpoint::ResponsesCount,
        [.., "responses", "compact"] => Endpoint::ResponsesCompact,
        [.., "responses", id] => Endpoint::StoredResponse((*id).to_owned()),
        [.., "embeddings"] => Endpoint::Embeddings,
        ["v2", "embed"] => Endpoint::CohereEmbed,
        [.., "v1", "messages", "count_tokens"] => Endpoint::MessagesCount,
        [.., "chat-messages"] => Endpoint::DifyChat,

        [.., "v1", "messages"] => Endpoint::Messages,
        ["api", verb] => Endpoint::Ollama((*verb).to_owned()),
        [.., "models"] => Endpoint::Models(None),
        [.., "models", id] => Endpoint::Models(Some((*id).to_owned())),
        ["token"] => Endpoint::Token,
        _ => return None,
    })
}

fn google(words: &[&str]) -> Option<Endpoint> {
    let (last, before) = words.split_last()?;
    let (model, verb) = last.rsplit_once(':')?;
    if before.last() != Some(&"models") {
        return None;
    }
    let publisher = before
        .iter()
        .position(|word| *word == "publishers")
        .and_then(|at| before.get(at + 1))
        .map(|word| (*word).to_owned());
    Some(Endpoint::Google { publisher, model: model.to_owned(), verb: verb.to_owned() })
}

fn bedrock(words: &[&str]) -> Option<Endpoint> {
    match words {
        ["model", model, verb] => Some(Endpoint::Bedrock { model: (*model).to_owned(), verb: (*verb).to_owned() }),
        _ => None,
    }
}

/// Undoes percent-encoding; what is no valid escape stays.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut ahead = bytes.clone();
        let digits = ahead.next().zip(ahead.next());
        let value =
            digits.and_then(|(high, low)| Some(char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(decoded) => {
                out.push(decoded);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_their_providers_document() {
        let cases = [
            ("/v1/chat/completions", Endpoint::Chat(None)),
            ("/openai/deployments/d/chat/completions", Endpoint::Chat(Some("d".into()))),
            ("/openai/v1/responses", Endpoint::Responses),
            ("/v1/responses/resp_1", Endpoint::StoredResponse("resp_1".into())),
            ("/anthropic/v1/messages", Endpoint::Messages),
            ("/v1/messages/count_tokens", Endpoint::MessagesCount),
            (
                "/v1beta/models/g:countTokens",
                Endpoint::Google { publisher: None, model: "g".into(), verb: "countTokens".into() },
            ),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/c@1:rawPredict",
                Endpoint::Google {
                    publisher: Some("anthropic".into()),
                    model: "c@1".into(),
                    verb: "rawPredict".into(),
                },
            ),
            (
                "/model/anthropic.c-v1%3A0/converse",
                Endpoint::Bedrock { model: "anthropic.c-v1:0".into(), verb: "converse".into() },
            ),
            ("/api/chat", Endpoint::Ollama("chat".into())),
            ("/v1/models", Endpoint::Models(None)),
        ];
        for (path, expected) in cases {
            assert_eq!(endpoint(path), Some(expected), "{path}");
        }
        assert_eq!(endpoint("/nowhere"), None);
    }

    #[test]
    fn percent_escapes_are_undone_and_broken_ones_stay() {
        assert_eq!(percent_decode("a%3Ab%2fc"), "a:b/c");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz"), "%zz");
    }
}
