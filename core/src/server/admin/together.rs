//! Several questions in one request: a page that shows three lists asks once. Owns how answers are put together; must not know what they say.

use axum::Router;
use axum::extract::{FromRequestParts as _, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use utoipa::{IntoParams, ToSchema};

use super::error::{AdminError, Failure};
use super::extract::Asked;
use super::filter::Pairs;

/// Where it is asked.
const PATH: &str = "/api/v1/together";
/// Questions of one request.
const MOST: usize = 16;

/// What is asked.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read as pairs, and stands here to be described")]
pub(super) struct TogetherParams {
    /// A path of this API with its query, without `/api/v1`: `/channels`, `/usage?by=model`. Up to 16 of them.
    get: Vec<String>,
}

/// The answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Together {
    /// In the order of the questions.
    answers: Vec<Answered>,
}

/// One answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Answered {
    /// Its HTTP status: one that failed leaves the others alone.
    status: u16,
    /// What the path answers by itself.
    body: Value,
}

/// Adds the address to a router: what is asked there is asked of the router itself.
pub(super) fn beside(router: Router) -> Router {
    let each = router.clone();
    router.route(PATH, get(move |request: Request| answer(each, request)))
}

/// Several answers at once, each as its path gives it by itself.
#[utoipa::path(get, path = "/api/v1/together", tag = "status", operation_id = "together", params(TogetherParams),
    responses((status = 200, body = Together), (status = 400, body = Failure)))]
pub(super) async fn answer(router: Router, request: Request) -> Response {
    match ask(router, request).await {
        Ok(body) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn ask(router: Router, request: Request) -> Result<Vec<u8>, AdminError> {
    let (mut parts, _) = request.into_parts();
    let Asked(pairs) = Asked::<Pairs>::from_request_parts(&mut parts, &()).await?;
    if pairs.is_empty() || pairs.len() > MOST {
        return Err(AdminError::invalid(format!("ask for 1 to {MOST} paths with 'get'")));
    }
    let mut running = JoinSet::new();
    for (at, (name, path)) in pairs.into_iter().enumerate() {
        if name != "get" || !path.starts_with('/') {
            return Err(AdminError::invalid(format!("'{name}={path}' is no 'get=/…'")));
        }
        let mut one = Request::get(format!("/api/v1{path}")).body(axum::body::Body::empty());
        let one = one.as_mut().map_err(|why| AdminError::invalid(format!("'{path}' is no path: {why}")))?;
        // Who asks.
        *one.extensions_mut() = parts.extensions.clone();
        let (router, one) = (router.clone(), std::mem::take(one));
        running.spawn(async move { (at, reply(router, one).await) });
    }
    let mut answers = vec![None; running.len()];
    while let Some(done) = running.join_next().await {
        if let Ok((at, found)) = done
            && let Some(place) = answers.get_mut(at)
        {
            *place = Some(found);
        }
    }
    Ok(put_together(&answers))
}

/// Status and JSON of one answer.
async fn reply(router: Router, request: Request) -> (StatusCode, Option<Bytes>) {
    let Ok(answer) = router.oneshot(request).await;
    let (head, body) = answer.into_parts();
    let json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let body = if json { body.collect().await.ok().map(|body| body.to_bytes()) } else { None };
    (head.status, body)
}

/// The bodies are JSON already: they are not read again.
fn put_together(answers: &[Option<(StatusCode, Option<Bytes>)>]) -> Vec<u8> {
    let mut out = br#"{"answers":["#.to_vec();
    for (at, answer) in answers.iter().enumerate() {
        let (status, body) = answer.as_ref().map_or((500, None), |(status, body)| (status.as_u16(), body.as_ref()));
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"{{"status":{status},"body":"#).as_bytes());
        out.extend_from_slice(body.map_or(b"null".as_slice(), |body| body.as_ref()));
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}
