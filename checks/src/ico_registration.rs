//! The kind `ico_registration`: is our data protection fee paid, by the register that the Information Commission publishes?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestd_core::obligation::{days_until, end_of, severity, tier, today};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Date, Evidence, Finding, FindingSpec,
    Judgement, Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target, TargetName,
    Timestamp, Unseen,
};
use serde::{Deserialize, Serialize};

use self::source::Register;
use self::sweep::Row;
use crate::look::published::{self, Place};
use crate::register::parse_date;
use crate::{data, ods};

mod source;
mod sweep;
#[cfg(test)]
mod tests;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "ico_registration",
    summary: "The data protection fee in the Information Commission's register of fee payers: paid, and for how long",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[EXPIRED, ABSENT, EXPIRING, NAME_DIFFERS, REGISTER_OLD],
    endpoints: false,
    every: "7d",
    timeout: Duration::from_secs(600),
    build,
};

const DOCS: &str = "\
## What it looks at
The row of each registration number in the register of fee payers, which the Information Commission (until September 2026 the ICO)
publishes daily as one file of some 1.4 million rows. It is streamed: our rows stay, with the number, the name, both dates and the tier;
every other row, and every column with a person in it, passes through unread.

## How it judges
- Fail: the registration's last day has passed; its number has not been in the register for 14 days.
- Warn: the last day is 30, 14, 7 or 1 days away (a lead time of 14 days and more moves to the Monday before, a shorter one to the working day before); it is registered under another
  name than `name`, letter case and spaces apart; the file is over 35 days old.

A registration is good until its last day, that day included. A number that is not in the register is Unknown for 14 days, because numbers
are missing for a while after a renewal or a change of name; and for as long as the file is short: one of fewer than 500,000 rows, or with a row that is
broken or cut off, shows who is in it, and not who is missing.

## What it cannot see
Whether the tier paid is the right one; a payment that is on its way; whether the firm has to pay at all. The file's layout is known from
other people's programs and was not seen by the authors: any other one is Unknown.

## Settings
- `registrations`: registration numbers such as `\"ZA000000\"`.
- `name`: the name as it should be registered, where one number is given.
- `file`: where the register is: the page that links to it (default), the ZIP or the CSV itself at a URL, or a file that a person dropped in,
  such as `\"ico/register-of-data-controllers-2026-11-20.zip\"`. The day in its name says how old it is; else the time at which it was written.

## What it sends
One GET of the page, and one of the file (some 80 MB) only when the page links to another one than last time, for all numbers of the check
together; weekly is enough. With full TLS verification and through `HTTPS_PROXY` where it is set. With a file: nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "ico-fee"
kind = "ico_registration"
registrations = ["ZA000000"]
name = "EXAMPLE HEALTH SYSTEMS LTD"
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let such_as = "registration numbers such as [\"ZA000000\"]";
    let numbers = settings.targets("registrations", such_as, |text| {
        let number = number(text)?;
        Ok((number.parse().expect("a number is a target's name"), number))
    });
    let name = settings.text("name").map(|text| text.value);
    if name.is_some() && numbers.len() > 1 {
        settings.error("name", "`name` is of one firm: give each number a check of its own");
    }
    if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        settings.error("name", "`name` is empty");
    }
    let at = settings.text("file").map_or_else(|| data::ico().page.clone(), |text| text.value);
    let place = match Place::of(&at, &context.directory) {
        Ok(place) => place,
        Err(message) => {
            settings.error("file", message);
            return None;
        }
    };
    let wanted: BTreeSet<String> = numbers.values().cloned().collect();
    let register = Register::new(place, wanted, context.ca_bundle.clone());
    Some(Box::new(IcoRegistration { numbers, name, register }))
}

/// A registration number in upper case: `Z1234567`, `ZA123456`.
fn number(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
    let number = text.to_ascii_uppercase();
    if plain && number.starts_with('Z') && (6..=12).contains(&number.len()) {
        return Ok(number);
    }
    Err(format!("{text:?} is no registration number, such as \"ZA123456\""))
}

