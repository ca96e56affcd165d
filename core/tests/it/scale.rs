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
const MOST_BYTES_PER_RECORD: u64 = 740;
/// The most rows and pages (of 4 KiB) that each question may read, a fifth above what it does. The whole file has some thirty thousand pages.
const MOST: [(&str, u64, u64); 21] = [
    ("list: newest", 50, 20),
    ("list: a week ago", 50, 20),
    ("filter: common model", 125, 30),
    ("filter: rare model", 110, 42),
    ("filter: failures of a key", 40, 230),
    ("filter: channel and tool", 8_600, 1_600),
    ("filter: two persons", 980, 225),
    ("filter: one session", 50, 205),
    ("filter: one trace", 9, 50),
    ("filter: slow ones", 10_500, 850),
    ("filter: words", 1_500, 115),
    ("chart: cost by model a day, 30 days", 17_100, 555),
    ("chart: by model, 90 days", 15_500, 520),
    ("chart: quantiles by channel, 30 days", 17_100, 555),
    ("chart: by team, 30 days", 17_100, 555),
    ("chart: an hour of a day", 3_000, 155),
    ("chart: the last 90 minutes", 510, 50),
    ("chart: one key by day, 30 days", 17_100, 555),
    ("facets: all, 30 days", 17_100, 555),
    ("list: one", 1, 20),
    ("one record", 1, 15),
];

fn open(dir: &Path) -> Store {
    Store::open(dir, Arc::new(SystemClock::new()), &MasterKey::KeyFile, Arc::new(|_: &str| true)).unwrap()
}

/// What questions cost, held against [`MOST`].
struct Cost<'a> {
    store: &'a Store,
    pages: u64,
    wrong: Vec<String>,
}

impl Cost<'_> {
    /// A question was answered.
    fn of(&mut self, name: &str, rows: usize) {
        let now = self.store.ledger().pages_read();
        let (rows, pages) = (rows as u64, now - self.pages);
        self.pages = now;
        println!("(\"{name}\", {rows}, {pages}),");
        let most = MOST.iter().find(|(own, ..)| *own == name);
        if most.is_none_or(|(_, most_rows, most_pages)| rows > *most_rows || pages > *most_pages) {
            self.wrong.push(format!("{name}: {rows} rows, {pages} pages; at most {most:?}"));
        }
    }
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
    let mut cost = Cost { store: &store, pages: store.ledger().pages_read(), wrong: Vec::new() };
    for (name, filter) in traffic::filters(COUNT, DAYS) {
        let page = store.ledger().list(filter, None, 50).await.unwrap();
        assert!(!page.records.is_empty(), "{name}");
        cost.of(name, page.looked_at);
    }
    for (name, query) in traffic::questions() {
        let answer = store.ledger().usage(query).await.unwrap();
        assert!(answer.total.requests > 0 && !answer.groups.is_empty(), "{name}");
        cost.of(name, answer.looked_at);
    }
    let all = Dimension::ALL.map(|(one, _)| one).to_vec();
    let facets = store.ledger().facets(traffic::month(), all, 100).await.unwrap();
    cost.of("facets: all, 30 days", facets.looked_at);
    let one = store.ledger().list(Filter::default(), None, 1).await.unwrap().records.remove(0);
    cost.of("list: one", 1);
    assert_eq!(store.ledger().get(&one.id).await.unwrap(), Some(one));
    cost.of("one record", 1);
    assert!(cost.wrong.is_empty(), "{:#?}", cost.wrong);
    let everything = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    assert_eq!(store.ledger().usage(everything).await.unwrap().total.requests as u64, COUNT);
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
