//! What people say of incidents: held against what is known, with all that is wrong told at once, and drawn up as an act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attestd_checks::data;
use attestd_checks::incident::{KIND, Source, rules::Customers, until};
use attestd_core::act::Act;
use attestd_core::incident::{
    self, DATA, Done, Duty, Incident, Incidents, OPEN_MAX, Opened, Role, Said, Stage,
};
use attestd_core::record::Record;
use attestd_core::settings::did_you_mean;
use attestd_core::state::State;
use attestd_core::store::{Store, StoreError};
use attestd_core::{PersonId, Subject, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::config::ConfiguredCheck;
use crate::own;

mod widen;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// To open one.
    Open {
        /// Who.
        by: PersonId,
        /// When somebody here became aware of it.
        aware: Timestamp,
        /// What kinds it is.
        kinds: Vec<String>,
        /// How far it went.
        stage: Stage,
        /// What we are to which personal data.
        roles: Vec<(Option<String>, Role)>,
        /// The customers it touches; all of those of the claims where empty.
        customers: Vec<String>,
        /// The customer who told us.
        from: Option<String>,
        /// What happened.
        what: String,
    },
    /// To add what turned out to be concerned too.
    Widen {
        /// Which.
        number: u64,
        /// Who.
        by: PersonId,
        /// When somebody here became aware of that; now where absent.
        aware: Option<Timestamp>,
        /// What kinds it is too.
        kinds: Vec<String>,
        /// What we are to more personal data.
        roles: Vec<(Option<String>, Role)>,
        /// The customers it touches too.
        customers: Vec<String>,
        /// What turned out.
        what: Option<String>,
    },
    /// To say that some were told, or need not be.
    Told {
        /// Of which.
        number: u64,
        /// Whom.
        to: Vec<String>,
        /// By whom.
        by: PersonId,
        /// When; now where absent.
        at: Option<Timestamp>,
        /// Why they need not be.
        not_needed: Option<String>,
    },
    /// To close one.
    Close {
        /// Which.
        number: u64,
        /// Who.
        by: PersonId,
        /// How it ended.
        reason: String,
    },
}

/// All incidents that are known, as people and scripts are shown them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentsView {
    /// When this was so.
    pub at: Timestamp,
    /// The newest first.
    pub incidents: Vec<IncidentView>,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Its number.
    pub number: u64,
    /// What is known of it.
    #[serde(flatten)]
    pub incident: Incident,
}

impl IncidentsView {
    /// The view of `incidents` at `at`.
    pub fn of(incidents: &Incidents, at: Timestamp) -> IncidentsView {
        let view = |(number, incident): (&u64, &Incident)| IncidentView {
            number: *number,
            incident: incident.clone(),
        };
        IncidentsView { at, incidents: incidents.all.iter().rev().map(view).collect() }
    }
}

/// The built-in check of the incidents that are open in this store.
pub fn check(store: Arc<dyn Store>, hand_on: Vec<PersonId>) -> Arc<ConfiguredCheck> {
    let open = move || {
        let mut open = BTreeMap::new();
        store.read(&mut |state| {
            let all = state.incidents.open();
            open = all.map(|(number, incident)| (number, incident.clone())).collect();
        });
        open
    };
    check_of(Arc::new(open), hand_on)
}

/// The same, of incidents from anywhere.
pub fn check_of(open: Source, hand_on: Vec<PersonId>) -> Arc<ConfiguredCheck> {
    own::built_in(&KIND, Arc::new(attestd_checks::incident::check(open)), hand_on)
}

impl Wish {
    /// Who says so.
    pub fn by(&self) -> &PersonId {
        match self {
            Wish::Open { by, .. }
            | Wish::Widen { by, .. }
            | Wish::Told { by, .. }
            | Wish::Close { by, .. } => by,
        }
    }
}

/// The customers of the claims in force, each with the fewest hours that a claim to it gives.
pub fn customers(store: &dyn Store) -> Result<Customers, StoreError> {
    let mut config = 0;
    store.read(&mut |state| config = state.config);
    let mut customers = Customers::new();
    if let Record::Configured(configured) = store.record(config)? {
        for claim in configured.assertions {
            let Some(customer) = claim.customer else { continue };
            let hours = customers.entry(customer).or_insert(claim.notice_hours);
            *hours = hours.map_or(claim.notice_hours, |known| {
                Some(claim.notice_hours.map_or(known, |hours| known.min(hours)))
            });
        }
    }
    Ok(customers)
}

