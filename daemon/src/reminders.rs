//! What reminds people of what they silenced and accepted: conditions of the daemon's own check, whose findings reach a
//! lead time now and then and concern one person alone (A3, F6).

use std::collections::{BTreeMap, BTreeSet};

use attestd_checks::data::working_days;
use attestd_core::act::Silence;
use attestd_core::ending::last_day;
use attestd_core::obligation::{days_until, tier, today};
use attestd_core::state::State;
use attestd_core::{Date, Finding, FindingSpec, Means, Severity, Timestamp};

use crate::own::Conditions;

/// A silence is in force.
pub const SILENCE_LASTS: &str = "silence_in_force";
/// An accepted risk is in force.
pub const RISK_ACCEPTED: &str = "accepted_risk_in_force";

/// The row of a silence in the catalogue.
pub const SILENCE: FindingSpec = FindingSpec {
    code: SILENCE_LASTS,
    means: Means::Note,
    severity: Severity::Notice,
    message: "your {component} still silences alerts ({what}) until {due}",
    remedy: "end it with `attestd silence end` where it is not needed any more; on its date what still fires is told",
    reference: "attestd semantics A3, F6",
};

/// That of an accepted risk.
pub const RISK: FindingSpec = FindingSpec {
    code: RISK_ACCEPTED,
    means: Means::Note,
    severity: Severity::Notice,
    message: "your {component} ({what}; {reference}) is to be reviewed by {due}",
    remedy: "review it: accept it anew with `attestd accept add`, or end it with `attestd accept end`",
    reference: "attestd semantics F6",
};

/// Sets the conditions to what is in force; says whether that changed anything.
pub fn follow(conditions: &Conditions, state: &State, now: Timestamp) -> bool {
    let (mut silences, mut risks) = (BTreeSet::new(), BTreeSet::new());
    let mut changed = false;
    for (id, silence) in state.silences.iter().filter(|(_, silence)| silence.lasts(now)) {
        let (code, name) = match &silence.accepted {
            Some(_) => (RISK_ACCEPTED, format!("accepted risk {id}")),
            None => (SILENCE_LASTS, format!("silence {id}")),
        };
        changed |= conditions.set(code, Some(&name), Some(&values(silence)));
        if silence.accepted.is_some() { &mut risks } else { &mut silences }.insert(name);
    }
    changed |= conditions.clear_others(SILENCE_LASTS, &silences);
    changed | conditions.clear_others(RISK_ACCEPTED, &risks)
}

fn values(silence: &Silence) -> Vec<(&'static str, String)> {
    let due = silence.accepted.as_ref().map_or(last_day(silence.until), |accepted| accepted.review);
    let mut values = vec![
        (attestd_core::finding::FOR, silence.by.to_string()),
        ("what", silence.of.to_string()),
        ("since", today(silence.since).to_string()),
        ("due", due.to_string()),
    ];
    let reference = silence.accepted.as_ref().map(|accepted| accepted.reference.clone());
    values.extend(reference.map(|reference| ("reference", reference)));
    values
}

/// The finding of such a condition at `now`; none while no lead time is reached, and none for another condition.
pub fn finding(
    spec: &FindingSpec,
    values: &BTreeMap<String, String>,
    now: Timestamp,
) -> Option<Finding> {
    let date = |name| values.get(name)?.parse::<Date>().ok();
    let (since, due) = (date("since")?, date("due")?);
    // What it was long before on the day it began is no news to who made it.
    let length = days_until(due, since);
    let leads: Vec<i32> = match spec.code {
        SILENCE_LASTS => WEEKLY.into_iter().filter(|lead| *lead < length).collect(),
        _ => REVIEW.into_iter().filter(|lead| *lead < length).collect(),
    };
    let tier = tier(due, today(now), &leads, working_days())?;
    let overdue = tier.0 < 0 && spec.code == RISK_ACCEPTED;
    let severity = if overdue { Severity::Warning } else { spec.severity };
    Some(spec.finding().severity(severity).tier(Some(tier)))
}

/// Whether a condition of this code is about a silence or an accepted risk.
pub fn is_one(code: &str) -> bool {
    code == SILENCE_LASTS || code == RISK_ACCEPTED
}

/// Days before a silence ends: each week, since what is silenced is forgotten within one; and the day before, so that
/// nobody is surprised when it fires again.
const WEEKLY: [i32; 13] = [84, 77, 70, 63, 56, 49, 42, 35, 28, 21, 14, 7, 1];
/// Days before a review, as for other reviews (H2), with a week between.
const REVIEW: [i32; 4] = [30, 14, 7, 1];

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(code: &str, since: &str, due: &str, days: &[&str]) -> Vec<Option<i32>> {
        let spec = if code == SILENCE_LASTS { SILENCE } else { RISK };
        let values = [("since", since), ("due", due)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let at = |day: &&str| format!("{day}T12:00:00Z").parse().expect("a timestamp");
        let found = |day| finding(&spec, &values.clone().into(), at(day));
        days.iter().map(|day| found(day)?.tier.map(|tier| tier.0)).collect()
    }

    #[test]
    fn the_author_of_a_silence_is_reminded_each_week_and_the_day_before_its_end() {
        for (since, due, day, expected, why) in [
            ("2026-11-23", "2026-11-24", "2026-11-23", None, "of a day: its author is still there"),
            ("2026-11-23", "2026-11-26", "2026-11-24", None, "of three days: not at once"),
            ("2026-11-23", "2026-11-26", "2026-11-25", Some(1), "but the day before"),
            ("2026-11-23", "2026-12-21", "2026-11-29", None, "of four weeks: not in the first"),
            ("2026-11-23", "2026-12-21", "2026-11-30", Some(21), "each week"),
            ("2026-11-23", "2026-12-21", "2026-12-10", Some(14), "each week"),
            (
                "2026-11-23",
                "2026-12-21",
                "2026-12-18",
                Some(1),
                "the Sunday before it is no working day",
            ),
        ] {
            assert_eq!(
                tiers(SILENCE_LASTS, since, due, &[day]),
                [expected],
                "{due} on {day}: {why}"
            );
        }
    }

    #[test]
    fn a_risk_is_to_be_reviewed_and_is_overdue_when_it_was_not() {
        let days = ["2026-12-01", "2027-01-04", "2027-01-31", "2027-02-01", "2027-02-10"];
        let expected = [None, Some(30), Some(1), Some(-1), Some(-7)];
        assert_eq!(tiers(RISK_ACCEPTED, "2026-11-23", "2027-01-31", &days), expected);
    }
}
