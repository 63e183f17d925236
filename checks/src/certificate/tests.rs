//! The kind `certificate` against facts as fixtures, servers on loopback, and files.

use std::collections::BTreeMap;

use attestd_core::{Check, Context, Judgement, Severity, Status, Timestamp};
use jiff::SignedDuration;
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType};

use super::facts::{AnchorSet, Chain, Link, Place, Role, Sent, Trust};
use super::*;
use crate::look::testing::{Made, answering, at, authority, build, closed, look, make, mute};
use crate::look::testing::{raw, resetting, serve, serve_with};
use crate::look::trust::{Anchor, NoPath, Path as TrustPath};
use crate::look::x509::{Certificate, Key};

const POLICY: Policy = Policy {
    warning: LEAF_WARNING,
    critical: LEAF_CRITICAL,
    ca_warning: CA_WARNING,
    ca_critical: CA_CRITICAL,
};

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// A certificate that is strong and says nothing of note.
fn certificate(name: &str, not_before: Timestamp, not_after: Timestamp) -> Certificate {
    Certificate {
        subject: format!("CN={name}"),
        name: Some(format!("CN={name}")),
        issuer: "CN=somebody".to_owned(),
        not_before,
        not_after,
        key: Key { algorithm: "EC".to_owned(), bits: Some(256), curve: Some("P-256".to_owned()) },
        signature: "ECDSA-SHA256".to_owned(),
        names: vec!["DNS:portal.example.org".to_owned()],
        names_count: 1,
        is_ca: name != "leaf",
        self_signed: name == "root",
    }
}

/// `leaf <- CA <- root`, where only the root is not sent; all of it is well until `change`.
fn facts(
    leaf: (Timestamp, Timestamp),
    ca: (Timestamp, Timestamp),
    change: impl FnOnce(&mut Facts),
) -> Facts {
    let link = |role, sha256: &str| Link { role, sha256: sha256.to_owned() };
    let chain = Chain {
        links: vec![link(Role::Leaf, "leaf"), link(Role::Intermediate, "ca")],
        trust: Trust::Paths(vec![path(&["ca"], "root", "2040-01-01T00:00:00Z")]),
        publicly_trusted: true,
        right_host: Some(true),
    };
    let sent = Sent { chain: "c".to_owned(), negotiated: None, unproven: None };
    let mut facts = Facts {
        host: Some("portal.example.org".to_owned()),
        anchors: Some(AnchorSet { source: "system".into(), sha256: "a".into(), count: 1 }),
        places: BTreeMap::from([("192.0.2.1:443".to_owned(), Place::Sent(sent))]),
        chains: BTreeMap::from([("c".to_owned(), chain)]),
        certificates: BTreeMap::from([
            ("leaf".to_owned(), certificate("leaf", leaf.0, leaf.1)),
            ("ca".to_owned(), certificate("R11", ca.0, ca.1)),
        ]),
        addresses_left: 0,
    };
    change(&mut facts);
    facts
}

fn path(through: &[&str], anchor: &str, until: &str) -> TrustPath {
    TrustPath {
        through: through.iter().map(|s| (*s).to_owned()).collect(),
        anchor: Anchor {
            sha256: anchor.to_owned(),
            name: Some(format!("CN={anchor}")),
            not_before: at("2015-01-01T00:00:00Z"),
            not_after: at(until),
        },
    }
}

fn chain(facts: &mut Facts) -> &mut Chain {
    facts.chains.get_mut("c").expect("the chain")
}

/// `code component severity` of each finding.
fn told(judgement: &Judgement) -> Vec<String> {
    let one = |finding: &attestd_core::Finding| {
        let component = finding.key.component.as_ref().map_or("-", |c| c.as_str());
        format!("{} {component} {}", finding.key.code, finding.severity.as_str())
    };
    judgement.findings.iter().map(one).collect()
}

fn judged(facts: &Facts, now: Timestamp) -> Judgement {
    // Through the record and back, as the daemon does it.
    let evidence = Evidence::of(facts);
    judge::judge(&evidence.read().expect("facts"), &POLICY, now).expect("a judgement")
}

const NOW: &str = "2026-11-22T12:00:00Z";

