//! What may be asked for, as a list in each format's shape.

use myelin_protocol::ApiFormat;
use myelin_protocol::formats::{gemini, ollama};
use myelin_protocol::ir::ModelInfo;

use super::Job;
use super::reply::Reply;
use super::target::checked_name;
use crate::error::{GatewayError, Kind};
use crate::routing::ECHO;

/// `GET …/models` and Ollama's `/api/tags`.
pub(crate) fn list(job: Box<Job>, format: ApiFormat) -> Reply {
    let body = format.codec().encode_models(&offered(&job));
    job.json(200, body)
}

/// `GET …/models/{id}`.
pub(crate) fn one(job: Box<Job>, format: ApiFormat, id: &str) -> Reply {
    if let Err(error) = checked_name(id) {
        return job.fail(error);
    }
    let Some(model) = offered(&job).into_iter().find(|model| model.id == id) else {
        let error = GatewayError::new(Kind::UnknownModel, format!("there is no model {id:?}"));
        return job.fail(error);
    };
    if format == ApiFormat::Gemini {
        return job.json(200, gemini::encode_model(&model));
    }
    // The other formats write one model as they write the only entry of a list.
    let list: serde_json::Value = serde_json::from_slice(&format.codec().encode_models(&[model])).unwrap_or_default();
    let entry = ["data", "models"].iter().find_map(|key| list.get(key)?.get(0)).cloned().unwrap_or_default();
    job.json(200, entry.to_string().into_bytes())
}

/// `POST /api/show`.
pub(crate) fn ollama_show(mut job: Box<Job>, body: &[u8]) -> Reply {
    let asked = match ollama::decode_show_request(body) {
        Ok(asked) => asked,
        Err(error) => return job.fail(GatewayError::new(Kind::InvalidRequest, error.message)),
    };
    if let Err(error) = checked_name(&asked) {
        return job.fail(error);
    }
    asked.clone_into(&mut job.settle.record_mut().model);
    let bare = asked.strip_suffix(":latest").unwrap_or(&asked);
    let Some(model) = offered(&job).into_iter().find(|model| model.id == asked || model.id == bare) else {
        let error = GatewayError::new(Kind::UnknownModel, format!("model '{asked}' not found"));
        return job.fail(error);
    };
    job.json(200, ollama::encode_show(&model, &["completion", "tools", "vision", "thinking"]))
}

/// `GET /api/version`: an Ollama that can what we can; tools refuse older ones.
pub(crate) fn ollama_version(job: Box<Job>) -> Reply {
    job.json(200, ollama::encode_version(ollama::COMPATIBLE_VERSION))
}

/// `GET /api/ps`: nothing is loaded here.
pub(crate) fn ollama_loaded(job: Box<Job>) -> Reply {
    job.json(200, ollama::encode_loaded())
}

/// Every name that the caller's key may ask for; echo comes last.
fn offered(job: &Job) -> Vec<ModelInfo> {
    let routing = &job.snapshot.routing;
    let key = &job.caller.key;
    let reachable = |name: &str| {
        routing.is_routed(name)
            || routing.owners(name).any(|owner| {
                routing.channels.iter().any(|channel| channel.name == owner && key.allows_channel(channel))
            })
    };
    let names = routing.names().into_iter().filter(|name| key.allows_model(name) && reachable(name));
    let owned_by = |name: &str| routing.owners(name).next().unwrap_or("route").to_owned();
    let mut models: Vec<ModelInfo> = names
        .map(|name| ModelInfo { id: name.to_owned(), owned_by: Some(owned_by(name)), ..ModelInfo::default() })
        .collect();
    if key.allows_model(ECHO) {
        models.push(ModelInfo { id: ECHO.to_owned(), owned_by: Some("myelin".to_owned()), ..ModelInfo::default() });
    }
    models
}
