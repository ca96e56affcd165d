//! Records come back as they were handed over, filtered, page by page.

use super::*;

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
    let with = |dimension, value: &str| Filter::default().with(dimension, [value]);
    assert_eq!(count(with(Dimension::Model, "even")).await, 30);
    assert_eq!(count(with(Dimension::Key, "key_1")).await, 20);
    assert_eq!(count(with(Dimension::Channel, "gone")).await, 0);
    assert_eq!(count(with(Dimension::State, "failed")).await, 12);
    assert_eq!(count(with(Dimension::Tool, "")).await, 60, "they all say nothing there");
    assert_eq!(count(Filter::default().with(Dimension::Key, ["key_1", "key_2"])).await, 40);
    assert_eq!(count(with(Dimension::Model, "even").with(Dimension::Key, ["key_1"])).await, 10);
    let since = Some(1_800_000_000_050);
    assert_eq!(count(Filter { since, ..Filter::default() }).await, 10);
    assert_eq!(count(Filter { until: since, ..with(Dimension::Model, "odd") }).await, 25);
    let page = store.ledger().list(with(Dimension::Model, "even"), None, 30).await.unwrap();
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
async fn requests_of_one_task_and_texts_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let told = |n: u64| RequestRecord {
        trace: Some(format!("trace-{}", n / 10)),
        thread: (n < 30).then(|| "thread".to_owned()),
        error_message: (n == 17).then(|| "The Disk is full".to_owned()),
        duration_us: n * 1_000,
        cost: Some(crate::model::NanoUsd(n.cast_signed())),
        ..record(n)
    };
    append_durably(&store, (0..60).map(told)).await;
    let ids = async |filter: Filter, limit| -> Vec<u64> {
        let page = store.ledger().list(filter, None, limit).await.unwrap();
        page.records.iter().map(|record| record.duration_us / 1_000).collect()
    };
    let link = |kind, id: &str| Filter { link: Some((kind, id.to_owned())), ..Filter::default() };
    assert_eq!(ids(link(Link::Trace, "trace-2"), 100).await, (20..30).rev().collect::<Vec<_>>());
    assert_eq!(ids(link(Link::Thread, "thread"), 3).await, [29, 28, 27]);
    assert!(ids(link(Link::Session, "trace-2"), 100).await.is_empty());
    assert_eq!(ids(link(Link::Trace, "trace-2").with(Dimension::Model, ["even"]), 100).await, [28, 26, 24, 22, 20]);
    assert_eq!(ids(Filter { text: Some("disk IS".into()), ..Filter::default() }, 9).await, [17]);
    assert_eq!(ids(Filter { slower_than: Some(58_000), ..Filter::default() }, 9).await, [59, 58]);
    assert_eq!(ids(Filter { costlier_than: Some(crate::model::NanoUsd(59)), ..Filter::default() }, 9).await, [59]);
}
