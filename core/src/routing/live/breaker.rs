//! Circuit breakers: closed, open for a while, half open for one probe. Reading is lock-free; only failures and recoveries take the lock, for a moment.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::model::BreakerSettings;

/// A probe that never came back lets another one go after this long.
const PROBE_MS: u64 = 60_000;
/// After so many answers in a row a recovered one counts as sound again.
const TRIAL: u32 = 5;
/// No cooldown lasts longer than this, but for rules without an end.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// Open until somebody closes it.
pub const FOR_GOOD: u64 = u64::MAX;
/// Calls that are needed before a share of failures says anything.
const ENOUGH_CALLS: u64 = 10;

/// Whether something may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Ready,
    /// One request may try.
    HalfOpen,
    /// Not before this moment; milliseconds since 1970.
    Benched(u64),
}

impl Standing {
    /// The worse of two.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Benched(a), Self::Benched(b)) => Self::Benched(a.max(b)),
            (Self::Benched(at), _) | (_, Self::Benched(at)) => Self::Benched(at),
            (Self::HalfOpen, _) | (_, Self::HalfOpen) => Self::HalfOpen,
            (Self::Ready, Self::Ready) => Self::Ready,
        }
    }
}

/// One breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Open up to then; 0: closed.
    until: AtomicU64,
    /// A probe is under way, up to then at most.
    probing: AtomicU64,
    /// There is something to forget when an answer comes.
    troubled: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Failures in a row.
    failures: u32,
    /// How often it opened without having been sound in between.
    level: u32,
    /// Answers since it closed, while on trial.
    answers: u32,
    why: Option<Failure>,
    /// The provider's words.
    words: String,
    /// When it opened.
    since: u64,
}

/// What people see of a breaker that is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BreakerView {
    /// `open`, `half-open` or `recovering`.
    pub state: String,
    /// What opened it.
    pub why: Failure,
    /// The last failure in words.
    #[serde(default)]
    pub words: String,
    /// When it opened; milliseconds since 1970.
    pub since: u64,
    /// When one request may try; milliseconds since 1970, `null`: not before somebody resets it.
    pub until: Option<u64>,
    /// How often it opened in a row.
    pub times: u32,
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedBreaker {
    pub(crate) until: u64,
    pub(crate) why: Failure,
    pub(crate) words: String,
    pub(crate) since: u64,
    pub(crate) level: u32,
}

/// One failure, with what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blow<'a> {
    pub(crate) failure: Failure,
    /// How long the provider asks to wait.
    pub(crate) wait: Option<Duration>,
    /// The provider's words.
    pub(crate) words: &'a str,
    /// Calls and failures of the last five minutes.
    pub(crate) recent: (u64, u64),
    /// A number in `0..1000` that spreads recoveries.
    pub(crate) jitter: u64,
}

impl Breaker {
    /// Whether it may be asked.
    pub fn standing(&self, now_ms: u64) -> Standing {
        match self.until.load(Ordering::Relaxed) {
            0 => Standing::Ready,
            until if now_ms < until => Standing::Benched(until),
            _ => match self.probing.load(Ordering::Relaxed) {
                probing if now_ms < probing => Standing::Benched(probing),
                _ => Standing::HalfOpen,
            },
        }
    }

    /// Takes the one probe of a half-open breaker: up to when it is held. `None`: another request has it.
    pub(crate) fn take_probe(&self, now_ms: u64) -> Option<u64> {
        let until = now_ms.saturating_add(PROBE_MS);
        let free = |probing: u64| (now_ms >= probing).then_some(until);
        self.probing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok().then_some(until)
    }

