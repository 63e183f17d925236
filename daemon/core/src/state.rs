//! The fold of the log: what every record together says is so now. The same for a commit, a rebuild and a reader.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::act::{Act, Silence, Taken};
use crate::alert::{Alerts, People};
use crate::calendar::Calendar;
use crate::check::Reason;
use crate::event::{AlertEvent, Delivery, Labels, Route, alert_id, event_id};
use crate::finding::FindingKey;
use crate::incident::{self, Incidents};
use crate::name::{CheckId, DestinationName, PersonId, Subject};
use crate::observation::{Standing, Status, Trigger};
use crate::outbox::{AlertId, Given, Level, Outbox, Waiting};
use crate::past::{STRETCH, Stretch};
use crate::record::{
    Acted, Arrived, Canary, Digested, Discarded, Pruned, Record, Run, Same, Stamped, Why,
};
use crate::statement::{Statement, Statements};
use crate::time::Trust;
use crate::time::{BEHIND_MAX, after};

/// What is so now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The log's origin; empty before its first record.
    pub origin: String,
    /// The origins it had before it was restored from a backup, oldest first.
    pub earlier: Vec<Earlier>,
    /// How many records are folded in: the next record's index.
    pub size: u64,
    /// The index of the newest `configured` record.
    pub config: u64,
    /// Who is told what.
    pub routes: Vec<Route>,
    /// The labels of the checks that have any.
    pub labels: BTreeMap<CheckId, Labels>,
    /// Every subject that has not been retired.
    pub subjects: BTreeMap<Subject, SubjectState>,
    /// How many history entries each retired subject has: should it come back, its ordinals go on from there.
    pub gone: BTreeMap<Subject, u64>,
    /// Silences and accepted risks by the record that began each; those included that are just over.
    pub silences: BTreeMap<u64, Silence>,
    /// Incidents.
    pub incidents: Incidents,
    /// What people said of subjects, those included that left and may come back.
    pub said: Statements,
    /// When what each subject is about is due, and how often that has moved; those included that left and may come back.
    pub calendar: Calendar,
    /// What waits to be told.
    pub outbox: Outbox,
    /// How far the Monday digests are.
    pub digests: Digests,
    /// How the test alerts of each destination of the configuration stand.
    pub canaries: BTreeMap<DestinationName, Canaries>,
    /// Whether the wall clock was believed when the newest record was written.
    pub clock_trusted: bool,
    /// The newest time that was believed: what the clock is held against after a restart (C5).
    pub trusted_at: Option<Timestamp>,
    /// The stretch of records that the newest one is in.
    pub stretch: Stretch,
    /// The newest removal of old records.
    pub pruned: Option<Pruned>,
    /// The newest time stamp.
    pub stamped: Option<Stamp>,
}

/// Where a time stamp stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The index of its record.
    pub record: u64,
    /// When it came, by our clock.
    pub at: Timestamp,
    /// When, by the authority's clock.
    pub time: Timestamp,
}

/// How far the Monday digests are: none is told twice, and none that was due since is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digests {
    /// When the newest was whole; before the first, since when there is somebody to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Timestamp>,
    /// The digest that each person had last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last: BTreeMap<PersonId, Digest>,
}

/// A digest that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// When.
    pub at: Timestamp,
    /// What it had that is more than due soon, each as a hash: the next that has another is news.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub troubles: BTreeSet<String>,
}

impl Digest {
    /// The value of its finding that holds `troubles`.
    pub const TROUBLES: &str = "troubles";

    /// What an event that was made at `at` says.
    pub fn of(event: &AlertEvent, at: Timestamp) -> Digest {
        let all = event.finding.values.get(Digest::TROUBLES).and_then(Value::as_array);
        let troubles = all.into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned()));
        Digest { at, troubles: troubles.collect() }
    }
}

/// How the test alerts of one destination stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Canaries {
    /// Since when the destination is configured.
    pub since: Timestamp,
    /// The record that sent the newest, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<(u64, Timestamp)>,
    /// Whether that one arrived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub arrived: bool,
    /// When the newest that arrived was confirmed to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Timestamp>,
}

/// An origin that ended when the log was restored from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The origin.
    pub origin: String,
    /// How many records stand before its end.
    pub size: u64,
}

