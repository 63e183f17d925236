//! Incidents: what happened, whom it is to be told and by when, who told them, and the end. A fold of what people said.
//!
//! Who has to be told is drawn from dated rules when an incident is opened and stands in that record, so that a rule or
//! a contract that changes later moves no clock that runs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{CheckId, PersonId, Subject};

/// What a person says of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Said {
    /// It is open from now on.
    Opened(Box<Opened>),
    /// Some of those who are to be told were told, or need not be.
    Told {
        /// Which: as [`Duty::to`] has them.
        to: Vec<String>,
        /// When; where they need not be told, when that was decided.
        at: Timestamp,
        /// Why they need not be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_needed: Option<String>,
    },
    /// More is concerned than was known when it was opened.
    Widened(Box<Widened>),
    /// It is over.
    Closed {
        /// How it ended, in that person's words.
        reason: String,
    },
}

/// What is known of an incident when it is opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// When somebody here became aware of it: the clocks run from then.
    pub aware: Timestamp,
    /// What kinds of incident it is, by their ids in the rules.
    pub kinds: BTreeSet<String>,
    /// How far it went.
    pub stage: Stage,
    /// What we are to each set of personal data that it touches; `data` where nobody named them apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Role>,
    /// The customer who told us of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What happened, in that person's words.
    pub what: String,
    /// Who is to be told.
    pub duties: Vec<Duty>,
}

/// What turned out to be concerned too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Widened {
    /// When somebody here became aware of that: the clocks of what is new run from then.
    pub aware: Timestamp,
    /// The kinds of incident that it is too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// What we are to more personal data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, Role>,
    /// What turned out, in that person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Who is to be told too, or sooner than was known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<Duty>,
}

/// How far an incident went (Internet First, IT service providers, clause 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It happened.
    Actual,
    /// It may have happened.
    Potential,
    /// It was tried.
    Attempted,
    /// It may be tried.
    Threat,
}

impl Stage {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Actual => "actual",
            Stage::Potential => "potential",
            Stage::Attempted => "attempted",
            Stage::Threat => "threat",
        }
    }
}

/// What we are to a set of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// We decide what it is used for: our clock runs to the regulator.
    Controller,
    /// We work with it for another: our clock runs to them.
    Processor,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Controller => "controller",
            Role::Processor => "processor",
        }
    }
}

/// Somebody who is to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Duty {
    /// Whom: a customer as the claims name them, or the id of whom the rule names.
    pub to: String,
    /// The rule, by its id.
    pub rule: String,
    /// By when; absent where it is advised only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The hours from awareness that a contract gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<u32>,
    /// From when the clock runs, where that is not from the incident's awareness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aware: Option<Timestamp>,
    /// That they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
}

/// That somebody was told, or that they need not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// When.
    pub at: Timestamp,
    /// Who told them, or decided.
    pub by: PersonId,
    /// Why they need not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_needed: Option<String>,
}

/// An incident as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Who opened it.
    pub by: PersonId,
    /// When that was recorded.
    pub at: Timestamp,
    /// What is known of it, and who was told since.
    #[serde(flatten)]
    pub opened: Opened,
    /// The records that say so.
    pub records: Vec<u64>,
    /// What turned out to be concerned too; whom that is to be told stands with the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widened: Vec<Widening>,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// That an incident was widened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Widening {
    /// When that was recorded.
    pub at: Timestamp,
    /// Who said so.
    pub by: PersonId,
    /// What turned out, without its duties.
    #[serde(flatten)]
    pub widened: Widened,
}

/// The end of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// Who closed it.
    pub by: PersonId,
    /// How it ended.
    pub reason: String,
}

/// All incidents that are open, and the newest [`CLOSED_MAX`] of those that are not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Incidents {
    /// By number.
    pub all: BTreeMap<u64, Incident>,
    /// How many there ever were: the newest one's number.
    pub count: u64,
}

/// The check that every incident is a target of; nobody configures it.
pub const CHECK: &str = "incident";
/// Open incidents at once: more is one incident, or a typing error in a script.
pub const OPEN_MAX: usize = 50;
/// Closed incidents that are known without reading the log: ten years of twenty.
pub const CLOSED_MAX: usize = 200;
/// The set of personal data where nobody named several.
pub const DATA: &str = "data";

/// The subject that an incident is.
pub fn subject(number: u64) -> Subject {
    let check: CheckId = CHECK.parse().expect("a plain id");
    Subject::new(check, Some(number.to_string().parse().expect("a number is a plain name")))
}

impl Duty {
    /// Whether it is due before the other: what is advised only, never is.
    pub fn sooner(&self, other: &Duty) -> bool {
        (self.due.is_none(), self.due) < (other.due.is_none(), other.due)
    }
}

