//! The evidence log: segments of framed records, appended and synced in groups; the record of truth (D2, S1, S2).

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use attestd_core::merkle::{Hash, Head};
use attestd_core::record::FORMAT;
use attestd_core::store::StoreError;
use serde::Deserialize;

use crate::ballast::Ballast;
use crate::frame::{self, Search};
use crate::fs::{self, FsError, at, chain};
use crate::leaves::{self, Leaves};
use crate::remnant::{self, Remnant, RemnantError};
use crate::segment::{self, End, Segment};
use crate::store::OpenError;
use crate::tree::Hashes;

/// The directory of the log within the store's.
pub(crate) const DIRECTORY: &str = "log";
/// When a segment has this many bytes, the next begins: small enough to copy and check one by one, large enough that
/// ten years are a few dozen.
pub(crate) const SEGMENT_MAX: u32 = 64 << 20;
/// How much room a segment is given at a time, in bytes: some thousand records for one more sync of the file's length.
const ROOM: u64 = 256 << 10;

/// The log, open.
#[derive(Debug)]
pub(crate) struct Log {
    directory: PathBuf,
    segment_max: u32,
    /// Whether it is to be written.
    owns: bool,
    /// What is given up when the disk is full.
    pub ballast: Ballast,
    segments: RwLock<Vec<Segment>>,
    /// What is left of pruned segments, where there are such.
    remnant: RwLock<Option<Arc<Remnant>>>,
    /// The hashes of the tree over it.
    pub tree: Hashes,
    /// Whether it is as large as the log: who only looks at the log hashes it when asked for a hash.
    pub grown: Mutex<bool>,
    /// Held while appending; what failed once fails for ever (S1).
    failed: Mutex<Option<String>>,
}

/// What opening found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What was mended, a sentence each.
    pub mended: Vec<String>,
    /// Why it can only be read: what is damaged, and where.
    pub damage: Option<String>,
}

/// Whether the log is ours to mend and to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The lock is held.
    Own,
    /// Another process may be writing: nothing is touched, and a torn tail is its newest group on its way.
    Look,
}

