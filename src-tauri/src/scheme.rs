//! The window's address, `console://localhost`: every request of the page is answered by the gateway's own routes, in-process.
//!
//! The webview wants whole bodies, so model streams are pulled: the page's `fetch` is wrapped (see `shim.js`), names its request, gets the head at
//! once and then asks for piece after piece at `/carrier/NAME`. Nobody else's page may use the address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, IF_NONE_MATCH, ORIGIN, REFERER, SET_COOKIE,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::carrier::{Carrier, Failure};

/// The scheme of the window's address.
pub(crate) const SCHEME: &str = "console";
/// What runs in the page before anything of the page does.
pub(crate) const SHIM: &str = include_str!("shim.js");

/// Header by which the page names a request whose answer it will pull.
const STREAM: &str = "x-carrier-stream";
/// Where it pulls.
const PULL: &str = "/carrier/";
/// Streams that may be open; the page has a handful at most.
const MOST_STREAMS: usize = 64;
/// Pieces that wait for the page before the provider is slowed down.
const WAITING: usize = 64;
/// Bytes of one pull, about.
const PIECE: usize = 256 << 10;

/// The page's origin as its requests name it.
pub(crate) fn origin() -> &'static str {
    if cfg!(windows) { "http://console.localhost" } else { "console://localhost" }
}

/// The window's way to the gateway.
#[derive(Clone)]
pub(crate) struct Door {
    carrier: Carrier,
    streams: Arc<Mutex<HashMap<String, Stream>>>,
}

