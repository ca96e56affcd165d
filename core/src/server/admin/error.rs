//! Failures of the admin API: one shape, one status for each kind.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Told;
use crate::model::check::Problem;
use crate::store::{ChangeError, StoreError};

/// Every answer that is no success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What went wrong.
    pub error: FailureBody,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailureBody {
    /// `unauthorized`, `not-found`, `exists`, `file-managed`, `refused`, `invalid`, `upstream`, `store`.
    pub kind: String,
    /// Which sentence the message is, where it has a code: one code for one text, such as `no-such-thing`.
    #[schema(value_type = String)]
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub code: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// What stands in the message, by name.
    #[schema(value_type = BTreeMap<String, String>)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Cow<'static, str>, String>,
    /// Each thing that is wrong with what was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// A failure with its status.
#[derive(Debug)]
pub(crate) struct AdminError {
    status: StatusCode,
    body: FailureBody,
}

impl AdminError {
    pub(crate) fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        let told = Told { code: Cow::Borrowed(""), words: message.into(), values: BTreeMap::new() };
        Self::told(status, kind, told)
    }

    /// Something that the console's people meet: it has a code, so that they read it in their language.
    pub(crate) fn told(status: StatusCode, kind: &str, told: Told) -> Self {
        let Told { code, words: message, values } = told;
        Self { status, body: FailureBody { kind: kind.to_owned(), code, message, values, problems: Vec::new() } }
    }

    /// What was sent makes no sense, for people.
    pub(crate) fn wrong(told: Told) -> Self {
        Self::told(StatusCode::BAD_REQUEST, "invalid", told)
    }

    /// What was sent makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// There is no such thing.
    pub(crate) fn missing(what: &'static str, name: &str) -> Self {
        ChangeError::NotFound { what, name: name.to_owned() }.into()
    }
}

impl From<ChangeError> for AdminError {
    fn from(error: ChangeError) -> Self {
        let told = error.told();
        let (status, kind, problems) = match error {
            ChangeError::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", Vec::new()),
            ChangeError::Exists { .. } => (StatusCode::CONFLICT, "exists", Vec::new()),
            ChangeError::FileManaged { .. } => (StatusCode::CONFLICT, "file-managed", Vec::new()),
            ChangeError::Refused(_) => (StatusCode::CONFLICT, "refused", Vec::new()),
            ChangeError::Invalid { problems } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", problems),
            ChangeError::Store(error) => return error.into(),
        };
        let mut refusal = Self::told(status, kind, told);
        refusal.body.problems = problems;
        refusal
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed an admin request");
        Self::told(StatusCode::INTERNAL_SERVER_ERROR, "store", error.told())
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.status, axum::Json(Failure { error: self.body })).into_response()
    }
}

/// The answer under `/api/v1` where nothing is.
pub(super) async fn not_found() -> Response {
    AdminError::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address of the admin API")
        .into_response()
}
