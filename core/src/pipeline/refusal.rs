//! Why a request is turned away before anybody is asked: said once, for who made it and for `explain`.

use std::time::Duration;

use crate::error::{GatewayError, Kind};
use crate::model::Told;

/// A request that nobody is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    pub(crate) told: Told,
    /// When it may be asked again, and the code of that.
    pub(crate) wait: Option<(Duration, &'static str)>,
}

impl Refusal {
    pub(crate) fn new(kind: Kind, told: Told) -> Self {
        Self { kind, told, wait: None }
    }
}

impl From<Refusal> for GatewayError {
    fn from(refusal: Refusal) -> Self {
        let mut error = GatewayError::new(refusal.kind, refusal.told.words);
        if let Some((wait, code)) = refusal.wait {
            error.public.retry_after = Some(wait);
            error.public.code = Some(code.into());
        }
        error
    }
}