#[test]
fn a_leaf_is_told_by_its_days_or_its_lifetime_whichever_is_less() {
    for (lifetime, hours_left, severity, sentence) in [
        (398, 30 * 24 + 1, None, "over 30 days of a 398-day leaf"),
        (398, 30 * 24, Some("warning"), "30 days to the second"),
        (398, 7 * 24 + 1, Some("warning"), "over 7 days"),
        (398, 7 * 24, Some("critical"), "7 days to the second"),
        (200, 30 * 24 + 1, None, "a 200-day leaf: 30 days are less than a quarter"),
        (200, 30 * 24, Some("warning"), "30 days"),
        (100, 25 * 24 + 1, None, "a 100-day leaf: a quarter is 25 days"),
        (100, 25 * 24, Some("warning"), "25 days"),
        (100, 7 * 24, Some("critical"), "7 days are less than a sixth"),
        (47, 283, None, "a 47-day leaf: a quarter is 11 days and 18 hours"),
        (47, 282, Some("warning"), "11 days and 18 hours"),
        (47, 7 * 24 + 1, Some("warning"), "7 days are less than a sixth, 7.8 days"),
        (47, 7 * 24, Some("critical"), "7 days"),
        (6, 37, None, "a 6-day leaf: a quarter is 36 hours"),
        (6, 36, Some("warning"), "36 hours"),
        (6, 24, Some("critical"), "a sixth is a day"),
        (6, 0, Some("critical"), "the last second"),
    ] {
        let now = at(NOW);
        let end = now + SignedDuration::from_hours(hours_left);
        let leaf = (end - days(lifetime), end);
        let facts = facts(leaf, (now - days(900), now + days(900)), |f| {
            chain(f).publicly_trusted = false;
        });
        let expected: Vec<String> =
            severity.map(|s| format!("certificate_expiring leaf {s}")).into_iter().collect();
        assert_eq!(told(&judged(&facts, now)), expected, "{sentence}");
    }
}

#[test]
fn what_is_over_or_has_not_begun_is_fail_and_says_for_how_long() {
    let now = at(NOW);
    let well = (now - days(900), now + days(900));
    let second = SignedDuration::from_secs(1);
    for (leaf, expected, words, sentence) in [
        (
            (now - days(90), now - second),
            "certificate_expired leaf critical",
            "under an hour",
            "a second ago",
        ),
        (
            (now - days(500), now - days(400)),
            "certificate_expired leaf critical",
            "400 days",
            "long ago",
        ),
        (
            (now - days(90), now - days(1)),
            "certificate_expired leaf critical",
            "24 hours",
            "yesterday",
        ),
        (
            (now + days(3), now + days(90)),
            "certificate_not_yet_valid leaf critical",
            "3 days",
            "to come",
        ),
        (
            (now + second, now + days(90)),
            "certificate_not_yet_valid leaf critical",
            "under an hour",
            "soon",
        ),
    ] {
        let judgement = judged(&facts(leaf, well, |_| {}), now);
        assert_eq!(told(&judgement), [expected], "{sentence}");
        assert_eq!(judgement.status(), Status::Fail);
        let finding = &judgement.findings[0];
        let spec = KIND.findings.iter().find(|s| s.code == finding.key.code.0).expect("a row");
        let message = spec.message(&finding.key, &finding.values);
        assert!(message.contains(words) && !message.contains('?'), "{sentence}: {message}");
    }
}

