//! What users of other gateways complained about and no other module here asks: speed of the first piece, cached prompts, counters.

use std::time::Duration;

use myelin_testkit::{MockServer, Script};
use serde_json::{Value, json};

use crate::support::dialog::{CLIENTS, Client, Dialog};
use crate::support::{TestGateway, mock_channel, providers};

/// That no socket holds small pieces back is tested where sockets are made (`server/listen.rs`, `upstream/connect.rs`); here: nothing else does. The
/// provider says one piece more and then nothing, for ever: what it said must be here all the same.
#[tokio::test]
async fn case_28_no_piece_waits_for_the_next_one() {
    let mock = MockServer::start().await.unwrap();
    let channels = vec![
        mock_channel(&mock, "openai", "openai", "openai"),
        mock_channel(&mock, "anthropic", "anthropic", "anthropic"),
    ];
    let gateway = TestGateway::start(channels).await;
    for model in ["openai/mock", "anthropic/mock"] {
        // How often the mock's first events are no content differs by format.
        for (events, words) in [(6, "alpha"), (8, "bravo")] {
            let text = format!("alpha bravo charlie delta echo foxtrot [[stall-after {events}]]");
            let body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": text}]});
            let mut answer = gateway.post("/v1/chat/completions").json(&body).send().await.unwrap();
            let mut said = String::new();
            while !said.contains(words) {
                let piece = tokio::time::timeout(Duration::from_secs(20), answer.chunk()).await;
                let piece = piece.unwrap_or_else(|_| panic!("{model}: a piece is held back after {said}"));
                said.push_str(&String::from_utf8_lossy(&piece.unwrap().expect("the stream goes on")));
            }
        }
    }
}

#[tokio::test]
async fn case_38_what_steers_a_prompt_cache_reaches_the_provider() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let body = json!({"model": "responses/m", "input": "hi", "prompt_cache_key": "session-7", "store": false});
    let asked = gateway.post("/v1/responses").header("session_id", "session-7").json(&body).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let seen = mock.last_request().unwrap();
    assert_eq!((seen.header("session_id"), &seen.json()["prompt_cache_key"]), (Some("session-7"), &json!("session-7")));
    for channel in ["chat", "moonshot"] {
        for path in ["/v1/responses", "/v1/chat/completions"] {
            let mut body = json!({"model": format!("{channel}/m"), "prompt_cache_key": "session-7"});
            match path {
                "/v1/responses" => body["input"] = json!("hi"),
                _ => body["messages"] = json!([{"role": "user", "content": "hi"}]),
            }
            assert_eq!(gateway.ask(path, &body).await.0, 200);
            assert_eq!(mock.last_request().unwrap().json()["prompt_cache_key"], "session-7", "{path} over {channel}");
        }
    }
}

#[tokio::test]
async fn case_38_the_same_marked_prompt_is_read_from_the_cache_the_second_time() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let words = "long instructions ".repeat(50);
    for channel in ["anthropic", "vertex-claude", "bedrock"] {
        for (round, hit) in [false, true, true].into_iter().enumerate() {
            let body = json!({"model": format!("{channel}/m"), "max_tokens": 50,
                "system": [{"type": "text", "text": format!("{words}{channel}"), "cache_control": {"type": "ephemeral"}}],
                "messages": [{"role": "user", "content": format!("question {round}")}]});
            let (status, answer) = gateway.ask("/v1/messages", &body).await;
            assert_eq!(status, 200, "{channel}: {answer}");
            let read = answer["usage"]["cache_read_input_tokens"].as_u64().unwrap_or(0);
            assert_eq!(read > 0, hit, "{channel}, round {round}: {answer}");
        }
    }
}

/// What each format calls input, read from the cache, and output; and whether its input includes the cached part.
fn told(client: Client, answer: &Value) -> Option<(u64, u64, u64)> {
    let usage = |place: &str| answer.pointer(place).and_then(Value::as_u64);
    Some(match client {
        Client::Responses => (
            usage("/usage/input_tokens")?,
            usage("/usage/input_tokens_details/cached_tokens")?,
            usage("/usage/output_tokens")?,
        ),
        Client::Messages => {
            let read = usage("/usage/cache_read_input_tokens")?;
            (
                usage("/usage/input_tokens")? + read + usage("/usage/cache_creation_input_tokens").unwrap_or(0),
                read,
                usage("/usage/output_tokens")?,
            )
        }
        Client::Gemini => (
            usage("/usageMetadata/promptTokenCount")?,
            usage("/usageMetadata/cachedContentTokenCount")?,
            usage("/usageMetadata/candidatesTokenCount")? + usage("/usageMetadata/thoughtsTokenCount").unwrap_or(0),
        ),
        Client::Chat | Client::Ollama => return None,
    })
}

