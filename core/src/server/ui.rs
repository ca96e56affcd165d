//! The web console: files that were built from `ui/` and put into the binary. Owns how they are served; must not know what they show.
//!
//! The console lives at `/` and its pages at paths of their own (`/requests`, `/costs` …). Those are not listed here: whoever asks for a page (`GET`,
//! `Accept: text/html`) at an address that nothing else answers gets the console, which then shows its own "no such page". Programs never send that
//! header, so a mistyped API address still answers 404 in the caller's format, and `/` still tells Ollama's programs that a server is up.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// What the build wrote; empty when the binary was built without it. Debug builds read the folder at every request.
#[derive(rust_embed::Embed)]
#[folder = "../ui/dist"]
#[allow_missing = true]
struct Files;

/// The page that every address of the console begins with.
const INDEX: &str = "index.html";
/// Names under here carry a hash of their content, so they never change.
const HASHED: &str = "assets/";

/// Compressed twins that the build wrote beside a file, best first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// Content types of everything that the build writes.
const TYPES: [(&str, &str); 8] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("webmanifest", "application/manifest+json"),
];

/// On every answer. No address but our own; styles may be set by script because dialogs lock the page's scrolling that way.
const SAFETY: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// What is shown where the console was not built.
const UNBUILT: &str = "<!doctype html><meta charset=utf-8><title>Myelin</title><p>Myelin is running, but this binary was built without its console. \
`cargo xtask run` builds both. The admin API is described at <a href=/docs>/docs</a>.\n";

/// Whether this is a browser that wants to see a page.
pub(super) fn wants_page(method: &Method, headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    (method == Method::GET || method == Method::HEAD) && accepts.to_ascii_lowercase().contains("text/html")
}

/// The console's first page.
pub(super) fn page(headers: &HeaderMap) -> Response {
    file(INDEX, headers).unwrap_or_else(|| {
        let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        safe((kind, UNBUILT).into_response())
    })
}

/// A file of the console by its path, without the leading slash; `None`: there is none.
pub(super) fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let (_, kind) =
        TYPES.iter().find(|(ending, _)| path.rsplit_once('.').is_some_and(|(_, found)| found == *ending))?;
    let plain = Files::get(path)?;
    let tag = etag(&plain.metadata.sha256_hash());
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (data, encoding) = encoded(path, headers).unwrap_or((plain.data, None));
        let mut response = Response::new(Body::from(data.into_owned()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(encoding) = encoding {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let kept = response.headers_mut();
    kept.insert(ETAG, HeaderValue::from_str(&tag).ok()?);
    kept.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    kept.insert(VARY, HeaderValue::from_static("accept-encoding"));
    Some(safe(response))
}

type Data = std::borrow::Cow<'static, [u8]>;

/// The best compressed twin that the caller takes.
fn encoded(path: &str, headers: &HeaderMap) -> Option<(Data, Option<&'static str>)> {
    let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
    ENCODINGS.iter().filter(|(name, _)| takes(accepted, name)).find_map(|(name, ending)| {
        let file = Files::get(&format!("{path}{ending}"))?;
        Some((file.data, Some(*name)))
    })
}

/// Whether `Accept-Encoding` names this encoding and does not rule it out.
fn takes(accepted: &str, name: &str) -> bool {
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        let refused = parts.any(|part| {
            part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
        });
        named && !refused
    })
}

/// Weak, because the compressed twins share it.
fn etag(hash: &[u8]) -> String {
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

/// Whether the caller already has the file with this tag.
fn known(headers: &HeaderMap, tag: &str) -> bool {
    let sent = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    sent.split(',').any(|found| found.trim() == tag)
}

fn safe(mut response: Response) -> Response {
    for (name, value) in SAFETY {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_browsers_that_look_for_a_page_get_one() {
        let browser = headers(&[(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")]);
        assert!(wants_page(&Method::GET, &browser));
        assert!(!wants_page(&Method::POST, &browser));
        for program in ["", "*/*", "application/json"] {
            assert!(!wants_page(&Method::GET, &headers(&[(ACCEPT, program)])), "{program}");
        }
        assert!(!wants_page(&Method::HEAD, &HeaderMap::new()));
    }

    #[test]
    fn an_encoding_is_used_only_if_the_caller_takes_it() {
        assert!(takes("gzip, deflate, br", "br"));
        assert!(takes("gzip;q=0.5,BR;q=1.0", "br"));
        assert!(!takes("gzip, br;q=0", "br"));
        assert!(!takes("gzip", "br"));
        assert!(!takes("brx", "br"));
    }

    #[test]
    fn a_tag_that_the_caller_has_is_recognised_in_a_list() {
        let tag = etag(&[0xab; 32]);
        assert_eq!(tag, "W/\"abababababababababababab\"");
        assert!(known(&headers(&[(IF_NONE_MATCH, &format!("\"x\", {tag}"))]), &tag));
        assert!(!known(&headers(&[(IF_NONE_MATCH, "\"x\"")]), &tag));
        assert!(!known(&HeaderMap::new(), &tag));
    }

    #[test]
    fn the_first_page_is_html_with_a_policy_whether_or_not_the_console_was_built() {
        let response = page(&HeaderMap::new());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    }

    #[test]
    fn built_files_are_compressed_tagged_and_hashed_ones_never_asked_for_again() {
        let Some(script) = Files::iter().find(|path| path.starts_with(HASHED) && path.ends_with(".js")) else {
            eprintln!("skipped: the console is not built (`npm run build` in ui/)");
            return;
        };
        let asked = headers(&[(ACCEPT_ENCODING, "gzip, br")]);
        let response = file(&script, &asked).unwrap();
        assert_eq!(response.headers()[CONTENT_ENCODING], "br");
        assert!(response.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert!(file(&script, &HeaderMap::new()).unwrap().headers().get(CONTENT_ENCODING).is_none());
        let tag = response.headers()[ETAG].to_str().unwrap().to_owned();
        let again = file(&script, &headers(&[(IF_NONE_MATCH, &tag)])).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(page(&HeaderMap::new()).headers()[CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn what_was_not_built_is_not_there() {
        assert!(file("assets/none.js", &HeaderMap::new()).is_none());
        assert!(file("../index.html", &HeaderMap::new()).is_none());
        assert!(file("", &HeaderMap::new()).is_none());
    }
}
