//! Ids of things that came from elsewhere and have none of this format's shape.
//!
//! They are made from the reply's token, so a stream, the whole answer and a stored copy agree; and they can be told apart from a
//! provider's, because no provider could look them up when they come back in a later request.

const MARK: &str = "_myl";

/// `fc_<token>_myl3` for output item 3.
pub(super) fn mint(prefix: &str, token: &str, index: usize) -> String {
    format!("{prefix}_{token}{MARK}{index}")
}

/// Whether [`mint`] made the id.
pub(super) fn is_minted(id: &str) -> bool {
    id.rsplit_once(MARK).is_some_and(|(head, index)| {
        head.contains('_') && !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The id of an item as its maker knows it: ours mean nothing to anyone.
pub(super) fn native(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && !is_minted(id))
}

/// The id of a whole answer: the provider's if it has this format's shape.
pub(super) fn response(id: Option<&str>, token: &str) -> String {
    match id {
        Some(id) if id.starts_with("resp_") => id.to_owned(),
        _ => format!("resp_{token}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_ids_are_taken_for_own() {
        assert!(is_minted(&mint("rs", "0af3", 12)));
        for foreign in ["rs_0af3", "rs_1", "msg_myl", "_myl1x", "rs_0af3_mylx", "", "fc_98a8d4aa-fc8b-fd93-e673"] {
            assert!(!is_minted(foreign), "{foreign}");
            assert_eq!(native(Some(foreign.into())).is_some(), !foreign.is_empty());
        }
        assert_eq!(native(Some(mint("fc", "00", 0))), None);
    }

    #[test]
    fn an_answer_keeps_an_id_of_this_shape_only() {
        assert_eq!(response(Some("resp_9"), "aa"), "resp_9");
        assert_eq!(response(Some("chatcmpl-9"), "aa"), "resp_aa");
        assert_eq!(response(None, "aa"), "resp_aa");
    }
}
