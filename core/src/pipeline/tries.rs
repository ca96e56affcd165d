//! Which candidate is next, when to give up, and which of several failures to tell.
//!
//! Shared by all that look for an answer to one request: a hedge takes its candidates from here too, so that no deployment is asked twice at once and the
//! limit on tries holds for all of them together. What a try takes from the budget is taken when it is made, not when it is thought of: where somebody else
//! answers first, nothing was taken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::retry::Verdict;
use crate::error::{GatewayError, Kind, Retry};
use crate::routing::{Candidate, Probe, Standing};

/// The candidates of one request and what became of them.
#[derive(Debug, Clone)]
pub(crate) struct Tries(Arc<Mutex<State>>);

/// A candidate that was not asked yet.
#[derive(Debug)]
struct Waiting {
    candidate: Candidate,
    /// It failed lately: to ask it comes out of the budget, unless nobody was asked yet.
    costs: bool,
    /// Another request shows now whether it works again: it is asked when nobody else is left.
    late: bool,
}

impl Waiting {
    fn free(candidate: Candidate) -> Self {
        Self { candidate, costs: false, late: false }
    }

    /// Whoever may serve comes before it.
    fn is_last_resort(&self) -> bool {
        self.costs || self.late || matches!(self.candidate.standing, Standing::Benched(_))
    }
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Deployments that were asked: channel and upstream's name of the model.
    asked: Vec<(usize, Arc<str>)>,
    /// Those that may be asked again, and when.
    again: Vec<(Instant, Candidate)>,
    /// Those that were asked again, once for each time.
    repeated: Vec<Candidate>,
    left: u32,
    /// Groups of those who were given out and did not fail.
    under_way: Vec<u32>,
    /// Several run against each other: whose candidate fails does not wake a cold standby while others of its group still run.
    races: bool,
    over: bool,
    fell_back: bool,
    worst: Option<GatewayError>,
}

/// What is to be done next.
enum Step {
    Try(Candidate, Probe),
    Wait(Instant),
    Over,
}

impl Tries {
    /// At most `limit` tries over `candidates`.
    pub(super) fn new(candidates: &[Candidate], limit: u32) -> Self {
        Self(Arc::new(Mutex::new(State {
            waiting: candidates.iter().cloned().map(Waiting::free).collect(),
            asked: Vec::new(),
            again: Vec::new(),
            repeated: Vec::new(),
            left: limit.max(1),
            under_way: Vec::new(),
            races: false,
            over: false,
            fell_back: false,
            worst: None,
        })))
    }

    /// The next candidate, with its probe if it needs one. When all were tried, those that may recover are asked once more after a wait. `pay` takes a try from
    /// the budget; `false`: it is used up. `enter` lets a candidate be tried; `None`: another request shows now whether it works again.
    pub(super) async fn next(
        &self,
        pay: impl Fn() -> bool,
        enter: impl Fn(&Candidate) -> Option<Probe>,
    ) -> Option<(Candidate, Probe)> {
        loop {
            let step = self.state().step(&pay, &enter);
            match step {
                Step::Try(candidate, probe) => return Some((candidate, probe)),
                Step::Wait(until) => tokio::time::sleep_until(until).await,
                Step::Over => return None,
            }
        }
    }

    /// A candidate failed, and this follows. `benched`: who failed so lately that they should be left alone now: they are asked when nobody else is left,
    /// and out of the budget. `repeats`: there is a budget for second tries, so that one is worth its wait.
    pub(super) fn failed(
        &self,
        candidate: Candidate,
        error: GatewayError,
        verdict: &Verdict,
        repeats: bool,
        benched: &dyn Fn(&Candidate) -> bool,
    ) {
        let mut state = self.state();
        if let Some(at) = state.under_way.iter().position(|group| *group == candidate.group) {
            state.under_way.swap_remove(at);
        }
        if is_of_deployment(&error) {
            let same = |other: &Candidate| other.channel == candidate.channel && other.upstream == candidate.upstream;
            state.put_behind(|other| same(&other.candidate));
        }
        for other in &mut state.waiting {
            other.costs = benched(&other.candidate);
        }
        state.put_behind(|other| other.costs);
        let round = state.repeated.iter().filter(|repeated| **repeated == candidate).count();
        let round = u32::try_from(round).unwrap_or(u32::MAX);
        if repeats
            && let Some(wait) = verdict.wait(round, fastrand::f64())
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
        state.under_way.pop();
    }

