//! Puts the feed where others read it: a file, and a URL (`[calendar]`). That it could not is a condition of the daemon's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::Settings;
use attestd_core::calendar::{Entry, entries};
use attestd_core::text::plain;
use attestd_core::time::Uptime;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::delivery::backoff::{Chance, delay};
use crate::delivery::http_client::HttpClient;
use crate::delivery::reach::{Parts, Reach};
use crate::delivery::surroundings::Surroundings;
use crate::delivery::webhook;
use crate::monitor::Message;
use crate::monitor::shared::Shared;
use crate::own::CALENDAR_NOT_PUBLISHED;

/// `[calendar]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarSettings {
    /// The file that holds the feed.
    pub file: Option<PathBuf>,
    /// Where it is put, with the headers that it is put with.
    pub url: Option<(String, Reach)>,
}

impl CalendarSettings {
    /// Reads `[calendar]`, and ends the reading.
    pub fn read(table: &Settings<'_>, around: &Surroundings<'_>) -> CalendarSettings {
        let file = table.text("file").map(|text| (around.directory.join(&text.value), text.span));
        if let Some((path, span)) = &file {
            let directory = path.parent().filter(|parent| parent.is_dir());
            if directory.is_none() {
                // A service's state directory is made at its first start.
                let problem = format!("{}: there is no such directory yet", path.display());
                table.warn("file", problem);
            } else if path.is_dir() {
                table.error_at(span.clone(), "`file` is a directory: name the file in it");
            }
        }
        let url = table.text("url").and_then(|text| match webhook::url(&text.value) {
            Ok(_) => Some(text.value),
            Err(why) => {
                table.error_at(text.span, format!("the calendar cannot be put there: {why}"));
                None
            }
        });
        let reach = Reach::read(table, "credential", around);
        if !table.has("file") && !table.has("url") {
            table.missing("file", "where the calendar is written, or `url`, where it is put");
        }
        table.finish();
        CalendarSettings { file: file.map(|(path, _)| path), url: url.map(|url| (url, reach)) }
    }
}

/// Keeps the feed where others read it.
pub struct Publisher {
    /// What the monitor and its runs share.
    pub shared: Arc<Shared>,
    /// Who runs this.
    pub organisation: watch::Receiver<String>,
    /// Where it goes.
    pub settings: watch::Receiver<Option<CalendarSettings>>,
    /// The monitor.
    pub monitor: mpsc::Sender<Message>,
}

/// What was made of the calendar, and where it is by now.
#[derive(Default)]
struct Course {
    of: Option<(String, Vec<Entry>)>,
    text: Arc<str>,
    is_filed: bool,
    is_put: bool,
    /// Failures in a row, and when the first of them was.
    failures: u32,
    failing_since: Option<Uptime>,
    /// Not to be put before.
    gate: Option<Uptime>,
}

impl Publisher {
    /// Until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let clock = self.shared.clock.clone();
        let seed = u64::try_from(clock.now().as_nanosecond().unsigned_abs() % u128::from(u64::MAX));
        let mut chance = Chance::of(seed.expect("it was made to fit"), "calendar");
        let mut course = Course::default();
        loop {
            let settings = self.settings.borrow_and_update().clone();
            let changed = match &settings {
                None => self.shared.conditions.clear_others(CALENDAR_NOT_PUBLISHED, &[].into()),
                Some(settings) => self.look(settings, &mut course, &mut chance).await,
            };
            if changed {
                let _ = self.monitor.send(Message::Changed(Default::default())).await; // it may be gone
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = self.settings.changed() => course = Course::default(),
                () = clock.sleep(LOOK) => {}
            }
        }
    }

    /// Makes the feed anew where the calendar changed, and puts it where it is not yet; says whether a condition changed.
    async fn look(
        &self,
        settings: &CalendarSettings,
        course: &mut Course,
        chance: &mut Chance,
    ) -> bool {
        self.make(course).await;
        let conditions = &self.shared.conditions;
        let places =
            [settings.file.is_some().then_some(FILE), settings.url.is_some().then_some(URL)];
        let places = places.into_iter().flatten().map(str::to_owned).collect();
        let mut changed = conditions.clear_others(CALENDAR_NOT_PUBLISHED, &places);
        let mut say = |place: &str, error: Option<String>| {
            let values = error.map(|error| [("error", plain(&error, REASON_MAX))]);
            let values = values.as_ref().map(|values| &values[..]);
            changed |= conditions.set(CALENDAR_NOT_PUBLISHED, Some(place), values);
        };
        if let Some(path) = settings.file.clone().filter(|_| !course.is_filed) {
            let text = course.text.clone();
            let written = tokio::task::spawn_blocking(move || write(&path, text.as_bytes())).await;
            let error = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            course.is_filed = error.is_none();
            say(FILE, error);
        }
        let now = self.shared.clock.uptime();
        let Some((url, reach)) = settings.url.as_ref().filter(|_| !course.is_put) else {
            return changed;
        };
        if course.gate.is_some_and(|gate| now < gate) {
            return changed;
        }
        match put(url, reach, &course.text).await {
            Ok(()) => {
                (course.is_put, course.failures, course.failing_since) = (true, 0, None);
                say(URL, None);
            }
            Err(error) => {
                tracing::warn!(%error, "The calendar could not be put where it is read; it is tried again.");
                course.failures = course.failures.saturating_add(1);
                let since = *course.failing_since.get_or_insert(now);
                course.gate = Some(Uptime(now.0 + delay(course.failures, chance)));
                if now.since(since) >= FAILING_MAX {
                    say(URL, Some(error));
                }
            }
        }
        changed
    }

    async fn make(&self, course: &mut Course) {
        let mut now = (self.organisation.borrow().clone(), Vec::new());
        self.shared.store.read(&mut |state| now.1 = entries(state));
        if course.of.as_ref() == Some(&now) {
            return;
        }
        let (store, organisation) = (self.shared.store.clone(), now.0.clone());
        let made = tokio::task::spawn_blocking(move || super::feed_of(&*store, &organisation));
        let Ok(text) = made.await else { return };
        if *text != *course.text {
            (course.text, course.is_filed, course.is_put) = (text.into(), false, false);
        }
        course.of = Some(now);
    }
}

