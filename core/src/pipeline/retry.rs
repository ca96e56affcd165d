//! What follows on a failed attempt: never again, elsewhere, or the same deployment once more, and after how long.
//!
//! The failure's own meaning is the default ([`GatewayError::retry`]); what the owner says about its class wins, the narrowest place first. Second tries
//! at the same deployment, tries at one that failed lately, and hedges come out of a [`Budget`], so that a storm is not made worse; another deployment that is
//! well costs nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Job;
use crate::error::{GatewayError, Retry};
use crate::model::{self, CutStreams, FailureClass, Policy, RetryAction};
use crate::providers::LiveChannel;

/// What follows on one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub retry: Retry,
    /// How often one deployment may be asked again.
    pub same: u32,
    backoff: Duration,
    backoff_max: Duration,
    max_wait: Duration,
}

impl Verdict {
    /// What follows where nobody says anything.
    #[cfg(test)]
    pub(crate) fn usual(error: &GatewayError) -> Self {
        Self::of(error, &[])
    }

    /// What follows on `error`; `said` is what the owner says, the narrowest first.
    fn of(error: &GatewayError, said: &[&model::Retry]) -> Self {
        let ms = |pick: fn(&model::Retry) -> Option<u64>, usual: u64| {
            Duration::from_millis(said.iter().find_map(|retry| pick(retry)).unwrap_or(usual))
        };
        let action = error.class().and_then(|class| action(said, class));
        let hint = match error.retry {
            Retry::Again { after } => after,
            _ => error.public.retry_after,
        };
        let retry = match action {
            None => error.retry,
            Some(RetryAction::Never) => Retry::Never,
            Some(RetryAction::Elsewhere) => Retry::Elsewhere,
            Some(RetryAction::Again) => Retry::Again { after: hint },
        };
        // A limit without a hint is not reached again in a moment; who says "again" means it all the same.
        let retry = match retry {
            Retry::Again { after: None } if action.is_none() && error.class() == Some(FailureClass::RateLimit) => {
                Retry::Elsewhere
            }
            other => other,
        };
        Self {
            retry,
            same: said.iter().find_map(|retry| retry.same).unwrap_or(1),
            backoff: ms(|retry| retry.backoff_ms, 250),
            backoff_max: ms(|retry| retry.backoff_max_ms, 5_000),
            max_wait: ms(|retry| retry.max_wait_ms, 3_000),
        }
    }

    /// The wait before the deployment's `round`th second try (from 0); `None`: it is asked no more. `dice` in 0..1 spreads callers that failed together.
    pub(crate) fn wait(&self, round: u32, dice: f64) -> Option<Duration> {
        let Retry::Again { after } = self.retry else { return None };
        if round >= self.same || after.is_some_and(|after| after > self.max_wait) {
            return None;
        }
        let doubled = self.backoff.saturating_mul(1_u32.checked_shl(round).unwrap_or(u32::MAX)).min(self.backoff_max);
        // Never earlier than the provider says; the jitter comes on top.
        let spread = doubled.mul_f64(0.8 + 0.4 * dice.clamp(0.0, 1.0));
        Some(match after {
            Some(after) => after.saturating_add(spread / 4).max(spread),
            None => spread,
        })
    }
}

fn action(said: &[&model::Retry], class: FailureClass) -> Option<RetryAction> {
    said.iter().find_map(|retry| retry.on.get(&class)).copied()
}

impl Job {
    /// The policies that hold for this request, narrowest first.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Policy> {
        let record = self.settle.record();
        let route = record.route.as_deref().unwrap_or(&record.model);
        self.snapshot.policies(&self.caller.key, route, &self.caller.profile.name).into_iter().flatten()
    }

    /// The first policy that says something.
    pub(crate) fn policy<'a, T>(&'a self, pick: impl Fn(&'a Policy) -> Option<T>) -> Option<T> {
        self.policies().find_map(pick)
    }

    fn said<'a>(&'a self, channel: &'a LiveChannel, upstream: &'a str) -> Vec<&'a model::Retry> {
        channel.retry(upstream).chain(self.policies().map(|policy| &policy.retry)).collect()
    }

    /// What follows on a failure at this deployment.
    pub(crate) fn verdict(&self, channel: Option<&LiveChannel>, upstream: &str, error: &GatewayError) -> Verdict {
        match channel {
            Some(channel) => {
                let verdict = Verdict::of(error, &self.said(channel, upstream));
                let cut = error.class() == Some(FailureClass::Cut) && self.settle.record().stream;
                if cut && self.cut_streams(channel, upstream) == CutStreams::Off {
                    return Verdict { retry: Retry::Never, ..verdict };
                }
                verdict
            }
            None => Verdict::of(error, &[]),
        }
    }

    /// Whether an answer without content counts as a failure here.
    pub(crate) fn empty_fails(&self, channel: &LiveChannel, upstream: &str) -> bool {
        let action = action(&self.said(channel, upstream), FailureClass::Empty);
        action.is_some_and(|action| action != RetryAction::Never)
    }

    /// What follows here when a stream breaks off.
    pub(crate) fn cut_streams(&self, channel: &LiveChannel, upstream: &str) -> CutStreams {
        self.said(channel, upstream).iter().find_map(|retry| retry.cut_streams).unwrap_or_default()
    }

    /// Models to go to on a failure of this class.
    pub(crate) fn fallback(&self, class: FailureClass) -> Vec<String> {
        let named = |names: &Vec<String>| (!names.is_empty()).then(|| names.clone());
        let found = match class {
            FailureClass::ContextLength => self.policy(|policy| named(&policy.context_fallback)),
            FailureClass::ContentPolicy => self.policy(|policy| named(&policy.content_fallback)),
            _ => None,
        };
        found.unwrap_or_default()
    }
}

