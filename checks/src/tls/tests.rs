//! The kind `tls` against answers as fixtures, and servers on loopback.

use attestd_core::Status;

use super::*;
use crate::look::testing::{answering, at, build, closed, look, make, mute, raw, resetting};
use crate::look::testing::{serve, serve_with};

fn check(address: SocketAddr) -> Box<dyn Check> {
    let text = format!("[[target]]\nendpoint = \"{address}\"\nsni = \"localhost\"");
    build(&KIND, &text, &Context::default()).map_err(|p| p.join("\n")).expect("a check")
}

/// The answers of one address, from SSL 3.0 to TLS 1.3: `a`ccepted, `r`efused, `?` unseen.
fn answers(pattern: &str) -> BTreeMap<Version, Answer> {
    let mut versions = Version::ALL;
    versions.sort();
    let suite = named(0x002f, parameters::suite_name(0x002f));
    let answer = |mark| match mark {
        'a' => Answer::Accepted(Chosen { suite: suite.clone(), group: None }),
        'r' => Answer::Refused { refused_by: "alert 70".to_owned() },
        _ => Answer::Unseen(Reason::new("reply_timeout", "got no answer within 5 s")),
    };
    versions.into_iter().zip(pattern.chars().map(answer)).collect()
}

/// `code component` of each finding, the status, and each component that is unseen.
fn judged(exposure: Exposure, patterns: &[&str]) -> (Vec<String>, Status, Vec<String>) {
    let addresses = patterns.iter().enumerate();
    let facts = Facts {
        exposure,
        addresses: addresses.map(|(i, p)| (format!("192.0.2.{i}:443"), answers(p))).collect(),
        addresses_left: 0,
    };
    // Through the record and back, as the daemon does it.
    let judgement = judge(&Evidence::of(&facts).read().expect("facts"));
    let shown = |component: &Option<Component>| {
        component.as_ref().map_or("-".to_owned(), |c| c.as_str().to_owned())
    };
    let findings = judgement.findings.iter();
    let findings = findings.map(|f| format!("{} {}", f.key.code, shown(&f.key.component)));
    let unseen = judgement.unseen.iter().map(|u| shown(&u.component));
    (findings.collect(), judgement.status(), unseen.collect())
}

#[test]
fn what_is_accepted_and_refused_decides() {
    use Exposure::{Internal, Internet};
    use Status::{Fail, Pass, Unknown, Warn};
    const LEGACY_10: &str = "legacy_tls_accepted tls1.0";
    const INTERNAL_10: &str = "legacy_tls_accepted_internally tls1.0";
    for (exposure, patterns, findings, status, unseen, sentence) in [
        (Internet, &["rrraa"][..], &[][..], Pass, &[][..], "only modern versions"),
        (Internet, &["rrrar"], &["tls13_not_offered tls1.3"], Pass, &[], "no 1.3 is a Note"),
        (Internet, &["rrrra"], &[], Pass, &[], "only 1.3"),
        (Internet, &["rraaa"], &["legacy_tls_accepted tls1.1"], Fail, &[], "1.1 as well"),
        (Internet, &["arraa"], &["legacy_tls_accepted ssl3.0"], Fail, &[], "SSL 3.0 as well"),
        (Internal, &["raraa"], &[INTERNAL_10], Warn, &[], "1.0 as well, inside"),
        (Internet, &["rarrr"], &[LEGACY_10, "modern_tls_refused -"], Fail, &[], "only 1.0"),
        (Internal, &["rarrr"], &[INTERNAL_10], Warn, &[], "only 1.0, inside"),
        (Internet, &["rrrrr"], &[], Unknown, &["-"], "all refused: no TLS was seen"),
        (Internet, &["rr?aa"], &[], Unknown, &["tls1.1"], "one version unseen never passes"),
        (Internet, &["?a?aa"], &[LEGACY_10], Fail, &["ssl3.0", "tls1.1"], "Fail outranks"),
        (Internet, &["rarr?"], &[LEGACY_10], Fail, &["tls1.3"], "1.3 unseen is not refused"),
        (Internet, &["rrraa", "?????"], &[], Unknown, &["-"], "an address unseen as a whole"),
        (Internet, &["rrraa", "raraa"], &[LEGACY_10], Fail, &[], "the worst address"),
        (Internet, &["raraa", "raraa"], &[LEGACY_10], Fail, &[], "one finding for two addresses"),
        (Internet, &["rrr"], &[], Unknown, &["-"], "versions that are missing"),
        (Internet, &[], &[], Unknown, &["-"], "no address"),
    ] {
        let found = judged(exposure, patterns);
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let mut codes = found.0;
        codes.sort();
        assert_eq!(
            (codes, found.1, found.2),
            (words(findings), status, words(unseen)),
            "{sentence}"
        );
    }
}

