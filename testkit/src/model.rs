//! The "model" behind every mock provider: what it answers, decided from the request alone, the same every time. Knows no wire.
//!
//! - `call NAME {json}` lines in the user's text call tools when they are offered, all lines at once; a line `then` starts the next step;
//!   `use a tool` calls the first one. `NAME` alone gets arguments sampled from its schema.
//! - tool results are answered by `The tool said: …`;
//! - `say TEXT` answers `TEXT`; `repeat N TEXT` says it N times; anything else is answered by `You said: …`;
//! - a JSON Schema is answered by its smallest instance, `json` mode by `{"said": …}`;
//! - the beginning of an answer, where the host takes one, is gone on with;
//! - thinking comes when it is asked for; limits count words; stop sequences cut.

use serde_json::{Value, json};

use crate::schema;
use crate::script::Forced;
use crate::signature::digest;

/// A request as the model sees it: every wire is read into this.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// Model name as asked for.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Whether the stream shall tell usage (Chat).
    pub include_usage: bool,
    /// The last text that a person wrote.
    pub user_text: String,
    /// Texts of the tool results that stand after the last assistant turn.
    pub results: Vec<String>,
    /// Assistant turns with tool calls since [`Turn::user_text`].
    pub rounds: usize,
    /// Tools on offer.
    pub tools: Vec<ToolOffer>,
    /// Which tools may or must be called.
    pub choice: Choice,
    /// At most one call a turn.
    pub one_call: bool,
    /// Thinking is asked for.
    pub thinking: bool,
    /// Most output tokens (words).
    pub limit: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Structured output.
    pub schema: Option<Value>,
    /// Any JSON object is wanted.
    pub json: bool,
    /// Images in the last user turn, tool results included.
    pub images: usize,
    /// Documents in the last user turn.
    pub documents: usize,
    /// Answers wanted.
    pub n: usize,
    /// Words of everything that was sent.
    pub input_tokens: u64,
    /// The part of it that a cache mark covers (Anthropic, Converse).
    pub marked_tokens: u64,
    /// Digest of the marked part: whether the cache has seen it.
    pub marked_digest: String,
    /// Makes ids unique per request.
    pub seed: String,
    /// The beginning of the answer that it is to go on from.
    pub begun: Option<String>,
    /// What it begins with is said again (Mistral).
    pub repeats: bool,
}

/// A tool on offer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolOffer {
    /// Its name.
    pub name: String,
    /// The namespace it stands in (Responses).
    pub namespace: Option<String>,
    /// JSON Schema of its arguments.
    pub schema: Value,
    /// Takes free text in place of JSON (Responses, Chat).
    pub free_text: bool,
}

/// Which tools may or must be called.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Choice {
    /// The model decides.
    #[default]
    Auto,
    /// None.
    None,
    /// Any, but one.
    Any,
    /// This one.
    One(String),
}

/// What the model answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// Thinking, where asked for.
    pub thinking: Option<String>,
    /// Thinking shall be sent sealed.
    pub redacted: bool,
    /// The text.
    pub text: String,
    /// Tool calls.
    pub calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish: Finish,
    /// Counters.
    pub usage: Usage,
}

/// A tool call of the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolCall {
    /// A token to make the wire's id from: eight hex digits.
    pub seed: String,
    /// The tool's name.
    pub name: String,
    /// The tool's namespace.
    pub namespace: Option<String>,
    /// JSON object, or free text.
    pub input: CallInput,
}

/// What a tool is called with.
#[derive(Debug, Clone, PartialEq)]
pub enum CallInput {
    /// Arguments.
    Json(Value),
    /// Free text.
    Text(String),
}

impl Default for CallInput {
    fn default() -> Self {
        Self::Json(json!({}))
    }
}

