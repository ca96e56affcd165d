//! What a failure of an attempt says about the deployment, the credential or the channel, and for how long: one table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{GatewayError, Kind, Retry, codes};
use myelin_protocol::ApiErrorKind;

/// What went wrong, as far as it says something about who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Fault)]
pub enum Failure {
    /// The provider's limit on requests or tokens.
    RateLimited,
    /// The provider refuses the credential.
    BadKey,
    /// The credential is not for this.
    Forbidden,
    /// The account has no money.
    NoCredit,
    /// The provider does not have the model.
    UnknownModel,
    /// The provider has no room.
    Overloaded,
    /// The provider failed.
    Failed,
    /// It took too long.
    TimedOut,
    /// Nobody answered at the address.
    Unreachable,
    /// A rule of the owner took it out.
    Rule,
}

/// Whom a failure takes out of rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One model of one channel.
    Deployment,
    /// One credential, for all models of its channel.
    Credential,
    /// One credential for one model.
    Lane,
    /// Everything at the channel.
    Channel,
}

/// What a kind of failure does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) scope: Scope,
    /// So many in a row take it out; 0: as many as the settings say.
    pub(crate) after: u32,
    /// For how long at first; zero: as the settings say. Doubled each time that it fails right after.
    pub(crate) first: Duration,
    /// And at most; zero: as the settings say.
    pub(crate) most: Duration,
    /// The words for people.
    pub(crate) words: &'static str,
}

const fn effect(scope: Scope, after: u32, first_s: u64, most_s: u64, words: &'static str) -> Effect {
    Effect { scope, after, first: Duration::from_secs(first_s), most: Duration::from_secs(most_s), words }
}

impl Failure {
    /// Every failure with its effect.
    const TABLE: [(Failure, Effect); 10] = [
        (Failure::RateLimited, effect(Scope::Lane, 1, 5, 60, "the provider's rate limit")),
        (Failure::BadKey, effect(Scope::Credential, 1, 60, 1_800, "the provider refuses the key")),
        (Failure::Forbidden, effect(Scope::Lane, 1, 60, 1_800, "the key is not for this model")),
        (Failure::NoCredit, effect(Scope::Credential, 1, 300, 3_600, "the account has no credit")),
        (Failure::UnknownModel, effect(Scope::Deployment, 1, 60, 1_800, "the provider does not have the model")),
        (Failure::Overloaded, effect(Scope::Deployment, 2, 5, 60, "the provider is overloaded")),
        (Failure::Failed, effect(Scope::Deployment, 0, 0, 0, "the provider fails")),
        (Failure::TimedOut, effect(Scope::Deployment, 0, 0, 0, "the provider takes too long")),
        (Failure::Unreachable, effect(Scope::Channel, 0, 0, 0, "the provider cannot be reached")),
        (Failure::Rule, effect(Scope::Credential, 1, 3_600, 3_600, "a rule of the channel")),
    ];

    /// What it does.
    pub(crate) fn effect(self) -> Effect {
        const USUAL: Effect = effect(Scope::Deployment, 0, 0, 0, "the provider fails");
        Self::TABLE.iter().find(|(failure, _)| *failure == self).map_or(USUAL, |(_, effect)| *effect)
    }

    /// The words for people.
    pub fn words(self) -> &'static str {
        self.effect().words
    }

    /// What a failed attempt says about who was asked. `None`: nothing, it was the request's own fault or ours. `status`: HTTP status of the provider's
    /// answer, if there was one.
    pub fn of(error: &GatewayError, status: Option<u16>) -> Option<Self> {
        Some(match (error.kind, error.public.kind) {
            (Kind::UpstreamRateLimited, _) => Self::RateLimited,
            (Kind::UpstreamDenied, ApiErrorKind::Billing) => Self::NoCredit,
            (Kind::UpstreamDenied, _)
                if status == Some(403) || error.public.code.as_deref() == Some(codes::NOT_FOR_THIS) =>
            {
                Self::Forbidden
            }
            (Kind::UpstreamDenied, _) => Self::BadKey,
            (Kind::UpstreamFailed, ApiErrorKind::Overloaded) => Self::Overloaded,
            (Kind::UpstreamFailed, _) if status.is_none() => Self::Unreachable,
            (Kind::UpstreamFailed, _) => Self::Failed,
            (Kind::Timeout, _) => Self::TimedOut,
            (Kind::UpstreamRejected, ApiErrorKind::UnknownModel | ApiErrorKind::NotFound) => Self::UnknownModel,
            _ => return None,
        })
    }

    /// The same where it was no conversation that failed: one endpoint that hangs up is not the whole host.
    pub(crate) fn beside(self, error: &GatewayError) -> Self {
        match self {
            Self::Unreachable if error.public.code.as_deref() != Some(codes::CONNECT) => Self::Failed,
            own => own,
        }
    }

    /// How long the provider asks to be left alone.
    pub fn wait(error: &GatewayError) -> Option<Duration> {
        match error.retry {
            Retry::Again { after: Some(after) } => Some(after),
            _ => error.public.retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_they_mean_for_whom() {
        let of = |kind: Kind, status| Failure::of(&GatewayError::new(kind, ""), status);
        assert_eq!(of(Kind::UpstreamRateLimited, Some(429)), Some(Failure::RateLimited));
        assert_eq!(of(Kind::UpstreamDenied, Some(401)), Some(Failure::BadKey));
        assert_eq!(of(Kind::UpstreamDenied, Some(403)), Some(Failure::Forbidden));
        assert_eq!(of(Kind::UpstreamFailed, Some(500)), Some(Failure::Failed));
        assert_eq!(of(Kind::UpstreamFailed, None), Some(Failure::Unreachable));
        assert_eq!(of(Kind::Timeout, None), Some(Failure::TimedOut));
        for innocent in [Kind::UpstreamRejected, Kind::ClientGone, Kind::Internal, Kind::Unsupported, Kind::RateLimited]
        {
            assert_eq!(of(innocent, Some(400)), None, "{innocent:?}");
        }
        assert!(Failure::TABLE.iter().all(|(failure, effect)| failure.effect().words == effect.words));
        assert_eq!(Failure::BadKey.effect().scope, Scope::Credential);
    }
}
