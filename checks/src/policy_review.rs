//! The kind `policy_review`: was each policy reviewed in time, by someone, and not changed since?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::check::sha256_hex;
use attestd_core::finding::Finding;
use attestd_core::obligation::{Period, days_until, end_of, severity, tier, today};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Date, Evidence, FindingSpec, Judgement,
    Look, Means, Nature, PersonId, ProbeError, Reason, Settings, Severity, Target, TargetName,
    Timestamp, Unseen, Worker,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data;
use crate::foreign::{self, Request};
use crate::look::document::{self, Seen};
use crate::look::front_matter::{self, Field, Fields};
use crate::look::published::{self, Got, How, Place, Read};
use crate::look::token::Token;
use crate::look::{git, http};
use crate::register::{self, Done, Ignored, REVIEW_LEADS, Row, Source};

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "policy_review",
    summary: "Policy documents and register rows: reviewed in time, by someone, and not changed since",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        OVERDUE,
        NEVER,
        DUE_SOON,
        INTERVAL_TOO_LONG,
        REVIEWER_MISSING,
        CHANGED,
        CHANGED_RECENTLY,
        register::NOT_APPLICABLE,
        register::APPLICABILITY_DUE,
        register::APPLICABILITY_OVERDUE,
        register::PARTLY_READ,
    ],
    endpoints: false,
    every: "6h",
    timeout: Duration::from_secs(20),
    build,
};

const DOCS: &str = "\
## What it looks at
Documents, each its own target: with front matter (Markdown or text with YAML between `---` or TOML between `+++`, or whole
YAML and TOML files); DOCX and ODT, by the properties that people add and the first table that has such labels; PDF, by its
information dictionary and XMP. And the rows of kind `policy_review` of the register.

A document says of itself: `last_reviewed` (or `reviewed`): a day such as `2026-01-05`, or `never`; `reviewed_by` (or
`reviewer`, `approved_by`, `approver`); `review_interval` (or `interval`), such as `12 months`; `next_review`; `version`. In
tables and properties these are labels as people write them (\"Last reviewed:\", \"Next review date\"), beside their values or
above them, and days also `12/06/2026` or `12 June 2026`. \"Review date\" is refused: in one document it is the last review,
in another the next.

## How it judges
The review is due one interval after the last one, at the end of that day; a register row may state `due`, a document
`next_review`.
- Fail: overdue; stated as never reviewed.
- Warn: due in 30, 14 or 3 days (told on the Monday before, of 3 days on the working day before); an interval over 12 months; no reviewer; the text changed over 14
  days ago and was not reviewed since.
- Note: the text changed within the last 14 days.
- Unknown: no date is recorded, the date cannot be read, or it lies in the future; the document is damaged, encrypted, holds
  another document, or is more than it may be.

Changed means: the body without the front matter or the labels, white space aside, is not what it was when this review date
was first seen. Of DOCX and ODT it is the text with its pictures; of a PDF, and of the file that a register row names as
`evidence`, all of the file.

## What it cannot see
Whether the review was thorough; changes made before attestd first saw the review date; headers, footers and footnotes of
DOCX and ODT; the text of a PDF; the content of a link in the register. Names of
reviewers are not recorded: only that there is one and, where the name is the id of a person of the configuration, that id.

## Settings
- `documents`: paths or globs, such as `[\"policies/*.md\"]`, and `https` URLs; `documents_credential`: the systemd credential
  with the bearer token that those URLs are shown.
- `register`: the register, a CSV, TOML or XLSX file; `sheet`: the sheet of a workbook, where several have a column `id`. It may be
  an `https` URL, looked at once a minute for a change (`register_credential`: the same for it). At least one of `documents`
  and `register` is needed.
- `interval`: what holds where a document or row states none; 12 months unless set.

## What it sends
With files: nothing. With a URL: a GET with the validators of the last answer (ETag), over verified TLS, never over http, and
the token to that host alone. What was read there stands for 35 days when it cannot be read again.
";

const EXAMPLE: &str = r#"[[check]]
id = "policies"
kind = "policy_review"
documents = ["policies/*.md"]
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let (mut globs, mut urls) = (Vec::new(), BTreeMap::new());
    for text in settings.texts("documents") {
        if text.value.contains("://") {
            match http::source_url(&text.value) {
                Ok(url) => _ = urls.insert(text.value, url),
                Err(message) => settings.error_at(text.span, message),
            }
            continue;
        }
        match glob::Pattern::new(&text.value) {
            Ok(_) => globs.push(text.value),
            Err(error) => {
                settings.error_at(text.span, format!("{:?} is no glob: {error}", text.value))
            }
        }
    }
    let token = Token::build(settings, "documents_credential", context.credentials.as_deref());
    if token.is_some() && urls.is_empty() {
        settings.error("documents_credential", "only a URL in `documents` is shown a token");
    }
    let register = Source::build(settings, context);
    if !settings.has("documents") && register.is_none() {
        settings.missing("documents", "globs such as [\"policies/*.md\"], or a `register`");
    } else if settings.has("documents") && settings.texts("documents").is_empty() {
        settings.error("documents", "`documents` is empty: at least one path or glob is needed");
    }
    let interval = settings.parsed("interval").unwrap_or(INTERVAL);
    if interval.longer_than(INTERVAL) {
        settings.warn(
            "interval",
            "reviews are due every 12 months (S3, IT service providers, clause 2)",
        );
    }
    Some(Box::new(PolicyReview {
        globs,
        urls,
        ca_bundle: context.ca_bundle.clone(),
        token,
        register,
        interval,
        directory: context.directory.clone(),
        people: context.people.clone(),
        worker: context.worker.clone(),
    }))
}

