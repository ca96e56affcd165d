//! Same format on both sides: may the bytes pass, and what has to be cut into them.
//!
//! Top-level fields can be cut (model, limits under another name, fields that the host refuses). What lies deeper cannot: then the request is
//! converted from its format to the same format, which keeps every field that the unified model has no word for.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use myelin_protocol::dialect::{MaxTokensField, ReasoningRequest, ReplayReasoning, ToolCallIds};
use myelin_protocol::envelope::Edits;
use myelin_protocol::ir::Loss;
use myelin_protocol::{ApiFormat, Dialect};
use serde_json::{Map, Value};

use crate::providers::Accepted;

/// A reason to convert: this text in the body, at a host whose dialect says so.
struct Deep {
    applies: fn(&Dialect) -> bool,
    /// Any of these in the body.
    texts: Vec<Finder<'static>>,
}

impl Deep {
    fn new(applies: fn(&Dialect) -> bool, texts: &[&'static str]) -> Self {
        Self { applies, texts: texts.iter().map(|text| Finder::new(*text)).collect() }
    }
}

/// What Chat hosts refuse below the top level. The texts are keys or values with their quotes, so that prose rarely matches; a false match costs a conversion.
static CHAT: LazyLock<[Deep; 12]> = LazyLock::new(|| {
    [
        Deep::new(|host| host.no_developer_role, &["\"developer\""]),
        Deep::new(|host| !host.cache_control, &["\"cache_control\""]),
        Deep::new(
            |host| host.replay_reasoning == ReplayReasoning::Never,
            &["\"reasoning_content\"", "\"reasoning_details\"", "\"reasoning\""],
        ),
        Deep::new(|host| host.replay_reasoning == ReplayReasoning::ToolTurns, &["\"tool_calls\""]),
        Deep::new(|host| host.tool_call_ids == ToolCallIds::NineAlphanumeric, &["\"tool_calls\""]),
        Deep::new(|host| host.required_is_any, &["\"required\""]),
        Deep::new(|host| host.no_json_schema, &["\"json_schema\""]),
        Deep::new(|host| host.no_strict, &["\"strict\""]),
        Deep::new(|host| host.no_images, &["\"image_url\""]),
        Deep::new(|host| host.no_custom_tools, &["\"custom\""]),
        Deep::new(|host| host.reasoning_request != ReasoningRequest::Effort, &["\"reasoning_effort\""]),
        Deep::new(|host| host.think_tags, &["\"reasoning_content\"", "\"reasoning_details\""]),
    ]
});

static ANTHROPIC: LazyLock<[Deep; 1]> =
    LazyLock::new(|| [Deep::new(|host| host.no_inline_system, &["\"role\":\"system\"", "\"role\": \"system\""])]);

/// What large bodies hardly ever hold: words of another format.
const RARE: [&str; 4] = ["\"cache_control\"", "\"role\":\"system\"", "\"role\": \"system\"", WRAPPED];

/// Every format can carry a blob of another maker that its client holds for it (see `myelin_protocol::opaque`): never to be passed on.
const WRAPPED: &str = "\"myl1:";

static WRAPPED_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WRAPPED));

/// The texts in a body that mean that something deeper than the top level has to change.
fn reasons(host: Host<'_>) -> impl Iterator<Item = &'static Finder<'static>> {
    let Host { format, dialect, invented, .. } = host;
    let rules: &'static [Deep] = match format {
        // The inventor's callers say what they mean.
        _ if invented => &[],
        ApiFormat::OpenaiChat if dialect != &Dialect::default() => &*CHAT,
        ApiFormat::AnthropicMessages if dialect != &Dialect::default() => &*ANTHROPIC,
        _ => &[],
    };
    let applying = rules.iter().filter(move |rule| (rule.applies)(dialect));
    applying.flat_map(|rule| &rule.texts).chain([&*WRAPPED_FINDER])
}

/// Whether something deeper than the top level has to change.
pub(crate) fn needs_tree(host: Host<'_>, body: &[u8]) -> bool {
    reasons(host).any(|text| text.find(body).is_some())
}

