//! `generationConfig`, both directions: sampling, output form and thinking.

use serde_json::{Map, Value};

use super::model_rules::{Thinking, thinking};
use super::schema_in::from_openapi;
use super::tools::openapi;
use crate::formats::fields::{Fields, Path, number, set};
use crate::ir::{ChatRequest, Effort, Extras, Loss, OutputFormat, Reasoning};
use crate::{ApiFormat, DecodeError, Dialect};

const GEMINI: ApiFormat = ApiFormat::Gemini;
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

/// Reads `generationConfig` into `request`; what has no word there (speech, modalities, media resolution …) is answered.
pub(super) fn read(config: Map<String, Value>, request: &mut ChatRequest) -> Result<Map<String, Value>, DecodeError> {
    let root = Path::Root;
    let place = Path::Key(&root, "generationConfig");
    let mut fields = Fields::of(Value::Object(config), GEMINI, &place)?;
    let sampling = &mut request.sampling;
    sampling.temperature = fields.float("temperature")?;
    sampling.top_p = fields.float("topP")?;
    sampling.top_k = fields.count("topK")?;
    sampling.seed = fields.integer("seed")?;
    sampling.presence_penalty = fields.float("presencePenalty")?;
    sampling.frequency_penalty = fields.float("frequencyPenalty")?;
    sampling.logprobs = fields.flag("responseLogprobs")?;
    sampling.top_logprobs = fields.count("logprobs")?.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    if let Some(list) = fields.list("stopSequences")? {
        sampling.stop = Some(list.into_iter().filter_map(|word| word.as_str().map(str::to_owned)).collect());
    }
    request.n = fields.count("candidateCount")?.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    request.max_tokens = fields.count("maxOutputTokens")?;
    if let Some(config) = fields.object("thinkingConfig")? {
        let place = Path::Key(&place, "thinkingConfig");
        let (reasoning, rest) = read_thinking(Fields::of(Value::Object(config), GEMINI, &place)?)?;
        request.reasoning = Some(reasoning);
        if !rest.is_empty() {
            fields.put_back("thinkingConfig", Value::Object(rest));
        }
    }
    request.output = read_output(&mut fields)?;
    Ok(fields.rest())
}

fn read_output(fields: &mut Fields<'_>) -> Result<Option<OutputFormat>, DecodeError> {
    let media_type = fields.text("responseMimeType")?;
    if !matches!(media_type.as_deref(), None | Some(JSON | TEXT)) {
        // `text/x.enum` and its schema mean nothing elsewhere.
        fields.put_back("responseMimeType", media_type.into());
        return Ok(None);
    }
    let schema = fields.take("responseJsonSchema").or_else(|| fields.take("_responseJsonSchema"));
    let schema = schema.or_else(|| fields.take("responseSchema").map(from_openapi));
    Ok(match (media_type.as_deref(), schema) {
        (_, Some(schema)) => {
            Some(OutputFormat::JsonSchema { name: String::new(), description: None, schema, strict: None })
        }
        (Some(JSON), None) => Some(OutputFormat::JsonObject),
        (Some(_), None) => Some(OutputFormat::Text),
        (None, None) => None,
    })
}

/// −1 is "as the model likes", 0 is off. Thoughts are hidden unless asked for.
fn read_thinking(mut fields: Fields<'_>) -> Result<(Reasoning, Map<String, Value>), DecodeError> {
    let mut reasoning =
        Reasoning { shown: Some(fields.flag("includeThoughts")?.unwrap_or(false)), ..Reasoning::default() };
    match fields.integer("thinkingBudget")? {
        Some(0) => reasoning.enabled = Some(false),
        Some(budget) => {
            reasoning.enabled = Some(true);
            reasoning.budget = u64::try_from(budget).ok();
        }
        None => {}
    }
    if let Some(level) = fields.text("thinkingLevel")? {
        match Effort::parse(&level.to_ascii_lowercase()) {
            Some(effort) => {
                reasoning.enabled = Some(true);
                reasoning.effort = Some(effort);
            }
            None if level.eq_ignore_ascii_case("THINKING_LEVEL_UNSPECIFIED") => {}
            None => fields.put_back("thinkingLevel", level.into()),
        }
    }
    Ok((reasoning, fields.rest()))
}

/// Writes `generationConfig` over what else the caller had there.
pub(super) fn write(
    request: &ChatRequest,
    own: Option<Map<String, Value>>,
    dialect: &Dialect,
    losses: &mut Vec<Loss>,
) -> Option<Value> {
    let mut own = own.unwrap_or_default();
    let sampling = &request.sampling;
    let mut out = Map::new();
    set(&mut out, "temperature", sampling.temperature.map(number));
    set(&mut out, "topP", sampling.top_p.map(number));
    set(&mut out, "topK", sampling.top_k);
    set(&mut out, "seed", sampling.seed);
    set(&mut out, "presencePenalty", sampling.presence_penalty.map(number));
    set(&mut out, "frequencyPenalty", sampling.frequency_penalty.map(number));
    set(&mut out, "responseLogprobs", sampling.logprobs);
    set(&mut out, "logprobs", sampling.top_logprobs);
    set(&mut out, "stopSequences", sampling.stop.clone());
    set(&mut out, "candidateCount", request.n);
    set(&mut out, "maxOutputTokens", request.max_tokens);
    if dialect.no_n && out.get("candidateCount").is_some_and(|n| n.as_u64() != Some(1)) {
        out.shift_remove("candidateCount");
        losses.push(Loss::new("n", GEMINI, "the host answers once"));
    }
    write_output(request.output.as_ref(), &mut out, dialect, losses);
    let rest = own.shift_remove("thinkingConfig").or_else(|| own.shift_remove("thinking_config"));
    let mut thinking = match rest {
        Some(Value::Object(rest)) => rest,
        _ => Map::new(),
    };
    if let Some(reasoning) = &request.reasoning {
        thinking.extend(write_thinking(reasoning, &request.model, losses));
    }
    if !thinking.is_empty() {
        out.insert("thinkingConfig".to_owned(), Value::Object(thinking));
    }
    out.extend(own);
    (!out.is_empty()).then_some(Value::Object(out))
}

