//! Overrides at work: what an owner changes in requests on their way to a provider, and in answers on their way back.
//!
//! A profile's overrides speak the caller's format and come first and last; a channel's speak the provider's and are made right before sending and right
//! after receiving.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use myelin_protocol::ApiFormat;
use myelin_protocol::framing::Framing;

use super::Job;
use super::ask::Ask;
use crate::error::GatewayError;
use crate::model::{OverrideSide, RequestRecord};
use crate::overrides::{FrameEditor, Overrides, Scope};
use crate::providers::{LiveChannel, Operation};

/// What overrides may ask about one attempt, kept for as long as its answer flows.
#[derive(Debug, Clone)]
struct Facts {
    record: RequestRecord,
    key: String,
    provider: String,
    surface: &'static str,
    headers: HeaderMap,
}

impl Facts {
    fn scope(&self) -> Scope<'_> {
        scope(&self.record, &self.key, &self.provider, self.surface, &self.headers)
    }
}

fn scope<'a>(
    record: &'a RequestRecord,
    key: &'a str,
    provider: &'a str,
    surface: &'a str,
    headers: &'a HeaderMap,
) -> Scope<'a> {
    Scope {
        model: &record.model,
        upstream: record.upstream_model.as_deref().unwrap_or_default(),
        channel: record.channel.as_deref().unwrap_or_default(),
        provider,
        tool: record.tool.as_deref(),
        key,
        profile: &record.profile,
        format: &record.format,
        upstream_format: record.upstream_format.as_deref().unwrap_or_default(),
        surface,
        stream: record.stream,
        session: record.session.as_deref(),
        trace: record.trace.as_deref(),
        request_id: &record.id,
        headers,
    }
}

fn surface(operation: &Operation<'_>) -> &'static str {
    match operation {
        Operation::Chat { .. } => "chat",
        Operation::CountTokens { .. } => "count-tokens",
        Operation::Embeddings => "embeddings",
        Operation::Rerank => "rerank",
        Operation::Responses { .. } => "responses",
        Operation::Surface { surface, .. } => surface.segment(),
        Operation::Models { .. } => "models",
    }
}

/// Changes the events of one answer.
pub(crate) struct Editor {
    overrides: Vec<Overrides>,
    facts: Facts,
    /// `None`: the framing is binary.
    frames: Option<FrameEditor>,
}

impl Editor {
    /// The next bytes, changed.
    pub(crate) fn feed(&mut self, bytes: Bytes) -> Bytes {
        let Some(frames) = &mut self.frames else { return bytes };
        let scope = self.facts.scope();
        let overrides = &self.overrides;
        let mut edit = |value: &mut serde_json::Value| {
            overrides.iter().fold(false, |any, one| one.edit_value(OverrideSide::Response, &scope, value) | any)
        };
        // What is no frame is for the tap or the decoder to complain about.
        frames.feed(&bytes, &mut edit).map_or(bytes, Bytes::from)
    }

    /// What is left when the bytes are over.
    pub(crate) fn finish(&mut self) -> Bytes {
        let Some(frames) = &mut self.frames else { return Bytes::new() };
        let scope = self.facts.scope();
        let overrides = &self.overrides;
        let mut edit = |value: &mut serde_json::Value| {
            overrides.iter().fold(false, |any, one| one.edit_value(OverrideSide::Response, &scope, value) | any)
        };
        frames.finish(&mut edit).map_or_else(|_| Bytes::new(), Bytes::from)
    }

    /// A whole body, changed.
    pub(crate) fn whole(&self, body: Bytes, headers: &mut HeaderMap) -> Bytes {
        let scope = self.facts.scope();
        self.overrides
            .iter()
            .fold(body, |body, one| one.edit(OverrideSide::Response, &scope, body.clone(), headers).unwrap_or(body))
    }
}

impl Job {
    /// Makes the channel's changes in a request that is about to be sent.
    pub(crate) fn edit_request(
        &self,
        channel: &LiveChannel,
        upstream: &str,
        operation: &Operation<'_>,
        mut body: Vec<Bytes>,
        headers: &mut HeaderMap,
    ) -> Vec<Bytes> {
        for overrides in channel.overrides(upstream).filter(|one| !one.is_empty(OverrideSide::Request)) {
            let whole = match body.as_slice() {
                [only] => only.clone(),
                pieces => Bytes::from(pieces.concat()),
            };
            let key = &self.caller.key.key.name;
            let scope = scope(self.settle.record(), key, &channel.provider.id, surface(operation), &self.call.headers);
            if let Some(edited) = overrides.edit(OverrideSide::Request, &scope, whole, headers) {
                body = vec![edited];
            }
        }
        body
    }

    /// What the channel changes in this attempt's answer; `None`: nothing.
    pub(crate) fn answer_editor(
        &self,
        channel: &LiveChannel,
        upstream: &str,
        operation: &Operation<'_>,
        framing: Framing,
    ) -> Option<Box<Editor>> {
        let overrides = channel.overrides(upstream).filter(|one| !one.is_empty(OverrideSide::Response));
        self.editor(overrides.cloned().collect(), &channel.provider.id, surface(operation), framing)
    }

    /// What the profile changes in what the caller gets; `None`: nothing.
    pub(crate) fn reply_editor(&self, ask: &Ask) -> Option<Box<Editor>> {
        let own = self.profile_overrides().filter(|one| !one.is_empty(OverrideSide::Response))?;
        // An array is one value and not a row of events.
        let framing = if ask.json_array { Framing::AwsEventStream } else { ask.format.codec().framing() };
        self.editor(vec![Overrides::clone(own)], "", "chat", framing)
    }

    /// Makes the profile's changes in what the caller asks, before anything else looks at it.
    pub(crate) fn edit_ask(&self, ask: &mut Ask) -> Result<(), GatewayError> {
        let Some(own) = self.profile_overrides().filter(|one| !one.is_empty(OverrideSide::Request)) else {
            return Ok(());
        };
        let mut record = self.settle.record().clone();
        record.model.clone_from(&ask.model);
        let scope = scope(&record, &self.caller.key.key.name, "", "chat", &self.call.headers);
        let body = ask.envelope()?.body().clone();
        match own.edit(OverrideSide::Request, &scope, body, &mut HeaderMap::new()) {
            Some(edited) => ask.rewrite(edited),
            None => Ok(()),
        }
    }

    /// Whether the profile makes changes in what the caller asks: then all of it has to be there first.
    pub(crate) fn edits_asks(&self) -> bool {
        self.profile_overrides().is_some_and(|own| !own.is_empty(OverrideSide::Request))
    }

    fn profile_overrides(&self) -> Option<&Arc<Overrides>> {
        self.snapshot.profile_overrides(&self.caller.profile.name)
    }

    fn editor(
        &self,
        overrides: Vec<Overrides>,
        provider: &str,
        surface: &'static str,
        framing: Framing,
    ) -> Option<Box<Editor>> {
        if overrides.is_empty() {
            return None;
        }
        let facts = Facts {
            record: self.settle.record().clone(),
            key: self.caller.key.key.name.clone(),
            provider: provider.to_owned(),
            surface,
            headers: self.call.headers.clone(),
        };
        Some(Box::new(Editor { overrides, facts, frames: FrameEditor::new(framing) }))
    }
}

/// How the events of an answer in `format` are framed.
pub(crate) fn framing(format: ApiFormat) -> Framing {
    format.codec().framing()
}