    /// The probe that was taken with this answer was never sent.
    pub(crate) fn give_back(&self, until: u64) {
        // Late, it may be somebody else's: that one stays.
        self.probing.compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// The probe came to nothing: its client left.
    pub(crate) fn release(&self) {
        self.probing.store(0, Ordering::Relaxed);
    }

    /// An answer came. `true`: something worth keeping changed.
    pub(crate) fn answered(&self) -> bool {
        if !self.troubled.load(Ordering::Relaxed) {
            return false;
        }
        let mut inner = self.lock();
        let was_open = self.until.swap(0, Ordering::Relaxed) != 0;
        self.release();
        inner.failures = 0;
        inner.answers += 1;
        if inner.level == 0 || inner.answers >= TRIAL {
            *inner = Inner::default();
            self.troubled.store(false, Ordering::Relaxed);
        }
        was_open
    }

    /// A failure came. `true`: it opened.
    pub(crate) fn failed(&self, now_ms: u64, blow: &Blow<'_>, rules: &BreakerSettings) -> bool {
        let effect = blow.failure.effect();
        self.troubled.store(true, Ordering::Relaxed);
        let mut inner = self.lock();
        inner.failures = inner.failures.saturating_add(1);
        inner.answers = 0;
        blow.words.clone_into(&mut inner.words);
        let needed = match effect.after {
            // A probe that failed, or one that has only just recovered: once is enough.
            _ if inner.level > 0 => 1,
            0 => rules.failures.max(1),
            after => after,
        };
        let (calls, failures) = blow.recent;
        let too_many = effect.after == 0
            && calls >= ENOUGH_CALLS
            && failures.saturating_mul(100) > calls.saturating_mul(u64::from(rules.failure_percent.max(1)));
        if inner.failures < needed && blow.wait.is_none() && !too_many {
            return false;
        }
        let until = now_ms.saturating_add(cooldown(inner.level, blow, rules));
        // Requests that were under way when it opened fail one after the other: they are one failure.
        let already = self.until.load(Ordering::Relaxed);
        if now_ms < already {
            self.until.fetch_max(if blow.wait.is_some() { until } else { already }, Ordering::Relaxed);
            return false;
        }
        inner.level = inner.level.saturating_add(1);
        inner.why = Some(blow.failure);
        inner.since = now_ms;
        self.release();
        self.until.store(until, Ordering::Relaxed);
        true
    }

    /// Opens it up to a moment, by a rule.
    pub(crate) fn open(&self, now_ms: u64, until: u64, words: &str) {
        let mut inner = self.lock();
        inner.why = Some(Failure::Rule);
        words.clone_into(&mut inner.words);
        inner.since = now_ms;
        inner.level = inner.level.max(1);
        self.troubled.store(true, Ordering::Relaxed);
        self.release();
        self.until.store(until.max(1), Ordering::Relaxed);
    }

    /// Closes it and forgets everything. `true`: there was something to forget.
    pub fn reset(&self) -> bool {
        let mut inner = self.lock();
        *inner = Inner::default();
        self.release();
        self.until.store(0, Ordering::Relaxed);
        self.troubled.swap(false, Ordering::Relaxed)
    }

    /// What people see; `None`: closed and sound.
    pub fn view(&self, now_ms: u64) -> Option<BreakerView> {
        let inner = self.lock();
        let why = inner.why?;
        let until = self.until.load(Ordering::Relaxed);
        let state = match self.standing(now_ms) {
            Standing::Ready => "recovering",
            Standing::HalfOpen => "half-open",
            Standing::Benched(_) if now_ms >= until => "half-open",
            Standing::Benched(_) => "open",
        };
        let until = (until != FOR_GOOD && until != 0).then_some(until);
        Some(BreakerView {
            state: state.to_owned(),
            why,
            words: inner.words.clone(),
            since: inner.since,
            until,
            times: inner.level,
        })
    }

    /// What of it survives a restart; `None`: it is closed.
    pub(crate) fn save(&self) -> Option<SavedBreaker> {
        let inner = self.lock();
        let until = self.until.load(Ordering::Relaxed);
        let why = inner.why.filter(|_| until != 0)?;
        Some(SavedBreaker { until, why, words: inner.words.clone(), since: inner.since, level: inner.level })
    }

    /// Takes up what survived.
    pub(crate) fn restore(&self, saved: &SavedBreaker) {
        let mut inner = self.lock();
        inner.why = Some(saved.why);
        inner.words.clone_from(&saved.words);
        inner.since = saved.since;
        inner.level = saved.level;
        self.troubled.store(true, Ordering::Relaxed);
        self.until.store(saved.until, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long, in milliseconds: what the provider asks, capped; else doubled with every time, and spread a little.
fn cooldown(level: u32, blow: &Blow<'_>, rules: &BreakerSettings) -> u64 {
    let effect = blow.failure.effect();
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if let Some(wait) = blow.wait {
        return ms(wait).min(rules.retry_after_cap_ms).max(1);
    }
    let first = if effect.first.is_zero() { rules.cooldown_ms } else { ms(effect.first) };
    let most = if effect.most.is_zero() { rules.longest_cooldown_ms } else { ms(effect.most) };
    let doubled = first.saturating_mul(1 << level.min(20)).min(most.max(first)).min(ms(LONGEST));
    doubled.saturating_add(doubled / 10 * blow.jitter.min(1_000) / 1_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blow(failure: Failure) -> Blow<'static> {
        Blow { failure, wait: None, words: "no", recent: (0, 0), jitter: 0 }
    }

    fn fails(breaker: &Breaker, now: u64, failure: Failure) -> bool {
        breaker.failed(now, &blow(failure), &BreakerSettings::default())
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_an_answer_in_between_forgives() {
        let breaker = Breaker::default();
        assert!(!fails(&breaker, 0, Failure::Failed) && !fails(&breaker, 0, Failure::Failed));
        assert!(!breaker.answered());
        assert!(!fails(&breaker, 0, Failure::Failed) && !fails(&breaker, 0, Failure::Failed));
        assert_eq!(breaker.standing(0), Standing::Ready);
        assert!(fails(&breaker, 0, Failure::Failed));
        assert_eq!(breaker.standing(4_999), Standing::Benched(5_000));
        assert_eq!(breaker.standing(5_000), Standing::HalfOpen);
    }

    #[test]
    fn one_probe_at_a_time_and_a_failed_one_doubles_the_wait() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            fails(&breaker, 0, Failure::Failed);
        }
        assert!(breaker.take_probe(5_000).is_some() && breaker.take_probe(5_001).is_none());
        assert!(matches!(breaker.standing(5_001), Standing::Benched(_)), "the others wait for the probe");
        assert!(fails(&breaker, 6_000, Failure::Failed));
        assert_eq!(breaker.standing(6_001), Standing::Benched(16_000));
        assert!(breaker.take_probe(16_000).is_some());
        breaker.release();
        let held = breaker.take_probe(16_001).expect("a probe whose client left does not block the next");
        breaker.give_back(held - 1);
        assert!(breaker.take_probe(16_002).is_none(), "only who took it gives it back");
        breaker.give_back(held);
        assert!(breaker.take_probe(16_002).is_some());
        assert!(breaker.answered());
        assert_eq!(breaker.standing(16_002), Standing::Ready);
        assert_eq!(breaker.view(16_002).unwrap().state, "recovering");
        assert!(fails(&breaker, 17_000, Failure::Failed), "on trial one failure is enough");
        assert_eq!(breaker.standing(17_000), Standing::Benched(37_000));
        assert!(breaker.take_probe(37_000).is_some());
        for _ in 0..TRIAL {
            breaker.answered();
        }
        assert_eq!(breaker.view(37_000), None);
        assert!(!fails(&breaker, 40_000, Failure::Failed), "sound again: it takes three");
    }

    #[test]
    fn a_provider_s_wait_is_obeyed_and_capped() {
        let breaker = Breaker::default();
        let rules = BreakerSettings::default();
        let asked = Blow { wait: Some(Duration::from_secs(30)), ..blow(Failure::RateLimited) };
        assert!(breaker.failed(0, &asked, &rules));
        assert_eq!(breaker.standing(1), Standing::Benched(30_000));
        let day = Blow { wait: Some(Duration::from_secs(86_400)), ..blow(Failure::RateLimited) };
        let other = Breaker::default();
        other.failed(0, &day, &rules);
        assert_eq!(other.standing(1), Standing::Benched(rules.retry_after_cap_ms));
    }

    #[test]
    fn failures_of_requests_that_were_under_way_count_once() {
        let breaker = Breaker::default();
        for _ in 0..50 {
            fails(&breaker, 0, Failure::Failed);
        }
        assert_eq!(breaker.standing(1), Standing::Benched(5_000));
        assert_eq!(breaker.view(1).unwrap().times, 1);
    }

    #[test]
    fn a_share_of_failures_opens_it_too() {
        let breaker = Breaker::default();
        let often = Blow { recent: (20, 11), ..blow(Failure::Failed) };
        assert!(breaker.failed(0, &often, &BreakerSettings::default()));
        let rarely = Blow { recent: (20, 9), ..blow(Failure::Failed) };
        assert!(!Breaker::default().failed(0, &rarely, &BreakerSettings::default()));
    }

    #[test]
    fn state_survives_and_can_be_reset() {
        let breaker = Breaker::default();
        fails(&breaker, 1_000, Failure::BadKey);
        let next = Breaker::default();
        next.restore(&breaker.save().unwrap());
        assert_eq!(next.view(2_000), breaker.view(2_000));
        assert_eq!(next.standing(2_000), Standing::Benched(61_000));
        assert!(next.reset() && !next.reset());
        assert_eq!((next.standing(2_000), next.view(2_000), next.save()), (Standing::Ready, None, None));
        next.open(0, FOR_GOOD, "rule");
        assert_eq!(next.view(u64::MAX - 1).unwrap().until, None);
    }
}
