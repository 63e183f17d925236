//! `attestd done` and `attestd event`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use attestd_core::ending;
use attestd_core::obligation::today;
use attestd_core::statement::{Said, What};
use attestd_core::time::Clock;
use attestd_core::{Date, PersonId};

use super::{check, show, status};
use crate::clock::SystemClock;
use crate::control::{Answer, Request, client};
use crate::limits;

/// That a duty or an action was done.
#[derive(clap::Args)]
pub struct Done {
    /// The row of the register, by its id, or CHECK/ROW
    obligation: String,
    /// The day on which it was done: 2026-11-22
    #[arg(long, value_name = "DATE")]
    on: Date,
    /// Who did it: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
    /// What shows it: a file, which is kept with the evidence, or an https link, which is only named
    #[arg(long, value_name = "FILE|URL")]
    evidence: String,
    /// Who else signs
    #[arg(long, value_name = "PERSON")]
    second: Option<PersonId>,
    /// Its last day, as printed on it
    #[arg(long, value_name = "DATE")]
    expires: Option<Date>,
    /// Something in your own words; kept apart, and in no pack that is redacted
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// That something happened to a service.
#[derive(clap::Args)]
pub struct Event {
    /// What happened
    what: Happened,
    /// The service, by the id of its row
    #[arg(long, value_name = "ROW")]
    service: String,
    /// The day on which it did; today where absent
    #[arg(long, value_name = "DATE")]
    at: Option<Date>,
    /// The version that is released
    #[arg(long)]
    version: Option<String>,
    /// Who says so: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: Option<PersonId>,
    /// Something in your own words; kept apart, and in no pack that is redacted
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// What can happen to a service.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Happened {
    /// A version is released
    Release,
    /// It changes, or what it stands on does
    Change,
    /// It is sold for the first time
    FirstSale,
}

/// Records that something was done.
pub fn done(path: &Path, done: Done, json: bool) -> anyhow::Result<ExitCode> {
    let Done { obligation, on, by, evidence, second, expires, note } = done;
    let (link, document) = match evidence.contains("://") {
        true => (Some(evidence), None),
        false => (None, Some(read(Path::new(&evidence))?)),
    };
    let (what, by) = (What::Done, Some(by));
    let (document_, version) = (None, None);
    let said =
        Said { what, on, by, second, document: document_, link, expires, version, row: false };
    say(path, obligation, said, note, document, json)
}

/// Records that something happened.
pub fn event(path: &Path, event: Event, json: bool) -> anyhow::Result<ExitCode> {
    let Event { what, service, at, version, by, note } = event;
    let what = match what {
        Happened::Release => What::Release,
        Happened::Change => What::Change,
        Happened::FirstSale => What::FirstSale,
    };
    let on = at.unwrap_or_else(|| today(SystemClock::new().now()));
    let (second, document, link, expires) = (None, None, None, None);
    let said = Said { what, on, by, second, document, link, expires, version, row: false };
    say(path, service, said, note, None, json)
}

/// Who runs this may read it; the daemon need not.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let cannot = || format!("the evidence {} cannot be read", path.display());
    let meta = std::fs::metadata(path).with_context(cannot)?;
    anyhow::ensure!(meta.is_file(), "{}: it is no regular file", cannot());
    let file = std::fs::File::open(path).with_context(cannot)?;
    let mut bytes = Vec::new();
    file.take(limits::DOCUMENT_MAX as u64 + 1).read_to_end(&mut bytes).with_context(cannot)?;
    let most = limits::DOCUMENT_MAX / 1024 / 1024;
    anyhow::ensure!(
        bytes.len() <= limits::DOCUMENT_MAX,
        "the evidence {} is over {most} MiB; name a link to it instead",
        path.display()
    );
    anyhow::ensure!(!bytes.is_empty(), "the evidence {} is empty", path.display());
    Ok(bytes)
}

fn say(
    path: &Path,
    of: String,
    said: Said,
    note: Option<String>,
    document: Option<Vec<u8>>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let bytes = document.as_ref().map(Vec::len);
    let request = Request::Say { of, said: Box::new(said), note, document: bytes };
    let document = document.unwrap_or_default();
    let answer = client::ask_with(&config.control_socket, &request, &document)?;
    let (record, checked) = match answer {
        Some(Answer::Said { record, checked }) => (record, checked),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => anyhow::bail!("no daemon is running: only it can record what is said, and by whom"),
    };
    if json {
        let told = serde_json::json!({ "record": record, "checked": checked });
        show::json(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
    show::line(format_args!("Recorded, as record {record}."));
    for checked in &checked {
        if let Some(due) = checked.view.due {
            show::line(format_args!(
                "{} is due next by {}.",
                checked.view.subject,
                ending::until(due)
            ));
        }
        show::out(check::show_one(checked, false));
    }
    Ok(ExitCode::SUCCESS)
}
