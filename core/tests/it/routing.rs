//! Routing, live: caches stay warm, switches break nothing, what breaks is left alone.

use std::collections::HashMap;
use std::time::Duration;

use myelin_core::model::{Profile, ProfileRule};
use myelin_core::store::Change;
use myelin_testkit::{MockServer, Script};
use serde_json::{Value, json};

use crate::support::{TestGateway, mock_channel, owner};

fn turn(conversation: usize, turns: usize, stream: bool) -> Value {
    let words = format!("you are terse and this is conversation {conversation} ").repeat(60);
    let mut messages = Vec::new();
    for turn in 0..=turns {
        messages.push(json!({"role": "user", "content": format!("conversation {conversation}, turn {turn}")}));
        if turn < turns {
            messages.push(json!({"role": "assistant", "content": "yes"}));
        }
    }
    let system = json!([{"type": "text", "text": words, "cache_control": {"type": "ephemeral"}}]);
    json!({"model": "mock", "max_tokens": 50, "stream": stream, "system": system, "messages": messages})
}

/// Tokens that the provider says it read from its cache, in a whole answer or in a stream.
fn read_from_cache(text: &str) -> u64 {
    let counts = text.split("\"cache_read_input_tokens\":").skip(1);
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    counts.map(number).max().unwrap_or(0)
}

