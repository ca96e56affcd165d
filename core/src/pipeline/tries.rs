//! Which candidate is next, when to give up, and which of several failures to tell.
//!
//! Shared by all that look for an answer to one request: a hedge takes its candidates from here too, so that no deployment is asked twice at once and the
//! limit on tries holds for all of them together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::retry::{Budget, Verdict};
use crate::error::{GatewayError, Kind, Retry};
use crate::routing::Candidate;

/// The candidates of one request and what became of them.
#[derive(Debug, Clone)]
pub(crate) struct Tries(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    waiting: VecDeque<Candidate>,
    /// Deployments that were asked: channel and upstream's name of the model.
    asked: Vec<(usize, Arc<str>)>,
    /// Those that may be asked again, and when.
    again: Vec<(Instant, Candidate)>,
    /// Those that were asked again, once for each time.
    repeated: Vec<Candidate>,
    left: u32,
    over: bool,
    fell_back: bool,
    worst: Option<GatewayError>,
}

/// What is to be done next.
enum Step {
    Try(Candidate),
    Wait(Instant),
    Over,
}

impl Tries {
    /// At most `limit` tries over `candidates`.
    pub(super) fn new(candidates: &[Candidate], limit: u32) -> Self {
        Self(Arc::new(Mutex::new(State {
            waiting: candidates.iter().cloned().collect(),
            asked: Vec::new(),
            again: Vec::new(),
            repeated: Vec::new(),
            left: limit.max(1),
            over: false,
            fell_back: false,
            worst: None,
        })))
    }

    /// The next candidate. When all were tried, those that may recover are asked once more after a wait.
    pub(super) async fn next(&self) -> Option<Candidate> {
        loop {
            let step = self.state().step();
            match step {
                Step::Try(candidate) => return Some(candidate),
                Step::Wait(until) => tokio::time::sleep_until(until).await,
                Step::Over => return None,
            }
        }
    }

    /// A candidate failed, and this follows. `benched`: who failed so lately that they should be left alone now: they are asked when nobody else is left,
    /// and out of the budget.
    pub(super) fn failed(
        &self,
        candidate: Candidate,
        error: GatewayError,
        verdict: &Verdict,
        (budget, now_us): (&Budget, u64),
        benched: &dyn Fn(&Candidate) -> bool,
    ) {
        let mut state = self.state();
        if is_of_deployment(&error) {
            state.put_behind(|other| other.channel == candidate.channel && other.upstream == candidate.upstream);
        }
        if !state.waiting.is_empty() {
            state.put_behind(benched);
            if state.waiting.front().is_some_and(benched) && !budget.spend(now_us) {
                state.waiting.clear();
            }
        }
        let round = state.repeated.iter().filter(|repeated| **repeated == candidate).count();
        let round = u32::try_from(round).unwrap_or(u32::MAX);
        if let Some(wait) = verdict.wait(round, fastrand::f64())
            && budget.spend(now_us)
            && let Some(at) = Instant::now().checked_add(wait)
        {
            state.again.push((at, candidate));
        }
        let never = verdict.retry == Retry::Never;
        state.over |= never;
        if state.worst.as_ref().is_none_or(|worst| never || rank(&error) >= rank(worst)) {
            state.worst = Some(error);
        }
    }

    /// A candidate that was given out was not asked: that was no try.
    pub(super) fn give_back(&self) {
        let mut state = self.state();
        state.left = state.left.saturating_add(1);
    }

    /// Goes on with other candidates, which the owner named for this failure. Only once a request.
    pub(super) fn fall_back(&self, candidates: Vec<Candidate>) {
        let mut state = self.state();
        state.fell_back = true;
        if !candidates.is_empty() {
            state.over = false;
            state.again.clear();
            state.left = state.left.max(u32::try_from(candidates.len()).unwrap_or(1).min(3));
            state.waiting = candidates.into();
        }
    }

    /// Whether other candidates were already gone on with.
    pub(super) fn fell_back(&self) -> bool {
        self.state().fell_back
    }