struct PolicyReview {
    globs: Vec<String>,
    /// Documents elsewhere, by their URLs as they are written.
    urls: BTreeMap<String, Url>,
    ca_bundle: Option<PathBuf>,
    token: Option<Token>,
    register: Option<Source>,
    interval: Period,
    directory: PathBuf,
    people: BTreeSet<PersonId>,
    worker: Option<Arc<dyn Worker>>,
}

/// What a target carries.
#[derive(Debug, Serialize, Deserialize)]
enum Spec {
    Document(PathBuf),
    Elsewhere(String),
    Row { row: Box<Row>, ignored: Option<Ignored> },
    Bad(Reason),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    last_reviewed: Done,
    reviewer: Reviewer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Date>,
    /// As it is stated, where that can be no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The text as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The text as it was when this review date was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reviewed_body: Option<String>,
    /// The day on which the two were first seen to differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_on: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Seen>,
    /// How a document elsewhere was got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    got: Option<Got>,
    /// What was checked out, where this lies in a working copy of git, when it was first seen as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// The row of the register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<Box<Row>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignored: Option<Ignored>,
}

/// Who reviewed it; a name that is no person's id is not kept (T6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reviewer {
    Missing,
    Recorded,
    Person(PersonId),
}

impl Check for PolicyReview {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(async {
            let (globs, directory) = (self.globs.clone(), self.directory.clone());
            let found = tokio::task::spawn_blocking(move || documents(&globs, &directory)).await;
            let mut targets = found.unwrap_or_else(|error| {
                Err(Reason::new("unreadable", format!("listing documents: {error}")))
            })?;
            targets.extend(self.urls.keys().map(|url| elsewhere(url)));
            let Some(source) = &self.register else { return Ok(targets) };
            let register = source.read().await?;
            let mut ignored = Some(register.ignored.clone());
            for claimed in register.claimed(&["policy_review"]) {
                let (spec, evidence) = match claimed.row {
                    Ok(row) => {
                        let evidence = row.evidence.clone().filter(|e| !e.contains("://"));
                        (Spec::Row { row: Box::new(row), ignored: ignored.take() }, evidence)
                    }
                    Err(reason) => (Spec::Bad(reason), None),
                };
                let files = evidence.map(|path| self.directory.join(path)).into_iter().collect();
                targets.push(target(claimed.name, files, &spec));
            }
            Ok(targets)
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        let folders = self.globs.iter().map(|glob| self.directory.join(fixed_part(glob)));
        folders.chain(self.register_files()).collect()
    }

    fn nature(&self) -> Nature {
        self.register.as_ref().map_or(Nature::Local, Source::nature)
    }

    fn moved(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            match &self.register {
                Some(source) => source.moved().await,
                None => false,
            }
        })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let spec: Spec = serde_json::from_value(look.target.spec.clone()).map_err(|error| {
                ProbeError::new("bad_spec", format!("a target of another kind: {error}"))
            })?;
            let before = look.before.and_then(|evidence| evidence.read::<Facts>().ok());
            let mut facts = match spec {
                Spec::Bad(reason) => return Err(reason.into()),
                Spec::Document(path) => self.document(path, &look.target.name).await?,
                Spec::Elsewhere(url) => self.elsewhere(&url, before.as_ref()).await?,
                Spec::Row { row, ignored } => {
                    let (directory, files) = (self.directory.clone(), self.register_files());
                    let read = move || Ok(read_row(*row, ignored, &directory, &files));
                    blocking(&look.target.name, read).await?
                }
            };
            carry_forward(&mut facts, before.as_ref(), today(look.now));
            Ok(Evidence::of(&facts))
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let (facts, today): (Facts, Date) = (evidence.read()?, today(now));
        let (mut findings, mut unseen) = (Vec::new(), Vec::new());
        findings.extend(facts.ignored.as_ref().and_then(register::partly_read));
        let people = facts.row.iter().flat_map(|row| row.owner.iter().chain(&row.deputy)).cloned();
        let people: Vec<PersonId> = people.collect();
        if let Some(given) = facts.row.as_ref().and_then(|row| row.not_applicable.as_ref()) {
            findings.push(register::not_applicable(given, today, data::working_days()));
            return Ok(Judgement::new(findings, unseen).answers(people));
        }
        if let Some(Seen::Unseen(reason)) = &facts.evidence {
            let component = "evidence".parse().expect("a plain word");
            unseen.push(Unseen { component: Some(component), reason: reason.clone() });
        }
        match facts.last_reviewed {
            Done::Unrecorded => {
                let reason = Reason::new("never_recorded", "no review was ever recorded")
                    .remedy("write `last_reviewed` with the day of the last review, or `never`");
                unseen.push(Unseen { component: None, reason });
            }
            Done::Never => findings.push(NEVER.finding()),
            Done::On(last) if last > today => {
                let message = format!("the last review is dated {last}, which is in the future");
                let reason = Reason::new("date_in_future", message).remedy("correct the date");
                unseen.push(Unseen { component: None, reason });
            }
            Done::On(last) => {
                self.judge_review(&facts, last, today, &mut findings);
                let due = end_of(self.due(&facts, last));
                let judgement = Judgement::new(findings, unseen).due(due).answers(people);
                return Ok(judgement.titled("policy review"));
            }
        }
        Ok(Judgement::new(findings, unseen).answers(people))
    }

    fn row(&self, evidence: &Evidence) -> Option<Value> {
        Some(evidence.facts.get("row")?.clone())
    }

    fn explain(&self, evidence: &Evidence) -> String {
        let facts: Facts = match evidence.read() {
            Ok(facts) => facts,
            Err(error) => return error.to_string(),
        };
        let last = match facts.last_reviewed {
            Done::On(last) => {
                format!("Last reviewed on {last}; due by {}.", self.due(&facts, last))
            }
            Done::Never => "Stated as never reviewed.".to_owned(),
            Done::Unrecorded => "No review is recorded.".to_owned(),
        };
        let interval = facts.interval.map_or_else(
            || format!("Interval: {}, since none is stated.", self.interval),
            |own| format!("Interval: {own}, as stated."),
        );
        let version = facts.version.map_or_else(String::new, |v| format!(" It is version {v}."));
        let changed = match (&facts.reviewed_body, facts.changed_on) {
            (_, Some(on)) => format!("Changed since that review; first seen on {on}."),
            (Some(_), None) => "Not changed since that review date was first seen.".to_owned(),
            (None, None) => "No text to compare.".to_owned(),
        };
        let commit = facts.commit.map_or_else(String::new, |commit| {
            format!("\nFirst seen so with commit {commit} checked out.")
        });
        [format!("{last}{version}"), interval, changed].join("\n") + &commit
    }

    fn thresholds(&self) -> Vec<String> {
        vec![
            format!("due {} after the last review unless stated otherwise", self.interval),
            "due soon: Warn 30 and 14 days before, Critical from 3 days before; overdue: Fail"
                .to_owned(),
            format!("an interval over {INTERVAL}: Warn"),
            format!("changed since its review: Note for {CHANGED_DAYS_MAX} days, then Warn"),
        ]
    }
}

