//! The presets: what `obligations.toml` says of each duty.

use attestd_core::Date;
use attestd_core::obligation::Period;
use attestd_core::statement::What;
use serde::Deserialize;

use crate::data;

/// `obligations.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obligations {
    /// Where most of it is said.
    pub source: String,
    /// When a person last held this table against its sources.
    pub verified_on: Date,
    /// What was done up to so long before a release or a change counts for it.
    pub ahead: Period,
    /// Lead times, by name.
    pub leads: Leads,
    /// The duties.
    pub preset: Vec<Preset>,
    /// Versions that are no longer good.
    pub version: Vec<Version>,
    /// Duties that other kinds watch.
    pub elsewhere: Vec<Elsewhere>,
}

/// Lead times, in days (H2).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leads {
    /// Independent audits and recertification.
    pub audit: Vec<i32>,
    /// Security tests.
    pub test: Vec<i32>,
    /// Internal reviews.
    pub internal: Vec<i32>,
    /// What comes every three months.
    pub quarterly: Vec<i32>,
    /// Fees and registrations.
    pub registration: Vec<i32>,
}

/// A duty.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What stands in the register's column `kind`.
    pub kind: String,
    /// What it is called.
    pub title: String,
    /// How its next date follows.
    pub anchor: Anchor,
    /// How often it is due.
    pub period: Option<Period>,
    /// Whether its last day is the one before the anniversary.
    #[serde(default)]
    pub less_a_day: bool,
    /// The day by which it is due, where that is the same for everybody.
    pub date: Option<Date>,
    /// What raises it.
    #[serde(default)]
    pub events: Vec<What>,
    /// Whether it comes before a service is sold.
    pub before: Option<Before>,
    /// How long after an event it is due; on its day where absent.
    pub grace: Option<Period>,
    /// Its lead times.
    pub leads: Lead,
    /// Whose duty it is.
    pub when: When,
    /// Whether a person of ours does it, who is to be named.
    #[serde(default)]
    pub signed: bool,
    /// The clause, quoted.
    pub clause: String,
    /// Document and clause.
    pub reference: String,
    /// Where that was read.
    pub source: String,
    /// The date of that.
    pub dated: Date,
    /// How good that source is.
    pub mark: Mark,
    /// Where the period or date was read.
    pub period_source: String,
    /// How good that source is.
    pub period_mark: Mark,
    /// What follows if it lapses.
    pub lapse: String,
    /// What to do.
    #[serde(rename = "do")]
    pub action: String,
    /// Where to do it, or where to read on.
    pub link: String,
    /// What shows that it was done.
    pub evidence: String,
}

/// How the next date follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// One period after it was last done.
    Rolling,
    /// On a day that is set.
    Fixed,
    /// Once in each assurance year, 1 July to 30 June.
    Window,
    /// Once in each calendar year.
    CalendarYear,
    /// By the expiry that is printed on it.
    Expiry,
    /// Once.
    Once,
    /// When something happens.
    Event,
}

/// Which services need it before they are sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Every one.
    Always,
    /// Those for which the register has a row of it.
    Stated,
}

/// A name of lead times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lead {
    /// Independent audits and recertification.
    Audit,
    /// Security tests.
    Test,
    /// Internal reviews.
    Internal,
    /// What comes every three months.
    Quarterly,
    /// Fees and registrations.
    Registration,
}

/// Whose duty it is, as far as a few questions can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every supplier's.
    Always,
    /// Who provides a cloud service.
    Cloud,
    /// Who makes what clinicians or patients rely on.
    Clinical,
    /// Who makes a medical device.
    Device,
    /// A relevant digital service provider.
    Nis,
    /// Category 2 of the toolkit.
    #[serde(rename = "category_2")]
    Category2,
    /// Who chooses it.
    OptIn,
}

/// How good a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Mark {
    /// Primary or official.
    P,
    /// A third party's, second hand.
    T,
    /// From memory.
    M,
}

/// A version that is no longer good.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Of which duty.
    pub kind: String,
    /// How registers spell it, in lower case.
    pub names: Vec<String>,
    /// How people do.
    pub title: String,
    /// The last day on which it was good.
    pub until: Date,
    /// What is good instead.
    pub instead: String,
    /// Where that was read.
    pub source: String,
    /// How good that source is.
    pub mark: Mark,
}

/// A duty that another kind watches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    /// The kind of its row.
    pub kind: String,
    /// An id for it.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// Whose duty it is.
    pub when: When,
    /// Document and clause.
    pub reference: String,
    /// Why, in a sentence.
    pub why: String,
}

/// The preset of a kind of row.
pub fn preset(kind: &str) -> Option<&'static Preset> {
    data::obligations().preset.iter().find(|preset| preset.kind == kind)
}

impl Preset {
    /// Its lead times, in days.
    pub fn leads(&self) -> &'static [i32] {
        let leads = &data::obligations().leads;
        match self.leads {
            Lead::Audit => &leads.audit,
            Lead::Test => &leads.test,
            Lead::Internal => &leads.internal,
            Lead::Quarterly => &leads.quarterly,
            Lead::Registration => &leads.registration,
        }
    }

    /// Whether its rows have the columns of a security test.
    pub fn is_test(&self) -> bool {
        self.kind == SECURITY_TEST
    }

    /// How its next date follows, in words.
    pub fn anchor_in_words(&self) -> String {
        let period = |otherwise: &str| self.period.map_or(otherwise.to_owned(), |p| p.to_string());
        let mut words = match self.anchor {
            Anchor::Rolling => format!("rolling, {} after it was last done", period("a period")),
            Anchor::Fixed => format!(
                "fixed date, {}",
                self.date.map_or("as the row's `due` says".to_owned(), |date| date.to_string())
            ),
            Anchor::Window => "once in each window from 1 July to 30 June".to_owned(),
            Anchor::CalendarYear => "once in each calendar year".to_owned(),
            Anchor::Expiry => match self.period {
                Some(period) => format!("printed expiry; where none is printed, {period}"),
                None => "printed expiry".to_owned(),
            },
            Anchor::Once => "once".to_owned(),
            Anchor::Event => match self.period {
                Some(period) => format!("event, and {period} after it was last done"),
                None => "event".to_owned(),
            },
        };
        if self.less_a_day {
            words.push_str(" less a day");
        }
        if !self.events.is_empty() {
            let events: Vec<&str> = self.events.iter().map(|what| what.as_str()).collect();
            let grace = self.grace.map_or("before".to_owned(), |grace| format!("{grace} after"));
            words.push_str(&format!("; {grace} each {}", events.join(" and ")));
        }
        words
    }

    /// All that is known of it, as a paragraph of the documentation.
    pub fn in_words(&self) -> String {
        let leads: Vec<String> = self.leads().iter().map(i32::to_string).collect();
        format!(
            "- `{}`: {}. {}. Lead times: {} days.\n  Clause: \"{}\" ({}). Source: {}, {}, {}.\n  Period: {} ({}).\n  \
             If it lapses: {}. To do: {}. Evidence: {}. {}\n",
            self.kind,
            self.title,
            capital(&self.anchor_in_words()),
            leads.join(", "),
            self.clause,
            self.reference,
            self.source,
            self.dated,
            self.mark.in_words(),
            self.period_source,
            self.period_mark.in_words(),
            self.lapse,
            self.action,
            self.evidence,
            self.link,
        )
    }
}

impl Mark {
    /// How good the source is, in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Mark::P => "primary",
            Mark::T => "second hand",
            Mark::M => "from memory",
        }
    }
}

/// The preset with columns of its own.
const SECURITY_TEST: &str = "security_test";

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
