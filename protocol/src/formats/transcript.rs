//! A conversation as one text, for formats that take one prompt (Ollama generate, Dify).

use crate::ir::{Content, Message, Part, Role};

/// A conversation in one piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// The leading run of operator messages.
    pub(crate) system: Option<String>,
    /// What the user says now, after what was said before.
    pub(crate) prompt: String,
    /// How many turns the prompt holds; 1 is the plain words of the user.
    pub(crate) turns: usize,
}

/// Packs a conversation. One turn of the user stays as it is; more are told apart by headings.
pub(crate) fn pack(messages: &[Message]) -> Packed {
    let leading = messages.iter().take_while(|message| is_operator(message)).count();
    let (operator, turns) = messages.split_at_checked(leading).unwrap_or((messages, &[]));
    let system: Vec<String> =
        operator.iter().map(|message| text_of(&message.parts)).filter(|text| !text.is_empty()).collect();
    let turns: Vec<(&str, String)> = turns
        .iter()
        .map(|message| (heading(message), text_of(&message.parts)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let prompt = match turns.as_slice() {
        [] => String::new(),
        [("USER", text)] => text.clone(),
        several => {
            let told: Vec<String> = several.iter().map(|(heading, text)| format!("{heading}:\n{text}")).collect();
            told.join("\n\n")
        }
    };
    Packed { system: (!system.is_empty()).then(|| system.join("\n\n")), prompt, turns: turns.len() }
}

fn is_operator(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

fn heading(message: &Message) -> &'static str {
    match message.role {
        Role::System | Role::Developer => "SYSTEM",
        Role::User => "USER",
        Role::Assistant => "ASSISTANT",
        Role::Tool => "TOOL",
    }
}

/// The words of a message: texts, calls and results; thinking and media are no words.
pub(crate) fn text_of(parts: &[Part]) -> String {
    let words = parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.clone()),
        Content::Refusal(text) => Some(text.clone()),
        Content::ToolCall(call) => Some(format!("[calls {} with {}]", call.name, call.arguments)),
        Content::ToolResult(result) => {
            let name = result.name.as_deref().unwrap_or("the tool");
            Some(format!("[{name} answers: {}]", text_of(&result.content)))
        }
        Content::Media(crate::ir::Media { source: crate::ir::MediaSource::Text(text), .. }) => Some(text.clone()),
        Content::Media(_) | Content::Reasoning(_) | Content::Native(_) => None,
    });
    words.filter(|words| !words.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_stays_as_it_is_and_more_are_told_apart() {
        let one = [Message::text(Role::System, "Be kind."), Message::text(Role::User, "Hi")];
        assert_eq!(pack(&one), Packed { system: Some("Be kind.".into()), prompt: "Hi".into(), turns: 1 });
        let more = [
            Message::text(Role::User, "Hi"),
            Message::text(Role::Assistant, "Hello"),
            Message::text(Role::User, "And?"),
        ];
        let packed = pack(&more);
        assert_eq!(packed.prompt, "USER:\nHi\n\nASSISTANT:\nHello\n\nUSER:\nAnd?");
        assert_eq!((packed.system, packed.turns), (None, 3));
        assert_eq!(pack(&[]).prompt, "");
    }
}
