//! The unified model → a provider's request.

use serde_json::{Map, Value, json};

use super::blocks_out::{self, BlockWriter, NAME_LIMIT};
use super::media::Names;
use super::models_taken::{self, Thinking};
use super::{FORMAT, tools_out};
use crate::format::Lossy;
use crate::formats::anthropic_messages::schema;
use crate::formats::anthropic_messages::thinking::{self, Mode, Plan};
use crate::formats::body::Body;
use crate::formats::turns::{Arranged, Piece, Rules, Speaker, Turn, arrange};
use crate::formats::wishes;
use crate::ir::{CacheMark, ChatRequest, Content, Effort, Loss, MediaKind, OutputFormat, Part, Reasoning};
use crate::json::{List, object};
use crate::{DecodeError, Dialect};

/// Bags of this format's own whose fields are merged with ours.
const BAGS: [&str; 2] = ["additionalModelRequestFields", "inferenceConfig"];

/// How a structured answer is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Structured {
    /// Free text.
    No,
    /// `outputConfig`.
    Schema(Value),
    /// A forced tool with this schema.
    Tool(Value),
    /// In the prompt, with these words.
    Prompt(String),
}

/// Writes the body of `converse` and `converse-stream`. The model and the stream flag belong to the address.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    let mut losses = Vec::new();
    let draft = Draft::new(request, dialect, &mut losses)?;
    let mut body = Body::default();
    draft.write(&mut body, &mut losses);
    draft.inference(&mut body, &mut losses);
    draft.model_fields(&mut body, &mut losses);
    draft.envelope(&mut body, &mut losses);
    let value = body.finish(dialect, FORMAT, &mut losses);
    Ok(Lossy { value, losses })
}

/// Writes the body of `/count-tokens` for a model that is called through Converse.
pub(super) fn encode_count(request: &ChatRequest, dialect: &Dialect) -> Result<Lossy<Vec<u8>>, DecodeError> {
    let mut losses = Vec::new();
    let draft = Draft::new(request, dialect, &mut losses)?;
    let mut body = Body::default();
    draft.write(&mut body, &mut losses);
    let inner = body.finish(&Dialect::default(), FORMAT, &mut losses);
    let inner = String::from_utf8_lossy(&inner);
    let mut value = Vec::new();
    object(&mut value, |o| o.object("input", |o| o.raw("converse", &inner)));
    Ok(Lossy { value, losses })
}

pub(super) struct Draft<'a> {
    pub(super) request: &'a ChatRequest,
    pub(super) dialect: &'a Dialect,
    pub(super) arranged: Arranged<'a>,
    thinking: Thinking<'a>,
    plan: Plan,
    pub(super) structured: Structured,
    cache_points: bool,
}

impl<'a> Draft<'a> {
    fn new(request: &'a ChatRequest, dialect: &'a Dialect, losses: &mut Vec<Loss>) -> Result<Self, DecodeError> {
        let rules = Rules {
            format: FORMAT,
            // There is no operator but the system prompt.
            fold_system: true,
            id_limit: NAME_LIMIT,
            refuses: &|part, speaker| blocks_out::refusal(part, speaker, dialect),
        };
        let mut arranged = arrange(request, &rules, losses)?;
        let thinking = models_taken::thinking(&request.model);
        let plan = match thinking {
            Thinking::Claude(claude) => thinking::plan(FORMAT, request, claude, dialect, &mut arranged.turns, losses),
            _ => Plan { mode: Mode::Unsaid, display: None, effort: None, max_tokens: 0 },
        };
        let mut draft = Self {
            request,
            dialect,
            arranged,
            thinking,
            plan,
            structured: Structured::No,
            cache_points: !dialect.no_cache_points && models_taken::cache_points(&request.model),
        };
        draft.structured = draft.structured_output(losses);
        draft.mark_automatic_cache();
        draft.accompany_documents();
        Ok(draft)
    }

    /// Whether the call thinks as Claude does, which refuses forced tools.
    pub(super) fn thinks(&self) -> bool {
        self.plan.on()
    }

