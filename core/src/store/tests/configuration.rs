//! What is configured survives, and secrets do not leak.

use super::*;

#[test]
fn what_is_configured_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    store.apply_blocking(Change::EnableChannel { name: "main".into(), enabled: true }, "test").unwrap();
    let state = ChannelState::Working { at: 5 };
    store.apply_blocking(Change::ChannelTested { name: "main".into(), state: state.clone() }, "test").unwrap();
    store.apply_blocking(Change::ChannelListed { name: "main".into(), models: vec!["m".into()] }, "test").unwrap();
    store.apply_blocking(new_key("laptop"), "test").unwrap();
    let group = RouteGroup { targets: vec!["main/m".into()], ..RouteGroup::default() };
    let route = Route { model: "smart".into(), groups: vec![group], ..Route::default() };
    store.apply_blocking(Change::CreateRoute(route), "test").unwrap();
    store.apply_blocking(Change::CreateProfile(profile("cheap")), "test").unwrap();
    let switch = Change::UseProfile { key: Some("laptop".into()), profile: Some("cheap".into()) };
    store.apply_blocking(switch, "test").unwrap();
    store.apply_blocking(Change::UseProfile { key: None, profile: Some("cheap".into()) }, "test").unwrap();
    let settings = json!({"max_attempts": 7, "timeouts": {"idle_ms": 9}}).as_object().unwrap().clone();
    store.apply_blocking(Change::SetSettings(settings), "test").unwrap();
    let before = store.entities();
    drop(store);
    let after = open(dir.path()).entities();
    assert_eq!(*after, Entities { version: 0, ..(*before).clone() });
    let main = after.channel("main").unwrap();
    assert_eq!(main.credentials[0].secret, SecretSource::parse(CANARY));
    assert_eq!(main.headers["x-secret"], CANARY);
    assert!(main.enabled && main.state == state && main.listed == ["m"]);
    assert_eq!(
        (after.active_profile.as_str(), after.key("laptop").unwrap().profile.as_deref()),
        ("cheap", Some("cheap"))
    );
    assert_eq!((after.settings.max_attempts, after.settings.timeouts.idle_ms), (7, Some(9)));
}

#[test]
fn case_47_a_secret_is_nowhere_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    let key = store.apply_blocking(new_key("laptop"), "test").unwrap().issued.remove(0);
    let token = store.apply_blocking(Change::CreateAdminToken { name: "cli".into() }, "test").unwrap().issued.remove(0);
    store.apply_blocking(Change::RotateKey { key: "laptop".into(), grace_seconds: 60 }, "test").unwrap();
    store.close();
    let bytes = all_bytes(dir.path());
    assert!(holds(&bytes, "openai") && holds(&bytes, "laptop"), "what is no secret is readable");
    for secret in [CANARY, key.secret.expose(), token.secret.expose()] {
        assert!(!holds(&bytes, secret), "{secret}");
    }
}

#[test]
fn a_key_shows_its_secret_once_and_keeps_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let applied = store.apply_blocking(new_key("laptop"), "test").unwrap();
    let issued = &applied.issued[0];
    let key = applied.entities.key("laptop").unwrap();
    assert!(issued.secret.expose().starts_with("my-") && issued.secret.expose().len() >= 35);
    assert_eq!(key.hash, hash_secret(issued.secret.expose()));
    assert!(key.id.starts_with("key_") && key.id == issued.id);
    assert!(matches!(store.apply_blocking(new_key("laptop"), "test"), Err(ChangeError::Exists { .. })));
}

#[test]
fn rotation_keeps_the_key_and_lets_the_old_secret_work_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    let first = store.apply_blocking(new_key("laptop"), "test").unwrap().issued.remove(0);
    let rotate = |grace_seconds| Change::RotateKey { key: "laptop".into(), grace_seconds };
    let second = store.apply_blocking(rotate(60), "test").unwrap();
    let key = second.entities.key("laptop").unwrap();
    assert_eq!(
        (key.id.as_str(), key.hash.as_str()),
        (first.id.as_str(), hash_secret(second.issued[0].secret.expose()).as_str())
    );
    assert_eq!(key.grace[0].hash, hash_secret(first.secret.expose()));
    assert_eq!(key.grace[0].until, clock.unix_ms() + 60_000);
    clock.advance_ms(60_000);
    let third = store.apply_blocking(rotate(0), "test").unwrap();
    assert!(
        third.entities.key("laptop").unwrap().grace.is_empty(),
        "the old one has run out, the newer one got no grace"
    );
}

