//! Ids of tool calls as a host wants them.
//!
//! Chat needs an id on every call and the same one on its result. Formats without ids (Gemini, Ollama) leave them empty: then ids are counted
//! in order, the same for the same history every time, and results are matched by name and order. Hosts that demand a form get a hash.

use sha2::{Digest as _, Sha256};

use crate::dialect::ToolCallIds;

/// Gives ids while a conversation is written in order.
#[derive(Debug, Default)]
pub(super) struct Ids {
    form: ToolCallIds,
    next: usize,
    /// Calls that had no id and wait for a result: name and minted id, oldest first.
    waiting: Vec<(String, String)>,
}

impl Ids {
    pub(super) fn new(form: ToolCallIds) -> Self {
        Self { form, ..Self::default() }
    }

    /// The id of a call.
    pub(super) fn of_call(&mut self, id: &str, name: &str) -> String {
        if !id.is_empty() {
            return formed(id, self.form);
        }
        let minted = formed(&format!("call_{}", self.next), self.form);
        self.next += 1;
        self.waiting.push((name.to_owned(), minted.clone()));
        minted
    }

    /// The id of the call that a result answers.
    pub(super) fn of_result(&mut self, call_id: &str, name: Option<&str>) -> String {
        if !call_id.is_empty() {
            return formed(call_id, self.form);
        }
        let same_name = |(known, _): &(String, String)| name.is_some_and(|name| name == known);
        let at = self.waiting.iter().position(same_name).unwrap_or(0);
        if at < self.waiting.len() { self.waiting.remove(at).1 } else { formed("call_0", self.form) }
    }
}

/// An id in the form that the host demands. Calls and results come out alike.
pub(super) fn formed(id: &str, form: ToolCallIds) -> String {
    match form {
        ToolCallIds::Any => id.to_owned(),
        ToolCallIds::NineAlphanumeric if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            id.to_owned()
        }
        ToolCallIds::NineAlphanumeric => {
            const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            let letter = |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).copied().unwrap_or(b'0');
            Sha256::digest(id.as_bytes()).iter().take(9).map(|byte| char::from(letter(byte))).collect()
        }
    }
}
