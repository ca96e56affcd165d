//! A committed stream as a response body: forwards, keeps alive, notices silence, cuts and the client's leaving, and settles exactly once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use myelin_protocol::ir::StreamEvent;
use myelin_protocol::opaque::BlobScan;
use myelin_protocol::{ApiError, StreamEncoder};
use tokio::time::{Instant, Sleep, sleep_until};

use super::attempt::{AllFailed, Failed};
use super::error::STOPPED;
use super::flights::Flight;
use super::origins::Maker;
use super::relay::{Output, Relay};
use super::resume::{Gone, Spare, Tail, broken_off};
use super::settle::{End, Settle};
use super::{Durable, error};
use crate::error::{GatewayError, Kind};
use crate::model::RequestState;
use crate::upstream;
use crate::upstream::timeouts::Limits;

/// How often a silent connection is kept alive.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often it is told how much an answer in flight has so far.
const GAUGE: Duration = Duration::from_millis(500);

/// A stream on its way to the client.
pub struct StreamReply(State);

enum State {
    /// The head went out after 10 s; attempts are still going on.
    Waiting(Box<Waiting>),
    /// An upstream answers.
    Live(Box<Live>),
    /// Last bytes, held until the record is on disk where the key wants that.
    Draining(Output, Option<Durable>),
    /// It was cut, and the client is to notice by the connection.
    Cut,
    Done,
}

/// Attempts that go on behind a head that was already sent.
struct Waiting {
    attempts: Pin<Box<dyn Future<Output = Result<Live, Failed>> + Send>>,
    /// Writes keep-alives, and the failure if all attempts fail.
    encoder: Box<dyn StreamEncoder>,
    flight: Arc<Flight>,
    tick: Pin<Box<Sleep>>,
}

/// An upstream that answers.
pub(crate) struct Live {
    /// Its body.
    pub body: Option<upstream::ReplyBody>,
    /// The way to the client's format.
    pub relay: Relay,
    /// What was written before the commit point.
    pub out: Output,
    /// The record of the request.
    pub settle: Settle,
    /// Longest silence of the upstream.
    idle: Duration,
    /// When the whole attempt must be over.
    ends: Option<Instant>,
    /// The upstream's body is over.
    pub over: bool,
    /// What is stored of the answer, if the client may go on from it.
    pub keep: Option<super::stored::Keep>,
    maker: Maker,
    /// Looks for its maker's blobs in what goes out.
    blobs: BlobScan,
    /// Why it ended before its time.
    failure: Option<GatewayError>,
    timer: Option<Pin<Box<Sleep>>>,
    heard: Instant,
    spoken: Instant,
    /// When it was last estimated what the answer has so far.
    gauged: Option<Instant>,
    /// What is needed to go on with it elsewhere, if the policy says so.
    pub spare: Option<Box<Spare>>,
    /// Somebody is looked for who goes on.
    resuming: Option<Pin<Box<dyn Future<Output = Gone> + Send>>>,
    /// When the one who goes on must have shown content.
    until_token: Option<Instant>,
    /// Why nobody goes on.
    unresumed: Option<&'static str>,
    /// What was used is booked already.
    booked: bool,
}

impl Live {
    /// A stream whose commit point was reached.
    pub(crate) fn new(
        body: Option<upstream::ReplyBody>,
        relay: Relay,
        out: Output,
        settle: Settle,
        limits: &Limits,
        maker: Maker,
    ) -> Self {
        let now = Instant::now();
        let ends = limits.total.and_then(|total| now.checked_add(total));
        Self {
            body,
            relay,
            out,
            settle,
            idle: limits.idle,
            ends,
            over: false,
            keep: None,
            maker,
            blobs: BlobScan::default(),
            failure: None,
            timer: None,
            heard: now,
            spoken: now,
            gauged: None,
            spare: None,
            resuming: None,
            until_token: None,
            unresumed: None,
            booked: false,
        }
    }
}

impl StreamReply {
    /// A stream whose head goes out now.
    pub(crate) fn live(live: Live) -> Self {
        Self(State::Live(Box::new(live)))
    }

    /// A head that goes out before any attempt has answered.
    pub(crate) fn waiting(
        attempts: Pin<Box<dyn Future<Output = Result<Live, Failed>> + Send>>,
        encoder: Box<dyn StreamEncoder>,
        flight: Arc<Flight>,
    ) -> Self {
        let tick = Box::pin(sleep_until(Instant::now()));
        Self(State::Waiting(Box::new(Waiting { attempts, encoder, flight, tick })))
    }

