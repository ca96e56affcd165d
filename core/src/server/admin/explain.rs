//! What would happen to a request, before it is sent.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Admin;
use super::error::{AdminError, Failure};
use super::extract::Asked;
use crate::pipeline::{Explanation, Supposed, explain};
use crate::routing::Described;
use crate::told;

/// A request as somebody describes it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// The model that is asked for.
    model: String,
    /// Id or name of a key; absent: the tool's key, else one without limits.
    key: Option<String>,
    /// A profile; absent: the key's, else the gateway's.
    profile: Option<String>,
    /// The tool that asks.
    tool: Option<String>,
    /// The client format; absent: `openai-chat`.
    format: Option<String>,
    /// Tokens of the prompt.
    tokens: Option<u64>,
    /// The most tokens wanted back.
    max_output: Option<u64>,
    /// A stream is wanted.
    stream: bool,
    /// It holds images.
    images: bool,
    /// It asks for thinking.
    thinking: bool,
    /// Tags, separated by commas.
    tags: Option<String>,
    /// Headers, `name:value`, separated by newlines.
    headers: Option<String>,
    /// Metadata, `name:value`, separated by newlines.
    metadata: Option<String>,
}

/// Which rule would fire for a request, which deployments would be tried in which order and why, and which may not serve and why not. Nothing is sent.
#[utoipa::path(get, path = "/api/v1/explain", tag = "routes", operation_id = "explain", params(ExplainQuery),
    responses((status = 200, body = Explanation), (status = 404, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn read(
    State(admin): State<Admin>,
    Asked(query): Asked<ExplainQuery>,
) -> Result<Json<Explanation>, AdminError> {
    if query.model.is_empty() {
        return Err(AdminError::wrong(told!("name-the-model", "which model? `model` is empty")));
    }
    let pairs = |text: Option<String>| -> Vec<(String, String)> {
        let lines = text.unwrap_or_default();
        let pairs = lines.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
    };
    let tags = query.tags.unwrap_or_default();
    let supposed = Supposed {
        model: query.model,
        key: query.key,
        profile: query.profile,
        described: Described {
            now_ms: 0,
            tool: query.tool,
            format: query.format.unwrap_or_else(|| "openai-chat".to_owned()),
            stream: query.stream,
            headers: pairs(query.headers),
            metadata: pairs(query.metadata),
            tokens: query.tokens.unwrap_or_default(),
            max_output: query.max_output,
            images: query.images,
            thinking: query.thinking,
            tags: tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        },
    };
    explain(&admin.services, &supposed)
        .map(Json)
        .map_err(|error| AdminError::new(http::StatusCode::NOT_FOUND, "not-found", error.public.message))
}
