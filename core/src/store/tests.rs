//! The store as a whole: what is configured survives, secrets do not leak, records are never lost.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::TestClock;
use crate::model::{
    Channel, ChannelState, Credential, DIRECT, DeclaredKey, Origin, Profile, ProfileRule, RequestRecord, RequestState,
    Route, RouteGroup, Secret, SecretSource, Settings, VirtualKey,
};

const CANARY: &str = "sk-canary-5f2b9c7d1e";

fn clock() -> TestClock {
    let clock = TestClock::default();
    clock.advance_ms(1_800_000_000_000);
    clock
}

fn open_with(dir: &Path, clock: &TestClock, master: &MasterKey) -> Result<Store, StoreError> {
    Store::open(dir, Arc::new(clock.clone()), master, Arc::new(|provider: &str| provider == "openai"))
}

fn open(dir: &Path) -> Store {
    open_with(dir, &clock(), &MasterKey::KeyFile).unwrap()
}

fn channel(name: &str) -> Channel {
    let mut channel: Channel = serde_json::from_value(json!({"name": name, "provider": "openai"})).unwrap();
    channel.credentials = vec![Credential { secret: SecretSource::parse(CANARY) }];
    channel.headers.insert("x-secret".into(), CANARY.into());
    channel.proxy = Some(format!("http://user:{CANARY}@proxy.example"));
    channel
}

fn create(store: &Store, channel: Channel) -> Applied {
    store.apply_blocking(Change::CreateChannel(Box::new(channel)), "test").unwrap()
}

fn new_key(name: &str) -> Change {
    Change::CreateKey(Box::new(NewKey { name: name.into(), ..NewKey::default() }))
}

fn profile(name: &str) -> Profile {
    let rule = ProfileRule { glob: Some("*".into()), to: "echo".into(), ..ProfileRule::default() };
    Profile { name: name.into(), rules: vec![rule], ..Profile::default() }
}

fn declared_key(name: &str, secret: Option<&str>) -> DeclaredKey {
    let key: VirtualKey =
        serde_json::from_value(json!({"id": "", "name": name, "hash": "", "hint": "", "created": 0, "origin": "file"}))
            .unwrap();
    DeclaredKey { key, secret: secret.map(Secret::new) }
}

/// Every byte in the data directory.
fn all_bytes(dir: &Path) -> Vec<u8> {
    fs::read_dir(dir).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

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

// --- records -------------------------------------------------------------------------------------------------------------------------------------

/// The n-th record: ids rise with n.
fn record(n: u64) -> RequestRecord {
    RequestRecord {
        id: format!("req_{:032x}", (u128::from(1_800_000_000_000 + n) << 80) | u128::from(n)),
        started: 1_800_000_000_000 + n,
        model: if n.is_multiple_of(2) { "even" } else { "odd" }.into(),
        key: Some(format!("key_{}", n % 3)),
        channel: Some("main".into()),
        state: if n.is_multiple_of(5) { RequestState::Failed } else { RequestState::Completed },
        ..RequestRecord::default()
    }
}

async fn all(store: &Store) -> Vec<RequestRecord> {
    store.ledger().list(Filter::default(), None, 100_000).await.unwrap().records
}

async fn append_durably(store: &Store, records: impl IntoIterator<Item = RequestRecord>) {
    let mut last = None;
    for record in records {
        last = Some(store.ledger().append_durable(record));
    }
    last.unwrap().await.unwrap().unwrap();
}

#[tokio::test]
async fn records_come_back_newest_first_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, (0..25).map(record)).await;
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.ledger().list(Filter::default(), cursor, 10).await.unwrap();
        seen.extend(page.records.into_iter().map(|record| record.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        // A cursor survives its trip through an address.
        cursor = Some(cursor.unwrap().to_string().parse().unwrap());
    }
    let wanted: Vec<String> = (0..25).rev().map(|n| record(n).id).collect();
    assert_eq!(seen, wanted);
    assert_eq!(store.ledger().get(&record(7).id).await.unwrap(), Some(record(7)));
    assert_eq!(store.ledger().get("req_0").await.unwrap(), None);
    assert_eq!(store.ledger().count().unwrap(), 25);
}