/// Second tries that may still be made: each request adds a part of one, and one comes back every second.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In hundredths of a try.
    left: AtomicU64,
    /// When time last added something, in seconds.
    second: AtomicU64,
}

/// No more is saved up than this.
const MOST: u64 = 50 * 100;
/// Time alone fills up to this.
const FLOOR: u64 = 10 * 100;

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU64::new(FLOOR), second: AtomicU64::new(0) }
    }
}

impl Budget {
    /// A request came: so many hundredths of a try are added.
    pub(crate) fn earn(&self, percent: u32) {
        if self.left.load(Ordering::Relaxed) < MOST {
            self.left.fetch_add(u64::from(percent), Ordering::Relaxed);
        }
    }

    /// Takes one try. `false`: there is none left.
    pub(crate) fn spend(&self, now_us: u64) -> bool {
        self.take(now_us, 100)
    }

    /// Whether there is a try left. Somebody else may take it.
    pub(crate) fn has(&self, now_us: u64) -> bool {
        self.take(now_us, 0) && self.left.load(Ordering::Relaxed) >= 100
    }

    /// Adds what time brought, and takes so many hundredths of a try, if they are there.
    fn take(&self, now_us: u64, hundredths: u64) -> bool {
        let now = now_us / 1_000_000;
        let before = self.second.fetch_max(now, Ordering::Relaxed);
        let gone = now.saturating_sub(before).min(FLOOR / 100) * 100;
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            let filled = if left < FLOOR { (left + gone).min(FLOOR) } else { left };
            filled.checked_sub(hundredths)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::{Kind, codes};

    fn said(value: serde_json::Value) -> model::Retry {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_narrowest_word_about_a_class_wins() {
        let timeout = GatewayError::new(Kind::Timeout, "late").retry(Retry::Elsewhere);
        let narrow = said(json!({"on": {"timeout": "again"}, "same": 3}));
        let wide = said(json!({"on": {"timeout": "never", "cut": "never"}, "same": 9, "backoff_ms": 10}));
        assert_eq!(Verdict::of(&timeout, &[]).retry, Retry::Elsewhere);
        assert_eq!(Verdict::of(&timeout, &[&wide]).retry, Retry::Never);
        let both = Verdict::of(&timeout, &[&narrow, &wide]);
        assert_eq!((both.retry, both.same, both.backoff), (Retry::Again { after: None }, 3, Duration::from_millis(10)));
        let cut = GatewayError::new(Kind::UpstreamFailed, "cut").retry(Retry::Again { after: None }).code(codes::CUT);
        assert_eq!(Verdict::of(&cut, &[&narrow, &wide]).retry, Retry::Never);
    }

    #[test]
    fn waits_double_up_to_a_cap_and_hints_are_obeyed_and_capped() {
        let rules = said(json!({"same": 5, "backoff_ms": 100, "backoff_max_ms": 300, "max_wait_ms": 2_000}));
        let failed = |after: Option<u64>| {
            let retry = Retry::Again { after: after.map(Duration::from_millis) };
            Verdict::of(&GatewayError::new(Kind::UpstreamFailed, "x").retry(retry), &[&rules])
        };
        let waits: Vec<_> = (0..6).map(|round| failed(None).wait(round, 0.5).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(100), Some(200), Some(300), Some(300), Some(300), None]);
        assert_eq!(failed(None).wait(0, 0.0), Some(Duration::from_millis(80)));
        assert_eq!(failed(None).wait(0, 1.0), Some(Duration::from_millis(120)));
        assert!(failed(Some(1_500)).wait(0, 0.0).unwrap() >= Duration::from_millis(1_500), "never earlier than asked");
        assert_eq!(failed(Some(2_001)).wait(0, 0.5), None, "nobody waits that long");
    }

    #[test]
    fn a_limit_without_a_hint_leads_elsewhere_unless_the_owner_says_again() {
        let limited = GatewayError::new(Kind::UpstreamRateLimited, "x").retry(Retry::Again { after: None });
        assert_eq!(Verdict::of(&limited, &[]).retry, Retry::Elsewhere);
        let again = said(json!({"on": {"rate-limit": "again"}}));
        assert_eq!(Verdict::of(&limited, &[&again]).retry, Retry::Again { after: None });
    }

    #[test]
    fn a_storm_uses_the_budget_up_and_time_and_requests_fill_it() {
        let budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.spend(0)).count(), 10);
        for _ in 0..10 {
            budget.earn(20);
        }
        assert_eq!((0..100).filter(|_| budget.spend(0)).count(), 2);
        assert_eq!((0..100).filter(|_| budget.spend(3_000_000)).count(), 3);
        for _ in 0..100_000 {
            budget.earn(100);
        }
        assert!(budget.has(3_000_000));
        assert_eq!((0..1_000).filter(|_| budget.spend(3_000_000)).count(), 50, "no more is saved up");
        assert!(!budget.has(3_000_000) && budget.has(4_000_000), "to look at it takes nothing");
        assert_eq!((0..100).filter(|_| budget.spend(4_000_000)).count(), 1);
    }
}
