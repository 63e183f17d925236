//! The metrics that go out: over OTLP to every receiver, and to whoever scrapes.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use attestd_core::time::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::export::{self, Source};
use super::metrics::Snapshot;
use super::prometheus;
use crate::calendar::Feed;
use crate::delivery::Deliveries;
use crate::delivery::otlp_sender::Sender;
use crate::monitor::shared::Shared;
use crate::telling::{self, Telling};

/// The metrics that go out.
pub struct Running {
    source: Source,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: TaskTracker,
    listener: Option<Arc<Listener>>,
}

/// The socket that metrics are served on.
pub struct Listener {
    at: SocketAddr,
    socket: std::net::TcpListener,
}

impl Running {
    /// The socket that `telling` asks for. A reload takes that of the metrics `before` it where the address is the same:
    /// another could not be bound beside it, and what fails must fail before anything has changed.
    pub fn listen(
        telling: &Telling,
        before: Option<&Running>,
    ) -> anyhow::Result<Option<Arc<Listener>>> {
        let Some(at) = telling.metrics.map(|settings| settings.listen) else { return Ok(None) };
        let known = before.and_then(|before| before.listener.clone());
        if let Some(known) = known.filter(|listener| listener.at == at) {
            return Ok(Some(known));
        }
        let socket = std::net::TcpListener::bind(at)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let socket = socket.with_context(|| format!("metrics cannot listen on {at}"))?;
        Ok(Some(Arc::new(Listener { at, socket })))
    }

    /// Exports to every sender, and serves on `listener`.
    pub fn start(
        listener: Option<Arc<Listener>>,
        senders: &[Arc<Sender>],
        shared: &Arc<Shared>,
        deliveries: &Arc<tokio::sync::Mutex<Deliveries>>,
        calendar: Feed,
        origin: &str,
    ) -> anyhow::Result<Running> {
        let source = source(shared.clone(), deliveries.clone());
        let clock = shared.clock.clone();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let running = Running { source, clock, stop, tasks, listener };
        if let Some(listener) = &running.listener {
            let socket = listener.socket.try_clone().and_then(TcpListener::from_std);
            let socket = socket.with_context(|| format!("metrics at {}", listener.at))?;
            let serve =
                prometheus::serve(socket, running.source.clone(), calendar, running.stop.clone());
            running.tasks.spawn(async move {
                if let Err(error) = serve.await {
                    tracing::error!(%error, "Metrics are no longer served.");
                }
            });
        }
        let every = export::interval(&telling::variable);
        for sender in senders {
            let (source, clock, stop) =
                (running.source.clone(), running.clock.clone(), running.stop.clone());
            let resource = telling::resource(origin);
            running.tasks.spawn(export::run(sender.clone(), source, resource, clock, every, stop));
        }
        running.tasks.close();
        Ok(running)
    }

    /// Ends them.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn source(shared: Arc<Shared>, deliveries: Arc<tokio::sync::Mutex<Deliveries>>) -> Source {
    Arc::new(move || {
        let now = shared.clock.now();
        let mut snapshot = None;
        shared.store.read(&mut |state| snapshot = Some(Snapshot::of(state, now)));
        let mut snapshot = snapshot.expect("the store calls back");
        let durations = shared.durations.lock().expect("nothing panics while it holds this lock");
        for point in &mut snapshot.subjects {
            point.run = durations.get(&point.subject).copied();
        }
        drop(durations);
        // Held only while destinations change: the export after that has it again.
        if let Ok(deliveries) = deliveries.try_lock() {
            snapshot.destinations.extend(deliveries.health());
        }
        snapshot
    })
}
