//! How much to think: the spellings of Chat and its hosts, both directions.
//!
//! Reading takes every spelling, for a client may send any host's. Writing follows [`ReasoningRequest`].

use serde_json::Value;

use super::wire::{FORMAT, IN, Object, count, one, put};
use crate::dialect::ReasoningRequest;
use crate::ir::{ChatRequest, Effort, Loss, Reasoning};
use crate::{DecodeError, Dialect};

/// Objects whose understood fields are taken out; what is left of them stays in the extras under the same name.
pub(super) const OBJECTS: [&str; 3] = ["thinking", "reasoning", "chat_template_kwargs"];

/// Reads a field about thinking; gives back what is left of it, or the whole if the field is another.
pub(super) fn decode(
    request: &mut ChatRequest,
    name: &str,
    value: Value,
    at: &str,
) -> Result<Option<Value>, DecodeError> {
    let reasoning = || request.reasoning.clone().unwrap_or_default();
    match name {
        "reasoning_effort" => {
            let word = IN.string(value, at)?.unwrap_or_default();
            let Some(effort) = Effort::parse(&word) else { return Ok(Some(word.into())) };
            request.reasoning = Some(with_effort(reasoning(), effort));
        }
        "enable_thinking" => {
            let enabled = IN.bool(&value, at)?;
            request.reasoning = Some(Reasoning { enabled, ..reasoning() });
        }
        "thinking_budget" => {
            let budget = IN.u64(&value, at)?;
            request.reasoning = Some(Reasoning { budget, ..reasoning() });
        }
        "thinking" | "reasoning" | "chat_template_kwargs" => {
            let Value::Object(mut fields) = value else { return Ok(Some(value)) };
            let mut known = reasoning();
            match name {
                "thinking" => take_thinking(&mut fields, &mut known),
                "reasoning" => take_object(&mut fields, &mut known),
                _ => take_bool(&mut fields, "enable_thinking", &mut known.enabled),
            }
            if known != Reasoning::default() {
                request.reasoning = Some(known);
            }
            return Ok((!fields.is_empty()).then_some(Value::Object(fields)));
        }
        _ => return Ok(Some(value)),
    }
    Ok(None)
}

fn with_effort(known: Reasoning, effort: Effort) -> Reasoning {
    let enabled = if effort == Effort::None { Some(false) } else { known.enabled };
    Reasoning { effort: Some(effort), enabled, ..known }
}

/// `thinking: {type: "enabled" | "disabled" | "auto", budget_tokens}`.
fn take_thinking(fields: &mut Object, known: &mut Reasoning) {
    let enabled = match fields.get("type").and_then(Value::as_str) {
        Some("enabled") => Some(true),
        Some("disabled") => Some(false),
        // `auto` is what silence means, yet a host may want the word.
        _ => None,
    };
    if enabled.is_some() {
        known.enabled = enabled;
        fields.shift_remove("type");
    }
    if let Some(budget) = fields.get("budget_tokens").and_then(count) {
        known.budget = Some(budget);
        fields.shift_remove("budget_tokens");
    }
}

/// `reasoning: {effort, max_tokens, enabled, exclude}` (OpenRouter).
fn take_object(fields: &mut Object, known: &mut Reasoning) {
    if let Some(effort) = fields.get("effort").and_then(Value::as_str).and_then(Effort::parse) {
        *known = with_effort(std::mem::take(known), effort);
        fields.shift_remove("effort");
    }
    if let Some(budget) = fields.get("max_tokens").and_then(count) {
        known.budget = Some(budget);
        fields.shift_remove("max_tokens");
    }
    if let Some(summary) = fields.get("summary").and_then(Value::as_str) {
        known.summary = Some(summary.to_owned());
        fields.shift_remove("summary");
    }
    take_bool(fields, "enabled", &mut known.enabled);
    let mut exclude = None;
    take_bool(fields, "exclude", &mut exclude);
    known.shown = exclude.map(|hidden| !hidden).or(known.shown);
}

fn take_bool(fields: &mut Object, name: &str, into: &mut Option<bool>) {
    if let Some(flag) = fields.get(name).and_then(Value::as_bool) {
        *into = Some(flag);
        fields.shift_remove(name);
    }
}

/// Writes the wish to think, and lays what is left of host-specific objects beside it.
pub(super) fn encode(request: &ChatRequest, dialect: &Dialect, body: &mut Object, losses: &mut Vec<Loss>) {
    let Some(wish) = &request.reasoning else {
        leftovers(request, dialect.reasoning_request, body, losses);
        return;
    };
    let asked = wish.effort.or_else(|| wish.budget.map(Effort::from_budget));
    let effort = asked.map(|effort| taken(effort, dialect));
    let off = wish.enabled == Some(false) || effort == Some(Effort::None);
    let on = !off && (wish.enabled == Some(true) || effort.is_some());
    let kind = dialect.reasoning_request;
    match kind {
        ReasoningRequest::Effort => {
            write_effort(effort.or_else(|| on.then(|| taken(Effort::Medium, dialect))), off, body)
        }
        ReasoningRequest::ThinkingType | ReasoningRequest::ThinkingTypeAndEffort => {
            if off || on {
                body.insert("thinking".into(), one("type", if off { "disabled" } else { "enabled" }).into());
            }
            if kind == ReasoningRequest::ThinkingTypeAndEffort && on && effort.is_some() {
                write_effort(effort, false, body);
            }
        }
        ReasoningRequest::Object => {
            write_object(&Reasoning { effort: wish.effort.and(effort), ..wish.clone() }, off, body)
        }
        ReasoningRequest::EnableThinking => {
            if off || on {
                body.insert("enable_thinking".into(), on.into());
            }
            if let Some(budget) = wish.budget.filter(|_| on) {
                body.insert("thinking_budget".into(), budget.into());
            }
        }
        ReasoningRequest::TemplateKwargs => {
            if off || on {
                body.insert("chat_template_kwargs".into(), one("enable_thinking", on).into());
            }
        }
        ReasoningRequest::None => {}
    }
    report(wish, kind, on, losses);
    if on && wish.effort.is_some() && wish.effort != effort {
        let word = effort.unwrap_or(Effort::Medium).as_str();
        losses.push(Loss::new("reasoning.effort", FORMAT, format!("became `{word}`, the nearest that the host takes")));
    }
    leftovers(request, kind, body, losses);
}

