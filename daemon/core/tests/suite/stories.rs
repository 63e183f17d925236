//! Stories of the alert machine, drawn in text: what happened when, and what was told when.
//!
//! A story is a line of moments (`10m found C`), between which the machine is ticked at each deadline it reports, as the
//! monitor does. `found W` is a Warning about `leaf`, `found W14` one with a lead time, `found whole:C` one about the
//! target as a whole; `unseen leaf` is seen but for that part; `wait` lets time pass, `wake` ends a sleep without ticks.

use std::time::Duration;

use attestd_core::alert::{Alerts, Input, next_deadline, step};
use attestd_core::event::AlertEvent;
use attestd_core::time::{after, between};
use attestd_core::{Finding, Severity, Tier, Timestamp};

use crate::words::{at, bad, judged, observation, policy, unseen, unseen_whole};

const START: &str = "2026-11-22T09:00:00Z";

#[test]
fn what_happened_decides_what_is_told() {
    for (says, hold, keep, happened, told) in [
        (
            "found, worse, unseen, well: the unseen changes nothing",
            "0m",
            "0m",
            "0m found W | 10m found C | 20m unseen | 30m clear",
            "0m opened W | 10m worsened C | 30m resolved C",
        ),
        (
            "what is found again and again is told once, then each day, then less often, each week at last",
            "0m",
            "0m",
            "0m found W | 1d found W | 20d wait",
            "0m opened W | 1d repeated W #1 | 3d repeated W #2 | 7d repeated W #3 | 14d repeated W #4",
        ),
        (
            "a Critical is repeated every four hours, without backing off",
            "0m",
            "0m",
            "0m found C | 13h wait",
            "0m opened C | 4h repeated C #1 | 8h repeated C #2 | 12h repeated C #3",
        ),
        (
            "easing is told, and the repeats begin anew",
            "0m",
            "0m",
            "0m found C | 5h found W | 30h wait",
            "0m opened C | 4h repeated C #1 | 5h eased W | 29h repeated W #1",
        ),
        ("a Notice is told once", "0m", "0m", "0m found N | 30d wait", "0m opened N"),
        (
            "with a hold, what passes sooner is never told",
            "15m",
            "0m",
            "0m found W | 10m clear | 12m found W | 26m clear | 1d wait",
            "",
        ),
        (
            "with a hold, what lasts is told at the tick that ends it, at the severity it has by then",
            "15m",
            "0m",
            "0m found W | 10m found C | 20m clear",
            "15m opened C | 20m resolved C",
        ),
        (
            "what was found and then not seen was not mended meanwhile: it is told when the hold ends",
            "15m",
            "0m",
            "0m found W | 5m unseen | 20m found W",
            "15m opened W",
        ),
        (
            "with keep, a gap shorter than it closes nothing",
            "0m",
            "2h",
            "0m found W | 1h clear | 2h found W | 5h wait",
            "0m opened W",
        ),
        (
            "with keep, what stays well is resolved by a tick",
            "0m",
            "2h",
            "0m found W | 1h clear | 5h wait",
            "0m opened W | 3h resolved W",
        ),
        (
            "with keep, what is not seen meanwhile is not resolved: well for the whole of it is what resolves",
            "0m",
            "2h",
            "0m found W | 1h clear | 90m unseen leaf | 150m clear | 5h wait",
            "0m opened W | 270m resolved W",
        ),
        (
            "after a sleep in which keep and a repeat both passed, it is resolved and no more is said",
            "0m",
            "2h",
            "0m found C | 3h clear | 30h wake",
            "0m opened C | 30h resolved C",
        ),
        (
            "after a sleep, many repeats are one",
            "0m",
            "0m",
            "0m found C | 30h wake | 33h wait",
            "0m opened C | 30h repeated C #1",
        ),
        (
            "each lead time is told once, overdue day by day, and never repeated between",
            "0m",
            "0m",
            "0m found W30 | 1d found W30 | 16d found W14 | 27d found C3 | 31d found C-1 | 32d found C-2 | 33d clear",
            "0m opened W30 | 16d reminded W14 | 27d worsened C3 | 31d reminded C-1 | 32d reminded C-2 | 33d resolved C-2",
        ),
        (
            "a lead time that moves out again, because the date was put off, is not told",
            "0m",
            "0m",
            "0m found W14 | 1d found W30 | 2d found W14",
            "0m opened W14 | 2d reminded W14",
        ),
        (
            "the first lead time of a finding that had none is a new one",
            "0m",
            "0m",
            "0m found W | 1h found W30 | 10d wait",
            "0m opened W | 1h reminded W30",
        ),
        (
            "not seen is told only when it lasts, and ends when seen",
            "0m",
            "0m",
            "0m unseen | 5m clear | 10m unseen | 30m unseen | 90m clear",
            "70m not_seen opened W | 90m not_seen resolved W",
        ),
        (
            "a part not seen holds what is known of it and of the whole, and lets the rest resolve",
            "0m",
            "0m",
            "0m found leaf:W ca:W whole:W | 10m unseen leaf | 20m clear",
            "0m whole opened W | 0m ca opened W | 0m opened W | 10m ca resolved W | 20m whole resolved W | 20m resolved W",
        ),
        (
            "while the network is down a hundred targets say nothing of being unseen; what lasts is told after",
            "0m",
            "0m",
            "0m network down | 0m unseen | 3h wait | 4h network up | 5h clear",
            "4h not_seen opened W | 5h not_seen resolved W",
        ),
        (
            "what leaves the configuration is retired, and what was not yet told never is",
            "15m",
            "0m",
            "0m found W | 20m found W ca:C | 21m retired | 1d wait",
            "15m opened W | 21m retired W",
        ),
        (
            "what comes back after it was resolved is another alert",
            "0m",
            "0m",
            "0m found C | 1h clear | 2h found W",
            "0m opened C | 1h resolved C | 2h opened W",
        ),
    ] {
        assert_eq!(tell(happened, hold, keep), told, "{says}: {happened}");
    }
}