/// Reads what waits for a disk off the runtime's threads.
async fn blocking<T: Send + 'static>(
    name: &TargetName,
    read: impl FnOnce() -> Result<T, Reason> + Send + 'static,
) -> Result<T, Reason> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|error| Err(Reason::new("unreadable", format!("reading {name}: {error}"))))
}

impl PolicyReview {
    /// Reads a document of any form, in the worker where it is a foreign one.
    async fn document(&self, path: PathBuf, name: &TargetName) -> Result<Facts, Reason> {
        let shown = name.to_string();
        let form = Form::of(&path, &shown)?;
        let max = match &form {
            Form::Own(_) => DOCUMENT_MAX,
            Form::Foreign(_) => foreign::DOCUMENT_MAX,
        };
        let named = shown.clone();
        let read = move || Ok((document::read(&path, &named, max)?, git::commit(&path)));
        let (bytes, commit) = blocking(name, read).await?;
        Ok(Facts { commit, ..self.read(&form, &bytes, &shown).await? })
    }

    /// Reads a document at a URL, unless it is as it was `before`.
    async fn elsewhere(&self, shown: &str, before: Option<&Facts>) -> Result<Facts, ProbeError> {
        let name = || shown.parse().unwrap_or_else(|_| hashed(shown));
        let url = self.urls.get(shown).ok_or_else(|| ProbeError::no_target(&name()))?;
        let how = How {
            ca_bundle: self.ca_bundle.as_deref(),
            body_max: foreign::DOCUMENT_MAX,
            accept: "*/*",
            token: self.token.as_ref(),
        };
        let place = Place::Url(url.clone());
        let got_before = before.and_then(|before| before.got.as_ref());
        let (got, bytes) = match (place.read(how, got_before).await?, before) {
            (Read::Unchanged, Some(before)) => return Ok(before.clone()),
            (Read::Unchanged, None) => {
                let message = format!("{shown} answered 304 to a first question");
                return Err(ProbeError::new("bad_answer", message));
            }
            (Read::New(got, bytes), _) => (got, bytes),
        };
        let form = Form::got(url, got.content_type.as_deref(), &bytes, shown)?;
        let facts = self.read(&form, &bytes, shown).await;
        // A page that asks for a login is no document: what it said is kept with the reason.
        let facts = facts.map_err(|reason| published::kept(reason, shown, 200, &bytes))?;
        Ok(Facts { got: Some(got), ..facts })
    }