fn write_output(
    output: Option<&OutputFormat>,
    out: &mut Map<String, Value>,
    dialect: &Dialect,
    losses: &mut Vec<Loss>,
) {
    match output {
        None => {}
        Some(OutputFormat::Text) => {
            out.insert("responseMimeType".to_owned(), TEXT.into());
        }
        Some(OutputFormat::JsonObject) => {
            out.insert("responseMimeType".to_owned(), JSON.into());
        }
        Some(OutputFormat::JsonSchema { description, schema, .. }) => {
            out.insert("responseMimeType".to_owned(), JSON.into());
            if description.is_some() {
                losses.push(Loss::no_equivalent("output.description", GEMINI));
            }
            if dialect.openapi_schema {
                out.insert("responseSchema".to_owned(), openapi(schema, "output.schema", losses));
            } else {
                out.insert("responseJsonSchema".to_owned(), schema.clone());
            }
        }
    }
}

fn write_thinking(reasoning: &Reasoning, model: &str, losses: &mut Vec<Loss>) -> Map<String, Value> {
    let mut out = Map::new();
    let off = reasoning.enabled == Some(false) || reasoning.effort == Some(Effort::None);
    // Whoever asks for a summary, or for thinking without a word about its display, expects to see it.
    let asked = reasoning.summary.is_some() || reasoning.enabled == Some(true);
    if let Some(shown) = reasoning.shown.or((asked && !off).then_some(true)) {
        out.insert("includeThoughts".to_owned(), shown.into());
    }
    match thinking(model) {
        Thinking::Never => {
            out.clear();
            if !off {
                losses.push(Loss::new("reasoning", GEMINI, "this model does not think"));
            }
        }
        Thinking::Budget { least, most, off: may_be_off } => {
            let budget = if off { Some(0) } else { reasoning.budget.or(reasoning.effort.map(Effort::budget)) };
            let wanted = match budget {
                Some(0) if !may_be_off => {
                    losses.push(Loss::new("reasoning.enabled", GEMINI, "this model cannot be kept from thinking"));
                    Some(least)
                }
                Some(0) => Some(0),
                Some(tokens) => Some(tokens.clamp(least, most)),
                None => None,
            };
            if let (Some(asked), Some(given)) = (reasoning.budget, wanted)
                && asked != given
                && !off
            {
                losses.push(Loss::new(
                    "reasoning.budget",
                    GEMINI,
                    format!("this model takes {least} to {most} tokens"),
                ));
            }
            match wanted {
                Some(tokens) => {
                    out.insert("thinkingBudget".to_owned(), tokens.into());
                }
                None if reasoning.enabled == Some(true) => {
                    out.insert("thinkingBudget".to_owned(), (-1).into());
                }
                None => {}
            }
        }
        Thinking::Levels(levels) => write_level(reasoning, off, levels, &mut out, losses),
    }
    out
}

fn write_level(
    reasoning: &Reasoning,
    off: bool,
    levels: &[(Effort, &str)],
    out: &mut Map<String, Value>,
    losses: &mut Vec<Loss>,
) {
    let effort = match (off, reasoning.effort, reasoning.budget) {
        (true, ..) => {
            losses.push(Loss::new("reasoning.enabled", GEMINI, "this model cannot be kept from thinking"));
            Effort::None
        }
        (false, Some(effort), _) => effort,
        // The old knob is still taken by the new models.
        (false, None, Some(budget)) => {
            out.insert("thinkingBudget".to_owned(), budget.into());
            return;
        }
        (false, None, None) => {
            if reasoning.enabled == Some(true) {
                out.insert("thinkingBudget".to_owned(), (-1).into());
            }
            return;
        }
    };
    // The smallest level that is not less than asked for, else the largest.
    let level = levels.iter().find(|(level, _)| *level >= effort).or(levels.last());
    let Some((level, word)) = level else { return };
    if !off && *level != effort {
        losses.push(Loss::new("reasoning.effort", GEMINI, format!("{} is {word} here", effort.as_str())));
    }
    out.insert("thinkingLevel".to_owned(), (*word).into());
}

/// The part of the caller's own `generationConfig` that had no word in the model.
pub(super) fn own(extras: &Extras, name: &str) -> Option<Map<String, Value>> {
    extras.for_format(GEMINI)?.get(name)?.as_object().cloned()
}
