//! The unified model → a provider's request.

use serde_json::{Map, Value};

use super::FORMAT;
use super::blocks_out::{self, BlockWriter, Reader, foreign_losses, is_plain_text};
use super::claude::Claude;
use super::thinking::{self, Mode, Plan};
use super::{schema, tools_out};
use crate::format::Lossy;
use crate::formats::body::Body;
use crate::formats::turns::{Arranged, Piece, Rules, Speaker, arrange};
use crate::formats::wishes;
use crate::ir::{ChatRequest, Loss, OutputFormat, Sampling};
use crate::json::{List, Object};
use crate::{DecodeError, Dialect};

/// The longest id of a call that is sent; the API names no limit, hosts that copy it do.
const ID_LIMIT: usize = 64;

/// Service tiers of the API, and words of other formats that mean one of them.
const SERVICE_TIERS: [(&str, &str); 3] =
    [("auto", "auto"), ("standard_only", "standard_only"), ("default", "standard_only")];

/// Writes the body of `POST /v1/messages`.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    let mut losses = Vec::new();
    let draft = Draft::new(request, dialect, &mut losses)?;
    let mut body = Body::default();
    address(&mut body, request, dialect);
    body.value("max_tokens", &draft.plan.max_tokens);
    draft.conversation(&mut body, &mut losses);
    let mut writer = BlockWriter { reader: Reader::Provider, losses: &mut losses };
    tools_out::write(&mut body, request, &draft.arranged.turns, dialect, draft.plan.on(), &mut writer);
    draft.thinking(&mut body);
    draft.output(&mut body, &mut losses);
    sampling(&mut body, request, draft.claude, draft.plan.on(), &mut losses);
    envelope(&mut body, request, dialect, &mut losses);
    let value = body.finish(dialect, FORMAT, &mut losses);
    Ok(Lossy { value, losses })
}

/// Writes the body of `POST /v1/messages/count_tokens`: the same without what only sampling needs. `model` is always there, also on Vertex.
pub(super) fn encode_count(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    let mut losses = Vec::new();
    let draft = Draft::new(request, dialect, &mut losses)?;
    let mut body = Body::default();
    body.value("model", &request.model);
    draft.conversation(&mut body, &mut losses);
    let mut writer = BlockWriter { reader: Reader::Provider, losses: &mut losses };
    tools_out::write(&mut body, request, &draft.arranged.turns, dialect, draft.plan.on(), &mut writer);
    draft.thinking(&mut body);
    let dialect = Dialect { defaults: serde_json::Map::new(), ..dialect.clone() };
    let value = body.finish(&dialect, FORMAT, &mut losses);
    Ok(Lossy { value, losses })
}

/// A request whose conversation is in order and whose thinking is decided.
struct Draft<'a> {
    request: &'a ChatRequest,
    dialect: &'a Dialect,
    claude: Option<Claude<'a>>,
    arranged: Arranged<'a>,
    plan: Plan,
}

impl<'a> Draft<'a> {
    fn new(request: &'a ChatRequest, dialect: &'a Dialect, losses: &mut Vec<Loss>) -> Result<Self, DecodeError> {
        let claude = Claude::parse(&request.model);
        let rules = Rules {
            format: FORMAT,
            fold_system: dialect.no_inline_system || claude.is_some_and(|claude| !claude.inline_system()),
            id_limit: ID_LIMIT,
            refuses: &|part, speaker| blocks_out::refusal(part, speaker, dialect),
        };
        let mut arranged = arrange(request, &rules, losses)?;
        let plan = thinking::plan(FORMAT, request, claude, dialect, &mut arranged.turns, losses);
        Ok(Self { request, dialect, claude, arranged, plan })
    }