    fn register_files(&self) -> Vec<PathBuf> {
        self.register.iter().flat_map(Source::files).collect()
    }

    async fn read(&self, form: &Form, bytes: &[u8], shown: &str) -> Result<Facts, Reason> {
        let request = match form {
            Form::Own(form) => return read_text(bytes, *form, shown, &self.people),
            Form::Foreign(request) => request,
        };
        let read = foreign::document(self.worker.as_deref(), request, bytes, shown).await?;
        let fields =
            read.fields.into_iter().map(|(name, text)| (name, Field::Text(text))).collect();
        let mut facts = read_fields(&fields, &self.people).map_err(|errors| {
            Reason::new("labels_unreadable", format!("{shown}: {}", errors.join("; ")))
                .remedy(format!("correct the table or the properties of {shown}"))
        })?;
        facts.body = Some(read.text);
        Ok(facts)
    }

    fn due(&self, facts: &Facts, last: Date) -> Date {
        facts.due.unwrap_or_else(|| facts.interval.unwrap_or(self.interval).after(last))
    }

    fn judge_review(&self, facts: &Facts, last: Date, today: Date, findings: &mut Vec<Finding>) {
        let due = self.due(facts, last);
        let reached = tier(due, today, &REVIEW_LEADS, data::working_days());
        let dated = |spec: &FindingSpec| {
            let near = reached.map_or(spec.severity, |reached| severity(reached, &REVIEW_LEADS));
            spec.finding()
                .severity(near)
                .tier(reached)
                .with("last", last.to_string())
                .with("due", due.to_string())
                .with("days", days_until(due, today).abs())
        };
        if due < today {
            findings.push(dated(&OVERDUE));
        } else if reached.is_some() {
            findings.push(dated(&DUE_SOON));
        }
        let longest = INTERVAL.after(last);
        if due > longest {
            let finding = INTERVAL_TOO_LONG.finding().with("due", due.to_string());
            findings.push(finding.with("longest", longest.to_string()));
        }
        if facts.reviewer == Reviewer::Missing {
            findings.push(REVIEWER_MISSING.finding().with("last", last.to_string()));
        }
        if let Some(changed) = facts.changed_on {
            let recent = days_until(today, changed) <= CHANGED_DAYS_MAX;
            let spec = if recent { &CHANGED_RECENTLY } else { &CHANGED };
            findings.push(
                spec.finding().with("changed", changed.to_string()).with("last", last.to_string()),
            );
        }
    }
}

