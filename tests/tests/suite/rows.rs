//! A row of a register that newly says what was done, through the real program: recorded with the old and the new row,
//! confirmed once to who answers for it, whatever ends in between; and nothing else is touched. And a release that is
//! seen at the address where a service says its version.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd::view::StatusView;
use attestd_core::event::Change;
use attestd_core::record::{Attested, Record};
use attestd_core::statement::What;
use attestd_core::{Date, Status, Subject};
use attestd_tests::program::{self, Daemon};
use attestd_tests::supplier::Supplier;
use attestd_tests::{log, servers, wait};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here should ever take.
const LONG: Duration = Duration::from_secs(30);
/// Changes, at each of which the daemon is killed.
const KILLS: i64 = 12;
/// The row that is changed.
const ROW: &str = "duties/restore";

fn settled(daemon: &mut Daemon) {
    daemon.until(LONG, "the duties were looked at", |view| {
        let duties = view.subjects.iter().filter(|s| s.subject.check.as_str() == "duties");
        let seen: Vec<bool> = duties.map(|duty| duty.seen_at.is_some()).collect();
        (seen.len() > 15 && seen.iter().all(|seen| *seen)).then_some(())
    });
}

/// Writes another day into the row's `last_done`.
fn redate(supplier: &Supplier, from: &str, to: &str) {
    supplier.edit("register.csv", |text| {
        let row = text.lines().find(|line| line.starts_with("restore,")).expect("the row");
        assert!(row.contains(from), "{from} is not in {row}");
        let changed = row.replacen(from, to, 1);
        text.replacen(row, &changed, 1)
    });
}

fn records(supplier: &Supplier) -> Vec<Record> {
    log::read(&supplier.file("state")).records
}

fn attested(records: &[Record]) -> Vec<&Attested> {
    let all = records.iter().filter_map(|record| match record {
        Record::Attested(attested) => Some(attested.as_ref()),
        _ => None,
    });
    all.collect()
}

/// The duties that are Unknown.
fn unknown(view: &StatusView) -> Vec<String> {
    let duties = view.subjects.iter().filter(|s| s.subject.check.as_str() == "duties");
    duties.filter(|s| s.status == Status::Unknown).map(|s| s.subject.to_string()).collect()
}

/// What was confirmed of each subject, and to which people.
fn confirmed(records: &[Record]) -> Vec<(Subject, String, Vec<String>)> {
    let mut all = Vec::new();
    for (subject, _, _, events) in records.iter().filter_map(Record::events) {
        for event in events.iter().filter(|event| event.change == Change::Confirmed) {
            let people = event.to.iter().filter_map(|to| to.destination.person());
            let people = people.map(String::from).collect();
            let now = event.finding.values["now"].as_str().expect("text").to_owned();
            all.push((subject.clone(), now, people));
        }
    }
    all
}

