use super::*;

fn sample() -> Vec<u8> {
    let mut out = Vec::new();
    write_event(&mut out, "messageStart", br#"{"role":"assistant"}"#).unwrap();
    write_message(
        &mut out,
        &[
            (":message-type", HeaderValue::String("error")),
            (":error-code", HeaderValue::String("InternalError")),
            (":error-message", HeaderValue::String("it \"broke\"")),
        ],
        b"",
    )
    .unwrap();
    write_exception(&mut out, "throttlingException", br#"{"message":"slow down"}"#).unwrap();
    out
}

type Seen = (Option<String>, bool, Vec<u8>);

fn read(pieces: &[&[u8]]) -> Result<Vec<Seen>, FramingError> {
    let mut reader = AwsEventStreamReader::with_limit(1024);
    let mut seen = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        while let Some(frame) = reader.next(&mut input)? {
            seen.push((frame.event.map(str::to_owned), frame.exception, frame.data.to_vec()));
        }
        assert!(input.is_empty());
    }
    assert_eq!(reader.finish()?, None);
    Ok(seen)
}

#[test]
fn events_exceptions_and_errors_come_out_as_frames() {
    let seen = read(&[&sample()]).unwrap();
    assert_eq!(seen[0], (Some("messageStart".into()), false, br#"{"role":"assistant"}"#.to_vec()));
    assert_eq!(seen[1], (Some("InternalError".into()), true, br#"{"message":"it \"broke\""}"#.to_vec()));
    assert_eq!(seen[2], (Some("throttlingException".into()), true, br#"{"message":"slow down"}"#.to_vec()));
    assert_eq!(seen.len(), 3);
}

#[test]
fn every_split_gives_the_same_frames() {
    let bytes = sample();
    let whole = read(&[&bytes]).unwrap();
    for first in 0..=bytes.len() {
        assert_eq!(read(&[&bytes[..first], &bytes[first..]]).unwrap(), whole, "split at {first}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single).unwrap(), whole);
}

#[test]
fn any_flipped_bit_is_noticed() {
    let mut bytes = Vec::new();
    write_event(&mut bytes, "x", b"{}").unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << bit;
            assert!(read(&[&broken]).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_stream_that_ends_inside_a_message_is_truncated() {
    let mut bytes = Vec::new();
    write_event(&mut bytes, "x", b"{}").unwrap();
    for end in 1..bytes.len() {
        assert_eq!(read(&[&bytes[..end]]), Err(FramingError::Truncated), "cut at {end}");
    }
    assert_eq!(read(&[]), Ok(Vec::new()));
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_kept() {
    let mut bytes = Vec::new();
    write_event(&mut bytes, "x", &[b' '; 2000]).unwrap();
    assert_eq!(read(&[&bytes[..12]]), Err(FramingError::TooLarge { limit: 1024 }));
}

#[test]
fn lengths_that_contradict_each_other_are_corrupt() {
    for (total, headers) in [(15u32, 0u32), (16, 1), (40, u32::MAX)] {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.resize(64, 0);
        assert!(matches!(read(&[&bytes]), Err(FramingError::Corrupt(_))), "{total} {headers}");
    }
}

#[test]
fn headers_of_every_type_come_back() {
    let headers = [
        ("t", HeaderValue::Bool(true)),
        ("f", HeaderValue::Bool(false)),
        ("b", HeaderValue::Byte(-7)),
        ("s", HeaderValue::Short(-300)),
        ("i", HeaderValue::Int(70_000)),
        ("l", HeaderValue::Long(-5_000_000_000)),
        ("y", HeaderValue::Bytes(&[0, 255])),
        ("w", HeaderValue::String("grüße")),
        ("m", HeaderValue::Timestamp(1_700_000_000_000)),
        ("u", HeaderValue::Uuid([9; 16])),
    ];
    let mut bytes = Vec::new();
    write_message(&mut bytes, &headers, b"payload").unwrap();
    let mut reader = AwsEventStreamReader::new();
    let mut input = &bytes[..];
    let message = reader.next_message(&mut input).unwrap().unwrap();
    assert_eq!(message.payload(), b"payload");
    assert_eq!(message.headers().collect::<Result<Vec<_>, _>>().unwrap(), headers);
}

#[test]
fn broken_headers_end_the_list_with_an_error() {
    // A name of five bytes of which two are there; sound checksums.
    let mut bytes = [19u32.to_be_bytes(), 3u32.to_be_bytes()].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend([5, b'a', b'b']);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    let message = Message::parse(&bytes).unwrap();
    let read: Vec<_> = message.headers().collect();
    assert!(matches!(read[..], [Err(FramingError::Corrupt(_))]));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut out = Vec::new();
    let long = "n".repeat(256);
    assert!(write_message(&mut out, &[(&long, HeaderValue::Bool(true))], b"").is_err());
    let value = "v".repeat(65_536);
    assert!(write_message(&mut out, &[("n", HeaderValue::String(&value))], b"").is_err());
    assert!(out.is_empty());
}
