//! The kind `dspt`: is our Data Security and Protection Toolkit published, and at the level that we claim?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestd_core::finding::Finding;
use attestd_core::obligation::{Period, days_until, end_of, severity, tier, today};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Date, Evidence, FindingSpec, Judgement,
    Look, Means, Nature, PersonId, ProbeError, Reason, Settings, Severity, Target, Timestamp,
    Unseen,
};
use serde::{Deserialize, Serialize};

use self::download::Download;
use self::source::Place;
pub use self::status::{Edition, Level};
use crate::data;
use crate::look::http::{self, Validators};
use crate::ods::{self, Code, Organisation, Records};
use crate::register::{self, Ignored, NotApplicable, Row, Source};

mod download;
mod export;
mod merged;
mod page;
mod source;
mod status;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "dspt",
    summary: "The Data Security and Protection Toolkit status published for an ODS code (page reading unverified: use the CSV export)",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        NOT_PUBLISHED,
        NOT_MET,
        LAPSED,
        BELOW_CLAIM,
        APPROACHING_WITHOUT_PLAN,
        APPROACHING,
        PLAN_ENDING,
        PUBLICATION_DUE,
        EXPORT_OLD,
        CODE_MERGED,
        ABOVE_CLAIM,
        DEADLINE_OVERRIDDEN,
        DATA_OLD,
        register::NOT_APPLICABLE,
        register::APPLICABILITY_DUE,
        register::APPLICABILITY_OVERDUE,
        register::PARTLY_READ,
    ],
    endpoints: false,
    every: "24h",
    timeout: Duration::from_secs(30),
    build,
};

const DOCS: &str = "\
## What it looks at
The status that the toolkit publishes for each ODS code: from a CSV export that a person drops into a folder (the
default), from the same CSV at a URL, or from the organisation page.

**Page reading unverified: the page's real markup has not been seen; until a person confirms it, the CSV dropped into a
folder is the documented default.** The page is read by the text of its headers (`Status`, `Date Published`); anything
that does not fit exactly is Unknown.

## How it judges
An edition is good until the next edition's deadline, that day included: `2025-26 Standards Met` until 30 June 2027.
- Fail: nothing published, `Standards Not Met`, a lapsed edition, a level below the one we claim, `Approaching Standards`
  without an improvement plan in date.
- Warn: the next edition is not published and its deadline is 90, 60, 30, 14, 7 or 1 days away (a lead time of 14 days
  and more moves to the Monday before, a shorter one to the working day before); `Approaching Standards` with a plan in date; an
  export over 35 days old; a code that was merged into another, whose status it is then.
- Note: a level above the claim; an overridden deadline; a table of deadlines verified over 12 months ago.

The latest edition counts, whatever the order of the rows; of two rows of one edition, the later date. A deadline can be
overridden by a `[[deadline]]` of the configuration with its source and who authorised it.

With `successors`, a code of which the register or export has nothing is looked up in the ODS. Where it is Inactive there and one code alone is
its legal successor, that one's status counts, and is shown as that one's; three mergers after one another are followed. All else is Unknown: no or
several successors, one that is not legal or not yet, a ring, a record that cannot be read. A code that has a row of its own is judged by it.

## What it cannot see
What happens before publication; whether the self-assessment is true; whether the independent audit was done; without `successors`, the
status of a code that was merged into another. A code that is not in the register or export is Unknown: it is not `Not Published`. A 403, a
challenge or login page, a changed layout, a file cut short or a status in other words is Unknown, with the text kept.

## Settings
- `codes`: ODS codes; or `register`: a register whose rows of kind `dspt` have the code in `reference`. Or both.
- `sheet`: the sheet of a register that is a workbook, where several have a column `id`; `register_credential`: where the register is at
  an `https` URL, the systemd credential with its bearer token.
