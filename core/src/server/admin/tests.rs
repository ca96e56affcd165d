//! The admin API over both carriers, as its clients see it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::clock::TestClock;
use crate::model::{ChannelState, RequestRecord};
use crate::snapshot::Snapshot;
use crate::store::{Change, MasterKey, Store};

mod forecast;
mod pages;

const CANARY: &str = "sk-canary-0123456789";

/// Passes every test of a channel whose name does not begin with `bad`.
struct FakeDesk(Store);

impl Desk for FakeDesk {
    fn test_channel(&self, name: String, model: Option<String>) -> Later<Result<ChannelTest, String>> {
        let store = self.0.clone();
        Box::pin(async move {
            let passed = !name.starts_with("bad");
            let state = match passed {
                true => ChannelState::Working { at: 1 },
                false => ChannelState::Failing { at: 1, why: "refused".into() },
            };
            store.apply(Change::ChannelTested { name, state }, "test").await.unwrap();
            Ok(ChannelTest {
                passed,
                model: model.unwrap_or_else(|| "m".into()),
                format: None,
                status: Some(200),
                latency_ms: 1,
                text: "hello".into(),
                error: (!passed).then(|| "refused".into()),
                enabled: false,
            })
        })
    }

    fn sync_models(&self, name: String) -> Later<Result<Vec<String>, String>> {
        let store = self.0.clone();
        Box::pin(async move {
            let models = vec!["a".to_owned(), "b".to_owned()];
            store.apply(Change::ChannelListed { name, models: models.clone() }, "test").await.unwrap();
            Ok(models)
        })
    }

    fn facts(&self) -> Facts {
        Facts { version: "0".into(), ..Facts::default() }
    }
}

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    services: Arc<Services>,
    socket: Router,
    tcp: Router,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    clock.advance_ms(1_800_000_000_000);
    let known = Arc::new(|provider: &str| provider == "openai");
    let store = Store::open(dir.path(), Arc::new(clock.clone()), &MasterKey::KeyFile, known).unwrap();
    let media = crate::upstream::Clients::default().get(&crate::providers::Dial::default()).unwrap();
    let snapshot = ArcSwap::from_pointee(Snapshot::build(&store.entities(), Vec::new(), media, &Arc::default()));
    let services = Arc::new(Services {
        snapshot,
        clock: Arc::new(clock),
        store: store.clone(),
        origins: Default::default(),
        fleet: Default::default(),
        flights: Default::default(),
        limiter: Default::default(),
        events: Default::default(),
        talks: Default::default(),
        in_force: Default::default(),
        resilience: crate::pipeline::Resilience::beside(dir.path()),
    });
    let desk: Arc<dyn Desk> = Arc::new(FakeDesk(store.clone()));
    World {
        _dir: dir,
        store,
        services: Arc::clone(&services),
        socket: over_socket(Arc::clone(&services), Arc::clone(&desk)),
        tcp: over_tcp(services, desk),
    }
}

async fn ask(router: &Router, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let answer = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer {
        status: head.status,
        headers: head.headers,
        json: serde_json::from_slice(&bytes).unwrap_or_default(),
        text,
    }
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    json: Value,
    text: String,
}

const JSON: (&str, &str) = ("content-type", "application/json");