/// Writes the file whole or not at all; one that says this already is left.
pub fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    let mut new = path.file_name().unwrap_or_default().to_owned();
    new.push(".new");
    let new = directory.join(new);
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    std::fs::File::open(directory)?.sync_all()
}

async fn put(url: &str, reach: &Reach, text: &str) -> Result<(), String> {
    let parts = Parts::read(reach).map_err(|error| error.to_string())?;
    let url = webhook::url(url).map_err(str::to_owned)?;
    let direct = url.host_str().is_some_and(crate::delivery::http_client::is_loopback);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"));
    let client = HttpClient::new(&parts, headers, reach.timeout, direct);
    let client = client.map_err(|error| error.to_string())?;
    let answer = client.put(url.as_str(), text.as_bytes().to_vec().into()).await;
    match answer.map_err(|error| error.to_string())? {
        200..=299 => Ok(()),
        status => Err(format!("the server answered {status}")),
    }
}

/// The component of the condition about the file.
const FILE: &str = "file";
/// That about the URL.
const URL: &str = "url";
/// How often it is looked whether the calendar changed.
const LOOK: Duration = Duration::from_secs(5);
/// A server that is away for less is no news: who reads a calendar asks hourly at most.
const FAILING_MAX: Duration = Duration::from_secs(15 * 60);
/// Characters kept of an error, which may quote a server.
const REASON_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::problems;

    fn read(text: &str) -> (CalendarSettings, Vec<String>) {
        problems(text, CalendarSettings::read)
    }

    #[test]
    fn a_file_or_a_url_is_enough_and_every_problem_is_told() {
        for (text, expected) in [
            ("file = \"/due.ics\"", ""),
            ("file = \"due.ics\"", "there is no such directory yet"),
            ("url = \"https://dav.example.org/due.ics\"", ""),
            ("url = \"http://127.0.0.1:5232/due.ics\"\nheaders = { depth = \"0\" }", ""),
            ("", "needs `file`"),
            ("file = \"/tmp\"", "name the file in it"),
            ("url = \"http://dav.example.org/due.ics\"", "begins with https://"),
            ("url = \"https://me:secret@dav.example.org/\"", "do not go into it"),
            ("file = \"/due.ics\"\nevery = \"1h\"", "every"),
            ("file = 3", "text in quotes"),
        ] {
            let (settings, told) = read(text);
            match expected {
                "" => assert!(told.is_empty(), "{text}: {told:?}"),
                part => assert!(told.iter().any(|t| t.contains(part)), "{text}: {told:?}"),
            }
            assert!(!format!("{settings:?}").contains("secret@"), "{settings:?}");
        }
    }

    #[test]
    fn a_file_is_written_whole_and_left_where_it_says_so_already() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("due.ics");
        write(&path, b"one").expect("written");
        let written = || std::fs::metadata(&path).and_then(|meta| meta.modified()).expect("there");
        let before = written();
        write(&path, b"one").expect("left");
        assert_eq!(written(), before, "who watches the file is not woken for nothing");
        write(&path, b"two").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"two");
        let names = std::fs::read_dir(directory.path()).expect("listed").count();
        assert_eq!(names, 1, "nothing is left beside it");
        assert!(write(directory.path(), b"one").is_err(), "a directory is no file");
    }
}