- `source`: `\"csv\"` (default) or `\"page\"`.
- `csv`: a file, a folder or a glob (the newest export wins, by the time in its name), or a URL.
- `page`: the page's URL with `{ODS}` for the code.
- `claim`: `standards_met`, `standards_exceeded` or `approaching_standards`: what we say of ourselves.
- `improvement_plan_until`: the last day of an agreed improvement plan.
- `successors`: where the ODS record of a code that is not found is read: `\"ods\"` (the public register, as the kind `ods` reads it), a URL or
  a file with `{ODS}` for the code. Left out, no merger is followed.

To renew the export: open https://www.dsptoolkit.nhs.uk/OrganisationSearch, download the spreadsheet (*.csv), and put it
into the folder under the name it came with.

## What it sends
With files: nothing. With a URL: one GET for each code (page), or one for the file that serves all codes of the check (CSV), and anew only what has
changed, where there is an `ETag` or `Last-Modified`. With `successors` at a URL: one GET for each code that is not found, and for each that it was
merged into. All with full TLS verification, 4 times a second at most, through `HTTPS_PROXY` where it is set; daily is enough.
";

const EXAMPLE: &str = r#"[[check]]
id = "dspt-status"
kind = "dspt"
codes = ["8ZZ99"]
csv = "dspt/"
claim = "standards_met"
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let codes: Vec<Code> = settings.list("codes");
    let register = Source::build(settings, context);
    if !settings.has("codes") && register.is_none() {
        settings.missing(
            "codes",
            "ODS codes such as [\"8ZZ99\"], or `register` with rows of kind dspt",
        );
    }
    if settings.has("codes") && settings.texts("codes").is_empty() {
        settings.error("codes", "`codes` is empty: at least one ODS code is needed");
    }
    let from = settings.choice("source", &[("csv", false), ("page", true)]).unwrap_or(false);
    let place = if from { page_place(settings) } else { csv_place(settings, context) };
    let levels = [Level::StandardsExceeded, Level::StandardsMet, Level::ApproachingStandards];
    let claims = ["standards_exceeded", "standards_met", "approaching_standards"];
    let words: Vec<(&str, Level)> = claims.into_iter().zip(levels).collect();
    let claim = settings.choice("claim", &words);
    let successors = settings.text("successors").and_then(|text| {
        let at = if text.value == "ods" { ods::ORD } else { &text.value };
        let records = Records::of("successors", at, context);
        records.map_err(|message| settings.error_at(text.span, message)).ok()
    });
    let plan_until = settings.date("improvement_plan_until");
    let mut overrides = Vec::new();
    for deadline in context.deadlines.iter().filter(|d| d.table == "dspt") {
        match Edition::of(&deadline.key) {
            Some(edition) => overrides.push(Override {
                edition,
                date: deadline.date,
                source: deadline.source.clone(),
                authorised_by: deadline.authorised_by.clone(),
            }),
            None => settings.error_at(
                settings.span(),
                format!(
                    "a [[deadline]] of table dspt has an edition such as \"2026-27\", not {:?}",
                    deadline.key
                ),
            ),
        }
    }
    let place = place?;
    if let Place::Csv(download) = &place {
        download.want(codes.iter().cloned());
    }
    let ca_bundle = context.ca_bundle.clone();
    Some(Box::new(Dspt {
        codes,
        register,
        place,
        successors,
        claim,
        plan_until,
        overrides,
        ca_bundle,
    }))
}

fn page_place(settings: &Settings<'_>) -> Option<Place> {
    if settings.has("csv") {
        settings.error("csv", "`csv` has no use with `source = \"page\"`");
    }
    let url = settings.text("page").map_or_else(|| data::dspt().page.clone(), |text| text.value);
    let checked = http::source_url(&url.replace("{ODS}", "X"));
    if let Err(message) = checked {
        settings.error("page", message);
        return None;
    }
    if !url.contains("{ODS}") {
        settings.error("page", "`page` needs {ODS} where the code goes");
        return None;
    }
    settings.warn(
        "source",
        "page reading is unverified: until a person has confirmed it, prefer the CSV export",
    );
    Some(Place::Page(url))
}