#[test]
fn an_authority_is_told_earlier_and_only_noticed_where_another_path_outlives_it() {
    let now = at(NOW);
    let leaf = (now - days(10), now + days(80));
    let until = |left| (now - days(900), now + days(left));
    let cross = |f: &mut Facts| {
        let other = path(&[], "other", "2040-01-01T00:00:00Z");
        chain(f).trust = Trust::Paths(vec![path(&["ca"], "root", "2040-01-01T00:00:00Z"), other]);
    };
    let private = |f: &mut Facts| {
        cross(f);
        chain(f).publicly_trusted = false;
    };
    let brief = |f: &mut Facts| {
        let other = path(&[], "other", "2026-11-25T00:00:00Z");
        chain(f).trust = Trust::Paths(vec![path(&["ca"], "root", "2040-01-01T00:00:00Z"), other]);
    };
    let none = |_: &mut Facts| {};
    let untrusted = |f: &mut Facts| {
        chain(f).trust = Trust::None(NoPath { incomplete: false, why: "x".into() });
    };
    let ca = "intermediate CN=R11";
    let expiring = |severity: &str| format!("certificate_expiring {ca} {severity}");
    for (ca_left, change, expected, sentence) in [
        (91, &none as &dyn Fn(&mut Facts), vec![], "over 90 days"),
        (90, &none, vec![expiring("warning")], "90 days"),
        (30, &none, vec![expiring("critical")], "30 days"),
        (30, &cross, vec![expiring("notice")], "another path outlives it"),
        (30, &private, vec![expiring("critical")], "another path, but a private one"),
        (
            30,
            &brief,
            vec![expiring("critical"), "certificate_expiring root CN=other notice".into()],
            "another path that ends sooner, itself outlived by the first",
        ),
        (-1, &none, vec![format!("certificate_expired {ca} critical")], "over"),
        (
            -1,
            &cross,
            vec![format!("unused_certificate_expired {ca} notice")],
            "over, and not needed",
        ),
        (
            -1,
            &untrusted,
            vec![format!("certificate_expired {ca} critical"), "chain_untrusted - critical".into()],
            "over, in a chain that leads nowhere",
        ),
    ] {
        let judgement = judged(&facts(leaf, until(ca_left), |f| change(f)), now);
        assert_eq!(told(&judgement), expected, "{sentence}");
    }
}

#[test]
fn an_expired_anchor_is_told_by_its_name() {
    let now = at(NOW);
    let leaf = (now - days(10), now + days(80));
    let facts = facts(leaf, (now - days(900), now + days(900)), |f| {
        chain(f).trust = Trust::Paths(vec![path(&["ca"], "Old Root", "2026-11-01T00:00:00Z")]);
    });
    assert_eq!(told(&judged(&facts, now)), ["certificate_expired root CN=Old Root critical"]);
}

#[test]
fn what_is_wrong_with_a_chain_is_told_apart() {
    let now = at(NOW);
    let well = (now - days(10), now + days(80));
    let key =
        |algorithm: &str, bits| Key { algorithm: algorithm.into(), bits: Some(bits), curve: None };
    fn of<'f>(f: &'f mut Facts, sha256: &str) -> &'f mut Certificate {
        f.certificates.get_mut(sha256).expect("a certificate")
    }
    let none = |incomplete| Trust::None(NoPath { incomplete, why: "x".into() });
    for (change, expected, status) in [
        (&(|_: &mut Facts| {}) as &dyn Fn(&mut Facts), &[][..], Status::Pass),
        (
            &|f| chain(f).right_host = Some(false),
            &["certificate_wrong_host leaf critical"],
            Status::Fail,
        ),
        (&|f| chain(f).trust = none(false), &["chain_untrusted - critical"], Status::Fail),
        (&|f| chain(f).trust = none(true), &["chain_incomplete - critical"], Status::Fail),
        (&|f| of(f, "leaf").key = key("RSA", 2047), &["weak_key leaf warning"], Status::Fail),
        (&|f| of(f, "leaf").key = key("RSA", 2048), &[], Status::Pass),
        (
            &|f| of(f, "ca").key = key("EC", 224),
            &["weak_key intermediate CN=R11 warning"],
            Status::Fail,
        ),
        (
            &|f| of(f, "ca").signature = "RSA-SHA1".into(),
            &["weak_signature intermediate CN=R11 warning"],
            Status::Fail,
        ),
        (
            &|f| {
                of(f, "ca").signature = "RSA-MD5".into();
                of(f, "ca").self_signed = true;
            },
            &[],
            Status::Pass,
        ),
        (
            &|f| {
                of(f, "leaf").signature = "RSA-SHA1".into();
                of(f, "leaf").self_signed = true;
            },
            &["weak_signature leaf warning"],
            Status::Fail,
        ),
        (
            &|f| chain(f).trust = Trust::Unseen(Reason::new("no_trust_anchors", "x")),
            &[],
            Status::Unknown,
        ),
        (&|f| f.addresses_left = 3, &[], Status::Unknown),
        (&|f| f.places.clear(), &[], Status::Unknown),
        (
            &|f| {
                let reason = Reason::new("connect_refused", "192.0.2.2:443: refused");
                f.places.insert("192.0.2.2:443".into(), Place::Unseen(reason));
            },
            &[],
            Status::Unknown,
        ),
        (
            &|f| {
                let sent =
                    Sent { chain: "c".into(), negotiated: None, unproven: Some("why".into()) };
                f.places.insert("192.0.2.2:443".into(), Place::Sent(sent));
            },
            &[],
            Status::Unknown,
        ),
    ] {
        let judgement =
            judged(&facts(well, (now - days(900), now + days(900)), |f| change(f)), now);
        assert_eq!(told(&judgement), expected);
        assert_eq!(judgement.status(), status, "{judgement:?}");
    }
}

