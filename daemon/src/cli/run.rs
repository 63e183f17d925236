//! `attestd run`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::time::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{show, status};
use crate::clock::SystemClock;
use crate::control::server::Server;
use crate::serve::Daemon;
use crate::telemetry::log;
use crate::telemetry::spans::{LateResource, Spans};
use crate::{problems, telling};

/// The first table of status is shown when every local check has a result, and at the latest after this.
const SETTLE_MAX: Duration = Duration::from_secs(4);

/// Runs the daemon until SIGTERM or Ctrl-C.
pub fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let began = SystemClock::new().now();
    let config = status::load(path)?;
    eprint!("{}", problems::show(path, &config.text, &config.warnings, show::colour()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Before anything that takes time: until there is a handler, SIGHUP kills.
        let hangup = signal(SignalKind::hangup())?;
        let stopping = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stopping.cancel();
        });
        let log_level = std::env::var("ATTESTD_LOG").ok();
        let resource = LateResource::default();
        let spans = config.telling.spans.then(|| {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let senders = config.telling.senders(&clock);
            Spans::new(senders, resource.clone(), tokio::runtime::Handle::current())
        });
        log::start(log_level.as_deref(), spans.as_ref().map(Spans::layer))?;
        let daemon = Daemon::start(config, began).await?;
        let _ = resource.set(telling::resource(&daemon.origin())); // set once, here
        if std::env::var_os("JOURNAL_STREAM").is_none() {
            // Beside it: a daemon that does not run yet tells nothing, and a table of a thousand subjects takes seconds.
            tokio::spawn(show_first(daemon.server().clone(), daemon.verifier(), stop.clone()));
        }
        daemon.run(stop, hangup).await?;
        if let Some(spans) = spans {
            tokio::task::spawn_blocking(move || spans.stop()).await?;
        }
        anyhow::Ok(())
    })?;
    // Whatever a blocking thread still waits for must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    Ok(ExitCode::SUCCESS)
}

async fn show_first(server: Arc<Server>, key: Option<String>, stop: CancellationToken) {
    let clock = SystemClock::new();
    let began = clock.uptime();
    while !server.is_settled() && clock.uptime().since(began) < SETTLE_MAX && !stop.is_cancelled() {
        clock.sleep(Duration::from_millis(50)).await;
    }
    let key = key.map(|key| format!("  The evidence log is signed with the key {key}\n"));
    let shown = tokio::task::spawn_blocking(move || {
        // That nobody reads it is no reason to end.
        let _ = writeln!(
            std::io::stdout(),
            "{}\n{}  Running; Ctrl-C ends it.",
            show::status(&server.status()),
            key.unwrap_or_default()
        );
    });
    let _ = shown.await; // the daemon may have ended
}
