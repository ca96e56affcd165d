//! The attempts loop: one candidate after the other until one answers, nothing helps any more, or the commit point is passed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use myelin_protocol::ir::ChatRequest;
use myelin_protocol::lower::{self, NameMap};
use myelin_protocol::{ApiFormat, ReplyContext, StreamEncoder};

use super::arriving::{Answer, Underway};
use super::ask::{Ask, malformed};
use super::chat::stream_type;
use super::origins::Maker;
use super::receive::{Begun, Whole};
use super::reply::{Reply, ReplyBody};
use super::resume::Spare;
use super::settle::{End, Settle};
use super::stored::Follow;
use super::stream::{Live, StreamReply};
use super::target::Deployments;
use super::tries::Tries;
use super::{Job, Services, arriving, contest, error, media, passthrough};
use crate::error::{GatewayError, Kind, Retry};
use crate::model::{RequestRecord, RequestState};
use crate::providers::{Accepted, LiveChannel, Operation};
use crate::routing::{Candidate, Errand, Standing};
use crate::upstream;
use crate::upstream::timeouts::{Deadline, Limits, Waiting};

/// How long the head of a stream is held for a real status.
const HEAD_HOLD: Duration = Duration::from_secs(10);

/// All attempts failed: with what, and the record to settle.
pub(crate) struct AllFailed {
    /// The failure that tells the caller most.
    pub error: GatewayError,
    /// The record.
    pub settle: Settle,
}

/// Boxed: it travels inside results of the hot path.
pub(crate) type Failed = Box<AllFailed>;

/// A request under way. Boxed wherever it goes, like its [`Job`].
pub(crate) struct Run {
    pub job: Box<Job>,
    pub ask: Ask,
    pub deployments: Deployments,
    follow: Follow,
    /// The first attempt, if it began while the body arrived.
    underway: Option<Box<Underway>>,
    /// Who is left to be asked.
    pub tries: Option<Tries>,
}

/// An upstream that answered with success; its body is still to be read.
pub(super) struct Sent {
    pub response: upstream::Reply,
    pub channel: Arc<LiveChannel>,
    pub deadline: Deadline,
    pub accepted: Accepted,
    /// Whose opaque reasoning the answer holds.
    pub maker: Maker,
    /// `None`: bytes pass. Else: names to restore in the answer.
    pub names: Option<NameMap>,
    /// Upstream was asked for a stream.
    pub streams: bool,
    pub limits: Limits,
    pub candidate: Candidate,
}

/// Runs the attempts and answers.
pub(crate) async fn run(mut job: Box<Job>, mut ask: Ask, deployments: Deployments, follow: Follow) -> Reply {
    if let Err(error) = job.planned(&deployments, ask.demand()).await {
        return job.fail(error);
    }
    if let Err(error) = ask.set(&deployments.set) {
        return job.fail(error);
    }
    let run = Box::new(Run { job, ask, deployments, follow, underway: None, tries: None });
    run.mirror();
    answer(run).await
}

/// The same for a request whose first attempt is under way.
pub(super) async fn go_on(job: Box<Job>, ask: Ask, mut deployments: Deployments, mut underway: Underway) -> Reply {
    // If it is a probe, the attempt that is under way holds it.
    underway.candidate.standing = Standing::Ready;
    if let Some(first) = deployments.candidates.first_mut() {
        first.standing = Standing::Ready;
    }
    let underway = Some(Box::new(underway));
    answer(Box::new(Run { job, ask, deployments, follow: Follow::Fresh, underway, tries: None })).await
}

/// Answers, whole or as a stream.
pub(super) async fn answer(run: Box<Run>) -> Reply {
    let format = run.ask.format;
    if run.ask.stream {
        return stream(run).await;
    }
    match whole(run).await {
        Ok((answer, settle)) => whole_reply(answer, settle).await,
        Err(failed) => error::reply(format, failed.error, failed.settle),
    }
}