#[test]
fn a_file_is_held_against_no_name_and_no_anchor() {
    let now = at(NOW);
    let facts = facts((now - days(10), now + days(80)), (now - days(900), now + days(900)), |f| {
        f.host = None;
        chain(f).right_host = None;
        chain(f).trust = Trust::None(NoPath { incomplete: true, why: "x".into() });
    });
    assert_eq!(judged(&facts, now).status(), Status::Pass);
}

#[test]
fn a_lifetime_is_held_against_the_cap_of_its_date_of_issue() {
    for (issued, lifetime, cap, sentence) in [
        ("2018-02-28T23:59:59Z", 1000, None, "before there was a cap"),
        ("2018-03-01T00:00:00Z", 825, None, "825 days"),
        ("2018-03-01T00:00:00Z", 826, Some(825), "826 days"),
        ("2020-09-01T00:00:00Z", 398, None, "398 days"),
        ("2020-08-31T23:59:59Z", 825, None, "the day before"),
        ("2020-09-01T00:00:00Z", 399, Some(398), "399 days"),
        ("2026-03-14T23:59:59Z", 398, None, "the last day of 398"),
        ("2026-03-15T00:00:00Z", 200, None, "200 days"),
        ("2026-03-15T00:00:00Z", 201, Some(200), "201 days"),
        ("2027-03-15T00:00:00Z", 100, None, "100 days"),
        ("2027-03-15T00:00:00Z", 101, Some(100), "101 days"),
        ("2029-03-15T00:00:00Z", 47, None, "47 days"),
        ("2029-03-15T00:00:00Z", 48, Some(47), "48 days"),
    ] {
        let start = at(issued);
        // Both ends count: a certificate of 200 days ends a second before 200 days have passed.
        let end = start + days(lifetime) - SignedDuration::from_secs(1);
        let now = start + SignedDuration::from_secs(1);
        let ca = (start - days(900), start + days(9000));
        let judgement = judged(&facts((start, end), ca, far), now);
        let expected: Vec<&str> =
            cap.map(|_| "lifetime_over_cap leaf notice").into_iter().collect();
        assert_eq!(told(&judgement), expected, "{sentence}");
        assert_eq!(judgement.status(), Status::Pass, "a Note changes nothing");
        if let Some(cap) = cap {
            assert_eq!(judgement.findings[0].values["cap"], cap);
            assert_eq!(judgement.findings[0].values["days"], lifetime);
        }
        let private = judged(
            &facts((start, end), ca, |f| {
                far(f);
                chain(f).publicly_trusted = false;
            }),
            now,
        );
        assert!(private.findings.is_empty(), "private authorities are exempt");
    }
    fn far(f: &mut Facts) {
        chain(f).trust = Trust::Paths(vec![path(&["ca"], "root", "2060-01-01T00:00:00Z")]);
    }
}

#[test]
fn a_component_is_never_longer_than_it_may_be() {
    let name = format!("CN={}", "ü".repeat(300));
    let component = judge::component(Role::Intermediate, Some(&name));
    assert!(component.as_str().len() <= 255 && component.as_str().starts_with("intermediate CN=ü"));
}

#[test]
fn evidence_that_is_not_whole_is_refused_and_not_judged() {
    let now = at(NOW);
    let mut facts = facts((now, now + days(80)), (now, now + days(900)), |_| {});
    facts.certificates.remove("ca");
    assert!(judge::judge(&facts, &POLICY, now).is_err());
}

