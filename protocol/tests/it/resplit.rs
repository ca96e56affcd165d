//! Every stream there is, recorded and our own, cut in every way a network may cut it: the same events, the same bytes for every client, and never an
//! end where the provider's terminal did not arrive.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use myelin_protocol::drive::{DriveState, StreamDriver};
use myelin_protocol::fold::{Folded, fold};
use myelin_protocol::framing::{Frame, Reader};
use myelin_protocol::ir::StreamEvent;
use myelin_protocol::lower::NameMap;
use myelin_protocol::{ApiFormat, Dialect, ReplyContext, StreamDecoder};
use serde_json::Value;

use crate::support::apis;
use crate::support::findings::{Findings, ensure};
use crate::support::golden;
use crate::support::splits;
use crate::support::streams::{self, frames};

/// A stream with the way to read it.
struct Source {
    id: String,
    format: ApiFormat,
    dialect: Dialect,
    bytes: Vec<u8>,
}

fn sources() -> Vec<Source> {
    let recorded = apis::streams().into_iter().map(|stream| Source {
        id: stream.case.id,
        format: stream.format,
        dialect: stream.dialect,
        bytes: stream.bytes,
    });
    let own = golden::cases().into_iter().filter_map(|case| {
        let id = format!("{}.{}", case.format, case.name);
        Some(Source { id, format: case.format, dialect: Dialect::default(), bytes: case.stream? })
    });
    recorded.chain(own).collect()
}

type Outcome = Result<(), String>;

/// Runs `check` over every source on every core.
fn on_every_source(check: impl Fn(&Source, &mut Findings) + Sync) {
    let sources = sources();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Findings::default()));
    let work = || {
        let mut own = Findings::default();
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            check(source, &mut own);
        }
        found.lock().unwrap().add(own);
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap().report();
}

/// Every cut is compared by its frames, which are all that a decoder sees of the bytes; the events are compared where no piece is longer than a byte.
#[test]
fn case_13_every_split_of_every_stream_gives_the_same_events() {
    on_every_source(|source, findings| {
        let framing = source.format.codec().framing();
        let whole = frames(framing, &[&source.bytes]);
        for cut in splits::two_way_cuts(&source.bytes, framing) {
            let same = frames(framing, &splits::cut_at(&source.bytes, &[cut])) == whole;
            findings.take(same.then_some(()).ok_or_else(|| format!("{}: cut at {cut}", source.id)));
        }
        let single: Vec<&[u8]> = source.bytes.chunks(1).collect();
        let decode = |pieces: &[&[u8]]| streams::decode(source.format, &source.dialect, pieces);
        let same = decode(&single) == decode(&[&source.bytes]) && frames(framing, &single) == whole;
        findings.take(same.then_some(()).ok_or_else(|| format!("{}: byte by byte", source.id)));
    });
}

fn driven(source: &Source, target: ApiFormat, pieces: &[&[u8]]) -> (Vec<u8>, StreamDriver) {
    let context = ReplyContext {
        model: "asked-for".into(),
        id: "0123456789abcdef".into(),
        include_usage: true,
        ..ReplyContext::default()
    };
    let mut driver = StreamDriver::new(source.format, &source.dialect, NameMap::default(), target, context);
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| driver.feed(piece, &mut out));
    driver.finish(&mut out);
    (out, driver)
}

#[test]
fn case_13_every_client_sees_the_same_bytes_however_a_stream_arrives() {
    on_every_source(|source, findings| {
        for target in ApiFormat::ALL {
            let (whole, driver) = driven(source, target, &[&source.bytes]);
            let pieces: Vec<&[u8]> = source.bytes.chunks(1).collect();
            let same = driven(source, target, &pieces).0 == whole && driver.broken_law().is_none();
            findings.take(same.then_some(()).ok_or_else(|| format!("{} → {target}", source.id)));
        }
    });
}

/// Whether a frame is its format's terminal, or reports a failure, by what the wire says.
fn is_terminal(source: &Source, frame: &Frame<'_>) -> bool {
    let value: Value = serde_json::from_slice(frame.data).unwrap_or_default();
    let (kind, event) = (value["type"].as_str().unwrap_or_default(), value["event"].as_str().unwrap_or_default());
    let said = |pointer: &str| value.pointer(pointer).is_some_and(|value| !value.is_null());
    if frame.exception || said("/error") {
        return true;
    }
    match source.format {
        ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions => {
            frame.data == b"[DONE]" || (source.dialect.no_done && said("/choices/0/finish_reason"))
        }
        ApiFormat::OpenaiResponses => {
            matches!(kind, "response.completed" | "response.incomplete" | "response.failed" | "error")
        }
        ApiFormat::AnthropicMessages => matches!(kind, "message_stop" | "error"),
        ApiFormat::Gemini => said("/candidates/0/finishReason") || said("/promptFeedback/blockReason"),
        ApiFormat::BedrockConverse => frame.event == Some("metadata"),
        ApiFormat::OllamaChat | ApiFormat::OllamaGenerate => value["done"] == true,
        ApiFormat::Dify => matches!(event, "message_end" | "workflow_finished" | "error"),
    }
}

