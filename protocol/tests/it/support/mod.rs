//! What several tests share: recorded traffic, splits, and one way to run a stream decoder.

use myelin_protocol::framing::Framing;

pub mod apis;
pub mod findings;
pub mod fixtures;
pub mod gist;
pub mod golden;
pub mod splits;
pub mod streams;

#[test]
fn every_recorded_case_tells_what_it_is() {
    let cases = fixtures::cases(&["openai/chat-completions", "bedrock/converse"]);
    for case in &cases {
        assert!(case.url().is_empty() || case.url().starts_with("http"), "{}: {}", case.id, case.url());
        assert!((200..600).contains(&case.status()), "{}", case.id);
        let (bytes, kind) = case.response().unwrap();
        assert_eq!(case.body(kind), Some(bytes), "{}", case.id);
        assert_eq!(case.id.rsplit_once('/').unwrap().0, case.api);
    }
    assert!(cases.is_empty() || cases.iter().any(|case| case.exercises("stream") && case.request().is_some()));
    assert!(cases.is_empty() || cases.iter().any(|case| !case.model().is_empty()));
}

#[test]
fn pieces_of_a_split_make_up_the_whole() {
    let bytes: Vec<u8> = (0..40_000u32).map(|n| if n % 97 == 0 { b'\n' } else { b'x' }).collect();
    let cuts = splits::two_way_cuts(&bytes, Framing::NdJson);
    assert!(cuts.len() > 500 && cuts.is_sorted());
    assert_eq!(splits::cut_at(&bytes, &cuts).concat(), bytes);
    let _: fn(_, &_, &[&[u8]]) -> _ = streams::decode;
}
