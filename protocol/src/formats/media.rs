//! What codecs know about images, sound, films and documents: types by name and by first bytes, base64 in its dialects, and which
//! addresses the caller has to fetch for a format that takes no addresses.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::general_purpose::STANDARD};

use crate::ApiFormat;
use crate::ir::{ChatRequest, Content, Media, MediaKind, MediaSource, Part};

/// Reads both alphabets after [`standard_base64`] made them one, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Endings of file names and the types that they stand for. The first row of a type is its usual ending.
const ENDINGS: [(&str, &str); 27] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("bmp", "image/bmp"),
    ("avif", "image/avif"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("m4a", "audio/mp4"),
    ("aiff", "audio/aiff"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
    ("mpeg", "video/mpeg"),
    ("avi", "video/x-msvideo"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("json", "application/json"),
];

/// First bytes (from an offset) and the types that they stand for.
const MAGIC: [(usize, &[u8], &str); 13] = [
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (4, b"ftypheic", "image/heic"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"%PDF", "application/pdf"),
];

/// What a MIME type is. Types that nobody knows are documents.
pub(crate) fn kind_of(media_type: &str) -> MediaKind {
    match media_type.split('/').next().unwrap_or_default() {
        "image" => MediaKind::Image,
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// The type of inline bytes, from their first bytes.
pub(crate) fn sniff(data: &str) -> Option<&'static str> {
    // 24 bytes decide; a base64 quantum is four letters.
    let head: String = data.chars().take(32).map(to_standard).collect();
    let bytes = LENIENT.decode(head.trim_end_matches('=')).ok()?;
    MAGIC.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic))).map(|row| row.2)
}

/// The type of a file from the ending of its address; query and fragment do not count.
pub(crate) fn type_of_address(address: &str) -> Option<&'static str> {
    let path = address.split(['?', '#']).next()?;
    let name = path.rsplit('/').next()?;
    let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|row| row.1)
}

/// The type to name where one must be named and only the kind is known.
pub(crate) fn usual_type(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Audio => "audio/mpeg",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    }
}

/// Base64 in the standard alphabet with padding; protobuf's JSON and Python's Gemini library write the URL-safe one.
pub(crate) fn standard_base64(data: String) -> String {
    let clean = data.len().is_multiple_of(4)
        && !data.bytes().any(|byte| matches!(byte, b'-' | b'_') || byte.is_ascii_whitespace());
    if clean {
        return data;
    }
    let mut out: String = data.chars().filter(|letter| !letter.is_ascii_whitespace()).map(to_standard).collect();
    while !out.len().is_multiple_of(4) && out.len() % 4 != 1 {
        out.push('=');
    }
    out
}

/// The bytes of base64 in any dialect.
pub(crate) fn from_base64(data: &str) -> Option<Vec<u8>> {
    let standard: String = data.chars().map(to_standard).collect();
    LENIENT.decode(standard.trim_end_matches('=')).ok()
}

/// Standard base64 of `bytes`.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn to_standard(letter: char) -> char {
    match letter {
        '-' => '+',
        '_' => '/',
        letter => letter,
    }
}

/// One piece of media that lies at an address which `format` will not fetch itself.
#[derive(Debug, PartialEq, Eq)]
pub struct ToFetch<'a> {
    /// The address, `http` or `https`.
    pub address: &'a str,
    /// What the caller of the model says that it is.
    pub kind: MediaKind,
}

/// Whether a provider that speaks `format` may be handed an `http` address.
fn takes_addresses(format: ApiFormat) -> bool {
    match format {
        // Gemini takes its own files, Cloud Storage and YouTube, which are told apart below.
        ApiFormat::Gemini | ApiFormat::BedrockConverse | ApiFormat::OllamaChat | ApiFormat::OllamaGenerate => false,
        _ => true,
    }
}

/// Addresses that Gemini reads itself.
pub(crate) fn is_native_to_gemini(address: &str) -> bool {
    const PREFIXES: [&str; 5] = [
        "gs://",
        "https://generativelanguage.googleapis.com/",
        "https://www.youtube.com/",
        "https://youtube.com/",
        "https://youtu.be/",
    ];
    PREFIXES.iter().any(|prefix| address.starts_with(prefix))
}

/// The media of a request that must be fetched and put in by [`inline`] before it is encoded to `format`, in the order in which `inline`
/// visits them. This crate does no IO: what is not put in stays an address, with a loss.
pub fn to_fetch(request: &ChatRequest, format: ApiFormat) -> Vec<ToFetch<'_>> {
    let mut found = Vec::new();
    for message in &request.messages {
        collect(&message.parts, format, &mut found);
    }
    found
}

fn collect<'a>(parts: &'a [Part], format: ApiFormat, found: &mut Vec<ToFetch<'a>>) {
    for part in parts {
        match &part.content {
            Content::Media(media) => found.extend(wanted(media, format)),
            Content::ToolResult(result) => collect(&result.content, format, found),
            _ => {}
        }
    }
}