impl World {
    /// As the owner.
    async fn own(&self, method: &str, path: &str, body: Value) -> Answer {
        ask(&self.socket, method.parse().unwrap(), &format!("/api/v1{path}"), &[JSON], Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.own("GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json
    }
}

fn channel(name: &str) -> Value {
    json!({"name": name, "provider": "openai", "credentials": [CANARY], "headers": {"x-secret": CANARY}, "proxy": format!("http://u:{CANARY}@p")})
}

#[tokio::test]
async fn only_an_admin_token_opens_the_api_over_tcp() {
    let world = world();
    let key = world.own("POST", "/keys", json!({"name": "k"})).await.json["secret"].as_str().unwrap().to_owned();
    let token =
        world.own("POST", "/admin-tokens", json!({"name": "t"})).await.json["token"].as_str().unwrap().to_owned();
    let status = async |headers: &[(&str, &str)]| {
        ask(&world.tcp, Method::GET, "/api/v1/channels", headers, None).await.status.as_u16()
    };
    let bearer = |secret: &str| format!("Bearer {secret}");
    assert_eq!(status(&[]).await, 401);
    assert_eq!(status(&[("authorization", &bearer(&key))]).await, 401, "a virtual key is no admin token");
    assert_eq!(status(&[("x-api-key", &token)]).await, 401, "only as bearer");
    assert_eq!(status(&[("authorization", &bearer(&token))]).await, 200);
    // A session stands for a token, and ends with it.
    let refused = ask(&world.tcp, Method::POST, "/api/v1/session", &[JSON], Some(json!({"token": key}))).await;
    assert_eq!(refused.status, 401);
    let opened = ask(&world.tcp, Method::POST, "/api/v1/session", &[JSON], Some(json!({"token": token}))).await;
    let cookie = opened.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(status(&[("cookie", &format!("a=b; {cookie}"))]).await, 200);
    assert_eq!(status(&[("cookie", "myelin_session=other")]).await, 401);
    world.store.apply(Change::RemoveAdminToken { token: "t".into() }, "test").await.unwrap();
    assert_eq!(status(&[("cookie", cookie)]).await, 401);
    assert_eq!(status(&[("authorization", &bearer(&token))]).await, 401);
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let world = world();
    let token = world.own("POST", "/admin-tokens", json!({"name": "t"})).await.json["token"].clone();
    let opened = ask(&world.tcp, Method::POST, "/api/v1/session", &[JSON], Some(json!({"token": token}))).await;
    let cookie = opened.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let own = [("cookie", cookie.as_str())];
    assert_eq!(ask(&world.tcp, Method::DELETE, "/api/v1/session", &own, None).await.status, 200);
    assert_eq!(ask(&world.tcp, Method::GET, "/api/v1/channels", &own, None).await.status, 401);
}

#[tokio::test]
async fn writes_carry_json() {
    let world = world();
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let headers: Vec<_> = kind.map(|kind| ("content-type", kind)).into_iter().collect();
        let body = Some(json!({"name": "k"}));
        let answer = ask(&world.socket, Method::POST, "/api/v1/keys", &headers, body).await;
        assert_eq!(answer.status, 415, "{kind:?}");
    }
    assert!(world.store.entities().keys.is_empty());
    let malformed = Request::post("/api/v1/keys").header("content-type", "application/json; charset=utf-8");
    let answer = world.socket.clone().oneshot(malformed.body(Body::from("{")).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 400);
    let unknown = world.own("POST", "/keys", json!({"name": "k", "nmae": 1})).await;
    assert!(unknown.status == 400 && unknown.text.contains("nmae"), "{}", unknown.text);
}

#[tokio::test]
async fn a_channel_is_off_until_a_test_passes() {
    let world = world();
    let made = world.own("POST", "/channels", channel("main")).await;
    assert_eq!((made.status.as_u16(), &made.json["channel"]["enabled"]), (201, &json!(false)));
    let refused = world.own("POST", "/channels/main/enable", json!({})).await;
    assert!(refused.status == 409 && refused.text.contains("test it first"), "{}", refused.text);
    let tested = world.own("POST", "/channels/main/test", json!({"enable": true})).await;
    assert_eq!((&tested.json["passed"], &tested.json["enabled"]), (&json!(true), &json!(true)));
    assert_eq!(world.own("POST", "/channels/main/disable", json!({})).await.json["channel"]["enabled"], json!(false));
    assert_eq!(world.own("POST", "/channels/main/enable", json!({})).await.status, 200);
    world.own("POST", "/channels", channel("bad")).await;
    let tested = world.own("POST", "/channels/bad/test", json!({"enable": true})).await;
    assert_eq!((&tested.json["passed"], &tested.json["enabled"]), (&json!(false), &json!(false)));
    assert_eq!(world.own("POST", "/channels/bad/enable", json!({"force": true})).await.status, 200);
    assert_eq!(world.own("POST", "/channels/main/models", json!({})).await.json["models"], json!(["a", "b"]));
    assert_eq!(world.get("/channels/main").await["listed"], json!(["a", "b"]));
    assert_eq!(world.own("POST", "/channels/gone/test", json!({})).await.status, 404);
}

#[tokio::test]
async fn case_46_a_patch_leaves_what_it_omits() {
    let world = world();
    let whole = json!({
        "name": "main", "provider": "openai", "base_urls": ["https://a.example/v1"], "credentials": [CANARY, "env:B"], "models": ["m"],
        "tags": ["t"], "weight": 7, "options": {"region": "eu"}, "headers": {"x-a": CANARY}, "timeouts": {"idle_ms": 5},
        "proxy": "http://p.example", "allow_link_local": true,
    });
    world.own("POST", "/channels", whole).await;
    let before = world.get("/channels/main").await;
    let stored = world.store.entities().channel("main").unwrap().clone();
    assert_eq!(world.own("PATCH", "/channels/main", json!({})).await.status, 200);
    assert_eq!(world.get("/channels/main").await, before);
    assert_eq!(*world.store.entities().channel("main").unwrap(), stored, "secrets too");
    // One field at a time, and `null` where there is one.
    for (patch, field, value) in [
        (json!({"weight": 9}), "weight", json!(9)),
        (json!({"models": null}), "models", Value::Null),
        (json!({"proxy": null}), "proxy", Value::Null),
        (json!({"headers": {"x-a": "***", "x-b": "1"}}), "headers", json!({"x-a": "***", "x-b": "***"})),
    ] {
        let mut expected = world.get("/channels/main").await;
        expected[field] = value;
        let answer = world.own("PATCH", "/channels/main", patch).await;
        assert_eq!(answer.json["channel"], expected);
    }
    let headers = world.store.entities().channel("main").unwrap().headers.clone();
    assert_eq!((&headers["x-a"], &headers["x-b"]), (&json!(CANARY), &json!("1")), "a masked value is no new value");
    world
        .own(
            "POST",
            "/keys",
            json!({"name": "k", "models": ["gpt-*"], "tool": "codex", "expires": 1_900_000_000_000_u64}),
        )
        .await;
    let before = world.get("/keys/k").await;
    let mut unchanged = world.own("PATCH", "/keys/k", json!({})).await.json;
    assert_eq!(unchanged.as_object_mut().unwrap().remove("warnings"), Some(json!([])));
    assert_eq!(unchanged, before);
    assert_eq!(world.own("PATCH", "/keys/k", json!({"blocked": true})).await.json["blocked"], json!(true));
    let renamed = world.own("PATCH", "/keys/k", json!({"name": "laptop", "tool": null})).await.json;
    assert_eq!(
        (&renamed["models"], &renamed["tool"], &renamed["id"]),
        (&json!(["gpt-*"]), &Value::Null, &before["id"])
    );
    assert_eq!(renamed["blocked"], json!(true));
    world.own("POST", "/profiles", json!({"name": "p", "rules": [{"match": "*", "to": "echo"}]})).await;
    assert_eq!(world.own("PATCH", "/profiles/p", json!({})).await.json["profile"]["rules"][0]["to"], "echo");
}

#[tokio::test]
async fn case_47_no_answer_holds_a_provider_secret() {
    let world = world();
    let mut seen = world.own("POST", "/channels", channel("main")).await.text;
    for path in ["/channels", "/channels/main", "/status", "/changes", "/settings"] {
        seen.push_str(&world.own("GET", path, Value::Null).await.text);
    }
    seen.push_str(&world.own("PATCH", "/channels/main", json!({"weight": 2})).await.text);
    seen.push_str(&world.own("PATCH", "/channels/main", json!({"proxy": format!("ftp://u:{CANARY}@p")})).await.text);
    assert!(seen.contains("…6789"), "the hint is shown");
    assert!(!seen.contains("canary"), "{seen}");
}

#[tokio::test]
async fn a_keys_secret_is_in_one_answer_only() {
    let world = world();
    let made = world.own("POST", "/keys", json!({"name": "k"})).await.json;
    let secret = made["secret"].as_str().unwrap();
    let rotated = world.own("POST", "/keys/k/rotate", json!({"grace_seconds": 60})).await.json;
    assert!(secret.starts_with("my-") && rotated["secret"] != made["secret"]);
    assert_eq!(rotated["key"]["grace_until"], json!([1_800_000_060_000_u64]));
    for path in ["/keys", "/keys/k", "/changes"] {
        let text = world.own("GET", path, Value::Null).await.text;
        assert!(!text.contains(secret) && !text.contains(rotated["secret"].as_str().unwrap()), "{text}");
    }
    assert_eq!(world.own("POST", "/keys", json!({"name": "k"})).await.status, 409);
    assert_eq!(world.own("DELETE", "/keys/k", Value::Null).await.status, 200);
    assert_eq!(world.own("GET", "/keys/k", Value::Null).await.status, 404);
}

#[tokio::test]
async fn the_active_profile_is_switched_for_all_a_key_or_a_tool() {
    let world = world();
    world.own("POST", "/profiles", json!({"name": "cheap", "rules": [{"match": "*", "to": "gone"}]})).await;
    for (name, tool) in [("a", "codex"), ("b", "codex"), ("c", "aider")] {
        world.own("POST", "/keys", json!({"name": name, "tool": tool})).await;
    }
    let switched = world.own("PUT", "/active-profile", json!({"profile": "cheap"})).await.json;
    assert_eq!(switched["active"], "cheap");
    let switched = world.own("PUT", "/active-profile", json!({"profile": "direct", "tool": "codex"})).await.json;
    assert_eq!(switched["keys"].as_array().unwrap().len(), 2);
    let switched = world.own("PUT", "/active-profile", json!({"profile": null, "key": "a"})).await.json;
    assert_eq!(switched["keys"].as_array().unwrap().len(), 1);
    assert_eq!(world.own("PUT", "/active-profile", json!({"profile": "gone"})).await.status, 404);
    assert_eq!(world.own("PUT", "/active-profile", json!({"profile": "cheap", "tool": "gone"})).await.status, 404);
    assert_eq!(world.own("DELETE", "/profiles/cheap", Value::Null).await.status, 409, "it is active");
}

#[tokio::test]
async fn a_route_may_have_a_slash_in_its_name() {
    let world = world();
    world.own("POST", "/channels", channel("main")).await;
    let body = json!({"model": "vendor/smart", "groups": [{"use": ["main/*", "gone/x"]}]});
    let made = world.own("POST", "/routes", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.json["warnings"].to_string().contains("no channel 'gone'"), "{}", made.text);
    assert_eq!(world.get("/routes/vendor%2Fsmart").await["model"], "vendor/smart");
    let patched = world.own("PATCH", "/routes/vendor%2Fsmart", json!({"groups": []})).await;
    assert_eq!(patched.status, 422, "{}", patched.text);
    assert_eq!(patched.json["error"]["problems"][0]["severity"], "error");
    let removed = world.own("DELETE", "/channels/main", Value::Null).await;
    assert!(removed.text.contains("no channel 'main'"), "who points at it is named: {}", removed.text);
    assert_eq!(world.own("DELETE", "/routes/vendor%2Fsmart", Value::Null).await.status, 200);
}

#[tokio::test]
async fn logs_are_listed_filtered_paged_and_followed() {
    let world = world();
    world.own("POST", "/keys", json!({"name": "k"})).await;
    let id = world.store.entities().key("k").unwrap().id.clone();
    let record = |n: u64| RequestRecord {
        id: format!("req_{:032x}", u128::from(1_800_000_000_000 + n) << 80),
        started: 1_800_000_000_000 + n,
        model: "m".into(),
        key: n.is_multiple_of(2).then(|| id.clone()),
        ..RequestRecord::default()
    };
    let start = world.get("/requests/live").await["next"].as_u64().unwrap();
    for n in 0..5 {
        world.store.ledger().append(record(n));
    }
    let live = world.get(&format!("/requests/live?after={start}&wait=20")).await;
    assert_eq!((&live["records"][0]["id"], &live["gap"]), (&json!(record(0).id), &json!(false)));
    world.store.ledger().append_durable(record(5)).await.unwrap().unwrap();
    let page = world.get("/requests?limit=4").await;
    assert_eq!(page["records"][0]["id"], json!(record(5).id));
    let rest = world.get(&format!("/requests?limit=4&before={}", page["next"].as_str().unwrap())).await;
    assert_eq!((rest["records"].as_array().unwrap().len(), &rest["next"]), (2, &Value::Null));
    let by_name = world.get("/requests?key=k").await;
    assert_eq!(by_name["records"].as_array().unwrap().len(), 3, "a key's name stands for its id");
    assert_eq!(
        (&by_name["keys"], &live["keys"]),
        (&json!({ &id: "k" }), &json!({ &id: "k" })),
        "and is told with them"
    );
    assert_eq!(world.get("/requests?state=completed").await["records"], json!([]));
    assert_eq!(world.get(&format!("/requests/{}", record(3).id)).await["started"], json!(record(3).started));
    for wrong in ["/requests?state=odd", "/requests?before=x!", "/requests?limt=1", "/requests/live?after=x"] {
        assert_eq!(world.own("GET", wrong, Value::Null).await.status, 400, "{wrong}");
    }
    assert_eq!(world.own("GET", "/requests/req_0", Value::Null).await.status, 404);
}

#[tokio::test]
async fn following_waits_and_gives_up_in_time() {
    let world = world();
    let began = tokio::time::timeout(Duration::from_secs(10), world.get("/requests/live?wait=1")).await.unwrap();
    assert_eq!(began["records"], json!([]));
}

#[tokio::test]
async fn settings_are_patched_and_changes_name_their_maker() {
    let world = world();
    let patched = world.own("PATCH", "/settings", json!({"max_attempts": 3, "timeouts": {"idle_ms": 4}})).await.json;
    assert_eq!(
        (&patched["settings"]["max_attempts"], &patched["settings"]["timeouts"]["idle_ms"]),
        (&json!(3), &json!(4))
    );
    assert!(patched["settings"].get("master_key").is_none());
    assert_eq!(world.own("PATCH", "/settings", json!({"max_attempts": 0})).await.status, 422);
    let token =
        world.own("POST", "/admin-tokens", json!({"name": "ops"})).await.json["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [JSON, ("authorization", bearer.as_str())];
    ask(&world.tcp, Method::POST, "/api/v1/keys", &headers, Some(json!({"name": "k"}))).await;
    let changes = world.get("/changes?limit=3").await;
    let makers: Vec<_> =
        changes["changes"].as_array().unwrap().iter().map(|line| line["who"].as_str().unwrap()).collect();
    assert_eq!(makers, ["admin:ops", "cli", "cli"]);
    let status = world.get("/status").await;
    assert_eq!((&status["keys"], &status["key_file"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn the_api_describes_itself_to_anyone() {
    let world = world();
    let served = ask(&world.tcp, Method::GET, "/openapi.json", &[], None).await;
    assert_eq!(served.json["openapi"].as_str().unwrap().split('.').take(2).collect::<Vec<_>>(), ["3", "1"]);
    assert_eq!(served.json, serde_json::from_str::<Value>(&openapi()).unwrap());
    let page = ask(&world.tcp, Method::GET, "/docs", &[], None).await.text;
    assert!(page.contains("/api/v1/channels/{name}/test") && !page.contains("<script"));
    let outside = page.matches("://").count();
    assert_eq!(outside, 0, "nothing comes from elsewhere");
    assert_eq!(ask(&world.tcp, Method::GET, "/api/v1/nothing", &[], None).await.status, 404);
}

#[test]
fn the_committed_description_is_fresh() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let committed = std::fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
    assert!(committed == openapi(), "run: cargo run -p myelin -- admin openapi > docs/reference/openapi.json");
}