#[test]
fn a_changed_row_is_recorded_with_the_old_one_and_confirmed_to_who_answers_for_it() {
    let supplier = Supplier::copy();
    // Somebody else gets mail too, but not of this.
    supplier.edit("attestd.toml", |text| {
        let text = text.replace("to = [\"alex-owner\"", "to = [\"kim\", \"alex-owner\"");
        format!(
            "{text}\n[[person]]\nid = \"kim\"\nname = \"Kim\"\nemail = \"kim@example-health.uk\"\n"
        )
    });
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    assert_eq!(confirmed(&records(&supplier)), [], "the first listing changes nothing");
    let before = unknown(&daemon.status().expect("it answers"));
    // In one edit: the review is recorded, and a cell of another row is broken.
    supplier.edit("register.csv", |text| {
        let text = text.replace("15/06/2026,alex-owner", "31/02/2026,alex-owner");
        let row =
            text.lines().find(|line| line.starts_with("restore,")).expect("the row").to_owned();
        text.replace(&row, &row.replace("30/10/2025", "20/11/2026"))
    });
    wait::until(LONG, "the broken row is troubled", || {
        let view = daemon.status()?;
        let row = view.subjects.iter().find(|s| s.subject.to_string() == "duties/training")?;
        let told = row.unseen.clone()?;
        (told.contains("last_done") && told.contains("31/02/2026")).then_some(())
    });
    let view = daemon.until(LONG, "the row is judged anew", |view| {
        let row = view.subjects.iter().find(|s| s.subject.to_string() == ROW)?;
        (row.status == Status::Pass).then(|| view.clone())
    });
    let now = unknown(&view);
    let new: Vec<&String> = now.iter().filter(|name| !before.contains(*name)).collect();
    assert_eq!(new, ["duties/training"], "no other row is troubled");

    let history = program::run(supplier.path(), &["history", ROW]);
    for part in
        ["done on 2026-11-20", "said by sam-deputy", "last_done=2025-10-30", "last_done=2026-11-20"]
    {
        assert!(history.out.contains(part), "{part} is not in {}", history.out);
    }
    // Reverted, over a reload: that is another change, and what was said does not outlive the row.
    redate(&supplier, "20/11/2026", "30/10/2025");
    daemon.signal(Signal::SIGHUP);
    daemon.until(LONG, "the row is overdue again", |view| {
        let row = view.subjects.iter().find(|s| s.subject.to_string() == ROW)?;
        (row.status == Status::Fail).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let records = records(&supplier);
    let told = confirmed(&records);
    let people = ["sam-deputy", "alex-owner"].map(str::to_owned);
    let said: Vec<&str> = told.iter().map(|(_, said, _)| said.as_str()).collect();
    let link = "by sam-deputy, shown by https://wiki.example-health.uk/isms/restore";
    assert_eq!(said, [format!("done on 2026-11-20 {link}"), format!("done on 2025-10-30 {link}")]);
    for (subject, _, to) in &told {
        assert_eq!(subject.to_string(), ROW);
        assert!(to.len() == 2 && people.iter().all(|one| to.contains(one)), "{to:?}");
    }
    let attested = attested(&records);
    assert_eq!(attested.len(), 2);
    assert!(attested.iter().all(|one| one.said.row && one.user.is_none() && one.rows.is_some()));

    let pack = program::run(supplier.path(), &["evidence", "export", "--redact", "pack"]);
    assert_eq!(pack.code, Some(0), "{pack:?}");
    let lines = std::fs::read_to_string(supplier.file("pack/records.jsonl")).expect("records");
    assert!(!lines.contains("wiki.example") && !lines.contains("sam-deputy"), "no row in a leaf");
}

#[test]
fn a_change_is_confirmed_once_whenever_the_daemon_is_killed() {
    let supplier = Supplier::copy();
    let day = |n: i64| Date::constant(2026, 1, 1).saturating_add(jiff::Span::new().days(n));
    let british = |day: Date| day.strftime("%d/%m/%Y").to_string();
    redate(&supplier, "30/10/2025", &british(day(0)));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    for n in 1..=KILLS {
        redate(&supplier, &british(day(n - 1)), &british(day(n)));
        let begun =
            |record: &Record| matches!(record, Record::Attested(one) if one.said.on == day(n));
        let known = |subject: &Subject| subject.to_string() == ROW;
        // At once, when it is recorded, and when it is judged anew.
        if n % 3 > 0 {
            wait::until(LONG, "the change is recorded", || {
                let records = records(&supplier);
                let at = records.iter().position(begun)?;
                let judged = |r: &Record| matches!(r, Record::Run(run) if known(&run.subject));
                (n % 3 == 1 || records[at..].iter().any(judged)).then_some(())
            });
        }
        daemon.kill();
        daemon = Daemon::start(supplier.path(), |_| {});
        wait::until(LONG, "it is confirmed", || {
            let told = confirmed(&records(&supplier));
            told.iter().any(|(_, said, _)| said.contains(&day(n).to_string())).then_some(())
        });
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let records = records(&supplier);
    let (all, told) = (attested(&records), confirmed(&records));
    let days: Vec<Date> = all.iter().map(|one| one.said.on).collect();
    assert_eq!(days, (1..=KILLS).map(day).collect::<Vec<_>>(), "each is recorded once");
    assert_eq!(told.len(), all.len(), "and confirmed once");
    println!("{} changes of a row, each with a SIGKILL: recorded and confirmed once", told.len());
}

#[test]
fn a_version_that_is_seen_to_change_is_a_release_that_calls_for_its_duties() {
    let runtime = servers::runtime();
    let version = Arc::new(Mutex::new("4.2"));
    let now = version.clone();
    let each = move |mut stream: TcpStream| {
        let body = format!("{{\"version\": \"{}\"}}", now.lock().expect("whole"));
        async move {
            let _ = stream.read(&mut [0; 4096]).await; // whatever is asked
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await; // who asked may be gone
        }
    };
    let address = runtime.block_on(servers::raw(each));
    let supplier = Supplier::copy();
    // After the first sale, and longer ago than what counts for a release of today.
    let day = (wait::now() - jiff::SignedDuration::from_hours(24 * 200)).strftime("%d/%m/%Y");
    supplier.edit("register.csv", |_| {
        format!(
            "id,kind,service,owner,last_done,by,evidence,state,first_sale,version_url\n\
             portal,service,,alex-owner,,,,live,01/03/2024,http://{address}/about#/version\n\
             safety-portal,dcb0129,portal,alex-owner,{day},alex-owner,https://wiki.example/s,,,\n"
        )
    });
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let status = |view: &StatusView| {
        let row = |name| view.subjects.iter().find(|s| s.subject.to_string() == name);
        row("duties/portal")?.seen_at?;
        row("duties/safety-portal")?.seen_at.and(Some(row("duties/safety-portal")?.status))
    };
    let first = daemon.until(LONG, "the safety case stands", status);
    assert_eq!(first, Status::Pass, "the first version that is read is no release");
    *version.lock().expect("whole") = "4.3";
    for _ in 0..2 {
        let said = program::run(supplier.path(), &["check", "duties/portal"]);
        assert!(said.err.is_empty(), "{said:?}");
    }
    let late = daemon.until(LONG, "it is called for", |view| {
        let row = view.subjects.iter().find(|s| s.subject.to_string() == "duties/safety-portal")?;
        (row.status == Status::Warn).then(|| row.findings[0].message.clone())
    });
    assert!(late.contains("the release 4.3 of portal on "), "{late}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let records = records(&supplier);
    let all = attested(&records);
    let releases: Vec<_> =
        all.iter().map(|one| (one.said.what, one.said.version.clone())).collect();
    assert_eq!(releases, [(What::Release, Some("4.3".to_owned()))], "once");
}
