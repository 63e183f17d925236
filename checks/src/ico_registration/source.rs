//! Where the register is: the page that links to it, the file at a URL, or a file that a person dropped in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::obligation::{london, today};
use attestd_core::{Date, ProbeError, Reason, Timestamp};
use reqwest::Url;
use scraper::{Html, Selector};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::sweep::{Swept, sweep};
use crate::data;
use crate::look::published::{How, Place, Read as Looked};
use crate::look::{document, http};

/// The register, swept once for all numbers of a check.
pub(super) struct Register {
    pub(super) place: Place,
    wanted: BTreeSet<String>,
    ca_bundle: Option<PathBuf>,
    newest: Mutex<Option<(Instant, Arc<Dated>)>>,
}

/// What a file says of the numbers.
#[derive(Debug)]
pub(super) struct Dated {
    /// The URL or the name of the file.
    pub(super) source: String,
    /// The day of the file.
    pub(super) of: Date,
    swept: Swept,
}

impl std::ops::Deref for Dated {
    type Target = Swept;
    fn deref(&self) -> &Swept {
        &self.swept
    }
}

impl Register {
    pub(super) fn new(
        place: Place,
        wanted: BTreeSet<String>,
        ca_bundle: Option<PathBuf>,
    ) -> Register {
        Register { place, wanted, ca_bundle, newest: Mutex::new(None) }
    }

    /// What the newest file says; none where it is at a URL and its name is the `known` one still, day and all.
    pub(super) async fn sweep(
        &self,
        known: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Arc<Dated>>, ProbeError> {
        let url = match &self.place {
            Place::File { path, shown } => return self.sweep_file(path, shown).await.map(Some),
            Place::Url(url) => self.resolve(url).await?,
        };
        if known == Some(url.as_str()) && stamp(url.path()).is_some() {
            return Ok(None);
        }
        let mut newest = self.newest.lock().await;
        if let Some((read, dated)) = &*newest
            && dated.source == url.as_str()
            && read.elapsed() < SHARED
        {
            return Ok(Some(Arc::clone(dated)));
        }
        let dated = Arc::new(self.sweep_url(&url, now).await?);
        *newest = Some((Instant::now(), Arc::clone(&dated)));
        Ok(Some(dated))
    }

    /// The URL of the file: itself, or what the page links to.
    async fn resolve(&self, url: &Url) -> Result<Url, ProbeError> {
        if is_file(url) {
            return Ok(url.clone());
        }
        let how = How {
            ca_bundle: self.ca_bundle.as_deref(),
            body_max: http::BODY_MAX,
            accept: "text/html",
            token: None,
        };
        let Looked::New(got, body) = self.place.read(how, None).await? else {
            return Err(ProbeError::new("bad_answer", format!("{url} answered 304 unasked")));
        };
        link(&String::from_utf8_lossy(&body), url)
            .map_err(|reason| crate::look::published::kept(reason, &got.source, 200, &body))
    }

    async fn sweep_url(&self, url: &Url, now: Timestamp) -> Result<Dated, ProbeError> {
        let source = url.as_str().to_owned();
        let unwritable = |error: std::io::Error| {
            let message = format!("keeping {url} in a file that has no name: {error}");
            ProbeError::new("no_room", message)
        };
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(unwritable)?);
        let request = http::Request {
            url,
            ca_bundle: self.ca_bundle.as_deref(),
            body_max: FILE_MAX,
            accept: "*/*",
            known: None,
            token: None,
        };
        let mut answer = http::open(request, DOWNLOAD_MAX).await?;
        if answer.status != 200 {
            let message = format!("{url} answered {}", answer.status);
            return Err(ProbeError::new("bad_answer", message));
        }
        while let Some(chunk) = answer.chunk().await? {
            file.write_all(&chunk).await.map_err(unwritable)?;
        }
        file.flush().await.map_err(unwritable)?;
        let of = stamp(url.path()).unwrap_or_else(|| today(now));
        self.read(file.into_std().await, source, of).await
    }

    async fn sweep_file(&self, path: &Path, shown: &str) -> Result<Arc<Dated>, ProbeError> {
        let file = document::open(path, shown)?;
        let written = file.metadata().and_then(|meta| meta.modified());
        let written = written.map_err(|error| document::unreadable(shown, &error))?;
        let of = stamp(shown)
            .or_else(|| Some(jiff::Timestamp::try_from(written).ok()?.to_zoned(london()).date()));
        let of = of.ok_or_else(|| {
            ProbeError::new("file_unreadable", format!("{shown} has no believable time"))
        })?;
        self.read(file, shown.to_owned(), of).await.map(Arc::new)
    }

    async fn read(&self, file: File, source: String, of: Date) -> Result<Dated, ProbeError> {
        let (wanted, shown) = (self.wanted.clone(), source.clone());
        let reading = move || read_file(file, &wanted, &shown);
        let swept = tokio::task::spawn_blocking(reading).await;
        let swept = swept.map_err(|error| {
            ProbeError::new("unreadable", format!("reading {source}: {error}"))
        })??;
        Ok(Dated { source, of, swept })
    }
}

