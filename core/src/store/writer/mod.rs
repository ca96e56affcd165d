//! The one writer: a bounded queue with a journal in front, and a thread that commits groups.
//!
//! Handing over is cheap (one short lock, one `write(2)`) and never waits for a commit. Must not know what a record or a kept thing means beyond
//! where its row goes.

mod fold;
mod frame;
mod job;
mod journal;
mod upkeep;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub(super) use job::Job;

use super::StoreError;
use super::db::Db;
use super::kept;
use super::ledger::{Books, LedgerHealth, Live, make_tables};
use crate::clock::Clock;
use crate::model::{Charge, RequestRecord};
use fold::{Folded, write, write_frames};
use frame::Frame;
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
/// And how often whether a journal that took nothing works again.
const PROBE: Duration = Duration::from_secs(1);

/// A job on its way.
struct Queued {
    seq: u64,
    job: Job,
    record: Option<Arc<RequestRecord>>,
    waiter: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// It survives the death of the process.
    in_journal: bool,
}

struct State {
    journal: Journal,
    jobs: Vec<Queued>,
    bytes: usize,
    seq: u64,
    folded: Folded,
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
        self.state().folded.committed
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
        let full = state.jobs.len() >= MOST_JOBS || state.bytes >= MOST_BYTES;
        let is_record = record.is_some();
        if state.closed || (full && !is_record) {
            let gone = if is_record { &mut state.health.lost } else { &mut state.health.not_kept };
            *gone += 1;
            return None;
        }
        state.seq += 1;
        let seq = state.seq;
        let journaled = job.is_journaled() && (is_record || size <= MOST_JOURNALED);
        let written = if journaled { state.journal.append(seq, &job, !full) } else { Ok(()) };
        state.health.journal_bytes = state.journal.bytes();
        let in_journal = journaled && written.is_ok();
        if journaled {
            state.health.journal_failing = !in_journal;
        }
        note(&mut state.health, written);
        if full {
            let counted = if in_journal { &mut state.health.deferred } else { &mut state.health.lost };
            *counted += 1;
            return None;
        }
        state.urgent |= waiter.is_some() || !journaled;
        state.bytes += size;
        state.jobs.push(Queued { seq, job, record, waiter, in_journal });
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
            let wait = if state.health.journal_failing { PROBE } else { IDLE };
            state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
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
        let (mut journal, mut frames) = Journal::open(dir).map_err(StoreError::io(dir))?;
        db.write(|txn| {
            // The tables are made here, so that readers find them.
            make_tables(txn)?;
            kept::make_tables(txn)
        })?;
        let books = Arc::new(db.read(Books::load)?);
        let folded = db.read(Folded::load)?;
        let seq = frames.iter().map(|frame| frame.seq).fold(folded.last(), u64::max);
        frames.retain(|frame| !folded.has(frame));
        replay(&db, &books, &frames, folded)?;
        journal.empty().map_err(StoreError::io(dir))?;
        let health = LedgerHealth { replayed: frames.len() as u64, ..LedgerHealth::default() };
        let state = State {
            journal,
            jobs: Vec::new(),
            bytes: 0,
            seq,
            folded: Folded::to(seq),
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
        // Nobody does it any more: who waits for it is told.
        self.queue.state().exclusive = None;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Folds in what a journal holds that the database has not.
fn replay(db: &Db, books: &Books, frames: &[Frame], mut folded: Folded) -> Result<(), StoreError> {
    for frames in frames.chunks(REPLAYED_AT_ONCE) {
        // In their order: what stands before the last one is in the database then, too.
        let counted = frames.iter().filter(|frame| !frame.uncounted).map(|frame| frame.seq).max().unwrap_or(0);
        folded = Folded { committed: folded.committed.max(counted), read_back: folded.read_back.max(counted) };
        write_frames(db, books, frames, folded)?;
    }
    Ok(())
}

/// The life of the writer's thread.
fn run(queue: &Queue, db: &Db) {
    loop {
        let group = queue.next_group();
        // Not committed: the store closed, and the journal keeps what it has for the next start.
        if !group.jobs.is_empty() && !commit_group(queue, db, group.jobs) {
            return;
        }
        if group.closed {
            finish(queue, db);
            return;
        }
        settle_journal(queue, db);
        try_journal(queue);
        alone(queue, db);
        queue.upkeep.run(db, || !queue.state().jobs.is_empty());
    }
}

/// Commits one group, however often it takes. `false`: the store closed before it worked; the journal still has it.
fn commit_group(queue: &Queue, db: &Db, mut jobs: Vec<Queued>) -> bool {
    let mut wait = FIRST_RETRY;
    let (mut shown, mut last_try) = (false, false);
    // Nobody else changes it: this is the writer's thread.
    let folded = queue.state().folded;
    let folded = Folded { committed: jobs.last().map_or(folded.committed, |one| one.seq), ..folded };
    loop {
        let rows = jobs.iter().map(|one| (&one.job, one.record.as_deref()));
        let done = db.ensure_open().and_then(|()| write(db, &queue.books, rows, folded));
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
                state.folded = folded;
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
                if last_try {
                    give_up(queue, &jobs);
                    return false;
                }
                // The store closes: the disk may have come back meanwhile.
                last_try = queue.pause(wait);
                wait = (wait * 2).min(LONGEST_RETRY);
            }
        }
    }
}

