use serde_json::json;

use super::*;

fn shown(imported: &Imported) -> Vec<(String, String, Vec<String>, Vec<String>)> {
    let secret = |channel: &Channel| channel.credentials.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>();
    let one = |channel: &Channel| {
        assert!(!secret(channel).join("").contains("0123456789"), "a secret shows itself");
        let models =
            channel.models.iter().flatten().map(|model| format!("{}={}", model.name(), model.upstream())).collect();
        (channel.name.clone(), channel.provider.clone(), channel.base_urls.clone(), models)
    };
    imported.channels.iter().map(one).collect()
}

#[test]
fn litellm_becomes_one_channel_an_account_with_its_names() {
    let config = br#"
model_list:
  - model_name: fast
    litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/OPENAI_API_KEY}
  - model_name: smart
    litellm_params: {model: gpt-5, api_key: os.environ/OPENAI_API_KEY, rpm: 10}
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-5
      api_key: sk-ant-0123456789
  - model_name: az
    litellm_params: {model: azure/dep, api_base: "https://x.openai.azure.com", api_key: k-0123456789, api_version: "2025-01-01"}
  - model_name: local
    litellm_params: {model: openai/qwen, api_base: "http://gpu:9000/v1", api_key: none-0123456789}
  - model_name: all
    litellm_params: {model: "groq/*", api_key: os.environ/GROQ_API_KEY}
router_settings:
  model_group_alias: {gpt-4: smart}
  fallbacks: [{smart: [claude]}]
general_settings: {master_key: sk-1234}
"#;
    let imported = read(Kind::Litellm, config).unwrap();
    let expected = json!([
        ["openai", "openai", [], ["fast=gpt-5-mini", "smart=gpt-5"]],
        ["anthropic", "anthropic", [], ["claude=claude-sonnet-5"]],
        ["azure", "azure", ["https://x.openai.azure.com"], ["az=dep"]],
        ["openai-compatible", "openai-compatible", ["http://gpu:9000/v1"], ["local=qwen"]],
        ["groq", "groq", [], []],
    ]);
    assert_eq!(serde_json::to_value(shown(&imported)).unwrap(), expected);
    assert_eq!(imported.profiles[0].rules.len(), 2);
    assert_eq!(imported.profiles[0].rules[1].fallback, ["claude"]);
    assert!(imported.notes.iter().any(|note| note.words.contains("master key")), "{:?}", imported.notes);
}

#[test]
fn llmux_and_ccr_are_read() {
    let config = b"providers:\n  - name: main\n    type: openai\n    api_key: ${OPENAI_API_KEY}\n    models: [gpt-5]\n  - name: odd\n    type: unheard\n    base_url: https://odd.example/v1\n    api_key: k-0123456789\n  - {name: v, type: anthropic, api_key: 'vault://a#b'}\nrouting: {strategy: lowest-latency}\n";
    let imported = read(Kind::Llmux, config).unwrap();
    assert_eq!(
        serde_json::to_value(shown(&imported)).unwrap(),
        json!([
            ["main", "openai", [], ["gpt-5=gpt-5"]],
            ["odd", "openai-compatible", ["https://odd.example/v1"], []],
            ["v", "anthropic", [], []]
        ])
    );
    assert!(imported.notes.iter().any(|note| note.words.contains("vault")));

    let config = br#"{
      // comments are usual there
      "Providers": [
        {"name": "deepseek", "api_base_url": "https://api.deepseek.com/chat/completions", "api_key": "$DEEPSEEK_API_KEY", "models": ["deepseek-chat", "deepseek-reasoner"], "transformer": {"use": ["deepseek"]}},
        {"name": "My Proxy", "api_base_url": "https://proxy.example/v1/messages", "api_key": "k-0123456789", "models": ["claude-x"]}
      ],
      "Router": {"default": "deepseek,deepseek-chat", "think": "deepseek,deepseek-reasoner", "longContext": "My Proxy,claude-x", "longContextThreshold": 50000, "webSearch": "deepseek,deepseek-chat"}
    }"#;
    let imported = read(Kind::ClaudeCodeRouter, config).unwrap();
    assert_eq!(
        serde_json::to_value(shown(&imported)).unwrap()[1],
        json!(["my-proxy", "anthropic-compatible", ["https://proxy.example"], ["claude-x=claude-x"]])
    );
    let to: Vec<&str> = imported.profiles[0].rules.iter().map(|rule| rule.to.as_str()).collect();
    assert_eq!(to, ["my-proxy/claude-x", "deepseek/deepseek-reasoner", "deepseek/deepseek-chat"]);
    assert!(imported.notes.iter().any(|note| note.words.contains("Router.webSearch")));
}

