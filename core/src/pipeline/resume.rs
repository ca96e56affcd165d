//! A stream that breaks off after content: another deployment, or the same one, is asked to go on from the text so far, and what it says comes behind it
//! in the client's stream.
//!
//! Only where the policy says `resume`, and only what can be gone on with without the caller noticing: one answer of plain text, no form that a beginning
//! would not fit. Who is asked is decided by the same [`Tries`] as before content, so the same limits hold.

use std::sync::Arc;

use myelin_protocol::dialect::Prefill;
use myelin_protocol::ir::{ChatRequest, Content, Extras, Message, OutputFormat, Part, Role, ToolChoice, Usage};
use myelin_protocol::lower::NameMap;
use myelin_protocol::resume::Said;
use myelin_protocol::{ApiFormat, Dialect, ReplyContext};
use serde_json::Value;

use super::ask::reply_context;
use super::attempt::{Run, Sent};
use super::edits::{self, Editor};
use super::origins::Maker;
use super::settle::{End, Settle};
use super::tries::Tries;
use crate::error::{GatewayError, Kind, Retry};
use crate::providers::{LiveChannel, Operation};
use crate::routing::Candidate;
use crate::upstream;
use crate::upstream::timeouts::{Deadline, Limits};

/// What is kept of a request whose stream may be gone on with.
pub(crate) struct Spare {
    pub run: Box<Run>,
    pub tries: Tries,
    /// Who answers now.
    pub candidate: Candidate,
    pub channel: Arc<LiveChannel>,
    /// What the parts of the answer used so far.
    pub used: Option<Usage>,
}

/// What came of looking for somebody who goes on.
pub(crate) struct Gone {
    pub spare: Box<Spare>,
    pub settle: Settle,
    /// The one who does.
    pub tail: Option<Box<Tail>>,
}

/// A deployment that goes on with an answer; its body is still to be read.
pub(crate) struct Tail {
    pub body: upstream::ReplyBody,
    pub limits: Limits,
    pub maker: Maker,
    pub rest: Rest,
}

/// How what it says is to be read and written.
pub(crate) struct Rest {
    pub format: ApiFormat,
    pub dialect: Arc<Dialect>,
    pub names: NameMap,
    /// What was used before.
    pub before: Usage,
    pub client: ApiFormat,
    pub context: ReplyContext,
    /// Its channel's changes.
    pub editor: Option<Box<Editor>>,
}

impl Spare {
    /// Whether an answer that broke off with `error` may be gone on with. The record must be in the job.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn judge(&mut self, said: &Said, error: &GatewayError) -> Result<(), &'static str> {
        said.text()?;
        let verdict = self.run.job.verdict(Some(&self.channel), &self.candidate.upstream, error);
        if verdict.retry == Retry::Never {
            return Err("it would fail again");
        }
        if self.run.ask.compacts || self.run.ask.count() > 1 {
            return Err("it is not one plain answer");
        }
        let tree = self.run.ask.tree().map_err(|_| "the request cannot be read")?;
        unfit(&tree)?;
        match tree.max_tokens {
            Some(most) if most <= said.tokens() => Err("its limit of tokens is used up"),
            _ => Ok(()),
        }
    }

    /// Looks for somebody who goes on after `text`. `error`: what ended the last attempt, which is booked already.
    pub(super) async fn go_on(mut self: Box<Self>, text: String, tokens: u64, error: GatewayError) -> Gone {
        let run = &mut self.run;
        run.job.failed(&self.tries, self.candidate.clone(), error);
        let mut tail = None;
        while let Some(candidate) = run.job.next(&self.tries).await {
            match run.ask_for_rest(&candidate, &text, tokens).await {
                Ok(Some(sent)) => {
                    self.channel = sent.channel.clone();
                    self.candidate = candidate;
                    tail = run.tail(sent, self.used.clone().unwrap_or_default());
                    break;
                }
                Ok(None) => self.tries.give_back(),
                Err(error) => {
                    run.job.settle.end_attempt(End::Failed(&error));
                    run.job.failed(&self.tries, candidate, error);
                }
            }
        }
        let settle = self.run.job.settle.replace_by_hollow();
        Gone { spare: self, settle, tail }
    }
}

