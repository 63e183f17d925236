//! Documents of foreign formats: what is asked of the worker that parses them, and what it answers.
//!
//! The daemon never parses one itself. It hands the bytes to a [`Worker`], a process of its own that has nothing and may
//! do nothing; there [`answer`] does the work. What comes back is as foreign as what went in.

use std::collections::BTreeMap;

use attestd_core::Reason;
use attestd_core::check::Worker;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::look::json;

mod content;
mod date;
mod docx;
mod labels;
mod odt;
mod package;
mod pdf;
pub mod sheet;
#[cfg(test)]
mod tests;
mod xml;

pub use labels::{INTERVAL, LAST_REVIEWED, NEXT_REVIEW, REVIEWERS, VERSION};

/// What the worker is to read the bytes as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum Request {
    /// A sheet of a workbook.
    Xlsx {
        /// The sheet's name; the only one with an `id` column where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sheet: Option<String>,
    },
    /// A text document of Word.
    Docx,
    /// A text document of LibreOffice.
    Odt,
    /// A PDF.
    Pdf,
}

/// What a document says of its review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its labels, under the names that front matter has for them, and what stands beside each.
    pub fields: BTreeMap<String, String>,
    /// SHA-256 of what else it says, so that a change is known.
    pub text: String,
}

impl Request {
    /// How a document with this extension, in lower case, is read; none where it is no foreign format.
    pub fn of_document(extension: &str) -> Option<Request> {
        match extension {
            "docx" => Some(Request::Docx),
            "odt" => Some(Request::Odt),
            "pdf" => Some(Request::Pdf),
            _ => None,
        }
    }
}

/// Has `worker` read a workbook's sheet; `shown` names it in messages.
pub async fn sheet(
    worker: Option<&dyn Worker>,
    sheet: Option<String>,
    bytes: &[u8],
    shown: &str,
) -> Result<sheet::Sheet, Reason> {
    ask(worker, &Request::Xlsx { sheet }, bytes, shown).await
}

/// Has `worker` read a document; `shown` names it in messages.
pub async fn document(
    worker: Option<&dyn Worker>,
    request: &Request,
    bytes: &[u8],
    shown: &str,
) -> Result<Document, Reason> {
    ask(worker, request, bytes, shown).await
}

async fn ask<T: DeserializeOwned>(
    worker: Option<&dyn Worker>,
    request: &Request,
    bytes: &[u8],
    shown: &str,
) -> Result<T, Reason> {
    let named =
        |reason: Reason| Reason { message: format!("{shown}: {}", reason.message), ..reason };
    let Some(worker) = worker else {
        return Err(named(Reason::new("no_worker", "there is no worker to read it")));
    };
    let mut work = serde_json::to_vec(request).expect("a request is plain data");
    work.push(b'\n');
    work.extend_from_slice(bytes);
    let answer = worker.work(work).await.map_err(named)?;
    let broken = |reason: Reason| {
        Reason::new(
            "worker_answer",
            format!("what read it answered what cannot be: {}", reason.message),
        )
    };
    json::read::<Result<T, Reason>>(&answer, shown).map_err(broken)?.map_err(named)
}

/// Does the work that `request` asks for: what the worker's process is for. Never called in the daemon's own.
pub fn answer(request: &[u8]) -> Vec<u8> {
    let answered = match request.iter().position(|byte| *byte == b'\n') {
        Some(end) => match serde_json::from_slice(&request[..end]) {
            Ok(asked) => work(&asked, &request[end + 1..]),
            Err(_) => Err(Reason::new("worker_request", "it was asked what it does not know")),
        },
        None => Err(Reason::new("worker_request", "it was asked nothing")),
    };
    let value = |value: serde_json::Result<Vec<u8>>| value.expect("an answer is plain data");
    match answered {
        Ok(Answer::Sheet(sheet)) => value(serde_json::to_vec(&Ok::<_, Reason>(sheet))),
        Ok(Answer::Document(document)) => value(serde_json::to_vec(&Ok::<_, Reason>(document))),
        Err(reason) => value(serde_json::to_vec(&Err::<Document, _>(reason))),
    }
}

enum Answer {
    Sheet(sheet::Sheet),
    Document(Document),
}

fn work(request: &Request, bytes: &[u8]) -> Result<Answer, Reason> {
    match request {
        Request::Xlsx { sheet } => sheet::read(bytes, sheet.as_deref()).map(Answer::Sheet),
        Request::Docx => docx::read(bytes).map(Answer::Document),
        Request::Odt => odt::read(bytes).map(Answer::Document),
        Request::Pdf => pdf::read(bytes).map(Answer::Document),
    }
}

/// A foreign document, in bytes: a policy of a hundred pages with pictures.
pub const DOCUMENT_MAX: u64 = 20 * 1024 * 1024;
/// A workbook, in bytes: 2,000 rows are 200 KiB, pictures and other sheets the rest.
pub const WORKBOOK_MAX: u64 = 5 * 1024 * 1024;
/// How much of what stands in a document is repeated, in characters.
const SHOWN_MAX: usize = 40;

/// What stands in a document, as far as a message repeats it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}
