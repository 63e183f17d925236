//! Where a check's register is, and how it is read: anew each time the check is asked for its targets.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use attestd_core::{Context, PersonId, Reason, Worker};

use super::{Register, of_sheet, parse};
use crate::foreign;
use crate::look::document;

/// Where a check's register is, as its settings say.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    /// How messages call it.
    pub shown: String,
    form: Form,
    /// Who may be named in it.
    people: BTreeSet<PersonId>,
    worker: Option<Arc<dyn Worker>>,
}

/// What a register is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Csv,
    Toml,
    Xlsx { sheet: Option<String> },
}

impl Source {
    /// The settings `register` and `sheet` of a check, if they are there.
    pub fn build(settings: &attestd_core::Settings<'_>, context: &Context) -> Option<Source> {
        let sheet = settings.text("sheet").map(|text| text.value);
        let shown = settings.text("register")?.value;
        let path = context.directory.join(&shown);
        let named = sheet.is_some();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        let form = match extension.as_deref() {
            Some("csv") => Form::Csv,
            Some("toml") => Form::Toml,
            Some("xlsx") => Form::Xlsx { sheet },
            _ => {
                let expected = "a register is a .csv, .toml or .xlsx file";
                settings.error("register", format!("{expected}, not {shown:?}"));
                Form::Csv
            }
        };
        if named && matches!(form, Form::Csv | Form::Toml) {
            settings.error("sheet", "only a workbook (.xlsx) has sheets");
        }
        if !path.exists() {
            settings.warn(
                "register",
                format!("{shown} does not exist; until it does, its rows are Unknown"),
            );
        }
        let (people, worker) = (context.people.clone(), context.worker.clone());
        Some(Source { path, shown, form, people, worker })
    }

    /// The files whose change makes it another.
    pub fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    /// Reads the register as it is now.
    pub async fn read(&self) -> Result<Register, Reason> {
        let max = match self.form {
            Form::Xlsx { .. } => foreign::WORKBOOK_MAX,
            Form::Csv | Form::Toml => REGISTER_MAX,
        };
        let (path, shown) = (self.path.clone(), self.shown.clone());
        let reading = move || document::read(&path, &shown, max);
        let bytes = self.blocking(reading).await??;
        self.parse(bytes).await
    }

    async fn parse(&self, bytes: Vec<u8>) -> Result<Register, Reason> {
        let (shown, people) = (self.shown.clone(), self.people.clone());
        match &self.form {
            Form::Xlsx { sheet } => {
                let worker = self.worker.as_deref();
                let sheet = foreign::sheet(worker, sheet.clone(), &bytes, &shown).await?;
                self.blocking(move || of_sheet(sheet, &shown, &people)).await?
            }
            form => {
                let csv = *form == Form::Csv;
                self.blocking(move || parse(&bytes, csv, &shown, &people)).await?
            }
        }
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

/// A register of text, in bytes.
const REGISTER_MAX: u64 = 1024 * 1024;
