//! The owner's year, without a shell: registers at a URL, edited in a spreadsheet; what comes of it arrives by mail. And
//! what an auditor is given of it: that DSPT, TLS and Cyber Essentials Plus held from one day to another.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attestd::view::{EntryView, StatusView, SubjectView};
use attestd_core::ending::whole_day;
use attestd_core::obligation::today;
use attestd_core::{Date, Status, Timestamp};
use attestd_tests::{bombs, wait};
use jiff::Span;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::attestd::{Daemon, command};
use crate::harness::pki::{authority, make};
use crate::harness::program::{self, Program};
use crate::harness::shelf::Shelf;
use crate::harness::{SOON, files, ports, until};

/// The columns that the owner filled in.
const HEADER: [&str; 10] =
    ["id", "kind", "title", "owner", "last_done", "by", "evidence", "expires", "version", "scope"];
/// Where `last_done` stands among them.
const LAST_DONE: usize = 4;

/// A register as a spreadsheet has it.
type Rows = Vec<[String; 10]>;

fn rows(now: Date) -> Rows {
    let day = |days: i64| now.saturating_add(Span::new().days(days)).to_string();
    let wiki = |page: &str| format!("https://wiki.example-health.uk/{page}");
    let row = |id: &str, kind: &str, done: i64, expires: Option<i64>, scope: &str| {
        let version = if scope.is_empty() { "" } else { "3.3 Danzell" };
        let title = format!("The {id} paper");
        let done = day(done);
        let expires = expires.map(day).unwrap_or_default();
        let cells = [
            id,
            kind,
            &title,
            "alex-owner",
            &done,
            "alex-owner",
            &wiki(id),
            &expires,
            version,
            scope,
        ];
        cells.map(str::to_owned)
    };
    vec![
        // Its review is due in ten days: within the lead time of two weeks.
        row("security", "policy_review", -355, None, ""),
        row("access", "policy_review", -100, None, ""),
        row("backup", "policy_review", -100, None, ""),
        row("ce", "cyber_essentials", -60, Some(305), "organisation"),
        row("ce-plus", "cyber_essentials_plus", -30, Some(305), "organisation"),
    ]
}

fn csv(rows: &Rows) -> Vec<u8> {
    let line = |cells: &[String]| cells.join(",") + "\n";
    let all: String = rows.iter().map(|cells| line(cells)).collect();
    (HEADER.join(",") + "\n" + &all).into_bytes()
}

fn xlsx(rows: &Rows) -> Vec<u8> {
    bombs::workbook(&HEADER, rows)
}

/// The supplier, with what is around it.
struct Scene {
    directory: TempDir,
    shelf: Shelf,
    relay: u16,
}

impl Scene {
    async fn new() -> Scene {
        let directory = tempfile::tempdir().expect("a directory");
        let (home, relay) = (directory.path(), ports::free());
        let ca = authority("Our Root", None);
        ca.write(home, "ca", &[]);
        let server = make(Some(&ca), |_| {});
        server.write(home, "relay", &[]);
        std::fs::create_dir(home.join("credentials")).expect("a directory");
        std::fs::write(home.join("credentials/wiki"), "s3cret\n").expect("written");
        std::fs::write(home.join("password"), "a long secret\n").expect("written");
        files::copy(&files::repository().join("examples/supplier/dspt"), &home.join("dspt"));
        let shelf = Shelf::open(&server, &ca, "s3cret").await;
        let port = shelf.port();
        let at = |name: &str| {
            format!(
                "register = \"https://localhost:{port}/{name}\"\nregister_credential = \"wiki\"\n"
            )
        };
        let (sheet, book) = (at("isms.csv"), at("isms.xlsx"));
        let far = today(wait::now()).saturating_add(Span::new().days(300));
        // What an auditor asks for is looked at so often that a stop of seconds is a gap.
        let config = format!(
            r#"[sources]
ca_bundle = "ca.pem"
[[person]]
id = "alex-owner"
name = "Alex"
email = "alex@example-health.uk"
[[person]]
id = "sam-deputy"
name = "Sam"
email = "sam@example-health.uk"
[mail]
relay = "localhost"
port = {relay}
ca = "ca.pem"
user = "attestd"
password_file = "password"
from = "attestd@example-health.uk"
to = ["alex-owner", "sam-deputy"]
calendar = true
[[deadline]]
table = "dspt"
key = "2026-27"
date = {far}
source = "a letter"
authorised_by = "alex-owner"
[[check]]
id = "sheet"
kind = "policy_review"
{sheet}
[[check]]
id = "book"
kind = "policy_review"
{book}
[[check]]
id = "toolkit"
kind = "dspt"
schedule = "5s"
codes = ["8ZZ99"]
csv = "dspt/"
[[check]]
id = "versions"
kind = "tls"
schedule = "5s"
[[check.target]]
endpoint = "127.0.0.1:{port}"
sni = "localhost"
[[check]]
id = "certified"
kind = "cyber_essentials"
schedule = "5s"
claims = ["organisation"]
claims_plus = ["organisation"]
{sheet}
"#
        );
        std::fs::write(home.join("attestd.toml"), config).expect("written");
        Scene { directory, shelf, relay }
    }

