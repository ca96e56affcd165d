use serde_json::{Value, json};

use super::*;
use crate::ir::{Embedding, EmbeddingInput, EncodingFormat, Usage};

fn hints(model: &str) -> AddressHints<'_> {
    AddressHints { model: Some(model), stream: None }
}

fn client(format: EmbeddingFormat) -> &'static dyn EmbeddingClient {
    format.codec().client().unwrap()
}

fn read(format: EmbeddingFormat, body: &Value) -> EmbeddingRequest {
    client(format).decode_request(body.to_string().as_bytes(), AddressHints::default()).unwrap()
}

fn written(format: EmbeddingFormat, request: &EmbeddingRequest, dialect: &Dialect) -> (Value, Vec<String>) {
    let lossy = format.codec().encode_request(request, dialect).unwrap();
    let losses = lossy.losses.iter().map(|loss| loss.field.to_string()).collect();
    (serde_json::from_slice(&lossy.value).unwrap(), losses)
}

fn shown(format: EmbeddingFormat, response: &EmbeddingResponse, request: &EmbeddingRequest) -> Value {
    let reply = EmbeddingReply { model: "asked-for", request };
    serde_json::from_slice(&client(format).encode_response(response, reply).unwrap().value).unwrap()
}

fn answer(data: Vec<Embedding>) -> EmbeddingResponse {
    EmbeddingResponse { data, ..EmbeddingResponse::default() }
}

#[test]
fn every_format_is_in_the_table_once() {
    for format in EmbeddingFormat::ALL {
        assert_eq!(format.codec().format(), format);
        assert!(format.codec().max_inputs("any") > 0);
    }
}

#[test]
fn case_24_absent_stays_absent_and_null_stays_null() {
    let absent = json!({ "model": "m", "input": "hi" });
    let request = read(EmbeddingFormat::Openai, &absent);
    assert_eq!(request.encoding, None);
    assert_eq!(written(EmbeddingFormat::Openai, &request, &Dialect::default()), (absent, vec![]));

    let null = json!({ "model": "m", "input": ["hi"], "encoding_format": null, "dimensions": null, "user": null });
    let request = read(EmbeddingFormat::Openai, &null);
    assert_eq!(written(EmbeddingFormat::Openai, &request, &Dialect::default()), (null, vec![]));
    // Another wire neither gets the nulls nor hears of them as losses.
    let (body, losses) = written(EmbeddingFormat::Ollama, &request, &Dialect::default());
    assert_eq!((body, losses), (json!({ "model": "m", "input": ["hi"] }), vec![]));
}

#[test]
fn input_keeps_its_four_forms() {
    for input in [json!("a"), json!(["a"]), json!(["a", "b"]), json!([1, 2]), json!([[1, 2], [3]]), json!([])] {
        let body = json!({ "model": "m", "input": input });
        let request = read(EmbeddingFormat::Openai, &body);
        assert_eq!(written(EmbeddingFormat::Openai, &request, &Dialect::default()).0, body);
    }
    for bad in [json!(1), json!({}), json!([1, "a"]), json!(["a", 1]), json!([-1]), Value::Null] {
        let body = json!({ "model": "m", "input": bad }).to_string();
        let error =
            client(EmbeddingFormat::Openai).decode_request(body.as_bytes(), AddressHints::default()).unwrap_err();
        assert!(error.pointer.starts_with("/input"), "{error}");
    }
}

#[test]
fn tokens_are_refused_where_the_tokenizer_is_another() {
    let request = read(EmbeddingFormat::Openai, &json!({ "model": "m", "input": [1, 2] }));
    for format in EmbeddingFormat::ALL.into_iter().filter(|format| *format != EmbeddingFormat::Openai) {
        let error = format.codec().encode_request(&request, &Dialect::default()).unwrap_err();
        assert!(error.message.contains("token ids"), "{format}: {error}");
    }
}

#[test]
fn vectors_are_written_as_the_client_wants_them_whatever_came() {
    let numbers = vec![0.1, -2.5, 0.0, 1e-7];
    let base64 = "zczMPQAAIMAAAAAAlb/WMw==";
    let mut request =
        read(EmbeddingFormat::Openai, &json!({ "model": "m", "input": "a", "encoding_format": "base64" }));
    for came in [Embedding::Float(numbers.clone()), Embedding::Base64(base64.into())] {
        request.encoding = Some(EncodingFormat::Base64);
        assert_eq!(
            shown(EmbeddingFormat::Openai, &answer(vec![came.clone()]), &request)["data"][0]["embedding"],
            base64
        );
        for encoding in [None, Some(EncodingFormat::Float)] {
            request.encoding = encoding;
            let body = shown(EmbeddingFormat::Openai, &answer(vec![came.clone()]), &request);
            assert_eq!(body["data"][0]["embedding"], json!(numbers));
        }
        assert_eq!(
            shown(EmbeddingFormat::Ollama, &answer(vec![came.clone()]), &request)["embeddings"],
            json!([numbers])
        );
        assert_eq!(
            shown(EmbeddingFormat::Gemini, &answer(vec![came]), &request)["embedding"]["values"],
            json!(numbers)
        );
    }
    let reply = EmbeddingReply { model: "m", request: &request };
    let broken = answer(vec![Embedding::Base64("AAAAA".into())]);
    assert!(client(EmbeddingFormat::Openai).encode_response(&broken, reply).is_err());
}