/// The documents that the globs match now. A glob that matches nothing is a target too: it would hide a whole folder.
fn documents(globs: &[String], directory: &Path) -> Result<Vec<Target>, Reason> {
    let root = glob::Pattern::escape(&directory.to_string_lossy());
    let mut names = BTreeSet::new();
    let mut targets = Vec::new();
    for text in globs {
        let pattern =
            if Path::new(text).is_absolute() { text.clone() } else { format!("{root}/{text}") };
        let paths = glob::glob(&pattern)
            .map_err(|error| Reason::new("bad_glob", format!("{text}: {error}")))?;
        let before = targets.len();
        for path in paths {
            let (path, spec) = match path {
                Ok(path) => (path.clone(), Spec::Document(path)),
                Err(error) => {
                    let shown = error.path().display().to_string();
                    let reason = document::unreadable(&shown, error.error());
                    (error.path().to_path_buf(), Spec::Bad(reason))
                }
            };
            let shown =
                path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
            let name = shown.parse().unwrap_or_else(|_| hashed(&shown));
            if targets.len() == DOCUMENTS_MAX {
                let message = format!("{text} and others match over {DOCUMENTS_MAX} documents");
                return Err(Reason::new("limit_documents", message));
            }
            if names.insert(shown) {
                targets.push(target(name, vec![path], &spec));
            }
        }
        if targets.len() == before && !names.contains(text) {
            let reason = Reason::new("no_documents", format!("{text} matches no document"))
                .remedy("correct the glob, or put the documents there");
            let name = text.parse().unwrap_or_else(|_| hashed(text));
            targets.push(target(name, Vec::new(), &Spec::Bad(reason)));
        }
    }
    Ok(targets)
}

fn elsewhere(url: &str) -> Target {
    let name = url.parse().unwrap_or_else(|_| hashed(url));
    let whole = target(name, Vec::new(), &Spec::Elsewhere(url.to_owned()));
    // What a document says of its review stands for a while when it cannot be read (F3).
    Target { nature: Nature::PublicRegister, ..whole }
}

/// A name for a path that is too long for one, or holds control characters.
fn hashed(path: &str) -> TargetName {
    let digest = sha256_hex(path.as_bytes());
    format!("document {}", &digest[..16]).parse().expect("hex digits make a name")
}