/// What is to be recorded: in whose history, and what; else everything that is wrong.
pub fn draw(
    state: &State,
    wish: &Wish,
    claimed: &Customers,
    now: Timestamp,
) -> Result<(Subject, Act), Vec<String>> {
    let mut wrong = Vec::new();
    let (number, said) = match wish {
        Wish::Open { .. } => {
            let number = state.incidents.next();
            if state.incidents.open().count() >= OPEN_MAX {
                wrong.push(format!("{OPEN_MAX} incidents are open already; close some first"));
            }
            (number, open(wish, claimed, now, &mut wrong))
        }
        Wish::Widen { number, .. } => {
            let incident = known(state, *number, &mut wrong);
            (*number, incident.and_then(|one| widen::draw(wish, one, claimed, now, &mut wrong)))
        }
        Wish::Told { number, to, at, not_needed, .. } => {
            let at = at.unwrap_or(now);
            hold_text("--not-needed", not_needed.as_deref(), &mut wrong);
            let incident = known(state, *number, &mut wrong);
            let told = incident.map(|incident| told(incident, to, at, now, &mut wrong));
            let not_needed = not_needed.as_ref().map(|text| plain(text));
            (*number, Some(Said::Told { to: told.unwrap_or_default(), at, not_needed }))
        }
        Wish::Close { number, reason, .. } => {
            hold_text("--reason", Some(reason), &mut wrong);
            if let Some(incident) = known(state, *number, &mut wrong) {
                hold_told(*number, incident, &mut wrong);
            }
            (*number, Some(Said::Closed { reason: plain(reason) }))
        }
    };
    match said {
        Some(said) if wrong.is_empty() => {
            Ok((incident::subject(number), Act::Incident { number, said }))
        }
        _ => Err(wrong),
    }
}

fn open(wish: &Wish, claimed: &Customers, now: Timestamp, wrong: &mut Vec<String>) -> Option<Said> {
    let Wish::Open { by, aware, kinds, stage, roles, customers, from, what } = wish else {
        return None;
    };
    hold_past("--aware-at", *aware, now, wrong);
    hold_text("--what", Some(what), wrong);
    let kinds = kinds_of(kinds, wrong);
    if kinds.is_empty() {
        wrong.push("it is of one kind at least: --kind".to_owned());
    }
    let data = data_of(roles, &kinds, BTreeMap::new(), wrong);
    let mut touched = touched(customers.iter().chain(from), claimed, wrong);
    if customers.is_empty() {
        touched.clone_from(claimed);
    }
    let (what, from) = (plain(what), from.clone());
    let mut opened =
        Opened { aware: *aware, kinds, stage: *stage, data, from, what, duties: Vec::new() };
    opened.duties = data::incidents().duties(&opened, &touched);
    if let Some(from) = &opened.from {
        let why = Some("they told us".to_owned());
        let known = Done { at: *aware, by: by.clone(), not_needed: why };
        let own = opened.duties.iter_mut().filter(|duty| duty.to == *from);
        own.for_each(|duty| duty.done = Some(known.clone()));
    }
    Some(Said::Opened(Box::new(opened)))
}

/// The customers of the claims that are named.
fn touched<'n>(
    names: impl Iterator<Item = &'n String>,
    claimed: &Customers,
    wrong: &mut Vec<String>,
) -> Customers {
    let mut touched = Customers::new();
    for name in names {
        match claimed.get(name) {
            Some(hours) => drop(touched.insert(name.clone(), *hours)),
            None => {
                let hint = did_you_mean(name, claimed.keys().map(String::as_str));
                wrong.push(format!("no [[assertion]] names the customer {:?}{hint}", short(name)));
            }
        }
    }
    touched
}

fn kinds_of(given: &[String], wrong: &mut Vec<String>) -> BTreeSet<String> {
    let ids = || data::incidents().kind.iter().map(|kind| kind.id.as_str());
    for kind in given.iter().filter(|kind| !ids().any(|id| id == kind.as_str())) {
        let hint = did_you_mean(kind, ids());
        let all = ids().collect::<Vec<_>>().join(", ");
        wrong
            .push(format!("there is no kind of incident {:?}{hint}; there are {all}", short(kind)));
    }
    given.iter().cloned().collect()
}

/// What we are to which data: that which is `known`, and what was given.
fn data_of(
    roles: &[(Option<String>, Role)],
    kinds: &BTreeSet<String>,
    known: BTreeMap<String, Role>,
    wrong: &mut Vec<String>,
) -> BTreeMap<String, Role> {
    let asks = data::incidents().kind.iter().filter(|kind| kinds.contains(&kind.id));
    let asks = asks.filter(|kind| kind.roles).map(|kind| kind.id.as_str()).next();
    match (asks, roles.is_empty()) {
        (Some(kind), true) if known.is_empty() => wrong.push(format!(
            "of {kind}, say what you are to the data: --role controller or --role processor, or --role DATA=ROLE for each set"
        )),
        (None, false) => wrong.push("--role is of personal data, and of no other kind".to_owned()),
        _ => {}
    }
    if known.len() + roles.len() > DATA_MAX {
        wrong.push(format!("{DATA_MAX} sets of data are the most"));
    }
    let mut data = known;
    for (name, role) in roles {
        let name = name.as_deref().unwrap_or(DATA);
        hold_text("the name of a set of data", Some(name), wrong);
        if data.insert(plain(name), *role).is_some_and(|known| known != *role) {
            let name = short(name);
            wrong.push(format!(
                "{name:?} has two roles; name each set of data: --role NAME=controller --role OTHER=processor"
            ));
        }
    }
    data
}

