//! Model lists of providers.

use http::Request;
use myelin_protocol::ApiFormat;
use myelin_protocol::ir::ModelInfo;
use serde_json::Value;

use super::auth::{Payload, text_field};
use super::catalog::ModelListWire;
use super::live::LiveChannel;
use super::operation::{ClientHead, Operation};
use super::{ChannelError, Fetch};
use crate::clock::Clock;
use crate::error::{GatewayError, Kind};

/// No provider has more pages than this; one that says so is broken.
const MOST_PAGES: usize = 50;

/// Asks the provider which models it offers to the channel's first credential. Sorted, without repetition; empty if the provider has no list.
pub async fn list_models(
    channel: &LiveChannel,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
) -> Result<Vec<ModelInfo>, GatewayError> {
    let Some(((wire, _), _)) = &channel.models else { return Ok(Vec::new()) };
    let mut models = Vec::new();
    let mut page = None;
    for _ in 0..MOST_PAGES {
        let body = fetch_page(channel, page.as_deref(), fetch, clock).await?;
        models.extend(read(*wire, &body).map_err(|why| unreadable(channel, why))?);
        page = next_page(*wire, &body);
        if page.is_none() {
            break;
        }
    }
    models.sort_by(|a, b| a.id.cmp(&b.id));
    models.dedup_by(|a, b| a.id == b.id);
    Ok(models)
}

async fn fetch_page(
    channel: &LiveChannel,
    page: Option<&str>,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
) -> Result<bytes::Bytes, GatewayError> {
    let wrong =
        |error: ChannelError| GatewayError::new(Kind::UpstreamDenied, format!("channel `{}`: {error}", channel.name()));
    let mut prepared = channel.request(0, &Operation::Models { page }, "", ClientHead::default()).map_err(wrong)?;
    channel.authorize(0, &mut prepared, Payload::Whole(&[]), fetch, clock).await.map_err(wrong)?;
    let answer = fetch.fetch(Request::from_parts(prepared.parts, bytes::Bytes::new())).await.map_err(|error| {
        let kind = if error.timed_out { Kind::Timeout } else { Kind::UpstreamFailed };
        GatewayError::new(kind, format!("channel `{}`: {}", channel.name(), error.message))
    })?;
    let status = answer.status().as_u16();
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let format = channel.endpoints.first().map_or(ApiFormat::OpenaiChat, |endpoint| endpoint.format);
    let error = format.codec().decode_error(status, answer.body());
    Err(channel.classify(status, answer.headers(), error, clock.unix_ms()))
}

fn unreadable(channel: &LiveChannel, why: String) -> GatewayError {
    GatewayError::new(
        Kind::UpstreamFailed,
        format!("channel `{}`: the model list cannot be read: {why}", channel.name()),
    )
}

fn read(wire: ModelListWire, body: &[u8]) -> Result<Vec<ModelInfo>, String> {
    let format = match wire {
        ModelListWire::Openai => ApiFormat::OpenaiChat,
        ModelListWire::Anthropic => ApiFormat::AnthropicMessages,
        ModelListWire::Gemini => ApiFormat::Gemini,
        ModelListWire::Ollama => ApiFormat::OllamaChat,
        _ => return read_other(wire, body),
    };
    format.codec().decode_models(body).map_err(|error| error.to_string())
}

/// Lists that are no client's format: where the list is, where the name is.
fn read_other(wire: ModelListWire, body: &[u8]) -> Result<Vec<ModelInfo>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let (list, name, shown) = match wire {
        ModelListWire::Cohere => (value.get("models"), "name", "name"),
        ModelListWire::Bedrock => (value.get("modelSummaries"), "modelId", "modelName"),
        ModelListWire::Vertex => (value.get("publisherModels"), "name", "name"),
        _ => (Some(&value), "id", "name"),
    };
    let list = list.and_then(Value::as_array).ok_or("there is no list in it")?;
    let info = |model: &Value| {
        let id = text_field(model, name)?;
        // `publishers/google/models/gemini-2.5-pro`: clients and addresses use the last piece.
        let id = if wire == ModelListWire::Vertex { id.rsplit('/').next().unwrap_or(id) } else { id };
        Some(ModelInfo {
            id: id.to_owned(),
            display_name: text_field(model, shown).filter(|_| shown != name).map(str::to_owned),
            context: model.get("context_length").and_then(Value::as_u64),
            ..ModelInfo::default()
        })
    };
    Ok(list.iter().filter_map(info).collect())
}

/// The query of the next page.
fn next_page(wire: ModelListWire, body: &[u8]) -> Option<String> {
    let (field, name) = match wire {
        ModelListWire::Anthropic => ("last_id", "after_id"),
        ModelListWire::Gemini | ModelListWire::Vertex => ("nextPageToken", "pageToken"),
        ModelListWire::Cohere => ("next_page_token", "page_token"),
        _ => return None,
    };
    let value: Value = serde_json::from_slice(body).ok()?;
    if wire == ModelListWire::Anthropic && value.get("has_more").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let token = text_field(&value, field)?;
    let mut query = format!("{name}=");
    super::template::encode_segment(token, &mut query);
    Some(query)
}
