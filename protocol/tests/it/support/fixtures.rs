//! Recorded traffic, read in place: `MYELIN_FIXTURES`, else `../shared/fixtures` beside the workspace. Where it is absent tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// How the body of an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// One JSON document.
    Json,
    /// Server-Sent Events.
    Sse,
    /// One JSON value a line.
    NdJson,
    /// AWS binary event stream (already decoded from hex).
    EventStream,
    /// Anything else.
    Text,
}

/// One recorded exchange.
#[derive(Debug, Clone)]
pub struct Case {
    /// `provider/api/case`.
    pub id: String,
    /// `provider/api`.
    pub api: String,
    /// The whole `meta.json`.
    pub meta: Value,
    dir: PathBuf,
}

impl Case {
    /// HTTP status of the answer; 200 if the recorder kept none.
    pub fn status(&self) -> u16 {
        self.meta.pointer("/response/status").and_then(Value::as_u64).map_or(200, |status| status as u16)
    }

    /// The address that was called.
    pub fn url(&self) -> &str {
        self.meta.pointer("/request/url").and_then(Value::as_str).unwrap_or_default()
    }

    /// The model that the recorder noted.
    pub fn model(&self) -> &str {
        self.meta.get("model").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether `meta.exercises` holds `word`.
    pub fn exercises(&self, word: &str) -> bool {
        self.meta.get("exercises").and_then(Value::as_array).is_some_and(|list| list.iter().any(|item| item == word))
    }

    /// The JSON request body.
    pub fn request(&self) -> Option<Vec<u8>> {
        fs::read(self.dir.join("request.json")).ok()
    }

    /// The answer's body and how it is framed.
    pub fn response(&self) -> Option<(Vec<u8>, BodyKind)> {
        const KINDS: [(&str, BodyKind); 5] = [
            ("response.json", BodyKind::Json),
            ("response.sse", BodyKind::Sse),
            ("response.ndjson", BodyKind::NdJson),
            ("response.eventstream.hex", BodyKind::EventStream),
            ("response.txt", BodyKind::Text),
        ];
        let (file, kind) = KINDS.into_iter().find(|(file, _)| self.dir.join(file).is_file())?;
        let bytes = fs::read(self.dir.join(file)).unwrap();
        Some((if kind == BodyKind::EventStream { unhex(&bytes) } else { bytes }, kind))
    }

    /// The body of an answer of `kind`.
    pub fn body(&self, kind: BodyKind) -> Option<Vec<u8>> {
        self.response().filter(|(_, own)| *own == kind).map(|(bytes, _)| bytes)
    }
}

/// Every recorded exchange whose `provider/api` is one of `apis` (all if empty), in order. Empty, with a note, where there are none.
pub fn cases(apis: &[&str]) -> Vec<Case> {
    let Some(root) = root() else {
        eprintln!("skipped: no recorded traffic here (set MYELIN_FIXTURES)");
        return Vec::new();
    };
    let mut found = Vec::new();
    for provider in folders(&root) {
        for api in folders(&provider) {
            let api_id = format!("{}/{}", name(&provider), name(&api));
            if !apis.is_empty() && !apis.contains(&api_id.as_str()) {
                continue;
            }
            for dir in folders(&api) {
                let Ok(meta) = fs::read(dir.join("meta.json")) else { continue };
                let meta = serde_json::from_slice(&meta).unwrap();
                found.push(Case { id: format!("{api_id}/{}", name(&dir)), api: api_id.clone(), meta, dir });
            }
        }
    }
    assert!(!found.is_empty(), "{} holds no case of {apis:?}", root.display());
    found
}

fn root() -> Option<PathBuf> {
    let root = std::env::var_os("MYELIN_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"), PathBuf::from);
    // In a worktree the workspace lies one folder deeper.
    let deeper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    [root, deeper].into_iter().find(|root| root.is_dir())
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> =
        text.iter().filter_map(|byte| char::from(*byte).to_digit(16).map(|digit| digit as u8)).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
