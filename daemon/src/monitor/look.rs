//! One look at one target, which never fails: a panic, an overrun or evidence that cannot be judged is Unseen.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use attestd_core::statement::Statement;
use attestd_core::time::Clock;
use attestd_core::{
    BadEvidence, Evidence, Judgement, Look, ProbeError, Target, TargetName, Timestamp,
};
use tokio::task::JoinSet;

use crate::config::ConfiguredCheck;
use crate::limits;

/// Looks at `target`, given what people said of the check's targets, in a task of its own, dropped at the check's deadline.
pub async fn probe(
    clock: &dyn Clock,
    check: &Arc<ConfiguredCheck>,
    target: &Arc<Target>,
    before: Option<Arc<Evidence>>,
    said: BTreeMap<TargetName, Vec<Statement>>,
) -> Result<Evidence, ProbeError> {
    let (now, check_, target) = (clock.now(), check.clone(), target.clone());
    let look = async move {
        let look = Look { target: &target, before: before.as_deref(), said: &said, now };
        check_.check.probe(look).await
    };
    guarded(clock, check, look).await
}

/// Asks the check for its targets, likewise; too many are Unseen, and none at all where they do not end (F2).
pub async fn targets(
    clock: &dyn Clock,
    check: &Arc<ConfiguredCheck>,
) -> Result<Vec<Target>, ProbeError> {
    let check_ = check.clone();
    let targets = guarded(clock, check, async move { check_.check.targets().await }).await?;
    match targets.len() {
        0 if !check.check.ends() => {
            Err(ProbeError::new("no_targets", "there is nothing to look at: no target was found"))
        }
        n if n > limits::TARGETS_MAX => Err(ProbeError::new(
            "too_many_targets",
            format!("over {} targets were found", limits::TARGETS_MAX),
        )),
        _ => Ok(targets),
    }
}

/// Asks the check whether its list of targets has moved, likewise; what cannot be said has not.
pub async fn moved(clock: &dyn Clock, check: &Arc<ConfiguredCheck>) -> bool {
    let check_ = check.clone();
    guarded(clock, check, async move { Ok(check_.check.moved().await) }).await.unwrap_or(false)
}

/// Judges, catching a panic.
pub fn judge(
    check: &ConfiguredCheck,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<Judgement, BadEvidence> {
    std::panic::catch_unwind(AssertUnwindSafe(|| check.check.judge(evidence, now)))
        .unwrap_or_else(|_| Err(BadEvidence("judging it panicked".to_owned())))
}

async fn guarded<T: Send + 'static>(
    clock: &dyn Clock,
    check: &ConfiguredCheck,
    work: impl Future<Output = Result<T, ProbeError>> + Send + 'static,
) -> Result<T, ProbeError> {
    let mut task = JoinSet::new(); // aborts the task when dropped
    task.spawn(work);
    let ended = tokio::select! {
        ended = task.join_next() => ended,
        () = clock.sleep(check.timeout) => None,
    };
    match ended {
        Some(Ok(result)) => result,
        Some(Err(_)) => {
            Err(ProbeError::new("panic", "looking at it panicked: a defect of attestd"))
        }
        None => {
            let after = check.timeout.as_secs();
            Err(ProbeError::new(
                "timeout",
                format!("nothing was seen within the {after} s that a run has"),
            ))
        }
    }
}
