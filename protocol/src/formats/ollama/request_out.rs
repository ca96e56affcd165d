//! The unified model → requests to providers.

use serde_json::{Map, Value, json};

use crate::format::Lossy;
use crate::formats::fields::{number, set};
use crate::formats::pairing::Ids;
use crate::formats::transcript;
use crate::formats::wishes;
use crate::ir::{
    ChatRequest, Content, Effort, Extras, Loss, Media, MediaKind, MediaSource, Message, OutputFormat, Reasoning, Role,
    Tool, ToolChoice, ToolKind, ToolResult,
};
use crate::{ApiFormat, Dialect};

/// Writes a body of `/api/chat`.
pub(super) fn chat(request: &ChatRequest, dialect: &Dialect) -> Lossy<Map<String, Value>> {
    let mut writer = Writer::new(request, dialect, ApiFormat::OllamaChat);
    let mut messages = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        writer.message(message, index, &mut messages);
    }
    let mut body = writer.start();
    body.insert("messages".to_owned(), Value::Array(messages));
    let tools = writer.tools();
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    writer.finish(body)
}

/// Writes a body of `/api/generate`: one prompt. A conversation is packed into it, with a loss.
pub(super) fn generate(request: &ChatRequest, dialect: &Dialect) -> Lossy<Map<String, Value>> {
    let mut writer = Writer::new(request, dialect, ApiFormat::OllamaGenerate);
    let packed = transcript::pack(&request.messages);
    let mut body = writer.start();
    if let Some(system) = packed.system {
        body.insert("system".to_owned(), system.into());
    }
    body.insert("prompt".to_owned(), packed.prompt.into());
    if packed.turns > 1 {
        writer.lose("messages", "the conversation is packed into one prompt");
    }
    let images: Vec<Value> = request
        .messages
        .iter()
        .enumerate()
        .flat_map(|(index, message)| message.parts.iter().map(move |part| (index, part)))
        .filter_map(|(index, part)| match &part.content {
            Content::Media(media) => writer.image(media, &format!("messages[{index}]")),
            _ => None,
        })
        .collect();
    if !images.is_empty() {
        body.insert("images".to_owned(), Value::Array(images));
    }
    if !request.tools.is_empty() {
        writer.lose("tools", "has no equivalent");
    }
    writer.finish(body)
}

struct Writer<'r> {
    request: &'r ChatRequest,
    dialect: &'r Dialect,
    format: ApiFormat,
    ids: Ids,
    losses: Vec<Loss>,
}

impl<'r> Writer<'r> {
    fn new(request: &'r ChatRequest, dialect: &'r Dialect, format: ApiFormat) -> Self {
        Self { request, dialect, format, ids: Ids::of(request), losses: Vec::new() }
    }

    fn lose(&mut self, field: impl Into<String>, why: &'static str) {
        self.losses.push(Loss::new(field.into(), self.format, why));
    }

    fn start(&mut self) -> Map<String, Value> {
        let request = self.request;
        let mut body = Map::new();
        body.insert("model".to_owned(), request.model.clone().into());
        if let Some(stream) = request.stream {
            body.insert("stream".to_owned(), stream.into());
        }
        match &request.output {
            None | Some(OutputFormat::Text) => {}
            Some(OutputFormat::JsonObject) => {
                body.insert("format".to_owned(), "json".into());
            }
            Some(OutputFormat::JsonSchema { schema, description, .. }) => {
                if description.is_some() {
                    self.lose("output.description", "has no equivalent");
                }
                body.insert("format".to_owned(), schema.clone());
            }
        }
        if let Some(reasoning) = &request.reasoning {
            set(&mut body, "think", self.think(reasoning));
        }
        set(&mut body, "logprobs", request.sampling.logprobs);
        set(&mut body, "top_logprobs", request.sampling.top_logprobs);
        let own = request.extras.for_format(self.format).and_then(|own| own.get("options")?.as_object()).cloned();
        let options = self.options(own.unwrap_or_default());
        if !options.is_empty() {
            body.insert("options".to_owned(), Value::Object(options));
        }
        body
    }