fn csv_place(settings: &Settings<'_>, context: &Context) -> Option<Place> {
    if settings.has("page") {
        settings.error("page", "`page` has no use without `source = \"page\"`");
    }
    let text =
        settings.required_text("csv", "a file, a folder or a URL of the toolkit's CSV export")?;
    if !text.value.contains("://") {
        return Some(Place::File { path: context.directory.join(&text.value), shown: text.value });
    }
    match http::source_url(&text.value) {
        Ok(url) => Some(Place::Csv(Box::new(Download::new(url, context.ca_bundle.clone())))),
        Err(message) => {
            settings.error_at(text.span, message);
            None
        }
    }
}

struct Dspt {
    codes: Vec<Code>,
    register: Option<Source>,
    place: Place,
    /// Where it is looked up what became of a code.
    successors: Option<Records>,
    claim: Option<Level>,
    plan_until: Option<Date>,
    overrides: Vec<Override>,
    ca_bundle: Option<PathBuf>,
}

struct Override {
    edition: Edition,
    date: Date,
    source: String,
    authorised_by: PersonId,
}

/// What a target carries.
#[derive(Debug, Serialize, Deserialize)]
enum Spec {
    Code { code: Code, row: OfRow },
    NotApplicable { given: NotApplicable, row: OfRow },
    Bad(Reason),
}

/// What else counts of the row of the register that the code stands in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct OfRow {
    /// Who answers for it: the owner, then who stands in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignored: Option<Ignored>,
}

/// What a source said of a code: text as it stands there, parsed only by the judge.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    matched: String,
    name: Option<String>,
    rows: Vec<RowText>,
    raw: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RowText {
    status: String,
    date: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum Facts {
    Status(Box<Published>),
    NotApplicable { given: NotApplicable, row: OfRow },
}

#[derive(Debug, Serialize, Deserialize)]
struct Published {
    /// The code that was asked for.
    code: Code,
    /// Its record in the ODS, and those that it leads to, where the status is that of the last one's successor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    merged: Vec<Organisation>,
    #[serde(flatten)]
    seen: Seen,
    #[serde(default)]
    row: OfRow,
}

/// What a source said of a code, and how it is known again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    /// The URL, or the name of the export's file.
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Validators::is_none")]
    validators: Validators,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exported: Option<export::Exported>,
    /// Which table or row was read, and why.
    matched: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    rows: Vec<RowText>,
}

impl Seen {
    fn of(read: Read) -> Seen {
        let Read { matched, name, rows, raw: _ } = read;
        let (source, validators) = (String::new(), Validators::default());
        Seen { source, sha256: None, validators, exported: None, matched, name, rows }
    }
}

