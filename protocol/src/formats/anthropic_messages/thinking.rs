//! Whether and how a call thinks, and what follows from it.
//!
//! - `budget_tokens` is at least 1024 and below `max_tokens`; newer models take `adaptive` with an effort word, the newest nothing else;
//! - with thinking on, a running tool loop must begin with its signed thinking. Where that was lost (another provider made the turns) the call
//!   goes without thinking;
//! - `max_tokens` must be there: without one from the caller or the dialect it is [`DEFAULT_MAX_TOKENS`] beside the thinking.

use serde_json::{Map, Value};

use super::claude::Claude;
use crate::formats::turns::{Speaker, Turn};
use crate::ir::{ChatRequest, Content, Effort, Loss, Reasoning};
use crate::{ApiFormat, Dialect};

/// The output limit of a caller that gave none, thinking apart. Every Claude since 3.5 takes it. A dialect's `defaults` may give another.
pub(crate) const DEFAULT_MAX_TOKENS: u64 = 8_192;

/// The least `budget_tokens`.
const LEAST_BUDGET: u64 = 1_024;

/// `thinking.type` and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No `thinking` at all.
    Unsaid,
    /// `disabled`.
    Disabled,
    /// `enabled` with `budget_tokens`.
    Budget(u64),
    /// `adaptive`.
    Adaptive,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `thinking`.
    pub(crate) mode: Mode,
    /// `thinking.display`.
    pub(crate) display: Option<&'static str>,
    /// `output_config.effort`.
    pub(crate) effort: Option<Effort>,
    /// `max_tokens`.
    pub(crate) max_tokens: u64,
}

impl Plan {
    /// Whether the call thinks.
    pub(crate) fn on(&self) -> bool {
        matches!(self.mode, Mode::Budget(_) | Mode::Adaptive)
    }
}

/// Takes what the unified model has words for out of a `thinking` object. Nothing, and the object untouched, if its type is unknown.
pub(crate) fn take(thinking: &mut Map<String, Value>) -> Option<Reasoning> {
    let enabled = match thinking.get("type").and_then(Value::as_str)? {
        "enabled" | "adaptive" => true,
        "disabled" => false,
        _ => return None,
    };
    thinking.shift_remove("type");
    let budget = thinking.shift_remove("budget_tokens").and_then(|budget| budget.as_u64());
    let shown = match thinking.get("display").and_then(Value::as_str) {
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        _ => None,
    };
    if shown.is_some() {
        thinking.shift_remove("display");
    }
    Some(Reasoning { enabled: Some(enabled), budget, shown, ..Reasoning::default() })
}

/// Decides, for Messages and for Claude behind Converse. Takes thinking out of a running loop whose thinking is incomplete. `claude` is what the model's name tells.
pub(crate) fn plan(
    format: ApiFormat,
    request: &ChatRequest,
    claude: Option<Claude<'_>>,
    dialect: &Dialect,
    turns: &mut [Turn<'_>],
    losses: &mut Vec<Loss>,
) -> Plan {
    let limit = request.max_tokens.or_else(|| dialect.defaults.get("max_tokens")?.as_u64());
    let nothing = Reasoning::default();
    let wish = request.reasoning.as_ref().unwrap_or(&nothing);
    let mut planner = Planner { format, wish, claude, limit, losses };
    let mode = planner.mode(request, turns);
    let thinks = matches!(mode, Mode::Budget(_) | Mode::Adaptive);
    let effort = planner.effort(thinks);
    let room = match mode {
        Mode::Budget(budget) => budget,
        Mode::Adaptive => effort.unwrap_or(Effort::High).budget(),
        Mode::Unsaid | Mode::Disabled => 0,
    };
    let max_tokens = limit.unwrap_or(room.saturating_add(DEFAULT_MAX_TOKENS));
    let display = match wish.shown {
        _ if !thinks => None,
        Some(true) => Some("summarized"),
        Some(false) => Some("omitted"),
        None => (wish.summary.is_some() && mode == Mode::Adaptive).then_some("summarized"),
    };
    Plan { mode, display, effort, max_tokens }
}

struct Planner<'a> {
    format: ApiFormat,
    wish: &'a Reasoning,
    claude: Option<Claude<'a>>,
    limit: Option<u64>,
    losses: &'a mut Vec<Loss>,
}

