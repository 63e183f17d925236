//! The kind `certificate` against chains that nginx serves, and against ports that are no TLS server, with openssl for
//! an oracle of what a leaf says.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use attestd_core::{Status, Timestamp};

use crate::harness::attestd::{codes, of_kind, probe};
use crate::harness::pki::{self, Made, Pair, authority, ballast, by_openssl, make};
use crate::harness::program::run;
use crate::harness::{SOON, nginx, ports};

/// What one server is expected to come to.
struct Row {
    /// What is served, in words.
    what: &'static str,
    /// What nginx serves.
    serves: Serves,
    /// More arguments of `attestd probe`.
    arguments: &'static [&'static str],
    status: Status,
    finds: &'static [&'static str],
    /// What its explanation, or the reason why it was not seen, says.
    says: &'static str,
    code: i32,
}

enum Serves {
    Chain(Pair),
    /// HTTP without TLS.
    Http,
}

#[tokio::test]
async fn a_chain_is_judged_by_what_is_wrong_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let root = authority("Test Root", None);
    let root_pair = root.write(directory, "root", &[]);
    let rows = rows(directory, &root, &root_pair).await;
    let mut expiries = 0;
    for row in &rows {
        let port = ports::free();
        let _server = nginx::start(directory, &row.http(port), port).await;
        let mut arguments = vec!["--ca", root_pair.certificate.to_str().expect("UTF-8")];
        arguments.extend(row.arguments);
        let (views, code) = probe(port, &arguments).await;
        let (what, view) = (row.what, of_kind(&views, "certificate"));
        let unseen = view.view.unseen.as_deref().unwrap_or_default();
        let said = format!("{}{unseen}", view.explanation);
        assert_eq!(view.view.status, row.status, "{what}: {said}");
        assert_eq!(codes(view), row.finds, "{what}: {said}");
        assert!(said.contains(row.says), "{what}: {:?} is not in {said}", row.says);
        assert_eq!(code, row.code, "{what}: {views:?}");
        if row.status == Status::Pass {
            assert_eq!(view.view.due, Some(end_by_openssl(port).await), "{what}");
            expiries += 1;
        }
    }
    assert!(expiries >= 3);
    println!("{} servers judged, {expiries} expiries as openssl reads them", rows.len());
}

async fn rows(directory: &Path, root: &Made, root_pair: &Pair) -> Vec<Row> {
    let between = authority("Test Intermediate", Some(root));
    let served = |name: &str, made: &Made, chain: &[&Made]| {
        Serves::Chain(made.write(directory, name, chain))
    };
    let good = make(Some(root), |_| {});
    let below = make(Some(&between), |_| {});
    let expired = make(Some(root), |p| p.not_after = rcgen::date_time_ymd(2026, 1, 1));
    let future = make(Some(root), |p| p.not_before = rcgen::date_time_ymd(2070, 1, 1));
    let stranger = authority("Another Root", None);
    let strange = make(Some(&stranger), |_| {});
    let crowd: Vec<Made> = (1..200).map(|n| authority(&format!("CA {n}"), Some(root))).collect();
    let crowd: Vec<&Made> = crowd.iter().collect();
    let [ten, eleven] = [9, 10].map(|more| crowd.iter().take(more).copied().collect::<Vec<_>>());
    let huge = make(Some(root), |p| p.custom_extensions.push(ballast(1024 * 1024)));
    let large = make(Some(root), |p| p.custom_extensions.push(ballast(50 * 1024)));
    let rsa_1024 = by_openssl(directory, "rsa-1024", "rsa:1024", "-sha256", root_pair).await;
    let sha1 = by_openssl(directory, "sha-1", "rsa:2048", "-sha1", root_pair).await;
    let rsa = by_openssl(directory, "rsa-3072", "rsa:3072", "-sha384", root_pair).await;

    let row = |what, serves, status, finds: &'static [&'static str], says, code| Row {
        what,
        serves,
        arguments: &[],
        status,
        finds,
        says,
        code,
    };
    let pass = |what, serves, says| row(what, serves, Status::Pass, &[], says, 0);
    let fail = |what, serves, finds, says| row(what, serves, Status::Fail, finds, says, 2);
    let unknown = |what, serves, says| row(what, serves, Status::Unknown, &["not_seen"], says, 3);
    vec![
        pass("of the root", served("good", &good, &[]), "verified path: leaf <- CN=Test Root"),
        pass(
            "with its intermediate",
            served("whole", &below, &[&between]),
            "leaf <- CN=Test Intermediate <- CN=Test Root",
        ),
        pass("an RSA leaf", Serves::Chain(rsa), "RSA 3072"),
        pass("ten certificates", served("ten", &good, &ten), "CN=CA 9"),
        Row {
            arguments: &["--sni", "localhost"],
            ..pass("under its other name", served("named", &good, &[]), "for localhost: yes")
        },
        Row {
            arguments: &["--sni", "portal.example.org"],
            ..fail(
                "for another name",
                served("wrong", &good, &[]),
                &["certificate_wrong_host"],
                "for portal.example.org: NO",
            )
        },
        fail(
            "expired",
            served("expired", &expired, &[]),
            &["certificate_expired"],
            "until 2026-01-01",
        ),
        fail(
            "of the future",
            served("future", &future, &[]),
            &["certificate_not_yet_valid"],
            "leaf",
        ),
        fail(
            "without its intermediate",
            served("short", &below, &[]),
            &["chain_incomplete"],
            "no path to an anchor",
        ),
        fail(
            "of another authority",
            served("strange", &strange, &[&stranger]),
            &["chain_untrusted"],
            "no path to an anchor",
        ),
        fail("RSA of 1024 bits", Serves::Chain(rsa_1024), &["not_seen", "weak_key"], "RSA 1024"),
        fail(
            "signed with SHA-1",
            Serves::Chain(sha1),
            &["chain_untrusted", "weak_signature"],
            "an algorithm that is no longer accepted",
        ),
        unknown("eleven", served("eleven", &good, &eleven), "11 certificates were sent"),
        unknown("200 certificates", served("crowd", &good, &crowd), "of over 64 KiB"),
        unknown("a certificate of 1 MB", served("huge", &huge, &[]), "over 64 KiB"),
        pass("a certificate of 50 KiB", served("large", &large, &[]), "verified path"),
        unknown("HTTP", Serves::Http, "the port answers plain HTTP, not TLS"),
    ]
}

