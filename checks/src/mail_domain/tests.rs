use std::path::Path;

use super::*;
use crate::fixtures::{build, hold_but, refuses};
use crate::look::testing::{DnsFault, dns};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Found only over DNS, which no zone file stands for.
const DMARC_ABOVE: &str = "dmarc_inherited";

#[tokio::test]
async fn every_fixture_holds() {
    hold_but(&KIND, include_str!("../../fixtures/mail_domain.toml"), 75, &[DMARC_ABOVE]).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("", "needs `domains`"),
            ("domains = []", "`domains` is empty"),
            ("domains = [\"org\"]", "is no domain"),
            ("domains = [\"exämple.org\"]", "is no domain"),
            ("domains = [\"a..org\"]", "is no domain"),
            ("domains = [\"example.org\", \"EXAMPLE.org.\"]", "named twice"),
            ("domains = [\"example.org\"]\nresolver = \"dns.example.org\"", "is an address"),
            ("domains = [\"example.org\"]\npolicy = \"http://example.org/\"", "https://"),
            ("domains = [\"example.org\"]\nzone_file = \"z\"", "say where the MTA-STS policy is"),
            (
                "domains = [\"a.org\", \"b.org\"]\nzone_file = \"z\"\npolicy = \"p\"",
                "for one domain",
            ),
            (
                "domains = [\"a.org\"]\nzone_file = \"z\"\npolicy = \"p\"\nresolver = \"::1\"",
                "no `resolver` is asked",
            ),
            ("domain = [\"example.org\"]", "did you mean `domains`?"),
        ],
    );
    for resolver in ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:53"] {
        let settings = format!("domains = [\"example.org\"]\nresolver = \"{resolver}\"");
        build(&KIND, &settings, Path::new("/nowhere"), None);
    }
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

async fn look(check: &dyn Check, before: Option<&Evidence>) -> Result<Evidence, ProbeError> {
    let targets = check.targets().await.expect("a target");
    assert_eq!(targets[0].nature, Nature::Remote);
    check.probe(Look { target: &targets[0], before, said: &Default::default(), now: now() }).await
}

fn told(check: &dyn Check, evidence: &Evidence) -> (Vec<String>, Vec<String>) {
    let judgement = check.judge(evidence, now()).expect("its own evidence");
    let findings = judgement.findings.iter().map(|f| f.key.code.0.clone()).collect();
    let unseen = judgement.unseen.iter();
    let part = |unseen: &Unseen| unseen.component.as_ref().map_or("", |c| c.as_str()).to_owned();
    (findings, unseen.map(|u| format!("{}: {}", part(u), u.reason.code)).collect())
}

/// A domain with an include and all the rest, at a DNS server on loopback.
fn records() -> BTreeMap<String, Vec<String>> {
    let row = |(name, value): (&str, &str)| (name.to_owned(), vec![value.to_owned()]);
    [
        ("MX example.org", "10 mail.example.org"),
        ("TXT example.org", "v=spf1 include:spf.example.net -all"),
        ("TXT spf.example.net", "v=spf1 ip4:192.0.2.1 -all"),
        ("TXT _dmarc.example.org", "v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@example.org"),
        ("TXT _mta-sts.example.org", "v=STSv1; id=1"),
        ("MX m.example.org", "10 mail.example.org"),
        ("TXT m.example.org", "v=spf1 -all"),
    ]
    .into_iter()
    .map(row)
    .collect()
}

const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mail.example.org\nmax_age: 1209600\n";

async fn policy_server() -> MockServer {
    let server = MockServer::start().await;
    let unchanged = Mock::given(header("if-none-match", "\"1\""));
    unchanged.respond_with(ResponseTemplate::new(304)).mount(&server).await;
    let whole = ResponseTemplate::new(200).insert_header("etag", "\"1\"");
    let whole = whole.set_body_raw(POLICY, "text/plain");
    Mock::given(any()).respond_with(whole).mount(&server).await;
    server
}

