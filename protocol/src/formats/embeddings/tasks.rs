//! What vectors are for: the same few purposes under different words.

/// A purpose at Gemini and Vertex, Cohere, Jina and Voyage. Where a maker has no word for it, its nearest one stands.
const PURPOSES: [[&str; 4]; 7] = [
    ["RETRIEVAL_QUERY", "search_query", "retrieval.query", "query"],
    ["RETRIEVAL_DOCUMENT", "search_document", "retrieval.passage", "document"],
    ["CLASSIFICATION", "classification", "classification", "document"],
    ["CLUSTERING", "clustering", "separation", "document"],
    ["SEMANTIC_SIMILARITY", "clustering", "text-matching", "document"],
    ["QUESTION_ANSWERING", "search_query", "retrieval.query", "query"],
    ["CODE_RETRIEVAL_QUERY", "search_query", "code.query", "query"],
];

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Gemini = 0,
    Cohere = 1,
}

/// `word` in the words of another maker; `None` if nobody knows it.
pub(super) fn translate(word: &str, to: Words) -> Option<&'static str> {
    let known = PURPOSES.iter().find(|row| row.iter().any(|known| known.eq_ignore_ascii_case(word)))?;
    known.get(to as usize).copied()
}
