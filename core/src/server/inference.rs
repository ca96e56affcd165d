//! From an HTTP request to a [`Call`] of the pipeline: path, query, head.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};

use super::listen::Way;
use crate::error::{GatewayError, Kind};
use crate::pipeline::{self, Call, ReplyBody, Services, pinned_profile, surface};

/// Answers every address that is no other route's.
pub(crate) async fn handle(services: Arc<Services>, request: Request<Body>) -> Response<Body> {
    into_response(Box::pin(reply(services, request)).await)
}

/// The same, with the body as the pipeline made it.
pub(super) async fn reply<B>(services: Arc<Services>, request: Request<B>) -> pipeline::Reply
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
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
    pipeline::contain(format, pin!(answer(services, call, body))).await
}

async fn answer<B>(services: Arc<Services>, call: Call, body: B) -> pipeline::Reply
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match pipeline::begin(services, call) {
        Err(refused) => {
            pipeline::discard(body).await;
            refused
        }
        Ok(admitted) => admitted.run(body).await,
    }
}

/// Answers what the guard refuses, in the format that the address suggests.
pub(crate) fn turn_away(services: Arc<Services>, request: &Request<Body>, why: &str) -> Response<Body> {
    into_response(refuse(services, request, why))
}

/// The same, with the body as the pipeline made it.
pub(super) fn refuse<B>(services: Arc<Services>, request: &Request<B>, why: &str) -> pipeline::Reply {
    let uri = request.uri();
    let (_, path) = pinned_profile(uri.path());
    let surface = surface(request.method(), path, request.headers(), uri.query().unwrap_or_default());
    let error = GatewayError::new(Kind::Forbidden, why);
    pipeline::turn_away(services, &surface, uri.path(), error)
}

fn into_response(reply: pipeline::Reply) -> Response<Body> {
    let (parts, body) = reply.into_parts();
    let body = match body {
        ReplyBody::Empty => Body::empty(),
        body => Body::new(body),
    };
    Response::from_parts(parts, body)
}