#[test]
fn a_message_names_the_version_and_the_suite() {
    let facts = Facts {
        exposure: Exposure::Internet,
        addresses: BTreeMap::from([("192.0.2.1:443".to_owned(), answers("rarrr"))]),
        addresses_left: 0,
    };
    let message = |finding: &Finding| {
        let spec = KIND.findings.iter().find(|s| s.code == finding.key.code.0).expect("a row");
        spec.message(&finding.key, &finding.values)
    };
    let mut messages: Vec<String> = judge(&facts).findings.iter().map(message).collect();
    messages.sort();
    assert_eq!(
        messages,
        [
            "the server accepts TLS 1.0 (TLS_RSA_WITH_AES_128_CBC_SHA)",
            "the server accepts neither TLS 1.2 nor TLS 1.3, and TLS 1.0 instead",
        ]
    );
}

fn answer_of(evidence: &Evidence, version: Version) -> Answer {
    let facts: Facts = evidence.read().expect("facts");
    let (_, answers) = facts.addresses.into_iter().next().expect("an address");
    answers.get(&version).expect("an answer").clone()
}

fn chosen(evidence: &Evidence, version: Version) -> Chosen {
    match answer_of(evidence, version) {
        Answer::Accepted(chosen) => chosen,
        other => panic!("{version}: {other:?}"),
    }
}

fn refused_by(evidence: &Evidence, version: Version) -> String {
    match answer_of(evidence, version) {
        Answer::Refused { refused_by } => refused_by,
        other => panic!("{version}: {other:?}"),
    }
}

#[tokio::test]
async fn a_modern_server_accepts_two_versions_and_refuses_three() {
    let leaf = make(None, |_| {});
    let check = check(serve(&[&leaf], &leaf).await);
    let evidence = look(check.as_ref(), None).await.expect("evidence");
    let (new, old) = (chosen(&evidence, Version::Tls13), chosen(&evidence, Version::Tls12));
    assert!(new.suite.name.starts_with("TLS_AES_"), "{}", new.suite.name);
    assert!(old.suite.name.starts_with("TLS_ECDHE_ECDSA_WITH_"), "{}", old.suite.name);
    assert_eq!(new.group.expect("a group").name, "x25519");
    assert_eq!(old.group.expect("a group").name, "x25519");
    for version in [Version::Ssl3, Version::Tls10, Version::Tls11] {
        assert!(!refused_by(&evidence, version).is_empty());
    }
    let judgement = check.judge(&evidence, at("2026-11-22T12:00:00Z")).expect("a judgement");
    assert_eq!(judgement.status(), Status::Pass);
    let explained = check.explain(&evidence);
    assert!(explained.contains("TLS 1.3  accepted  TLS_AES_"), "{explained}");
    assert!(explained.contains("TLS 1.0  refused   by "), "{explained}");
    let again = look(check.as_ref(), Some(&evidence)).await.expect("evidence");
    assert_eq!(again, evidence, "nothing in it moves");
}

#[tokio::test]
async fn a_server_of_one_version_refuses_the_other() {
    let leaf = make(None, |_| {});
    for (versions, yes, no) in [
        (&[&rustls::version::TLS12], Version::Tls12, Version::Tls13),
        (&[&rustls::version::TLS13], Version::Tls13, Version::Tls12),
    ] {
        let check = check(serve_with(&[&leaf], &leaf, versions).await);
        let evidence = look(check.as_ref(), None).await.expect("evidence");
        assert!(!chosen(&evidence, yes).suite.name.is_empty());
        assert!(!refused_by(&evidence, no).is_empty());
    }
}

/// The version that a ClientHello asks for.
fn asked(hello: &[u8]) -> Version {
    let new = hello.windows(7).any(|w| w == [0, 43, 0, 3, 2, 3, 4]);
    let old = Version::of_wire(u16::from_be_bytes([hello[9], hello[10]])).expect("a version");
    if new { Version::Tls13 } else { old }
}

