//! Recorded embeddings of every maker, against what the raw JSON says.

use myelin_protocol::format::AddressHints;
use myelin_protocol::formats::embeddings::{EmbeddingFormat, EmbeddingReply, vectors};
use myelin_protocol::ir::{EmbeddingRequest, EncodingFormat};
use myelin_protocol::{ApiErrorKind, ApiFormat, Dialect};
use serde_json::Value;

use crate::support::fixtures::{BodyKind, Case, cases};

const APIS: [(&str, EmbeddingFormat); 10] = [
    ("azure-openai/embeddings", EmbeddingFormat::Openai),
    ("cohere/embed", EmbeddingFormat::Cohere),
    ("gemini/embeddings", EmbeddingFormat::Gemini),
    ("jina/embeddings", EmbeddingFormat::Openai),
    ("mistral/embeddings", EmbeddingFormat::Openai),
    ("ollama/embeddings", EmbeddingFormat::Ollama),
    ("openai/embeddings", EmbeddingFormat::Openai),
    ("openrouter/embeddings", EmbeddingFormat::Openai),
    ("vertex/predict", EmbeddingFormat::VertexPredict),
    ("vllm/embeddings", EmbeddingFormat::Openai),
];

fn all() -> Vec<(Case, EmbeddingFormat)> {
    let apis = APIS.map(|(api, _)| api);
    let format = |case: &Case| APIS.iter().find(|(api, _)| *api == case.api).unwrap().1;
    // Imagen speaks `predict` too.
    cases(&apis)
        .into_iter()
        .filter(|case| !case.model().contains("imagen"))
        .map(|case| {
            let format = format(&case);
            (case, format)
        })
        .collect()
}

/// The vectors as they lie in the raw JSON.
fn raw_vectors(raw: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rows = [
        list(&raw["data"]),
        list(&raw["predictions"]),
        list(&raw["embeddings"]),
        list(&raw["embeddings"]["float"]),
        list(&raw["embeddings"]["int8"]),
    ];
    let rows = rows.into_iter().find(|rows| !rows.is_empty()).unwrap();
    let vector = |row: Value| {
        let inside =
            ["/embedding", "/values", "/embeddings/values"].into_iter().find_map(|path| row.pointer(path).cloned());
        inside.unwrap_or(row)
    };
    rows.into_iter().map(vector).collect()
}

#[test]
fn every_recorded_vector_is_read_and_reaches_clients_as_it_was() {
    let mut seen = 0;
    for (case, format) in all() {
        let Some(body) = case.body(BodyKind::Json).filter(|_| case.status() == 200) else { continue };
        seen += 1;
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let response = format.codec().decode_response(&body).unwrap_or_else(|error| panic!("{}: {error}", case.id));
        let expected = raw_vectors(&raw);
        assert_eq!(response.data.len(), expected.len(), "{}", case.id);
        let counted = ["/usage/prompt_tokens", "/prompt_eval_count", "/meta/billed_units/input_tokens"];
        let counted = counted.into_iter().find_map(|path| raw.pointer(path)?.as_u64());
        let each = raw["predictions"].as_array().into_iter().flatten();
        let each = each.filter_map(|row| row.pointer("/embeddings/statistics/token_count")?.as_u64());
        let counted = counted.or_else(|| each.reduce(|sum, more| sum + more));
        assert_eq!(response.usage.as_ref().and_then(|usage| usage.input), counted, "{}", case.id);

        for (vector, expected) in response.data.iter().zip(&expected) {
            let numbers = vectors::floats(vector).unwrap();
            if let Some(list) = expected.as_array() {
                assert_eq!(
                    numbers,
                    list.iter().map(|number| number.as_f64().unwrap()).collect::<Vec<_>>(),
                    "{}",
                    case.id
                );
            } else {
                // Normalised vectors: nothing else than the right width of numbers gives length 1.
                let length: f64 = numbers.iter().map(|number| number * number).sum();
                assert!((length - 1.0).abs() < 0.01 || numbers.len() < 128, "{}: {length}", case.id);
            }
        }
        for client in [EmbeddingFormat::Openai, EmbeddingFormat::Gemini, EmbeddingFormat::Ollama] {
            for encoding in [None, Some(EncodingFormat::Float), Some(EncodingFormat::Base64)] {
                let request = EmbeddingRequest { encoding, ..EmbeddingRequest::default() };
                let reply = EmbeddingReply { model: "m", request: &request };
                let written = client.codec().client().unwrap().encode_response(&response, reply).unwrap();
                let again = client.codec().decode_response(&written.value).unwrap();
                for (again, vector) in again.data.iter().zip(&response.data) {
                    let (again, numbers) = (vectors::floats(again).unwrap(), vectors::floats(vector).unwrap());
                    let close = again.iter().zip(&numbers).all(|(a, b)| (a - b).abs() <= b.abs() * 1e-6);
                    assert!(close && again.len() == numbers.len(), "{} to {client}", case.id);
                }
            }
        }
    }
    println!("{seen} answers");
}

#[test]
fn every_recorded_request_survives_a_round_trip() {
    for (case, format) in all() {
        let (Some(body), Some(client)) = (case.request(), format.codec().client()) else { continue };
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let request = client
            .decode_request(&body, AddressHints::default())
            .unwrap_or_else(|error| panic!("{}: {error}", case.id));
        let host = Dialect {
            output_dimension: raw.get("output_dimension").is_some(),
            task_field: raw.get("task").map(|_| "task".to_owned()),
            ..Dialect::default()
        };
        let written = format.codec().encode_request(&request, &host).unwrap();
        assert_eq!(written.losses, [], "{}", case.id);
        assert_eq!(serde_json::from_slice::<Value>(&written.value).unwrap(), raw, "{}", case.id);
    }
}

#[test]
fn recorded_failures_are_understood() {
    for (case, _) in all().into_iter().filter(|(case, _)| case.status() >= 400) {
        let (body, _) = case.response().unwrap();
        let error = ApiFormat::OpenaiChat.codec().decode_error(case.status(), &body);
        let expected = if case.status() == 401 { ApiErrorKind::Authentication } else { ApiErrorKind::UnknownModel };
        assert_eq!(error.kind, expected, "{}: {error:?}", case.id);
    }
}