    fn home(&self) -> &Path {
        self.directory.path()
    }

    fn put(&self, sheet: &Rows, book: &Rows) {
        self.shelf.put("/isms.csv", csv(sheet));
        self.shelf.put("/isms.xlsx", xlsx(book));
    }

    async fn relay(&self) -> Program {
        let mut command = Command::new("python");
        command.arg(files::program("relay.py")).arg(self.relay.to_string());
        command.args(["relay.pem", "relay.key", "mails"].map(|name| self.home().join(name)));
        Program::start("relay", &mut command, self.home()).listening(self.relay).await
    }

    async fn daemon(&self) -> Daemon {
        let credentials = self.home().join("credentials");
        let credentials = credentials.to_str().expect("UTF-8");
        let around = [("CREDENTIALS_DIRECTORY", credentials)];
        Daemon::start_with(&self.home().join("attestd.toml"), &around).await
    }

    /// What came to the owner; nobody else is told of what is theirs.
    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home().join("mails")).unwrap_or_default();
        let mails: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(mails.iter().all(|mail| mail["to"] == json!(["alex@example-health.uk"])));
        mails
    }

    /// The entries of calendars that came: of what, as what, how often moved, on which day.
    fn entries(&self) -> Vec<(String, String, u64, String)> {
        let mails = self.mails();
        let entries = mails.iter().flat_map(|mail| mail["calendar"].as_array().expect("a list"));
        let text = |entry: &Value, name: &str| entry[name].as_str().expect("text").to_owned();
        let word = |entry: &Value| {
            assert_eq!(entry["wrong"], json!([]), "as RFC 5545 has it: {entry}");
            assert_eq!(entry["sent as"], entry["method"], "as RFC 6047 has it: {entry}");
            let moved = entry["sequence"].as_u64().expect("a number");
            (text(entry, "uid"), text(entry, "method"), moved, text(entry, "day"))
        };
        entries.map(word).collect()
    }

    /// What a verb says.
    async fn says(&self, arguments: &[&str]) -> String {
        let mut command = command();
        command.args(arguments).current_dir(self.home()).args(["--config", "attestd.toml"]);
        let ended = program::run(&mut command, SOON).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }
}

/// Waits until the status shows something.
async fn shown<T>(
    daemon: &Daemon,
    what: &str,
    limit: Duration,
    look: impl Fn(&StatusView) -> Option<T>,
) -> T {
    let end = tokio::time::Instant::now() + limit;
    loop {
        let view = daemon.status().await;
        match look(&view) {
            Some(found) => return found,
            None if tokio::time::Instant::now() >= end => panic!("{what}: {:#?}", view.subjects),
            None => {}
        }
    }
}

fn of<'v>(view: &'v StatusView, subject: &str) -> &'v SubjectView {
    let found = view.subjects.iter().find(|one| one.subject.to_string() == subject);
    found.unwrap_or_else(|| panic!("{subject} is not among {:#?}", view.subjects))
}

fn unknown(view: &StatusView) -> Vec<String> {
    let all = view.subjects.iter().filter(|one| one.status == Status::Unknown);
    all.map(|one| one.subject.to_string()).collect()
}