    fn structured_output(&self, losses: &mut Vec<Loss>) -> Structured {
        let schema = match &self.request.output {
            Some(OutputFormat::JsonSchema { schema, .. }) => schema,
            Some(OutputFormat::JsonObject) => {
                losses.push(Loss::new("output", FORMAT, "asked for in the prompt: there is no such mode"));
                let words = "Answer with one JSON object and nothing else: no prose, no code fence.";
                return Structured::Prompt(words.to_owned());
            }
            Some(OutputFormat::Text) | None => return Structured::No,
        };
        if !self.dialect.no_json_schema && models_taken::structured_output(&self.request.model) {
            let (schema, moved) = schema::output(schema);
            if moved {
                losses.push(Loss::new("output.schema", FORMAT, "limits moved into descriptions"));
            }
            return Structured::Schema(schema);
        }
        let tools_in_play = !self.request.tools.is_empty() || self.arranged.turns.iter().any(Turn::has_calls);
        let is_object = schema.get("type").is_none_or(|kind| kind == "object");
        if !self.thinks() && !tools_in_play && is_object {
            return Structured::Tool(schema.clone());
        }
        losses.push(Loss::new("output", FORMAT, "asked for in the prompt: a tool cannot be forced here"));
        Structured::Prompt(format!(
            "Answer with one JSON value that follows this JSON Schema and nothing else: no prose, no code fence.\n{schema}"
        ))
    }

    /// Automatic caching of the whole conversation, which other formats ask for with one field, is a cache point at its end, unless
    /// the four points that are taken are used up by name.
    fn mark_automatic_cache(&mut self) {
        const MOST: usize = 4;
        let tools = self.request.tools.iter().filter(|tool| tool.cache.is_some()).count();
        let said = self.arranged.turns.iter().flat_map(|turn| &turn.pieces).chain(&self.arranged.system);
        if tools + said.filter(|piece| piece.part.cache.is_some()).count() >= MOST {
            return;
        }
        let Some(mark) = self.request.extras.get("cache_control").and_then(Value::as_object) else { return };
        let user = self.arranged.turns.iter_mut().rev().find(|turn| turn.speaker == Speaker::User);
        if let Some(last) = user.and_then(|turn| turn.pieces.last_mut())
            && last.part.cache.is_none()
        {
            let ttl = mark.get("ttl").and_then(Value::as_str).map(str::to_owned);
            last.part.to_mut().cache = Some(CacheMark { ttl });
        }
    }

    /// Documents need a text beside them.
    fn accompany_documents(&mut self) {
        for turn in &mut self.arranged.turns {
            let is = |piece: &Piece<'_>, is: fn(&Content) -> bool| is(&piece.part.content);
            let document =
                |content: &Content| matches!(content, Content::Media(media) if media.kind == MediaKind::Document);
            let text = |content: &Content| matches!(content, Content::Text(_) | Content::Refusal(_));
            let lonely =
                turn.pieces.iter().any(|piece| is(piece, document)) && !turn.pieces.iter().any(|piece| is(piece, text));
            if let Some(at) = turn.pieces.last().map(|piece| piece.at).filter(|_| lonely) {
                let part = std::borrow::Cow::Owned(Part::text("See the document."));
                turn.pieces.push(Piece { part, call_id: String::new(), at });
            }
        }
    }

