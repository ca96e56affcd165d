//! The one writer: a bounded queue with a journal in front, and a thread that commits groups.
//!
//! Handing over is cheap (one short lock, one `write(2)`) and never waits for a commit. Must not know what a record or a kept thing means beyond
//! where its row goes.

mod frame;
mod job;
mod journal;
mod upkeep;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::WriteTransaction;
use tokio::sync::oneshot;

pub(super) use job::Job;

use super::StoreError;
use super::counters::{self, Bill};
use super::db::Db;
use super::kept;
use super::ledger::{Books, LedgerHealth, Live, Row, make_tables};
use super::tables::REQUESTS;
use crate::clock::Clock;
use crate::model::{Charge, RequestRecord};
use journal::Journal;
use upkeep::Upkeep;
pub(super) use upkeep::first_key;

/// A commit waits so long for company, unless somebody waits for it.
const HOLD: Duration = Duration::from_millis(40);
/// Or until so many jobs wait.
const GROUP: usize = 256;
/// Jobs in memory; beyond it they stand in the journal only.
const MOST_JOBS: usize = 65_536;
/// And bytes.
const MOST_BYTES: usize = 64 << 20;
/// Larger kept things skip the journal and are committed at once.
const MOST_JOURNALED: usize = 256 << 10;
/// Wait after a failed commit: doubled each time, up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Jobs of a journal that are folded in by one transaction: memory stays bounded however long the disk was away.
const REPLAYED_AT_ONCE: usize = 10_000;
/// How often an idle writer looks whether there is upkeep.
const IDLE: Duration = Duration::from_secs(60);

/// A job on its way.
struct Queued {
    seq: u64,
    job: Job,
    record: Option<Arc<RequestRecord>>,
    waiter: Option<oneshot::Sender<Result<(), StoreError>>>,
}

struct State {
    journal: Journal,
    jobs: Vec<Queued>,
    bytes: usize,
    seq: u64,
    committed_to: u64,
    urgent: bool,
    idle: bool,
    upkeep_due: bool,
    closed: bool,
    health: LedgerHealth,
    /// Something to do while nothing is written.
    exclusive: Option<Exclusive>,
}

/// Work that the writer does when everything so far is committed and nothing else comes in between; with the one who waits for it.
struct Exclusive {
    work: Box<dyn FnOnce() -> Result<(), StoreError> + Send>,
    done: std::sync::mpsc::SyncSender<Result<(), StoreError>>,
}

