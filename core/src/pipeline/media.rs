//! Media that a request names by address, for providers that take none: fetched here, under guard, and put into the request.
//!
//! The address comes from a caller: only the public internet is reached (unless the owner opens it), redirects are followed a few times under the same
//! guard, and sizes and times are limited. What cannot be fetched stays an address; the encoder reports the loss.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use myelin_protocol::ApiFormat;
use myelin_protocol::formats::media;
use myelin_protocol::ir::ChatRequest;

use crate::upstream::{Body, Client};

/// Most addresses of one request.
const MOST: usize = 32;
/// Largest file.
const BYTES: usize = 32 << 20;
/// Most bytes of one request.
const ALL_BYTES: usize = 64 << 20;
/// Longest wait for one file.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most redirects.
const HOPS: usize = 4;

/// Fetches what `format` wants inline and puts it into `request`.
pub(crate) async fn fetch(request: &mut ChatRequest, format: ApiFormat, client: &Client) {
    let mut wanted: Vec<String> =
        media::to_fetch(request, format).into_iter().map(|place| place.address.to_owned()).collect();
    // The same picture stands in every turn of a conversation.
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return;
    }
    let mut found: HashMap<String, (String, Bytes)> = HashMap::new();
    let mut left = ALL_BYTES;
    for address in wanted.into_iter().take(MOST) {
        match tokio::time::timeout(PATIENCE, get(&address, client, BYTES.min(left))).await {
            Ok(Ok(file)) => {
                left = left.saturating_sub(file.1.len());
                found.insert(address, file);
            }
            Ok(Err(why)) => tracing::info!(why, "media could not be fetched"),
            Err(_) => tracing::info!("media took too long"),
        }
    }
    media::inline(request, format, |address| found.get(address).map(|(kind, bytes)| (kind.clone(), bytes.to_vec())));
}

async fn get(address: &str, client: &Client, limit: usize) -> Result<(String, Bytes), String> {
    let mut uri: Uri = address.parse().map_err(|_| "the address cannot be read".to_owned())?;
    for _ in 0..=HOPS {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri.clone();
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(concat!("myelin/", env!("CARGO_PKG_VERSION"))));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        let answer = client.send(request).await.map_err(|error| error.to_string())?;
        let header = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if answer.status().is_redirection() {
            let target = header(LOCATION).ok_or("a redirect leads nowhere")?;
            uri = follow(&uri, target)?;
            continue;
        }
        if !answer.status().is_success() {
            return Err(format!("the server answered {}", answer.status()));
        }
        let kind = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let bytes = answer.into_body().collect(limit).await.map_err(|error| error.to_string())?;
        return Ok((kind, bytes));
    }
    Err("too many redirects".to_owned())
}

/// Where a redirect leads: an absolute address, or a path on the same host.
fn follow(from: &Uri, target: &str) -> Result<Uri, String> {
    let wrong = |_| "a redirect leads to what is no address".to_owned();
    if target.starts_with("http://") || target.starts_with("https://") {
        return target.parse().map_err(wrong);
    }
    let path = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let host = from.authority().map(|authority| authority.as_str()).unwrap_or_default();
    format!("{}://{host}{path}", from.scheme_str().unwrap_or("http")).parse().map_err(wrong)
}
