//! What a person says over the control socket: held against the calendar and the people there are, before it is recorded.

use std::collections::BTreeSet;

use attestd_core::check::Blob;
use attestd_core::obligation::today;
use attestd_core::statement::{Said, What};
use attestd_core::time::Trust;
use attestd_core::{Date, PersonId};
use tokio::sync::oneshot;

use super::Answer;
use super::server::Server;
use crate::limits;
use crate::monitor::Message;

/// What somebody says.
pub(super) struct Saying {
    pub of: String,
    pub said: Said,
    pub note: Option<String>,
    pub document: Option<Vec<u8>>,
    pub user: u32,
}

/// Why a document is not taken.
pub(super) fn too_large() -> String {
    let most = limits::DOCUMENT_MAX / 1024 / 1024;
    format!("the document is over {most} MiB; name a link to it instead")
}

/// Records it and answers how what it was said of stands.
pub(super) async fn say(server: &Server, saying: Saying) -> Answer {
    let Saying { of, mut said, note, document, user } = saying;
    said.row = false; // what a row says is read in the register
    let document = document.map(Blob::new);
    said.document = document.as_ref().map(|blob| blob.sha256.clone());
    let mut wrong = wrong(&said, today(server.shared.clock.now()), &server.people.borrow());
    if note.as_ref().is_some_and(|note| note.len() > TEXT_MAX) {
        wrong.push(format!("the note is over {TEXT_MAX} bytes"));
    }
    if server.checkpoints.is_none() {
        wrong.push("the log cannot be written, so nothing can be recorded".to_owned());
    }
    if server.shared.trust() != Trust::Trusted {
        wrong
            .push("the wall clock cannot be believed, so no day can be held against it".to_owned());
    }
    if !wrong.is_empty() {
        return Answer::Refused(wrong.join("; "));
    }
    let (reply, done) = oneshot::channel();
    let message = Message::Say { of, said: Box::new(said), note, document, user, reply };
    if server.monitor.send(message).await.is_err() {
        return Answer::Refused("the daemon is stopping".to_owned());
    }
    match done.await {
        Ok(Ok((record, subject))) => {
            Answer::Said { record, checked: server.checked(std::slice::from_ref(&subject)) }
        }
        Ok(Err(why)) => Answer::Refused(why),
        Err(_) => Answer::Refused("the daemon is stopping".to_owned()),
    }
}

/// Everything that is wrong with it, at once.
fn wrong(said: &Said, today: Date, people: &BTreeSet<PersonId>) -> Vec<String> {
    let mut wrong = Vec::new();
    if said.on > today {
        wrong.push(format!("{} is in the future: today is {today}", said.on));
    }
    if said.on < FIRST {
        wrong.push(format!("{} is before {FIRST}, which is a typing error", said.on));
    }
    if said.what == What::TakenBack {
        wrong.push("only a row of a register takes back what it says itself".to_owned());
    }
    if said.what == What::Done && said.by.is_none() {
        wrong.push("it must be said by somebody".to_owned());
    }
    for person in said.by.iter().chain(&said.second).filter(|person| !people.contains(*person)) {
        let ids = people.iter().map(PersonId::as_str);
        let hint = attestd_core::settings::did_you_mean(person.as_str(), ids);
        wrong.push(format!("there is no [[person]] {person} in the configuration{hint}"));
    }
    if said.second.is_some() && said.second == said.by {
        wrong.push("the second person is the first; another one is needed".to_owned());
    }
    if let Some(expires) = said.expires.filter(|expires| *expires < said.on) {
        wrong.push(format!("it is good until {expires}, which is before {}", said.on));
    }
    if said.link.as_ref().is_some_and(|link| !link.starts_with("https://")) {
        wrong.push("a link begins with https://".to_owned());
    }
    let texts = [("the link", &said.link), ("the version", &said.version)];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            wrong.push(format!(
                "{name} is empty, over {TEXT_MAX} bytes, or holds control characters"
            ));
        }
    }
    wrong
}

/// Before this day nothing here was done, as in the register.
const FIRST: Date = Date::constant(2000, 1, 1);
/// A link, a version or a note, in bytes, as a cell of the register.
const TEXT_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let people: BTreeSet<PersonId> =
            ["ada", "bob"].iter().map(|id| id.parse().expect("an id")).collect();
        let good = Said {
            what: What::Done,
            on: Date::constant(2026, 11, 22),
            by: "ada".parse().ok(),
            second: "bob".parse().ok(),
            document: None,
            link: Some("https://e.example/x".to_owned()),
            expires: Some(Date::constant(2027, 11, 22)),
            version: None,
            row: false,
        };
        let today = Date::constant(2026, 11, 22);
        assert_eq!(wrong(&good, today, &people), Vec::<String>::new());
        let id = |text: &str| text.parse::<PersonId>().ok();
        let day = |day| Date::constant(2026, 11, day);
        for (said, parts) in [
            (Said { on: day(23), ..good.clone() }, &["in the future: today is 2026-11-22"][..]),
            (Said { on: Date::constant(1999, 1, 1), ..good.clone() }, &["typing error"]),
            (Said { by: None, ..good.clone() }, &["said by somebody"]),
            (Said { by: id("adb"), ..good.clone() }, &["no [[person]] adb", "mean `ada`?"]),
            (Said { second: id("ada"), ..good.clone() }, &["the second person is the first"]),
            (Said { expires: Some(day(1)), ..good.clone() }, &["good until 2026-11-01"]),
            (Said { link: Some("http://x".into()), ..good.clone() }, &["begins with https"]),
            (Said { version: Some("a\nb".into()), ..good.clone() }, &["the version"]),
            (
                Said { on: day(30), by: id("eve"), second: id("eve"), ..good.clone() },
                &["in the future", "no [[person]] eve", "the second person"],
            ),
        ] {
            let told = wrong(&said, today, &people).join("; ");
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        }
        let told = wrong(&Said { what: What::Release, by: None, ..good }, today, &people);
        assert_eq!(told, Vec::<String>::new(), "a machine may tell of a release");
    }
}
