//! Many records: what is read for a question stays small, and so does the file. The same at millions is `cargo xtask bench records`.

#[path = "../../benches/traffic.rs"]
mod traffic;

use std::path::Path;
use std::sync::Arc;

use myelin_core::clock::SystemClock;
use myelin_core::store::{Dimension, Filter, MasterKey, Store, UsageQuery};

/// Enough for many pages and slots, few enough for the test run.
const COUNT: u64 = 200_000;
const DAYS: u64 = 30;
/// Bytes of the file for each record, indexes, sums and the room that redb holds in reserve included.
const MOST_BYTES_PER_RECORD: u64 = 1_300;

fn open(dir: &Path) -> Store {
    Store::open(dir, Arc::new(SystemClock::new()), &MasterKey::KeyFile, Arc::new(|_: &str| true)).unwrap()
}

#[tokio::test]
async fn case_50_and_case_53_questions_read_little_of_much() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    traffic::fill(&store, COUNT, traffic::END, DAYS, |_| {}).unwrap();
    assert_eq!(store.ledger().count().unwrap(), COUNT);
    let bytes = std::fs::metadata(store.path()).unwrap().len() / COUNT;
    println!("{bytes} bytes a record");
    assert!(bytes <= MOST_BYTES_PER_RECORD, "{bytes} bytes a record");
    for (name, filter) in traffic::filters(COUNT, DAYS) {
        let page = store.ledger().list(filter, None, 50).await.unwrap();
        println!("{name}: {} of {} rows", page.records.len(), page.looked_at);
        assert!(!page.records.is_empty(), "{name}");
        assert!(page.looked_at <= 12_000, "{name}: {} rows for a page", page.looked_at);
    }
    for (name, query) in traffic::questions() {
        let answer = store.ledger().usage(query).await.unwrap();
        println!("{name}: {} rows", answer.looked_at);
        assert!(answer.total.requests > 0 && !answer.groups.is_empty(), "{name}");
        assert!(answer.looked_at as u64 <= COUNT / 4, "{name}: {} rows for {COUNT} records", answer.looked_at);
    }
    let everything = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    assert_eq!(store.ledger().usage(everything).await.unwrap().total.requests as u64, COUNT);
    let all = Dimension::ALL.map(|(one, _)| one).to_vec();
    let facets = store.ledger().facets(traffic::month(), all, 100).await.unwrap();
    assert!(facets.looked_at as u64 <= COUNT / 4, "{} rows for facets", facets.looked_at);
    // Nothing in the index helps with words: every row is read, so a page ends early and leads on.
    let filter = Filter { text: Some("no such words".into()), ..Filter::default() };
    let (mut cursor, mut pages) = (None, 0);
    loop {
        let page = store.ledger().list(filter.clone(), cursor, 50).await.unwrap();
        assert!(page.looked_at <= 5_000 && page.records.is_empty(), "{}", page.looked_at);
        pages += 1;
        cursor = page.next;
        if cursor.is_none() || pages == 5 {
            break;
        }
    }
    assert_eq!(pages, 5);
}
