//! The configuration: read whole, with every error at once and its place, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_checks::registry;
use attestd_core::alert::{People, Policy};
use attestd_core::event::Labels;
use attestd_core::maintenance::Window;
use attestd_core::schedule::Schedule;
use attestd_core::settings::{Problem, Problems, did_you_mean};
use attestd_core::time::after;
use attestd_core::{
    Assertion, Check, CheckId, CheckKind, Context, Nature, PersonId, Settings, Severity, Timestamp,
    check::Deadline,
};
use toml::de::DeTable;

use crate::catalogue;
use crate::delivery::routing::{self, Watched};
use crate::limits;
use crate::rules;
use crate::timestamps::Authority;

/// A configuration that can run.
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its text, kept as evidence; secrets are only named in it.
    pub text: String,
    /// What deserves to be known about it.
    pub warnings: Vec<Problem>,
    /// Who runs this: shown on top of the status.
    pub organisation: String,
    /// Where the store is.
    pub state_directory: PathBuf,
    /// Where the signing key and the newest checkpoint are: outside the store and its backup (T8).
    pub key_directory: PathBuf,
    /// Where a running daemon is reached.
    pub control_socket: PathBuf,
    /// How many runs at once.
    pub concurrency: usize,
    /// How long what was seen is kept.
    pub retention: Retention,
    /// The people, by id.
    pub people: BTreeMap<PersonId, Person>,
    /// The checks, by id.
    pub checks: BTreeMap<CheckId, Arc<ConfiguredCheck>>,
    /// When checks pause.
    pub windows: Vec<Window>,
    /// Who is told of the daemon's own alerts, in this order.
    pub hand_on: Vec<PersonId>,
    /// What the supplier says it meets.
    pub assertions: Vec<Assertion>,
    /// Where and how it is told.
    pub telling: crate::telling::Telling,
    /// Who puts a time to the log.
    pub authority: Option<Authority>,
}

/// How long what was seen is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// History in sled, for quick answers.
    pub history: Duration,
    /// Records in the evidence log, and what they alone refer to; for ever where absent.
    pub evidence: Option<Duration>,
}

/// Someone who answers for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// How they are called.
    pub name: String,
    /// Where they are written to.
    pub email: Option<String>,
}

/// A kind as configured.
pub struct ConfiguredCheck {
    /// Its id.
    pub id: CheckId,
    /// Its kind.
    pub kind: &'static CheckKind,
    /// What looks and judges.
    pub check: Arc<dyn Check>,
    /// When it is due.
    pub schedule: Schedule,
    /// How long a run may take.
    pub timeout: Duration,
    /// How long a finding lasts before it is told.
    pub hold: Duration,
    /// How long an alert stays after its finding was last found.
    pub keep: Duration,
    /// What it is called by besides: a team, a service.
    pub labels: Labels,
    /// Who is told, in this order, where one waits for the other (A3).
    pub hand_on: Vec<PersonId>,
}

impl ConfiguredCheck {
    /// How alerts about its targets are told, from `now` on, about which people did this.
    pub fn policy(
        &self,
        people: People,
        nature: Nature,
        now: Timestamp,
        network_down: bool,
    ) -> Policy {
        let (not_seen_fires_at, not_seen_severity) = match nature {
            Nature::PublicRegister => (after(now, limits::NOT_SEEN_PUBLIC), Severity::Notice),
            Nature::Local | Nature::Remote => {
                let slots = self.schedule.nth_after(now, 3);
                (slots.max(after(now, limits::NOT_SEEN_MIN)), Severity::Warning)
            }
        };
        Policy { not_seen_fires_at, not_seen_severity, ..self.ticking(people, now, network_down) }
    }

