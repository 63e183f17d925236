//! Asking a check for its targets, and what follows from the answer: new subjects, vanished ones, runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use attestd_core::alert::{self, Input};
use attestd_core::event::{AlertEvent, Change};
use attestd_core::record::{Record, Ticked};
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::{BEHIND_MAX, after};
use attestd_core::{
    CheckId, Evidence, FindingSpec, Judgement, Means, Nature, Observation, Outcome, ProbeError,
    Severity, Subject, Target, Trigger,
};

use super::{Cause, Live, Monitor, look};

/// Told when a subject leaves the configuration (F5).
pub const COVERAGE_REDUCED: FindingSpec = FindingSpec {
    code: "coverage_reduced",
    means: Means::Note,
    severity: Severity::Warning,
    message: "this is no longer watched: it left the configuration, the register or the files of its check",
    remedy: "if this was not meant, put it back",
    reference: "attestd semantics F5",
};

/// Why a check is being asked for its targets.
#[derive(Default)]
pub(super) struct Asked {
    causes: Vec<Cause>,
    /// What came while it was asked, and is about what it reads: what it read may be what was there before, so it is
    /// asked anew.
    then: Vec<Cause>,
}

impl Asked {
    fn join(&mut self, cause: Cause) {
        let is_due = |cause: &Cause| matches!(cause, Cause::Due);
        match cause {
            // A start that comes meanwhile is another configuration, whose check was not asked yet.
            Cause::Changed(_) | Cause::Asked { .. } | Cause::Started => self.then.push(cause),
            Cause::Due if self.causes.iter().any(is_due) => {}
            Cause::Due | Cause::Clock => self.causes.push(cause),
        }
    }
}

/// What a check said its targets are.
pub(super) struct Listed {
    check: CheckId,
    targets: Result<Vec<Target>, ProbeError>,
}

/// Whether a target is as it was listed before: of a register of thousands, the rows that changed are looked at.
fn is_same(
    before: &Result<Arc<Target>, ProbeError>,
    now: &Result<Arc<Target>, ProbeError>,
) -> bool {
    matches!((before, now), (Ok(before), Ok(now)) if before.spec == now.spec)
}

impl Monitor {
    pub(super) fn list_all(&mut self, cause: &Cause) {
        let ids: Vec<CheckId> = self.checks.keys().cloned().collect();
        for id in ids {
            let concerned = match cause {
                Cause::Changed(files) => self.concerns(&id, files),
                _ => true,
            };
            if concerned {
                self.list(&id, cause.clone());
            }
        }
    }

    /// Asks a check for its targets; one question at a time, the causes gather.
    pub(super) fn list(&mut self, id: &CheckId, cause: Cause) {
        match self.listing.get_mut(id) {
            Some(asked) => asked.join(cause),
            None => self.ask_for_targets(id, vec![cause]),
        }
    }

    fn ask_for_targets(&mut self, id: &CheckId, causes: Vec<Cause>) {
        let Some(check) = self.checks.get(id).cloned() else { return };
        self.listing.insert(id.clone(), Asked { causes, then: Vec::new() });
        let (shared, id) = (self.shared.clone(), id.clone());
        self.listings.spawn(async move {
            let targets = look::targets(&*shared.clock, &check).await;
            Listed { check: id, targets }
        });
    }