/// Whom that means of those who are still to be told.
fn told(
    incident: &Incident,
    to: &[String],
    at: Timestamp,
    now: Timestamp,
    wrong: &mut Vec<String>,
) -> Vec<String> {
    hold_past("--at", at, now, wrong);
    let aware = incident.opened.aware;
    if at < aware {
        wrong.push(format!("{at} is before anybody here was aware of it ({aware})"));
    }
    if to.is_empty() {
        wrong.push("say who was told".to_owned());
    }
    let duties = &incident.opened.duties;
    let mut meant = Vec::new();
    for name in to {
        let of = || duties.iter().filter(|duty| duty.to == *name);
        match of().find(|duty| duty.done.is_none()).or_else(|| of().next()) {
            None => {
                let hint = did_you_mean(name, duties.iter().map(|duty| duty.to.as_str()));
                wrong.push(format!("{:?} is not to be told of it{hint}", short(name)));
            }
            Some(Duty { done: Some(done), .. }) => {
                let what = if done.not_needed.is_some() { "need not be told" } else { "was told" };
                wrong.push(format!("{:?} {what}, says {} since {}", short(name), done.by, done.at));
            }
            Some(duty) => meant.push(duty.to.clone()),
        }
    }
    meant
}

/// Nobody whom a rule wants to be told is forgotten by closing it.
fn hold_told(number: u64, incident: &Incident, wrong: &mut Vec<String>) {
    let left = incident.opened.duties.iter().filter(|duty| duty.done.is_none());
    let left: Vec<&str> =
        left.filter(|duty| duty.due.is_some()).map(|duty| duty.to.as_str()).collect();
    if !left.is_empty() {
        let named: Vec<String> = left.iter().take(NAMED_MAX).map(|name| short(name)).collect();
        let more = match left.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        wrong.push(format!(
            "these must still be told of incident {number}: {}{more}; say that they were (`attestd incident told`), or why \
             they need not be (--not-needed)",
            named.join(", ")
        ));
    }
}

fn known<'s>(state: &'s State, number: u64, wrong: &mut Vec<String>) -> Option<&'s Incident> {
    match state.incidents.all.get(&number) {
        Some(Incident { closed: Some(closed), .. }) => {
            wrong.push(format!("incident {number} was closed by {} at {}", closed.by, closed.at));
            None
        }
        Some(incident) => Some(incident),
        None => {
            let open: Vec<String> =
                state.incidents.open().map(|(number, _)| number.to_string()).collect();
            let open = match open.is_empty() {
                true => "none is open".to_owned(),
                false => format!("open are {}", open.join(", ")),
            };
            wrong.push(format!("there is no incident {number}; {open}"));
            None
        }
    }
}

fn hold_past(name: &str, at: Timestamp, now: Timestamp, wrong: &mut Vec<String>) {
    if at > now {
        wrong.push(format!("{name} {at} is in the future: it is {now}"));
    }
    if now.duration_since(at) > PAST_MAX {
        wrong.push(format!("{name} {at} is over a year ago, which is a typing error"));
    }
}

fn hold_text(name: &str, text: Option<&str>, wrong: &mut Vec<String>) {
    let Some(text) = text.map(str::trim) else { return };
    if text.is_empty() || text.chars().count() > TEXT_MAX {
        wrong.push(format!("{name} is 1 to {TEXT_MAX} characters"));
    }
}

fn plain(text: &str) -> String {
    attestd_core::text::plain(text.trim(), TEXT_MAX)
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// What was recorded, for who asked.
pub fn say(state: &State, number: u64) -> String {
    let Some(incident) = state.incidents.all.get(&number) else {
        return format!("incident {number} is recorded");
    };
    if let Some(closed) = &incident.closed {
        return format!("incident {number} is closed by {}", closed.by);
    }
    let left = || incident.opened.duties.iter().filter(|duty| duty.done.is_none());
    let next = left().filter_map(|duty| Some((duty.due?, duty))).min_by_key(|(due, _)| *due);
    match next {
        Some((due, duty)) => {
            let must = left().filter(|duty| duty.due.is_some()).count();
            let (to, due) = (short(&duty.to), until(due));
            format!("incident {number} is open: {must} must still be told, {to} first, by {due}")
        }
        None => format!("incident {number} is open: everybody who must be told was"),
    }
}

/// A year: what is older was found at an audit, and is no incident whose clock runs.
const PAST_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Characters of a text in somebody's words.
const TEXT_MAX: usize = 500;
/// Sets of personal data that one incident names.
const DATA_MAX: usize = 20;
/// Names that one message says.
const NAMED_MAX: usize = 5;

#[cfg(test)]
mod tests;
