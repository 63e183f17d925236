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
            ("register = \"r.xlsx\"", ".csv or .toml"),
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
