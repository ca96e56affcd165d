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
        cut_around_every_frame(&case.id, framing, &bytes, &whole);
    }
}

/// Between two frames a reader holds nothing, so two frames at a time are enough: cut in two at every byte of the first.
fn cut_around_every_frame(id: &str, framing: Framing, bytes: &[u8], whole: &[(Option<String>, Vec<u8>)]) {
    let mut reader = Reader::new(framing);
    let mut input = bytes;
    let mut starts = vec![0];
    while reader.next(&mut input).unwrap().is_some() {
        starts.push(bytes.len() - input.len());
    }
    for (at, start) in starts.iter().enumerate() {
        let window = &bytes[*start..*starts.get(at + 2).unwrap_or(&bytes.len())];
        let expected = &whole[at..(at + 2).min(whole.len())];
        let first = starts.get(at + 1).map_or(window.len(), |end| end - start);
        let cuts = splits::two_way_cuts(&window[..first]);
        // A frame of hundreds of kilobytes is an image: its ends and some places inside.
        let step = if first > 4096 { first / 512 } else { 1 };
        for cut in cuts.into_iter().filter(|cut| *cut < 64 || cut + 64 > first || cut % step == 0) {
            assert!(frames(framing, &splits::cut_at(window, &[cut])) == expected, "{id}: frame {at} cut at {cut}");
        }
    }
}
