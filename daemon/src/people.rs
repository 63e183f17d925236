//! What people do about alerts: held against what there is, and recorded. They take one, silence some, accept a risk, and
//! end what they began.

use attestd_core::act::{
    ACCEPT_MONTHS_MAX, Act, Approval, Matcher, SILENCE_DAYS_MAX, SILENCES_MAX, Silence,
};
use attestd_core::event::{Labels, alert_id};
use attestd_core::obligation::{Period, end_of, today};
use attestd_core::record::{Acted, Record};
use attestd_core::settings::did_you_mean;
use attestd_core::state::State;
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::Trust;
use attestd_core::{Date, DestinationName, FindingKey, PersonId, Severity, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::monitor::shared::Shared;
use crate::own;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// To have an alert, until a date.
    Take {
        /// The alert: the beginning of its id, or its subject.
        alert: String,
        /// Who.
        by: PersonId,
        /// Until when.
        until: Timestamp,
    },
    /// To silence what matches.
    Silence {
        /// What.
        of: Matcher,
        /// Who.
        by: PersonId,
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// To accept the risk of one alert, at the severity that it has and below.
    Accept {
        /// The alert: the beginning of its id, or its subject.
        alert: String,
        /// Who carries the risk.
        owner: PersonId,
        /// Who approved that.
        approver: PersonId,
        /// Until the end of which day, in London.
        until: Date,
        /// When it is looked at again; at its end, unless said.
        review: Option<Date>,
        /// Where it is written down.
        reference: String,
        /// Why.
        reason: String,
    },
    /// To give an alert back before the date.
    Release {
        /// The alert: the beginning of its id, or its subject.
        alert: String,
        /// Who has it.
        by: PersonId,
    },
    /// To say that the newest test alert was seen at a destination.
    Confirm {
        /// The destination.
        destination: DestinationName,
        /// Who saw it.
        by: PersonId,
    },
    /// To end a silence or an accepted risk before its date.
    End {
        /// The record that began it.
        id: u64,
        /// Who.
        by: PersonId,
        /// Whether it is an accepted risk.
        accepted: bool,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such person.
    #[error("there is no [[person]] `{given}`{hint}")]
    Person {
        /// Who was named.
        given: PersonId,
        /// Who may have been meant.
        hint: String,
    },
    /// There is no such alert.
    #[error("there is no alert `{given}`{hint}; `attestd alerts` lists them")]
    Alert {
        /// What was named.
        given: String,
        /// What may have been meant.
        hint: String,
    },
    /// There are several.
    #[error("there are {} alerts called `{given}`; say which by its id:\n{}", which.len(), which.join("\n"))]
    Several {
        /// What was named.
        given: String,
        /// What it may be.
        which: Vec<String>,
    },
    /// Somebody else has it, or nobody.
    #[error("`{by}` does not have {code} of {subject}{has}")]
    NotTaken {
        /// Who gives it back.
        by: PersonId,
        /// What.
        code: String,
        /// Of what.
        subject: Subject,
        /// Who has it.
        has: String,
    },
    /// Nothing was sent that could have been seen.
    #[error(
        "no test alert was sent to `{0}`; `attestd canary list` shows where some were, and `attestd canary send` sends one"
    )]
    NoCanary(DestinationName),
    /// The date has passed.
    #[error("{until} is not after now ({now}); expected a time to come")]
    Past {
        /// The date.
        until: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// The date is too far away.
    #[error("{until} is too far away: {most}")]
    TooLong {
        /// The date.
        until: Timestamp,
        /// How far is far enough.
        most: String,
    },
    /// Nobody approves what they carry themselves.
    #[error("`{0}` cannot approve their own risk: the approver is another than the owner")]
    OwnApproval(PersonId),
    /// The review is of no use.
    #[error("the review on {review} is not between today and the end on {until}")]
    Review {
        /// The review.
        review: Date,
        /// The end.
        until: Date,
    },
    /// A text is missing or too long.
    #[error("`{0}` is 1 to {TEXT_MAX} characters")]
    Text(&'static str),
    /// It would be silent about everything.
    #[error("say what is to be silenced: a check, a kind, a target, a code or a label at least")]
    Everything,
    /// It would be silent about nothing.
    #[error("nothing that is watched is within {of}{hint}")]
    Nothing {
        /// What.
        of: String,
        /// What may have been meant.
        hint: String,
    },
    /// There is no such silence.
    #[error("there is no {what} {id} in force{known}")]
    NotInForce {
        /// What it would be.
        what: &'static str,
        /// The number.
        id: u64,
        /// Those there are.
        known: String,
    },
    /// There are too many.
    #[error("there are {SILENCES_MAX} silences and accepted risks already; end some first")]
    TooMany,
    /// The clock is wrong.
    #[error(
        "the wall clock cannot be believed ({0:?}): nothing that lasts until a date is begun by it"
    )]
    Clock(Trust),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Characters of a reason or a reference.
const TEXT_MAX: usize = 500;
/// Digits of an alert's id that name it at least.
const ID_MIN: usize = 4;
/// Digits of an alert's id that people are shown.
pub const ID_SHOWN: usize = 8;

/// Does what was asked, for the user `uid` of this machine; says what was done.
pub async fn act(shared: &Shared, wish: Wish, uid: u32) -> Result<String, ActError> {
    let trust = shared.trust();
    if trust != Trust::Trusted {
        return Err(ActError::Clock(trust));
    }
    let now = shared.clock.now();
    for person in wish.people() {
        hold_known(shared, person)?;
    }
    let mut drawn = Err(ActError::Everything);
    shared.store.read(&mut |state| drawn = draw(shared, state, &wish, now));
    let (subject, by, act) = drawn?;
    let acted = Acted { at: now, subject, by, uid, act };
    let draft = Draft { record: Record::Acted(acted.clone()), blobs: Vec::new() };
    let index = shared.commit(draft).await?.index;
    let mut said = String::new();
    shared.store.read(&mut |state| said = say(state, index, &acted, now));
    Ok(said)
}

impl Wish {
    fn people(&self) -> Vec<&PersonId> {
        match self {
            Wish::Take { by, .. }
            | Wish::Release { by, .. }
            | Wish::Confirm { by, .. }
            | Wish::Silence { by, .. }
            | Wish::End { by, .. } => vec![by],
            Wish::Accept { owner, approver, .. } => vec![owner, approver],
        }
    }
}

fn hold_known(shared: &Shared, person: &PersonId) -> Result<(), ActError> {
    let rules = shared.rules();
    if rules.people.contains_key(person) {
        return Ok(());
    }
    let hint = did_you_mean(person.as_str(), rules.people.keys().map(PersonId::as_str));
    Err(ActError::Person { given: person.clone(), hint })
}

/// What is to be recorded: in whose history, who, and what.
fn draw(
    shared: &Shared,
    state: &State,
    wish: &Wish,
    now: Timestamp,
) -> Result<(Subject, PersonId, Act), ActError> {
    Ok(match wish {
        Wish::Take { alert, by, until } => {
            hold_days(*until, now)?;
            let (subject, key) = find(state, alert)?;
            (subject, by.clone(), Act::Take { alert: key, until: *until })
        }
        Wish::Silence { of, by, until, reason } => {
            hold_days(*until, now)?;
            hold_room(state, now)?;
            let reason = text("reason", reason)?;
            hold_meant(shared, state, of)?;
            let silence = Silence {
                by: by.clone(),
                since: now,
                until: *until,
                of: of.clone(),
                reason,
                accepted: None,
            };
            (own::subject(), by.clone(), Act::Silence(Box::new(silence)))
        }
        Wish::Accept { alert, owner, approver, until, review, reference, reason } => {
            if owner == approver {
                return Err(ActError::OwnApproval(owner.clone()));
            }
            hold_room(state, now)?;
            let (reference, reason) = (text("reference", reference)?, text("reason", reason)?);
            let end = hold_months(*until, now)?;
            let review = review.unwrap_or(*until);
            if review < today(now) || review > *until {
                return Err(ActError::Review { review, until: *until });
            }
            let (subject, key) = find(state, alert)?;
            let of = accepted(state, &subject, key);
            let approved = Approval { approver: approver.clone(), reference, review };
            let silence = Silence {
                by: owner.clone(),
                since: now,
                until: end,
                of,
                reason,
                accepted: Some(approved),
            };
            (subject, owner.clone(), Act::Silence(Box::new(silence)))
        }
        Wish::Release { alert, by } => {
            let (subject, key) = find(state, alert)?;
            let taken = state.subjects.get(&subject).into_iter().flat_map(|of| &of.taken);
            let mut lasting = taken.filter(|(of, taken)| *of == key && now < taken.until);
            let has = lasting.next().map(|(_, taken)| taken.by.clone());
            if has.as_ref() != Some(by) {
                let (by, code) = (by.clone(), key.code.to_string());
                let has = has.map_or(": nobody has".to_owned(), |has| format!(": `{has}` has"));
                return Err(ActError::NotTaken { by, code, subject, has });
            }
            (subject, by.clone(), Act::Release { alert: key })
        }
        Wish::Confirm { destination, by } => {
            let sent = state.canaries.get(destination).and_then(|stand| stand.sent);
            let (canary, _) = sent.ok_or_else(|| ActError::NoCanary(destination.clone()))?;
            (own::subject(), by.clone(), Act::Confirm { destination: destination.clone(), canary })
        }
        Wish::End { id, by, accepted } => {
            let ends =
                |silence: &Silence| silence.lasts(now) && silence.accepted.is_some() == *accepted;
            let Some(silence) = state.silences.get(id).filter(|silence| ends(silence)) else {
                return Err(not_in_force(state, *id, *accepted, ends));
            };
            let subject = match (&silence.of.check, &silence.accepted) {
                (Some(check), Some(_)) => Subject::new(check.clone(), silence.of.target.clone()),
                _ => own::subject(),
            };
            (subject, by.clone(), Act::End { of: *id })
        }
    })
}

/// One alert, at the severity that it has and below: what becomes worse than what was accepted is told.
fn accepted(state: &State, subject: &Subject, key: FindingKey) -> Matcher {
    let alert = state.subjects.get(subject).and_then(|of| of.alerts.0.get(&key));
    let severity = alert.map_or(Severity::Critical, |alert| alert.finding.severity);
    let all = [Severity::Notice, Severity::Warning, Severity::Critical];
    Matcher {
        check: Some(subject.check.clone()),
        target: subject.target.clone(),
        code: Some(key.code),
        component: key.component,
        severities: all.into_iter().filter(|one| *one <= severity).collect(),
        ..Matcher::default()
    }
}

/// The alert that people call so: by the beginning of its id, or by its subject where that has one only.
fn find(state: &State, given: &str) -> Result<(Subject, FindingKey), ActError> {
    let (mut found, mut names) = (Vec::new(), Vec::new());
    for (subject, of) in &state.subjects {
        for alert in of.alerts.0.values() {
            let key = &alert.finding.key;
            let id = alert_id(state.store(), subject, key, alert.since);
            let name = subject.to_string();
            if name == given || (given.len() >= ID_MIN && id.starts_with(given)) {
                let part = key.component.as_ref().map(|part| format!(" ({part})"));
                let shown = format!("{} {}{}", &id[..ID_SHOWN], key.code, part.unwrap_or_default());
                found.push((subject.clone(), key.clone(), shown));
            }
            names.extend([name, id[..ID_SHOWN].to_owned()]);
        }
    }
    match found.len() {
        0 => {
            let hint = did_you_mean(given, names.iter().map(String::as_str));
            Err(ActError::Alert { given: given.chars().take(80).collect(), hint })
        }
        1 => Ok(found.pop().map(|(subject, key, _)| (subject, key)).expect("there is one")),
        _ => {
            let which = found.into_iter().map(|(_, _, shown)| shown).collect();
            Err(ActError::Several { given: given.to_owned(), which })
        }
    }
}

fn hold_days(until: Timestamp, now: Timestamp) -> Result<(), ActError> {
    if until <= now {
        return Err(ActError::Past { until, now });
    }
    let most = attestd_core::time::after(
        now,
        std::time::Duration::from_secs(86_400 * SILENCE_DAYS_MAX.unsigned_abs() as u64),
    );
    if until > most {
        let most = format!("{SILENCE_DAYS_MAX} days at most, until {most}");
        return Err(ActError::TooLong { until, most });
    }
    Ok(())
}

/// The end of the day until which a risk is accepted.
fn hold_months(until: Date, now: Timestamp) -> Result<Timestamp, ActError> {
    let end = end_of(until).unwrap_or(Timestamp::MAX);
    if end <= now {
        return Err(ActError::Past { until: end, now });
    }
    let most = Period::months(ACCEPT_MONTHS_MAX).after(today(now));
    if until > most {
        let most = format!("{ACCEPT_MONTHS_MAX} months at most, until {most}");
        return Err(ActError::TooLong { until: end, most });
    }
    Ok(end)
}

fn hold_room(state: &State, now: Timestamp) -> Result<(), ActError> {
    let counts = state.silences.values().filter(|silence| silence.counts(now)).count();
    if counts < SILENCES_MAX { Ok(()) } else { Err(ActError::TooMany) }
}

/// Holds that there is something that it is about; a word that nobody knows is most likely a slip.
fn hold_meant(shared: &Shared, state: &State, of: &Matcher) -> Result<(), ActError> {
    let Matcher { check, kind, target, code, component: _, labels, severities: _ } = of;
    if check.is_none() && kind.is_none() && target.is_none() && code.is_none() && labels.is_empty()
    {
        return Err(ActError::Everything);
    }
    let none = Labels::new();
    let about = |(subject, known): (&Subject, &attestd_core::state::SubjectState)| {
        let labels = state.labels.get(&subject.check).unwrap_or(&none);
        of.is_about(subject, &known.kind, labels)
            && code.as_ref().is_none_or(|code| catalogue::spec(&known.kind, &code.0).is_some())
    };
    if state.subjects.iter().any(about) {
        return Ok(());
    }
    let expected = shared.expected.lock().expect("nothing panics while it holds this lock").clone();
    let subjects = || state.subjects.keys().chain(expected.keys());
    let mut hint = String::new();
    if let Some(check) = check {
        hint = did_you_mean(check.as_str(), subjects().map(|subject| subject.check.as_str()));
    }
    if let Some(target) = target.as_ref().filter(|_| hint.is_empty()) {
        let names = subjects().filter_map(|subject| subject.target.as_ref());
        hint = did_you_mean(target.as_str(), names.map(|target| target.as_str()));
    }
    if let Some(kind) = kind.as_ref().filter(|_| hint.is_empty()) {
        hint = did_you_mean(kind, state.subjects.values().map(|known| known.kind.as_str()));
    }
    if let Some(code) = code.as_ref().filter(|_| hint.is_empty()) {
        hint = did_you_mean(&code.0, catalogue::codes());
    }
    Err(ActError::Nothing { of: of.to_string(), hint })
}

fn not_in_force(
    state: &State,
    id: u64,
    accepted: bool,
    ends: impl Fn(&Silence) -> bool,
) -> ActError {
    let what = if accepted { "accepted risk" } else { "silence" };
    let known = state.silences.iter().filter(|(_, silence)| ends(silence));
    let known: Vec<String> = known.map(|(id, _)| id.to_string()).collect();
    let known = match known.is_empty() {
        true => format!("; there is no {what} in force at all"),
        false => format!("; there are {}", known.join(", ")),
    };
    ActError::NotInForce { what, id, known }
}

fn text(name: &'static str, text: &str) -> Result<String, ActError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > TEXT_MAX {
        return Err(ActError::Text(name));
    }
    Ok(attestd_core::text::plain(text, TEXT_MAX))
}

/// What was done, for who asked.
fn say(state: &State, index: u64, acted: &Acted, now: Timestamp) -> String {
    match &acted.act {
        Act::Take { alert, until } => {
            format!("{} of {} is taken by {} until {until}", alert.code, acted.subject, acted.by)
        }
        Act::Silence(silence) => {
            let open = crate::view::alerts::AlertsView::of(state, &|_| Vec::new(), now);
            let covered = open.alerts.iter().filter(|alert| alert.silence == Some(index)).count();
            let what = match &silence.accepted {
                Some(_) => "accepted risk",
                None => "silence",
            };
            let s = if covered == 1 { "" } else { "s" };
            format!("{what} {index} is in force until {}: {covered} open alert{s}", silence.until)
        }
        Act::Release { alert } => {
            format!("{} of {} is nobody's now, and comes back", alert.code, acted.subject)
        }
        Act::Confirm { destination, .. } => {
            format!("it is recorded that {} saw the test alert at {destination}", acted.by)
        }
        Act::End { of } => {
            format!("{of} is ended, and what fires and was not told is told now")
        }
    }
}
