//! Decides what to send next to one destination, and when to look again. Pure; times are parameters.
//!
//! Events of one alert go in order, and only the first of an alert that waits can be sent (D6). An alert whose first
//! event failed is held for a while and delays no other; alerts never tried go before those held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::outbox::Waiting;
use attestd_core::time::{Uptime, between};

/// What is known of one destination's waiting events beyond the outbox itself.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Alerts whose first waiting event failed.
    pub held: BTreeMap<String, Held>,
    /// Alerts with an event in flight.
    pub flying: BTreeSet<String>,
    /// Accepted by the receiver, but the store could not note it yet: never sent again by this task.
    pub accepted: BTreeSet<u64>,
    /// When each may go, where they do not all go at once.
    pub due: BTreeMap<u64, Timestamp>,
    /// The newest event of each alert that waits for its hour.
    pub later: BTreeMap<String, u64>,
}

/// An alert that waits after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// How many attempts failed in a row.
    pub attempts: u32,
    /// When it may be tried again.
    pub until: Uptime,
    /// Whether the receiver refused it.
    pub blocked: bool,
    /// How many may go with it: a refused group is tried in halves, to find what was refused.
    pub group_max: usize,
}

/// What may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How many attempts may begin.
    pub room: usize,
    /// How many events may go in one.
    pub group_max: usize,
}

/// What to send now, and when to look again if nothing else happens before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// One entry an attempt: its sequence numbers, rising.
    pub groups: Vec<Vec<u64>>,
    /// When a held alert, or an event for later, may go.
    pub again: Option<Duration>,
}

impl Plan {
    /// Decides from what waits.
    pub(crate) fn next(
        &self,
        waiting: &BTreeMap<u64, Waiting>,
        limits: &Limits,
        now: Uptime,
        wall: Timestamp,
    ) -> Next {
        let mut next = Next { groups: Vec::new(), again: None };
        for tried in [false, true] {
            if limits.group_max > 1 {
                if next.groups.is_empty() && limits.room > 0 {
                    let group = self.group(waiting, tried, limits.group_max, now, wall, &mut next);
                    next.groups.extend((!group.is_empty()).then_some(group));
                }
            } else {
                let room = limits.room.saturating_sub(next.groups.len());
                let firsts = self.firsts(waiting, tried, room, now, wall, &mut next);
                next.groups.extend(firsts.into_iter().map(|sequence| vec![sequence]));
            }
        }
        next
    }

    /// Learns when an event that happened at `at` may go. What waits for its hour goes with what is told at once of the
    /// same alert after it, rather than keep that waiting.
    pub(crate) fn learn(&mut self, sequence: u64, alert: &str, at: Timestamp, due: Timestamp) {
        if due > at {
            self.later.insert(alert.to_owned(), sequence);
        } else if let Some(earlier) = self.later.remove(alert) {
            self.due.insert(earlier, due);
        }
        self.due.insert(sequence, due);
    }

    /// Forgets what no longer waits (a person discarded it).
    pub(crate) fn forget_gone(&mut self, waiting: &BTreeMap<u64, Waiting>) {
        let there: BTreeSet<&str> = waiting.values().map(|w| &*w.alert_id).collect();
        self.held.retain(|alert, _| there.contains(alert.as_str()));
        self.later.retain(|alert, _| there.contains(alert.as_str()));
        self.due.retain(|sequence, _| waiting.contains_key(sequence));
        self.accepted.retain(|sequence| waiting.contains_key(sequence));
    }

    /// How many alerts the receiver refused.
    pub(crate) fn blocked(&self) -> usize {
        self.held.values().filter(|held| held.blocked).count()
    }

