//! Asks a running daemon over its control socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Request};
use crate::limits;

/// A `check` may take its run's 30 s, and wait behind another; anything slower is no answer.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is a daemon, but it cannot be asked.
    #[error("the running daemon cannot be asked over {0}")]
    Io(PathBuf, #[source] std::io::Error),
    /// What it said is no answer.
    #[error(
        "the running daemon gave an answer that this program does not know; are they of one version?"
    )]
    Garbled(#[source] serde_json::Error),
    /// It refused.
    #[error("the running daemon refused: {0}")]
    Refused(String),
}

/// The answer of the daemon at `socket`; none where no daemon runs.
pub fn ask(socket: &Path, request: &Request) -> Result<Option<Answer>, AskError> {
    ask_with(socket, request, &[])
}

/// The same, with bytes that follow the request.
pub fn ask_with(
    socket: &Path,
    request: &Request,
    document: &[u8],
) -> Result<Option<Answer>, AskError> {
    let failed = |error| AskError::Io(socket.to_owned(), error);
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
    let mut line =
        serde_json::to_vec(request).expect("requests are plain data, which always serialises");
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    // Who is refused may be so before all of it is read; the answer says why.
    let sent = stream.write_all(document);
    let mut answer = Vec::new();
    let read = stream.take(limits::CONTROL_ANSWER_MAX as u64).read_to_end(&mut answer);
    sent.or_else(|error| if answer.is_empty() { Err(error) } else { Ok(()) }).map_err(failed)?;
    read.map_err(failed)?;
    match serde_json::from_slice(&answer).map_err(AskError::Garbled)? {
        Answer::Refused(why) => Err(AskError::Refused(why)),
        answer => Ok(Some(answer)),
    }
}