/// The store closes while the disk takes nothing: what the journal has comes with the next start, the rest is gone. What waits behind this group is
/// given up with it.
fn give_up(queue: &Queue, jobs: &[Queued]) {
    let mut state = queue.state();
    let gone = |jobs: &[Queued]| jobs.iter().filter(|one| one.job.is_record() && !one.in_journal).count() as u64;
    let lost = gone(jobs) + gone(&state.jobs);
    state.health.lost += lost;
    if lost > 0 {
        tracing::error!(
            lost,
            why = state.health.last_error,
            "records are lost: neither the database nor the journal took them"
        );
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
    // Another file may have come further than this one: what comes next must be newer than what it knows.
    let further = db.read(Folded::load).map(|folded| {
        state.seq = state.seq.max(folded.last());
        state.folded = Folded::to(state.seq);
    });
    state.health.journal_bytes = state.journal.bytes();
    drop(state);
    let _ = done.send(worked.and(further));
}

/// Empties the journal file that is all committed, reading back what stood only there.
fn settle_journal(queue: &Queue, db: &Db) {
    let (folded, only_here) = {
        let mut state = queue.state();
        let folded = state.folded;
        let only_here = state.journal.read_back(folded);
        if matches!(&only_here, Ok(None)) {
            settle(&mut state, false);
            // What must be read back should not wait for traffic.
            state.upkeep_due |= state.journal.must_read_back();
            return;
        }
        (folded, only_here)
    };
    let mut folded = folded;
    let done = only_here.map_err(StoreError::io("journal")).and_then(|frames| {
        frames.unwrap_or_default().chunks(REPLAYED_AT_ONCE).try_for_each(|frames| {
            let further = Folded { read_back: frames.last().map_or(folded.read_back, |frame| frame.seq), ..folded };
            write_frames(db, &queue.books, frames, further)?;
            folded = further;
            Ok(())
        })
    });
    let mut state = queue.state();
    state.folded = folded;
    match done {
        Ok(()) => settle(&mut state, true),
        Err(why) => state.health.last_error = Some(why.to_string()),
    }
}

/// Empties the resting file if nothing there is needed any more, and lets the files take turns.
fn settle(state: &mut State, read_back: bool) {
    let settled = state.journal.settle(state.folded.committed, read_back);
    note(&mut state.health, settled);
    state.journal.turn();
    state.health.journal_bytes = state.journal.bytes();
}

/// Sees whether a journal that took nothing works again: nobody may come whose record would tell.
fn try_journal(queue: &Queue) {
    let mut state = queue.state();
    if state.health.journal_failing {
        state.health.journal_failing = state.journal.probe().is_err();
    }
}

fn note(health: &mut LedgerHealth, done: std::io::Result<()>) {
    if let Err(why) = done {
        health.journal_failures += 1;
        health.last_error = Some(format!("journal: {why}"));
    }
}

/// After the last commit: both journal files are emptied, unless something stands only there.
fn finish(queue: &Queue, db: &Db) {
    for _ in 0..2 {
        queue.state().journal.turn();
        settle_journal(queue, db);
    }
    let mut state = queue.state();
    if state.journal.is_copied() {
        let emptied = state.journal.empty();
        note(&mut state.health, emptied);
        state.health.journal_bytes = state.journal.bytes();
    }
}

#[cfg(test)]
impl Queue {
    /// The disk takes nothing more into the journal, until this is called with `false`.
    pub(super) fn break_journal_for_test(&self, broken: bool) {
        self.state().journal.break_for_test(broken);
    }
}

/// How many whole jobs the journal of a directory holds, as the next start would read them.
#[cfg(test)]
pub(super) fn read_journal(dir: &Path) -> std::io::Result<(u64, usize)> {
    let (journal, frames) = Journal::open(dir)?;
    Ok((journal.bytes(), frames.len()))
}
