//! Putting streamed tool calls together.
//!
//! Fragments are joined by `index`, as OpenAI numbers them; hosts deviate, so:
//!
//! - an index may be missing (position in the list), start at 1, or be 0 for every call: a *new non-empty id* always means a new call;
//! - `id` and `name` of later fragments may be empty or repeated: the first non-empty ones count;
//! - without index and id, a name that arrives after whole arguments means a new call.
//!
//! Within one choice calls leave in order, one at a time. Should a host mix the fragments of two calls, the later call waits until the arguments
//! of the earlier are whole JSON.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::messages_in;
use super::wire::{FORMAT, IN, Object, count, json_text, take_object, take_text};
use crate::DecodeError;
use crate::ir::{Delta, Extras, Opaque, PartHead, PartId, StreamEvent, ToolCallKind};

/// More calls than any model makes in one turn; beyond that a stream is hostile.
const MAX_CALLS: usize = 1024;

/// One call while it grows.
#[derive(Debug, Default)]
struct Call {
    /// The index on the wire.
    index: u64,
    id: String,
    name: String,
    kind: ToolCallKind,
    arguments: String,
    /// How much of the arguments has left.
    sent: usize,
    signature: Option<Opaque>,
    /// Fields of the call that have no word of their own.
    extras: Object,
    /// How long the arguments were when they were last found unfinished.
    unfinished: Option<usize>,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// Waits for its name or its turn.
    #[default]
    Waiting,
    Open(PartId),
    Ended,
}

impl Call {
    /// Whether the arguments are whole JSON. Looks at them only if they grew since.
    fn is_whole(&mut self) -> bool {
        if self.kind == ToolCallKind::Custom {
            return true;
        }
        if self.unfinished == Some(self.arguments.len()) {
            return false;
        }
        let whole = serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok();
        self.unfinished = (!whole).then_some(self.arguments.len());
        whole
    }
}

/// The calls of one choice.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The first call that has not ended.
    turn: usize,
}

/// One fragment, read.
struct Fragment {
    index: Option<u64>,
    id: String,
    name: String,
    kind: ToolCallKind,
    arguments: String,
    signature: Option<Opaque>,
    extras: Object,
}

