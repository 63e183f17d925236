//! Stories of the alert machine, drawn in text: what happened when, and what was told when.
//!
//! A story is a line of moments (`10m found C`), between which the machine is ticked at each deadline it reports, as the
//! monitor does. `found W` is a Warning about `leaf`, `found W14` one with a lead time, `found whole:C` one about the
//! target as a whole; `unseen leaf` is seen but for that part; `wait` lets time pass, `wake` ends a sleep without ticks.
//! `silence 5h`, `silence W 5h` and `take 2d` last so long from then; `end` ends every silence; `order 2` says how many
//! people there are to hand on to. What is recorded and told to nobody is drawn in brackets.

use std::time::Duration;

use attestd_core::act::{Matcher, Silence, Taken};
use attestd_core::alert::{Alerts, Input, People, Policy, next_deadline, step};
use attestd_core::event::AlertEvent;
use attestd_core::time::{after, between};
use attestd_core::{Finding, PersonId, Severity, Tier, Timestamp};

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

#[test]
fn what_is_silenced_is_told_when_the_silence_is_over_and_no_more_than_that() {
    for (says, keep, happened, told) in [
        (
            "what opens and is resolved within a silence is never told",
            "0m",
            "0m silence 5h | 1h found C | 2h clear | 1d wait",
            "1h (opened C) | 2h (resolved C)",
        ),
        (
            "what opened within a silence and lasts is told when it is over",
            "0m",
            "0m silence 5h | 1h found W | 6h wait",
            "1h (opened W) | 5h opened W",
        ),
        (
            "what changed within it is told as the one difference",
            "0m",
            "0m found W | 1h silence 5h | 2h found C | 7h wait",
            "0m opened W | 2h (worsened C) | 6h worsened C",
        ),
        (
            "where nothing changed nothing is told, and repeats go on",
            "0m",
            "0m found W | 1h silence 5h | 2h found C | 3h found W | 25h wait",
            "0m opened W | 2h (worsened C) | 3h (eased W) | 1d repeated W #1",
        ),
        (
            "repeats wait for its end, and are one then",
            "0m",
            "0m found C | 1h silence 3d | 4d wait",
            "0m opened C | 73h repeated C #1 | 77h repeated C #2 | 81h repeated C #3 | 85h repeated C #4 | 89h repeated C #5 | 93h repeated C #6",
        ),
        (
            "the end of what was told to be open is always told",
            "0m",
            "0m found W | 1h silence 5h | 2h clear | 3h found W | 7h wait",
            "0m opened W | 2h resolved W | 3h (opened W) | 6h opened W",
        ),
        (
            "so is its leaving; of what nobody knows, nothing is told",
            "0m",
            "0m found leaf:W | 1h silence 5h | 2h found leaf:W ca:W | 3h retired",
            "0m opened W | 2h (ca opened W) | 3h (ca retired W) | 3h retired W",
        ),
        (
            "a silence of Warnings ends for what becomes Critical, which is opened for those outside",
            "0m",
            "0m silence W 5h | 1h found W | 2h found C | 3h clear",
            "1h (opened W) | 2h opened C | 3h resolved C",
        ),
        (
            "ended early, it tells at once",
            "0m",
            "0m silence 5h | 1h found W | 2h end | 3h wait",
            "1h (opened W) | 2h opened W",
        ),
        (
            "of two silences the longer counts",
            "0m",
            "0m silence 5h | 1h silence 2h | 2h found W | 6h wait",
            "2h (opened W) | 5h opened W",
        ),
        (
            "a lead time that is reached within it is told after it, the innermost only",
            "0m",
            "0m found W30 | 1d silence 40d | 16d found W14 | 27d found C3 | 42d wait",
            "0m opened W30 | 16d (reminded W14) | 27d (worsened C3) | 41d worsened C3",
        ),
        (
            "with keep, an end within the silence is not told where its beginning was not",
            "2h",
            "0m silence 5h | 1h found W | 2h clear | 6h wait",
            "1h (opened W) | 4h (resolved W)",
        ),
    ] {
        assert_eq!(tell(happened, "0m", keep), told, "{says}: {happened}");
    }
}

