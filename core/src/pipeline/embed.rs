//! Embeddings: the same attempts loop, one small codec a wire. A batch that is larger than the provider takes is sent in pieces and put together in order.

use bytes::Bytes;
use myelin_protocol::envelope::{Edits, Envelope};
use myelin_protocol::format::AddressHints;
use myelin_protocol::formats::embeddings::{EmbeddingClient, EmbeddingFormat, EmbeddingReply};
use myelin_protocol::ir::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Usage};

use super::dispatch::collect;
use super::reply::Reply;
use super::sight::Body;
use super::target::{Demand, Deployments, Target};
use super::{Job, echo};
use crate::error::{GatewayError, Kind, Retry};
use crate::providers::Operation;
use crate::routing::Candidate;
use crate::snapshot::Line;
use crate::upstream::timeouts::Deadline;

/// What a client asks.
struct Ask {
    format: EmbeddingFormat,
    client: &'static dyn EmbeddingClient,
    body: Bytes,
    request: EmbeddingRequest,
}

impl Ask {
    fn demand(&self) -> Demand {
        Demand { body_bytes: self.body.len() as u64, body: Some(self.body.clone()), max_output: Some(0) }
    }
}

/// Answers an embeddings request.
pub(crate) async fn run(mut job: Box<Job>, format: EmbeddingFormat, body: Bytes, path_model: Option<String>) -> Reply {
    let ask = match read(format, body, path_model.as_deref()) {
        Ok(ask) => ask,
        Err(error) => return job.fail(error),
    };
    let answered = match job.target(&ask.request.model, Body::Texts(ask.body.len())) {
        Err(error) => Err(error),
        Ok(Target::Echo) => {
            let let_in = job.let_in(&[], ask.demand()).await;
            let_in.map(|()| {
                let vectors = echo::embed(&ask.request);
                vectors.usage.iter().for_each(|usage| job.settle.more_usage(usage));
                Answer::Vectors(Box::new(vectors))
            })
        }
        Ok(Target::Deployments(deployments)) => attempts(&mut job, &ask, &deployments).await,
    };
    let body = answered.and_then(|answer| match answer {
        Answer::Bytes(body) => Ok(body.to_vec()),
        Answer::Vectors(response) => {
            let reply = EmbeddingReply { model: &ask.request.model, request: &ask.request };
            let encoded = ask.client.encode_response(&response, reply).map_err(|error| {
                GatewayError::new(
                    Kind::UpstreamFailed,
                    format!("the provider's vectors cannot be read: {}", error.message),
                )
            })?;
            job.settle.losses(&encoded.losses);
            Ok(encoded.value)
        }
    });
    match body {
        Ok(body) => job.json(200, body),
        Err(error) => job.fail(error),
    }
}

fn read(format: EmbeddingFormat, body: Bytes, path_model: Option<&str>) -> Result<Ask, GatewayError> {
    let client =
        format.codec().client().ok_or_else(|| GatewayError::new(Kind::Internal, "no client speaks this format"))?;
    let hints = AddressHints { model: path_model, stream: None };
    let request = client.decode_request(&body, hints).map_err(|error| GatewayError::unreadable(&error))?;
    if request.input.is_empty() {
        return Err(GatewayError::new(Kind::InvalidRequest, "the request has no input"));
    }
    Ok(Ask { format, client, body, request })
}

enum Answer {
    /// As the provider wrote it: it speaks the client's format.
    Bytes(Bytes),
    /// To be written in the client's format.
    Vectors(Box<EmbeddingResponse>),
}

async fn attempts(job: &mut Job, ask: &Ask, deployments: &Deployments) -> Result<Answer, GatewayError> {
    job.planned(deployments, ask.demand()).await?;
    let tries = job.tries(deployments);
    while let Some(candidate) = job.next(&tries).await {
        let answered = attempt(job, ask, &candidate, deployments).await;
        job.end_attempt(&answered);
        match answered {
            Ok(answer) => return Ok(answer),
            Err(error) => job.failed(&tries, candidate, error),
        }
    }
    Err(tries.verdict())
}

