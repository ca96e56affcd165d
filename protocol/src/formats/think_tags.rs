//! Thinking that stands in the text: `<think>…</think>` at its start.

/// Tells thinking and text apart while the text arrives in pieces. Tags may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct ThinkTags {
    state: State,
    /// What may yet become a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    #[default]
    Start,
    /// Right after the opening tag.
    Opened,
    /// Inside.
    Thinking,
    /// After the closing tag, before the first letter of the text.
    Between,
    /// Nothing is looked for any more.
    Text,
}

/// A piece of what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Thinking.
    Thinking(String),
    /// Visible text.
    Text(String),
}

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

impl ThinkTags {
    /// Takes more text and answers what is certain by now.
    pub(crate) fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        if self.state == State::Text {
            if !text.is_empty() {
                out.push(Piece::Text(text.to_owned()));
            }
            return;
        }
        self.held.push_str(text);
        while self.step(out) {}
    }

    /// No more text comes: what was held back is what it looks like.
    pub(crate) fn finish(&mut self, out: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            // A tag with nothing behind it is what was said.
            State::Opened => out.push(Piece::Text(format!("{OPEN}{held}"))),
            State::Thinking if !held.is_empty() => out.push(Piece::Thinking(held)),
            State::Start | State::Text if !held.is_empty() => out.push(Piece::Text(held)),
            _ => {}
        }
        self.state = State::Text;
    }

    /// One move; whether another one may follow at once.
    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        match self.state {
            State::Start => {
                let begun = self.held.trim_start();
                if let Some(rest) = begun.strip_prefix(OPEN) {
                    self.held = rest.to_owned();
                    self.state = State::Opened;
                    return true;
                }
                if OPEN.starts_with(begun) {
                    return false;
                }
                self.state = State::Text;
                out.push(Piece::Text(std::mem::take(&mut self.held)));
                false
            }
            State::Opened => {
                if self.held.is_empty() {
                    return false;
                }
                // The line end after the tag belongs to the tag.
                if let Some(rest) = self.held.strip_prefix('\n') {
                    self.held = rest.to_owned();
                }
                self.state = State::Thinking;
                true
            }
            State::Thinking => {
                if let Some((thinking, rest)) = self.held.split_once(CLOSE) {
                    let thinking = thinking.strip_suffix('\n').unwrap_or(thinking);
                    if !thinking.is_empty() {
                        out.push(Piece::Thinking(thinking.to_owned()));
                    }
                    self.held = rest.to_owned();
                    self.state = State::Between;
                    return true;
                }
                let keep = held_back(&self.held);
                let certain = self.held.len() - keep;
                if let Some((thinking, rest)) = self.held.split_at_checked(certain)
                    && !thinking.is_empty()
                {
                    out.push(Piece::Thinking(thinking.to_owned()));
                    self.held = rest.to_owned();
                }
                false
            }
            State::Between => {
                let text = self.held.trim_start();
                if text.is_empty() {
                    return false;
                }
                out.push(Piece::Text(text.to_owned()));
                self.held.clear();
                self.state = State::Text;
                false
            }
            State::Text => false,
        }
    }
}

/// How many bytes at the end may be the beginning of the closing tag (with the line end before it).
fn held_back(text: &str) -> usize {
    let tag = "\n</think>";
    (1..=tag.len())
        .rev()
        .filter_map(|length| tag.get(..length))
        .chain((1..CLOSE.len()).rev().filter_map(|length| CLOSE.get(..length)))
        .filter(|start| text.ends_with(start))
        .map(str::len)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_apart(pieces: &[&str]) -> (String, String) {
        let mut tags = ThinkTags::default();
        let mut out = Vec::new();
        for piece in pieces {
            tags.push(piece, &mut out);
        }
        tags.finish(&mut out);
        let mut told = (String::new(), String::new());
        for piece in out {
            match piece {
                Piece::Thinking(text) => told.0 += &text,
                Piece::Text(text) => told.1 += &text,
            }
        }
        told
    }

    #[test]
    fn tags_are_found_at_every_split() {
        let text = "\n<think>\nhm < 3 </thin\n\nä</think>\n\nyes <think>no</think>";
        let expected = ("hm < 3 </thin\n\nä".to_owned(), "yes <think>no</think>".to_owned());
        assert_eq!(told_apart(&[text]), expected);
        for cut in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(told_apart(&[&text[..cut], &text[cut..]]), expected, "cut at {cut}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(told_apart(&letters), expected);
    }

    #[test]
    fn text_without_tags_is_text() {
        for text in ["", "hello", "<thin", "a <think>b</think>", "  <b>"] {
            assert_eq!(told_apart(&[text]), (String::new(), text.to_owned()));
        }
        assert_eq!(told_apart(&["<think>"]), (String::new(), "<think>".to_owned()));
    }

    #[test]
    fn thinking_that_never_ends_is_thinking() {
        assert_eq!(told_apart(&["<think>so", "\n</th"]), ("so\n</th".to_owned(), String::new()));
    }
}
