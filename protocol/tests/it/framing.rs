//! Framing of recorded streams: what is in them (at every split: `resplit`).

use myelin_protocol::framing::Framing;

use crate::support::fixtures::{self, BodyKind};
use crate::support::streams::frames;

#[test]
fn recorded_streams_are_frames_of_json() {
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
        for (_, _, data) in &whole {
            let is_json = serde_json::from_slice::<serde_json::Value>(data).is_ok();
            assert!(is_json || data == b"[DONE]", "{}: {}", case.id, String::from_utf8_lossy(data));
        }
    }
}