/// The word that the host takes for `effort`: itself, else the nearest below, else the least.
fn taken(effort: Effort, dialect: &Dialect) -> Effort {
    let known =
        |effort: &Effort| dialect.efforts.is_empty() || dialect.efforts.iter().any(|word| word == effort.as_str());
    let all = Effort::WORDS.map(|(effort, _)| effort);
    // Thinking that was asked for is not switched off for want of a word.
    let below =
        all.iter().rev().filter(|other| **other <= effort && (**other > Effort::None || effort == Effort::None));
    let mut candidates = below.chain(all.iter().filter(|other| **other > Effort::None)).filter(|other| known(other));
    candidates.next().copied().unwrap_or(effort)
}

fn write_effort(effort: Option<Effort>, off: bool, body: &mut Object) {
    let word = if off { Some("none") } else { effort.map(Effort::as_str) };
    put(body, "reasoning_effort", word);
}

fn write_object(wish: &Reasoning, off: bool, body: &mut Object) {
    let mut inner = Object::new();
    match (wish.budget, wish.effort) {
        (Some(budget), _) if !off => {
            inner.insert("max_tokens".into(), budget.into());
        }
        (_, Some(effort)) => {
            inner.insert("effort".into(), effort.as_str().into());
        }
        _ => {}
    }
    // `effort: none` already says that it is off.
    if let Some(enabled) = wish.enabled.filter(|_| wish.effort != Some(Effort::None)) {
        inner.insert("enabled".into(), enabled.into());
    }
    if let Some(shown) = wish.shown {
        inner.insert("exclude".into(), (!shown).into());
    }
    if let Some(summary) = &wish.summary {
        inner.insert("summary".into(), summary.as_str().into());
    }
    if !inner.is_empty() {
        body.insert("reasoning".into(), inner.into());
    }
}

/// What the spelling of the host could not say.
fn report(wish: &Reasoning, kind: ReasoningRequest, on: bool, losses: &mut Vec<Loss>) {
    use ReasoningRequest as Kind;
    let mut lose = |field: &'static str, why: &'static str| losses.push(Loss::new(field, FORMAT, why));
    if kind == Kind::None {
        if *wish != Reasoning::default() {
            lose("reasoning", "the host cannot be told how much to think");
        }
        return;
    }
    if kind != Kind::Object && wish.summary.is_some() {
        lose("reasoning.summary", "has no equivalent");
    }
    if kind != Kind::Object && wish.shown == Some(false) {
        lose("reasoning.shown", "has no equivalent");
    }
    let knows_effort = matches!(kind, Kind::Effort | Kind::ThinkingTypeAndEffort | Kind::Object);
    if on && wish.effort.is_some() && !knows_effort {
        lose("reasoning.effort", "thinking is only on or off");
    }
    let knows_budget = matches!(kind, Kind::Object | Kind::EnableThinking);
    if on && wish.budget.is_some() && !knows_budget {
        let why = if knows_effort { "became a word for how much" } else { "thinking is only on or off" };
        lose("reasoning.budget", why);
    }
    if on && kind == Kind::Object && wish.budget.is_some() && wish.effort.is_some() {
        lose("reasoning.effort", "a limit in tokens says more");
    }
}

/// What a client wrote into such an object beyond what is understood goes to hosts that know the object.
fn leftovers(request: &ChatRequest, kind: ReasoningRequest, body: &mut Object, losses: &mut Vec<Loss>) {
    use ReasoningRequest as Kind;
    for name in OBJECTS {
        let Some(Value::Object(rest)) = request.extras.for_format(FORMAT).and_then(|extras| extras.get(name)) else {
            continue;
        };
        let known = match name {
            "thinking" => matches!(kind, Kind::ThinkingType | Kind::ThinkingTypeAndEffort),
            "reasoning" => kind == Kind::Object,
            // Template arguments mean something to every host that has templates, and are harmless noise nowhere else.
            _ => true,
        };
        if !known {
            losses.extend(rest.keys().map(|key| Loss::no_equivalent(format!("extras.{name}.{key}"), FORMAT)));
            continue;
        }
        let target = body.entry(name).or_insert_with(|| Object::new().into());
        if let Value::Object(target) = target {
            for (key, value) in rest {
                target.entry(key.as_str()).or_insert_with(|| value.clone());
            }
        }
    }
}