struct IcoRegistration {
    numbers: BTreeMap<TargetName, String>,
    name: Option<String>,
    register: Register,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    ico_registration: String,
    /// The URL or the name of the file.
    source: String,
    /// The day of the file, by its name or by the time at which it was written.
    of: Date,
    /// How many rows it has.
    rows: u64,
    /// Why it does not show who is missing, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partial: Option<String>,
    found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Found {
    Rows(Vec<Row>),
    /// Not in it, and since when that was first seen.
    Absent {
        since: Date,
    },
}

impl Check for IcoRegistration {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |(name, number): (&TargetName, &String)| Target {
            name: name.clone(),
            nature: self.register.place.nature(Nature::PublicRegister),
            files: self.register.place.files(),
            spec: serde_json::json!({ "number": number, "register": self.register.place.shown() }),
        };
        let targets = self.numbers.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = &look.target.name;
            let number = self.numbers.get(name).ok_or_else(|| ProbeError::no_target(name))?;
            let before = look.before.and_then(|evidence| evidence.read::<Facts>().ok());
            let known = before.as_ref().map(|facts| facts.source.as_str());
            let Some(swept) = self.register.sweep(known, look.now).await? else {
                return Ok(Evidence::of(&before));
            };
            let rows = swept.found.get(number).cloned().unwrap_or_default();
            let absent_since = match before.map(|facts| facts.found) {
                Some(Found::Absent { since }) => since,
                _ => today(look.now),
            };
            let found = match rows.is_empty() {
                true => Found::Absent { since: absent_since },
                false => Found::Rows(rows),
            };
            Ok(Evidence::of(&Facts {
                ico_registration: number.clone(),
                source: swept.source.clone(),
                of: swept.of,
                rows: swept.rows,
                partial: swept.partial.clone(),
                found,
            }))
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = published::facts(evidence)?;
        let today = today(now);
        let mut findings = Vec::new();
        if facts.of > today {
            let message = format!("{} is dated after today, which is not believed", facts.source);
            return Ok(unseen(Reason::new("date_in_future", message)));
        }
        if days_until(today, facts.of) > FILE_DAYS_MAX {
            findings.push(REGISTER_OLD.finding().with("of", facts.of.to_string()));
        }
        let rows = match &facts.found {
            Found::Rows(rows) => rows,
            Found::Absent { since } => {
                let days = days_until(today, *since);
                if facts.partial.is_some() || days < ABSENT_DAYS {
                    return Ok(unseen(facts.absent(days)));
                }
                findings.push(ABSENT.finding().with("since", since.to_string()).with("days", days));
                return Ok(Judgement::new(findings, Vec::new()));
            }
        };
        match last(rows) {
            Err(reason) => Ok(unseen(reason)),
            Ok((row, end)) => {
                findings.extend(judge_end(end, today));
                findings.extend(self.judge_name(row));
                let judgement = Judgement::new(findings, Vec::new()).due(end_of(end));
                Ok(judgement.titled("data protection fee"))
            }
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let leads: Vec<String> = LEADS.iter().map(i32::to_string).collect();
        let mut lines = vec![
            format!("the last day: Warn {} days before, Fail from the day after", leads.join(", ")),
            format!("not in the register: Unknown, Fail after {ABSENT_DAYS} days"),
            format!("a file over {FILE_DAYS_MAX} days old: Warn"),
        ];
        lines
            .extend(self.name.iter().map(|name| format!("under another name than {name:?}: Warn")));
        lines
    }
}

impl IcoRegistration {
    fn judge_name(&self, row: &Row) -> Option<Finding> {
        let name = self.name.as_ref()?;
        let differs = ods::plain(name) != ods::plain(&row.name);
        let finding = NAME_DIFFERS.finding().with("registered", row.name.as_str());
        differs.then(|| finding.with("name", name.as_str()))
    }
}

impl Facts {
    fn absent(&self, days: i32) -> Reason {
        let number = &self.ico_registration;
        let message = match &self.partial {
            Some(why) => {
                format!("{}: {number} is not in it, which says nothing, for {why}", self.source)
            }
            None => format!(
                "{number} is in none of the {} rows of {}, seen first {days} days ago: after a renewal or a change of name that is so for a while",
                self.rows, self.source
            ),
        };
        Reason::new("not_in_register", message)
            .remedy("look the number up with a browser; pay the fee or correct the number")
    }
}

fn unseen(reason: Reason) -> Judgement {
    Judgement::new(Vec::new(), vec![Unseen { component: None, reason }])
}

/// The row that is good for longest, and its last day; every row of a number must be readable.
fn last(rows: &[Row]) -> Result<(&Row, Date), Reason> {
    let mut last: Option<(&Row, Date)> = None;
    for row in rows {
        let end = parse_date(row.end.trim(), true).map_err(|expected| {
            let message =
                format!("the last day of {} is {:?}, not {expected}", row.number, row.end);
            Reason::new("date_unrecognised", message)
        })?;
        if last.is_none_or(|(_, latest)| end > latest) {
            last = Some((row, end));
        }
    }
    last.ok_or_else(|| Reason::new("empty", "no row was kept"))
}

fn judge_end(end: Date, today: Date) -> Option<Finding> {
    let reached = tier(end, today, &LEADS, data::working_days())?;
    let spec = if end < today { &EXPIRED } else { &EXPIRING };
    let finding = spec.finding().severity(severity(reached, &LEADS)).tier(Some(reached));
    Some(finding.with("end", end.to_string()).with("days", days_until(end, today).abs()))
}

const EXPIRED: FindingSpec = FindingSpec {
    code: "ico_registration_expired",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the registration was good until {end}, {days} days ago",
    remedy: "pay the data protection fee",
    reference: "Data Protection (Charges and Information) Regulations 2018; DSPT 1.1.1 and DTAC ask for the number",
};
const ABSENT: FindingSpec = FindingSpec {
    code: "ico_registration_absent",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the number has not been in the register since {since}, for {days} days",
    remedy: "look the number up with a browser; pay the fee or correct the number",
    reference: "Data Protection (Charges and Information) Regulations 2018; DSPT 1.1.1 and DTAC ask for the number",
};
const EXPIRING: FindingSpec = FindingSpec {
    code: "ico_registration_expiring",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the registration is good until {end}, in {days} days",
    remedy: "pay the data protection fee, or see that the direct debit is in place",
    reference: "Data Protection (Charges and Information) Regulations 2018: the fee is due every 12 months",
};
const NAME_DIFFERS: FindingSpec = FindingSpec {
    code: "ico_name_differs",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "it is registered as {registered}, and we say {name}",
    remedy: "have the register corrected after a change of name, or correct `name`",
    reference: "Data Protection (Charges and Information) Regulations 2018: changes are notified",
};
const REGISTER_OLD: FindingSpec = FindingSpec {
    code: "ico_register_old",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the register that was read is of {of}",
    remedy: "drop a newer file in, or see why the page links to an old one; it is published daily",
    reference: "attestd semantics F3: what was published stands for 35 days",
};

/// Lead times in days: those of fees and registrations (semantics H2).
const LEADS: [i32; 4] = [30, 14, 7, 1];
/// For how many days a number may be missing before that counts: after a renewal or a change of name it is.
const ABSENT_DAYS: i32 = 14;
/// How old a file may be, in days (semantics F3).
const FILE_DAYS_MAX: i32 = 35;
