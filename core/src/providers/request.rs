//! From what is asked to a request: method, address, headers.

use http::request::Parts;
use http::{Method, Request};
use myelin_protocol::ApiFormat;

use super::auth::Prepared;
use super::error::ChannelError;
use super::live::LiveChannel;
use super::operation::{ClientHead, Operation};
use super::template::Target;
use super::{AuthStyle, headers};

impl LiveChannel {
    /// The request for `operation` at the channel's `base`th address, without body and credential. `upstream_model` is the provider's name of
    /// the model; operations without a model ignore it.
    pub fn request(
        &self,
        base: usize,
        operation: &Operation<'_>,
        upstream_model: &str,
        client: ClientHead<'_>,
    ) -> Result<Prepared, ChannelError> {
        let (format, auth) = self.style(operation);
        let query = headers::query(operation, format, client.query);
        let query = query.as_deref();
        let (method, uri) = match operation {
            Operation::Responses { method, tail } => {
                let responses = self.endpoints.iter().find(|endpoint| endpoint.format == ApiFormat::OpenaiResponses);
                let targets = responses.map(|endpoint| endpoint.chat.as_slice());
                ((*method).clone(), self.target(targets, base, "Responses API")?.below(tail, query)?)
            }
            Operation::Surface { surface, tail } => {
                let targets =
                    self.surfaces.iter().find(|(offered, _)| offered == surface).map(|(_, targets)| targets.as_slice());
                let target = self.target(targets, base, surface.segment())?;
                (Method::POST, target.below_for(upstream_model, tail, query)?)
            }
            Operation::Models { page } => {
                let targets = self.models.as_ref().map(|(_, targets)| targets.as_slice());
                (Method::GET, self.target(targets, base, "model list")?.uri("", *page)?)
            }
            _ => (Method::POST, self.conversation(operation, base)?.uri(upstream_model, query)?),
        };
        let (mut parts, ()): (Parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.uri = uri;
        parts.headers = headers::compose(operation, format, client, &self.headers);
        let betas = headers::betas(format, self.provider.betas.as_deref(), client);
        headers::put_betas(&betas, &mut parts.headers);
        Ok(Prepared { parts, dropped_betas: betas.dropped, auth })
    }

    fn conversation(&self, operation: &Operation<'_>, base: usize) -> Result<&Target, ChannelError> {
        let endpoint = |index: usize| self.endpoints.get(index);
        let (targets, what) = match operation {
            Operation::Chat { accepted, stream: true } => {
                (endpoint(accepted.endpoint).map(|endpoint| endpoint.stream.as_slice()), "such endpoint")
            }
            Operation::Chat { accepted, .. } => {
                (endpoint(accepted.endpoint).map(|endpoint| endpoint.chat.as_slice()), "such endpoint")
            }
            Operation::CountTokens { accepted } => {
                (endpoint(accepted.endpoint).map(|endpoint| endpoint.count.as_slice()), "token counting")
            }
            Operation::Rerank => (self.rerank.as_ref().map(|(_, targets)| targets.as_slice()), "reranking"),
            _ => (self.embeddings.as_ref().map(|(_, targets)| targets.as_slice()), "embeddings"),
        };
        self.target(targets, base, what)
    }

    fn target<'t>(
        &self,
        targets: Option<&'t [Target]>,
        base: usize,
        what: &'static str,
    ) -> Result<&'t Target, ChannelError> {
        let target = targets.and_then(|targets| targets.get(base).or_else(|| targets.first()));
        target.ok_or_else(|| ChannelError::NotOffered { provider: self.provider.id.clone(), what })
    }

    /// The format that decides about headers, and where the key goes.
    fn style(&self, operation: &Operation<'_>) -> (Option<ApiFormat>, AuthStyle) {
        match operation {
            Operation::Chat { accepted, .. } | Operation::CountTokens { accepted } => {
                let endpoint = self.endpoints.get(accepted.endpoint);
                (Some(accepted.format), endpoint.map_or(self.provider.auth, |endpoint| endpoint.auth))
            }
            Operation::Models { .. } => {
                let (wire, auth) =
                    self.models.as_ref().map_or((None, self.provider.auth), |((wire, auth), _)| (Some(*wire), *auth));
                let anthropic = wire == Some(super::ModelListWire::Anthropic);
                (anthropic.then_some(ApiFormat::AnthropicMessages), auth)
            }
            Operation::Responses { .. } => (Some(ApiFormat::OpenaiResponses), self.provider.auth),
            Operation::Surface { .. } => (Some(ApiFormat::OpenaiChat), self.provider.auth),
            Operation::Embeddings | Operation::Rerank => (None, self.provider.auth),
        }
    }
}
