//! Stored answers: going on from one, and telling what was stored. The store itself is elsewhere; this is pure.

use serde_json::{Value, json};

use super::content::fields_of;
use super::stream_out::Encoder;
use super::take::{self, FORMAT, Fields};
use super::{ids, request, response};
use crate::ir::ChatRequest;
use crate::{DecodeError, ReplyContext, StreamEncoder, fold};

/// One stored answer: what [`input_items`] made of the request, and the response object as the client got it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResponse {
    /// The new items of its request, without those of the answers before it.
    pub input: Vec<Value>,
    /// The response object.
    pub response: Value,
}

impl StoredResponse {
    fn items(&self) -> impl Iterator<Item = &Value> {
        let output = self.response.get("output").and_then(Value::as_array);
        self.input.iter().chain(output.into_iter().flatten())
    }
}

/// The `previous_response_id` of a request body, without reading the rest into the model.
pub fn previous_response_id(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Head {
        previous_response_id: Option<String>,
    }
    serde_json::from_slice::<Head>(body).ok()?.previous_response_id
}

/// Puts the stored conversation in front of a new request, so that a provider that stores nothing can answer it.
///
/// `chain` is oldest first. References to stored items are replaced by the items; instructions are those of the new request alone.
/// Fails where the request is malformed or refers to an item that is not in the chain.
pub fn continue_from(chain: &[StoredResponse], body: &[u8]) -> Result<ChatRequest, DecodeError> {
    let mut fields: Fields = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    fields.shift_remove("previous_response_id");
    let known: Vec<&Value> = chain.iter().flat_map(StoredResponse::items).collect();
    let mut input: Vec<Value> = known.iter().copied().cloned().collect();
    for (index, item) in new_items(&mut fields)?.into_iter().enumerate() {
        input.push(resolve(item, index, &known)?);
    }
    fields.insert("input".to_owned(), Value::Array(input));
    request::decode_fields(fields)
}

fn resolve(item: Value, index: usize, known: &[&Value]) -> Result<Value, DecodeError> {
    let kind = item.get("type").and_then(Value::as_str);
    let reference = kind == Some("item_reference") || (kind.is_none() && item.get("role").is_none());
    if !reference {
        return Ok(item);
    }
    let id = item.get("id").and_then(Value::as_str);
    let found = known.iter().find(|item| id.is_some() && item.get("id").and_then(Value::as_str) == id);
    found
        .map(|item| (*item).clone())
        .ok_or_else(|| DecodeError::new(FORMAT, format!("/input/{index}/id"), "refers to no stored item"))
}

/// The items of a body's `input`; a string is one message.
fn new_items(fields: &mut Fields) -> Result<Vec<Value>, DecodeError> {
    if let Some(Value::String(_)) = fields.get("input") {
        let text = take::text(fields, "input").unwrap_or_default();
        return Ok(vec![message(json!([{"type": "input_text", "text": text}]))]);
    }
    Ok(take::list(fields, "", "input")?.unwrap_or_default())
}

fn message(content: Value) -> Value {
    json!({"type": "message", "role": "user", "content": content})
}

/// The items of a request as they are stored and listed: each has a type and an id. `token` is the one of the reply.
pub fn input_items(body: &[u8], token: &str) -> Result<Vec<Value>, DecodeError> {
    let mut fields: Fields = serde_json::from_slice(body).map_err(|error| DecodeError::json(FORMAT, &error))?;
    let items = new_items(&mut fields)?.into_iter().enumerate();
    Ok(items.map(|(index, item)| stored_item(item, index, token)).collect())
}