impl CallInput {
    /// The arguments as a JSON object; free text becomes `{"input": …}`.
    pub fn object(&self) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Text(text) => json!({"input": text}),
        }
    }

    /// What travels in a string field.
    pub fn text(&self) -> String {
        match self {
            Self::Json(value) => value.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Finish {
    /// It was done.
    #[default]
    Stop,
    /// A stop sequence was met.
    StopSequence(String),
    /// The limit was reached.
    Length,
    /// It wants tools to run.
    Tools,
    /// A content filter stepped in.
    Filter,
}

/// Token counters: input includes cache reads and writes, output includes reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All input.
    pub input: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_write: u64,
    /// All output.
    pub output: u64,
    /// Reasoning in it.
    pub reasoning: u64,
}

/// Counts tokens as the model does: words, but at least one for any text.
pub fn tokens(text: &str) -> u64 {
    match text.split_whitespace().count() {
        0 => u64::from(!text.is_empty()),
        words => words as u64,
    }
}

/// Answers a turn. `forced` is what a script wants otherwise; `cached` tells whether the marked part was seen before.
pub fn answer(turn: &Turn, forced: &Forced, cached: bool) -> Reply {
    let mut reply = Reply { redacted: forced.redacted, ..Reply::default() };
    if turn.thinking {
        let head: String = turn.user_text.chars().take(60).collect();
        reply.thinking = Some(forced.thinking.clone().unwrap_or_else(|| format!("Let me think about this: {head}")));
    }
    reply.calls = forced.calls.clone().unwrap_or_else(|| calls(turn));
    if reply.calls.is_empty() || forced.text.is_some() {
        reply.text = forced.text.clone().unwrap_or_else(|| rest(turn, text(turn)));
        cut(turn, &mut reply);
    }
    if !reply.calls.is_empty() {
        reply.finish = Finish::Tools;
    }
    if let Some(finish) = &forced.finish {
        reply.finish = finish.clone();
    }
    reply.usage = forced.usage.unwrap_or_else(|| usage(turn, &reply, cached));
    reply
}

fn usage(turn: &Turn, reply: &Reply, cached: bool) -> Usage {
    let reasoning = reply.thinking.as_deref().map_or(0, tokens);
    let said: u64 = tokens(&reply.text) + reply.calls.iter().map(|call| 4 + tokens(&call.input.text())).sum::<u64>();
    let marked = turn.marked_tokens.min(turn.input_tokens);
    Usage {
        input: turn.input_tokens,
        cache_read: if cached { marked } else { 0 },
        cache_write: if cached { 0 } else { marked },
        output: reasoning + said,
        reasoning,
    }
}

fn calls(turn: &Turn) -> Vec<ToolCall> {
    if turn.tools.is_empty() || turn.choice == Choice::None {
        return Vec::new();
    }
    let mut wanted = match step(&turn.user_text, turn.rounds) {
        Some(step) => step.lines().filter_map(|line| asked_call(line, turn)).collect(),
        None => Vec::new(),
    };
    if wanted.is_empty() && turn.results.is_empty() {
        wanted.extend(demanded_call(turn));
    }
    if turn.one_call {
        wanted.truncate(1);
    }
    for (index, call) in wanted.iter_mut().enumerate() {
        call.seed =
            digest(&[turn.seed.as_bytes(), call.name.as_bytes(), &index.to_be_bytes()])[..].chars().take(8).collect();
    }
    wanted
}

/// The part of the user's text for this round: steps are divided by a line `then`.
fn step(text: &str, round: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    lines.split(|line| line.trim() == "then").nth(round).map(|lines| lines.join("\n"))
}

/// Reads `call NAME {json}`.
fn asked_call(line: &str, turn: &Turn) -> Option<ToolCall> {
    let rest = line.trim().strip_prefix("call ")?.trim();
    let (name, input) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let offer = find(turn, name)?;
    if let Choice::One(only) = &turn.choice
        && *only != offer.name
    {
        return None;
    }
    Some(call(offer, input.trim()))
}

/// The call that the request itself demands: `tool_choice`, or the words `use a tool`.
fn demanded_call(turn: &Turn) -> Option<ToolCall> {
    let offer = match &turn.choice {
        Choice::One(name) => find(turn, name)?,
        Choice::Any => turn.tools.first()?,
        Choice::Auto if turn.user_text.to_lowercase().contains("use a tool") => turn.tools.first()?,
        Choice::Auto | Choice::None => return None,
    };
    Some(call(offer, ""))
}

/// A tool by its name; a gateway may have put a namespace before it.
fn find<'a>(turn: &'a Turn, name: &str) -> Option<&'a ToolOffer> {
    let exact = turn.tools.iter().find(|offer| offer.name == name);
    exact.or_else(|| turn.tools.iter().find(|offer| offer.name.ends_with(name)))
}

