//! Whom an incident is to be told and by when: dated rules, as `data/incidents.toml` has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestd_core::Date;
use attestd_core::Timestamp;
use attestd_core::incident::{Duty, Opened, Role, Stage};
use attestd_core::obligation::{end_of, today};
use attestd_core::time::after;
use jiff::ToSpan;
use serde::Deserialize;

/// `incidents.toml`.
#[derive(Debug, Deserialize)]
pub struct Rules {
    /// A notice that is due at once is overdue after so many hours.
    pub immediately_hours: u32,
    /// So many hours before its end a notice is a Warning.
    pub warning_hours: u32,
    /// So many hours before its end it is Critical.
    pub critical_hours: u32,
    /// The kinds of incident.
    pub kind: Vec<Kind>,
    /// Who is told.
    pub rule: Vec<Rule>,
}

/// A kind of incident.
#[derive(Debug, Deserialize)]
pub struct Kind {
    /// As `--kind` names it.
    pub id: String,
    /// What it is, for a person.
    pub title: String,
    /// Whether our role decides who is told.
    #[serde(default)]
    pub roles: bool,
}

/// Somebody is to be told.
#[derive(Debug, Deserialize)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Whom, by an id; [`CUSTOMERS`] is each of them.
    pub to: String,
    /// Whom instead, where there is no customer.
    #[serde(default)]
    pub otherwise: Option<String>,
    /// Whom, in words.
    pub name: String,
    /// Of which kinds of incident.
    pub kinds: BTreeSet<String>,
    /// Only where this is our role for some of the data.
    #[serde(default)]
    pub role: Option<Role>,
    /// At which stages.
    pub stages: BTreeSet<Stage>,
    /// By when.
    pub within: Within,
    /// Since which day it holds.
    pub in_force: InForce,
    /// What it asks.
    pub clause: String,
    /// Where it stands.
    pub reference: String,
    /// Where that was read.
    pub source: String,
    /// When that is from.
    pub dated: Date,
    /// How sure that is: P, T or M.
    pub mark: String,
    /// What to do.
    #[serde(rename = "do")]
    pub act: String,
}

/// How long there is from awareness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Within {
    /// No time; a contract's hours where it has any.
    Immediately,
    /// Elapsed hours, over nights, weekends and clock changes.
    Hours(u32),
    /// Until the end of so many civil days in London later.
    Days(u32),
    /// Any time: it is advised only.
    Advised,
}

/// Since when a rule holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum InForce {
    /// Since this day.
    Since(Date),
    /// Not yet.
    Not,
}

/// A customer, and within how many hours its contract wants to be told; 0 is immediately.
pub type Customers = BTreeMap<String, Option<u32>>;
/// Each of the customers.
pub const CUSTOMERS: &str = "customers";

impl Rules {
    /// Who is to be told of an incident, each once, by the earliest time that a rule gives; the next first.
    pub fn duties(&self, opened: &Opened, customers: &Customers) -> Vec<Duty> {
        soonest(self.all(opened, customers))
    }

    /// Who is to be told of an incident that is `now` wider than it was `before`: of each, what is known and whom it touches.
    /// What a rule asked for already it does not ask for again.
    pub fn widened(&self, before: (&Opened, &Customers), now: (&Opened, &Customers)) -> Vec<Duty> {
        let known: BTreeSet<(String, String)> =
            self.all(before.0, before.1).into_iter().map(|duty| (duty.rule, duty.to)).collect();
        let new = self.all(now.0, now.1).into_iter();
        soonest(new.filter(|duty| !known.contains(&(duty.rule.clone(), duty.to.clone()))).collect())
    }

    /// The customers among whom these are to be told, with the hours that each was given.
    pub fn touched(&self, duties: &[Duty]) -> Customers {
        let of_customer = |duty: &&Duty| {
            let rule = self.rule(&duty.rule);
            rule.is_some_and(|rule| {
                rule.to == CUSTOMERS && rule.otherwise.as_ref() != Some(&duty.to)
            })
        };
        duties.iter().filter(of_customer).map(|duty| (duty.to.clone(), duty.hours)).collect()
    }

