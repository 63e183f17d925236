//! One run, from its start to its commit: look, judge, step, remember.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestd_core::alert::{self, Input};
use attestd_core::maintenance;
use attestd_core::observation::{STANDS_MAX, Standing};
use attestd_core::record::{Missed, Record, Recorded, Run, Same, Why};
use attestd_core::schedule::{Due, MissedRange};
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::{Trust, after, between};
use attestd_core::{
    CheckId, Evidence, Nature, Observation, Outcome, ProbeError, Reason, Subject, Target,
    Timestamp, Trigger,
};

use tracing::Instrument;

use super::look;
use super::shared::{Memory, Shared, fingerprint};
use crate::config::ConfiguredCheck;
use crate::limits;
use crate::telemetry::spans;

/// What is to be run, and why.
pub struct Job {
    /// The check.
    pub check: Arc<ConfiguredCheck>,
    /// The subject.
    pub subject: Subject,
    /// What to look at, or why the check could not say.
    pub target: Result<Arc<Target>, ProbeError>,
    /// What started it.
    pub trigger: Trigger,
    /// The slot it keeps, known once it looks.
    pub slot: OnceLock<Timestamp>,
    /// Its spread after the slot (C7).
    pub delay: Duration,
    /// Dropped when it has ended: how those who asked for it know.
    pub asker: Option<tokio::sync::mpsc::Sender<()>>,
}

/// What the monitor needs to know of a run that ended.
#[derive(Debug)]
pub struct Ended {
    /// The subject.
    pub subject: Subject,
    /// Whether nothing was seen; absent where it did not look.
    pub unseen: Option<bool>,
    /// Until when a maintenance window pauses it.
    pub paused: Option<Timestamp>,
}

impl Job {
    /// Whether it is looking, rather than waiting for its spread.
    pub fn has_begun(&self) -> bool {
        self.delay.is_zero() || self.slot.get().is_some()
    }

    /// Where the target is, or, while the check cannot say it, where its targets are listed.
    pub fn nature(&self) -> Nature {
        self.target.as_ref().map_or_else(|_| self.check.check.nature(), |target| target.nature)
    }
}

/// Runs the job to its commit.
pub async fn perform(shared: &Shared, job: &Job) -> Result<Ended, StoreError> {
    let span = spans::run(&job.subject, job.check.kind.name, job.trigger);
    performed(shared, job).instrument(span).await
}

async fn performed(shared: &Shared, job: &Job) -> Result<Ended, StoreError> {
    if !job.delay.is_zero() {
        shared.clock.sleep(job.delay).await;
    }
    let permit = shared.permits.acquire().await.expect("the semaphore is never closed");
    let due = match job.trigger {
        Trigger::Slot => match due_now(shared, job) {
            Some(due) => Some(due),
            // The clock stepped back meanwhile: it is not due any more.
            None => return Ok(Ended { subject: job.subject.clone(), unseen: None, paused: None }),
        },
        _ => None,
    };
    if let Some(Due { latest, missed: Some(range) }) = &due {
        missed(shared, job, range, Why::NotRunning, Some(*latest)).await?;
    }
    // A person may look all the same.
    let window = shared.pause(&job.check, shared.clock.now());
    if let Some((name, until)) = window.filter(|_| job.trigger != Trigger::Person) {
        if let Some(Due { latest, .. }) = due {
            let slot = MissedRange { from: latest, to: latest, count: Some(1) };
            let next = job.check.schedule.next_after(latest);
            one_range(shared, job, &slot, Why::Paused, Some(name), next).await?;
        }
        return Ok(Ended { subject: job.subject.clone(), unseen: None, paused: Some(until) });
    }
    let slot = due.map(|due| *job.slot.get_or_init(|| due.latest));
    let (began, began_at) = (shared.clock.uptime(), shared.clock.now());
    let memory = shared.remember(&job.subject);
    let seen = match &job.target {
        Ok(target) => {
            look::probe(
                &*shared.clock,
                &job.check,
                target,
                memory.evidence.clone(),
                shared.said(&job.check.id),
            )
            .await
        }
        Err(error) => Err(error.clone()),
    };
    drop(permit);
    let took = shared.clock.uptime().since(began);
    let ended = match commit(shared, job, &memory, seen, began_at).await {
        // What does not fit a record was not seen, rather than the end of the daemon.
        Err(StoreError::TooLarge(size)) => {
            let message = format!("what was found fills {size} bytes, over what a record may have");
            let unseen = Err(ProbeError::new("limit_record", message));
            commit(shared, job, &memory, unseen, began_at).await?
        }
        ended => ended?,
    };
    // Slots that came due while it looked are skipped (C8).
    if let (Some(_), Some(due)) = (slot, due_now(shared, job)) {
        let from = due.missed.as_ref().map_or(due.latest, |range| range.from);
        let count = due.missed.map_or(Some(1), |range| range.count.map(|count| count + 1));
        let range = MissedRange { from, to: due.latest, count };
        missed(shared, job, &range, Why::Overlap, job.check.schedule.next_after(due.latest))
            .await?;
    }
    let mut durations = shared.durations.lock().expect("nothing panics while it holds this lock");
    durations.insert(job.subject.clone(), took);
    Ok(ended)
}

