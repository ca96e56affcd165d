//! A large file of the previous schema: brought up in bounded memory, whatever it holds.

use redb::ReadableDatabase as _;

use super::*;
use crate::model::AttemptRecord;

/// Records of about ten kilobytes each.
const COUNT: u64 = 20_000;
/// Memory of the whole process that does it, in MiB: half of what the records take.
const MOST_MIB: u64 = 110;

/// A record whose texts do not repeat.
fn large(n: u64) -> RequestRecord {
    let mut random = fastrand::Rng::with_seed(n);
    let mut noise = || (0..1_990).map(|_| random.alphanumeric()).collect::<String>();
    let attempts = (0..4).map(|_| AttemptRecord { error: Some(noise()), ..AttemptRecord::default() }).collect();
    RequestRecord { attempts, error_message: Some(noise()), ..record(n) }
}

/// A file as the program before this schema left it: rows that stand for themselves, and neither dictionary nor indexes nor sums.
fn previous(dir: &Path) {
    let database = db::open_file(&dir.join(db::FILE), 32 << 20).unwrap();
    for batch in 0..COUNT / 1_000 {
        let txn = database.begin_write().unwrap();
        migrate::set_version(&txn, 1).unwrap();
        for n in batch * 1_000..(batch + 1) * 1_000 {
            let (key, bytes) = ledger::prepared(large(n));
            txn.open_table(tables::REQUESTS).unwrap().insert(key, bytes.as_slice()).unwrap();
        }
        txn.commit().unwrap();
    }
}

/// The most memory that this process ever had; `None`: this system does not tell.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1_024)
}

#[tokio::test]
async fn case_54_a_large_file_of_the_previous_schema_is_brought_up_in_bounded_memory() {
    const DIR: &str = "MYELIN_MIGRATION_TEST_DIR";
    if let Some(dir) = std::env::var_os(DIR) {
        // The process that does it, and nothing else.
        let store = open(Path::new(&dir));
        eprintln!("records {} peak {}", store.ledger().count().unwrap(), peak_mib().unwrap());
        return;
    }
    if peak_mib().is_none() {
        println!("skipped: this system does not tell how much memory a process has");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    previous(dir.path());
    let size = fs::metadata(dir.path().join(db::FILE)).unwrap().len() >> 20;
    assert!(size > MOST_MIB * 3 / 2, "{size} MiB are no test of {MOST_MIB}");
    let name = "store::tests::migration::case_54_a_large_file_of_the_previous_schema_is_brought_up_in_bounded_memory";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "{told}");
    let line = told.lines().find_map(|line| line.strip_prefix(&format!("records {COUNT} peak "))).expect("its sizes");
    println!("{size} MiB of file, {line} MiB of memory");
    let peak: u64 = line.trim().parse().unwrap();
    assert!(peak <= MOST_MIB, "{peak} MiB of memory for {size} MiB of file");
    // The copy is the file as it was, and what came of it has everything.
    let copy = db::open_file(&dir.path().join("myelin.redb.v1.bak"), 1 << 20).unwrap();
    let rows = {
        use redb::ReadableTableMetadata as _;
        copy.begin_read().unwrap().open_table(tables::REQUESTS).unwrap().len().unwrap()
    };
    assert_eq!(rows, COUNT);
    let store = open(dir.path());
    let page = store.ledger().list(Filter::default(), None, 3).await.unwrap();
    assert_eq!(page.records, [large(COUNT - 1), large(COUNT - 2), large(COUNT - 3)]);
    let query = UsageQuery { until: u64::MAX / 2, ..UsageQuery::default() };
    assert_eq!(store.ledger().usage(query).await.unwrap().total.requests as u64, COUNT);
}