    /// Takes in what a check said, and starts what its causes ask for.
    pub(super) async fn listed(&mut self, listed: Listed) -> Result<(), StoreError> {
        let Asked { causes, then } = self.listing.remove(&listed.check).unwrap_or_default();
        let Some(check) = self.checks.get(&listed.check).cloned() else { return Ok(()) };
        let known = self.known(&listed.check);
        let whole = Subject::new(listed.check.clone(), None);
        let targets: Vec<(Subject, Result<Arc<Target>, ProbeError>)> = match listed.targets {
            Ok(targets) => {
                let subject =
                    |target: &Target| Subject::new(listed.check.clone(), Some(target.name.clone()));
                targets.into_iter().map(|target| (subject(&target), Ok(Arc::new(target)))).collect()
            }
            // What is known stays, and is unseen; where nothing is, the check as a whole is.
            Err(error) if known.is_empty() => vec![(whole, Err(error))],
            Err(error) => {
                known.iter().map(|subject| (subject.clone(), Err(error.clone()))).collect()
            }
        };
        let here: BTreeSet<&Subject> = targets.iter().map(|(subject, _)| subject).collect();
        for gone in known.iter().filter(|known| !here.contains(known)) {
            self.retire(gone, check.kind.name).await?;
        }
        for (subject, target) in targets {
            let mut other = true;
            match self.live.get_mut(&subject) {
                Some(live) => {
                    other = !is_same(&live.target, &target);
                    (live.target, live.gone) = (target, false);
                }
                None => {
                    let live =
                        Live { target, running: false, gone: false, rerun: None, again: None };
                    self.live.insert(subject.clone(), live);
                }
            }
            for cause in &causes {
                self.follow(&subject, cause, other).await;
            }
        }
        let mut expected =
            self.shared.expected.lock().expect("nothing panics while it holds this lock");
        let nature = |subject: &Subject, live: &Live| {
            self.checks.get(&subject.check).map_or(Nature::Local, |check| live.nature(check))
        };
        let all = self.live.iter().map(|(subject, live)| (subject.clone(), nature(subject, live)));
        *expected = all.collect();
        drop(expected);
        self.tell_files();
        if !then.is_empty() {
            self.ask_for_targets(&listed.check, then);
        }
        Ok(())
    }

    /// Starts the run that `cause` asks for, if it asks for one of this subject, which may be `other` than it was listed
    /// before.
    async fn follow(&mut self, subject: &Subject, cause: &Cause, other: bool) {
        let now = self.shared.clock.now();
        let Some(check) = self.checks.get(&subject.check).cloned() else { return };
        let state = self.shared.state(subject);
        let seen = state.as_ref().is_some_and(|state| state.last.is_some());
        let running = self.live.get(subject).is_some_and(|live| live.running);
        let promised = state.and_then(|state| state.next);
        let due = promised.is_some_and(|next| check.schedule.due(next, now).is_some());
        // What another schedule promised is ended by the configuration's record; the subject runs, and is promised anew.
        let rescheduled = promised.is_some_and(|next| {
            let first = check.schedule.next_after(after(now, BEHIND_MAX));
            !check.schedule.is_slot(next) || first.is_some_and(|first| first < next)
        });
        match cause {
            Cause::Started | Cause::Due | Cause::Clock if rescheduled => {
                self.start(subject, Trigger::Change, None)
            }
            _ if due => self.start(subject, Trigger::Slot, None),
            Cause::Clock => self.start(subject, Trigger::Change, None),
            Cause::Started if !seen => self.start(subject, Trigger::First, None),
            // One whose first look is on its way needs no second for that.
            Cause::Due | Cause::Changed(_) if !seen && !running => {
                self.start(subject, Trigger::First, None)
            }
            Cause::Started if self.is_local(subject) => self.start(subject, Trigger::First, None),
            Cause::Started | Cause::Due => {}
            Cause::Changed(files) => {
                let read = self.live.get(subject).and_then(|live| live.target.as_ref().ok());
                let own =
                    read.is_some_and(|target| target.files.iter().any(|file| files.contains(file)));
                if own || other || read.is_none() {
                    self.start(subject, Trigger::Change, None);
                }
            }
            Cause::Asked { .. } => {}
        }
        if let Cause::Asked { subject: asked, asker, ran } = cause
            && (asked == subject || (asked.target.is_none() && asked.check == subject.check))
        {
            self.start(subject, Trigger::Person, Some(asker.clone()));
            let _ = ran.send(subject.clone()).await; // who asked may be gone
        }
    }