/// What the head of a stream says if it has to go out before an attempt has answered. Made for every stream and hardly ever used, so it holds no more than that.
struct Early {
    id: String,
    started: u64,
    model: String,
    include_usage: bool,
    json_array: bool,
    headers: HeaderMap,
}

impl Early {
    fn of(run: &Run) -> Self {
        let mut headers = HeaderMap::new();
        run.job.settle.describe(&mut headers);
        let RequestRecord { id, started, model, .. } = run.job.settle.record();
        let id = id.trim_start_matches("req_").to_owned();
        let (include_usage, json_array) = (run.ask.include_usage, run.ask.json_array);
        Self { id, started: *started, model: model.clone(), include_usage, json_array, headers }
    }

    /// Writes keep-alives, and the failure if all attempts fail.
    fn encoder(self, format: ApiFormat) -> Box<dyn StreamEncoder> {
        let Self { id, started, model, include_usage, json_array, .. } = self;
        let created = started / 1_000;
        let context = ReplyContext { model, id, created, include_usage, json_array, ..ReplyContext::default() };
        format.codec().stream_encoder(context)
    }
}

async fn stream(run: Box<Run>) -> Reply {
    let (format, json_array) = (run.ask.format, run.ask.json_array);
    let mut early = Early::of(&run);
    let flight = Arc::clone(run.job.settle.flight());
    let mut attempts: Pin<Box<dyn Future<Output = Result<Live, Failed>> + Send>> = Box::pin(first_content(run));
    let mut head = http::Response::new(ReplyBody::Empty);
    let headers = head.headers_mut();
    headers.insert(CONTENT_TYPE, stream_type(format, json_array));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    let body = match tokio::time::timeout(HEAD_HOLD, &mut attempts).await {
        Ok(Ok(live)) => {
            live.settle.describe(headers);
            StreamReply::live(live)
        }
        Ok(Err(failed)) if json_array => return error::reply_in_array(failed.error, failed.settle),
        Ok(Err(failed)) => return error::reply(format, failed.error, failed.settle),
        Err(_) => {
            headers.extend(std::mem::take(&mut early.headers));
            StreamReply::waiting(attempts, early.encoder(format), flight)
        }
    };
    *head.body_mut() = ReplyBody::Stream(Box::new(body));
    head
}

async fn whole_reply(answer: Whole, mut settle: Settle) -> Reply {
    let mut reply = http::Response::new(ReplyBody::Empty);
    *reply.headers_mut() = answer.headers;
    reply.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    settle.price();
    settle.describe(reply.headers_mut());
    settle.given(&answer.body);
    settle.complete_durably(RequestState::Completed, 200).await;
    *reply.body_mut() = ReplyBody::Whole(answer.body);
    reply
}

/// Looks for a whole answer.
async fn whole(run: Box<Run>) -> Result<(Whole, Settle), Failed> {
    let (found, run) = contest::find(run).await?;
    match found {
        Found::Whole(answer) => {
            let mut settle = run.job.settle;
            settle.end_attempt(End::Answered);
            Ok((*answer, settle))
        }
        Found::Begun(_) => {
            let error = GatewayError::new(Kind::Internal, "a stream came where a whole answer was looked for");
            Err(Box::new(AllFailed { error, settle: run.job.settle }))
        }
    }
}

/// Looks for a stream that shows content.
async fn first_content(run: Box<Run>) -> Result<Live, Failed> {
    let (found, run) = contest::find(run).await?;
    match found {
        Found::Begun(begun) => {
            let Begun { body, relay, out, limits, keep, maker, over, from } = *begun;
            let mut run = run;
            let settle = run.job.settle.replace_by_hollow();
            let mut live = Live::new(body, relay, out, settle, &limits, maker);
            live.keep = keep;
            live.over = over;
            if let (Some((candidate, channel)), Some(tries)) = (from, run.tries.take()) {
                live.spare = Some(Box::new(Spare { run, tries, candidate, channel, used: None }));
            }
            Ok(live)
        }
        Found::Whole(_) => {
            let error = GatewayError::new(Kind::Internal, "a whole answer came where a stream was looked for");
            Err(Box::new(AllFailed { error, settle: run.job.settle }))
        }
    }
}

