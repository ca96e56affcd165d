//! What a host that only copies a wire is sent of a request in another format: the core of the wire, and what the host is known to take beyond.
//!
//! A caller that speaks the wire itself says what it means and keeps every field. A caller of another format does not know which wire its request ends up on: what its
//! own format has as a matter of course (Codex sends `store` and `prompt_cache_key` with every request) would be refused by strict hosts.

use crate::ApiFormat;
use crate::dialect::Dialect;
use crate::ir::{ChatRequest, Loss};

/// One field beyond the core.
struct Beyond {
    /// Its name on the wire.
    name: &'static str,
    /// The wires on which only the inventor has it.
    on: &'static [ApiFormat],
    /// Takes it out; whether that changes what the caller gets.
    take: fn(&mut ChatRequest) -> bool,
}

use ApiFormat::{OpenaiChat as Chat, OpenaiCompletions as Completions, OpenaiResponses as Responses};

const BEYOND: [Beyond; 5] = [
    Beyond { name: "verbosity", on: &[Chat, Responses], take: |request| request.verbosity.take().is_some() },
    Beyond {
        name: "prompt_cache_key",
        on: &[Chat, Completions, Responses],
        take: |request| request.cache_key.take().is_some(),
    },
    Beyond {
        name: "service_tier",
        on: &[Chat, Completions, Responses],
        take: |request| request.service_tier.take().is_some_and(|tier| !matches!(tier.as_str(), "auto" | "default")),
    },
    // Whoever copies Responses copies its store. Where nothing is kept, `store: false` is no wish that was refused.
    Beyond { name: "store", on: &[Chat, Completions], take: |request| request.store.take() == Some(true) },
    Beyond { name: "metadata", on: &[Chat, Completions, Responses], take: |request| request.metadata.take().is_some() },
];

/// Takes out what a host that did not invent `target` need not know, and says what is lost by it.
pub fn core_only(request: &mut ChatRequest, target: ApiFormat, dialect: &Dialect) -> Vec<Loss> {
    let unknown = BEYOND
        .iter()
        .filter(|field| field.on.contains(&target) && !dialect.knows.iter().any(|known| known == field.name));
    let lost = unknown.filter(|field| (field.take)(request));
    lost.map(|field| Loss::new(field.name, target, "is not known to this host")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn asked() -> ChatRequest {
        ChatRequest {
            model: "m".into(),
            verbosity: Some("low".into()),
            cache_key: Some("k".into()),
            service_tier: Some("flex".into()),
            store: Some(false),
            metadata: Some(Map::new()),
            user: Some("u".into()),
            ..ChatRequest::default()
        }
    }

    fn sent(mut request: ChatRequest, target: ApiFormat, dialect: &Dialect) -> (Map<String, Value>, Vec<String>) {
        let losses = core_only(&mut request, target, dialect);
        let body = target.codec().encode_request(&request, dialect).unwrap().value;
        let fields = serde_json::from_slice(&body).unwrap();
        (fields, losses.into_iter().map(|loss| loss.field.into_owned()).collect())
    }

    #[test]
    fn a_host_that_copies_chat_gets_the_core_of_it() {
        let (body, losses) = sent(asked(), Chat, &Dialect::default());
        assert_eq!(Value::Object(body), json!({"model": "m", "messages": [], "user": "u"}));
        // `store: false` is what such a host does anyway.
        assert_eq!(losses, ["verbosity", "prompt_cache_key", "service_tier", "metadata"]);
    }

    #[test]
    fn what_a_host_is_known_to_take_stays() {
        let host = Dialect { knows: vec!["prompt_cache_key".into(), "verbosity".into()], ..Dialect::default() };
        let (body, losses) = sent(asked(), Chat, &host);
        assert_eq!((&body["prompt_cache_key"], &body["verbosity"]), (&json!("k"), &json!("low")));
        assert_eq!(losses, ["service_tier", "metadata"]);
    }

    #[test]
    fn the_store_of_responses_stays_and_its_refusal_on_chat_is_told() {
        let (body, _) = sent(asked(), Responses, &Dialect::default());
        assert_eq!(body["store"], false);
        assert!(!body.contains_key("prompt_cache_key") && !body.contains_key("service_tier"), "{body:?}");
        let (_, losses) = sent(ChatRequest { store: Some(true), ..asked() }, Chat, &Dialect::default());
        assert!(losses.contains(&"store".to_owned()));
    }

    #[test]
    fn other_wires_are_left_alone() {
        let mut request = asked();
        assert!(core_only(&mut request, ApiFormat::AnthropicMessages, &Dialect::default()).is_empty());
        assert_eq!(request, asked());
    }
}
