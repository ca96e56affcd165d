//! Conditions that cannot be read or can never hold.

use super::{Problem, client_format};
use crate::model::Conditions;
use crate::told;

/// Checks conditions on their own.
pub(super) fn conditions(path: &str, conditions: &Conditions) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, format) in conditions.format.iter().enumerate() {
        problems.extend(client_format(&format!("{path}.format[{index}]"), format));
    }
    if let (Some(least), Some(most)) = (conditions.min_prompt_tokens, conditions.max_prompt_tokens)
        && least > most
    {
        let why = told!(
            "never-tokens",
            "can never match: no prompt has at least {least} and at most {most} tokens",
            least = least,
            most = most
        );
        problems.push(Problem::warning(format!("{path}.min_prompt_tokens"), why));
    }
    if let Some(Err(why)) = conditions.time.as_ref().map(|window| window.hours()) {
        problems.push(Problem::error(format!("{path}.time"), why));
    }
    if let Some(window) = conditions.time.as_ref().filter(|window| !window.from.is_empty() && window.from == window.to)
    {
        let why = told!("never-time", "can never match: it ends at {time} as it begins", time = window.to);
        problems.push(Problem::warning(format!("{path}.time"), why));
    }
    for name in conditions.headers.keys() {
        if http::HeaderName::try_from(name.as_str()).is_err() {
            problems
                .push(Problem::error(format!("{path}.headers.{name}"), told!("bad-header", "this is no header name")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_cannot_hold_are_told() {
        for (text, message) in [
            (r#"{"format":"openai-chat","tool":"x","time":{"from":"09:00","to":"17:00"}}"#, ""),
            (r#"{"format":"openai"}"#, "openai"),
            (r#"{"min_prompt_tokens":10,"max_prompt_tokens":9}"#, "can never match"),
            (r#"{"time":{"from":"9 o'clock"}}"#, "is no time"),
            (r#"{"time":{"from":"09:00","to":"09:00"}}"#, "can never match"),
            (r#"{"headers":{"x team":"a"}}"#, "no header name"),
        ] {
            let problems = conditions("p", &serde_json::from_str(text).unwrap());
            let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(words.is_empty(), message.is_empty(), "{text}: {words:?}");
            assert!(words.iter().all(|words| words.contains(message)), "{text}: {words:?}");
        }
    }
}
