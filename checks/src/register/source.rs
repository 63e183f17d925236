//! Where a check's register is, and how it is read: anew each time the check is asked for its targets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use attestd_core::check::sha256_hex;
use attestd_core::{Context, Nature, PersonId, ProbeError, Reason, Worker};

use super::{Register, of_sheet, parse};
use crate::foreign;
use crate::look::document;
use crate::look::published::{Got, How, Place, Read, kept};
use crate::look::token::Token;

/// Where a check's register is, as its settings say.
#[derive(Debug, Clone)]
pub struct Source {
    place: Place,
    /// How messages call it.
    pub shown: String,
    /// What it is written as; what is at a URL may say so only when it is read.
    form: Option<Form>,
    sheet: Option<String>,
    /// Who may be named in it.
    people: BTreeSet<PersonId>,
    worker: Option<Arc<dyn Worker>>,
    ca_bundle: Option<PathBuf>,
    token: Option<Token>,
    last: Arc<Mutex<Last>>,
}

/// What a register is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Toml,
    Xlsx,
}

/// What was read last from a URL.
#[derive(Debug, Default)]
struct Last {
    /// How the newest good register was got, and that register.
    good: Option<(Got, Arc<Register>)>,
    /// The newest bytes, by their hash, good or not.
    sha256: Option<String>,
    /// The newest reading failed.
    failed: bool,
}

impl Source {
    /// The settings `register`, `sheet` and `register_credential` of a check, if they are there.
    pub fn build(settings: &attestd_core::Settings<'_>, context: &Context) -> Option<Source> {
        let sheet = settings.text("sheet").map(|text| text.value);
        let token = Token::build(settings, "register_credential", context.credentials.as_deref());
        let shown = settings.text("register")?.value;
        let place = match Place::of(&shown, &context.directory) {
            Ok(place) => place,
            Err(message) => {
                settings.error("register", message);
                return None;
            }
        };
        let form = match &place {
            Place::File { path, .. } => Form::of(path),
            Place::Url(url) => Form::of(Path::new(url.path())),
        };
        if let Place::File { path, .. } = &place {
            if form.is_none() {
                let expected = "a register is a .csv, .toml or .xlsx file";
                settings.error("register", format!("{expected}, not {shown:?}"));
            }
            if token.is_some() {
                settings.error("register_credential", "only a URL is shown a token");
            }
            if !path.exists() {
                settings.warn(
                    "register",
                    format!("{shown} does not exist; until it does, its rows are Unknown"),
                );
            }
        }
        if sheet.is_some() && matches!(form, Some(Form::Csv | Form::Toml)) {
            settings.error("sheet", "only a workbook (.xlsx) has sheets");
        }
        Some(Source {
            place,
            shown,
            form,
            sheet,
            people: context.people.clone(),
            worker: context.worker.clone(),
            ca_bundle: context.ca_bundle.clone(),
            token,
            last: Arc::default(),
        })
    }

    /// The files whose change makes it another.
    pub fn files(&self) -> Vec<PathBuf> {
        self.place.files()
    }

    /// Where it is: rows that were read from a URL stand for a while when that cannot be read (F3).
    pub fn nature(&self) -> Nature {
        self.place.nature(Nature::PublicRegister)
    }

    /// Reads the register as it is now.
    pub async fn read(&self) -> Result<Arc<Register>, ProbeError> {
        let Place::File { path, .. } = &self.place else { return self.fetch().await };
        let (path, shown) = (path.clone(), self.shown.clone());
        let max = self.form.unwrap_or(Form::Csv).bytes_max();
        let bytes = self.blocking(move || document::read(&path, &shown, max)).await??;
        Ok(Arc::new(self.parse(bytes, self.form.unwrap_or(Form::Csv)).await?))
    }

