//! What a deployment is asked for. How it fares at one errand says nothing of the others: who cannot count may talk all the same.

use serde::{Deserialize, Serialize};

use super::Failure;

/// What a deployment is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Errand {
    /// A conversation, in any format.
    #[default]
    Conversation,
    /// How many tokens a conversation has.
    Counting,
    /// Making a conversation shorter.
    Compaction,
    /// Vectors.
    Embeddings,
    /// Pictures.
    Images,
    /// Speech and transcripts.
    Audio,
    /// Judging content.
    Moderations,
    /// Sorting documents.
    Reranking,
    /// Something around one response that the provider keeps.
    Stored,
}

/// Who does an errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doer {
    /// The deployments that fare well at it, in the order of a plan of its own. Where they do not, somebody goes without.
    Planned,
    /// Who would have the conversation. Where that cannot, we do it ourselves, and nobody has to hear of it.
    Conversation,
    /// The only one that can: how it fares decides nothing.
    Bound,
}

/// An errand, the word of its surface in records, who does it, and whether an answer shows that the account has money.
const TABLE: [(Errand, &str, Doer, bool); 9] = [
    (Errand::Conversation, "conversation", Doer::Planned, true),
    (Errand::Counting, "count-tokens", Doer::Conversation, false),
    (Errand::Compaction, "compact", Doer::Conversation, true),
    (Errand::Embeddings, "embeddings", Doer::Planned, true),
    (Errand::Images, "images", Doer::Planned, true),
    (Errand::Audio, "audio", Doer::Planned, true),
    (Errand::Moderations, "moderations", Doer::Planned, true),
    (Errand::Reranking, "rerank", Doer::Planned, true),
    (Errand::Stored, "stored-response", Doer::Bound, false),
];

/// Failures that say of an errand beside conversations that it is not to be had there: no trouble, callers may ask for anything.
const NOT_OFFERED: [Failure; 2] = [Failure::UnknownModel, Failure::Forbidden];

impl Errand {
    /// The errand that is planned for by itself under this word of a record's format; everything else is planned like a conversation.
    pub fn planned(word: &str) -> Self {
        let found = TABLE.iter().find(|(_, own, doer, _)| *own == word && *doer == Doer::Planned);
        found.map_or(Self::Conversation, |(errand, ..)| *errand)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        self.row().map_or("conversation", |(_, word, ..)| *word)
    }

    /// Whether how a deployment fares at it is remembered.
    pub(super) fn is_remembered(self) -> bool {
        self.row().is_none_or(|(_, _, doer, _)| *doer != Doer::Bound)
    }

    /// Whether an answer says that what kept a whole channel or credential away is over.
    pub(super) fn shows_over(self, why: impl FnOnce() -> Option<Failure>) -> bool {
        self.row().is_none_or(|(.., pays)| *pays) || matches!(why(), Some(Failure::Unreachable | Failure::BadKey))
    }

    /// Whether the owner has to hear of a model that is out of rotation for it.
    pub(super) fn matters(self, why: Option<Failure>) -> bool {
        let planned = self.row().is_none_or(|(_, _, doer, _)| *doer == Doer::Planned);
        let offered = self == Self::Conversation || !why.is_some_and(|why| NOT_OFFERED.contains(&why));
        planned && offered
    }

    fn row(self) -> Option<&'static (Self, &'static str, Doer, bool)> {
        TABLE.iter().find(|(errand, ..)| *errand == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errand_has_its_word_and_only_planned_ones_a_plan() {
        for (errand, word, doer, _) in TABLE {
            assert_eq!(errand.word(), word);
            let wanted = if doer == Doer::Planned { errand } else { Errand::Conversation };
            assert_eq!(Errand::planned(word), wanted, "{word}");
        }
        assert_eq!(Errand::planned("anthropic-messages"), Errand::Conversation);
        assert!(Errand::Conversation.matters(Some(Failure::UnknownModel)));
        assert!(!Errand::Images.matters(Some(Failure::UnknownModel)) && Errand::Images.matters(Some(Failure::Failed)));
        assert!(!Errand::Counting.matters(Some(Failure::Failed)));
    }
}
