use std::io::Write as _;
use std::path::Path;

use attestd_core::{Check, Evidence, Look, ProbeError, Status, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::fixtures::{build, hold_but, refuses};
use crate::look::testing::at;

#[tokio::test]
async fn every_fixture_holds() {
    let fixtures = include_str!("../../fixtures/ico_registration.toml");
    hold_but(&KIND, fixtures, 45, &[ABSENT.code]).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("", "needs `registrations`"),
            ("registrations = []", "`registrations` is empty"),
            ("registrations = [\"123456\"]", "is no registration number"),
            ("registrations = [\"ZA-12345\"]", "is no registration number"),
            ("registrations = [\"ZA000000\", \"za000000\"]", "named twice"),
            ("registrations = [\"ZA000000\", \"ZA000001\"]\nname = \"A LTD\"", "of one firm"),
            ("registrations = [\"ZA000000\"]\nname = \" \"", "is empty"),
            ("registrations = [\"ZA000000\"]\nfile = \"http://example.org/a.zip\"", "https://"),
            ("registrations = [\"ZA000000\"]\npage = \"x\"", "no key `page`"),
        ],
    );
}

const HEADER: &str = "Registration_number,Organisation_name,Start_date_of_registration,End_date_of_registration,Payment_tier\n";
const OURS: &str = "ZA000000,EXAMPLE HEALTH SYSTEMS LTD,2019-03-01,2027-02-28,Tier 2\n";
const NAME: &str = "register-of-data-controllers-2026-11-20.zip";

/// A register of this many rows, with ours in the middle or not at all.
fn register(rows: u64, ours: bool) -> String {
    let mut text = HEADER.to_owned();
    for at in 0..rows {
        if ours && at == rows / 2 {
            text.push_str(OURS);
        }
        text.push_str(&format!("ZB{at:07},A,2020-01-01,2027-01-01,Tier 1\n"));
    }
    text
}

fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("begun");
        zip.write_all(text.as_bytes()).expect("written");
    }
    zip.finish().expect("ended").into_inner()
}

async fn look(
    directory: &Path,
    before: Option<&Evidence>,
    now: Timestamp,
) -> (Result<Evidence, ProbeError>, Box<dyn Check>) {
    let settings = format!("registrations = [\"ZA000000\"]\nfile = \"{NAME}\"");
    let check = build(&KIND, &settings, directory, None);
    let targets = check.targets().await.expect("a target");
    let seen =
        check.probe(Look { target: &targets[0], before, said: &Default::default(), now }).await;
    (seen, check)
}

#[tokio::test]
async fn a_number_missing_from_the_whole_register_is_unknown_for_14_days_and_then_fails() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = zipped(&[("register.csv", &register(500_000, false))]);
    std::fs::write(directory.path().join(NAME), whole).expect("written");
    let mut before = None;
    for (day, status) in [
        ("2026-11-22T12:00:00Z", Status::Unknown),
        ("2026-12-05T12:00:00Z", Status::Unknown),
        ("2026-12-06T12:00:00Z", Status::Fail),
    ] {
        let (seen, check) = look(directory.path(), before.as_ref(), at(day)).await;
        let seen = seen.expect("evidence");
        let judgement = check.judge(&seen, at(day)).expect("judged");
        assert_eq!(judgement.status(), status, "{day}: {judgement:?}");
        before = Some(seen);
    }
}

