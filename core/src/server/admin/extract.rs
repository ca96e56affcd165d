//! What handlers take from a request, with failures in the API's own shape.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::AdminError;

/// Largest body of an admin request.
const MOST_BYTES: usize = 4 << 20;

/// A JSON body.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, _: &S) -> Result<Self, AdminError> {
        let body = Limited::new(request.into_body(), MOST_BYTES).collect().await;
        let bytes = body
            .map_err(|_| AdminError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", "the body is larger than 4 MiB"))?
            .to_bytes();
        // Where everything is optional, saying nothing is fine.
        let bytes = if bytes.is_empty() { b"{}".as_slice() } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|why| AdminError::invalid(words(&why)))
    }
}

/// What is wrong with a body. Where it stands says something only as long as it is no JSON: whoever fills in a form has written no line.
fn words(why: &serde_json::Error) -> String {
    let words = why.to_string();
    match words.rsplit_once(" at line ") {
        Some((words, _)) if why.is_data() => words.to_owned(),
        _ => words,
    }
}

/// The query.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AdminError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|why| AdminError::invalid(why.body_text()))
    }
}

/// The name in the path.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|why| AdminError::invalid(why.body_text()))
    }
}

/// For PATCH: omitted is `None`, `null` is `Some(None)`.
pub(super) fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
