//! Names of models: what a channel offers its models as, and how a name that a client asks for is read when nobody offers it just so.

use crate::model::ModelNames;

/// Every name under which a channel offers its models, with the provider's name: as listed, with the channel's prefix, with prefixes taken off, and by
/// alias. Of equal names the first counts.
pub fn offered(models: impl IntoIterator<Item = (String, String)>, names: &ModelNames) -> Vec<(String, String)> {
    let mut offered: Vec<(String, String)> = Vec::new();
    let mut add = |name: String, upstream: &str| {
        let name = if names.lowercase { name.to_lowercase() } else { name };
        if !name.is_empty() && !offered.iter().any(|(own, _)| *own == name) {
            offered.push((name, upstream.to_owned()));
        }
    };
    let listed: Vec<(String, String)> = models.into_iter().collect();
    // By names as listed, so that an alias may name either side.
    let upstream_of = |wanted: &str| {
        let found = listed.iter().find(|(name, upstream)| name == wanted || upstream == wanted);
        found.map_or(wanted, |(_, upstream)| upstream.as_str()).to_owned()
    };
    let aliased: Vec<(&String, String)> =
        names.aliases.iter().map(|(alias, model)| (alias, upstream_of(model))).collect();
    for (name, upstream) in &listed {
        let trimmed = names.trim.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()));
        let renamed = trimmed.is_some() || names.prefix.is_some() || aliased.iter().any(|(_, own)| own == upstream);
        if !(names.hide_originals && renamed) {
            add(name.clone(), upstream);
        }
        let short = trimmed.unwrap_or(name);
        if let Some(prefix) = &names.prefix {
            add(format!("{}/{short}", prefix.trim_end_matches('/')), upstream);
        }
        if trimmed.is_some() {
            add(short.to_owned(), upstream);
        }
    }
    for (alias, upstream) in aliased {
        add(alias.clone(), &upstream);
    }
    offered
}

/// Other ways to read a name that nobody offers just so, best first: without Gemini's `models/`, without Ollama's `:latest`.
pub(crate) fn readings(name: &str) -> impl Iterator<Item = &str> {
    let plain = name.strip_prefix("models/");
    let untagged = name.strip_suffix(":latest");
    plain.into_iter().chain(untagged).filter(|reading| !reading.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(models: &[&str], names: &str) -> Vec<String> {
        let names: ModelNames = serde_json::from_str(names).unwrap();
        let models = models.iter().map(|model| ((*model).to_owned(), (*model).to_owned()));
        offered(models, &names).into_iter().map(|(name, upstream)| format!("{name}>{upstream}")).collect()
    }

    #[test]
    fn channels_offer_their_models_under_every_name_they_are_told_to() {
        for (names, expected) in [
            ("{}", &["a/Llama>a/Llama", "m>m"][..]),
            (r#"{"prefix":"hub"}"#, &["a/Llama>a/Llama", "hub/a/Llama>a/Llama", "m>m", "hub/m>m"]),
            (r#"{"trim":["a/"]}"#, &["a/Llama>a/Llama", "Llama>a/Llama", "m>m"]),
            (r#"{"trim":["a/"],"hide_originals":true}"#, &["Llama>a/Llama", "m>m"]),
            (
                r#"{"trim":["a/"],"prefix":"hub/","hide_originals":true}"#,
                &["hub/Llama>a/Llama", "Llama>a/Llama", "hub/m>m"],
            ),
            (r#"{"aliases":{"fast":"m"}}"#, &["a/Llama>a/Llama", "m>m", "fast>m"]),
            (r#"{"aliases":{"fast":"m"},"hide_originals":true}"#, &["a/Llama>a/Llama", "fast>m"]),
            (r#"{"aliases":{"new":"unlisted"}}"#, &["a/Llama>a/Llama", "m>m", "new>unlisted"]),
            (r#"{"lowercase":true}"#, &["a/llama>a/Llama", "m>m"]),
        ] {
            assert_eq!(of(&["a/Llama", "m"], names), expected, "{names}");
        }
    }

    #[test]
    fn names_are_read_as_other_programs_write_them() {
        assert_eq!(readings("models/gemini-3").collect::<Vec<_>>(), ["gemini-3"]);
        assert_eq!(readings("llama3:latest").collect::<Vec<_>>(), ["llama3"]);
        assert_eq!(readings("gpt-5").count(), 0);
    }
}
