//! Who looks for the answer: one, usually; several at once in a race; a second one when the first is late (a hedge).
//!
//! All take their candidates from the same [`Tries`], so no deployment is asked twice at once. The first answer wins, the others are dropped, which
//! closes their connections. One record is written, with everybody's attempts.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::attempt::{AllFailed, Failed, Found, Run, seek};
use super::settle::Side;
use super::tries::Tries;
use super::{Job, fan_out};
use crate::model::Policy;
use crate::routing::Candidate;

type Seeking = Pin<Box<dyn Future<Output = (Option<Found>, Box<Run>)> + Send>>;

/// Finds an answer, by one or by several.
pub(super) async fn find(run: Box<Run>) -> Result<(Found, Box<Run>), Failed> {
    if let Some(count) = run.calls() {
        return fan_out::find(run, count).await;
    }
    let tries = run.job.tries(&run.deployments);
    let (racers, hedge) = run.job.rivals();
    if racers < 2 && hedge.is_none() {
        let (found, mut run) = seek(run, tries.clone()).await;
        return match found {
            Some(found) => {
                run.tries = Some(tries);
                Ok((found, run))
            }
            None => Err(failed(&tries, run)),
        };
    }
    several(run, &tries, racers.max(1), hedge).await
}

async fn several(
    mut run: Box<Run>,
    tries: &Tries,
    racers: u32,
    hedge: Option<Duration>,
) -> Result<(Found, Box<Run>), Failed> {
    let raced = Side { raced: racers > 1, hedged: false };
    let (services, snapshot) = (run.job.services.clone(), run.job.snapshot.clone());
    let benched = |other: &Candidate| snapshot.routing.is_benched(other, services.clock.unix_ms());
    // Who failed lately is no rival.
    let rivals = if racers > 1 { tries.line_up(&benched) } else { 1 };
    let racers = racers.min(u32::try_from(rivals).unwrap_or(u32::MAX)).max(1);
    tries.race(racers > 1);
    let contest = run.job.settle.replace_by_hollow().contest();
    let mut seeking: Vec<Seeking> = Vec::new();
    for _ in 0..racers {
        let entrant = run.entrant(contest.entrant(raced));
        seeking.push(Box::pin(seek(entrant, tries.clone())));
    }
    let mut late = hedge.and_then(|hedge| Some(Box::pin(sleep_until(Instant::now().checked_add(hedge)?))));
    let mut last = None;
    loop {
        let next = poll_fn(|cx| {
            for index in 0..seeking.len() {
                let Some(one) = seeking.get_mut(index) else { continue };
                if let Poll::Ready(done) = one.as_mut().poll(cx) {
                    drop(seeking.swap_remove(index));
                    return Poll::Ready(Some(done));
                }
            }
            match &mut late {
                Some(timer) => timer.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        });
        match next.await {
            Some((Some(found), mut winner)) => {
                drop(seeking);
                drop(last);
                let settle = winner.job.settle.replace_by_hollow();
                winner.job.settle = contest.won(settle);
                tries.race(false);
                winner.tries = Some(tries.clone());
                return Ok((found, winner));
            }
            Some((None, loser)) => {
                if seeking.is_empty() {
                    run = loser;
                    break;
                }
                last = Some(loser);
            }
            None => {
                late = None;
                tries.race(false);
                let now = services.clock.monotonic_us();
                if tries.line_up(&benched) > 0 && services.resilience.budget.spend(now) {
                    let side = Side { hedged: true, ..raced };
                    seeking.push(Box::pin(seek(run.entrant(contest.entrant(side)), tries.clone())));
                }
            }
        }
    }
    drop(last);
    let settle = run.job.settle.replace_by_hollow();
    run.job.settle = contest.lost(settle);
    Err(failed(tries, run))
}

fn failed(tries: &Tries, run: Box<Run>) -> Failed {
    Box::new(AllFailed { error: tries.verdict(), settle: run.job.settle })
}

impl Job {
    /// How many look at once, and after how long one more does.
    fn rivals(&self) -> (u32, Option<Duration>) {
        let (mut racers, mut hedge) = (None, None);
        for Policy { race, hedge_after_ms, .. } in self.policies() {
            racers = racers.or(*race);
            hedge = hedge.or(*hedge_after_ms);
        }
        let hedge = hedge.filter(|ms| *ms > 0).map(Duration::from_millis);
        (racers.unwrap_or(1), hedge)
    }
}
