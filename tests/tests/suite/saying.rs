//! `attestd done` and `attestd event`: what people say is recorded, rules, outlives a restart, and replays.

use std::path::Path;
use std::time::Duration;

use attestd::view::{StatusView, SubjectView};
use attestd_core::check::sha256_hex;
use attestd_core::record::Record;
use attestd_core::{Severity, Status};
use attestd_tests::log;
use attestd_tests::program::{self, Daemon, Said};
use attestd_tests::supplier::Supplier;
use nix::sys::signal::Signal;

/// Longer than anything here should ever take.
const LONG: Duration = Duration::from_secs(20);

fn named<'v>(view: &'v StatusView, name: &str) -> Option<&'v SubjectView> {
    view.subjects.iter().find(|subject| subject.subject.to_string() == name)
}

fn settled(daemon: &mut Daemon) {
    daemon.until(LONG, "the duties were looked at", |view| {
        let duties = view.subjects.iter().filter(|s| s.subject.check.as_str() == "duties");
        let (mut all, mut seen) = (0, 0);
        for duty in duties {
            all += 1;
            seen += usize::from(duty.seen_at.is_some());
        }
        (all > 15 && all == seen).then_some(())
    });
}

fn say(at: &Path, words: &str) -> Said {
    program::run(at, &words.split(' ').collect::<Vec<_>>())
}

#[test]
fn what_is_said_to_be_done_is_recorded_and_rules_and_is_proof() {
    let supplier = Supplier::copy();
    let at = supplier.path();
    std::fs::write(supplier.file("restore.txt"), "restored in 41 minutes").expect("written");
    let mut daemon = Daemon::start(at, |_| {});
    settled(&mut daemon);
    let before = daemon.status().expect("it answers");
    let restore = named(&before, "duties/restore").expect("the row");
    assert_eq!(restore.status, Status::Fail, "overdue by the register");
    let owners: Vec<&str> = restore.answers.iter().map(|person| person.as_str()).collect();
    assert_eq!(owners, ["sam-deputy", "alex-owner"]);

    for (words, parts) in [
        (
            "done restor --on 2026-11-20 --by sam-deputy --evidence restore.txt",
            &["did you mean `restore`?"][..],
        ),
        (
            "done restore --on 2099-11-20 --by sam --second sam --evidence restore.txt",
            &["in the future", "no [[person]] sam", "the second person is the first"],
        ),
        (
            "done restore --on 2026-11-20 --by sam-deputy --evidence nothing.txt",
            &["nothing.txt cannot be read"],
        ),
        (
            "done restore --on 2026-11-20 --by sam-deputy --evidence http://x.example",
            &["begins with https"],
        ),
        (
            "done portal --on 2026-11-20 --by sam-deputy --evidence restore.txt",
            &["it is a service"],
        ),
        (
            "done certificates/old-portal.pem --on 2026-11-20 --by sam-deputy --evidence restore.txt",
            &["is seen, and not said"],
        ),
        ("event release --service restore", &["it is a duty, and no service"]),
    ] {
        let said = say(at, words);
        assert_eq!(said.code, Some(1), "{words}: {said:?}");
        assert!(parts.iter().all(|part| said.err.contains(part)), "{words}: {}", said.err);
    }
    let unchanged = daemon.status().expect("it answers");
    assert_eq!(named(&unchanged, "duties/restore").expect("the row").status, Status::Fail);

    let words =
        "done restore --on 2026-11-20 --by sam-deputy --second alex-owner --evidence restore.txt";
    let said = say(at, words);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    let due = "due next by 20 November 2027, that day included";
    assert!(said.out.contains(due), "{}", said.out);
    let now = daemon.status().expect("it answers");
    assert_eq!(named(&now, "duties/restore").expect("the row").status, Status::Pass);
    let explained = say(at, "check duties/restore --explain");
    assert!(explained.out.contains("last done on 2026-11-20, said in record"), "{}", explained.out);
    let history = say(at, "history duties/restore");
    assert!(history.out.contains("done on 2026-11-20"), "{}", history.out);

    let due = say(at, "register due --days 400");
    let line = due.out.lines().find(|line| line.contains(" restore ")).expect("the row");
    assert!(line.contains("Sat 20 Nov 2027"), "{line}");
    let list = say(at, "register list");
    let row = list.out.lines().find(|line| line.contains(" restore ")).expect("the row");
    assert!(
        row.contains("pass") && row.contains("Sam Deputy") && row.contains("20 Nov 2027"),
        "{row}"
    );

    // A release calls for a safety case of its own.
    let said =
        say(at, "event release --service portal --at 2026-11-21 --version 4.3 --by sam-deputy");
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    let now = daemon.status().expect("it answers");
    let safety = named(&now, "duties/safety-portal").expect("the row");
    assert_eq!(safety.status, Status::Fail, "{safety:?}");
    let finding = &safety.findings[0];
    assert!(finding.message.contains("the release 4.3 of portal on 2026-11-21"), "{finding:?}");
    assert!(finding.remedy.contains("Clinical Safety Officer") && !finding.remedy.contains('{'));
    assert_eq!(
        (finding.severity, finding.reference.as_str()),
        (Severity::Critical, "S3 IT service providers 6; DCB0129 v4.2")
    );

    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let records = log::read(&supplier.file("state")).records;
    let attested = records.iter().filter_map(|record| match record {
        Record::Attested(attested) => Some(attested),
        _ => None,
    });
    let attested: Vec<_> = attested.collect();
    assert_eq!(attested.len(), 2, "what was refused is in no record");
    let document = attested[0].said.document.as_deref().expect("a document");
    assert_eq!(document, sha256_hex(b"restored in 41 minutes"));
    let blob = supplier.file("state").join("blobs").join(&document[..2]).join(document);
    assert_eq!(std::fs::read(blob).expect("it is kept"), b"restored in 41 minutes");

    // The register stands as it was, and what was said goes on after a restart without sled.
    std::fs::remove_dir_all(supplier.file("state/sled")).expect("removed");
    let mut daemon = Daemon::start(at, |_| {});
    settled(&mut daemon);
    let now = daemon.status().expect("it answers");
    assert_eq!(named(&now, "duties/restore").expect("the row").status, Status::Pass);

    let packed = say(at, "evidence export --include-blobs pack");
    assert_eq!(packed.code, Some(0), "{packed:?}");
    let verified = say(at, "--json evidence verify --replay pack");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let table = std::fs::read_to_string(supplier.file("pack/register.csv")).expect("a table");
    assert!(table.contains("done on 2026-11-20, sam-deputy and alex-owner said"), "{table}");
    assert!(supplier.file("pack").join("blobs").join(&document[..2]).join(document).is_file());
    let redacted = say(at, "evidence export --redact hidden");
    assert_eq!(redacted.code, Some(0), "{redacted:?}");
    let lines = std::fs::read_to_string(supplier.file("hidden/records.jsonl")).expect("records");
    assert!(lines.contains("attested") && !lines.contains("sam-deputy"), "no person is named");
    assert_eq!(say(at, "evidence verify hidden").code, Some(0));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let alone = say(at, words);
    assert!(alone.code == Some(1) && alone.err.contains("no daemon is running"), "{}", alone.err);
}