#[tokio::test]
async fn case_35_counters_mean_the_same_whoever_counted_and_whoever_asks() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    let mut failures = Vec::new();
    // Ollama and Dify tell nothing of caches.
    for channel in [
        "chat",
        "responses",
        "anthropic",
        "gemini",
        "bedrock",
        "vertex",
        "vertex-claude",
        "azure",
        "deepseek",
        "moonshot",
        "openrouter",
    ] {
        for client in CLIENTS {
            for stream in [false, true] {
                let mut dialog = Dialog::new(client, &format!("{channel}/m"), stream);
                dialog.user("hi [[usage input=100 read=40 output=7]]");
                let said = dialog.ask(&gateway).await.unwrap();
                let usage = gateway.last_record().await.usage.unwrap();
                let noted = (usage.input, usage.cache_read, usage.output);
                if noted != (Some(100), Some(40), Some(7)) {
                    failures.push(format!("{client:?} over {channel}, stream {stream}: the record says {noted:?}"));
                }
                if !stream
                    && let Some(told) = told(client, &said.answer)
                    && told != (100, 40, 7)
                {
                    failures.push(format!("{client:?} over {channel}: the client is told {told:?}: {}", said.answer));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn case_17_a_refusal_is_a_status_and_no_stream_in_every_format() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    for channel in ["chat", "anthropic", "gemini"] {
        for client in CLIENTS {
            // One that is tried again for a while, and one that is not.
            for (status, told) in [(429, "429"), (400, "400")] {
                let mut dialog = Dialog::new(client, &format!("{channel}/m"), true);
                dialog.user(&format!("hi [[error {status}]]"));
                let why = dialog.ask(&gateway).await.expect_err("a refusal");
                assert!(why.starts_with(told), "{client:?} over {channel}, {status}: {why}");
            }
        }
    }
}

#[tokio::test]
async fn case_16_one_attempt_means_one_attempt_in_streams_too() {
    let mock = MockServer::start().await.unwrap();
    let mut other = mock_channel(&mock, "other", "anthropic", "anthropic");
    other["weight"] = json!(0);
    let channels = vec![mock_channel(&mock, "openai", "openai", "openai"), other];
    let gateway = TestGateway::with_settings(channels, |settings| settings.max_attempts = 1).await;
    for stream in [false, true] {
        let mut script = Script::error(503).provider("openai");
        if stream {
            // Broken before the first content, where another deployment would take over.
            script = Script::default().provider("openai");
            script.delivery.cut_after = Some(0);
        }
        mock.script(script);
        let body = json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": "hello"}]});
        let (status, text) = gateway.ask_text("/v1/chat/completions", &body).await;
        assert!((500..600).contains(&status), "stream {stream}: {status} {text}");
        assert_eq!(gateway.last_record().await.attempts.len(), 1, "stream {stream}");
    }
    assert!(mock.requests().iter().all(|request| !request.path.contains("messages")), "nobody else was asked");
}

#[tokio::test]
async fn case_27_a_pair_that_cannot_be_served_is_refused_when_it_is_asked_for_and_never_a_500() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    for channel in providers::names() {
        for (path, body) in [
            ("/v1/embeddings".to_owned(), json!({"model": format!("{channel}/m"), "input": "x"})),
            ("/v1/completions".to_owned(), json!({"model": format!("{channel}/m"), "prompt": "x"})),
            (format!("/v1beta/models/{channel}%2Fm:embedContent"), json!({"content": {"parts": [{"text": "x"}]}})),
        ] {
            let (status, answer) = gateway.ask(&path, &body).await;
            assert!(status != 500, "{path} over {channel}: {status} {answer}");
            assert!(status == 200 || answer["error"].is_object(), "{path} over {channel}: {status} {answer}");
        }
    }
}
