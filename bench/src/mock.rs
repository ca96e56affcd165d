//! A provider that costs next to nothing: it reads a request, finds its [`Shape`] in the model's name, and does just that.
//!
//! Every chunk of a stream carries the time of its birth in its *text* (`@ns@`), so that it survives any conversion of formats.

use std::convert::Infallible;
use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep, sleep};

use crate::now_ns;
use crate::shape::{Shape, Wire};

/// Listens on a free loopback port until the runtime ends.
///
/// # Errors
/// When no port can be had.
pub async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(socket), service_fn(answer)),
            );
        }
    });
    Ok(address)
}

async fn answer(request: http::Request<Incoming>) -> Result<Response<Drip>, Infallible> {
    // Gemini's wire names the model in the path.
    let mut shape = find_shape(request.uri().path().as_bytes());
    let mut body = request.into_body();
    // A gateway writes the model wherever it likes, but no name is cut by our own short reads: the first read holds it or the whole body does.
    let mut held: Vec<u8> = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        if shape.is_none() {
            shape = if held.is_empty() { find_shape(data) } else { None };
            if shape.is_none() {
                held.extend_from_slice(data);
                shape = find_shape(&held);
            }
        }
    }
    let Some(shape) = shape else {
        let mut response =
            Response::new(Drip::whole(Bytes::from_static(b"{\"error\":{\"message\":\"no bench model\"}}")));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    if shape.latency_ms > 0 {
        sleep(Duration::from_millis(u64::from(shape.latency_ms))).await;
    }
    let (kind, drip) = if shape.chunks == 0 {
        ("application/json", Drip::whole(whole(shape)))
    } else {
        ("text/event-stream", Drip::stream(shape))
    };
    let mut response = Response::new(drip);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    Ok(response)
}

fn find_shape(body: &[u8]) -> Option<Shape> {
    let rest = body.get(memmem::find(body, b"bench-")?..)?;
    let end = memchr::memchr2(b'"', b':', rest)?;
    std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
}

fn whole(shape: Shape) -> Bytes {
    let text = "x".repeat(shape.size as usize);
    let body = match shape.wire {
        Wire::Chat => format!(
            r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"{shape}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}}}"#
        ),
        Wire::Messages => format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"{shape}","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":9,"output_tokens":9}}}}"#
        ),
        Wire::Responses => format!(
            r#"{{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"{shape}","output":[{{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{{"type":"output_text","text":"{text}","annotations":[]}}]}}],"usage":{{"input_tokens":9,"output_tokens":9,"total_tokens":18}}}}"#
        ),
        Wire::Gemini => gemini(shape, &text, r#","finishReason":"STOP""#),
    };
    body.into()
}

/// An answer that comes at the pace of its shape.
struct Drip {
    shape: Shape,
    step: u32,
    whole: Option<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Drip {
    fn whole(body: Bytes) -> Self {
        let shape = Shape { wire: Wire::Chat, latency_ms: 0, chunks: 0, interval_ms: 0, size: 0 };
        Self { shape, step: 0, whole: Some(body), pause: None }
    }

    fn stream(shape: Shape) -> Self {
        let pause = (shape.interval_ms > 0).then(|| Box::pin(sleep(Duration::ZERO)));
        Self { shape, step: 0, whole: None, pause }
    }

    /// The frame of this step; steps are head, chunks, end.
    fn next_chunk(&self) -> String {
        let shape = self.shape;
        let last = shape.chunks + 1;
        match (shape.wire, self.step) {
            (Wire::Chat, 0) => chat(shape, r#"{"role":"assistant","content":""}"#, "null"),
            (Wire::Chat, step) if step == last => {
                let finish = chat(shape, "{}", r#""stop""#);
                let usage = r#"{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}"#;
                format!(
                    "{finish}data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{shape}\",\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n"
                )
            }
            (Wire::Chat, _) => chat(shape, &format!(r#"{{"content":"{}"}}"#, stamped(shape.size)), "null"),
            (Wire::Messages, 0) => format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"{shape}\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{\"input_tokens\":9,\"output_tokens\":1}}}}}}\n\nevent: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n"
            ),
            (Wire::Messages, step) if step == last => concat!(
                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n",
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
            )
            .to_owned(),
            (Wire::Responses, 0) => {
                let begun = format!(r#"{{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"{shape}","output":[]}}"#);
                let item = r#""output_index":0,"item":{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]}"#;
                let part = r#""item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}"#;
                let begun = format!(r#""response":{begun}"#);
                [("created", begun.as_str()), ("output_item.added", item), ("content_part.added", part)]
                    .into_iter()
                    .enumerate()
                    .map(|(number, (kind, rest))| responses(number, kind, rest))
                    .collect()
            }
            (Wire::Responses, step) if step == last => {
                // The text is not told again: the load would count its chunks twice.
                let item = r#"{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[]}"#;
                let done = format!(r#""output_index":0,"item":{item}"#);
                let response = format!(
                    r#""response":{{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"{shape}","output":[{item}],"usage":{{"input_tokens":9,"output_tokens":9,"total_tokens":18}}}}"#
                );
                let number = step as usize + 3;
                responses(number, "output_item.done", &done) + &responses(number + 1, "completed", &response)
            }
            (Wire::Responses, step) => {
                let text = stamped(shape.size);
                let delta = format!(r#""item_id":"msg_1","output_index":0,"content_index":0,"delta":"{text}""#);
                responses(step as usize + 2, "output_text.delta", &delta)
            }
            (Wire::Gemini, 0) => format!("data: {}\n\n", gemini(shape, "", "")),
            (Wire::Gemini, step) if step == last => {
                format!("data: {}\n\n", gemini(shape, "", r#","finishReason":"STOP""#))
            }
            (Wire::Gemini, _) => format!("data: {}\n\n", gemini(shape, &stamped(shape.size), "")),
            (Wire::Messages, _) => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}}}}\n\n",
                stamped(shape.size)
            ),
        }
    }
}

fn chat(shape: Shape, delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{shape}\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

/// One event of the Responses wire; `rest`: its fields beside type and number.
fn responses(number: usize, kind: &str, rest: &str) -> String {
    format!("event: response.{kind}\ndata: {{\"type\":\"response.{kind}\",\"sequence_number\":{number},{rest}}}\n\n")
}

/// A whole answer of Gemini's wire, or one piece of a stream: both look the same.
fn gemini(shape: Shape, text: &str, finish: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{text}"}}]}},"index":0{finish}}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":9,"totalTokenCount":18}},"modelVersion":"{shape}","responseId":"r1"}}"#
    )
}

fn stamped(size: u32) -> String {
    let mut text = format!("@{}@", now_ns());
    let missing = (size as usize).saturating_sub(text.len());
    text.extend(std::iter::repeat_n('x', missing));
    text
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(body) = this.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(body))));
        }
        if this.shape.chunks == 0 || this.step > this.shape.chunks + 1 {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            let next = pause.deadline() + Duration::from_millis(u64::from(this.shape.interval_ms));
            pause.as_mut().reset(next.max(Instant::now()));
        }
        let chunk = this.next_chunk();
        this.step += 1;
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && (self.shape.chunks == 0 || self.step > self.shape.chunks + 1)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.whole
            .as_ref()
            .map_or_else(http_body::SizeHint::default, |body| http_body::SizeHint::with_exact(body.len() as u64))
    }
}