impl Planner<'_> {
    fn lose(&mut self, field: &'static str, why: &'static str) {
        self.losses.push(Loss::new(field, self.format, why));
    }

    fn mode(&mut self, request: &ChatRequest, turns: &mut [Turn<'_>]) -> Mode {
        let wish = self.wish;
        if wish.enabled == Some(false) || wish.effort == Some(Effort::None) || wish.budget == Some(0) {
            return self.off();
        }
        let asked = wish.enabled == Some(true) || wish.budget.is_some() || wish.effort.is_some();
        if !asked || (wish.enabled.is_none() && wish.budget.is_none() && effort_alone(request)) {
            return Mode::Unsaid;
        }
        if self.claude.is_some_and(|claude| !claude.thinks()) {
            self.lose("reasoning", "the model does not think");
            return Mode::Unsaid;
        }
        if loop_lacks_thinking(turns) {
            self.lose("reasoning", "thinking of the running tool loop is missing, so this call goes without");
            strip_loop(turns);
            return Mode::Unsaid;
        }
        let adaptive =
            self.claude.is_some_and(|claude| claude.adaptive_only() || (claude.adaptive() && wish.budget.is_none()));
        if adaptive { Mode::Adaptive } else { self.budget() }
    }

    fn off(&mut self) -> Mode {
        match self.claude {
            Some(claude) if !claude.thinks() => Mode::Unsaid,
            Some(claude) if claude.always_thinks() => {
                self.lose("reasoning.enabled", "the model always thinks");
                Mode::Unsaid
            }
            Some(claude) if !claude.takes_disabled() => Mode::Unsaid,
            _ => Mode::Disabled,
        }
    }

    fn budget(&mut self) -> Mode {
        let wished = self.wish.budget.unwrap_or_else(|| self.wish.effort.unwrap_or(Effort::Medium).budget());
        let budget = wished.max(LEAST_BUDGET);
        if budget != wished {
            self.lose("reasoning.budget", "raised to the least budget of 1024");
        }
        match self.limit {
            Some(limit) if limit <= LEAST_BUDGET => {
                self.lose("reasoning", "max_tokens leaves no room for thinking");
                Mode::Unsaid
            }
            Some(limit) if budget >= limit => {
                self.lose("reasoning.budget", "lowered to fit below max_tokens");
                Mode::Budget((limit / 4 * 3).clamp(LEAST_BUDGET, limit - 1))
            }
            _ => Mode::Budget(budget),
        }
    }

    fn effort(&mut self, thinks: bool) -> Option<Effort> {
        let wish = self.wish;
        let word = wish.effort.filter(|effort| *effort != Effort::None);
        let Some(claude) = self.claude else { return word };
        let from_budget = || wish.budget.filter(|_| claude.adaptive_only()).map(Effort::from_budget);
        let wanted = word.or_else(from_budget)?;
        let given = claude.effort(wanted);
        match given {
            Some(given) if given < wanted => self.lose("reasoning.effort", "lowered to a word that the model takes"),
            None if !thinks => self.lose("reasoning.effort", "the model takes no effort"),
            _ => {}
        }
        given
    }
}

/// A client of this format gave an effort and did not ask for thinking; a client of another format means thinking by it.
fn effort_alone(request: &ChatRequest) -> bool {
    let own = request.extras.for_format(ApiFormat::AnthropicMessages);
    own.and_then(|own| own.get("output_config")).is_some_and(|config| config.get("effort").is_some())
}

/// The turns since the person last said something new.
fn running_loop<'t, 'a>(turns: &'t mut [Turn<'a>]) -> &'t mut [Turn<'a>] {
    let spoken = turns.iter().rposition(|turn| turn.speaker == Speaker::User && !turn.has_results());
    turns.get_mut(spoken.map_or(0, |at| at + 1)..).unwrap_or_default()
}

fn loop_lacks_thinking(turns: &mut [Turn<'_>]) -> bool {
    let running = running_loop(turns);
    let first = running.iter().find(|turn| turn.speaker == Speaker::Assistant);
    first.is_some_and(|turn| {
        let thinks = turn.pieces.first().is_some_and(|piece| matches!(piece.part.content, Content::Reasoning(_)));
        turn.has_calls() && !thinks
    })
}

fn strip_loop(turns: &mut [Turn<'_>]) {
    for turn in running_loop(turns) {
        turn.pieces.retain(|piece| !matches!(piece.part.content, Content::Reasoning(_)));
    }
}
