//! Every recorded answer to every client format: nothing that the format can carry may get lost, and nothing may get lost in silence.

use myelin_protocol::drive::{DriveState, StreamDriver};
use myelin_protocol::fold::{Folded, fold, unfold};
use myelin_protocol::framing::Reader;
use myelin_protocol::ir::{ChatResponse, Content, FinishReason, Loss, StreamEvent};
use myelin_protocol::lower::NameMap;
use myelin_protocol::{ApiError, ApiFormat, Dialect, ReplyContext, answer, laws};

use crate::support::apis::{self, Stream};
use crate::support::findings::{Findings, ensure, ensure_eq};
use crate::support::fixtures::{BodyKind, Case, cases};
use crate::support::gist::{Gist, carries};
use crate::support::streams;

fn targets() -> Vec<ApiFormat> {
    ApiFormat::ALL.into_iter().filter(|format| apis::is_there(*format)).collect()
}

fn context() -> ReplyContext {
    ReplyContext {
        model: "asked-for".into(),
        id: "0123456789abcdef".into(),
        created: 1_700_000_000,
        include_usage: true,
        ..ReplyContext::default()
    }
}

type Outcome = Result<(), String>;

struct Driven {
    out: Vec<u8>,
    driver: StreamDriver,
    losses: Vec<Loss>,
}

fn drive(stream: &Stream, target: ApiFormat, pieces: &[&[u8]]) -> Result<Driven, String> {
    let mut driver = StreamDriver::new(stream.format, &stream.dialect, NameMap::default(), target, context()).folding();
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| driver.feed(piece, &mut out));
    driver.finish(&mut out);
    let losses = driver.losses();
    ensure_eq!(driver.broken_law(), None, "{} → {target}", stream.case.id);
    Ok(Driven { out, driver, losses })
}

/// Reads back what was written for a client, as if that client's format were a provider's.
fn read_back(target: ApiFormat, out: &[u8], what: &str) -> Result<Folded, String> {
    let codec = target.codec();
    let mut reader = Reader::new(codec.framing());
    let mut decoder = codec.stream_decoder(&Dialect::default());
    let mut events = Vec::new();
    let mut input = out;
    while let Some(frame) = reader.next(&mut input).map_err(|error| format!("{what}: {error}"))? {
        let fed = decoder.feed(&frame, &mut events);
        ensure!(fed.is_ok(), "{what}: {fed:?}\n{}", String::from_utf8_lossy(frame.data));
    }
    let left = reader.finish().map_err(|error| format!("{what}: {error}"))?;
    ensure!(left.is_none(), "{what}: an unfinished frame is written");
    decoder.finish(&mut events);
    ensure_eq!(laws::check(&events), Ok(()), "{what}");
    Ok(fold(events))
}

fn compare(what: &str, source: &Gist, target: ApiFormat, back: &Gist, losses: &[Loss]) -> Outcome {
    let (expected, lost) = source.fitted(carries(target));
    ensure_eq!(expected, back.beside(source, carries(target)), "{what}");
    ensure!(!lost || !losses.is_empty(), "{what}: something was lost in silence");
    Ok(())
}

#[test]
fn every_recorded_stream_reaches_every_client() {
    let mut findings = Findings::default();
    for stream in apis::streams() {
        let source = fold(streams::decode(stream.format, &stream.dialect, &[&stream.bytes]));
        for target in targets() {
            findings.take(reaches(&stream, &source, target));
        }
    }
    findings.report();
}

fn reaches(stream: &Stream, source: &Folded, target: ApiFormat) -> Outcome {
    let what = format!("{} → {target}", stream.case.id);
    let driven = drive(stream, target, &[&stream.bytes])?;
    if driven.driver.state() == DriveState::Failed && !driven.driver.committed() {
        ensure!(driven.out.is_empty(), "{what}: written before the answer began");
        ensure!(source.error.is_some(), "{what}: {:?}", driven.driver.error());
        return Ok(());
    }
    let back = read_back(target, &driven.out, &what)?;
    compare(&what, &Gist::of_stream(source), target, &Gist::of_stream(&back), &driven.losses)
}

#[test]
fn every_recorded_stream_survives_its_own_format() {
    let mut findings = Findings::default();
    for stream in apis::streams() {
        findings.take(survives(&stream));
    }
    findings.report();
}

fn survives(stream: &Stream) -> Outcome {
    let what = format!("{} → itself", stream.case.id);
    let mut driven = drive(stream, stream.format, &[&stream.bytes])?;
    if let (true, Some(source)) = (driven.driver.committed(), driven.driver.folded()) {
        let back = read_back(stream.format, &driven.out, &what)?;
        ensure_eq!(essence(source.response), essence(back.response), "{what}");
    }
    Ok(())
}

/// An answer without what the gateway puts in place of the provider's own, and with its counters in normal form only.
fn essence(mut response: ChatResponse) -> ChatResponse {
    if let Some(usage) = &mut response.usage {
        usage.raw = None;
        // The tier that was asked for stands in for the one that answered.
        usage.service_tier = usage.service_tier.take().filter(|tier| tier != "auto");
    }
    for choice in &mut response.choices {
        let calls = choice.parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
        // Calls are told as the reason to end, whatever the provider said.
        if let Some(finish) = choice.finish.as_mut().filter(|finish| calls && finish.reason == FinishReason::Stop) {
            finish.reason = FinishReason::ToolCalls;
        }
    }
    response.model = None;
    response.id = None;
    response.created = None;
    // Padding against guessing words by lengths, which some hosts put into chunks.
    response.extras.remove("p");
    response
}

