//! Stored responses: what is kept of answers, and how `previous_response_id` finds it.
//!
//! An answer that a provider stores stays there; we keep only which channel and credential it is bound to. An answer that was converted, or that passed from a
//! provider that stores none, is kept here, whole, with its owner and an end, under an id of ours: hosts that store nothing need not give each answer another
//! one. Another key's id is 403. `store: false` keeps nothing.

use std::time::Duration;

use bytes::Bytes;
use myelin_protocol::envelope::Envelope;
use myelin_protocol::formats::openai_responses::stored::{self as wire, StoredResponse};
use myelin_protocol::ir::ChatResponse;
use myelin_protocol::{ApiError, ApiErrorKind, ApiFormat, ReplyContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{Ask, reply_context, reply_token};
use super::heard::{self, Heard};
use super::relay::Relay;
use super::target::Deployments;
use super::{Job, Services};
use crate::error::{GatewayError, Kind};
use crate::routing::{Candidate, RoutingTable};
use crate::store::{KeptEntry, StoreError};

/// Namespace in the store.
const SPACE: &str = "responses";
/// How ids of responses begin.
const PREFIX: &str = "resp_";
/// A conversation with more links is not followed: something is wrong with it.
const LONGEST_CHAIN: usize = 500;

/// What the store keeps of one answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Row {
    /// The provider has it.
    Native(Home),
    /// We have it.
    Local {
        /// The answer before.
        previous: Option<String>,
        /// The new items of the request.
        input: Vec<Value>,
        /// The response object as the client got it.
        response: Value,
    },
}

/// Where a provider stores an answer: nobody but the account that it was made with can go on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Home {
    /// Channel that answered.
    pub(super) channel: String,
    /// Where its credential stood; only for those whose mark is not known.
    credential: u32,
    /// Which credential, wherever it stands now. `None`: kept before marks were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<u64>,
}

impl Home {
    fn of(job: &Job, candidate: &Candidate) -> Option<Self> {
        let table = &job.snapshot.routing;
        let channel = table.channels.get(candidate.channel)?.name.clone();
        let mark = table.credential(&channel, candidate.credential).map(|own| own.mark);
        Some(Self { channel, credential: candidate.credential, mark })
    }

    /// Where the credential stands now; `None`: the channel does not have it any more.
    pub(super) fn credential(&self, table: &RoutingTable) -> Option<u32> {
        let Some(mark) = self.mark else {
            return table.credential(&self.channel, self.credential).map(|_| self.credential);
        };
        let mut all = (0..).map_while(|position| Some((position, table.credential(&self.channel, position)?)));
        all.find(|(_, own)| own.mark == mark).map(|(position, _)| position)
    }

    pub(super) fn without_credential(&self) -> String {
        format!("the response was made with a credential that the channel {} does not have any more", self.channel)
    }
}

/// What a request goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Nothing.
    Fresh,
    /// A conversation that was put in front of the request.
    Expanded,
    /// An answer that one channel and credential stores.
    Bound(Home),
}

impl Follow {
    /// The client's bytes no longer say everything.
    pub(super) fn is_expanded(&self) -> bool {
        *self == Follow::Expanded
    }

    /// Leaves only the candidates that can go on from the answer.
    pub(super) fn narrow(&self, job: &Job, deployments: &mut Deployments) -> Result<(), GatewayError> {
        let Follow::Bound(home) = self else { return Ok(()) };
        let Home { channel, .. } = home;
        let there = |candidate: &Candidate| {
            job.snapshot.lines.get(candidate.channel).is_some_and(|line| line.channel.name() == channel)
        };
        // A plan leaves out credentials that are benched; here no other will do.
        let found = deployments.candidates.iter().find(|candidate| there(candidate)).cloned();
        let Some(found) = found else {
            let message = format!(
                "the previous response is stored at the channel {channel}, which does not serve this model now"
            );
            return Err(GatewayError::new(Kind::InvalidRequest, message));
        };
        let Some(credential) = home.credential(&job.snapshot.routing) else {
            return Err(GatewayError::new(Kind::InvalidRequest, home.without_credential()));
        };
        let accepted = job.line(&found)?.channel.accepts(ApiFormat::OpenaiResponses, &found.upstream);
        if accepted.is_some_and(|accepted| accepted.stateless) {
            // Kept before it was known that nothing is stored there: alone, the new words would lose all that was said.
            let message = format!("the provider of the channel {channel} stores no responses: say all of it again");
            return Err(GatewayError::new(Kind::InvalidRequest, message));
        }
        deployments.candidates = vec![Candidate { credential, ..found }];
        Ok(())
    }
}

