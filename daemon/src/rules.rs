//! What the configuration says of people and maintenance: whose turn it is (`hand_on`), and when checks pause
//! (`[[maintenance]]`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::Route;
use attestd_core::maintenance::{WINDOW_MAX, When, Window};
use attestd_core::schedule::Schedule;
use attestd_core::settings::did_you_mean;
use attestd_core::time::signed;
use attestd_core::{CheckId, PersonId, Settings};

use crate::config::{ConfiguredCheck, Person};
use crate::delivery::routing;

/// What is needed of it while the daemon runs.
#[derive(Debug, Default)]
pub struct Rules {
    /// The people, by id.
    pub people: BTreeMap<PersonId, Person>,
    /// The maintenance windows.
    pub windows: Vec<Window>,
}

/// Who is told, in which order, and where that stands.
pub type Order = Vec<(PersonId, Range<usize>)>;

/// Reads `hand_on`, of the configuration or of a check; absent where there is none.
pub fn order(table: &Settings<'_>, people: &BTreeMap<PersonId, Person>) -> Option<Order> {
    if !table.has("hand_on") {
        return None;
    }
    let mut order = Order::new();
    for text in table.texts("hand_on") {
        let Some((person, _)) = people.iter().find(|(id, _)| id.as_str() == text.value) else {
            let hint = did_you_mean(&text.value, people.keys().map(PersonId::as_str));
            table.error_at(text.span, format!("there is no [[person]] {:?}{hint}", text.value));
            continue;
        };
        if order.iter().any(|(known, _)| known == person) {
            table.error_at(text.span, format!("{:?} is named twice", text.value));
        } else {
            order.push((person.clone(), text.span));
        }
    }
    if table.texts("hand_on").len() == 1 {
        table.warn("hand_on", "there is nobody to hand it on to: name the next person too");
    }
    Some(order)
}

/// Holds that whoever it is handed on to is told by mail.
pub fn hold_reached(settings: &Settings<'_>, order: &Order, routes: &[Route]) {
    for (person, span) in order {
        let own = |route: &Route| route.destination.person().as_ref() == Some(person);
        if !routes.iter().any(own) {
            let what = format!("`{person}` gets no mail: name them in `to` of [mail]");
            settings.error_at(span.clone(), what);
        }
    }
}

/// Reads every `[[maintenance]]`.
pub fn windows(
    settings: &Settings<'_>,
    checks: &BTreeMap<CheckId, Arc<ConfiguredCheck>>,
    (whole, zone): (bool, &str),
) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for table in settings.tables("maintenance") {
        let Some(window) = window(&table, checks, whole, zone) else { continue };
        if windows.iter().any(|known| known.name == window.name) {
            table.error("name", format!("there is a window `{}` already", window.name));
        }
        let mut paused = checks.values().filter(|check| window.pauses(&check.id, &check.labels));
        let mut paused = paused.by_ref().peekable();
        if whole && paused.peek().is_none() {
            let key = if table.has("labels") { "labels" } else { "checks" };
            table.warn(key, "no check is within this window: nothing pauses");
        }
        for check in paused.filter(|check| never_looks(&window, &check.schedule)) {
            let what = format!(
                "every slot of check `{}` falls into this window: it would never be looked at",
                check.id
            );
            table.error("schedule", what);
        }
        windows.push(window);
    }
    windows
}

fn window(
    table: &Settings<'_>,
    checks: &BTreeMap<CheckId, Arc<ConfiguredCheck>>,
    whole: bool,
    zone: &str,
) -> Option<Window> {
    if !table.has("name") {
        table.missing("name", "what it is called in the evidence: a-z, 0-9, '-' and '_'");
    }
    let name: Option<CheckId> = table.parsed("name");
    let mut named = Vec::new();
    for text in table.texts("checks") {
        match checks.keys().find(|id| id.as_str() == text.value) {
            Some(id) => named.push(id.clone()),
            None if whole => {
                let hint = did_you_mean(&text.value, checks.keys().map(CheckId::as_str));
                table.error_at(text.span, format!("there is no check {:?}{hint}", text.value));
            }
            None => {}
        }
    }
    let labels = routing::labels(table);
    if !table.has("checks") && !table.has("labels") {
        table.missing("checks", "which checks pause, by their ids; or `labels` that they have");
    }
    let own = crate::config::zone(table);
    let when = when(table, own.as_deref().unwrap_or(zone));
    table.finish();
    Some(Window { name: name?, checks: named.into_iter().collect(), labels, when: when? })
}

fn when(table: &Settings<'_>, zone: &str) -> Option<When> {
    let again = table.has("schedule") || table.has("lasts");
    let tz = attestd_core::time::zone(zone)?;
    let (from, until) = (table.moment("from", &tz), table.moment("until", &tz));
    let text = table.text("schedule");
    let lasts = table.duration("lasts");
    if again && (table.has("from") || table.has("until")) {
        let what = "a window has either `schedule` and `lasts`, or `from` and `until`";
        table.error(if table.has("from") { "from" } else { "until" }, what);
        return None;
    }
    let too_long = |lasts: Duration| lasts > WINDOW_MAX;
    const TOO_LONG: &str =
        "a window is open for 7 days at most: a check that rests for longer is to be taken out";
    if again {
        if text.is_none() {
            table.missing("schedule", "when it opens, as a cron line such as \"0 2 * * SUN\"");
        }
        if !table.has("lasts") {
            table.missing("lasts", "how long it is open, such as \"2h\"");
        }
        if lasts.is_some_and(too_long) {
            table.error("lasts", TOO_LONG);
        }
        let opens = text.and_then(|text| {
            let parsed = Schedule::parse(&text.value, zone);
            parsed.map_err(|error| table.error_at(text.span, error.to_string())).ok()
        });
        return Some(When::Each { opens: opens?, lasts: lasts?.min(WINDOW_MAX) });
    }
    if !table.has("from") || !table.has("until") {
        let what = "when it is open: `from` and `until`, or `schedule` and `lasts`";
        table.missing(if table.has("from") { "until" } else { "from" }, what);
    }
    let (from, until) = (from?, until?);
    if until <= from {
        table.error("until", "`until` is before `from`");
    } else if until.duration_since(from) > signed(WINDOW_MAX) {
        table.error("until", TOO_LONG);
    }
    Some(When::Once { from, until })
}

/// Whether a window that comes again and again leaves a check no slot to look in.
fn never_looks(window: &Window, schedule: &Schedule) -> bool {
    if !matches!(window.when, When::Each { .. }) {
        return false;
    }
    let slots = std::iter::successors(schedule.next_after(crate::clock::RELEASED), |slot| {
        schedule.next_after(*slot)
    });
    slots.take(SLOTS_TRIED).all(|slot| window.open_until(slot).is_some())
}

/// Slots that are held against a window: a fortnight of an hourly check.
const SLOTS_TRIED: usize = 336;
