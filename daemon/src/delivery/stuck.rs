//! Whether events wait for a destination for so long that others are told (D8), and what they are told.

use std::cmp::Reverse;
use std::time::Duration;

use attestd_core::event::Delivery;
use attestd_core::outbox::Waiting;
use attestd_core::store::Store;
use attestd_core::text::plain;
use attestd_core::time::signed;
use attestd_core::{DestinationName, Severity, Timestamp};

use super::health::Health;

/// What is told of events that wait for longer than they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// How many events wait.
    pub count: usize,
    /// When the oldest happened.
    pub since: Timestamp,
    /// The worst of them, in words.
    pub worst: String,
}

/// How bad it is that events wait for `name`: Critical where a Critical alert waits for too long. What only waits for its
/// hour, as obligations do for 09:00, is not stuck: nothing of it was tried in vain.
pub fn how_bad(
    name: &DestinationName,
    health: &Health,
    store: &dyn Store,
    now: Timestamp,
) -> Option<Severity> {
    let since = health.oldest?;
    if health.failures == 0 && health.blocked == 0 || !is_over(CRITICAL_MAX, since, now) {
        return None;
    }
    let mut critical = None;
    store.read(&mut |state| {
        let mut waiting = state.outbox.0.get(name).into_iter().flat_map(|queue| &queue.waiting);
        let found = waiting.find(|(_, event)| is_critical(event));
        critical = found.map(|(sequence, _)| *sequence);
    });
    let critical = critical.and_then(|sequence| event(name, store, sequence));
    if critical.is_some_and(|critical| is_over(CRITICAL_MAX, critical.at, now)) {
        return Some(Severity::Critical);
    }
    is_over(OTHERS_MAX, since, now).then_some(Severity::Warning)
}

/// What is told of it.
pub fn say(name: &DestinationName, health: &Health, store: &dyn Store) -> Option<Stuck> {
    let since = health.oldest?;
    let mut worst: Vec<(Reverse<Severity>, u64)> = Vec::new();
    store.read(&mut |state| {
        let waiting = state.outbox.0.get(name).into_iter().flat_map(|queue| &queue.waiting);
        for (sequence, event) in waiting.filter(|(_, event)| !event.level.over) {
            worst.push((Reverse(event.level.severity), *sequence));
            if worst.len() > 2 * WORST_MAX {
                worst.sort_unstable();
                worst.truncate(WORST_MAX);
            }
        }
    });
    worst.sort_unstable();
    worst.truncate(WORST_MAX);
    let worst: Vec<String> = worst
        .into_iter()
        .filter_map(|(_, sequence)| event(name, store, sequence))
        .map(|Delivery { subject, event, .. }| {
            let (severity, code) = (event.finding.severity.as_str(), &event.finding.key.code);
            plain(&format!("{severity} {code} of {subject}"), WORDS_MAX)
        })
        .collect();
    let worst = if worst.is_empty() { "nothing that lasts".to_owned() } else { worst.join(", ") };
    Some(Stuck { count: health.waiting, since, worst })
}

fn is_critical(event: &Waiting) -> bool {
    event.level.severity == Severity::Critical && !event.level.over
}

fn event(name: &DestinationName, store: &dyn Store, sequence: u64) -> Option<Delivery> {
    let found = store.waiting(name, sequence, 1).ok()?.pop();
    found.filter(|delivery| delivery.sequence == sequence)
}

fn is_over(most: Duration, since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) > signed(most)
}

/// How long a Critical alert may wait before others are told (D8).
const CRITICAL_MAX: Duration = Duration::from_secs(15 * 60);
/// How long anything may.
const OTHERS_MAX: Duration = Duration::from_secs(4 * 3600);
/// How many of what waits are named.
const WORST_MAX: usize = 5;
/// Characters of each: five of them fit a line of every format.
const WORDS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::{TrialStore, begin};
    use attestd_core::time::after;

    #[test]
    fn others_are_told_of_what_waits_for_too_long_and_of_nothing_else() {
        use Severity::{Critical, Notice, Warning};
        let minutes = |n: u64| Duration::from_secs(n * 60);
        /// What waits, with the minute in which it happened; failures; blocked; the minute now; how bad; why.
        type Row = (&'static [(Severity, u64)], u32, usize, u64, Option<Severity>, &'static str);
        let rows: &[Row] = &[
            (&[], 3, 0, 999, None, "nothing waits"),
            (&[(Critical, 0)], 3, 0, 16, Some(Critical), "a Critical for 16 minutes"),
            (&[(Critical, 0)], 3, 0, 14, None, "14 minutes may pass"),
            (&[(Critical, 0)], 0, 1, 16, Some(Critical), "one that is refused waits too"),
            (&[(Critical, 0)], 0, 0, 2000, None, "what waits for its hour is no fault of anybody"),
            (&[(Warning, 0)], 3, 0, 239, None, "a Warning may wait for four hours"),
            (&[(Warning, 0)], 3, 0, 241, Some(Warning), "and not longer"),
            (&[(Warning, 0), (Critical, 30)], 3, 0, 40, None, "the Critical waits for ten minutes"),
            (&[(Warning, 0), (Critical, 30)], 3, 0, 46, Some(Critical), "it does for 16"),
            (&[(Notice, 0), (Warning, 1)], 3, 0, 241, Some(Warning), "whatever it is"),
        ];
        let name = "collector".parse().expect("a destination");
        for (waits, failures, blocked, minute, expected, why) in rows {
            let store = TrialStore::routing(&["collector"]);
            for (n, (severity, at)) in waits.iter().enumerate() {
                store.tell(&format!("part{n}"), after(begin(), minutes(*at)), |event| {
                    event.finding.severity = *severity;
                });
            }
            let oldest = waits.first().map(|(_, at)| after(begin(), minutes(*at)));
            let (failures, blocked, waiting) = (*failures, *blocked, waits.len());
            let health = Health { waiting, oldest, failures, blocked, ..Health::default() };
            let bad = how_bad(&name, &health, &*store, after(begin(), minutes(*minute)));
            assert_eq!(bad, *expected, "{why}");
        }
        println!("{} ways to wait", rows.len());
    }

    #[test]
    fn the_worst_five_are_named_and_what_is_over_is_not() {
        let store = TrialStore::routing(&["collector"]);
        for n in 0..40 {
            store.tell(&format!("part{n}"), begin(), |event| {
                event.finding.key.code.0 = format!("code_{n}");
                event.finding.severity =
                    if n % 10 == 9 { Severity::Critical } else { Severity::Warning };
                if n == 9 {
                    event.change = attestd_core::event::Change::Resolved;
                }
            });
        }
        let health =
            Health { waiting: 40, oldest: Some(begin()), failures: 1, ..Health::default() };
        let name = "collector".parse().expect("a destination");
        let stuck = say(&name, &health, &*store).expect("stuck");
        assert_eq!((stuck.count, stuck.since), (40, begin()));
        let codes: Vec<&str> =
            stuck.worst.split(", ").filter_map(|one| one.split(' ').nth(1)).collect();
        assert_eq!(codes, ["code_19", "code_29", "code_39", "code_0", "code_1"]);
    }
}
