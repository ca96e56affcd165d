//! `<think>…</think>` at the start of the text is thinking (open models behind servers that do not tell the two apart).

use crate::ir::{Content, Part, ReasoningPart};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A piece of what was fed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Thinking.
    Thinking(String),
    /// Visible text.
    Text(String),
}

#[derive(Debug, Default)]
enum State {
    /// Nothing but white space and perhaps the beginning of a tag so far.
    #[default]
    Start,
    Thinking,
    /// The tag has closed; white space before the text is dropped.
    Closed,
    Text,
}

/// Splits streamed text, holding back what may become a tag.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    state: State,
    held: String,
}

impl Splitter {
    /// Takes more text.
    pub(super) fn feed(&mut self, text: &str, out: &mut Vec<Piece>) {
        if matches!(self.state, State::Text) {
            return out.push(Piece::Text(text.to_owned()));
        }
        self.held.push_str(text);
        while self.step(out) {}
    }

    /// The text is over: what was held back is what it looked like.
    pub(super) fn finish(&mut self, out: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            out.push(if matches!(self.state, State::Thinking) { Piece::Thinking(held) } else { Piece::Text(held) });
        }
    }

    /// Makes one step; `false` if more text is needed.
    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => {
                let begun = self.held.trim_start();
                if let Some(rest) = begun.strip_prefix(OPEN) {
                    self.held = rest.to_owned();
                    self.state = State::Thinking;
                    return true;
                }
                if OPEN.starts_with(begun) {
                    return false;
                }
                self.state = State::Text;
                true
            }
            State::Thinking => {
                if let Some((thinking, rest)) = self.held.split_once(CLOSE) {
                    push(out, Piece::Thinking, thinking);
                    self.held = rest.to_owned();
                    self.state = State::Closed;
                    return true;
                }
                let keep = (1..CLOSE.len())
                    .rev()
                    .find(|length| CLOSE.get(..*length).is_some_and(|tag| self.held.ends_with(tag)));
                let tail = self.held.split_off(self.held.len() - keep.unwrap_or(0));
                push(out, Piece::Thinking, &std::mem::replace(&mut self.held, tail));
                false
            }
            State::Closed => {
                let text = self.held.trim_start();
                if text.is_empty() {
                    self.held.clear();
                    return false;
                }
                self.held = text.to_owned();
                self.state = State::Text;
                true
            }
            State::Text => {
                push(out, Piece::Text, &std::mem::take(&mut self.held));
                false
            }
        }
    }
}

fn push(out: &mut Vec<Piece>, make: fn(String) -> Piece, text: &str) {
    if !text.is_empty() {
        out.push(make(text.to_owned()));
    }
}

/// Splits the first text of a whole answer.
pub(super) fn split_parts(parts: &mut Vec<Part>) {
    let Some(at) = parts.iter().position(|part| matches!(part.content, Content::Text(_))) else { return };
    let Some(Content::Text(text)) = parts.get_mut(at).map(|part| &mut part.content) else { return };
    let (mut splitter, mut pieces) = (Splitter::default(), Vec::new());
    splitter.feed(&text.text, &mut pieces);
    splitter.finish(&mut pieces);
    let (mut thinking, mut visible) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Thinking(more) => thinking.push_str(&more),
            Piece::Text(more) => visible.push_str(&more),
        }
    }
    if thinking.is_empty() {
        return;
    }
    text.text = visible;
    let gone = text.text.is_empty();
    let part = Part::new(Content::Reasoning(ReasoningPart { text: thinking, ..ReasoningPart::default() }));
    if gone {
        parts.remove(at);
    }
    parts.insert(at, part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_at_every_char(text: &str) -> (String, String) {
        let (mut splitter, mut pieces) = (Splitter::default(), Vec::new());
        for letter in text.chars() {
            splitter.feed(&letter.to_string(), &mut pieces);
        }
        splitter.finish(&mut pieces);
        let (mut thinking, mut visible) = (String::new(), String::new());
        for piece in pieces {
            match piece {
                Piece::Thinking(more) => thinking.push_str(&more),
                Piece::Text(more) => visible.push_str(&more),
            }
        }
        (thinking, visible)
    }

    #[test]
    fn thinking_ends_where_its_tag_closes_whatever_the_split() {
        for (text, thinking, visible) in [
            ("<think>a < b</think>\n\nyes", "a < b", "yes"),
            ("  <think>ä</th</think>ö", "ä</th", "ö"),
            ("plain <think>no</think>", "", "plain <think>no</think>"),
            ("<thin", "", "<thin"),
            ("<think>cut</thi", "cut</thi", ""),
            ("<think></think>only text", "", "only text"),
            ("", "", ""),
        ] {
            assert_eq!(split_at_every_char(text), (thinking.to_owned(), visible.to_owned()), "{text}");
            let mut parts = vec![Part::text(text)];
            split_parts(&mut parts);
            let shown: String = parts.iter().filter_map(Part::as_text).collect();
            if !thinking.is_empty() {
                assert_eq!(shown, visible, "{text}");
            }
        }
    }
}