/// One turn of a conversation: where it was answered, and whether the provider had its prompt cached.
async fn answered(gateway: &TestGateway, conversation: usize, turns: usize) -> (String, bool) {
    let answer =
        gateway.post("/v1/messages").json(&turn(conversation, turns, turns.is_multiple_of(2))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let channel = answer.headers()["x-myelin-channel"].to_str().unwrap().to_owned();
    (channel, read_from_cache(&answer.text().await.unwrap()) > 0)
}

/// Five channels with two keys each, each key with a prompt cache of its own, under load; one channel fails from the start, another one in the middle, and
/// both come back. Who reads what was cached says so in its usage.
#[tokio::test]
async fn case_38_conversations_find_their_prompt_cached_while_deployments_fail_and_come_back() {
    const CONVERSATIONS: usize = 60;
    const TURNS: usize = 10;
    let mut mocks = Vec::new();
    let mut channels = Vec::new();
    for name in ["a", "b", "c", "d", "broken"] {
        let mock = MockServer::start().await.unwrap();
        let mut channel = mock_channel(&mock, name, "anthropic", "anthropic");
        channel["credentials"] = json!([format!("{}-1", myelin_testkit::KEY), format!("{}-2", myelin_testkit::KEY)]);
        channels.push(channel);
        mocks.push(mock);
    }
    let gateway = std::sync::Arc::new(
        TestGateway::with_settings(channels, |settings| {
            // So that both are tried again, and are back, before the test is over.
            settings.breaker.cooldown_ms = 200;
        })
        .await,
    );
    let fail = |mock: &MockServer, times: usize| {
        (0..times).for_each(|_| mock.script(Script::error(503).provider("anthropic")))
    };
    fail(&mocks[4], 12);
    let mut homes: HashMap<usize, String> = HashMap::new();
    let (mut hits, mut chances, mut moves) = (0, 0, 0);
    for act in 0..3 {
        let mut tasks = tokio::task::JoinSet::new();
        for conversation in 0..CONVERSATIONS {
            let gateway = gateway.clone();
            tasks.spawn(async move {
                let mut turns = Vec::new();
                for turn in act * TURNS..(act + 1) * TURNS {
                    turns.push(answered(&gateway, conversation, turn).await);
                }
                (conversation, turns)
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (conversation, turns) = done.unwrap();
            for (channel, hit) in turns {
                // Where a conversation begins nothing can be cached, and where its home failed neither: everywhere else it must be.
                let before = homes.insert(conversation, channel.clone());
                let stayed = before.as_ref() == Some(&channel);
                moves += usize::from(before.is_some() && !stayed);
                chances += usize::from(stayed);
                hits += usize::from(hit && stayed);
                assert!(act != 2 || stayed, "conversation {conversation} left {before:?} for {channel} without need");
                assert!(
                    act != 1 || stayed || before.as_deref() == Some("a"),
                    "{conversation} left {before:?} for {channel}"
                );
            }
        }
        let mut begun: HashMap<&str, usize> = HashMap::new();
        homes.values().for_each(|home| *begun.entry(home).or_default() += 1);
        match act {
            0 => {
                assert!(
                    begun.len() >= 4 && begun.values().all(|count| *count < 40),
                    "conversations are spread: {begun:?}"
                );
                // Now one fails that is the home of many.
                fail(&mocks[0], 30);
            }
            1 => {
                assert!(!begun.contains_key("a"), "its conversations found another home: {begun:?}");
                mocks[0].forget_scripts();
            }
            _ => {}
        }
    }
    assert!(
        hits * 100 >= chances * 99 && chances > CONVERSATIONS * TURNS * 2,
        "{hits} of {chances} found their prompt in the cache"
    );
    assert!((1..CONVERSATIONS).contains(&moves), "each conversation of the failed one moved once: {moves}");
}

/// A switch in the middle of many streams: they end as they began, the next request goes elsewhere.
#[tokio::test]
async fn a_switch_in_the_middle_of_200_streams_breaks_none() {
    let mock = MockServer::start().await.unwrap();
    let old = mock_channel(&mock, "old", "openai", "openai");
    let new = mock_channel(&mock, "new", "anthropic", "anthropic");
    let gateway = std::sync::Arc::new(TestGateway::start(vec![old, new]).await);
    for (name, to) in [("before", "old/mock"), ("after", "new/mock")] {
        let rule = ProfileRule { glob: Some("*".into()), to: to.into(), ..ProfileRule::default() };
        let profile = Profile { name: name.into(), rules: vec![rule], ..Profile::default() };
        gateway.gateway.store().apply(Change::CreateProfile(profile), "test").await.unwrap();
    }
    switch(&gateway, "before", "old").await;
    let words: Vec<String> = (0..12).map(|word| format!("word{word}")).collect();
    let text = format!("{} [[pace 40]]", words.join(" "));
    let body = json!({"model": "any", "stream": true, "messages": [{"role": "user", "content": text}]});
    let mut streams = tokio::task::JoinSet::new();
    let begun = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    for _ in 0..200 {
        let (gateway, body, begun) = (gateway.clone(), body.clone(), begun.clone());
        streams.spawn(async move {
            let mut answer = gateway.post("/v1/chat/completions").json(&body).send().await.unwrap();
            assert_eq!(answer.headers()["x-myelin-channel"], "old");
            let mut whole = String::new();
            let first = answer.chunk().await.unwrap().expect("a first piece");
            whole.push_str(&String::from_utf8_lossy(&first));
            begun.add_permits(1);
            while let Some(piece) = answer.chunk().await.unwrap() {
                whole.push_str(&String::from_utf8_lossy(&piece));
            }
            whole
        });
    }
    drop(begun.acquire_many(200).await.unwrap());
    switch(&gateway, "after", "new").await;
    // A reload of the configuration besides: the channel that serves the streams goes.
    gateway.gateway.store().apply(Change::EnableChannel { name: "old".into(), enabled: false }, "test").await.unwrap();
    while let Some(whole) = streams.join_next().await {
        let whole = whole.unwrap();
        assert!(whole.ends_with("data: [DONE]\n\n"), "{whole}");
        assert!(!whole.contains("\"error\""), "{whole}");
    }
    let answer = gateway.post("/v1/chat/completions").json(&body).send().await.unwrap();
    assert_eq!(answer.headers()["x-myelin-channel"], "new");
}

async fn switch(gateway: &TestGateway, profile: &str, channel: &str) {
    let change = Change::UseProfile { key: None, profile: Some(profile.into()) };
    gateway.gateway.store().apply(change, "test").await.unwrap();
    for _ in 0..200 {
        let body = json!({"model": "any", "messages": [{"role": "user", "content": "hi"}]});
        let answer = gateway.post("/v1/chat/completions").json(&body).send().await.unwrap();
        if answer.headers().get("x-myelin-channel").is_some_and(|own| own == channel) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the switch to {profile} has no effect");
}

#[tokio::test]
async fn a_bad_key_benches_one_key_and_a_reset_brings_it_back() {
    let mock = MockServer::start().await.unwrap();
    let mut channel = mock_channel(&mock, "main", "openai", "openai");
    channel["credentials"] = json!(["mock-bad-key-0123456789", myelin_testkit::KEY]);
    let gateway = TestGateway::start(vec![channel]).await;
    // Conversations of their own, each of which begins at any of the two keys: all but surely one begins at the bad one.
    for number in 0..24 {
        let body = json!({"model": "mock", "messages": [{"role": "user", "content": format!("hi {number}")}]});
        assert_eq!(gateway.ask("/v1/chat/completions", &body).await.0, 200);
    }
    let records = gateway.records(24).await;
    let failed: usize = records.iter().map(|record| record.attempts.len() - 1).sum();
    assert_eq!(failed, 1, "the bad key was tried once");
    let record = &records[0];
    assert_eq!(record.plan.len(), 1);
    assert!(record.plan[0].placed.is_some() && record.strategy.as_deref() == Some("weighted"));
    let admin = async |method: &str, path: &str, body: Value| owner(&gateway, method, path, Some(body)).await.1;
    let health = admin("GET", "/api/v1/health", json!({})).await;
    assert_eq!(health["channels"][0]["state"], "degraded", "{health}");
    assert_eq!(health["channels"][0]["troubles"][0]["credential"], 0);
    let explained = admin("GET", "/api/v1/explain?model=mock", json!({})).await;
    assert_eq!(explained["plan"][0]["credentials"], json!([1]), "{explained}");
    let reset = admin("POST", "/api/v1/health/reset", json!({"channel": "main"})).await;
    assert_eq!(reset["reset"], 1);
    let health = admin("GET", "/api/v1/health", json!({})).await;
    assert_eq!(health["channels"][0]["state"], "sound", "{health}");
}