impl Check for Dspt {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(async {
            let plain = |code: &Code| {
                let spec = Spec::Code { code: code.clone(), row: OfRow::default() };
                self.target(code.0.parse().expect("a code is a target's name"), &spec)
            };
            let codes: BTreeSet<&Code> = self.codes.iter().collect();
            let mut targets: Vec<Target> = codes.into_iter().map(plain).collect();
            let Some(source) = &self.register else { return Ok(targets) };
            let register = source.read().await?;
            let mut ignored = Some(register.ignored.clone());
            for claimed in register.claimed(&["dspt"]) {
                let spec = match claimed.row {
                    Err(reason) => Spec::Bad(reason),
                    Ok(row) => self.of_row(row, &source.shown, &mut ignored),
                };
                if let (Place::Csv(download), Spec::Code { code, .. }) = (&self.place, &spec) {
                    download.want([code.clone()]);
                }
                targets.push(self.target(claimed.name, &spec));
            }
            Ok(targets)
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        let register = self.register.iter().flat_map(Source::files);
        register.chain(self.exports()).collect()
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
            match spec {
                Spec::Bad(reason) => Err(reason.into()),
                Spec::NotApplicable { given, row } => {
                    Ok(Evidence::of(&Facts::NotApplicable { given, row }))
                }
                Spec::Code { code, row } => {
                    let before = look.before.and_then(|evidence| evidence.read::<Facts>().ok());
                    let before = match before {
                        Some(Facts::Status(published)) => Some(*published),
                        Some(Facts::NotApplicable { .. }) | None => None,
                    };
                    self.look(code, row, before, today(look.now)).await
                }
            }
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let today = today(now);
        let (mut findings, mut unseen, mut due) = (Vec::new(), Vec::new(), None);
        let row = match evidence.read()? {
            Facts::NotApplicable { given, row } => {
                findings.push(register::not_applicable(&given, today, data::working_days()));
                row
            }
            Facts::Status(published) => {
                findings.extend(export_old(&published.seen, today));
                let verified = data::dspt().verified_on;
                if Period::months(12).after(verified) < today {
                    findings.push(DATA_OLD.finding().with("verified_on", verified.to_string()));
                }
                let of = merged::follow(&published.code, &published.merged, today);
                findings.extend(of.iter().filter_map(|of| code_merged(&published, of)));
                match of.and_then(|_| read_current(&published.seen, today)) {
                    Ok(current) => {
                        findings.extend(self.judge_current(&current, today));
                        let next = current.edition.map(Edition::next);
                        due = next.and_then(|next| end_of(self.deadline(next)));
                    }
                    Err(reason) => unseen.push(Unseen { component: None, reason }),
                }
                published.row
            }
        };
        findings.extend(row.ignored.as_ref().and_then(register::partly_read));
        let judgement = Judgement::new(findings, unseen).due(due).titled("DSPT publication");
        Ok(judgement.answers(row.answers))
    }

    fn explain(&self, evidence: &Evidence) -> String {
        match evidence.read() {
            Ok(Facts::Status(published)) => self.explain_published(&published),
            Ok(Facts::NotApplicable { given, .. }) => {
                format!(
                    "Said not to apply by {}, to be reviewed on {}.",
                    given.decided_by, given.review_on
                )
            }
            Err(error) => error.to_string(),
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let leads: Vec<String> = data::dspt().leads.iter().map(i32::to_string).collect();
        let mut lines = vec![
            "an edition is good until the next one's deadline, that day included".to_owned(),
            format!(
                "the next edition: Warn {} days before its deadline, Fail from the day after",
                leads.join(", ")
            ),
            format!("an export over {EXPORT_DAYS_MAX} days old: Warn"),
        ];
        if self.successors.is_some() {
            lines
                .push("a code that was merged into another: Warn, beside that one's status".into());
        }
        lines.extend(data::dspt().edition.iter().map(|row| {
            format!("edition {}: deadline {} ({})", row.edition, row.deadline, row.source)
        }));
        lines.extend(self.overrides.iter().map(|own| {
            format!(
                "edition {}: deadline {} instead ({}), authorised by {}",
                own.edition, own.date, own.source, own.authorised_by
            )
        }));
        lines
    }
}

impl Dspt {
    /// Looks up `code`, or whichever took its place where the source has nothing of it.
    async fn look(
        &self,
        code: Code,
        row: OfRow,
        before: Option<Published>,
        today: Date,
    ) -> Result<Evidence, ProbeError> {
        let before = before.as_ref();
        let (mut merged, mut blobs) = (Vec::new(), Vec::new());
        let seen = loop {
            let of = merged::follow(&code, &merged, today).map_err(ProbeError::from)?;
            let known = before.filter(|before| {
                merged::follow(&before.code, &before.merged, today).is_ok_and(|known| known == of)
            });
            let known = known.map(|before| &before.seen);
            let looked = self.place.look(of, known, self.ca_bundle.as_deref(), &mut blobs).await;
            let (error, records) = match (looked, &self.successors) {
                (Ok(seen), _) => break seen,
                (Err(error), Some(records)) if merged::is_absent(&error.reason) => (error, records),
                (Err(error), _) => return Err(error),
            };
            let known = before.map_or(&[][..], |before| &before.merged);
            let read = records.read(of, known, &mut blobs).await;
            let unseen = |why| merged::unseen(&error.reason, why, &merged);
            let organisation = read.map_err(unseen)?;
            merged.push(organisation);
            if let Err(reason) = merged::follow(&code, &merged, today) {
                return Err(merged::unseen(&error.reason, reason.into(), &merged));
            }
        };
        let facts = Facts::Status(Box::new(Published { code, merged, seen, row }));
        Ok(Evidence { blobs, ..Evidence::of(&facts) })
    }

    /// Where exports are dropped, or the file that one is.
    fn exports(&self) -> Option<PathBuf> {
        let Place::File { path, .. } = &self.place else { return None };
        let watched = if path.exists() { Some(path.as_path()) } else { path.parent() };
        watched.map(Path::to_path_buf)
    }

    fn of_row(&self, row: Row, shown: &str, ignored: &mut Option<Ignored>) -> Spec {
        let answers = row.owner.into_iter().chain(row.deputy).collect();
        match (row.not_applicable, row.reference.as_deref().map(str::parse)) {
            (Some(given), _) => {
                Spec::NotApplicable { given, row: OfRow { answers, ignored: ignored.take() } }
            }
            (None, Some(Ok(code))) => {
                Spec::Code { code, row: OfRow { answers, ignored: ignored.take() } }
            }
            (None, _) => {
                let message = format!(
                    "{shown}: row {:?}, column `reference`: expected an ODS code, 1 to 12 letters and digits",
                    row.id
                );
                Spec::Bad(Reason::new("bad_row", message))
            }
        }
    }

    fn target(&self, name: attestd_core::TargetName, spec: &Spec) -> Target {
        let local = matches!(self.place, Place::File { .. }) || !matches!(spec, Spec::Code { .. });
        let value = serde_json::to_value(spec).expect("a spec is plain data");
        let nature = if local { Nature::Local } else { Nature::PublicRegister };
        let record = match (spec, &self.successors) {
            (Spec::Code { code, .. }, Some(records)) => records.place(code).files(),
            _ => Vec::new(),
        };
        let files = self.exports().into_iter().chain(record).collect();
        Target { name, nature, files, spec: value }
    }

    fn deadline(&self, edition: Edition) -> Date {
        self.overridden(edition).map_or(edition.deadline(), |own| own.date)
    }

    fn overridden(&self, edition: Edition) -> Option<&Override> {
        self.overrides.iter().find(|own| own.edition == edition)
    }

    /// The edition that must be published today: the latest whose deadline has passed.
    fn required(&self, today: Date) -> Edition {
        let newest = Edition::ending(today.year().saturating_add(2));
        let editions = (0..=20).map(|back| Edition::ending(newest.end_year() - back));
        editions.into_iter().find(|edition| self.deadline(*edition) < today).unwrap_or(newest)
    }

    fn judge_current(&self, current: &Current, today: Date) -> Vec<Finding> {
        let (leads, working) = (&data::dspt().leads, data::working_days());
        let mut findings = Vec::new();
        let Some(edition) = current.edition else {
            let required = self.required(today);
            let since = self.deadline(required);
            findings.push(
                NOT_PUBLISHED
                    .finding()
                    .tier(tier(since, today, leads, working))
                    .with("edition", required.to_string())
                    .with("deadline", since.to_string()),
            );
            findings.extend(self.show_override(required));
            return findings;
        };
        let with = |spec: &FindingSpec| {
            spec.finding().with("edition", edition.to_string()).with("level", current.level.title())
        };
        let good_until = self.deadline(edition.next());
        findings.extend(self.show_override(edition.next()));
        let reached = tier(good_until, today, leads, working);
        let near = reached.map_or(Severity::Notice, |reached| severity(reached, leads));
        if good_until < today {
            let finding = with(&LAPSED).severity(near).tier(reached);
            let days = days_until(good_until, today).abs();
            findings.push(finding.with("good_until", good_until.to_string()).with("days", days));
        } else if reached.is_some() && current.level >= Level::ApproachingStandards {
            let finding = PUBLICATION_DUE.finding().severity(near).tier(reached);
            findings.push(
                finding
                    .with("edition", edition.next().to_string())
                    .with("deadline", good_until.to_string())
                    .with("days", days_until(good_until, today)),
            );
        }
        match current.level {
            Level::NotPublished | Level::StandardsNotMet | Level::EntryLevel => {
                findings.push(with(&NOT_MET))
            }
            Level::ApproachingStandards => findings.push(self.judge_plan(with, today)),
            Level::StandardsMet | Level::StandardsExceeded => {}
        }
        if let Some(claim) = self.claim {
            match current.level.cmp(&claim) {
                std::cmp::Ordering::Less => {
                    findings.push(with(&BELOW_CLAIM).with("claim", claim.title()))
                }
                std::cmp::Ordering::Greater => {
                    findings.push(with(&ABOVE_CLAIM).with("claim", claim.title()))
                }
                std::cmp::Ordering::Equal => {}
            }
        }
        findings
    }

    fn judge_plan(&self, with: impl Fn(&FindingSpec) -> Finding, today: Date) -> Finding {
        let (leads, working) = (&data::dspt().leads, data::working_days());
        let Some(until) = self.plan_until.filter(|until| *until >= today) else {
            let said = self.plan_until.map_or("none".to_owned(), |until| format!("until {until}"));
            return with(&APPROACHING_WITHOUT_PLAN).with("plan", said);
        };
        match tier(until, today, leads, working) {
            None => with(&APPROACHING).with("until", until.to_string()),
            Some(reached) => with(&PLAN_ENDING)
                .severity(severity(reached, leads))
                .tier(Some(reached))
                .with("until", until.to_string())
                .with("days", days_until(until, today)),
        }
    }

    fn show_override(&self, edition: Edition) -> Option<Finding> {
        let own = self.overridden(edition)?;
        Some(
            DEADLINE_OVERRIDDEN
                .finding()
                .with("edition", edition.to_string())
                .with("deadline", own.date.to_string())
                .with("table", edition.deadline().to_string())
                .with("source", own.source.clone())
                .with("authorised_by", own.authorised_by.to_string()),
        )
    }

    fn explain_published(&self, published: &Published) -> String {
        let Published { code, merged, seen, .. } = published;
        let mut lines = vec![format!("Asked: {} for the code {}.", seen.source, code.0)];
        lines.extend(merged.iter().map(|Organisation { got, record }| {
            let next = record.successors.iter().map(|successor| successor.code.0.as_str());
            let next: Vec<&str> = next.collect();
            let code = &record.code.0;
            let name = &record.name;
            let next = next.join(", ");
            format!(
                "It has nothing of {code}, and {} has {code} ({name}) as {} and succeeded by {next}.",
                got.source, record.status
            )
        }));
        if let Some(exported) = seen.exported {
            let how =
                if exported.by_name { "the time in its name" } else { "the time of the file" };
            lines.push(format!("The export is of {}, by {how}.", exported.on));
        }
        lines.push(format!("Matched: {}.", seen.matched));
        if let Some(name) = &seen.name {
            lines.push(format!("It is called {name:?}."));
        }
        for row in &seen.rows {
            let read = status::read(&row.status);
            let meaning = match (read.edition, read.level) {
                (Some(edition), Some(level)) => format!(
                    "edition {edition}, {}, good until {}",
                    level.title(),
                    self.deadline(edition.next())
                ),
                (None, Some(level)) => format!("no edition, {}", level.title()),
                (_, None) => "not a status that is known".to_owned(),
            };
            lines.push(format!("Row: {:?} on {:?}: {meaning}.", row.status, row.date));
        }
        lines.push(
            "The latest edition counts; of two rows of one edition, the later date.".to_owned(),
        );
        lines.join("\n")
    }
}

/// The status that counts today.
struct Current {
    /// Absent where nothing is published.
    edition: Option<Edition>,
    level: Level,
}

/// The latest edition among the rows, or why they cannot be believed.
fn read_current(seen: &Seen, today: Date) -> Result<Current, Reason> {
    let refuse = |code: &str, row: &RowText, why: &str| {
        Reason::new(code, format!("{}: {:?} on {:?}: {why}", seen.source, row.status, row.date))
    };
    if seen.exported.is_some_and(|exported| exported.on > today) {
        let message = format!("{} is dated after today, which is not believed", seen.source);
        return Err(Reason::new("date_in_future", message));
    }
    type Parsed<'r> = (Option<Edition>, Option<Level>, Option<Date>, &'r RowText);
    let mut rows: Vec<Parsed<'_>> = Vec::new();
    for row in &seen.rows {
        let read = status::read(&row.status);
        let date = status::read_date(&row.date);
        if date.is_none() && !row.date.trim().is_empty() {
            return Err(refuse(
                "date_unrecognised",
                row,
                "the day of publication is no date that is known",
            ));
        }
        if date.is_some_and(|date| date > today) {
            return Err(refuse(
                "date_in_future",
                row,
                "it is dated after today, which is not believed",
            ));
        }
        if read.edition.is_some_and(|edition| edition.begins() > today) {
            return Err(refuse("edition_not_begun", row, "that edition has not begun"));
        }
        rows.push((read.edition, read.level, date, row));
    }
    // An edition that is listed and not published says nothing against the one before it.
    let editions =
        rows.iter().filter(|row| row.1 != Some(Level::NotPublished)).filter_map(|row| row.0);
    let latest = editions.max();
    if let Some(row) =
        rows.iter().find(|row| row.1.is_none() && (row.0.is_none() || row.0 == latest))
    {
        return Err(refuse("status_unrecognised", row.3, "that is no status that is known"));
    }
    let bare = rows.iter().find(|row| row.0.is_none());
    let Some(edition) = latest else {
        return match (bare, rows.first()) {
            (Some((_, Some(level), _, row)), _) if *level != Level::NotPublished => Err(refuse(
                "edition_missing",
                row,
                "it names no edition, so nothing says until when it is good",
            )),
            (_, Some(_)) => Ok(Current { edition: None, level: Level::NotPublished }),
            (_, None) => Err(Reason::new("empty", format!("{} has no row", seen.source))),
        };
    };
    if let Some(row) = bare {
        return Err(refuse("ambiguous", row.3, "it names no edition, and other rows do"));
    }
    let of_latest =
        || rows.iter().filter(|row| row.0 == latest && row.1 != Some(Level::NotPublished));
    let newest = of_latest().map(|row| row.2).max().flatten();
    let mut levels: Vec<(Level, &RowText)> =
        of_latest().filter(|row| row.2 == newest).filter_map(|row| Some((row.1?, row.3))).collect();
    levels.sort_by_key(|(level, _)| *level);
    match (levels.first(), levels.last()) {
        (Some((worst, _)), Some((best, row))) if worst != best => Err(refuse(
            "ambiguous",
            row,
            "the same edition stands there twice, at different levels",
        )),
        (Some((_, row)), _) if newest.is_none() => {
            Err(refuse("date_missing", row, "it is published, and no day says when"))
        }
        (Some((level, _)), _) => Ok(Current { edition: Some(edition), level: *level }),
        (None, _) => Err(Reason::new("empty", format!("{} has no row", seen.source))),
    }
}

fn export_old(seen: &Seen, today: Date) -> Option<Finding> {
    let exported = seen.exported?;
    let age = days_until(today, exported.on);
    (age > EXPORT_DAYS_MAX).then(|| {
        EXPORT_OLD
            .finding()
            .with("file", seen.source.clone())
            .with("on", exported.on.to_string())
            .with("days", age)
    })
}

/// The word that the status is another code's.
fn code_merged(published: &Published, of: &Code) -> Option<Finding> {
    let Published { code, merged, .. } = published;
    (!merged.is_empty()).then(|| {
        let finding = CODE_MERGED.finding().with("code", code.0.as_str());
        finding.with("into", merged::into(merged, of)).with("successor", of.0.as_str())
    })
}

/// A cell as it is kept.
fn cut(text: &str) -> String {
    text.trim().chars().take(CELL_MAX).collect()
}

const NOT_PUBLISHED: FindingSpec = FindingSpec {
    code: "dspt_not_published",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "nothing is published; {edition} was due by {deadline}",
    remedy: "publish the self-assessment at www.dsptoolkit.nhs.uk",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086); DSPT News/161",
};
const NOT_MET: FindingSpec = FindingSpec {
    code: "dspt_standards_not_met",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the published status of {edition} is {level}",
    remedy: "complete what is missing and publish again, or agree an improvement plan",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086)",
};
const LAPSED: FindingSpec = FindingSpec {
    code: "dspt_lapsed",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{edition} {level} was good until {good_until}, {days} days ago, and nothing newer is published",
    remedy: "publish the current edition at www.dsptoolkit.nhs.uk",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086); DSPT News/161",
};
const BELOW_CLAIM: FindingSpec = FindingSpec {
    code: "dspt_below_claim",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the published status of {edition} is {level}, and we claim {claim}",
    remedy: "correct the claim wherever it is made, or reach the level and publish again",
    reference: "S0 NHS England may audit any stated compliance assertion; S3 IT service providers 1",
};
const APPROACHING_WITHOUT_PLAN: FindingSpec = FindingSpec {
    code: "dspt_approaching_without_plan",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "{edition} is {level}, with no improvement plan in date ({plan})",
    remedy: "agree an improvement plan and set `improvement_plan_until`, or reach Standards Met and publish again",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086)",
};
const APPROACHING: FindingSpec = FindingSpec {
    code: "dspt_approaching_standards",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{edition} is {level}, with an improvement plan until {until}",
    remedy: "carry out the improvement plan and publish Standards Met before it ends",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086)",
};
const PLAN_ENDING: FindingSpec = FindingSpec {
    code: "dspt_improvement_plan_ending",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{edition} is {level}, and its improvement plan ends on {until}, in {days} days",
    remedy: "carry out the improvement plan and publish Standards Met before it ends",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086)",
};
const PUBLICATION_DUE: FindingSpec = FindingSpec {
    code: "dspt_publication_due",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{edition} is due by {deadline}, in {days} days, and not published",
    remedy: "finish the self-assessment and its independent audit, and publish at www.dsptoolkit.nhs.uk",
    reference: "S3 IT service providers 1; S4 DSPT (DAPB0086); DSPT News/161",
};
const EXPORT_OLD: FindingSpec = FindingSpec {
    code: "dspt_export_old",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{file} was exported on {on}, {days} days ago",
    remedy: "open https://www.dsptoolkit.nhs.uk/OrganisationSearch, download the spreadsheet (*.csv), and put it into the folder under the name it came with",
    reference: "DSPT News/34 (the export is refreshed every 10 minutes); attestd semantics F3 (35 days)",
};
const CODE_MERGED: FindingSpec = FindingSpec {
    code: "dspt_code_merged",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{code} was merged into {into}; the status is that of {successor}",
    remedy: "have {successor} put in the place of {code} wherever it stands: the claim, the register, this configuration",
    reference: "NHS England, Organisation Data Service ORD (Status, Succs); S4 DSPT (the status is published for a code)",
};
const ABOVE_CLAIM: FindingSpec = FindingSpec {
    code: "dspt_above_claim",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the published status of {edition} is {level}, above the {claim} that we claim",
    remedy: "nothing is wrong; the claim could say more",
    reference: "S3 IT service providers 1",
};
const DEADLINE_OVERRIDDEN: FindingSpec = FindingSpec {
    code: "dspt_deadline_overridden",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the deadline of {edition} is {deadline} instead of {table}: {source}, authorised by {authorised_by}",
    remedy: "remove the [[deadline]] when it no longer holds",
    reference: "the [[deadline]] of the configuration",
};
const DATA_OLD: FindingSpec = FindingSpec {
    code: "dspt_data_old",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the table of editions and deadlines was last verified on {verified_on}, over 12 months ago",
    remedy: "update attestd, or hold the deadlines against www.dsptoolkit.nhs.uk/News and override what moved",
    reference: "attestd checks/data/dspt.toml; DSPT News/161",
};

/// An export older than this is no longer current, in days (semantics F3).
const EXPORT_DAYS_MAX: i32 = 35;
/// A cell, in characters: twice the longest status. A whole history of them must fit a record of 65,535 bytes.
const CELL_MAX: usize = 100;
#[cfg(test)]
mod tests;
