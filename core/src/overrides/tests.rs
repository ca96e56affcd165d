use serde_json::json;

use super::*;

fn overrides(rules: Value) -> Overrides {
    let rules: Vec<Override> = serde_json::from_value(rules).unwrap();
    Overrides::compile(&rules).unwrap()
}

fn refused(rule: Value) -> String {
    let rule: Override = serde_json::from_value(rule).unwrap();
    Overrides::compile([&rule]).unwrap_err().to_string()
}

fn scope(headers: &HeaderMap) -> Scope<'_> {
    Scope {
        model: "fast",
        upstream: "gpt-5-mini",
        channel: "main",
        provider: "openai",
        tool: Some("codex"),
        key: "laptop",
        profile: "cheap",
        format: "openai-chat",
        upstream_format: "openai-chat",
        surface: "chat",
        stream: true,
        session: None,
        trace: None,
        request_id: "req_1",
        headers,
    }
}

/// The body and headers after the changes; `None`: the body was left alone.
fn edited(rules: Value, body: &Value) -> (Option<Value>, HeaderMap) {
    let mut caller = HeaderMap::new();
    caller.insert("x-team", HeaderValue::from_static("research"));
    let mut headers = HeaderMap::new();
    headers.insert("x-old", HeaderValue::from_static("1"));
    let bytes = Bytes::from(body.to_string());
    let out = overrides(rules).edit(OverrideSide::Request, &scope(&caller), bytes, &mut headers);
    (out.map(|bytes| serde_json::from_slice(&bytes).unwrap()), headers)
}

#[test]
fn every_change_does_what_it_says() {
    let body = json!({"max_tokens": 5, "logit_bias": {}, "tools": [{"name": "b"}], "messages": [{"role": "user", "name": "x"}]});
    let (out, headers) = edited(
        json!([{
            "rename": {"max_tokens": "max_completion_tokens"},
            "copy": {"messages[0].role": "metadata.first"},
            "delete": ["logit_bias", "messages.*.name"],
            "default": {"temperature": 0.5, "max_completion_tokens": 9},
            "set": {"/metadata/tool": "{{tool}}"},
            "prepend": {"tools": {"name": "a"}},
            "append": {"tools": [{"name": "c"}], "stop": "END"},
            "headers": {"rename": {"x-old": "x-new"}, "set": {"x-who": "{{key}} of {{header.x-team}}"}, "default": {"x-new": "2"}},
        }]),
        &body,
    );
    let expected = json!({
        "max_completion_tokens": 5, "tools": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "messages": [{"role": "user"}],
        "metadata": {"first": "user", "tool": "codex"}, "temperature": 0.5, "stop": ["END"],
    });
    assert_eq!(out.unwrap(), expected);
    assert_eq!(
        (&headers["x-new"], &headers["x-who"]),
        (&HeaderValue::from_static("1"), &HeaderValue::from_static("laptop of research"))
    );
    assert!(!headers.contains_key("x-old"));
}

#[test]
fn a_body_that_nothing_changes_in_is_left_alone() {
    for rule in [
        json!({"when": {"model": "slow"}, "set": {"a": 1}}),
        json!({"set": {"a": 1}}),
        json!({"delete": ["gone"]}),
        json!({"rename": {"gone": "b"}}),
        json!({"set": {"b": "{{session}}"}}),
        json!({"on": "response", "set": {"b": 1}}),
        json!({"headers": {"set": {"x": "1"}}}),
    ] {
        assert_eq!(edited(json!([rule.clone()]), &json!({"a": 1})).0, None, "{rule}");
    }
}