    /// What each rule asks for.
    fn all(&self, opened: &Opened, customers: &Customers) -> Vec<Duty> {
        let rules = self.rule.iter().filter(|rule| rule.applies(opened));
        rules.flat_map(|rule| self.of_rule(rule, opened.aware, customers)).collect()
    }

    fn of_rule(&self, rule: &Rule, aware: Timestamp, customers: &Customers) -> Vec<Duty> {
        let duty = |to: &str, hours: Option<u32>| Duty {
            to: to.to_owned(),
            rule: rule.id.clone(),
            due: self.due(rule.within, hours, aware),
            hours,
            aware: None,
            done: None,
        };
        match (rule.to.as_str(), &rule.otherwise) {
            (CUSTOMERS, Some(otherwise)) if customers.is_empty() => vec![duty(otherwise, None)],
            (CUSTOMERS, _) => customers.iter().map(|(name, hours)| duty(name, *hours)).collect(),
            (to, _) => vec![duty(to, None)],
        }
    }

    fn due(&self, within: Within, contract: Option<u32>, aware: Timestamp) -> Option<Timestamp> {
        let hours = |hours: u32| after(aware, Duration::from_secs(u64::from(hours) * 3600));
        match within {
            Within::Immediately => {
                Some(hours(contract.filter(|hours| *hours > 0).unwrap_or(self.immediately_hours)))
            }
            Within::Hours(number) => Some(hours(number)),
            Within::Days(number) => {
                let day = today(aware).saturating_add(i64::from(number).days());
                Some(end_of(day).unwrap_or(Timestamp::MAX))
            }
            Within::Advised => None,
        }
    }

    /// The rule of a duty; none where it was drawn by another version's rules.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rule.iter().find(|rule| rule.id == id)
    }
}

impl Rule {
    fn applies(&self, opened: &Opened) -> bool {
        let since = match self.in_force {
            InForce::Since(day) => day <= today(opened.aware),
            InForce::Not => false,
        };
        since
            && self.stages.contains(&opened.stage)
            && !self.kinds.is_disjoint(&opened.kinds)
            && self.role.is_none_or(|role| opened.data.values().any(|own| *own == role))
    }
}

/// Each who is to be told once, by the earliest time; the next first.
fn soonest(all: Vec<Duty>) -> Vec<Duty> {
    let mut duties: Vec<Duty> = Vec::new();
    for duty in all {
        match duties.iter_mut().find(|known| known.to == duty.to) {
            Some(known) if duty.sooner(known) => *known = duty,
            Some(_) => {}
            None => duties.push(duty),
        }
    }
    duties.sort_by_key(|duty| (duty.due.is_none(), duty.due));
    duties
}

impl TryFrom<String> for Within {
    type Error = String;
    fn try_from(text: String) -> Result<Within, String> {
        let bad =
            || format!("{text:?} is not such as \"72 hours\", \"15 days\" or \"immediately\"");
        match text.as_str() {
            "immediately" => return Ok(Within::Immediately),
            "advised" => return Ok(Within::Advised),
            _ => {}
        }
        let (number, unit) = text.split_once(' ').ok_or_else(bad)?;
        let number: u32 = number.parse().map_err(|_| bad())?;
        match unit {
            "hours" => Ok(Within::Hours(number)),
            "days" => Ok(Within::Days(number)),
            _ => Err(bad()),
        }
    }
}

impl std::fmt::Display for Within {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Within::Immediately => f.write_str("immediately"),
            Within::Hours(hours) => write!(f, "within {hours} hours"),
            Within::Days(days) => write!(f, "within {days} days"),
            Within::Advised => f.write_str("advised"),
        }
    }
}

impl TryFrom<String> for InForce {
    type Error = String;
    fn try_from(text: String) -> Result<InForce, String> {
        match text.as_str() {
            "none" => Ok(InForce::Not),
            day => day.parse().map(InForce::Since).map_err(|error| format!("{day:?}: {error}")),
        }
    }
}
