//! Surfaces beside conversations: they reach a channel that offers them, with the provider's name of the model, and the answer comes back as it is.

use myelin_core::model::{AttemptOutcome, RequestState};
use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::provider_socket::{Caller, ProviderSocket};

async fn gateway(provider: &str) -> (ProviderSocket, TestGateway) {
    let socket = ProviderSocket::open().await;
    let mut channel = socket.channel("main", provider);
    channel["models"] = json!(["mock", "omni-moderation-latest", {"name": "fast", "upstream": "real-1"}]);
    let gateway = TestGateway::start(vec![channel]).await;
    (socket, gateway)
}

/// Reads one request whose length is announced.
async fn request(socket: &ProviderSocket) -> Caller {
    let mut caller = socket.caller().await;
    assert!(caller.reads_until(|seen| seen.windows(4).any(|four| four == b"\r\n\r\n")).await);
    let head = caller.head();
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).expect("a length");
    let whole = caller.seen.len() - caller.body().len() + length;
    assert!(caller.reads(whole).await);
    caller
}

fn body(caller: &Caller) -> Value {
    serde_json::from_slice(caller.body()).unwrap()
}

fn first_line(caller: &Caller) -> String {
    String::from_utf8_lossy(&caller.seen).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_moderation_needs_no_model_and_its_answer_passes() {
    let (socket, gateway) = gateway("openai").await;
    let post = gateway.post("/v1/moderations").json(&json!({"input": "hi"}));
    let asked = tokio::spawn(async move { post.send().await.unwrap() });
    let mut caller = request(&socket).await;
    assert!(first_line(&caller).starts_with("POST /v1/moderations "), "{}", first_line(&caller));
    assert_eq!(body(&caller), json!({"input": "hi"}));
    let answer = json!({"id": "modr-1", "model": "omni", "results": [{"flagged": false}]});
    caller.answers(200, &answer).await;
    let reply = asked.await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["x-myelin-channel"].to_str().unwrap()), (200, "main"));
    assert_eq!(reply.json::<Value>().await.unwrap(), answer);
    let record = gateway.last_record().await;
    assert_eq!((record.format.as_str(), record.model.as_str()), ("moderations", "omni-moderation-latest"));
    assert_eq!((record.state, record.attempts[0].outcome), (RequestState::Completed, AttemptOutcome::Answered));
}

#[tokio::test]
async fn pictures_are_made_by_the_provider_s_name_of_the_model_and_counted() {
    let (socket, gateway) = gateway("openai").await;
    let post = gateway.post("/v1/images/generations").json(&json!({"prompt": "a cat", "model": "fast", "n": 1}));
    let asked = tokio::spawn(async move { post.send().await.unwrap().status() });
    let mut caller = request(&socket).await;
    assert!(first_line(&caller).starts_with("POST /v1/images/generations "), "{}", first_line(&caller));
    assert_eq!(body(&caller), json!({"prompt": "a cat", "model": "real-1", "n": 1}));
    let usage = json!({"input_tokens": 5, "output_tokens": 272, "total_tokens": 277, "input_tokens_details": {"image_tokens": 0}});
    caller.answers(200, &json!({"created": 1, "data": [{"b64_json": "AAAA"}], "usage": usage})).await;
    assert_eq!(asked.await.unwrap(), 200);
    let usage = gateway.last_record().await.usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(5), Some(272)));
}

#[tokio::test]
async fn an_upload_passes_but_for_the_model() {
    let (socket, gateway) = gateway("openai").await;
    let mut upload =
        b"--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\x00\xff\xfe fast\r\n"
            .to_vec();
    upload.extend_from_slice(b"--b0\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nfast\r\n--b0--\r\n");
    let sent = upload.clone();
    let post = gateway.post("/v1/audio/transcriptions").header("content-type", "multipart/form-data; boundary=b0");
    let asked = tokio::spawn(async move { post.body(sent).send().await.unwrap().text().await.unwrap() });
    let mut caller = request(&socket).await;
    assert!(caller.head().contains("content-type: multipart/form-data; boundary=b0"), "{}", caller.head());
    let end = upload.len() - b"fast\r\n--b0--\r\n".len();
    let expected = [&upload[..end], b"real-1\r\n--b0--\r\n"].concat();
    assert!(caller.body() == expected, "{}", String::from_utf8_lossy(caller.body()));
    caller.answers(200, &json!({"text": "hello", "usage": {"type": "duration", "seconds": 1}})).await;
    assert!(asked.await.unwrap().contains("hello"));
}