/// Where the frames before the terminal end, and the last place at which a cut leaves the terminal incomplete.
fn before_the_terminal(source: &Source) -> (Vec<usize>, usize) {
    let mut reader = Reader::new(source.format.codec().framing());
    let mut input = source.bytes.as_slice();
    let mut ends = vec![0];
    while let Some(frame) = reader.next(&mut input).unwrap() {
        let terminal = is_terminal(source, &frame);
        let end = source.bytes.len() - input.len();
        if terminal {
            let frame = &source.bytes[*ends.last().unwrap()..end];
            let text = source.format != ApiFormat::BedrockConverse;
            let written = if text { frame.trim_ascii_end().len() } else { frame.len() };
            return (ends.clone(), ends.last().unwrap() + written - 1);
        }
        ends.push(end);
    }
    let last = *ends.last().unwrap();
    (ends, last)
}

/// The stream's frames up to `end`, decoded; and what is torn there.
struct Cut<'a> {
    decoder: Box<dyn StreamDecoder>,
    events: Vec<StreamEvent>,
    torn: &'a [u8],
}

impl Cut<'_> {
    fn at(source: &Source, end: usize, cut: usize) -> Cut<'_> {
        let codec = source.format.codec();
        let (mut reader, mut input) = (Reader::new(codec.framing()), &source.bytes[..end]);
        let (mut decoder, mut events) = (codec.stream_decoder(&source.dialect), Vec::new());
        while let Some(frame) = reader.next(&mut input).unwrap() {
            decoder.feed(&frame, &mut events).unwrap();
        }
        Cut { decoder, events, torn: &source.bytes[end..cut] }
    }

    /// Feeds what is torn, if it makes a frame at all; whether the decoder took it.
    fn feed_torn(&mut self, source: &Source) -> bool {
        let mut reader = Reader::new(source.format.codec().framing());
        let mut input = self.torn;
        // A frame may be whole a byte before its end: at CR LF CR.
        if let Some(frame) = reader.next(&mut input).unwrap() {
            return self.decoder.feed(&frame, &mut self.events).is_ok();
        }
        let Ok(Some(frame)) = reader.finish() else { return false };
        self.decoder.feed(&frame, &mut self.events).is_ok()
    }

    fn never_ends(mut self, source: &Source) -> Outcome {
        self.decoder.finish(&mut self.events);
        ensure!(!self.events.contains(&StreamEvent::End), "{}: an end after {:?}", source.id, self.torn);
        ensure!(!fold(self.events).complete, "{}: complete after {:?}", source.id, self.torn);
        Ok(())
    }
}

/// A torn frame that the decoder refuses leaves nothing behind, so all of one frame's cuts share a decoder; one that it takes (its JSON is whole) is a cut
/// of its own.
#[test]
fn a_stream_cut_at_any_byte_before_its_terminal_has_no_end() {
    on_every_source(|source, findings| {
        let (ends, last) = before_the_terminal(source);
        let bounds = ends.iter().skip(1).chain([&last]);
        for (start, end) in ends.iter().zip(bounds) {
            let mut shared = Cut::at(source, *start, *start);
            // A frame of many kilobytes is a picture or a signature: its ends and some places inside.
            let step = ((end - start) / 4096).max(1);
            for cut in (*start..=*end).filter(|cut| cut % step == 0 || cut + 64 > *end) {
                if cut == *end && *end != last {
                    continue;
                }
                shared.torn = &source.bytes[*start..cut];
                if shared.feed_torn(source) {
                    findings.take(shared.never_ends(source));
                    shared = Cut::at(source, *start, *start);
                }
            }
            shared.torn = &[];
            findings.take(shared.never_ends(source));
        }
    });
}

/// Reads back what was written for a client.
fn read_back(target: ApiFormat, out: &[u8]) -> Folded {
    fold(streams::decode(target, &Dialect::default(), &[out]))
}

fn is_told_as_a_failure(source: &Source, target: ApiFormat, cut: usize) -> Outcome {
    let what = format!("{} cut at {cut} → {target}", source.id);
    let (out, driver) = driven(source, target, &[&source.bytes[..cut]]);
    ensure!(driver.state() == DriveState::Failed, "{what}: {:?}", driver.state());
    if !driver.committed() {
        ensure!(out.is_empty(), "{what}: written before the answer began");
        return Ok(());
    }
    let back = read_back(target, &out);
    ensure!(back.error.is_some() && !back.complete, "{what}: {back:?}");
    Ok(())
}

#[test]
fn every_client_is_told_of_a_cut_after_any_frame_before_the_terminal() {
    on_every_source(|source, findings| {
        let (ends, last) = before_the_terminal(source);
        // Of long streams every boundary near both ends and some in the middle: all of them take time in the square of the length.
        let step = if source.bytes.len() <= 16 * 1024 { 1 } else { ends.len().div_ceil(24) };
        let near = |at: usize| at < 12 || at + 12 > ends.len() || at.is_multiple_of(step);
        let cuts = ends.iter().enumerate().filter(|(at, _)| near(*at)).map(|(_, end)| *end);
        let cuts: Vec<usize> = cuts.chain([last]).collect();
        for target in ApiFormat::ALL {
            for cut in cuts.iter().copied() {
                findings.take(is_told_as_a_failure(source, target, cut));
            }
        }
    });
}