    /// The first waiting event of each alert that may go, up to `room`.
    fn firsts(
        &self,
        waiting: &BTreeMap<u64, Waiting>,
        tried: bool,
        room: usize,
        now: Uptime,
        wall: Timestamp,
        next: &mut Next,
    ) -> Vec<u64> {
        let mut firsts = Vec::new();
        let mut passed: BTreeSet<&str> = BTreeSet::new();
        for (sequence, one) in waiting {
            if firsts.len() >= room {
                break;
            }
            if self.accepted.contains(sequence) || !passed.insert(&one.alert_id) {
                continue;
            }
            if self.held.contains_key(&*one.alert_id) == tried
                && self.may_go(*sequence, one, now, wall, next)
            {
                firsts.push(*sequence);
            }
        }
        firsts
    }

    /// All that may go together.
    fn group(
        &self,
        waiting: &BTreeMap<u64, Waiting>,
        tried: bool,
        group_max: usize,
        now: Uptime,
        wall: Timestamp,
        next: &mut Next,
    ) -> Vec<u64> {
        let mut group = Vec::new();
        let mut most = group_max;
        let mut passed: BTreeSet<&str> = BTreeSet::new();
        for (sequence, one) in waiting {
            if group.len() >= most {
                break;
            }
            let alert = &*one.alert_id;
            if self.accepted.contains(sequence) || passed.contains(alert) {
                continue;
            }
            // An entry of the calendar is a message of its own.
            let alone = one.level.moved.is_some();
            if alone && !group.is_empty() {
                passed.insert(alert);
                continue;
            }
            let held = self.held.get(alert);
            let fits = most.min(held.map_or(group_max, |held| held.group_max));
            if held.is_some() == tried
                && group.len() < fits
                && self.may_go(*sequence, one, now, wall, next)
            {
                group.push(*sequence);
                most = if alone { 1 } else { fits };
            } else {
                passed.insert(alert);
            }
        }
        group
    }