/// Finds what `ask` goes on from, and puts a locally kept conversation in front of it.
pub(crate) async fn follow(job: &Job, ask: &mut Ask) -> Result<Follow, GatewayError> {
    if ask.format != ApiFormat::OpenaiResponses {
        return Ok(Follow::Fresh);
    }
    let Some(id) = ask.text("previous_response_id").map(|id| id.into_owned()) else {
        return Ok(Follow::Fresh);
    };
    match load(job, &id).await? {
        Row::Native(home) => Ok(Follow::Bound(home)),
        row @ Row::Local { .. } => {
            let chain = chain(job, row).await?;
            let tree = wire::continue_from(&chain, ask.envelope()?.body())
                .map_err(|error| GatewayError::unreadable(&error))?;
            ask.replace_tree(tree);
            Ok(Follow::Expanded)
        }
    }
}

/// What has to be stored when an answer is complete.
pub(crate) enum Keep {
    /// The provider stores it; where that was.
    Native {
        /// There.
        home: Home,
        /// It may say that it does not.
        here: Here,
        /// Whose it is, and for how long.
        terms: Terms,
    },
    /// We store it.
    Local {
        /// The answer before.
        previous: Option<String>,
        /// The new items of the request.
        input: Vec<Value>,
        /// For writing the response object.
        context: Box<ReplyContext>,
        /// Whose it is, and for how long.
        terms: Terms,
    },
    /// A turn of a Dify conversation.
    Dify(Box<super::dify::Turn>),
}

/// What is kept here of an answer that passes, if its provider does not store it.
pub(crate) struct Here {
    /// It does not, whatever it says.
    certain: bool,
    /// Its id here.
    id: String,
    ask: Box<Ask>,
}

impl Here {
    /// `answer`: the response object, with our id.
    fn put(mut self, services: &Services, terms: &Terms, answer: &[u8]) {
        let previous = self.ask.text("previous_response_id").map(|id| id.into_owned());
        let response = serde_json::from_slice::<Value>(answer).ok();
        if let Some((input, response)) = self.input().zip(response) {
            put(services, &self.id, terms, &Row::Local { previous, input, response });
        } else {
            tracing::warn!(self.id, "a response that its provider does not store cannot be read");
        }
    }

    fn input(&mut self) -> Option<Vec<Value>> {
        let token = self.id.strip_prefix(PREFIX)?;
        wire::input_items(self.ask.envelope().ok()?.body(), token).ok()
    }
}

/// Whose a stored answer is, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    owner: String,
    keep: Duration,
}

/// What is to be stored of the answer to `ask`, if anything. `native`: the bytes pass, so the provider stores it, unless it is known (`true`) to store nothing.
pub(crate) fn keep(job: &Job, ask: &mut Ask, candidate: &Candidate, native: Option<bool>) -> Option<Keep> {
    if ask.aside {
        return None;
    }
    if let Some(turn) = &ask.turn {
        // Not taken: this candidate may still fail, and then the next one's answer is the turn.
        return Some(Keep::Dify(turn.clone()));
    }
    let terms = terms(job, ask)?;
    if let Some(certain) = native {
        let id = format!("{PREFIX}{}", reply_token(job));
        let here = Here { certain, id, ask: Box::new(ask.clone()) };
        return Some(Keep::Native { home: Home::of(job, candidate)?, here, terms });
    }
    local(job, ask, terms)
}

/// Stores a whole converted answer, if it is to be stored.
pub(crate) fn keep_answer(job: &Job, ask: &mut Ask, response: &ChatResponse) {
    if ask.aside {
        return;
    }
    if let Some(turn) = ask.turn.take() {
        turn.ended(&job.services, response);
    } else if let Some(keep) = terms(job, ask).and_then(|terms| local(job, ask, terms)) {
        keep.local(&job.services, response);
    }
}

fn local(job: &Job, ask: &mut Ask, terms: Terms) -> Option<Keep> {
    let tree = ask.tree().ok()?;
    let context = reply_context(job, ask, Some(tree));
    let input = wire::input_items(ask.envelope().ok()?.body(), &context.id).ok()?;
    let previous = ask.text("previous_response_id").map(|id| id.into_owned());
    Some(Keep::Local { previous, input, context: Box::new(context), terms })
}

fn terms(job: &Job, ask: &Ask) -> Option<Terms> {
    let wanted = ask.format == ApiFormat::OpenaiResponses && !ask.compacts && ask.flag("store") != Some(false);
    let keep = Duration::from_secs(job.snapshot.settings.stored_response_seconds);
    wanted.then(|| Terms { owner: job.caller.key.key.id.clone(), keep })
}

