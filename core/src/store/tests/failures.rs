//! The index of what did not come out well: a list that uses it is the list that looking at everything gives.

use redb::ReadableTableMetadata as _;

use super::*;

const START: u64 = 1_800_000_000_000;

/// A record of mixed fortune. Some have an answer and yet an error, some an error status and yet a completed state.
fn mixed(n: u64) -> RequestRecord {
    let started = START + n * 1_000;
    let (state, status, error) = match n % 11 {
        0 => (RequestState::Failed, 429, Some("upstream-rate-limited")),
        1 => (RequestState::Failed, 502, Some("upstream-failed")),
        2 => (RequestState::Interrupted, 200, Some("upstream-failed")),
        3 => (RequestState::Canceled, 499, None),
        4 => (RequestState::Completed, 200, Some("upstream-failed")),
        5 => (RequestState::Completed, 404, None),
        6 => (RequestState::Canceled, 0, None),
        _ => (RequestState::Completed, 200, None),
    };
    RequestRecord {
        id: format!("req_{:032x}", (u128::from(started) << 80) | u128::from(n)),
        started,
        state,
        status,
        error: error.map(str::to_owned),
        key: (!n.is_multiple_of(7)).then(|| format!("key_{}", n % 5)),
        model: if n.is_multiple_of(13) { "x".repeat(400) } else { format!("model-{}", n % 3) },
        owners: if n.is_multiple_of(4) { Vec::new() } else { vec![format!("user:{}", n % 2), "team:all".into()] },
        tags: (0..n % 3).map(|tag| format!("tag-{tag}")).collect(),
        ..record(n)
    }
}

/// Filters that ask for failures, alone and with everything else.
fn filters() -> Vec<Filter> {
    let failed = || Filter::default().with(Dimension::State, ["failed"]);
    let ill = || Filter::default().with(Dimension::State, ["failed", "interrupted", "canceled"]);
    let told = || Filter::default().with(Dimension::Error, ["upstream-failed"]);
    vec![
        failed(),
        ill(),
        told(),
        Filter::default().with(Dimension::Status, ["429", "404"]),
        failed().with(Dimension::Key, ["key_1"]),
        failed().with(Dimension::Key, [""]),
        ill().with(Dimension::Key, ["key_1", "key_2", ""]).with(Dimension::Model, ["model-1"]),
        told().with(Dimension::Model, ["x".repeat(400)]),
        told().with(Dimension::Owner, ["user:1"]).with(Dimension::Tag, ["tag-0"]),
        told().with(Dimension::Owner, [""]).with(Dimension::Tag, ["", "tag-1"]),
        told().with(Dimension::State, ["completed"]),
        told().with(Dimension::State, ["interrupted"]).with(Dimension::Status, ["200"]),
        failed().with(Dimension::Key, ["nobody"]),
        Filter { since: Some(START + 100_000), until: Some(START + 400_500), ..ill() },
        Filter { text: Some("RATE-limited".into()), ..ill().with(Dimension::Key, ["key_3"]) },
        // These ask for others too: they are no matter of this index, and must not be lost by it.
        Filter::default().with(Dimension::State, ["failed", "completed"]).with(Dimension::Key, ["key_1"]),
        Filter::default().with(Dimension::Error, ["", "upstream-failed"]),
        Filter::default().with(Dimension::Status, ["200", "502"]),
    ]
}

/// What a filter lets through, the slow way.
fn lets_through(filter: &Filter, record: &RequestRecord) -> bool {
    let of = |dimension| match dimension {
        Dimension::State => vec![record.state.word().to_owned()],
        Dimension::Error => vec![record.error.clone().unwrap_or_default()],
        Dimension::Status => vec![record.status.to_string()],
        Dimension::Key => vec![record.key.clone().unwrap_or_default()],
        Dimension::Model => vec![record.model.clone()],
        Dimension::Owner if record.owners.is_empty() => vec![String::new()],
        Dimension::Owner => record.owners.clone(),
        Dimension::Tag if record.tags.is_empty() => vec![String::new()],
        Dimension::Tag => record.tags.clone(),
        other => panic!("{other:?} is not asked for here"),
    };
    filter.any.iter().all(|(dimension, any)| of(*dimension).iter().any(|value| any.contains(value)))
        && filter.since.is_none_or(|since| record.started >= since)
        && filter.until.is_none_or(|until| record.started < until)
        && filter
            .text
            .as_ref()
            .is_none_or(|text| record.error.as_ref().is_some_and(|error| error.contains(&text.to_lowercase())))
}

/// Holds every filter, page by page, against the records themselves.
async fn hold(store: &Store) {
    let records = all(store).await;
    for filter in filters() {
        let wanted: Vec<&str> =
            records.iter().filter(|record| lets_through(&filter, record)).map(|record| record.id.as_str()).collect();
        for limit in [7, 1_000] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = store.ledger().list(filter.clone(), cursor, limit).await.unwrap();
                found.extend(page.records.into_iter().map(|record| record.id));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, wanted, "{filter:?}");
        }
    }
}

/// Waits until so many are left, when they are kept for so many days.
async fn kept(store: &Store, days: u32, left: u64) {
    store.ledger().keep_days(days);
    for _ in 0..500 {
        if store.ledger().count().unwrap() == left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} are left", store.ledger().count().unwrap());
}

fn entries(store: &Store) -> u64 {
    store.0.db.read(|txn| Ok(txn.open_table(tables::FAILURES)?.len()?)).unwrap()
}

#[tokio::test]
async fn a_list_of_failures_is_the_list_that_looking_at_everything_gives() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    append_durably(&store, (0..600).map(mixed)).await;
    hold(&store).await;
    // Written anew: another key, and some came out well after all.
    let anew = |n: u64| match n % 2 {
        0 => RequestRecord { key: Some("key_9".into()), ..mixed(n) },
        _ => RequestRecord { state: RequestState::Completed, status: 200, error: None, ..mixed(n) },
    };
    let before = entries(&store);
    append_durably(&store, (0..200).map(anew)).await;
    assert!(entries(&store) < before, "what came out well is not in it any more");
    hold(&store).await;
    // Half of them go, and their entries with them; at last all.
    clock.advance_ms(86_400_000 + 300_000);
    kept(&store, 1, 300).await;
    hold(&store).await;
    clock.advance_ms(86_400_000);
    kept(&store, 0, 300).await;
    kept(&store, 1, 0).await;
    assert_eq!(entries(&store), 0);
}

#[tokio::test]
async fn case_54_a_file_without_the_index_gets_it_and_is_copied_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, (0..600).map(mixed)).await;
    let (records, whole) = (all(&store).await, entries(&store));
    assert!(whole > 1_000, "{whole}");
    store.close();
    drop(store);
    // As the program before this schema left it.
    let database = db::open_file(&dir.path().join(db::FILE), 1 << 20).unwrap();
    let txn = database.begin_write().unwrap();
    assert!(txn.delete_table(tables::FAILURES).unwrap());
    migrate::set_version(&txn, 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    let store = open(dir.path());
    assert_eq!((all(&store).await, entries(&store)), (records, whole));
    hold(&store).await;
    assert!(dir.path().join("myelin.redb.v2.bak").exists());
}