#[test]
fn unpadded_base64_is_read() {
    let padded = vectors::floats(&Embedding::Base64("zczMPQAAIMAAAAAAlb/WMw==".into()));
    assert_eq!(vectors::floats(&Embedding::Base64("zczMPQAAIMAAAAAAlb/WMw".into())), padded);
}

#[test]
fn vectors_come_in_the_order_of_their_index() {
    let body = json!({ "data": [{ "index": 2, "embedding": [2.0] }, { "index": 0, "embedding": [0.0] }, { "index": 1, "embedding": "AACAPw==" }] });
    let response = EmbeddingFormat::Openai.codec().decode_response(body.to_string().as_bytes()).unwrap();
    let first: Vec<f64> = response.data.iter().map(|vector| vectors::floats(vector).unwrap()[0]).collect();
    assert_eq!(first, [0.0, 1.0, 2.0]);
}

#[test]
fn gemini_answers_in_the_shape_of_the_question() {
    let one = json!({ "model": "models/m", "content": { "parts": [{ "text": "a" }] }, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 3 });
    let request = read(EmbeddingFormat::Gemini, &one);
    assert_eq!((request.single, request.model.as_str(), request.dimensions), (true, "m", Some(3)));
    assert_eq!(EmbeddingFormat::Gemini.codec().action(&request), "embedContent");
    assert_eq!(written(EmbeddingFormat::Gemini, &request, &Dialect::default()), (one, vec![]));
    let data = vec![Embedding::Float(vec![1.5])];
    assert_eq!(
        shown(EmbeddingFormat::Gemini, &answer(data.clone()), &request),
        json!({ "embedding": { "values": [1.5] } })
    );

    let row = |text: &str| json!({ "model": "models/m", "content": { "parts": [{ "text": text }] } });
    let batch = json!({ "requests": [row("a")] });
    let request = read(EmbeddingFormat::Gemini, &batch);
    assert_eq!(EmbeddingFormat::Gemini.codec().action(&request), "batchEmbedContents");
    assert_eq!(written(EmbeddingFormat::Gemini, &request, &Dialect::default()), (batch, vec![]));
    assert_eq!(shown(EmbeddingFormat::Gemini, &answer(data), &request), json!({ "embeddings": [{ "values": [1.5] }] }));

    let request = read(EmbeddingFormat::Gemini, &json!({ "requests": [row("a"), row("b"), row("c")] }));
    let texts = ["a", "b", "c"].map(|text| EmbeddingInput::Text(text.into()));
    assert_eq!(request.input, texts);
    let mixed = json!({ "requests": [row("a"), { "content": { "parts": [] }, "taskType": "CLUSTERING" }] }).to_string();
    assert!(client(EmbeddingFormat::Gemini).decode_request(mixed.as_bytes(), hints("m")).is_err());
}

#[test]
fn the_model_of_the_path_counts_for_gemini() {
    let body =
        json!({ "content": { "parts": { "text": "a" } }, "task_type": "CLUSTERING", "output_dimensionality": 8 })
            .to_string();
    let request = client(EmbeddingFormat::Gemini).decode_request(body.as_bytes(), hints("text-embedding-004")).unwrap();
    assert_eq!(
        (request.model.as_str(), request.dimensions, request.task.as_deref()),
        ("text-embedding-004", Some(8), Some("CLUSTERING"))
    );
}

