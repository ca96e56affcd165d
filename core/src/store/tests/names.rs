//! Texts that anybody may write never take away the names of what is configured.

use redb::ReadableTableMetadata as _;

use super::*;
use crate::model::{AttemptRecord, NanoUsd};

const START: u64 = 1_800_000_000_000;

/// A request of a caller without a key: path and model as the caller wrote them.
fn refused(n: u64) -> RequestRecord {
    RequestRecord {
        id: record(n).id,
        started: START + n,
        path: format!("/v1/models/nobody-{n}"),
        model: format!("nobody-{n}"),
        state: RequestState::Failed,
        status: 401,
        error: Some("unauthorized".into()),
        losses: vec![format!("tools.{n}: has no equivalent")],
        ..RequestRecord::default()
    }
}

/// A request that was answered.
fn answered(n: u64, key: &str, model: &str) -> RequestRecord {
    RequestRecord {
        id: record(n).id,
        started: START + n,
        model: model.into(),
        key: Some(key.into()),
        channel: Some(format!("channel-of-{key}")),
        status: 200,
        attempts: vec![AttemptRecord::default()],
        ..RequestRecord::default()
    }
}

async fn requests_by(store: &Store, dimension: Dimension) -> Vec<(String, i64)> {
    let by = vec![Grouping::Of(dimension)];
    let query = UsageQuery { until: START * 2, by, ..UsageQuery::default() };
    let groups = store.ledger().usage(query).await.unwrap().groups;
    let mut out: Vec<_> = groups.into_iter().map(|group| (group.values.join("/"), group.sums.requests)).collect();
    out.sort();
    out
}

fn some(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
}

fn texts(store: &Store) -> u64 {
    store.0.db.read(|txn| Ok(txn.open_table(tables::NAMES)?.len()?)).unwrap()
}

#[tokio::test]
async fn what_callers_without_a_key_send_takes_no_name_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bound = |store: &Store| store.0.writer.queue().books().bound_for_test(40, 80);
    bound(&store);
    append_durably(&store, (0..200).map(refused)).await;
    let before = texts(&store);
    assert!(before < 15, "{before} texts");
    append_durably(&store, [answered(200, "later", "new-model")]).await;
    assert_eq!(requests_by(&store, Dimension::Key).await, some(&[("", 200), ("later", 1)]));
    assert_eq!(requests_by(&store, Dimension::Channel).await, some(&[("", 200), ("channel-of-later", 1)]));
    assert_eq!(requests_by(&store, Dimension::Model).await, some(&[("(other)", 200), ("new-model", 1)]));
    // What was written is found all the same.
    let filter = Filter::default().with(Dimension::Model, ["nobody-7"]);
    assert_eq!(store.ledger().list(filter, None, 10).await.unwrap().records, [refused(7)]);
    // Callers with a key fill their room, and no more than that.
    append_durably(&store, (300..400).map(|n| answered(n, "later", &format!("made-up-{n}")))).await;
    assert_eq!(texts(&store), 40);
    drop(store);
    let store = open(dir.path());
    bound(&store);
    append_durably(&store, [answered(401, "latest", "one-more")]).await;
    let keys = requests_by(&store, Dimension::Key).await;
    assert_eq!(keys, some(&[("", 200), ("later", 101), ("latest", 1)]));
    let models = requests_by(&store, Dimension::Model).await;
    assert!(!models.iter().any(|(model, _)| model == "one-more"), "its room is full");
    // A model of a channel has its room, whoever names it first.
    let mut own = channel("own");
    own.models = Some(vec![serde_json::from_value(json!("configured")).unwrap()]);
    create(&store, own);
    append_durably(&store, [RequestRecord { model: "configured".into(), ..refused(402) }]).await;
    append_durably(&store, [answered(403, "latest", "configured")]).await;
    let models = requests_by(&store, Dimension::Model).await;
    assert!(models.contains(&("configured".into(), 2)), "{models:?}");
    let nobody = vec![(Dimension::Key, vec!["nobody".to_owned()])];
    let query = UsageQuery { until: START * 2, any: nobody, ..UsageQuery::default() };
    assert_eq!(store.ledger().usage(query).await.unwrap().total.requests, 0, "who has no name is not everybody else");
}

