//! Where a status is read: the organisation page, the CSV at a URL, or an export in a folder.

use std::path::{Path, PathBuf};

use attestd_core::{Blob, ProbeError, Reason};

use super::download::Download;
use super::{Code, Seen, export, page};
use crate::look::http::{self, Request};
use crate::look::published;

/// Where the status is read.
pub(super) enum Place {
    /// A page for each code, by a URL with `{ODS}`.
    Page(String),
    /// The CSV for all codes, at a URL.
    Csv(Box<Download>),
    /// A file, folder or glob of exports, and how messages call it.
    File { path: PathBuf, shown: String },
}

impl Place {
    /// Looks up `code` here; `before` is what was said of it when it was last seen. What is to be kept of it whole, where
    /// it is new, is added to `blobs`.
    pub(super) async fn look(
        &self,
        code: &Code,
        before: Option<&Seen>,
        ca_bundle: Option<&Path>,
        blobs: &mut Vec<Blob>,
    ) -> Result<Seen, ProbeError> {
        match self {
            Place::Page(url) => {
                let url = url.replace("{ODS}", &code.0);
                look_at_page(&url, code, before, ca_bundle, blobs).await
            }
            Place::Csv(download) => download.look(code, before).await,
            Place::File { path, shown } => look_into_folder(path.clone(), shown, code).await,
        }
    }
}

async fn look_at_page(
    url: &str,
    code: &Code,
    before: Option<&Seen>,
    ca_bundle: Option<&Path>,
    blobs: &mut Vec<Blob>,
) -> Result<Seen, ProbeError> {
    let asked = http::source_url(url).map_err(|message| ProbeError::new("bad_url", message))?;
    let before = before.filter(|seen| seen.source == url);
    let before = before.filter(|seen| !seen.validators.is_none());
    let request = Request {
        url: &asked,
        ca_bundle,
        body_max: http::BODY_MAX,
        accept: "*/*",
        known: before.map(|seen| &seen.validators),
        token: None,
    };
    published::wait_for_turn(&asked).await;
    let answer = http::fetch(request).await?;
    let kept = |reason: Reason| published::kept(reason, url, answer.status, &answer.body);
    let segments = |url: &str| url.split(['?', '#']).next().map(str::to_lowercase);
    let moved = segments(&answer.url) != segments(asked.as_str());
    if let Some(seen) = before.filter(|_| answer.status == 304 && !moved) {
        return Ok(seen.clone());
    }
    if matches!(answer.status, 404 | 410) {
        return Err(kept(not_registered(answer.status, url, code)));
    }
    check_status(answer.status, url).map_err(kept)?;
    if moved {
        return Err(kept(
            Reason::new("moved", format!("{url} leads to another page"))
                .remedy("look where it leads, and set `page`; until then use the CSV export"),
        ));
    }
    let (html, wanted) = (String::from_utf8_lossy(&answer.body).into_owned(), code.0.clone());
    let read = blocking(move || page::read(&html, &wanted)).await.map_err(kept)?;
    let blob = Blob::new(read.raw.as_slice());
    let sha256 = Some(blob.sha256.clone());
    blobs.push(blob);
    let validators = answer.validators;
    Ok(Seen { source: url.to_owned(), sha256, validators, ..Seen::of(read) })
}

async fn look_into_folder(path: PathBuf, shown: &str, code: &Code) -> Result<Seen, ProbeError> {
    let wanted = code.clone();
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
    let (sha256, exported) = (Some(sha256), Some(export.exported));
    Ok(Seen { source: export.shown, sha256, exported, ..Seen::of(read) })
}

fn not_registered(status: u16, url: &str, code: &Code) -> Reason {
    let message = format!(
        "{url} answered {status}: {} is not registered there, which is not the same as Not Published",
        code.0
    );
    Reason::new(NOT_REGISTERED, message)
        .remedy("check the ODS code; a merged organisation has a new one, which `successors` finds")
}

pub(super) fn check_status(status: u16, url: &str) -> Result<(), Reason> {
    let reason = match status {
        200 => return Ok(()),
        401 | 403 | 429 => {
            Reason::new("refused", format!("{url} answered {status}: it refuses machines"))
                .remedy(CSV_REMEDY)
        }
        _ => Reason::new("bad_answer", format!("{url} answered {status}")),
    };
    Err(reason)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Reason> + Send + 'static,
) -> Result<T, Reason> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(&error)))
}

pub(super) fn failed(error: &tokio::task::JoinError) -> Reason {
    Reason::new("unreadable", format!("reading the source: {error}"))
}

/// The reason where there is no page for a code.
pub(super) const NOT_REGISTERED: &str = "not_registered";
/// What to do where the page cannot be read.
pub(super) const CSV_REMEDY: &str =
    "download the CSV export from https://www.dsptoolkit.nhs.uk/OrganisationSearch and read that";
