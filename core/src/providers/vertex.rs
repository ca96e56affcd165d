//! Vertex AI's addresses: projects and locations, the `global` location, and API keys that need no project.

use serde_json::{Map, Value};

use super::auth::LiveCredential;
use super::endpoint::Paths;

const PROJECT: &str = "/projects/{project}/locations/{location}";

/// Fills in what follows from the rest: the project of the service account, the host of the location.
///
/// `global` (the default) has a host without a location, `us` and `eu` have `{location}-aiplatform…` like all others.
pub(super) fn complete(options: &mut Map<String, Value>, credentials: &[LiveCredential]) {
    if !options.contains_key("project")
        && let Some(project) = credentials.iter().find_map(LiveCredential::project)
    {
        options.insert("project".to_owned(), project.into());
    }
    let location = options.get("location").and_then(Value::as_str).unwrap_or("global").to_owned();
    let host = if location == "global" { "aiplatform".to_owned() } else { format!("{location}-aiplatform") };
    options.insert("location".to_owned(), location.into());
    options.insert("host".to_owned(), host.into());
}

/// Without a project (API keys in express mode) the address begins with the publisher.
pub(super) fn paths(paths: &Paths, options: &Map<String, Value>) -> Paths {
    if options.contains_key("project") {
        return paths.clone();
    }
    let short = |path: &String| path.replace(PROJECT, "");
    Paths { chat: short(&paths.chat), stream: short(&paths.stream), count: paths.count.as_ref().map(short) }
}
