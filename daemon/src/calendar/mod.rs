//! The calendar of what is due, as others read it: a feed of all of it, and a message to an owner about one entry.

pub mod ics;
pub mod publish;

use std::sync::Arc;

use attestd_core::Timestamp;
use attestd_core::calendar::{self, Entry};
use attestd_core::check::About;
use attestd_core::ending;
use attestd_core::event::{AlertEvent, Delivery};
use attestd_core::record::Record;
use attestd_core::state::State;
use attestd_core::store::Store;
use attestd_core::text::plain;
use serde_json::Value;

use ics::{Event, Standing};

/// Reads the record at an index, where it is there.
pub type Records<'a> = &'a dyn Fn(u64) -> Option<Record>;

/// Makes the feed as it is now; reads records, and so may wait for the disk.
pub type Feed = Arc<dyn Fn() -> String + Send + Sync>;

/// The whole feed of a state.
pub fn feed(state: &State, organisation: &str, records: Records<'_>) -> String {
    shown(organisation, &calendar::entries(state), records)
}

/// The whole feed of what a store holds now.
pub fn feed_of(store: &dyn Store, organisation: &str) -> String {
    let mut entries = Vec::new();
    store.read(&mut |state| entries = calendar::entries(state));
    shown(organisation, &entries, &|index| store.record(index).ok())
}

/// These entries as a feed, the next first.
fn shown(organisation: &str, entries: &[Entry], records: Records<'_>) -> String {
    let mut all: Vec<Event> = entries.iter().map(|entry| event(entry, records)).collect();
    all.sort_by(|a, b| (a.day, &a.uid).cmp(&(b.day, &b.uid)));
    ics::feed(&format!("attestd: {organisation}"), &all)
}

/// What the run that an entry is of says of it in words.
pub fn about(entry: &Entry, records: Records<'_>) -> Option<About> {
    match records(entry.run?)? {
        Record::Run(run) => run.judgement?.about.map(|about| *about),
        _ => None,
    }
}

fn event(entry: &Entry, records: Records<'_>) -> Event {
    let About { action, lapse, link, .. } = about(entry, records).unwrap_or_default();
    let mut description = description(action.as_deref(), lapse.as_deref(), link.as_deref());
    description.push(due(entry.due));
    if entry.unseen {
        description
            .push("It was not seen when last looked at; the date is an earlier look's.".into());
    }
    description.push(format!("From attestd, of {}", entry.subject));
    Event {
        uid: uid(&entry.id),
        sequence: entry.sequence,
        stamp: entry.at,
        day: entry.day(),
        summary: entry.summary(),
        description,
        link,
        standing: if entry.unseen { Standing::Tentative } else { Standing::Confirmed },
    }
}

/// An entry as an alert event: what it says in words are values, from which the mail is made.
pub fn told(mut event: AlertEvent, about: Option<About>) -> AlertEvent {
    let About { action, lapse, link, .. } = about.unwrap_or_default();
    for (name, text) in [(DO, action), (LAPSE, lapse), (LINK, link)] {
        if let Some(text) = text {
            event.finding.values.insert(name.to_owned(), text.into());
        }
    }
    event
}

/// The entry that an alert event on its way is, where it is one. Its end counts as a change.
pub fn on_its_way(delivery: &Delivery) -> Option<Event> {
    let event = &delivery.event;
    let sequence = calendar::moved(&event.finding)?;
    let text = |name| event.finding.values.get(name).and_then(Value::as_str);
    let over = event.change.closes();
    // An event of a release before this one has no instant.
    let ends = text(calendar::ENDS).and_then(|ends| ends.parse().ok());
    let mut description = match over {
        false => {
            let mut lines = description(text(DO), text(LAPSE), text(LINK));
            lines.extend(ends.map(due));
            lines
        }
        true => vec!["Nothing is due here any more, or it is somebody else's.".to_owned()],
    };
    description.push(format!("From attestd, of {}", delivery.subject));
    Some(Event {
        uid: uid(&delivery.alert_id),
        sequence: sequence.saturating_add(u32::from(over)),
        stamp: delivery.at,
        day: text("due")?.parse().ok()?,
        summary: plain(text("title")?, SUMMARY_MAX),
        description,
        link: text(LINK).map(str::to_owned),
        standing: if over { Standing::Cancelled } else { Standing::Confirmed },
    })
}

/// Up to when it is good.
fn due(ends: Timestamp) -> String {
    format!("Due: by {}", ending::until(ends))
}

fn description(action: Option<&str>, lapse: Option<&str>, link: Option<&str>) -> Vec<String> {
    let lines = [("To do", action), ("If it lapses", lapse), ("More", link)];
    lines.into_iter().filter_map(|(name, text)| Some(format!("{name}: {}", text?))).collect()
}

fn uid(id: &str) -> String {
    format!("{id}@attestd")
}

/// Characters of what an entry is called.
const SUMMARY_MAX: usize = 200;
const DO: &str = "do";
const LAPSE: &str = "lapse";
const LINK: &str = "link";
