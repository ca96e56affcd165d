//! Framing of recorded streams: the same frames however the bytes arrive.

use myelin_protocol::framing::{Framing, Reader};

use crate::support::fixtures::{self, BodyKind};
use crate::support::splits;

fn frames(framing: Framing, pieces: &[&[u8]]) -> Vec<(Option<String>, Vec<u8>)> {
    let mut reader = Reader::new(framing);
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(frame) = reader.next(&mut input).unwrap() {
            found.push((frame.event.map(str::to_owned), frame.data.to_vec()));
        }
    }
    if let Some(frame) = reader.finish().unwrap() {
        found.push((frame.event.map(str::to_owned), frame.data.to_vec()));
    }
    found
}

#[test]
fn case_13_recorded_streams_give_the_same_frames_at_every_split() {
    for case in fixtures::cases(&[]) {
        let Some((bytes, kind)) = case.response() else { continue };
        let framing = match kind {
            BodyKind::Sse => Framing::Sse,
            BodyKind::NdJson => Framing::NdJson,
            BodyKind::EventStream => Framing::AwsEventStream,
            _ => continue,
        };
        let whole = frames(framing, &[&bytes]);
        assert!(!whole.is_empty(), "{}: no frame", case.id);
        for (_, data) in &whole {
            let is_json = serde_json::from_slice::<serde_json::Value>(data).is_ok();
            assert!(is_json || data == b"[DONE]", "{}: {}", case.id, String::from_utf8_lossy(data));
        }
        assert!(frames(framing, &bytes.chunks(1).collect::<Vec<_>>()) == whole, "{}: byte by byte", case.id);
        // Two pieces at every place is quadratic: small streams everywhere, large ones at the places that matter.
        let step = (bytes.len() / 4096).max(1);
        for cut in splits::two_way_cuts(&bytes).into_iter().step_by(step) {
            assert!(frames(framing, &splits::cut_at(&bytes, &[cut])) == whole, "{}: cut at {cut}", case.id);
        }
    }
}
