//! What an answer amounts to, whatever format carried it: for comparing across formats.

use myelin_protocol::ApiFormat;
use myelin_protocol::fold::Folded;
use myelin_protocol::ir::{ChatResponse, Choice, Content, FinishReason, ToolCallKind, Usage};
use serde_json::Value;

/// What of an answer a client format has a place for.
#[derive(Debug, Clone, Copy)]
pub struct Carries {
    pub reasoning: bool,
    pub calls: bool,
    pub choices: bool,
    pub refusal: bool,
    pub cache_counts: bool,
    pub content_filter: bool,
    /// Why the answer ended.
    pub ends: bool,
    /// Nothing but text: thinking stands in tags, media in links.
    pub plain_text: bool,
    /// Free-text calls as such; elsewhere they are functions of one string.
    pub free_text: bool,
    /// Arguments as text; elsewhere they are an object, and text that is none is put into one.
    pub raw_arguments: bool,
}

/// What the formats have places for. A format without one must report the loss.
pub fn carries(format: ApiFormat) -> Carries {
    let all = Carries {
        reasoning: true,
        calls: true,
        choices: true,
        refusal: true,
        cache_counts: true,
        content_filter: true,
        ends: true,
        plain_text: false,
        free_text: true,
        raw_arguments: true,
    };
    let objects = Carries { free_text: false, raw_arguments: false, ..all };
    match format {
        ApiFormat::OpenaiChat => all,
        ApiFormat::OpenaiResponses => Carries { choices: false, ..all },
        ApiFormat::AnthropicMessages | ApiFormat::BedrockConverse => {
            Carries { choices: false, refusal: false, free_text: false, ..all }
        }
        ApiFormat::Gemini => Carries { refusal: false, ..objects },
        ApiFormat::OllamaChat => {
            Carries { choices: false, refusal: false, cache_counts: false, content_filter: false, ..objects }
        }
        ApiFormat::OllamaGenerate => {
            Carries { choices: false, refusal: false, cache_counts: false, content_filter: false, calls: false, ..all }
        }
        ApiFormat::OpenaiCompletions => Carries { reasoning: false, calls: false, refusal: false, ..all },
        ApiFormat::Dify => Carries {
            ends: false,
            plain_text: true,
            calls: false,
            choices: false,
            refusal: false,
            cache_counts: false,
            content_filter: false,
            ..objects
        },
    }
}

/// The ends that formats tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Stop,
    Length,
    Calls,
    Filtered,
    Error,
}

/// What one choice amounts to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// Visible text, refusals included where the format has no word for them.
    pub text: String,
    pub refusal: String,
    pub reasoning: String,
    /// Name, arguments, kind.
    pub calls: Vec<(String, Value, ToolCallKind)>,
    pub end: Option<End>,
}

/// What an answer amounts to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gist {
    pub choices: Vec<Said>,
    /// Input, output; unknown is zero on the wires that always write both.
    pub counts: (u64, u64),
    pub cache_read: Option<u64>,
    /// More was read from the cache than was read at all.
    pub odd_counts: bool,
    pub failed: bool,
    pub complete: bool,
}

impl Gist {
    /// Of a folded stream.
    pub fn of_stream(folded: &Folded) -> Self {
        Self { failed: folded.error.is_some(), complete: folded.complete, ..Self::of(&folded.response) }
    }

    /// Of a whole answer.
    pub fn of(response: &ChatResponse) -> Self {
        let usage = response.usage.clone().unwrap_or_default();
        Self {
            choices: response.choices.iter().map(said).collect(),
            counts: (usage.input.unwrap_or(0), usage.output.unwrap_or(0)),
            cache_read: positive(&usage),
            odd_counts: usage.input.is_some_and(|input| usage.cache_read.is_some_and(|read| read > input)),
            failed: false,
            complete: true,
        }
    }

