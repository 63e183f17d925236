use super::*;
use crate::fixtures::{build, hold, refuses};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/policy_review.toml"), 40).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("", "needs `documents`"),
            ("documents = []", "at least one path or glob"),
            ("documents = [\"a**b\"]", "is no glob"),
            ("documents = [3]", "text in quotes"),
            ("documents = [\"p\"]\ninterval = \"1 moon\"", "is no period"),
            ("register = \"r.xls\"", ".csv, .toml or .xlsx"),
            ("register = \"r.csv\"\nsheet = \"A\"", "only a workbook"),
            ("document = [\"p\"]", "did you mean `documents`?"),
        ],
    );
}

#[tokio::test]
async fn a_reviewers_name_is_not_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "---\nreviewed: 2026-06-01\nreviewed_by: Jane Roe\nowner: Jane Roe\n---\n";
    std::fs::write(directory.path().join("a.md"), text).expect("written");
    let check = build(&KIND, "documents = [\"*.md\"]", directory.path(), None);
    let targets = check.targets().await.expect("a target");
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let look = Look { target: &targets[0], before: None, said: &Default::default(), now };
    let evidence = check.probe(look).await.expect("evidence");
    assert!(!evidence.facts.to_string().contains("Roe"), "{:?}", evidence.facts);
    assert!(evidence.blobs.is_empty());
    assert_eq!(evidence.facts["reviewer"], "recorded");
}

#[tokio::test]
async fn the_same_document_is_the_same_evidence_on_another_day() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("a.md"), "---\nreviewed: 2026-06-01\n---\nx")
        .expect("written");
    let check = build(&KIND, "documents = [\"*.md\"]", directory.path(), None);
    let targets = check.targets().await.expect("a target");
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let first = Look {
        target: &targets[0],
        before: None,
        said: &Default::default(),
        now: at("2026-11-22T12:00:00Z"),
    };
    let first = check.probe(first).await.expect("evidence");
    let later = Look {
        target: &targets[0],
        before: Some(&first),
        said: &Default::default(),
        now: at("2026-12-22T12:00:00Z"),
    };
    assert_eq!(check.probe(later).await.expect("evidence"), first);
}

#[test]
fn the_folder_of_a_glob_is_watched() {
    for (glob, folder) in [
        ("policies/*.md", "policies"),
        ("a/b/c.md", "a/b"),
        ("a/*/c.md", "a"),
        ("*.md", ""),
        ("c.md", ""),
    ] {
        assert_eq!(fixed_part(glob), PathBuf::from(folder), "{glob}");
    }
}

