//! Signed notes, verified by OpenSSL.

use std::path::Path;
use std::process::Command;

use attestd_core::merkle::Head;
use attestd_storage::key::{KeyDirectory, SigningKey};
use attestd_storage::note::{Checkpoint, Note};

use crate::harness::SOON;
use crate::harness::program::run;

/// Whether `openssl` finds that the signature is of the text.
async fn verifies(directory: &Path, text: &[u8], signature: &[u8]) -> bool {
    std::fs::write(directory.join("text"), text).expect("written");
    std::fs::write(directory.join("signature"), signature).expect("written");
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin"]);
    command.args(["-in", "text", "-sigfile", "signature"]).current_dir(directory);
    run(&mut command, SOON).await.code == Some(0)
}

#[tokio::test]
async fn a_note_verifies_with_openssl_and_a_tampered_one_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = KeyDirectory(directory.path().join("key")).key().expect("a key");
    let checkpoint = Checkpoint::new("0123456789abcdef", Head { size: 77, root: [7; 32] });
    let note = key.sign(&checkpoint);
    let pem = key.verifier(&checkpoint.origin).pem();
    std::fs::write(directory.path().join("key.pem"), pem).expect("written");
    let note = Note::parse(note.as_bytes()).expect("a note");
    let (text, signature) = (note.text.as_bytes(), &note.signatures[0].bytes);
    assert!(verifies(directory.path(), text, signature).await);
    let mut tampered = 0;
    for at in (0..text.len()).step_by(9) {
        let mut text = text.to_vec();
        text[at] ^= 1;
        assert!(!verifies(directory.path(), &text, signature).await, "byte {at} of the text");
        tampered += 1;
    }
    for at in (0..signature.len()).step_by(9) {
        let mut signature = signature.clone();
        signature[at] ^= 1;
        assert!(!verifies(directory.path(), text, &signature).await, "byte {at} of the signature");
        tampered += 1;
    }
    println!("1 note verifies, {tampered} tampered ones do not");
}

#[tokio::test]
async fn a_key_that_openssl_makes_signs() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", "ed25519", "-out", "own.pem"]);
    let made = run(command.current_dir(directory.path()), SOON).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let key = SigningKey::load(&directory.path().join("own.pem")).expect("a key");
    let checkpoint = Checkpoint::new("0123456789abcdef", Head { size: 1, root: [1; 32] });
    let verifier = key.verifier(&checkpoint.origin);
    assert_eq!(verifier.open(key.sign(&checkpoint).as_bytes()), Ok(checkpoint));
}