/// What is so of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectState {
    /// Its kind.
    pub kind: String,
    /// The index of the record that named it first since it was last retired: how a leaf refers to it.
    pub number: u64,
    /// How many entries its history has: the next one's ordinal, without gaps.
    pub entries: u64,
    /// Its newest run; absent while only missed slots are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
    /// The index of the newest run that saw something, which later `same` records refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// Its next due slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Its alerts.
    #[serde(default)]
    pub alerts: Alerts,
    /// Who took which of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<(FindingKey, Taken)>,
    /// Slots recorded as missed since the log began.
    #[serde(default)]
    pub missed: u64,
}

/// A subject's newest run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    /// The index of the whole run that it is or refers to.
    pub of: u64,
    /// When it ended.
    pub at: Timestamp,
    /// Its status.
    pub status: Status,
    /// Why nothing was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Reason>,
    /// The last good reading that stands meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// From when on it is stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_at: Option<Timestamp>,
    /// When what it is about ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Who answers for it, as was last seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<PersonId>,
}

/// Where the newest evidence stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The index of the run whose record holds it.
    pub of: u64,
    /// When it was last seen so.
    pub at: Timestamp,
}

/// What a record changed, for whoever keeps a projection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changed {
    /// The subject whose state changed; gone from the state if it was retired.
    pub subject: Option<Subject>,
    /// The ordinal of the history entry that this record is.
    pub entry: Option<u64>,
    /// Whether that subject's entry in the calendar did.
    pub moved: bool,
    /// Silences that began, ended or were forgotten.
    pub silences: Vec<u64>,
    /// Incidents of which something was said, or that were forgotten.
    pub incidents: Vec<u64>,
    /// What was added to the outbox.
    pub queued: Vec<(DestinationName, u64)>,
    /// What left the outbox: accepted, or discarded by a person.
    pub left: Vec<(DestinationName, u64)>,
    /// The alerts of which destinations know something else now.
    pub told: Vec<(DestinationName, String)>,
}

/// A record that does not fit what came before it: the log is damaged or not ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {index} refers to run {of}, which is not its subject's newest")]
pub struct Dangling {
    /// The record.
    pub index: u64,
    /// What it refers to.
    pub of: u64,
}

impl SubjectState {
    /// One of which nothing is known yet.
    pub fn new(kind: &str, number: u64, entries: u64) -> SubjectState {
        SubjectState {
            kind: kind.to_owned(),
            number,
            entries,
            last: None,
            seen: None,
            next: None,
            alerts: Alerts::default(),
            taken: Vec::new(),
            missed: 0,
        }
    }

    /// The status at `now`: the newest run's, but Unknown once stale, and for a standing fact by its age (F3).
    pub fn status(&self, now: Timestamp) -> Status {
        self.last.as_ref().map_or(Status::Unknown, |last| last.status(now))
    }

    /// Whether the newest run is too old to be believed (F3).
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.last.as_ref().is_some_and(|last| last.is_stale(now))
    }
}

impl Digests {
    fn take_in(&mut self, digested: &Digested) {
        for event in &digested.events {
            let last = Digest::of(event, digested.at);
            let people = event.to.iter().filter_map(|to| to.destination.person());
            self.last.extend(people.map(|person| (person, last.clone())));
        }
        if !digested.more {
            self.whole = Some(digested.at);
        }
    }

    /// Whether the digest that was due at `due` is still to be told, to this person or at all.
    pub fn is_due(&self, person: Option<&PersonId>, due: Timestamp) -> bool {
        let told = person.map_or(self.whole, |person| Some(self.last.get(person)?.at));
        told.is_none_or(|told| told < due)
    }
}

impl LastRun {
    /// The whole run at `index`.
    pub fn of(index: u64, run: &Run) -> LastRun {
        LastRun {
            of: index,
            at: run.at,
            status: run.status,
            unseen: run.unseen.clone(),
            standing: run.standing.clone(),
            stale_at: run.stale_at,
            due: run.judged().and_then(|judgement| judgement.due),
            answers: run.judged().map(|judged| judged.answers.clone()).unwrap_or_default(),
        }
    }

    /// It was seen and decided the same again.
    pub fn again(&mut self, same: &Same) {
        self.at = same.at;
        self.stale_at = same.stale_at;
    }