#[tokio::test]
async fn filters_let_through_what_they_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, (0..60).map(record)).await;
    let count = async |filter: Filter| store.ledger().list(filter, None, 1_000).await.unwrap().records.len();
    assert_eq!(count(Filter { model: Some("even".into()), ..Filter::default() }).await, 30);
    assert_eq!(count(Filter { key: Some("key_1".into()), ..Filter::default() }).await, 20);
    assert_eq!(count(Filter { channel: Some("gone".into()), ..Filter::default() }).await, 0);
    assert_eq!(count(Filter { state: Some(RequestState::Failed), ..Filter::default() }).await, 12);
    let since = Some(1_800_000_000_050);
    assert_eq!(count(Filter { since, ..Filter::default() }).await, 10);
    assert_eq!(count(Filter { until: since, model: Some("odd".into()), ..Filter::default() }).await, 25);
    let page = store.ledger().list(Filter { model: Some("even".into()), ..Filter::default() }, None, 30).await.unwrap();
    assert!(page.next.is_some() || page.records.len() == 30);
}

#[tokio::test]
async fn a_record_can_be_followed_and_found_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let live = store.ledger().live();
    let start = live.position();
    store.ledger().append(record(1));
    tokio::time::timeout(Duration::from_secs(20), live.wait(start)).await.unwrap();
    let seen = live.after(start, 10);
    assert_eq!(*seen.records[0], record(1));
    assert_eq!(store.ledger().get(&record(1).id).await.unwrap(), Some(record(1)));
}

/// What a process that died right now would leave behind.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_handed_over_survives_the_death_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // No commit can have happened yet for the last ones: the writer holds them for company.
    for n in 0..300 {
        store.ledger().append(record(n));
        if n % 50 == 49 {
            // No commit while the file is copied: a process that dies leaves no half-copied page behind.
            let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
            let reopened = open(copy.path());
            assert_eq!(all(&reopened).await.len() as u64, n + 1, "after {n}");
        }
    }
}

#[tokio::test]
async fn replaying_a_journal_twice_is_replaying_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..20 {
        store.ledger().append(record(n));
    }
    store.kept().put("responses", "r", "key_1", Duration::from_secs(60), b"value");
    let journals = ["journal.a", "journal.b"].map(|name| fs::read(dir.path().join(name)).unwrap());
    assert!(journals.iter().any(|journal| !journal.is_empty()));
    store.close();
    drop(store);
    for _ in 0..2 {
        for (name, bytes) in ["journal.a", "journal.b"].iter().zip(&journals) {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let store = open(dir.path());
        assert_eq!(all(&store).await, (0..20).rev().map(record).collect::<Vec<_>>());
        assert_eq!(store.kept().get("responses", "r").await.unwrap().unwrap().value, "value");
        assert_eq!(fs::metadata(dir.path().join("journal.a")).unwrap().len(), 0, "what is folded in is gone");
    }
}