    /// What is left of it in a format that carries less, and whether something was lost on the way.
    pub fn fitted(&self, can: Carries) -> (Self, bool) {
        let mut fitted = self.clone();
        if !can.choices {
            fitted.choices.truncate(1);
        }
        for said in &mut fitted.choices {
            if !can.refusal {
                let refusal = std::mem::take(&mut said.refusal);
                said.text.push_str(&refusal);
            }
            if !can.reasoning {
                said.reasoning.clear();
            }
            if !can.calls {
                said.calls.clear();
            }
        }
        let weakened = fitted.clone();
        for call in fitted.choices.iter_mut().flat_map(|said| &mut said.calls) {
            if !can.free_text && call.2 == ToolCallKind::Custom {
                call.2 = ToolCallKind::Function;
                call.1 = serde_json::json!({ "input": call.1 });
            }
            if !can.raw_arguments && call.1.is_string() {
                call.1 = serde_json::json!({ "arguments": call.1 });
            }
        }
        let lost = weakened.choices.len() != self.choices.len()
            || weakened
                .choices
                .iter()
                .zip(&self.choices)
                .any(|(now, then)| now.reasoning != then.reasoning || now.calls != then.calls);
        for said in &mut fitted.choices {
            if said.end == Some(End::Filtered) && !can.content_filter {
                said.end = Some(End::Stop);
            }
        }
        if !can.cache_counts {
            fitted.cache_read = None;
        }
        (fitted.judged(self, can), lost)
    }

    /// What came back, without what cannot be compared with `source`.
    pub fn beside(&self, source: &Self, can: Carries) -> Self {
        self.clone().judged(source, can)
    }

    fn judged(mut self, source: &Self, can: Carries) -> Self {
        for said in &mut self.choices {
            if can.plain_text {
                plain(said);
            }
            said.end = match said.end {
                // A call that is asked for is a reason to end whatever the provider says, if the call can be told.
                Some(End::Stop) if !said.calls.is_empty() => Some(End::Calls),
                Some(_) if !can.ends => Some(End::Stop),
                Some(End::Calls) if !can.calls => Some(End::Stop),
                end => end,
            };
        }
        // Where counters come depends on the format: those of a stream that failed may not have come yet.
        if source.failed {
            self.counts = (0, 0);
            self.cache_read = None;
            while self.choices.last() == Some(&Said::default()) {
                self.choices.pop();
            }
        }
        // A host that reads more from its cache than there was to read: formats that count it beside or inside make different sums of it.
        if source.odd_counts {
            self.counts.0 = 0;
            self.cache_read = None;
            self.odd_counts = true;
        }
        self
    }
}

/// The words of an answer however its thinking is marked, without media.
fn plain(said: &mut Said) {
    let words = format!("{}{}", std::mem::take(&mut said.reasoning), said.text);
    let words = words.replace("<think>", "").replace("</think>", "");
    let media = words.find("](data:").and_then(|at| words.get(..at)?.rfind('['));
    said.text = words.get(..media.unwrap_or(words.len())).unwrap_or_default().trim().to_owned();
}

/// Zero and unknown are the same on the wires that always write the counter.
fn positive(usage: &Usage) -> Option<u64> {
    usage.cache_read.filter(|count| *count > 0)
}

fn said(choice: &Choice) -> Said {
    let mut said = Said::default();
    for part in &choice.parts {
        match &part.content {
            Content::Text(text) => said.text.push_str(&text.text),
            Content::Refusal(text) => said.refusal.push_str(text),
            Content::Reasoning(reasoning) => said.reasoning.push_str(&reasoning.shown()),
            Content::ToolCall(call) => {
                let arguments =
                    serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::String(call.arguments.clone()));
                said.calls.push((call.name.clone(), arguments, call.kind));
            }
            _ => {}
        }
    }
    said.end = choice.finish.as_ref().map(|finish| match &finish.reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::Pause | FinishReason::Other(_) => End::Stop,
        FinishReason::Length | FinishReason::ContextLength => End::Length,
        FinishReason::ToolCalls => End::Calls,
        FinishReason::ContentFilter | FinishReason::Refusal => End::Filtered,
        FinishReason::Error => End::Error,
    });
    said
}
