//! What the monitor and its runs share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::alert::{Alerts, People, Policy};
use attestd_core::check::sha256_hex;
use attestd_core::maintenance;
use attestd_core::obligation::WorkingDays;
use attestd_core::record::{Record, Recorded, Run};
use attestd_core::state::SubjectState;
use attestd_core::statement::Statement;
use attestd_core::store::{Committed, Draft, Store, StoreError};
use attestd_core::time::{Anchor, Clock, Trust, between, trust};
use attestd_core::{CheckId, Evidence, Nature, Subject, TargetName, Timestamp};
use tokio::sync::{Notify, Semaphore};

use crate::config::ConfiguredCheck;
use crate::own::Conditions;
use crate::rules::Rules;
use crate::{clock, limits};

/// What the monitor and its runs share.
pub struct Shared {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// What remembers.
    pub store: Arc<dyn Store>,
    /// The daemon's own conditions.
    pub conditions: Arc<Conditions>,
    /// Woken when there is something to be told.
    pub told: Arc<Notify>,
    /// How many runs at once.
    pub permits: Semaphore,
    /// The index of the `configured` record in force.
    pub config: AtomicU64,
    /// Whether every remote target is unseen.
    pub network_down: AtomicBool,
    /// The last time that was believed, with elapsed time beside it.
    pub anchor: Mutex<Option<Anchor>>,
    /// What the last run of each subject saw.
    pub memory: Mutex<BTreeMap<Subject, Memory>>,
    /// Every subject there should be, those included that have not been seen yet.
    pub expected: Mutex<BTreeMap<Subject, Nature>>,
    /// Held while what a person does is held against the state and recorded: one at a time.
    pub acting: tokio::sync::Mutex<()>,
    /// The people and the maintenance windows of the configuration in force.
    rules: Mutex<Arc<Rules>>,
    /// The days on which people are waited for.
    working: Arc<WorkingDays>,
    /// How long runs took: the newest of each subject, for the metrics.
    pub durations: Mutex<BTreeMap<Subject, Duration>>,
}

/// What the last runs of a subject saw.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The newest evidence.
    pub evidence: Option<Arc<Evidence>>,
    /// The newest whole run: its index, and the hash of what it saw and decided.
    pub whole: Option<(u64, String)>,
}

impl Shared {
    /// Shares these; `anchor` is the time of the log's last record.
    pub fn new(
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        conditions: Arc<Conditions>,
        concurrency: usize,
        anchor: Option<Anchor>,
    ) -> Shared {
        Shared {
            clock,
            store,
            conditions,
            told: Arc::new(Notify::new()),
            permits: Semaphore::new(concurrency),
            config: AtomicU64::new(0),
            network_down: AtomicBool::new(false),
            anchor: Mutex::new(anchor),
            memory: Mutex::default(),
            expected: Mutex::default(),
            acting: tokio::sync::Mutex::default(),
            rules: Mutex::default(),
            working: Arc::new(attestd_checks::data::working_days().clone()),
            durations: Mutex::default(),
        }
    }

    /// Whether the wall clock can be believed now; while it can, now is what it is held against next.
    pub fn trust(&self) -> Trust {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let mut anchor = self.anchor.lock().expect("nothing panics while it holds this lock");
        let mut trust = trust(now, uptime, self.clock.boot(), clock::RELEASED, anchor.as_ref());
        if trust != Trust::Trusted && now >= clock::RELEASED && self.clock.synchronised() {
            *anchor = None;
            trust = Trust::Trusted;
        }
        let earlier = anchor.as_ref().is_some_and(|anchor| now < anchor.at);
        if trust == Trust::Trusted && !earlier {
            *anchor = Some(Anchor { at: now, uptime, boot: self.clock.boot().to_owned() });
        }
        trust
    }

    /// What is so of a subject.
    pub fn state(&self, subject: &Subject) -> Option<SubjectState> {
        let mut found = None;
        self.store.read(&mut |state| found = state.subjects.get(subject).cloned());
        found
    }

    /// What people said of a check's targets.
    pub fn said(&self, check: &CheckId) -> BTreeMap<TargetName, Vec<Statement>> {
        let mut said = BTreeMap::new();
        self.store.read(&mut |state| said = state.said.of_check(check));
        said
    }

    /// A subject's alerts.
    pub fn alerts(&self, subject: &Subject) -> Alerts {
        self.state(subject).map(|state| state.alerts).unwrap_or_default()
    }

