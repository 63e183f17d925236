use std::path::Path;

use super::*;
use crate::fixtures::{build, hold, refuses};
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/security_txt.toml"), 40).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("", "needs `sites`"),
            ("sites = []", "`sites` is empty"),
            ("sites = [3]", "text in quotes"),
            ("sites = [\"http://example.org\"]", "https://"),
            ("sites = [\"https://user:secret@example.org\"]", "no user or password"),
            ("sites = [\"https://example.org/about\"]", "is no origin"),
            ("sites = [\"https://example.org/?a\"]", "is no origin"),
            ("sites = [\"https://example.org\", \"https://example.org/\"]", "named twice"),
            ("sites = [\"\"]", "not \"\""),
            ("site = [\"https://example.org\"]", "did you mean `sites`?"),
        ],
    );
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

async fn look(check: &dyn Check, before: Option<&Evidence>) -> Result<Evidence, ProbeError> {
    let targets = check.targets().await.expect("a target");
    assert_eq!(targets[0].nature, Nature::Remote);
    check.probe(Look { target: &targets[0], before, said: &Default::default(), now: now() }).await
}

const FILE: &str = "Contact: mailto:a@example.org\nExpires: 2027-06-30T00:00:00Z\n";

#[tokio::test]
async fn a_file_that_has_not_changed_gives_the_same_evidence_without_its_text() {
    for (at, empty) in [(WELL_KNOWN, None), (TOP_LEVEL, Some(WELL_KNOWN))] {
        let server = MockServer::start().await;
        let unchanged = Mock::given(path(at)).and(header("if-none-match", "\"7\""));
        unchanged.respond_with(ResponseTemplate::new(304)).expect(1).mount(&server).await;
        let file = ResponseTemplate::new(200).insert_header("etag", "\"7\"").set_body_string(FILE);
        Mock::given(path(at)).respond_with(file).mount(&server).await;
        if let Some(empty) = empty {
            let nothing = ResponseTemplate::new(404);
            Mock::given(path(empty)).respond_with(nothing).mount(&server).await;
        }
        let settings = format!("sites = [\"{}\"]", server.uri());
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        let first = look(&*check, None).await.expect("the file");
        assert_eq!((first.blobs.len(), first.blobs[0].bytes.as_ref()), (1, FILE.as_bytes()));
        let again = look(&*check, Some(&first)).await.expect("unchanged");
        assert_eq!((&again.facts, again.blobs.len()), (&first.facts, 0), "{at}");
        let judged = check.judge(&again, now()).expect("its own evidence");
        assert_eq!(judged, check.judge(&first, now()).expect("its own evidence"));
    }
}

#[tokio::test]
async fn a_hostile_site_is_unknown_with_the_reason_and_its_answer_kept() {
    let long = "Contact: mailto:a@example.org\n".repeat(4_000);
    for (answer, code) in [
        (ResponseTemplate::new(200).set_body_string(long), "limit_body"),
        (
            ResponseTemplate::new(200).insert_header("content-encoding", "gzip"),
            "encoding_unexpected",
        ),
        (ResponseTemplate::new(200).insert_header("x-long", "a".repeat(33_000)), "limit_headers"),
        (ResponseTemplate::new(302).insert_header("location", WELL_KNOWN), "redirect_refused"),
        (
            ResponseTemplate::new(302).insert_header("location", "http://192.0.2.1:1/"),
            "redirect_refused",
        ),
        (ResponseTemplate::new(304), "bad_answer"),
    ] {
        let server = MockServer::start().await;
        Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
        let settings = format!("sites = [\"{}\"]", server.uri());
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        let error = look(&*check, None).await.expect_err(code);
        assert_eq!(error.reason.code, code, "{}", error.reason.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_port_and_a_mute_server_are_unknown_before_the_deadline() {
    use crate::look::testing::{closed, mute};
    for (at, code) in [(closed().await, "connect_failed"), (mute().await, "too_slow")] {
        let settings = format!("sites = [\"http://{at}\"]");
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        let began = tokio::time::Instant::now();
        let error = look(&*check, None).await.expect_err(code);
        assert!(began.elapsed() <= KIND.timeout, "{:?}", began.elapsed());
        assert!([code, "timeout"].contains(&error.reason.code.as_str()), "{:?}", error.reason);
    }
}
