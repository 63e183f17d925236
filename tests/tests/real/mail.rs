//! Mail through a relay that wants STARTTLS and a password.

use std::path::Path;
use std::process::Command;

use attestd_core::Status;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::attestd::{Daemon, page, sample};
use crate::harness::pki::{authority, make};
use crate::harness::program::Program;
use crate::harness::{SOON, files, http, ports, until};

/// A supplier with one expired certificate, three people, and a relay that is to listen at `relay`.
struct Desk {
    directory: TempDir,
    relay: u16,
    metrics: u16,
}

#[tokio::test]
async fn a_critical_alert_reaches_each_person_and_blocks_only_where_it_is_refused() {
    let desk = Desk::new("credential = \"mail-password\"");
    let home = desk.directory.path();
    let credentials = home.join("credentials");
    std::fs::create_dir(&credentials).expect("a directory");
    std::fs::write(credentials.join("mail-password"), "a long secret\n").expect("written");
    let credentials = credentials.to_str().expect("UTF-8");
    let _relay = desk.relay().await;
    let daemon =
        Daemon::start_with(&desk.config(), &[("CREDENTIALS_DIRECTORY", credentials)]).await;

    let mails = until("two mails", SOON, || {
        let mails = desk.mails();
        if mails.len() == 2 { Ok(mails) } else { Err(format!("{mails:?}")) }
    })
    .await;
    for name in ["mail:alex-owner", "mail:sam-deputy"] {
        daemon.emptied(name, SOON).await;
    }
    let mut recipients: Vec<&str> = mails.iter().filter_map(|m| m["to"][0].as_str()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["alex@example-health.uk", "sam@example-health.uk"]);
    for mail in &mails {
        let header = |name: &str| mail["headers"][name].as_str().unwrap_or_default();
        assert_eq!(header("From"), "attestd@example-health.uk");
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert_eq!(header("To"), mail["to"][0]);
        let subject = header("Subject");
        let begin = "[attestd] Critical: leaf expired on 2026-01-01 00:00 UTC, ";
        assert!(
            subject.starts_with(begin) && subject.ends_with(" (portal/portal.pem)"),
            "{subject}"
        );
        let body = mail["body"].as_str().expect("a text");
        for line in [
            "Critical: leaf expired on 2026-01-01 00:00 UTC, ",
            "   What:      portal/portal.pem (certificate), leaf",
            "   Due:       2026-01-01 00:00 UTC",
            "   To do:     Renew the certificate",
            "   Rule:      RFC 5280 4.1.2.5",
            "   More:      attestd explain portal",
        ] {
            assert!(body.lines().any(|l| l.starts_with(line)), "{line:?} is not in {body}");
        }
        let page = mail["page"].as_str().expect("a page");
        for part in
            ["<b style", ">Critical</b>", "leaf expired on 2026-01-01", "attestd explain portal"]
        {
            assert!(page.contains(part), "{part:?} is not in {page}");
        }
        assert_eq!(mail["to"].as_array().map(Vec::len), Some(1), "nobody sees who else is told");
        assert_eq!((&mail["encrypted"], &mail["user"]), (&true.into(), &"attestd".into()));
    }

    // 550 for one: it waits, and is shown as blocked; 451 for another: it waits.
    let refused = until("one is blocked", SOON, || {
        let page = http::get(desk.metrics, "/metrics")?;
        let blocked = |name: &str| {
            sample(
                &page,
                &format!("attestd_destination_blocked{{attestd_destination=\"mail:{name}\"}}"),
            )
        };
        let seen = ["alex-owner", "sam-deputy", "gone-owner", "later-owner"].map(blocked);
        let expected = [0.0, 0.0, 1.0, 0.0].map(Some);
        if seen == expected { Ok(seen) } else { Err(format!("{seen:?} in {page}")) }
    })
    .await;
    assert_eq!(daemon.waiting("mail:gone-owner").await, 1);
    assert_eq!(daemon.waiting("mail:later-owner").await, 1);
    assert!(daemon.output().contains("no such mailbox"), "the log says why: {}", daemon.output());
    assert!(!daemon.output().contains("a long secret"), "the password is nowhere");
    let status = daemon.status().await;
    assert!(status.subjects.iter().any(|view| view.status == Status::Fail));
    assert_eq!(desk.mails().len(), 2, "nothing was sent twice");
    println!("{} mails, {} of {} people blocked", mails.len(), 1, refused.len());
    daemon.stop().await;
}

#[tokio::test]
async fn a_relay_that_refuses_our_password_gets_no_mail_and_nothing_is_lost() {
    let desk = Desk::new("password_file = \"password\"");
    std::fs::write(desk.directory.path().join("password"), "a wrong secret\n").expect("written");
    let _relay = desk.relay().await;
    let mut daemon = Daemon::start(&desk.config()).await;
    daemon_says(&daemon, "Delivery refused").await;
    assert_eq!(daemon.waiting("mail:alex-owner").await, 1);
    assert!(desk.mails().is_empty());
    // Put right, a reload is enough.
    std::fs::write(desk.directory.path().join("password"), "a long secret\n").expect("written");
    daemon.reload().await;
    daemon.emptied("mail:alex-owner", SOON).await;
    let page = page(desk.metrics).await;
    assert!(page.contains("attestd_destination_last_accepted_time_seconds"), "{page}");
    daemon.stop().await;
}

async fn daemon_says(daemon: &Daemon, text: &str) {
    until(&format!("the daemon says {text:?}"), SOON, || {
        let output = daemon.output();
        if output.contains(text) { Ok(()) } else { Err(output) }
    })
    .await;
}

impl Desk {
    fn new(password: &str) -> Desk {
        let directory = tempfile::tempdir().expect("a directory");
        let (relay, metrics) = (ports::free(), ports::free());
        let home = directory.path();
        let ca = authority("Mail Root", None);
        ca.write(home, "ca", &[]);
        make(Some(&ca), |_| {}).write(home, "relay", &[]);
        let expired = make(None, |p| p.not_after = rcgen::date_time_ymd(2026, 1, 1));
        std::fs::write(home.join("portal.pem"), &expired.pem).expect("written");
        let people = ["alex-owner", "sam-deputy", "gone-owner", "later-owner"].map(|id| {
            let name = id.split('-').next().expect("a word");
            format!("[[person]]\nid = \"{id}\"\nname = \"{name}\"\nemail = \"{name}@example-health.uk\"\n")
        });
        let text = format!(
            "{}\n[[check]]\nid = \"portal\"\nkind = \"certificate\"\nfiles = [\"portal.pem\"]\n\
             [mail]\nrelay = \"localhost\"\nport = {relay}\nca = \"ca.pem\"\nuser = \"attestd\"\n{password}\n\
             from = \"attestd@example-health.uk\"\n\
             to = [\"alex-owner\", \"sam-deputy\", \"gone-owner\", \"later-owner\"]\n\
             [metrics]\nlisten = \"127.0.0.1:{metrics}\"\n",
            people.concat()
        );
        std::fs::write(home.join("attestd.toml"), text).expect("written");
        Desk { directory, relay, metrics }
    }

    fn config(&self) -> std::path::PathBuf {
        self.directory.path().join("attestd.toml")
    }

    async fn relay(&self) -> Program {
        let home: &Path = self.directory.path();
        let mut command = Command::new("python");
        command.arg(files::program("relay.py")).arg(self.relay.to_string());
        command.args(["relay.pem", "relay.key", "mails"].map(|name| home.join(name)));
        Program::start("relay", &mut command, home).listening(self.relay).await
    }

    fn mails(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.directory.path().join("mails")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}
