use std::path::Path;

use super::*;
use crate::fixtures::{build, hold, refuses};
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/ods.toml"), 50).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("", "needs `codes`"),
            ("codes = []", "`codes` is empty"),
            ("codes = [\"8ZZ-99\"]", "1 to 12 letters and digits"),
            ("codes = [\"8ZZ99\", \"8ZZ98\"]\nname = \"A LTD\"", "of one organisation"),
            ("codes = [\"8ZZ99\"]\nname = \" \"", "is empty"),
            ("codes = [\"8ZZ99\"]\nrecords = \"https://example.org/\"", "needs {ODS}"),
            ("codes = [\"8ZZ99\"]\nrecords = \"http://example.org/{ODS}\"", "https://"),
            ("codes = [\"8ZZ99\"]\nrecord = \"x\"", "did you mean `records`?"),
        ],
    );
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

async fn look(check: &dyn Check, before: Option<&Evidence>) -> Result<Evidence, ProbeError> {
    let targets = check.targets().await.expect("a target");
    assert_eq!(targets[0].nature, Nature::PublicRegister);
    check.probe(Look { target: &targets[0], before, said: &Default::default(), now: now() }).await
}

fn record(code: &str, status: &str, successor: Option<&str>) -> String {
    let entry = |code: &str| serde_json::json!({ "Type": "Successor", "Target": { "OrgId": { "extension": code } } });
    let successions: Vec<serde_json::Value> = successor.into_iter().map(entry).collect();
    serde_json::json!({ "Organisation": {
        "Name": format!("{code} LTD"),
        "Status": status,
        "OrgId": { "extension": code },
        "Succs": { "Succ": successions },
    }})
    .to_string()
}

/// Serves records, each with its entity tag.
async fn serve(records: &[(&str, String)]) -> (MockServer, Box<dyn Check>) {
    let server = MockServer::start().await;
    for (code, body) in records {
        let tag = format!("\"{code}\"");
        let here = || path(format!("/{code}"));
        Mock::given(here())
            .and(header("if-none-match", tag.as_str()))
            .respond_with(ResponseTemplate::new(304))
            .mount(&server)
            .await;
        let whole = ResponseTemplate::new(200).insert_header("etag", tag.as_str());
        Mock::given(here()).respond_with(whole.set_body_string(body)).mount(&server).await;
    }
    let settings = format!("codes = [\"A1\"]\nrecords = \"{}/{{ODS}}\"", server.uri());
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    (server, check)
}

fn message(check: &dyn Check, evidence: &Evidence) -> String {
    let judgement = check.judge(evidence, now()).expect("its own evidence");
    let finding = judgement.findings.first().expect("a finding");
    let spec = KIND.findings.iter().find(|spec| spec.code == finding.key.code.0);
    spec.expect("in the catalogue").message(&finding.key, &finding.values)
}

#[tokio::test]
async fn successors_are_named_to_the_end_and_asked_for_anew_only_if_changed() {
    let (server, check) = serve(&[
        ("A1", record("A1", "Inactive", Some("B2"))),
        ("B2", record("B2", "Inactive", Some("C3"))),
        ("C3", record("C3", "Active", None)),
    ])
    .await;
    let first = look(&*check, None).await.expect("seen");
    assert_eq!(
        message(&*check, &first),
        "A1 LTD is Inactive in the register: its successor is B2 (B2 LTD, Inactive), followed by C3 (C3 LTD, Active)"
    );
    assert_eq!(first.blobs.len(), 3);
    let again = look(&*check, Some(&first)).await.expect("seen");
    assert_eq!((&again.facts, again.blobs.len()), (&first.facts, 0));
    let asked = server.received_requests().await.expect("requests are kept");
    assert_eq!(asked.len(), 6);
    for request in asked {
        let agent = request.headers.get("user-agent").expect("it says who asks");
        assert!(agent.to_str().expect("text").starts_with("attestd/"));
    }
}

#[tokio::test]
async fn a_long_row_of_successors_ends_at_the_limit() {
    let code = |n: usize| format!("S{n}");
    let mut records = vec![("A1".to_owned(), record("A1", "Inactive", Some("S0")))];
    records.extend((0..20).map(|n| (code(n), record(&code(n), "Inactive", Some(&code(n + 1))))));
    let records: Vec<(&str, String)> =
        records.iter().map(|(c, r)| (c.as_str(), r.clone())).collect();
    let (server, check) = serve(&records).await;
    let seen = look(&*check, None).await.expect("seen");
    assert!(message(&*check, &seen).ends_with("S7"), "{}", message(&*check, &seen));
    let asked = server.received_requests().await.expect("requests are kept");
    assert_eq!(asked.len(), ORGANISATIONS_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_dead_port_and_a_mute_server_are_unknown_before_the_deadline() {
    use crate::look::testing::{closed, mute};
    for at in [closed().await, mute().await] {
        let settings = format!("codes = [\"A1\"]\nrecords = \"http://{at}/{{ODS}}\"");
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        let began = tokio::time::Instant::now();
        let error = look(&*check, None).await.expect_err("nothing answers");
        assert!(began.elapsed() <= KIND.timeout, "{:?}", began.elapsed());
        let known = ["connect_failed", "too_slow", "timeout"];
        assert!(known.contains(&error.reason.code.as_str()), "{:?}", error.reason);
    }
}