/// Where jobs are handed over.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    live: Live,
    upkeep: Upkeep,
    books: Arc<Books>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record over.
    pub(super) fn record(
        &self,
        key: u128,
        bytes: Vec<u8>,
        charges: Vec<Charge>,
        record: Arc<RequestRecord>,
        waiter: Option<oneshot::Sender<Result<(), StoreError>>>,
    ) {
        let job = if charges.is_empty() { Job::Record { key, bytes } } else { Job::Charged { key, charges, bytes } };
        let _ = self.push(job, Some(record), waiter);
    }

    /// Hands over that counters are to be forgotten.
    pub(super) fn forget(&self, job: Job, waiter: oneshot::Sender<Result<(), StoreError>>) {
        let _ = self.push(job, None, Some(waiter));
    }

    /// Hands over what concerns a kept thing; returns its place in the order of all jobs. `None`: it is lost.
    pub(super) fn kept(&self, job: Job) -> Option<u64> {
        self.push(job, None, None)
    }

    /// Waits until everything that was handed over so far is in the database.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.forget(Job::Forget { before: Vec::new() }, sender);
        receiver.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Lets the writer do something once everything so far is committed, the journal is empty and nothing new is taken: who hands something over waits
    /// for that long. The dictionary is read anew afterwards.
    pub(super) fn exclusively(
        &self,
        work: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (done, receiver) = std::sync::mpsc::sync_channel(1);
        {
            let mut state = self.state();
            if state.closed {
                return Err(StoreError::Closed);
            }
            state.exclusive = Some(Exclusive { work: Box::new(work), done });
            state.upkeep_due = true;
        }
        self.wake.notify_all();
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Every job up to this place is in the database.
    pub(super) fn committed_to(&self) -> u64 {
        self.state().committed_to
    }

    fn push(
        &self,
        job: Job,
        record: Option<Arc<RequestRecord>>,
        waiter: Option<oneshot::Sender<Result<(), StoreError>>>,
    ) -> Option<u64> {
        let size = job.size();
        let mut guard = self.state();
        let state = &mut *guard;
        if state.closed {
            state.health.lost += 1;
            return None;
        }
        let full = state.jobs.len() >= MOST_JOBS || state.bytes >= MOST_BYTES;
        let is_record = record.is_some();
        if full && !is_record {
            state.health.lost += 1;
            return None;
        }
        state.seq += 1;
        let seq = state.seq;
        let journaled = job.is_journaled() && (is_record || size <= MOST_JOURNALED);
        let written = if journaled { state.journal.append(seq, &job, !full) } else { Ok(()) };
        state.health.journal_bytes = state.journal.bytes();
        if let Err(why) = &written {
            state.health.journal_failures += 1;
            state.health.last_error = Some(format!("journal: {why}"));
        }
        if full {
            match written {
                Ok(()) => state.health.deferred += 1,
                Err(_) => state.health.lost += 1,
            }
            return None;
        }
        state.urgent |= waiter.is_some() || !journaled;
        state.bytes += size;
        state.jobs.push(Queued { seq, job, record, waiter });
        state.health.waiting = state.jobs.len() as u64;
        let wake = state.idle || state.urgent || state.jobs.len() == GROUP;
        drop(guard);
        if wake {
            self.wake.notify_one();
        }
        Some(seq)
    }

    /// How it goes.
    pub(super) fn health(&self) -> LedgerHealth {
        self.state().health.clone()
    }

    /// How records are posted.
    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    /// The records that were written lately.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Records older than this many days go. Looked after at once and then every hour.
    pub(super) fn keep_days(&self, days: u32) {
        if self.upkeep.keep_days(days) {
            self.state().upkeep_due = true;
            self.wake.notify_one();
        }
    }

    /// Waits for jobs, or for something else to do.
    fn next_group(&self) -> Group {
        let mut state = self.state();
        if state.jobs.is_empty() && !state.closed && !state.upkeep_due {
            state.idle = true;
            state = self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner).0;
            state.idle = false;
        }
        if !state.jobs.is_empty() {
            let waits = |state: &mut State| !state.urgent && !state.closed && state.jobs.len() < GROUP;
            state = self.wake.wait_timeout_while(state, HOLD, waits).unwrap_or_else(PoisonError::into_inner).0;
        }
        let state = &mut *state;
        state.urgent = false;
        state.upkeep_due = false;
        state.bytes = 0;
        Group { jobs: std::mem::take(&mut state.jobs), closed: state.closed }
    }

    /// Waits before another try; returns at once when the store closes.
    fn pause(&self, wait: Duration) -> bool {
        let state = self.state();
        let (state, _) =
            self.wake.wait_timeout_while(state, wait, |state| !state.closed).unwrap_or_else(PoisonError::into_inner);
        state.closed
    }
}

struct Group {
    jobs: Vec<Queued>,
    closed: bool,
}

