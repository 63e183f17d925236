//! Backups: taken beside a writer, verified, refused when anything is amiss, and gone on with under a new origin.

use std::path::Path;

use attestd_core::check::Blob;
use attestd_core::event::Change;
use attestd_core::merkle::Head;
use attestd_core::record::{Erased, Record, Restored};
use attestd_core::store::{Draft, Store, StoreError};

use super::store::{indexes, put, started, state};
use crate::SledStore;
use crate::backup::{self, BackupError, Copied};
use crate::key::{KeyDirectory, SigningKey};
use crate::note::{Checkpoint, Verifier, key_name};
use crate::testing::{at, run, same, wait};

/// A store of some runs, with blobs, and a directory for the rest.
struct Scene {
    directory: tempfile::TempDir,
    store: SledStore,
    around: tempfile::TempDir,
    key: SigningKey,
}

impl Scene {
    fn new() -> Scene {
        let (directory, store) = started();
        for n in 0..5 {
            put(&store, run("tls/a", n, Some(Change::Opened)));
        }
        let blobs = vec![Blob::new(&b"a chain"[..]), Blob::new(&b"a page"[..])];
        wait(store.commit(Draft { record: run("tls/b", 6, None), blobs })).expect("committed");
        let around = tempfile::tempdir().expect("a directory");
        let key = KeyDirectory(around.path().join("key")).key().expect("a key");
        Scene { directory, store, around, key }
    }

    fn note(&self) -> String {
        let verbatim = self.store.verbatim();
        let size = verbatim.size();
        let root = verbatim.root(size).expect("a root");
        self.key.sign(&Checkpoint::new("origin", Head { size, root }))
    }

    fn verifier(&self) -> Verifier {
        self.key.verifier(&key_name("origin"))
    }

    fn backup(&self, note: &str, name: &str) -> Result<Copied, BackupError> {
        let into = self.around.path().join(name);
        backup::backup(self.directory.path(), note.as_bytes(), &self.verifier(), &into)
    }
}

fn restored(verified: &backup::Verified) -> Record {
    Record::Restored(Restored {
        at: at(60),
        origin: "origin-2".to_owned(),
        from: verified.origin.clone(),
        size: verified.head.size,
        root: attestd_core::check::hex(&verified.head.root),
        key: verified.key.to_string(),
        by: "root".to_owned(),
    })
}

#[test]
fn a_backup_beside_a_writer_is_verified_restored_and_gone_on_with() {
    let scene = Scene::new();
    let note = scene.note();
    let before = state(&scene.store);
    // What is written after the checkpoint is not in the backup.
    put(&scene.store, same(before.size - 1, 10));
    put(&scene.store, run("tls/c", 11, Some(Change::Opened)));
    let copied = scene.backup(&note, "backup").expect("copied");
    assert_eq!(copied, Copied { records: before.size, blobs: 2, rotten: vec![] });

    let (from, to) = (scene.around.path().join("backup"), scene.around.path().join("store"));
    let verified = backup::verify(&from, Some(&scene.verifier())).expect("it holds");
    assert_eq!((verified.head.size, verified.origin.as_str()), (before.size, "origin"));
    assert_eq!(backup::verify(&from, None).expect("it holds").key, scene.verifier());

    let part = backup::begin(&from, &verified, &to).expect("copied");
    assert!(!to.exists(), "it is no store before it says that it was restored");
    let (store, mended) = SledStore::open(&part).expect("it opens");
    assert!(mended.iter().all(|what| what.contains("projection") || what.contains("tree")));
    put(&store, restored(&verified));
    drop(store);
    backup::finish(&part, &to).expect("named");

    let (store, mended) = SledStore::open(&to).expect("it opens");
    assert_eq!(mended, Vec::<String>::new());
    let after = state(&store);
    assert_eq!((after.origin.as_str(), after.store()), ("origin-2", "origin"));
    assert_eq!(after.subjects, before.subjects, "nothing of what was known is lost");
    assert_eq!(after.outbox, before.outbox, "and nothing that waits to be told");
    assert_eq!(indexes(&store, Some("tls/a"), 9), indexes(&scene.store, Some("tls/a"), 9));
    assert_eq!(store.verbatim().check(&verified.head), Ok(()), "the tree goes on");
    put(&store, same(before.size - 1, 61));
    drop(store);
    // Sled is made anew from the log, with both origins.
    std::fs::remove_dir_all(to.join("sled")).expect("removed");
    let (store, _) = SledStore::open(&to).expect("it opens");
    assert_eq!(state(&store).earlier, after.earlier);
}

