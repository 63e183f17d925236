//! The calendar by mail (iMIP), through a relay, read by another's library: an entry moves, changes hands, and goes.

use std::path::Path;
use std::process::Command;

use attestd_core::Date;
use attestd_core::obligation::today;
use jiff::Span;
use serde_json::{Value, json};

use crate::harness::attestd::Daemon;
use crate::harness::pki::{authority, make};
use crate::harness::program::Program;
use crate::harness::{SOON, files, ports, until};

/// Writes the register: a certificate of somebody's that expires on a day, and one that is far away.
fn register(home: &Path, now: Date, first: Option<(&str, Date)>) {
    let day = |days: i64| now.saturating_add(Span::new().days(days));
    let row = |id: &str, owner: &str, expires: Date| {
        let done = day(-10);
        format!("{id},cyber_essentials,{owner},{done},{expires},ref,3.3 Danzell,organisation\n")
    };
    let mut text = "id,kind,owner,last_done,expires,reference,version,scope\n".to_owned();
    text.push_str(&row("ce-group", "alex-owner", day(300)));
    text.extend(first.map(|(owner, expires)| row("ce-2026", owner, expires)));
    std::fs::write(home.join("new.csv"), text).expect("written");
    std::fs::rename(home.join("new.csv"), home.join("register.csv")).expect("renamed");
}

/// What of an entry a person's program acts on, in words.
fn word(mail: &Value) -> String {
    let entry = &mail["calendar"][0];
    assert_eq!(mail["calendar"].as_array().map(Vec::len), Some(1), "one entry a mail: {mail}");
    assert_eq!(entry["wrong"], json!([]), "as RFC 5545 has it: {mail}");
    assert_eq!(entry["sent as"], entry["method"], "as RFC 6047 has it: {mail}");
    assert_eq!(entry["rsvp"], "FALSE");
    assert_eq!(entry["organizer"], "mailto:attestd@example-health.uk");
    let to = mail["to"][0].as_str().expect("a recipient");
    assert_eq!(entry["attendee"], format!("mailto:{to}"));
    let text = |name: &str| entry[name].as_str().expect("text").to_owned();
    format!("{} {} {} {}", text("method"), entry["sequence"], text("day"), to)
}

#[tokio::test]
async fn an_entry_moves_changes_hands_and_goes_in_the_mailboxes_of_its_owners() {
    let directory = tempfile::tempdir().expect("a directory");
    let (home, port) = (directory.path(), ports::free());
    let ca = authority("Mail Root", None);
    ca.write(home, "ca", &[]);
    make(Some(&ca), |_| {}).write(home, "relay", &[]);
    let people = ["alex-owner", "sam-deputy"].map(|id| {
        let name = id.split('-').next().expect("a word");
        format!(
            "[[person]]\nid = \"{id}\"\nname = \"{name}\"\nemail = \"{name}@example-health.uk\"\n"
        )
    });
    let config = format!(
        "{}\n[[check]]\nid = \"held\"\nkind = \"cyber_essentials\"\nregister = \"register.csv\"\n\
         claims = [\"organisation\"]\n\
         [mail]\nrelay = \"localhost\"\nport = {port}\nca = \"ca.pem\"\nuser = \"attestd\"\n\
         password_file = \"password\"\nfrom = \"attestd@example-health.uk\"\n\
         to = [\"alex-owner\", \"sam-deputy\"]\ncalendar = true\n",
        people.concat()
    );
    std::fs::write(home.join("attestd.toml"), config).expect("written");
    std::fs::write(home.join("password"), "a long secret\n").expect("written");
    let now = today(attestd_tests::wait::now());
    let day = |days: i64| now.saturating_add(Span::new().days(days));
    register(home, now, Some(("alex-owner", day(60))));

    let mut command = Command::new("python");
    command.arg(files::program("relay.py")).arg(port.to_string());
    command.args(["relay.pem", "relay.key", "mails"].map(|name| home.join(name)));
    let _relay = Program::start("relay", &mut command, home).listening(port).await;
    let daemon = Daemon::start(&home.join("attestd.toml")).await;
    let entries = || -> Vec<Value> {
        let text = std::fs::read_to_string(home.join("mails")).unwrap_or_default();
        let mails = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        mails.filter(|mail| mail["calendar"] != json!([])).collect()
    };
    let (alex, sam) = ("alex@example-health.uk", "sam@example-health.uk");
    let mut expected = Vec::new();
    for (row, told) in [
        (Some(("alex-owner", day(60))), vec![format!("REQUEST 0 {} {alex}", day(60))]),
        (Some(("alex-owner", day(75))), vec![format!("REQUEST 1 {} {alex}", day(75))]),
        (
            Some(("sam-deputy", day(75))),
            vec![format!("CANCEL 2 {} {alex}", day(75)), format!("REQUEST 2 {} {sam}", day(75))],
        ),
        (None, vec![format!("CANCEL 3 {} {sam}", day(75))]),
    ] {
        register(home, now, row);
        expected.extend(told);
        let mails = until(&format!("{} mails", expected.len()), SOON, || {
            let mails = entries();
            if mails.len() >= expected.len() { Ok(mails) } else { Err(format!("{mails:?}")) }
        })
        .await;
        let mut told: Vec<String> = mails.iter().map(word).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "{row:?}");
    }
    let mails = entries();
    let uid = &mails[0]["calendar"][0]["uid"];
    assert!(mails.iter().all(|mail| mail["calendar"][0]["uid"] == *uid), "one entry: {mails:?}");
    let body = mails[0]["body"].as_str().expect("a text");
    assert!(body.contains("Cyber Essentials (ce-2026)"), "it says in words what moves: {body}");
    println!("{} mails about one entry, each read by icalendar", mails.len());
    daemon.stop().await;
}