impl Incident {
    /// Takes in that it was widened. Whoever was to be told keeps their clock, unless the new one ends sooner.
    pub fn widen(&mut self, at: Timestamp, by: &PersonId, widened: &Widened) {
        let opened = &mut self.opened;
        opened.kinds.extend(widened.kinds.iter().cloned());
        opened.data.extend(widened.data.iter().map(|(data, role)| (data.clone(), *role)));
        for duty in &widened.duties {
            let open = |known: &&mut Duty| known.done.is_none() && known.to == duty.to;
            match opened.duties.iter_mut().find(open) {
                Some(known) if duty.sooner(known) => *known = duty.clone(),
                Some(_) => {}
                None => opened.duties.push(duty.clone()),
            }
        }
        opened.duties.sort_by_key(|duty| (duty.due.is_none(), duty.due));
        let widened = Widened { duties: Vec::new(), ..widened.clone() };
        self.widened.push(Widening { at, by: by.clone(), widened });
    }
}

impl Incidents {
    /// The number of the next one.
    pub fn next(&self) -> u64 {
        self.count.saturating_add(1)
    }

    /// Takes in what the record at `index` says of the incident `number`; says which changed or were forgotten.
    pub fn say(
        &mut self,
        (index, at): (u64, Timestamp),
        number: u64,
        by: &PersonId,
        said: &Said,
    ) -> Vec<u64> {
        match (said, self.all.get_mut(&number)) {
            (Said::Opened(opened), None) => {
                let opened = (**opened).clone();
                let (by, records) = (by.clone(), vec![index]);
                self.count = self.count.max(number);
                let (widened, closed) = (Vec::new(), None);
                self.all.insert(number, Incident { by, at, opened, records, widened, closed });
            }
            (Said::Told { to, at, not_needed }, Some(incident)) => {
                incident.records.push(index);
                let done = Done { at: *at, by: by.clone(), not_needed: not_needed.clone() };
                let meant = |duty: &&mut Duty| duty.done.is_none() && to.contains(&duty.to);
                let duties = incident.opened.duties.iter_mut().filter(meant);
                duties.for_each(|duty| duty.done = Some(done.clone()));
            }
            (Said::Widened(widened), Some(incident)) => {
                incident.records.push(index);
                incident.widen(at, by, widened);
            }
            (Said::Closed { reason }, Some(incident)) => {
                incident.records.push(index);
                let closed = Closed { at, by: by.clone(), reason: reason.clone() };
                incident.closed.get_or_insert(closed);
            }
            // Written by nobody: a number is given once, and only what is open is spoken of.
            (Said::Opened(_), Some(_)) | (_, None) => return Vec::new(),
        }
        let closed = self.all.iter().filter(|(_, incident)| incident.closed.is_some());
        let closed: Vec<u64> = closed.map(|(number, _)| *number).collect();
        let old = &closed[..closed.len().saturating_sub(CLOSED_MAX)];
        old.iter().for_each(|number| drop(self.all.remove(number)));
        [number].iter().chain(old).copied().collect()
    }