/// What was looked for.
pub(super) enum Found {
    Whole(Box<Whole>),
    Begun(Box<Begun>),
}

/// Tries candidates until one has what is looked for.
pub(super) async fn seek(mut run: Box<Run>, tries: Tries) -> (Option<Found>, Box<Run>) {
    while let Some(candidate) = run.job.next(&tries).await {
        match run.attempt(&candidate).await {
            Ok(found) => return (Some(found), run),
            Err(error) => {
                run.job.settle.end_attempt(End::Failed(&error));
                run.job.failed(&tries, candidate, error);
            }
        }
    }
    (None, run)
}

impl Job {
    /// The tries that this request has.
    pub(super) fn tries(&self, deployments: &Deployments) -> Tries {
        let settings = &self.snapshot.settings;
        self.services.resilience.budget.earn(settings.retry_budget_percent);
        Tries::new(&deployments.candidates, settings.max_attempts)
    }

    /// The next candidate of `tries`. If it failed before, this request is the only one that asks it now.
    pub(super) async fn next(&mut self, tries: &Tries) -> Option<Candidate> {
        let (services, routing): (&Services, _) = (&self.services, &self.snapshot.routing);
        let pay = || services.resilience.budget.spend(services.clock.monotonic_us());
        let enter = |candidate: &Candidate| routing.take_probe(candidate, services.clock.unix_ms());
        let (candidate, probe) = tries.next(pay, enter).await?;
        self.settle.hold(probe);
        Some(candidate)
    }

    /// Whether a candidate may be asked that comes from no [`Tries`]: `false` if another request shows now whether it works again.
    pub(super) fn enter(&mut self, candidate: &Candidate) -> bool {
        let probe = self.snapshot.routing.take_probe(candidate, self.services.clock.unix_ms());
        probe.map(|probe| self.settle.hold(probe)).is_some()
    }

    /// Who does something for a conversation that is none itself: of those who would have it, in the first one's group and under its name of the model,
    /// the first that was not left alone lately for this very thing.
    pub(super) fn beside(&self, candidates: &[Candidate], errand: Errand) -> Option<Candidate> {
        let first = candidates.first()?;
        let now_ms = self.services.clock.unix_ms();
        let alike = candidates.iter().filter(|own| own.group == first.group && own.upstream == first.upstream);
        let mut turned = alike.map(|own| self.snapshot.routing.turned(own, errand, now_ms));
        turned.find(|own| !matches!(own.standing, Standing::Benched(_)))
    }

    /// An attempt failed: what follows is told to `tries`.
    pub(super) fn failed(&self, tries: &Tries, candidate: Candidate, error: GatewayError) {
        let line = self.snapshot.lines.get(candidate.channel);
        let verdict = self.verdict(line.map(|line| line.channel.as_ref()), &candidate.upstream, &error);
        let fallback = match error.class() {
            Some(class) if !tries.fell_back() => self.fallback(class),
            _ => Vec::new(),
        };
        let (now_us, now_ms) = (self.services.clock.monotonic_us(), self.services.clock.unix_ms());
        let benched = |other: &Candidate| self.snapshot.routing.is_benched(other, now_ms);
        let repeats = self.services.resilience.budget.has(now_us);
        tries.failed(candidate, error, &verdict, repeats, &benched);
        if !fallback.is_empty() {
            tries.fall_back(self.standbys(&fallback));
        }
    }
}

impl Job {
    /// Candidates for several names, each a cold standby for those before it.
    fn standbys(&self, names: &[String]) -> Vec<Candidate> {
        let mut all: Vec<Candidate> = Vec::new();
        for name in names {
            let first = all.iter().map(|own| own.group.saturating_add(1)).max().unwrap_or(0);
            let next = self.candidates_for(name).into_iter();
            all.extend(next.map(|own| Candidate { group: own.group.saturating_add(first), ..own }));
        }
        all
    }
}

