//! Conversations with turns under way: what ended meanwhile is not forgotten by a turn that began before.
//!
//! A turn loads its conversation when it begins and stores it when it ends. Turns of one conversation that overlap share a [`Talk`], to which each adds its
//! message; whoever ends later stores those of the others too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use myelin_protocol::formats::dify::HistoryMessage;

/// A conversation keeps so many messages; older ones go.
const MOST_MESSAGES: usize = 1_000;
/// And so many bytes of questions and answers.
const MOST_BYTES: usize = 4 << 20;
/// From so many entries on, those that ended are looked for and taken out.
const SWEEP: usize = 256;

/// The conversations with turns under way.
#[derive(Debug, Default)]
pub struct Talks(Mutex<HashMap<String, Weak<Talk>>>);

/// What ended in one conversation while a turn of it was under way.
#[derive(Debug, Default)]
pub(crate) struct Talk(Mutex<Vec<HistoryMessage>>);

impl Talks {
    /// A turn of the conversation `id` begins; to be called before the conversation is loaded.
    pub(crate) fn join(&self, id: &str) -> Arc<Talk> {
        let mut talks = lock(&self.0);
        if let Some(talk) = talks.get(id).and_then(Weak::upgrade) {
            return talk;
        }
        if talks.len() >= SWEEP {
            talks.retain(|_, talk| talk.strong_count() > 0);
        }
        let talk = Arc::new(Talk::default());
        talks.insert(id.to_owned(), Arc::downgrade(&talk));
        talk
    }
}

impl Talk {
    /// A turn ended: `messages` are those that it began with. `store` gets all that are to be kept, in order, before any other turn of the conversation can end.
    pub(crate) fn ended(
        &self,
        mut messages: Vec<HistoryMessage>,
        message: HistoryMessage,
        store: impl FnOnce(Vec<HistoryMessage>),
    ) {
        let mut meanwhile = lock(&self.0);
        meanwhile.push(message);
        for other in meanwhile.iter() {
            if !messages.iter().any(|known| known.id == other.id) {
                messages.push(other.clone());
            }
        }
        shorten(&mut messages);
        store(messages);
    }
}

/// Leaves the newest; one stays however long it is.
fn shorten(messages: &mut Vec<HistoryMessage>) {
    let mut bytes = 0;
    let fitting = messages.iter().rev().take(MOST_MESSAGES).take_while(|message| {
        bytes += message.query.len() + message.answer.len();
        bytes <= MOST_BYTES
    });
    let kept = fitting.count().max(1).min(messages.len());
    messages.drain(..messages.len() - kept);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, answer: &str) -> HistoryMessage {
        HistoryMessage {
            id: id.into(),
            conversation_id: "c".into(),
            inputs: serde_json::Map::new(),
            query: String::new(),
            answer: answer.into(),
            files: Vec::new(),
            retriever_resources: Vec::new(),
            created_at: 0,
            error: None,
        }
    }

    fn ended(talk: &Talk, began_with: &[HistoryMessage], id: &str) -> Vec<String> {
        let mut stored = Vec::new();
        talk.ended(began_with.to_vec(), message(id, ""), |messages| stored = messages);
        stored.into_iter().map(|message| message.id).collect()
    }

    #[test]
    fn turns_that_overlap_keep_each_other_s_messages() {
        let talks = Talks::default();
        let before = [message("0", "")];
        let (first, second) = (talks.join("c"), talks.join("c"));
        assert_eq!(ended(&second, &before, "2"), ["0", "2"]);
        assert_eq!(ended(&first, &before, "1"), ["0", "2", "1"]);
        drop((first, second));
        // The next one begins with what was stored.
        assert_eq!(ended(&talks.join("c"), &before, "3"), ["0", "3"]);
    }

    #[test]
    fn conversations_that_ended_are_forgotten() {
        let talks = Talks::default();
        for number in 0..SWEEP * 3 {
            drop(talks.join(&number.to_string()));
        }
        assert!(lock(&talks.0).len() <= SWEEP);
    }

    #[test]
    fn a_conversation_stays_bounded_and_the_newest_stay() {
        let mut many: Vec<_> = (0..1_500).map(|id| message(&id.to_string(), "x")).collect();
        shorten(&mut many);
        assert_eq!((many.len(), many[0].id.as_str()), (MOST_MESSAGES, "500"));
        let long = "x".repeat(MOST_BYTES / 2 + 1);
        let mut large: Vec<_> = (0..4).map(|id| message(&id.to_string(), &long)).collect();
        shorten(&mut large);
        assert_eq!(large.len(), 1);
        large[0].answer = "x".repeat(MOST_BYTES * 2);
        shorten(&mut large);
        assert_eq!(large.len(), 1);
    }
}