// ---- servers on loopback ----

/// A root, an authority under it, and a file that holds the root.
struct Pki {
    directory: tempfile::TempDir,
    authority: Made,
}

impl Pki {
    fn new() -> Pki {
        let root = make(None, authority("Test Root"));
        let under = make(Some(&root), authority("Test CA"));
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("root.pem"), &root.pem).expect("a file");
        Pki { directory, authority: under }
    }

    fn context(&self) -> Context {
        Context { directory: self.directory.path().to_owned(), ..Context::default() }
    }

    fn check(&self, address: std::net::SocketAddr) -> Box<dyn Check> {
        let text =
            format!("[[target]]\nendpoint = \"{address}\"\nsni = \"localhost\"\nca = \"root.pem\"");
        build(&KIND, &text, &self.context()).map_err(|p| p.join("\n")).expect("a check")
    }
}

#[tokio::test]
async fn a_whole_chain_under_its_own_authority_passes_and_keeps_its_certificates() {
    let pki = Pki::new();
    let leaf = make(Some(&pki.authority), |_| {});
    let address = serve(&[&leaf, &pki.authority], &leaf).await;
    let check = pki.check(address);
    let evidence = look(check.as_ref(), None).await.expect("evidence");
    let judgement = check.judge(&evidence, at("2026-06-01T00:00:00Z")).expect("a judgement");
    assert_eq!(told(&judgement), [] as [String; 0]);
    assert_eq!(judgement.status(), Status::Pass);
    assert_eq!(evidence.blobs.len(), 2);
    for blob in &evidence.blobs {
        assert_eq!(attestd_core::check::sha256_hex(&blob.bytes), blob.sha256);
        assert!(evidence.facts["certificates"].get(&blob.sha256).is_some());
    }
    let negotiated = &evidence.facts["places"][address.to_string()]["sent"]["negotiated"];
    assert_eq!(negotiated["version"], "TLSv1_3");
    assert_eq!(negotiated["group"], "X25519MLKEM768");
    let explained = check.explain(&evidence);
    assert!(explained.contains("leaf <- CN=Test CA <- CN=Test Root"), "{explained}");
    assert!(explained.contains("for localhost: yes"), "{explained}");
}

#[tokio::test]
async fn the_same_chain_again_gives_the_same_facts_and_no_blobs() {
    let pki = Pki::new();
    let leaf = make(Some(&pki.authority), |_| {});
    let check = pki.check(serve(&[&leaf, &pki.authority], &leaf).await);
    let first = look(check.as_ref(), None).await.expect("evidence");
    let again = look(check.as_ref(), Some(&first)).await.expect("evidence");
    assert_eq!(again.facts, first.facts);
    assert!(again.blobs.is_empty(), "they were kept the first time");
    // Under other anchors nothing is taken over.
    let other = make(None, authority("Other Root"));
    std::fs::write(pki.directory.path().join("root.pem"), &other.pem).expect("a file");
    let other_check = build(
        &KIND,
        &format!(
            "[[target]]\nendpoint = \"{}\"\nsni = \"localhost\"\nca = \"root.pem\"",
            check.targets().await.expect("targets")[0].name
        ),
        &pki.context(),
    );
    let other_check = other_check.map_err(|p| p.join("\n")).expect("a check");
    let changed = look(other_check.as_ref(), Some(&first)).await.expect("evidence");
    let judgement = other_check.judge(&changed, at("2026-06-01T00:00:00Z")).expect("a judgement");
    assert_eq!(told(&judgement), ["chain_incomplete - critical"]);
}