/// Recorded whole answers with the way to read them.
fn wholes() -> Vec<(Case, ApiFormat, Dialect, Vec<u8>)> {
    let answered = |case: Case| {
        let format = apis::format(&case).filter(|format| apis::is_there(*format))?;
        let bytes = case.body(BodyKind::Json).filter(|_| case.status() == 200)?;
        Some((case.clone(), format, apis::dialect(&case), bytes))
    };
    cases(&[]).into_iter().filter_map(answered).collect()
}

#[test]
fn every_recorded_answer_reaches_every_client_whole_and_as_a_stream() {
    let mut findings = Findings::default();
    for (case, format, dialect, bytes) in wholes() {
        match answer::read(format, &bytes, &dialect) {
            Ok(response) => {
                for target in targets() {
                    findings.take(whole_reaches(&case, format, &response, target));
                    findings.take(whole_reaches_as_stream(&case, &response, target));
                }
            }
            Err(error) => findings.take(Err(format!("{}: {error:?}", case.id))),
        }
    }
    findings.report();
}

fn whole_reaches(case: &Case, format: ApiFormat, response: &ChatResponse, target: ApiFormat) -> Outcome {
    let what = format!("{} → {target}", case.id);
    let encoded = target.codec().encode_response(response, &context());
    let back = target.codec().decode_response(&encoded.value, &Dialect::default());
    let back = back.map_err(|error| format!("{what}: {error}\n{}", String::from_utf8_lossy(&encoded.value)))?;
    compare(&what, &Gist::of(response), target, &Gist::of(&back), &encoded.losses)?;
    if target == format {
        ensure_eq!(essence(response.clone()), essence(back), "{what}");
    }
    Ok(())
}

fn whole_reaches_as_stream(case: &Case, response: &ChatResponse, target: ApiFormat) -> Outcome {
    let what = format!("{} → {target} as a stream", case.id);
    let mut encoder = target.codec().stream_encoder(context());
    let mut out = Vec::new();
    unfold(response.clone()).iter().for_each(|event| encoder.push(event, &mut out));
    let streamed = read_back(target, &out, &what)?;
    compare(&what, &Gist::of(response), target, &Gist::of_stream(&streamed), &encoder.losses())
}

#[test]
fn errors_reach_every_client_with_their_meaning_and_words() {
    let mut findings = Findings::default();
    for case in cases(&[]) {
        let Some(format) = apis::format(&case).filter(|format| apis::is_there(*format)) else { continue };
        let Some((bytes, _)) = case.response().filter(|_| case.status() >= 400) else { continue };
        let error = format.codec().decode_error(case.status(), &bytes);
        for target in targets() {
            findings.take(error_reaches(&case, &error, target));
        }
    }
    findings.report();
}

fn error_reaches(case: &Case, error: &ApiError, target: ApiFormat) -> Outcome {
    let what = format!("{} → {target}", case.id);
    ensure!(!error.message.is_empty(), "{what}: no words");
    let encoded = target.codec().encode_error(error);
    let back = target.codec().decode_error(error.status(), &encoded);
    ensure!(back.message.contains(&error.message), "{what}: {:?} became {:?}", error.message, back.message);
    ensure_eq!(error.kind.status() / 100, back.kind.status() / 100, "{what}: {:?} became {:?}", error.kind, back.kind);
    let mut encoder = target.codec().stream_encoder(context());
    let mut out = Vec::new();
    encoder.push(&StreamEvent::Error(error.clone()), &mut out);
    encoder.push(&StreamEvent::End, &mut out);
    let streamed = read_back(target, &out, &what)?;
    ensure!(!streamed.complete, "{what}: an error became an end");
    let told = streamed.error.ok_or_else(|| format!("{what}: the error is not told in a stream"))?;
    ensure!(told.message.contains(&error.message), "{what}: {:?} became {:?}", error.message, told.message);
    Ok(())
}

#[test]
fn no_format_dodges_this_suite() {
    let formats = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/formats");
    let folders: Vec<String> = std::fs::read_dir(formats)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "embeddings")
        .collect();
    for folder in &folders {
        let named = |format: ApiFormat| format.as_str().replace('-', "_").starts_with(folder.as_str());
        assert!(ApiFormat::ALL.into_iter().any(named), "{folder} belongs to no format");
    }
    for (index, format) in ApiFormat::ALL.into_iter().enumerate() {
        assert_eq!(format as usize, index, "the list follows the enum");
        let folder = |folder: &String| format.as_str().replace('-', "_").starts_with(folder.as_str());
        assert!(folders.iter().any(folder), "{format} has no folder");
        if apis::is_there(format) {
            assert_eq!(format.codec().format(), format);
            assert!(!format.codec().tap_markers().is_empty(), "{format}");
        }
    }
}

/// The numbered cases of the compatibility list: the first forty concern streaming, translation and usage.
#[test]
fn every_numbered_case_of_the_compatibility_list_has_a_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> = ["protocol", "core", "cli"].map(|part| root.join(part)).into();
    let mut named = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != "target" && name != "corpus" {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                named.extend(
                    text.lines()
                        .filter(|line| line.contains("fn ") && line.contains("case_"))
                        .map(|line| format!("{line}\n")),
                );
            }
        }
    }
    let missing: Vec<u8> = (1..=40).filter(|case| !named.contains(&format!("case_{case:02}_"))).collect();
    assert!(missing.is_empty(), "no test has the number of {missing:?}");
}
