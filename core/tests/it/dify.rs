//! Dify: its clients over models that are no Dify app, and its apps under clients that are none of Dify's.

use std::time::Duration;

use myelin_core::store::NewKey;
use myelin_testkit::{Delivery, MockServer, Script};

use serde_json::{Value, json};

use crate::support::dialog::{CLIENTS, Dialog};
use crate::support::{TestGateway, fold, providers};

/// A gateway with one key that may use one model, as Dify's clients need it.
async fn facade(channel: &str) -> (MockServer, TestGateway, String) {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![providers::channel(&mock, channel)]).await;
    let key = NewKey { name: "app".into(), models: vec![format!("{channel}/m")], ..NewKey::default() };
    let key = gateway.another_key(key).await;
    (mock, gateway, key)
}

async fn chat(gateway: &TestGateway, key: &str, query: &str, conversation: &str, mode: &str) -> (u16, String) {
    let body = json!({"query": query, "inputs": {}, "user": "ann@example.com", "response_mode": mode, "conversation_id": conversation});
    let answer = gateway.request("POST", "/dify/v1/chat-messages").bearer_auth(key).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_conversation_is_kept_and_its_history_is_in_order() {
    for channel in ["chat", "anthropic", "gemini"] {
        let (mock, gateway, key) = facade(channel).await;
        let (status, text) = chat(&gateway, &key, "say one", "", "blocking").await;
        assert_eq!(status, 200, "{text}");
        let first: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&first["event"], &first["answer"], &first["mode"]),
            (&json!("message"), &json!("one"), &json!("chat"))
        );
        let conversation = first["conversation_id"].as_str().unwrap().to_owned();
        assert!(!conversation.is_empty() && first["message_id"].is_string(), "{first}");
        assert!(first["metadata"]["usage"]["prompt_tokens"].is_u64(), "{first}");

        let (status, text) = chat(&gateway, &key, "say two words", &conversation, "streaming").await;
        assert_eq!(status, 200, "{text}");
        let events = fold::events(&text);
        let said: String = events
            .iter()
            .filter(|event| event["event"] == "message")
            .filter_map(|event| event["answer"].as_str())
            .collect();
        assert_eq!(said, "two words", "{text}");
        let end = events.last().unwrap();
        assert_eq!((&end["event"], &end["conversation_id"]), (&json!("message_end"), &json!(conversation)), "{text}");
        let sent = String::from_utf8_lossy(&mock.last_request().unwrap().body).into_owned();
        let (one, two) = (sent.find("say one").unwrap(), sent.find("say two").unwrap());
        assert!(one < two, "{sent}");

        for number in 3..=5 {
            assert_eq!(chat(&gateway, &key, &format!("say {number}"), &conversation, "blocking").await.0, 200);
        }
        let page = async |query: &str| {
            let path = format!("/dify/v1/messages?user=ann%40example.com&conversation_id={conversation}{query}");
            let answer = gateway.request("GET", &path).bearer_auth(&key).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.json::<Value>().await.unwrap()
        };
        let answers = |page: &Value| -> Vec<String> {
            page["data"].as_array().unwrap().iter().map(|turn| turn["answer"].as_str().unwrap().to_owned()).collect()
        };
        let newest = page("&limit=2").await;
        assert_eq!((answers(&newest), &newest["has_more"]), (vec!["4".to_owned(), "5".to_owned()], &json!(true)));
        let before = newest["data"][0]["id"].as_str().unwrap();
        let older = page(&format!("&limit=20&first_id={before}")).await;
        assert_eq!(answers(&older), ["one", "two words", "3"]);
        assert_eq!(older["has_more"], false);
    }
}

#[tokio::test]
async fn a_conversation_belongs_to_its_key_and_its_user() {
    let (_mock, gateway, key) = facade("chat").await;
    let (_, text) = chat(&gateway, &key, "hello", "", "blocking").await;
    let conversation = serde_json::from_str::<Value>(&text).unwrap()["conversation_id"].as_str().unwrap().to_owned();
    let other = NewKey { name: "other".into(), models: vec!["chat/m".into()], ..NewKey::default() };
    let other = gateway.another_key(other).await;
    let (status, text) = chat(&gateway, &other, "hello", &conversation, "blocking").await;
    assert_eq!(status, 404, "{text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert!(body["code"].is_string() && body["message"].is_string() && body["status"] == 404, "{body}");
    let path = format!("/dify/v1/messages?user=bob&conversation_id={conversation}");
    let answer = gateway.request("GET", &path).bearer_auth(&key).send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn an_app_behind_the_facade_keeps_its_own_conversation() {
    let (mock, gateway, key) = facade("dify").await;
    let (status, text) = chat(&gateway, &key, "hello", "", "blocking").await;
    assert_eq!(status, 200, "{text}");
    let first: Value = serde_json::from_str(&text).unwrap();
    let conversation = first["conversation_id"].as_str().unwrap();
    assert!(conversation.starts_with("conv-"), "the app's own: {first}");
    let (status, text) = chat(&gateway, &key, "again", conversation, "streaming").await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(mock.last_request().unwrap().json()["conversation_id"], conversation);
    assert!(text.contains("message_end"), "{text}");
    assert_eq!(chat(&gateway, &key, "again", "conv-unknown", "blocking").await.0, 404);
}

#[tokio::test]
async fn an_app_answers_clients_of_every_format_and_sees_the_history() {
    let mock = MockServer::start().await.unwrap();
    let gateway = TestGateway::start(vec![providers::channel(&mock, "dify")]).await;
    for client in CLIENTS {
        for stream in [false, true] {
            let mut dialog = Dialog::new(client, "dify/m", stream);
            dialog.user("my name is Ada");
            assert!(dialog.ask(&gateway).await.unwrap().text.contains("Ada"));
            dialog.user("say bye");
            let said = dialog.ask(&gateway).await.unwrap();
            assert_eq!(said.text, "bye", "{client:?}");
            let query = mock.last_request().unwrap().json()["query"].as_str().unwrap().to_owned();
            assert!(query.find("Ada") < query.find("say bye") && query.contains("Ada"), "{query}");
        }
    }
}

#[tokio::test]
async fn turns_of_one_conversation_that_overlap_are_both_kept() {
    let (mock, gateway, key) = facade("chat").await;
    let (_, text) = chat(&gateway, &key, "say zero", "", "blocking").await;
    let conversation = serde_json::from_str::<Value>(&text).unwrap()["conversation_id"].as_str().unwrap().to_owned();
    mock.script(Script {
        delivery: Delivery { delay: Duration::from_millis(400), ..Delivery::default() },
        ..Script::default()
    });
    let (slow, quick) = tokio::join!(
        chat(&gateway, &key, "say slow", &conversation, "streaming"),
        chat(&gateway, &key, "say quick", &conversation, "blocking"),
    );
    assert_eq!((slow.0, quick.0), (200, 200), "{} {}", slow.1, quick.1);
    let path = format!("/dify/v1/messages?user=ann%40example.com&conversation_id={conversation}");
    let page: Value = gateway.request("GET", &path).bearer_auth(&key).send().await.unwrap().json().await.unwrap();
    let mut answers: Vec<&str> =
        page["data"].as_array().unwrap().iter().filter_map(|turn| turn["answer"].as_str()).collect();
    answers[1..].sort_unstable();
    assert_eq!(answers, ["zero", "quick", "slow"]);
}
