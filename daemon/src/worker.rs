//! The worker: this program again, as a process that parses one foreign document, has nothing and may do nothing.
//!
//! It is started anew for each document, from the file that this process runs, with an empty environment and no files but
//! its three streams. It limits itself before it reads a byte, and whatever becomes of it is a reason.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use attestd_checks::foreign;
use attestd_core::{BoxFuture, Reason, Worker};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

/// Starts workers.
#[derive(Debug)]
pub struct Workers {
    program: PathBuf,
    free: Semaphore,
}

/// The verb by which this program is a worker; nobody's to type.
pub const VERB: &str = "parse-document";

/// Workers of this program: of the file that it runs, even where another has been put in its place.
pub fn workers() -> Arc<Workers> {
    Arc::new(Workers { program: "/proc/self/exe".into(), free: Semaphore::new(WORKERS_MAX) })
}

impl Worker for Workers {
    fn work(&self, request: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Reason>> {
        Box::pin(async move {
            let _free = self.free.acquire().await.expect("the semaphore is never closed");
            match tokio::time::timeout(ANSWER_WITHIN, self.run(request)).await {
                Ok(answered) => answered,
                Err(_) => {
                    let after = ANSWER_WITHIN.as_secs();
                    Err(Reason::new("limit_time", format!("reading it took over {after} s")))
                }
            }
        })
    }
}

impl Workers {
    /// Dropped at a deadline, it kills the process.
    async fn run(&self, request: Vec<u8>) -> Result<Vec<u8>, Reason> {
        let failed = |what: &str, error: std::io::Error| {
            Reason::new(
                "worker_failed",
                format!("{what} the process that reads documents: {error}"),
            )
        };
        let mut child = tokio::process::Command::new(&self.program)
            .arg0("attestd-worker")
            .arg(VERB)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("starting", error))?;
        let mut input = child.stdin.take().expect("it was asked for");
        let output = child.stdout.take().expect("it was asked for");
        let mut answer = Vec::new();
        let mut output = output.take(ANSWER_MAX + 1);
        // It may end before it has read everything; what it said of that, or how it ended, says why.
        let ask = async move {
            let _ = input.write_all(&request).await;
        };
        let ((), read) = tokio::join!(ask, output.read_to_end(&mut answer));
        read.map_err(|error| failed("reading from", error))?;
        if answer.len() as u64 > ANSWER_MAX {
            return Err(Reason::new("limit_answer", "what it says is too long"));
        }
        let status = child.wait().await.map_err(|error| failed("waiting for", error))?;
        match status.success() {
            true => Ok(answer),
            false => Err(ended(status)),
        }
    }
}

/// Why a worker ended without an answer, as far as how it ended tells.
fn ended(status: ExitStatus) -> Reason {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    match signal {
        Some(Signal::SIGXCPU | Signal::SIGKILL) => Reason::new(
            "limit_processor",
            format!("reading it took over {CPU_SECONDS} s of processor time"),
        ),
        // Rust aborts where it gets no memory, and where a stack overflows.
        Some(Signal::SIGABRT | Signal::SIGSEGV | Signal::SIGBUS) => {
            let max = MEMORY_MAX / (1024 * 1024);
            Reason::new(
                "limit_memory",
                format!("reading it needs over {max} MiB, or too deep a stack"),
            )
        }
        _ => Reason::new("worker_failed", format!("the process that read it ended: {status}")),
    }
}

/// Is a worker: limits itself, reads the request from standard input, and answers it on standard output.
pub fn serve() -> ExitCode {
    if let Err(error) = limit() {
        eprintln!("the worker cannot limit itself: {error}");
        return ExitCode::from(UNLIMITED);
    }
    let mut request = Vec::new();
    let read = std::io::stdin().lock().take(REQUEST_MAX).read_to_end(&mut request);
    if read.is_err() {
        return ExitCode::FAILURE;
    }
    let answer = foreign::answer(&request);
    let mut out = std::io::stdout().lock();
    match out.write_all(&answer).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Gives up all that parsing does not need. Dies with the daemon.
fn limit() -> nix::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    // No core, and nobody of this user may look into it.
    prctl::set_dumpable(false)?;
    for (what, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_AS, MEMORY_MAX),
    ] {
        setrlimit(what, most, most)?;
    }
    // The second limit kills where the first was not noticed.
    setrlimit(Resource::RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS + 1)
}

/// Address space, in bytes: semantics, "The process".
const MEMORY_MAX: u64 = 128 * 1024 * 1024;
/// Processor time, in seconds.
const CPU_SECONDS: u64 = 2;
/// Elapsed time: the processor may be busy with others, and a run has 20 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// At once: together they stay well below what the unit lets the daemon have.
const WORKERS_MAX: usize = 2;
/// A document and the line before it, in bytes.
const REQUEST_MAX: u64 = foreign::DOCUMENT_MAX + 4096;
/// An answer, in bytes: 2,000 rows of a register.
const ANSWER_MAX: u64 = 8 * 1024 * 1024;
/// The exit code of a worker that could not limit itself, and so did nothing.
const UNLIMITED: u8 = 3;
