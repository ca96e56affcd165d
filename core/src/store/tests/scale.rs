//! What must stay small, fast or whole however much there is and whatever the disk does.

use tokio::time::Instant;

use super::*;

fn part(text: &str) -> BodyPart {
    BodyPart { kind: BodyKind::Received, attempt: None, bytes: text.to_owned().into(), size: text.len() as u64 }
}

/// Text that does not pack well.
fn noise(seed: u64, bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| random.alphanumeric()).collect()
}

async fn bodies_settled(store: &Store, done: impl Fn(&BodiesHealth) -> bool) -> BodiesHealth {
    for _ in 0..1_000 {
        let health = store.bodies().health();
        if done(&health) {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("in vain: {:?}", store.bodies().health());
}

#[tokio::test]
async fn bodies_are_capped_by_bytes_and_by_age_and_the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    store.bodies().keep(7, 200_000);
    for n in 0..40 {
        assert!(store.bodies().put(&record(n).id, record(n).started, vec![part(&noise(n, 20_000))]));
    }
    let health = bodies_settled(&store, |health| health.kept == 40 && health.bytes <= 200_000).await;
    assert!(health.bytes > 100_000 && health.dropped == 0, "{health:?}");
    let there = async |n: u64| !store.bodies().get(&record(n).id, record(n).started).await.unwrap().is_empty();
    assert!(there(39).await && !there(0).await, "the oldest went");
    // A week later what is left goes too, with the next that comes.
    clock.advance_ms(8 * 86_400_000);
    let late = RequestRecord {
        started: clock.unix_ms(),
        id: format!("req_{:032x}", u128::from(clock.unix_ms()) << 80),
        ..record(0)
    };
    assert!(store.bodies().put(&late.id, late.started, vec![part("late")]));
    bodies_settled(&store, |health| health.kept == 41 && health.bytes < 1_000).await;
    assert!(!there(39).await && !store.bodies().get(&late.id, late.started).await.unwrap().is_empty());
}

#[tokio::test]
async fn case_55_a_full_disk_drops_bodies_and_counts_them_while_traffic_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let heal = store.bodies().db().break_for_test();
    let begun = Instant::now();
    for n in 0..50 {
        assert!(store.bodies().put(&record(n).id, record(n).started, vec![part("text")]), "handing over works");
        store.ledger().append(record(n));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody waited: {:?}", begun.elapsed());
    let health = bodies_settled(&store, |health| health.dropped == 50).await;
    assert!(health.failing && health.last_error.is_some(), "{health:?}");
    append_durably(&store, [record(50)]).await;
    assert_eq!(all(&store).await.len(), 51, "records have a file of their own");
    heal();
    assert!(store.bodies().put(&record(60).id, record(60).started, vec![part("text")]));
    let health = bodies_settled(&store, |health| health.kept == 1).await;
    assert!(!health.failing, "{health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_55_a_slow_disk_holds_nobody_up_and_what_does_not_fit_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Somebody else writes, and takes three seconds.
    let slow = store.clone();
    let (began, writing) = std::sync::mpsc::channel();
    let disk = std::thread::spawn(move || {
        let records = slow.0.db.write(|_| {
            slow.bodies().db().write(|_| {
                began.send(()).unwrap();
                std::thread::sleep(Duration::from_secs(3));
                Ok(())
            })
        });
        records.unwrap();
    });
    writing.recv().unwrap();
    let begun = Instant::now();
    let large = noise(1, 1 << 20);
    let mut taken = 0;
    for n in 0..2_000 {
        store.ledger().append(record(n));
        if n % 10 == 0 {
            taken += u64::from(store.bodies().put(&record(n).id, record(n).started, vec![part(&large)]));
        }
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(2_500), "handing over waited for the disk: {took:?}");
    let health = store.bodies().health();
    assert_eq!(health.dropped, 200 - taken, "what is dropped is counted");
    assert!(health.dropped > 0 && taken > 10, "the queue has a bound: {health:?}");
    assert!(store.ledger().health().waiting > 0 && store.ledger().health().lost == 0);
    disk.join().unwrap();
    append_durably(&store, [record(5_000)]).await;
    assert_eq!(store.ledger().count().unwrap(), 2_001, "no record is missing");
}

#[tokio::test]
async fn case_52_lists_sums_and_facets_never_open_the_file_of_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, (0..200).map(record)).await;
    for n in 0..200 {
        store.bodies().put(&record(n).id, record(n).started, vec![part(&noise(n, 50_000))]);
    }
    bodies_settled(&store, |health| health.kept == 200).await;
    let sizes = ["myelin.redb", "bodies.redb"].map(|name| fs::metadata(dir.path().join(name)).unwrap().len());
    assert!(sizes[1] > 4 * sizes[0], "bodies lie apart: {sizes:?}");
    let heal = store.bodies().db().break_for_test();
    assert!(store.bodies().get(&record(1).id, record(1).started).await.is_err(), "the file cannot be read");
    assert_eq!(all(&store).await.len(), 200);
    let filter = Filter { text: Some("even".into()), ..Filter::default() }.with(Dimension::Model, ["even"]);
    assert_eq!(store.ledger().list(filter, None, 500).await.unwrap().records.len(), 100);
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    assert_eq!(store.ledger().usage(query.clone()).await.unwrap().total.requests, 200);
    assert_eq!(store.ledger().facets(query, vec![Dimension::Model], 10).await.unwrap().values["model"].len(), 2);
    heal();
}

#[tokio::test]
async fn case_49_old_records_go_in_bounded_batches_and_traffic_comes_between() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    let old = 12_000;
    store.ledger().import_blocking((0..old).map(record)).unwrap();
    clock.advance_ms(10 * 86_400_000);
    store.ledger().keep_days(1);
    // Whatever is read sees whole batches only, each a small part of all; what comes meanwhile is written soon.
    let (mut seen, mut left, mut n) = (BTreeSet::new(), old, 0);
    while left > 0 {
        let at = clock.unix_ms();
        let id = format!("req_{:032x}", (u128::from(at) << 80) | u128::from(n));
        let begun = Instant::now();
        append_durably(&store, [RequestRecord { id, started: at, ..record(0) }]).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "a commit waited for all of the retention");
        n += 1;
        left = store.ledger().count().unwrap() - n;
        seen.insert(left);
        assert!(n < 5_000, "{left} old records stay");
    }
    let steps: Vec<u64> = seen.iter().rev().copied().collect();
    assert!(steps.len() >= 6, "it went in few large steps: {steps:?}");
    assert_eq!(store.ledger().count().unwrap(), n, "what is new stays");
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    assert_eq!(store.ledger().usage(query).await.unwrap().total.requests as u64, old + n, "sums outlive records");
}

#[tokio::test]
async fn bodies_are_written_soon_although_more_keep_coming() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(crate::clock::SystemClock::new());
    let store = Store::open(dir.path(), clock, &MasterKey::KeyFile, Arc::new(|_: &str| true)).unwrap();
    for n in 0..60 {
        let record = record(n);
        assert!(store.bodies().put(&record.id, record.started, vec![part("hello")]));
        if store.bodies().health().kept > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing is written while more comes: {:?}", store.bodies().health());
}
