//! A backup is everything, opens with its passphrase only, and is taken whole or not at all.

use super::*;
use crate::model::Charge;

const PASSPHRASE: &str = "correct horse battery";

fn secret() -> Secret {
    Secret::new(PASSPHRASE)
}

fn backup(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.backup_blocking(&secret(), true, &mut bytes).unwrap();
    bytes
}

fn restore(store: &Store, bytes: &[u8]) -> Result<BackupSummary, BackupError> {
    store.restore_blocking(&secret(), bytes, "owner")
}

/// A store with something of everything.
async fn filled(dir: &Path) -> Store {
    let store = open(dir);
    let apply = async |change| store.apply(change, "test").await.unwrap();
    apply(Change::CreateChannel(Box::new(channel("main")))).await;
    apply(Change::EnableChannel { name: "main".into(), enabled: true }).await;
    apply(new_key("laptop")).await;
    apply(Change::CreateProfile(profile("cheap"))).await;
    apply(Change::UseProfile { key: None, profile: Some("cheap".into()) }).await;
    apply(Change::SetSettings(json!({"max_attempts": 7}).as_object().unwrap().clone())).await;
    apply(Change::CreateAdminToken { name: "cli".into() }).await;
    append_durably(&store, (0..500).map(record)).await;
    let charges = vec![Charge { counter: 7, at: 1_800_000_000_000, amount: 5 }];
    store.ledger().append_charged(record(500), charges, true).unwrap().await.unwrap().unwrap();
    assert!(store.kept().put(SPACE, "resp_1", "key_1", MINUTE, b"kept"));
    let part = BodyPart { kind: BodyKind::Received, attempt: None, bytes: "said".into(), size: 4 };
    assert!(store.bodies().put(&record(3).id, record(3).started, vec![part]));
    for _ in 0..500 {
        if store.bodies().health().kept == 1 {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the bodies are not kept");
}

/// Everything that can be asked, to compare.
async fn everything(
    store: &Store,
) -> (Entities, Vec<AdminToken>, Vec<RequestRecord>, i64, Vec<(u64, u64, u64)>, Bytes, usize) {
    let entities = Entities { version: 0, ..(*store.entities()).clone() };
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    let sums = store.ledger().usage(query).await.unwrap().total.requests;
    let kept = store.kept().get(SPACE, "resp_1").await.unwrap().unwrap().value;
    let bodies = store.bodies().get(&record(3).id, record(3).started).await.unwrap().len();
    (entities, store.admin_tokens(), all(store).await, sums, store.counters().sums().unwrap(), kept, bodies)
}

fn files(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_everything_to_another_machine() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(here.path()).await;
    let bytes = tokio::task::block_in_place(|| backup(&store));
    assert!(!holds(&bytes, "laptop") && !holds(&bytes, CANARY), "nothing can be read in it");
    let other = open(there.path());
    append_durably(&other, (10_000..10_010).map(record)).await;
    assert!(other.kept().put(SPACE, "resp_1", "key_9", MINUTE, b"another one"));
    other.apply(new_key("mine"), "test").await.unwrap();
    let summary = tokio::task::block_in_place(|| restore(&other, &bytes)).unwrap();
    assert_eq!((summary.records, summary.bodies), (501, 1));
    assert_eq!(everything(&store).await, everything(&other).await);
    let line = other.changes(None, 1).unwrap().remove(0);
    assert_eq!((line.who.as_str(), line.what.as_str(), line.undoable), ("owner", "restore backup", false));
    // The history came along, secrets and all.
    let created = other.changes(None, 100).unwrap().into_iter().find(|line| line.what == "enable channel").unwrap();
    other.undo_blocking(created.id, "owner").unwrap();
    assert!(!other.entities().channel("main").unwrap().enabled);
    // It goes on: what comes now is kept, also over a restart, and nothing of what was there before comes back.
    append_durably(&other, (600..610).map(record)).await;
    other.close();
    drop(other);
    assert!(!holds(&all_bytes(there.path()), CANARY));
    let other = open(there.path());
    assert_eq!(all(&other).await.len(), 511);
    assert_eq!(other.entities().channel("main").unwrap().credentials[0].secret, SecretSource::parse(CANARY));
    let left: Vec<_> = files(there.path()).into_iter().filter(|name| name.contains("restore")).collect();
    assert_eq!(left, ["before-restore-bodies.redb", "before-restore.redb"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_right_changes_nothing_and_says_why() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(here.path()).await;
    let bytes = tokio::task::block_in_place(|| backup(&store));
    let other = filled(there.path()).await;
    append_durably(&other, [record(700)]).await;
    let (before, names) = (everything(&other).await, files(there.path()));
    let tried = |bytes: &[u8], passphrase: &str| {
        tokio::task::block_in_place(|| other.restore_blocking(&Secret::new(passphrase), bytes, "owner")).unwrap_err()
    };
    assert!(matches!(tried(&bytes, "wrong horse battery"), BackupError::WrongPassphrase));
    for end in [bytes.len() - 1, bytes.len() / 2, 200] {
        assert!(matches!(tried(&bytes[..end], PASSPHRASE), BackupError::Truncated), "{end}");
    }
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(matches!(tried(&flipped, PASSPHRASE), BackupError::Damaged(_)));
    assert!(matches!(tried(b"{\"channels\": []}", PASSPHRASE), BackupError::NoBackup));
    for (what, manifest) in
        [("schema", json!({"format": 1, "schema": 99})), ("format", json!({"format": 9, "schema": 1}))]
    {
        let mut manifest = manifest;
        manifest
            .as_object_mut()
            .unwrap()
            .extend(json!({"made": 1, "version": "9.9.9", "bodies": false, "seal": "x"}).as_object().unwrap().clone());
        let newer = crate::store::backup::write_for_test(manifest.to_string().as_bytes(), &secret());
        let why = tried(&newer, PASSPHRASE);
        assert!(matches!(&why, BackupError::Newer { what: own, .. } if *own == what), "{why}");
        assert!(why.to_string().contains("newer myelin"), "{why}");
    }
    assert_eq!(everything(&other).await, before);
    assert_eq!(files(there.path()), names, "nothing is left lying about");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_goes_on_during_backup_and_restore_and_no_record_is_half_there() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(here.path()).await;
    let bytes = tokio::task::block_in_place(|| backup(&store));
    let other = open(there.path());
    let writing = other.clone();
    let task = tokio::spawn(async move {
        for n in 20_000..22_000 {
            writing.ledger().append(record(n));
            if n % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for _ in 0..3 {
        tokio::task::block_in_place(|| restore(&other, &bytes)).unwrap();
        let mut sink = Vec::new();
        tokio::task::block_in_place(|| other.backup_blocking(&secret(), false, &mut sink)).unwrap();
    }
    task.await.unwrap();
    append_durably(&other, [record(30_000)]).await;
    let kept = all(&other).await;
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    assert_eq!(
        other.ledger().usage(query).await.unwrap().total.requests as usize,
        kept.len(),
        "sums are those of the records"
    );
    assert!(kept.iter().filter(|record| record.started < 1_800_000_001_000).count() == 501, "all of the backup");
    let last: Vec<_> = kept.iter().map(|record| record.started).filter(|at| *at >= 1_800_000_020_000).collect();
    assert!(
        last.windows(2).all(|pair| pair[0] == pair[1] + 1 || pair[0] == 1_800_000_030_000),
        "what came after the last restore"
    );
    assert_eq!((other.ledger().health().lost, other.ledger().health().commit_failures), (0, 0));
    drop(other);
    assert_eq!(all(&open(there.path())).await.len(), kept.len());
}