impl Log {
    /// Opens the log in the store's directory: checks the CRC of every frame, and parses no record but a `start`.
    pub fn open(store: &Path, mode: Mode, segment_max: u32) -> Result<(Log, Found), OpenError> {
        let ballast = Ballast::of(store);
        let directory = store.join(DIRECTORY);
        if mode == Mode::Own {
            fs::create_dir(&directory)?;
        }
        let mut found = Found::default();
        let (tree, no_tree) = leaves::open_tree(&directory, mode);
        let mut leaves = Leaves::new(&tree);
        let mut segments: Vec<Segment> = Vec::new();
        let names = fs::names(&directory)?;
        let begin = names.iter().filter_map(|name| remnant::until_of(name)).max().unwrap_or(0);
        let (gone, firsts): (Vec<u64>, Vec<u64>) = names
            .iter()
            .filter_map(|name| segment::first_of(name))
            .partition(|first| *first < begin);
        let remnant = match begin {
            0 => None,
            _ => match Remnant::open(&directory, begin) {
                Ok(remnant) => Some(Arc::new(remnant)),
                Err(RemnantError::Fs(error)) => return Err(error.into()),
                Err(error) => {
                    found.damage = Some(error.to_string());
                    None
                }
            },
        };
        if mode == Mode::Own && found.damage.is_none() {
            let cleaned = remnant::clean(&directory, &names, begin)?;
            for first in &gone {
                fs::remove(&directory.join(segment::name(*first)))?;
            }
            if cleaned || !gone.is_empty() {
                let text = "Pruning by retention had been interrupted; it was finished.";
                found.mended.push(text.to_owned());
            }
        }
        if begin > 0 && firsts.is_empty() && found.damage.is_none() {
            found.damage = Some(format!("no segment begins at record {begin}"));
        }
        let firsts = if found.damage.is_none() { firsts } else { Vec::new() };
        if let Some(remnant) = remnant.as_ref().filter(|_| mode == Mode::Own) {
            leaves.take_pruned(remnant);
        }
        for (place, first) in firsts.iter().enumerate() {
            let next = segments.last().map_or(begin, Segment::next);
            if *first != next {
                found.damage =
                    Some(format!("no segment begins at record {next}; the next is at {first}"));
                break;
            }
            let path = directory.join(segment::name(*first));
            let own = mode == Mode::Own;
            let (mut segment, end) = Segment::scan(path, *first, own, |index, bytes| {
                if own {
                    leaves.take(index, bytes);
                }
                refuse_newer(index, bytes)
            })?;
            let last = place + 1 == firsts.len();
            match end {
                End::Clean => {}
                End::Newer(version) => return Err(OpenError::Newer { version }),
                End::Bad => {
                    if let Some(damage) = damage_in(&segment, last)? {
                        found.damage = Some(damage);
                        segments.push(segment);
                        break;
                    }
                    if mode == Mode::Own {
                        found.mended.push(cut_torn(&directory, &mut segment, &ballast)?);
                    }
                    if segment.end == 0 {
                        continue;
                    }
                }
            }
            segments.push(segment);
        }
        if segments.is_empty() && mode == Mode::Own && found.damage.is_none() {
            segments.push(Segment::create(&directory, begin, &ballast)?);
        }
        let owns = mode == Mode::Own && found.damage.is_none();
        if let Some(tail) = segments.last().filter(|_| owns) {
            // What a process wrote and was killed before syncing: nothing may be told of it before it is on disk (D2).
            fs::sync_data(&tail.file, &tail.path)?;
            fs::sync_dir(&directory)?;
            fs::sync_dir(store)?;
        }
        let kept = leaves.done();
        let (segments, remnant) = (RwLock::new(segments), RwLock::new(remnant));
        let failed = Mutex::new(None);
        let grown = Mutex::new(mode == Mode::Own);
        let mut log =
            Log { directory, segment_max, owns, ballast, segments, remnant, tree, grown, failed };
        if mode == Mode::Own {
            log.settle_tree(kept, no_tree, &mut found);
        }
        Ok((log, found))
    }

    /// How many good records there are, up to the first that is damaged: the next record's index.
    pub fn len(&self) -> u64 {
        self.segments().last().map_or(0, Segment::next)
    }

    /// The first record that stands in a segment: of those before it, only what is still referred to is left.
    pub fn oldest(&self) -> u64 {
        self.segments().first().map_or(0, |segment| segment.first)
    }

