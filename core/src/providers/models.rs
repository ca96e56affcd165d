//! Model lists of providers.

use myelin_protocol::ApiFormat;
use myelin_protocol::ir::ModelInfo;
use serde_json::Value;

use super::Fetch;
use super::auth::text_field;
use super::catalog::ModelListWire;
use super::live::LiveChannel;
use super::operation::Operation;
use super::reach::Reach;
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
    list_models_for(channel, 0, fetch, clock).await
}

/// What a question that costs nothing showed.
#[derive(Debug)]
pub struct Look {
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What is wrong; `None`: nothing.
    pub failure: Option<GatewayError>,
}

/// Asks the provider for its models, with one of the channel's credentials, to see whether it answers. `None`: it has no such list.
pub async fn look(channel: &LiveChannel, credential: usize, fetch: &dyn Fetch, clock: &dyn Clock) -> Option<Look> {
    channel.models.as_ref()?;
    let reach = Reach { channel, credential, fetch, clock };
    Some(match reach.ask(&Operation::Models { page: None }, "", bytes::Bytes::new()).await {
        Err(failure) => Look { status: None, failure: Some(failure) },
        Ok(answer) => {
            let status = Some(answer.status().as_u16());
            Look { status, failure: page(channel, answer, clock).err() }
        }
    })
}

async fn list_models_for(
    channel: &LiveChannel,
    credential: usize,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
) -> Result<Vec<ModelInfo>, GatewayError> {
    let Some(((wire, _), _)) = &channel.models else { return Ok(Vec::new()) };
    let mut models = Vec::new();
    let mut page = None;
    for _ in 0..MOST_PAGES {
        let body = fetch_page(channel, credential, page.as_deref(), fetch, clock).await?;
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
    credential: usize,
    asked: Option<&str>,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
) -> Result<bytes::Bytes, GatewayError> {
    let reach = Reach { channel, credential, fetch, clock };
    let answer = reach.ask(&Operation::Models { page: asked }, "", bytes::Bytes::new()).await?;
    page(channel, answer, clock)
}

/// The body of an answer, if it is none of a failure.
fn page(
    channel: &LiveChannel,
    answer: http::Response<bytes::Bytes>,
    clock: &dyn Clock,
) -> Result<bytes::Bytes, GatewayError> {
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
