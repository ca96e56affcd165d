//! Our own cases to every format, as snapshots that a person has read: requests to every provider, answers and streams to every client.
//!
//! After a wanted change: `INSTA_UPDATE=always cargo test -p myelin-protocol goldens`, and read the difference.

use std::fmt::Write as _;

use myelin_protocol::drive::StreamDriver;
use myelin_protocol::format::{AddressHints, ReplyContext};
use myelin_protocol::framing::{Framing, Reader};
use myelin_protocol::ir::Loss;
use myelin_protocol::lower::{NameMap, lower};
use myelin_protocol::{ApiFormat, Dialect, answer};
use serde_json::Value;

use crate::support::apis;
use crate::support::golden::{self, Golden};

fn context() -> ReplyContext {
    ReplyContext {
        model: "asked-for".into(),
        id: "0123456789abcdef".into(),
        created: 1_700_000_000,
        include_usage: true,
        ..ReplyContext::default()
    }
}

fn targets() -> impl Iterator<Item = ApiFormat> {
    ApiFormat::ALL.into_iter().filter(|format| apis::is_there(*format))
}

fn heading(target: ApiFormat, text: &mut String) {
    let _ = writeln!(text, "=== {target}");
}

fn losses(losses: &[Loss], text: &mut String) {
    for loss in losses {
        let _ = writeln!(text, "--- lost: {}: {}", loss.field, loss.why);
    }
}

fn pretty(json: &[u8]) -> String {
    let value: Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

fn snapshot(case: &Golden, what: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../golden/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{}.{}.{what}", case.format, case.name), text));
}

fn cases() -> Vec<Golden> {
    golden::cases().into_iter().filter(|case| apis::is_there(case.format)).collect()
}

#[test]
fn case_10_requests_reach_every_provider_as_they_were_read() {
    for case in cases() {
        let Some(body) = &case.request else { continue };
        let hints = AddressHints { model: Some("model-in-path"), stream: Some(false) };
        let request = case.format.codec().decode_request(body, hints).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let mut text = String::new();
        for target in targets() {
            heading(target, &mut text);
            let lowered = lower(request.clone(), target, &Dialect::default());
            losses(&lowered.losses, &mut text);
            match target.codec().encode_request(&lowered.request, &Dialect::default()) {
                Ok(encoded) => {
                    losses(&encoded.losses, &mut text);
                    text.push_str(&pretty(&encoded.value));
                }
                Err(error) => {
                    let _ = write!(text, "--- refused: {error}");
                }
            }
            text.push('\n');
        }
        snapshot(&case, "request", &text);
    }
}

#[test]
fn answers_reach_every_client_as_they_were_read() {
    for case in cases() {
        let Some(body) = &case.response else { continue };
        let response = answer::read(case.format, body, &Dialect::default()).unwrap();
        let mut text = String::new();
        for target in targets() {
            heading(target, &mut text);
            let encoded = target.codec().encode_response(&response, &context());
            losses(&encoded.losses, &mut text);
            text.push_str(&pretty(&encoded.value));
            text.push('\n');
        }
        snapshot(&case, "response", &text);
    }
}

#[test]
fn streams_reach_every_client_as_they_were_read() {
    for case in cases() {
        let Some(bytes) = &case.stream else { continue };
        let mut text = String::new();
        for target in targets() {
            heading(target, &mut text);
            let mut driver = StreamDriver::new(case.format, &Dialect::default(), NameMap::default(), target, context());
            let mut out = Vec::new();
            driver.feed(bytes, &mut out);
            driver.finish(&mut out);
            assert_eq!(driver.broken_law(), None, "{}.{} → {target}", case.format, case.name);
            losses(&driver.losses(), &mut text);
            text.push_str(&shown(target, &out));
        }
        snapshot(&case, "stream", &text);
    }
}

/// A stream as text; binary frames as one `event payload` a line.
fn shown(format: ApiFormat, out: &[u8]) -> String {
    if format.codec().framing() != Framing::AwsEventStream {
        return String::from_utf8(out.to_vec()).unwrap();
    }
    let mut reader = Reader::new(Framing::AwsEventStream);
    let (mut input, mut text) = (out, String::new());
    while let Some(frame) = reader.next(&mut input).unwrap() {
        let event = frame.event.unwrap_or("?");
        let _ = writeln!(text, "{event} {}", String::from_utf8_lossy(frame.data));
    }
    text
}

#[test]
fn every_format_has_cases_of_its_own() {
    let cases = golden::cases();
    for format in ApiFormat::ALL {
        let own: Vec<&Golden> = cases.iter().filter(|case| case.format == format).collect();
        assert!(own.len() >= 3, "{format}: {} cases", own.len());
        assert!(own.iter().any(|case| case.request.is_some()), "{format}: no request");
        assert!(own.iter().any(|case| case.stream.is_some()), "{format}: no stream");
    }
}