impl Run {
    /// Asks one candidate for the rest. `None`: nothing there goes on from a text.
    async fn ask_for_rest(
        &mut self,
        candidate: &Candidate,
        text: &str,
        tokens: u64,
    ) -> Result<Option<Sent>, GatewayError> {
        let line = self.job.line(candidate)?;
        let channel = line.channel.clone();
        let Some(accepted) = channel.resumes(self.ask.format, &candidate.upstream) else { return Ok(None) };
        // A body that was passed on while it arrived does not have these yet.
        self.ask.set(&self.deployments.set)?;
        let mut request = ChatRequest::clone(&*self.ask.tree()?);
        begin_with(&mut request, text, tokens, accepted.dialect.prefill);
        self.job.open_attempt(&channel, candidate, accepted.format.as_str());
        if let Some(attempt) = self.job.settle.attempt_mut() {
            attempt.resumed = true;
        }
        let maker = Maker::of(&channel, candidate, false);
        let (body, names) = self.convert(request, &accepted, &candidate.upstream, true, &maker).await?;
        let limits = self.job.limits(&channel, &candidate.upstream);
        let deadline = Deadline::start(&limits);
        let operation = Operation::Chat { accepted: &accepted, stream: true };
        let response = self.job.dispatch(&line, candidate, &operation, false, body, deadline).await?;
        if !response.status().is_success() {
            return Err(self.job.refusal(&channel, accepted.format, response).await);
        }
        let (names, candidate) = (Some(names), candidate.clone());
        Ok(Some(Sent { response, channel, deadline, accepted, maker, names, streams: true, limits, candidate }))
    }

    fn tail(&mut self, sent: Sent, before: Usage) -> Option<Box<Tail>> {
        let Sent { response, channel, deadline, accepted, maker, names, limits, candidate, .. } = sent;
        let tree = self.ask.tree().ok();
        let operation = Operation::Chat { accepted: &accepted, stream: true };
        let framing = edits::framing(accepted.format);
        let rest = Rest {
            format: accepted.format,
            dialect: accepted.dialect.clone(),
            names: names?,
            before,
            client: self.ask.format,
            context: reply_context(&self.job, &self.ask, tree),
            editor: self.job.answer_editor(&channel, &candidate.upstream, &operation, framing),
        };
        let limits = Limits { total: deadline.left(), ..limits };
        Some(Box::new(Tail { body: response.into_body(), limits, maker, rest }))
    }
}

/// What ended a stream that ran: `public` is what its client would be told.
pub(super) fn broken_off(kind: Kind, public: myelin_protocol::ApiError) -> GatewayError {
    let error = GatewayError { public, ..GatewayError::new(kind, "") };
    match kind {
        Kind::Timeout => error.retry(Retry::Elsewhere),
        Kind::UpstreamFailed => error.retry(Retry::Again { after: None }).code(crate::error::codes::CUT),
        _ => error,
    }
}

/// Whether what was asked for leaves no room for a second beginning.
fn unfit(request: &ChatRequest) -> Result<(), &'static str> {
    if request.n.is_some_and(|n| n > 1) {
        return Err("several answers were asked for");
    }
    if request.sampling.logprobs == Some(true) || request.sampling.top_logprobs.is_some_and(|most| most > 0) {
        return Err("log probabilities were asked for");
    }
    if matches!(request.output, Some(OutputFormat::JsonObject | OutputFormat::JsonSchema { .. })) {
        return Err("a form was asked for that a beginning does not fit");
    }
    let forced = matches!(
        request.tool_choice,
        Some(
            ToolChoice::Required
                | ToolChoice::Tool { .. }
                | ToolChoice::Allowed { required: true, .. }
                | ToolChoice::Native { .. }
        )
    );
    if forced {
        return Err("a tool call was demanded");
    }
    let thinks = request.reasoning.as_ref().is_some_and(|wish| {
        use myelin_protocol::ir::Effort;
        wish.enabled == Some(true)
            || wish.effort.is_some_and(|effort| effort != Effort::None)
            || wish.budget.is_some_and(|budget| budget > 0)
    });
    if thinks { Err("thinking was asked for") } else { Ok(()) }
}