async fn attempt(
    job: &mut Job,
    ask: &Ask,
    candidate: &Candidate,
    deployments: &Deployments,
) -> Result<Answer, GatewayError> {
    let line = job.line(candidate)?;
    let Some(target) = line.channel.embeddings() else {
        let message = format!("the channel {} offers no embeddings", line.channel.name());
        return Err(GatewayError::new(Kind::Unsupported, message).retry(Retry::Elsewhere));
    };
    let codec = target.codec();
    job.open_attempt(&line.channel, candidate, target.as_str());
    let batch = line.channel.embedding_batch().unwrap_or(usize::MAX);
    let most = codec.max_inputs(&candidate.upstream).min(batch).max(1);
    let deadline = Deadline::start(&job.limits(&line.channel, &candidate.upstream));
    let native = target == ask.format && target == EmbeddingFormat::Openai && line.channel.embeddings_unchanged();
    if native && ask.request.input.len() <= most {
        let body = spliced(&ask.body, &ask.request.model, &candidate.upstream)?;
        let answer = send(job, &line, candidate, target, body, deadline).await?;
        let read = codec.decode_response(&answer).map_err(|error| unreadable(&error.message))?;
        read.usage.iter().for_each(|usage| job.settle.more_usage(usage));
        return Ok(Answer::Bytes(answer));
    }
    let mut whole = EmbeddingResponse::default();
    if ask.request.input.len() <= most {
        let part = piece(job, ask, &line, candidate, &ask.request.input, deadline).await?;
        join(&mut whole, part);
        return Ok(Answer::Vectors(Box::new(whole)));
    }
    let peers = peers(job, candidate, deployments);
    let mut asked = candidate.clone();
    for (index, inputs) in ask.request.input.chunks(most).enumerate() {
        let part = spread(job, ask, &peers, &mut asked, index, inputs).await?;
        join(&mut whole, part);
    }
    Ok(Answer::Vectors(Box::new(whole)))
}

/// Who may take a piece of a batch: deployments of the same model, for vectors of different models do not go together, that take pieces as large
/// and for the same price. The
/// candidate itself comes first.
fn peers(job: &Job, candidate: &Candidate, deployments: &Deployments) -> Vec<Candidate> {
    let wire = |candidate: &Candidate| {
        let channel = job.line(candidate).ok()?.channel;
        let price = job.snapshot.quote(candidate.channel, &candidate.upstream);
        Some((channel.embeddings()?, channel.embedding_batch(), price))
    };
    let own = wire(candidate);
    let others = deployments.candidates.iter().filter(|other| {
        *other != candidate && other.upstream == candidate.upstream && own.is_some() && wire(other) == own
    });
    std::iter::once(candidate).chain(others).cloned().collect()
}

/// One piece of a batch: each begins at another deployment, and goes to the next one if that fails. `asked` is whose attempt is open.
async fn spread(
    job: &mut Job,
    ask: &Ask,
    peers: &[Candidate],
    asked: &mut Candidate,
    index: usize,
    inputs: &[EmbeddingInput],
) -> Result<EmbeddingResponse, GatewayError> {
    let mut failure = unreadable("nobody was asked");
    for step in 0..peers.len() {
        let Some(peer) = peers.get((index + step) % peers.len()) else { continue };
        let line = job.line(peer)?;
        if peer != asked {
            if !job.enter(peer) {
                continue;
            }
            // The one before has answered, or its failure is noted already.
            asked.clone_from(peer);
            job.end_attempt(&Ok::<(), GatewayError>(()));
            let wire = line.channel.embeddings().map_or("", EmbeddingFormat::as_str);
            job.open_attempt(&line.channel, peer, wire);
        }
        let deadline = Deadline::start(&job.limits(&line.channel, &peer.upstream));
        match piece(job, ask, &line, peer, inputs, deadline).await {
            Ok(part) => return Ok(part),
            Err(error) => {
                let again = error.retry != Retry::Never && step + 1 < peers.len();
                if !again {
                    return Err(error);
                }
                let failed = Err::<(), GatewayError>(error);
                job.end_attempt(&failed);
                if let Err(error) = failed {
                    failure = error;
                }
            }
        }
    }
    Err(failure)
}