    pub(super) fn writer<'l>(&self, losses: &'l mut Vec<Loss>) -> BlockWriter<'l> {
        BlockWriter { client: false, cache_points: self.cache_points, names: Names::default(), losses }
    }

    fn write(&self, body: &mut Body, losses: &mut Vec<Loss>) {
        let mut writer = self.writer(losses);
        let words = match &self.structured {
            Structured::Prompt(words) => Some(words),
            _ => None,
        };
        if !self.arranged.system.is_empty() || words.is_some() {
            body.list("system", |list| {
                blocks(list, &self.arranged.system, &mut writer);
                if let Some(words) = words {
                    list.object(|o| o.value("text", words));
                }
            });
        }
        body.list("messages", |list| {
            for turn in &self.arranged.turns {
                list.object(|o| {
                    o.value("role", if turn.speaker == Speaker::Assistant { "assistant" } else { "user" });
                    o.list("content", |list| blocks(list, &turn.pieces, &mut writer));
                });
            }
        });
        tools_out::write(body, self, &mut writer);
    }

    fn inference(&self, body: &mut Body, losses: &mut Vec<Loss>) {
        let sampling = &self.request.sampling;
        let mut lose = |field: &'static str, why: &'static str| losses.push(Loss::new(field, FORMAT, why));
        let (claude, thinks) = match self.thinking {
            Thinking::Claude(claude) => (claude, self.thinks()),
            _ => (None, false),
        };
        let refused = claude.is_some_and(|claude| claude.no_sampling());
        let temperature = sampling.temperature.filter(|value| !refused && (!thinks || *value == 1.0));
        let one_knob = temperature.is_some() && claude.is_some_and(|claude| claude.one_sampling_knob());
        let top_p = sampling.top_p.filter(|value| !refused && !one_knob && (!thinks || (0.95..=1.0).contains(value)));
        if temperature != sampling.temperature {
            lose("sampling.temperature", "does not go with this model or with thinking");
        }
        if top_p != sampling.top_p {
            lose("sampling.top_p", "does not go with this model, with thinking or with temperature");
        }
        let clamped = temperature.map(|value| value.clamp(0.0, 1.0));
        if clamped != temperature {
            lose("sampling.temperature", "lowered to 1");
        }
        let stop = sampling.stop.as_ref().map(|stop| stop.iter().filter(|word| !word.trim().is_empty()).collect());
        let stop: Option<Vec<&String>> = stop;
        if stop.as_ref().map(Vec::len) != sampling.stop.as_ref().map(Vec::len) {
            lose("sampling.stop", "white space is refused");
        }
        // Without a limit the model's own one holds, which leaves room for any budget.
        let max_tokens = self.request.max_tokens;
        let more = self.bag("inferenceConfig");
        let nothing = max_tokens.is_none() && clamped.is_none() && top_p.is_none() && stop.is_none();
        if nothing && more.is_none() {
            return;
        }
        body.object("inferenceConfig", |o| {
            o.some("maxTokens", max_tokens);
            o.some("temperature", clamped);
            o.some("topP", top_p);
            o.some("stopSequences", stop.filter(|stop| !stop.is_empty()));
            o.fields(more.into_iter().flatten());
        });
    }

    fn bag(&self, name: &str) -> Option<&Map<String, Value>> {
        self.request.extras.for_format(FORMAT)?.get(name)?.as_object()
    }

    /// Everything that only the model itself knows.
    fn model_fields(&self, body: &mut Body, losses: &mut Vec<Loss>) {
        let mut fields = self.bag("additionalModelRequestFields").cloned().unwrap_or_default();
        match (self.thinking, &self.request.reasoning) {
            (Thinking::Claude(_), _) => self.claude_fields(&mut fields),
            (_, None) => {}
            (Thinking::ReasoningConfig, Some(wish)) => {
                fields.extend(effort(wish).map(|effort| match effort {
                    Effort::None => ("reasoningConfig".to_owned(), json!({ "type": "disabled" })),
                    effort => {
                        let word = effort.clamp(Effort::Low, Effort::High).as_str();
                        ("reasoningConfig".to_owned(), json!({ "type": "enabled", "maxReasoningEffort": word }))
                    }
                }));
            }
            (Thinking::ReasoningEffort, Some(wish)) => {
                let word = effort(wish).map(|effort| effort.clamp(Effort::Low, Effort::High).as_str());
                fields.extend(word.map(|word| ("reasoning_effort".to_owned(), word.into())));
            }
            (Thinking::None, Some(wish)) => {
                if effort(wish).is_some_and(|effort| effort != Effort::None) {
                    losses.push(Loss::new("reasoning", FORMAT, "this model is not known to think"));
                }
            }
        }
        if let Some(top_k) = self.request.sampling.top_k {
            if self.thinks() {
                losses.push(Loss::new("sampling.top_k", FORMAT, "does not go with thinking"));
            } else {
                fields.insert("top_k".into(), top_k.into());
            }
        }
        tools_out::one_at_a_time(&mut fields, self, losses);
        if !fields.is_empty() {
            body.value("additionalModelRequestFields", &fields);
        }
    }

    fn claude_fields(&self, fields: &mut Map<String, Value>) {
        let thinking = match self.plan.mode {
            Mode::Unsaid => None,
            Mode::Disabled => Some(json!({ "type": "disabled" })),
            Mode::Budget(budget) => Some(json!({ "type": "enabled", "budget_tokens": budget })),
            Mode::Adaptive => Some(json!({ "type": "adaptive" })),
        };
        if let Some(mut thinking) = thinking {
            if let (Some(display), Some(thinking)) = (self.plan.display, thinking.as_object_mut()) {
                thinking.insert("display".into(), display.into());
            }
            let more = fields.shift_remove("thinking");
            if let (Some(Value::Object(more)), Some(thinking)) = (more, thinking.as_object_mut()) {
                thinking.extend(more);
            }
            fields.insert("thinking".into(), thinking);
        }
        if let Some(effort) = self.plan.effort {
            let config = fields.entry("output_config").or_insert_with(|| json!({}));
            if let Some(config) = config.as_object_mut() {
                config.insert("effort".into(), effort.as_str().into());
            }
        }
    }

    fn envelope(&self, body: &mut Body, losses: &mut Vec<Loss>) {
        if let Structured::Schema(schema) = &self.structured {
            let name = match &self.request.output {
                Some(OutputFormat::JsonSchema { name, .. }) if !name.is_empty() => name.as_str(),
                _ => "answer",
            };
            let inner = json!({ "name": name, "schema": schema.to_string() });
            body.value(
                "outputConfig",
                &json!({ "textFormat": { "type": "json_schema", "structure": { "jsonSchema": inner } } }),
            );
        }
        if let Some(metadata) = self.request.metadata.as_ref().filter(|metadata| !metadata.is_empty()) {
            let flat = metadata.iter().all(|(_, value)| value.is_string());
            if flat {
                body.value("requestMetadata", metadata);
            } else {
                losses.push(Loss::new("metadata", FORMAT, "only texts are taken"));
            }
        }
        if let Some(tier) = self.request.service_tier.as_deref() {
            if ["default", "priority", "flex", "reserved"].contains(&tier) {
                body.value("serviceTier", &json!({ "type": tier }));
            } else if !["auto", "standard_only"].contains(&tier) {
                losses.push(Loss::no_equivalent("service_tier", FORMAT));
            }
        }
        for (name, value) in self.request.extras.for_format(FORMAT).into_iter().flatten() {
            if !BAGS.contains(&name.as_str()) && !body.has(name) {
                body.value(name, value);
            }
        }
        let foreign = self.request.extras.foreign_to(FORMAT).filter(|name| *name != "cache_control");
        losses.extend(foreign.map(|name| Loss::no_equivalent(format!("extras.{name}"), FORMAT)));
        unknown_here(self.request, losses);
    }
}

fn blocks(list: &mut List<'_>, pieces: &[Piece<'_>], writer: &mut BlockWriter<'_>) {
    for piece in pieces {
        writer.part(list, &piece.part, &piece.call_id, &|name| piece.field(name));
    }
}

/// One word for how much to think.
fn effort(wish: &Reasoning) -> Option<Effort> {
    if wish.enabled == Some(false) {
        return Some(Effort::None);
    }
    let word = wish.effort.or_else(|| wish.budget.map(Effort::from_budget));
    word.or_else(|| (wish.enabled == Some(true)).then_some(Effort::Medium))
}

/// Fields of the unified model without a place on this wire.
fn unknown_here(request: &ChatRequest, losses: &mut Vec<Loss>) {
    let wished = [
        wishes::N,
        wishes::USER,
        wishes::CACHE_KEY,
        wishes::STORE,
        wishes::PREVIOUS_RESPONSE,
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
