//! At 09:00 on Mondays each person is told what they have to know, once. The monitor does it because it alone knows what
//! is still being looked at.

use std::time::Duration;

use attestd_core::event::AlertEvent;
use attestd_core::record::{Digested, Record};
use attestd_core::state::Digest;
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::{Uptime, after};
use attestd_core::{CheckId, Status, Timestamp};

use super::Monitor;
use crate::digest::{self, Around};
use crate::own;

/// Noticed within this, a digest is in time; noticed later, the machine was down or asleep, and what was not looked at
/// meanwhile is looked at first.
const IN_TIME: Duration = Duration::from_secs(120);
/// How long it waits for that.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

impl Monitor {
    /// Records what is to be told, where the Monday's time has come and that is not done yet. A record for each person,
    /// so that it fits; what a crash leaves out is done by the next life.
    pub(super) async fn digest(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let mut due = attestd_checks::data::working_days().digest_time(now);
        shared.store.read(&mut |state| {
            let told = state.routes.iter().any(|route| route.destination.person().is_some());
            due = due.filter(|due| told && state.digests.is_due(None, *due));
        });
        let Some(due) = due else {
            self.digest_waits = None;
            return Ok(());
        };
        let uptime = shared.clock.uptime();
        let waits = *self.digest_waits.get_or_insert(uptime);
        let in_time = now < after(due, IN_TIME) && uptime >= later(self.began, WAIT_MAX);
        let calm = self.listed && self.jobs.is_empty();
        if !in_time && !calm && uptime < later(waits, WAIT_MAX) {
            return Ok(());
        }
        let (events, status) = self.digests(due, now);
        tracing::info!(people = events.len(), "Monday's digest is told.");
        let (subject, kind) = (own::subject(), own::KIND.name.to_owned());
        let whole = Digested { at: now, subject, kind, status, events: Vec::new(), more: false };
        let count = events.len();
        for (n, event) in (1..).zip(events) {
            let record = Digested { events: vec![event], more: n < count, ..whole.clone() };
            self.shared.commit(Draft { record: Record::Digested(record), blobs: vec![] }).await?;
        }
        if count == 0 {
            self.shared.commit(Draft { record: Record::Digested(whole), blobs: vec![] }).await?;
        }
        self.digest_waits = None;
        Ok(())
    }

    /// The events for those who were not told yet, and the daemon's own status.
    fn digests(&self, due: Timestamp, now: Timestamp) -> (Vec<AlertEvent>, Status) {
        let first = |check: &CheckId| self.checks.get(check)?.hand_on.first().cloned();
        let expected = &self.shared.expected;
        let expected = expected.lock().expect("nothing panics while it holds this lock");
        let around = Around { expected: &expected, first: &first };
        let (mut events, mut status, subject) = (Vec::new(), Status::Unknown, own::subject());
        self.shared.store.read(&mut |state| {
            events = digest::events(state, &around, due, now);
            events.retain(|(person, event)| {
                let is_due = state.digests.is_due(Some(person), due);
                let (last, now) = (state.digests.last.get(person), Digest::of(event, due));
                is_due && (digest::goes_along(state, event) || digest::is_news(last, &now))
            });
            status = state.subjects.get(&subject).map_or(Status::Unknown, |own| own.status(now));
        });
        (events.into_iter().map(|(_, event)| event).collect(), status)
    }
}

fn later(uptime: Uptime, time: Duration) -> Uptime {
    Uptime(uptime.0.saturating_add(time))
}
