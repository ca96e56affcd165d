//! Records as few bytes: numbered fields, what is empty left out, what is unknown skipped.
//!
//! `version u8`, then fields (see `wire`). Texts that repeat are written by number where a dictionary is given (the database), else written out (the
//! journal): a reader takes both. New fields take new tags, so older and newer readers understand each other. What lists filter by comes first, so that
//! [`matches()`] stops early.

mod placed;
mod shapes;
mod wire;

use myelin_protocol::ir::Usage;

use smallvec::SmallVec;

use super::Dimension;
use super::names::NOTHING;
use crate::model::{AttemptRecord, Budgeted, CacheOutcome, PlannedDeployment, RequestRecord};
use placed::Numbers;
use shapes::{Few, Inner, Layout, Name, Number, Once, Path, Raw, Shape, Text, Told, Word, layout};
use wire::{Fields, Value, Writer};
pub(in crate::store) use wire::{Intern, Nameless, Names, Room, take_bytes, take_varint, unzigzag, varint, zigzag};

/// The layout that is written.
const VERSION: u8 = 2;
/// The oldest that is read: texts are all written out there.
const OLDEST: u8 = 1;

// What lists filter by stands first, so that [`matches()`] reads no further.
layout! { RequestRecord {
    1 state: Word;
    2 model: Told;
    3 channel: Name;
    4 key: Name;
    9 status: Number;
    11 format: Name;
    12 upstream_model: Told;
    14 profile: Name;
    16 tool: Name;
    24 error: Name;
    30 provider: Name;
    34 owners: Name;
    35 tags: Name;
    37 cache: Word;

    5 started: Number;
    6 duration_us: Number;
    7 first_token_us: Number;
    8 overhead_us: Number;
    10 path: Path;
    13 upstream_format: Name;
    15 rule: Name;
    17 session: Text;
    18 trace: Text;
    19 stream: Number;
    20 attempts: Inner;
    21 usage: Inner;
    22 cost: Number;
    23 losses: Once;
    25 error_message: Text;
    26 bytes_in: Number;
    27 bytes_out: Number;
    28 finish: Told;
    31 route: Name;
    32 strategy: Name;
    33 plan: Inner;
    36 thread: Text;
    38 refused_by: Name;
    39 cost_source: Word;
    40 price: Name;
    41 saved: Number;
    42 budgets: Inner;
} elsewhere { id } }

/// The tags that stand first.
const HEAD: [u64; 14] = [1, 2, 3, 4, 9, 11, 12, 14, 16, 24, 30, 34, 35, 37];

fn tag_of(dimension: Dimension) -> u64 {
    match dimension {
        Dimension::State => 1,
        Dimension::Model => 2,
        Dimension::Channel => 3,
        Dimension::Key => 4,
        Dimension::Status => 9,
        Dimension::Format => 11,
        Dimension::UpstreamModel => 12,
        Dimension::Profile => 14,
        Dimension::Tool => 16,
        Dimension::Error => 24,
        Dimension::Provider => 30,
        Dimension::Owner => 34,
        Dimension::Tag => 35,
        Dimension::Cache => 37,
    }
}

layout! { AttemptRecord {
    1 channel: Name;
    2 upstream_model: Told;
    3 credential: Number;
    4 format: Name;
    5 offset_us: Number;
    6 duration_us: Number;
    7 first_byte_us: Number;
    8 status: Number;
    9 outcome: Word;
    10 error: Text;
    11 upstream_request_id: Text;
    12 reason: Name;
    13 hedged: Number;
    14 raced: Number;
    15 error_kind: Name;
    16 usage: Inner;
    17 cost: Number;
    18 resumed: Number;
} }

layout! { Budgeted {
    1 counter: Few;
    2 at: Number;
    3 attempt: Number;
} }

// Tag 4 was the reason in English.
layout! { PlannedDeployment {
    1 channel: Name;
    2 model: Told;
    3 group: Number;
    5 placed: Numbers;
} }

layout! { Usage {
    1 input: Number;
    2 cache_read: Number;
    3 cache_write: Number;
    4 cache_write_1h: Number;
    5 audio_input: Number;
    6 image_input: Number;
    7 output: Number;
    8 reasoning: Number;
    9 audio_output: Number;
    10 image_output: Number;
    11 web_searches: Number;
    12 cost_usd: Text;
    13 service_tier: Told;
    14 raw: Raw;
    15 units: Number;
} }