fn wanted(media: &Media, format: ApiFormat) -> Option<ToFetch<'_>> {
    let MediaSource::Url(address) = &media.source else { return None };
    let http = address.starts_with("http://") || address.starts_with("https://");
    let native = format == ApiFormat::Gemini && is_native_to_gemini(address);
    (http && !native && !takes_addresses(format)).then_some(ToFetch { address, kind: media.kind })
}

/// Puts fetched bytes into the places that [`to_fetch`] named: `fetched` is asked for every address and answers the MIME type (empty if the
/// server named none) and the bytes, or `None` to leave the address as it is.
pub fn inline(
    request: &mut ChatRequest,
    format: ApiFormat,
    mut fetched: impl FnMut(&str) -> Option<(String, Vec<u8>)>,
) {
    for message in &mut request.messages {
        put_in(&mut message.parts, format, &mut fetched);
    }
}

/// Answers what lies at an address: MIME type and bytes.
type Fetched<'f> = dyn FnMut(&str) -> Option<(String, Vec<u8>)> + 'f;

fn put_in(parts: &mut [Part], format: ApiFormat, fetched: &mut Fetched<'_>) {
    for part in parts {
        match &mut part.content {
            Content::Media(media) => {
                let Some((media_type, bytes)) = wanted(media, format).and_then(|place| fetched(place.address)) else {
                    continue;
                };
                let data = to_base64(&bytes);
                // Servers mislabel: the bytes know better than the header.
                let named = media_type.split(';').next().map(str::trim).filter(|name| !name.is_empty());
                let known = sniff(&data).map(str::to_owned).or_else(|| named.map(str::to_owned));
                media.media_type = known.or(media.media_type.take());
                media.source = MediaSource::Base64(data);
            }
            Content::ToolResult(result) => put_in(&mut result.content, format, fetched),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Message, Role};

    #[test]
    fn types_are_read_from_first_bytes() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"\x89PNG\r\n\x1a\n____", Some("image/png")),
            (b"\xff\xd8\xff\xe0aaaa", Some("image/jpeg")),
            (b"RIFF1234WEBPVP8 ", Some("image/webp")),
            (b"RIFF1234WAVEfmt ", Some("audio/wav")),
            (b"%PDF-1.7 and so on and on", Some("application/pdf")),
            (b"hello", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(sniff(&to_base64(bytes)), expected);
        }
        assert_eq!(sniff("\u{1F600} no base64"), None);
        assert_eq!(sniff(""), None);
    }

    #[test]
    fn base64_of_every_dialect_becomes_the_standard_one() {
        let bytes: Vec<u8> = (0..=255).collect();
        let standard = to_base64(&bytes);
        let url_safe = standard.replace('+', "-").replace('/', "_");
        assert_eq!(standard_base64(url_safe.clone()), standard);
        assert_eq!(standard_base64(url_safe.trim_end_matches('=').to_owned()), standard);
        assert_eq!(from_base64(url_safe.trim_end_matches('=')), Some(bytes));
        assert_eq!(from_base64("!!!"), None);
    }

    #[test]
    fn addresses_tell_their_type() {
        assert_eq!(type_of_address("https://a/b/c.PNG?x=1.pdf#y"), Some("image/png"));
        assert_eq!(type_of_address("https://a.com/"), None);
        assert_eq!(type_of_address("gs://bucket/film.mp4"), Some("video/mp4"));
    }

    #[test]
    fn only_what_the_format_cannot_fetch_is_asked_for_and_put_in() {
        let media = |address: &str| {
            Part::new(Content::Media(Media {
                kind: MediaKind::Image,
                source: MediaSource::Url(address.into()),
                media_type: None,
                name: None,
                detail: None,
            }))
        };
        let mut request = ChatRequest {
            messages: vec![Message::new(
                Role::User,
                vec![media("https://example.com/cat"), media("gs://bucket/cat.png"), media("https://youtu.be/x")],
            )],
            ..ChatRequest::default()
        };
        let wanted: Vec<_> =
            to_fetch(&request, ApiFormat::Gemini).iter().map(|place| place.address.to_owned()).collect();
        assert_eq!(wanted, ["https://example.com/cat"]);
        assert_eq!(to_fetch(&request, ApiFormat::OllamaChat).len(), 2);
        assert!(to_fetch(&request, ApiFormat::AnthropicMessages).is_empty());
        inline(&mut request, ApiFormat::Gemini, |_| Some(("text/html; charset=x".into(), b"GIF89a".to_vec())));
        let Content::Media(media) = &request.messages[0].parts[0].content else { panic!() };
        assert_eq!(media.media_type.as_deref(), Some("image/gif"));
        assert!(matches!(&media.source, MediaSource::Base64(data) if data == "R0lGODlh"));
        assert!(to_fetch(&request, ApiFormat::Gemini).is_empty());
    }
}
