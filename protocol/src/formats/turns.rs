//! Conversations in the shape that Anthropic Messages and Converse demand, which is nearly the same one.
//!
//! - the leading run of operator messages is the system prompt, later ones stay inline or are folded into the user's turn;
//! - turns of one speaker are merged; all results of one round of calls stand in the one user turn after it, before anything else;
//! - blank text is left out (both answer 400), the last text of a final assistant turn does not end in white space;
//! - the user speaks first;
//! - ids of calls are valid and unique, and results follow them.
//!
//! Knows nothing of JSON. What it leaves out is reported; a cache mark on something left out moves to the part before it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::ir::{CacheMark, ChatRequest, Content, Extras, Loss, Message, Part, Role, Text, ToolResult};
use crate::{ApiFormat, DecodeError};

/// Who speaks a [`Turn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The person; tool results too.
    User,
    /// The model.
    Assistant,
    /// The operator.
    System,
}

/// What the target demands.
pub(crate) struct Rules<'r> {
    /// The target, for losses.
    pub(crate) format: ApiFormat,
    /// Operator messages after the first other one become part of the user's turn.
    pub(crate) fold_system: bool,
    /// The longest id of a call.
    pub(crate) id_limit: usize,
    /// Why a part cannot be carried, if it cannot.
    pub(crate) refuses: &'r dyn Fn(&Part, Speaker) -> Option<&'static str>,
}

/// A conversation in order.
#[derive(Debug, Default)]
pub(crate) struct Arranged<'a> {
    /// The system prompt.
    pub(crate) system: Vec<Piece<'a>>,
    /// The rest, alternating.
    pub(crate) turns: Vec<Turn<'a>>,
}

/// What one speaker says in one go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Who.
    pub(crate) speaker: Speaker,
    /// What.
    pub(crate) pieces: Vec<Piece<'a>>,
    /// The foreign fields of the messages that went in.
    pub(crate) extras: Vec<&'a Extras>,
}

impl Turn<'_> {
    fn any(&self, is: impl Fn(&Content) -> bool) -> bool {
        self.pieces.iter().any(|piece| is(&piece.part.content))
    }

    /// Whether the model asks for tools here.
    pub(crate) fn has_calls(&self) -> bool {
        self.any(|content| matches!(content, Content::ToolCall(_)))
    }

    /// Whether tools answer here.
    pub(crate) fn has_results(&self) -> bool {
        self.any(|content| matches!(content, Content::ToolResult(_)))
    }
}

/// One part on its way out.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// The part.
    pub(crate) part: Cow<'a, Part>,
    /// The id to write instead of the part's own: calls and results only.
    pub(crate) call_id: String,
    /// Which message and part it was, for losses.
    pub(crate) at: (usize, usize),
}

impl Piece<'_> {
    /// The name of a field of this part in a loss.
    pub(crate) fn field(&self, name: &str) -> String {
        let (message, part) = self.at;
        let dot = if name.is_empty() { "" } else { "." };
        format!("messages[{message}].parts[{part}]{dot}{name}")
    }
}

const PLACEHOLDER: &str = "Please continue.";

/// Arranges the messages of `request`.
pub(crate) fn arrange<'a>(
    request: &'a ChatRequest,
    rules: &Rules<'_>,
    losses: &mut Vec<Loss>,
) -> Result<Arranged<'a>, DecodeError> {
    let mut builder = Builder { rules, losses, arranged: Arranged::default() };
    let is_operator = |message: &Message| matches!(message.role, Role::System | Role::Developer);
    let head = request.messages.iter().take_while(|message| is_operator(message)).count();
    for (index, message) in request.messages.iter().enumerate() {
        builder.message(index, message, index < head);
    }
    let Builder { mut arranged, .. } = builder;
    settle_operators(&mut arranged.turns);
    arranged.turns = merged(std::mem::take(&mut arranged.turns));
    for turn in &mut arranged.turns {
        turn.pieces.sort_by_key(|piece| {
            turn.speaker == Speaker::User && !matches!(piece.part.content, Content::ToolResult(_))
        });
    }
    trim_prefill(&mut arranged.turns);
    let user_first = begin_with_user(&mut arranged, rules.format, losses);
    if !user_first {
        return Err(DecodeError::new(rules.format, "/messages", "must not be empty"));
    }
    assign_ids(&mut arranged.turns, rules.id_limit);
    Ok(arranged)
}

struct Builder<'a, 'r> {
    rules: &'r Rules<'r>,
    losses: &'r mut Vec<Loss>,
    arranged: Arranged<'a>,
}

