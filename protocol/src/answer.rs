//! Whole answers: is it one, or a failure that came with status 200?
//!
//! Hosts answer a call for a stream with a JSON body, and put failures into successful answers. Owns that judgement and nothing of what an answer
//! means: the codec reads it.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::envelope::Envelope;
use crate::ir::{ChatResponse, Usage};
use crate::{ApiError, ApiErrorKind, ApiFormat, Dialect};

/// Reads a whole answer with a successful status.
///
/// # Errors
/// If the body is a failure in the words of its format, or no answer at all.
pub fn read(format: ApiFormat, body: &[u8], dialect: &Dialect) -> Result<ChatResponse, Box<ApiError>> {
    if let Some(error) = failure(format, body) {
        return Err(Box::new(error));
    }
    let unreadable = |error| ApiError::new(ApiErrorKind::Upstream, format!("upstream answer cannot be read: {error}"));
    format.codec().decode_response(body, dialect).map_err(|error| Box::new(unreadable(error)))
}

/// What a record wants to know of an answer whose bytes pass unchanged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The failure that came in place of an answer.
    pub error: Option<ApiError>,
    /// The counters.
    pub usage: Option<Usage>,
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The model that answered, in the provider's words.
    pub model: Option<String>,
}

/// Looks at a whole answer with a successful status without building it.
pub fn facts(format: ApiFormat, body: &Bytes, dialect: &Dialect) -> Facts {
    let answers = answers(body);
    if !(answers.len() == 1 && answers.iter().all(cannot_fail))
        && let Some(error) = failure(format, body)
    {
        return Facts { error: Some(error), ..Facts::default() };
    }
    let text = |keys: &[&str]| {
        let answer = answers.first()?;
        keys.iter().find_map(|key| answer.text(key)).map(|text| text.into_owned())
    };
    Facts {
        error: None,
        usage: answers.iter().rev().find_map(|answer| format.codec().decode_usage(answer, dialect)),
        id: text(&["id", "responseId", "message_id"]),
        model: text(&["model", "modelVersion"]),
    }
}

/// The answer, or those of a list: Gemini wraps the chunks of a stream without `alt=sse` in one. Nothing, if it cannot be looked into.
fn answers(body: &Bytes) -> Vec<Envelope> {
    if body.trim_ascii_start().first() != Some(&b'[') {
        return Envelope::look(body.clone()).into_iter().collect();
    }
    let list: Vec<&RawValue> = serde_json::from_slice(body).unwrap_or_default();
    list.iter().filter_map(|one| Envelope::look(body.slice_ref(one.get().as_bytes())).ok()).collect()
}

/// Whether an answer has none of the marks of a failure. To be sure that it is one takes a reader.
fn cannot_fail(answer: &Envelope) -> bool {
    answer.raw("error").is_none_or(|error| error == b"null")
        && ["type", "object"].iter().all(|name| answer.raw(name).is_none_or(|word| word != b"\"error\""))
}

/// The failure that `body` is, if it says so by one of the marks that no answer has.
fn failure(format: ApiFormat, body: &[u8]) -> Option<ApiError> {
    #[derive(Deserialize)]
    struct Marks<'a> {
        // `null` is no failure: Responses answers always have the field.
        error: Option<IgnoredAny>,
        #[serde(borrow, default, deserialize_with = "word")]
        r#type: Option<&'a str>,
        #[serde(borrow, default, deserialize_with = "word")]
        object: Option<&'a str>,
    }
    let is_failure =
        |marks: &Marks<'_>| marks.error.is_some() || marks.r#type == Some("error") || marks.object == Some("error");
    // Gemini wraps the answers and failures of a stream without `alt=sse` in a list.
    let failed = match body.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice::<Vec<Marks<'_>>>(body).is_ok_and(|list| list.iter().any(is_failure)),
        _ => serde_json::from_slice::<Marks<'_>>(body).is_ok_and(|marks| is_failure(&marks)),
    };
    failed.then(|| {
        let mut error = format.codec().decode_error(BAD_GATEWAY, body);
        // The status was a success and means nothing; the kind's own is used.
        if error.status == Some(BAD_GATEWAY) {
            error.status = None;
        }
        error
    })
}

const BAD_GATEWAY: u16 = 502;

/// A borrowed string, or nothing if the field is something else or holds escapes.
fn word<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<&'de str>, D::Error> {
    let raw = <&serde_json::value::RawValue>::deserialize(input)?.get();
    Ok(raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')))
}