const DUMP: &str = "-- cc-switch\nBEGIN;\nCREATE TABLE providers (id TEXT NOT NULL, app_type TEXT NOT NULL, name TEXT NOT NULL, settings_config TEXT NOT NULL, is_current BOOLEAN DEFAULT 0, category TEXT, PRIMARY KEY (id, app_type));\nINSERT INTO \"providers\" VALUES ('1','claude','DeepSeek','{\"env\":{\"ANTHROPIC_BASE_URL\":\"https://api.deepseek.com/anthropic\",\"ANTHROPIC_AUTH_TOKEN\":\"sk-0123456789\"}}',1,NULL),('2','claude','It''s; odd','{\"env\":{\"ANTHROPIC_BASE_URL\":\"https://odd.example\",\"ANTHROPIC_API_KEY\":\"k2-0123456789\"}}',0,NULL);\nINSERT INTO providers (id, app_type, name, settings_config, is_current) VALUES ('3','codex','Relay','{\"auth\":{\"OPENAI_API_KEY\":\"k3-0123456789\"},\"config\":\"model = \\\"gpt-5\\\"\\nmodel_provider = \\\"r\\\"\\n[model_providers.r]\\nbase_url = \\\"https://relay.example/v1\\\"\\n\"}',0);\nINSERT INTO providers VALUES ('4','claude','Official','{}',0,'official');\nCOMMIT;\n";

#[test]
fn cc_switch_is_read_from_its_export_and_its_older_file() {
    let imported = read(Kind::CcSwitch, DUMP.as_bytes()).unwrap();
    let expected = json!([
        ["deepseek", "deepseek", [], []],
        ["it-s-odd", "anthropic-compatible", ["https://odd.example"], []],
        ["relay", "openai-compatible", ["https://relay.example/v1"], []],
    ]);
    assert_eq!(serde_json::to_value(shown(&imported)).unwrap(), expected);
    assert!(imported.channels[0].tags.contains(&"claude-current".to_owned()));
    let older = br#"{"version": 2, "claude": {"current": "a", "providers": {"a": {"name": "Kimi", "settingsConfig": {"env": {"ANTHROPIC_BASE_URL": "https://api.moonshot.cn/anthropic", "ANTHROPIC_AUTH_TOKEN": "sk-0123456789"}}}}}}"#;
    assert_eq!(shown(&read(Kind::CcSwitch, older).unwrap())[0].1, "moonshot");
}

#[test]
fn cc_switch_is_read_from_its_database() {
    // Made by SQLite itself, with pages of 512 bytes: a tree of several levels, and a row that runs over onto other pages.
    let packed = include_bytes!("../testdata/cc-switch.db.zst");
    let bytes = zstd::decode_all(packed.as_slice()).unwrap();
    let imported = read(Kind::CcSwitch, &bytes).unwrap();
    assert_eq!(imported.channels.len(), 60, "{:?}", imported.notes);
    assert_eq!(imported.channels[0].provider, "deepseek");
    assert_eq!(imported.channels[59].base_urls, ["https://relay59.example"]);
}

#[test]
fn what_is_no_configuration_is_refused() {
    for kind in [Kind::CcSwitch, Kind::ClaudeCodeRouter, Kind::Litellm, Kind::Llmux] {
        for bytes in
            [&b""[..], b"{}", b"\xff\xfe", b"hello", b"SQLite format 3\0", b"a: [", b"INSERT INTO providers VALUES ("]
        {
            let error = read(kind, bytes).expect_err("refused");
            assert!(error.to_string().contains(kind.name()), "{error}");
        }
    }
    // A damaged database neither panics nor runs for ever.
    let bytes = zstd::decode_all(include_bytes!("../testdata/cc-switch.db.zst").as_slice()).unwrap();
    for at in (0..bytes.len()).step_by(37) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let _ = read(Kind::CcSwitch, &damaged);
    }
    for cut in (0..bytes.len()).step_by(501) {
        let _ = read(Kind::CcSwitch, &bytes[..cut]);
    }
}