#[tokio::test]
async fn a_zip_is_read_and_one_that_is_not_whole_shows_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(NAME);
    let now = at("2026-11-22T12:00:00Z");
    let whole = zipped(&[("register.csv", &register(2_000, true)), ("read me.txt", "hello")]);
    std::fs::write(&path, &whole).expect("written");
    let (seen, check) = look(directory.path(), None, now).await;
    let judgement = check.judge(&seen.expect("evidence"), now).expect("judged");
    assert_eq!(judgement.status(), Status::Pass);
    for tenth in 0..10 {
        std::fs::write(&path, &whole[..whole.len() * tenth / 10]).expect("written");
        let (seen, _) = look(directory.path(), None, now).await;
        let code = seen.expect_err("nothing seen").reason.code;
        assert!(["empty", "file_unreadable"].contains(&code.as_str()), "{tenth}: {code}");
    }
    let bad = [
        (zipped(&[("a.csv", OURS), ("b.csv", OURS)]), "layout_changed"),
        (zipped(&[("a.txt", OURS)]), "layout_changed"),
        (zipped(&[]), "layout_changed"),
    ];
    for (bytes, expected) in bad {
        std::fs::write(&path, bytes).expect("written");
        let (seen, _) = look(directory.path(), None, now).await;
        assert_eq!(seen.expect_err("nothing seen").reason.code, expected);
    }
    let mut flipped = 0;
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).expect("written");
        let (seen, check) = look(directory.path(), None, now).await;
        let Ok(seen) = seen else { continue };
        let judgement = check.judge(&seen, now).expect("judged");
        let rows = seen.facts.pointer("/found/rows/0/end").and_then(|end| end.as_str());
        assert!(judgement.status() == Status::Unknown || rows == Some("2027-02-28"), "byte {at}");
        flipped += 1;
    }
    println!("{flipped} flips of a ZIP changed nothing that is believed");
}

#[tokio::test]
async fn a_register_cut_at_every_tenth_passes_nobody_who_is_behind_the_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(NAME);
    let now = at("2026-11-22T12:00:00Z");
    let whole = register(1_000, true);
    for tenth in 0..10 {
        std::fs::write(&path, &whole[..whole.len() * tenth / 10]).expect("written");
        let (seen, check) = look(directory.path(), None, now).await;
        let status =
            seen.map_or(Status::Unknown, |seen| check.judge(&seen, now).expect("judged").status());
        let expected = if tenth > 5 { Status::Pass } else { Status::Unknown };
        assert_eq!(status, expected, "{tenth} tenths");
    }
}

#[tokio::test]
async fn a_file_is_fetched_once_for_all_numbers_and_again_only_under_another_name() {
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let server = MockServer::start().await;
    let link = |day: &str| format!("<a href=\"/register-of-data-controllers-{day}.zip\">x</a>");
    let page = |day: &str| ResponseTemplate::new(200).set_body_string(link(day));
    let other = OURS.replace("ZA000000", "ZA000001");
    let bytes = zipped(&[("register.csv", &format!("{HEADER}{OURS}{other}"))]);
    for day in ["2026-11-20", "2026-11-21"] {
        Mock::given(path(format!("/register-of-data-controllers-{day}.zip")))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(bytes.clone()))
            .expect(1)
            .mount(&server)
            .await;
    }
    Mock::given(path("/page"))
        .respond_with(page("2026-11-20"))
        .up_to_n_times(3)
        .mount(&server)
        .await;
    Mock::given(path("/page")).respond_with(page("2026-11-21")).mount(&server).await;
    let settings =
        format!("registrations = [\"ZA000000\", \"ZA000001\"]\nfile = \"{}/page\"", server.uri());
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let targets = check.targets().await.expect("targets");
    let now = at("2026-11-22T12:00:00Z");
    let one = check
        .probe(Look { target: &targets[0], before: None, said: &Default::default(), now })
        .await
        .expect("seen");
    check
        .probe(Look { target: &targets[1], before: None, said: &Default::default(), now })
        .await
        .expect("seen");
    let again = Look { target: &targets[0], before: Some(&one), said: &Default::default(), now };
    assert_eq!(check.probe(again).await.expect("seen"), one, "the page links to the same file");
    let newer = check.probe(again).await.expect("seen");
    assert_ne!(newer.facts["of"], one.facts["of"]);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_a_cut_row_is_believed_of_nobody(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 0_usize..200,
    ) {
        let wanted = BTreeSet::from(["ZA000000".to_owned()]);
        let _ = sweep::sweep(bytes.as_slice(), &wanted, "x.csv");
        let whole = format!("{HEADER}{OURS}");
        let part = &whole.as_bytes()[..cut.min(whole.len() - 1)];
        if let Ok(swept) = sweep::sweep(part, &wanted, "x.csv") {
            prop_assert!(swept.found.is_empty());
        }
    }
}

#[test]
fn a_row_without_an_end_is_refused_before_it_fills_the_memory() {
    let endless = format!("{HEADER}ZA000000,\"{}", "x\n".repeat(200_000));
    let refused = sweep::sweep(endless.as_bytes(), &BTreeSet::new(), "x.csv");
    assert_eq!(refused.expect_err("refused").code, "limit_row");
}