#[test]
fn a_backup_of_a_pruned_log_is_restored_and_knows_what_was_erased() {
    let scene = Scene::new();
    let erased = Blob::new(&b"a chain"[..]).sha256;
    let by = Erased { at: at(7), sha256: erased.clone(), by: 0, reason: "mine".to_owned() };
    wait(scene.store.erase(by)).expect("erased");
    let year = at(0) + jiff::SignedDuration::from_hours(24 * 365);
    scene.store.retain(at(0), year).expect("a segment begins");
    put(&scene.store, run("tls/a", 8, None));
    let pruned = scene.store.retain(at(60), year).expect("pruned").expect("all is old");
    let copied = scene.backup(&scene.note(), "backup").expect("copied");
    assert_eq!((copied.blobs, copied.rotten), (1, vec![]));
    let (from, to) = (scene.around.path().join("backup"), scene.around.path().join("store"));
    let verified = backup::verify(&from, Some(&scene.verifier())).expect("it holds");
    let part = backup::begin(&from, &verified, &to).expect("copied");
    let (store, _) = SledStore::open(&part).expect("it opens");
    put(&store, restored(&verified));
    assert_eq!(state(&store).pruned, Some(pruned));
    assert_eq!(store.verbatim().check(&verified.head), Ok(()));
    let read = store.shared().reader.blobs.read(&erased);
    assert!(matches!(read, Err(StoreError::Erased(_))), "{read:?}");
}

#[test]
fn nothing_is_written_over_and_nothing_is_half_there() {
    let scene = Scene::new();
    let (note, taken) = (scene.note(), scene.around.path().join("taken"));
    std::fs::create_dir(&taken).expect("made");
    std::fs::write(taken.join("notes.txt"), "mine").expect("written");
    let error = scene.backup(&note, "taken").expect_err("taken").to_string();
    assert!(error.contains("is there already and not empty"), "{error}");
    // An earlier attempt that was cut off is no obstacle, and no backup.
    let part = scene.around.path().join("backup.unfinished");
    std::fs::create_dir(&part).expect("made");
    std::fs::write(part.join("log"), "half").expect("written");
    scene.backup(&note, "backup").expect("copied");
    assert!(!part.exists());
    let verified = backup::verify(&scene.around.path().join("backup"), None).expect("it holds");
    let begun = backup::begin(&taken, &verified, scene.directory.path()).map(drop);
    assert!(matches!(begun, Err(BackupError::Taken(_))), "a store is never restored over");
}

#[test]
fn a_backup_that_was_changed_is_not_restored() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("another size is signed", |backup| {
            let note = std::fs::read_to_string(backup.join("checkpoint")).expect("read");
            std::fs::write(backup.join("checkpoint"), note.replacen("\n8\n", "\n7\n", 1)).unwrap();
        }),
        ("its last record is gone", |backup| {
            let segment = backup.join("log/00000000000000000000.seg");
            let length = segment.metadata().expect("there").len();
            std::fs::OpenOptions::new()
                .write(true)
                .open(segment)
                .unwrap()
                .set_len(length - 3)
                .unwrap();
        }),
        ("a byte of a record is another", |backup| {
            let segment = backup.join("log/00000000000000000000.seg");
            let mut bytes = std::fs::read(&segment).expect("read");
            bytes[100] ^= 1;
            std::fs::write(&segment, bytes).expect("written");
        }),
        ("its key is no key", |backup| std::fs::write(backup.join("key.txt"), "?").unwrap()),
        ("its checkpoint is gone", |backup| {
            std::fs::remove_file(backup.join("checkpoint")).unwrap()
        }),
    ];
    for (why, change) in changes {
        let scene = Scene::new();
        scene.backup(&scene.note(), "backup").expect("copied");
        let backup = scene.around.path().join("backup");
        change(&backup);
        assert!(backup::verify(&backup, None).is_err(), "{why}");
    }
    let scene = Scene::new();
    scene.backup(&scene.note(), "backup").expect("copied");
    let other = Scene::new();
    let error = backup::verify(&scene.around.path().join("backup"), Some(&other.verifier()));
    assert!(error.is_err(), "signed with another key than the one that is known");
}

#[test]
fn a_rotten_blob_is_named_and_left_out() {
    let scene = Scene::new();
    let sha256 = Blob::new(&b"a chain"[..]).sha256;
    let path = scene.directory.path().join("blobs").join(&sha256[..2]).join(&sha256);
    std::fs::write(path, b"b chain").expect("written");
    let copied = scene.backup(&scene.note(), "backup").expect("copied");
    assert_eq!((copied.blobs, copied.rotten), (1, vec![sha256]));
}
