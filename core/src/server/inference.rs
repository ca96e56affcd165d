//! From an HTTP request to a [`Call`] of the pipeline: guard, surface, key, body.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;

use super::listen::Way;
use crate::error::{GatewayError, Kind};
use crate::pipeline::{self, Call, ReplyBody, Services, pinned_profile, surface};

/// How much of a body that is too large is read and thrown away, so that the client reads our answer and not a broken pipe.
const DISCARD_BYTES: u64 = 512 << 20;
/// How long that may take.
const DISCARD_TIME: std::time::Duration = std::time::Duration::from_secs(20);

/// Answers every address that is no other route's.
pub(crate) async fn handle(services: Arc<Services>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (pinned, path) = pinned_profile(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let loopback = parts.extensions.get::<Way>().is_none_or(|way| way.loopback);
    let call = Call {
        surface: surface(&parts.method, path, &parts.headers, query),
        path: parts.uri.path().to_owned(),
        query: query.to_owned(),
        pinned: pinned.map(str::to_owned),
        headers: parts.headers,
        loopback,
    };
    let format = call.surface.error_format();
    into_response(pipeline::contain(format, answer(services, call, body)).await)
}

async fn answer(services: Arc<Services>, call: Call, body: Body) -> pipeline::Reply {
    match pipeline::begin(services, call) {
        Err(refused) => {
            discard(body).await;
            refused
        }
        Ok(admitted) => match read(body, admitted.headers(), admitted.max_body_bytes()).await {
            Ok(body) => admitted.run(body).await,
            Err(error) => admitted.refuse(error),
        },
    }
}

fn into_response(reply: pipeline::Reply) -> Response<Body> {
    let (parts, body) = reply.into_parts();
    let body = match body {
        ReplyBody::Empty => Body::empty(),
        body => Body::new(body),
    };
    Response::from_parts(parts, body)
}

/// Reads a body of at most `limit` bytes.
async fn read(mut body: Body, headers: &HeaderMap, limit: u64) -> Result<Bytes, GatewayError> {
    let too_large = || {
        let mib = limit >> 20;
        GatewayError::new(
            Kind::TooLarge,
            format!("the request body is larger than {mib} MiB (max_body_bytes in myelin.toml)"),
        )
    };
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        discard(body).await;
        let message = format!("the request body is compressed ({}); send it plain", encoding.to_str().unwrap_or("?"));
        return Err(GatewayError::new(Kind::InvalidRequest, message));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        discard(body).await;
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            GatewayError::new(Kind::InvalidRequest, "the request body broke off before its announced end")
                .caused_by(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() as u64 + data.len() as u64 > limit {
            discard(body).await;
            return Err(too_large());
        }
        match (&first, whole.is_empty()) {
            // The usual small body comes in one piece: no copy.
            (None, true) if announced == Some(data.len() as u64) => first = Some(data),
            _ => {
                if whole.is_empty()
                    && let Some(announced) = announced
                {
                    whole.reserve(usize::try_from(announced).unwrap_or(0));
                }
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// Reads a refused body to its end, within bounds.
async fn discard(mut body: Body) {
    let read = async {
        let mut seen = 0u64;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            if seen > DISCARD_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, read).await;
}
