//! What requests cost: the same for streams and whole answers, whatever happens on the way, exactly once.

use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt as _;
use myelin_core::model::{Channel, CostSource, NanoUsd, RequestRecord, RequestState, Unpriced};
use myelin_core::pricing::{Book, bill};
use myelin_core::store::Change;
use myelin_protocol::ir::Usage;
use myelin_protocol::{ApiFormat, Dialect, answer, drive};
use myelin_testkit::{MockServer, Script, Verbatim};
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel};

/// Dollars a million: 5 in, 0.5 from the cache, 6.25 into it, 25 out.
fn price() -> Value {
    json!({"input": 5, "cache_read": 0.5, "cache_write": 6.25, "output": 25})
}

fn priced(mock: &MockServer, name: &str, provider: &str) -> Value {
    let mut channel = mock_channel(mock, name, provider, provider);
    channel["models"] = json!([{"name": "mock", "price": price()}]);
    channel
}

fn chat(text: &str, stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

/// Asks the admin API as the owner.
async fn owner(gateway: &TestGateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json");
    let request = request.body(http_body_util::Full::new(bytes::Bytes::from(body.to_string()))).unwrap();
    let answer = gateway.gateway.ask_as_owner(request).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn case_32_streams_and_whole_answers_of_equal_usage_cost_the_same() {
    let mock = MockServer::start().await.unwrap();
    let channels = ["openai", "anthropic", "gemini"].map(|provider| priced(&mock, provider, provider));
    let gateway = TestGateway::start(channels.into()).await;
    let text = "hello [[usage input=172000 read=155000 output=1000]]";
    // 17,000 × 5 + 155,000 × 0.5 + 1,000 × 25, a million.
    let wanted = NanoUsd(85_000_000 + 77_500_000 + 25_000_000);
    let messages = json!([{"role": "user", "content": text}]);
    let mut wrong = Vec::new();
    for channel in ["openai", "anthropic", "gemini"] {
        for stream in [false, true] {
            let model = format!("{channel}/mock");
            let way = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            for (path, body) in [
                ("/v1/chat/completions".to_owned(), json!({"model": model, "stream": stream, "messages": messages})),
                (
                    "/v1/messages".to_owned(),
                    json!({"model": model, "stream": stream, "max_tokens": 9, "messages": messages}),
                ),
                ("/v1/responses".to_owned(), json!({"model": model, "stream": stream, "input": text})),
                (
                    format!("/v1beta/models/{}:{way}", model.replace('/', "%2F")),
                    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
                ),
            ] {
                let answer = gateway.post(&path).json(&body).send().await.unwrap();
                let head = answer.headers().get("x-myelin-cost").and_then(|cost| cost.to_str().ok()).map(str::to_owned);
                let status = answer.status();
                let _ = answer.text().await.unwrap();
                let record = gateway.last_record().await;
                let told = if stream { None } else { Some(wanted.to_string()) };
                if record.cost != Some(wanted) || record.cost_source != Some(CostSource::Computed) || head != told {
                    wrong.push(format!(
                        "{path} over {channel} ({status}): {:?} {:?} {head:?}",
                        record.cost, record.usage
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn case_35_every_provider_s_counters_come_in_one_form_and_its_own_are_kept() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![
        priced(&mock, "openai", "openai"),
        priced(&mock, "anthropic", "anthropic"),
        priced(&mock, "gemini", "gemini"),
    ])
    .await;
    // What each provider itself calls the input: with the cache, without it, with it.
    for (channel, own, counted) in [
        ("openai", "/prompt_tokens", 1_000),
        ("anthropic", "/input_tokens", 600),
        ("gemini", "/promptTokenCount", 1_000),
    ] {
        let mut body = chat("hello [[usage input=1000 read=400 output=50]]", false);
        body["model"] = json!(format!("{channel}/mock"));
        let (status, _) = gateway.ask("/v1/chat/completions", &body).await;
        assert_eq!(status, 200);
        let usage = gateway.last_record().await.usage.unwrap();
        assert_eq!((usage.input, usage.cache_read, usage.output), (Some(1_000), Some(400), Some(50)), "{channel}");
        let raw = usage.raw.map(|raw| raw.value()).unwrap_or_default();
        assert_eq!(raw.pointer(own).and_then(Value::as_u64), Some(counted), "{channel}: {raw}");
    }
}

#[tokio::test]
async fn case_36_usage_is_asked_for_even_if_the_client_did_not() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![priced(&mock, "openai", "openai")]).await;
    let (status, text) =
        gateway.ask_text("/v1/chat/completions", &chat("hello [[usage input=1000 output=100]]", true)).await;
    assert_eq!(status, 200);
    assert!(!text.contains("\"prompt_tokens\""), "the client did not ask: {text}");
    let record = gateway.last_record().await;
    assert_eq!(record.cost, Some(NanoUsd(5_000_000 + 2_500_000)));
    assert_eq!(record.price.as_deref(), Some("channel openai/mock"));
}

/// The record of a request whose client left after some bytes.
async fn left(gateway: &TestGateway, path: &str, body: &Value) -> RequestRecord {
    let mut answer = gateway.post(path).json(body).send().await.unwrap();
    let mut seen = 0;
    while seen < 400 {
        seen += answer.chunk().await.unwrap().expect("more comes").len();
    }
    drop(answer);
    for _ in 0..200 {
        let record = gateway.last_record().await;
        if record.state == RequestState::Canceled {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the record of a client that left is not there");
}

#[tokio::test]
async fn case_37_what_was_used_is_booked_when_the_client_leaves() {
    let mock = MockServer::start().await.unwrap();
    let gateway =
        TestGateway::start(vec![priced(&mock, "openai", "openai"), priced(&mock, "anthropic", "anthropic")]).await;
    let long = "word ".repeat(400);
    for (channel, path) in [
        ("openai", "/v1/chat/completions"),
        ("anthropic", "/v1/messages"),
        // Converted.
        ("anthropic", "/v1/chat/completions"),
        ("openai", "/v1/messages"),
    ] {
        gateway.ask_text("/v1/chat/completions", &chat("between", false)).await;
        let mut body = chat(&format!("{long} [[pace 10]]"), true);
        body["model"] = json!(format!("{channel}/mock"));
        body["max_tokens"] = json!(4_000);
        let record = left(&gateway, path, &body).await;
        let what = format!("{channel} {path}: {:?} {:?}", record.usage, record.cost);
        assert_eq!(record.cost_source, Some(CostSource::Estimated), "{what}");
        let usage = record.usage.unwrap();
        assert!(usage.input.unwrap() > 100, "{what}");
        // Some words were written, and not all of them.
        assert!((1..2_000).contains(&usage.output.unwrap()), "{what}");
        assert!(record.cost.unwrap() > NanoUsd(0), "{what}");
    }
}

#[tokio::test]
async fn what_an_attempt_used_in_vain_is_paid_beside_the_answer() {
    let mock = MockServer::start().await.unwrap();
    let mut second = priced(&mock, "second", "anthropic");
    second["weight"] = json!(0);
    let gateway = TestGateway::start(vec![priced(&mock, "first", "openai"), second]).await;
    // It counts tokens and answers nothing.
    let body = json!({"id": "x", "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 10}});
    let empty = Verbatim { status: 200, content_type: "application/json".into(), body: body.to_string().into() };
    mock.script(Script { verbatim: Some(empty), provider: Some("openai".into()), ..Script::default() });
    let text = "hello [[usage input=100 output=20]]";
    let body = json!({"model": "mock", "max_tokens": 100, "messages": [{"role": "user", "content": text}]});
    let (status, _) = gateway.ask("/v1/messages", &body).await;
    assert_eq!(status, 200);
    let record = gateway.last_record().await;
    let in_vain = NanoUsd(5_000_000 + 250_000);
    assert_eq!(record.attempts.len(), 2, "{record:?}");
    assert_eq!(record.attempts[0].cost, Some(in_vain));
    assert_eq!(record.usage.as_ref().and_then(|usage| usage.input), Some(100), "only the answer's");
    assert_eq!(record.cost, Some(in_vain + NanoUsd(500_000 + 500_000)));
}

#[tokio::test]
async fn what_the_provider_says_that_it_cost_is_taken_and_marked() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![priced(&mock, "openrouter", "openrouter")]).await;
    for (usage, cost, source) in [
        (
            json!({"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.00256995}),
            NanoUsd(2_569_950),
            CostSource::Reported,
        ),
        (json!({"prompt_tokens": 10, "completion_tokens": 1, "cost": 0}), NanoUsd(0), CostSource::Reported),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 1, "cost": 0.0001, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.0019}}),
            NanoUsd(2_000_000),
            CostSource::Reported,
        ),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 1, "cost_in_usd_ticks": 5_448_500}),
            NanoUsd(544_850),
            CostSource::Reported,
        ),
        (json!({"prompt_tokens": 10, "completion_tokens": 1}), NanoUsd(75_000), CostSource::Computed),
    ] {
        let message = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}});
        let body = json!({"id": "x", "object": "chat.completion", "model": "m", "choices": [message], "usage": usage});
        let verbatim = Verbatim { status: 200, content_type: "application/json".into(), body: body.to_string().into() };
        mock.script(Script { verbatim: Some(verbatim), ..Script::default() });
        let (status, text) = gateway.ask_text("/v1/chat/completions", &chat("hello", false)).await;
        assert_eq!(status, 200, "{text}");
        let record = gateway.last_record().await;
        assert_eq!((record.cost, record.cost_source), (Some(cost), Some(source)), "{usage}");
    }
}