    /// How a subject's alerts are told, from `now` on.
    pub fn policy_of(
        &self,
        check: &ConfiguredCheck,
        subject: &Subject,
        nature: Nature,
        now: Timestamp,
    ) -> Policy {
        let mut people = People::default();
        self.store.read(&mut |state| people = state.people(subject, check.kind.name));
        self.policy(check, people, nature, now)
    }

    /// How alerts are told, from `now` on, about which people did this.
    pub fn policy(
        &self,
        check: &ConfiguredCheck,
        people: People,
        nature: Nature,
        now: Timestamp,
    ) -> Policy {
        let people = People { working: self.working.clone(), ..people };
        check.policy(people, nature, now, self.network_down.load(Ordering::Relaxed))
    }

    /// How they are told while nothing is looked at.
    pub fn ticking(&self, check: &ConfiguredCheck, people: People, now: Timestamp) -> Policy {
        let people = People { working: self.working.clone(), ..people };
        check.ticking(people, now, self.network_down.load(Ordering::Relaxed))
    }

    /// The people and the maintenance windows of the configuration in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.lock().expect("nothing panics while it holds this lock").clone()
    }

    /// Another configuration is in force.
    pub fn follow(&self, rules: Rules) {
        *self.rules.lock().expect("nothing panics while it holds this lock") = Arc::new(rules);
    }

    /// The maintenance window that pauses a check at `at`, and until when.
    pub fn pause(&self, check: &ConfiguredCheck, at: Timestamp) -> Option<(CheckId, Timestamp)> {
        let rules = self.rules();
        let (window, until) = maintenance::pause(&rules.windows, &check.id, &check.labels, at)?;
        Some((window.name.clone(), until))
    }

    /// How long after its slot a remote subject of `check` runs: the same every time, spread over a tenth of the time
    /// between slots (C7).
    pub fn spread(&self, check: &ConfiguredCheck) -> Duration {
        let slot = check.schedule.next_after(self.clock.now()).unwrap_or(Timestamp::MAX);
        let next = check.schedule.next_after(slot).unwrap_or(slot);
        let window = (between(slot, next) / 10).min(limits::SPREAD_MAX);
        let mut origin = String::new();
        self.store.read(&mut |state| origin.clone_from(&state.origin));
        let hash = sha256_hex(format!("{origin} {}", check.id).as_bytes());
        let share = u32::from_str_radix(&hash[..8], 16).expect("eight hex digits") >> 16;
        window * share / 65_536
    }

    /// What the last runs of a subject saw, from memory or else from the log.
    pub fn remember(&self, subject: &Subject) -> Memory {
        let known = self
            .memory
            .lock()
            .expect("nothing panics while it holds this lock")
            .get(subject)
            .cloned();
        if let Some(memory) = known {
            return memory;
        }
        let Some(state) = self.state(subject) else { return Memory::default() };
        let evidence = state.seen.and_then(|seen| self.store.evidence(seen.of).ok());
        let whole = state.last.and_then(|last| match self.store.record(last.of) {
            Ok(Record::Run(run)) => Some((last.of, self.fingerprint(last.of, &run))),
            _ => None,
        });
        Memory { evidence: evidence.map(Arc::new), whole }
    }

    /// Writes one record and wakes delivery. A change of trust in the clock is written before the first record that
    /// is written under it.
    pub async fn commit(&self, draft: Draft) -> Result<Committed, StoreError> {
        let trust = self.trust();
        let mut trusted = false;
        self.store.read(&mut |state| trusted = state.clock_trusted);
        let starts = matches!(draft.record, Record::Start(_));
        if !starts && trusted != (trust == Trust::Trusted) {
            let record = Record::Clock { at: self.clock.now(), trust };
            self.store.commit(Draft { record, blobs: Vec::new() }).await?;
        }
        let committed = self.store.commit(draft).await?;
        if committed.record.events().is_some_and(|(_, _, _, events)| !events.is_empty()) {
            self.told.notify_one();
        }
        Ok(committed)
    }

    fn fingerprint(&self, index: u64, run: &Run) -> String {
        let evidence = match &run.evidence {
            Some(Recorded::Blob(_)) => self.store.evidence(index).ok(),
            Some(Recorded::Facts(evidence)) => Some(evidence.clone()),
            None => None,
        };
        fingerprint(run, evidence.as_ref())
    }
}

/// The hash of what a run saw and decided: a run with the same one is recorded as `same`.
pub fn fingerprint(run: &Run, evidence: Option<&Evidence>) -> String {
    let parts =
        (&run.kind, &run.asked, evidence, &run.judgement, &run.unseen, &run.standing, run.status);
    sha256_hex(
        &serde_json::to_vec(&parts).expect("records are plain data, which always serialises"),
    )
}