/// The days of these documents and registers that other programs made stand in `checks/fixtures/foreign`.
fn foreign(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in names {
        let from = format!("{}/fixtures/foreign/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(from, directory.path().join(name)).expect("copied");
    }
    directory
}

async fn statuses(check: &dyn Check, now: &str) -> Vec<(String, String)> {
    let now = now.parse().expect("a time");
    let mut all = Vec::new();
    for target in check.targets().await.expect("targets") {
        let status = match check
            .probe(Look { target: &target, before: None, said: &Default::default(), now })
            .await
        {
            Ok(evidence) => {
                check.judge(&evidence, now).expect("its own").status().as_str().to_owned()
            }
            Err(error) => error.reason.message,
        };
        all.push((target.name.to_string(), status));
    }
    all
}

#[tokio::test]
async fn documents_of_foreign_formats_are_judged_by_what_they_say() {
    let names =
        ["policy.docx", "policy.odt", "policy-table.odt", "policy.pdf", "policy-encrypted.pdf"];
    let directory = foreign(&names);
    let check = build(&KIND, "documents = [\"policy*\"]", directory.path(), None);
    for (now, expected) in [("2026-11-22T12:00:00Z", "pass"), ("2027-06-13T12:00:00Z", "fail")] {
        let told = statuses(&*check, now).await;
        assert_eq!(told.len(), 5, "{told:?}");
        for (name, status) in told {
            match name.as_str() {
                "policy-encrypted.pdf" => assert!(status.contains("encrypted"), "{status}"),
                _ => assert_eq!(status, expected, "{name} at {now}"),
            }
        }
    }
}

#[tokio::test]
async fn a_workbook_is_a_register() {
    let directory = foreign(&["register.xlsx"]);
    let check = build(&KIND, "register = \"register.xlsx\"", directory.path(), None);
    let told = statuses(&*check, "2026-11-22T12:00:00Z").await;
    let [access, backup, incident, secure, training] = told.as_slice() else { panic!("{told:?}") };
    for (row, name) in [(access, "access"), (backup, "backup"), (incident, "incident")] {
        assert_eq!((row.0.as_str(), row.1.as_str()), (name, "pass"));
    }
    let place =
        "row 6 of register.xlsx, sheet Register: column `last_done` (C6): it holds the error #REF!";
    assert!(secure.1.starts_with(place), "{}", secure.1);
    assert!(training.1.contains("(C7)") && training.1.contains("(D7)"), "{}", training.1);
}

#[tokio::test]
async fn a_document_elsewhere_is_read_and_known_again() {
    let server = wiremock::MockServer::start().await;
    let path = format!("{}/fixtures/foreign/policy.docx", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).expect("a fixture");
    let known = wiremock::matchers::header("if-none-match", "\"1\"");
    wiremock::Mock::given(known)
        .respond_with(wiremock::ResponseTemplate::new(304))
        .mount(&server)
        .await;
    let whole = wiremock::ResponseTemplate::new(200).insert_header("etag", "\"1\"");
    wiremock::Mock::given(wiremock::matchers::path("/policy.docx"))
        .respond_with(whole.set_body_bytes(bytes))
        .mount(&server)
        .await;
    wiremock::Mock::given(wiremock::matchers::path("/login.docx"))
        .respond_with(wiremock::ResponseTemplate::new(200).set_body_string("<html>Log in</html>"))
        .mount(&server)
        .await;
    let directory = tempfile::tempdir().expect("a directory");
    let uri = server.uri();
    let settings = format!("documents = [\"{uri}/policy.docx\", \"{uri}/login.docx\"]");
    let check = build(&KIND, &settings, directory.path(), None);
    let targets = check.targets().await.expect("targets");
    assert!(targets.iter().all(|target| target.nature == Nature::PublicRegister));
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let [login, policy] = targets.as_slice() else { panic!("{targets:?}") };
    let error = check
        .probe(Look { target: login, before: None, said: &Default::default(), now })
        .await
        .expect_err("a page");
    assert_eq!(error.reason.code, "document_broken");
    assert!(error.seen.is_some(), "what it said is kept");
    let first = check
        .probe(Look { target: policy, before: None, said: &Default::default(), now })
        .await
        .expect("evidence");
    assert_eq!(check.judge(&first, now).expect("its own").status().as_str(), "pass");
    let later = Look { target: policy, before: Some(&first), said: &Default::default(), now };
    assert_eq!(check.probe(later).await.expect("evidence"), first, "a 304 is the same evidence");
    for (settings, says) in [
        ("documents = [\"http://example.org/a.docx\"]", "must begin with https://"),
        ("documents = [\"a.md\"]\ndocuments_credential = \"a\"", "only a URL"),
    ] {
        refuses(&KIND, &[(settings, says)]);
    }
}

#[tokio::test]
async fn the_commit_is_that_at_which_a_document_was_first_seen_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(path, text).expect("written");
    };
    let check = build(&KIND, "documents = [\"*.md\"]", directory.path(), None);
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(40));
    let mut before: Option<Evidence> = None;
    for (head, text, expected, why) in [
        (&one, "x", &one, "first seen"),
        (&two, "x", &one, "another commit, the same document"),
        (&three, "y", &three, "the document changed"),
        (&two, "y", &three, "another commit again"),
    ] {
        write(".git/HEAD", head);
        write("a.md", &format!("---\nreviewed: 2026-06-01\n---\n{text}"));
        let targets = check.targets().await.expect("a target");
        let look =
            Look { target: &targets[0], before: before.as_ref(), said: &Default::default(), now };
        let evidence = check.probe(look).await.expect("evidence");
        assert_eq!(evidence.facts["commit"], **expected, "{why}");
        before = Some(evidence);
    }
}
