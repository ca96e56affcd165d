//! The sums are those of the records, always: after replays, rewrites, retention, and for files of older schemas.

use std::collections::BTreeMap;

use myelin_protocol::ir::Usage;
use proptest::prelude::*;

use super::*;
use crate::model::NanoUsd;

const START: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;

/// A record made of a few small numbers, somewhere in three days.
fn made((n, at, model, state, tokens): (u64, u64, u8, u8, u64)) -> RequestRecord {
    let started = START + at;
    RequestRecord {
        id: format!("req_{:032x}", (u128::from(started) << 80) | u128::from(n)),
        started,
        duration_us: tokens * 7 + 1,
        first_token_us: (tokens % 2 == 0).then_some(tokens),
        model: format!("model-{model}"),
        channel: (model > 0).then(|| format!("channel-{}", model % 2)),
        state: [RequestState::Completed, RequestState::Failed, RequestState::Canceled][usize::from(state)],
        status: [200, 502, 499][usize::from(state)],
        owners: vec![format!("project:p{}", model % 3), "organisation:all".into()],
        tags: (0..model % 3).map(|tag| format!("tag-{tag}")).collect(),
        usage: Some(Usage { input: Some(tokens), output: Some(tokens / 2), ..Usage::default() }),
        cost: Some(NanoUsd(tokens.cast_signed() * 10)),
        attempts: vec![crate::model::AttemptRecord::default()],
        ..RequestRecord::default()
    }
}

fn some_records() -> impl Strategy<Value = Vec<RequestRecord>> {
    let one = (0..40_u64, 0..72 * HOUR, 0..5_u8, 0..3_u8, 0..10_000_u64).prop_map(made);
    proptest::collection::vec(one, 1..60)
}

fn question(by: &[Grouping]) -> UsageQuery {
    UsageQuery { since: 0, until: START * 2, by: by.to_vec(), times: true, ..UsageQuery::default() }
}

/// What the sums should be, added up the slow way.
fn added_up(records: &[RequestRecord], of: impl Fn(&RequestRecord) -> Vec<String>) -> BTreeMap<String, Sums> {
    let mut out: BTreeMap<String, Sums> = BTreeMap::new();
    for record in records {
        of(record).into_iter().for_each(|value| out.entry(value).or_default().add(&Sums::of(record), 1));
    }
    out
}

async fn summed(store: &Store, query: UsageQuery) -> BTreeMap<String, Sums> {
    let answer = store.ledger().usage(query).await.unwrap();
    answer.groups.into_iter().map(|group| (group.values.join("/"), group.sums)).collect()
}

/// Holds every way to sum against the records themselves.
async fn hold(store: &Store) {
    let records = all(store).await;
    let wanted = added_up(&records, |_| vec![String::new()]).remove("").unwrap_or_default();
    assert_eq!(store.ledger().usage(question(&[])).await.unwrap().total, wanted);
    let by = summed(store, question(&[Grouping::Of(Dimension::Model), Grouping::Of(Dimension::State)])).await;
    assert_eq!(by, added_up(&records, |record| vec![format!("{}/{}", record.model, record.state.word())]));
    let by = summed(store, question(&[Grouping::Of(Dimension::Tag)])).await;
    let tags = |record: &RequestRecord| if record.tags.is_empty() { vec![String::new()] } else { record.tags.clone() };
    assert_eq!(by, added_up(&records, tags));
    let by = summed(store, question(&[Grouping::Owner("project".into())])).await;
    assert_eq!(by, added_up(&records, |record| vec![record.owners[0].replace("project:", "")]));
    let any = vec![(Dimension::Channel, vec!["channel-1".to_owned(), String::new()])];
    let filtered: Vec<RequestRecord> =
        records.iter().filter(|record| record.channel.as_deref() != Some("channel-0")).cloned().collect();
    let wanted = added_up(&filtered, |_| vec![String::new()]).remove("").unwrap_or_default();
    assert_eq!(store.ledger().usage(UsageQuery { any, ..question(&[]) }).await.unwrap().total, wanted);
    for bucket in [Bucket::Hour, Bucket::Day] {
        let answer = store.ledger().usage(UsageQuery { bucket: Some(bucket), ..question(&[]) }).await.unwrap();
        let by: BTreeMap<String, Sums> =
            answer.groups.into_iter().map(|group| (group.from.unwrap().to_string(), group.sums)).collect();
        assert_eq!(by, added_up(&records, |record| vec![bucket.start(None, record.started).to_string()]));
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_sums_are_those_of_the_records(records in some_records(), cut in any::<proptest::sample::Index>()) {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            // Ids repeat: a record that comes again takes the place of the one before.
            append_durably(&store, records.clone()).await;
            hold(&store).await;
            // The process dies at some moment, with some of it handed over twice.
            let again = &records[cut.index(records.len())..];
            again.iter().for_each(|record| store.ledger().append(record.clone()));
            let copy = store.0.db.write(|_| Ok(copy_of(dir.path()))).unwrap();
            for _ in 0..2 {
                let journals = ["journal.a", "journal.b"].map(|name| fs::read(copy.path().join(name)).unwrap());
                let reopened = open(copy.path());
                hold(&reopened).await;
                reopened.close();
                drop(reopened);
                for (name, bytes) in ["journal.a", "journal.b"].iter().zip(journals) {
                    fs::write(copy.path().join(name), bytes).unwrap();
                }
            }
        });
    }

    #[test]
    fn any_range_sums_what_began_in_it(records in some_records(), from in 0..72 * HOUR, length in 0..72 * HOUR) {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            append_durably(&store, records).await;
            let (since, until) = (START + from, START + from + length);
            let query = UsageQuery { since, until, ..question(&[]) };
            let answer = store.ledger().usage(query.clone()).await.unwrap();
            let oldest = all(&store).await.iter().map(|record| record.started).min().unwrap();
            // Before the oldest record whole hours count: detail that is gone cannot be cut.
            let since = if since < oldest { since - since % HOUR } else { since };
            let inside: Vec<RequestRecord> =
                all(&store).await.into_iter().filter(|record| (since..until).contains(&record.started)).collect();
            let wanted = added_up(&inside, |_| vec![String::new()]).remove("").unwrap_or_default();
            assert_eq!(answer.total, wanted);
            let facets = store.ledger().facets(query, vec![Dimension::Model], 100).await.unwrap();
            let wanted = added_up(&inside, |record| vec![record.model.clone()]);
            let counted: BTreeMap<String, u64> = facets.values["model"].iter().cloned().collect();
            assert_eq!(counted, wanted.into_iter().map(|(model, sums)| (model, sums.requests as u64)).collect());
        });
    }
}

