//! The small surfaces: counting tokens, embeddings, lists of models, and what Ollama's clients ask first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use myelin_testkit::{MockServer, Script, vector};
use serde_json::{Value, json};

use crate::support::{TestGateway, providers};

async fn everything() -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(providers::all(&mock)).await;
    (mock, gateway)
}

/// How each format asks for a count: path, body without tools, body with tools, where the count is.
fn counts(model: &str) -> [(String, Value, Value, &'static str); 3] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string", "description": "the city whose weather is wanted, in any language at all"}}});
    let messages = json!([{"role": "user", "content": "how is the weather today"}]);
    let with = |mut body: Value, tools: Value| {
        body["tools"] = tools;
        body
    };
    let anthropic = json!({"model": model, "messages": messages});
    let responses = json!({"model": model, "input": messages});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "how is the weather today"}]}]});
    let declared = json!([{"functionDeclarations": [{"name": "weather", "description": "tells the weather", "parametersJsonSchema": schema}]}]);
    let mut tooled = gemini.clone();
    tooled["model"] = json!(format!("models/{model}"));
    tooled["tools"] = declared;
    [
        (
            "/v1/messages/count_tokens".into(),
            anthropic.clone(),
            with(anthropic, json!([{"name": "weather", "description": "tells the weather", "input_schema": schema}])),
            "/input_tokens",
        ),
        (
            "/v1/responses/input_tokens".into(),
            responses.clone(),
            with(
                responses,
                json!([{"type": "function", "name": "weather", "description": "tells the weather", "parameters": schema}]),
            ),
            "/input_tokens",
        ),
        (
            format!("/v1beta/models/{}:countTokens", model.replace('/', "%2F")),
            gemini,
            json!({"generateContentRequest": tooled}),
            "/totalTokens",
        ),
    ]
}

