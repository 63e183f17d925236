//! Where a status is read: the organisation page, the CSV at a URL, or an export in a folder.

use std::path::{Path, PathBuf};

use attestd_core::{Blob, Evidence, ProbeError, Reason};

use super::{Code, Facts, OfRow, Published, export, page};
use crate::look::{http, published};

/// Where the status is read.
pub(super) enum Place {
    /// A page for each code, by a URL with `{ODS}`.
    Page(String),
    /// The CSV for all codes, by its URL.
    Csv(String),
    /// A file, folder or glob of exports, and how messages call it.
    File { path: PathBuf, shown: String },
}

impl Place {
    /// Looks up `code` here.
    pub(super) async fn read(
        &self,
        code: Code,
        row: OfRow,
        ca_bundle: Option<&Path>,
    ) -> Result<Evidence, ProbeError> {
        match self {
            Place::Page(url) => {
                let url = url.replace("{ODS}", &code.0);
                read_page(&url, code, row, ca_bundle).await
            }
            Place::Csv(url) => read_url(url, code, row, ca_bundle).await,
            Place::File { path, shown } => read_folder(path.clone(), shown, code, row).await,
        }
    }
}

async fn read_page(
    url: &str,
    code: Code,
    row: OfRow,
    ca_bundle: Option<&Path>,
) -> Result<Evidence, ProbeError> {
    let asked = http::source_url(url).map_err(|message| ProbeError::new("bad_url", message))?;
    let answer = http::get(&asked, ca_bundle).await?;
    let kept = |reason: Reason| published::kept(reason, url, answer.status, &answer.body);
    check_status(answer.status, url, &code).map_err(kept)?;
    let segments = |url: &str| url.split(['?', '#']).next().map(str::to_lowercase);
    if segments(&answer.url) != segments(asked.as_str()) {
        return Err(kept(
            Reason::new("moved", format!("{url} leads to another page"))
                .remedy("look where it leads, and set `page`; until then use the CSV export"),
        ));
    }
    let (html, wanted) = (String::from_utf8_lossy(&answer.body).into_owned(), code.0.clone());
    let read = blocking(move || page::read(&html, &wanted)).await.map_err(kept)?;
    let blob = Blob::new(read.raw);
    let facts = Published {
        code,
        source: url.to_owned(),
        sha256: Some(blob.sha256.clone()),
        exported: None,
        matched: read.matched,
        name: read.name,
        rows: read.rows,
        row,
    };
    let mut evidence = Evidence::of(&Facts::Status(Box::new(facts)));
    evidence.blobs.push(blob);
    Ok(evidence)
}

async fn read_url(
    url: &str,
    code: Code,
    row: OfRow,
    ca_bundle: Option<&Path>,
) -> Result<Evidence, ProbeError> {
    let asked = http::source_url(url).map_err(|message| ProbeError::new("bad_url", message))?;
    let mut answer = http::open(&asked, ca_bundle, export::EXPORT_MAX, http::TOTAL_MAX).await?;
    check_status(answer.status, url, &code)?;
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_MAX);
    let (wanted, shown) = (code.0.clone(), url.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        export::read(Chunks { receiver, current: Vec::new(), at: 0, ended: false }, &wanted, &shown)
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
    let read = reading.await.unwrap_or_else(|error| Err(failed(&error)))?;
    let facts = Published {
        code,
        source: url.to_owned(),
        sha256: None,
        exported: None,
        matched: read.matched,
        name: read.name,
        rows: read.rows,
        row,
    };
    Ok(Evidence::of(&Facts::Status(Box::new(facts))))
}

async fn read_folder(
    path: PathBuf,
    shown: &str,
    code: Code,
    row: OfRow,
) -> Result<Evidence, ProbeError> {
    let wanted = code.0.clone();
    let (export, read, sha256) = blocking(move || {
        let export = export::newest(&path)?;
        let (read, sha256) = export::read_file(&export, &wanted)?;
        Ok((export, read, sha256))
    })
    .await
    .map_err(|mut reason| {
        reason.message = format!("{shown}: {}", reason.message);
        ProbeError::from(reason)
    })?;
    let facts = Published {
        code,
        source: export.shown,
        sha256: Some(sha256),
        exported: Some(export.exported),
        matched: read.matched,
        name: read.name,
        rows: read.rows,
        row,
    };
    Ok(Evidence::of(&Facts::Status(Box::new(facts))))
}

fn check_status(status: u16, url: &str, code: &Code) -> Result<(), Reason> {
    let reason = match status {
        200 => return Ok(()),
        404 | 410 => Reason::new(
            "not_registered",
            format!("{url} answered {status}: {} is not registered there, which is not the same as Not Published", code.0),
        )
        .remedy("check the ODS code; a merged organisation has a new one"),
        401 | 403 | 429 => Reason::new("refused", format!("{url} answered {status}: it refuses machines"))
            .remedy(CSV_REMEDY),
        _ => Reason::new("bad_answer", format!("{url} answered {status}")),
    };
    Err(reason)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Reason> + Send + 'static,
) -> Result<T, Reason> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(&error)))
}

fn failed(error: &tokio::task::JoinError) -> Reason {
    Reason::new("unreadable", format!("reading the source: {error}"))
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

/// What to do where the page cannot be read.
pub(super) const CSV_REMEDY: &str =
    "download the CSV export from https://www.dsptoolkit.nhs.uk/OrganisationSearch and read that";