impl Run {
    /// A request that goes on from nothing.
    pub(super) fn new(job: Job, ask: Ask, deployments: Deployments) -> Box<Self> {
        let job = Box::new(job);
        Box::new(Self { job, ask, deployments, follow: Follow::Fresh, underway: None, tries: None })
    }

    /// One more of the same, that looks with a record of its own.
    pub(super) fn entrant(&self, settle: Settle) -> Box<Self> {
        let job = Job {
            services: self.job.services.clone(),
            snapshot: self.job.snapshot.clone(),
            call: self.job.call.clone(),
            caller: self.job.caller.clone(),
            settle,
            planned: self.job.planned,
            copy: self.job.copy,
        };
        let (ask, deployments, follow) = (self.ask.clone(), self.deployments.clone(), self.follow.clone());
        Box::new(Self { job: Box::new(job), ask, deployments, follow, underway: None, tries: None })
    }

    async fn attempt(&mut self, candidate: &Candidate) -> Result<Found, GatewayError> {
        let sent = loop {
            match self.send(candidate).await {
                Ok(sent) => break sent,
                Err(error) if self.teaches(candidate, &error) => self.job.settle.end_attempt(End::Failed(&error)),
                Err(error) => return Err(error),
            }
        };
        Ok(match self.ask.stream {
            true => Found::Begun(Box::new(self.read_to_commit(sent).await?)),
            false => Found::Whole(Box::new(self.read_whole(sent).await?)),
        })
    }

    /// Whether a refusal was for something that is left out from now on.
    fn teaches(&self, candidate: &Candidate, error: &GatewayError) -> bool {
        if !self.ask.stream || error.kind != Kind::UpstreamRejected {
            return false;
        }
        let Ok(line) = self.job.line(candidate) else { return false };
        let accepted = line.channel.accepts(self.ask.format, &candidate.upstream);
        accepted.is_some_and(|accepted| line.channel.learn_refusal(&accepted, &error.public))
    }

    /// Sends the request to one candidate; anything but success is an error.
    async fn send(&mut self, candidate: &Candidate) -> Result<Sent, GatewayError> {
        if let Some(underway) = self.underway.take()
            && underway.candidate == *candidate
        {
            let joined = Box::pin(self.join(*underway)).await;
            if let Ok(Some(sent)) = joined {
                return Ok(sent);
            }
            // The first one got these while the body arrived; from here on the body has them.
            self.ask.set(&self.deployments.set)?;
            joined?;
        }
        let line = self.job.line(candidate)?;
        let channel = line.channel.clone();
        let accepted = channel.accepts(self.ask.format, &candidate.upstream).ok_or_else(|| {
            let message = format!("the channel {} has no endpoint for {:?}", channel.name(), candidate.upstream);
            GatewayError::new(Kind::NoCandidate, message).retry(Retry::Elsewhere)
        })?;
        self.job.open_attempt(&channel, candidate, accepted.format.as_str());
        let streams = self.ask.stream || accepted.dialect.stream_only;
        let maker = Maker::of(&channel, candidate, accepted.format == ApiFormat::OpenaiResponses);
        let (body, names) = self.encode(&accepted, &candidate.upstream, streams, &maker).await?;
        let limits = self.job.limits(&channel, &candidate.upstream);
        let deadline = Deadline::start(&limits);
        let operation = Operation::Chat { accepted: &accepted, stream: streams };
        // Boxed: each of the futures around it is copied into the next one, with the room for all that it awaits.
        let asked = self.job.dispatch(&line, candidate, &operation, accepted.native, body, deadline);
        let response = Box::pin(asked).await?;
        if !response.status().is_success() {
            return Err(self.job.refusal(&channel, accepted.format, response).await);
        }
        Ok(Sent { response, channel, deadline, accepted, maker, names, streams, limits, candidate: candidate.clone() })
    }