impl<'a> Builder<'a, '_> {
    fn message(&mut self, index: usize, message: &'a Message, head: bool) {
        let format = self.rules.format;
        let (speaker, folded) = match message.role {
            Role::System | Role::Developer if head || !self.rules.fold_system => (Speaker::System, false),
            Role::System | Role::Developer => (Speaker::User, true),
            Role::User | Role::Tool => (Speaker::User, false),
            Role::Assistant => (Speaker::Assistant, false),
        };
        if message.name.is_some() {
            self.losses.push(Loss::no_equivalent(format!("messages[{index}].name"), format));
        }
        for name in message.extras.foreign_to(format) {
            self.losses.push(Loss::no_equivalent(format!("messages[{index}].extras.{name}"), format));
        }
        if head || folded {
            let own = message.extras.for_format(format).into_iter().flatten();
            let field = |name: &String| format!("messages[{index}].extras.{name}");
            self.losses.extend(own.map(|(name, _)| Loss::no_equivalent(field(name), format)));
        }
        if folded {
            let field = format!("messages[{index}].role");
            self.losses.push(Loss::new(field, format, "operator message became part of the user's turn"));
        }
        let pieces = self.pieces(index, message, speaker, folded);
        if head {
            self.arranged.system.extend(pieces);
        } else if !pieces.is_empty() {
            let extras = if folded || message.extras.is_empty() { Vec::new() } else { vec![&message.extras] };
            self.arranged.turns.push(Turn { speaker, pieces, extras });
        }
    }

    fn pieces(&mut self, index: usize, message: &'a Message, speaker: Speaker, folded: bool) -> Vec<Piece<'a>> {
        let mut pieces: Vec<Piece<'a>> = Vec::new();
        for (position, part) in message.parts.iter().enumerate() {
            let mut piece = Piece { part: Cow::Borrowed(part), call_id: String::new(), at: (index, position) };
            let rule_speaker = if folded { Speaker::System } else { speaker };
            let refused = (self.rules.refuses)(part, rule_speaker);
            if let Some(why) = refused {
                self.losses.push(Loss::new(piece.field(""), self.rules.format, why));
            }
            if refused.is_some() || is_blank(&part.content) {
                hand_back(&mut pieces, part.cache.as_ref());
                continue;
            }
            if folded && let Some(text) = part.as_text() {
                let text = format!("<system-reminder>\n{text}\n</system-reminder>");
                piece.part = Cow::Owned(Part { cache: part.cache.clone(), ..Part::text(text) });
            }
            pieces.push(piece);
        }
        pieces
    }
}