    /// Those that are open.
    pub fn open(&self) -> impl Iterator<Item = (u64, &Incident)> {
        let open = |(number, incident): (&u64, _)| (*number, incident);
        self.all
            .iter()
            .map(open)
            .filter(|(_, incident): &(u64, &Incident)| incident.closed.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> PersonId {
        "ada".parse().expect("an id")
    }

    fn opened() -> Said {
        let duty = |to: &str| Duty {
            to: to.to_owned(),
            rule: "r".to_owned(),
            due: None,
            hours: None,
            aware: None,
            done: None,
        };
        Said::Opened(Box::new(Opened {
            aware: Timestamp::UNIX_EPOCH,
            kinds: ["nis".to_owned()].into(),
            stage: Stage::Actual,
            data: BTreeMap::new(),
            from: None,
            what: "x".to_owned(),
            duties: vec![duty("ico"), duty("ncsc")],
        }))
    }

    fn told(to: &str, second: i64) -> Said {
        let at = Timestamp::from_second(second).expect("in range");
        Said::Told { to: vec![to.to_owned()], at, not_needed: None }
    }

    #[test]
    fn what_is_said_of_an_incident_is_kept_and_the_first_word_counts() {
        let mut all = Incidents::default();
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(all.next(), 1);
        assert_eq!(all.say((7, at), 1, &ada(), &opened()), [1]);
        assert_eq!(all.say((8, at), 1, &ada(), &opened()), [] as [u64; 0], "it is there already");
        assert_eq!(all.say((9, at), 2, &ada(), &told("ico", 5)), [] as [u64; 0], "there is none");
        assert_eq!(all.say((9, at), 1, &ada(), &told("ico", 5)), [1]);
        assert_eq!(all.say((10, at), 1, &ada(), &told("ico", 9)), [1]);
        let duties = &all.all[&1].opened.duties;
        assert_eq!(duties[0].done.as_ref().map(|done| done.at.as_second()), Some(5));
        assert!(duties[1].done.is_none() && all.open().count() == 1);
        let close = |reason: &str| Said::Closed { reason: reason.to_owned() };
        all.say((11, at), 1, &ada(), &close("over"));
        all.say((12, at), 1, &ada(), &close("over again"));
        let closed = all.all[&1].closed.clone().expect("closed");
        assert_eq!((closed.reason.as_str(), all.open().count()), ("over", 0));
        assert_eq!(all.all[&1].records, [7, 9, 10, 11, 12]);
        assert_eq!((all.next(), subject(1).to_string().as_str()), (2, "incident/1"));
    }

    #[test]
    fn who_is_concerned_later_has_a_clock_of_their_own_and_the_rest_keep_theirs() {
        let second = |second| Timestamp::from_second(second).expect("in range");
        let duty = |to: &str, due: Option<i64>, rule: &str| Duty {
            to: to.to_owned(),
            rule: rule.to_owned(),
            due: due.map(second),
            hours: None,
            aware: Some(second(50)),
            done: None,
        };
        let mut all = Incidents::default();
        all.say((1, second(1)), 1, &ada(), &opened());
        all.say((2, second(2)), 1, &ada(), &told("ico", 2));
        let duties = &mut all.all.get_mut(&1).expect("open").opened.duties;
        duties.push(duty("dspt", Some(90), "old"));
        duties.push(duty("mhra", Some(90), "old"));
        let widened = Widened {
            aware: second(50),
            kinds: ["device".to_owned()].into(),
            data: BTreeMap::from([(DATA.to_owned(), Role::Processor)]),
            what: Some("y".to_owned()),
            duties: vec![
                duty("ico", Some(95), "new"),
                duty("dspt", Some(99), "new"),
                duty("mhra", Some(80), "new"),
                duty("Leeds", Some(60), "new"),
            ],
        };
        let said = Said::Widened(Box::new(widened));
        assert_eq!(all.say((3, second(55)), 2, &ada(), &said), [] as [u64; 0], "there is no 2");
        assert_eq!(all.say((3, second(55)), 1, &ada(), &said), [1]);
        let incident = &all.all[&1];
        let line = |duty: &Duty| {
            let due = duty.due.map_or("-".to_owned(), |due| due.as_second().to_string());
            let done = if duty.done.is_some() { " done" } else { "" };
            format!("{} {} {due}{done}", duty.to, duty.rule)
        };
        let lines: Vec<String> = incident.opened.duties.iter().map(line).collect();
        let expected = [
            "Leeds new 60",
            "mhra new 80",
            "dspt old 90",
            "ico new 95",
            "ico r - done",
            "ncsc r -",
        ];
        assert_eq!(lines, expected);
        assert_eq!(incident.opened.aware, Timestamp::UNIX_EPOCH, "it is known since it was");
        assert!(incident.opened.kinds.contains("device") && incident.opened.kinds.contains("nis"));
        assert_eq!(incident.opened.data[DATA], Role::Processor);
        assert_eq!((incident.records.as_slice(), incident.widened.len()), (&[1, 2, 3][..], 1));
        assert!(incident.widened[0].widened.duties.is_empty(), "they stand once");
        all.say((4, second(70)), 1, &ada(), &told("ico", 70));
        let of = all.all[&1].opened.duties.iter().filter(|duty| duty.to == "ico");
        let when: Vec<Option<i64>> =
            of.map(|duty| duty.done.as_ref().map(|done| done.at.as_second())).collect();
        assert_eq!(when, [Some(70), Some(2)], "what was told before was told then");
    }

    #[test]
    fn the_oldest_closed_ones_are_forgotten_and_no_number_comes_again() {
        let mut all = Incidents::default();
        let at = Timestamp::UNIX_EPOCH;
        let total = CLOSED_MAX as u64 + 3;
        let mut gone = Vec::new();
        for number in 1..=total {
            all.say((number, at), number, &ada(), &opened());
            if number != 2 {
                let over = Said::Closed { reason: "over".to_owned() };
                gone.extend(all.say((number, at), number, &ada(), &over).split_off(1));
            }
        }
        assert_eq!(gone, [1, 3], "2 is open");
        assert_eq!((all.all.len(), all.next()), (CLOSED_MAX + 1, total + 1));
    }
}
