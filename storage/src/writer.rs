//! The one thread that writes: it takes what waits, and commits it as a group with one write and one sync (D2).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use attestd_core::outbox::Given;
use attestd_core::record::{Erased, Record, Recovered};
use attestd_core::state::State;
use attestd_core::store::{Committed, Draft, StoreError};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::blobs;
use crate::frame;
use crate::fs::{FsError, chain};
use crate::garbage::Garbage;
use crate::reader::Reader;
use crate::record::{self, Seal};
use crate::store::Shared;

/// How many jobs may wait; whoever comes next waits to be let in. Above the number of runs at once.
pub(crate) const QUEUE_MAX: usize = 1_024;
/// The most records of one group: at most 16 MiB, and a torn tail is no longer than that.
const GROUP_MAX: usize = 256;
/// The most blobs removed at once: commits wait meanwhile.
const COLLECT_MAX: usize = 500;
/// Where commits come side by side, this long is waited for more of them: a sync costs the processor as much as the
/// records of it. Who commits alone never waits.
const GATHER: Duration = Duration::from_millis(2);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(crate) enum Job {
    /// To write one record.
    Commit(Draft, Reply<Committed>),
    /// To remove blobs that nothing names, unless a record since then does.
    Collect(Garbage, Reply<usize>),
    /// To remove a blob, and say so first.
    Erase(Erased, Reply<()>),
    /// To tell the log what was accepted, and what was mended, since it was told last.
    Tell(Timestamp, Reply<()>),
}

/// Works until the store is dropped, and everything sent before that is done.
pub(crate) fn work(shared: &Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut side_by_side = false;
    while let Some(job) = jobs.blocking_recv() {
        if side_by_side {
            gather();
        }
        let mut group = Group { shared, members: Vec::new(), given: Given::default() };
        group.take(job);
        side_by_side = false;
        for _ in 1..GROUP_MAX {
            let Ok(job) = jobs.try_recv() else { break };
            group.take(job);
            side_by_side = true;
        }
        group.write();
    }
}

#[expect(clippy::disallowed_methods, reason = "what is waited for is the time itself")]
fn gather() {
    std::thread::sleep(GATHER);
}

/// Records that are ready to be written together.
struct Group<'a> {
    shared: &'a Shared,
    members: Vec<Member>,
    /// What its records gave out: the next is numbered after them.
    given: Given,
}

struct Member {
    record: Record,
    bytes: Vec<u8>,
    reply: Option<Reply<Committed>>,
}