/// The texts that a body must not hold if it is passed on while it arrives; `None` if one of them is usual enough that the rest of a large body is
/// likely to hold it: then it is better to wait.
pub(crate) fn rare_reasons(host: Host<'_>) -> Option<Vec<&'static str>> {
    let texts: Vec<&'static str> = reasons(host).filter_map(|text| str::from_utf8(text.needle()).ok()).collect();
    texts.iter().all(|text| RARE.contains(text)).then_some(texts)
}

/// The least budget for thinking that Messages takes.
const LEAST_BUDGET: u64 = 1_024;

/// `thinking` as Messages takes it, and what changes by that; `None`: it does already, or is none of ours to judge. A budget below the least is refused by every host, and
/// Claude Code's side requests have one: it is raised, or thinking is left out where the whole answer has no room for it. A budget that is too large is not
/// judged: with interleaved thinking it may be larger than `max_tokens`.
pub(crate) fn thinking(format: ApiFormat, asked: Option<&[u8]>, max_tokens: Option<u64>) -> Option<(Value, Loss)> {
    let asked = asked.filter(|_| format == ApiFormat::AnthropicMessages)?;
    let mut thinking: Map<String, Value> = serde_json::from_slice(asked).ok()?;
    let budget = thinking.get("budget_tokens")?.as_u64()?;
    if budget >= LEAST_BUDGET || thinking.get("type").and_then(Value::as_str) != Some("enabled") {
        return None;
    }
    let field = "thinking.budget_tokens";
    if max_tokens.is_some_and(|most| most <= LEAST_BUDGET) {
        let disabled = serde_json::json!({"type": "disabled"});
        return Some((disabled, Loss::new(field, format, "is below 1024, and max_tokens leaves no room for more")));
    }
    thinking.insert("budget_tokens".to_owned(), LEAST_BUDGET.into());
    Some((thinking.into(), Loss::new(field, format, "raised to the least budget of 1024")))
}

/// To whom the bytes go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    /// The format on both sides.
    pub format: ApiFormat,
    /// How the host speaks it.
    pub dialect: &'a Dialect,
    /// It is the inventor's own: nothing that a caller asks for is taken out.
    pub invented: bool,
    /// It stores no answers: what is said about storing them is for us.
    pub stateless: bool,
}

impl<'a> Host<'a> {
    /// The host of an endpoint.
    pub(crate) fn of(accepted: &'a Accepted) -> Self {
        let Accepted { format, dialect, invented, stateless, .. } = accepted;
        Self { format: *format, dialect, invented: *invented, stateless: *stateless }
    }
}

/// What the model is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// By the caller.
    pub asked: &'a str,
    /// By the provider.
    pub upstream: &'a str,
}