#[test]
fn what_is_taken_comes_back_and_what_is_not_goes_to_the_next_person() {
    // The stories begin on a Sunday at 09:00: a working day of it is over on Tuesday at 00:00, which is after 39 h.
    for (says, happened, told) in [
        (
            "who took it is left alone until the date, and then it comes back",
            "0m found C | 1h take 2d | 50h wait",
            "0m opened C | 49h repeated C #1",
        ),
        (
            "what is taken still tells what changes",
            "0m found W | 1h take 3d | 2h found C | 3h clear",
            "0m opened W | 2h worsened C with p0 | 3h resolved C with p0",
        ),
        (
            "a Notice, which is not repeated, comes back too",
            "0m found N | 1h take 2d | 60d wait",
            "0m opened N | 49h repeated N #1",
        ),
        (
            "so does an obligation, whose lead times go on",
            "0m found W30 | 1h take 30d | 16d found W14 | 31d wait",
            "0m opened W30 | 16d reminded W14 with p0 | 721h repeated W14 #1",
        ),
        (
            "what was taken and is over is nobody's when it begins again",
            "0m found W | 1h take 9d | 2h clear | 3h found W | 28h wait",
            "0m opened W | 2h resolved W with p0 | 3h opened W | 27h repeated W #1",
        ),
        (
            "a Critical that nobody took goes to the next after a working day, and to the last",
            "0m order 3 | 0m found C | 38h wake | 39h wake | 62h wake | 63h wake | 30d wake",
            "0m opened C | 38h repeated C #1 | 39h handed_on C with p1 | 62h repeated C #2 with p1 | 63h handed_on C with p2 | 30d repeated C #3 with p2",
        ),
        (
            "a Warning after five",
            "0m order 2 | 0m found W | 182h wake | 183h wake",
            "0m opened W | 182h repeated W #1 | 183h handed_on W with p1",
        ),
        ("a Notice never", "0m order 2 | 0m found N | 60d wait", "0m opened N"),
        (
            "what was taken goes on a working day after it came back",
            "0m order 2 | 0m found C | 1h take 4d | 97h wake | 120h wake | 121h wake",
            "0m opened C | 97h repeated C #1 | 5d repeated C #2 | 121h handed_on C with p1",
        ),
        (
            "so does what was silenced",
            "0m order 2 | 0m found C | 1h silence 4d | 97h wake | 120h wake | 121h wake",
            "0m opened C | 97h repeated C #1 | 5d repeated C #2 | 121h handed_on C with p1",
        ),
        (
            "what is told at that moment anyway hands it on",
            "0m order 2 | 0m found C3 | 39h found C-1 | 30d wait",
            "0m opened C3 | 39h reminded C-1 with p1",
        ),
    ] {
        assert_eq!(tell(happened, "0m", "0m"), told, "{says}: {happened}");
    }
}

/// Plays the line of moments, and draws what is told.
fn tell(happened: &str, hold: &str, keep: &str) -> String {
    let mut world = World {
        hold: time(hold),
        keep: time(keep),
        network_down: false,
        alerts: Alerts::default(),
        people: People::default(),
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
    people: People,
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
            ("silence" | "take" | "end" | "order", rest) => {
                self.act(verb, rest, now);
                return self.step(Input::Tick, now);
            }
            ("wait" | "wake", _) => return self.step(Input::Tick, now),
            (other, _) => panic!("no story says {other:?}"),
        };
        self.step(Input::Observed(&observation(outcome, now)), now);
    }

    fn act(&mut self, verb: &str, rest: &str, now: Timestamp) {
        let person = |n: usize| -> PersonId { format!("p{n}").parse().expect("an id") };
        let until = || after(now, time(rest.rsplit(' ').next().expect("a time")));
        match verb {
            "order" => {
                self.people.order = (0..rest.parse().expect("a number")).map(person).collect()
            }
            "end" => self.people.silences.iter_mut().for_each(|s| s.until = s.until.min(now)),
            "take" => {
                let taken = Taken { by: person(0), until: until() };
                let all = self.alerts.0.keys().map(|key| (key.clone(), taken.clone()));
                self.people.taken.extend(all);
            }
            _ => {
                let severities = rest.starts_with('W').then_some(Severity::Warning);
                let of =
                    Matcher { severities: severities.into_iter().collect(), ..Matcher::default() };
                let (by, reason) = (person(0), String::new());
                let silence =
                    Silence { by, since: now, until: until(), of, reason, accepted: None };
                self.people.silences.push(silence);
            }
        }
    }

    fn policy(&self, now: Timestamp) -> Policy {
        let policy = policy(self.hold, self.keep, self.network_down, now);
        Policy { people: self.people.clone(), ..policy }
    }

    fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        next_deadline(&self.alerts, &self.policy(now))
    }

    fn step(&mut self, input: Input<'_>, now: Timestamp) {
        let (alerts, events) = step(&self.alerts, input, &self.policy(now), now);
        self.people.taken.retain(|key, _| alerts.0.contains_key(key)); // as the state does
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
    let with = event.with.as_ref().map_or(String::new(), |with| format!(" with {with}"));
    let says = format!("{about}{} {severity}{tier}{number}{with}", event.change.as_str());
    if event.muted { format!("{when} ({says})") } else { format!("{when} {says}") }
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
