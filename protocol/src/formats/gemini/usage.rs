//! `usageMetadata`. Output is candidates **plus** thoughts, input is the prompt (cached part inside) plus what tools put into it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::model_rules::is_third_generation;
use crate::Dialect;
use crate::envelope::Envelope;
use crate::formats::fields::set;
use crate::ir::{RawUsage, Usage};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    total_token_count: Option<u64>,
    prompt_tokens_details: Option<Vec<Modality>>,
    tool_use_prompt_tokens_details: Option<Vec<Modality>>,
    candidates_tokens_details: Option<Vec<Modality>>,
    service_tier: Option<String>,
    traffic_type: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modality {
    #[serde(default)]
    modality: Value,
    #[serde(default)]
    token_count: Option<u64>,
}

/// Modalities with their numbers in protobuf, which some libraries write.
const AUDIO: (&str, u64) = ("AUDIO", 4);
const IMAGE: (&str, u64) = ("IMAGE", 2);

/// Reads the object. One that cannot be read is kept raw with every counter unknown.
pub(super) fn read(raw: &Value, dialect: &Dialect) -> Usage {
    counted(Wire::deserialize(raw).unwrap_or_default(), raw.into(), dialect)
}

fn counted(wire: Wire, raw: RawUsage, dialect: &Dialect) -> Usage {
    let details = [&wire.prompt_tokens_details, &wire.tool_use_prompt_tokens_details];
    let input = wire.prompt_token_count.map(|prompt| {
        let beside = if dialect.cache_beside_input { wire.cached_content_token_count } else { None };
        prompt.saturating_add(wire.tool_use_prompt_token_count.unwrap_or(0)).saturating_add(beside.unwrap_or(0))
    });
    let output = match (wire.candidates_token_count, wire.thoughts_token_count) {
        // Protobuf leaves zeros out: with both sums known the difference is no guess.
        (None, None) => wire.total_token_count.zip(input).map(|(total, input)| total.saturating_sub(input)),
        (candidates, thoughts) => Some(candidates.unwrap_or(0).saturating_add(thoughts.unwrap_or(0))),
    };
    Usage {
        input,
        cache_read: wire.cached_content_token_count,
        audio_input: sum(details, AUDIO),
        image_input: sum(details, IMAGE),
        output,
        reasoning: wire.thoughts_token_count,
        audio_output: sum([&wire.candidates_tokens_details, &None], AUDIO),
        image_output: sum([&wire.candidates_tokens_details, &None], IMAGE),
        service_tier: wire.service_tier.or_else(|| tier(wire.traffic_type.as_ref()?.as_str()?)),
        raw: Some(raw),
        ..Usage::default()
    }
}

/// Reads nothing but the counters of an answer or a chunk.
pub(super) fn peek(answer: &Envelope, dialect: &Dialect) -> Option<Usage> {
    let text = answer.raw("usageMetadata").filter(|raw| *raw != b"null")?;
    let wire = serde_json::from_slice(text).unwrap_or_default();
    Some(counted(wire, RawUsage::of_text(text)?, dialect))
}

/// Vertex tells the tier as kind of traffic.
fn tier(traffic: &str) -> Option<String> {
    const WORDS: [(&str, &str); 3] =
        [("ON_DEMAND_PRIORITY", "priority"), ("ON_DEMAND_FLEX", "flex"), ("PROVISIONED_THROUGHPUT", "provisioned")];
    WORDS.iter().find(|(word, _)| *word == traffic).map(|(_, tier)| (*tier).to_owned())
}

fn sum(lists: [&Option<Vec<Modality>>; 2], (word, number): (&str, u64)) -> Option<u64> {
    let all = lists.into_iter().flatten().flatten();
    let own = all.filter(|one| one.modality.as_str() == Some(word) || one.modality.as_u64() == Some(number));
    own.filter_map(|one| one.token_count).fold(None, |sum, count| Some(sum.unwrap_or(0u64).saturating_add(count)))
}

/// How many searches `groundingMetadata` tells of: the third generation bills every query, earlier ones the grounded answer.
pub(super) fn searches(grounding: &Value, model: &str) -> Option<u64> {
    let queries = grounding.get("webSearchQueries")?.as_array()?;
    let count = queries.iter().filter(|query| query.as_str().is_some_and(|query| !query.is_empty())).count() as u64;
    (count > 0).then(|| if is_third_generation(model) { count } else { 1 })
}