    /// Waits for what the candidate says to the request that it was sent while that arrived. `None`: it shall be sent the whole.
    async fn join(&mut self, underway: Underway) -> Result<Option<Sent>, GatewayError> {
        let Underway { candidate, channel, accepted, maker, limits, deadline, way, answer } = underway;
        let answer = match answer {
            Answer::Awaited(flight) => {
                let answer = deadline.within(Waiting::FirstByte, limits.first_byte, flight).await;
                let answer = answer.and_then(|answer| answer);
                arriving::weigh(&mut self.job, &channel, way, accepted.format, answer).await
            }
            known => known,
        };
        let response = match answer {
            Answer::Known(answer) => answer?,
            Answer::Again(why) => {
                self.job.settle.end_attempt(End::Withdrawn(why));
                return Ok(None);
            }
            Answer::Awaited(_) => return Err(GatewayError::new(Kind::Internal, "an answer was not waited for")),
        };
        let streams = self.ask.stream;
        Ok(Some(Sent { response, channel, deadline, accepted, maker, names: None, streams, limits, candidate }))
    }

    /// The body for one candidate: the client's own bytes where they may pass, a converted request elsewhere.
    async fn encode(
        &mut self,
        accepted: &Accepted,
        upstream: &str,
        stream: bool,
        maker: &Maker,
    ) -> Result<(Vec<Bytes>, Option<NameMap>), GatewayError> {
        let origins = &self.job.services.origins;
        let ask = &mut self.ask;
        let format = accepted.format;
        let host = passthrough::Host::of(accepted);
        let pass = accepted.native
            && !ask.compacts
            // Upstream streams are events; an array has to be written.
            && !ask.json_array
            && ask.turn.is_none()
            && stream == ask.stream
            && !self.follow.is_expanded();
        if pass {
            ask.envelope()?;
        }
        if pass
            && let Some(envelope) = ask.whole()
            && !passthrough::needs_tree(host, envelope.body())
            && !origins.has_foreign(envelope.body(), maker)
        {
            let names = passthrough::Names { asked: &ask.model, upstream };
            let has = |field: &str| envelope.contains(field);
            let (mut edits, mut losses) = passthrough::edits(has, host, names, stream, &self.deployments.set);
            if let Some((value, loss)) = passthrough::thinking(format, envelope.raw("thinking"), envelope.max_tokens())
            {
                edits.set("thinking", &value);
                losses.push(loss);
            }
            let pieces = envelope.splice(&edits).map_err(|error| malformed(&error))?;
            self.job.settle.losses(&losses);
            return Ok((pieces, None));
        }
        let request = ChatRequest::clone(&*ask.tree()?);
        let (body, names) = Box::pin(self.convert(request, accepted, upstream, stream, maker)).await?;
        Ok((body, Some(names)))
    }

    /// A request in the words of one candidate.
    pub(super) async fn convert(
        &mut self,
        mut request: ChatRequest,
        accepted: &Accepted,
        upstream: &str,
        stream: bool,
        maker: &Maker,
    ) -> Result<(Vec<Bytes>, NameMap), GatewayError> {
        let origins = &self.job.services.origins;
        let (format, dialect) = (accepted.format, &*accepted.dialect);
        upstream.clone_into(&mut request.model);
        if accepted.stateless {
            (request.store, request.previous_response_id) = (None, None);
        }
        request.stream = Some(stream);
        request.include_usage = Some(true);
        let stripped =
            lower::strip_opaque(&mut request, format, |opaque| origins.is_own(opaque.data.as_bytes(), maker));
        self.job.settle.losses(&stripped);
        if self.ask.format != format && !accepted.invented {
            self.job.settle.losses(&lower::core_only(&mut request, format, dialect));
        }
        Box::pin(media::fetch(&mut request, format, &self.job.snapshot.media)).await;
        let lowered = lower::lower(request, format, dialect);
        self.job.settle.losses(&lowered.losses);
        let encoded = format.codec().encode_request(&lowered.request, dialect).map_err(|error| {
            let message = format!("{format} cannot carry this request: {}", error.message);
            GatewayError::new(Kind::Unsupported, message).retry(Retry::Elsewhere)
        })?;
        self.job.settle.losses(&encoded.losses);
        Ok((vec![encoded.value.into()], lowered.names))
    }
}