fn stored_item(item: Value, index: usize, token: &str) -> Value {
    let Value::Object(mut item) = item else { return item };
    if !item.contains_key("type") && item.contains_key("role") {
        item.insert("type".to_owned(), json!("message"));
    }
    let kind = item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "message" {
        item.entry("status").or_insert_with(|| json!("completed"));
        let word =
            if item.get("role").and_then(Value::as_str) == Some("assistant") { "output_text" } else { "input_text" };
        if let Some(text) = item.get("content").and_then(Value::as_str).map(str::to_owned) {
            item.insert("content".to_owned(), json!([{"type": word, "text": text}]));
        }
    }
    if item.get("id").is_none_or(Value::is_null) {
        let prefix = PREFIXES.iter().find(|(known, _)| *known == kind).map_or("item", |(_, prefix)| prefix);
        let mut first = fields_of(json!({"id": ids::mint(&format!("{prefix}_in"), token, index)}));
        item.shift_remove("id");
        first.extend(item);
        item = first;
    }
    Value::Object(item)
}

/// How ids of stored input items begin.
const PREFIXES: [(&str, &str); 6] = [
    ("message", "msg"),
    ("function_call", "fc"),
    ("function_call_output", "fco"),
    ("custom_tool_call", "ctc"),
    ("custom_tool_call_output", "ctco"),
    ("reasoning", "rs"),
];

/// A page of `GET /responses/{id}/input_items`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page<'a> {
    /// Begin after the item with this id.
    pub after: Option<&'a str>,
    /// At most so many, 1 to 100; 20 if absent.
    pub limit: Option<usize>,
    /// Oldest first; the format's default is newest first.
    pub ascending: bool,
}

/// Writes the page of the input items of the newest answer of `chain` (oldest first), the conversation before it included.
pub fn encode_input_items(chain: &[StoredResponse], page: &Page<'_>) -> Vec<u8> {
    let earlier = chain.split_last().map_or(&[][..], |(_, earlier)| earlier);
    let newest = chain.last().into_iter().flat_map(|stored| &stored.input);
    let mut items: Vec<&Value> = earlier.iter().flat_map(StoredResponse::items).chain(newest).collect();
    if !page.ascending {
        items.reverse();
    }
    let id = |item: &Value| item.get("id").and_then(Value::as_str).map(str::to_owned);
    let start = page.after.and_then(|after| items.iter().position(|item| id(item).as_deref() == Some(after)));
    let start = start.map_or(0, |place| place + 1);
    let limit = page.limit.unwrap_or(20).clamp(1, 100);
    let data: Vec<&Value> = items.iter().skip(start).take(limit).copied().collect();
    let body = json!({
        "object": "list",
        "first_id": data.first().and_then(|item| id(item)),
        "last_id": data.last().and_then(|item| id(item)),
        "has_more": items.len() > start + data.len(),
        "data": data,
    });
    body.to_string().into_bytes()
}

/// Streams a stored answer again, as `GET /responses/{id}?stream=true` asks: the events after number `starting_after`, or all.
///
/// Deltas hold whole texts: how the text was cut when it was made is not stored.
pub fn replay(response: &Value, starting_after: Option<u64>) -> Result<Vec<u8>, DecodeError> {
    let stored = response.as_object().ok_or_else(|| DecodeError::new(FORMAT, "", "is not an object"))?;
    let answer = response::decode_fields(stored.clone())?;
    let id = answer.id.clone().unwrap_or_default();
    let context = ReplyContext {
        model: answer.model.clone().unwrap_or_default(),
        id: id.strip_prefix("resp_").unwrap_or(&id).to_owned(),
        ..ReplyContext::default()
    };
    let mut encoder = Encoder::new(context);
    encoder.stored = Some(stored.clone());
    encoder.writer.from = starting_after.map_or(0, |number| number.saturating_add(1));
    let mut out = Vec::new();
    for event in fold::unfold(answer) {
        encoder.push(&event, &mut out);
    }
    Ok(out)
}