#[tokio::test]
async fn each_fault_of_a_server_is_found_and_no_other() {
    let pki = Pki::new();
    let ca = &pki.authority;
    let stray = make(None, authority("Stray Root"));
    let leaf = |change: fn(&mut rcgen::CertificateParams)| make(Some(ca), change);
    let well = leaf(|_| {});
    let expired = leaf(|p| p.not_after = rcgen::date_time_ymd(2026, 3, 1));
    let other = leaf(|p| {
        p.subject_alt_names = vec![SanType::DnsName("b.example".try_into().expect("ASCII"))]
    });
    let client = leaf(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let alone = make(None, |p| p.distinguished_name.push(DnType::CommonName, "alone"));
    let strays = make(Some(&stray), |_| {});
    for (chain, expected, why, sentence) in [
        (vec![&expired, ca], "certificate_expired leaf critical", "", "expired in March"),
        (vec![&other, ca], "certificate_wrong_host leaf critical", "", "another name"),
        (vec![&well], "chain_incomplete - critical", "CN=Test CA", "the intermediate is missing"),
        (vec![&client, ca], "chain_untrusted - critical", "authenticating servers", "for clients"),
        (vec![&alone], "chain_untrusted - critical", "self-signed CN=alone", "self-signed"),
        (vec![&strays, &stray], "chain_untrusted - critical", "CN=Stray Root", "a strange root"),
    ] {
        let check = pki.check(serve(&chain, chain[0]).await);
        let evidence = look(check.as_ref(), None).await.expect(sentence);
        let judgement = check.judge(&evidence, at("2026-06-01T00:00:00Z")).expect("a judgement");
        assert_eq!(told(&judgement), [expected], "{sentence}");
        let said = judgement.findings[0].values.get("why").and_then(|w| w.as_str()).unwrap_or("");
        assert!(said.contains(why), "{sentence}: {said}");
    }
}

#[tokio::test]
async fn an_anchor_that_is_the_leaf_itself_is_trusted() {
    let pki = Pki::new();
    let pinned = make(None, |p| p.distinguished_name.push(DnType::CommonName, "pinned"));
    std::fs::write(pki.directory.path().join("root.pem"), &pinned.pem).expect("a file");
    let check = pki.check(serve(&[&pinned], &pinned).await);
    let evidence = look(check.as_ref(), None).await.expect("evidence");
    let judgement = check.judge(&evidence, at("2026-06-01T00:00:00Z")).expect("a judgement");
    assert_eq!(judgement.status(), Status::Pass, "{judgement:?}");
}

#[tokio::test]
async fn a_server_that_does_not_hold_the_key_is_not_seen() {
    let pki = Pki::new();
    let leaf = make(Some(&pki.authority), |_| {});
    let thief = make(None, |_| {});
    let check = pki.check(serve(&[&leaf, &pki.authority], &thief).await);
    let error = look(check.as_ref(), None).await.expect_err("no key");
    assert_eq!(error.reason.code, "handshake_signature_bad");
}

#[tokio::test]
async fn tls_1_2_is_inspected_as_well() {
    let pki = Pki::new();
    let leaf = make(Some(&pki.authority), |_| {});
    let address = serve_with(&[&leaf, &pki.authority], &leaf, &[&rustls::version::TLS12]).await;
    let check = pki.check(address);
    let evidence = look(check.as_ref(), None).await.expect("evidence");
    let sent = &evidence.facts["places"][address.to_string()]["sent"];
    assert_eq!(sent["negotiated"]["version"], "TLSv1_2");
}

#[tokio::test]
async fn what_cannot_be_seen_says_why() {
    let pki = Pki::new();
    let leaf = make(Some(&pki.authority), |_| {});
    let many: Vec<&Made> = std::iter::once(&leaf).chain([&pki.authority; 11]).collect();
    let thousands: Vec<&Made> = std::iter::once(&leaf).chain([&pki.authority; 199]).collect();
    let huge = make(Some(&pki.authority), |p| {
        let name =
            |i| SanType::DnsName(format!("{i}{}.a", "x".repeat(58)).try_into().expect("ASCII"));
        p.subject_alt_names = (0..1500).map(name).collect();
    });
    for (address, code, words) in [
        (closed().await, "connect_refused", "the connection was refused"),
        (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, "not_tls", "plain HTTP"),
        (answering(b"220 smtp ready\r\n").await, "not_tls", "not TLS"),
        (answering(b"").await, "connection_closed", "closed during the handshake"),
        (answering(&[21, 3, 1, 0, 2, 2, 70]).await, "no_modern_tls", "refuses TLS 1.2 and TLS 1.3"),
        (answering(&[21, 3, 3, 0, 2, 2, 40]).await, "handshake_refused", "HandshakeFailure"),
        (resetting().await, "connection_reset", "reset during the handshake"),
        (serve(&many, &leaf).await, "limit_hit", "12 certificates were sent"),
        (serve(&thousands, &leaf).await, "limit_hit", "over 64 KiB"),
        (serve(&[&huge], &huge).await, "limit_hit", "over 64 KiB"),
    ] {
        let check = pki.check(address);
        let error = look(check.as_ref(), None).await.map(|_| ()).expect_err(code);
        assert_eq!(error.reason.code, code, "{}", error.reason.message);
        assert!(error.reason.message.contains(words), "{}", error.reason.message);
        assert!(error.reason.message.starts_with(&address.to_string()), "names the address");
    }
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let pki = Pki::new();
    let flood = raw(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        // Change-cipher-spec records, which a TLS 1.3 client must pass over.
        let record = [20, 3, 3, 0, 1, 1].repeat(1000);
        while stream.write_all(&record).await.is_ok() {}
    })
    .await;
    let error = look(pki.check(flood).as_ref(), None).await.expect_err("a flood");
    assert!(
        error.reason.code == "limit_hit" || error.reason.code == "handshake_failed",
        "{error:?}"
    );
}

