//! Conditions, compiled: whether they hold for a request.

use super::{Glob, Query};
use crate::model::{Conditions, Hours, TimeWindow, Told};
use crate::told;

/// Conditions that are ready to be asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct CompiledConditions {
    plain: Conditions,
    tool: Vec<Glob>,
    metadata: Vec<(String, Glob)>,
    headers: Vec<(String, Glob)>,
    time: Option<Hours>,
    empty: bool,
}

impl CompiledConditions {
    /// Makes them ready; an error says what is wrong.
    pub(crate) fn compile(conditions: &Conditions) -> Result<Self, Told> {
        let globs = |texts: &std::collections::BTreeMap<String, String>| {
            texts.iter().map(|(name, glob)| (name.clone(), Glob::new(glob))).collect()
        };
        Ok(Self {
            tool: conditions.tool.iter().map(Glob::new).collect(),
            metadata: globs(&conditions.metadata),
            headers: globs(&conditions.headers),
            time: conditions.time.as_ref().map(TimeWindow::hours).transpose()?,
            empty: conditions.is_empty(),
            plain: conditions.clone(),
        })
    }

    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// What does not hold, if anything: the first thing found. What is cheap to know is asked first.
    pub(crate) fn broken(&self, query: &mut dyn Query) -> Option<Told> {
        if self.empty {
            return None;
        }
        let plain = &self.plain;
        if !self.tool.is_empty() && !query.tool().is_some_and(|tool| self.tool.iter().any(|glob| glob.matches(tool))) {
            return Some(told!("if-tool", "the tool is not {tools}", tools = plain.tool.join(" | ")));
        }
        if !plain.format.is_empty() && !plain.format.iter().any(|format| format == query.format()) {
            return Some(told!("if-format", "the format is not {formats}", formats = plain.format.join(" | ")));
        }
        if plain.stream.is_some_and(|wanted| wanted != query.stream()) {
            return Some(match plain.stream {
                Some(true) => told!("if-stream", "a stream is not wanted"),
                _ => told!("if-no-stream", "a stream is wanted"),
            });
        }
        if self.time.as_ref().is_some_and(|window| !window.hold(query.now_ms())) {
            return Some(told!("if-hours", "it is outside its hours"));
        }
        let fits = |value: Option<&str>, glob: &Glob| value.is_some_and(|value| glob.matches(value));
        if let Some((name, _)) = self.headers.iter().find(|(name, glob)| !fits(query.header(name), glob)) {
            return Some(told!("if-header", "the header {name} does not fit", name = name));
        }
        for (name, glob) in &self.metadata {
            if !fits(query.metadata(name).as_deref(), glob) {
                return Some(told!("if-metadata", "metadata.{name} does not fit", name = name));
            }
        }
        if plain.images.is_some_and(|wanted| wanted != query.images()) {
            return Some(match plain.images {
                Some(true) => told!("if-images", "there are no images"),
                _ => told!("if-no-images", "there are images"),
            });
        }
        if plain.thinking.is_some_and(|wanted| wanted != query.thinking()) {
            return Some(match plain.thinking {
                Some(true) => told!("if-thinking", "thinking is not asked"),
                _ => told!("if-no-thinking", "thinking is asked"),
            });
        }
        if let Some(least) = plain.min_prompt_tokens
            && query.tokens() < least
        {
            return Some(told!("if-least", "the prompt has fewer than {least} tokens", least = least));
        }
        if let Some(most) = plain.max_prompt_tokens
            && query.tokens() > most
        {
            return Some(told!("if-most", "the prompt has more than {most} tokens", most = most));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::super::Described;
    use super::*;

    fn compiled(text: &str) -> CompiledConditions {
        CompiledConditions::compile(&serde_json::from_str(text).unwrap()).unwrap()
    }

    fn ms(time: &str) -> u64 {
        time.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap()
    }

    #[test]
    fn every_condition_is_asked() {
        let request = Described {
            now_ms: ms("2026-03-02T12:00:00Z"),
            tool: Some("claude-code".into()),
            format: "anthropic-messages".into(),
            stream: true,
            headers: vec![("x-team".into(), "blue-1".into())],
            metadata: vec![("env".into(), "prod".into())],
            tokens: 5_000,
            images: true,
            ..Described::default()
        };
        for (text, holds) in [
            ("{}", true),
            (r#"{"tool":"claude-*"}"#, true),
            (r#"{"tool":["codex","aider"]}"#, false),
            (r#"{"format":"anthropic-messages"}"#, true),
            (r#"{"format":"openai-chat"}"#, false),
            (r#"{"stream":false}"#, false),
            (r#"{"images":true,"thinking":false}"#, true),
            (r#"{"images":false}"#, false),
            (r#"{"thinking":true}"#, false),
            (r#"{"min_prompt_tokens":5000,"max_prompt_tokens":5000}"#, true),
            (r#"{"min_prompt_tokens":5001}"#, false),
            (r#"{"max_prompt_tokens":4999}"#, false),
            (r#"{"headers":{"X-Team":"blue-*"}}"#, true),
            (r#"{"headers":{"x-team":"red"}}"#, false),
            (r#"{"headers":{"x-other":"*"}}"#, false),
            (r#"{"metadata":{"env":"prod"}}"#, true),
            (r#"{"metadata":{"env":"dev"}}"#, false),
        ] {
            assert_eq!(compiled(text).broken(&mut request.clone()).is_none(), holds, "{text}");
        }
    }

    #[test]
    fn hours_hold_in_their_zone_and_over_midnight() {
        let night = compiled(r#"{"time":{"from":"22:00","to":"06:00","days":["fri"],"zone":"UTC"}}"#);
        let holds = |conditions: &CompiledConditions, time: &str| {
            conditions.broken(&mut Described { now_ms: ms(time), ..Described::default() }).is_none()
        };
        // 2026-03-06 is a Friday.
        for (time, expected) in [
            ("2026-03-06T21:59:00Z", false),
            ("2026-03-06T22:00:00Z", true),
            ("2026-03-07T05:59:00Z", true),
            ("2026-03-07T06:00:00Z", false),
            ("2026-03-06T05:00:00Z", false),
            ("2026-03-07T22:30:00Z", false),
        ] {
            assert_eq!(holds(&night, time), expected, "{time}");
        }
        let whole = compiled(r#"{"time":{"days":["sat","sun"],"zone":"UTC"}}"#);
        assert!(holds(&whole, "2026-03-07T23:59:59Z") && !holds(&whole, "2026-03-09T00:00:00Z"));
        for bad in
            [r#"{"time":{"from":"25:00"}}"#, r#"{"time":{"days":["someday"]}}"#, r#"{"time":{"zone":"Mars/Base"}}"#]
        {
            assert!(CompiledConditions::compile(&serde_json::from_str(bad).unwrap()).is_err(), "{bad}");
        }
        if TimeZone::get("Asia/Shanghai").is_ok() {
            let office = compiled(r#"{"time":{"from":"09:00","to":"18:00","zone":"Asia/Shanghai"}}"#);
            assert!(holds(&office, "2026-03-06T01:00:00Z") && !holds(&office, "2026-03-06T10:00:00Z"));
        }
    }
}