fn is_blank(content: &Content) -> bool {
    match content {
        Content::Text(Text { text, .. }) | Content::Refusal(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn hand_back(pieces: &mut [Piece<'_>], mark: Option<&CacheMark>) {
    if let (Some(mark), Some(last)) = (mark, pieces.last_mut())
        && last.part.cache.is_none()
    {
        last.part.to_mut().cache = Some(mark.clone());
    }
}

/// Results follow their calls at once: an operator message in between goes after them.
fn settle_operators(turns: &mut [Turn<'_>]) {
    let mut at = 1;
    while at + 1 < turns.len() {
        if let Some([before, operator, after]) = turns.get(at - 1..=at + 1)
            && operator.speaker == Speaker::System
            && before.has_calls()
            && after.has_results()
        {
            turns.swap(at, at + 1);
        }
        at += 1;
    }
}

fn merged(turns: Vec<Turn<'_>>) -> Vec<Turn<'_>> {
    let mut merged: Vec<Turn<'_>> = Vec::new();
    for mut turn in turns {
        match merged.last_mut() {
            Some(last) if last.speaker == turn.speaker => {
                last.pieces.append(&mut turn.pieces);
                last.extras.append(&mut turn.extras);
            }
            _ => merged.push(turn),
        }
    }
    merged
}

/// A final assistant turn is a prefill: its text must not end in white space.
fn trim_prefill(turns: &mut Vec<Turn<'_>>) {
    let Some(turn) = turns.last_mut().filter(|turn| turn.speaker == Speaker::Assistant) else { return };
    if let Some(piece) = turn.pieces.last_mut()
        && piece.part.as_text().is_some_and(|text| text.ends_with(char::is_whitespace))
        && let Content::Text(text) = &mut piece.part.to_mut().content
    {
        text.text.truncate(text.text.trim_end().len());
    }
}

fn begin_with_user(arranged: &mut Arranged<'_>, format: ApiFormat, losses: &mut Vec<Loss>) -> bool {
    match arranged.turns.first().map(|turn| turn.speaker) {
        Some(Speaker::User) => true,
        Some(_) => {
            let piece = Piece { part: Cow::Owned(Part::text(PLACEHOLDER)), call_id: String::new(), at: (0, 0) };
            let turn = Turn { speaker: Speaker::User, pieces: vec![piece], extras: Vec::new() };
            arranged.turns.insert(0, turn);
            losses.push(Loss::new("messages", format, "a user turn was put before the first message"));
            true
        }
        None => {
            let Some(last) = arranged.system.last().map(|piece| piece.at.0) else { return false };
            let (system, pieces) =
                std::mem::take(&mut arranged.system).into_iter().partition(|piece| piece.at.0 != last);
            arranged.system = system;
            arranged.turns.push(Turn { speaker: Speaker::User, pieces, extras: Vec::new() });
            losses.push(Loss::new("messages[0].role", format, "the operator's only message became the user's turn"));
            true
        }
    }
}

fn assign_ids(turns: &mut [Turn<'_>], limit: usize) {
    let mut ids = CallIds { limit, ..CallIds::default() };
    for piece in turns.iter_mut().flat_map(|turn| &mut turn.pieces) {
        match &piece.part.content {
            Content::ToolCall(call) => piece.call_id = ids.call(&call.id, &call.name),
            Content::ToolResult(result) => piece.call_id = ids.result(result),
            _ => {}
        }
    }
}

/// Ids of calls through one conversation.
#[derive(Debug, Default)]
struct CallIds {
    limit: usize,
    /// The id in the request → the id that its latest call got.
    current: HashMap<String, String>,
    used: HashSet<String>,
    /// Calls without an id that no result has answered yet.
    waiting: VecDeque<(String, String)>,
    minted: usize,
}

impl CallIds {
    fn call(&mut self, id: &str, name: &str) -> String {
        if id.is_empty() {
            let minted = self.mint();
            self.waiting.push_back((name.to_owned(), minted.clone()));
            return minted;
        }
        let mut fit = fit_id(id, self.limit);
        let mut repeat = 1usize;
        while self.used.contains(&fit) {
            repeat += 1;
            // The space makes it invalid, so that it is hashed.
            fit = fit_id(&format!("{id} {repeat}"), self.limit);
        }
        self.used.insert(fit.clone());
        self.current.insert(id.to_owned(), fit.clone());
        fit
    }

    fn result(&mut self, result: &ToolResult) -> String {
        if !result.call_id.is_empty() {
            let known = self.current.get(&result.call_id).cloned();
            return known.unwrap_or_else(|| fit_id(&result.call_id, self.limit));
        }
        let named = self.waiting.iter().position(|(name, _)| Some(name) == result.name.as_ref());
        let place = named.unwrap_or(0);
        self.waiting.remove(place).map_or_else(|| self.mint(), |(_, id)| id)
    }

    fn mint(&mut self) -> String {
        loop {
            let id = format!("call_{}", self.minted);
            self.minted += 1;
            if self.used.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// An id of a call that both targets take, `^[a-zA-Z0-9_-]+$` and at most `limit` long: itself if it fits, else a hash of it, so
/// that the same call has the same id in every turn.
pub(crate) fn fit_id(id: &str, limit: usize) -> String {
    if !id.is_empty() && id.len() <= limit && id.bytes().all(is_word) {
        return id.to_owned();
    }
    format!("toolu_{}", short_hash(id, 24))
}

/// A tool's name that both targets take, `^[a-zA-Z0-9_-]{1,limit}$`. Borrowed if nothing had to change.
pub(crate) fn fit_name<'n>(namespace: Option<&str>, name: &'n str, limit: usize) -> Cow<'n, str> {
    if namespace.is_none() && !name.is_empty() && name.len() <= limit && name.bytes().all(is_word) {
        return Cow::Borrowed(name);
    }
    let whole = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}__{name}"));
    let fit: String = whole.chars().map(|c| if c.is_ascii() && is_word(c as u8) { c } else { '_' }).collect();
    if !fit.is_empty() && fit.len() <= limit {
        return Cow::Owned(fit);
    }
    let head: String = fit.chars().take(limit.saturating_sub(9)).collect();
    Cow::Owned(format!("{head}_{}", short_hash(&whole, 8)))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn short_hash(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .take(digits)
        .collect()
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
