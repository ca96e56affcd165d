//! Records as few bytes: numbered fields, what is empty left out, what is unknown skipped.
//!
//! `version u8`, then fields as `tag << 1 | shape` and either a varint (shape 0) or a length and bytes (shape 1). A tag is never given a second meaning; new
//! fields take new tags, so older and newer readers understand each other. What lists filter by comes first, so that [`matches()`] stops early.

use myelin_protocol::ir::Usage;

use super::Filter;
use crate::model::{AttemptOutcome, AttemptRecord, NanoUsd, RequestRecord, RequestState};

const VERSION: u8 = 1;

const STATES: [(RequestState, u64); 4] = [
    (RequestState::Completed, 1),
    (RequestState::Interrupted, 2),
    (RequestState::Canceled, 3),
    (RequestState::Failed, 4),
];
const OUTCOMES: [(AttemptOutcome, u64); 5] = [
    (AttemptOutcome::Answered, 1),
    (AttemptOutcome::Failed, 2),
    (AttemptOutcome::TimedOut, 3),
    (AttemptOutcome::Interrupted, 4),
    (AttemptOutcome::Canceled, 5),
];

/// Tags of a record.
mod tag {
    pub(super) const STATE: u64 = 1;
    pub(super) const MODEL: u64 = 2;
    pub(super) const CHANNEL: u64 = 3;
    pub(super) const KEY: u64 = 4;
    /// Up to here stand the fields that lists filter by.
    pub(super) const LAST_FILTERED: u64 = KEY;
    pub(super) const STARTED: u64 = 5;
    pub(super) const DURATION: u64 = 6;
    pub(super) const FIRST_TOKEN: u64 = 7;
    pub(super) const OVERHEAD: u64 = 8;
    pub(super) const STATUS: u64 = 9;
    pub(super) const PATH: u64 = 10;
    pub(super) const FORMAT: u64 = 11;
    pub(super) const UPSTREAM_MODEL: u64 = 12;
    pub(super) const UPSTREAM_FORMAT: u64 = 13;
    pub(super) const PROFILE: u64 = 14;
    pub(super) const RULE: u64 = 15;
    pub(super) const TOOL: u64 = 16;
    pub(super) const SESSION: u64 = 17;
    pub(super) const TRACE: u64 = 18;
    pub(super) const STREAM: u64 = 19;
    pub(super) const ATTEMPT: u64 = 20;
    pub(super) const USAGE: u64 = 21;
    pub(super) const COST: u64 = 22;
    pub(super) const LOSS: u64 = 23;
    pub(super) const ERROR: u64 = 24;
    pub(super) const ERROR_MESSAGE: u64 = 25;
    pub(super) const BYTES_IN: u64 = 26;
    pub(super) const BYTES_OUT: u64 = 27;
    pub(super) const FINISH: u64 = 28;
    pub(super) const ID: u64 = 29;
}

/// A record's bytes. The id is only written where it cannot be made from the key.
pub(super) fn encode(record: &RequestRecord, with_id: bool) -> Vec<u8> {
    // Taken apart by name: a new field does not compile until it has a tag.
    let RequestRecord {
        id,
        started,
        duration_us,
        first_token_us,
        overhead_us,
        state,
        status,
        path,
        format,
        model,
        channel,
        upstream_model,
        upstream_format,
        profile,
        rule,
        key,
        tool,
        session,
        trace,
        stream,
        attempts,
        usage,
        cost,
        losses,
        error,
        error_message,
        bytes_in,
        bytes_out,
        finish,
    } = record;
    let mut out = Writer(Vec::with_capacity(256));
    out.0.push(VERSION);
    out.maybe(tag::STATE, number(&STATES, *state));
    out.text(tag::MODEL, model);
    out.maybe_text(tag::CHANNEL, channel);
    out.maybe_text(tag::KEY, key);
    out.number(tag::STARTED, *started);
    out.number(tag::DURATION, *duration_us);
    out.maybe(tag::FIRST_TOKEN, *first_token_us);
    out.number(tag::OVERHEAD, *overhead_us);
    out.number(tag::STATUS, u64::from(*status));
    out.text(tag::PATH, path);
    out.text(tag::FORMAT, format);
    out.maybe_text(tag::UPSTREAM_MODEL, upstream_model);
    out.maybe_text(tag::UPSTREAM_FORMAT, upstream_format);
    out.text(tag::PROFILE, profile);
    out.maybe_text(tag::RULE, rule);
    out.maybe_text(tag::TOOL, tool);
    out.maybe_text(tag::SESSION, session);
    out.maybe_text(tag::TRACE, trace);
    out.number(tag::STREAM, u64::from(*stream));
    for attempt in attempts {
        out.bytes(tag::ATTEMPT, &encode_attempt(attempt));
    }
    if let Some(usage) = usage {
        out.bytes(tag::USAGE, &encode_usage(usage));
    }
    out.maybe(tag::COST, cost.map(|NanoUsd(nanos)| zigzag(nanos)));
    for loss in losses {
        out.bytes(tag::LOSS, loss.as_bytes());
    }
    out.maybe_text(tag::ERROR, error);
    out.maybe_text(tag::ERROR_MESSAGE, error_message);
    out.number(tag::BYTES_IN, *bytes_in);
    out.number(tag::BYTES_OUT, *bytes_out);
    out.maybe_text(tag::FINISH, finish);
    if with_id {
        out.text(tag::ID, id);
    }
    out.0
}