#[tokio::test]
async fn pictures_and_sound_are_billed_by_their_units() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "openai", "openai", "openai");
    let price = json!({"image_made": 0.04, "second_read": 0.0001, "character_read": 15});
    channel["models"] = json!([{"name": "mock", "price": price}]);
    let gateway = TestGateway::start(vec![channel]).await;
    for (path, body, kind, answer, nanos) in [
        (
            "/v1/images/generations",
            json!({"model": "mock", "prompt": "x", "n": 2}),
            "application/json",
            json!({"created": 1, "data": [{"url": "a"}, {"url": "b"}]}).to_string(),
            80_000_000,
        ),
        (
            "/v1/audio/transcriptions",
            json!({"model": "mock"}),
            "application/json",
            json!({"text": "hi", "duration": 36.7}).to_string(),
            3_700_000,
        ),
        (
            "/v1/audio/speech",
            json!({"model": "mock", "input": "hello you, ü", "voice": "v"}),
            "audio/mpeg",
            "sound".to_owned(),
            180_000,
        ),
    ] {
        let verbatim = Verbatim { status: 200, content_type: kind.into(), body: answer.into() };
        mock.script(Script { verbatim: Some(verbatim), ..Script::default() });
        let (status, text) = gateway.ask_text(path, &body).await;
        assert_eq!(status, 200, "{path}: {text}");
        let record = gateway.last_record().await;
        assert_eq!(
            (record.cost, record.cost_source),
            (Some(NanoUsd(nanos)), Some(CostSource::Computed)),
            "{path}: {:?}",
            record.usage
        );
    }
}