    /// The status at `now`: Unknown once stale, and for a standing fact by its age (F3).
    pub fn status(&self, now: Timestamp) -> Status {
        match &self.standing {
            _ if self.is_stale(now) => Status::Unknown,
            Some(standing) => standing.status(now),
            None => self.status,
        }
    }

    /// Past its date; or from the future, by a clock that went back since and under which no slot comes due (C5).
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.stale_at.is_some_and(|stale_at| now >= stale_at) || after(now, BEHIND_MAX) < self.at
    }
}

impl State {
    /// Folds in the next record. `subject_of` names the subject of the whole run at an index, for `same` records.
    pub fn apply(
        &mut self,
        record: &Record,
        subject_of: &dyn Fn(u64) -> Option<Subject>,
    ) -> Result<Changed, Dangling> {
        let index = self.size;
        if index.is_multiple_of(STRETCH) {
            self.stretch = Stretch::after(self.clock_trusted);
        }
        if let Some(trust) = record.trust() {
            self.clock_trusted = trust == Trust::Trusted;
        }
        let mut changed = Changed::default();
        match record {
            Record::Start(start) => self.origin = start.origin.clone(),
            Record::Configured(configured) => {
                self.config = index;
                if !self.routes.iter().any(|route| route.destination.person().is_some()) {
                    self.digests.whole = Some(configured.at);
                }
                self.routes = configured.routes.clone();
                self.follow_canaries(configured.at);
                self.labels = configured.labels.clone();
            }
            Record::Run(run) => {
                changed = self.run(index, run);
                changed.moved = self.calendar.run(run);
            }
            Record::Same(same) => {
                let dangling = Dangling { index, of: same.of };
                let subject = subject_of(same.of).ok_or_else(|| dangling.clone())?;
                let state = self.subjects.get_mut(&subject).ok_or_else(|| dangling.clone())?;
                changed.entry = Some(state.same(same).ok_or(dangling)?);
                changed.subject = Some(subject);
            }
            Record::Missed(missed) => {
                let before = self.back(&missed.subject);
                let state = self.subjects.entry(missed.subject.clone());
                let state = state.or_insert_with(|| SubjectState::new("", index, before));
                let count = missed.count.unwrap_or(crate::schedule::COUNT_MAX);
                let count = if missed.why == Why::Paused { 0 } else { count };
                state.missed = state.missed.saturating_add(count);
                state.next = missed.next;
                changed.entry = Some(state.entry());
                changed.subject = Some(missed.subject.clone());
            }
            Record::Ticked(ticked) => {
                let before = self.back(&ticked.subject);
                let state = self.subjects.entry(ticked.subject.clone());
                let state = state.or_insert_with(|| SubjectState::new(&ticked.kind, index, before));
                state.turn(&ticked.alerts);
                changed.entry = Some(state.entry());
                changed.subject = Some(ticked.subject.clone());
            }
            Record::Retired(ticked) => {
                if let Some(mut state) = self.subjects.remove(&ticked.subject) {
                    changed.entry = Some(state.entry());
                    self.gone.insert(ticked.subject.clone(), state.entries);
                }
                changed.moved = self.calendar.left(&ticked.subject, ticked.at);
                changed.subject = Some(ticked.subject.clone());
            }
            Record::Acted(acted) => {
                if let Act::Incident { number, said } = &acted.act {
                    let at = (index, acted.at);
                    changed.incidents = self.incidents.say(at, *number, &acted.by, said);
                    // Its history begins with being opened, and not with the first look at it.
                    if matches!(said, incident::Said::Opened(_)) {
                        let before = self.back(&acted.subject);
                        let state = self.subjects.entry(acted.subject.clone());
                        state.or_insert_with(|| SubjectState::new(incident::CHECK, index, before));
                    }
                }
                changed.silences = self.acted(index, acted);
                if let Some(state) = self.subjects.get_mut(&acted.subject) {
                    changed.entry = Some(state.entry());
                    changed.subject = Some(acted.subject.clone());
                }
            }
            Record::Attested(attested) => {
                let subject = &attested.subject;
                let before = self.back(subject);
                let state = self.subjects.entry(subject.clone());
                let state = state.or_insert_with(|| SubjectState::new("", index, before));
                changed.entry = Some(state.entry());
                changed.subject = Some(subject.clone());
                let (received, said) = (attested.at, attested.said.clone());
                self.said.add(subject, Statement { record: index, received, said });
            }
            Record::Digested(digested) => self.digests.take_in(digested),
            Record::Canary(canary) => {
                self.canary(index, canary);
                if let Some(state) = self.subjects.get_mut(&canary.subject) {
                    changed.entry = Some(state.entry());
                    changed.subject = Some(canary.subject.clone());
                }
            }
            Record::Accepted(accepted) => {
                for (destination, ranges) in &accepted.by {
                    for (from, to) in ranges {
                        for (sequence, alert) in self.accept(destination, *from, *to) {
                            changed.left.push((destination.clone(), sequence));
                            changed.told.push((destination.clone(), alert));
                        }
                    }
                }
            }
            Record::Discarded(Discarded { destination, first, last, .. }) => {
                let gone = self.take_out(destination, *first, *last).into_iter();
                changed.left.extend(gone.map(|(sequence, _)| (destination.clone(), sequence)));
            }
            Record::Pruned(pruned) => self.pruned = Some(pruned.clone()),
            Record::Stamped(stamped) => {
                let Stamped { at, time, .. } = *stamped;
                self.stamped = Some(Stamp { record: index, at, time });
            }
            Record::Restored(restored) => {
                let origin = std::mem::replace(&mut self.origin, restored.origin.clone());
                self.earlier.push(Earlier { origin, size: index });
            }
            Record::Clock { .. }
            | Record::Restated(_)
            | Record::Recovered(_)
            | Record::Erased(_)
            | Record::Stopped { .. } => {}
        }
        self.stretch.add(index, record, self.clock_trusted);
        if self.clock_trusted {
            self.trusted_at = self.trusted_at.max(Some(record.at()));
        }
        changed.queued = self.queue(index, record);
        self.size += 1;
        Ok(changed)
    }

