//! The calendar: of each subject the day on which what it is about is due, and how often that has moved (RFC 5545
//! SEQUENCE). A fold of the log, so that no restart, rebuild or restore counts anything twice.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::act::OWN_CHECK;
use crate::ending::last_day;
use crate::event::{Addressed, AlertEvent, Change, Route, alert_id};
use crate::finding::{Finding, FindingCode, FindingKey, FindingSpec, Means, Severity};
use crate::name::{Component, DestinationName, PersonId, Subject};
use crate::obligation::end_of;
use crate::outbox::Waiting;
use crate::record::Run;
use crate::state::State;

/// The row of an entry in the catalogue: what a mailbox that takes the calendar is told of, as an event like any other.
pub const ENTRY: FindingSpec = FindingSpec {
    code: "calendar_entry",
    means: Means::Note,
    severity: Severity::Notice,
    message: "{title} is due by {due}",
    remedy: "{do}",
    reference: "attestd: the calendar of what is due",
};

/// The dates of all subjects that have, or had, one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar(pub BTreeMap<Subject, Dated>);

/// A subject's date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// When it ends; none once nothing is due any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// How often any of this has changed.
    pub sequence: u32,
    /// When it last did.
    pub at: Timestamp,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PersonId>,
    /// What is due; empty where the kind has no words for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

/// Something in the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id: the same for ever, but for another log, which counts anew and must not be taken for this one.
    pub id: String,
    /// What it is about.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Which part of it.
    pub component: Option<Component>,
    /// Its date; there always is one.
    pub due: Timestamp,
    /// How often it has changed.
    pub sequence: u32,
    /// When it last did.
    pub at: Timestamp,
    /// Whose it is.
    pub owner: Option<PersonId>,
    /// What is due; empty where the kind has no words for it.
    pub title: String,
    /// It was not seen when last looked at: the date is an earlier look's.
    pub unseen: bool,
    /// The run that says more of it.
    pub run: Option<u64>,
}

impl Calendar {
    /// A run saw a date, or that there is none; says whether that changes the entry. Where nothing was seen it stays;
    /// where the target was not all seen a date only comes nearer, or what was not looked at would put it off.
    pub fn run(&mut self, run: &Run) -> bool {
        let Some(judged) = &run.judgement else { return false };
        let partly = judged.unseen.iter().any(|unseen| unseen.component.is_none());
        let before = self.0.get(&run.subject).filter(|known| partly && known.due.is_some());
        let due = before.and_then(|before| before.due).into_iter().chain(judged.due).min();
        let owner = judged.answers.first().or_else(|| before?.owner.as_ref()).cloned();
        let title = judged.about.as_ref().map(|about| &about.title);
        let title = title.or_else(|| Some(&before?.title)).cloned().unwrap_or_default();
        self.set(&run.subject, run.at, due, owner, title)
    }

    /// A subject left; says whether it had a date.
    pub fn left(&mut self, subject: &Subject, at: Timestamp) -> bool {
        self.set(subject, at, None, None, String::new())
    }

    fn set(
        &mut self,
        subject: &Subject,
        at: Timestamp,
        due: Option<Timestamp>,
        owner: Option<PersonId>,
        title: String,
    ) -> bool {
        let known = self.0.get(subject);
        let same = |known: &Dated| {
            known.due == due && (due.is_none() || (known.owner == owner && known.title == title))
        };
        if known.map_or(due.is_none(), same) {
            return false;
        }
        let sequence = known.map_or(0, |known| known.sequence.saturating_add(1));
        self.0.insert(subject.clone(), Dated { due, sequence, at, owner, title });
        true
    }

    /// A number that rises with each change.
    pub fn moves(&self) -> u64 {
        self.0.values().map(|dated| u64::from(dated.sequence) + 1).sum()
    }
}

/// All that is in the calendar, by subject: what is due, and the reviews of accepted risks.
pub fn entries(state: &State) -> Vec<Entry> {
    let dated = state.calendar.0.iter().filter_map(|(subject, dated)| {
        let (due, of) = (dated.due?, state.subjects.get(subject));
        Some(Entry {
            id: id(state, subject, None),
            subject: subject.clone(),
            kind: of.map(|of| of.kind.clone()).unwrap_or_default(),
            component: None,
            due,
            sequence: dated.sequence,
            at: dated.at,
            owner: dated.owner.clone(),
            title: dated.title.clone(),
            unseen: of.and_then(|of| of.last.as_ref()).is_some_and(|last| last.unseen.is_some()),
            run: of.and_then(|of| of.seen.as_ref()).map(|seen| seen.of),
        })
    });
    let risks = state.silences.iter().filter_map(|(number, silence)| {
        let review = silence.accepted.as_ref()?.review;
        let lasts = state.trusted_at.is_none_or(|now| silence.lasts(now));
        let subject: Subject = format!("{OWN_CHECK}/daemon").parse().expect("a plain subject");
        let name = format!("accepted risk {number}");
        let component: Component = name.parse().expect("plain words");
        Some(Entry {
            id: id(state, &subject, Some(&component)),
            subject,
            kind: OWN_CHECK.to_owned(),
            component: Some(component),
            due: end_of(review).filter(|_| lasts)?,
            sequence: 0,
            at: silence.since,
            owner: Some(silence.by.clone()),
            title: "review".to_owned(),
            unseen: false,
            run: None,
        })
    });
    dated.chain(risks).collect()
}