/// The slots that are due by now, from the promised one on.
fn due_now(shared: &Shared, job: &Job) -> Option<Due> {
    let promised = shared.state(&job.subject)?.next?;
    job.check.schedule.due(promised, shared.clock.now())
}

/// Records slots that were not kept; those that a window would have paused as that.
async fn missed(
    shared: &Shared,
    job: &Job,
    range: &MissedRange,
    why: Why,
    next: Option<Timestamp>,
) -> Result<(), StoreError> {
    let paused = |slot| shared.pause(&job.check, slot).map(|(name, _)| name);
    let mut ranges = maintenance::apart(&job.check.schedule, range, paused).into_iter().peekable();
    while let Some((range, window)) = ranges.next() {
        let next = ranges.peek().map_or(next, |(later, _)| Some(later.from));
        let why = if window.is_some() { Why::Paused } else { why };
        one_range(shared, job, &range, why, window, next).await?;
    }
    Ok(())
}

async fn one_range(
    shared: &Shared,
    job: &Job,
    range: &MissedRange,
    why: Why,
    window: Option<CheckId>,
    next: Option<Timestamp>,
) -> Result<(), StoreError> {
    let missed = Missed {
        at: shared.clock.now(),
        subject: job.subject.clone(),
        from: range.from,
        to: range.to,
        count: range.count,
        why,
        window: window.map(String::from),
        next,
    };
    shared.commit(Draft { record: Record::Missed(missed), blobs: Vec::new() }).await.map(drop)
}

/// Judges what was seen, steps the alerts, and writes the one record of this run.
async fn commit(
    shared: &Shared,
    job: &Job,
    memory: &Memory,
    seen: Result<Evidence, ProbeError>,
    began_at: Timestamp,
) -> Result<Ended, StoreError> {
    let now = shared.clock.now();
    let state = shared.state(&job.subject);
    let outcome = judged(
        shared,
        job,
        memory,
        seen,
        state.as_ref().and_then(|s| s.seen.as_ref()).map(|s| s.at),
        now,
    );
    let slot = job.slot.get().copied();
    let observation =
        Observation { subject: job.subject.clone(), at: now, trigger: job.trigger, slot, outcome };
    let alerts = state.as_ref().map(|state| state.alerts.clone()).unwrap_or_default();
    let policy = shared.policy_of(&job.check, &job.subject, job.nature(), now);
    let (next_alerts, events) = alert::step(&alerts, Input::Observed(&observation), &policy, now);
    let promised = state.as_ref().and_then(|state| state.next);
    let schedule = &job.check.schedule;
    let next = match slot {
        Some(slot) => schedule.next_after(slot),
        // A promised slot that is still due stays so; one that another schedule promised does not.
        None => promised
            .filter(|next| *next <= now && schedule.is_slot(*next))
            .or_else(|| schedule.next_after(now)),
    };
    let late = slot.map(|slot| between(after(slot, job.delay), began_at));
    let late_s = late.filter(|late| *late >= limits::LATE_MIN).map(|late| late.as_secs());
    let stale_at = Some(after(schedule.nth_after(slot.unwrap_or(now), 2), limits::STALE_GRACE));
    let (status, unseen) =
        (observation.outcome.status(now), matches!(observation.outcome, Outcome::Unseen { .. }));
    let (evidence, judgement, reason, standing) = parts(observation.outcome);
    let mut run = Run {
        at: now,
        subject: job.subject.clone(),
        kind: job.check.kind.name.to_owned(),
        config: shared.config.load(Ordering::Relaxed),
        trigger: job.trigger,
        slot,
        late_s,
        next,
        stale_at,
        asked: asked(job),
        evidence: None,
        judgement,
        unseen: reason,
        standing,
        status,
        alerts: (next_alerts != alerts).then_some(next_alerts),
        events,
    };
    let print = fingerprint(&run, evidence.as_ref());
    let same = memory.whole.as_ref().filter(|(_, known)| *known == print).map(|(of, _)| *of);
    let kept = evidence.clone().filter(|_| run.judgement.is_some());
    let unchanged = run.alerts.is_none() && run.events.is_empty();
    let index = match same.filter(|_| unchanged) {
        Some(of) => {
            let trigger = Some(run.trigger).filter(|trigger| *trigger != Trigger::Slot);
            let same = Same { at: now, of, trigger, slot, late_s, next, stale_at };
            shared.commit(Draft { record: Record::Same(same), blobs: Vec::new() }).await?;
            of
        }
        None => {
            let blobs =
                evidence.as_ref().map(|evidence| evidence.blobs.clone()).unwrap_or_default();
            run.evidence = evidence
                .map(|evidence| Recorded::Facts(Evidence { blobs: Vec::new(), ..evidence }));
            shared.commit(Draft { record: Record::Run(Box::new(run)), blobs }).await?.index
        }
    };
    let evidence = kept
        .map(|kept| Arc::new(Evidence { blobs: Vec::new(), ..kept }))
        .or_else(|| memory.evidence.clone());
    let memory = Memory { evidence, whole: Some((index, print)) };
    shared
        .memory
        .lock()
        .expect("nothing panics while it holds this lock")
        .insert(job.subject.clone(), memory);
    tracing::debug!(subject = %job.subject, status = status.as_str(), "Run ended.");
    Ok(Ended { subject: job.subject.clone(), unseen: Some(unseen), paused: None })
}