async fn check_at(domain: &str, resolver: SocketAddr, server: &MockServer) -> Box<dyn Check> {
    let settings = format!(
        "domains = [\"{domain}\"]\nresolver = \"{resolver}\"\npolicy = \"{}/{{DOMAIN}}\"",
        server.uri()
    );
    build(&KIND, &settings, Path::new("/nowhere"), None)
}

#[tokio::test]
async fn a_domain_is_seen_over_dns_and_its_policy_asked_for_anew_only_if_changed() {
    let (server, at) = (policy_server().await, dns(records(), DnsFault::None).await);
    let check = check_at("example.org", at, &server).await;
    let first = look(&*check, None).await.expect("seen");
    assert_eq!(told(&*check, &first), (vec![], vec![]), "{}", first.facts);
    let again = look(&*check, Some(&first)).await.expect("seen");
    assert_eq!(again.facts, first.facts);
    let asked = server.received_requests().await.expect("requests are kept");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].headers.get("if-none-match").expect("conditional"), "\"1\"");
    assert!(
        asked[0]
            .headers
            .get("user-agent")
            .expect("named")
            .to_str()
            .expect("text")
            .starts_with("attestd/")
    );
}

#[tokio::test]
async fn a_subdomain_goes_by_the_dmarc_above_and_is_told() {
    let (server, at) = (policy_server().await, dns(records(), DnsFault::None).await);
    let check = check_at("m.example.org", at, &server).await;
    let seen = look(&*check, None).await.expect("seen");
    let found = vec![DMARC_ABOVE.to_owned(), "mta_sts_missing".to_owned()];
    assert_eq!(told(&*check, &seen), (found, vec![]), "{}", seen.facts);
}

#[tokio::test]
async fn a_name_that_is_not_there_and_a_resolver_that_fails_are_unknown() {
    let server = policy_server().await;
    for (fault, domain, code) in [
        (DnsFault::None, "gone.example", "name_not_found"),
        (DnsFault::ServFail, "example.org", "dns_failed"),
        (DnsFault::Refused, "example.org", "dns_failed"),
        (DnsFault::Referral, "example.org", "dns_referral"),
        (DnsFault::Mute, "example.org", "dns_timeout"),
        (DnsFault::Noise, "example.org", "dns_timeout"),
    ] {
        let check = check_at(domain, dns(records(), fault).await, &server).await;
        let error = look(&*check, None).await.expect_err(code);
        assert_eq!(error.reason.code, code, "{fault:?}: {}", error.reason.message);
    }
}

#[tokio::test]
async fn a_part_that_is_not_seen_leaves_the_others_judged() {
    let (server, mut zone) = (policy_server().await, records());
    let many = (0..65).map(|n| format!("proof={n}")).collect();
    zone.insert("TXT example.org".to_owned(), many);
    zone.insert("TXT _dmarc.example.org".to_owned(), vec!["v=DMARC1; p=none".to_owned()]);
    let check = check_at("example.org", dns(zone, DnsFault::None).await, &server).await;
    let seen = look(&*check, None).await.expect("seen in part");
    let found = vec!["dmarc_policy_none".to_owned(), "dmarc_unreported".to_owned()];
    assert_eq!(told(&*check, &seen), (found, vec!["spf: limit_hit".to_owned()]));
}

#[tokio::test]
async fn hostile_answers_stay_within_a_record() {
    let (server, mut zone) = (policy_server().await, records());
    let long = |n: usize| format!("v=spf1 {n}{}", "\u{1}".repeat(3_000));
    zone.insert("TXT example.org".to_owned(), (0..20).map(long).collect());
    let check = check_at("example.org", dns(zone, DnsFault::None).await, &server).await;
    let seen = look(&*check, None).await.expect("seen in part");
    assert!(seen.facts.to_string().len() < 60_000, "{}", seen.facts.to_string().len());
    assert_eq!(told(&*check, &seen).1, ["spf: limit_hit"]);
}
