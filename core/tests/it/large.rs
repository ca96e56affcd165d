//! Large bodies: they go to the provider while they arrive, and nothing is lost by it when something goes wrong on the way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use myelin_core::model::{AttemptOutcome, RequestState};
use myelin_testkit::{MockServer, Script};
use serde_json::{Value, json};

use crate::support::provider_socket::ProviderSocket;
use crate::support::raw::Raw;
use crate::support::{TestGateway, mock_channel};

const SIZE: usize = 400_000;

fn request(model: &str, more: &str) -> String {
    let text = "all work and no play ".repeat(SIZE / 21);
    format!(
        "{{\"model\":\"{model}\",\"max_tokens\":9,\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]{more}}}"
    )
}

fn head(gateway: &TestGateway, path: &str, length: Option<usize>) -> String {
    let length = length.map_or("transfer-encoding: chunked".to_owned(), |length| format!("content-length: {length}"));
    let (address, key) = (gateway.address, &gateway.key);
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
    )
}

fn said() -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "mock", "content": [{"type": "text", "text": "heard"}],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 7, "output_tokens": 1}})
}

/// A gateway before an Anthropic provider on a bare socket, and a mock that takes over.
async fn two() -> (ProviderSocket, MockServer, TestGateway) {
    let socket = ProviderSocket::open().await;
    let mock = MockServer::start().await.unwrap();
    let mut second = mock_channel(&mock, "second", "anthropic", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![socket.channel("first", "anthropic"), second]).await;
    (socket, mock, gateway)
}

#[tokio::test]
async fn a_large_body_is_passed_on_while_it_arrives_and_not_changed() {
    let (socket, _mock, gateway) = two().await;
    let body = request("first/mock", ",\"stream\":false");
    let (front, back) = body.split_at(body.len() / 2);
    let mut client = Raw::open(&gateway).await;
    assert!(client.send(head(&gateway, "/v1/messages", Some(body.len())).as_bytes()).await);
    assert!(client.send(front.as_bytes()).await);
    let mut caller = socket.caller().await;
    assert!(caller.reads(front.len() - 64_000).await, "the first half arrives before the second is sent");
    assert!(client.send(back.as_bytes()).await);
    let expected = body.replace("first/mock", "mock");
    assert!(caller.reads_until(|seen| seen.ends_with(b"false}")).await);
    assert!(caller.body() == expected.as_bytes(), "the bytes are the client's but for the model");
    assert!(caller.head().contains(&format!("content-length: {}", expected.len())), "{}", caller.head());
    caller.answers(200, &said()).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.body.contains("heard")), (200, true), "{}", answer.body);
    let record = gateway.last_record().await;
    assert_eq!(record.bytes_in, body.len() as u64);
    assert_eq!((record.state, record.attempts.len()), (RequestState::Completed, 1));
    // The connection goes on.
    let small = request("nobody", "");
    assert!(client.send(head(&gateway, "/v1/messages", Some(small.len())).as_bytes()).await);
    assert!(client.send(small.as_bytes()).await);
    assert_eq!(client.answer().await.unwrap().status, 404);
}

#[tokio::test]
async fn a_large_stream_request_in_chunks_passes_and_asks_for_usage() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "openai", "openai", "openai")]).await;
    let body = request("openai/mock", ",\"stream\":true").replace("\"max_tokens\":9,", "\"max_completion_tokens\":9,");
    let pieces: Vec<Bytes> = body.as_bytes().chunks(10_007).map(Bytes::copy_from_slice).collect();
    let answer = gateway
        .post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap(Pieces(pieces.into_iter())))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    let seen = mock.last_request().unwrap();
    let mut expected: Value = serde_json::from_str(&body).unwrap();
    expected["model"] = json!("mock");
    expected["stream_options"] = json!({"include_usage": true});
    assert!(seen.json() == expected);
    let record = gateway.last_record().await;
    assert!(record.stream && record.usage.is_some_and(|usage| usage.output.is_some()));
}