/// The record of some bytes; `None` if they are damaged or of a newer layout.
pub(super) fn decode(bytes: &[u8]) -> Option<RequestRecord> {
    let mut fields = Fields::of(bytes)?;
    let mut out = RequestRecord::default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            tag::STATE => out.state = named(&STATES, value.number()?).unwrap_or_default(),
            tag::MODEL => out.model = value.text()?,
            tag::CHANNEL => out.channel = Some(value.text()?),
            tag::KEY => out.key = Some(value.text()?),
            tag::STARTED => out.started = value.number()?,
            tag::DURATION => out.duration_us = value.number()?,
            tag::FIRST_TOKEN => out.first_token_us = Some(value.number()?),
            tag::OVERHEAD => out.overhead_us = value.number()?,
            tag::STATUS => out.status = u16::try_from(value.number()?).ok()?,
            tag::PATH => out.path = value.text()?,
            tag::FORMAT => out.format = value.text()?,
            tag::UPSTREAM_MODEL => out.upstream_model = Some(value.text()?),
            tag::UPSTREAM_FORMAT => out.upstream_format = Some(value.text()?),
            tag::PROFILE => out.profile = value.text()?,
            tag::RULE => out.rule = Some(value.text()?),
            tag::TOOL => out.tool = Some(value.text()?),
            tag::SESSION => out.session = Some(value.text()?),
            tag::TRACE => out.trace = Some(value.text()?),
            tag::STREAM => out.stream = value.number()? != 0,
            tag::ATTEMPT => out.attempts.push(decode_attempt(value.bytes()?)?),
            tag::USAGE => out.usage = Some(decode_usage(value.bytes()?)?),
            tag::COST => out.cost = Some(NanoUsd(unzigzag(value.number()?))),
            tag::LOSS => out.losses.push(value.text()?),
            tag::ERROR => out.error = Some(value.text()?),
            tag::ERROR_MESSAGE => out.error_message = Some(value.text()?),
            tag::BYTES_IN => out.bytes_in = value.number()?,
            tag::BYTES_OUT => out.bytes_out = value.number()?,
            tag::FINISH => out.finish = Some(value.text()?),
            tag::ID => out.id = value.text()?,
            _ => {}
        }
    }
    Some(out)
}

/// Whether a filter lets a record through, reading only its first fields.
pub(super) fn matches(bytes: &[u8], filter: &Filter) -> bool {
    let wanted = |wanted: &Option<String>, found: Option<&[u8]>| {
        wanted.as_ref().is_none_or(|wanted| found == Some(wanted.as_bytes()))
    };
    if filter.model.is_none() && filter.channel.is_none() && filter.key.is_none() && filter.state.is_none() {
        return true;
    }
    let (mut state, mut model, mut channel, mut key) = (None, None, None, None);
    let Some(mut fields) = Fields::of(bytes) else {
        return false;
    };
    while let Some(Some((tag, value))) = fields.next() {
        match tag {
            tag::STATE => state = value.number().and_then(|number| named(&STATES, number)),
            tag::MODEL => model = value.bytes(),
            tag::CHANNEL => channel = value.bytes(),
            tag::KEY => key = value.bytes(),
            tag if tag > tag::LAST_FILTERED => break,
            _ => {}
        }
    }
    filter.state.is_none_or(|wanted| state == Some(wanted))
        && wanted(&filter.model, model)
        && wanted(&filter.channel, channel)
        && wanted(&filter.key, key)
}

