//! Failures of the admin API: one shape, one status for each kind.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// For people.
    pub message: String,
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
        Self { status, body: FailureBody { kind: kind.to_owned(), message: message.into(), problems: Vec::new() } }
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
        let message = error.to_string();
        let (status, kind, problems) = match error {
            ChangeError::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", Vec::new()),
            ChangeError::Exists { .. } => (StatusCode::CONFLICT, "exists", Vec::new()),
            ChangeError::FileManaged { .. } => (StatusCode::CONFLICT, "file-managed", Vec::new()),
            ChangeError::Refused(_) => (StatusCode::CONFLICT, "refused", Vec::new()),
            ChangeError::Invalid { problems } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", problems),
            ChangeError::Store(error) => return error.into(),
        };
        Self { status, body: FailureBody { kind: kind.to_owned(), message, problems } }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed an admin request");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", error.to_string())
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