impl Keep {
    /// A stream ended well.
    pub(crate) fn stream_ended(self, services: &Services, relay: &mut Relay) {
        match &self {
            Keep::Native { .. } => {
                let heard = relay.heard();
                self.streamed(services, relay.response_id(), heard.and_then(Heard::response));
            }
            Keep::Local { .. } | Keep::Dify(_) => {
                if let Some(folded) = relay.folded() {
                    self.local(services, &folded.response);
                }
            }
        }
    }

    /// Whether the answer has to be heard while it passes, to be kept here: its provider may not store it.
    pub(super) fn hears(&self) -> Option<Heard> {
        match self {
            Keep::Native { here, .. } => Some(Heard::new(here.certain, &here.id)),
            Keep::Local { .. } | Keep::Dify(_) => None,
        }
    }

    /// Nobody but us has it when it is complete: others may go on with it.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Keep::Native { here, .. } => here.certain,
            Keep::Local { .. } | Keep::Dify(_) => true,
        }
    }

    /// Another deployment goes on with the answer: it passes no longer. `context`: how it is written.
    pub(super) fn resumed(self, context: &ReplyContext) -> Self {
        let Keep::Native { mut here, home, terms } = self else { return self };
        match here.input() {
            Some(input) => {
                let previous = here.ask.text("previous_response_id").map(|id| id.into_owned());
                Keep::Local { previous, input, context: Box::new(context.clone()), terms }
            }
            None => Keep::Native { here, home, terms },
        }
    }

    /// A provider gave a whole answer, under `id`: it stores it, or says that it does not. Gives what the client gets: that has an id of ours if it is kept here.
    pub(crate) fn native(self, services: &Services, id: &str, answer: Bytes) -> Bytes {
        let Keep::Native { home, here, terms } = self else { return answer };
        if !here.certain && !is_unstored(&answer) {
            put(services, id, &terms, &Row::Native(home));
            return answer;
        }
        match heard::under(&answer, &here.id) {
            Some(answer) => {
                here.put(services, &terms, &answer);
                answer
            }
            None => answer,
        }
    }

    /// The same in a stream. `heard`: its response object, if nothing is stored there.
    fn streamed(self, services: &Services, id: Option<&str>, heard: Option<Option<Bytes>>) {
        let Keep::Native { home, here, terms } = self else { return };
        match (heard, id) {
            (Some(Some(response)), _) => here.put(services, &terms, &response),
            (None, Some(id)) if !here.certain => put(services, id, &terms, &Row::Native(home)),
            _ => tracing::warn!(here.id, "a response cannot be kept: the stream did not tell of it"),
        }
    }

    fn local(self, services: &Services, response: &ChatResponse) {
        match self {
            Keep::Local { previous, input, context, terms } => {
                let written = ApiFormat::OpenaiResponses.codec().encode_response(response, &context).value;
                let Ok(response) = serde_json::from_slice::<Value>(&written) else { return };
                let Some(id) = response.get("id").and_then(Value::as_str).map(str::to_owned) else { return };
                put(services, &id, &terms, &Row::Local { previous, input, response });
            }
            Keep::Dify(turn) => turn.ended(services, response),
            Keep::Native { .. } => {}
        }
    }
}

/// Whether an answer says that it is not stored.
fn is_unstored(answer: &Bytes) -> bool {
    // Looked for first: a look at all of an answer costs more.
    memchr::memmem::find(answer, b"\"store\"").is_some()
        && Envelope::look(answer.clone()).is_ok_and(|look| look.flag("store") == Some(false))
}

/// Where an answer of `owner` is: two keys may have been given the same id, by hosts that do not take care.
fn place(id: &str, owner: &str) -> String {
    format!("{id}:{owner}")
}

fn put(services: &Services, id: &str, terms: &Terms, row: &Row) {
    let kept = serde_json::to_vec(row).is_ok_and(|value| {
        services.store.kept().put(SPACE, &place(id, &terms.owner), &terms.owner, terms.keep, &value)
    });
    if !kept {
        tracing::warn!(id, "a response could not be stored");
    }
}

/// Forgets a stored answer of the caller's own.
pub(super) async fn forget(job: &Job, id: &str) {
    let (kept, owner) = (job.services.store.kept(), &job.caller.key.key.id);
    kept.delete(SPACE, &place(id, owner));
    // Of earlier versions.
    if kept.get(SPACE, id).await.is_ok_and(|entry| entry.is_some_and(|entry| entry.owner == *owner)) {
        kept.delete(SPACE, id);
    }
}

