//! Faults of our own: a panic while a request is answered ends that request and nothing else.
//!
//! The caller gets a 500 in its own format, or a stream that breaks off; the log has the reason, the record says `internal`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use myelin_protocol::{ApiError, ApiFormat};

use super::reply::{Reply, ReplyBody};
use crate::error::Kind;

/// What callers read; the reason is for the log.
const WORDS: &str = "the gateway has a fault and could not answer; its log has the details";

/// Answers by `future`, and with a 500 in `format` if it panics.
///
/// It is taken where it lies: handed over by value it would take its room twice, and it is large.
pub async fn contain(format: ApiFormat, mut future: Pin<&mut impl Future<Output = Reply>>) -> Reply {
    // What a panic left behind is dropped with the future and never looked at again.
    let answered = std::future::poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
        Some(poll) => poll.map(Some),
        None => Poll::Ready(None),
    });
    answered.await.unwrap_or_else(|| broken(format))
}

/// Runs `step`; `None`, and a line in the log, if it panics.
pub(super) fn caught<T>(step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step))
        .inspect_err(|panic| tracing::error!(why = why(panic.as_ref()), "a panic while answering"))
        .ok()
}

fn why(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

fn broken(format: ApiFormat) -> Reply {
    let body = format.codec().encode_error(&ApiError::new(Kind::Internal.api_kind(), WORDS));
    let mut reply = http::Response::new(ReplyBody::Whole(body.into()));
    *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_500_in_the_caller_s_format() {
        for (format, pointer) in [
            (ApiFormat::OpenaiChat, "/error/message"),
            (ApiFormat::AnthropicMessages, "/error/message"),
            (ApiFormat::Gemini, "/error/message"),
            (ApiFormat::OllamaChat, "/error"),
            (ApiFormat::Dify, "/message"),
        ] {
            let failing = pin!(async {
                tokio::task::yield_now().await;
                panic!("secret detail")
            });
            let reply = contain(format, failing).await;
            assert_eq!(reply.status(), 500);
            let ReplyBody::Whole(body) = reply.into_body() else { panic!("a whole body") };
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let text = body.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
            assert!(text.contains("fault") && !text.contains("secret"), "{body}");
        }
    }

    #[tokio::test]
    async fn an_answer_passes_unchanged() {
        let reply = contain(ApiFormat::OpenaiChat, pin!(async { http::Response::new(ReplyBody::Empty) })).await;
        assert_eq!(reply.status(), 200);
    }
}
