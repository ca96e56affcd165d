//! Things that are kept for a while.

use super::*;

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