/// Plays the line of moments, and draws what is told.
fn tell(happened: &str, hold: &str, keep: &str) -> String {
    let mut world = World {
        hold: time(hold),
        keep: time(keep),
        network_down: false,
        alerts: Alerts::default(),
        told: Vec::new(),
    };
    for moment in happened.split(" | ") {
        let (when, what) = moment.split_once(' ').expect("a moment is a time and what happened");
        world.live(after(at(START), time(when)), what);
    }
    world.told.join(" | ")
}

struct World {
    hold: Duration,
    keep: Duration,
    network_down: bool,
    alerts: Alerts,
    told: Vec<String>,
}

impl World {
    fn live(&mut self, now: Timestamp, what: &str) {
        let mut ticks = 0..1000; // a story is shorter; a machine that asks for ticks without end fails
        while what != "wake"
            && let Some(deadline) = self.deadline(now).filter(|deadline| *deadline < now)
        {
            ticks.next().expect("a deadline that a tick does not move");
            self.step(Input::Tick, deadline);
        }
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let outcome = match (verb, rest) {
            ("found", rest) => judged(rest.split(' ').map(found).collect(), Vec::new()),
            ("clear", _) => judged(Vec::new(), Vec::new()),
            ("unseen", "") => unseen_whole(),
            ("unseen", part) => judged(Vec::new(), vec![unseen(Some(part))]),
            ("retired", _) => return self.step(Input::Retired, now),
            ("network", state) => {
                self.network_down = state == "down";
                return self.step(Input::Tick, now);
            }
            ("wait" | "wake", _) => return self.step(Input::Tick, now),
            (other, _) => panic!("no story says {other:?}"),
        };
        self.step(Input::Observed(&observation(outcome, now)), now);
    }

    fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        next_deadline(&self.alerts, &policy(self.hold, self.keep, self.network_down, now))
    }

    fn step(&mut self, input: Input<'_>, now: Timestamp) {
        let policy = policy(self.hold, self.keep, self.network_down, now);
        let (alerts, events) = step(&self.alerts, input, &policy, now);
        self.alerts = alerts;
        self.told.extend(events.iter().map(|event| draw(event, now)));
    }
}

/// `leaf:W14`, `whole:C`, `N`.
fn found(text: &str) -> Finding {
    let (about, text) = text.split_once(':').unwrap_or(("leaf", text));
    let (severity, tier) = text.split_at(1);
    let severity = match severity {
        "N" => Severity::Notice,
        "W" => Severity::Warning,
        "C" => Severity::Critical,
        other => panic!("{other:?} is no severity"),
    };
    let tier = (!tier.is_empty()).then(|| Tier(tier.parse().expect("a lead time in days")));
    bad((about != "whole").then_some(about), severity).tier(tier)
}

/// `10m worsened C`, `1d repeated W #1`, `5h not_seen/leaf opened W`; an alert about `leaf` is not named.
fn draw(event: &AlertEvent, now: Timestamp) -> String {
    let minutes = between(at(START), now).as_secs() / 60;
    let when = match minutes {
        m if m > 0 && m % 1440 == 0 => format!("{}d", m / 1440),
        m if m > 0 && m % 60 == 0 => format!("{}h", m / 60),
        m => format!("{m}m"),
    };
    let key = &event.finding.key;
    let about = match (key.code.0.as_str(), key.component.as_ref().map(|c| c.as_str())) {
        ("bad", Some("leaf")) => String::new(),
        ("bad", about) => format!("{} ", about.unwrap_or("whole")),
        (code, None) => format!("{code} "),
        (code, Some(about)) => format!("{code}/{about} "),
    };
    let severity = event.finding.severity.as_str()[..1].to_uppercase();
    let tier = event.finding.tier.map_or(String::new(), |tier| tier.0.to_string());
    let number = event.number.map_or(String::new(), |n| format!(" #{n}"));
    format!("{when} {about}{} {severity}{tier}{number}", event.change.as_str())
}

/// `15m`, `2h`, `3d`, and nothing as `0m`.
fn time(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number of minutes, hours or days");
    match unit {
        "m" => Duration::from_secs(60 * number),
        "h" => Duration::from_secs(3600 * number),
        "d" => Duration::from_secs(86_400 * number),
        other => panic!("{other:?} is no unit of time"),
    }
}
