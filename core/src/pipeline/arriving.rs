//! A large body that goes to its provider while it arrives.
//!
//! Its head says where to; from then on every piece is looked through, spliced and passed on, and kept, so that another candidate can still be sent the whole. What
//! can only be known late (a model named twice, broken JSON, a blob of another maker) calls the request back: nothing was answered yet, for nobody answers before
//! the end of a request.

use std::pin::Pin;
use std::sync::Arc;

use myelin_protocol::ApiFormat;
use myelin_protocol::envelope::{Edits, Head};
use myelin_protocol::ir::Loss;

use super::ask::{Arrived, Ask, WATCHED, is_json_array, malformed};
use super::chat::{self, Path};
use super::dispatch::Asked;
use super::intake::{Intake, Source};
use super::origins::Maker;
use super::passage::{Forward, Look, Passage, State, Stop, Transit};
use super::passthrough::{self, Host, Names};
use super::reply::Reply;
use super::settle::End;
use super::sight::Body;
use super::surface::Surface;
use super::target::{Demand, Deployments, Target};
use super::{Job, attempt};
use crate::error::GatewayError;
use crate::model::OverrideSide;
use crate::providers::{Accepted, LiveChannel, Operation};
use crate::routing::Candidate;
use crate::snapshot::Line;
use crate::upstream::timeouts::{Deadline, Limits};
use crate::upstream::{self, UpstreamError};

/// A body that does not name its model in its first bytes is read whole.
const PEEK: u64 = 256 << 10;
/// Formats whose bodies pass as bytes.
const FORMATS: [ApiFormat; 5] = [
    ApiFormat::OpenaiChat,
    ApiFormat::OpenaiCompletions,
    ApiFormat::OpenaiResponses,
    ApiFormat::AnthropicMessages,
    ApiFormat::Gemini,
];

/// A first attempt that began while the body arrived.
pub(super) struct Underway {
    pub candidate: Candidate,
    pub channel: Arc<LiveChannel>,
    pub accepted: Accepted,
    pub maker: Maker,
    pub limits: Limits,
    pub deadline: Deadline,
    /// By which address of the channel, and when (microseconds after the request began).
    pub way: (usize, u64),
    pub answer: Answer,
}

