//! Everything that can be limited, one after the other: who is below it is held back, everybody else is not.

use std::time::Duration;

use myelin_core::model::{Origin, Owner, OwnerRef, Profile, ProfileRule};
use myelin_core::store::{Change, Dimension, Filter, NewKey};
use myelin_testkit::MockServer;
use serde_json::{Value, json};

use super::{limit, maybe_usage, priced, settled};
use crate::support::TestGateway;

/// Twenty tokens in and eight out: 36 thousandths of a dollar.
const TEXT: &str = "[[usage input=20 output=8]] hello";

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
enum Asks {
    /// The key below everything, for the model that is limited.
    Inside,
    /// The same key, for a model of another channel without a tag.
    InsideOther,
    /// A key of nobody, for the model that is limited.
    Outside,
}

/// What can be limited, and who is none of its business.
const THINGS: [(&str, Option<Asks>); 12] = [
    ("key:inside", Some(Asks::Outside)),
    ("tool:cli", Some(Asks::Outside)),
    ("user:u", Some(Asks::Outside)),
    ("team:t", Some(Asks::Outside)),
    ("project:p", Some(Asks::Outside)),
    ("organisation:o", Some(Asks::Outside)),
    ("profile:cheap", Some(Asks::Outside)),
    ("gateway", None),
    ("model:mo*k", Some(Asks::InsideOther)),
    ("channel:openai", Some(Asks::InsideOther)),
    ("channel:openai/mock", Some(Asks::InsideOther)),
    ("tag:paid", Some(Asks::InsideOther)),
];

struct Scene {
    _mock: MockServer,
    gateway: TestGateway,
    inside: String,
}

impl Scene {
    async fn new() -> Self {
        let mock = MockServer::start().await.unwrap();
        let mut openai = priced(&mock, "openai", "openai");
        openai["tags"] = json!(["paid"]);
        let mut other = priced(&mock, "other", "openai");
        other["models"][0]["name"] = json!("other");
        let gateway = TestGateway::start(vec![openai, other]).await;
        let store = gateway.gateway.store();
        let above = [
            ("organisation:o", None),
            ("project:p", Some("organisation:o")),
            ("team:t", Some("project:p")),
            ("user:u", Some("team:t")),
        ];
        for (owner, parent) in above {
            let OwnerRef { kind, name } = owner.parse().unwrap();
            let parent = parent.map(|parent| parent.parse().unwrap());
            store
                .apply(Change::CreateOwner(Owner { kind, name, parent, origin: Origin::Store }), "test")
                .await
                .unwrap();
        }
        let rule = ProfileRule { glob: Some("cheap-*".into()), to: "openai/mock".into(), ..ProfileRule::default() };
        let profile = Profile { name: "cheap".into(), rules: vec![rule], ..Profile::default() };
        store.apply(Change::CreateProfile(profile), "test").await.unwrap();
        let key = NewKey {
            name: "inside".into(),
            owner: Some("user:u".parse().unwrap()),
            tool: Some("cli".into()),
            profile: Some("cheap".into()),
            ..NewKey::default()
        };
        let inside = gateway.another_key(key).await;
        Self { _mock: mock, gateway, inside }
    }

    async fn ask(&self, who: Asks) -> (u16, Value) {
        let (key, model) = match who {
            Asks::Inside => (&self.inside, "mock"),
            Asks::InsideOther => (&self.inside, "other"),
            Asks::Outside => (&self.gateway.key, "mock"),
        };
        let body = json!({"model": model, "max_tokens": 10, "messages": [{"role": "user", "content": TEXT}]});
        let request = self.gateway.request("POST", "/v1/chat/completions").bearer_auth(key).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn forget(&self, name: &str) {
        let change = Change::RemoveLimit { name: name.to_owned() };
        self.gateway.gateway.store().apply(change, "test").await.unwrap();
        while maybe_usage(&self.gateway, name).is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn whatever_is_limited_holds_back_who_is_below_it_and_nobody_else() {
    let scene = Scene::new().await;
    for (thing, other) in THINGS {
        for (measure, amount, status) in [
            ("requests", json!(2), 429),
            // A request reserves more than it uses.
            ("tokens", json!(80), 429),
            ("money", json!(0.1), 402),
        ] {
            let case = format!("{measure} of {thing}");
            limit(&scene.gateway, json!({"name": "cap", "on": thing, measure: amount, "per": "day"})).await;
            let mut answered = 0;
            let refused = loop {
                let (got, answer) = scene.ask(Asks::Inside).await;
                if got != 200 {
                    assert_eq!(got, status, "{case}: {answer}");
                    break answer;
                }
                answered += 1;
                settled(&scene.gateway, "cap").await;
                assert!(answered <= 3, "{case}: nothing holds it back");
            };
            assert!(answered > 0, "{case}: {refused}");
            assert!(refused["error"]["message"].as_str().unwrap().contains("per day"), "{case}: {refused}");
            if let Some(other) = other {
                let (got, answer) = scene.ask(other).await;
                assert_eq!(got, 200, "{case}: it is none of {other:?}'s business: {answer}");
            }
            scene.forget("cap").await;
            assert_eq!(scene.ask(Asks::Inside).await.0, 200, "{case}: it is gone");
        }
    }
    let failed = Filter::default().with(Dimension::State, ["failed"]);
    let ledger = scene.gateway.gateway.store().ledger();
    let refused = loop {
        let refused = ledger.list(failed.clone(), None, 1_000).await.unwrap().records;
        if ledger.health().waiting == 0 {
            break refused;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(refused.len(), THINGS.len() * 3);
    for record in refused {
        assert_eq!(record.refused_by.as_deref(), Some("cap"), "{record:?}");
    }
}

#[tokio::test]
async fn only_so_many_at_once_are_let_in_wherever_that_is_said() {
    let scene = Scene::new().await;
    let slow = json!({"model": "mock", "messages": [{"role": "user", "content": "[[delay 600]] hello"}]});
    for (thing, other) in THINGS {
        limit(&scene.gateway, json!({"name": "one", "on": thing, "parallel": 1})).await;
        let request = scene.gateway.request("POST", "/v1/chat/completions").bearer_auth(&scene.inside).json(&slow);
        let first = tokio::spawn(async move { request.send().await.unwrap().status().as_u16() });
        while maybe_usage(&scene.gateway, "one").unwrap().held == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (status, answer) = scene.ask(Asks::Inside).await;
        assert_eq!(status, 429, "{thing}: {answer}");
        if let Some(other) = other {
            assert_eq!(scene.ask(other).await.0, 200, "{thing}: it is none of {other:?}'s business");
        }
        assert_eq!(first.await.unwrap(), 200, "{thing}");
        assert_eq!(settled(&scene.gateway, "one").await, 0, "{thing}");
        assert_eq!(scene.ask(Asks::Inside).await.0, 200, "{thing}: it is free again");
        scene.forget("one").await;
    }
}
