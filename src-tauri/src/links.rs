//! Links of other programs, `myelin://…`: what they may ask for. Nothing happens before the owner has read every word and said yes; a link never
//! carries a secret and never makes anything active by itself.
//!
//! - `myelin://use/PROFILE`, `myelin://use/PROFILE?tool=TOOL`: switch
//! - `myelin://add-channel?provider=ID`: open the form for a new channel
//! - `myelin://open/PAGE`: open a page of the console

use tauri::Url;

use crate::carrier::segment;

/// What a link asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// To switch the gateway, or one tool.
    Use {
        /// The profile.
        profile: String,
        /// Only this tool.
        tool: Option<String>,
    },
    /// To open a page of the console, by its path.
    Page(String),
}

/// Pages that may be opened.
const PAGES: [&str; 11] = [
    "",
    "requests",
    "costs",
    "performance",
    "profiles",
    "routes",
    "channels",
    "keys",
    "limits",
    "playground",
    "settings",
];
/// Longest word of a link.
const LONGEST: usize = 100;

impl Link {
    /// Reads a link.
    ///
    /// # Errors
    /// In words for people, when it is none of ours or asks for something that links may not.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| "this is no link".to_owned())?;
        if url.scheme() != "myelin" {
            return Err("this is no link of Myelin".to_owned());
        }
        let words: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let rest = word(&decoded(url.path().trim_matches('/')))?;
        let value =
            |wanted: &str| words.iter().find(|(name, _)| name == wanted).map(|(_, value)| word(value)).transpose();
        let only = |known: &[&str]| match words.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            // Among them keys and addresses: those are typed by their owner.
            Some((name, _)) => Err(format!("links may not say '{name}'")),
            None => Ok(()),
        };
        match url.host_str().unwrap_or_default() {
            "use" if !rest.is_empty() => {
                only(&["tool"])?;
                Ok(Self::Use { profile: rest, tool: value("tool")? })
            }
            "add-channel" => {
                only(&["provider"])?;
                let provider = value("provider")?.ok_or("the link names no provider")?;
                Ok(Self::Page(format!("/channels?add={}", segment(&provider))))
            }
            "open" if PAGES.contains(&rest.as_str()) => {
                only(&[])?;
                Ok(Self::Page(format!("/{rest}")))
            }
            other => Err(format!("a link cannot ask for '{}'", word(other).unwrap_or_default())),
        }
    }

    /// The question to the owner.
    pub(crate) fn question(&self) -> String {
        match self {
            Self::Use { profile, tool: None } => format!("Switch every tool to the profile '{profile}'?"),
            Self::Use { profile, tool: Some(tool) } => format!("Switch '{tool}' to the profile '{profile}'?"),
            Self::Page(path) => format!("Open the console at {path}?"),
        }
    }
}

fn decoded(text: &str) -> String {
    // As in a query, where the decoder is at hand; `+` is meant literally in a path.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    Url::parse(&format!("myelin://x/?{query}"))
        .ok()
        .and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned()))
        .unwrap_or_default()
}

/// A word that can be shown as it is: no control characters, no marks that turn text around, not long.
fn word(text: &str) -> Result<String, String> {
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.len() > LONGEST || text.contains(odd) {
        return Err("the link holds something that cannot be shown".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_ask_for_few_things() {
        let all = Link::Use { profile: "cheap".into(), tool: None };
        assert_eq!(Link::parse("myelin://use/cheap"), Ok(all.clone()));
        assert_eq!(all.question(), "Switch every tool to the profile 'cheap'?");
        let one = Link::Use { profile: "night shift".into(), tool: Some("claude-code".into()) };
        assert_eq!(Link::parse("myelin://use/night%20shift?tool=claude-code"), Ok(one));
        assert_eq!(
            Link::parse("myelin://add-channel?provider=deep seek"),
            Ok(Link::Page("/channels?add=deep%20seek".into()))
        );
        assert_eq!(Link::parse("myelin://open/costs"), Ok(Link::Page("/costs".into())));
    }

    #[test]
    fn links_bring_no_secret_and_no_surprise() {
        for bad in [
            "https://example.com/",
            "myelin://use/",
            "myelin://use/cheap?key=sk-1",
            "myelin://add-channel?provider=openai&credential=sk-1",
            "myelin://add-channel?provider=openai&base_url=https://evil.example",
            "myelin://add-channel",
            "myelin://open/../api/v1/keys",
            "myelin://open/api%2Fv1%2Fkeys",
            "myelin://run/rm",
            "myelin://use/a%0Ab",
            "myelin://use/a%E2%80%AEb",
            "nonsense",
        ] {
            assert!(Link::parse(bad).is_err(), "{bad}");
        }
        assert!(Link::parse(&format!("myelin://use/{}", "a".repeat(200))).is_err());
    }
}
