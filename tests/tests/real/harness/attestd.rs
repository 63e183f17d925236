//! attestd itself, as it is shipped: its verbs, and a daemon that runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attestd::control::CheckedView;
use attestd::view::StatusView;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::files::{copy, edited, repository};
use super::program::{self, Program};
use super::{SOON, http, ports, until};

/// The command: the release build, and nothing of this process's environment that it would heed.
pub fn command() -> Command {
    let binary = std::env::var_os("ATTESTD_BINARY").expect("ATTESTD_BINARY: see tests/run");
    let mut command = Command::new(binary);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// What a verb that looks said, as JSON, and its exit code.
pub async fn looked(command: &mut Command) -> (Vec<CheckedView>, i32) {
    let ended = program::run(command.arg("--json"), VERB_MAX).await;
    let views = serde_json::from_str(&ended.stdout);
    let views = views.unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr));
    (views, ended.code.expect("no signal ended it"))
}

/// `attestd probe` of a port on loopback.
pub async fn probe(port: u16, arguments: &[&str]) -> (Vec<CheckedView>, i32) {
    let target = format!("127.0.0.1:{port}");
    looked(command().arg("probe").arg(target).args(arguments)).await
}

/// The view of the one subject that a kind looked at.
pub fn of_kind<'v>(views: &'v [CheckedView], kind: &str) -> &'v CheckedView {
    let of_kind: Vec<&CheckedView> = views.iter().filter(|v| v.view.kind == kind).collect();
    assert_eq!(of_kind.len(), 1, "one subject of kind {kind}: {views:?}");
    of_kind[0]
}

/// The finding codes of a view, sorted.
pub fn codes(view: &CheckedView) -> Vec<&str> {
    let mut codes: Vec<&str> = view.view.findings.iter().map(|f| f.code.as_str()).collect();
    codes.sort_unstable();
    codes
}

/// A copy of the example supplier that reaches nothing outside this test.
pub struct Supplier {
    /// Its directory, which goes with the test.
    pub directory: TempDir,
    /// Where its collector is to listen.
    pub collector: u16,
    /// Where it serves metrics.
    pub metrics: u16,
}

impl Supplier {
    /// Copies the example, with ports of its own.
    pub fn new() -> Supplier {
        let directory = tempfile::tempdir().expect("a directory");
        copy(&repository().join("examples/supplier"), directory.path());
        let [collector, metrics, closed] = [(); 3].map(|()| ports::free());
        let supplier = Supplier { directory, collector, metrics };
        supplier.edit(&[
            ("http://127.0.0.1:4318", &format!("http://127.0.0.1:{collector}")),
            ("port = 1025", &format!("port = {closed}")),
            ("127.0.0.1:9464", &format!("127.0.0.1:{metrics}")),
            ("www.example.org:443", &format!("127.0.0.1:{closed}")),
            ("localhost:8443", &format!("127.0.0.2:{closed}")),
        ]);
        supplier
    }

    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("attestd.toml")
    }

    /// Replaces parts of its configuration.
    pub fn edit(&self, edits: &[(&str, &str)]) {
        let text = std::fs::read_to_string(self.config()).expect("its configuration");
        std::fs::write(self.config(), edited(&text, edits)).expect("written");
    }
}

/// A daemon that runs. Dropping it kills it.
pub struct Daemon {
    program: Program,
    config: PathBuf,
}

impl Daemon {
    /// Starts a daemon, and waits until it answers.
    pub async fn start(config: &Path) -> Daemon {
        Daemon::start_with(config, &[]).await
    }

    /// Starts a daemon with more in its environment, and waits until it answers.
    pub async fn start_with(config: &Path, environment: &[(&str, &str)]) -> Daemon {
        let mut command = command();
        command.arg("run").arg("--config").arg(config).envs(environment.iter().copied());
        let directory = config.parent().expect("a file in a directory");
        let mut program = Program::start("attestd", &mut command, directory);
        program.said("Running; Ctrl-C ends it.", SOON).await;
        Daemon { program, config: config.to_owned() }
    }

    /// How everything stands.
    pub async fn status(&self) -> StatusView {
        self.ask(&["status"]).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let mut command = command();
        command.args(arguments).arg("--json").arg("--config").arg(&self.config);
        let ended = program::run(&mut command, VERB_MAX).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).expect("JSON of the view")
    }

    /// How many events wait for a destination.
    pub async fn waiting(&self, destination: &str) -> usize {
        let outbox = self.status().await.outbox;
        outbox.iter().filter(|w| w.destination == destination).map(|w| w.events).sum()
    }

    /// Waits until nothing waits for a destination any more.
    pub async fn emptied(&self, destination: &str, limit: Duration) {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let waiting = self.waiting(destination).await;
            if waiting == 0 {
                return;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{waiting} events still wait for {destination} after {} s",
                limit.as_secs()
            );
        }
    }

    /// Sends SIGHUP, and waits until the daemon has taken the configuration.
    pub async fn reload(&mut self) {
        self.program.signal(Signal::SIGHUP);
        self.program.said("why=\"SIGHUP\"", SOON).await;
    }

    /// What it said.
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Ends it as systemd does; it must end well, within its 5 s.
    pub async fn stop(mut self) {
        self.program.signal(Signal::SIGTERM);
        let status = self.program.ended(STOP_MAX).await;
        assert!(status.success(), "{status}: {}", self.output());
    }
}

/// A sample of Prometheus' text format: the value of the line that begins with `series`.
pub fn sample(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.parse().ok()
}

/// The page of metrics.
pub async fn page(port: u16) -> String {
    until("the page of metrics", SOON, || http::get(port, "/metrics")).await
}

/// How long a verb may take: `probe` waits for servers that say nothing.
const VERB_MAX: Duration = Duration::from_secs(60);
/// SIGTERM ends the daemon within this.
const STOP_MAX: Duration = Duration::from_secs(5);