/// Tag of a record's id, which is only written where it cannot be made from the key.
const ID: u64 = 29;

/// A record's bytes.
pub(super) fn encode(record: &RequestRecord, with_id: bool, names: &mut dyn Intern) -> Vec<u8> {
    let mut out = Writer::new(VERSION, 256, names);
    out.made_up = !was_offered(record);
    record.put(&mut out);
    if with_id {
        Text::put(&mut out, ID, &record.id);
    }
    out.out
}

/// Whether a request was let through and something offers what it asked for.
fn was_offered(record: &RequestRecord) -> bool {
    record.channel.is_some()
        || record.usage.is_some()
        || record.cost.is_some()
        || !record.attempts.is_empty()
        || !record.plan.is_empty()
        || matches!(record.cache, CacheOutcome::Hit | CacheOutcome::Shared)
}

/// What the first fields of a row say by number, in the dimensions whose texts have some; `None`: the text is written out, and has no number there
/// whatever came into the dictionary since.
pub(super) fn numbered(row: &[u8]) -> impl Iterator<Item = (Dimension, Option<u32>)> {
    let mut fields = Fields::of(row, OLDEST..=VERSION);
    let words = [Dimension::State, Dimension::Status, Dimension::Cache];
    let next = move || fields.as_mut()?.next().flatten().filter(|(tag, _)| HEAD.contains(tag));
    std::iter::from_fn(next).filter_map(move |(tag, value)| {
        let named = |dimension: &Dimension| tag_of(*dimension) == tag && !words.contains(dimension);
        let dimension = Dimension::ALL.iter().map(|(dimension, _)| *dimension).find(named)?;
        let number = match value {
            Value::Number(number) => u32::try_from(number).ok(),
            Value::Bytes([]) => Some(NOTHING),
            Value::Bytes(_) => None,
        };
        Some((dimension, number))
    })
}

/// The record of some bytes; `None` if they are damaged or of a newer layout.
pub(super) fn decode(bytes: &[u8], names: &dyn Names) -> Option<RequestRecord> {
    let mut fields = Fields::of(bytes, OLDEST..=VERSION)?;
    let mut out = RequestRecord::default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            ID => Text::take(&mut out.id, value, names)?,
            tag => out.take(tag, value, names)?,
        }
    }
    Some(out)
}

/// What a field must hold: one of some values.
#[derive(Debug)]
pub(super) struct Want {
    tag: u64,
    /// Numbers of words, of status and of texts in the dictionary.
    numbers: SmallVec<[u64; 2]>,
    /// Texts that stand written out.
    texts: SmallVec<[String; 1]>,
    /// Saying nothing will do.
    absent: bool,
}

impl Want {
    /// One of these texts in a dimension.
    pub(super) fn new(dimension: Dimension, any: &[String], find: impl Fn(&str) -> Option<u32>) -> Self {
        let mut out = Self { tag: tag_of(dimension), numbers: SmallVec::new(), texts: SmallVec::new(), absent: false };
        for text in any {
            let number = match dimension {
                Dimension::State => shapes::state_code(text),
                Dimension::Cache => shapes::cache_code(text),
                Dimension::Status => text.parse().ok(),
                _ => find(text).map(u64::from),
            };
            out.absent |= text.is_empty() || (dimension == Dimension::Cache && text == CacheOutcome::None.word());
            out.numbers.extend(number);
            out.texts.push(text.clone());
        }
        out
    }

    fn is(&self, value: Value<'_>) -> bool {
        match value {
            Value::Number(number) => self.numbers.contains(&number),
            Value::Bytes(bytes) => self.texts.iter().any(|text| text.as_bytes() == bytes),
        }
    }
}

