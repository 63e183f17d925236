//! The real program as a child process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use attestd::control::{Answer, Request, client};
use attestd::view::StatusView;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::golden::repository;
use crate::wait;

/// Where the program is: what `ATTESTD_BINARY` names, else what cargo built beside this test. Building the tests of the
/// package `attestd` builds it, which `cargo test --workspace` does; one older than its sources is refused.
pub fn path() -> PathBuf {
    if let Some(given) = std::env::var_os("ATTESTD_BINARY") {
        let given = PathBuf::from(given);
        assert!(given.is_file(), "ATTESTD_BINARY names {}, which is no file", given.display());
        return given;
    }
    let test = std::env::current_exe().expect("a test is a program");
    let profile = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
    let program = profile.join("attestd");
    let remedy = "run `cargo test --workspace`, which builds it, or `cargo build` before";
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let built =
        changed(&program).unwrap_or_else(|| panic!("there is no {}: {remedy}", program.display()));
    for source in sources(profile) {
        let newer = changed(&repository().join(&source)).is_some_and(|changed| changed > built);
        assert!(!newer, "{} is older than {source}: {remedy}", program.display());
    }
    program
}

/// The sources of the program's libraries, as the compiler noted them when it built those (not their tests).
fn sources(profile: &Path) -> BTreeSet<String> {
    let mut sources = BTreeSet::new();
    for entry in std::fs::read_dir(profile.join("deps")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = ["attestd-", "attestd_core-", "attestd_checks-", "attestd_storage-"];
        if !name.ends_with(".d") || !ours.iter().any(|ours| name.starts_with(ours)) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines().filter_map(|line| line.split_once(".rlib: ")) {
            sources.extend(line.1.split_whitespace().map(str::to_owned));
        }
    }
    sources
}

/// The program with these arguments, in `directory`, without what the environment could tell it.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let ours =
            ["ATTESTD_", "OTEL_", "NOTIFY_", "WATCHDOG_", "JOURNAL_", "NO_COLOR", "STATE_DIR"];
        let proxy = name.to_lowercase().ends_with("_proxy");
        if proxy || ours.iter().any(|ours| name.starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// Runs the program to its end.
pub fn run(directory: &Path, arguments: &[&str]) -> Said {
    said(command(directory, arguments).output().expect("the program starts"))
}

/// What a program that has ended said.
pub fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("the program says text");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A running daemon; dropped, it is killed.
pub struct Daemon {
    child: Child,
    directory: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// Starts one on `directory/attestd.toml`, with what it says in the files `out` and `err` there; `with` may change
    /// how.
    pub fn start(directory: &Path, with: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = command(directory, &["run", "--config", "attestd.toml"]);
        let file = |name: &str| std::fs::File::create(directory.join(name)).expect("a file");
        command.stdout(file("out")).stderr(file("err"));
        with(&mut command);
        Daemon {
            child: command.spawn().expect("the program starts"),
            directory: directory.to_owned(),
            socket: directory.join("state/control.sock"),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it is asked.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it said on standard error so far.
    pub fn err(&self) -> String {
        std::fs::read_to_string(self.directory.join("err")).expect("its standard error")
    }

    /// What it said on standard output so far.
    pub fn out(&self) -> String {
        std::fs::read_to_string(self.directory.join("out")).expect("its standard output")
    }

    /// How everything stands; none while it cannot be asked yet.
    pub fn status(&self) -> Option<StatusView> {
        match client::ask(&self.socket, &Request::Status) {
            Ok(Some(Answer::Status(view))) => Some(view),
            _ => None,
        }
    }

    /// What `look` finds in its status, within a limit.
    pub fn until<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&StatusView) -> Option<T>,
    ) -> T {
        let mut newest = None;
        let mut ended = None;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(limit, what, || {
                ended = self.child.try_wait().expect("a child of ours");
                assert!(ended.is_none(), "the daemon ended while waited for: {what}");
                newest = self.status().or(newest.take());
                newest.as_ref().and_then(&mut look)
            })
        }));
        found.unwrap_or_else(|_| panic!("{what}: {ended:?} {newest:#?}\n{}", self.err()))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(pid), signal).expect("a child of ours");
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// How it ends, within a limit.
    pub fn end(mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait::until(limit, "the daemon ends", || child.try_wait().expect("a child of ours"))
    }

    /// Kills it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