    /// The records of each segment.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        self.segments().iter().map(|segment| segment.first..segment.next()).collect()
    }

    /// What is left of pruned segments.
    pub fn remnant(&self) -> Option<Arc<Remnant>> {
        self.remnant.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Begins a new segment.
    pub fn roll(&self) -> Result<(), StoreError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*failed {
            return Err(StoreError::Log(error.clone()));
        }
        self.begin_segment().map_err(|error| {
            let error = chain(&error);
            *failed = Some(error.clone());
            StoreError::Log(error)
        })
    }

    /// Goes on from the remnant that was written of what is before `until`, and removes what it took the place of.
    pub fn let_go(&self, until: u64) -> Result<(), StoreError> {
        let remnant = Remnant::open(&self.directory, until);
        let remnant = remnant.map_err(|error| StoreError::ReadOnly(chain(&error)))?;
        let gone: Vec<PathBuf> = {
            let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
            *self.remnant.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(remnant));
            let stay = segments.partition_point(|segment| segment.first < until);
            segments.drain(..stay).map(|segment| segment.path).collect()
        };
        let removed = || {
            gone.iter().try_for_each(|path| fs::remove(path))?;
            remnant::clean(&self.directory, &fs::names(&self.directory)?, until)
        };
        removed().map(drop).map_err(|error| crate::retain::unwritten(&error))
    }

    /// Appends records with one write and one sync; says the first one's index. A failure is final (S1).
    pub fn append(&self, records: &[Vec<u8>]) -> Result<u64, StoreError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*failed {
            return Err(StoreError::Log(error.clone()));
        }
        let first = self.write(records).map_err(|error| {
            let error = chain(&error);
            *failed = Some(error.clone());
            StoreError::Log(error)
        })?;
        let leaves: Vec<Hash> = records.iter().map(|bytes| leaves::hash(bytes)).collect();
        if let Err(error) = self.ballast.spend(|| self.tree.append(&leaves)) {
            // These records are in the log, and the next start makes their hashes again; nothing more is taken.
            *failed = Some(chain(&error));
        }
        Ok(first)
    }

    /// The files of the first `size` records, and how much of each they need, in bytes.
    pub fn files(&self, size: u64) -> Result<Vec<(PathBuf, u64)>, FsError> {
        let oldest = self.oldest();
        let segments = self.segments();
        let needed = segments.iter().filter(|s| s.first < size || s.first == oldest);
        let length =
            |segment: &Segment| segment.bounds(size).map_or(segment.end, |(start, _)| start);
        let needed = needed.map(|segment| Ok((segment.path.clone(), length(segment).into())));
        self.remnant().iter().map(|remnant| remnant.file()).chain(needed).collect()
    }

    /// How large the log is, and the root of its tree, whose hashes are now on disk too. A failure is final (S1).
    pub fn head(&self) -> Result<Head, StoreError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match failed {
            Some(error) => Err(StoreError::Log(error)),
            None => self.tree.sync().map_err(|error| self.fail(chain(&error))),
        }
    }

    /// Says so where an append failed, or what had to come before one: nothing may be tried again (S1).
    pub fn usable(&self) -> Result<(), StoreError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map_or(Ok(()), |error| Err(StoreError::Log(error.clone())))
    }

    /// Makes every later append fail: what a record names could not be written before it (D2).
    pub fn fail(&self, error: String) -> StoreError {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        StoreError::Log(failed.get_or_insert(error).clone())
    }

    /// The bytes of the record at `index`, their CRC checked.
    pub fn read(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        if let Some(kept) = self.kept(index) {
            return kept;
        }
        let frame = match self.frame(index) {
            Ok(frame) => frame,
            Err(error) => return self.kept(index).unwrap_or(Err(error)), // pruned between the two looks
        };
        let bytes = frame::decode(&frame).ok_or_else(|| rotten(index))?;
        if frame::HEADER + bytes.len() != frame.len() {
            return Err(rotten(index));
        }
        Ok(frame[frame::HEADER..].to_vec())
    }

    /// What is left of the record at `index`, where it was pruned.
    fn kept(&self, index: u64) -> Option<Result<Vec<u8>, StoreError>> {
        let remnant = self.remnant().filter(|remnant| index < remnant.pruned.until)?;
        let pruned = StoreError::Pruned { index, on: remnant.pruned.at };
        let kept = remnant.read(index).map_err(|error| StoreError::ReadOnly(chain(&error)));
        Some(kept.and_then(|kept| kept.ok_or(pruned)))
    }

    /// What the record at `index` is known by.
    pub fn crc(&self, index: u64) -> Result<u32, StoreError> {
        Ok(frame::checksum(&self.read(index)?))
    }

    fn frame(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        let (file, path, start, end) = {
            let segments = self.segments();
            let after = segments.partition_point(|segment| segment.first <= index);
            let place = after.checked_sub(1).and_then(|place| segments.get(place));
            let found = place.and_then(|s| s.bounds(index).map(|bounds| (s, bounds)));
            let (segment, (start, end)) =
                found.ok_or_else(|| StoreError::Missing(format!("record {index}")))?;
            (Arc::clone(&segment.file), segment.path.clone(), start, end)
        };
        let mut frame = vec![0; (end - start) as usize];
        match file.read_exact_at(&mut frame, start.into()) {
            Ok(()) => Ok(frame),
            Err(error) => Err(StoreError::ReadOnly(chain(&at("read", &path)(error)))),
        }
    }

    fn write(&self, records: &[Vec<u8>]) -> Result<u64, FsError> {
        let mut frames = Vec::new();
        let mut starts = Vec::with_capacity(records.len());
        for record in records {
            let goes_on = !starts.is_empty();
            starts.push(frames.len() as u32);
            frame::encode(record, goes_on, &mut frames);
        }
        let length = frames.len() as u32;
        let fits =
            |s: &Segment| s.offsets.is_empty() || s.end.saturating_add(length) <= self.segment_max;
        if !self.segments().last().is_some_and(fits) {
            self.begin_segment()?;
        }
        let (file, path, end, mut room) = {
            let segments = self.segments();
            let tail = segments.last().expect("one was made just now if there was none");
            (Arc::clone(&tail.file), tail.path.clone(), tail.end, tail.room)
        };
        let written = u64::from(end) + u64::from(length);
        let more = written.next_multiple_of(ROOM).min(self.segment_max.into());
        let mut tried = None;
        if written > room && more > written {
            frames.resize((more - u64::from(end)) as usize, 0);
            tried = Some(fs::write_at(&file, &path, &frames, end.into()));
            frames.truncate(length as usize);
        }
        match tried {
            Some(Ok(())) => room = more,
            Some(Err(error)) if !fs::is_full(&error) => return Err(error),
            _ => {
                let write = || fs::write_at(&file, &path, &frames, end.into());
                self.ballast.spend(write)?;
                room = room.max(written);
            }
        }
        fs::sync_data(&file, &path)?;
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let tail = segments.last_mut().expect("there is one still: the newest is never removed");
        let first = tail.next();
        tail.offsets.extend(starts.iter().map(|start| end + start));
        (tail.end, tail.room) = (end + length, room);
        Ok(first)
    }

    fn begin_segment(&self) -> Result<(), FsError> {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let first = segments.last().map_or(0, Segment::next);
        if let Some(full) = segments.last_mut() {
            full.give_back_room()?;
        }
        segments.push(Segment::create(&self.directory, first, &self.ballast)?);
        Ok(())
    }

    fn segments(&self) -> RwLockReadGuard<'_, Vec<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    /// A log that was closed well is its records and nothing else.
    fn drop(&mut self) {
        let owns = self.owns && self.usable().is_ok();
        let segments = self.segments.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = segments.last_mut().filter(|_| owns)
            && let Err(error) = tail.give_back_room()
        {
            tracing::warn!(%error, "The log keeps room for more at its end.");
        }
    }
}