impl Entry {
    /// The day on which it stands: its last good one.
    pub fn day(&self) -> Date {
        last_day(self.due)
    }

    /// What it is called.
    pub fn summary(&self) -> String {
        let about = self.component.as_ref().map(ToString::to_string);
        let target = || self.subject.target.as_ref().map_or("", |target| target.as_str());
        let about = about.unwrap_or_else(|| target().to_owned());
        match self.title.as_str() {
            "" => format!("{} ends ({about})", self.kind),
            title => format!("{title} ({about})"),
        }
    }

    /// What its owner is told of it.
    pub fn event(&self, to: Addressed) -> AlertEvent {
        let mut finding = ENTRY.finding().with("title", self.summary());
        finding.key.component.clone_from(&self.component);
        let finding = finding
            .with("due", self.day().to_string())
            .with(ENDS, self.due.to_string())
            .with(SEQUENCE, self.sequence)
            .with("do", "see `attestd status`");
        let event = AlertEvent::new(Change::Restated, finding, Severity::Notice, SINCE);
        AlertEvent { to: vec![to], ..event }
    }
}

/// How often an entry has moved, where a finding is one.
pub fn moved(finding: &Finding) -> Option<u32> {
    let moved = finding.values.get(SEQUENCE).filter(|_| finding.key.code.0 == ENTRY.code)?;
    moved.as_u64().and_then(|moved| moved.try_into().ok())
}

/// Whether a mailbox keeps the entry: it takes the calendar, and its person answers for it.
pub fn keeps(route: &Route, entry: &Entry) -> bool {
    route.calendar && entry.owner.is_some() && entry.owner == route.destination.person()
}

/// Which entries a mailbox is to be told of: those it knows that have moved, and of those that it does not know the
/// nearest, where they are near.
pub(crate) fn untold<'e>(
    entries: &'e [Entry],
    route: &Route,
    known: &BTreeMap<&str, &Waiting>,
    now: Timestamp,
) -> Vec<&'e Entry> {
    let told = |entry: &Entry| known.get(entry.id.as_str()).filter(|told| !told.level.over);
    let own = entries.iter().filter(|entry| keeps(route, entry));
    let (there, new): (Vec<&Entry>, Vec<&Entry>) = own.partition(|entry| told(entry).is_some());
    let horizon = now.checked_add(NEAR).unwrap_or(Timestamp::MAX);
    let mut new: Vec<&Entry> =
        new.into_iter().filter(|entry| now < entry.due && entry.due <= horizon).collect();
    new.sort_by_key(|entry| entry.due);
    new.truncate(ENTRIES_MAX.saturating_sub(there.len()));
    let has_moved =
        |entry: &&Entry| told(entry).is_some_and(|told| told.level.moved != Some(entry.sequence));
    there.into_iter().filter(has_moved).chain(new).collect()
}

/// How many entries each mailbox is told of for the first time from the log's newest time until then, if no date moves.
pub fn coming(state: &State, until: Timestamp) -> BTreeMap<DestinationName, usize> {
    let (entries, horizon) = (entries(state), until.checked_add(NEAR).unwrap_or(Timestamp::MAX));
    let now = state.trusted_at.unwrap_or_default();
    let none = BTreeMap::new();
    let of = |route: &Route| {
        let known = state.outbox.0.get(&route.destination).map(|queue| queue.known());
        let known = known.as_ref().unwrap_or(&none);
        let is_new = |entry: &&Entry| {
            let told = known.get(entry.id.as_str()).is_some_and(|told| !told.level.over);
            keeps(route, entry) && !told && now < entry.due && entry.due <= horizon
        };
        (route.destination.clone(), entries.iter().filter(is_new).count())
    };
    state.routes.iter().filter(|route| route.calendar).map(of).collect()
}

fn id(state: &State, subject: &Subject, component: Option<&Component>) -> String {
    let code = FindingCode(ENTRY.code.to_owned());
    let key = FindingKey { code, component: component.cloned() };
    alert_id(state.store(), subject, &key, SINCE)
}

/// The value of an entry's event that holds the instant at which it ends.
pub const ENDS: &str = "ends";
/// The value of an entry's event that counts its moves.
pub const SEQUENCE: &str = "sequence";
/// An entry has no beginning: it is the same one whenever its date moves.
const SINCE: Timestamp = Timestamp::UNIX_EPOCH;
/// What is due within this is mailed; what is later is once it is near. So the first start mails what is near and not the
/// whole year, and most duties are first told of well before the last of their lead times.
pub const NEAR: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Entries that one mailbox knows at once: more is a project's plan, for which the feed is the place.
pub const ENTRIES_MAX: usize = 50;
