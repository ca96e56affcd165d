//! The direction of dependencies, read from the source: a layer imports only lower ones, and each outside world has one door.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `core/src` by layer; those on one line do not import each other unless listed in [`NEIGHBOURS`].
const LAYERS: [&[&str]; 6] = [
    &["model", "error", "clock", "events", "overrides"],
    &["export", "limits", "pricing", "providers", "routing"],
    &["cache", "config", "store", "tools", "upstream"],
    &["snapshot"],
    &["pipeline"],
    &["server", "gateway", "launch"],
];

/// Imports between modules of one layer, or against the order, with the reason.
const NEIGHBOURS: [(&str, &str); 10] = [
    ("cache", "store"),     // answers on disk lie in a file of the store
    ("limits", "routing"),  // limits name models by the same globs
    ("model", "overrides"), // checks read paths and templates
    ("overrides", "model"), // overrides are read from what is configured
    ("error", "model"),     // failures carry words of the model
    ("events", "model"),    // so do events
    ("model", "error"),     // records name kinds of failure in their docs
    ("gateway", "server"),  // the composition root serves the routes
    ("server", "gateway"),  // the admin API asks the gateway to test channels
    ("launch", "gateway"),  // launching puts a gateway together
];

/// Who may know what: a crate's name in a `use` or a path, and the modules where it may stand.
const DOORS: [(&str, &[&str]); 6] = [
    ("axum", &["server", "gateway"]),
    ("redb", &["store"]),
    ("hyper_util::client", &["upstream"]),
    ("hyper_rustls", &["upstream"]),
    ("notify", &["config"]),
    ("toml", &["config", "providers", "tools"]),
];

fn source_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each source file with its top module and its text without tests and comments.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
        let module = name.split(['/', '.']).next().unwrap_or_default().to_owned();
        let text = fs::read_to_string(&path).expect("text");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (module, name, code.join("\n"))
    };
    files
        .into_iter()
        .map(read)
        .filter(|(_, name, _)| !name.ends_with("tests.rs") && !name.contains("/tests/"))
        .collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn a_layer_imports_only_lower_ones() {
    let mut wrong = Vec::new();
    for (module, name, code) in sources() {
        if module == "lib" {
            continue;
        }
        let own = layer(&module).unwrap_or_else(|| panic!("{name}: module {module} is in no layer"));
        for piece in code.split("crate::").skip(1) {
            let other: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let Some(rank) = layer(&other) else { continue };
            let listed = NEIGHBOURS.contains(&(module.as_str(), other.as_str()));
            if other != module && rank >= own && !listed {
                wrong.push(format!("{name} imports {other}"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_maps_name_every_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lib = fs::read_to_string(root.join("src/lib.rs")).expect("lib.rs");
    let page = fs::read_to_string(root.join("../ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for (rank, modules) in LAYERS.iter().enumerate() {
        let line = format!("//! {rank} {}\n", modules.join(" "));
        assert!(lib.contains(&line), "lib.rs lacks the line {line:?}");
        let start = format!("| {rank} |");
        let row = page.lines().find(|line| line.starts_with(&start)).expect("a row of layers");
        for module in *modules {
            assert!(row.contains(&format!("`{module}`")), "ARCHITECTURE.md lacks `{module}` in layer {rank}");
        }
    }
    let code: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let lost: Vec<&&str> = code.iter().filter(|module| layer(module).is_none()).collect();
    assert!(lost.is_empty(), "in no layer: {lost:?}");
}

#[test]
fn each_outside_world_has_one_door() {
    let mut wrong = Vec::new();
    for (module, name, code) in sources() {
        for (door, allowed) in DOORS {
            let used = code.contains(&format!("use {door}")) || code.contains(&format!(" {door}::"));
            if used && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{name} knows {door}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_is_one_tls_stack() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).expect("Cargo.lock");
    for banned in ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"] {
        assert!(!lock.contains(&format!("name = \"{banned}\"\n")), "{banned} came in");
    }
}

#[test]
fn protocol_does_no_io() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    for path in files {
        let text = fs::read_to_string(&path).expect("text");
        for banned in ["std::fs", "std::net", "std::env", "tokio::", "SystemTime::now", "Instant::now", "async fn "] {
            assert!(!text.contains(banned), "{}: {banned}", path.display());
        }
    }
}

#[test]
fn the_described_types_have_names_of_their_own() {
    let mut seen = std::collections::BTreeMap::new();
    for (_, name, code) in sources() {
        for piece in code.split("ToSchema)]").skip(1) {
            let head: String = piece.chars().take_while(|c| *c != '{' && *c != ';' && *c != '(').collect();
            // `#[schema(as = Other)]` gives another name.
            if piece.trim_start().starts_with("#[schema(as = ") {
                continue;
            }
            let words: Vec<&str> = head.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| matches!(*word, "struct" | "enum")) else { continue };
            if let Some(other) = words.get(at + 1).and_then(|own| seen.insert((*own).to_owned(), name.clone())) {
                assert_eq!(other, name, "two described types are called {}: in {other} and {name}", words[at + 1]);
            }
        }
    }
    assert!(seen.len() > 30, "the derive is written otherwise: {}", seen.len());
}
