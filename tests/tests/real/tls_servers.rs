//! The kind `tls` against servers that each accept certain versions, with sslscan for an oracle.

use std::path::Path;
use std::process::Command;

use attestd::control::CheckedView;
use attestd_core::Status;

use crate::harness::attestd::{codes, command, looked, of_kind, probe};
use crate::harness::pki::{Pair, authority, by_openssl};
use crate::harness::program::{Program, run};
use crate::harness::{SOON, files, nginx, ports};

/// What serves.
enum Server {
    /// openssl's own, with its switch for one version.
    Openssl(&'static str),
    /// nginx, with its `ssl_protocols`.
    Nginx(&'static str),
    /// SSL 3.0, which openssl has no longer.
    Tlslite,
}
use Server::{Nginx, Openssl, Tlslite};

/// A row: what serves, what it accepts, and what follows for a target on the internet: the status, the findings, the
/// exit code of `attestd probe`, and the exit code for an internal target.
type Row = (Server, &'static [&'static str], Status, &'static [&'static str], i32, i32);

const OLD: &[&str] = &["legacy_tls_accepted", "modern_tls_refused"];
const NO_13: &[&str] = &["tls13_not_offered"];
const ROWS: &[Row] = &[
    (Tlslite, &["SSL 3.0"], Status::Fail, OLD, 2, 1),
    (Openssl("-tls1"), &["TLS 1.0"], Status::Fail, OLD, 2, 1),
    (Openssl("-tls1_1"), &["TLS 1.1"], Status::Fail, OLD, 2, 1),
    (Openssl("-tls1_2"), &["TLS 1.2"], Status::Pass, NO_13, 0, 0),
    (Openssl("-tls1_3"), &["TLS 1.3"], Status::Pass, &[], 0, 0),
    (
        Nginx("TLSv1 TLSv1.1"),
        &["TLS 1.0", "TLS 1.1"],
        Status::Fail,
        &["legacy_tls_accepted", "legacy_tls_accepted", "modern_tls_refused"],
        2,
        1,
    ),
    (
        Nginx("TLSv1.1 TLSv1.2"),
        &["TLS 1.1", "TLS 1.2"],
        Status::Fail,
        &["legacy_tls_accepted", "tls13_not_offered"],
        2,
        1,
    ),
    (Nginx("TLSv1.2"), &["TLS 1.2"], Status::Pass, NO_13, 0, 0),
    (Nginx("TLSv1.2 TLSv1.3"), &["TLS 1.2", "TLS 1.3"], Status::Pass, &[], 0, 0),
    (Nginx("TLSv1.3"), &["TLS 1.3"], Status::Pass, &[], 0, 0),
    (
        Nginx("TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"),
        &["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"],
        Status::Fail,
        &["legacy_tls_accepted", "legacy_tls_accepted"],
        2,
        1,
    ),
];

#[tokio::test]
async fn exactly_the_versions_that_a_server_accepts_are_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let ca = authority("Test Root", None).write(directory, "ca", &[]);
    let pair = by_openssl(directory, "server", "rsa:2048", "-sha256", &ca).await;
    let trusted = ca.certificate.to_str().expect("UTF-8");
    let (mut servers, mut versions) = (0, 0);
    for (server, accepts, status, finds, internet, internal) in ROWS {
        let port = ports::free();
        let _running = server.start(directory, &pair, port).await;
        let (views, code) = probe(port, &["--ca", trusted]).await;
        let view = of_kind(&views, "tls");
        let said = &view.explanation;
        assert_eq!(accepted(view), *accepts, "{said}");
        assert_eq!(refused(view).len(), 5 - accepts.len(), "the others are refused: {said}");
        assert_eq!(view.view.status, *status, "{said}");
        assert_eq!(codes(view), *finds, "{said}");
        assert_eq!(code, *internet, "the exit code for {accepts:?}: {views:?}");
        assert_eq!(as_internal(directory, port).await, *internal, "{accepts:?} as internal");
        assert_eq!(by_sslscan(port).await, *accepts, "sslscan agrees; attestd saw {said}");
        servers += 1;
        versions += accepts.len();
    }
    println!("{servers} servers, {versions} versions accepted, {} refused", servers * 5 - versions);
}

impl Server {
    async fn start(&self, directory: &Path, pair: &Pair, port: u16) -> Program {
        match self {
            Openssl(version) => {
                let mut command = Command::new("openssl");
                command.args(["s_server", "-quiet", "-www", version]);
                command.args(["-cipher", "DEFAULT@SECLEVEL=0"]);
                command.arg("-accept").arg(format!("127.0.0.1:{port}"));
                command.arg("-cert").arg(&pair.certificate).arg("-key").arg(&pair.key);
                Program::start(&format!("s_server-{port}"), &mut command, directory)
                    .listening(port)
                    .await
            }
            Nginx(protocols) => {
                let (certificate, key) = (pair.certificate.display(), pair.key.display());
                let http = format!(
                    "server {{ listen 127.0.0.1:{port} ssl; ssl_protocols {protocols};\n\
                     ssl_ciphers DEFAULT@SECLEVEL=0; ssl_certificate {certificate};\n\
                     ssl_certificate_key {key}; }}"
                );
                nginx::start(directory, &http, port).await
            }
            Tlslite => {
                let mut command = Command::new("python");
                command.arg(files::program("ssl3.py")).arg(port.to_string());
                command.arg(&pair.certificate).arg(&pair.key);
                Program::start(&format!("ssl3-{port}"), &mut command, directory)
                    .listening(port)
                    .await
            }
        }
    }
}

/// The versions that are said to be accepted.
fn accepted(view: &CheckedView) -> Vec<&str> {
    said(view, "accepted")
}

fn refused(view: &CheckedView) -> Vec<&str> {
    said(view, "refused")
}

fn said<'v>(view: &'v CheckedView, what: &str) -> Vec<&'v str> {
    let lines = view.explanation.lines().filter_map(|line| line.trim().split_once("  "));
    lines.filter(|(_, said)| said.starts_with(what)).map(|(version, _)| version).collect()
}

/// The exit code of `attestd check` where the target is internal.
async fn as_internal(directory: &Path, port: u16) -> i32 {
    let config = directory.join("internal.toml");
    let text = format!(
        "[[check]]\nid = \"inside\"\nkind = \"tls\"\n\
         [[check.target]]\nendpoint = \"127.0.0.1:{port}\"\nexposure = \"internal\"\n"
    );
    std::fs::write(&config, text).expect("written");
    looked(command().args(["check", "inside", "--config"]).arg(&config)).await.1
}

/// The versions that sslscan gets accepted.
async fn by_sslscan(port: u16) -> Vec<String> {
    let mut command = Command::new("sslscan");
    for part in ["ciphersuites", "check-certificate", "compression", "fallback", "groups"] {
        command.arg(format!("--no-{part}"));
    }
    command.args(["--no-heartbleed", "--no-renegotiation", "--sni-name=localhost", "--xml=-"]);
    let ended = run(command.arg(format!("127.0.0.1:{port}")), SOON).await;
    let protocol = |line: &str| {
        let mut values = line.trim().strip_prefix("<protocol ")?.split('"').skip(1).step_by(2);
        let (kind, version, enabled) = (values.next()?, values.next()?, values.next()?);
        let version =
            if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
        (enabled == "1").then(|| format!("{} {version}", kind.to_uppercase()))
    };
    let mut all: Vec<String> = ended.stdout.lines().filter_map(protocol).collect();
    all.sort_unstable();
    all
}