#[tokio::test]
async fn a_journal_cut_anywhere_gives_every_whole_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut ends = Vec::new();
    for n in 0..3 {
        store.ledger().append(record(n));
        ends.push(store.ledger().health().journal_bytes);
    }
    let journal = fs::read(dir.path().join("journal.a")).unwrap();
    store.close();
    drop(store);
    assert_eq!(journal.len() as u64, ends[2]);
    for cut in 0..=journal.len() {
        let fresh = tempfile::tempdir().unwrap();
        fs::write(fresh.path().join("journal.a"), &journal[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        // Opening a store for every byte is slow: the reader of frames is asked for most, the whole store at the edges.
        let edge = ends.iter().any(|end| end.abs_diff(cut as u64) <= 1) || cut <= 1;
        if edge {
            assert_eq!(all(&open(fresh.path())).await.len(), whole, "cut {cut}");
        } else {
            let (_, jobs) = writer::read_journal(fresh.path()).unwrap();
            assert_eq!(jobs, whole, "cut {cut}");
        }
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_record_that_it_had_handed_over() {
    // The test binary runs itself: the child appends and says how far it came, until it is killed.
    if let Some(dir) = std::env::var_os("MYELIN_STORE_TEST_DIR") {
        use std::io::Write as _;
        let store = open(Path::new(&dir));
        for n in 0.. {
            store.ledger().append(record(n));
            let mut out = std::io::stderr().lock();
            writeln!(out, "appended {n}").unwrap();
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::a_killed_process_loses_no_record_that_it_had_handed_over", "--nocapture"])
        .env("MYELIN_STORE_TEST_DIR", dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    for line in lines.map_while(Result::ok) {
        let Some(n) = line.strip_prefix("appended ").and_then(|n| n.parse::<u64>().ok()) else { continue };
        last = n;
        if n == 3_000 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(last >= 3_000);
    let store = open(dir.path());
    let records = all(&store).await;
    assert!(records.len() as u64 > last, "{} of {}", records.len(), last + 1);
    assert!(records.iter().rev().zip(0..).all(|(found, n)| *found == record(n)), "none is missing in between");
}

#[tokio::test]
async fn old_records_go_and_new_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    append_durably(&store, (0..2_500).map(record)).await;
    clock.advance_ms(86_400_000 + 2_000);
    append_durably(
        &store,
        [RequestRecord { id: format!("req_{:032x}", u128::from(clock.unix_ms()) << 80), ..record(0) }],
    )
    .await;
    store.ledger().keep_days(1);
    for _ in 0..200 {
        if store.ledger().count().unwrap() < 502 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Records 2,000 to 2,499 and the new one are younger than a day.
    assert_eq!(store.ledger().count().unwrap(), 501);
}

#[tokio::test]
async fn an_id_that_is_none_of_ours_is_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let odd = RequestRecord { id: "odd".into(), ..record(3) };
    append_durably(&store, [record(2), odd.clone(), record(4)]).await;
    append_durably(&store, [odd]).await;
    let ids: Vec<String> = all(&store).await.into_iter().map(|record| record.id).collect();
    assert_eq!(ids, [record(4).id, "odd".into(), record(2).id]);
}

#[tokio::test]
async fn case_47_a_secret_in_a_failure_is_masked_before_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let attempt = crate::model::AttemptRecord { error: Some(format!("bad key {CANARY}")), ..Default::default() };
    let message = Some(format!("all failed: {CANARY}"));
    append_durably(&store, [RequestRecord { attempts: vec![attempt], error_message: message, ..record(1) }]).await;
    let live = store.ledger().live().after(0, 10);
    assert!(!format!("{live:?}{:?}", all(&store).await).contains(CANARY));
    store.close();
    assert!(!holds(&all_bytes(dir.path()), CANARY));
}

#[tokio::test]
async fn a_failure_in_words_is_cut_to_a_sane_length() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, [RequestRecord { error_message: Some("ü".repeat(100_000)), ..record(1) }]).await;
    assert!(all(&store).await[0].error_message.as_ref().unwrap().len() < 2_100);
}

#[tokio::test]
async fn a_disk_that_fails_stops_no_traffic_and_loses_nothing_that_fits_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, [record(0)]).await;
    let heal = store.0.db.break_for_test();
    let durable = store.ledger().append_durable(record(1)).await;
    assert!(durable.unwrap().is_err(), "who waits for the disk is told, and goes on");
    let health = store.ledger().health();
    assert!(health.failing && health.commit_failures > 0 && health.last_error.is_some(), "{health:?}");
    // More than memory takes: the rest stands in the journal only.
    let total = 70_000;
    for n in 2..total {
        store.ledger().append(record(n));
    }
    let health = store.ledger().health();
    assert!(health.deferred > 0 && health.lost == 0, "{health:?}");
    assert!(store.ledger().list(Filter::default(), None, 1).await.is_err(), "reading is refused, not hung");
    heal();
    for _ in 0..600 {
        if store.ledger().count().is_ok_and(|count| count == total) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.ledger().count().unwrap(), total);
    let health = store.ledger().health();
    assert!(!health.failing && health.lost == 0, "{health:?}");
}

// --- kept things ---------------------------------------------------------------------------------------------------------------------------------

const SPACE: &str = "responses";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_kept_thing_is_read_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let large = "large and repetitive ".repeat(20_000);
    for (key, value) in [("small", "x"), ("large", large.as_str()), ("empty", "")] {
        assert!(store.kept().put(SPACE, key, "key_1", MINUTE, value.as_bytes()));
        let entry = store.kept().get(SPACE, key).await.unwrap().unwrap();
        assert_eq!((entry.owner.as_str(), &entry.value[..]), ("key_1", value.as_bytes()));
    }
    assert!(store.kept().get("elsewhere", "small").await.unwrap().is_none());
    store.kept().put(SPACE, "small", "key_2", MINUTE, b"newer");
    store.kept().put(SPACE, "gone", "key_1", MINUTE, b"x");
    store.kept().delete(SPACE, "gone");
    assert!(store.kept().get(SPACE, "gone").await.unwrap().is_none());
    drop(store);
    let store = open(dir.path());
    let small = store.kept().get(SPACE, "small").await.unwrap().unwrap();
    assert_eq!((small.owner.as_str(), &small.value[..]), ("key_2", &b"newer"[..]));
    assert_eq!(store.kept().get(SPACE, "large").await.unwrap().unwrap().value, large.as_bytes());
    assert!(store.kept().get(SPACE, "gone").await.unwrap().is_none());
    let size = fs::metadata(store.path()).unwrap().len();
    assert!(size < 4_000_000, "large values are compressed: {size}");
}

