//! Telling a block that only another format understands as text, where a conversation would not make sense without it.

use serde_json::Value;

use crate::ApiFormat;
use crate::ir::Native;

type Tell = fn(&Value) -> Option<String>;

/// How a kind of block is told. Kinds without a row are left out: their calls without their results, encrypted items, markers of the provider's own doings.
const TOLD: [(ApiFormat, &str, Tell); 9] = [
    (ApiFormat::AnthropicMessages, "compaction", content_text),
    (ApiFormat::AnthropicMessages, "web_search_tool_result", sources),
    (ApiFormat::AnthropicMessages, "web_fetch_tool_result", fetched),
    (ApiFormat::AnthropicMessages, "code_execution_tool_result", outputs),
    (ApiFormat::AnthropicMessages, "bash_code_execution_tool_result", outputs),
    (ApiFormat::AnthropicMessages, "search_result", content_text),
    (ApiFormat::OpenaiResponses, "code_interpreter_call", interpreted),
    (ApiFormat::Gemini, "executableCode", code),
    (ApiFormat::Gemini, "codeExecutionResult", ran),
];

/// The longest text that is made of one block, in bytes.
const LONGEST: usize = 64 * 1024;

/// What the block says, in words; `None` if it says nothing that another provider's model could use.
pub(super) fn told(native: &Native) -> Option<String> {
    let (_, _, tell) = TOLD.iter().find(|(format, kind, _)| *format == native.format && *kind == native.kind)?;
    let mut text = tell(&native.value).filter(|text| !text.trim().is_empty())?;
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    Some(text)
}

fn word<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Text in `content`: a string, or the texts of its blocks.
fn content_text(value: &Value) -> Option<String> {
    match value.get("content")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            Some(blocks.iter().filter_map(|block| word(block, "/text")).collect::<Vec<_>>().join("\n"))
        }
        _ => None,
    }
}

fn sources(value: &Value) -> Option<String> {
    let found = value.get("content")?.as_array()?;
    let line = |hit: &Value| {
        let url = word(hit, "/url")?;
        Some(format!("- {} {url}", word(hit, "/title").unwrap_or_default()))
    };
    let lines: Vec<String> = found.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| format!("[Web search results]\n{}", lines.join("\n")))
}

fn fetched(value: &Value) -> Option<String> {
    let url = word(value, "/content/url")?;
    let text = word(value, "/content/content/source/data")
        .filter(|_| word(value, "/content/content/source/type") == Some("text"));
    Some(format!("[Fetched {url}]\n{}", text.unwrap_or_default()))
}

fn outputs(value: &Value) -> Option<String> {
    let said = ["/content/stdout", "/content/stderr"].into_iter().filter_map(|pointer| word(value, pointer));
    let said: Vec<&str> = said.filter(|text| !text.is_empty()).collect();
    (!said.is_empty()).then(|| format!("[Output of the code]\n{}", said.join("\n")))
}

fn interpreted(value: &Value) -> Option<String> {
    let code = word(value, "/code")?;
    let outputs = value.get("outputs").and_then(Value::as_array).into_iter().flatten();
    let logs: Vec<&str> = outputs.filter_map(|output| word(output, "/logs")).collect();
    Some(format!("[Ran]\n{code}\n[Output of the code]\n{}", logs.join("\n")))
}

/// The block may be the part itself or the object inside it.
fn code(value: &Value) -> Option<String> {
    let code = word(value, "/executableCode/code").or(word(value, "/code"))?;
    Some(format!("[Ran]\n{code}"))
}

fn ran(value: &Value) -> Option<String> {
    let output = word(value, "/codeExecutionResult/output").or(word(value, "/output"))?;
    Some(format!("[Output of the code]\n{output}"))
}
