//! Several answers to one question (`n`, `candidateCount`) where the provider gives only one a call: one call for each, put together in order.
//!
//! The calls run at once and each finds its own deployment. Their tokens add up. A caller that wants a stream gets the answers when all are there.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use myelin_protocol::ir::{ChatResponse, Usage};
use myelin_protocol::{ApiFormat, Dialect, answer, fold};

use super::ask::reply_context;
use super::attempt::{AllFailed, Failed, Found, Run, seek};
use super::origins::Maker;
use super::receive::{Begun, Whole};
use super::relay::{Output, Relay};
use super::settle::{End, Side};
use super::tries::Tries;
use crate::error::{GatewayError, Kind};
use crate::upstream::timeouts::Limits;

/// More answers than this are asked of nobody.
const MOST: u32 = 16;

type Seeking = Pin<Box<dyn Future<Output = (Option<Found>, Box<Run>)> + Send>>;

impl Run {
    /// How many calls it takes, if the provider that comes first gives one answer a call.
    pub(super) fn calls(&self) -> Option<u32> {
        let count = self.ask.count();
        if !(2..=MOST).contains(&count) {
            return None;
        }
        let first = self.deployments.candidates.first()?;
        let channel = self.job.line(first).ok()?.channel;
        let accepted = channel.accepts(self.ask.format, &first.upstream)?;
        let several = match accepted.format {
            ApiFormat::OpenaiChat | ApiFormat::OpenaiCompletions => !accepted.dialect.no_n,
            ApiFormat::Gemini => true,
            _ => false,
        };
        (!several).then_some(count)
    }
}

/// Finds so many answers and makes one of them.
pub(super) async fn find(mut run: Box<Run>, count: u32) -> Result<(Found, Box<Run>), Failed> {
    let single = match run.ask.single() {
        Ok(single) => single,
        Err(error) => return Err(Box::new(AllFailed { error, settle: run.job.settle })),
    };
    let contest = run.job.settle.replace_by_hollow().contest();
    let mut seeking: Vec<Option<(Seeking, Tries)>> = Vec::new();
    for _ in 0..count {
        let mut entrant = run.entrant(contest.entrant(Side::default()));
        entrant.ask = single.clone();
        let tries = entrant.job.tries(&entrant.deployments);
        seeking.push(Some((Box::pin(seek(entrant, tries.clone())), tries)));
    }
    let mut done: Vec<Option<(Whole, Box<Run>)>> = (0..count).map(|_| None).collect();
    let failed = poll_fn(|cx| {
        for (index, slot) in seeking.iter_mut().enumerate() {
            let Some((one, tries)) = slot else { continue };
            let Poll::Ready((found, mut entrant)) = one.as_mut().poll(cx) else { continue };
            let Some(Found::Whole(whole)) = found else { return Poll::Ready(Some((tries.verdict(), entrant))) };
            entrant.job.settle.end_attempt(End::Answered);
            if let Some(place) = done.get_mut(index) {
                *place = Some((*whole, entrant));
            }
            *slot = None;
        }
        if seeking.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    drop(seeking);
    if let Some((error, mut loser)) = failed {
        drop(done);
        let settle = loser.job.settle.replace_by_hollow();
        return Err(Box::new(AllFailed { error, settle: contest.lost(settle) }));
    }
    let mut merged: Option<ChatResponse> = None;
    let mut usage: Option<Option<Usage>> = None;
    let mut headers = HeaderMap::new();
    let mut last = None;
    let mut unreadable = None;
    for (whole, entrant) in done.into_iter().flatten() {
        let used = entrant.job.settle.record().usage.clone();
        usage = Some(match (usage, used) {
            (None, used) => used,
            (Some(Some(mut sum)), Some(used)) => {
                sum.add(&used);
                Some(sum)
            }
            // What one call does not tell is not known of all.
            _ => None,
        });
        match answer::read(run.ask.format, &whole.body, &Dialect::default()) {
            Ok(response) => match &mut merged {
                Some(merged) => merged.choices.extend(response.choices),
                None => merged = Some(response),
            },
            Err(error) => unreadable = Some(error.message),
        }
        headers = whole.headers;
        last = Some(entrant);
    }
    let (Some(mut merged), Some(mut last), None) = (merged, last, unreadable) else {
        let error = GatewayError::new(Kind::Internal, "the answers cannot be put together");
        return Err(Box::new(AllFailed { error, settle: contest.lost(run.job.settle) }));
    };
    merged.usage = usage.flatten();
    let settle = last.job.settle.replace_by_hollow();
    drop(last);
    run.job.settle = contest.merged(settle, merged.usage.clone());
    let found = run.together(merged, headers);
    Ok((found, run))
}

impl Run {
    /// The answers in the form that the caller wants.
    fn together(&mut self, response: ChatResponse, headers: HeaderMap) -> Found {
        let tree = self.ask.tree().ok();
        let context = reply_context(&self.job, &self.ask, tree);
        if !self.ask.stream {
            let encoded = self.ask.write(&response, &context);
            self.job.settle.answer_losses(&encoded.losses);
            return Found::Whole(Box::new(Whole { body: encoded.value.into(), headers }));
        }
        let mut encoder = self.ask.format.codec().stream_encoder(context);
        let mut written = Vec::new();
        for event in fold::unfold(response) {
            encoder.push(&event, &mut written);
        }
        Found::Begun(Box::new(Begun {
            body: None,
            relay: Relay::Written,
            out: Output::from([Bytes::from(written)]),
            limits: Limits::NONE,
            keep: None,
            maker: Maker::noted(),
            over: true,
            from: None,
        }))
    }
}