/// The folder of a glob: its path up to the first part with a wildcard.
fn fixed_part(glob: &str) -> PathBuf {
    let plain = |part: &std::path::Component<'_>| {
        !part.as_os_str().to_string_lossy().contains(['*', '?', '['])
    };
    let parts: Vec<_> = Path::new(glob).components().collect();
    let folders = &parts[..parts.len().saturating_sub(1)];
    folders.iter().take_while(|part| plain(part)).collect()
}

fn target(name: TargetName, files: Vec<PathBuf>, spec: &Spec) -> Target {
    let spec = serde_json::to_value(spec).expect("a spec is plain data");
    Target { name, nature: Nature::Local, files, spec }
}

/// What a document is written in.
enum Form {
    /// What is read here.
    Own(front_matter::Form),
    /// What the worker reads.
    Foreign(Request),
}

impl Form {
    fn of(path: &Path, shown: &str) -> Result<Form, Reason> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref().unwrap_or_default() {
            "md" | "markdown" | "txt" => Ok(Form::Own(front_matter::Form::Text)),
            "yaml" | "yml" => Ok(Form::Own(front_matter::Form::Yaml)),
            "toml" => Ok(Form::Own(front_matter::Form::Toml)),
            other => Request::of_document(other).map(Form::Foreign).ok_or_else(|| {
                let message = format!("{shown} is no Markdown, text, YAML, TOML, DOCX, ODT or PDF");
                Reason::new("document_unsupported", message)
                    .remedy("keep its review in the register, with the document as `evidence`")
            }),
        }
    }

    /// What was got at a URL: by the name there, else by the type that its server states, else by how a PDF begins.
    fn got(url: &Url, kind: Option<&str>, bytes: &[u8], shown: &str) -> Result<Form, Reason> {
        let by_name = Form::of(Path::new(url.path()), shown);
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        match (by_name, kind) {
            (Ok(form), _) => Ok(form),
            (Err(_), "text/markdown") => Ok(Form::Own(front_matter::Form::Text)),
            (Err(_), "application/vnd.oasis.opendocument.text") => Ok(Form::Foreign(Request::Odt)),
            (Err(_), WORD) => Ok(Form::Foreign(Request::Docx)),
            (Err(_), _) if bytes.starts_with(b"%PDF-") => Ok(Form::Foreign(Request::Pdf)),
            (Err(reason), _) => Err(reason),
        }
    }
}

/// The media type of a DOCX.
const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

fn read_text(
    bytes: &[u8],
    form: front_matter::Form,
    shown: &str,
    people: &BTreeSet<PersonId>,
) -> Result<Facts, Reason> {
    let text = document::text(bytes, shown)?;
    let refuse = |message: String| {
        Reason::new("front_matter_unreadable", format!("{shown}: {message}"))
            .remedy(format!("correct the front matter of {shown}"))
    };
    let read = front_matter::read(text, form).map_err(refuse)?;
    let mut facts =
        read_fields(&read.fields, people).map_err(|errors| refuse(errors.join("; ")))?;
    facts.body = Some(hash_body(read.body, form != front_matter::Form::Text));
    Ok(facts)
}

