//! What routing asks about a request. Answers that cost something are only asked for when a rule or a strategy needs them.

/// What routing asks about a request.
pub trait Query {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// The tool that sent it.
    fn tool(&self) -> Option<&str>;
    /// The client format or surface.
    fn format(&self) -> &str;
    /// Whether a stream is wanted.
    fn stream(&self) -> bool;
    /// A header.
    fn header(&self, name: &str) -> Option<&str>;
    /// A field of the request's metadata.
    fn metadata(&mut self, name: &str) -> Option<String>;
    /// How many tokens the prompt has, about.
    fn tokens(&mut self) -> u64;
    /// The most tokens that the caller wants back.
    fn max_output(&mut self) -> Option<u64>;
    /// Whether it holds images.
    fn images(&mut self) -> bool;
    /// Whether it asks for thinking.
    fn thinking(&mut self) -> bool;
    /// Tags that it names.
    fn tags(&mut self) -> Vec<String>;
}

/// A request as somebody describes it, for `explain` and for surfaces without a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Described {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// The tool.
    pub tool: Option<String>,
    /// The client format or surface.
    pub format: String,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Metadata.
    pub metadata: Vec<(String, String)>,
    /// Tokens of the prompt.
    pub tokens: u64,
    /// The most tokens wanted back.
    pub max_output: Option<u64>,
    /// Whether it holds images.
    pub images: bool,
    /// Whether it asks for thinking.
    pub thinking: bool,
    /// Tags.
    pub tags: Vec<String>,
}

impl Query for Described {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn tool(&self) -> Option<&str> {
        self.tool.as_deref()
    }

    fn format(&self) -> &str {
        &self.format
    }

    fn stream(&self) -> bool {
        self.stream
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn metadata(&mut self, name: &str) -> Option<String> {
        self.metadata.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }

    fn tokens(&mut self) -> u64 {
        self.tokens
    }

    fn max_output(&mut self) -> Option<u64> {
        self.max_output
    }

    fn images(&mut self) -> bool {
        self.images
    }

    fn thinking(&mut self) -> bool {
        self.thinking
    }

    fn tags(&mut self) -> Vec<String> {
        self.tags.clone()
    }
}