    /// Takes what a destination accepted out of the outbox, sequences `from` to `to`; says which were still waiting, and
    /// of which alerts.
    pub fn accept(
        &mut self,
        destination: &DestinationName,
        from: u64,
        to: u64,
    ) -> Vec<(u64, String)> {
        let mut accepted = Vec::new();
        for (sequence, known) in self.take_out(destination, from, to) {
            accepted.push((sequence, known.alert_id.to_string()));
            let Some(queue) = self.outbox.0.get_mut(destination) else { continue };
            match known.level.over {
                true => queue.told.remove(&*known.alert_id),
                false => queue.told.insert(known.alert_id.to_string(), known),
            };
        }
        accepted
    }

    fn take_out(&mut self, from_whom: &DestinationName, from: u64, to: u64) -> Vec<(u64, Waiting)> {
        let Some(queue) = self.outbox.0.get_mut(from_whom) else { return Vec::new() };
        if from > to {
            return Vec::new(); // `range` would panic, and a record is foreign until it is judged
        }
        let waiting: Vec<u64> =
            queue.waiting.range(from..=to).map(|(sequence, _)| *sequence).collect();
        let mut out = |sequence| Some((sequence, queue.waiting.remove(&sequence)?));
        waiting.into_iter().filter_map(&mut out).collect()
    }

    /// Every destination of the configuration has canaries, those there were as they were.
    fn follow_canaries(&mut self, at: Timestamp) {
        let mut before = std::mem::take(&mut self.canaries);
        let names = self.routes.iter().map(|route| &route.destination);
        self.canaries = names
            .map(|name| {
                let fresh = || Canaries { since: at, ..Canaries::default() };
                (name.clone(), before.remove(name).unwrap_or_else(fresh))
            })
            .collect();
    }

    fn canary(&mut self, index: u64, canary: &Canary) {
        for to in canary.events.iter().flat_map(|event| &event.to) {
            if let Some(stand) = self.canaries.get_mut(&to.destination) {
                (stand.sent, stand.arrived) = (Some((index, canary.at)), false);
            }
        }
        if let Some(Arrived { destination, of }) = &canary.arrived {
            self.confirm(destination, *of, canary.at);
        }
    }

    fn confirm(&mut self, destination: &DestinationName, of: u64, at: Timestamp) {
        if let Some(stand) = self.canaries.get_mut(destination) {
            stand.confirmed = Some(at);
            stand.arrived |= stand.sent.is_some_and(|(sent, _)| sent == of);
        }
    }

