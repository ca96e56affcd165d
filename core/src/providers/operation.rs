//! What can be asked of a provider.

use http::{HeaderMap, Method};

use super::{Accepted, Surface};

/// What is asked of a provider.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// A conversation, in the format of `accepted`.
    Chat {
        /// What [`super::LiveChannel::accepts`] said.
        accepted: &'a Accepted,
        /// The answer shall stream.
        stream: bool,
    },
    /// Counting a conversation's tokens, in the format of `accepted`; only where [`super::LiveChannel::counts_tokens`].
    CountTokens {
        /// What [`super::LiveChannel::accepts`] said.
        accepted: &'a Accepted,
    },
    /// Embeddings, written as [`super::LiveChannel::embeddings`] says.
    Embeddings,
    /// Reranking, written as [`super::LiveChannel::rerank`] says.
    Rerank,
    /// Below the Responses endpoint: `resp_…` (GET, DELETE), `resp_…/cancel`, `resp_…/input_items`, `input_tokens`, `compact`.
    Responses {
        /// As the caller's.
        method: &'a Method,
        /// Path after `/responses/`.
        tail: &'a str,
    },
    /// An OpenAI-shaped surface that passes through (`POST`); only where [`super::LiveChannel::offers`].
    Surface {
        /// Which.
        surface: Surface,
        /// Path after its segment (`generations`, `speech`); may be empty.
        tail: &'a str,
    },
    /// The model list; `page` is the query for a further page, if there are more.
    Models {
        /// Query of the page (`after_id=…`, `pageToken=…`).
        page: Option<&'a str>,
    },
}

/// What a caller sent beside the body. Only what is known to be harmless and useful goes on; a caller's key never does.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientHead<'a> {
    /// The caller's headers, if there is a caller.
    pub headers: Option<&'a HeaderMap>,
    /// The caller's query.
    pub query: Option<&'a str>,
}