/// Asks one deployment for the vectors of some inputs.
async fn piece(
    job: &mut Job,
    ask: &Ask,
    line: &Line,
    candidate: &Candidate,
    inputs: &[EmbeddingInput],
    deadline: Deadline,
) -> Result<EmbeddingResponse, GatewayError> {
    let Some(target) = line.channel.embeddings() else { return Err(unreadable("the channel offers none")) };
    let codec = target.codec();
    let request = EmbeddingRequest {
        model: candidate.upstream.as_ref().to_owned(),
        input: inputs.to_vec(),
        // The catalog's addresses are those for lists.
        single: false,
        ..ask.request.clone()
    };
    let encoded = codec.encode_request(&request, line.channel.embedding_dialect()).map_err(|error| {
        GatewayError::new(Kind::Unsupported, format!("{target} cannot carry this request: {}", error.message))
            .retry(Retry::Elsewhere)
    })?;
    job.settle.losses(&encoded.losses);
    let answer = send(job, line, candidate, target, vec![encoded.value.into()], deadline).await?;
    let part = codec.decode_response(&answer).map_err(|error| unreadable(&error.message))?;
    // Booked at once: when a later piece fails, this one was paid for all the same.
    part.usage.iter().for_each(|usage| job.settle.more_usage(usage));
    if part.data.len() != inputs.len() {
        return Err(unreadable(&format!("{} vectors for {} inputs", part.data.len(), inputs.len())));
    }
    Ok(part)
}

async fn send(
    job: &mut Job,
    line: &Line,
    candidate: &Candidate,
    target: EmbeddingFormat,
    body: Vec<Bytes>,
    deadline: Deadline,
) -> Result<Bytes, GatewayError> {
    let limits = job.limits(&line.channel, &candidate.upstream);
    let response = job.dispatch(line, candidate, &Operation::Embeddings, false, body, deadline).await?;
    if response.status().is_success() {
        return collect(&line.channel, response.into_body(), &limits, deadline).await;
    }
    Err(job.refusal(&line.channel, target.family(), response).await)
}

/// The client's own bytes with the provider's name of the model.
fn spliced(body: &Bytes, asked: &str, upstream: &str) -> Result<Vec<Bytes>, GatewayError> {
    if asked == upstream {
        return Ok(vec![body.clone()]);
    }
    let wrong = |error: &dyn std::fmt::Display| {
        GatewayError::new(Kind::InvalidRequest, format!("the request body cannot be read: {error}"))
    };
    let envelope = Envelope::read(body.clone()).map_err(|error| wrong(&error))?;
    let mut edits = Edits::new();
    edits.model(upstream);
    envelope.splice(&edits).map_err(|error| wrong(&error))
}

/// Puts the next piece behind what is there; counters add up, unknown stays unknown.
fn join(whole: &mut EmbeddingResponse, part: EmbeddingResponse) {
    if whole.data.is_empty() {
        *whole = part;
        return;
    }
    whole.data.extend(part.data);
    let add = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
    whole.usage = match (whole.usage.take(), part.usage) {
        // A cost that was told of one piece is not that of all.
        (Some(a), Some(b)) => Some(Usage {
            input: add(a.input, b.input),
            output: add(a.output, b.output),
            cost_usd: None,
            raw: None,
            ..a
        }),
        _ => None,
    };
}

fn unreadable(why: &str) -> GatewayError {
    GatewayError::new(Kind::UpstreamFailed, format!("the provider's vectors cannot be read: {why}"))
        .retry(Retry::Elsewhere)
}
