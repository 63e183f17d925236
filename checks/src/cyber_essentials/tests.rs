use super::*;
use crate::fixtures::{build, hold, refuses};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/cyber_essentials.toml"), 40).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("", "needs `register`"),
            ("register = 3", "text in quotes"),
            ("register = \"r.xls\"", ".csv, .toml or .xlsx"),
            ("register = \"r.csv\"\nclaims = [3]", "text in quotes"),
            ("register = \"r.csv\"\nclaim = [\"x\"]", "did you mean `claims`?"),
        ],
    );
}

#[tokio::test]
async fn from_sixty_days_on_it_says_book_and_then_certify() {
    let directory = tempfile::tempdir().expect("a directory");
    let row = "id,kind,last_done,scope\nce,cyber_essentials,2026-06-12,organisation\n";
    std::fs::write(directory.path().join("r.csv"), row).expect("written");
    let check = build(&KIND, "register = \"r.csv\"", directory.path(), None);
    let targets = check.targets().await.expect("a target");
    for (now, action) in [
        ("2027-03-15T12:00:00Z", "book the assessment"),
        ("2027-04-13T12:00:00Z", "book the assessment"),
        ("2027-05-13T12:00:00Z", "certify"),
        ("2027-05-29T12:00:00Z", "certify"),
        ("2027-06-12T12:00:00Z", "certify"),
    ] {
        let now = now.parse().expect("a time");
        let look = Look { target: &targets[0], before: None, said: &Default::default(), now };
        let evidence = check.probe(look).await.expect("evidence");
        let judgement = check.judge(&evidence, now).expect("judged");
        assert_eq!(judgement.findings[0].values["action"], action, "{now}");
    }
}