#[tokio::test]
async fn sums_outlive_their_records() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = open_with(dir.path(), &clock, &MasterKey::KeyFile).unwrap();
    append_durably(&store, (0..50).map(|n| made((n, n * 1_000, 1, 0, 5)))).await;
    let before = store.ledger().usage(question(&[])).await.unwrap().total;
    clock.advance_ms(10 * 86_400_000);
    store.ledger().keep_days(1);
    for _ in 0..200 {
        if store.ledger().count().unwrap() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.ledger().count().unwrap(), 0);
    assert_eq!(store.ledger().usage(question(&[])).await.unwrap().total, before);
    assert_eq!(before.requests, 50);
    let empty = store.0.db.read(|txn| {
        use redb::ReadableTableMetadata as _;
        Ok((txn.open_table(tables::SLOTS)?.len()?, txn.open_table(tables::LINKS)?.len()?))
    });
    assert!(empty.unwrap().1 == 0);
}

#[tokio::test]
async fn facets_count_what_the_other_filters_let_through() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append_durably(&store, (0..60).map(|n| made((n, n, (n % 3) as u8, (n % 2) as u8, 5)))).await;
    let any = vec![(Dimension::Model, vec!["model-1".to_owned()])];
    let query = UsageQuery { any, ..question(&[]) };
    let facets = store.ledger().facets(query, vec![Dimension::Model, Dimension::State], 2).await.unwrap();
    let pair = |value: &str, count| (value.to_owned(), count);
    assert_eq!(facets.values["model"], [pair("model-0", 20), pair("model-1", 20)], "its own filter does not narrow it");
    assert_eq!(facets.values["state"], [pair("completed", 10), pair("failed", 10)]);
}

/// A small store file as the program before this schema wrote it: 50 records, one channel, one key, one profile, one kept thing.
const OLD_FILE: &[u8] = include_bytes!("../testdata/schema1.redb.zst");
const OLD_KEY: &[u8] = include_bytes!("../testdata/schema1.seal.key");

#[tokio::test]
async fn case_54_a_file_of_the_previous_schema_opens_with_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("myelin.redb"), zstd::decode_all(OLD_FILE).unwrap()).unwrap();
    fs::write(dir.path().join("seal.key"), OLD_KEY).unwrap();
    let store = open(dir.path());
    let entities = store.entities();
    assert!(
        entities.channel("main").is_some() && entities.key("laptop").is_some() && entities.profile("cheap").is_some()
    );
    assert_eq!(entities.channel("main").unwrap().credentials[0].secret, SecretSource::parse(CANARY));
    assert_eq!(store.kept().get(SPACE, "kept").await.unwrap().unwrap().value, "value");
    let records = all(&store).await;
    assert_eq!(records.len(), 50);
    let newest = &records[0];
    assert_eq!(
        (newest.model.as_str(), newest.tool.as_deref(), newest.cost),
        ("odd", Some("claude-code"), Some(NanoUsd(1_000_000)))
    );
    assert_eq!(newest.usage.as_ref().unwrap().raw, Some(json!({"prompt_tokens": 100, "completion_tokens": 10}).into()));
    assert_eq!((newest.attempts[0].status, newest.losses.len()), (Some(200), 1));
    hold_old(&store).await;
    // What the old file never had works on it at once.
    let failed = Filter::default().with(Dimension::State, ["failed"]).with(Dimension::Model, ["even"]);
    assert_eq!(store.ledger().list(failed, None, 100).await.unwrap().records.len(), 5);
    let session = Filter { link: Some((Link::Session, "session-of-old".into())), ..Filter::default() };
    assert_eq!(store.ledger().list(session, None, 100).await.unwrap().records.len(), 50);
    drop(store);
    assert!(dir.path().join("myelin.redb.v1.bak").exists(), "a copy was made before anything was changed");
    assert_eq!(all(&open(dir.path())).await.len(), 50);
}

async fn hold_old(store: &Store) {
    let records = all(store).await;
    let by = summed(store, question(&[Grouping::Of(Dimension::Model), Grouping::Of(Dimension::Status)])).await;
    assert_eq!(by, added_up(&records, |record| vec![format!("{}/{}", record.model, record.status)]));
}
