//! Our own cases: `tests/golden/<format>/<case>.{request.json,response.json,stream.txt}`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use myelin_protocol::ApiFormat;

/// One case; at least one of its files is there.
#[derive(Debug, Clone)]
pub struct Golden {
    pub format: ApiFormat,
    pub name: String,
    pub request: Option<Vec<u8>>,
    pub response: Option<Vec<u8>>,
    /// As the provider sends it. AWS event streams are written as one `event-type payload` a line and framed here.
    pub stream: Option<Vec<u8>>,
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every case of every format, in order.
pub fn cases() -> Vec<Golden> {
    let mut found = Vec::new();
    for format in ApiFormat::ALL {
        let mut by_name: BTreeMap<String, Golden> = BTreeMap::new();
        let folder = folder().join(format.as_str());
        let entries = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        for path in entries {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let (name, kind) = file.split_once('.').unwrap_or_else(|| panic!("{file}: no kind"));
            let golden = by_name.entry(name.to_owned()).or_insert_with(|| Golden {
                format,
                name: name.to_owned(),
                request: None,
                response: None,
                stream: None,
            });
            let bytes = fs::read(&path).unwrap();
            match kind {
                "request.json" => golden.request = Some(bytes),
                "response.json" => golden.response = Some(bytes),
                "stream.txt" => golden.stream = Some(framed(format, bytes)),
                _ => panic!("{file}: neither request, response nor stream"),
            }
        }
        found.extend(by_name.into_values());
    }
    found
}

/// The bytes of a stream as they come over the wire.
fn framed(format: ApiFormat, text: Vec<u8>) -> Vec<u8> {
    if format != ApiFormat::BedrockConverse {
        return text;
    }
    let text = String::from_utf8(text).unwrap();
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (event, payload) = line.split_once(' ').unwrap();
        message(event, payload.as_bytes(), &mut out);
    }
    out
}

/// Writes one AWS message; an event type that ends in `Exception` is an exception.
pub fn message(event: &str, payload: &[u8], out: &mut Vec<u8>) {
    let exception = event.ends_with("Exception");
    let (kind, name) = if exception { ("exception", ":exception-type") } else { ("event", ":event-type") };
    let mut headers = Vec::new();
    for (name, value) in [(name, event), (":content-type", "application/json"), (":message-type", kind)] {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let start = out.len();
    out.extend_from_slice(&((headers.len() + payload.len() + 16) as u32).to_be_bytes());
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    let prelude = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&prelude.to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    let whole = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&whole.to_be_bytes());
}