fn call(offer: &ToolOffer, input: &str) -> ToolCall {
    let input = if offer.free_text {
        CallInput::Text(if input.is_empty() { "free text".to_owned() } else { input.to_owned() })
    } else {
        match serde_json::from_str::<Value>(input) {
            Ok(value @ Value::Object(_)) => CallInput::Json(value),
            _ => CallInput::Json(schema::sample(&offer.schema)),
        }
    };
    ToolCall { seed: String::new(), name: offer.name.clone(), namespace: offer.namespace.clone(), input }
}

fn text(turn: &Turn) -> String {
    if let Some(schema) = &turn.schema {
        return schema::sample(schema).to_string();
    }
    if turn.json {
        return json!({"said": turn.user_text}).to_string();
    }
    let seen = match (turn.images, turn.documents) {
        (0, 0) => String::new(),
        (images, documents) => format!(" (images: {images}, documents: {documents})"),
    };
    if !turn.results.is_empty() {
        return format!("The tool said: {}{seen}", turn.results.join(" | "));
    }
    let asked = turn.user_text.trim();
    if let Some(rest) = asked.strip_prefix("say ") {
        return rest.to_owned();
    }
    if let Some(repeated) = asked.strip_prefix("repeat ").and_then(repeat) {
        return repeated;
    }
    format!("You said: {asked}{seen}")
}

/// What is still to be said of `whole`. A beginning that is none of it is gone on with as it stands.
fn rest(turn: &Turn, whole: String) -> String {
    let Some(begun) = &turn.begun else { return whole };
    let rest = whole.strip_prefix(begun.as_str()).unwrap_or(" and so on");
    if turn.repeats { format!("{begun}{rest}") } else { rest.to_owned() }
}

fn repeat(rest: &str) -> Option<String> {
    let (count, word) = rest.split_once(' ')?;
    let count: usize = count.parse().ok()?;
    Some(vec![word; count.min(200_000)].join(" "))
}

/// Applies stop sequences, then the limit.
fn cut(turn: &Turn, reply: &mut Reply) {
    let first =
        turn.stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| Some((reply.text.find(stop)?, stop))).min();
    if let Some((at, stop)) = first {
        reply.text.truncate(at);
        reply.finish = Finish::StopSequence(stop.clone());
    }
    let Some(limit) = turn.limit else { return };
    let spent = reply.thinking.as_deref().map_or(0, tokens);
    let room = usize::try_from(limit.saturating_sub(spent).max(1)).unwrap_or(usize::MAX);
    if tokens(&reply.text) > room as u64 {
        reply.text = reply.text.split_whitespace().take(room).collect::<Vec<_>>().join(" ");
        reply.finish = Finish::Length;
    }
}

/// Cuts a text into the pieces in which a stream brings it: a word and the space after it.
pub fn pieces(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

/// Cuts arguments into two or three pieces at character boundaries.
pub fn fragments(text: &str) -> Vec<&str> {
    let mut cuts: Vec<usize> = [text.len() / 3, text.len() * 2 / 3].map(|at| floor_boundary(text, at)).to_vec();
    cuts.dedup();
    let mut rest = text;
    let mut taken = 0;
    let mut out = Vec::new();
    for cut in cuts {
        let (head, tail) = rest.split_at(cut - taken);
        if !head.is_empty() {
            out.push(head);
        }
        taken = cut;
        rest = tail;
    }
    if !rest.is_empty() {
        out.push(rest);
    }
    out
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