struct Stream {
    /// `None` while a pull waits.
    pieces: Option<mpsc::Receiver<Result<Bytes, String>>>,
    task: AbortHandle,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self { carrier, streams: Arc::default() }
    }

    /// Answers one request of the page.
    pub(crate) async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        if foreign(request.headers()) {
            return plain(StatusCode::FORBIDDEN, "only the console's own page may ask here");
        }
        if let Some(name) = request.uri().path().strip_prefix(PULL).map(str::to_owned) {
            return match *request.method() {
                Method::GET => self.pull(&name).await,
                Method::DELETE => self.drop_stream(&name),
                _ => plain(StatusCode::METHOD_NOT_ALLOWED, "GET or DELETE"),
            };
        }
        let named = request.headers().get(STREAM).and_then(|name| name.to_str().ok()).map(str::to_owned);
        let Some(request) = inward(request) else { return plain(StatusCode::BAD_REQUEST, "this is no address") };
        match named.filter(|name| good_name(name)) {
            Some(name) => self.open_stream(name, request).await,
            None => self.whole(request).await,
        }
    }

    /// All streams end: the page that pulled them is gone.
    pub(crate) fn forget_streams(&self) {
        self.streams().clear();
    }

    async fn whole(&self, request: Request<Full<Bytes>>) -> Response<Vec<u8>> {
        let answer = match self.carrier.send(request).await {
            Ok(answer) => answer,
            Err(why) => return unreachable(&why),
        };
        let (parts, body) = answer.into_parts();
        match body.collect().await {
            Ok(body) => outward(parts.status, parts.headers, body.to_bytes().to_vec()),
            Err(why) => plain(StatusCode::BAD_GATEWAY, &format!("the answer broke off: {why}")),
        }
    }

    /// Sends the request, keeps its body for pulling, answers with the head. The page may give it up at any time, also before the head is there.
    async fn open_stream(&self, name: String, request: Request<Full<Bytes>>) -> Response<Vec<u8>> {
        let (head_out, head) = tokio::sync::oneshot::channel();
        let (pieces_out, pieces) = mpsc::channel(WAITING);
        let carrier = self.carrier.clone();
        let task = tokio::spawn(async move {
            let answer = match carrier.send(request).await {
                Ok(answer) => answer,
                Err(why) => return drop(head_out.send(Err(why))),
            };
            let (parts, mut body) = answer.into_parts();
            if head_out.send(Ok(parts)).is_err() {
                return;
            }
            while let Some(frame) = body.frame().await {
                let piece = match frame {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) => Ok(data),
                        Err(_) => continue,
                    },
                    Err(why) => Err(why.to_string()),
                };
                let broken = piece.is_err();
                if pieces_out.send(piece).await.is_err() || broken {
                    return;
                }
            }
        });
        {
            let mut streams = self.streams();
            if streams.len() >= MOST_STREAMS {
                task.abort();
                return plain(StatusCode::TOO_MANY_REQUESTS, "too many streams are open in this window");
            }
            streams.insert(name.clone(), Stream { pieces: Some(pieces), task: task.abort_handle() });
        }
        match head.await {
            Ok(Ok(parts)) => {
                let mut answer = outward(parts.status, parts.headers, Vec::new());
                if let Ok(name) = HeaderValue::from_str(&name) {
                    answer.headers_mut().insert(STREAM, name);
                }
                answer
            }
            Ok(Err(why)) => {
                self.drop_stream(&name);
                unreachable(&why)
            }
            // The page gave it up; it no longer listens.
            Err(_) => plain(StatusCode::GONE, "given up"),
        }
    }

    /// The next piece: what is there by now, at least something. 204: that was all.
    async fn pull(&self, name: &str) -> Response<Vec<u8>> {
        let taken = self.streams().get_mut(name).and_then(|stream| stream.pieces.take());
        let Some(mut pieces) = taken else { return plain(StatusCode::NOT_FOUND, "there is no such stream") };
        let mut piece = match pieces.recv().await {
            None => return self.drop_stream(name),
            Some(Err(why)) => {
                self.drop_stream(name);
                return plain(StatusCode::BAD_GATEWAY, &why);
            }
            Some(Ok(piece)) => BytesMut::from(piece.as_ref()),
        };
        // An error stays for the next pull, which finds the channel closed behind it.
        let mut broke = None;
        while piece.len() < PIECE {
            match pieces.try_recv() {
                Ok(Ok(more)) => piece.extend_from_slice(&more),
                Ok(Err(why)) => {
                    broke = Some(why);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Some(stream) = self.streams().get_mut(name) {
            stream.pieces = Some(match broke {
                None => pieces,
                Some(why) => {
                    let (once, left) = mpsc::channel(1);
                    let _ = once.try_send(Err(why));
                    left
                }
            });
        }
        let mut answer = Response::new(piece.to_vec());
        answer.headers_mut().insert("content-type", HeaderValue::from_static("application/octet-stream"));
        answer
    }

    fn drop_stream(&self, name: &str) -> Response<Vec<u8>> {
        self.streams().remove(name);
        let mut answer = Response::new(Vec::new());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a page of another origin asks. A navigation names none.
fn foreign(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|found| found != origin())
}

/// Names are chosen by the page: letters, digits, hyphens.
fn good_name(name: &str) -> bool {
    (8..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The page's request as the gateway's routes know requests. The webview neither unpacks nor revalidates, so it is not asked to.
fn inward(request: Request<Vec<u8>>) -> Option<Request<Full<Bytes>>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().ok()?;
    for name in [ORIGIN, REFERER, COOKIE, ACCEPT_ENCODING, IF_NONE_MATCH, CONTENT_LENGTH, CONNECTION] {
        parts.headers.remove(name);
    }
    parts.headers.remove(STREAM);
    parts.headers.insert(HOST, HeaderValue::from_static("localhost"));
    if !parts.headers.contains_key(ACCEPT) {
        parts.headers.insert(ACCEPT, HeaderValue::from_static("text/html, */*"));
    }
    Some(Request::from_parts(parts, Full::new(Bytes::from(body))))
}

fn outward(status: StatusCode, mut headers: HeaderMap, body: Vec<u8>) -> Response<Vec<u8>> {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, SET_COOKIE] {
        headers.remove(name);
    }
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The attached service is gone; in the words of the admin API, so that the console shows them.
fn unreachable(why: &Failure) -> Response<Vec<u8>> {
    let words = serde_json::json!({"error": {"kind": "unreachable", "message": why.to_string()}});
    let mut answer = Response::new(words.to_string().into_bytes());
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    answer
}

fn plain(status: StatusCode, words: &str) -> Response<Vec<u8>> {
    let mut answer = Response::new(words.as_bytes().to_vec());
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests;
