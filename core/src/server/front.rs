//! What a TCP listener answers with: calls to models go straight to the pipeline, everything else through the router.
//!
//! The router costs a call some microseconds (its layers box the service, the request and the answer anew each time), and a model's addresses are
//! none of its routes: they would come out at its fallback anyway.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::ORIGIN;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tower::ServiceExt as _;

use super::{guard, inference};
use crate::pipeline::{ReplyBody, Services};

/// Where addresses of models begin. No route of the router begins so.
const MODELS: [&str; 5] = ["/v1/", "/v1beta/", "/p/", "/anthropic/", "/gemini/"];

/// Answers the requests of TCP listeners.
#[derive(Debug, Clone)]
pub struct Front(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    services: Arc<Services>,
    router: Router,
}

impl Front {
    /// `router`: as [`super::router`] makes it, guard included.
    pub fn new(services: Arc<Services>, router: Router) -> Self {
        Self(Arc::new(Parts { services, router }))
    }

    /// Answers one request.
    pub async fn answer(self, request: Request<Incoming>) -> Response<Outgoing> {
        let Parts { services, router } = &*self.0;
        if !is_plain_call(&request) {
            let routed = router.clone().oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {});
            return routed.map(Outgoing::Routed);
        }
        let services = Arc::clone(services);
        let refused = {
            let snapshot = services.snapshot.load();
            let settings = &snapshot.settings;
            let (hosts, origins) = (&settings.allowed_hosts, &settings.allowed_origins);
            guard::check(request.uri(), request.headers(), hosts, origins, settings.lan).err()
        };
        let reply = match refused {
            Some(refusal) => inference::refuse(services, &request, refusal.message()),
            // Boxed: an idle connection would keep the room for a whole call.
            None => Box::pin(inference::reply(services, request)).await,
        };
        reply.map(Outgoing::Product)
    }
}

/// A call to a model that no page in a browser makes: nothing of the router is for it.
fn is_plain_call<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    request.method() == Method::POST
        && !request.headers().contains_key(ORIGIN)
        && MODELS.iter().any(|start| path.starts_with(start))
}

/// The body of an answer, whoever made it.
pub enum Outgoing {
    /// By the pipeline.
    Product(ReplyBody),
    /// By the router.
    Routed(Body),
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Product(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(axum::Error::new)))
            }
            Self::Routed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Product(body) => body.is_end_stream(),
            Self::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Product(body) => body.size_hint(),
            Self::Routed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(method: Method, path: &str, origin: bool) -> bool {
        let mut request = Request::builder().method(method).uri(path);
        if origin {
            request = request.header(ORIGIN, "https://chat.example");
        }
        is_plain_call(&request.body(()).unwrap())
    }

    #[test]
    fn calls_to_models_go_past_the_router_and_nothing_else_does() {
        for path in [
            "/v1/chat/completions",
            "/v1beta/models/x:generateContent",
            "/p/cheap/v1/messages",
            "/anthropic/v1/messages",
        ] {
            assert!(plain(Method::POST, path, false), "{path}");
            assert!(!plain(Method::GET, path, false) && !plain(Method::OPTIONS, path, false), "{path}");
            assert!(!plain(Method::POST, path, true), "{path}: a page needs its headers");
        }
        for path in ["/", "/api/v1/keys", "/api/chat", "/health", "/docs", "/v1", "/p"] {
            assert!(!plain(Method::POST, path, false), "{path}");
        }
    }
}