impl Group<'_> {
    fn take(&mut self, job: Job) {
        match job {
            Job::Commit(draft, reply) => match self.prepare(draft) {
                Ok((record, bytes)) => {
                    // What later records are numbered or checked by must be so before they are looked at.
                    let settles = matches!(
                        record,
                        Record::Start(_) | Record::Configured(_) | Record::Retired(_)
                    );
                    self.members.push(Member { record, bytes, reply: Some(reply) });
                    if settles {
                        self.write();
                    }
                }
                Err(error) => answer(reply, Err(error)),
            },
            Job::Collect(garbage, reply) => {
                self.write();
                answer(reply, self.collect(garbage));
            }
            Job::Erase(erased, reply) => {
                self.write();
                answer(reply, self.erase(erased));
            }
            Job::Tell(at, reply) => {
                self.write();
                self.shared.reader.log.ballast.refill();
                answer(reply, self.tell(at));
            }
        }
    }

    /// Addresses the record, makes it bytes, and keeps its blobs.
    fn prepare(&mut self, draft: Draft) -> Result<(Record, Vec<u8>), StoreError> {
        self.shared.reader.log.usable()?;
        let Draft { mut record, blobs: mut named } = draft;
        blobs::check(&named)?;
        let subject = record::subject_of(&record);
        if subject.is_some()
            && self.members.iter().any(|m| record::subject_of(&m.record) == subject)
        {
            self.write(); // its number must be known
        }
        let shared = self.shared;
        let fold = shared.fold.read().unwrap_or_else(PoisonError::into_inner);
        if !fold.refers(&record, &|of| shared.reader.subject_of(of)) {
            return Err(StoreError::Missing("the run that the record is the same as".to_owned()));
        }
        fold.state.address_after(&mut self.given, &mut record);
        let seal = Seal::of(&record, &fold.state, random()?);
        drop(fold);
        let (bytes, moved) = record::encode(&mut record, &seal)?;
        named.extend(moved);
        for blob in &named {
            shared
                .reader
                .blobs
                .keep(blob)
                .map_err(|error| shared.reader.log.fail(chain(&error)))?;
        }
        Ok((record, bytes))
    }

    /// Log and sync, then state and projection, then the answers.
    fn write(&mut self) {
        self.given = Given::default();
        let mut members = std::mem::take(&mut self.members);
        if members.is_empty() {
            return;
        }
        let bytes: Vec<Vec<u8>> =
            members.iter_mut().map(|member| std::mem::take(&mut member.bytes)).collect();
        let written = self.shared.reader.log.append(&bytes);
        let crc = bytes.last().map_or(0, |bytes| frame::checksum(bytes));
        let done = written.and_then(|first| self.fold_in(&members, crc).map(|()| first));
        for (place, member) in (0..).zip(members) {
            let Some(reply) = member.reply else { continue };
            let record = member.record;
            answer(reply, done.clone().map(|first| Committed { index: first + place, record }));
        }
    }

    fn fold_in(&self, members: &[Member], crc: u32) -> Result<(), StoreError> {
        let shared = self.shared;
        let mut guard = shared.kept();
        let kept = &mut *guard;
        let mut fold = shared.fold.write().unwrap_or_else(PoisonError::into_inner);
        for Member { record, .. } in members {
            let index = fold.state.size;
            // It was checked when it was prepared; should that have been wrong, only a restart helps.
            let changed = fold
                .apply(record, &|of| shared.reader.subject_of(of))
                .map_err(|error| shared.reader.log.fail(error.to_string()))?;
            kept.behind.add(&fold.state, index, record, changed);
            if let Record::Accepted(accepted) = record {
                kept.behind.told(kept.pending.told(accepted));
            }
        }
        drop(fold);
        kept.crc = crc;
        let fold = shared.fold.read().unwrap_or_else(PoisonError::into_inner);
        if kept.behind.is_enough(&fold.state) {
            kept.write(&shared.reader, &fold.state);
        }
        Ok(())
    }

    /// No commit is under way here that could name one of them.
    fn collect(&mut self, mut garbage: Garbage) -> Result<usize, StoreError> {
        let reader = &self.shared.reader;
        garbage.read_on(reader)?;
        let removed = garbage.blobs.iter().take(COLLECT_MAX);
        for name in removed.clone() {
            reader.blobs.remove(name).map_err(|error| crate::retain::unwritten(&error))?;
        }
        Ok(removed.count())
    }

    fn erase(&mut self, erased: Erased) -> Result<(), StoreError> {
        let (blobs, sha256) = (&self.shared.reader.blobs, erased.sha256.clone());
        // What is damaged can still be removed.
        if let Err(gone @ (StoreError::Missing(_) | StoreError::Erased(_))) = blobs.read(&sha256) {
            return Err(gone);
        }
        let stays = |error: FsError| {
            let error = chain(&error);
            StoreError::Missing(format!("blob {sha256}, which cannot be removed ({error})"))
        };
        if let Some(before) = blobs.erasing().filter(|before| *before != sha256) {
            finish_erasing(&self.shared.reader, &before).map_err(stays)?;
        }
        blobs.begin_erasing(&sha256).map_err(stays)?;
        let (record, bytes) =
            self.prepare(Draft { record: Record::Erased(erased), blobs: Vec::new() })?;
        self.write_one(record, bytes)?;
        blobs.erase(&sha256).and_then(|()| blobs.end_erasing()).map_err(stays)
    }

    fn write_one(&mut self, record: Record, bytes: Vec<u8>) -> Result<(), StoreError> {
        let (reply, mut answer) = oneshot::channel();
        self.members.push(Member { record, bytes, reply: Some(reply) });
        self.write();
        answer.try_recv().unwrap_or_else(|_| Err(ended())).map(drop)
    }

    fn tell(&mut self, at: Timestamp) -> Result<(), StoreError> {
        loop {
            let kept = self.shared.kept();
            let accepted = kept.pending.batch(at).map(Record::Accepted);
            let what = kept.mended.clone();
            drop(kept);
            let count = what.len();
            let recovered = (count > 0).then_some(Record::Recovered(Recovered { at, what }));
            let records: Vec<Record> = accepted.into_iter().chain(recovered).collect();
            if records.is_empty() {
                return Ok(());
            }
            let mut members = Vec::new();
            for mut record in records {
                let seal = Seal::of(&record, &State::default(), random()?);
                let (bytes, _) = record::encode(&mut record, &seal)?;
                members.push((record, bytes));
            }
            let (reply, mut answer) = oneshot::channel();
            let mut reply = Some(reply);
            for (record, bytes) in members {
                self.members.push(Member { record, bytes, reply: reply.take() });
            }
            self.write();
            answer.try_recv().unwrap_or_else(|_| Err(ended()))?;
            self.shared.kept().mended.drain(..count);
        }
    }
}

/// Ends an erasing that was begun, and that a crash or the disk cut off: the blob goes if a record says so.
pub(crate) fn finish_erasing(reader: &Reader, sha256: &str) -> Result<bool, FsError> {
    let says_so = |index: u64| {
        let bytes = reader.log.read(index).unwrap_or_default();
        bytes.starts_with(br#"{"t":"erased""#)
            && matches!(record::decode(index, &bytes), Ok(Record::Erased(r)) if r.sha256 == sha256)
    };
    let erased = (reader.log.oldest()..reader.log.len()).rev().any(says_so);
    if erased {
        reader.blobs.erase(sha256)?;
    }
    reader.blobs.end_erasing()?;
    Ok(erased)
}

/// What is said when the thread is gone.
pub(crate) fn ended() -> StoreError {
    StoreError::Log("the store's writer has ended".to_owned())
}

/// What a private part is salted with.
fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    let failed = |_| StoreError::Log("the operating system gives no random bytes".to_owned());
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Whoever asked may have gone; the record is written all the same.
fn answer<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    let _ = reply.send(result);
}