#[test]
fn legacy_ollama_gets_its_bare_vector() {
    let request = read(EmbeddingFormat::Ollama, &json!({ "model": "m", "prompt": "a" }));
    assert_eq!(request.input, [EmbeddingInput::Text("a".into())]);
    let response = answer(vec![Embedding::Float(vec![0.5])]);
    assert_eq!(shown(EmbeddingFormat::Ollama, &response, &request), json!({ "embedding": [0.5] }));
    let (body, losses) = written(EmbeddingFormat::Ollama, &request, &Dialect::default());
    assert_eq!((body, losses), (json!({ "model": "m", "input": "a" }), vec![]));
    let (body, losses) = written(EmbeddingFormat::Openai, &request, &Dialect::default());
    assert_eq!((body, losses), (json!({ "model": "m", "input": "a" }), vec![]));
    let old = EmbeddingFormat::Ollama.codec().decode_response(br#"{"embedding":[0.5]}"#).unwrap();
    assert_eq!(old.data, response.data);
}

#[test]
fn purposes_are_translated_and_cohere_always_gets_one() {
    let plain = read(EmbeddingFormat::Openai, &json!({ "model": "embed-v4", "input": ["a"], "dimensions": 256 }));
    let expected = json!({ "model": "embed-v4", "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"], "output_dimension": 256 });
    assert_eq!(written(EmbeddingFormat::Cohere, &plain, &Dialect::default()), (expected, vec![]));

    let gemini = json!({ "model": "models/m", "content": { "parts": [{ "text": "a" }] }, "taskType": "RETRIEVAL_QUERY", "title": "t" });
    let request = read(EmbeddingFormat::Gemini, &gemini);
    let (body, losses) = written(EmbeddingFormat::Cohere, &request, &Dialect::default());
    assert_eq!((&body["input_type"], losses), (&json!("search_query"), vec!["title".to_owned()]));

    let odd = EmbeddingRequest { task: Some("poetry".into()), ..plain.clone() };
    assert_eq!(written(EmbeddingFormat::Cohere, &odd, &Dialect::default()).1, ["task"]);
    let jina = Dialect { task_field: Some("task".into()), ..Dialect::default() };
    assert_eq!(written(EmbeddingFormat::Openai, &odd, &jina).0["task"], "poetry");
    assert_eq!(written(EmbeddingFormat::Openai, &odd, &Dialect::default()).1, ["task"]);
    let vertex = written(
        EmbeddingFormat::VertexPredict,
        &EmbeddingRequest { task: Some("search_query".into()), ..plain },
        &Dialect::default(),
    )
    .0;
    assert_eq!(
        vertex,
        json!({ "instances": [{ "content": "a", "task_type": "RETRIEVAL_QUERY" }], "parameters": { "outputDimensionality": 256 } })
    );
}

#[test]
fn titan_takes_one_text_and_cohere_on_bedrock_a_list() {
    let mut request = read(
        EmbeddingFormat::Openai,
        &json!({ "model": "amazon.titan-embed-text-v2:0", "input": ["a"], "dimensions": 256 }),
    );
    let codec = EmbeddingFormat::BedrockInvoke.codec();
    assert_eq!(codec.max_inputs(&request.model), 1);
    assert_eq!(
        written(EmbeddingFormat::BedrockInvoke, &request, &Dialect::default()).0,
        json!({ "inputText": "a", "dimensions": 256 })
    );
    request.input.push(EmbeddingInput::Text("b".into()));
    assert!(codec.encode_request(&request, &Dialect::default()).is_err());
    let response = codec.decode_response(br#"{"embedding":[0.5],"inputTextTokenCount":3}"#).unwrap();
    assert_eq!((response.data, response.usage.unwrap().input), (vec![Embedding::Float(vec![0.5])], Some(3)));

    request.model = "cohere.embed-english-v3".into();
    let (body, _) = written(EmbeddingFormat::BedrockInvoke, &request, &Dialect::default());
    assert_eq!((&body["texts"], body.get("model")), (&json!(["a", "b"]), None));
    let response =
        codec.decode_response(br#"{"embeddings":[[0.5],[1.0]],"response_type":"embeddings_floats"}"#).unwrap();
    assert_eq!(response.data.len(), 2);
}

#[test]
fn unknown_usage_is_zero_on_openais_wire_only() {
    let request = read(EmbeddingFormat::Openai, &json!({ "model": "m", "input": "a" }));
    let response = answer(vec![]);
    assert_eq!(
        shown(EmbeddingFormat::Openai, &response, &request)["usage"],
        json!({ "prompt_tokens": 0, "total_tokens": 0 })
    );
    assert_eq!(shown(EmbeddingFormat::Gemini, &response, &request).get("usageMetadata"), None);
    let counted = EmbeddingResponse { usage: Some(Usage { input: Some(7), ..Usage::default() }), ..response };
    assert_eq!(
        shown(EmbeddingFormat::Openai, &counted, &request)["usage"],
        json!({ "prompt_tokens": 7, "total_tokens": 7 })
    );
    let total_only =
        EmbeddingFormat::Openai.codec().decode_response(br#"{"data":[],"usage":{"total_tokens":8}}"#).unwrap();
    assert_eq!(total_only.usage.unwrap().input, Some(8));
}

#[test]
fn hosts_call_the_length_by_two_names() {
    let request = read(EmbeddingFormat::Openai, &json!({ "model": "m", "input": "a", "dimensions": 64 }));
    let mistral = Dialect { output_dimension: true, ..Dialect::default() };
    assert_eq!(written(EmbeddingFormat::Openai, &request, &mistral).0["output_dimension"], 64);
    let (body, losses) = written(
        EmbeddingFormat::Openai,
        &request,
        &Dialect { unsupported: vec!["dimensions".into()], ..Dialect::default() },
    );
    assert_eq!((body.get("dimensions"), losses), (None, vec!["dimensions".to_owned()]));
}