/// What the provider says to it.
pub(super) enum Answer {
    /// It said it before it had everything.
    Known(Result<upstream::Reply, GatewayError>),
    /// It shall be asked again, with the whole: why.
    Again(&'static str),
    /// Nothing yet.
    Awaited(Flight),
}

/// A request on its way.
type Flight = Pin<Box<dyn Future<Output = Result<upstream::Reply, UpstreamError>> + Send>>;

/// Whether a call is one whose body may be passed on while it arrives.
pub(super) fn may_stream(job: &Job) -> bool {
    // Who shares or repeats answers, or asks several at once, has to know the question first.
    if job.snapshot.wants_whole_bodies() {
        return false;
    }
    let call = &job.call;
    match &call.surface {
        Surface::Chat { format, stream, .. } => {
            FORMATS.contains(format) && !is_json_array(*format, stream.unwrap_or(false), &call.query)
        }
        _ => false,
    }
}

/// Answers a conversation whose body is large and still arriving.
pub(super) async fn run(mut job: Box<Job>, mut intake: Intake<Source>) -> Reply {
    let Surface::Chat { format, model, stream } = job.call.surface.clone() else {
        return whole(job, intake).await;
    };
    if job.edits_asks() {
        return whole(job, intake).await;
    }
    let path = Path { model, stream };
    let mut head = Head::watching(&WATCHED);
    let model = match peek(&mut intake, &mut head, &path).await {
        Ok(Some(model)) => model,
        Ok(None) => return whole(job, intake).await,
        Err(error) => return fail(job, &mut intake, error).await,
    };
    if job.target_needs_body(&model) {
        return whole(job, intake).await;
    }
    let deployments = match job.target(&model, Body::Arriving(false)) {
        Ok(Target::Deployments(deployments)) => deployments,
        Ok(target) => return read_on(job, intake, format, path, target).await,
        Err(error) => return fail(job, &mut intake, error).await,
    };
    let Some(lane) = Lane::find(&job, &deployments, format, &path, &model, &head) else {
        return read_on(job, intake, format, path, Target::Deployments(deployments)).await;
    };
    let transit = Transit::new(intake, head, &lane, job.services.clone());
    match transit.state {
        State::Stopped(Stop::Failed(error)) => {
            let mut intake = transit.intake;
            fail(job, &mut intake, error).await
        }
        State::Stopped(Stop::Whole(_)) => {
            read_on(job, transit.intake, format, path, Target::Deployments(deployments)).await
        }
        State::Arriving | State::Whole => forward(job, format, path, deployments, lane, transit).await,
    }
}

/// Reads on until the model is known. `None`: it is not known soon.
async fn peek(intake: &mut Intake<Source>, head: &mut Head, path: &Path) -> Result<Option<String>, GatewayError> {
    let mut fed = 0;
    loop {
        while let Some(piece) = intake.pieces().get(fed) {
            head.feed(piece).map_err(|error| malformed(&error))?;
            fed += 1;
        }
        if let Some(model) = path.model.clone().or_else(|| head.model().map(|model| model.into_owned())) {
            return Ok(Some(model));
        }
        if intake.length() > PEEK || intake.piece().await?.is_none() {
            return Ok(None);
        }
    }
}

/// The usual way: everything first.
async fn whole(mut job: Box<Job>, intake: Intake<Source>) -> Reply {
    let length = intake.length();
    match intake.whole().await {
        Ok(body) => job.answer(body).await,
        Err(error) => {
            job.settle.record_mut().bytes_in = length;
            job.fail(error)
        }
    }
}

/// The usual way for a request whose target is known.
async fn read_on(mut job: Box<Job>, intake: Intake<Source>, format: ApiFormat, path: Path, target: Target) -> Reply {
    match intake.whole().await {
        Ok(body) => {
            job.settle.record_mut().bytes_in = body.len() as u64;
            chat::run(job, format, body.into(), path, Some(target)).await
        }
        Err(error) => job.fail(error),
    }
}

async fn fail(mut job: Box<Job>, intake: &mut Intake<Source>, error: GatewayError) -> Reply {
    job.settle.record_mut().bytes_in = intake.length();
    let error = intake.give_up(error).await;
    job.fail(error)
}

/// The way of a body: to whom, and what is cut into it.
pub(super) struct Lane {
    pub candidate: Candidate,
    pub line: Line,
    pub accepted: Accepted,
    pub maker: Maker,
    pub edits: Edits,
    /// How much longer the model's name becomes; `None`: other fields may change too.
    pub longer: Option<i64>,
    /// What the body must not hold.
    pub texts: Vec<&'static str>,
    pub stream: bool,
}

impl Lane {
    /// The way of a body that the first candidate takes as it is; `None` if it does not, or if that cannot be known before the whole is there.
    fn find(
        job: &Job,
        deployments: &Deployments,
        format: ApiFormat,
        path: &Path,
        model: &str,
        head: &Head,
    ) -> Option<Self> {
        let candidate = deployments.candidates.first()?.clone();
        let line = job.line(&candidate).ok()?;
        let channel = &line.channel;
        let accepted = channel.accepts(format, &candidate.upstream)?;
        let stream = path.stream.or_else(|| head.stream());
        let passes = accepted.native
            && !accepted.dialect.stream_only
            && !channel.signs_body(candidate.credential as usize)
            && channel.overrides(&candidate.upstream).all(|overrides| overrides.is_empty(OverrideSide::Request))
            && (stream.is_some() || channel.one_address(&accepted));
        if !passes {
            return None;
        }
        let host = Host::of(&accepted);
        let texts = passthrough::rare_reasons(host)?;
        let names = Names { asked: model, upstream: &candidate.upstream };
        // What is not known yet is prepared for.
        let (edits, _) = passthrough::edits(|_| true, host, names, stream.unwrap_or(true), &deployments.set);
        let written = head.raw("model").map_or(0, <[u8]>::len);
        let renamed = serde_json::Value::from(names.upstream).to_string().len();
        let longer = if edits.is_empty() { Some(0) } else { Some(renamed as i64 - written as i64) };
        let longer = longer.filter(|_| edits.only("model"));
        let maker = Maker::of(channel, &candidate, accepted.format == ApiFormat::OpenaiResponses);
        Some(Self { candidate, line, accepted, maker, edits, longer, texts, stream: stream.unwrap_or(false) })
    }

    /// What the target does not take of the fields that came. `asked`: the caller's name of the model.
    fn losses(&self, asked: &str, passage: &Passage) -> Vec<Loss> {
        let host = Host::of(&self.accepted);
        let names = Names { asked, upstream: &self.candidate.upstream };
        passthrough::edits(|field| passage.saw(field), host, names, self.stream, &serde_json::Map::new()).1
    }