#[tokio::test]
async fn a_kept_thing_ends() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    store.kept().put(SPACE, "short", "k", Duration::from_secs(1), b"x");
    store.kept().put(SPACE, "long", "k", MINUTE, b"x");
    clock.advance_ms(1_000);
    assert!(store.kept().get(SPACE, "short").await.unwrap().is_none());
    assert!(store.kept().get(SPACE, "long").await.unwrap().is_some());
    drop(store);
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    assert!(store.kept().get(SPACE, "short").await.unwrap().is_none());
    store.ledger().keep_days(90);
    let gone = |store: &Store| store.0.db.read(|txn| kept::any_ended(txn, clock.unix_ms())).unwrap();
    for _ in 0..200 {
        if !gone(&store) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!gone(&store), "what ended is removed");
}

#[tokio::test]
async fn kept_things_are_listed_in_order_with_their_owners() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in [3, 1, 2] {
        store.kept().put(SPACE, &format!("r{n}"), &format!("k{n}"), MINUTE, b"x");
    }
    store.kept().put(SPACE, "other", "k", MINUTE, b"x");
    let list = async |after: Option<&str>, limit| -> Vec<(String, String)> {
        let found = store.kept().list(SPACE, "r", after, limit).await.unwrap();
        found.into_iter().map(|kept| (kept.key, kept.owner)).collect()
    };
    let pair = |n: u8| (format!("r{n}"), format!("k{n}"));
    assert_eq!(list(None, 10).await, [pair(1), pair(2), pair(3)]);
    assert_eq!(list(Some("r1"), 1).await, [pair(2)]);
    store.close();
    store.kept().delete(SPACE, "r2");
    drop(store);
    let store = open(dir.path());
    let found = store.kept().list(SPACE, "r", None, 10).await.unwrap();
    assert_eq!(found.len(), 3, "a closed store takes no more changes");
}

#[tokio::test]
async fn what_comes_after_closing_is_counted_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.close();
    store.ledger().append(record(1));
    assert!(!store.kept().put(SPACE, "k", "o", MINUTE, b"x"));
    assert_eq!(store.ledger().health().lost, 2);
    assert!(store.ledger().append_durable(record(2)).await.is_err());
}