    /// A fault of ours ended it: the record says so.
    pub(super) fn broke(&mut self) {
        if let State::Live(live) = &mut self.0 {
            let error = GatewayError::new(Kind::Internal, "a fault of the gateway ended the stream");
            live.settle.failure(&error);
            live.settle.end_attempt(End::Interrupted(Some(&error)));
            live.settle.complete(RequestState::Interrupted, 200);
        }
        self.0 = State::Done;
    }

    /// Whether it ended by being cut: nobody may take what came for the whole.
    pub fn is_cut(&self) -> bool {
        matches!(self.0, State::Cut)
    }

    /// The next bytes for the client.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.0 {
                State::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                    Next::Bytes(bytes) => return Poll::Ready(Some(bytes)),
                    Next::State(state) => self.0 = state,
                },
                State::Live(live) => match ready!(live.poll(cx)) {
                    Next::Bytes(bytes) => return Poll::Ready(Some(bytes)),
                    Next::State(state) => self.0 = state,
                },
                State::Draining(_, held @ Some(_)) => {
                    if let Some(durable) = held {
                        // An error: the record is not on disk, and the answer goes on all the same.
                        drop(ready!(Pin::new(durable).poll(cx)));
                    }
                    *held = None;
                }
                State::Draining(out, None) => match out.pop_front() {
                    Some(bytes) => return Poll::Ready(Some(bytes)),
                    None => self.0 = State::Done,
                },
                State::Cut | State::Done => return Poll::Ready(None),
            }
        }
    }
}

enum Next {
    Bytes(Bytes),
    State(State),
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.flight.poll_stopped(cx) {
            let mut public = ApiError::new(Kind::ClientGone.api_kind(), STOPPED);
            public.request_id = Some(self.flight.id.clone());
            let mut bytes = Vec::new();
            self.encoder.push(&StreamEvent::Error(public), &mut bytes);
            // The attempts are dropped with this state; their record settles itself.
            return Poll::Ready(Next::State(State::Draining(Output::from([Bytes::from(bytes)]), None)));
        }
        match self.attempts.as_mut().poll(cx) {
            Poll::Ready(Ok(live)) => Poll::Ready(Next::State(State::Live(Box::new(live)))),
            Poll::Ready(Err(failed)) => {
                let AllFailed { error, mut settle } = *failed;
                let mut bytes = Vec::new();
                self.encoder.push(&StreamEvent::Error(error::publish(&error, &settle)), &mut bytes);
                error::log(&error, &settle);
                settle.failure(&error);
                settle.given_piece(&bytes, None);
                settle.complete(RequestState::Failed, 200);
                Poll::Ready(Next::State(State::Draining(Output::from([Bytes::from(bytes)]), None)))
            }
            Poll::Pending => {
                ready!(self.tick.as_mut().poll(cx));
                self.tick.as_mut().reset(Instant::now() + KEEP_ALIVE);
                // Registers the new deadline.
                let _ = self.tick.as_mut().poll(cx);
                let mut bytes = Vec::new();
                self.encoder.keep_alive(&mut bytes);
                Poll::Ready(Next::Bytes(Bytes::from(bytes)))
            }
        }
    }
}