impl Row {
    fn http(&self, port: u16) -> String {
        match &self.serves {
            Serves::Http => format!("server {{ listen 127.0.0.1:{port}; }}"),
            Serves::Chain(Pair { certificate, key }) => format!(
                "server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;\n\
                 ssl_ciphers DEFAULT@SECLEVEL=0; ssl_certificate {}; ssl_certificate_key {}; }}",
                certificate.display(),
                key.display()
            ),
        }
    }
}

/// The end of the leaf that a port shows, as openssl reads it.
async fn end_by_openssl(port: u16) -> Timestamp {
    let mut command = Command::new("openssl");
    let shown = pki::openssl(command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]));
    let shown = shown.await;
    let directory = tempfile::tempdir().expect("a directory");
    let leaf: PathBuf = directory.path().join("leaf.pem");
    std::fs::write(&leaf, shown).expect("written");
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"]).arg(&leaf);
    let said = pki::openssl(&mut command).await;
    let end = said.trim().strip_prefix("notAfter=").expect("what openssl says");
    end.replacen(' ', "T", 1).parse().expect("an instant")
}

#[tokio::test]
async fn a_server_that_never_speaks_is_unknown() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    // Nobody accepts: the kernel completes the connections, and nothing ever answers.
    let (views, code) = probe(port, &[]).await;
    for (kind, says) in
        [("certificate", "no TLS handshake within 10 s"), ("tls", "no answer within")]
    {
        let view = of_kind(&views, kind);
        assert_eq!(view.view.status, Status::Unknown);
        let unseen = view.view.unseen.as_deref().unwrap_or_default();
        assert!(unseen.contains(says), "{kind}: {unseen}");
    }
    assert_eq!(code, 3);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unknown() {
    let (views, code) = probe(ports::free(), &[]).await;
    assert_eq!(views.len(), 2, "{views:?}");
    for view in &views {
        let unseen = view.view.unseen.as_deref().unwrap_or_default();
        assert!(unseen.contains("the connection was refused"), "{unseen}");
    }
    assert_eq!(code, 3);
}

#[tokio::test]
async fn what_cannot_be_asked_is_unknown_to_a_monitoring_system() {
    let binary = std::env::var_os("ATTESTD_BINARY").expect("see tests/run");
    let asked: [(&[&str], &str); 3] = [
        (&["probe", "no-port"], "an endpoint is host:port"),
        (&["probe", "127.0.0.1:443", "--ca", "/no/such/file"], "/no/such/file"),
        (&["check", "x", "--config", "/no/such/file"], "/no/such/file"),
    ];
    for (arguments, says) in asked {
        let ended = run(Command::new(&binary).args(arguments), SOON).await;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(ended.code, Some(3), "{arguments:?}: {said}");
    }
}
