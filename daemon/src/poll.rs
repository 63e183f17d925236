//! The side of the triggers that asks elsewhere: once a minute, whether what a check's targets are read from has moved.

use std::sync::Arc;
use std::time::Duration;

use attestd_core::time::Clock;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::monitor::{Checks, Message, look};

/// Asks until cancelled, and tells the monitor of each check that has moved.
pub async fn run(
    checks: watch::Receiver<Checks>,
    monitor: mpsc::Sender<Message>,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = clock.sleep(EVERY) => {}
        }
        let now: Vec<_> = checks.borrow().values().cloned().collect();
        for check in now {
            if look::moved(&*clock, &check).await
                && monitor.send(Message::Moved(check.id.clone())).await.is_err()
            {
                return;
            }
        }
    }
}

/// A question that costs its server a line where nothing has changed, and an owner waits for the answer.
const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use attestd_core::{
        BadEvidence, BoxFuture, Check, Evidence, Judgement, Look, ProbeError, Target, Timestamp,
    };

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{self, ConfiguredCheck};

    /// What moved once it was asked for the third time.
    #[derive(Default)]
    struct Moves(AtomicUsize);

    impl Check for Moves {
        fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn moved(&self) -> BoxFuture<'_, bool> {
            Box::pin(async { self.0.fetch_add(1, Ordering::Relaxed) == 2 })
        }

        fn probe<'a>(&'a self, _: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
            Box::pin(async { Ok(Evidence::default()) })
        }

        fn judge(&self, _: &Evidence, _: Timestamp) -> Result<Judgement, BadEvidence> {
            Ok(Judgement::default())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_minute_is_asked_and_what_moved_is_told() {
        let text = "[[check]]\nid = \"a\"\nkind = \"tls\"\nendpoints = [\"localhost:1\"]\n";
        let config = config::parse(Path::new("attestd.toml"), text.to_owned()).expect("good");
        let (id, given) = config.checks.into_iter().next().expect("it has one");
        let moves = Arc::new(Moves::default());
        let check = ConfiguredCheck {
            id: id.clone(),
            kind: given.kind,
            check: moves.clone(),
            schedule: given.schedule.clone(),
            timeout: given.timeout,
            hold: given.hold,
            keep: given.keep,
            labels: given.labels.clone(),
            hand_on: Vec::new(),
        };
        let (_checks, read) = watch::channel(BTreeMap::from([(id.clone(), Arc::new(check))]));
        let (tell, mut told) = mpsc::channel(1);
        let (clock, cancel) = (Arc::new(SystemClock::new()), CancellationToken::new());
        let task = tokio::spawn(run(read, tell, clock, cancel.clone()));
        let Some(Message::Moved(moved)) = told.recv().await else { panic!("it moved") };
        assert_eq!((moved, moves.0.load(Ordering::Relaxed)), (id, 3), "not before it moved");
        cancel.cancel();
        task.await.expect("it ends");
    }
}