    /// The id of an event of the record at `index`.
    pub fn event_id_at(&self, index: u64, ordinal: usize) -> String {
        event_id(self.origin_at(index), index, ordinal)
    }

    /// The id of an event that waits.
    pub fn event_id(&self, waiting: &Waiting) -> String {
        self.event_id_at(waiting.index, waiting.ordinal as usize)
    }

    /// What alert ids are made of: the log's first origin, so that what was opened before a restore is closed after it.
    pub fn store(&self) -> &str {
        self.earlier.first().map_or(&self.origin, |earlier| &earlier.origin)
    }

    /// The origin under which the record at `index` was written.
    fn origin_at(&self, index: u64) -> &str {
        let ended = self.earlier.iter().find(|earlier| index < earlier.size);
        ended.map_or(&self.origin, |earlier| &earlier.origin)
    }

    /// Decides who is told of the record's events, and numbers them; done once, just before the record is written.
    pub fn address(&self, record: &mut Record) {
        self.address_after(&mut Given::default(), record);
    }

    /// The same, after records that are written with it and are not folded in yet, and gave out `given`.
    pub fn address_after(&self, given: &mut Given, record: &mut Record) {
        let Some((subject, kind, events)) = record.events_mut() else { return };
        for event in events {
            let id = alert_id(self.store(), subject, &event.finding.key, event.since);
            event.labels = self.labels.get(&subject.check).cloned().unwrap_or_default();
            event.to = self.outbox.address(event, &id, (subject, kind), &self.routes, given);
        }
    }

    /// An event of `record`, which stands at `index`, on its way to `destination`.
    pub fn delivery(
        &self,
        index: u64,
        record: &Record,
        ordinal: u32,
        destination: &DestinationName,
    ) -> Option<Delivery> {
        let (subject, kind, status, events) = record.events()?;
        let event = events.get(ordinal as usize)?;
        let to = event.to.iter().find(|to| to.destination == *destination)?;
        Some(Delivery {
            destination: destination.clone(),
            sequence: to.sequence,
            event_id: event_id(self.origin_at(index), index, ordinal as usize),
            alert_id: alert_id(self.store(), subject, &event.finding.key, event.since),
            at: record.at(),
            subject: subject.clone(),
            kind: kind.to_owned(),
            status,
            event: event.clone(),
        })
    }

    /// What a person did; says which silences changed. What is long over is forgotten then.
    fn acted(&mut self, index: u64, acted: &Acted) -> Vec<u64> {
        let mut changed = Vec::new();
        match &acted.act {
            Act::Take { alert, until } => {
                if let Some(state) = self.subjects.get_mut(&acted.subject)
                    && state.alerts.0.contains_key(alert)
                {
                    state.taken.retain(|(key, _)| key != alert);
                    let taken = Taken { by: acted.by.clone(), until: *until };
                    state.taken.push((alert.clone(), taken));
                }
            }
            Act::Release { alert } => {
                if let Some(state) = self.subjects.get_mut(&acted.subject) {
                    state.release(alert, acted.at);
                }
            }
            Act::Confirm { destination, canary } => self.confirm(destination, *canary, acted.at),
            Act::Silence(silence) => {
                self.silences.insert(index, (**silence).clone());
                changed.push(index);
            }
            Act::End { of } => {
                if let Some(silence) = self.silences.get_mut(of) {
                    silence.until = silence.until.min(acted.at);
                    changed.push(*of);
                }
            }
            Act::Incident { .. } => {}
        }
        let over = |silence: &Silence| self.clock_trusted && !silence.counts(acted.at);
        changed.extend(self.silences.iter().filter(|(_, s)| over(s)).map(|(index, _)| index));
        self.silences.retain(|_, silence| !self.clock_trusted || silence.counts(acted.at));
        changed
    }