fn judged(
    shared: &Shared,
    job: &Job,
    memory: &Memory,
    seen: Result<Evidence, ProbeError>,
    last_seen: Option<Timestamp>,
    now: Timestamp,
) -> Outcome {
    let unseen = |reason: Reason, seen| Outcome::Unseen { reason, seen, standing: None };
    let trust = shared.trust();
    if trust != Trust::Trusted && job.check.kind.name != crate::own::KIND.name {
        let why =
            format!("the wall clock cannot be believed ({trust:?}), so nothing is judged by date");
        return unseen(Reason::new("clock_untrusted", why), seen.ok());
    }
    match seen {
        Ok(evidence) => match look::judge(&job.check, &evidence, now) {
            Ok(judgement) => Outcome::Judged { evidence, judgement },
            Err(error) => unseen(Reason::new("bad_evidence", error.to_string()), Some(evidence)),
        },
        Err(error) => Outcome::Unseen {
            reason: error.reason,
            seen: error.seen.map(|seen| *seen),
            standing: match (&memory.evidence, last_seen) {
                (Some(evidence), Some(seen_at)) => {
                    standing(&job.check, job.nature(), evidence, seen_at, now)
                }
                _ => None,
            },
        },
    }
}

/// What a public register said when it was last read stands for a while after it can no longer be read (F3).
pub fn standing(
    check: &ConfiguredCheck,
    nature: Nature,
    evidence: &Evidence,
    seen_at: Timestamp,
    now: Timestamp,
) -> Option<Standing> {
    if nature != Nature::PublicRegister || now.duration_since(seen_at) > STANDS_MAX {
        return None;
    }
    let judgement = look::judge(check, evidence, now).ok()?;
    Some(Standing { seen_at, judgement })
}

type Parts = (Option<Evidence>, Option<attestd_core::Judgement>, Option<Reason>, Option<Standing>);

fn parts(outcome: Outcome) -> Parts {
    match outcome {
        Outcome::Judged { evidence, judgement } => (Some(evidence), Some(judgement), None, None),
        Outcome::Unseen { reason, seen, standing } => (seen, None, Some(reason), standing),
    }
}

/// What was asked, for what crosses a network; local targets are named by the subject, and rows of a register hold
/// free text that no record may have (T6).
fn asked(job: &Job) -> serde_json::Value {
    match &job.target {
        Ok(target) if target.nature != Nature::Local => target.spec.clone(),
        _ => serde_json::Value::Null,
    }
}

/// Records that a run in flight was dropped when the daemon stopped: its slot is not kept.
pub fn dropped(job: &Job, now: Timestamp) -> Option<Record> {
    let slot = *job.slot.get()?;
    Some(Record::Missed(Missed {
        at: now,
        subject: job.subject.clone(),
        from: slot,
        to: slot,
        count: Some(1),
        why: Why::Stopped,
        window: None,
        next: job.check.schedule.next_after(slot),
    }))
}