fn read_fields(fields: &Fields, people: &BTreeSet<PersonId>) -> Result<Facts, Vec<String>> {
    let mut errors = Vec::new();
    let mut one = |names: &[&str]| -> Option<String> {
        let found: Vec<_> =
            names.iter().filter_map(|name| Some((*name, fields.get(*name)?))).collect();
        match found.as_slice() {
            [] => None,
            [(_, Field::Text(text))] => {
                Some(text.trim().to_owned()).filter(|text| !text.is_empty())
            }
            [(name, _)] => {
                errors.push(format!("`{name}`: expected one plain value"));
                None
            }
            [(one, _), (other, _), ..] => {
                errors.push(format!("`{one}` and `{other}` both stand there; keep one"));
                None
            }
        }
    };
    let last = one(foreign::LAST_REVIEWED);
    let interval = one(foreign::INTERVAL);
    let next = one(foreign::NEXT_REVIEW);
    let last_reviewed = match last.as_deref() {
        None => Done::Unrecorded,
        Some(text) if text.eq_ignore_ascii_case("never") => Done::Never,
        Some(text) => register::parse_date(text, false).map_or_else(
            |expected| {
                errors.push(format!("the day of review: expected {expected}, or never"));
                Done::Unrecorded
            },
            Done::On,
        ),
    };
    let interval = interval.and_then(|text| match text.parse() {
        Ok(period) => Some(period),
        Err(_) => {
            errors.push("the interval: expected such as \"12 months\" or \"1 year\"".to_owned());
            None
        }
    });
    let due = next.and_then(|text| match register::parse_date(&text, false) {
        Ok(day) => Some(day),
        Err(expected) => {
            errors.push(format!("the day of the next review: expected {expected}"));
            None
        }
    });
    if !errors.is_empty() {
        return Err(errors);
    }
    let reviewer =
        foreign::REVIEWERS.iter().filter_map(|name| fields.get(*name)).map(|f| reviewer(f, people));
    Ok(Facts {
        last_reviewed,
        reviewer: reviewer
            .into_iter()
            .find(|r| *r != Reviewer::Missing)
            .unwrap_or(Reviewer::Missing),
        interval,
        due,
        version: version(fields),
        body: None,
        reviewed_body: None,
        changed_on: None,
        evidence: None,
        got: None,
        commit: None,
        row: None,
        ignored: None,
    })
}

/// Whether this can be a version and no name or sentence: records hold it (T6).
fn is_version(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.len() <= VERSION_MAX && text.chars().all(plain) && text.chars().any(|c| c.is_ascii_digit())
}

/// The version that a document states, where it can be one.
fn version(fields: &Fields) -> Option<String> {
    foreign::VERSION.iter().find_map(|name| match fields.get(*name) {
        Some(Field::Text(text)) if is_version(text) => Some(text.clone()),
        _ => None,
    })
}

fn reviewer(field: &Field, people: &BTreeSet<PersonId>) -> Reviewer {
    let names = match field {
        Field::Text(name) => std::slice::from_ref(name),
        Field::List(names) => names.as_slice(),
        Field::Other => return Reviewer::Recorded,
    };
    let mut named = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).peekable();
    if named.peek().is_none() {
        return Reviewer::Missing;
    }
    let person = named.find_map(|name| name.parse().ok().filter(|p| people.contains(p)));
    person.map_or(Reviewer::Recorded, Reviewer::Person)
}

fn read_row(row: Row, ignored: Option<Ignored>, directory: &Path, register: &[PathBuf]) -> Facts {
    let evidence = row.evidence.as_deref().map(|cell| document::evidence(directory, cell));
    let body = match &evidence {
        Some(Seen::File { sha256 }) => Some(sha256.clone()),
        _ => None,
    };
    Facts {
        last_reviewed: row.last_done,
        reviewer: row.by.clone().map_or(Reviewer::Missing, Reviewer::Person),
        interval: row.period,
        due: row.due.or(row.expires),
        version: None,
        body,
        reviewed_body: None,
        changed_on: None,
        evidence,
        got: None,
        commit: register.iter().find_map(|file| git::commit(file)),
        ignored,
        row: Some(Box::new(row)),
    }
}

/// Takes over what the text was when this review date was first seen, and since when it differs; and, where nothing else
/// is new, the commit at which it was first seen so.
fn carry_forward(facts: &mut Facts, before: Option<&Facts>, today: Date) {
    carry_review(facts, before, today);
    if let Some(before) = before {
        let commit = facts.commit.take();
        let same = Facts { commit: before.commit.clone(), ..facts.clone() } == *before;
        facts.commit = if same { before.commit.clone() } else { commit };
    }
}

