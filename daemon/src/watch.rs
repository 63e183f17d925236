//! The file side of the triggers: says within two seconds which of the files and directories of interest changed.
//!
//! Watches directories, never files: a file watch dies with the first atomic rename, and a ConfigMap swap names only
//! `..data`. An event says no more than "look": what changed is found by comparing what `stat` says.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::time::Clock;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Editors write, rename and chmod in a burst: wait this long before looking.
const QUIET: Duration = Duration::from_millis(300);
/// Looked at this often without any event, for network file systems and replaced directories.
const RECHECK: Duration = Duration::from_secs(60);
/// The kernel stamps files by a clock that moves by its tick, of 10 ms at most.
const TICK_NS: i128 = 10_000_000;
/// Entries of one directory that take part in its fingerprint.
const ENTRIES_MAX: usize = 10_000;

/// What tells one state of a file or directory from another.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Print {
    Missing,
    File { dev: u64, ino: u64, size: u64, changed_ns: (i128, i64) },
    Directory { names: Vec<std::ffi::OsString> },
}

/// A state, and when the kernel noted it, in nanoseconds since 1970.
struct Seen {
    print: Print,
    noted_ns: i128,
}

/// Watches the files and directories that `wanted` names; sends what changed, from when on `clock` showed `since`, until
/// cancelled.
pub async fn run(
    mut wanted: watch::Receiver<BTreeSet<PathBuf>>,
    changed: mpsc::Sender<BTreeSet<PathBuf>>,
    clock: Arc<dyn Clock>,
    mut since: Timestamp,
    cancel: CancellationToken,
) {
    let wake = Arc::new(Notify::new());
    let mut watcher = make_watcher(wake.clone());
    let mut watched: BTreeSet<PathBuf> = BTreeSet::new();
    let mut known: BTreeMap<PathBuf, Seen> = BTreeMap::new();
    loop {
        let files = wanted.borrow_and_update().clone();
        let looks_at = clock.now();
        // Before looking: what changes after the look is told by the watcher.
        rewatch(watcher.as_mut(), files.iter(), &mut watched);
        let now = tokio::task::spawn_blocking(move || {
            files.into_iter().map(|file| (look(&file), file)).map(|(s, f)| (f, s)).collect()
        });
        let Ok(now) = now.await else { return };
        let now: BTreeMap<PathBuf, Seen> = now;
        // A file that is new to the list was named since the look before this one; whoever named it may have read it
        // before it changed.
        let moved = |(file, seen): &(&PathBuf, &Seen)| match known.get(*file) {
            Some(known) => known.print != seen.print,
            None => seen.noted_ns >= since.as_nanosecond() - TICK_NS,
        };
        let differ: BTreeSet<PathBuf> = now.iter().filter(moved).map(|(f, _)| f.clone()).collect();
        (known, since) = (now, looks_at);
        if !differ.is_empty() && changed.send(differ).await.is_err() {
            return;
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = wake.notified() => tokio::time::sleep(QUIET).await,
            moved = wanted.changed() => if moved.is_err() { return },
            () = tokio::time::sleep(RECHECK) => watched.clear(),
        }
    }
}

fn make_watcher(wake: Arc<Notify>) -> Option<RecommendedWatcher> {
    // Errors and overflows wake too: looking is always right.
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| event.kind.is_access()) {
            wake.notify_one();
        }
    });
    watcher
        .inspect_err(
            |error| tracing::warn!(%error, "Files are looked at once a minute only: no watcher."),
        )
        .ok()
}

fn rewatch<'a>(
    watcher: Option<&mut RecommendedWatcher>,
    files: impl Iterator<Item = &'a PathBuf>,
    watched: &mut BTreeSet<PathBuf>,
) {
    let Some(watcher) = watcher else { return };
    let mut directories = BTreeSet::new();
    for file in files {
        directories.extend(directory_of(file));
        directories.extend(std::fs::canonicalize(file).ok().as_deref().and_then(directory_of));
    }
    for gone in watched.difference(&directories) {
        let _ = watcher.unwatch(gone);
    }
    watched.retain(|directory| directories.contains(directory));
    for directory in directories {
        if !watched.contains(&directory)
            && watcher.watch(&directory, RecursiveMode::NonRecursive).is_ok()
        {
            watched.insert(directory);
        }
    }
}

fn directory_of(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    path.parent()
        .map(|parent| if parent == Path::new("") { Path::new(".") } else { parent }.to_owned())
}

fn look(path: &Path) -> Seen {
    let Ok(meta) = std::fs::metadata(path) else {
        return Seen { print: Print::Missing, noted_ns: i128::MIN };
    };
    let noted_ns = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    if meta.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(ENTRIES_MAX);
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        return Seen { print: Print::Directory { names }, noted_ns };
    }
    let (dev, ino, size, changed_ns) =
        (meta.dev(), meta.ino(), meta.size(), (noted_ns, meta.mtime()));
    Seen { print: Print::File { dev, ino, size, changed_ns }, noted_ns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    /// Waits for what the watcher says of `file`, two seconds at most, as is promised.
    async fn told(changed: &mut mpsc::Receiver<BTreeSet<PathBuf>>, file: &Path, what: &str) {
        let files = tokio::time::timeout(Duration::from_secs(2), changed.recv()).await;
        let files = files.expect(what).expect("the watcher runs");
        assert!(files.contains(file), "{what}: {files:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_way_in_which_editors_write_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("policy.md");
        std::fs::write(&file, "one").expect("a file");
        let (want, wanted) = watch::channel(BTreeSet::from([file.clone()]));
        let (tx, mut changed) = mpsc::channel(8);
        let cancel = CancellationToken::new();
        // Its first look must have been taken before the first write: a second file's addition shows that it was.
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let task = tokio::spawn(run(wanted, tx, clock, Timestamp::MAX, cancel.clone()));
        let marker = directory.path().join("marker");
        for n in 0.. {
            std::fs::write(&marker, n.to_string()).expect("a marker");
            want.send_replace(BTreeSet::from([file.clone(), marker.clone()]));
            if tokio::time::timeout(Duration::from_millis(500), changed.recv()).await.is_ok() {
                break;
            }
            assert!(n < 20, "the watcher never said anything");
        }
        while tokio::time::timeout(QUIET * 3, changed.recv()).await.is_ok() {}
        std::fs::write(&file, "in place").expect("a write");
        told(&mut changed, &file, "written in place").await;
        for round in ["renamed over", "renamed over a second time"] {
            let new = directory.path().join("policy.md.new");
            std::fs::write(&new, round).expect("a write");
            std::fs::rename(&new, &file).expect("a rename");
            told(&mut changed, &file, round).await;
        }
        std::fs::remove_file(&file).expect("a removal");
        told(&mut changed, &file, "removed").await;
        cancel.cancel();
        task.await.expect("the watcher ends");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_changed_while_the_list_was_on_its_way_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("policy.md");
        std::fs::write(&file, "one").expect("a file");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        for (since, expected) in [(Timestamp::MAX, false), (Timestamp::UNIX_EPOCH, true)] {
            let (_want, wanted) = watch::channel(BTreeSet::from([file.clone()]));
            let (tx, mut changed) = mpsc::channel(8);
            let cancel = CancellationToken::new();
            let task = tokio::spawn(run(wanted, tx, clock.clone(), since, cancel.clone()));
            if expected {
                told(&mut changed, &file, "written since it was read").await;
            } else {
                let told = tokio::time::timeout(QUIET, changed.recv()).await;
                assert!(told.is_err(), "it is as it was read: {told:?}");
            }
            cancel.cancel();
            task.await.expect("the watcher ends");
        }
    }
}