const WATCHED: [&str; 10] = [
    "book/access",
    "book/backup",
    "book/security",
    "certified/ce",
    "certified/ce-plus",
    "sheet/access",
    "sheet/backup",
    "sheet/security",
    "toolkit/8ZZ99",
    "versions/127.0.0.1",
];
/// What tells that a review is due.
const REMINDER: &str = "review_due_soon";
/// A day that does not exist.
const BROKEN: &str = "31/02/2026";
/// Longer than the minute in which a register at a URL is asked, and what follows.
const MINUTES: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_cell_that_is_edited_comes_back_as_mail_and_what_held_is_shown_with_its_gaps() {
    let scene = Scene::new().await;
    let now = today(wait::now());
    let before = rows(now);
    scene.put(&before, &before);
    let _relay = scene.relay().await;
    let daemon = scene.daemon().await;
    shown(&daemon, "all of it was looked at", SOON, |view| {
        let seen = |name: &str| {
            let all = view.subjects.iter();
            let mut all = all.filter(|one| one.subject.to_string().starts_with(name));
            all.any(|one| one.seen_at.is_some() && one.unseen.is_none())
        };
        WATCHED.iter().all(|name| seen(name)).then_some(())
    })
    .await;
    let from = wait::now();
    let old: Date = before[0][LAST_DONE].parse().expect("a day");
    let uids = it_reminds(&scene, &daemon, old.saturating_add(Span::new().years(1))).await;

    // The owner records the review, and in the same edit breaks a cell of another row.
    let mut after = before.clone();
    after[0][LAST_DONE] = now.to_string();
    after[1][LAST_DONE] = BROKEN.to_owned();
    scene.put(&after, &after);
    let edited = wait::uptime();
    let view = shown(&daemon, "the edits are acted on", MINUTES, |view| {
        let good = |check| of(view, &format!("{check}/security")).status == Status::Pass;
        let bad = |check| of(view, &format!("{check}/access")).status == Status::Unknown;
        let both = ["sheet", "book"].iter().all(|check| good(check) && bad(check));
        both.then(|| view.clone())
    })
    .await;
    it_comes_back(&scene, &uids, old, now).await;
    println!(
        "a review that was entered in a CSV and in a workbook at a URL: acted on, confirmed and moved in the calendar \
         {:?} after the edit",
        wait::uptime().since(edited)
    );
    assert!(scene.shelf.answered(304) > 0, "what has not changed is not sent again");
    assert_eq!(scene.shelf.answered(401), 0, "the token is shown");
    only_the_broken_row_is_troubled(&view);
    for check in ["sheet", "book"] {
        let row = of(&view, &format!("{check}/security"));
        assert!(row.findings.iter().all(|one| one.code != REMINDER), "it reminds no more");
        let history = scene.says(&["history", &row.subject.to_string()]).await;
        let rows = [old, now].map(|day| format!("last_done={day}"));
        for part in [&*rows[0], &*rows[1], "said by alex-owner", "resolved"] {
            assert!(history.contains(part), "{part} is not in {history}");
        }
    }
    daemon.stop().await;
    an_auditor_is_shown(&scene, from).await;
}

/// Both reviews remind, and stand in the owner's calendar on their day; gives the entries' ids.
async fn it_reminds(scene: &Scene, daemon: &Daemon, due: Date) -> Vec<String> {
    let view = daemon.status().await;
    assert_eq!(unknown(&view), [""; 0], "all of it is seen");
    for check in ["sheet", "book"] {
        let row = of(&view, &format!("{check}/security"));
        assert_eq!(row.status, Status::Warn, "{row:?}");
        let reminder = row.findings.iter().find(|one| one.code == REMINDER);
        assert!(reminder.is_some_and(|one| one.firing == Some(true)), "it reminds: {row:?}");
    }
    let uids = until("an entry of each register, on its day", SOON, || {
        let entries = scene.entries().into_iter();
        let near: Vec<String> =
            entries.filter(|one| one.3 == due.to_string()).map(|one| one.0).collect();
        if near.len() == 2 { Ok(near) } else { Err(format!("{:?}", scene.mails())) }
    })
    .await;
    let said = format!("Due: by {}", whole_day(due));
    let says = |mail: &&Value| mail["body"].as_str().is_some_and(|body| body.contains(&said));
    assert_eq!(scene.mails().iter().filter(says).count(), 2, "each says its last good day");
    uids
}