#[test]
fn templates_keep_types_and_have_a_way_out() {
    let body = json!({"seed": 7, "user": "ann"});
    for (value, expected) in [
        (json!("{{body.seed}}"), json!(7)),
        (json!("n{{body.seed}}"), json!("n7")),
        (json!("{{body/user}}"), json!("ann")),
        (json!("{{session|none}}"), json!("none")),
        (json!({"tags": ["{{model}}", "fixed"]}), json!({"tags": ["fast", "fixed"]})),
        (
            json!("{{upstream}}@{{channel}}/{{provider}} {{format}} {{profile}} {{request_id}}"),
            json!("gpt-5-mini@main/openai openai-chat cheap req_1"),
        ),
    ] {
        let (out, _) = edited(json!([{"set": {"x": value.clone()}}]), &body);
        assert_eq!(out.unwrap()["x"], expected, "{value}");
    }
}

#[test]
fn conditions_are_a_tree() {
    let body = json!({"temperature": 1, "messages": [{"role": "user"}], "tags": ["a"]});
    let holds = |when: Value| edited(json!([{"when": when, "set": {"x": 1}}]), &body).0.is_some();
    for when in [
        json!({"model": "fa*", "tool": ["aider", "codex"], "stream": true}),
        json!({"header": {"x-team": "res*"}}),
        json!({"body": {"temperature": 1.0}}),
        json!({"body": {"temperature": {"at_least": 1, "below": 2}, "seed": {"exists": false}, "tags": {"contains": "a"}}}),
        json!({"body": {"messages.-1.role": {"matches": "us*"}}}),
        json!({"any": [{"key": "desktop"}, {"key": "laptop"}]}),
        json!({"not": {"profile": "direct"}}),
        json!({}),
    ] {
        assert!(holds(when.clone()), "{when}");
    }
    for when in [
        json!({"model": "slow"}),
        json!({"stream": false}),
        json!({"header": {"x-other": "*"}}),
        json!({"body": {"temperature": {"above": 1}}}),
        json!({"body": {"temperature": {"not": 1}}}),
        json!({"body": {"seed": 1}}),
        json!({"any": [{"key": "desktop"}, {"channel": "other"}]}),
        json!({"not": {"upstream": "gpt-*"}}),
    ] {
        assert!(!holds(when.clone()), "{when}");
    }
}

#[test]
fn what_cannot_work_is_refused() {
    for (rule, words) in [
        (json!({}), "changes nothing"),
        (json!({"set": {"a..b": 1}}), "is no path"),
        (json!({"set": {"a": "{{colour}}"}}), "there is no '{{colour}}'"),
        (json!({"set": {"a": "{{model"}}), "without a '}}'"),
        (json!({"set": {"a": "{{header.Authorization}}"}}), "the caller's key"),
        (json!({"set": {"stream": true}}), "the gateway's own"),
        (json!({"rename": {"messages.*.a": "b"}}), "several places"),
        (json!({"headers": {"set": {"Host": "x"}}}), "belongs to the connection"),
        (json!({"headers": {"set": {"bad name": "x"}}}), "no header name"),
        (json!({"when": {"header": {"x-api-key": "*"}}, "set": {"a": 1}}), "holds the caller's key"),
        (json!({"when": {"body": {"a": {"above": "x"}}}, "set": {"a": 1}}), "is a number"),
    ] {
        let said = refused(rule.clone());
        assert!(said.contains(words), "{rule}: {said}");
    }
}

#[test]
fn events_of_answers_are_changed_one_by_one() {
    let rules = overrides(
        json!([{"on": "response", "when": {"body": {"type": "ping"}}, "set": {"n": 1}}, {"on": "response", "delete": ["id"]}]),
    );
    let headers = HeaderMap::new();
    let mut ping = json!({"type": "ping", "id": 1});
    assert!(rules.edit_value(OverrideSide::Response, &scope(&headers), &mut ping));
    assert_eq!(ping, json!({"type": "ping", "n": 1}));
    let mut other = json!({"type": "x"});
    assert!(!rules.edit_value(OverrideSide::Response, &scope(&headers), &mut other));
    assert_eq!(other, json!({"type": "x"}));
}