#[test]
fn what_the_file_declares_comes_first_and_is_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    create(&store, channel("own"));
    let mut file = channel("main");
    (file.origin, file.enabled) = (Origin::File, true);
    let declared = Declared {
        channels: vec![file.clone()],
        keys: vec![declared_key("made", None), declared_key("given", Some("a-long-given-secret"))],
        profiles: vec![Profile { origin: Origin::File, ..profile("cheap") }],
        fixed_settings: ["max_attempts".to_owned()].into(),
        settings: Settings { max_attempts: 2, ..Settings::default() },
        ..Declared::default()
    };
    let applied = store.declare(declared.clone()).unwrap();
    let names: Vec<_> = applied.entities.channels.iter().map(|c| (c.name.as_str(), c.origin)).collect();
    assert_eq!(names, [("main", Origin::File), ("own", Origin::Store)]);
    assert!(
        applied.warnings.iter().any(|problem| problem.path == "channels.main" && problem.message.contains("hidden"))
    );
    assert_eq!(applied.issued.len(), 1, "only the key without a secret gets one");
    assert_eq!(applied.entities.key("given").unwrap().hash, hash_secret("a-long-given-secret"));
    let refused = [
        Change::UpdateChannel(Box::new(file)),
        Change::RemoveChannel { name: "main".into() },
        Change::EnableChannel { name: "main".into(), enabled: false },
        Change::BlockKey { key: "given".into(), blocked: true },
        Change::RemoveKey { key: "made".into() },
        Change::RotateKey { key: "given".into(), grace_seconds: 0 },
        Change::RemoveProfile { name: "cheap".into() },
        Change::SetSettings(json!({"max_attempts": 3}).as_object().unwrap().clone()),
    ];
    for change in refused {
        let error = store.apply_blocking(change.clone(), "test").unwrap_err();
        assert!(error.to_string().contains("managed by the configuration file"), "{change:?}: {error}");
    }
    // What is found out, and switches, are not the file's.
    let tested = Change::ChannelTested { name: "main".into(), state: ChannelState::Working { at: 1 } };
    store.apply_blocking(tested, "test").unwrap();
    let switch = Change::UseProfile { key: Some("given".into()), profile: Some("cheap".into()) };
    store.apply_blocking(switch, "test").unwrap();
    store.apply_blocking(Change::RotateKey { key: "made".into(), grace_seconds: 0 }, "test").unwrap();
    // Read again, or in another life: nothing is made twice, and switches win over the file.
    let ids = |store: &Store| -> Vec<String> { store.entities().keys.iter().map(|key| key.id.clone()).collect() };
    let before = ids(&store);
    assert!(store.declare(declared.clone()).unwrap().issued.is_empty());
    drop(store);
    let store = open(dir.path());
    assert!(store.declare(declared).unwrap().issued.is_empty());
    assert_eq!(ids(&store), before);
    assert_eq!(store.entities().key("given").unwrap().profile.as_deref(), Some("cheap"));
}

#[test]
fn a_switch_is_stored_and_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let declared = Declared {
        settings: Settings { active_profile: "cheap".into(), ..Settings::default() },
        profiles: vec![profile("cheap"), profile("fast")],
        ..Declared::default()
    };
    assert_eq!(store.declare(declared.clone()).unwrap().entities.active_profile, "cheap");
    store.apply_blocking(Change::UseProfile { key: None, profile: Some("fast".into()) }, "test").unwrap();
    assert_eq!(store.declare(declared.clone()).unwrap().entities.active_profile, "fast");
    // Its profile is gone: the file's word counts again, and it is said.
    let without = Declared { profiles: vec![profile("cheap")], ..declared.clone() };
    let applied = store.declare(without).unwrap();
    assert_eq!(applied.entities.active_profile, "cheap");
    assert!(applied.warnings.iter().any(|problem| problem.message.contains("no profile 'fast'")));
    let none = Declared { profiles: Vec::new(), ..declared };
    assert_eq!(store.declare(none).unwrap().entities.active_profile, DIRECT);
}

#[test]
fn wrong_changes_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, channel("main"));
    store.apply_blocking(Change::CreateProfile(profile("cheap")), "test").unwrap();
    store.apply_blocking(Change::UseProfile { key: None, profile: Some("cheap".into()) }, "test").unwrap();
    let before = store.entities();
    let object = |value: serde_json::Value| Change::SetSettings(value.as_object().unwrap().clone());
    let wrong: [(Change, &str); 14] = [
        (Change::CreateChannel(Box::new(channel("main"))), "already"),
        (Change::CreateChannel(Box::new(Channel { provider: "nobody".into(), ..channel("x") })), "no provider"),
        (Change::CreateChannel(Box::new(channel("a/b"))), "only letters"),
        (Change::UpdateChannel(Box::new(channel("gone"))), "no channel 'gone'"),
        (Change::RemoveKey { key: "gone".into() }, "no key 'gone'"),
        (Change::UseProfile { key: None, profile: Some("gone".into()) }, "no profile"),
        (Change::UseProfile { key: None, profile: None }, "needs an active profile"),
        (Change::RemoveProfile { name: "cheap".into() }, "is active"),
        (Change::CreateProfile(profile(DIRECT)), "built in"),
        (object(json!({"max_attempts": 0})), "at least 1"),
        (object(json!({"max_attemptz": 1})), "unknown field"),
        (object(json!({"master_key": "x"})), "configuration file or the environment"),
        (object(json!({"listen": ["0.0.0.0:1"]})), "lan = true"),
        (
            Change::CreateKey(Box::new(NewKey {
                name: "k".into(),
                secret: Some(Secret::new("short")),
                ..NewKey::default()
            })),
            "at least 16",
        ),
    ];
    for (change, message) in wrong {
        let error = store.apply_blocking(change.clone(), "test").unwrap_err();
        assert!(error.to_string().contains(message), "{change:?}: {error}");
    }
    assert!(Arc::ptr_eq(&before, &store.entities()));
}

