//! Recorded legacy completions.

use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::{ApiFormat, Dialect};
use serde_json::Value;

use crate::support::fixtures::{BodyKind, cases};

#[test]
fn every_recorded_completion_is_read_and_survives_a_round_trip() {
    let codec = ApiFormat::OpenaiCompletions.codec();
    for case in cases(&["openai/completions", "vllm/completions"]) {
        let body = case.body(BodyKind::Json).unwrap();
        let raw: Value = serde_json::from_slice(&body).unwrap();
        let response = codec.decode_response(&body, &Dialect::default()).unwrap();
        let text = response.choices[0].parts[0].as_text();
        assert_eq!(text, raw["choices"][0]["text"].as_str(), "{}", case.id);
        let usage = response.usage.clone().unwrap();
        assert_eq!(
            (usage.input, usage.output),
            (raw["usage"]["prompt_tokens"].as_u64(), raw["usage"]["completion_tokens"].as_u64())
        );
        let context = ReplyContext { model: raw["model"].as_str().unwrap().into(), ..ReplyContext::default() };
        let written = codec.encode_response(&response, &context);
        assert_eq!(written.losses, [], "{}", case.id);
        assert_eq!(codec.decode_response(&written.value, &Dialect::default()).unwrap(), response, "{}", case.id);

        let sent = case.request().unwrap();
        let request = codec.decode_request(&sent, AddressHints::default()).unwrap();
        let written = codec.encode_request(&request, &Dialect::default()).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&written.value).unwrap(),
            serde_json::from_slice::<Value>(&sent).unwrap()
        );
    }
}
