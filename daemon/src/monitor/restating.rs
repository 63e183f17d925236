//! At start, after a reload and hourly: what is so is held against what each destination was told, and what differs is
//! told anew (D7). The monitor does it because nothing else moves alerts.

use std::time::Duration;

use attestd_core::calendar::Entry;
use attestd_core::event::{Addressed, AlertEvent};
use attestd_core::level::{self, Differences};
use attestd_core::outbox::Waiting;
use attestd_core::record::{Record, Restated};
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::Uptime;
use attestd_core::{Status, Subject};

use super::Monitor;
use crate::calendar;
use crate::limits;

/// How often.
const EVERY: Duration = Duration::from_secs(3600);
/// Records written at one go: the monitor does nothing else meanwhile, and each waits for the disk.
const RECORDS_MAX: usize = 32;
/// What moves together in the calendar is told together: so long after the first of it.
pub(super) const GATHER: Duration = Duration::from_secs(5);
/// Events in one record: half of what a record holds, were each a kilobyte.
const EVENTS_MAX: usize = 32;

impl Monitor {
    /// Tells what differs, as far as no run is about to change it; says when to look again.
    pub(super) async fn restate(&mut self) -> Result<Uptime, StoreError> {
        let mut found = Differences::default();
        self.shared.store.read(&mut |state| found = level::differences(state));
        let mut records = self.over(found.over);
        records.extend(self.dates(found.dates));
        let mut wait = EVERY;
        for (subject, events) in found.fires {
            if records.len() > RECORDS_MAX {
                break;
            }
            if self.live.get(&subject).is_some_and(|live| live.running) {
                wait = limits::SWEEP;
            } else {
                records.extend(self.fires(&subject, &events));
            }
        }
        if records.len() > RECORDS_MAX {
            wait = limits::PACE;
        }
        for record in records.into_iter().take(RECORDS_MAX) {
            let count = record.events.len();
            tracing::info!(subject = %record.subject, count, "Some destinations know otherwise, and are told.");
            let draft = Draft { record: Record::Restated(record), blobs: Vec::new() };
            match self.shared.commit(draft).await {
                Err(error @ StoreError::TooLarge(_)) => {
                    tracing::error!(%error, "What some destinations do not know cannot be told.");
                    wait = EVERY;
                }
                committed => drop(committed?),
            }
        }
        Ok(Uptime(self.shared.clock.uptime().0 + wait))
    }

    fn fires(&self, subject: &Subject, events: &[AlertEvent]) -> Vec<Restated> {
        let at = self.shared.clock.now();
        let Some(state) = self.shared.state(subject) else { return Vec::new() };
        let record = |events: &[AlertEvent]| Restated {
            at,
            subject: subject.clone(),
            kind: state.kind.clone(),
            status: state.status(at),
            events: events.to_vec(),
        };
        events.chunks(EVENTS_MAX).map(record).collect()
    }

    fn dates(&self, dates: Vec<(Entry, Addressed)>) -> Vec<Restated> {
        let at = self.shared.clock.now();
        let record = |(entry, to): (Entry, Addressed)| {
            let Entry { subject, kind, .. } = entry.clone();
            let status = self.shared.state(&subject).map_or(Status::Unknown, |of| of.status(at));
            let about = calendar::about(&entry, &|index| self.shared.store.record(index).ok());
            let events = vec![calendar::told(entry.event(to), about)];
            Restated { at, subject, kind, status, events }
        };
        dates.into_iter().take(RECORDS_MAX + 1).map(record).collect()
    }

    fn over(&self, over: Vec<(Waiting, Vec<Addressed>)>) -> Vec<Restated> {
        let at = self.shared.clock.now();
        let mut records = Vec::new();
        for (told, to) in over {
            if records.len() > RECORDS_MAX {
                break; // the rest in a moment: each is read from the log
            }
            match self.shared.store.record(told.index) {
                Ok(record) => self.shared.store.read(&mut |state| {
                    records.extend(level::over(state, &record, &told, to.clone(), at));
                }),
                Err(error) => {
                    tracing::warn!(%error, "What is over cannot be told to be: what said that it is not cannot be read.");
                }
            }
        }
        records
    }
}
