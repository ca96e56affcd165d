//! An answer that passes and that its provider may not store: it is heard while it passes, so that it can be kept here, under an id of ours. That stands in
//! the passing events in place of the provider's: hosts that store nothing have no reason to give each answer an id of its own.
//!
//! Knows lines of events and where a response object lies in one. Must not know what is kept, and for whom.

use bytes::{Bytes, BytesMut};
use memchr::{memchr2, memmem, memrchr2};
use myelin_protocol::envelope::Envelope;

/// Who has not told of a response in so many bytes tells nothing of its store any more.
const PATIENCE: usize = 64 << 10;
/// A longer line is no event: no format has frames of this size.
const LONGEST_LINE: usize = 64 << 20;

/// Hears the events of one answer.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Ours, as JSON.
    id: String,
    /// The provider's, as JSON.
    theirs: Option<Bytes>,
    /// Nothing is stored there. Else the first response object tells.
    certain: bool,
    /// The provider stores it, or nobody can tell what this is: the rest passes unheard.
    over: bool,
    /// Bytes that told of no response.
    silent: usize,
    /// The beginning of a line.
    held: BytesMut,
    /// The last response object, with our id.
    last: Option<Bytes>,
}

impl Heard {
    /// `certain`: the provider is known to store nothing. `id`: ours.
    pub(crate) fn new(certain: bool, id: &str) -> Self {
        let id = format!("\"{id}\"");
        Self { id, theirs: None, certain, over: false, silent: 0, held: BytesMut::new(), last: None }
    }

    /// The provider stores the answer: there is nothing to be heard any more.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes the next bytes and gives those that go on: all but the beginning of a line.
    pub(super) fn take(&mut self, chunk: Bytes) -> Bytes {
        let whole = memrchr2(b'\n', b'\r', &chunk).map_or(0, |at| at + 1);
        if self.held.is_empty() && whole == chunk.len() && !may_tell(&chunk) {
            self.nothing_told(chunk.len());
            return chunk;
        }
        let (lines, rest) = (chunk.slice(..whole), chunk.slice(whole..));
        let lines = match (self.held.is_empty(), lines.is_empty()) {
            (true, _) => self.lines(lines),
            (false, true) => lines,
            (false, false) => {
                self.held.extend_from_slice(&lines);
                let lines = self.held.split().freeze();
                self.lines(lines)
            }
        };
        self.held.extend_from_slice(&rest);
        self.over |= self.held.len() > LONGEST_LINE;
        if !self.over || self.held.is_empty() {
            return lines;
        }
        let held = self.held.split();
        if lines.is_empty() { held.freeze() } else { [&*lines, &*held].concat().into() }
    }

    /// The bytes are over: gives what was held back.
    pub(super) fn finish(&mut self) -> Bytes {
        let rest = self.held.split().freeze();
        self.lines(rest)
    }

    /// The answer as the client has it, if it is not stored where it was made.
    pub(super) fn response(self) -> Option<Option<Bytes>> {
        (self.certain && !self.over).then_some(self.last)
    }

    fn nothing_told(&mut self, bytes: usize) {
        self.silent += bytes;
        self.over |= !self.certain && self.silent > PATIENCE;
    }

    fn lines(&mut self, lines: Bytes) -> Bytes {
        if !may_tell(&lines) {
            self.nothing_told(lines.len());
            return lines;
        }
        let mut out = BytesMut::with_capacity(lines.len() + self.id.len());
        let mut rest = lines;
        while !rest.is_empty() && !self.over {
            let end = memchr2(b'\n', b'\r', &rest).map_or(rest.len(), |at| at + 1);
            let line = rest.split_to(end);
            match self.line(&line) {
                Some(changed) => out.extend_from_slice(&changed),
                None => {
                    self.nothing_told(line.len());
                    out.extend_from_slice(&line);
                }
            }
        }
        out.extend_from_slice(&rest);
        out.freeze()
    }

    /// A line that tells of the response, with our id; `None`: it stays as it is.
    fn line(&mut self, line: &Bytes) -> Option<Vec<u8>> {
        let data = line.strip_prefix(b"data:").filter(|data| may_tell(data))?;
        let event = Envelope::look(line.slice_ref(data.trim_ascii())).ok()?;
        let Some(response) = event.raw("response").filter(|raw| raw.starts_with(b"{")) else {
            let named = event.raw("response_id").filter(|id| self.theirs.as_deref() == Some(*id))?;
            return Some(in_place(line, named, &self.id));
        };
        let response = line.slice_ref(response);
        let look = Envelope::look(response.clone()).ok()?;
        if !self.certain {
            self.certain = look.flag("store") == Some(false);
            self.over = !self.certain;
            if self.over {
                return None;
            }
        }
        let Some(id) = look.raw("id").filter(|id| id.starts_with(b"\"")) else {
            self.last = Some(response);
            return None;
        };
        self.theirs = Some(response.slice_ref(id));
        self.last = Some(in_place(&response, id, &self.id).into());
        Some(in_place(line, id, &self.id))
    }
}

