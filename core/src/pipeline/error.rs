//! A failure in the caller's own words: body shape, status, `retry-after`, request id.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use myelin_protocol::formats::gemini;
use myelin_protocol::{ApiError, ApiErrorKind, ApiFormat};

use super::reply::{Reply, ReplyBody};
use super::settle::Settle;
use crate::error::{GatewayError, Kind, Side};
use crate::model::RequestState;

/// Answers with `error` in `format` and settles the request as failed.
pub(crate) fn reply(format: ApiFormat, mut error: GatewayError, settle: Settle) -> Reply {
    let overloaded = error.kind == Kind::UpstreamFailed && error.public.kind == ApiErrorKind::Overloaded;
    if format == ApiFormat::AnthropicMessages && overloaded {
        // A provider may have said it inside a stream, where there is no status; clients of this format know it by this one.
        error.public.status.get_or_insert(529);
    }
    reply_as(|public| format.codec().encode_error(public), error, settle)
}

/// The same for a client that waits for a JSON array (Gemini's stream without `alt=sse`).
pub(crate) fn reply_in_array(error: GatewayError, settle: Settle) -> Reply {
    reply_as(gemini::encode_error_in_array, error, settle)
}

fn reply_as(encode: impl FnOnce(&ApiError) -> Vec<u8>, error: GatewayError, mut settle: Settle) -> Reply {
    let public = publish(&error, &settle);
    let status = StatusCode::from_u16(public.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    log(&error, &settle);
    settle.failure(&error);
    let body = encode(&public);
    let mut reply = http::Response::new(ReplyBody::Empty);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = public.retry_after {
        // Whole seconds, rounded up: coming back too early costs another refusal.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    settle.describe(headers);
    let body = bytes::Bytes::from(body);
    settle.given(&body);
    settle.complete(RequestState::Failed, status.as_u16());
    *reply.body_mut() = ReplyBody::Whole(body);
    reply
}

/// What a client reads whose request somebody stopped.
pub(crate) const STOPPED: &str = "the request was stopped by the owner of the gateway";

/// The answer to a request that was stopped before it had one; its record writes itself.
pub(crate) fn stopped(format: ApiFormat, id: &str) -> Reply {
    let mut public = ApiError::new(Kind::ClientGone.api_kind(), STOPPED);
    public.request_id = Some(id.to_owned());
    let mut reply = http::Response::new(ReplyBody::Whole(format.codec().encode_error(&public).into()));
    // 499 is the customary status of a request that was closed early.
    *reply.status_mut() = StatusCode::from_u16(499).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(id) {
        reply.headers_mut().insert(http::HeaderName::from_static("x-request-id"), id);
    }
    reply
}

/// What the caller may read, with our request id.
pub(crate) fn publish(error: &GatewayError, settle: &Settle) -> ApiError {
    let mut public = error.public.clone();
    public.request_id = Some(settle.record().id.clone());
    public
}

/// One line a failure, where it is handled.
pub(crate) fn log(error: &GatewayError, settle: &Settle) {
    let record = settle.record();
    let cause = error.source.as_deref().map(tracing::field::display);
    let (id, kind, model) = (&record.id, error.kind.label(), &record.model);
    match error.kind.side() {
        _ if error.kind == Kind::ClientGone => tracing::debug!(%id, kind, model, "client gone"),
        Side::Client => tracing::info!(%id, kind, model, cause, "{}", error.public.message),
        Side::Gateway | Side::Upstream => tracing::warn!(%id, kind, model, cause, "{}", error.public.message),
    }
}