    /// Puts in front those whom it is worth to ask beside others: one credential of each deployment that nobody has asked, then other credentials, and
    /// `benched` ones last. Tells how many there are but for the last.
    pub(super) fn line_up(&self, benched: &dyn Fn(&Candidate) -> bool) -> usize {
        let mut state = self.state();
        if state.over || state.left == 0 {
            return 0;
        }
        let mut seen = state.asked.clone();
        let mut lanes: [VecDeque<Candidate>; 3] = Default::default();
        for candidate in std::mem::take(&mut state.waiting) {
            let deployment = (candidate.channel, candidate.upstream.clone());
            let [fresh, others, last] = &mut lanes;
            if benched(&candidate) {
                last.push_back(candidate);
            } else if seen.contains(&deployment) {
                others.push_back(candidate);
            } else {
                seen.push(deployment);
                fresh.push_back(candidate);
            }
        }
        let [fresh, others, last] = lanes;
        let count = fresh.len() + others.len();
        state.waiting = fresh.into_iter().chain(others).chain(last).collect();
        count
    }

    /// The failure to tell the caller.
    pub(super) fn verdict(&self) -> GatewayError {
        let worst = self.state().worst.take();
        worst.unwrap_or_else(|| GatewayError::new(Kind::NoCandidate, "no deployment could be tried"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Asks some after everybody else.
    fn put_behind(&mut self, those: impl Fn(&Candidate) -> bool) {
        let (behind, first): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(those);
        self.waiting = first.into_iter().chain(behind).collect();
    }

    fn step(&mut self) -> Step {
        if self.left == 0 || self.over {
            return Step::Over;
        }
        if let Some(next) = self.waiting.pop_front() {
            self.left -= 1;
            self.asked.push((next.channel, next.upstream.clone()));
            return Step::Try(next);
        }
        let Some(first) = (0..self.again.len()).min_by_key(|index| self.again.get(*index).map(|(at, _)| *at)) else {
            return Step::Over;
        };
        match self.again.get(first) {
            Some((at, _)) if *at > Instant::now() => Step::Wait(*at),
            _ => {
                let (_, candidate) = self.again.swap_remove(first);
                self.repeated.push(candidate.clone());
                self.left -= 1;
                Step::Try(candidate)
            }
        }
    }
}

/// Whether every credential of the deployment would likely meet the same failure: trying them all first would use up the tries, and the caller's time.
fn is_of_deployment(error: &GatewayError) -> bool {
    matches!(error.kind, Kind::UpstreamFailed | Kind::Timeout)
}

/// How much a failure tells the caller about what to do. Of equals the latest counts.
fn rank(error: &GatewayError) -> u8 {
    match error.kind {
        Kind::UpstreamRejected | Kind::InvalidRequest => 5,
        Kind::UpstreamRateLimited => 4,
        Kind::UpstreamFailed | Kind::Timeout => 3,
        Kind::UpstreamDenied => 2,
        Kind::Unsupported => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn candidate(channel: usize) -> Candidate {
        Candidate { channel, upstream: "m".into(), credential: 0 }
    }

    fn error(kind: Kind, retry: Retry) -> GatewayError {
        GatewayError::new(kind, kind.label()).retry(retry)
    }

    fn fail(tries: &Tries, candidate: Candidate, error: GatewayError) {
        let verdict = Verdict::usual(&error);
        tries.failed(candidate, error, &verdict, (&Budget::default(), 0), &|_| false);
    }

    #[tokio::test(start_paused = true)]
    async fn every_candidate_gets_its_turn_and_the_telling_failure_wins() {
        let tries = Tries::new(&[candidate(0), candidate(1)], 5);
        let first = tries.next().await.unwrap();
        let wait = Retry::Again { after: Some(Duration::from_secs(60)) };
        fail(&tries, first, error(Kind::UpstreamRateLimited, wait));
        let second = tries.next().await.unwrap();
        assert_eq!(second.channel, 1);
        fail(&tries, second, error(Kind::UpstreamDenied, Retry::Elsewhere));
        assert_eq!(tries.next().await, None);
        assert_eq!(tries.verdict().kind, Kind::UpstreamRateLimited);
    }

    #[tokio::test(start_paused = true)]
    async fn what_every_key_would_meet_goes_to_another_deployment_and_what_one_key_met_to_the_next_key() {
        let key = |credential| Candidate { credential, ..candidate(0) };
        for (kind, then) in [
            (Kind::UpstreamFailed, [candidate(1), key(1), key(2)]),
            (Kind::Timeout, [candidate(1), key(1), key(2)]),
            (Kind::UpstreamRateLimited, [key(1), key(2), candidate(1)]),
            (Kind::UpstreamDenied, [key(1), key(2), candidate(1)]),
        ] {
            let tries = Tries::new(&[key(0), key(1), key(2), candidate(1)], 5);
            let first = tries.next().await.unwrap();
            fail(&tries, first, error(kind, Retry::Elsewhere));
            for expected in then {
                assert_eq!(tries.next().await, Some(expected), "{kind:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rivals_are_other_deployments_before_other_keys_and_nobody_who_failed_lately() {
        let of = |channel, credential| Candidate { credential, ..candidate(channel) };
        let tries = Tries::new(&[of(0, 0), of(0, 1), of(1, 0), of(2, 0), of(2, 1)], 5);
        assert_eq!(tries.next().await, Some(of(0, 0)));
        assert_eq!(tries.line_up(&|own| own.channel == 1), 3);
        for expected in [of(2, 0), of(0, 1), of(2, 1), of(1, 0)] {
            assert_eq!(tries.next().await, Some(expected));
        }
        assert_eq!(tries.line_up(&|_| false), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_tried_once_more() {
        let tries = Tries::new(&[candidate(0)], 5);
        for _ in 0..2 {
            let next = tries.next().await.unwrap();
            fail(&tries, next, error(Kind::UpstreamFailed, Retry::Again { after: None }));
        }
        assert_eq!(tries.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_everywhere_is_not_tried_elsewhere_unless_the_owner_named_another() {
        let tries = Tries::new(&[candidate(0), candidate(1)], 5);
        let first = tries.next().await.unwrap();
        fail(&tries, first, error(Kind::UpstreamRejected, Retry::Never));
        assert!(tries.next().await.is_none() && tries.line_up(&|_| false) == 0);
        tries.fall_back(vec![candidate(7)]);
        assert_eq!(tries.next().await.map(|next| next.channel), Some(7));
        assert!(tries.fell_back());
        assert_eq!(tries.next().await, None);
        assert_eq!(tries.verdict().kind, Kind::UpstreamRejected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_tries_is_limited() {
        let candidates: Vec<_> = (0..9).map(candidate).collect();
        let tries = Tries::new(&candidates, 3);
        let mut count = 0;
        while let Some(next) = tries.next().await {
            count += 1;
            fail(&tries, next, error(Kind::UpstreamFailed, Retry::Again { after: None }));
        }
        assert_eq!(count, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_try_is_made_when_the_budget_is_used_up() {
        let budget = Budget::default();
        while budget.spend(0) {}
        let tries = Tries::new(&[candidate(0)], 5);
        let next = tries.next().await.unwrap();
        let failure = error(Kind::UpstreamFailed, Retry::Again { after: None });
        let verdict = Verdict::usual(&failure);
        tries.failed(next, failure, &verdict, (&budget, 0), &|_| false);
        assert_eq!(tries.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_lately_is_asked_after_the_others_and_out_of_the_budget() {
        let (full, empty) = (Budget::default(), Budget::default());
        while empty.spend(0) {}
        for (budget, then) in [(&full, vec![2, 1]), (&empty, vec![2])] {
            let tries = Tries::new(&[candidate(0), candidate(1), candidate(2)], 5);
            let mut asked = Vec::new();
            while let Some(next) = tries.next().await {
                asked.push(next.channel);
                let failure = error(Kind::UpstreamDenied, Retry::Elsewhere);
                let verdict = Verdict::usual(&failure);
                tries.failed(next, failure, &verdict, (budget, 0), &|other| other.channel == 1);
            }
            assert_eq!(asked, [vec![0], then].concat());
        }
    }
}