#[test]
fn a_register_is_begun_from_answers_and_checked_by_row_and_column() {
    let supplier = Supplier::copy();
    let at = supplier.path();
    let begun = say(
        at,
        "register template --staff 12 --turnover 1 --cloud true --category 3 --clinical true",
    );
    assert_eq!(begun.code, Some(0), "{begun:?}");
    assert!(begun.out.contains(
        "# Registration with the ICO as a relevant digital service provider: there are 12 people"
    ));
    std::fs::write(supplier.file("begun.toml"), &begun.out).expect("written");
    for (file, code, parts) in [
        ("begun.toml", 0, &["rows are good, 0 have mistakes"][..]),
        ("register.csv", 0, &["rows are good, 0 have mistakes"]),
        (
            "bad.csv",
            1,
            &[
                "row 3 of",
                "column `last_done`",
                "column `scheme`",
                "row 4 of",
                "column `owner`",
                "`colour`",
            ],
        ),
        ("none.csv", 1, &["does not exist"]),
        ("register.pdf", 1, &["a register is a .csv, .toml or .xlsx file"]),
    ] {
        let bad = "id,kind,owner,last_done,scheme,colour\ns,service,,,,\na,security_test,,31/02/2026,chest,\nb,training,Jane Roe,,,red\n";
        std::fs::write(supplier.file("bad.csv"), bad).expect("written");
        let said = say(at, &format!("register check {file}"));
        assert_eq!(said.code, Some(code), "{file}: {said:?}");
        let told = said.out + &said.err;
        assert!(parts.iter().all(|part| told.contains(part)), "{file}: {told}");
        assert!(!told.contains("Roe"), "a name is not repeated: {told}");
    }
}
