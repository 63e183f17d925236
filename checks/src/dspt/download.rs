//! The CSV export at a URL: fetched once for all codes of a check, and only where it has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attestd_core::{ProbeError, Reason};
use reqwest::Url;
use tokio::time::Instant;

use super::source::{check_status, failed};
use super::{Code, Read, Seen, export};
use crate::look::http::{self, Answering, Request, Validators};
use crate::look::published;

/// An export at a URL.
pub(super) struct Download {
    url: Url,
    ca_bundle: Option<PathBuf>,
    /// The codes that it is read for.
    wanted: Mutex<BTreeSet<Code>>,
    newest: tokio::sync::Mutex<Option<Export>>,
}

/// What it said.
struct Export {
    validators: Validators,
    /// When it was last known to say so.
    known_at: Instant,
    of: BTreeMap<Code, Result<Read, Reason>>,
}

impl Download {
    pub(super) fn new(url: Url, ca_bundle: Option<PathBuf>) -> Download {
        let (wanted, newest) = (Mutex::default(), tokio::sync::Mutex::default());
        Download { url, ca_bundle, wanted, newest }
    }

    /// Has these codes read along with whichever is asked for next.
    pub(super) fn want(&self, codes: impl IntoIterator<Item = Code>) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).extend(codes);
    }

    /// What the export says of `code`; `before` is what it said of it when it was last seen.
    pub(super) async fn look(
        &self,
        code: &Code,
        before: Option<&Seen>,
    ) -> Result<Seen, ProbeError> {
        self.want([code.clone()]);
        let before = before.filter(|seen| seen.source == self.url.as_str());
        let before = before.filter(|seen| !seen.validators.is_none());
        let mut newest = self.newest.lock().await;
        if let Some(export) = newest.as_ref().filter(|e| e.known_at.elapsed() < SHARED) {
            if export.of.contains_key(code) {
                return self.seen(export, code);
            }
            if let Some(seen) = before.filter(|seen| seen.validators == export.validators) {
                return Ok(seen.clone());
            }
        }
        // What this process has read says of a code that it is not there, too, which no evidence does.
        let held = newest.take().filter(|export| export.of.contains_key(code));
        let held = held.filter(|export| !export.validators.is_none());
        let known = held.as_ref().map(|export| &export.validators);
        let known = known.or(before.map(|seen| &seen.validators));
        let export = match (self.fetch(known).await?, held, before) {
            (Some(export), _, _) => export,
            (None, Some(held), _) => Export { known_at: Instant::now(), ..held },
            (None, None, Some(seen)) => {
                let (validators, of) = (seen.validators.clone(), BTreeMap::new());
                *newest = Some(Export { validators, known_at: Instant::now(), of });
                return Ok(seen.clone());
            }
            (None, None, None) => unreachable!("only what is known can be unchanged"),
        };
        self.seen(newest.insert(export), code)
    }

    fn seen(&self, export: &Export, code: &Code) -> Result<Seen, ProbeError> {
        let read = export.of.get(code).expect("it was read for this code").clone()?;
        Ok(Seen {
            source: self.url.to_string(),
            validators: export.validators.clone(),
            ..Seen::of(read)
        })
    }

    /// Reads the export for all that are wanted; none where it is as it is `known`.
    async fn fetch(&self, known: Option<&Validators>) -> Result<Option<Export>, ProbeError> {
        let request = Request {
            url: &self.url,
            ca_bundle: self.ca_bundle.as_deref(),
            body_max: export::EXPORT_MAX,
            accept: "*/*",
            known,
            token: None,
        };
        published::wait_for_turn(&self.url).await;
        let answer = http::open(request, http::TOTAL_MAX).await?;
        if answer.status == 304 && known.is_some() {
            return Ok(None);
        }
        if matches!(answer.status, 404 | 410) {
            let message = format!("{} answered {}: no export is there", self.url, answer.status);
            return Err(ProbeError::new("not_found", message));
        }
        check_status(answer.status, self.url.as_str())?;
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let validators = answer.validators.clone();
        let of = read(answer, wanted, self.url.to_string()).await?;
        Ok(Some(Export { validators, known_at: Instant::now(), of }))
    }
}

/// Reads the body as it comes.
async fn read(
    mut answer: Answering,
    wanted: BTreeSet<Code>,
    shown: String,
) -> Result<BTreeMap<Code, Result<Read, Reason>>, ProbeError> {
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_MAX);
    let reading = tokio::task::spawn_blocking(move || {
        let chunks = Chunks { receiver, current: Vec::new(), at: 0, ended: false };
        export::read(chunks, &wanted, &shown)
    });
    loop {
        match answer.chunk().await? {
            Some(chunk) => {
                if sender.send(Chunk::Bytes(chunk)).await.is_err() {
                    break; // The reader has refused it, and says why.
                }
            }
            None => {
                let _ = sender.send(Chunk::End).await;
                break;
            }
        }
    }
    drop(sender);
    Ok(reading.await.unwrap_or_else(|error| Err(failed(&error)))?)
}

/// Part of a download; without `End` it was cut short.
enum Chunk {
    Bytes(Vec<u8>),
    End,
}

/// A download as a reader, for a thread that may wait.
struct Chunks {
    receiver: tokio::sync::mpsc::Receiver<Chunk>,
    current: Vec<u8>,
    at: usize,
    ended: bool,
}

impl std::io::Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.current.len() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Chunk::Bytes(bytes)) => (self.current, self.at) = (bytes, 0),
                Some(Chunk::End) => self.ended = true,
                None => return Err(std::io::Error::other("the download was cut short")),
            }
        }
        let rest = &self.current[self.at..];
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        self.at += size;
        Ok(size)
    }
}

/// Parts of a download in flight between network and parser.
const CHUNKS_MAX: usize = 8;
/// For how long one reading serves every code of a check: their slots are the same, and the toolkit makes the export
/// anew every ten minutes.
const SHARED: Duration = Duration::from_secs(60);
