//! What the gateway tells people, in English words that carry their code and values, so that who shows them can say the same in another language.
//!
//! Made by [`told!`](crate::told) only: the words stand beside what they are about, and the console's test reads every one of them there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// One thing that is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Told {
    /// Which thing: one code for one text, such as `no-provider`.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// The English words.
    pub words: String,
    /// What stands in them, by name.
    #[schema(value_type = BTreeMap<String, String>)]
    #[serde(default)]
    pub values: BTreeMap<Cow<'static, str>, String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Tells something: a code, the English words with holes, and what fills each hole: `told!("no-key", "there is no key '{key}'", key = name)`.
///
/// Holes are filled by name only, never from the surroundings: whatever stands in the words is among the values.
#[macro_export]
macro_rules! told {
    ($code:literal, $words:literal $(,)?) => {
        $crate::model::Told {
            code: ::std::borrow::Cow::Borrowed($code),
            words: ::std::string::String::from($words),
            values: ::std::collections::BTreeMap::new(),
        }
    };
    ($code:literal, $words:literal, $($name:ident = $value:expr),+ $(,)?) => {
        match ($(::std::string::ToString::to_string(&$value),)+) {
            ($($name,)+) => $crate::model::Told {
                code: ::std::borrow::Cow::Borrowed($code),
                words: ::std::format!(::std::concat!($words), $($name = $name),+),
                values: ::std::collections::BTreeMap::from([$((::std::borrow::Cow::Borrowed(::std::stringify!($name)), $name)),+]),
            },
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_filled_and_values_kept() {
        let (name, like) = ("opnai", Some("openai"));
        let told = told!("x", "no '{name}': did you mean '{like}'?", name = name, like = like.unwrap_or(name));
        assert_eq!(told.to_string(), "no 'opnai': did you mean 'openai'?");
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(
            text,
            r#"{"code":"x","words":"no 'opnai': did you mean 'openai'?","values":{"like":"openai","name":"opnai"}}"#
        );
        assert_eq!(serde_json::from_str::<super::Told>(&text).unwrap(), told);
    }
}