    /// Several run against each other from here on, or not any more.
    pub(super) fn race(&self, races: bool) {
        self.state().races = races;
    }

    /// Goes on with other candidates, which the owner named for this failure. Only once a request.
    pub(super) fn fall_back(&self, candidates: Vec<Candidate>) {
        let mut state = self.state();
        state.fell_back = true;
        if !candidates.is_empty() {
            state.over = false;
            state.again.clear();
            state.left = state.left.max(u32::try_from(candidates.len()).unwrap_or(1).min(3));
            state.waiting = candidates.into_iter().map(Waiting::free).collect();
        }
    }

    /// Whether other candidates were already gone on with.
    pub(super) fn fell_back(&self) -> bool {
        self.state().fell_back
    }

    /// Puts in front those whom it is worth to ask beside others: of the group whose turn it is, one credential of each deployment that nobody has asked, then
    /// other credentials. Lower groups stay cold standby, and `benched` ones come last. Tells how many there are of the group.
    pub(super) fn line_up(&self, benched: &dyn Fn(&Candidate) -> bool) -> usize {
        let mut state = self.state();
        if state.over || state.left == 0 {
            return 0;
        }
        let mut seen = state.asked.clone();
        let mut group = None;
        let mut lanes: [VecDeque<Waiting>; 4] = Default::default();
        for mut waiting in std::mem::take(&mut state.waiting) {
            let failed_lately = waiting.late || benched(&waiting.candidate);
            waiting.costs &= failed_lately;
            let deployment = (waiting.candidate.channel, waiting.candidate.upstream.clone());
            let [fresh, others, standby, last] = &mut lanes;
            if failed_lately {
                last.push_back(waiting);
            } else if *group.get_or_insert(waiting.candidate.group) != waiting.candidate.group {
                standby.push_back(waiting);
            } else if seen.contains(&deployment) {
                others.push_back(waiting);
            } else {
                seen.push(deployment);
                fresh.push_back(waiting);
            }
        }
        let [fresh, others, ..] = &lanes;
        let count = fresh.len() + others.len();
        state.waiting = lanes.into_iter().flatten().collect();
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
    fn put_behind(&mut self, those: impl Fn(&Waiting) -> bool) {
        let (behind, first): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(those);
        self.waiting = first.into_iter().chain(behind).collect();
    }

    fn step(&mut self, pay: &impl Fn() -> bool, enter: &impl Fn(&Candidate) -> Option<Probe>) -> Step {
        if self.left == 0 || self.over {
            return Step::Over;
        }
        while !self.next_is_standby()
            && let Some(mut waiting) = self.waiting.pop_front()
        {
            let entered = if waiting.late { Some(Probe::default()) } else { enter(&waiting.candidate) };
            let Some(probe) = entered else {
                waiting.late = true;
                waiting.costs = true;
                let at = self.waiting.iter().position(Waiting::is_last_resort).unwrap_or(self.waiting.len());
                self.waiting.insert(at, waiting);
                continue;
            };
            // Where all failed lately, the first of them is asked always.
            if !waiting.costs || self.asked.is_empty() || pay() {
                self.asked.push((waiting.candidate.channel, waiting.candidate.upstream.clone()));
                return self.give_out(waiting.candidate, probe);
            }
            // Those that cost nothing stand before those that do.
            self.waiting.clear();
        }
        self.step_again(pay, enter)
    }

    /// Whom it is worth to ask a second time.
    fn step_again(&mut self, pay: &impl Fn() -> bool, enter: &impl Fn(&Candidate) -> Option<Probe>) -> Step {
        while let Some(first) = (0..self.again.len()).min_by_key(|index| self.again.get(*index).map(|(at, _)| *at)) {
            match self.again.get(first) {
                Some((at, _)) if *at > Instant::now() => return Step::Wait(*at),
                _ => {}
            }
            let (_, candidate) = self.again.swap_remove(first);
            let Some(probe) = enter(&candidate) else { continue };
            if !pay() {
                self.again.clear();
                return Step::Over;
            }
            self.repeated.push(candidate.clone());
            return self.give_out(candidate, probe);
        }
        Step::Over
    }

    fn give_out(&mut self, candidate: Candidate, probe: Probe) -> Step {
        self.left -= 1;
        self.under_way.push(candidate.group);
        Step::Try(candidate, probe)
    }

    /// Others of a group above the next one's still run in the race.
    fn next_is_standby(&self) -> bool {
        let next = self.waiting.front().map(|waiting| waiting.candidate.group);
        self.races && self.under_way.iter().any(|group| next.is_some_and(|next| *group < next))
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

    use super::super::retry::Budget;
    use super::*;
    use crate::routing::Errand;

    fn candidate(channel: usize) -> Candidate {
        Candidate {
            channel,
            upstream: "m".into(),
            credential: 0,
            errand: Errand::Conversation,
            group: 0,
            standing: Standing::Ready,
        }
    }

    /// The next one; nobody is tried by others.
    async fn next(tries: &Tries) -> Option<Candidate> {
        tries.next(|| true, |_| Some(Probe::default())).await.map(|(candidate, _)| candidate)
    }

    /// The same, paid for.
    async fn take(tries: &Tries, budget: &Budget) -> Option<Candidate> {
        tries.next(|| budget.spend(0), |_| Some(Probe::default())).await.map(|(candidate, _)| candidate)
    }

    fn error(kind: Kind, retry: Retry) -> GatewayError {
        GatewayError::new(kind, kind.label()).retry(retry)
    }

    fn fail(tries: &Tries, candidate: Candidate, error: GatewayError) {
        let verdict = Verdict::usual(&error);
        tries.failed(candidate, error, &verdict, true, &|_| false);
    }

    #[tokio::test(start_paused = true)]
    async fn every_candidate_gets_its_turn_and_the_telling_failure_wins() {
        let tries = Tries::new(&[candidate(0), candidate(1)], 5);
        let first = next(&tries).await.unwrap();
        let wait = Retry::Again { after: Some(Duration::from_secs(60)) };
        fail(&tries, first, error(Kind::UpstreamRateLimited, wait));
        let second = next(&tries).await.unwrap();
        assert_eq!(second.channel, 1);
        fail(&tries, second, error(Kind::UpstreamDenied, Retry::Elsewhere));
        assert_eq!(next(&tries).await, None);
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
            let first = next(&tries).await.unwrap();
            fail(&tries, first, error(kind, Retry::Elsewhere));
            for expected in then {
                assert_eq!(next(&tries).await, Some(expected), "{kind:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rivals_are_other_deployments_before_other_keys_and_nobody_who_failed_lately() {
        let of = |channel, credential| Candidate { credential, ..candidate(channel) };
        let tries = Tries::new(&[of(0, 0), of(0, 1), of(1, 0), of(2, 0), of(2, 1)], 5);
        assert_eq!(next(&tries).await, Some(of(0, 0)));
        assert_eq!(tries.line_up(&|own| own.channel == 1), 3);
        for expected in [of(2, 0), of(0, 1), of(2, 1), of(1, 0)] {
            assert_eq!(next(&tries).await, Some(expected));
        }
        assert_eq!(tries.line_up(&|_| false), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cold_standby_is_no_rival_while_anybody_of_the_group_above_it_is_left() {
        let of = |channel, credential, group| Candidate { credential, group, ..candidate(channel) };
        let tries = Tries::new(&[of(0, 0, 0), of(0, 1, 0), of(1, 0, 1), of(2, 0, 1)], 5);
        assert_eq!(tries.line_up(&|_| false), 2, "two keys of the first group");
        tries.race(true);
        let first = next(&tries).await.unwrap();
        assert_eq!((&first, next(&tries).await), (&of(0, 0, 0), Some(of(0, 1, 0))));
        fail(&tries, first, error(Kind::UpstreamFailed, Retry::Elsewhere));
        assert_eq!(next(&tries).await, None, "the other one still runs");
        fail(&tries, of(0, 1, 0), error(Kind::UpstreamFailed, Retry::Elsewhere));
        assert_eq!(next(&tries).await, Some(of(1, 0, 1)));
        // Late is late: a hedge goes to the lower group where nobody of the upper one is left.
        let tries = Tries::new(&[of(0, 0, 0), of(1, 0, 1), of(2, 0, 1), of(3, 0, 2)], 5);
        assert_eq!(tries.line_up(&|_| false), 1);
        next(&tries).await;
        assert_eq!(tries.line_up(&|_| false), 2);
        assert_eq!(next(&tries).await, Some(of(1, 0, 1)));
        // And past those who failed lately.
        let tries = Tries::new(&[of(0, 0, 0), of(1, 0, 1), of(2, 0, 2)], 5);
        assert_eq!(tries.line_up(&|own| own.channel == 0), 1);
        for expected in [of(1, 0, 1), of(2, 0, 2), of(0, 0, 0)] {
            assert_eq!(next(&tries).await, Some(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_tried_by_another_request_is_asked_when_nobody_else_is_left() {
        let benched = Candidate { standing: Standing::Benched(9), ..candidate(2) };
        let tried = |own: &Candidate| (own.channel != 0).then(Probe::default);
        let walk = async |candidates: &[Candidate], budget: &Budget| {
            let (tries, mut asked) = (Tries::new(candidates, 5), Vec::new());
            while let Some((own, _)) = tries.next(|| budget.spend(0), tried).await {
                asked.push(own.channel);
                let failure = error(Kind::UpstreamDenied, Retry::Elsewhere);
                let verdict = Verdict::usual(&failure);
                tries.failed(own, failure, &verdict, budget.has(0), &|other| other.channel != 1);
            }
            asked
        };
        let all = [candidate(0), candidate(1), benched.clone()];
        assert_eq!(walk(&all, &budget(5)).await, [1, 0, 2]);
        assert_eq!(walk(&all, &budget(0)).await, [1], "it comes out of the budget");
        assert_eq!(
            walk(&[candidate(0), benched], &budget(0)).await,
            [0],
            "where all failed, the first is asked always"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_tried_once_more() {
        let tries = Tries::new(&[candidate(0)], 5);
        for _ in 0..2 {
            let next = next(&tries).await.unwrap();
            fail(&tries, next, error(Kind::UpstreamFailed, Retry::Again { after: None }));
        }
        assert_eq!(next(&tries).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_everywhere_is_not_tried_elsewhere_unless_the_owner_named_another() {
        let tries = Tries::new(&[candidate(0), candidate(1)], 5);
        let first = next(&tries).await.unwrap();
        fail(&tries, first, error(Kind::UpstreamRejected, Retry::Never));
        assert!(next(&tries).await.is_none() && tries.line_up(&|_| false) == 0);
        tries.fall_back(vec![candidate(7)]);
        assert_eq!(next(&tries).await.map(|next| next.channel), Some(7));
        assert!(tries.fell_back());
        assert_eq!(next(&tries).await, None);
        assert_eq!(tries.verdict().kind, Kind::UpstreamRejected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_tries_is_limited() {
        let candidates: Vec<_> = (0..9).map(candidate).collect();
        let tries = Tries::new(&candidates, 3);
        let mut count = 0;
        while let Some(next) = next(&tries).await {
            count += 1;
            fail(&tries, next, error(Kind::UpstreamFailed, Retry::Again { after: None }));
        }
        assert_eq!(count, 3);
    }

    /// Asks until nobody is left; all fail. Channels in the order in which they were asked.
    async fn asked(tries: &Tries, kind: Kind, retry: Retry, budget: &Budget, benched: &[usize]) -> Vec<usize> {
        let mut asked = Vec::new();
        while let Some(next) = take(tries, budget).await {
            asked.push(next.channel);
            let failure = error(kind, retry);
            let verdict = Verdict::usual(&failure);
            tries.failed(next, failure, &verdict, budget.has(0), &|other| benched.contains(&other.channel));
        }
        asked
    }

    /// A budget that so many tries are left of.
    fn budget(left: usize) -> Budget {
        let budget = Budget::default();
        while budget.spend(0) {}
        budget.earn(u32::try_from(left * 100).unwrap());
        budget
    }

    fn left(budget: &Budget) -> usize {
        (0..1_000).filter(|_| budget.spend(0)).count()
    }

    const AGAIN: Retry = Retry::Again { after: None };

    #[tokio::test(start_paused = true)]
    async fn no_second_try_is_made_when_the_budget_is_used_up_and_nobody_waits_for_one() {
        let (empty, begun) = (budget(0), Instant::now());
        assert_eq!(asked(&Tries::new(&[candidate(0)], 5), Kind::UpstreamFailed, AGAIN, &empty, &[]).await, [0]);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // Two callers wait for the one that is left.
        let one = budget(1);
        let all = [Tries::new(&[candidate(0)], 5), Tries::new(&[candidate(0)], 5)];
        let both = all.each_ref().map(|tries| asked(tries, Kind::UpstreamFailed, AGAIN, &one, &[]));
        let [first, second] = both;
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.len() + second.len(), 3, "{first:?} {second:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_lately_is_asked_after_the_others_and_out_of_the_budget() {
        for (budget, then, rest) in [(budget(2), vec![0, 2, 1], 1), (budget(0), vec![0, 2], 0)] {
            let tries = Tries::new(&[candidate(0), candidate(1), candidate(2)], 5);
            assert_eq!(asked(&tries, Kind::UpstreamDenied, Retry::Elsewhere, &budget, &[1]).await, then);
            assert_eq!(left(&budget), rest);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_pays_for_tries_that_are_made_and_for_no_others() {
        let deny = |tries: &Tries, candidate, failure: GatewayError, budget: &Budget| {
            let verdict = Verdict::usual(&failure);
            tries.failed(candidate, failure, &verdict, budget.has(0), &|_| false);
        };
        // Another deployment answers: the second try that might have been was none.
        let (tries, three) = (Tries::new(&[candidate(0), candidate(1)], 5), budget(3));
        let first = take(&tries, &three).await.unwrap();
        deny(&tries, first, error(Kind::UpstreamFailed, AGAIN), &three);
        assert_eq!(take(&tries, &three).await, Some(candidate(1)));
        assert_eq!(left(&three), 3);
        // Both fail, and each is asked a second time: two tries.
        let (tries, three) = (Tries::new(&[candidate(0), candidate(1)], 5), budget(3));
        assert_eq!(asked(&tries, Kind::UpstreamFailed, AGAIN, &three, &[]).await.len(), 4);
        assert_eq!(left(&three), 1);
        // The number of tries ends it before the second one.
        let (tries, three) = (Tries::new(&[candidate(0)], 1), budget(3));
        assert_eq!(asked(&tries, Kind::UpstreamFailed, AGAIN, &three, &[]).await, [0]);
        assert_eq!(left(&three), 3);
        // What fails everywhere is over, although somebody who failed lately is left.
        let (tries, three) = (Tries::new(&[candidate(0), candidate(1)], 5), budget(3));
        assert_eq!(asked(&tries, Kind::UpstreamRejected, Retry::Never, &three, &[1]).await, [0]);
        assert_eq!(left(&three), 3);
    }
}
