//! What is fuzzed: every way in which foreign bytes come into the crate. Shared by the fuzz targets and by a plain test that feeds mutated traffic.
//!
//! The first bytes choose the formats, the rest is the traffic. A fault is a panic: one of the crate's, or one of the assertions here.

use bytes::Bytes;
use myelin_protocol::drive::{DriveState, StreamDriver};
use myelin_protocol::envelope::{Edits, Envelope, Head, Splicer};
use myelin_protocol::format::AddressHints;
use myelin_protocol::formats::embeddings::{EmbeddingFormat, EmbeddingReply};
use myelin_protocol::formats::{anthropic_messages, gemini, ollama, openai_responses};
use myelin_protocol::framing::{Framing, FramingError, Reader};
use myelin_protocol::lower::{NameMap, lower};
use myelin_protocol::tap::{StreamTap, TapState};
use myelin_protocol::{ApiFormat, Dialect, ReplyContext, answer, fold, laws, tokens};

fn format(choice: u8) -> ApiFormat {
    ApiFormat::ALL[usize::from(choice) % ApiFormat::ALL.len()]
}

/// A provider's stream to a client: decoder, laws, names, encoder, tap.
pub fn streams(data: &[u8]) {
    let [from, to, size, bytes @ ..] = data else { return };
    let (upstream, client) = (format(*from), format(*to));
    let dialect = Dialect { think_tags: size & 1 == 1, no_done: size & 2 == 2, ..Dialect::default() };
    let context = || ReplyContext { model: "m".into(), id: "0123456789abcdef".into(), ..ReplyContext::default() };
    let drive = |size: usize| {
        let mut driver = StreamDriver::new(upstream, &dialect, NameMap::default(), client, context()).folding();
        let mut out = Vec::new();
        bytes.chunks(size).for_each(|piece| driver.feed(piece, &mut out));
        driver.finish(&mut out);
        assert_eq!(driver.broken_law(), None, "{upstream} → {client}");
        assert!(driver.is_over(), "{upstream} → {client}: {:?}", driver.state());
        assert!(driver.committed() || out.is_empty(), "{upstream} → {client}: written before content");
        assert_eq!(driver.folded().is_some_and(|folded| folded.complete), driver.state() == DriveState::Ended);
        out
    };
    let whole = drive(bytes.len().max(1));
    assert!(drive(usize::from(*size).max(1)) == whole, "{upstream} → {client}: split matters");

    let mut tap = StreamTap::new(upstream, &dialect);
    let mut out = Vec::new();
    let fed = bytes
        .chunks(usize::from(*size).max(1))
        .try_for_each(|piece| tap.feed(&Bytes::copy_from_slice(piece), &mut out));
    tap.finish(&mut out);
    assert!(fed.is_err() || out.concat() == bytes, "{upstream}: the tap changed bytes");
    assert!(tap.committed() || tap.state() != TapState::Content);
}

/// Requests, answers, errors, counters and lists, and what is written of them for another format.
pub fn bodies(data: &[u8]) {
    let [from, to, body @ ..] = data else { return };
    let (source, target) = (format(*from), format(*to));
    let (dialect, codec) = (Dialect::default(), source.codec());
    let context = ReplyContext { model: "m".into(), id: "0123456789abcdef".into(), ..ReplyContext::default() };
    if let Ok(request) = codec.decode_request(body, AddressHints::default()) {
        let _ = tokens::estimate(&request);
        let lowered = lower(request, target, &dialect);
        if let Ok(encoded) = target.codec().encode_request(&lowered.request, &dialect) {
            assert!(serde_json::from_slice::<serde_json::Value>(&encoded.value).is_ok(), "{source} → {target}");
        }
    }
    if let Ok(response) = answer::read(source, body, &dialect) {
        let encoded = target.codec().encode_response(&response, &context);
        assert!(serde_json::from_slice::<serde_json::Value>(&encoded.value).is_ok(), "{source} → {target}");
        let events = fold::unfold(response);
        assert_eq!(laws::check(&events), Ok(()));
        let mut encoder = target.codec().stream_encoder(context);
        let mut out = Vec::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
    }
    let error = codec.decode_error(500, body);
    assert!(error.message.len() <= 64 * 1024, "{source}: {} bytes of message", error.message.len());
    let _ = target.codec().encode_error(&error);
    let _ = answer::facts(source, &Bytes::copy_from_slice(body), &dialect);
    if let Ok(models) = codec.decode_models(body) {
        let _ = target.codec().encode_models(&models);
    }
}

