//! A large body that goes to its provider while it arrives.
//!
//! Its head says where to; from then on every piece is looked through, spliced and passed on, and kept, so that another candidate can still be sent the whole. What
//! can only be known late (a model named twice, broken JSON, a blob of another maker) calls the request back: nothing was answered yet, for nobody answers before
//! the end of a request.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use memchr::memmem;
use myelin_protocol::ApiFormat;
use myelin_protocol::envelope::{Edits, Head, Splicer};
use myelin_protocol::opaque::BlobScan;
use tokio::sync::Notify;

use super::ask::{Arrived, Ask, WATCHED, is_json_array, malformed};
use super::chat::{self, Path};
use super::dispatch::Asked;
use super::intake::{Intake, Source};
use super::origins::Maker;
use super::passthrough::{self, Host, Names};
use super::reply::Reply;
use super::settle::End;
use super::surface::Surface;
use super::target::{Demand, Deployments, Target};
use super::{Job, Services, attempt};
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
pub(super) async fn run(mut job: Job, mut intake: Intake<Source>) -> Reply {
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
    let deployments = match job.target(&model) {
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
async fn whole(mut job: Job, intake: Intake<Source>) -> Reply {
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
async fn read_on(mut job: Job, intake: Intake<Source>, format: ApiFormat, path: Path, target: Target) -> Reply {
    match intake.whole().await {
        Ok(body) => {
            job.settle.record_mut().bytes_in = body.len() as u64;
            chat::run(job, format, body, path, Some(target)).await
        }
        Err(error) => job.fail(error),
    }
}

async fn fail(mut job: Job, intake: &mut Intake<Source>, error: GatewayError) -> Reply {
    job.settle.record_mut().bytes_in = intake.length();
    let error = intake.give_up(error).await;
    job.fail(error)
}

/// The way of a body: to whom, and what is cut into it.
struct Lane {
    candidate: Candidate,
    line: Line,
    accepted: Accepted,
    maker: Maker,
    edits: Edits,
    /// How much longer the model's name becomes; `None`: other fields may change too.
    longer: Option<i64>,
    /// What the body must not hold.
    texts: Vec<&'static str>,
    stream: bool,
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
        let host = Host { format, dialect: &accepted.dialect, invented: accepted.invented };
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

    /// How long the body is that goes out, if that is known.
    fn length(&self, announced: Option<u64>) -> Option<u64> {
        announced?.checked_add_signed(self.longer?)
    }
}

/// Passes the body on; once all of it has come, the attempts loop takes over.
async fn forward(
    mut job: Job,
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
    let passage = Arc::new(Passage { transit: Mutex::new(transit), changed: Notify::new() });
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
    let losses = passage.losses(job, lane);
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

/// What the one who sends has to know.
enum Look {
    /// More is to come.
    Arriving,
    /// All has come, or nothing more can.
    Over,
    /// The connection to the provider wants no more: somebody else has to read on.
    Left,
}

/// A body on its way through, shared by the connection that sends it and the request that waits for it.
struct Passage {
    transit: Mutex<Transit>,
    changed: Notify,
}

impl Passage {
    fn lock(&self) -> MutexGuard<'_, Transit> {
        self.transit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Look {
        let transit = self.lock();
        match transit.state {
            State::Arriving if transit.left => Look::Left,
            State::Arriving => Look::Arriving,
            State::Whole | State::Stopped(_) => Look::Over,
        }
    }

    /// Nothing more goes out.
    fn let_go(&self) {
        self.lock().left = true;
        self.changed.notify_one();
    }

    /// Reads to the end, for nobody but ourselves.
    async fn read_on(&self) {
        std::future::poll_fn(|cx| {
            let mut transit = self.lock();
            loop {
                transit.ready.clear();
                if ready!(transit.poll_next(cx)).is_none_or(|piece| piece.is_err()) {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    /// What the target does not take of the fields that came.
    fn losses(&self, job: &Job, lane: &Lane) -> Vec<myelin_protocol::ir::Loss> {
        let transit = self.lock();
        let record = job.settle.record();
        let dialect = &lane.accepted.dialect;
        let host = Host { format: lane.accepted.format, dialect, invented: lane.accepted.invented };
        let names = Names { asked: &record.model, upstream: &lane.candidate.upstream };
        passthrough::edits(|field| transit.splicer.saw(field), host, names, lane.stream, &serde_json::Map::new()).1
    }

    /// What has come, and how it ended.
    fn take(&self) -> (Intake<Source>, Head, State) {
        let mut transit = self.lock();
        transit.left = true;
        let intake = std::mem::replace(&mut transit.intake, Intake::nothing());
        let state = match transit.state {
            State::Whole => State::Whole,
            _ => std::mem::replace(&mut transit.state, State::Stopped(Stop::Whole("it is over"))),
        };
        (intake, std::mem::take(&mut transit.head), state)
    }
}

/// A body on its way through.
struct Transit {
    format: ApiFormat,
    intake: Intake<Source>,
    head: Head,
    splicer: Splicer,
    watch: Watch,
    /// Spliced, to be sent.
    ready: VecDeque<Bytes>,
    state: State,
    /// Its connection to the provider takes no more.
    left: bool,
}

#[derive(Debug)]
enum State {
    Arriving,
    Whole,
    Stopped(Stop),
}

/// Why a body is called back.
#[derive(Debug)]
enum Stop {
    /// The request cannot be answered.
    Failed(GatewayError),
    /// It can, but not by its bytes as they come: why.
    Whole(&'static str),
}

impl Transit {
    /// Takes over what has come; `head` has seen it.
    fn new(intake: Intake<Source>, head: Head, lane: &Lane, services: Arc<Services>) -> Self {
        let watch = Watch::new(lane.texts.clone(), lane.maker.clone(), services);
        let splicer = Splicer::new(lane.edits.clone());
        let format = lane.accepted.format;
        let mut transit =
            Self { format, intake, head, splicer, watch, ready: VecDeque::new(), state: State::Arriving, left: false };
        let come: Vec<Bytes> = transit.intake.pieces().to_vec();
        for piece in &come {
            transit.pass(piece);
        }
        transit.close_if_whole();
        transit
    }

    /// The next piece for the provider.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        loop {
            if let State::Stopped(_) = &self.state {
                return Poll::Ready(Some(Err(())));
            }
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if let State::Whole = &self.state {
                return Poll::Ready(None);
            }
            match ready!(self.intake.poll_piece(cx)) {
                Ok(Some(piece)) => {
                    if let Err(error) = self.head.feed(&piece) {
                        self.state = State::Stopped(Stop::Failed(malformed(&error)));
                    }
                    self.pass(&piece);
                    self.close_if_whole();
                }
                Ok(None) => self.close(),
                Err(error) => self.state = State::Stopped(Stop::Failed(error)),
            }
        }
    }

    fn pass(&mut self, piece: &Bytes) {
        let State::Arriving = &self.state else { return };
        let mut out = Vec::new();
        if let Err(error) = self.splicer.feed(piece, &mut out) {
            self.state = State::Stopped(Stop::Failed(malformed(&error)));
            return;
        }
        self.ready.extend(out);
        let follows = self.head.raw("previous_response_id").is_some_and(|id| id != b"null");
        let reason = if follows {
            Some("it goes on from an earlier answer")
        } else if passthrough::thinking(self.format, self.head.raw("thinking"), None).is_some() {
            Some("its thinking budget is too small")
        } else {
            self.watch.feed(piece)
        };
        if let Some(why) = reason {
            self.state = State::Stopped(Stop::Whole(why));
        }
    }

    /// A body of announced length ends with its last byte: nobody asks for more.
    fn close_if_whole(&mut self) {
        if self.intake.announced() == Some(self.intake.length()) {
            self.close();
        }
    }

    fn close(&mut self) {
        if let State::Arriving = &self.state {
            self.state = match self.splicer.finish() {
                Ok(()) => State::Whole,
                Err(error) => State::Stopped(Stop::Failed(malformed(&error))),
            };
        }
    }
}

/// Looks for what must not be passed on.
struct Watch {
    texts: Vec<memmem::Finder<'static>>,
    /// The end of what came before, shorter than the longest text.
    tail: Vec<u8>,
    longest: usize,
    blobs: BlobScan,
    maker: Maker,
    services: Arc<Services>,
}

impl Watch {
    fn new(texts: Vec<&'static str>, maker: Maker, services: Arc<Services>) -> Self {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(1);
        let texts = texts.into_iter().map(memmem::Finder::new).collect();
        Self { texts, tail: Vec::new(), longest, blobs: BlobScan::default(), maker, services }
    }

    /// Why the body cannot be passed on as it is, if the piece shows that.
    fn feed(&mut self, piece: &[u8]) -> Option<&'static str> {
        let overlap = self.longest - 1;
        self.tail.extend_from_slice(piece.get(..overlap.min(piece.len())).unwrap_or_default());
        let found = self.texts.iter().any(|text| text.find(&self.tail).is_some() || text.find(piece).is_some());
        if piece.len() >= overlap {
            self.tail.clear();
            self.tail.extend_from_slice(piece.get(piece.len() - overlap..).unwrap_or_default());
        } else {
            let from = self.tail.len().saturating_sub(overlap);
            self.tail.drain(..from);
        }
        let mut foreign = false;
        let (origins, maker) = (&self.services.origins, &self.maker);
        self.blobs.feed(piece, |blob| foreign |= !origins.is_own(blob, maker));
        if foreign {
            return Some("it holds a blob of another maker");
        }
        found.then_some("something below its top level has to change")
    }
}

/// The provider's side of a passage.
struct Forward(Arc<Passage>);

/// The body was called back; the request knows why.
#[derive(Debug, thiserror::Error)]
#[error("the request was called back")]
struct CalledBack;

impl http_body::Body for Forward {
    type Data = Bytes;
    type Error = CalledBack;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CalledBack>>> {
        let mut transit = self.0.lock();
        if transit.left && !matches!(transit.state, State::Whole) {
            return Poll::Ready(Some(Err(CalledBack)));
        }
        let polled = transit.poll_next(cx);
        let arriving = matches!(transit.state, State::Arriving);
        drop(transit);
        if !arriving {
            self.0.changed.notify_one();
        }
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(|()| CalledBack)))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