/// A whole answer under `id`, if it is a JSON object with an id.
pub(super) fn under(answer: &Bytes, id: &str) -> Option<Bytes> {
    let look = Envelope::look(answer.clone()).ok()?;
    let theirs = look.raw("id").filter(|id| id.starts_with(b"\""))?;
    Some(in_place(answer, theirs, &format!("\"{id}\"")).into())
}

/// Whether events in `bytes` may tell of the response: cheap, and sometimes wrong.
fn may_tell(bytes: &[u8]) -> bool {
    const MEMBER: &[u8] = b"\"response";
    // Nearly all that is found is the beginning of a type: `"response.output_text.delta"`.
    memmem::find_iter(bytes, MEMBER).any(|at| matches!(bytes.get(at + MEMBER.len()), Some(b'"' | b'_')))
}

/// `whole` with other bytes in place of `part`, which lies in it.
fn in_place(whole: &[u8], part: &[u8], other: &str) -> Vec<u8> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    let before = whole.get(..start).unwrap_or_default();
    let behind = whole.get(start + part.len()..).unwrap_or_default();
    [before, other.as_bytes(), behind].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_5\",\"store\":false}}\n\n";
    const DELTA: &str =
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"resp_5\\\" \\\"response\\\": \"}\n\n";
    const NAMED: &str = "data: {\"type\":\"x\",\"response_id\":\"resp_5\",\"id\":\"resp_5\"}\n\n";
    const DONE: &str = "data: {\"type\":\"response.completed\", \"response\": {\"output\": [{\"id\": \"resp_5\"}], \"id\" : \"resp_5\"}}\n\n";

    fn run(text: &str, certain: bool, size: usize) -> (String, Option<Option<String>>) {
        let mut heard = Heard::new(certain, "resp_ours");
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            let piece = Bytes::copy_from_slice(piece);
            out.extend_from_slice(&if heard.is_over() { piece } else { heard.take(piece) });
        }
        out.extend_from_slice(&heard.finish());
        let response = heard.response().map(|last| last.map(|json| String::from_utf8(json.to_vec()).unwrap()));
        (String::from_utf8(out).unwrap(), response)
    }

    #[test]
    fn our_id_stands_wherever_the_response_is_told_of_and_nowhere_else() {
        let text = [CREATED, DELTA, NAMED, DONE].concat();
        let expected = [
            CREATED.replace("resp_5", "resp_ours"),
            DELTA.to_owned(),
            NAMED.replacen("resp_5", "resp_ours", 1),
            DONE.replace("\"id\" : \"resp_5\"", "\"id\" : \"resp_ours\""),
        ];
        for size in [1, 2, 7, 50, 10_000] {
            for certain in [true, false] {
                let (out, response) = run(&text, certain, size);
                assert_eq!(out, expected.concat(), "{size}");
                let last = response.unwrap().unwrap();
                assert_eq!(last, r#"{"output": [{"id": "resp_5"}], "id" : "resp_ours"}"#);
            }
        }
    }

    #[test]
    fn what_comes_before_the_first_event_does_not_hide_what_it_says() {
        for before in
            ["", ": hi\n\n", "\n\n", "retry: 10\n\n", ":\r\n\r\n", "event: ping\ndata: {}\n\n", "data: [DONE\n"]
        {
            let text = [before, CREATED, DONE].concat();
            for size in [1, 10_000] {
                let (out, response) = run(&text, false, size);
                assert!(out.starts_with(before) && !out.contains("\"response\":{\"id\":\"resp_5\""), "{before:?}");
                assert!(response.unwrap().unwrap().contains("resp_ours"), "{before:?}");
            }
        }
    }

    #[test]
    fn what_its_provider_stores_passes_as_it_came() {
        let stored = [&CREATED.replace("\"store\":false", "\"store\":true"), DELTA, NAMED, DONE].concat();
        let untold = [&CREATED.replace(",\"store\":false", ""), DELTA, NAMED, DONE].concat();
        let late = [&": wait\n\n".repeat(10_000), CREATED, DONE].concat();
        for text in [stored, untold, late] {
            for size in [1, 10_000] {
                assert_eq!(run(&text, false, size), (text.clone(), None));
            }
        }
        // Lines may end in other ways, and the last one not at all.
        for text in [CREATED.replace('\n', "\r"), CREATED.replace('\n', "\r\n"), CREATED.trim_end().to_owned()] {
            assert_eq!(run(&text, false, 9).0, text.replace("resp_5", "resp_ours"));
        }
    }

    #[test]
    fn a_whole_answer_gets_our_id() {
        let under = |text: &'static str| super::under(&Bytes::from_static(text.as_bytes()), "resp_ours");
        assert_eq!(
            under(r#"{"output":[{"id":"a"}], "id" : "a"}"#).unwrap(),
            r#"{"output":[{"id":"a"}], "id" : "resp_ours"}"#
        );
        assert_eq!(under(r#"{"output":[{"id":"a"}]}"#), None);
        assert_eq!(under("[]"), None);
    }
}