fn rotten(index: u64) -> StoreError {
    StoreError::ReadOnly(format!("record {index} no longer matches its checksum"))
}

/// Refuses a log that a newer release has started on.
fn refuse_newer(_: u64, bytes: &[u8]) -> Result<(), OpenError> {
    #[derive(Deserialize)]
    struct Start {
        format: u32,
    }
    if !bytes.starts_with(br#"{"t":"start""#) {
        return Ok(());
    }
    match serde_json::from_slice::<Start>(bytes) {
        Ok(Start { format: version }) if version > FORMAT => Err(OpenError::Newer { version }),
        _ => Ok(()),
    }
}

/// What is damaged, where bad bytes are followed by a good frame, or by another segment: those were synced once (S2).
fn damage_in(segment: &Segment, last: bool) -> Result<Option<String>, FsError> {
    let (next, end, path) = (segment.next(), segment.end, segment.path.display());
    let place = format!("record {next} at byte {end} of {path}");
    if !last {
        return Ok(Some(format!("{place} is bad, and a segment follows")));
    }
    let (rest, _) = segment.rest()?;
    Ok(match frame::search(&rest) {
        Search::None => None,
        Search::Good(on) => Some(format!("{place} is bad, and a good one follows {on} bytes on")),
        Search::GaveUp => Some(format!("{place} is bad, and more follows than a torn tail has")),
    })
}