/// A body whose length nobody knows.
struct Pieces(std::vec::IntoIter<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn another_provider_gets_the_whole_when_the_first_fails() {
    for early in [true, false] {
        let (socket, mock, gateway) = two().await;
        let body = request("mock", "");
        let asked = body.clone();
        let post = gateway.post("/v1/messages").header("content-type", "application/json").body(asked);
        let client = tokio::spawn(async move { post.send().await.unwrap().status() });
        let mut caller = socket.caller().await;
        if early {
            // Refused before all has come, as hosts do whose limits are reached.
            assert!(caller.reads(10_000).await);
        } else {
            assert!(caller.reads_until(|seen| seen.ends_with(b"}]}")).await);
        }
        caller.answers(500, &json!({"type": "error", "error": {"type": "api_error", "message": "no"}})).await;
        assert_eq!(client.await.unwrap(), 200, "early: {early}");
        assert!(mock.last_request().unwrap().body == body.as_bytes(), "early: {early}");
        let record = gateway.last_record().await;
        let outcomes: Vec<_> =
            record.attempts.iter().map(|attempt| (attempt.channel.as_str(), attempt.outcome)).collect();
        assert_eq!(outcomes, [("first", AttemptOutcome::Failed), ("second", AttemptOutcome::Answered)]);
        assert_eq!(record.attempts[0].status, Some(500));
    }
}

#[tokio::test]
async fn what_shows_late_to_be_wrong_is_refused_and_the_provider_hears_no_more() {
    let late = [
        (",\"model\":\"first/mock\"}", "duplicate key"),
        (",,}", "malformed JSON"),
        (",\"x\":1} rubbish", "malformed JSON"),
        (",\"x\":[1", "ends inside"),
    ];
    for (end, words) in late {
        let (socket, mock, gateway) = two().await;
        let body = request("first/mock", "");
        let body = format!("{}{end}", body.strip_suffix('}').unwrap());
        let mut client = Raw::open(&gateway).await;
        assert!(client.send(head(&gateway, "/v1/messages", Some(body.len())).as_bytes()).await);
        assert!(client.send(body.as_bytes()).await);
        socket.caller().await.ends().await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.contains(words)), (400, true), "{end}: {}", answer.body);
        assert!(answer.body.contains("\"type\":\"error\""), "{}", answer.body);
        assert_eq!(mock.requests().len(), 0, "{end}");
        let record = gateway.last_record().await;
        assert_eq!((record.state, record.status), (RequestState::Failed, 400), "{end}");
        assert_eq!(record.attempts[0].outcome, AttemptOutcome::Canceled, "{end}");
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_on_the_way_is_refused_with_413() {
    let socket = ProviderSocket::open().await;
    let channels = vec![socket.channel("first", "anthropic")];
    let gateway = TestGateway::with_settings(channels, |settings| settings.max_body_bytes = 200_000).await;
    let body = request("mock", "");
    let mut client = Raw::open(&gateway).await;
    assert!(client.send(head(&gateway, "/v1/messages", None).as_bytes()).await);
    let sending = tokio::spawn(async move {
        for piece in body.as_bytes().chunks(10_000) {
            client.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
            client.send(piece).await;
            client.send(b"\r\n").await;
        }
        client.send(b"0\r\n\r\n").await;
        client.answer().await
    });
    socket.caller().await.ends().await;
    let answer = sending.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.body.contains("max_body_bytes")), (413, true), "{}", answer.body);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_ends_the_attempt() {
    let (socket, mock, gateway) = two().await;
    let body = request("first/mock", "");
    let mut client = Raw::open(&gateway).await;
    assert!(client.send(head(&gateway, "/v1/messages", Some(body.len())).as_bytes()).await);
    assert!(client.send(&body.as_bytes()[..200_000]).await);
    let mut caller = socket.caller().await;
    assert!(caller.reads(100_000).await);
    drop(client);
    caller.ends().await;
    assert_eq!(mock.requests().len(), 0);
    let record = gateway.last_record().await;
    assert_eq!(record.attempts[0].outcome, AttemptOutcome::Canceled);
    assert_ne!(record.state, RequestState::Completed);
}