#[tokio::test]
async fn case_23_every_format_counts_at_every_provider_and_tools_count() {
    let (_mock, gateway) = everything().await;
    let mut failures = Vec::new();
    for channel in providers::names().chain(["echo"]) {
        let model = if channel == "echo" { "echo".to_owned() } else { format!("{channel}/m") };
        for (path, plain, tools, pointer) in counts(&model) {
            let mut found = Vec::new();
            for body in [plain, tools] {
                let (status, answer) = gateway.ask(&path, &body).await;
                match answer.pointer(pointer).and_then(Value::as_u64) {
                    Some(count) if status == 200 => found.push(count),
                    _ => failures.push(format!("{path} over {channel}: {status} {answer}")),
                }
            }
            if let [without, with] = found[..]
                && !(without > 0 && with > without)
            {
                failures.push(format!("{path} over {channel}: {without} without tools, {with} with"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn case_23_a_provider_that_cannot_count_just_now_does_not_make_it_fail() {
    let (mock, gateway) = everything().await;
    for status in [404, 429, 500] {
        mock.script(myelin_testkit::Script::error(status).provider("anthropic"));
        let [(path, body, ..), ..] = counts("anthropic/m");
        let (answered, count) = gateway.ask(&path, &body).await;
        assert!(answered == 200 && count["input_tokens"].as_u64() > Some(0), "{status}: {answered} {count}");
    }
}

/// Providers with embeddings, and the mock's row and model.
const EMBEDDERS: [(&str, &str, &str); 7] = [
    ("openai", "openai", "text-embedding-3-small"),
    ("gemini", "gemini", "gemini-embedding-001"),
    ("vertex", "vertex", "gemini-embedding-001"),
    ("cohere", "cohere", "embed-v4.0"),
    ("ollama", "ollama", "nomic-embed-text"),
    ("mistral", "mistral", "mistral-embed"),
    ("azure", "azure", "text-embedding-3-small"),
];

async fn embedders() -> (MockServer, TestGateway) {
    let mock = MockServer::start().await.unwrap();
    let channels = EMBEDDERS.iter().map(|(name, row, model)| {
        let from = if providers::names().any(|known| known == *name) { *name } else { "chat" };
        let mut channel = providers::channel(&mock, from);
        channel["name"] = json!(name);
        channel["provider"] = json!(row);
        let below = if *row == "cohere" { "/compatibility/v1" } else { "" };
        channel["base_urls"] = json!([mock.base_url(row) + below]);
        channel["models"] = json!([{"name": "e", "upstream": model}]);
        channel
    });
    let gateway = TestGateway::start(channels.collect()).await;
    (mock, gateway)
}

fn numbers(embedding: &Value) -> Vec<f32> {
    match embedding {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).unwrap();
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
        }
        list => list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect(),
    }
}

fn same(found: &[f32], text: &str) -> bool {
    let wanted = vector(text, found.len());
    !found.is_empty() && found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 0.001)
}

#[tokio::test]
async fn embeddings_come_in_order_from_every_client_at_every_provider() {
    let (_mock, gateway) = embedders().await;
    let texts: Vec<String> = (0..5).map(|number| format!("text number {number}")).collect();
    let mut failures = Vec::new();
    for (channel, ..) in EMBEDDERS {
        let model = format!("{channel}/e");
        let path_model = format!("{channel}%2Fe");
        let contents = |text: &String| json!({"parts": [{"text": text}]});
        let batch: Vec<Value> =
            texts.iter().map(|text| json!({"model": format!("models/{model}"), "content": contents(text)})).collect();
        for (name, path, body, list, field) in [
            ("openai", "/v1/embeddings".to_owned(), json!({"model": model, "input": texts}), "/data", "/embedding"),
            (
                "openai, base64",
                "/v1/embeddings".to_owned(),
                json!({"model": model, "input": texts, "encoding_format": "base64"}),
                "/data",
                "/embedding",
            ),
            ("ollama", "/api/embed".to_owned(), json!({"model": model, "input": texts}), "/embeddings", ""),
            (
                "gemini",
                format!("/v1beta/models/{path_model}:batchEmbedContents"),
                json!({"requests": batch}),
                "/embeddings",
                "/values",
            ),
        ] {
            let (status, answer) = gateway.ask(&path, &body).await;
            let found = answer.pointer(list).and_then(Value::as_array).cloned().unwrap_or_default();
            let fine = status == 200
                && found.len() == texts.len()
                && found.iter().zip(&texts).all(|(item, text)| same(&numbers(item.pointer(field).unwrap()), text))
                && (name != "openai, base64" || found[0]["embedding"].is_string());
            if !fine {
                failures.push(format!(
                    "{name} over {channel}: {status} {}",
                    &answer.to_string().chars().take(300).collect::<String>()
                ));
            }
        }
        for (path, body, pointer) in [
            ("/v1/embeddings".to_owned(), json!({"model": model, "input": "one"}), "/data/0/embedding"),
            ("/api/embeddings".to_owned(), json!({"model": model, "prompt": "one"}), "/embedding"),
            (
                format!("/v1beta/models/{path_model}:embedContent"),
                json!({"content": {"parts": [{"text": "one"}]}}),
                "/embedding/values",
            ),
        ] {
            let (status, answer) = gateway.ask(&path, &body).await;
            if status != 200 || !answer.pointer(pointer).is_some_and(|found| same(&numbers(found), "one")) {
                failures.push(format!("{path} over {channel}: {status} {answer}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn large_batches_are_split_as_the_provider_takes_them_and_joined_in_order() {
    let (mock, gateway) = embedders().await;
    let texts: Vec<String> = (0..250).map(|number| format!("t{number}")).collect();
    for (channel, requests) in [("cohere", 3), ("gemini", 3), ("openai", 1)] {
        mock.forget_requests();
        let (status, answer) =
            gateway.ask("/v1/embeddings", &json!({"model": format!("{channel}/e"), "input": texts})).await;
        assert_eq!(status, 200, "{channel}: {answer}");
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), texts.len(), "{channel}");
        for (index, (item, text)) in data.iter().zip(&texts).enumerate() {
            assert!(item["index"] == index && same(&numbers(&item["embedding"]), text), "{channel}: {index}");
        }
        assert_eq!(mock.requests().len(), requests, "{channel}");
        // Gemini's own endpoint tells no usage for embeddings: unknown is not zero.
        let usage = gateway.last_record().await.usage.and_then(|usage| usage.input);
        assert_eq!(usage, if channel == "gemini" { None } else { Some(250) }, "{channel}");
    }
}

#[tokio::test]
async fn models_are_listed_in_four_shapes() {
    let (_mock, gateway) = everything().await;
    for (path, header, list, id) in [
        ("/v1/models", "", "/data", "/id"),
        ("/v1/models", "anthropic-version", "/data", "/id"),
        ("/v1beta/models", "", "/models", "/name"),
        ("/gemini/v1beta/models", "", "/models", "/name"),
        ("/api/tags", "", "/models", "/name"),
    ] {
        let mut request = gateway.request("GET", path).bearer_auth(&gateway.key);
        if !header.is_empty() {
            request = request.header(header, "2023-06-01");
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let names: Vec<&str> = answer
            .pointer(list)
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model.pointer(id).unwrap().as_str().unwrap())
            .collect();
        let has = |name: &str| {
            names.iter().any(|known| known.trim_start_matches("models/").trim_end_matches(":latest") == name)
        };
        assert!(has("m") && has("echo"), "{path} {header}: {names:?}");
        if header == "anthropic-version" {
            assert!(
                answer["data"][0]["type"] == "model"
                    && answer["has_more"] == false
                    && answer["data"][0]["created_at"].is_string(),
                "{answer}"
            );
        }
    }
    let (status, one) = gateway.call("GET", "/v1/models/echo").await;
    assert_eq!((status, &one["id"]), (200, &json!("echo")));
    let (status, one) = gateway.call("GET", "/v1beta/models/echo").await;
    assert_eq!((status, &one["name"]), (200, &json!("models/echo")), "{one}");
    let (status, none) = gateway.call("GET", "/v1/models/nobody").await;
    assert_eq!((status, &none["error"]["code"]), (404, &json!("model_not_found")), "{none}");
}

#[tokio::test]
async fn what_ollama_s_clients_ask_first_is_answered() {
    let (_mock, gateway) = everything().await;
    let (status, version) = gateway.call("GET", "/api/version").await;
    assert!(
        status == 200 && version["version"].as_str().is_some_and(|version| version.split('.').count() == 3),
        "{version}"
    );
    for model in ["m", "m:latest", "echo"] {
        let (status, shown) = gateway.ask("/api/show", &json!({"model": model})).await;
        assert!(status == 200 && shown["capabilities"].to_string().contains("tools"), "{model}: {status} {shown}");
    }
    let (status, missing) = gateway.ask("/api/show", &json!({"model": "nobody"})).await;
    assert!(status == 404 && missing["error"].is_string(), "{status} {missing}");
    let (status, loaded) = gateway.call("GET", "/api/ps").await;
    assert!(status == 200 && loaded["models"].is_array(), "{loaded}");
}

#[tokio::test]
async fn pieces_of_a_batch_that_failed_later_are_booked_all_the_same() {
    let (mock, gateway) = embedders().await;
    let texts: Vec<String> = (0..250).map(|number| format!("t{number}")).collect();
    // The second of three pieces is refused for good.
    mock.script(Script::default());
    mock.script(Script::error(400));
    let (status, answer) = gateway.ask("/v1/embeddings", &json!({"model": "cohere/e", "input": texts})).await;
    assert_eq!(status, 400, "{answer}");
    let record = gateway.last_record().await;
    assert_eq!(record.usage.and_then(|usage| usage.input), Some(96), "{:?}", record.attempts);
}