#[test]
fn a_setting_goes_back_to_its_default_with_null() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let set = |value: serde_json::Value| {
        let change = Change::SetSettings(value.as_object().unwrap().clone());
        store.apply_blocking(change, "test").unwrap().entities.settings.clone()
    };
    assert_eq!(set(json!({"timeouts": {"idle_ms": 5}, "metadata_days": 3})).timeouts.idle_ms, Some(5));
    let settings = set(json!({"timeouts": {"idle_ms": null}}));
    assert_eq!((settings.timeouts.idle_ms, settings.metadata_days), (None, 3));
    assert_eq!(set(json!({"metadata_days": null})), Settings::default());
}

#[tokio::test]
async fn changes_are_told_and_logged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut told = store.subscribe();
    store.apply(Change::CreateChannel(Box::new(channel("main"))), "admin:cli").await.unwrap();
    told.changed().await.unwrap();
    assert_eq!(told.borrow_and_update().channels.len(), 1);
    store
        .apply_with("cli", |entities| {
            let main = entities.channel("main").cloned().unwrap();
            Ok(Change::UpdateChannel(Box::new(Channel { weight: 5, ..main })))
        })
        .await
        .unwrap();
    let log = store.changes(None, 10).unwrap();
    let lines: Vec<_> = log.iter().map(|line| (line.who.as_str(), line.what.as_str(), line.name.as_str())).collect();
    assert_eq!(lines, [("cli", "update channel", "main"), ("admin:cli", "create channel", "main")]);
    assert_eq!(store.changes(Some(log[0].id), 10).unwrap().len(), 1);
    assert_eq!(store.entities().channel("main").unwrap().weight, 5);
}

#[test]
fn admin_tokens_open_only_as_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let issued =
        store.apply_blocking(Change::CreateAdminToken { name: "cli".into() }, "test").unwrap().issued.remove(0);
    assert!(issued.secret.expose().starts_with("mya-"));
    assert_eq!(store.admin_token(issued.secret.expose()).unwrap().name, "cli");
    assert!(store.admin_token("mya-other").is_none() && store.admin_token("").is_none());
    store.apply_blocking(Change::RemoveAdminToken { token: "cli".into() }, "test").unwrap();
    assert!(store.admin_token(issued.secret.expose()).is_none() && store.admin_tokens().is_empty());
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = open_with(dir.path(), &clock(), &MasterKey::KeyFile).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, StoreError::InUse { owner: Some(pid), .. } if pid == own), "{error}");
    assert!(error.to_string().contains(&own.to_string()), "{error}");
    drop(store);
    open(dir.path());
}

#[test]
fn another_master_key_is_refused_and_moving_to_one_seals_anew() {
    let dir = tempfile::tempdir().unwrap();
    let given = MasterKey::Given(Secret::new("a long and random master key"));
    let store = open(dir.path());
    create(&store, channel("main"));
    assert!(store.uses_key_file());
    drop(store);
    // From the key file to a given key.
    let store = open_with(dir.path(), &clock(), &given).unwrap();
    assert_eq!(store.entities().channel("main").unwrap().credentials[0].secret, SecretSource::parse(CANARY));
    assert!(!store.uses_key_file() && !dir.path().join("seal.key").exists());
    drop(store);
    let other = MasterKey::Given(Secret::new("another long and random key"));
    for wrong in [other, MasterKey::KeyFile] {
        assert!(matches!(open_with(dir.path(), &clock(), &wrong), Err(StoreError::WrongKey { .. })));
    }
    assert!(!dir.path().join("seal.key").exists(), "no new key file was made for a store that has another key");
    open_with(dir.path(), &clock(), &given).unwrap();
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_data() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let _store = open(&data);
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["myelin.redb", "journal.a", "journal.b", "seal.key"] {
        assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}