/// Reads a ZIP or a CSV, whichever it is.
fn read_file(mut file: File, wanted: &BTreeSet<String>, shown: &str) -> Result<Swept, Reason> {
    let failed = |error: std::io::Error| document::unreadable(shown, &error);
    file.rewind().map_err(failed)?;
    let mut head = [0; 4];
    let read = file.read(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    if head[..read] != *b"PK\x03\x04" {
        return sweep(Bounded { source: file, left: DECODED_MAX }, wanted, shown);
    }
    let broken = |error: &dyn std::fmt::Display| {
        Reason::new("file_unreadable", format!("{shown}: it is no whole ZIP: {error}"))
    };
    if stated_entries(&mut file).map_err(failed)?.is_none_or(|stated| stated > ENTRIES_MAX) {
        return Err(broken(&"it has no directory of its entries, or one of too many"));
    }
    let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(&error))?;
    let mut table = None;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(|error| broken(&error))?;
        let is_table = entry.name().is_ok_and(|name| name.to_lowercase().ends_with(".csv"));
        if is_table && table.replace(at).is_some() {
            let message = format!("{shown}: it holds several CSV files");
            return Err(Reason::new("layout_changed", message));
        }
    }
    let table = table
        .ok_or_else(|| Reason::new("layout_changed", format!("{shown}: it holds no CSV file")))?;
    let entry = archive.by_index(table).map_err(|error| broken(&error))?;
    sweep(Bounded { source: entry, left: DECODED_MAX }, wanted, shown)
}

/// How many entries the end of a ZIP says that it has, before its directory is read, which takes memory by the entry.
fn stated_entries(file: &mut File) -> std::io::Result<Option<u16>> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(ZIP_END_MAX)))?;
    let mut tail = Vec::new();
    file.take(ZIP_END_MAX).read_to_end(&mut tail)?;
    let end = tail.windows(ZIP_END).rposition(|window| window.starts_with(b"PK\x05\x06"));
    Ok(end.map(|end| u16::from_le_bytes([tail[end + 10], tail[end + 11]])))
}

/// Refuses what is over its limit, rather than ending early, which would look like an end.
struct Bounded<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| std::io::Error::other(format!("it is over {DECODED_MAX} bytes")))?;
        Ok(read)
    }
}

/// Whether this is the file and not a page that links to it.
fn is_file(url: &Url) -> bool {
    let path = url.path().to_lowercase();
    path.ends_with(".zip") || path.ends_with(".csv")
}

/// The one file of the register that the page links to.
fn link(html: &str, page: &Url) -> Result<Url, Reason> {
    let changed = |why: &str| Reason::new("layout_changed", format!("{page}: {why}"));
    if html.bytes().filter(|byte| *byte == b'<').count() > TAGS_MAX {
        return Err(Reason::new("limit_markup", format!("{page} has over {TAGS_MAX} tags")));
    }
    let anchors = Selector::parse("a[href]").expect("a fixed selector");
    let wanted = &data::ico().link;
    let html = Html::parse_document(html);
    let urls: BTreeSet<Url> = html
        .select(&anchors)
        .filter_map(|anchor| page.join(anchor.attr("href")?).ok())
        .filter(|url| is_file(url) && url.path().contains(wanted.as_str()))
        .collect();
    let mut urls = urls.into_iter();
    match (urls.next(), urls.next()) {
        (Some(url), None) => http::source_url(url.as_str()).map_err(|why| changed(&why)),
        (None, _) => Err(changed(&format!("it links to no file whose name holds {wanted:?}"))),
        (Some(_), Some(_)) => Err(changed("it links to several files of the register")),
    }
}

/// The day in a name such as `register-of-data-controllers-2026-11-20.zip`.
fn stamp(name: &str) -> Option<Date> {
    let stem = name.rsplit_once('.')?.0;
    let at = stem.len().checked_sub("2026-11-20".len())?;
    stem.get(at..)?.parse().ok()
}

/// The file as it comes, in bytes: it has some 80 MB.
const FILE_MAX: u64 = 256 * 1024 * 1024;
/// The table, in bytes: it has some 500 MB.
const DECODED_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Until the last byte of the file: 80 MB at 2 Mbit/s.
const DOWNLOAD_MAX: Duration = Duration::from_secs(400);
/// For how long one sweep serves every number of a check.
const SHARED: Duration = Duration::from_secs(3600);
/// Entries of the ZIP; it has one.
const ENTRIES_MAX: u16 = 16;
/// The end of a ZIP without its comment, in bytes.
const ZIP_END: usize = 22;
/// The same with the longest comment.
const ZIP_END_MAX: u64 = 22 + 65_535;
/// Tags of the page; html5ever's work grows with their square.
const TAGS_MAX: usize = 8_000;