    /// How they are told while nothing is looked at: all that moves then, without asking the schedule.
    pub fn ticking(&self, people: People, now: Timestamp, network_down: bool) -> Policy {
        Policy {
            hold: self.hold,
            keep: self.keep,
            not_seen_fires_at: now,
            not_seen_severity: Severity::Warning,
            network_down,
            people: People { order: self.hand_on.clone(), ..people },
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {0} cannot be read")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// It is read, and wrong; every problem with its place.
    #[error("the configuration {path} has {} errors", problems.iter().filter(|p| p.fatal).count())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

/// Reads and checks the whole configuration.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable(path.to_owned(), error);
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > limits::CONFIG_BYTES_MAX {
        let what = format!("{size} bytes, over the {} it may have", limits::CONFIG_BYTES_MAX);
        return Err(unreadable(std::io::Error::other(what)));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(path, text)
}

/// Checks the whole of a configuration's text; relative paths begin at the directory of `path`.
/// As it stands in the evidence, it begins with a line of salt.
pub fn parse(path: &Path, text: String) -> Result<Config, ConfigError> {
    let text = match text.split_once('\n') {
        Some((salt, rest)) if salt.len() == 32 && salt.bytes().all(|b| b.is_ascii_hexdigit()) => {
            rest.to_owned()
        }
        _ => text,
    };
    let problems = Problems::default();
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut unread = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        problems.error(span.clone(), error.message().to_owned());
        unread.push(span);
    }
    let settings = Settings::new(table.get_ref(), 0..0, "the configuration", &problems);
    let read = read(path, &settings);
    settings.finish();
    drop(settings);
    drop(table);
    let (stops, mut problems) = (problems.errors() > 0, problems.into_vec());
    // What is no TOML was told as that first; that no setting can use it is no second mistake.
    problems.dedup_by(|later, first| later.span == first.span && unread.contains(&first.span));
    match read {
        Some(mut config) if !stops => {
            config.warnings = problems;
            config.text = text;
            Ok(config)
        }
        _ => Err(ConfigError::Wrong { path: path.to_owned(), text, problems }),
    }
}

fn read(path: &Path, settings: &Settings<'_>) -> Option<Config> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let state_directory = match settings.text("state_directory") {
        Some(text) => directory.join(text.value),
        None => match std::env::var_os("STATE_DIRECTORY") {
            // Of several, the first: the second is for the key.
            Some(given) => std::env::split_paths(&given).next().unwrap_or_default(),
            None => directory.join("state"),
        },
    };
    let key_directory = match settings.text("key_directory") {
        Some(text) => directory.join(text.value),
        None => beside(&state_directory),
    };
    if key_directory.starts_with(&state_directory) {
        let what =
            "the key may not lie within the state directory, or its backup would hold the key";
        settings.error("key_directory", what);
    }
    let control_socket = settings.text("control_socket").map(|text| directory.join(text.value));
    let zone = zone(settings).unwrap_or_else(|| "Europe/London".to_owned());
    let concurrency = settings.integer("concurrency", 1..=256).unwrap_or(limits::CONCURRENCY);
    let retention = retention(settings);
    let people = people(settings);
    let mut organisation = None;
    if let Some(table) = settings.table("organisation") {
        organisation = table.required_text("name", "who this is, as an assessor knows it");
        table.finish();
    }
    let ca_bundle = settings.table("sources").and_then(|table| {
        let path = table.text("ca_bundle").map(|text| directory.join(text.value));
        if path.as_ref().is_some_and(|path| !path.is_file()) {
            table.error("ca_bundle", "there is no such file");
        }
        table.finish();
        path
    });
    let context = Context {
        directory,
        people: people.keys().cloned().collect(),
        ca_bundle,
        credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        worker: Some(crate::worker::workers()),
        deadlines: deadlines(settings, &people),
    };
    let mut orders = rules::order(settings, &people).unwrap_or_default();
    let hand_on: Vec<PersonId> = orders.iter().map(|(person, _)| person.clone()).collect();
    let (checks, watched) = checks(settings, &context, &zone, (&people, &mut orders));
    let windows = rules::windows(settings, &checks, (watched.whole, &zone));
    let assertions = crate::claims::read(settings, &watched);
    let telling = crate::telling::Telling::read(settings, &context, &people, &watched);
    rules::hold_reached(settings, &orders, &telling.routes);
    let authority = Authority::read(settings, &context, &watched);
    Some(Config {
        path: path.to_owned(),
        text: String::new(),
        warnings: Vec::new(),
        organisation: organisation
            .map_or_else(|| "(no organisation named)".to_owned(), |o| o.value),
        control_socket: control_socket.unwrap_or_else(|| {
            match std::env::var_os("RUNTIME_DIRECTORY") {
                Some(given) => PathBuf::from(given).join("control.sock"),
                None => state_directory.join("control.sock"),
            }
        }),
        state_directory,
        key_directory,
        concurrency: usize::try_from(concurrency).unwrap_or(1),
        retention,
        people,
        checks,
        windows,
        hand_on,
        assertions,
        telling,
        authority,
    })
}

/// The state directory's path with `-key` added.
fn beside(state_directory: &Path) -> PathBuf {
    let mut path = state_directory.components().collect::<PathBuf>().into_os_string();
    path.push("-key");
    path.into()
}

fn retention(settings: &Settings<'_>) -> Retention {
    let mut retention = Retention { history: HISTORY, evidence: None };
    let Some(table) = settings.table("retention") else { return retention };
    retention.evidence = table.duration("evidence");
    if retention.evidence.is_some_and(|evidence| evidence < EVIDENCE_MIN) {
        table.error(
            "evidence",
            "evidence is kept for a year at least (\"365d\"); without this line for ever",
        );
    }
    let history = table.duration("history").unwrap_or(HISTORY);
    retention.history = retention.evidence.map_or(history, |evidence| history.min(evidence));
    table.finish();
    retention
}

/// Ten years: an audit may go back over a contract's life.
const HISTORY: Duration = Duration::from_secs(3650 * 86_400);
/// A year: what is certified is looked at again each year, by the evidence of the year before; less is a typing error.
const EVIDENCE_MIN: Duration = Duration::from_secs(365 * 86_400);

fn people(settings: &Settings<'_>) -> BTreeMap<PersonId, Person> {
    let mut people = BTreeMap::new();
    for table in settings.tables("person") {
        let name = table.required_text("name", "how they are called");
        let email = table.text("email");
        if let Some(email) = email.as_ref().filter(|email| !is_address(&email.value)) {
            table.error_at(email.span.clone(), format!("{:?} is no mail address", email.value));
        }
        if !table.has("id") {
            table.missing("id", "what records call them by");
        }
        if let (Some(id), Some(name)) = (table.parsed::<PersonId>("id"), name) {
            let person = Person { name: name.value, email: email.map(|email| email.value) };
            if people.insert(id.clone(), person).is_some() {
                table.error("id", format!("there is a person `{id}` already"));
            }
        }
        table.finish();
    }
    people
}

/// A zone that there is. A period does not use it; a wrong one is told all the same, before a cron line does.
pub(crate) fn zone(table: &Settings<'_>) -> Option<String> {
    let zone = table.text("zone")?;
    if attestd_core::time::zone(&zone.value).is_some() {
        return Some(zone.value);
    }
    let what = format!("there is no time zone {:?}; one is called \"Europe/London\"", zone.value);
    table.error_at(zone.span, what);
    None
}

fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

fn deadlines(settings: &Settings<'_>, people: &BTreeMap<PersonId, Person>) -> Vec<Deadline> {
    let mut deadlines = Vec::new();
    for table in settings.tables("deadline") {
        let rule = table.required_text("table", "which data table, such as \"dspt\"");
        let key = table.required_text("key", "which row, such as \"2025-26\"");
        let source = table.required_text("source", "where the new date is said");
        if !table.has("date") {
            table.missing("date", "the date instead");
        }
        let date = table.date("date");
        if !table.has("authorised_by") {
            table.missing("authorised_by", "the id of the person who allowed it");
        }
        let by: Option<PersonId> = table.parsed("authorised_by");
        if let Some(by) = by.as_ref().filter(|by| !people.contains_key(by)) {
            table.error("authorised_by", format!("there is no [[person]] `{by}`"));
        }
        if let (Some(rule), Some(key), Some(source), Some(date), Some(by)) =
            (rule, key, source, date, by)
        {
            deadlines.push(Deadline {
                table: rule.value,
                key: key.value,
                date,
                source: source.value,
                authorised_by: by,
            });
        }
        table.finish();
    }
    deadlines
}

fn checks(
    settings: &Settings<'_>,
    context: &Context,
    zone: &str,
    (people, orders): (&BTreeMap<PersonId, Person>, &mut rules::Order),
) -> (BTreeMap<CheckId, Arc<ConfiguredCheck>>, Watched) {
    let first: Vec<PersonId> = orders.iter().map(|(person, _)| person.clone()).collect();
    let (mut checks, mut ids) = (BTreeMap::new(), BTreeSet::new());
    let tables = settings.tables("check");
    if tables.is_empty() {
        settings.missing("check", "at least one [[check]], or nothing is watched");
    }
    if tables.len() > limits::CHECKS_MAX {
        settings.error("check", format!("there are over {} checks", limits::CHECKS_MAX));
    }
    for table in tables.into_iter().take(limits::CHECKS_MAX) {
        let table = match table.text("id") {
            Some(id) => table.called(format!("check {:?}", id.value)),
            None => table,
        };
        let id = id(&table, &mut ids);
        let order = rules::order(&table, people);
        let hand_on = order.as_ref().map(|order| order.iter().map(|(p, _)| p.clone()).collect());
        orders.extend(order.into_iter().flatten());
        let hand_on = hand_on.unwrap_or_else(|| first.clone());
        let check = check(&table, id.clone(), context, (zone, hand_on));
        if let (Some(id), Some(check)) = (id, check) {
            checks.insert(id, Arc::new(check));
        }
    }
    let of = |(id, check): (&CheckId, &Arc<ConfiguredCheck>)| {
        (id.clone(), (check.kind.name.to_owned(), check.labels.clone()))
    };
    let mut watched: BTreeMap<_, _> = checks.iter().map(of).collect();
    let built_in = catalogue::BUILT_IN.map(|kind| kind.name.to_owned());
    watched.extend(built_in.map(|name| (name.parse().expect("a plain id"), (name, Labels::new()))));
    let whole = checks.len() == ids.len() && !checks.is_empty();
    (checks, Watched { checks: watched, whole })
}

fn id(table: &Settings<'_>, ids: &mut BTreeSet<CheckId>) -> Option<CheckId> {
    if !table.has("id") {
        table.missing("id", "what this check is called: a-z, 0-9, '-' and '_'");
    }
    let id: CheckId = table.parsed("id")?;
    if catalogue::kind(id.as_str()).is_some() {
        table.error("id", format!("`{id}` is a kind's name; a check needs one of its own"));
    }
    if !ids.insert(id.clone()) {
        table.error("id", format!("there is a check `{id}` already"));
    }
    Some(id)
}

fn kind(table: &Settings<'_>) -> Option<&'static CheckKind> {
    let name = table.required_text("kind", "what it watches; `attestd kinds` lists them")?;
    let kind = registry::kind(&name.value);
    if kind.is_none() {
        let names = registry::KINDS.iter().map(|kind| kind.name);
        let hint = did_you_mean(&name.value, names);
        table.error_at(name.span, format!("there is no kind {:?}{hint}", name.value));
    }
    kind
}

fn check(
    table: &Settings<'_>,
    id: Option<CheckId>,
    context: &Context,
    (zone, hand_on): (&str, Vec<PersonId>),
) -> Option<ConfiguredCheck> {
    let kind = kind(table);
    let zone = self::zone(table).unwrap_or_else(|| zone.to_owned());
    let text = table.text("schedule").map(|text| text.value);
    let text = text.or_else(|| kind.map(|kind| kind.every.to_owned()));
    let schedule = text.and_then(|text| {
        Schedule::parse(&text, &zone)
            .map_err(|error| {
                table.error("schedule", format!("`schedule` of {}: {error}", table.path()));
            })
            .ok()
    });
    let timeout = table.duration("timeout");
    if timeout.is_some_and(|timeout| timeout > limits::TIMEOUT_MAX) {
        table.error("timeout", "`timeout` is 30 s at most: what takes longer is not seen");
    }
    let hold = table.duration("hold").unwrap_or(Duration::ZERO);
    let keep = table.duration("keep").unwrap_or(Duration::ZERO);
    let labels = routing::labels(table);
    // Without its kind, nobody knows which keys it may have.
    let kind = kind?;
    let check = (kind.build)(table, context);
    table.finish();
    Some(ConfiguredCheck {
        id: id?,
        kind,
        check: Arc::from(check?),
        schedule: schedule?,
        timeout: timeout.unwrap_or(kind.timeout),
        hold,
        keep,
        labels,
        hand_on,
    })
}
