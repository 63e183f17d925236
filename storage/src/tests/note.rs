//! Signed notes: read back, verified, and refused when anything about them was changed.

use std::os::unix::fs::PermissionsExt;

use attestd_core::merkle::Head;
use proptest::prelude::*;

use crate::key::{KeyDirectory, KeyError, SigningKey};
use crate::note::{BadNote, Checkpoint, NOTE_MAX, Note, Verifier, key_name};

const CUT: &str = "it has no signature, or its last line is cut";

fn key() -> SigningKey {
    let directory = tempfile::tempdir().expect("a directory");
    KeyDirectory(directory.path().join("key")).key().expect("a key")
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint::new("0123456789abcdef", Head { size, root: [7; 32] })
}

#[test]
fn a_checkpoint_is_read_back_by_whoever_has_the_key() {
    let key = key();
    let note = key.sign(&checkpoint(1_000));
    let verifier = key.verifier(&key_name("0123456789abcdef"));
    assert_eq!(verifier.open(note.as_bytes()), Ok(checkpoint(1_000)));
    assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
    let lines: Vec<&str> = note.lines().collect();
    assert_eq!(lines[..2], ["attestd/0123456789abcdef", "1000"]);
    assert_eq!(lines[3], "");
    assert!(lines[4].starts_with("— attestd/0123456789abcdef "), "{note}");
}

#[test]
fn the_note_and_key_of_the_c2sp_specification_are_believed() {
    // C2SP signed-note, section "Format": the example note and its verifier key.
    let verifier: Verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        .parse()
        .expect("a key");
    let note = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n\n\
                — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(note.as_bytes()).expect("a note");
    assert_eq!(verifier.verify(&note), Ok(()));
}

#[test]
fn every_flipped_bit_of_a_note_is_noticed() {
    let key = key();
    let verifier = key.verifier(&key_name("0123456789abcdef"));
    let note = key.sign(&checkpoint(77)).into_bytes();
    for at in 0..note.len() * 8 {
        let mut flipped = note.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert!(verifier.open(&flipped).is_err(), "bit {at}: {}", flipped.escape_ascii());
    }
    println!("{} flips, all noticed", note.len() * 8);
}

#[test]
fn what_is_no_note_of_ours_is_refused_for_what_it_is() {
    let key = key();
    let verifier = key.verifier(&key_name("0123456789abcdef"));
    let good = key.sign(&checkpoint(77));
    let foreign = self::key().sign(&checkpoint(77));
    let another = key.sign(&Checkpoint::new("another", checkpoint(77).head));
    let renamed = another.replace("attestd/another", "attestd/0123456789abcdef");
    let signature = good.lines().last().expect("a line");
    let longer = good.replacen("77", "78", 1);
    let rows: [(&str, String, BadNote); 10] = [
        ("another key's", foreign, BadNote::Unsigned),
        ("another log's", another, BadNote::Unsigned),
        ("another log's under our name", renamed, BadNote::Unsigned),
        ("another size", longer, BadNote::Forged),
        ("no signature", good.replace(signature, ""), BadNote::Form(CUT)),
        (
            "a signature of another form",
            good.replace("— attestd", "- attestd"),
            BadNote::Form("a signature is of another form"),
        ),
        ("cut", good.trim_end().to_owned(), BadNote::Form(CUT)),
        ("no empty line", good.replace("\n\n", "\n"), BadNote::Form("no empty line ends its text")),
        ("a tab", good.replace("77", "7\t7"), BadNote::Form("it has a control character")),
        ("too much", "x".repeat(NOTE_MAX + 1), BadNote::TooLarge),
    ];
    for (name, note, expected) in rows {
        assert_eq!(verifier.open(note.as_bytes()), Err(expected), "{name}");
    }
    let cosigned = format!("{good}— witness.example abcdefgh\n");
    assert!(verifier.open(cosigned.as_bytes()).is_ok(), "further signatures are left alone");
}

#[test]
fn numbers_in_checkpoints_are_strict() {
    let root = format!("{}=", "B".repeat(43));
    for size in ["", "-1", "+1", "01", "1e3", "18446744073709551616", "x"] {
        let text = format!("attestd/o\n{size}\n{root}\n");
        assert_eq!(Checkpoint::parse(&text), Err(BadNote::Checkpoint("it has no size")), "{size}");
    }
    let text = "attestd/o\n1\nAAAA\n";
    assert_eq!(Checkpoint::parse(text), Err(BadNote::Checkpoint("it has no root")));
}

#[test]
fn a_key_is_made_once_and_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = KeyDirectory(directory.path().join("some/key"));
    let verifier = keys.key().expect("a key").verifier("n");
    assert_eq!(keys.key().expect("the key").verifier("n"), verifier, "the same key again");
    assert_eq!(keys.checkpoint().expect("none"), None);
    keys.keep("one\n").expect("kept");
    keys.keep("two\n").expect("kept");
    assert_eq!(keys.checkpoint().expect("one"), Some(b"two\n".to_vec()));
    let mode = |path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let key = keys.0.join("signing-key.pem");
    assert_eq!((mode(keys.0.clone()), mode(key.clone())), (0o700, 0o600));
    assert_eq!(mode(keys.checkpoint_path()), 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("set");
    assert!(matches!(keys.key(), Err(KeyError::Exposed(path)) if path == key));
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        .expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("set");
    assert!(matches!(keys.key(), Err(KeyError::Unreadable(path)) if path == key));
}

proptest! {
    #[test]
    fn foreign_notes_are_never_a_panic(bytes: Vec<u8>, text in "(attestd/o\n|[0-9]{1,22}\n|[A-Za-z+/]{43}=\n|\n|— \\PC{1,9} [A-Za-z=]{0,12}\n|.){0,12}") {
        let verifier = key().verifier("attestd/o");
        for bytes in [&bytes[..], text.as_bytes()] {
            prop_assert!(verifier.open(bytes).is_err());
            if let Ok(note) = Note::parse(bytes) {
                let _ = Checkpoint::parse(note.text);
            }
        }
    }

    #[test]
    fn foreign_keys_are_never_a_panic_and_good_ones_read_back(text in "\\PC*", id in "[0-9a-f]{8}") {
        let _ = text.parse::<Verifier>();
        let _ = format!("attestd/o+{id}+AAAA{text}").parse::<Verifier>();
        let name: String = text.chars().filter(|c| !c.is_whitespace() && *c != '+').collect();
        let verifier = Verifier { name: format!("n{name}"), key: [9; 32] };
        prop_assert_eq!(verifier.to_string().parse(), Ok(verifier));
    }
}