    /// What people did about a subject's alerts, and who is told of them; its kind is given, since it may not have been
    /// seen yet, and who its check hands on to.
    pub fn people(&self, subject: &Subject, kind: &str, hand_on: &[PersonId]) -> People {
        let (none, own) = (Labels::new(), self.labels.get(&subject.check));
        let about = |silence: &&Silence| silence.of.is_about(subject, kind, own.unwrap_or(&none));
        let of = self.subjects.get(subject);
        let taken = of.map(|of| of.taken.clone()).unwrap_or_default();
        let answers = of.and_then(|of| Some(of.last.as_ref()?.answers.as_slice()));
        People {
            order: self.order(answers.unwrap_or_default(), hand_on),
            silences: self.silences.values().filter(about).cloned().collect(),
            taken: taken.into_iter().collect(),
            ..People::default()
        }
    }

    /// Who is told of a subject that these answer for, each in their turn: of those who get mail the owner and who stands
    /// in, then who it is handed on to.
    pub fn order(&self, answers: &[PersonId], hand_on: &[PersonId]) -> Vec<PersonId> {
        let mailed = |one: &&PersonId| {
            self.routes.iter().any(|route| route.destination.person().as_ref() == Some(*one))
        };
        let mut order: Vec<PersonId> = Vec::new();
        for one in answers.iter().filter(mailed).chain(hand_on) {
            if !order.contains(one) {
                order.push(one.clone());
            }
        }
        order
    }

    /// How many history entries a subject without state has from earlier; it is here again.
    fn back(&mut self, subject: &Subject) -> u64 {
        self.gone.remove(subject).unwrap_or(0)
    }

    fn run(&mut self, index: u64, run: &Run) -> Changed {
        let before = self.back(&run.subject);
        let state = self.subjects.entry(run.subject.clone());
        let state = state.or_insert_with(|| SubjectState::new(&run.kind, index, before));
        state.kind.clone_from(&run.kind);
        let before = state.last.take();
        let mut last = LastRun::of(index, run);
        // A row that cannot be read now is its owner's still.
        if let Some(before) = before.filter(|_| run.judged().is_none()) {
            last.answers = before.answers;
        }
        state.last = Some(last);
        if run.judgement.is_some() {
            state.seen = Some(Seen { of: index, at: run.at });
        }
        state.next = run.next.or(state.next);
        if let Some(alerts) = &run.alerts {
            state.turn(alerts);
        }
        Changed {
            subject: Some(run.subject.clone()),
            entry: Some(state.entry()),
            ..Changed::default()
        }
    }

    fn queue(&mut self, index: u64, record: &Record) -> Vec<(DestinationName, u64)> {
        let mut queued = Vec::new();
        let Some((subject, _, _, events)) = record.events() else { return queued };
        for (ordinal, event) in (0..).zip(events) {
            for to in &event.to {
                let id = alert_id(self.store(), subject, &event.finding.key, event.since);
                let alert_id = AlertId::try_from(id.as_str()).expect("that is how long they are");
                let queue = self.outbox.0.entry(to.destination.clone()).or_default();
                queue.newest = queue.newest.max(to.sequence);
                let level = Level::of(event);
                queue.waiting.insert(to.sequence, Waiting { index, ordinal, alert_id, level });
                queued.push((to.destination.clone(), to.sequence));
            }
        }
        queued
    }
}

impl SubjectState {
    /// Takes in a run like the newest. Like an older one would say nothing of its status, which is not known here: a
    /// pass would outlive the fail after it.
    fn same(&mut self, same: &Same) -> Option<u64> {
        let last = self.last.as_mut().filter(|last| last.of == same.of)?;
        last.again(same);
        if let Some(seen) = &mut self.seen
            && seen.of == same.of
        {
            seen.at = same.at;
        }
        self.next = same.next.or(self.next);
        Some(self.entry())
    }

    /// Its alerts from now on; what was taken and is over is nobody's any more.
    fn turn(&mut self, alerts: &Alerts) {
        self.alerts = alerts.clone();
        self.taken.retain(|(key, _)| alerts.0.contains_key(key));
    }

    /// What was taken comes back now, as it would by its date.
    fn release(&mut self, alert: &FindingKey, at: Timestamp) {
        for (_, taken) in self.taken.iter_mut().filter(|(key, _)| key == alert) {
            taken.until = taken.until.min(at);
        }
    }

    fn entry(&mut self) -> u64 {
        self.entries += 1;
        self.entries - 1
    }
}

/// The trigger of a `same` record.
pub fn trigger_of(same: &Same) -> Trigger {
    same.trigger.unwrap_or(Trigger::Slot)
}
