//! What a request may wish for that some wires have no word for: one table, so that every wire means the same by "it was asked for".

use crate::ir::{ChatRequest, Loss, Sampling};

/// A field of the unified model, and whether a request says anything by it. What says nothing (a penalty of zero) is no loss.
pub(super) struct Wish(&'static str, fn(&ChatRequest) -> bool);

/// Names each wish once: its constant, its field, and when it is one.
macro_rules! wishes {
    ($($name:ident = $field:literal, $said:expr;)+) => { $(pub(super) const $name: Wish = Wish($field, $said);)+ };
}

wishes! {
    CACHE = "cache", |request| marked(request);
    CACHE_KEY = "cache_key", |request| request.cache_key.is_some();
    FREQUENCY_PENALTY = "sampling.frequency_penalty", |request| weighs(of(request).frequency_penalty);
    LOGIT_BIAS = "sampling.logit_bias", |request| of(request).logit_bias.as_ref().is_some_and(|bias| !bias.is_empty());
    LOGPROBS = "sampling.logprobs", |request| of(request).logprobs == Some(true);
    MAX_TOKENS = "max_tokens", |request| request.max_tokens.is_some();
    METADATA = "metadata", |request| request.metadata.as_ref().is_some_and(|metadata| !metadata.is_empty());
    MIN_P = "sampling.min_p", |request| of(request).min_p.is_some();
    N = "n", |request| request.n.is_some_and(|n| n > 1);
    OUTPUT = "output", |request| request.output.is_some();
    PARALLEL_CALLS = "parallel_tool_calls", |request| request.parallel_tool_calls == Some(false) && !request.tools.is_empty();
    PART_CACHE = "messages[].parts[].cache", |request| marked(request);
    PRESENCE_PENALTY = "sampling.presence_penalty", |request| weighs(of(request).presence_penalty);
    PREVIOUS_RESPONSE = "previous_response_id", |request| request.previous_response_id.is_some();
    REASONING = "reasoning", |request| request.reasoning.is_some();
    SEED = "sampling.seed", |request| of(request).seed.is_some();
    SERVICE_TIER = "service_tier", |request| request.service_tier.as_deref().is_some_and(|tier| tier != "auto" && tier != "default");
    STOP = "sampling.stop", |request| of(request).stop.as_ref().is_some_and(|stop| !stop.is_empty());
    STORE = "store", |request| request.store == Some(true);
    TEMPERATURE = "sampling.temperature", |request| of(request).temperature.is_some();
    TOOLS = "tools", |request| !request.tools.is_empty();
    TOOL_CHOICE = "tool_choice", |request| request.tool_choice.is_some();
    TOP_K = "sampling.top_k", |request| of(request).top_k.is_some();
    TOP_LOGPROBS = "sampling.top_logprobs", |request| of(request).top_logprobs.is_some_and(|count| count > 0);
    TOP_P = "sampling.top_p", |request| of(request).top_p.is_some();
    USER = "user", |request| request.user.is_some();
    VERBOSITY = "verbosity", |request| request.verbosity.is_some();
}

fn of(request: &ChatRequest) -> &Sampling {
    &request.sampling
}

fn marked(request: &ChatRequest) -> bool {
    request.messages.iter().flat_map(|message| &message.parts).any(|part| part.cache.is_some())
}

fn weighs(penalty: Option<f64>) -> bool {
    penalty.is_some_and(|penalty| penalty != 0.0)
}

/// Those of `wishes` that `request` has, each as the loss that `loss` makes of its field.
pub(super) fn lost(
    request: &ChatRequest,
    wishes: &[Wish],
    loss: impl Fn(&'static str) -> Loss,
    losses: &mut Vec<Loss>,
) {
    losses.extend(wishes.iter().filter(|Wish(_, said)| said(request)).map(|Wish(field, _)| loss(field)));
}