    /// Retires the subjects of checks that the configuration no longer has.
    pub(super) async fn retire_unconfigured(&mut self) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        self.shared.store.read(&mut |state| {
            for (subject, state) in &state.subjects {
                if !self.checks.contains_key(&subject.check) {
                    gone.push((subject.clone(), state.kind.clone()));
                }
            }
        });
        for (subject, kind) in gone {
            self.retire(&subject, &kind).await?;
        }
        Ok(())
    }

    /// Retires a subject: its alerts end, and the reduced coverage is told. The check as a whole was only a subject
    /// while it could not say its targets, so that its end reduces nothing; what is over is resolved, and neither.
    pub(super) async fn retire(&mut self, subject: &Subject, kind: &str) -> Result<(), StoreError> {
        if let Some(live) = self.live.get_mut(subject).filter(|live| live.running) {
            live.gone = true;
            return Ok(());
        }
        let now = self.shared.clock.now();
        let Some(state) = self.shared.state(subject) else { return Ok(()) };
        self.live.remove(subject);
        self.shared.memory.lock().expect("nothing panics while it holds this lock").remove(subject);
        let check = self.checks.get(&subject.check);
        let ends = check.is_some_and(|check| check.check.ends());
        let mut events = Vec::new();
        if let Some(check) = check.or(self.checks.values().next()) {
            let policy = self.shared.policy_of(check, subject, Nature::Local, None, now);
            let over = Observation {
                subject: subject.clone(),
                at: now,
                trigger: Trigger::Change,
                slot: None,
                outcome: Outcome::Judged {
                    evidence: Evidence::default(),
                    judgement: Judgement::default(),
                },
            };
            let input = if ends { Input::Observed(&over) } else { Input::Retired };
            events = alert::step(&state.alerts, input, &policy, now).1;
        }
        if subject.target.is_some() && !ends {
            let (finding, worst) = (COVERAGE_REDUCED.finding(), COVERAGE_REDUCED.severity);
            events.push(AlertEvent::new(Change::Retired, finding, worst, now));
        }
        let record = Record::Retired(Ticked {
            at: now,
            subject: subject.clone(),
            kind: kind.to_owned(),
            status: state.status(now),
            alerts: alert::Alerts::default(),
            events,
        });
        self.shared.commit(Draft { record, blobs: Vec::new() }).await.map(drop)
    }

    fn known(&self, check: &CheckId) -> Vec<Subject> {
        let mut known = Vec::new();
        self.shared.store.read(&mut |state| {
            known =
                state.subjects.keys().filter(|subject| subject.check == *check).cloned().collect();
        });
        known
    }

    fn is_local(&self, subject: &Subject) -> bool {
        let live = self.live.get(subject);
        live.is_some_and(|live| {
            live.target.as_ref().is_ok_and(|target| target.nature == Nature::Local)
        })
    }

    fn concerns(
        &self,
        check: &CheckId,
        files: &std::collections::BTreeSet<std::path::PathBuf>,
    ) -> bool {
        let own = self.checks.get(check).map(|check| check.check.files()).unwrap_or_default();
        let targets = self.live.iter().filter(|(subject, _)| subject.check == *check);
        let mut read = targets
            .filter_map(|(_, live)| live.target.as_ref().ok())
            .flat_map(|target| &target.files);
        own.iter().any(|file| files.contains(file)) || read.any(|file| files.contains(file))
    }

    /// Tells the watcher which files matter now.
    fn tell_files(&self) {
        let targets = self.live.values().filter_map(|live| live.target.as_ref().ok());
        let mut files: std::collections::BTreeSet<_> =
            targets.flat_map(|target| target.files.clone()).collect();
        files.extend(self.checks.values().flat_map(|check| check.check.files()));
        self.files.send_if_modified(|known| {
            let differ = *known != files;
            *known = files;
            differ
        });
    }
}