#[tokio::test]
async fn case_39_what_has_no_price_is_shown_as_such_or_blocked_as_the_owner_wants() {
    for unpriced in [Unpriced::Allow, Unpriced::Block] {
        let mock = MockServer::start().await.unwrap();
        let gateway = TestGateway::with_settings(vec![mock_channel(&mock, "openai", "openai", "openai")], |settings| {
            settings.unpriced = unpriced;
        })
        .await;
        let (status, answer) = gateway.ask("/v1/chat/completions", &chat("hello", false)).await;
        if unpriced == Unpriced::Block {
            assert_eq!(status, 403, "{answer}");
            let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap();
            assert!(message.contains("no price") || message.contains("has a price"), "{message}");
            assert!(message.contains("myelin price set openai/mock"), "{message}");
            let record = gateway.last_record().await;
            assert!(record.attempts.is_empty(), "no provider was asked");
            let body = json!({"channel": "openai", "model": "mock", "price": {"input": 1, "output": 1}});
            assert_eq!(owner(&gateway, "PUT", "/api/v1/prices", &body).await.0, 200);
            for _ in 0..200 {
                if gateway.ask("/v1/chat/completions", &chat("hello", false)).await.0 == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(gateway.last_record().await.price.as_deref(), Some("set@1 openai/mock"));
        } else {
            assert_eq!(status, 200, "{answer}");
            let record = gateway.last_record().await;
            assert_eq!((record.cost, record.cost_source), (None, Some(CostSource::Unpriced)));
            assert!(record.usage.is_some());
        }
    }
}

#[tokio::test]
async fn the_built_in_model_costs_nothing() {
    let gateway = TestGateway::start(Vec::new()).await;
    let body = json!({"model": "echo", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.ask("/v1/chat/completions", &body).await.0, 200);
    let record = gateway.last_record().await;
    assert_eq!((record.cost, record.cost_source), (Some(NanoUsd(0)), Some(CostSource::Free)));
}

#[tokio::test]
async fn prices_have_versions_and_history_is_priced_anew() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "openai", "openai", "openai")]).await;
    for _ in 0..3 {
        gateway.ask("/v1/chat/completions", &chat("hello [[usage input=1000 output=100]]", false)).await;
    }
    let records = gateway.records(3).await;
    assert!(records.iter().all(|record| record.cost_source == Some(CostSource::Unpriced)));
    let set = |dollars: u32| json!({"model": "mock", "price": {"input": dollars, "output": dollars}});
    assert_eq!(owner(&gateway, "PUT", "/api/v1/prices", &set(1)).await.0, 200);
    let (status, list) = owner(&gateway, "PUT", "/api/v1/prices", &set(2)).await;
    assert_eq!(
        (status, list.pointer("/own/0/version"), list.pointer("/earlier/0/version")),
        (200, Some(&json!(2)), Some(&json!(1)))
    );
    let dry = json!({"dry_run": true});
    let (_, done) = owner(&gateway, "POST", "/api/v1/prices/reprice", &dry).await;
    assert_eq!((done["changed"].as_u64(), done["after"].as_i64()), (Some(3), Some(3 * 2_200_000)), "{done}");
    assert!(gateway.records(3).await.iter().all(|record| record.cost.is_none()), "a dry run writes nothing");
    let (_, done) = owner(&gateway, "POST", "/api/v1/prices/reprice", &json!({})).await;
    assert_eq!(done["changed"], 3);
    let records = gateway.records(3).await;
    assert_eq!(records.len(), 3, "written anew, not again");
    for record in &records {
        assert_eq!((record.cost, record.price.as_deref()), (Some(NanoUsd(2_200_000)), Some("set@2 mock")));
    }
    let (_, done) = owner(&gateway, "POST", "/api/v1/prices/reprice", &json!({})).await;
    assert_eq!((done["looked_at"].as_u64(), done["changed"].as_u64()), (Some(3), Some(0)), "{done}");
    // Taken back: the lists have none.
    let unset = json!({"model": "mock", "price": null});
    assert_eq!(owner(&gateway, "PUT", "/api/v1/prices", &unset).await.0, 200);
    assert_eq!(owner(&gateway, "PUT", "/api/v1/prices", &unset).await.0, 404);
    let (_, done) = owner(&gateway, "POST", "/api/v1/prices/reprice", &json!({})).await;
    assert_eq!((done["before"].as_i64(), done["after"].as_i64()), (Some(3 * 2_200_000), Some(0)), "{done}");
}