    /// Whether what is at a URL is other than it was when it was last read, or can be read again.
    pub async fn moved(&self) -> bool {
        let Place::Url(_) = &self.place else { return false };
        let (sha256, failed) = {
            let last = self.last();
            (last.sha256.clone(), last.failed)
        };
        let read = self.fetch().await.is_ok();
        let other = self.last().sha256 != sha256;
        // Where nobody has asked for the rows yet, there is nobody to tell.
        (sha256.is_some() || failed) && (other || (failed && read))
    }

    async fn fetch(&self) -> Result<Arc<Register>, ProbeError> {
        let fetched = self.fetch_new().await;
        self.last().failed = fetched.is_err();
        fetched
    }

    async fn fetch_new(&self) -> Result<Arc<Register>, ProbeError> {
        let good = self.last().good.clone();
        let how = How {
            ca_bundle: self.ca_bundle.as_deref(),
            body_max: foreign::WORKBOOK_MAX,
            accept: "text/csv, application/toml, \
                     application/vnd.openxmlformats-officedocument.spreadsheetml.sheet, */*;q=0.1",
            token: self.token.as_ref(),
        };
        let (got, bytes) =
            match (self.place.read(how, good.as_ref().map(|(got, _)| got)).await?, good) {
                (Read::Unchanged, Some((_, register))) => return Ok(register),
                (Read::Unchanged, None) => {
                    let message = format!("{} answered 304 to a first question", self.shown);
                    return Err(ProbeError::new("bad_answer", message));
                }
                (Read::New(got, _), Some((before, register))) if got.sha256 == before.sha256 => {
                    self.last().good = Some((got, Arc::clone(&register)));
                    return Ok(register);
                }
                (Read::New(got, bytes), _) => (got, bytes),
            };
        self.last().sha256 = Some(sha256_hex(&bytes));
        let form = self.form.unwrap_or_else(|| Form::sniffed(&bytes, got.content_type.as_deref()));
        let max = form.bytes_max();
        if bytes.len() as u64 > max {
            let message = format!("{} is over {max} bytes", self.shown);
            return Err(ProbeError::new("limit_body", message));
        }
        // A page that asks for a login is no register: what it said is kept with the reason.
        let page = bytes.clone();
        let register = self.parse(bytes, form).await;
        let register = register.map_err(|reason| kept(reason, &self.shown, 200, &page))?;
        let register = Arc::new(register);
        self.last().good = Some((got, Arc::clone(&register)));
        Ok(register)
    }

    async fn parse(&self, bytes: Vec<u8>, form: Form) -> Result<Register, Reason> {
        let (shown, people) = (self.shown.clone(), self.people.clone());
        if form == Form::Xlsx {
            let worker = self.worker.as_deref();
            let sheet = foreign::sheet(worker, self.sheet.clone(), &bytes, &shown).await?;
            return self.blocking(move || of_sheet(sheet, &shown, &people)).await?;
        }
        self.blocking(move || parse(&bytes, form == Form::Csv, &shown, &people)).await?
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for a disk or works long does so off the runtime's threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            Reason::new("register_unreadable", format!("reading {}: {error}", self.shown))
        })
    }
}

impl Form {
    fn of(path: &Path) -> Option<Form> {
        match path.extension()?.to_str()?.to_lowercase().as_str() {
            "csv" => Some(Form::Csv),
            "toml" => Some(Form::Toml),
            "xlsx" => Some(Form::Xlsx),
            _ => None,
        }
    }

    /// What has no name that says so: a workbook begins as a package does, and all else is CSV or none.
    fn sniffed(bytes: &[u8], content_type: Option<&str>) -> Form {
        match content_type {
            _ if bytes.starts_with(b"PK\x03\x04") => Form::Xlsx,
            Some(kind) if kind.starts_with("application/toml") => Form::Toml,
            _ => Form::Csv,
        }
    }

    fn bytes_max(self) -> u64 {
        match self {
            Form::Xlsx => foreign::WORKBOOK_MAX,
            Form::Csv | Form::Toml => REGISTER_MAX,
        }
    }
}

/// A register of text, in bytes.
const REGISTER_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