    /// How long the body is that goes out, if that is known.
    fn length(&self, announced: Option<u64>) -> Option<u64> {
        announced?.checked_add_signed(self.longer?)
    }
}

/// Passes the body on; once all of it has come, the attempts loop takes over.
async fn forward(
    mut job: Box<Job>,
    format: ApiFormat,
    path: Path,
    deployments: Deployments,
    lane: Lane,
    transit: Transit,
) -> Reply {
    let announced = transit.intake.announced();
    let demand = Demand {
        body_bytes: announced.unwrap_or_else(|| transit.intake.length()),
        body: None,
        max_output: transit.head.max_tokens(),
    };
    if let Err(error) = job.planned(&deployments, demand).await {
        let mut intake = transit.intake;
        return fail(job, &mut intake, error).await;
    }
    if !job.enter(&lane.candidate) {
        return read_on(job, transit.intake, format, path, Target::Deployments(deployments)).await;
    }
    let passage = Arc::new(Passage::new(transit));
    let sent = send(&mut job, &lane, &passage, announced).await;
    let (mut intake, head, state) = passage.take();
    let length = intake.length();
    job.settle.record_mut().bytes_in = length;
    match (state, sent) {
        (State::Stopped(stop), sent) => {
            // The provider hears no more of it.
            drop(sent);
            match stop {
                Stop::Failed(error) => {
                    job.settle.end_attempt(End::Withdrawn(&error.public.message));
                    fail(job, &mut intake, error).await
                }
                Stop::Whole(why) => {
                    job.settle.end_attempt(End::Withdrawn(why));
                    read_on(job, intake, format, path, Target::Deployments(deployments)).await
                }
            }
        }
        (_, Err(error)) => {
            job.settle.end_attempt(End::Failed(&error));
            read_on(job, intake, format, path, Target::Deployments(deployments)).await
        }
        (_, Ok(underway)) => {
            let body = Arrived { head, pieces: intake.take_pieces(), length };
            let ask = Ask::arrived(format, body, path.model, path.stream, &job.call.query);
            chat::note(&ask, job.settle.record_mut());
            attempt::go_on(job, ask, deployments, *underway).await
        }
    }
}

/// Sends the body as it arrives; returns when all of it has come, or nothing more can.
async fn send(
    job: &mut Job,
    lane: &Lane,
    passage: &Arc<Passage>,
    announced: Option<u64>,
) -> Result<Box<Underway>, GatewayError> {
    let Lane { candidate, line, accepted, .. } = lane;
    job.open_attempt(&line.channel, candidate, accepted.format.as_str());
    job.let_attempt(line.channel.name(), candidate).await?;
    let limits = job.limits(&line.channel, &candidate.upstream);
    let deadline = Deadline::start(&limits);
    let operation = Operation::Chat { accepted, stream: lane.stream };
    let base = line.channel.addresses().order(job.services.clock.unix_ms()).first().copied().unwrap_or(0);
    let asked = Asked { line, candidate, operation: &operation, native: true };
    let (parts, _) = job.prepare(base, &asked, None).await?;
    let begun_us = job.settle.elapsed_us();
    let body = upstream::Body::streaming([], Forward(passage.clone()), lane.length(announced));
    let client = line.client.clone();
    let request = http::Request::from_parts(parts, body);
    let mut flight: Flight = Box::pin(async move { client.send(request).await });
    let mut known: Option<Answer> = None;
    loop {
        let changed = passage.changed.notified();
        match passage.look() {
            Look::Over => break,
            Look::Left => {
                passage.read_on().await;
                continue;
            }
            Look::Arriving => {}
        }
        tokio::select! {
            () = changed => {}
            answer = &mut flight, if known.is_none() => {
                let answer = weigh(job, &line.channel, (base, begun_us), accepted.format, answer).await;
                // Unless it began to answer, it gets no more, and the rest is read for the next one.
                if !matches!(answer, Answer::Known(Ok(_))) {
                    passage.let_go();
                }
                known = Some(answer);
            }
        }
    }
    let losses = lane.losses(&job.settle.record().model, passage);
    job.settle.losses(&losses);
    let answer = known.unwrap_or(Answer::Awaited(flight));
    let (candidate, channel) = (candidate.clone(), line.channel.clone());
    let (accepted, maker) = (accepted.clone(), lane.maker.clone());
    Ok(Box::new(Underway { candidate, channel, accepted, maker, limits, deadline, way: (base, begun_us), answer }))
}

/// What a provider's first word means. The address and the time at which it was asked are learned from.
pub(super) async fn weigh(
    job: &mut Job,
    channel: &LiveChannel,
    (base, begun_us): (usize, u64),
    format: ApiFormat,
    answer: Result<upstream::Reply, UpstreamError>,
) -> Answer {
    job.learn(channel, base, begun_us, &answer);
    if answer.as_ref().is_err_and(UpstreamError::unconnected) && channel.addresses().count() > 1 {
        return Answer::Again("the host could not be reached at this address");
    }
    match job.answered(channel, answer) {
        Ok(response) if response.status().is_success() => Answer::Known(Ok(response)),
        Ok(response) if response.status() == http::StatusCode::LENGTH_REQUIRED => {
            Answer::Again("the host wants to know the length of a body in advance")
        }
        Ok(response) => Answer::Known(Err(job.refusal(channel, format, response).await)),
        Err(error) => Answer::Known(Err(error)),
    }
}