impl Calls {
    /// Whether there was any call.
    pub(super) fn any(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether a call is open or waits.
    pub(super) fn pending(&self) -> bool {
        self.turn < self.calls.len()
    }

    /// Takes `tool_calls` of one delta.
    pub(super) fn feed(
        &mut self,
        list: Vec<Value>,
        choice: u32,
        next: &mut PartId,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        for (position, value) in list.into_iter().enumerate() {
            let Value::Object(fields) = value else { continue };
            let fragment = read(fields);
            let at = self.place(&fragment, position)?;
            self.grow(at, fragment)?;
            self.emit(choice, next, out);
        }
        Ok(())
    }

    /// Takes the legacy `function_call` of one delta.
    pub(super) fn feed_legacy(
        &mut self,
        call: Object,
        choice: u32,
        next: &mut PartId,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), DecodeError> {
        let whole = super::wire::one("function", call);
        self.feed(vec![whole.into()], choice, next, out)
    }

    /// No more fragments are expected: everything that waits leaves, and all parts end.
    pub(super) fn flush(&mut self, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        while let Some(call) = self.calls.get_mut(self.turn) {
            open(call, choice, next, out);
            end(call, out);
            self.turn += 1;
        }
    }

    /// Which call a fragment belongs to; a new one if none.
    fn place(&mut self, fragment: &Fragment, position: usize) -> Result<usize, DecodeError> {
        let index = fragment.index;
        let slot = index.unwrap_or(position as u64);
        let known = self.calls.iter().rposition(|call| match index {
            Some(index) => call.index == index,
            None if !fragment.id.is_empty() => call.id == fragment.id,
            None => call.index == slot,
        });
        // Without an index a bare continuation belongs to the newest call.
        let continues = index.is_none() && fragment.id.is_empty() && fragment.name.is_empty();
        let known = known.or_else(|| if continues { self.calls.len().checked_sub(1) } else { None });
        if let Some(at) = known
            && let Some(call) = self.calls.get_mut(at)
        {
            let other_id = !fragment.id.is_empty() && !call.id.is_empty() && fragment.id != call.id;
            let named_again = !fragment.name.is_empty() && !call.name.is_empty() && fragment.id.is_empty();
            let begins_anew = named_again
                && (index.is_none() || fragment.name != call.name)
                && !call.arguments.is_empty()
                && call.is_whole();
            if !other_id && !begins_anew {
                return Ok(at);
            }
            // A known id under a shared index: an earlier call goes on.
            if other_id && let Some(earlier) = self.calls.iter().rposition(|call| call.id == fragment.id) {
                return Ok(earlier);
            }
        }
        if self.calls.len() >= MAX_CALLS {
            return Err(IN.error("/choices", "too many tool calls"));
        }
        let index = if index.is_none() && known.is_some() { self.calls.len() as u64 } else { slot };
        self.calls.push(Call { index, kind: fragment.kind, ..Call::default() });
        Ok(self.calls.len() - 1)
    }

    fn grow(&mut self, at: usize, fragment: Fragment) -> Result<(), DecodeError> {
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        if call.state == State::Ended {
            // Hosts repeat the head of a call at the end; only arguments would be lost.
            return if fragment.arguments.trim().is_empty() || fragment.arguments == call.arguments {
                Ok(())
            } else {
                Err(IN.error("/choices/delta/tool_calls", "arguments for a call that has ended"))
            };
        }
        if call.id.is_empty() {
            call.id = fragment.id;
        }
        if call.name.is_empty() {
            call.name = fragment.name;
        }
        if fragment.kind == ToolCallKind::Custom {
            call.kind = ToolCallKind::Custom;
        }
        call.arguments.push_str(&fragment.arguments);
        call.signature = fragment.signature.or(call.signature.take());
        call.extras.extend(fragment.extras);
        Ok(())
    }

    /// Lets out what may leave now.
    fn emit(&mut self, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
        let total = self.calls.len();
        loop {
            let next_grows = self.calls.get(self.turn + 1).is_some_and(|call| !call.arguments.is_empty());
            let Some(call) = self.calls.get_mut(self.turn) else { return };
            let last = self.turn + 1 == total;
            // A call without arguments is known as such when the next one gets its own.
            let bare = call.arguments.is_empty() && next_grows;
            if call.name.is_empty() && last {
                return;
            }
            let whole = bare || (!last && call.is_whole());
            if last || whole {
                open(call, choice, next, out);
            }
            if let State::Open(id) = call.state {
                send(call, id, out);
            }
            if !whole {
                return;
            }
            end(call, out);
            self.turn += 1;
        }
    }
}

fn open(call: &mut Call, choice: u32, next: &mut PartId, out: &mut Vec<StreamEvent>) {
    if call.state != State::Waiting {
        return;
    }
    let id = *next;
    *next += 1;
    call.state = State::Open(id);
    let head = PartHead::ToolCall { id: call.id.clone(), name: call.name.clone(), namespace: None, kind: call.kind };
    out.push(StreamEvent::PartStart { id, choice, head, item_id: None });
    send(call, id, out);
}

fn send(call: &mut Call, id: PartId, out: &mut Vec<StreamEvent>) {
    if let Some(more) = call.arguments.get(call.sent..).filter(|more| !more.is_empty()) {
        out.push(StreamEvent::PartDelta { id, delta: Delta::Arguments(more.to_owned()) });
        call.sent = call.arguments.len();
    }
    if let Some(signature) = call.signature.take() {
        out.push(StreamEvent::PartDelta { id, delta: Delta::Opaque(signature) });
    }
    if !call.extras.is_empty() {
        let extras = Extras::new(FORMAT, std::mem::take(&mut call.extras));
        out.push(StreamEvent::PartDelta { id, delta: Delta::Extras(extras) });
    }
}

fn end(call: &mut Call, out: &mut Vec<StreamEvent>) {
    if let State::Open(id) = call.state {
        send(call, id, out);
        out.push(StreamEvent::PartEnd { id });
    }
    call.state = State::Ended;
}

fn read(mut fields: Object) -> Fragment {
    let index = fields.get("index").and_then(count);
    let id = take_text(&mut fields, "id").unwrap_or_default();
    let custom = take_object(&mut fields, "custom");
    let typed = fields.get("type").and_then(Value::as_str) == Some("custom");
    let kind = if custom.is_some() || typed { ToolCallKind::Custom } else { ToolCallKind::Function };
    let mut inner = custom.or_else(|| take_object(&mut fields, "function")).unwrap_or_default();
    let name = take_text(&mut inner, "name").unwrap_or_default();
    let arguments = match inner.shift_remove(if kind == ToolCallKind::Custom { "input" } else { "arguments" }) {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => String::new(),
        Some(other) => json_text(&other),
    };
    let signature = messages_in::signature(&mut fields);
    fields.retain(|name, value| !value.is_null() && name != "index" && name != "type" && name != "id");
    Fragment { index, id, name, kind, arguments, signature, extras: fields }
}
