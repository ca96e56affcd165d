//! Running a provider's stream decoder over bytes.

use myelin_protocol::framing::{Frame, Framing, Reader};
use myelin_protocol::ir::StreamEvent;
use myelin_protocol::{ApiFormat, Dialect};

/// The events of a stream that arrives in `pieces`. Panics on corrupt frames: for traffic that must be understood.
pub fn decode(format: ApiFormat, dialect: &Dialect, pieces: &[&[u8]]) -> Vec<StreamEvent> {
    let codec = format.codec();
    let mut reader = Reader::new(codec.framing());
    let mut decoder = codec.stream_decoder(dialect);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(frame) = reader.next(&mut input).unwrap() {
            decoder.feed(&frame, &mut events).unwrap();
        }
    }
    if let Some(frame) = reader.finish().unwrap() {
        decoder.feed(&frame, &mut events).unwrap();
    }
    decoder.finish(&mut events);
    events
}

/// A frame's event name, whether it is an exception, and its data.
pub type OwnedFrame = (Option<String>, bool, Vec<u8>);

/// The frames of a stream that arrives in `pieces`. Panics on bytes that are no frames.
pub fn frames(framing: Framing, pieces: &[&[u8]]) -> Vec<OwnedFrame> {
    let owned = |frame: Frame<'_>| (frame.event.map(str::to_owned), frame.exception, frame.data.to_vec());
    let mut reader = Reader::new(framing);
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(frame) = reader.next(&mut input).unwrap() {
            found.push(owned(frame));
        }
    }
    found.extend(reader.finish().unwrap().map(owned));
    found
}