    fn conversation(&self, body: &mut Body, losses: &mut Vec<Loss>) {
        let mut writer = BlockWriter { reader: Reader::Provider, losses };
        let instruction = self.output_instruction();
        match (self.arranged.system.as_slice(), &instruction) {
            ([], None) => {}
            ([only], None) if is_plain_text(&only.part) => {
                body.value("system", only.part.as_text().unwrap_or_default());
            }
            (pieces, instruction) => body.list("system", |list| {
                blocks(list, pieces, &mut writer);
                if let Some(text) = instruction {
                    list.object(|o| text_block(o, text));
                }
            }),
        }
        body.list("messages", |list| {
            for turn in &self.arranged.turns {
                list.object(|o| {
                    o.value("role", role(turn.speaker));
                    match turn.pieces.as_slice() {
                        [only] if is_plain_text(&only.part) => {
                            o.value("content", only.part.as_text().unwrap_or_default());
                        }
                        pieces => o.list("content", |list| blocks(list, pieces, &mut writer)),
                    }
                    // Merged messages may repeat a name: the later one counts.
                    let own = turn.extras.iter().filter_map(|extras| extras.for_format(FORMAT)).flatten();
                    let own: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
                    o.fields(&own);
                });
            }
        });
    }

    fn thinking(&self, body: &mut Body) {
        let more = own(self.request, "thinking").and_then(Value::as_object);
        let (kind, budget) = match self.plan.mode {
            // A kind of thinking that only this format knows.
            Mode::Unsaid if more.is_some_and(|more| more.contains_key("type")) => {
                return body.some("thinking", more);
            }
            Mode::Unsaid => return,
            Mode::Disabled => ("disabled", None),
            Mode::Adaptive => ("adaptive", None),
            Mode::Budget(budget) => ("enabled", Some(budget)),
        };
        body.object("thinking", |o| {
            o.value("type", kind);
            o.some("budget_tokens", budget);
            o.some("display", self.plan.display);
            o.fields(more.into_iter().flatten());
        });
    }

    /// `output_config`: the effort, the form of the answer, and what only this format knows.
    fn output(&self, body: &mut Body, losses: &mut Vec<Loss>) {
        let more = own(self.request, "output_config").and_then(Value::as_object);
        let format = self.output_schema(losses);
        if self.plan.effort.is_none() && format.is_none() && more.is_none_or(|more| more.is_empty()) {
            return;
        }
        body.object("output_config", |o| {
            o.some("effort", self.plan.effort.map(|effort| effort.as_str()));
            if let Some(schema) = &format {
                o.object("format", |o| {
                    o.value("type", "json_schema");
                    o.value("schema", schema);
                });
            }
            o.fields(more.into_iter().flatten().filter(|(name, _)| *name != "effort"));
        });
    }

    fn output_schema(&self, losses: &mut Vec<Loss>) -> Option<Value> {
        match &self.request.output {
            Some(OutputFormat::JsonSchema { schema, .. }) if !self.dialect.no_json_schema => {
                let (schema, moved) = schema::output(schema);
                if moved {
                    losses.push(Loss::new("output.schema", FORMAT, "limits moved into descriptions"));
                }
                Some(schema)
            }
            Some(OutputFormat::JsonSchema { .. }) => {
                losses.push(Loss::new("output", FORMAT, "asked for in the prompt: this host takes no schema"));
                None
            }
            Some(OutputFormat::JsonObject) => {
                losses.push(Loss::new("output", FORMAT, "asked for in the prompt: there is no such mode"));
                None
            }
            Some(OutputFormat::Text) | None => None,
        }
    }

    fn output_instruction(&self) -> Option<String> {
        match &self.request.output {
            Some(OutputFormat::JsonObject) => {
                Some("Answer with one JSON object and nothing else: no prose, no code fence.".to_owned())
            }
            Some(OutputFormat::JsonSchema { schema, .. }) if self.dialect.no_json_schema => Some(format!(
                "Answer with one JSON value that follows this JSON Schema and nothing else: no prose, no code fence.\n{schema}"
            )),
            _ => None,
        }
    }
}

/// The model's name and the stream flag, where the body has a place for them.
fn address(body: &mut Body, request: &ChatRequest, dialect: &Dialect) {
    match &dialect.anthropic_version {
        None => {
            body.value("model", &request.model);
            body.some("stream", request.stream);
        }
        Some(version) => {
            body.value("anthropic_version", version);
            // Bedrock tells a stream by its address and refuses the field.
            if !version.starts_with("bedrock") {
                body.some("stream", request.stream);
            }
        }
    }
}

fn own<'r>(request: &'r ChatRequest, name: &str) -> Option<&'r Value> {
    request.extras.for_format(FORMAT).and_then(|own| own.get(name))
}