    /// Levels are for gpt-oss alone: other models refuse the words.
    fn think(&mut self, reasoning: &Reasoning) -> Option<Value> {
        if reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None) {
            return Some(false.into());
        }
        let effort = reasoning.effort.or(reasoning.budget.map(Effort::from_budget));
        let Some(effort) = effort else { return reasoning.enabled.map(Value::Bool) };
        if !self.request.model.contains("gpt-oss") {
            self.lose("reasoning.effort", "this model only thinks or does not");
            return Some(true.into());
        }
        let word = match effort {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::XHigh | Effort::Max => "high",
        };
        if reasoning.budget.is_some() || word != effort.as_str() {
            self.losses.push(Loss::new("reasoning", self.format, format!("levels are low, medium and high: {word}")));
        }
        Some(word.into())
    }

    fn options(&self, own: Map<String, Value>) -> Map<String, Value> {
        let sampling = &self.request.sampling;
        let mut options = Map::new();
        set(&mut options, "temperature", sampling.temperature.map(number));
        set(&mut options, "top_p", sampling.top_p.map(number));
        set(&mut options, "top_k", sampling.top_k);
        set(&mut options, "min_p", sampling.min_p.map(number));
        set(&mut options, "seed", sampling.seed);
        set(&mut options, "presence_penalty", sampling.presence_penalty.map(number));
        set(&mut options, "frequency_penalty", sampling.frequency_penalty.map(number));
        set(&mut options, "stop", sampling.stop.clone());
        set(&mut options, "num_predict", self.request.max_tokens);
        options.extend(own);
        options
    }

    /// A message; its tool results become messages of their own before it, their images a user's message behind them.
    fn message(&mut self, message: &Message, index: usize, out: &mut Vec<Value>) {
        let mut own = Map::new();
        let (mut texts, mut thoughts) = (Vec::new(), Vec::new());
        let (mut images, mut calls, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for (place, part) in message.parts.iter().enumerate() {
            let field = format!("messages[{index}].parts[{place}]");
            self.foreign(&part.extras, &field);
            match &part.content {
                Content::Text(text) => {
                    if !text.citations.is_empty() {
                        self.lose(format!("{field}.citations"), "has no equivalent");
                    }
                    texts.push(text.text.clone());
                }
                Content::Refusal(text) => texts.push(text.clone()),
                Content::Reasoning(reasoning) => {
                    if reasoning.opaque.is_some() {
                        self.lose(format!("{field}.opaque"), "signature belongs to another provider");
                    }
                    thoughts.push(reasoning.shown());
                }
                Content::Media(Media { source: MediaSource::Text(text), .. }) => texts.push(text.clone()),
                Content::Media(media) => images.extend(self.image(media, &field)),
                Content::ToolCall(call) => calls.push(self.call(call, &field)),
                Content::ToolResult(result) => out.push(self.result(result, &field, &mut late)),
                Content::Native(native) => {
                    let why = format!("{} is known to {} alone", native.kind, native.format);
                    self.losses.push(Loss::new(field, self.format, why));
                }
            }
        }
        if !late.is_empty() {
            out.push(json!({"role": "user", "content": "", "images": late}));
        }
        let results_only = message.role == Role::Tool
            || message.parts.iter().any(|part| matches!(part.content, Content::ToolResult(_)));
        if results_only && texts.is_empty() && images.is_empty() && calls.is_empty() {
            return;
        }
        if message.name.is_some() {
            self.lose(format!("messages[{index}].name"), "has no equivalent");
        }
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        own.insert("role".to_owned(), role.into());
        own.insert("content".to_owned(), texts.join("\n").into());
        let thoughts = thoughts.join("\n");
        if !thoughts.is_empty() {
            own.insert("thinking".to_owned(), thoughts.into());
        }
        for (name, list) in [("images", images), ("tool_calls", calls)] {
            if !list.is_empty() {
                own.insert(name.to_owned(), Value::Array(list));
            }
        }
        self.foreign(&message.extras, &format!("messages[{index}]"));
        let extras = message.extras.for_format(self.format).into_iter().flatten();
        own.extend(extras.map(|(name, value)| (name.clone(), value.clone())));
        out.push(Value::Object(own));
    }

    fn call(&mut self, call: &crate::ir::ToolCall, field: &str) -> Value {
        if call.signature.is_some() {
            self.lose(format!("{field}.signature"), "signature belongs to another provider");
        }
        let (arguments, whole) = super::object_of(call);
        if !whole {
            self.lose(format!("{field}.arguments"), "no json object: wrapped into one");
        }
        let mut out = Map::new();
        if let Some(id) = self.ids.on_wire(&call.id) {
            out.insert("id".to_owned(), id.into());
        }
        out.insert("function".to_owned(), json!({"name": call.name, "arguments": arguments}));
        Value::Object(out)
    }

    fn result(&mut self, result: &ToolResult, field: &str, late: &mut Vec<Value>) -> Value {
        let (mut texts, mut images) = (Vec::new(), Vec::new());
        for part in &result.content {
            match &part.content {
                Content::Text(text) => texts.push(text.text.clone()),
                Content::Media(Media { source: MediaSource::Text(text), .. }) => texts.push(text.clone()),
                Content::Media(media) => images.extend(self.image(media, field)),
                Content::Native(native) => texts.push(native.value.to_string()),
                _ => self.lose(format!("{field}.content"), "has no equivalent"),
            }
        }
        if result.is_error == Some(true) {
            self.lose(format!("{field}.is_error"), "that the tool failed stands in its words alone");
        }
        let mut out = Map::new();
        out.insert("role".to_owned(), "tool".into());
        out.insert("content".to_owned(), texts.join("\n").into());
        let name = result.name.as_deref().or_else(|| self.ids.name(&result.call_id));
        set(&mut out, "tool_name", name.map(str::to_owned));
        set(&mut out, "tool_call_id", self.ids.on_wire(&result.call_id).map(str::to_owned));
        if self.dialect.images_in_tool_results && !images.is_empty() {
            out.insert("images".to_owned(), Value::Array(std::mem::take(&mut images)));
        } else if !images.is_empty() {
            self.lose(format!("{field}.content"), "images of a tool result stand in a message behind it");
            late.append(&mut images);
        }
        Value::Object(out)
    }

    fn image(&mut self, media: &Media, field: &str) -> Option<Value> {
        let why = match (&media.source, media.kind) {
            (MediaSource::Base64(data), MediaKind::Image) if !self.dialect.no_images => {
                return Some(data.clone().into());
            }
            (_, MediaKind::Image) if self.dialect.no_images => "the host takes no images",
            (MediaSource::Url(_), MediaKind::Image) => "the host fetches no addresses",
            (MediaSource::FileId(_), _) => "file id belongs to another provider",
            _ => "only images can be shown",
        };
        self.lose(field, why);
        None
    }

    /// There is no choice on this wire: tools that must not be called are left out.
    fn tools(&mut self) -> Vec<Value> {
        let allowed: Option<Vec<&str>> = match &self.request.tool_choice {
            Some(ToolChoice::None) => Some(Vec::new()),
            Some(ToolChoice::Allowed { names, .. }) => Some(names.iter().map(String::as_str).collect()),
            _ => None,
        };
        let forced = matches!(
            self.request.tool_choice,
            Some(ToolChoice::Required | ToolChoice::Tool { .. } | ToolChoice::Allowed { required: true, .. })
        );
        if forced {
            self.lose("tool_choice", "a call cannot be demanded");
        }
        if let Some(ToolChoice::Native { .. }) = &self.request.tool_choice {
            self.lose("tool_choice", "is known to its own format alone");
        }
        let mut out = Vec::new();
        for (index, tool) in self.request.tools.iter().enumerate() {
            out.extend(self.tool(tool, index, allowed.as_deref()));
        }
        out
    }

    fn tool(&mut self, tool: &Tool, index: usize, allowed: Option<&[&str]>) -> Option<Value> {
        let field = format!("tools[{index}]");
        if tool.cache.is_some() {
            self.lose(format!("{field}.cache"), "has no equivalent");
        }
        match &tool.kind {
            ToolKind::Function(function) => {
                if allowed.is_some_and(|names| !names.contains(&function.name.as_str())) {
                    return None;
                }
                self.foreign(&tool.extras, &field);
                let mut inner = Map::new();
                inner.insert("name".to_owned(), function.name.clone().into());
                set(&mut inner, "description", function.description.clone());
                set(&mut inner, "parameters", function.parameters.clone());
                if function.strict == Some(true) {
                    self.lose(format!("{field}.strict"), "has no equivalent");
                }
                let mut out = Map::new();
                out.insert("type".to_owned(), "function".into());
                out.insert("function".to_owned(), Value::Object(inner));
                let extras = tool.extras.for_format(self.format).into_iter().flatten();
                out.extend(extras.map(|(name, value)| (name.clone(), value.clone())));
                Some(Value::Object(out))
            }
            ToolKind::Native { format, value, .. } if *format == self.format => Some(value.clone()),
            ToolKind::Native { format, kind, .. } => {
                let why = format!("tool {kind} is run by {format} alone");
                self.losses.push(Loss::new(field, self.format, why));
                None
            }
            ToolKind::Custom { name, .. } => {
                let why = format!("free-text tool {name} was not made a function");
                self.losses.push(Loss::new(field, self.format, why));
                None
            }
        }
    }

    fn foreign(&mut self, extras: &Extras, field: &str) {
        let format = self.format;
        self.losses.extend(
            extras.foreign_to(format).map(|name| Loss::no_equivalent(format!("{field}.extras.{name}"), format)),
        );
    }

    fn finish(mut self, mut body: Map<String, Value>) -> Lossy<Map<String, Value>> {
        let request = self.request;
        let wished = [
            wishes::PARALLEL_CALLS,
            wishes::LOGIT_BIAS,
            wishes::VERBOSITY,
            wishes::N,
            wishes::CACHE_KEY,
            wishes::USER,
            wishes::SERVICE_TIER,
            wishes::STORE,
            wishes::PREVIOUS_RESPONSE,
            wishes::METADATA,
            wishes::PART_CACHE,
        ];
        let format = self.format;
        wishes::lost(request, &wished, |field| Loss::no_equivalent(field, format), &mut self.losses);
        self.losses.extend(
            request.extras.foreign_to(format).map(|name| Loss::no_equivalent(format!("extras.{name}"), format)),
        );
        for (name, value) in
            request.extras.for_format(format).into_iter().flatten().filter(|(name, _)| *name != "options")
        {
            body.insert(name.clone(), value.clone());
        }
        for name in &self.dialect.unsupported {
            if body.shift_remove(name).is_some() {
                self.losses.push(Loss::new(format!("extras.{name}"), format, "the host refuses it"));
            }
        }
        for (name, value) in &self.dialect.defaults {
            body.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Lossy { value: body, losses: self.losses }
    }
}
