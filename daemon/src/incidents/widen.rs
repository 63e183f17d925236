//! What turns out to be concerned by an open incident later: held against what is known of it, and drawn up as an act.

use attestd_checks::data;
use attestd_checks::incident::rules::Customers;
use attestd_core::Timestamp;
use attestd_core::incident::{Duty, Incident, Opened, Said, Widened};

use super::{Wish, data_of, hold_past, hold_text, kinds_of, plain, touched};

/// Who is to be told of `incident` too, and what is recorded of that.
pub(super) fn draw(
    wish: &Wish,
    incident: &Incident,
    claimed: &Customers,
    now: Timestamp,
    wrong: &mut Vec<String>,
) -> Option<Said> {
    let Wish::Widen { by, aware, kinds, roles, customers, what, .. } = wish else { return None };
    let before = &incident.opened;
    let aware = aware.unwrap_or(now);
    hold_past("--aware-at", aware, now, wrong);
    if aware < before.aware {
        wrong.push(format!(
            "--aware-at {aware} is before anybody here was aware of the incident ({}): open another for what was known earlier",
            before.aware
        ));
    }
    hold_text("--what", what.as_deref(), wrong);
    let mut all = before.clone();
    all.aware = aware;
    all.kinds.extend(kinds_of(kinds, wrong));
    all.data = data_of(roles, &all.kinds, before.data.clone(), wrong);
    let mut concerned = data::incidents().touched(&before.duties);
    let known = concerned.clone();
    concerned.extend(touched(customers.iter(), claimed, wrong));
    if (&all.kinds, &all.data, &concerned) == (&before.kinds, &before.data, &known) {
        wrong.push("it is as wide already: name a --kind, --customer or --role that is new".into());
    }
    // Whom it touches was not noted where no customer was to be told of it: as with one that is opened, all are then.
    if concerned.is_empty() {
        concerned.clone_from(claimed);
    }
    let mut duties = data::incidents().widened((before, &known), (&all, &concerned));
    duties.retain(|duty| counts(duty, before));
    duties.iter_mut().for_each(|duty| duty.aware = Some(aware));
    let widened = Widened {
        aware,
        kinds: all.kinds.difference(&before.kinds).cloned().collect(),
        data: all.data.into_iter().filter(|(data, _)| !before.data.contains_key(data)).collect(),
        what: what.as_deref().map(plain),
        duties,
    };
    let mut wider = incident.clone();
    wider.widen(now, by, &widened);
    hold_size(&wider, wrong);
    Some(Said::Widened(Box::new(widened)))
}

/// Whether it changes what is to be done: who is still to be told sooner anyway, has nothing more to be told of.
fn counts(duty: &Duty, before: &Opened) -> bool {
    let mut open = before.duties.iter().filter(|known| known.done.is_none());
    open.all(|known| known.to != duty.to || duty.sooner(known))
}

/// All that is known of an incident stands in the record of each look at it.
fn hold_size(incident: &Incident, wrong: &mut Vec<String>) {
    let size = serde_json::to_vec(incident).map_or(usize::MAX, |bytes| bytes.len());
    if incident.widened.len() > WIDENED_MAX || size > SIZE_MAX {
        wrong.push(format!(
            "an incident is widened {WIDENED_MAX} times at most, and has {SIZE_MAX} bytes; open another for the rest"
        ));
    }
}

/// How often one incident may be widened: who learns more each day for a month has another incident.
const WIDENED_MAX: usize = 30;
/// What is known of one incident, in bytes of JSON: it must fit a record of 65,535, with what surrounds it.
const SIZE_MAX: usize = 48 * 1024;