/// Writes the object for a client: a Gemini provider's own one as it was, else made from the counters.
pub(super) fn write(usage: &Usage) -> Option<Value> {
    const OWN: [&str; 4] = ["promptTokenCount", "candidatesTokenCount", "totalTokenCount", "trafficType"];
    if let Some(own) = usage.raw.as_ref().and_then(|raw| raw.with_any(&OWN)) {
        return Some(own);
    }
    let mut out = Map::new();
    set(&mut out, "promptTokenCount", usage.input);
    set(&mut out, "cachedContentTokenCount", usage.cache_read.filter(|count| *count > 0));
    let visible = usage.output.map(|output| output.saturating_sub(usage.reasoning.unwrap_or(0)));
    set(&mut out, "candidatesTokenCount", visible);
    set(&mut out, "thoughtsTokenCount", usage.reasoning.filter(|count| *count > 0));
    set(&mut out, "totalTokenCount", usage.total());
    set(&mut out, "promptTokensDetails", details(usage.input, usage.audio_input, usage.image_input));
    set(&mut out, "candidatesTokensDetails", details(visible, usage.audio_output, usage.image_output));
    (!out.is_empty()).then_some(Value::Object(out))
}

fn details(all: Option<u64>, audio: Option<u64>, image: Option<u64>) -> Option<Value> {
    if audio.is_none() && image.is_none() {
        return None;
    }
    let text = all?.saturating_sub(audio.unwrap_or(0)).saturating_sub(image.unwrap_or(0));
    let rows = [("TEXT", Some(text)), ("AUDIO", audio), ("IMAGE", image)];
    let rows = rows.into_iter().filter_map(|(word, count)| Some(json!({"modality": word, "tokenCount": count?})));
    Some(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(raw: Value) -> Usage {
        read(&raw, &Dialect::default())
    }

    #[test]
    fn thoughts_are_added_and_tool_prompts_are_input() {
        let usage = read_json(json!({
            "promptTokenCount": 294, "candidatesTokenCount": 230, "thoughtsTokenCount": 158,
            "toolUsePromptTokenCount": 605, "totalTokenCount": 1287
        }));
        assert_eq!((usage.input, usage.output, usage.reasoning), (Some(899), Some(388), Some(158)));
        assert_eq!(usage.total(), Some(1287));
    }

    #[test]
    fn case_29_the_cached_part_is_inside_the_input_and_counted_once() {
        let usage =
            read_json(json!({"promptTokenCount": 328, "cachedContentTokenCount": 220, "candidatesTokenCount": 63}));
        assert_eq!((usage.input, usage.cache_read, usage.uncached_input()), (Some(328), Some(220), Some(108)));
        let beside = Dialect { cache_beside_input: true, ..Dialect::default() };
        let usage = read(&json!({"promptTokenCount": 108, "cachedContentTokenCount": 220}), &beside);
        assert_eq!((usage.input, usage.uncached_input()), (Some(328), Some(108)));
    }

    #[test]
    fn absent_counters_are_unknown_unless_the_sums_tell() {
        let usage = read_json(json!({"promptTokenCount": 14, "totalTokenCount": 14}));
        assert_eq!(usage.output, Some(0));
        let usage = read_json(json!({"trafficType": "ON_DEMAND"}));
        assert!(usage.is_unknown() && usage.raw.is_some());
        let usage = read_json(json!({"promptTokenCount": 14}));
        assert_eq!(usage.output, None);
        assert!(read_json(json!({"promptTokenCount": -4})).is_unknown());
        assert!(read_json(json!("odd")).is_unknown());
    }

    #[test]
    fn modalities_are_told_by_word_and_number() {
        let usage = read_json(json!({
            "promptTokenCount": 10, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}, {"modality": 4, "tokenCount": 2}, {"modality": 1}]
        }));
        assert_eq!((usage.audio_input, usage.image_input), (Some(5), None));
    }

    #[test]
    fn counters_of_another_provider_become_gemini_s_and_back() {
        let usage = Usage {
            input: Some(100),
            cache_read: Some(40),
            output: Some(30),
            reasoning: Some(10),
            audio_input: Some(7),
            ..Usage::default()
        };
        let raw = write(&usage).unwrap();
        let expected = json!({
            "promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 20, "thoughtsTokenCount": 10,
            "totalTokenCount": 130,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 93}, {"modality": "AUDIO", "tokenCount": 7}]
        });
        assert_eq!(raw, expected);
        let back = read_json(raw);
        assert_eq!(
            (back.input, back.output, back.cache_read, back.audio_input),
            (Some(100), Some(30), Some(40), Some(7))
        );
        assert_eq!(write(&Usage::default()), None);
    }
}