/// Keeps a torn tail aside, up to its last byte that is not zero, and cuts it; a segment of which not even the header is
/// good goes with it.
fn cut_torn(directory: &Path, segment: &mut Segment, ballast: &Ballast) -> Result<String, FsError> {
    let (mut rest, _) = segment.rest()?;
    rest.truncate(rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    let next = segment.next();
    let aside = (0u64..)
        .map(|n| directory.join(format!("torn-{next}-{n}.bin")))
        .find(|path| !path.exists())
        .expect("fewer torn tails than numbers");
    let file = ballast.spend(|| fs::create_new(&aside))?;
    ballast.spend(|| fs::write_at(&file, &aside, &rest, 0))?;
    fs::sync_data(&file, &aside)?;
    fs::sync_dir(directory)?;
    if segment.end == 0 {
        fs::remove(&segment.path)?;
    } else {
        fs::cut(&segment.file, &segment.path, segment.end.into())?;
        segment.room = segment.end.into();
    }
    Ok(format!(
        "After {next} records the log ended in {} bytes that are no whole record; \
         they were cut, and are kept in {}.",
        rest.len(),
        aside.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faults;
    use crate::testing::start;

    /// Small enough that six records of the tests need two segments.
    const SMALL: u32 = 300;

    fn records() -> Vec<Vec<u8>> {
        (0..6)
            .map(|n| format!(r#"{{"t":"stopped","at":"{}"}}"#, "x".repeat(40 + n)).into())
            .collect()
    }

    /// A log of six records in two segments.
    fn filled() -> tempfile::TempDir {
        let store = tempfile::tempdir().expect("a directory");
        let (log, _) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
        for (index, record) in (0..).zip(records()) {
            assert_eq!(log.append(&[record]).expect("appended"), index);
        }
        store
    }

    fn all(log: &Log) -> Vec<Vec<u8>> {
        (0..log.len()).map(|index| log.read(index).expect("a good record")).collect()
    }

    fn files(store: &Path) -> Vec<PathBuf> {
        let directory = store.join(DIRECTORY);
        let names = fs::names(&directory).expect("names");
        names.iter().filter(|name| *name != "tree").map(|name| directory.join(name)).collect()
    }

    #[test]
    fn what_was_appended_is_read_back_after_a_reopen_across_segments() {
        let store = filled();
        assert_eq!(files(store.path()).len(), 2);
        let (log, found) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
        assert_eq!(all(&log), records());
        assert!(found.mended.is_empty() && found.damage.is_none(), "{found:?}");
        assert!(matches!(log.read(6), Err(StoreError::Missing(_))));
        assert_eq!(log.append(&records()).expect("a group"), 6);
        assert_eq!(log.len(), 12);
    }

    #[test]
    fn every_truncation_opens_with_a_prefix_and_keeps_the_rest_aside() {
        let whole = filled();
        let last = files(whole.path()).pop().expect("a segment");
        let bytes = std::fs::read(&last).expect("read");
        let first_of_last = segment::first_of(last.file_name().unwrap().to_str().unwrap()).unwrap();
        for length in 0..bytes.len() {
            let store = filled();
            let path = files(store.path()).pop().expect("a segment");
            std::fs::write(&path, &bytes[..length]).expect("cut");
            for mode in [Mode::Look, Mode::Own, Mode::Own] {
                let (log, found) = Log::open(store.path(), mode, SMALL).expect("it opens");
                assert!(found.damage.is_none(), "a torn tail at {length} is no damage: {found:?}");
                assert_eq!(all(&log), records()[..log.len() as usize], "cut at {length}");
                assert!((first_of_last..6).contains(&log.len()));
            }
            let (log, found) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
            assert!(found.mended.is_empty(), "it is mended once");
            log.append(&records()[..1]).expect("it goes on");
            let is_aside = |path: &&PathBuf| path.extension().is_some_and(|e| e == "bin");
            if let Some(aside) = files(store.path()).iter().find(is_aside) {
                let (aside, cut) = (std::fs::read(aside).expect("read"), &bytes[..length]);
                let end = cut.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                assert!(cut[..end].ends_with(&aside), "what was cut at {length} is kept");
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let store = filled();
        let mut flips = 0;
        for path in files(store.path()) {
            let bytes = std::fs::read(&path).expect("read");
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                std::fs::write(&path, &flipped).expect("written");
                let (log, found) = Log::open(store.path(), Mode::Look, SMALL).expect("it opens");
                let read = all(&log);
                assert!(read.len() < 6, "byte {at} of {} went unnoticed", path.display());
                assert_eq!(read, records()[..read.len()]);
                let tail = read.len() == 5 && path == files(store.path())[1];
                assert!(found.damage.is_some() || tail, "only the last record can look torn");
                flips += 1;
            }
            std::fs::write(&path, &bytes).expect("written");
        }
        println!("{flips} flips, all noticed");
    }

    #[test]
    fn damage_is_never_cut() {
        let store = filled();
        let path = files(store.path()).remove(0);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[segment::HEADER + 20] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        let (log, found) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
        assert_eq!(log.len(), 0);
        let damage = found.damage.expect("damage");
        assert!(damage.contains("record 0 at byte 24"), "{damage}");
        assert_eq!(std::fs::read(&path).expect("read"), bytes, "not a byte was touched");
        assert_eq!(files(store.path()).len(), 2);
    }

    #[test]
    fn a_missing_segment_is_damage() {
        let store = filled();
        std::fs::remove_file(&files(store.path())[0]).expect("removed");
        let (log, found) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
        assert_eq!(log.len(), 0);
        assert!(found.damage.expect("damage").starts_with("no segment begins at record 0"));
    }

    #[test]
    fn looking_changes_nothing() {
        let store = filled();
        let path = files(store.path()).pop().expect("a segment");
        let mut bytes = std::fs::read(&path).expect("read");
        bytes.extend_from_slice(b"on its way");
        std::fs::write(&path, &bytes).expect("written");
        let (log, found) = Log::open(store.path(), Mode::Look, SMALL).expect("it opens");
        assert_eq!((all(&log), found.mended), (records(), vec![]));
        assert_eq!(std::fs::read(&path).expect("read"), bytes);
    }

    #[test]
    fn a_newer_releases_log_is_refused() {
        let store = tempfile::tempdir().expect("a directory");
        let (log, _) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
        let mut newer = start("o");
        if let attestd_core::record::Record::Start(start) = &mut newer {
            start.format = FORMAT + 1;
        }
        log.append(&[serde_json::to_vec(&newer).expect("a record")]).expect("appended");
        for mode in [Mode::Look, Mode::Own] {
            let error = Log::open(store.path(), mode, SMALL).expect_err("newer").to_string();
            assert!(error.contains("written by a newer attestd (format 2"), "{error}");
        }
    }

    #[test]
    fn what_failed_once_fails_for_ever_and_is_never_tried_again() {
        for doing in ["write", "sync"] {
            let store = filled();
            let (log, _) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
            faults::plan(doing, store.path(), 1);
            let first = log.append(&records()).expect_err(doing).to_string();
            assert!(first.contains(doing) && first.contains(".seg"), "{first}");
            let again = log.append(&records()).expect_err(doing).to_string();
            assert_eq!(first, again, "the fault is gone, the failure is not");
            assert_eq!(log.len(), 6, "what failed is not there");
        }
    }
}
