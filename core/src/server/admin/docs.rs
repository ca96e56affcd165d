//! `/docs`: the API's description as a plain page, without scripts and without anything from elsewhere.

use std::fmt::Write as _;

use utoipa::openapi::OpenApi;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
code{font-family:ui-monospace,monospace}li{margin:.3rem 0}b{display:inline-block;min-width:4.5rem}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8cf}}";

/// The page.
pub(super) fn page(document: &OpenApi) -> String {
    let tree = serde_json::to_value(document).unwrap_or_default();
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Myelin admin API</title><style>{STYLE}</style><h1>Myelin admin API</h1>\
         <p>Send an admin token as <code>authorization: Bearer mya-…</code>. The whole description is at \
         <a href=\"/openapi.json\">/openapi.json</a>.</p>"
    );
    let paths = tree.get("paths").and_then(|paths| paths.as_object());
    let mut tag = String::new();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let own = operation.pointer("/tags/0").and_then(|tag| tag.as_str()).unwrap_or_default();
            if own != tag {
                own.clone_into(&mut tag);
                let _ = write!(page, "<h2>{}</h2>", escape(own));
            }
            let summary = operation.get("summary").and_then(|summary| summary.as_str()).unwrap_or_default();
            let _ = write!(
                page,
                "<p><b>{}</b> <code>{}</code> {}</p>",
                escape(&method.to_uppercase()),
                escape(path),
                escape(summary)
            );
        }
    }
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
