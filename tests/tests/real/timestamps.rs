//! Time stamps from `openssl ts`, and the commands of VERIFY.md that verify them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use attestd::evidence::{Ask, verify};
use attestd_tests::golden::repository;
use attestd_tests::packs::{script, words};
use attestd_tests::program::{self, Daemon};
use attestd_tests::servers;
use attestd_tests::supplier::Supplier;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use nix::sys::signal::Signal;

/// An authority's directory: a CA, a certificate that may stamp, and what `openssl ts` is to know.
const SETUP: &str = r#"
set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Test CA" -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj "/CN=Test authority" -keyout tsa.key -out tsa.csr
printf 'extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n' > tsa.ext
openssl x509 -req -in tsa.csr -days 30 -CA ca.pem -CAkey ca.key -CAcreateserial -extfile tsa.ext -out tsa.pem
echo 01 > serial
cat > tsa.cnf <<END
[tsa]
default_tsa = one
[one]
serial = ./serial
signer_cert = tsa.pem
certs = ca.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
END
"#;
const REPLY: &str = "openssl ts -reply -queryfile query -config tsa.cnf -section one -out reply";

fn sh(directory: &Path, script: &str, pack: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(directory).env("PACK", pack);
    command.output().expect("sh starts")
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

async fn stamp(State(directory): State<Arc<PathBuf>>, query: Bytes) -> impl IntoResponse {
    std::fs::write(directory.join("query"), &query).expect("written");
    let done = sh(&directory, REPLY, Path::new(""));
    assert!(done.status.success(), "{}", said(&done));
    let reply = std::fs::read(directory.join("reply")).expect("a reply");
    ([(CONTENT_TYPE, "application/timestamp-reply")], reply)
}

#[test]
fn a_log_that_openssl_stamped_verifies_as_the_guide_says() {
    let place = tempfile::tempdir().expect("a directory");
    let made = sh(place.path(), SETUP, Path::new(""));
    assert!(made.status.success(), "{}", said(&made));
    let runtime = servers::runtime();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let authority = Arc::new(place.path().to_owned());
    let router = Router::new().route("/", post(stamp)).with_state(authority);
    runtime.spawn(async move { axum::serve(listener, router).await });

    let supplier = Supplier::copy();
    supplier.edit("attestd.toml", |text| format!("{text}\n[timestamps]\nauthority = \"{url}\"\n"));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let limit = Duration::from_secs(20);
    let stamp = daemon.until(limit, "openssl stamped the log", |view| view.stamped.clone());
    assert!(stamp.at.duration_since(stamp.time).abs().as_secs() < 60, "{stamp:?}");
    let exported = program::run(supplier.path(), &["evidence", "export", "pack"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());

    let pack = supplier.file("pack");
    let verdict = verify(&pack, &Ask::default());
    assert!(verdict.integrity.says.join(" ").contains("1 with their token"), "{verdict:#?}");
    assert_eq!(words(&verdict), script::verify(&pack, &Ask::default()), "{verdict:#?}");

    let guide = std::fs::read_to_string(repository().join("daemon/src/evidence/VERIFY.md"));
    let guide = guide.expect("the guide");
    let mut blocks = guide.split("```").skip(1).step_by(2);
    let commands = blocks.find(|block| block.contains("openssl ts -verify")).expect("commands");
    let own = tempfile::tempdir().expect("a directory");
    std::fs::copy(place.path().join("ca.pem"), own.path().join("authority.pem")).expect("copied");
    let done = sh(own.path(), commands, &pack);
    let text = said(&done);
    assert!(text.contains("Verification: OK") && text.contains("Time stamp: "), "{text}");

    // Of another note, or by another authority, it is no stamp.
    let check = "for note in note-*; do token=${note#note-}; openssl ts -verify -data $note -token_in \
                 -in $PACK/blobs/$(echo $token | cut -c 1-2)/$token -CAfile authority.pem; done";
    assert!(said(&sh(own.path(), check, &pack)).contains("Verification: OK"));
    let edited = format!("for note in note-*; do echo >> $note; done; {check}");
    assert!(said(&sh(own.path(), &edited, &pack)).contains("Verification: FAILED"));
    let other = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Test CA' -keyout k \
                 -out authority.pem";
    let again = format!("rm note-*; {other}; {commands}");
    assert!(said(&sh(own.path(), &again, &pack)).contains("Verification: FAILED"));
}