/// The thread that commits. Closing waits for it.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Folds in what the journal holds, then starts.
    pub(super) fn start(dir: &Path, db: Arc<Db>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let (mut journal, jobs) = Journal::open(dir).map_err(StoreError::io(dir))?;
        db.write(|txn| {
            // The tables are made here, so that readers find them.
            make_tables(txn)?;
            kept::make_tables(txn)
        })?;
        let books = Arc::new(db.read(Books::load)?);
        for jobs in jobs.chunks(REPLAYED_AT_ONCE) {
            write(&db, &books, bare(jobs))?;
        }
        journal.empty().map_err(StoreError::io(dir))?;
        let health = LedgerHealth { replayed: jobs.len() as u64, ..LedgerHealth::default() };
        let state = State {
            journal,
            jobs: Vec::new(),
            bytes: 0,
            seq: 0,
            committed_to: 0,
            urgent: false,
            idle: false,
            upkeep_due: false,
            closed: false,
            health,
            exclusive: None,
        };
        let queue = Arc::new(Queue {
            state: Mutex::new(state),
            wake: Condvar::new(),
            live: Live::default(),
            upkeep: Upkeep::new(clock, Arc::clone(&books)),
            books,
        });
        let own = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("myelin-store".to_owned())
            .spawn(move || run(&own, &db))
            .map_err(StoreError::io(dir))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Commits what waits and stops.
    pub(super) fn close(&self) {
        self.queue.state().closed = true;
        self.queue.wake.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The life of the writer's thread.
fn run(queue: &Queue, db: &Db) {
    loop {
        let group = queue.next_group();
        let committed = group.jobs.is_empty() || commit_group(queue, db, group.jobs);
        if group.closed {
            if committed && queue.state().jobs.is_empty() {
                finish(queue, db);
            }
            return;
        }
        settle_journal(queue, db);
        alone(queue, db);
        queue.upkeep.run(db, || !queue.state().jobs.is_empty());
    }
}

/// Commits one group, however often it takes. `false`: the store closed before it worked; the journal still has it.
fn commit_group(queue: &Queue, db: &Db, mut jobs: Vec<Queued>) -> bool {
    let mut wait = FIRST_RETRY;
    let mut shown = false;
    loop {
        let rows = jobs.iter().map(|one| (&one.job, one.record.as_deref()));
        let done = db.ensure_open().and_then(|()| write(db, &queue.books, rows));
        if !shown {
            // People see what happened even while the disk does not take it.
            queue.live.push(jobs.iter_mut().filter_map(|one| one.record.take()));
            shown = true;
        }
        let mut state = queue.state();
        match done {
            Ok(()) => {
                state.health.committed += jobs.len() as u64;
                state.health.waiting = state.jobs.len() as u64;
                state.health.failing = false;
                state.committed_to = jobs.last().map_or(0, |one| one.seq);
                drop(state);
                for one in jobs {
                    if let Some(waiter) = one.waiter {
                        let _ = waiter.send(Ok(()));
                    }
                }
                return true;
            }
            Err(why) => {
                state.health.commit_failures += 1;
                state.health.failing = true;
                state.health.last_error = Some(why.to_string());
                drop(state);
                tracing::warn!(error = %why, waiting = jobs.len(), "records could not be written, trying again");
                // Nobody waits for a disk that fails: traffic goes on.
                for one in &mut jobs {
                    if let Some(waiter) = one.waiter.take() {
                        let _ = waiter.send(Err(StoreError::Closed));
                    }
                }
                if queue.pause(wait) {
                    return false;
                }
                wait = (wait * 2).min(LONGEST_RETRY);
            }
        }
    }
}

/// Does what somebody wants done while nothing is written, if everything is committed by now; else next time.
fn alone(queue: &Queue, db: &Db) {
    let mut state = queue.state();
    if state.exclusive.is_none() {
        return;
    }
    if !state.jobs.is_empty() {
        state.urgent = true;
        return;
    }
    if state.journal.must_read_back() {
        state.upkeep_due = true;
        return;
    }
    let Some(Exclusive { work, done }) = state.exclusive.take() else { return };
    // All of it is committed: replayed after a crash it would come into what takes the place of the database.
    let emptied = state.journal.empty().map_err(StoreError::io("journal"));
    let worked = emptied.and_then(|()| work()).and_then(|()| queue.books.reload(db));
    state.health.journal_bytes = state.journal.bytes();
    drop(state);
    let _ = done.send(worked);
}

/// Empties the journal file that is all committed, reading back what stood only there.
fn settle_journal(queue: &Queue, db: &Db) {
    let (committed, only_here) = {
        let mut state = queue.state();
        let committed = state.committed_to;
        let only_here = state.journal.read_back(committed);
        if matches!(&only_here, Ok(jobs) if jobs.is_empty()) {
            let settled = state.journal.settle(committed, false);
            note(&mut state.health, settled);
            state.journal.turn();
            // What must be read back should not wait for traffic.
            state.upkeep_due |= state.journal.must_read_back();
            state.health.journal_bytes = state.journal.bytes();
            return;
        }
        (committed, only_here)
    };
    let done = only_here.map_err(StoreError::io("journal")).and_then(|jobs| {
        let records = jobs.into_iter().filter(Job::is_record);
        let records: Vec<Job> = records.collect();
        records.chunks(REPLAYED_AT_ONCE).try_for_each(|records| write(db, &queue.books, bare(records)))
    });
    let mut state = queue.state();
    match done {
        Ok(()) => {
            let settled = state.journal.settle(committed, true);
            note(&mut state.health, settled);
            state.journal.turn();
        }
        Err(why) => state.health.last_error = Some(why.to_string()),
    }
    state.health.journal_bytes = state.journal.bytes();
}

fn note(health: &mut LedgerHealth, done: std::io::Result<()>) {
    if let Err(why) = done {
        health.journal_failures += 1;
        health.last_error = Some(format!("journal: {why}"));
    }
}

/// After the last commit: both journal files are emptied.
fn finish(queue: &Queue, db: &Db) {
    for _ in 0..2 {
        queue.state().journal.turn();
        settle_journal(queue, db);
    }
    let mut state = queue.state();
    if state.health.deferred == 0 || state.journal.bytes() == 0 {
        let emptied = state.journal.empty();
        note(&mut state.health, emptied);
    }
}

/// Puts jobs into their tables, in one transaction; records that are at hand need not be read out of their bytes.
fn write<'a>(
    db: &Db,
    books: &Books,
    jobs: impl Iterator<Item = (&'a Job, Option<&'a RequestRecord>)> + Clone,
) -> Result<(), StoreError> {
    db.write(|txn| {
        let records = jobs.clone().filter_map(|(job, record)| match job {
            Job::Record { key, bytes } | Job::Charged { key, bytes, .. } => Some(Row { key: *key, bytes, record }),
            _ => None,
        });
        // Before the records: those that are there already have been counted.
        charge(txn, jobs.clone().map(|(job, _)| job))?;
        books.post(txn, records)?;
        jobs.clone().try_for_each(|(job, _)| match job {
            Job::Record { .. } | Job::Charged { .. } | Job::Forget { .. } => Ok(()),
            Job::Put { space, key, value } => kept::write_row(txn, space, key, value),
            Job::Delete { space, key } => kept::delete_row(txn, space, key),
        })
    })?;
    books.committed();
    Ok(())
}

/// Counts and forgets, in the order in which it was handed over.
fn charge<'a>(txn: &WriteTransaction, jobs: impl Iterator<Item = &'a Job>) -> Result<(), StoreError> {
    let requests = txn.open_table(REQUESTS)?;
    let mut bill = Bill::default();
    for job in jobs {
        match job {
            Job::Charged { key, charges, .. } => bill.add(&requests, *key, charges)?,
            Job::Forget { before } => {
                bill.write(txn)?;
                counters::forget(txn, before)?;
            }
            _ => {}
        }
    }
    bill.write(txn)
}

/// Jobs of which nothing but their bytes is at hand.
fn bare(jobs: &[Job]) -> impl Iterator<Item = (&Job, Option<&RequestRecord>)> + Clone {
    jobs.iter().map(|job| (job, None))
}

/// How many whole jobs the journal of a directory holds, as the next start would read them.
#[cfg(test)]
pub(super) fn read_journal(dir: &Path) -> std::io::Result<(u64, usize)> {
    let (journal, jobs) = Journal::open(dir)?;
    Ok((journal.bytes(), jobs.len()))
}