fn role(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
        Speaker::System => "system",
    }
}

fn blocks(list: &mut List<'_>, pieces: &[Piece<'_>], writer: &mut BlockWriter<'_>) {
    for piece in pieces {
        writer.part(list, &piece.part, &piece.call_id, &|name| piece.field(name));
    }
}

fn text_block(o: &mut Object<'_>, text: &str) {
    o.value("type", "text");
    o.value("text", text);
}

fn sampling(body: &mut Body, request: &ChatRequest, claude: Option<Claude<'_>>, thinks: bool, losses: &mut Vec<Loss>) {
    let Sampling { temperature, top_p, top_k, stop, .. } = &request.sampling;
    let refused = claude.is_some_and(Claude::no_sampling);
    let mut lose = |field: &'static str, why: &'static str| losses.push(Loss::new(field, FORMAT, why));
    let mut keep = |field: &'static str, fits_thinking: bool| {
        if refused {
            lose(field, "is refused by this model");
        } else if thinks && !fits_thinking {
            lose(field, "does not go with thinking");
        }
        !refused && (!thinks || fits_thinking)
    };
    let temperature = temperature.filter(|value| keep("sampling.temperature", *value == 1.0));
    let top_p = top_p.filter(|value| keep("sampling.top_p", (0.95..=1.0).contains(value)));
    body.some("top_k", top_k.filter(|_| keep("sampling.top_k", false)));
    if temperature.is_some_and(|value| value > 1.0) {
        lose("sampling.temperature", "lowered to 1");
    }
    body.some("temperature", temperature.map(|value| value.clamp(0.0, 1.0)));
    let one_knob = temperature.is_some() && claude.is_some_and(Claude::one_sampling_knob);
    if top_p.is_some() && one_knob {
        lose("sampling.top_p", "does not go with temperature on this model");
    }
    body.some("top_p", top_p.filter(|_| !one_knob));
    if let Some(stop) = stop {
        let (visible, blank): (Vec<_>, Vec<_>) = stop.iter().partition(|word| !word.trim().is_empty());
        if !blank.is_empty() {
            lose("sampling.stop", "white space is refused");
        }
        body.value("stop_sequences", &visible);
    }
}

fn envelope(body: &mut Body, request: &ChatRequest, dialect: &Dialect, losses: &mut Vec<Loss>) {
    let more = own(request, "metadata").and_then(Value::as_object);
    if request.user.is_some() || more.is_some() {
        body.object("metadata", |o| {
            o.some("user_id", request.user.as_deref());
            o.fields(more.into_iter().flatten());
        });
    }
    if let Some(tier) = request.service_tier.as_deref() {
        match SERVICE_TIERS.iter().find(|(word, _)| *word == tier) {
            Some((_, word)) => body.value("service_tier", word),
            None => losses.push(Loss::no_equivalent("service_tier", FORMAT)),
        }
    }
    let known = ["metadata", "thinking", "output_config"];
    for (name, value) in request.extras.for_format(FORMAT).into_iter().flatten() {
        if !known.contains(&name.as_str()) && !body.has(name) {
            body.value(name, value);
        }
    }
    foreign_losses(&request.extras, "", losses);
    unknown_here(request, losses);
    if dialect.anthropic_version.is_some() && request.service_tier.is_some() && body.has("service_tier") {
        // Only Anthropic's own host has tiers.
        body.remove("service_tier");
        losses.push(Loss::new("service_tier", FORMAT, "is refused by this host"));
    }
}

/// Fields of the unified model without a place on this wire.
fn unknown_here(request: &ChatRequest, losses: &mut Vec<Loss>) {
    let wished = [
        wishes::N,
        wishes::CACHE_KEY,
        wishes::STORE,
        wishes::PREVIOUS_RESPONSE,
        wishes::METADATA,
        wishes::VERBOSITY,
        wishes::MIN_P,
        wishes::SEED,
        wishes::FREQUENCY_PENALTY,
        wishes::PRESENCE_PENALTY,
        wishes::LOGPROBS,
        wishes::TOP_LOGPROBS,
        wishes::LOGIT_BIAS,
    ];
    wishes::lost(request, &wished, |field| Loss::no_equivalent(field, FORMAT), losses);
}
