//! Vertex AI's addresses: projects and locations, the `global` location, and API keys that need no project.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::auth::LiveCredential;
use super::catalog::Site;

const PROJECT: &str = "/projects/{project}/locations/{location}";

/// Fills in what follows from the rest: the project of the service account, the host of the location.
///
/// `global` (the default) has a host without a location, the multi-regions `us` and `eu` have hosts of their own kind.
pub(super) fn complete(options: &mut Map<String, Value>, credentials: &[LiveCredential]) {
    if !options.contains_key("project")
        && let Some(project) = credentials.iter().find_map(LiveCredential::project)
    {
        options.insert("project".to_owned(), project.into());
    }
    let location = options.get("location").and_then(Value::as_str).unwrap_or("global").to_owned();
    let host = match location.as_str() {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    };
    options.insert("location".to_owned(), location.into());
    options.insert("host".to_owned(), host.into());
}

/// Without a project (API keys in express mode) addresses begin with the publisher, and only Google's own models have one. `None`: not there.
pub(super) fn path<'p>(path: &'p str, site: Site, options: &Map<String, Value>) -> Option<Cow<'p, str>> {
    if site != Site::Vertex || options.contains_key("project") || !path.contains(PROJECT) {
        return Some(path.into());
    }
    path.contains("/publishers/google/").then(|| path.replace(PROJECT, "").into())
}