/// Makes the request one for what follows after `text`, which has about so many tokens.
fn begin_with(request: &mut ChatRequest, text: &str, tokens: u64, prefill: Prefill) {
    // Hosts refuse whitespace at the end, and models go on better without.
    let text = text.trim_end();
    request.max_tokens = request.max_tokens.map(|most| most.saturating_sub(tokens).max(1));
    request.n = None;
    match request.messages.last_mut().filter(|last| last.role == Role::Assistant) {
        // The caller wrote the beginning of the answer.
        Some(last) => match last.parts.last_mut().map(|part| &mut part.content) {
            Some(Content::Text(begun)) => begun.text.push_str(text),
            _ => last.parts.push(Part::text(text)),
        },
        None => request.messages.push(Message::text(Role::Assistant, text)),
    }
    let mark = match prefill {
        Prefill::Prefix | Prefill::PrefixRepeated => "prefix",
        Prefill::Partial => "partial",
        Prefill::ContinueFinalMessage => {
            let chat = ApiFormat::OpenaiChat;
            let mut fields = request.extras.for_format(chat).cloned().unwrap_or_default();
            fields.insert("continue_final_message".to_owned(), Value::Bool(true));
            fields.insert("add_generation_prompt".to_owned(), Value::Bool(false));
            request.extras = Extras::new(chat, fields);
            return;
        }
        Prefill::None | Prefill::Plain => return,
    };
    if let Some(last) = request.messages.last_mut() {
        last.extras.insert(ApiFormat::OpenaiChat, mark, Value::Bool(true));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(fields: serde_json::Value) -> ChatRequest {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ApiFormat::OpenaiChat.codec().decode_request(body.to_string().as_bytes(), Default::default()).unwrap()
    }

    fn sent(fields: serde_json::Value, prefill: Prefill) -> serde_json::Value {
        let mut request = request(fields);
        begin_with(&mut request, "alpha \n", 40, prefill);
        let host = Dialect { prefill, ..Dialect::default() };
        let written = ApiFormat::OpenaiChat.codec().encode_request(&request, &host).unwrap();
        assert!(written.losses.is_empty(), "{:?}", written.losses);
        serde_json::from_slice(&written.value).unwrap()
    }

    #[test]
    fn the_beginning_stands_at_the_end_marked_as_the_host_wants_it() {
        let last = |prefill| sent(json!({}), prefill)["messages"][1].clone();
        assert_eq!(last(Prefill::Plain), json!({"role": "assistant", "content": "alpha"}));
        assert_eq!(last(Prefill::Prefix), json!({"role": "assistant", "content": "alpha", "prefix": true}));
        assert_eq!(last(Prefill::Partial), json!({"role": "assistant", "content": "alpha", "partial": true}));
        let whole = sent(json!({"seed": 7}), Prefill::ContinueFinalMessage);
        assert_eq!((&whole["continue_final_message"], &whole["add_generation_prompt"]), (&json!(true), &json!(false)));
        assert_eq!(whole["seed"], 7);
        // The caller began the answer itself.
        let begun = json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Well, "}]});
        let messages = sent(begun, Prefill::Plain)["messages"].clone();
        assert_eq!(messages[1]["content"], "Well, alpha");
        assert_eq!(messages.as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_was_written_counts_against_the_limit() {
        for (most, left) in [(json!(100), json!(60)), (json!(10), json!(1)), (json!(null), json!(null))] {
            assert_eq!(sent(json!({"max_completion_tokens": most}), Prefill::Plain)["max_completion_tokens"], left);
        }
    }

    #[test]
    fn a_form_that_a_beginning_does_not_fit_is_not_gone_on_with() {
        let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
        for unfitting in [
            json!({"n": 2}),
            json!({"logprobs": true}),
            json!({"response_format": {"type": "json_object"}}),
            json!({"tools": tool, "tool_choice": "required"}),
            json!({"reasoning_effort": "low"}),
        ] {
            assert!(unfit(&request(unfitting.clone())).is_err(), "{unfitting}");
        }
        for fitting in [json!({}), json!({"tools": tool}), json!({"reasoning_effort": "none"}), json!({"n": 1})] {
            assert_eq!(unfit(&request(fitting.clone())), Ok(()), "{fitting}");
        }
    }
}