fn carry_review(facts: &mut Facts, before: Option<&Facts>, today: Date) {
    if !matches!(facts.last_reviewed, Done::On(_)) {
        return;
    }
    let before = before.filter(|before| before.last_reviewed == facts.last_reviewed);
    let Some(body) = &facts.body else {
        // The text was not seen this time: what was known of it stays.
        facts.reviewed_body = before.and_then(|before| before.reviewed_body.clone());
        facts.changed_on = before.and_then(|before| before.changed_on);
        return;
    };
    let reviewed = before.and_then(|before| before.reviewed_body.clone());
    let reviewed = reviewed.unwrap_or_else(|| body.clone());
    if reviewed != *body {
        facts.changed_on = before.and_then(|before| before.changed_on).or(Some(today));
    }
    facts.reviewed_body = Some(reviewed);
}

/// SHA-256 of the text with white space normalised; of a whole YAML or TOML file without the lines of the review.
fn hash_body(body: &str, whole: bool) -> String {
    let review = |line: &str| {
        let name = line.split([':', '=']).next().map(front_matter::key).unwrap_or_default();
        let name = name.trim_matches(['"', '\'']);
        REVIEW.iter().any(|names| names.contains(&name))
    };
    let lines = body.lines().filter(|line| !(whole && review(line)));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    sha256_hex(words.join(" ").as_bytes())
}

const OVERDUE: FindingSpec = FindingSpec {
    code: "review_overdue",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the review was due by {due}, {days} days ago (last reviewed on {last})",
    remedy: "review it, and write the day and the reviewer into it or into the register",
    reference: "S3 IT service providers 2: \"will be reviewed annually\"",
};
const NEVER: FindingSpec = FindingSpec {
    code: "never_reviewed",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "it is stated as never reviewed",
    remedy: "review it, and write the day and the reviewer into it or into the register",
    reference: "S3 IT service providers 2: \"will be reviewed annually\"",
};
const DUE_SOON: FindingSpec = FindingSpec {
    code: "review_due_soon",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the review is due by {due}, in {days} days (last reviewed on {last})",
    remedy: "plan the review with its owner and approver",
    reference: "S3 IT service providers 2: \"will be reviewed annually\"",
};
const INTERVAL_TOO_LONG: FindingSpec = FindingSpec {
    code: "review_interval_too_long",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the next review is set for {due}, and 12 months end on {longest}",
    remedy: "shorten the interval to 12 months; that DSPT 1.3.1 tolerates three years does not loosen it",
    reference: "S3 IT service providers 2: \"will be reviewed annually\"",
};
const REVIEWER_MISSING: FindingSpec = FindingSpec {
    code: "reviewer_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the review of {last} names no reviewer",
    remedy: "write who reviewed it (`reviewed_by`, or `by` in the register)",
    reference: "S3 IT service providers 2: \"reviewed and updated by the service provider\"",
};
const CHANGED: FindingSpec = FindingSpec {
    code: "changed_without_review",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "the text changed after its review of {last}, first seen on {changed}, and was not reviewed since",
    remedy: "review the change, and write the new day of review into it",
    reference: "S3 IT service providers 2: \"must be reviewed and updated by the service provider in a timely fashion\"",
};
const CHANGED_RECENTLY: FindingSpec = FindingSpec {
    code: "changed_since_review",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the text changed after its review of {last}, first seen on {changed}",
    remedy: "review the change within 14 days, and write the new day of review into it",
    reference: "S3 IT service providers 2: \"must be reviewed and updated by the service provider in a timely fashion\"",
};

/// What of a whole YAML or TOML file is of its review.
const REVIEW: [&[&str]; 4] =
    [foreign::LAST_REVIEWED, foreign::REVIEWERS, foreign::INTERVAL, foreign::NEXT_REVIEW];
/// S3, IT service providers, clause 2: annually.
const INTERVAL: Period = Period::months(12);
/// How long a change may wait for its review before it is Warn, in days.
const CHANGED_DAYS_MAX: i32 = 14;
/// A document, in bytes: text, not scans.
const DOCUMENT_MAX: u64 = 2 * 1024 * 1024;
/// A version, in bytes.
const VERSION_MAX: usize = 20;
/// Documents of one check.
const DOCUMENTS_MAX: usize = 500;

#[cfg(test)]
mod tests;