/// Whether a record of the database has all that is wanted, reading only its first fields.
pub(super) fn matches(bytes: &[u8], wants: &[Want]) -> bool {
    if wants.is_empty() {
        return true;
    }
    let Some(mut fields) = Fields::of(bytes, OLDEST..=VERSION) else {
        return false;
    };
    // One bit for each: it was met, it was seen.
    let (mut met, mut seen) = (0_u64, 0_u64);
    while let Some(Some((tag, value))) = fields.next() {
        if !HEAD.contains(&tag) {
            break;
        }
        for (at, want) in wants.iter().enumerate().filter(|(_, want)| want.tag == tag) {
            seen |= 1 << at;
            met |= u64::from(want.is(value)) << at;
        }
    }
    wants.iter().enumerate().all(|(at, want)| met >> at & 1 == 1 || (want.absent && seen >> at & 1 == 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::{AttemptOutcome, CostSource, NanoUsd, RequestState};
    use crate::model::{Note, Placed, Why};

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
                    reason: some("hedge"),
                    hedged: true,
                    raced: true,
                    resumed: true,
                    error_kind: some("timeout"),
                    usage: Some(Usage { input: Some(1), ..Usage::default() }),
                    cost: Some(NanoUsd(3)),
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
                units: Some(myelin_protocol::ir::Units::Characters(3)),
                cost_usd: some("0.0012"),
                service_tier: some("flex"),
                raw: Some(json!({"prompt_tokens": 1, "z": [null, 1.5]}).into()),
            }),
            cost: Some(NanoUsd(-5)),
            losses: vec!["top_k".into(), String::new()],
            error: some("upstream_failed"),
            error_message: some(""),
            bytes_in: 100,
            bytes_out: u64::MAX,
            finish: some("stop"),
            provider: some("deepseek"),
            route: some("smart"),
            strategy: some("lowest-cost"),
            plan: vec![
                PlannedDeployment {
                    channel: "main".into(),
                    model: "m".into(),
                    group: 1,
                    placed: Some(Placed { reason: Why::Turn { weight: 3, of: 4 }, note: Note::Probe }),
                },
                PlannedDeployment::default(),
            ],
            owners: vec!["user_1".into(), "org_1".into()],
            tags: vec!["paid".into(), "eu".into()],
            thread: some("0190c0de-0000-7000-8000-00000000abcd"),
            cache: CacheOutcome::Miss,
            refused_by: some("limit_1"),
            cost_source: Some(CostSource::Estimated),
            price: some("bundled 2026-01"),
            saved: Some(NanoUsd(7)),
            budgets: vec![Budgeted { counter: u64::MAX, at: 1_700_000_000_000, attempt: Some(0) }],
        }
    }

    /// Gives every text a number, as the database's dictionary does.
    #[derive(Default)]
    struct Numbers(Vec<String>);

    impl Intern for Numbers {
        fn id(&mut self, text: &str, room: Room) -> Option<u32> {
            if room == Room::Known && !self.0.iter().any(|own| own == text) {
                return None;
            }
            let at = self.0.iter().position(|own| own == text).unwrap_or_else(|| {
                self.0.push(text.to_owned());
                self.0.len() - 1
            });
            u32::try_from(at).ok()
        }
    }

    impl Names for Numbers {
        fn text(&self, id: u32) -> Option<&str> {
            self.0.get(id as usize).map(String::as_str)
        }
    }

    #[test]
    fn texts_by_number_come_back_and_take_less_room() {
        let mut names = Numbers::default();
        let written_out = encode(&full(), false, &mut Nameless).len();
        encode(&full(), false, &mut names);
        let known = names.0.len();
        let bytes = encode(&full(), true, &mut names);
        assert_eq!(names.0.len(), known, "the second one brings no new texts");
        assert_eq!(decode(&bytes, &names).unwrap(), full());
        assert!(bytes.len() * 4 < written_out * 3, "{} of {written_out}", bytes.len());
        let lost = decode(&bytes, &Nameless).unwrap();
        assert_eq!((lost.model.as_str(), lost.status), ("?", 200), "a number that nobody knows costs one word only");
    }

    #[test]
    fn a_raw_object_comes_back_as_it_was() {
        let mut names = Numbers::default();
        for (raw, known) in [
            (json!({"a": 1, "b": {"c": [2, 3.25, -7, 18446744073709551615_u64]}, "t": "standard"}), 1),
            (json!({"a": 900, "b": {"c": [0, -0.5, 1e300, 9]}, "t": "standard"}), 1),
            (json!({"z": [null, true, "id-17", "quote\"d\u{1}", {}]}), 2),
            (json!("plain"), 3),
        ] {
            let record = RequestRecord {
                usage: Some(Usage { raw: Some(raw.clone().into()), ..Usage::default() }),
                attempts: vec![AttemptRecord::default()],
                ..RequestRecord::default()
            };
            let back = decode(&encode(&record, false, &mut names), &names).unwrap();
            assert_eq!(back.usage.unwrap().raw, Some(raw.into()));
            assert_eq!(names.0.len(), known, "objects of one form share it");
        }
    }

    #[test]
    fn ids_of_hexadecimal_digits_take_half_the_room_and_others_stay_as_they_are() {
        for (text, most) in [
            ("0190c0de-0000-7000-8000-00000000abcd", 18),
            ("0af7651916cd43dd8448eb211c80319c", 18),
            ("0AF7651916CD43DD8448EB211C80319C", 32),
            ("0190C0DE-0000-7000-8000-00000000ABCD", 36),
            ("0190c0de00000-7000-8000-00000000-bcd", 36),
            ("short", 5),
            ("übung-macht-den-meister-und-so-wei", 36),
        ] {
            let record = RequestRecord { trace: Some(text.into()), ..RequestRecord::default() };
            let bytes = encode(&record, false, &mut Nameless);
            assert!(bytes.len() <= most + 6, "{text}: {}", bytes.len());
            assert_eq!(decode(&bytes, &Nameless).unwrap().trace.as_deref(), Some(text));
        }
    }

    #[test]
    fn bytes_of_the_first_layout_are_read() {
        // Version 1: model "m", started 5, one attempt with channel "c" and status 200.
        let bytes = [1, 5, 1, b'm', 10, 5, 41, 7, 1, 3, 1, b'c', 16, 0xc8, 1];
        let record = decode(&bytes, &Nameless).unwrap();
        assert_eq!((record.model.as_str(), record.started), ("m", 5));
        assert_eq!((record.attempts[0].channel.as_str(), record.attempts[0].status), ("c", Some(200)));
    }

    #[test]
    fn texts_that_stand_by_number_in_older_bytes_are_read() {
        // Model, path, a loss and the reason of a plan in words: all by number, as they once were.
        let mut names = Numbers::default();
        for text in ["m", "/v1/responses/resp_1", "top_k: no equivalent", "30 ms, 2 under way"] {
            names.id(text, Room::Own);
        }
        let bytes = [2, 4, 0, 10, 5, 20, 1, 46, 2, 67, 3, 2, 8, 3];
        let record = decode(&bytes, &names).unwrap();
        assert_eq!((record.model.as_str(), record.started), ("m", 5));
        assert_eq!(
            (record.path.as_str(), &*record.losses),
            ("/v1/responses/resp_1", &["top_k: no equivalent".to_owned()][..])
        );
        assert_eq!(record.plan, [PlannedDeployment::default()], "the reason in words is passed over");
        assert_eq!(decode(&encode(&record, false, &mut names), &names).unwrap(), record);
    }

    #[test]
    fn what_anybody_may_make_up_takes_no_number() {
        let mut names = Numbers::default();
        let refused = |n: u32| RequestRecord {
            path: format!("/v1/models/nobody-{n}"),
            model: format!("nobody-{n}"),
            error: Some("unauthorized".into()),
            losses: vec![format!("tools.{n}: gone")],
            ..RequestRecord::default()
        };
        for n in 0..3 {
            let bytes = encode(&refused(n), false, &mut names);
            assert_eq!(decode(&bytes, &names).unwrap(), refused(n));
            let model = numbered(&bytes).find(|(dimension, _)| *dimension == Dimension::Model);
            assert_eq!(model, Some((Dimension::Model, None)));
        }
        assert_eq!(names.0, ["unauthorized"]);
        // Somebody offers it: from then on it goes by number, for those that are refused too.
        let offered = RequestRecord { channel: Some("main".into()), ..refused(1) };
        encode(&offered, false, &mut names);
        assert_eq!(names.0, ["unauthorized", "nobody-1", "main"]);
        let model = numbered(&encode(&refused(1), false, &mut names)).next();
        assert_eq!(model, Some((Dimension::Model, Some(1))));
    }

    #[test]
    fn every_field_comes_back() {
        assert_eq!(decode(&encode(&full(), true, &mut Nameless), &Nameless).unwrap(), full());
        let empty = RequestRecord::default();
        assert_eq!(decode(&encode(&empty, true, &mut Nameless), &Nameless).unwrap(), empty);
    }

    #[test]
    fn a_usual_record_is_small() {
        let mut names = Numbers::default();
        let record = RequestRecord { attempts: full().attempts[..1].to_vec(), budgets: Vec::new(), ..full() };
        let counted = RequestRecord { budgets: full().budgets, ..record.clone() };
        encode(&counted, false, &mut names);
        let size = encode(&record, false, &mut names).len();
        assert!(size < 250, "{size} bytes");
        let more = encode(&counted, false, &mut names).len() - size;
        assert!(more < 20, "{more} bytes for a budget");
        let size = encode(&record, false, &mut Nameless).len();
        assert!(size < 500, "{size} bytes");
    }

    #[test]
    fn unknown_fields_of_a_newer_writer_are_skipped() {
        let mut bytes = encode(&full(), true, &mut Nameless);
        let mut nameless = Nameless;
        let mut newer = Writer::new(VERSION, 0, &mut nameless);
        newer.bytes(99, b"from the future");
        newer.number(100, 7);
        bytes.extend(&newer.out[1..]);
        assert_eq!(decode(&bytes, &Nameless).unwrap(), full());
        bytes[0] = VERSION + 1;
        assert!(decode(&bytes, &Nameless).is_none(), "a new layout is not guessed at");
    }

    #[test]
    fn filters_read_the_head_only() {
        let mut names = Numbers::default();
        let stored = encode(&full(), false, &mut names);
        let written_out = encode(&full(), false, &mut Nameless);
        let find = |text: &str| names.0.iter().position(|own| own == text).map(|at| at as u32);
        let want = |dimension, text: &str| Want::new(dimension, &[text.to_owned()], find);
        let met = [
            (Dimension::Model, "claude-sonnet"),
            (Dimension::Channel, "main"),
            (Dimension::Key, "key_1"),
            (Dimension::State, "interrupted"),
            (Dimension::Status, "200"),
            (Dimension::Provider, "deepseek"),
            (Dimension::UpstreamModel, "deepseek-chat"),
            (Dimension::Format, "anthropic-messages"),
            (Dimension::Profile, "cheap"),
            (Dimension::Tool, "claude-code"),
            (Dimension::Error, "upstream_failed"),
            (Dimension::Owner, "org_1"),
            (Dimension::Tag, "eu"),
            (Dimension::Cache, "miss"),
        ];
        assert_eq!(met.len(), Dimension::ALL.len());
        let all: Vec<Want> = met.iter().map(|(dimension, text)| want(*dimension, text)).collect();
        for bytes in [&stored, &written_out] {
            assert!(matches(&bytes[..bytes.len() - 1], &all), "what stands behind the head is not looked at");
            for (dimension, text) in met {
                assert!(!matches(bytes, &[want(dimension, "other")]), "{dimension:?}");
                assert!(!matches(bytes, &[want(dimension, "")]), "{dimension:?}");
                let either = Want::new(dimension, &["other".to_owned(), text.to_owned()], find);
                assert!(matches(bytes, &[either]), "{dimension:?}");
            }
        }
        let empty = encode(&RequestRecord::default(), false, &mut Nameless);
        assert!(!matches(&empty, &[want(Dimension::Channel, "main")]));
        assert!(matches(&empty, &[want(Dimension::Channel, ""), want(Dimension::Cache, "none")]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, &Nameless);
            let _ = decode(&[[VERSION].as_slice(), &bytes].concat(), &Nameless);
            let _ = matches(&bytes, &[Want::new(Dimension::Model, &["x".to_owned()], |_| None)]);
        }

        #[test]
        fn numbers_of_either_sign_come_back(value in any::<i64>()) {
            let record = RequestRecord { cost: Some(NanoUsd(value)), ..RequestRecord::default() };
            prop_assert_eq!(decode(&encode(&record, false, &mut Nameless), &Nameless).unwrap(), record);
        }

        #[test]
        fn any_text_comes_back(text in ".{0,40}", hex in "[0-9a-f]{0,40}") {
            for text in [text, hex] {
                let record = RequestRecord { trace: Some(text.clone()), model: text, ..RequestRecord::default() };
                prop_assert_eq!(decode(&encode(&record, false, &mut Nameless), &Nameless).unwrap(), record);
            }
        }
    }
}
