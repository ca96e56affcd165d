//! Reranking: what Cohere, Jina and Voyage call differently. Clients speak what Cohere and Jina share: `query`, `documents`, `top_n`, `return_documents`, and
//! `results` with `index` and `relevance_score`.

use myelin_protocol::envelope::{Edits, Envelope};
use serde_json::{Value, json};

use crate::providers::RerankWire;

/// Fits a request to the provider's words.
pub(crate) fn edit(edits: &mut Edits, asked: &Envelope, wire: RerankWire) {
    match wire {
        RerankWire::Jina => {}
        RerankWire::Cohere => {
            // Its second version knows neither; documents come back by our own hand.
            edits.remove("return_documents");
            let documents = documents(asked);
            if documents.iter().any(|document| !document.is_string()) {
                let texts: Vec<Value> = documents.iter().map(|document| text(document).into()).collect();
                edits.set("documents", &texts.into());
            }
        }
        RerankWire::Voyage => {
            edits.rename("top_n", "top_k");
        }
    }
}

/// The answer in the client's words; `None`: it is already.
pub(crate) fn answer(answer: Value, asked: &Envelope, wire: RerankWire) -> Option<Vec<u8>> {
    let Value::Object(mut answer) = answer else { return None };
    let renamed = wire == RerankWire::Voyage;
    if renamed && let Some(data) = answer.remove("data") {
        answer.insert("results".to_owned(), data);
    }
    let wanted = asked.flag("return_documents") == Some(true);
    let results = answer.get_mut("results")?.as_array_mut()?;
    let missing = wanted && results.iter().any(|result| !result.get("document").is_some_and(Value::is_object));
    if missing {
        let documents = documents(asked);
        for result in results.iter_mut().filter_map(Value::as_object_mut) {
            let index = result.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
            if let Some(document) = index.and_then(|index| documents.get(index)) {
                result.insert("document".to_owned(), json!({"text": text(document)}));
            }
        }
    }
    (renamed || missing).then(|| Value::Object(answer).to_string().into_bytes())
}

fn documents(asked: &Envelope) -> Vec<Value> {
    asked.raw("documents").and_then(|raw| serde_json::from_slice(raw).ok()).unwrap_or_default()
}

/// The text of a document, which may be an object that holds it.
fn text(document: &Value) -> &str {
    document.as_str().or_else(|| document.get("text")?.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = r#"{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1,"return_documents":true}"#;

    fn asked() -> Envelope {
        Envelope::read(ASKED.into()).unwrap()
    }

    fn sent(wire: RerankWire) -> Value {
        let mut edits = Edits::new();
        edit(&mut edits, &asked(), wire);
        serde_json::from_slice(&asked().splice(&edits).unwrap().concat()).unwrap()
    }

    #[test]
    fn each_provider_is_asked_in_its_words() {
        assert_eq!(sent(RerankWire::Jina), serde_json::from_str::<Value>(ASKED).unwrap());
        assert_eq!(sent(RerankWire::Cohere), json!({"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 1}));
        assert_eq!(sent(RerankWire::Voyage)["top_k"], 1);
        assert_eq!(sent(RerankWire::Voyage)["top_n"], Value::Null);
    }

    #[test]
    fn the_answer_is_the_same_whoever_gives_it() {
        let results = json!([{"index": 1, "relevance_score": 0.9}]);
        let expected = json!([{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]);
        for (wire, name) in
            [(RerankWire::Jina, "results"), (RerankWire::Cohere, "results"), (RerankWire::Voyage, "data")]
        {
            let read: Value = serde_json::from_slice(&answer(json!({name: results}), &asked(), wire).unwrap()).unwrap();
            assert_eq!(read, json!({"results": expected}), "{wire:?}");
        }
        assert_eq!(answer(json!({"results": expected}), &asked(), RerankWire::Jina), None, "unchanged bytes pass");
    }
}
