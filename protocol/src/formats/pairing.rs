//! Linking tool results to calls on wires where ids are optional (Gemini, Ollama): by name and order.
//!
//! Calls without an id are given `call_<n>`, `n` counting every call of the conversation from 0, so that a longer history keeps the ids of a
//! shorter one. The way back leaves exactly these ids out again: no id is invented on the wire.

use std::collections::{BTreeMap, VecDeque};

use crate::ir::{ChatRequest, Content};

/// Names the calls of one conversation in order.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    calls: usize,
    /// Ids that wait for their result, by tool.
    open: BTreeMap<String, VecDeque<String>>,
}

impl Pairing {
    /// The id of the next call; the one of the wire if it has one.
    pub(crate) fn call(&mut self, name: &str, id: Option<String>) -> String {
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| minted(self.calls));
        self.calls += 1;
        self.open.entry(name.to_owned()).or_default().push_back(id.clone());
        id
    }

    /// The id of the call that a result answers: its own, else the oldest unanswered one of that tool; empty if there is none.
    pub(crate) fn result(&mut self, name: &str, id: Option<String>) -> String {
        let waiting = self.open.get_mut(name);
        match id.filter(|id| !id.is_empty()) {
            Some(id) => {
                if let Some(waiting) = waiting {
                    waiting.retain(|open| *open != id);
                }
                id
            }
            None => waiting.and_then(VecDeque::pop_front).unwrap_or_default(),
        }
    }

    /// The name and id of the oldest unanswered call of any tool, for results that name neither.
    pub(crate) fn any_result(&mut self) -> Option<(String, String)> {
        let oldest = self.open.iter().filter_map(|(name, ids)| Some((name.clone(), ids.front()?.clone())));
        // Minted ids sort by their number; others have no order but the one of their tools.
        let (name, id) = oldest.min_by_key(|(_, id)| (id.len(), id.clone()))?;
        self.open.get_mut(&name)?.pop_front();
        Some((name, id))
    }
}

fn minted(call: usize) -> String {
    format!("call_{call}")
}

/// What an encoder must know about the ids of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// Tools by the ids of their calls, and whether the id was minted by [`Pairing`].
    calls: BTreeMap<String, (String, bool)>,
}

impl Ids {
    /// Walks the calls of a conversation.
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let mut ids = Self::default();
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let calls = parts.filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some(call),
            _ => None,
        });
        for (index, call) in calls.enumerate() {
            let own = call.id == minted(index);
            let known = ids.calls.entry(call.id.clone()).or_default();
            *known = (call.name.clone(), known.1 || own);
        }
        ids
    }

    /// The tool whose call has this id.
    pub(crate) fn name(&self, id: &str) -> Option<&str> {
        self.calls.get(id).map(|(name, _)| name.as_str())
    }

    /// The id as it goes onto the wire: nothing for empty and minted ones.
    pub(crate) fn on_wire<'a>(&self, id: &'a str) -> Option<&'a str> {
        let minted = self.calls.get(id).is_some_and(|(_, minted)| *minted);
        (!id.is_empty() && !minted).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_find_their_calls_by_name_and_order() {
        let mut pairing = Pairing::default();
        assert_eq!(pairing.call("a", None), "call_0");
        assert_eq!(pairing.call("b", None), "call_1");
        assert_eq!(pairing.call("a", Some("own".into())), "own");
        assert_eq!(pairing.call("a", Some(String::new())), "call_3");
        assert_eq!(pairing.result("a", None), "call_0");
        assert_eq!(pairing.result("a", Some("own".into())), "own");
        assert_eq!(pairing.result("a", None), "call_3");
        assert_eq!(pairing.any_result(), Some(("b".into(), "call_1".into())));
        assert_eq!(pairing.result("b", None), "");
        assert_eq!(pairing.any_result(), None);
    }
}