/// What to cut into the bytes, and what is lost by it. `has` tells which top-level fields there are; while that is not known yet, say yes to all: what is not
/// there is not cut.
pub(crate) fn edits(
    has: impl Fn(&str) -> bool,
    host: Host<'_>,
    names: Names<'_>,
    stream: bool,
    set: &Map<String, Value>,
) -> (Edits, Vec<Loss>) {
    let Names { asked, upstream } = names;
    let Host { format, dialect, invented, stateless } = host;
    let mut edits = Edits::new();
    let mut losses = Vec::new();
    // Where the path names the model, or the key does, the body has no place for it.
    let in_body = !matches!(format, ApiFormat::Gemini | ApiFormat::BedrockConverse | ApiFormat::Dify);
    if in_body && asked != upstream {
        edits.model(upstream);
    }
    if let (ApiFormat::AnthropicMessages, Some(version)) = (format, &dialect.anthropic_version) {
        edits.remove("model").remove("stream").set("anthropic_version", &Value::from(version.as_str()));
    }
    if matches!(format, ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions) {
        if stream && !dialect.no_stream_options {
            edits.include_usage();
        }
        if dialect.no_stream_options && has("stream_options") {
            edits.remove("stream_options");
        }
    }
    if format == ApiFormat::OpenaiChat {
        if dialect.max_tokens == MaxTokensField::MaxTokens && has("max_completion_tokens") {
            edits.rename("max_completion_tokens", "max_tokens");
        }
        for (refused, field) in [(dialect.no_parallel_tool_calls, "parallel_tool_calls"), (dialect.no_n, "n")] {
            if refused && has(field) {
                edits.remove(field);
                losses.push(Loss::new(field, format, "is refused by this host"));
            }
        }
    }
    for field in ["store", "previous_response_id"] {
        if stateless && has(field) {
            edits.remove(field);
        }
    }
    // The inventor's callers get the inventor's own answer to what they ask.
    for field in dialect.unsupported.iter().filter(|_| !invented) {
        if has(field) {
            edits.remove(field.clone());
            losses.push(Loss::new(field.clone(), format, "is refused by this host"));
        }
    }
    for (field, value) in &dialect.defaults {
        edits.set_default(field.clone(), value);
    }
    for (field, value) in set {
        edits.set(field.clone(), value);
    }
    (edits, losses)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use myelin_protocol::envelope::Envelope;

    use super::*;

    fn chat(dialect: &Dialect) -> Host<'_> {
        Host { format: ApiFormat::OpenaiChat, dialect, invented: false, stateless: false }
    }

    fn spliced(body: &str, dialect: &Dialect, stream: bool) -> (String, Vec<Loss>) {
        let envelope = Envelope::read(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let names = Names { asked: "fast", upstream: "gpt-5-mini" };
        let has = |field: &str| envelope.contains(field);
        let (known, losses) = edits(has, chat(dialect), names, stream, &Map::new());
        let (unknown, _) = edits(|_| true, chat(dialect), names, stream, &Map::new());
        let as_it_arrives = envelope.splice(&unknown).unwrap();
        let edits = known;
        let pieces = envelope.splice(&edits).unwrap();
        assert_eq!(pieces.concat(), as_it_arrives.concat());
        (pieces.iter().map(|piece| String::from_utf8_lossy(piece)).collect(), losses)
    }

    #[test]
    fn only_the_model_changes_at_the_inventor() {
        let body = r#"{ "model" : "fast", "unknown":[1,  2], "messages":[] }"#;
        let (sent, losses) = spliced(body, &Dialect::default(), false);
        assert_eq!(sent, r#"{ "model" : "gpt-5-mini", "unknown":[1,  2], "messages":[] }"#);
        assert!(losses.is_empty());
    }

    #[test]
    fn case_36_usage_is_always_asked_for_in_streams() {
        let (sent, _) = spliced(r#"{"model":"fast","stream":true}"#, &Dialect::default(), true);
        assert_eq!(sent, r#"{"model":"gpt-5-mini","stream":true,"stream_options":{"include_usage":true}}"#);
    }

    #[test]
    fn case_21_limits_survive_renames_and_refused_fields_are_reported() {
        let host = Dialect {
            max_tokens: MaxTokensField::MaxTokens,
            unsupported: vec!["logit_bias".into()],
            ..Dialect::default()
        };
        let (sent, losses) = spliced(r#"{"model":"fast","max_completion_tokens":9,"logit_bias":{}}"#, &host, false);
        assert_eq!(sent, r#"{"model":"gpt-5-mini","max_tokens":9}"#);
        assert_eq!(losses.len(), 1);
    }

    #[test]
    fn what_is_said_about_storing_stays_here_where_the_host_stores_nothing() {
        let body = br#"{"model":"m","store":true,"previous_response_id":null,"input":"hi"}"#;
        let envelope = Envelope::read(Bytes::from_static(body)).unwrap();
        let dialect = Dialect::default();
        for (stateless, expected) in [(true, r#"{"model":"m","input":"hi"}"#), (false, str::from_utf8(body).unwrap())] {
            let host = Host { format: ApiFormat::OpenaiResponses, stateless, ..chat(&dialect) };
            let names = Names { asked: "m", upstream: "m" };
            let (edits, losses) = edits(|field| envelope.contains(field), host, names, false, &Map::new());
            assert_eq!(envelope.splice(&edits).unwrap().concat(), expected.as_bytes());
            assert!(losses.is_empty(), "it is kept here");
        }
    }

    #[test]
    fn what_lies_deeper_makes_a_conversion() {
        let host = Dialect { no_developer_role: true, ..Dialect::default() };
        let body = br#"{"messages":[{"role":"developer","content":"x"}]}"#;
        assert!(needs_tree(chat(&host), body));
        assert!(!needs_tree(chat(&Dialect::default()), body));
        assert!(!needs_tree(chat(&host), br#"{"messages":[{"role":"user"}]}"#));
    }

    #[test]
    fn case_09_a_budget_that_no_host_takes_is_raised_or_left_out_on_the_native_wire() {
        let clamped = |asked: &str, most| {
            thinking(ApiFormat::AnthropicMessages, Some(asked.as_bytes()), most).map(|(value, _)| value.to_string())
        };
        let small = r#"{"type":"enabled","budget_tokens":512,"display":"omitted"}"#;
        let raised = r#"{"type":"enabled","budget_tokens":1024,"display":"omitted"}"#;
        assert_eq!(clamped(small, Some(4096)).as_deref(), Some(raised));
        assert_eq!(clamped(small, None).as_deref(), Some(raised));
        assert_eq!(clamped(small, Some(1024)).as_deref(), Some(r#"{"type":"disabled"}"#));
        for fine in
            [r#"{"type":"enabled","budget_tokens":1024}"#, r#"{"type":"adaptive"}"#, r#"{"type":"disabled"}"#, "7"]
        {
            assert_eq!(clamped(fine, Some(512)), None, "{fine}");
        }
        // Larger than the whole: fine with interleaved thinking.
        assert_eq!(clamped(r#"{"type":"enabled","budget_tokens":9000}"#, Some(4096)), None);
        assert!(thinking(ApiFormat::OpenaiChat, Some(small.as_bytes()), None).is_none());
    }

    #[test]
    fn a_blob_of_another_maker_is_never_passed_on() {
        let body = br#"{"messages":[{"content":[{"type":"thinking","signature":"myl1:gemini:sig:abc"}]}]}"#;
        assert!(needs_tree(Host { format: ApiFormat::AnthropicMessages, ..chat(&Dialect::default()) }, body));
    }
}