#[tokio::test]
async fn case_39_a_bad_list_is_refused_loudly_and_the_last_good_one_stays() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![mock_channel(&mock, "openai", "openai", "openai")]).await;
    let label = async || {
        let (_, prices) = owner(&gateway, "GET", "/api/v1/prices", &Value::Null).await;
        prices.pointer("/deployments/0/label").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let good = json!({"version": "7", "prices": {"openai/mock": {"input": 1, "output": 2}}});
    let (status, done) = owner(&gateway, "POST", "/api/v1/prices/import", &good).await;
    assert_eq!((status, done["priced"].as_u64(), done["source"].as_str()), (200, Some(1), Some("myelin 7")), "{done}");
    assert_eq!(label().await, "import@1 openai/mock");
    for bad in [json!({"prices": {"openai/mock": {"input": "free"}}}), json!({}), json!([1]), json!({"prices": {}})] {
        let (status, refused) = owner(&gateway, "POST", "/api/v1/prices/import", &bad).await;
        assert_eq!(status, 422, "{bad}");
        let message = refused.pointer("/error/message").and_then(Value::as_str).unwrap();
        assert!(message.contains("nothing changed"), "{message}");
        assert_eq!(label().await, "import@1 openai/mock");
    }
    assert_eq!(owner(&gateway, "DELETE", "/api/v1/prices/import", &Value::Null).await.0, 200);
    assert_eq!(label().await, "");
    assert_eq!(owner(&gateway, "DELETE", "/api/v1/prices/import", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn prices_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        use std::sync::Arc;

        use myelin_core::clock::SystemClock;
        use myelin_core::store::{MasterKey, Store};
        let known = Arc::new(|_: &str| true);
        Store::open(dir.path(), Arc::new(SystemClock::new()), &MasterKey::KeyFile, known).unwrap()
    };
    let price = myelin_core::model::Price::read(price().as_object().unwrap()).unwrap();
    let store = open();
    let set = Change::SetPrice { channel: None, model: "m".into(), price: Some(price.clone()) };
    store.apply_blocking(set, "test").unwrap();
    let import = Change::ImportPrices { source: "x".into(), priced: 1, text: "# version 1\na/b\tO\ti=1\t\n".into() };
    store.apply_blocking(import, "test").unwrap();
    drop(store);
    let prices = open().entities().prices.clone();
    assert_eq!(prices.own.len(), 1);
    assert_eq!((&prices.own[0].price, prices.own[0].version), (&price, 1));
    assert_eq!(prices.imported.as_ref().map(|list| (list.version, list.priced)), Some((2, 1)));
}

/// What recordings of each API hold, and how usage is read from it.
fn recorded_usage(api: &str, file: &str, bytes: &[u8]) -> Option<Usage> {
    let format = match api {
        "messages" | "anthropic-messages" => ApiFormat::AnthropicMessages,
        "responses" => ApiFormat::OpenaiResponses,
        "generate-content" => ApiFormat::Gemini,
        "converse" => ApiFormat::BedrockConverse,
        "api-chat" => ApiFormat::OllamaChat,
        "chat-messages" => ApiFormat::Dify,
        api if api.ends_with("chat-completions") => ApiFormat::OpenaiChat,
        _ => return None,
    };
    let dialect = Dialect::default();
    if file == "response.json" {
        return answer::facts(format, &bytes::Bytes::copy_from_slice(bytes), &dialect).usage;
    }
    drive::fold_stream(format, &dialect, bytes).response.usage
}

#[test]
fn every_recorded_usage_is_priced_without_a_fault() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    let root = std::env::var_os("MYELIN_FIXTURES").map_or_else(beside, Into::into);
    let Ok(folders) = std::fs::read_dir(&root) else {
        println!("skipped: no recordings at {}", root.display());
        return;
    };
    let book = Book::default();
    let below =
        |path: &Path| std::fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let (mut counted, mut priced, mut told) = (0, 0, 0);
    for folder in folders.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let provider = match name(&folder).as_str() {
            "alibaba" => "qwen".to_owned(),
            "azure-openai" => "azure".to_owned(),
            "huggingface-router" => "huggingface".to_owned(),
            other => other.to_owned(),
        };
        for api in below(&folder).filter(|path| path.is_dir()) {
            for case in below(&api).filter(|path| path.is_dir()) {
                for file in ["response.json", "response.sse", "response.ndjson"] {
                    let Ok(bytes) = std::fs::read(case.join(file)) else { continue };
                    let Some(usage) = recorded_usage(&name(&api), file, &bytes) else { continue };
                    if usage.is_unknown() {
                        continue;
                    }
                    counted += 1;
                    told += usize::from(usage.cost_usd.is_some());
                    let meta: Value = serde_json::from_slice(&std::fs::read(case.join("meta.json")).unwrap()).unwrap();
                    let model = meta.pointer("/model").and_then(Value::as_str).unwrap_or_default();
                    let quote = book.quote(&Channel::bare("c", &provider), model);
                    let Some(bill) = bill(&quote.price, &usage, 0) else { continue };
                    priced += 1;
                    // Every token is in exactly one line, so parts and whole agree.
                    let tokens: u64 =
                        bill.lines.iter().filter(|line| line.class.per() > 1).map(|line| line.count).sum();
                    assert_eq!(
                        tokens,
                        usage.input.unwrap_or(0) + usage.output.unwrap_or(0),
                        "{}: {usage:?}",
                        case.display()
                    );
                }
            }
        }
    }
    println!("{counted} recorded answers tell usage, {priced} have a list price, {told} tell their cost");
    assert!(counted > 100 && priced * 2 > counted && told > 10, "{counted} {priced} {told}");
}