    fn may_go(
        &self,
        sequence: u64,
        one: &Waiting,
        now: Uptime,
        wall: Timestamp,
        next: &mut Next,
    ) -> bool {
        if self.flying.contains(&*one.alert_id) {
            return false;
        }
        let held = self.held.get(&*one.alert_id).map(|held| held.until.since(now));
        let due = self.due.get(&sequence).map(|due| between(wall, *due));
        let wait = held.unwrap_or_default().max(due.unwrap_or_default());
        if !wait.is_zero() {
            next.again = Some(next.again.map_or(wait, |again| again.min(wait)));
        }
        wait.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestd_core::Severity;
    use attestd_core::outbox::Level;

    const NOON: &str = "2026-11-23T12:00:00Z";

    /// Waiting events as `sequence alert`, in words; with a star, entries of the calendar.
    fn waiting(text: &str) -> BTreeMap<u64, Waiting> {
        let one = |word: &str| {
            let moved = word.ends_with('*').then_some(7);
            let word = word.trim_end_matches('*');
            let (sequence, alert) = word.split_at(word.len() - 1);
            let sequence: u64 = sequence.parse().expect("a number");
            let level = Level { severity: Severity::Critical, tier: None, over: false, moved };
            let alert_id = alert.try_into().expect("it is short");
            (sequence, Waiting { index: sequence, ordinal: 0, alert_id, level })
        };
        text.split_whitespace().map(one).collect()
    }

    fn held(until_s: u64, group_max: usize) -> Held {
        let until = Uptime(Duration::from_secs(until_s));
        Held { attempts: 1, until, blocked: true, group_max }
    }

    fn next(plan: &Plan, text: &str, room: usize, group_max: usize) -> Next {
        let now = Uptime(Duration::from_secs(100));
        let wall = NOON.parse().expect("a timestamp");
        plan.next(&waiting(text), &Limits { room, group_max }, now, wall)
    }

    #[test]
    fn the_first_event_of_each_alert_may_go_and_what_was_never_tried_goes_first() {
        let mut plan = Plan::default();
        plan.flying.insert("f".into());
        plan.held.insert("h".into(), held(130, 1));
        plan.held.insert("r".into(), held(90, 1));
        plan.accepted.insert(9);
        for (text, room, expected, again_s, why) in [
            ("1a 2b 3c", 8, vec![1, 2, 3], None, "different alerts go at once"),
            ("1a 2a 3b", 8, vec![1, 3], None, "the second of an alert waits for its first"),
            ("1a 2b 3c", 2, vec![1, 2], None, "as many as there is room for"),
            ("1f 2f 3a", 8, vec![3], None, "an alert in flight holds only itself"),
            ("1h 2h 3a", 8, vec![3], Some(30), "a held alert holds only itself"),
            ("1r 2a", 1, vec![2], None, "what was never tried goes before what failed"),
            ("1r 2a", 2, vec![2, 1], None, "and then what failed"),
            ("9a 10a", 8, vec![10], None, "what is accepted but not noted is not sent again"),
            ("1h", 0, vec![], None, "no room, nothing to wait for"),
            ("", 8, vec![], None, "nothing waits"),
        ] {
            let next = next(&plan, text, room, 1);
            let groups: Vec<Vec<u64>> = expected.into_iter().map(|s| vec![s]).collect();
            assert_eq!(next.groups, groups, "{why}");
            assert_eq!(next.again, again_s.map(Duration::from_secs), "{why}");
        }
    }

    #[test]
    fn a_mail_takes_all_that_is_due_and_halves_what_was_refused() {
        let mut plan = Plan::default();
        plan.due.insert(5, "2026-11-23T12:01:00Z".parse().expect("a timestamp"));
        plan.due.insert(4, "2026-11-23T09:00:00Z".parse().expect("a timestamp"));
        for alert in ["r", "s", "t"] {
            plan.held.insert(alert.into(), held(90, 2));
        }
        for (text, expected, again_s, why) in [
            ("1a 2a 3b", vec![1, 2, 3], None, "two events of one alert in one mail, in order"),
            ("4c 5d", vec![4], Some(60), "what is due, and not what is for later"),
            ("5d 6d", vec![], Some(60), "an alert's later event does not overtake"),
            ("1r 2s 3t 4a", vec![4], None, "what was refused does not go with what was not"),
            ("1r 2s 3t", vec![1, 2], None, "a refused group is tried in halves"),
            ("1a 2b 3c 4e 6f 7g", vec![1, 2, 3, 4, 6], None, "five at most here"),
            ("1a 2b* 3c 6b*", vec![1, 3], None, "an entry of the calendar is a mail of its own"),
            ("2b* 3c 6b*", vec![2], None, "also where it is the first"),
            ("3b* 6e*", vec![3], None, "and among others"),
        ] {
            let next = next(&plan, text, 1, 5);
            let groups = if expected.is_empty() { vec![] } else { vec![expected] };
            assert_eq!(next.groups, groups, "{why}");
            assert_eq!(next.again, again_s.map(Duration::from_secs), "{why}");
        }
    }

    #[test]
    fn what_is_told_at_once_does_not_wait_for_the_hour_of_what_went_before() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a timestamp");
        let (now, nine) = (at(NOON), at("2026-11-24T09:00:00Z"));
        let mut plan = Plan::default();
        plan.learn(1, "a", now, nine);
        plan.learn(2, "b", now, nine);
        assert_eq!(next(&plan, "1a 2b", 1, 5).groups, [] as [Vec<u64>; 0], "repeats wait for nine");
        plan.learn(3, "a", now, now);
        let groups = next(&plan, "1a 2b 3a", 1, 5).groups;
        assert_eq!(groups, [[1, 3]], "that it became worse takes the repeat before it along");
    }

    #[test]
    fn what_no_longer_waits_is_forgotten() {
        let mut plan = Plan::default();
        plan.held.insert("h".into(), held(130, 1));
        plan.accepted.insert(9);
        plan.forget_gone(&waiting("1a"));
        assert!(plan.held.is_empty() && plan.accepted.is_empty());
        assert_eq!(plan.blocked(), 0);
    }
}