#[tokio::test]
async fn a_model_that_is_offered_later_leaves_the_sums_and_indexes_of_earlier_requests_right() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    let early = |n| RequestRecord { model: "soon".into(), ..refused(n) };
    append_durably(&store, (0..3).map(early)).await;
    let failed = |n| RequestRecord { state: RequestState::Failed, status: 502, ..answered(n, "k", "soon") };
    append_durably(&store, (3..5).map(failed)).await;
    assert_eq!(requests_by(&store, Dimension::Model).await, some(&[("(other)", 3), ("soon", 2)]));
    // All are found by the name, whichever way they are written; alone, and among failures.
    for filter in [Filter::default(), Filter::default().with(Dimension::State, ["failed"])] {
        let page = store.ledger().list(filter.with(Dimension::Model, ["soon"]), None, 10).await.unwrap();
        assert_eq!(page.records.len(), 5);
    }
    // Part of an hour is read from the records themselves: it says the same.
    let part = UsageQuery {
        since: START + 1,
        until: START + 4,
        by: vec![Grouping::Of(Dimension::Model)],
        ..UsageQuery::default()
    };
    let groups = store.ledger().usage(part).await.unwrap().groups;
    let mut groups: Vec<_> = groups.into_iter().map(|group| (group.values.join("/"), group.sums.requests)).collect();
    groups.sort();
    assert_eq!(groups, some(&[("(other)", 2), ("soon", 1)]));
    // Written anew: it has its name from now on, and is not counted twice.
    append_durably(&store, [RequestRecord { cost: Some(NanoUsd(5)), ..early(1) }]).await;
    assert_eq!(requests_by(&store, Dimension::Model).await, some(&[("(other)", 2), ("soon", 3)]));
    clock.advance_ms(10 * 86_400_000);
    store.ledger().keep_days(1);
    let entries = |store: &Store| store.0.db.read(|txn| Ok(txn.open_table(tables::FAILURES)?.len()?)).unwrap();
    for _ in 0..500 {
        if store.ledger().count().unwrap() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((store.ledger().count().unwrap(), entries(&store)), (0, 0), "no entry is left behind");
}

#[tokio::test]
async fn two_who_price_the_same_records_anew_move_a_budget_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let charge = crate::model::Charge { counter: 7, at: START, amount: 3 };
    let cheap = |n| RequestRecord { cost: Some(NanoUsd(3)), ..answered(n, "k", "m") };
    for n in 0..20 {
        drop(store.ledger().append_charged(cheap(n), vec![charge], false));
    }
    append_durably(&store, [cheap(20)]).await;
    // Both have read the same page before either of them writes.
    let page = all(&store).await;
    let anew = |record: &mut RequestRecord| {
        let by = 10 - record.cost.unwrap_or_default().0;
        record.cost = Some(NanoUsd(10));
        (by != 0).then(|| vec![Shift { counter: 7, at: START, by, counted: record.started }])
    };
    let (one, two) = tokio::join!(store.ledger().rewrite(&page, anew), store.ledger().rewrite(&page, anew));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.changed + two.changed, 21, "each record is changed by one of them");
    assert_eq!((one.before + two.before, one.after + two.after), (NanoUsd(63), NanoUsd(210)));
    assert_eq!(store.counters().sums().unwrap(), [(7, START, 20 * 3 + 21 * 7)]);
    assert!(all(&store).await.iter().all(|record| record.cost == Some(NanoUsd(10))));
}

#[tokio::test]
async fn names_of_a_transaction_that_failed_are_written_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let row = |n: u64| ledger::prepared(answered(n, &format!("key-{n}"), &format!("model-{n}")));
    let queue = store.0.writer.queue();
    let (db, books) = (&store.0.db, queue.books());
    let post = |txn: &redb::WriteTransaction, n: u64| {
        let (key, bytes) = row(n);
        books.post(txn, [ledger::Row { key, bytes: &bytes, record: None }].into_iter())
    };
    let stored = db.write(|txn| post(txn, 1)).unwrap();
    // A neighbour comes before the first one could tell that it is committed, and fails.
    let failed: Result<(), StoreError> = db.write(|txn| post(txn, 2).and(Err(StoreError::Closed)));
    assert!(failed.is_err());
    books.committed(stored);
    append_durably(&store, [answered(3, "key-3", "model-3")]).await;
    drop(queue);
    store.close();
    drop(store);
    let store = open(dir.path());
    assert_eq!(requests_by(&store, Dimension::Key).await, some(&[("key-1", 1), ("key-3", 1)]));
}