#[tokio::test]
async fn sound_comes_while_it_arrives_and_a_cut_is_no_end() {
    for cut in [false, true] {
        let (socket, gateway) = gateway("openai").await;
        let post = gateway.post("/v1/audio/speech").json(&json!({"model": "mock", "input": "hi", "voice": "alloy"}));
        let asked = tokio::spawn(async move { post.send().await.unwrap() });
        let mut caller = request(&socket).await;
        caller.says("HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 8\r\n\r\nID3\u{1}").await;
        let mut reply = asked.await.unwrap();
        assert_eq!(reply.headers()["content-type"], "audio/mpeg");
        assert_eq!(reply.chunk().await.unwrap().unwrap(), "ID3\u{1}", "the first bytes come before the last are there");
        if cut {
            drop(caller);
            assert!(reply.chunk().await.is_err(), "what came is not the whole");
        } else {
            caller.says("mp3!").await;
            assert_eq!(reply.chunk().await.unwrap().unwrap(), "mp3!");
            assert!(reply.chunk().await.unwrap().is_none());
        }
        let record = gateway.last_record().await;
        let expected = if cut { RequestState::Interrupted } else { RequestState::Completed };
        assert_eq!((record.state, record.bytes_out), (expected, if cut { 4 } else { 8 }));
    }
}

#[tokio::test]
async fn reranking_is_the_same_whoever_does_it() {
    for (provider, path, top, results) in [
        ("openai-compatible", "/rerank", "top_n", "results"),
        ("jina", "/rerank", "top_n", "results"),
        ("voyage", "/rerank", "top_k", "data"),
        ("cohere", "/v2/rerank", "top_n", "results"),
    ] {
        let (socket, gateway) = gateway(provider).await;
        let asked =
            json!({"model": "fast", "query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": true});
        let post = gateway.post("/v1/rerank").json(&asked);
        let asked = tokio::spawn(async move { post.send().await.unwrap().json::<Value>().await.unwrap() });
        let mut caller = request(&socket).await;
        assert!(first_line(&caller).contains(&format!("{path} ")), "{provider}: {}", first_line(&caller));
        assert_eq!((&body(&caller)["model"], &body(&caller)[top]), (&json!("real-1"), &json!(1)), "{provider}");
        caller
            .answers(200, &json!({results: [{"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 3}}))
            .await;
        let expected = json!([{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}]);
        assert_eq!(asked.await.unwrap()["results"], expected, "{provider}");
        assert_eq!(gateway.last_record().await.usage.unwrap().input, Some(3), "{provider}");
    }
}

#[tokio::test]
async fn a_channel_that_does_not_offer_it_is_passed_over() {
    let socket = ProviderSocket::open().await;
    let nobody = ProviderSocket::open().await;
    let mut without = nobody.channel("without", "anthropic");
    without["weight"] = json!(1_000_000);
    let gateway = TestGateway::start(vec![without, socket.channel("with", "openai")]).await;
    let post = gateway.post("/v1/audio/speech").json(&json!({"model": "mock", "input": "hi"}));
    let asked = tokio::spawn(async move { post.send().await.unwrap().text().await.unwrap() });
    request(&socket).await.answers(200, &json!({"ok": true})).await;
    assert_eq!(asked.await.unwrap(), "{\"ok\":true}");
    let (status, body) = gateway.ask("/v1/audio/speech", &json!({"model": "without/mock", "input": "hi"})).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("offers no audio"), "{body}");
}

#[tokio::test]
async fn failures_are_told_in_openai_s_form() {
    let (socket, gateway) = gateway("openai").await;
    for (path, asked, status, words) in [
        ("/v1/images/generations", json!({"model": "no such", "prompt": "x"}), 404, "no such"),
        ("/v1/audio/speech", json!({"input": "x"}), 400, "names no model"),
        ("/v1/moderations", json!({"model": "echo", "input": "x"}), 400, "echo"),
        ("/v1/rerank", json!({"model": "fast", "query": "q", "documents": []}), 400, "offers no rerank"),
    ] {
        let (got, body) = gateway.ask(path, &asked).await;
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(got == status && message.contains(words) && body["error"]["type"].is_string(), "{path}: {got} {body}");
    }
    let post = gateway.post("/v1/images/generations").json(&json!({"model": "mock", "prompt": "x"}));
    let asked = tokio::spawn(async move {
        let reply = post.send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    });
    let refusal = json!({"error": {"message": "your prompt is unsafe", "type": "image_generation_user_error", "code": "moderation_blocked"}});
    request(&socket).await.answers(400, &refusal).await;
    let (status, body) = asked.await.unwrap();
    assert_eq!((status, &body["error"]["message"]), (400, &json!("your prompt is unsafe")), "{body}");
}
