//! The usage tap on recorded streams: it must see what a full decode sees, and bytes must pass.

use bytes::Bytes;
use myelin_protocol::fold::{Folded, fold};
use myelin_protocol::framing::Reader;
use myelin_protocol::ir::StreamEvent;
use myelin_protocol::tap::{StreamTap, TapState};

use crate::support::apis::{self, Stream};
use crate::support::splits::{self, Seed};
use crate::support::streams;

struct Tapped {
    tap: StreamTap,
    out: Vec<u8>,
    /// Bytes that had been fed when the answer began.
    committed_at: Option<usize>,
}

fn tapped(stream: &Stream, pieces: &[&[u8]], hide_usage: bool) -> Tapped {
    let mut tap = StreamTap::new(stream.format, &stream.dialect);
    if hide_usage {
        tap = tap.hide_usage();
    }
    let mut out = Vec::new();
    let (mut fed, mut committed_at) = (0, None);
    for piece in pieces {
        tap.feed(&Bytes::copy_from_slice(piece), &mut out).unwrap();
        fed += piece.len();
        if tap.committed() && committed_at.is_none() {
            committed_at = Some(fed);
        }
    }
    tap.finish(&mut out);
    Tapped { tap, out: out.concat(), committed_at }
}

/// The pieces in which each frame ends one.
fn frame_pieces(stream: &Stream) -> Vec<&[u8]> {
    let mut reader = Reader::new(stream.format.codec().framing());
    let mut input = stream.bytes.as_slice();
    let mut cuts = Vec::new();
    while reader.next(&mut input).unwrap().is_some() {
        cuts.push(stream.bytes.len() - input.len());
    }
    splits::cut_at(&stream.bytes, &cuts)
}

fn agree(stream: &Stream, tapped: &Tapped, full: &Folded, how: &str) {
    let id = format!("{} {how}", stream.case.id);
    let tap = &tapped.tap;
    assert_eq!(tap.usage(), full.response.usage.as_ref(), "{id}: usage");
    assert_eq!(tap.finish_reason(), full.response.first().and_then(|choice| choice.finish.as_ref()), "{id}: finish");
    assert_eq!(tap.error(), full.error.as_ref(), "{id}: error");
    assert_eq!(tap.state() == TapState::Ended, full.complete, "{id}: {:?}", tap.state());
    assert_eq!(tap.state() == TapState::Failed, full.error.is_some(), "{id}: {:?}", tap.state());
    assert_eq!(tap.response_id(), full.response.id.as_deref(), "{id}: id");
}

#[test]
fn case_14_case_37_the_tap_sees_what_a_full_decode_sees_and_all_bytes_pass() {
    for stream in apis::streams() {
        let full = fold(streams::decode(stream.format, &stream.dialect, &[&stream.bytes]));
        let mut seed = Seed::new(stream.bytes.len() as u64);
        let mut random: Vec<usize> = (0..20).map(|_| seed.below(stream.bytes.len() + 1)).collect();
        random.sort_unstable();
        let ways = [
            ("whole", vec![stream.bytes.as_slice()]),
            ("frame by frame", frame_pieces(&stream)),
            ("byte by byte", stream.bytes.chunks(1).collect()),
            ("at random", splits::cut_at(&stream.bytes, &random)),
        ];
        for (how, pieces) in ways {
            let tapped = tapped(&stream, &pieces, false);
            agree(&stream, &tapped, &full, how);
            assert!(tapped.out == stream.bytes, "{} {how}: bytes changed", stream.case.id);
        }
    }
}

#[test]
fn the_commit_point_is_the_frame_with_the_first_content() {
    for stream in apis::streams() {
        let codec = stream.format.codec();
        let mut reader = Reader::new(codec.framing());
        let mut decoder = codec.stream_decoder(&stream.dialect);
        let mut input = stream.bytes.as_slice();
        let mut first = None;
        while let Some(frame) = reader.next(&mut input).unwrap() {
            let mut events = Vec::new();
            decoder.feed(&frame, &mut events).unwrap();
            if first.is_none() && events.iter().any(|event| event.is_content() || *event == StreamEvent::End) {
                first = Some(stream.bytes.len() - input.len());
            }
        }
        let tapped = tapped(&stream, &frame_pieces(&stream), false);
        assert_eq!(tapped.committed_at, first, "{}", stream.case.id);
    }
}

#[test]
fn case_20_the_frame_of_nothing_but_usage_is_hidden_and_nothing_else() {
    let mut hidden = 0;
    for stream in apis::streams() {
        let full = fold(streams::decode(stream.format, &stream.dialect, &[&stream.bytes]));
        let pieces = frame_pieces(&stream);
        let expected: Vec<u8> = pieces.iter().filter(|frame| !is_usage_alone(frame)).flat_map(|f| f.to_vec()).collect();
        hidden += usize::from(expected.len() < stream.bytes.len());
        for pieces in [
            pieces.clone(),
            vec![&stream.bytes[..]],
            stream.bytes.chunks(1).collect(),
            stream.bytes.chunks(37).collect(),
        ] {
            let tapped = tapped(&stream, &pieces, true);
            agree(&stream, &tapped, &full, "hidden");
            assert!(tapped.out == expected, "{}: {}", stream.case.id, String::from_utf8_lossy(&tapped.out));
        }
    }
    assert!(hidden > 0 || apis::streams().is_empty());
}

fn is_usage_alone(frame: &[u8]) -> bool {
    let text = String::from_utf8_lossy(frame);
    let Some(json) = text.lines().find_map(|line| line.strip_prefix("data:")) else { return false };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(json) else { return false };
    value["choices"].as_array().is_some_and(Vec::is_empty) && value["usage"].is_object()
}

#[test]
fn comments_and_keep_alives_reach_a_client_at_once_even_where_usage_is_hidden() {
    if !apis::is_there(myelin_protocol::ApiFormat::OpenaiChat) {
        return;
    }
    let mut tap = StreamTap::new(myelin_protocol::ApiFormat::OpenaiChat, &Default::default()).hide_usage();
    let mut out = Vec::new();
    for piece in
        [": PROCESSING\n", "\n", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n: x\n\n"]
    {
        tap.feed(&Bytes::from_static(piece.as_bytes()), &mut out).unwrap();
        assert!(out.concat().ends_with(piece.as_bytes()));
    }
    assert_eq!(tap.state(), TapState::Content);
}