#[tokio::test]
async fn a_mute_server_is_unseen_within_the_time_of_a_run() {
    let pki = Pki::new();
    let check = pki.check(mute().await);
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = look(check.as_ref(), None).await.expect_err("no answer");
    assert_eq!(error.reason.code, "handshake_timeout");
    assert!(started.elapsed() < KIND.timeout);
}

// ---- files ----

fn files_check(directory: &std::path::Path, text: &str) -> Box<dyn Check> {
    let context = Context { directory: directory.to_owned(), ..Context::default() };
    build(&KIND, text, &context).map_err(|p| p.join("\n")).expect("a check")
}

#[tokio::test]
async fn each_file_of_a_pattern_is_a_target_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let leaf = make(None, |p| p.distinguished_name.push(DnType::CommonName, "file"));
    let key = leaf.key.serialize_pem();
    std::fs::write(directory.path().join("a.pem"), format!("{key}{}", leaf.pem)).expect("a file");
    std::fs::write(directory.path().join("b.pem"), &leaf.der).expect("a file");
    let check = files_check(directory.path(), "files = [\"*.pem\", \"a.pem\", \"*.crt\"]");
    let targets = check.targets().await.expect("targets");
    let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["*.crt", "a.pem", "b.pem"]);
    assert!(check.files().iter().all(|watched| watched == directory.path()));
    for target in &targets[1..] {
        assert_eq!((target.nature, target.files.len()), (Nature::Local, 1));
        let look = Look { target, before: None, said: &Default::default(), now: at(NOW) };
        let evidence = check.probe(look).await.expect("evidence");
        let judgement = check.judge(&evidence, at("2026-06-01T00:00:00Z")).expect("a judgement");
        assert_eq!(judgement.status(), Status::Pass, "self-signed is no matter in a file");
        assert_eq!(evidence.blobs.len(), 1, "the key is not kept");
        let late = check.judge(&evidence, at("2027-06-01T00:00:00Z")).expect("a judgement");
        assert_eq!(told(&late), ["certificate_expired leaf critical"]);
    }
    let look = Look { target: &targets[0], before: None, said: &Default::default(), now: at(NOW) };
    assert_eq!(check.probe(look).await.expect_err("nothing").reason.code, "no_match");
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_unseen() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = make(None, authority("Bundle Root"));
    for (name, content, code) in [
        ("empty", b"".to_vec(), "no_certificate"),
        ("garbage", b"no certificate at all".to_vec(), "no_certificate"),
        ("der", vec![0x30, 0x82, 1, 0, 1, 2, 3], "no_certificate"),
        ("key", make(None, |_| {}).key.serialize_pem().into_bytes(), "no_certificate"),
        ("torn", root.pem.as_bytes()[..200].to_vec(), "no_certificate"),
        (
            "bad",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            "certificate_unreadable",
        ),
        ("many", root.pem.repeat(11).into_bytes(), "limit_hit"),
        ("huge", vec![b'#'; 600 * 1024], "limit_hit"),
    ] {
        std::fs::write(directory.path().join(name), content).expect("a file");
        let check = files_check(directory.path(), &format!("files = \"{name}\""));
        let error = look(check.as_ref(), None).await.expect_err(name);
        assert_eq!(error.reason.code, code, "{name}: {}", error.reason.message);
    }
    let check = files_check(directory.path(), "files = [\"gone.pem\"]");
    assert_eq!(look(check.as_ref(), None).await.expect_err("gone").reason.code, "file_missing");
}

