//! A program that runs beside a test, with its output in a file; it ends with the test, whatever happens.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{SOON, until};

/// A running program. Dropping it kills it, by its id.
pub struct Program {
    name: String,
    child: Child,
    output: PathBuf,
}

/// What a program that has ended left.
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it said on stdout.
    pub stdout: String,
    /// What it said on stderr.
    pub stderr: String,
}

impl Program {
    /// Starts `command`, with stdout and stderr in the file `name`.log of `directory`.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Program {
        let output = directory.join(format!("{name}.log"));
        let file = std::fs::File::create(&output).expect("a file for its output");
        let both = file.try_clone().expect("the same file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{name} cannot start: {error}: {command:?}"));
        Program { name: name.to_owned(), child, output }
    }

    /// All that it has said.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).expect("its output");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it accepts connections at `port`.
    pub async fn listening(mut self, port: u16) -> Program {
        let what = format!("{} listens at {port}", self.name);
        until(&what, SOON, || {
            self.alive();
            TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        })
        .await;
        self
    }

    /// Waits until its output holds `text`.
    pub async fn said(&mut self, text: &str, limit: Duration) {
        let what = format!("{} says {text:?}", self.name);
        until(&what, limit, || {
            self.alive();
            let output = self.output();
            if output.contains(text) { Ok(()) } else { Err(output) }
        })
        .await;
    }

    /// Fails the test where it has ended of itself.
    pub fn alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("it is ours") {
            panic!("{} ended with {status}, and said: {}", self.name, self.output());
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("it is ours, and was not waited for");
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, limit, || match self.child.try_wait().expect("it is ours") {
            Some(status) => Ok(status),
            None => Err("it runs".to_owned()),
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}---", self.name, tail(&self.output()));
        }
    }
}

/// Runs a program to its end, within `limit`.
pub async fn run(command: &mut Command, limit: Duration) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let (out, err) = (directory.path().join("out"), directory.path().join("err"));
    let file = |path: &Path| std::fs::File::create(path).expect("a file");
    command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let name = format!("{command:?}");
    let mut program = Program { name, child, output: err.clone() };
    let status = program.ended(limit).await;
    let read = |path: &Path| {
        let bytes = std::fs::read(path).expect("its output");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ended { code: status.code(), stdout: read(&out), stderr: read(&err) }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..].iter().map(|line| format!("{line}\n")).collect()
}

/// How much of a program's output is shown beside a failure, in lines.
const TAIL_LINES: usize = 40;