fn encode_attempt(attempt: &AttemptRecord) -> Vec<u8> {
    let AttemptRecord {
        channel,
        upstream_model,
        credential,
        format,
        offset_us,
        duration_us,
        first_byte_us,
        status,
        outcome,
        error,
        upstream_request_id,
    } = attempt;
    let mut out = Writer(Vec::with_capacity(96));
    out.0.push(VERSION);
    out.text(1, channel);
    out.text(2, upstream_model);
    out.number(3, u64::from(*credential));
    out.text(4, format);
    out.number(5, *offset_us);
    out.number(6, *duration_us);
    out.maybe(7, *first_byte_us);
    out.maybe(8, status.map(u64::from));
    out.maybe(9, number(&OUTCOMES, *outcome));
    out.maybe_text(10, error);
    out.maybe_text(11, upstream_request_id);
    out.0
}

fn decode_attempt(bytes: &[u8]) -> Option<AttemptRecord> {
    let mut fields = Fields::of(bytes)?;
    let mut out = AttemptRecord::default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => out.channel = value.text()?,
            2 => out.upstream_model = value.text()?,
            3 => out.credential = u32::try_from(value.number()?).ok()?,
            4 => out.format = value.text()?,
            5 => out.offset_us = value.number()?,
            6 => out.duration_us = value.number()?,
            7 => out.first_byte_us = Some(value.number()?),
            8 => out.status = Some(u16::try_from(value.number()?).ok()?),
            9 => out.outcome = named(&OUTCOMES, value.number()?).unwrap_or_default(),
            10 => out.error = Some(value.text()?),
            11 => out.upstream_request_id = Some(value.text()?),
            _ => {}
        }
    }
    Some(out)
}

fn encode_usage(usage: &Usage) -> Vec<u8> {
    let Usage {
        input,
        cache_read,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output,
        reasoning,
        audio_output,
        image_output,
        web_searches,
        cost_usd,
        service_tier,
        raw,
    } = usage;
    let mut out = Writer(Vec::with_capacity(96));
    out.0.push(VERSION);
    let counters = [
        input,
        cache_read,
        cache_write,
        cache_write_1h,
        audio_input,
        image_input,
        output,
        reasoning,
        audio_output,
        image_output,
        web_searches,
    ];
    for (tag, counter) in (1..).zip(counters) {
        out.maybe(tag, *counter);
    }
    out.maybe_text(12, cost_usd);
    out.maybe_text(13, service_tier);
    if let Some(raw) = raw {
        out.text(14, &raw.to_string());
    }
    out.0
}

fn decode_usage(bytes: &[u8]) -> Option<Usage> {
    let mut fields = Fields::of(bytes)?;
    let mut out = Usage::default();
    while let Some((tag, value)) = fields.next()? {
        let counter = match tag {
            1 => &mut out.input,
            2 => &mut out.cache_read,
            3 => &mut out.cache_write,
            4 => &mut out.cache_write_1h,
            5 => &mut out.audio_input,
            6 => &mut out.image_input,
            7 => &mut out.output,
            8 => &mut out.reasoning,
            9 => &mut out.audio_output,
            10 => &mut out.image_output,
            11 => &mut out.web_searches,
            12 => {
                out.cost_usd = Some(value.text()?);
                continue;
            }
            13 => {
                out.service_tier = Some(value.text()?);
                continue;
            }
            14 => {
                out.raw = serde_json::from_slice(value.bytes()?).ok();
                continue;
            }
            _ => continue,
        };
        *counter = Some(value.number()?);
    }
    Some(out)
}

fn number<T: PartialEq + Copy>(table: &[(T, u64)], value: T) -> Option<u64> {
    table.iter().find(|(own, _)| *own == value).map(|(_, number)| *number)
}

fn named<T: Copy>(table: &[(T, u64)], number: u64) -> Option<T> {
    table.iter().find(|(_, own)| *own == number).map(|(value, _)| *value)
}

/// Small numbers of either sign become small numbers.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

const SHAPE_NUMBER: u64 = 0;
const SHAPE_BYTES: u64 = 1;

struct Writer(Vec<u8>);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn maybe(&mut self, tag: u64, value: Option<u64>) {
        if let Some(value) = value {
            self.varint(tag << 1 | SHAPE_NUMBER);
            self.varint(value);
        }
    }

    /// Zero is what an absent one reads as.
    fn number(&mut self, tag: u64, value: u64) {
        self.maybe(tag, (value != 0).then_some(value));
    }

    fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.varint(tag << 1 | SHAPE_BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn maybe_text(&mut self, tag: u64, text: &Option<String>) {
        if let Some(text) = text {
            self.bytes(tag, text.as_bytes());
        }
    }

    /// An empty text is what an absent one reads as.
    fn text(&mut self, tag: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(tag, text.as_bytes());
        }
    }
}

struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Bytes(_) => None,
        }
    }

    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Number(_) => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }

    fn text(&self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        (*version == VERSION).then_some(Self(rest))
    }

    /// Outer `None`: damaged. Inner `None`: the end.
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let head = self.varint()?;
        let value = self.varint()?;
        if head & 1 == SHAPE_NUMBER {
            return Some(Some((head >> 1, Value::Number(value))));
        }
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(value).ok()?)?;
        self.0 = rest;
        Some(Some((head >> 1, Value::Bytes(bytes))))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn full() -> RequestRecord {
        let some = |text: &str| Some(text.to_owned());
        RequestRecord {
            id: "odd-id".into(),
            started: 1_700_000_000_000,
            duration_us: 1_234_567,
            first_token_us: Some(0),
            overhead_us: 42,
            state: RequestState::Interrupted,
            status: 200,
            path: "/v1/messages".into(),
            format: "anthropic-messages".into(),
            model: "claude-sonnet".into(),
            channel: some("main"),
            upstream_model: some("deepseek-chat"),
            upstream_format: some("openai-chat"),
            profile: "cheap".into(),
            rule: some("claude-*"),
            key: some("key_1"),
            tool: some("claude-code"),
            session: some("s"),
            trace: some("t"),
            stream: true,
            attempts: vec![
                AttemptRecord {
                    channel: "main".into(),
                    upstream_model: "m".into(),
                    credential: 3,
                    format: "openai-chat".into(),
                    offset_us: 10,
                    duration_us: 20,
                    first_byte_us: Some(15),
                    status: Some(429),
                    outcome: AttemptOutcome::TimedOut,
                    error: some("slow down"),
                    upstream_request_id: some("abc"),
                },
                AttemptRecord::default(),
            ],
            usage: Some(Usage {
                input: Some(0),
                cache_read: Some(1),
                cache_write: Some(2),
                cache_write_1h: Some(3),
                audio_input: Some(4),
                image_input: Some(5),
                output: Some(6),
                reasoning: Some(7),
                audio_output: Some(8),
                image_output: Some(9),
                web_searches: Some(10),
                cost_usd: some("0.0012"),
                service_tier: some("flex"),
                raw: Some(json!({"prompt_tokens": 1, "z": [null, 1.5]})),
            }),
            cost: Some(NanoUsd(-5)),
            losses: vec!["top_k".into(), String::new()],
            error: some("upstream_failed"),
            error_message: some(""),
            bytes_in: 100,
            bytes_out: u64::MAX,
            finish: some("stop"),
        }
    }

    #[test]
    fn every_field_comes_back() {
        assert_eq!(decode(&encode(&full(), true)).unwrap(), full());
        let empty = RequestRecord::default();
        assert_eq!(decode(&encode(&empty, true)).unwrap(), empty);
    }

    #[test]
    fn a_usual_record_is_small() {
        let record = RequestRecord { attempts: full().attempts[..1].to_vec(), usage: None, ..full() };
        let size = encode(&record, false).len();
        assert!(size < 300, "{size} bytes");
    }

    #[test]
    fn unknown_fields_of_a_newer_writer_are_skipped() {
        let mut bytes = encode(&full(), true);
        let mut newer = Writer(Vec::new());
        newer.bytes(99, b"from the future");
        newer.maybe(100, Some(7));
        bytes.extend(newer.0);
        assert_eq!(decode(&bytes).unwrap(), full());
        bytes[0] = 2;
        assert!(decode(&bytes).is_none(), "a new layout is not guessed at");
    }

    #[test]
    fn filters_read_the_head_only() {
        let mut bytes = encode(&full(), false);
        let some = |text: &str| Some(text.to_owned());
        let yes = Filter {
            model: some("claude-sonnet"),
            channel: some("main"),
            key: some("key_1"),
            state: Some(RequestState::Interrupted),
            ..Filter::default()
        };
        let last = bytes.len() - 1;
        bytes.truncate(last);
        assert!(matches(&bytes, &yes));
        for no in [
            Filter { model: some("claude"), ..yes.clone() },
            Filter { channel: some("other"), ..yes.clone() },
            Filter { key: some("key_2"), ..yes.clone() },
            Filter { state: Some(RequestState::Failed), ..yes.clone() },
        ] {
            assert!(!matches(&bytes, &no), "{no:?}");
        }
        assert!(!matches(
            &encode(&RequestRecord::default(), false),
            &Filter { channel: some("main"), ..Filter::default() }
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = decode(&[[VERSION].as_slice(), &bytes].concat());
            let _ = matches(&bytes, &Filter { model: Some("x".into()), ..Filter::default() });
        }

        #[test]
        fn numbers_of_either_sign_come_back(value in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