/// Writes the answer to `DELETE /responses/{id}`.
pub fn encode_deleted(id: &str) -> Vec<u8> {
    json!({"id": id, "object": "response", "deleted": true}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Content, Role};

    fn chain() -> Vec<StoredResponse> {
        let first = json!({"model": "m", "input": "hello", "instructions": "old"});
        let input = input_items(first.to_string().as_bytes(), "aa").expect("is a request");
        let response = json!({"id": "resp_1", "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAA"},
            {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{}"},
        ]});
        vec![StoredResponse { input, response }]
    }

    #[test]
    fn a_request_goes_on_from_what_was_stored() {
        let body = json!({"model": "m", "previous_response_id": "resp_1", "instructions": "new", "input": [
            {"type": "function_call_output", "call_id": "c1", "output": "42"}, {"type": "item_reference", "id": "rs_1"},
        ]});
        let request = continue_from(&chain(), body.to_string().as_bytes()).expect("goes on");
        assert_eq!(request.previous_response_id, None);
        let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
        assert_eq!(request.messages[0].parts[0].as_text(), Some("new"));
        assert!(matches!(&request.messages[2].parts[1].content, Content::ToolCall(call) if call.id == "c1"));
        assert!(matches!(&request.messages[4].parts[0].content, Content::Reasoning(_)), "the reference was replaced");
    }

    #[test]
    fn a_reference_to_nothing_is_named() {
        let body = json!({"model": "m", "input": [{"type": "item_reference", "id": "rs_9"}]});
        let error = continue_from(&chain(), body.to_string().as_bytes()).expect_err("refers to nothing");
        assert_eq!(error.pointer, "/input/0/id");
    }

    #[test]
    fn a_stored_answer_streams_again_from_any_event() {
        let body = json!({"model": "m", "instructions": "be kind", "input": "hi", "temperature": 0.5});
        let request = request::decode(body.to_string().as_bytes()).expect("is a request");
        let context = ReplyContext {
            model: "m".into(),
            id: "ab".into(),
            created: 3,
            request: Some(std::sync::Arc::new(request)),
            ..ReplyContext::default()
        };
        let choice = crate::ir::Choice {
            parts: vec![crate::ir::Part::text("hello")],
            finish: Some(crate::ir::Finish::new(crate::ir::FinishReason::Stop)),
            ..crate::ir::Choice::default()
        };
        let answer = crate::ir::ChatResponse { choices: vec![choice], ..crate::ir::ChatResponse::default() };
        let (stored, _) = response::render(&answer, &context);
        let stored = Value::Object(stored);
        let all = String::from_utf8(replay(&stored, None).expect("is an answer")).expect("is text");
        let frames: Vec<&str> = all.split_inclusive("\n\n").collect();
        let data = |frame: &str| -> Value {
            let (_, data) = frame.trim_end().split_once("data: ").expect("has data");
            serde_json::from_str(data).expect("is JSON")
        };
        assert_eq!(data(frames.last().expect("has an end"))["response"], stored);
        assert_eq!(data(frames[0])["response"]["instructions"], "be kind");
        let rest = String::from_utf8(replay(&stored, Some(3)).expect("is an answer")).expect("is text");
        assert_eq!(rest, frames[4..].concat());
        assert_eq!(data(frames[4])["sequence_number"], 4);
        assert!(replay(&stored, Some(u64::MAX)).expect("is an answer").is_empty());
    }

    #[test]
    fn input_items_are_listed_newest_first_in_pages() {
        let stored = chain();
        let page: Value = serde_json::from_slice(&encode_input_items(&stored, &Page::default())).expect("is JSON");
        assert_eq!(page["data"][0]["content"][0]["text"], "hello");
        assert_eq!(page["data"][0]["id"], page["first_id"]);
        assert_eq!(page["has_more"], false);
        let mut longer = stored;
        longer.push(StoredResponse {
            input: vec![json!({"id": "fco_1", "type": "function_call_output"})],
            response: Value::Null,
        });
        let page = Page { limit: Some(2), ..Page::default() };
        let page: Value = serde_json::from_slice(&encode_input_items(&longer, &page)).expect("is JSON");
        assert_eq!(
            (&page["first_id"], &page["last_id"], &page["has_more"]),
            (&json!("fco_1"), &json!("fc_1"), &json!(true))
        );
        let next = Page { after: Some("fc_1"), limit: Some(2), ..Page::default() };
        let next: Value = serde_json::from_slice(&encode_input_items(&longer, &next)).expect("is JSON");
        assert_eq!((&next["first_id"], &next["has_more"]), (&json!("rs_1"), &json!(false)));
    }
}