#[tokio::test]
async fn a_file_of_an_authority_is_judged_as_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = make(None, authority("Bundle Root"));
    std::fs::write(directory.path().join("root.pem"), &root.pem).expect("a file");
    let check = files_check(directory.path(), "files = [\"root.pem\"]");
    let evidence = look(check.as_ref(), None).await.expect("evidence");
    let judgement = check.judge(&evidence, at("2034-12-01T00:00:00Z")).expect("a judgement");
    assert_eq!(told(&judgement), ["certificate_expiring root CN=Bundle Root warning"]);
}

// ---- settings ----

#[test]
fn the_example_builds() {
    let example = EXAMPLE.replace("[[check]]\n", "").replace("[[check.target]]", "[[target]]");
    let check = build(&KIND, &example, &Context::default());
    assert!(check.is_ok(), "{:?}", check.err());
}

#[test]
fn every_wrong_setting_is_told_at_once() {
    for (text, expected) in [
        (
            "",
            &[
                "[[check]] needs `endpoints`: what to look at, as [\"host:port\"]; or `files`, or a [[check.target]]",
            ][..],
        ),
        ("endpoints = []", &["[[check]] has no target"]),
        (
            "endpoints = [\"a\", \"b:443\", \"b:443\"]",
            &[
                "an endpoint is host:port, 192.0.2.1:443 or [2001:db8::1]:443, not \"a\"",
                "two targets are called b:443: give one a `name` of its own",
            ],
        ),
        (
            "warning = \"29d\"\nfiles = [\"a[\"]\nendpoints = [\"a:1\"]",
            &[
                "`warning` may be longer than \"30d\", not shorter",
                "`files` holds a pattern that cannot be: Pattern syntax error near position 1: invalid range pattern",
            ],
        ),
        (
            "[[target]]\nsni = \"a b\"\nendpont = \"a:1\"",
            &[
                "[[target]] needs `endpoint`: host:port, such as \"portal.example.org:443\"",
                "[[target]] has no key `endpont`; did you mean `endpoint`?",
            ],
        ),
        (
            "[[target]]\nendpoint = \"a:1\"\nresolve = \"b\"\nsni = \"a b\"\naddresses = \"ipv5\"",
            &[
                "`resolve` of [[target]]: invalid IP address syntax",
                "`sni` is a DNS name in ASCII, not \"a b\"",
                "`addresses` of [[target]] is one of all, ipv4, ipv6, not \"ipv5\"; did you mean `ipv4`?",
            ],
        ),
        (
            "[[target]]\nendpoint = \"a:1\"\nca = \"gone.pem\"",
            &["reading the trust anchors in gone.pem: No such file or directory (os error 2)"],
        ),
    ] {
        let problems = build(&KIND, text, &Context::default()).err().expect(text);
        for expected in expected {
            assert!(problems.iter().any(|p| p == expected), "{expected}\nnot in {problems:#?}");
        }
    }
}

#[test]
fn longer_lead_times_are_taken_and_shown() {
    let text = "endpoints = [\"a:1\"]\nwarning = \"60d\"\ncritical = \"14d\"";
    let check = build(&KIND, text, &Context::default()).map_err(|p| p.join("\n")).expect("a check");
    let lines = check.thresholds();
    assert!(
        lines.contains(&"  of 398 days: Warning 60.0 days, Critical 14.0 days".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines.contains(&"  of 47 days: Warning 11.8 days, Critical 7.8 days".to_owned()),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.contains("from 2029-03-15") && line.contains("47 days")));
}

#[test]
fn every_row_of_the_catalogue_says_what_to_do_and_who_says_so() {
    for spec in KIND.findings {
        assert!(!spec.remedy.is_empty() && !spec.reference.is_empty(), "{}", spec.code);
    }
    assert_eq!(EXPIRING.severity, Severity::Warning);
}