/// Each of both edits is confirmed by mail, with what the row said before, and moves its entry by a higher number.
async fn it_comes_back(scene: &Scene, uids: &[String], old: Date, now: Date) {
    let next = now.saturating_add(Span::new().years(1)).to_string();
    let confirmed = |mail: &Value, check: &str| {
        let subject = mail["headers"]["Subject"].as_str().unwrap_or_default();
        let body = mail["body"].as_str().unwrap_or_default();
        let said = [old, now].map(|day| format!("done on {day} by alex-owner"));
        let row = format!("{check}/security");
        subject.contains("Recorded") && [&row, &said[0], &said[1]].iter().all(|p| body.contains(*p))
    };
    until("it is confirmed, and the entries move", MINUTES, || {
        let (mails, entries) = (scene.mails(), scene.entries());
        let told = |check: &&str| mails.iter().filter(|mail| confirmed(mail, check)).count() == 1;
        let moved = |uid: &String| {
            let expected = (uid.clone(), "REQUEST".to_owned(), 1, next.clone());
            entries.contains(&expected)
        };
        match ["sheet", "book"].iter().all(told) && uids.iter().all(moved) {
            true => Ok(()),
            false => Err(format!("{mails:#?}")),
        }
    })
    .await;
}

/// The row is named by its sheet and cell, and no other is Unknown.
fn only_the_broken_row_is_troubled(view: &StatusView) {
    let mut troubled = unknown(view);
    troubled.sort_unstable();
    assert_eq!(troubled, ["book/access", "sheet/access"]);
    let why = |name: &str| of(view, name).unseen.clone().expect("a reason");
    for (name, parts) in [
        ("sheet/access", ["row 3", "`last_done`", BROKEN]),
        ("book/access", ["sheet Duties", "`last_done` (E3)", BROKEN]),
    ] {
        assert!(parts.iter().all(|part| why(name).contains(part)), "{name}: {}", why(name));
    }
}

/// What an auditor asks for, after a stop in which slots passed.
async fn an_auditor_is_shown(scene: &Scene, from: Timestamp) {
    let asked = ["toolkit", "versions", "certified"];
    let stopped = scene.says(&["status", "--json"]).await;
    let stopped: StatusView = serde_json::from_str(&stopped).expect("a status");
    let of_asked = |view: &StatusView| -> Vec<SubjectView> {
        let all = view.subjects.iter();
        all.filter(|one| asked.contains(&one.subject.check.as_str())).cloned().collect()
    };
    let promised = of_asked(&stopped).iter().filter_map(|one| one.next).max().expect("slots");
    let missed = promised + Duration::from_secs(15);
    until("slots pass while it is stopped", SOON, || {
        let now = wait::now();
        if now > missed { Ok(()) } else { Err(format!("it is {now}")) }
    })
    .await;
    let daemon = scene.daemon().await;
    let again = wait::now();
    shown(&daemon, "they are looked at again", SOON, |view| {
        let all = of_asked(view);
        let seen = |one: &SubjectView| one.seen_at.is_some_and(|at| at > again);
        (all.len() == 4 && all.iter().all(seen)).then_some(())
    })
    .await;
    let to = wait::now();
    let (from, to) = (from.to_string(), to.to_string());
    let checks = asked.map(|check| ["--check", check]).concat();
    let period = ["--from", &from, "--to", &to, "pack"];
    scene.says(&[&["evidence", "export"], &checks[..], &period].concat()).await;
    let verified = scene.says(&["evidence", "verify", "pack"]).await;
    for part in ["integrity     holds", "authenticity  holds", "complete      holds"] {
        assert!(verified.contains(part), "{part:?} is not in {verified}");
    }
    let page = std::fs::read_to_string(scene.home().join("pack/index.html")).expect("a page");
    assert_eq!(page.matches("<h4>Gaps: slots that were not kept</h4>").count(), 4, "{page}");
    assert_eq!(page.matches("<h4>Lapses</h4>").count(), 0, "{page}");
    assert!(page.contains("attestd was not running"), "{page}");
    assert!(!page.contains("security paper"), "nothing else is in it");
    let table = std::fs::read_to_string(scene.home().join("pack/register.csv")).expect("a table");
    let of_what = |what: &str| {
        let lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        lines.filter(|cells| cells.get(3) == Some(&what)).count()
    };
    assert!(of_what("gap") >= 4, "{table}");
    let held = |line: &&str| line.contains(",status,pass,");
    assert_eq!(table.lines().filter(held).count(), of_what("status"), "all of it held: {table}");
    let gaps: Vec<EntryView> = {
        let said = scene.says(&["history", "toolkit/8ZZ99", "--json"]).await;
        serde_json::from_str(&said).expect("entries")
    };
    assert!(gaps.iter().any(|entry| entry.index.is_none()), "the gap is in the history too");
    daemon.stop().await;
}