/// What stands beside the conversations: vectors, counters, stored answers, compaction, catalogs.
pub fn sides(data: &[u8]) {
    let [from, to, body @ ..] = data else { return };
    let pick = |choice: u8| EmbeddingFormat::ALL[usize::from(choice) % EmbeddingFormat::ALL.len()].codec();
    let (source, target, dialect) = (pick(*from), pick(*to), Dialect::default());
    let hints = || AddressHints { model: Some("m"), stream: Some(false) };
    let request = source.client().and_then(|client| client.decode_request(body, hints()).ok());
    if let Some(Ok(encoded)) = request.as_ref().map(|request| target.encode_request(request, &dialect)) {
        assert!(serde_json::from_slice::<serde_json::Value>(&encoded.value).is_ok());
    }
    if let (Ok(response), Some(client)) = (source.decode_response(body), target.client()) {
        let asked = client.decode_request(br#"{"model":"m","input":["a","b"]}"#, hints());
        if let Some(request) = request.or(asked.ok()) {
            let _ = client.encode_response(&response, EmbeddingReply { model: "m", request: &request });
        }
    }
    let _ = anthropic_messages::decode_count_response(body);
    let _ = gemini::decode_count_response(body);
    let _ = openai_responses::input_tokens::decode(body);
    let _ = openai_responses::compact::decode(body);
    let _ = ollama::decode_show_request(body);
    if let Ok(request) = gemini::decode_count_request(body, hints()) {
        let _ = tokens::estimate(&request);
    }
    stored(body);
}

/// A stored conversation that the bytes continue, or are.
fn stored(body: &[u8]) {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let input = openai_responses::stored::input_items(body, "token").unwrap_or_default();
    let chain = [openai_responses::stored::StoredResponse { input, response: value }];
    let _ = openai_responses::stored::previous_response_id(body);
    let _ = openai_responses::stored::continue_from(&chain, body);
    let page = openai_responses::stored::Page { after: None, limit: Some(2), ascending: true };
    let page = openai_responses::stored::encode_input_items(&chain, &page);
    assert!(serde_json::from_slice::<serde_json::Value>(&page).is_ok());
    let _ = openai_responses::stored::replay(&chain[0].response, None);
}

/// The framings: the same frames however the bytes arrive.
pub fn framings(data: &[u8]) {
    let [size, bytes @ ..] = data else { return };
    for framing in [Framing::Sse, Framing::NdJson, Framing::AwsEventStream] {
        let whole = frames(framing, bytes.chunks(bytes.len().max(1)));
        assert_eq!(frames(framing, bytes.chunks(usize::from(*size).max(1))), whole, "{framing:?}");
        assert_eq!(frames(framing, bytes.chunks(1)), whole, "{framing:?}");
    }
}

type Owned = (Option<String>, bool, Vec<u8>);

fn frames<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Owned>, Option<FramingError>) {
    let owned = |frame: myelin_protocol::framing::Frame<'_>| {
        (frame.event.map(str::to_owned), frame.exception, frame.data.to_vec())
    };
    let mut reader = Reader::with_limit(framing, 1 << 20);
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = piece;
        loop {
            match reader.next(&mut input) {
                Ok(Some(frame)) => found.push(owned(frame)),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    match reader.finish() {
        Ok(last) => found.extend(last.map(owned)),
        Err(error) => return (found, Some(error)),
    }
    (found, None)
}

/// The look into bodies, and the edits: whole and in pieces alike, and always JSON where it was JSON.
pub fn envelope(data: &[u8]) {
    let [size, body @ ..] = data else { return };
    let size = usize::from(*size).max(1);
    let bytes = Bytes::copy_from_slice(body);
    let mut edits = Edits::new();
    edits.model("other").include_usage().remove("a").rename("max_tokens", "n").set_default("d", &serde_json::json!(1));
    let whole = Envelope::read(bytes.clone()).and_then(|envelope| {
        let mut head = Head::new();
        body.chunks(size).try_for_each(|chunk| head.feed(chunk)).unwrap();
        assert!(head.is_whole());
        if envelope.model().is_some_and(|model| model.len() < 1024) {
            assert_eq!(envelope.model(), head.model());
        }
        envelope.splice(&edits).map(|out| out.concat())
    });
    let mut splicer = Splicer::new(edits.clone());
    let mut out = Vec::new();
    let pieces = body
        .chunks(size)
        .try_for_each(|chunk| splicer.feed(&Bytes::copy_from_slice(chunk), &mut out))
        .and_then(|()| splicer.finish())
        .map(|()| out.concat());
    if body.len() < 60_000 {
        // Which of two faults is told first depends on the road.
        assert_eq!(pieces.as_ref().ok(), whole.as_ref().ok(), "{pieces:?} {whole:?}");
    }
    if let (Ok(serde_json::Value::Object(_)), Ok(edited)) = (serde_json::from_slice(body), &whole) {
        let edited: serde_json::Value = serde_json::from_slice(edited).unwrap();
        assert_eq!(edited["model"], "other");
    }
}
