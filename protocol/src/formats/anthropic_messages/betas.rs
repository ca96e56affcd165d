//! Which `anthropic-beta` values a host of Claude takes.
//!
//! A host answers 400 to a value that it does not know, and clients send the values of Anthropic's own host to all of them. The table is data
//! (`betas.json`, see its `_source`): a value maps to itself, to another name, or to `null` for "drop it".
//! Values that the table does not know at all go to Anthropic itself only, which may know newer ones.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What is left for one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Betas {
    /// For the `anthropic-beta` header, in the order of the client.
    pub header: Vec<String>,
    /// For the body field `anthropic_beta` of hosts that read it there (Bedrock invoke): the same without those that only the header takes.
    pub body: Vec<String>,
    /// What was dropped, in the client's words: a loss each.
    pub dropped: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Table {
    hosts: Map<String, Value>,
    header_only: Map<String, Value>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is part of the program, and a test reads it.
    serde_json::from_str(include_str!("betas.json"))
        .unwrap_or_else(|_| Table { hosts: Map::new(), header_only: Map::new() })
});

/// The hosts that the table knows: `anthropic`, `azure_ai`, `bedrock`, `bedrock_converse`, `bedrock_mantle`, `vertex_ai`, `databricks`.
pub fn hosts() -> impl Iterator<Item = &'static str> {
    TABLE.hosts.keys().map(String::as_str)
}

/// What `host` takes of `values`, each of which may be a comma-separated list. A host that is not in the table gets nothing.
pub fn for_host<'v>(host: &str, values: impl IntoIterator<Item = &'v str>) -> Betas {
    let mut betas = Betas::default();
    let known = TABLE.hosts.get(host).and_then(Value::as_object);
    let header_only = TABLE.header_only.get(host).and_then(Value::as_array);
    let words = values.into_iter().flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty());
    for word in words {
        let only_header = header_only.is_some_and(|list| list.iter().any(|known| known == word));
        let name = match known.and_then(|known| known.get(word)) {
            Some(name) => name.as_str(),
            None if only_header || host == "anthropic" => Some(word),
            None => None,
        };
        let Some(name) = name else {
            push(&mut betas.dropped, word);
            continue;
        };
        push(&mut betas.header, name);
        if !only_header {
            push(&mut betas.body, name);
        }
    }
    betas
}

fn push(list: &mut Vec<String>, word: &str) {
    if !list.iter().any(|known| known == word) {
        list.push(word.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_22_a_host_gets_only_the_values_that_it_knows() {
        let sent = [
            "claude-code-20250219,interleaved-thinking-2025-05-14",
            "advanced-tool-use-2025-11-20, files-api-2025-04-14",
        ];
        let bedrock = for_host("bedrock", sent);
        assert_eq!(bedrock.header, ["tool-search-tool-2025-10-19"]);
        assert_eq!(bedrock.body, bedrock.header);
        assert_eq!(
            bedrock.dropped,
            ["claude-code-20250219", "interleaved-thinking-2025-05-14", "files-api-2025-04-14"]
        );
        let own = for_host("anthropic", sent);
        assert_eq!(own.header.len(), 4);
        assert!(own.dropped.is_empty());
    }

    #[test]
    fn case_22_unknown_values_reach_only_anthropic_itself() {
        assert_eq!(for_host("anthropic", ["brand-new-2099-01-01"]).header, ["brand-new-2099-01-01"]);
        for host in hosts().filter(|host| *host != "anthropic") {
            assert!(for_host(host, ["brand-new-2099-01-01"]).header.is_empty(), "{host}");
        }
        assert_eq!(for_host("nowhere", ["context-1m-2025-08-07"]).dropped, ["context-1m-2025-08-07"]);
    }

    #[test]
    fn a_value_that_only_the_header_takes_stays_out_of_the_body() {
        let vertex = for_host("vertex_ai", ["compact-2026-09-04", "compact-2026-01-12", "compact-2026-01-12"]);
        assert_eq!(vertex.header, ["compact-2026-09-04", "compact-2026-01-12"]);
        assert_eq!(vertex.body, ["compact-2026-01-12"]);
    }

    #[test]
    fn the_table_is_read() {
        assert_eq!(hosts().count(), 7);
    }
}