impl Live {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if !self.over && self.settle.flight().poll_stopped(cx) {
            self.break_off(ApiError::new(Kind::ClientGone.api_kind(), STOPPED));
        }
        loop {
            if self.over && self.spare.is_some() && !self.relay.complete() {
                self.resume_or_tell();
            }
            if let Some(bytes) = self.out.pop_front() {
                self.settle.services().origins.note_piece(&mut self.blobs, &bytes, &self.maker);
                self.settle.first_token();
                let now = Instant::now();
                // An estimate reads what was said: not for every piece.
                let due = self.gauged.is_none_or(|gauged| now >= gauged + GAUGE);
                if due {
                    self.gauged = Some(now);
                }
                self.settle.given_piece(&bytes, due.then(|| self.relay.written().unwrap_or_default()));
                self.spoken = now;
                if self.over && self.out.is_empty() {
                    // The record is written before the last byte leaves.
                    let durable = self.close();
                    return Poll::Ready(Next::State(State::Draining(Output::from([bytes]), durable)));
                }
                return Poll::Ready(Next::Bytes(bytes));
            }
            if self.over {
                let cut = self.relay.is_raw() && !self.relay.complete();
                let durable = self.close();
                if cut {
                    return Poll::Ready(Next::State(State::Cut));
                }
                return Poll::Ready(Next::State(State::Draining(Output::new(), durable)));
            }
            if let Some(resuming) = &mut self.resuming {
                match resuming.as_mut().poll(cx) {
                    Poll::Ready(gone) => self.resumed(gone),
                    Poll::Pending => ready!(self.poll_keep_alive(cx)),
                }
                continue;
            }
            let Some(body) = &mut self.body else {
                self.over = true;
                continue;
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.heard = Instant::now();
                    if let Ok(data) = frame.into_data() {
                        if !self.relay.passes() {
                            self.settle.upstream_piece(&data);
                        }
                        self.relay.feed(data, &mut self.out);
                        self.over = self.relay.complete() || self.relay.failure().is_some();
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let broken = ApiError::new(Kind::UpstreamFailed.api_kind(), "the provider's stream broke off");
                    tracing::debug!(%error, "upstream stream");
                    self.break_off(broken);
                }
                Poll::Ready(None) => {
                    self.relay.finish(&mut self.out);
                    self.over = true;
                }
                Poll::Pending => ready!(self.poll_timer(cx)),
            }
        }
    }

    /// Ready when silence made something happen.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            if now >= self.heard + self.idle {
                let seconds = self.idle.as_secs();
                self.break_off(ApiError::new(
                    Kind::Timeout.api_kind(),
                    format!("the provider was silent for {seconds} s"),
                ));
                return Poll::Ready(());
            }
            if self.ends.is_some_and(|ends| now >= ends) {
                self.break_off(ApiError::new(
                    Kind::Timeout.api_kind(),
                    "the provider took too long for its whole answer",
                ));
                return Poll::Ready(());
            }
            if self.until_token.is_some_and(|until| now >= until) {
                if !self.relay.committed() {
                    self.break_off(ApiError::new(Kind::Timeout.api_kind(), "the provider did not go on in time"));
                    return Poll::Ready(());
                }
                self.until_token = None;
            }
            if self.keeps_alive(now) {
                return Poll::Ready(());
            }
            let soon = (self.heard + self.idle).min(self.spoken + KEEP_ALIVE);
            let next = [self.ends, self.until_token].into_iter().flatten().fold(soon, Instant::min);
            ready!(self.poll_until(cx, next));
        }
    }

    /// Ready when the client was sent something that keeps its connection.
    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.keeps_alive(Instant::now()) {
                return Poll::Ready(());
            }
            ready!(self.poll_until(cx, self.spoken + KEEP_ALIVE));
        }
    }

    fn keeps_alive(&mut self, now: Instant) -> bool {
        if now < self.spoken + KEEP_ALIVE {
            return false;
        }
        self.spoken = now;
        self.relay.keep_alive(&mut self.out);
        !self.out.is_empty()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, next: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
        // The timer is not moved with every chunk; when it fires too early it is set anew.
        ready!(timer.as_mut().poll(cx));
        timer.as_mut().reset(next);
        timer.as_mut().poll(cx)
    }

    /// It is over before its end: somebody is looked for who goes on, or the client is told.
    fn resume_or_tell(&mut self) {
        let Some(mut spare) = self.spare.take() else { return };
        let late = self.ends.is_some_and(|ends| Instant::now() >= ends);
        if late || self.settle.flight().is_stopped() {
            return self.relay.tell(&mut self.out);
        }
        spare.run.job.settle = self.settle.replace_by_hollow();
        let error = self.failure.take().unwrap_or_else(|| {
            let told = self.relay.failure().cloned();
            let told = told.unwrap_or_else(|| ApiError::new(Kind::UpstreamFailed.api_kind(), "the stream broke off"));
            let torn = told.code.is_none() && told.kind == Kind::UpstreamFailed.api_kind();
            if torn { broken_off(Kind::UpstreamFailed, told) } else { spare.run.job.in_band(&spare.channel, told) }
        });
        let judged = self.relay.said().map_or(Err("nothing is known of it"), |said| {
            spare.judge(said, &error)?;
            Ok((said.text()?.to_owned(), said.tokens()))
        });
        match judged {
            Ok((text, tokens)) => {
                let settle = &mut spare.run.job.settle;
                if self.relay.committed() {
                    if let Some(usage) = self.relay.usage() {
                        settle.usage(usage.clone());
                    }
                    settle.estimate(self.relay.written().unwrap_or_default());
                    let part = settle.record().usage.clone();
                    spare.used = match (spare.used.take(), part) {
                        (Some(mut sum), Some(part)) => {
                            sum.add(&part);
                            Some(sum)
                        }
                        (sum, part) => sum.or(part),
                    };
                    settle.end_part(&error);
                } else {
                    settle.end_attempt(End::Failed(&error));
                }
                settle.record_mut().status = 200;
                (self.over, self.body) = (false, None);
                self.resuming = Some(Box::pin(spare.go_on(text, tokens, error)));
            }
            Err(why) => {
                self.settle = spare.run.job.settle.replace_by_hollow();
                self.unresumed = Some(why);
                self.failure = Some(error);
                self.relay.tell(&mut self.out);
            }
        }
    }

    /// Somebody goes on, or nobody does.
    fn resumed(&mut self, gone: Gone) {
        let Gone { spare, settle, tail } = gone;
        (self.settle, self.resuming, self.heard) = (settle, None, Instant::now());
        let Some(tail) = tail else {
            self.unresumed = Some("no deployment could go on with it");
            (self.over, self.booked) = (true, true);
            return self.relay.tell(&mut self.out);
        };
        let Tail { body, limits, maker, rest } = *tail;
        self.keep = self.keep.take().map(|keep| keep.resumed(&rest.context));
        self.relay.go_on(rest);
        (self.body, self.maker, self.spare) = (Some(body), maker, Some(spare));
        self.blobs = BlobScan::default();
        self.idle = limits.idle;
        self.ends = limits.total.and_then(|total| self.heard.checked_add(total));
        self.until_token = self.heard.checked_add(limits.first_token);
    }

    fn break_off(&mut self, error: ApiError) {
        let kind = match error.kind {
            _ if self.settle.flight().is_stopped() => Kind::ClientGone,
            kind if kind == Kind::Timeout.api_kind() => Kind::Timeout,
            _ => Kind::UpstreamFailed,
        };
        self.over = true;
        if self.spare.is_some() && kind != Kind::ClientGone {
            self.relay.break_off(&error);
            self.failure = Some(broken_off(kind, error));
            return;
        }
        // Whoever is looked for settles with its record.
        self.resuming = None;
        let failure = GatewayError { public: error.clone(), ..GatewayError::new(kind, "") };
        self.settle.failure(&failure);
        self.failure = Some(failure);
        self.relay.interrupt(&error, &mut self.out);
    }

    /// Books what was used.
    fn book(&mut self) {
        if self.booked {
            return;
        }
        if let Some(usage) = self.relay.usage() {
            self.settle.usage(usage.clone());
        }
        if !self.relay.complete()
            && let Some(written) = self.relay.written()
        {
            self.settle.estimate(written);
        }
    }

    /// Books everything; runs once, at the end.
    fn close(&mut self) -> Option<Durable> {
        let losses = self.relay.losses();
        self.settle.answer_losses(&losses);
        self.book();
        if let Some(reason) = self.relay.finish_reason() {
            self.settle.finish_reason(reason);
        }
        if let Some(failure) = self.relay.failure()
            && self.failure.is_none()
        {
            let error = GatewayError { public: failure.clone(), ..GatewayError::new(Kind::UpstreamFailed, "") };
            self.failure = Some(error);
        }
        if let Some(failure) = &self.failure {
            self.settle.failure(failure);
        }
        if let (Some(why), Some(message)) = (self.unresumed, &mut self.settle.record_mut().error_message) {
            message.push_str(&format!(" (not resumed: {why})"));
        }
        let whole = self.relay.complete() && self.failure.is_none();
        let (state, end) = match whole {
            true => (RequestState::Completed, End::Answered),
            false if self.settle.flight().is_stopped() => (RequestState::Canceled, End::Canceled),
            false => (RequestState::Interrupted, End::Interrupted(self.failure.as_ref())),
        };
        self.settle.end_attempt(end);
        if whole && let Some(keep) = self.keep.take() {
            keep.stream_ended(self.settle.services(), &mut self.relay);
        }
        if whole && let Some(body) = self.body.take() {
            body.let_end();
        }
        self.settle.complete(state, 200)
    }
}

impl Drop for Live {
    /// The client left: what was used so far is still booked; dropping `body` cancels the upstream.
    fn drop(&mut self) {
        self.book();
        self.settle.record_mut().status = 200;
    }
}
