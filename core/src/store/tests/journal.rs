//! What was handed over is never lost: journals, death of the process, disks that fail.

use super::*;

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
        .args([
            "--exact",
            "store::tests::journal::a_killed_process_loses_no_record_that_it_had_handed_over",
            "--nocapture",
        ])
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
async fn case_55_a_disk_that_fails_stops_no_traffic_and_loses_nothing_that_fits_the_journal() {
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

#[tokio::test]
async fn what_comes_after_closing_is_counted_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.close();
    store.ledger().append(record(1));
    assert!(!store.kept().put(SPACE, "k", "o", MINUTE, b"x"));
    let health = store.ledger().health();
    assert_eq!((health.lost, health.not_kept), (1, 1), "a kept thing is no record");
    assert!(store.ledger().append_durable(record(2)).await.is_err());
}

/// Waits until so many records are in the database.
async fn reaches(store: &Store, count: u64) {
    for _ in 0..600 {
        if store.ledger().count().is_ok_and(|found| found == count) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} of {count}: {:?}", store.ledger().count(), store.ledger().health());
}

#[tokio::test]
async fn case_55_a_journal_that_takes_nothing_is_shown_and_the_records_come_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = store.0.writer.queue();
    queue.break_journal_for_test(true);
    for n in 0..100 {
        store.ledger().append(record(n));
    }
    let health = store.ledger().health();
    assert!(health.journal_failing && !health.failing, "{health:?}");
    assert_eq!((health.journal_failures, health.lost), (100, 0), "{health:?}");
    assert!(health.last_error.as_ref().is_some_and(|why| why.starts_with("journal: ")), "{health:?}");
    reaches(&store, 100).await;
    assert!(store.ledger().health().journal_failing, "it still takes nothing");
    queue.break_journal_for_test(false);
    // Nobody asks for anything, and yet it is seen to be over.
    for _ in 0..600 {
        if !store.ledger().health().journal_failing {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let health = store.ledger().health();
    assert!(!health.journal_failing && health.journal_failures >= 100, "it is over, and the count stays: {health:?}");
    store.ledger().append(record(100));
    reaches(&store, 101).await;
}

#[tokio::test]
async fn case_55_what_neither_memory_nor_journal_takes_is_counted_to_the_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, [record(0)]).await;
    let queue = store.0.writer.queue();
    queue.break_journal_for_test(true);
    let heal = store.0.db.break_for_test();
    let total = 140_000;
    for n in 1..total {
        store.ledger().append(record(n));
    }
    let before = store.ledger().health();
    assert!(before.failing && before.journal_failing && before.deferred == 0, "{before:?}");
    assert!(before.lost > 0 && before.not_kept == 0, "{before:?}");
    assert!(!store.kept().put(SPACE, "k", "o", MINUTE, b"x"), "there is no room for it");
    let health = store.ledger().health();
    assert_eq!((health.lost, health.not_kept), (before.lost, 1), "a kept thing is no record");
    queue.break_journal_for_test(false);
    heal();
    reaches(&store, total - health.lost).await;
    append_durably(&store, [record(total)]).await;
    let after = store.ledger().health();
    assert!(!after.failing && !after.journal_failing && after.lost == health.lost, "{after:?}");
}

#[tokio::test]
async fn what_only_memory_had_when_a_store_closed_is_counted_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, [record(0)]).await;
    let heal = store.0.db.break_for_test();
    store.ledger().append(record(1));
    store.0.writer.queue().break_journal_for_test(true);
    (2..5).for_each(|n| store.ledger().append(record(n)));
    store.close();
    assert_eq!(store.ledger().health().lost, 3);
    heal();
    drop(store);
    let store = open(dir.path());
    assert_eq!(all(&store).await, [record(1), record(0)], "what the journal had comes with the next start");
}

/// Waits until a commit has failed.
async fn fails(store: &Store) {
    for _ in 0..600 {
        if store.ledger().health().commit_failures > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no commit fails: {:?}", store.ledger().health());
}

#[tokio::test]
async fn case_55_a_disk_that_is_well_again_when_the_store_closes_loses_nothing() {
    for later in [0, 1, 300] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        append_durably(&store, [record(0)]).await;
        let heal = store.0.db.break_for_test();
        (1..4).for_each(|n| store.ledger().append(record(n)));
        fails(&store).await;
        // These wait behind the group that failed.
        (4..4 + later).for_each(|n| store.ledger().append(record(n)));
        heal();
        store.close();
        assert_eq!(store.ledger().health().lost, 0);
        drop(store);
        let store = open(dir.path());
        assert_eq!(all(&store).await, (0..4 + later).rev().map(record).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn case_55_what_is_given_up_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, [record(0)]).await;
    let heal = store.0.db.break_for_test();
    store.0.writer.queue().break_journal_for_test(true);
    store.ledger().append(record(1));
    fails(&store).await;
    (2..5).for_each(|n| store.ledger().append(record(n)));
    store.close();
    assert_eq!(store.ledger().health().lost, 4);
    heal();
}

/// A value that stays large however it is packed.
fn bulky(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

#[tokio::test]
async fn a_journal_never_takes_the_place_of_what_was_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let large = bulky(400_000);
    store.kept().put(SPACE, "grows", "k", MINUTE, b"small");
    store.kept().put(SPACE, "grows", "k", MINUTE, &large);
    append_durably(&store, (0..3).map(record)).await;
    let priced = |n| RequestRecord { cost: Some(crate::model::NanoUsd(5)), ..record(n) };
    store.ledger().import_blocking((0..2).map(priced)).unwrap();
    // Not committed when the process dies.
    store.ledger().append(record(3));
    let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
    for _ in 0..2 {
        let journals = ["journal.a", "journal.b"].map(|name| fs::read(copy.path().join(name)).unwrap());
        assert!(journals.iter().any(|journal| holds(journal, "small")), "the journal still has what is older");
        let reopened = open(copy.path());
        assert_eq!(all(&reopened).await, [record(3), record(2), priced(1), priced(0)]);
        assert_eq!(reopened.kept().get(SPACE, "grows").await.unwrap().unwrap().value, large);
        drop(reopened);
        // The same again, as if the process had died before it emptied its journal.
        for (name, bytes) in ["journal.a", "journal.b"].iter().zip(journals) {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn places_in_the_journal_go_on_from_life_to_life() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..4 {
        let store = open(dir.path());
        assert_eq!(store.ledger().count().unwrap(), life * 2);
        append_durably(&store, [record(life * 2)]).await;
        store.ledger().append(record(life * 2 + 1));
        let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
        assert_eq!(open(copy.path()).ledger().count().unwrap(), life * 2 + 2, "nothing new is taken for old");
    }
}

#[tokio::test]
async fn a_file_that_has_come_further_than_the_one_before_makes_nothing_old() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, [record(0)]).await;
    let db = Arc::clone(&store.0.db);
    let far = move || {
        db.write(|txn| {
            txn.open_table(tables::META)?.insert("journal", b"5000 5000".as_slice())?;
            Ok(())
        })
    };
    store.0.writer.queue().exclusively(far).unwrap();
    store.ledger().append(record(1));
    let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
    assert_eq!(all(&open(copy.path())).await, [record(1), record(0)]);
}
