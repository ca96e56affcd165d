//! claude-code-router: `Providers` and a `Router` that names a provider and a model for each kind of call.

use serde_json::{Value, json};

use super::{Draft, ImportError, Imported, Kind, channels, credential, entries, provider_of, text, tidy};
use crate::told;
use crate::tools::edit::{self, Format};

/// The kinds of calls that the router tells apart, and what tells them apart here. In the order in which rules are tried.
const KINDS: &[(&str, &str)] = &[
    ("background", r#"{"match": "claude-*haiku*"}"#),
    ("think", r#"{"match": "*", "if": {"thinking": true}}"#),
    ("image", r#"{"match": "*", "if": {"images": true}}"#),
    ("default", r#"{"match": "*"}"#),
];

pub(super) fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    let config = edit::read(Format::Json, bytes).map_err(|why| Kind::ClaudeCodeRouter.wrong(why))?;
    let providers = ["/Providers", "/providers"].iter().map(|at| entries(&config, at)).find(|list| !list.is_empty());
    let providers = providers.ok_or_else(|| Kind::ClaudeCodeRouter.wrong("it has no Providers"))?;
    let mut out = Imported::default();
    let mut drafts = Vec::new();
    for entry in providers {
        let name = text(entry, "/name").unwrap_or("provider").to_owned();
        let Some(address) = text(entry, "/api_base_url").or_else(|| text(entry, "/baseUrl")) else {
            out.notes.push(told!("import-no-address", "left out '{name}': it names no address", name = name));
            continue;
        };
        let anthropic = address.contains("/messages")
            || entry.pointer("/transformer").is_some_and(|t| t.to_string().contains("\"Anthropic\""));
        let (provider, base_url) =
            provider_of(address, if anthropic { "anthropic-compatible" } else { "openai-compatible" });
        let models = entries(entry, "/models")
            .iter()
            .filter_map(Value::as_str)
            .map(|model| (model.to_owned(), model.to_owned()));
        let key = text(entry, "/api_key").or_else(|| text(entry, "/apiKey")).and_then(credential);
        if entry.pointer("/transformer").is_some() {
            out.notes.push(told!(
                "import-transformers",
                "not needed: the transformers of '{name}'; formats are converted by the catalog's rules",
                name = name
            ));
        }
        drafts.push(Draft { name, provider, base_url, credential: key, models: models.collect(), ..Draft::default() });
    }
    channels(drafts, &mut out);
    router(&config, &mut out);
    Ok(out)
}

/// The router becomes a profile for Claude Code.
fn router(config: &Value, out: &mut Imported) {
    let Some(router) = config.get("Router").and_then(Value::as_object) else { return };
    let target =
        |text: &str| text.split_once(',').map(|(channel, model)| format!("{}/{}", tidy(channel), model.trim()));
    let mut rules: Vec<Value> = Vec::new();
    if let Some(to) = router.get("longContext").and_then(Value::as_str).and_then(target) {
        let from = router.get("longContextThreshold").and_then(Value::as_u64).unwrap_or(60_000);
        rules.push(json!({"match": "*", "to": to, "if": {"min_prompt_tokens": from}}));
    }
    for (kind, rule) in KINDS {
        let to = router.get(*kind).and_then(Value::as_str).and_then(target);
        if let (Some(to), Ok(Value::Object(mut rule))) = (to, serde_json::from_str(rule)) {
            rule.insert("to".to_owned(), to.into());
            rules.push(Value::Object(rule));
        }
    }
    for left in
        router.keys().filter(|kind| !KINDS.iter().any(|(known, _)| known == kind) && !kind.starts_with("longContext"))
    {
        out.notes.push(told!("import-not-taken", "not taken over: {what}", what = format!("Router.{left}")));
    }
    if rules.is_empty() {
        return;
    }
    match serde_json::from_value(
        json!({"name": "claude-code-router", "rules": rules, "description": "The router of claude-code-router"}),
    ) {
        Ok(profile) => out.profiles.push(profile),
        Err(why) => out.notes.push(told!("import-router", "the router is left out: {why}", why = why)),
    }
}