#[tokio::test]
async fn a_client_that_falls_silent_in_the_middle_gets_a_408() {
    let socket = ProviderSocket::open().await;
    let channels = vec![socket.channel("first", "anthropic")];
    let gateway = TestGateway::with_settings(channels, |settings| settings.body_idle_seconds = 1).await;
    for (path, sent, forwarded) in
        [("/v1/messages", 200_000, true), ("/v1/messages", 100, false), ("/v1/embeddings", 100, false)]
    {
        let body = request("mock", "");
        let mut client = Raw::open(&gateway).await;
        assert!(client.send(head(&gateway, path, Some(body.len())).as_bytes()).await);
        assert!(client.send(&body.as_bytes()[..sent]).await);
        if forwarded {
            socket.caller().await.ends().await;
        }
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.contains("body_idle_seconds")), (408, true), "{path}: {}", answer.body);
        let record = gateway.last_record().await;
        assert_eq!((record.status, record.error.as_deref()), (408, Some("slow_client")));
    }
}

#[tokio::test]
async fn a_blob_of_another_maker_far_down_is_not_passed_on() {
    let (socket, mock, gateway) = two().await;
    let blob = ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"myl1:gemini:sig:CgMSAwABCgMSAwAB\"},{\"type\":\"text\",\"text\":\"so\"}]},{\"role\":\"user\",\"content\":\"go on\"}]}";
    let body = request("mock", "");
    let body = format!("{}{blob}", body.strip_suffix("]}").unwrap());
    let post =
        gateway.post("/v1/messages").header("content-type", "application/json").header("x-thread-id", "t").body(body);
    let client = tokio::spawn(async move { post.send().await.unwrap().status() });
    // The first connection is called back; the second carries a converted body.
    socket.caller().await.ends().await;
    let mut caller = socket.caller().await;
    assert!(caller.reads_until(|seen| seen.ends_with(b"}]}") || seen.ends_with(b"9}")).await);
    let sent = String::from_utf8_lossy(caller.body()).into_owned();
    assert!(sent.contains("go on") && !sent.contains("myl1:") && !sent.contains("CgMSAwAB"));
    caller.answers(200, &said()).await;
    assert_eq!(client.await.unwrap(), 200);
    assert_eq!(mock.requests().len(), 0);
}

#[tokio::test]
async fn a_host_that_wants_lengths_gets_the_whole() {
    let socket = ProviderSocket::open().await;
    let gateway = TestGateway::start(vec![socket.channel("first", "openai")]).await;
    let body = request("mock", ",\"stream\":false");
    let post = gateway.post("/v1/chat/completions").header("content-type", "application/json").body(body.clone());
    let client = tokio::spawn(async move { post.send().await.unwrap().status() });
    let mut caller = socket.caller().await;
    assert!(caller.reads(1_000).await);
    assert!(caller.head().contains("transfer-encoding: chunked"), "{}", caller.head());
    caller.answers(411, &json!({"error": {"message": "Length Required"}})).await;
    let mut caller = socket.caller().await;
    assert!(caller.reads_until(|seen| seen.ends_with(b"false}")).await);
    assert!(caller.head().contains(&format!("content-length: {}", body.len())), "{}", caller.head());
    let said = json!({"id": "1", "object": "chat.completion", "created": 1, "model": "mock", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": "heard"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    caller.answers(200, &said).await;
    assert_eq!(client.await.unwrap(), 200);
}

#[tokio::test]
async fn a_scripted_refusal_of_a_large_body_reaches_the_caller() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "anthropic", "anthropic", "anthropic")]).await;
    mock.script(Script::error(400));
    let (status, body) = gateway.ask_text("/v1/messages", &serde_json::from_str(&request("mock", "")).unwrap()).await;
    assert_eq!(status, 400, "{body}");
}
