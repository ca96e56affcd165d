//! Which options a channel of a provider may have, so that a slip of the pen is told and not silently without effect.
//!
//! Must not know what an option does: that is read where it is used.

use std::collections::BTreeSet;

use super::catalog::{AuthStyle, Catalog, Provider, Site};
use crate::model::{Channel, check};

/// What every provider's channels may say.
const COMMON: [&str; 2] = ["auth", "formats"];
/// What addresses hold that is not for people to set: the model asked for, and Vertex's host, which follows from the location.
const NOT_SET: [&str; 2] = ["model", "host"];

/// The built-in catalog as the checks of what is configured see it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltinRows;

impl check::Catalog for BuiltinRows {
    fn has_provider(&self, provider: &str) -> bool {
        Catalog::builtin().get(provider).is_some()
    }

    fn options(&self, provider: &str) -> Option<BTreeSet<String>> {
        Catalog::builtin().get(provider).map(|row| row.option_names())
    }

    fn serves(&self, channel: &Channel, upstream: &str) -> Option<bool> {
        let row = Catalog::builtin().get(&channel.provider)?;
        let formats = channel.options.get("formats").and_then(|formats| formats.as_array());
        let formats: Option<Vec<&str>> = formats.map(|all| all.iter().filter_map(|one| one.as_str()).collect());
        Some(row.serves(formats.as_deref(), upstream))
    }
}

impl Provider {
    /// The names that `options` of a channel may have.
    pub fn option_names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = COMMON.map(str::to_owned).into();
        names.extend(self.options.keys().cloned());
        names.extend(self.templates().flat_map(placeholders).map(str::to_owned));
        let vendors: &[&str] = match self.site {
            Site::Plain => &[],
            Site::Azure => &["api_version"],
            Site::Vertex => &["project", "location"],
        };
        names.extend(vendors.iter().map(|name| (*name).to_owned()));
        if self.auth == AuthStyle::Sigv4 {
            names.insert("region".to_owned());
        }
        names.retain(|name| !NOT_SET.contains(&name.as_str()));
        names
    }

    /// Every address and path of the row.
    fn templates(&self) -> impl Iterator<Item = &str> {
        let endpoints = self.endpoints.iter().flat_map(|endpoint| {
            [&endpoint.base_url, &endpoint.path, &endpoint.stream_path, &endpoint.count_path].into_iter().flatten()
        });
        let embeddings = self.embeddings.iter().flat_map(|own| own.base_url.iter().chain([&own.path]));
        let rerank = self.rerank.iter().flat_map(|own| own.base_url.iter().chain([&own.path]));
        let models = self.models.iter().flat_map(|own| own.base_url.iter().chain([&own.path]));
        [&self.base_url].into_iter().chain(endpoints).chain(embeddings).chain(rerank).chain(models).map(String::as_str)
    }
}

/// The `{name}`s of an address.
fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_what_their_addresses_keys_and_vendors_need() {
        let names = |provider: &str| Catalog::builtin().get(provider).unwrap().option_names();
        assert_eq!(Vec::from_iter(names("openai")), ["auth", "formats"]);
        for (provider, option) in
            [("azure", "resource"), ("azure", "api_version"), ("bedrock", "region"), ("vertex", "location")]
        {
            assert!(names(provider).contains(option), "{provider}: {option}");
        }
        assert!(!names("vertex").contains("host") && !names("bedrock").contains("model"));
    }
}
