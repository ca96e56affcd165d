use serde_json::json;

use super::*;

fn read(value: &Value) -> Result<Imported, ImportError> {
    Imported::read(value.to_string().as_bytes())
}

fn row(imported: &Imported, key: &str) -> String {
    imported.table("1").text().lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned()
}

#[test]
fn litellms_list_is_read() {
    let list = json!({
        "sample_spec": {"litellm_provider": "one of …", "input_cost_per_token": 0.0},
        "vertex_ai/claude-x@20250929": {
            "litellm_provider": "vertex_ai-anthropic_models", "mode": "chat", "max_input_tokens": 200_000,
            "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
            "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
            "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06,
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
            "input_cost_per_token_above_200k_tokens_priority": 8e-06, "input_cost_per_token_batches": 1.5e-06,
            "search_context_cost_per_query": {"search_context_size_low": 0.006, "search_context_size_medium": 0.01},
            "supports_vision": true, "supports_function_calling": true,
        },
        "dashscope/q": {"litellm_provider": "dashscope", "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-06}, {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06},
        ]},
        "bedrock/eu-west-1/1-month-commitment/m": {"litellm_provider": "bedrock", "input_cost_per_second": 1},
    });
    let imported = read(&list).unwrap();
    assert_eq!((imported.format, imported.priced()), ("litellm", 2));
    assert_eq!(
        row(&imported, "vertex/"),
        "vertex/claude-x@20250929\tL\ti=3000000 i@batch=1500000 i>200000@priority=8000000 w=3750000 w>200000=7500000 \
         h=6000000 h>200000=12000000 o=15000000 ws=10000000000\tn200000 +T"
    );
    assert_eq!(row(&imported, "qwen/"), "qwen/q\tL\ti=1000000 i>32000=2000000\t");
}

#[test]
fn models_devs_list_is_read() {
    let list = json!({"google": {"id": "google", "models": {"Gemini-X": {
        "cost": {"input": 1.25, "output": 10, "cache_read": 0, "tiers": [{"tier": {"size": 200_000}, "input": 2.5}]},
        "limit": {"context": 1_000_000, "output": 0}, "modalities": {"input": ["text", "smell"], "output": ["text"]},
        "reasoning": true, "temperature": false,
    }}}});
    let imported = read(&list).unwrap();
    assert_eq!(imported.format, "models.dev");
    assert_eq!(
        row(&imported, "gemini/"),
        "gemini/gemini-x\tM\ti=1250000 i>200000=2500000 o=10000000\tc1000000 <t >t +R -S"
    );
}

#[test]
fn case_39_a_list_with_a_mistake_is_refused_whole_and_says_where() {
    for (list, part) in [
        (json!([]), "no object"),
        (json!({}), "no price list"),
        (json!({"error": "rate limited"}), "no price list"),
        (json!({"prices": {}}), "no price"),
        (json!({"prices": {"gpt-5": {"input": 1}}}), "provider/model"),
        (json!({"prices": {"openai/gpt-5": {"input": "cheap"}}}), "openai/gpt-5"),
        (json!({"prices": {"openai/gpt-5": {"inptu": 1}}}), "inptu"),
        (json!({"prices": {"openai/a\tb": {"input": 1}}}), "provider/model"),
        (json!({"m": {"litellm_provider": "openai", "input_cost_per_token": "1e"}}), "input_cost_per_token"),
        (json!({"m": {"litellm_provider": "openai", "input_cost_per_token": -1e-06}}), "-1e-6"),
        (json!({"m": {"litellm_provider": "openai", "input_cost_per_token": 1e-06}, "n": 5}), "\"n\""),
        (json!({"m": {"litellm_provider": "openai"}}), "no price"),
        (json!({"o": {"models": {"m": {"cost": {"input": "x"}}}}}), "o/m"),
    ] {
        let error = read(&list).unwrap_err().to_string();
        assert!(error.contains(part), "{list}: {error}");
    }
    assert!(Imported::read(b"{\"prices\": {").unwrap_err().to_string().contains("no JSON"));
    assert!(Imported::read(b"").is_err());
}

#[test]
fn a_table_is_taken_back_as_it_was_written() {
    let list =
        json!({"version": "7", "prices": {"b/y": {"input": 1}, "a/x": {"output": 2, "above_200k": {"output": 3}}}});
    let table = read(&list).unwrap().table("7");
    assert_eq!(Table::of(table.text().to_owned()).unwrap().version(), "7");
    let keys: Vec<&str> = table.rows().map(|row| row.key).collect();
    assert_eq!(keys, ["a/x", "b/y"]);
    for wrong in ["", "a/x\tO\ti=1\t", "# version 1\nb/y\tO\ti=1\t\na/x\tO\ti=1\t", "# version 1\na/x\tO\tzz=1\t"] {
        assert!(Table::of(wrong.to_owned()).is_err(), "{wrong:?}");
    }
}