/// A ServerHello of these bytes of version, and no extension.
fn server_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![22, version[0], version[1], 0, 42, 2, 0, 0, 38];
    hello.extend(version);
    hello.extend([9; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    hello
}

/// A server that answers each version as `answer` says: bytes, then a close.
async fn scripted(answer: fn(Version) -> Vec<u8>) -> SocketAddr {
    let length = |hello: &[u8]| 5 + usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    raw(move |mut stream| async move {
        let mut hello = Vec::new();
        while hello.len() < 5 || hello.len() < length(&hello) {
            if !more(&mut stream, &mut hello).await.is_ok_and(|more| more) {
                return;
            }
        }
        let _ = stream.write_all(&answer(asked(&hello))).await;
    })
    .await
}

#[tokio::test]
async fn the_version_in_the_server_hello_decides() {
    // Answers every offer with TLS 1.0, as old servers do.
    let address = scripted(|version| match version {
        Version::Ssl3 => Vec::new(),
        _ => server_hello([3, 1]),
    })
    .await;
    let check = check(address);
    let evidence = look(check.as_ref(), None).await.expect("evidence");
    assert_eq!(chosen(&evidence, Version::Tls10).suite.id, "002f");
    for version in [Version::Tls11, Version::Tls12, Version::Tls13] {
        assert_eq!(refused_by(&evidence, version), "answered tls1.0");
    }
    assert_eq!(refused_by(&evidence, Version::Ssl3), "close");
    let judgement = check.judge(&evidence, at("2026-11-22T12:00:00Z")).expect("a judgement");
    assert_eq!(judgement.status(), Status::Fail);
}

#[tokio::test]
async fn a_no_counts_only_beside_a_yes() {
    let beside = scripted(|version| match version {
        Version::Tls12 => server_hello([3, 3]),
        Version::Tls11 => vec![21, 3, 2, 0, 2, 2, 40],
        Version::Tls10 => vec![21, 3, 1, 0, 2, 2, 47],
        Version::Tls13 => vec![21, 3, 1, 0, 2, 2, 80],
        _ => vec![21, 3, 1, 0, 2, 2, 70],
    });
    let evidence = look(check(beside.await).as_ref(), None).await.expect("evidence");
    assert_eq!(refused_by(&evidence, Version::Tls11), "alert 40");
    assert_eq!(refused_by(&evidence, Version::Tls13), "alert 80");
    assert_eq!(refused_by(&evidence, Version::Ssl3), "alert 70");
    let Answer::Unseen(other) = answer_of(&evidence, Version::Tls10) else {
        panic!("{evidence:?}")
    };
    assert_eq!(other.code, "alert");
    assert!(other.message.ends_with("TLS 1.0 was answered with alert 47"), "{}", other.message);

    let alone = check(scripted(|_| vec![21, 3, 1, 0, 2, 2, 40]).await);
    let error = look(alone.as_ref(), None).await.expect_err("nothing completed");
    assert_eq!(error.reason.code, "inconclusive");
}

#[tokio::test]
async fn what_cannot_be_seen_says_why() {
    for (address, code, words) in [
        (closed().await, "connect_refused", "refused"),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, "not_tls", "plain HTTP"),
        (answering(b"220 smtp ready\r\n").await, "not_tls", "not TLS"),
        (answering(b"").await, "inconclusive", "close"),
        (resetting().await, "inconclusive", "reset"),
        (answering(&[22, 3, 3, 0, 4, 2, 0, 0, 0]).await, "reply_malformed", "too soon"),
    ] {
        let error = look(check(address).as_ref(), None).await.expect_err(code);
        assert_eq!(error.reason.code, code, "{}", error.reason.message);
        assert!(error.reason.message.contains(words), "{}", error.reason.message);
        assert!(error.reason.message.starts_with(&address.to_string()), "names the address");
    }
}

#[tokio::test]
async fn a_mute_server_is_unseen_within_the_time_of_a_run() {
    let check = check(mute().await);
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = look(check.as_ref(), None).await.expect_err("no answer");
    assert_eq!(error.reason.code, "reply_timeout");
    assert!(started.elapsed() < KIND.timeout);
}

#[test]
fn the_example_builds_and_what_is_wrong_is_told() {
    let example = EXAMPLE.replace("[[check]]\n", "").replace("[[check.target]]", "[[target]]");
    let check = build(&KIND, &example, &Context::default());
    let check = check.map_err(|p| p.join("\n")).expect("a check");
    assert!(check.thresholds().contains(&"  internal here: 192.0.2.10:8443".to_owned()));
    for (text, problem) in [
        (
            "",
            "[[check]] needs `endpoints`: what to look at, as [\"host:port\"]; or a [[check.target]]",
        ),
        ("endpoints = []", "[[check]] has no target"),
        (
            "endpoints = [\"a:1\"]\nexposure = \"inernal\"",
            "`exposure` of [[check]] is one of internet, internal, not \"inernal\"; \
             did you mean `internal`?",
        ),
    ] {
        let problems = build(&KIND, text, &Context::default()).err().expect(text);
        assert_eq!(problems, [problem]);
    }
}