/// What is kept under an id: the caller's own, else what an earlier version kept, else whose it is does not matter.
async fn find(job: &Job, id: &str) -> Result<Option<Found>, StoreError> {
    let (kept, owner) = (job.services.store.kept(), &job.caller.key.key.id);
    let mut found = kept.get(SPACE, &place(id, owner)).await?;
    if found.is_none() {
        found = kept.get(SPACE, id).await?;
    }
    if let Some(entry) = found {
        return Ok(Some(if entry.owner == *owner { Found::Own(entry) } else { Found::Foreign }));
    }
    let foreign = kept.list(SPACE, &place(id, ""), None, 1).await?;
    Ok((!foreign.is_empty()).then_some(Found::Foreign))
}

enum Found {
    Own(KeptEntry),
    Foreign,
}

/// One stored answer of the caller's own.
pub(super) async fn load(job: &Job, id: &str) -> Result<Row, GatewayError> {
    let found = find(job, id)
        .await
        .map_err(|error| GatewayError::new(Kind::Internal, "the store cannot be read").caused_by(error))?;
    match found {
        Some(Found::Own(entry)) => serde_json::from_slice(&entry.value)
            .map_err(|error| GatewayError::new(Kind::Internal, "a stored response is damaged").caused_by(error)),
        Some(Found::Foreign) => {
            Err(GatewayError::new(Kind::Forbidden, format!("the response {id} belongs to another key")))
        }
        None => {
            let message = format!("Previous response with id '{id}' not found.");
            let mut public = ApiError::new(ApiErrorKind::NotFound, message);
            public.code = Some("previous_response_not_found".to_owned());
            Err(GatewayError { public, ..GatewayError::new(Kind::NotFound, "") })
        }
    }
}

/// The answers up to `newest`, oldest first.
pub(super) async fn chain(job: &Job, newest: Row) -> Result<Vec<StoredResponse>, GatewayError> {
    let mut chain = Vec::new();
    let mut next = Some(newest);
    while let Some(row) = next {
        let Row::Local { previous, input, response } = row else {
            let message = "the conversation began at a provider that stores it; it cannot be continued elsewhere";
            return Err(GatewayError::new(Kind::InvalidRequest, message));
        };
        chain.push(StoredResponse { input, response });
        if chain.len() > LONGEST_CHAIN {
            return Err(GatewayError::new(Kind::InvalidRequest, "the stored conversation is too long"));
        }
        next = match previous {
            Some(id) => Some(load(job, &id).await?),
            None => None,
        };
    }
    chain.reverse();
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Strategy;
    use crate::routing::{NoTariffs, TableChannel};

    #[test]
    fn a_stored_response_is_found_by_its_credential_and_an_old_row_by_the_position() {
        let table = |marks: &[u64]| {
            let channel = TableChannel { name: "a".into(), credentials: marks.to_vec(), ..TableChannel::default() };
            RoutingTable::new(vec![channel], [], Arc::default(), Arc::new(NoTariffs), Strategy::default())
        };
        let home = |row: &str| match serde_json::from_str(row).unwrap() {
            Row::Native(home) => home,
            Row::Local { .. } => panic!("it is stored elsewhere"),
        };
        let new = home(r#"{"native":{"channel":"a","credential":1,"mark":22}}"#);
        let found = [[11, 22].as_slice(), &[22, 11], &[11], &[33, 44]].map(|marks| new.credential(&table(marks)));
        assert_eq!(found, [Some(1), Some(0), None, None]);
        let old = home(r#"{"native":{"channel":"a","credential":1}}"#);
        assert_eq!([[11, 22].as_slice(), &[11]].map(|marks| old.credential(&table(marks))), [Some(1), None]);
        let kept = serde_json::to_string(&Row::Native(old)).unwrap();
        assert_eq!(kept, r#"{"native":{"channel":"a","credential":1}}"#);
    }

    #[test]
    fn an_answer_that_is_not_stored_says_so_itself() {
        for (answer, says) in [
            (r#"{"store":false}"#, true),
            ("{\"store\" : false}", true),
            (r#"{"store":true,"instructions":"{\"store\":false}"}"#, false),
            (r#"{"store":true,"metadata":{"store":false}}"#, false),
            (r#"{"id":"resp_1"}"#, false),
        ] {
            assert_eq!(is_unstored(&Bytes::from_static(answer.as_bytes())), says, "{answer}");
        }
    }
}
