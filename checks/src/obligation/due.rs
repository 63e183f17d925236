//! When a duty is due next, and why then: civil days, worked out from what was last done and what has happened.

use attestd_core::obligation::Period;
use attestd_core::statement::{Statement, What};
use attestd_core::{Date, PersonId, Reason};
use jiff::ToSpan;
use jiff::civil::date;
use serde::{Deserialize, Serialize};

use super::presets::{Anchor, Preset};
use crate::data;
use crate::register::{Done, Row};

/// What rules: the register's row, or what somebody said since.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruling {
    /// When it was last done.
    pub done: Done,
    /// The record that says so; the register where absent.
    pub record: Option<u64>,
    /// Who did it.
    pub by: Option<PersonId>,
    /// Its printed expiry.
    pub expires: Option<Date>,
    /// When it is due next, where that is stated.
    pub due: Option<Date>,
    /// Whether anything shows that it was done.
    pub shown: bool,
}

/// Something that happened to a service, or is to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Happening {
    /// To which.
    pub service: String,
    /// What.
    pub what: What,
    /// When.
    pub on: Date,
    /// Which version it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The certificate on which a surveillance audit stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Certificate {
    /// Its row.
    pub id: String,
    /// The day of the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Date>,
    /// Its last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
}

/// All that the next date follows from.
#[derive(Debug)]
pub(super) struct Asked<'f> {
    pub preset: &'static Preset,
    pub row: &'f Row,
    pub ruling: &'f Ruling,
    /// Oldest first.
    pub happened: &'f [Happening],
    pub certificate: Option<&'f Certificate>,
    /// Whether its service is not sold yet.
    pub planned: bool,
    pub today: Date,
}

/// When it is due.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// By the end of this day.
    By {
        /// The day.
        day: Date,
        /// Why then.
        why: String,
    },
    /// Not done yet, and no day is set for it: its service is not sold yet.
    SomeDay,
    /// Nothing is left to do.
    ForGood,
    /// It is stated that it was never done.
    Never,
    /// That is not known.
    Unknown(Reason),
}

impl Ruling {
    /// The newest of the row and what was said of it; on the same day the row, which may say more.
    pub fn of(preset: &Preset, row: &Row, said: &[Statement]) -> Ruling {
        let newest = said.iter().filter(|statement| statement.said.what == What::Done);
        let newest = newest.max_by_key(|statement| (statement.said.on, statement.record));
        let newer = newest.filter(|statement| match row.last_done {
            Done::On(day) => statement.said.on > day,
            Done::Never | Done::Unrecorded => true,
        });
        let Some(Statement { record, said, .. }) = newer else {
            return Ruling {
                done: row.last_done,
                record: None,
                by: row.by.clone(),
                expires: row.expires,
                due: row.due,
                shown: row.evidence.is_some(),
            };
        };
        // What the row has printed is of the time before; where nothing else says when it ends, it still rules.
        let printed = row.expires.filter(|_| preset.anchor == Anchor::Expiry);
        let printed = printed.filter(|_| row.period.or(preset.period).is_none());
        Ruling {
            done: Done::On(said.on),
            record: Some(*record),
            by: said.by.clone(),
            expires: said.expires.or(printed),
            due: None,
            shown: said.document.is_some() || said.link.is_some(),
        }
    }

    /// When it was last done, in words.
    pub fn in_words(&self) -> String {
        match (self.done, self.record) {
            (Done::On(day), None) => format!("last done on {day}, by the register"),
            (Done::On(day), Some(record)) => format!("last done on {day}, said in record {record}"),
            (Done::Never, _) => "never done yet".to_owned(),
            (Done::Unrecorded, _) => "nothing is recorded of it".to_owned(),
        }
    }
}

impl Asked<'_> {
    /// When it is due.
    pub fn answer(&self) -> Answer {
        let last = match self.ruling.done {
            Done::On(day) if day > self.today => {
                let message = format!("it is dated {day}, which is in the future");
                let reason = Reason::new("date_in_future", message).remedy("correct the date");
                return Answer::Unknown(reason);
            }
            Done::On(day) => Some(day),
            Done::Never | Done::Unrecorded => None,
        };
        let dated = last.map_or_else(|| self.first(), |last| self.after(last));
        match (dated, self.raised(last)) {
            (Answer::By { day, why }, Some((raised, because))) => {
                let raised_first = raised < day;
                let (day, why) = if raised_first { (raised, because) } else { (day, why) };
                Answer::By { day, why }
            }
            (Answer::Unknown(reason), Some(_)) => Answer::Unknown(reason),
            (_, Some((day, why))) => Answer::By { day, why },
            (dated, None) => dated,
        }
    }

    /// When it is due by the preset alone, whatever the row states.
    pub fn by_preset(&self, last: Date) -> Option<Date> {
        let preset = self.preset;
        match preset.anchor {
            Anchor::Rolling | Anchor::Expiry | Anchor::Event => {
                preset.period.map(|period| self.end_of_period(period, last))
            }
            Anchor::Window => Some(window_end(last).saturating_add(1.year())),
            Anchor::CalendarYear => Some(self.surveillance_after(last).0),
            Anchor::Fixed | Anchor::Once => None,
        }
    }

    /// After it was done on `last`.
    fn after(&self, last: Date) -> Answer {
        let (ruling, preset) = (self.ruling, self.preset);
        let done = ruling.in_words();
        let by = |day, why: String| Answer::By { day, why };
        if let Some(expires) = ruling.expires {
            return by(expires, format!("the printed expiry; {done}"));
        }
        if matches!(preset.anchor, Anchor::Fixed | Anchor::Once) {
            return Answer::ForGood;
        }
        if let Some(due) = ruling.due {
            return by(due, format!("as the register states; {done}"));
        }
        let period = self.row.period.or(preset.period);
        match (preset.anchor, period) {
            (Anchor::Rolling | Anchor::Expiry | Anchor::Event, Some(period)) => {
                by(self.end_of_period(period, last), done)
            }
            (Anchor::Window, _) => {
                let day = window_end(last).saturating_add(1.year());
                by(day, format!("once from 1 July to 30 June; {done}"))
            }
            (Anchor::CalendarYear, _) => {
                let (day, why) = self.surveillance_after(last);
                by(day, format!("{why}; {done}"))
            }
            (Anchor::Event, None) => Answer::ForGood,
            (Anchor::Rolling | Anchor::Expiry, None) => Answer::Unknown(
                Reason::new("expiry_missing", "neither `expires` nor `period` is recorded")
                    .remedy("write the printed expiry into the register"),
            ),
            (Anchor::Fixed | Anchor::Once, _) => Answer::ForGood,
        }
    }

    /// Before it was ever done.
    fn first(&self) -> Answer {
        let (ruling, preset) = (self.ruling, self.preset);
        let never = ruling.done == Done::Never;
        let by = |day, why: &str| Answer::By { day, why: format!("{why}; {}", ruling.in_words()) };
        if let Some(expires) = ruling.expires.filter(|_| !never) {
            return by(expires, "the printed expiry");
        }
        // That a next one is planned shows nothing of the one before, where there are to be several.
        let single = matches!(preset.anchor, Anchor::Fixed | Anchor::Once | Anchor::Event);
        if let Some(due) = ruling.due.filter(|_| never || single) {
            return by(due, "as the register states");
        }
        if let Some(date) = preset.date {
            return by(date, "the day that is set");
        }
        if preset.anchor == Anchor::CalendarYear
            && let Some(issued) = self.certificate.and_then(|certificate| certificate.issued)
        {
            let day = Period::months(12).after(issued);
            return by(day, "within 12 months of the certification decision");
        }
        if self.planned && preset.before.is_some() {
            return Answer::SomeDay;
        }
        if never {
            return Answer::Never;
        }
        Answer::Unknown(
            Reason::new("never_recorded", "it is not recorded when this was last done").remedy(
                "write the day into `last_done`, or `never`; or say it with `attestd done`",
            ),
        )
    }

    /// The first event that nothing was done for, and by when that is to be made good.
    fn raised(&self, last: Option<Date>) -> Option<(Date, String)> {
        let preset = self.preset;
        let mut earlier = None;
        for event in self.happened.iter().filter(|event| preset.events.contains(&event.what)) {
            if earlier == Some(event.on) {
                continue;
            }
            let ahead = |last: Date| match earlier {
                _ if preset.before.is_none() => false,
                None => true,
                Some(earlier) => {
                    last > earlier && data::obligations().ahead.after(last) >= event.on
                }
            };
            if !last.is_some_and(|last| last >= event.on || ahead(last)) {
                let day = preset.grace.map_or(event.on, |grace| grace.after(event.on));
                return Some((day, format!("{}; {}", event.in_words(), self.ruling.in_words())));
            }
            earlier = Some(event.on);
        }
        None
    }

    fn end_of_period(&self, period: Period, last: Date) -> Date {
        let day = period.after(last);
        if self.preset.less_a_day { day.yesterday().unwrap_or(day) } else { day }
    }

    /// The next surveillance audit: each calendar year but those of recertification, the first within 12 months.
    fn surveillance_after(&self, last: Date) -> (Date, String) {
        let (issued, expires) = self.certificate.map_or((None, None), |c| (c.issued, c.expires));
        if let Some(issued) = issued.filter(|issued| last < *issued) {
            let why = "the first within 12 months of the certification decision";
            return (Period::months(12).after(issued), why.to_owned());
        }
        let year = last.year() + 1;
        match expires.map(Date::year) {
            Some(recertified) if recertified == year => {
                (date(year + 1, 12, 31), format!("{year} is a year of recertification"))
            }
            _ => (date(year, 12, 31), "once in each calendar year".to_owned()),
        }
    }
}

impl Happening {
    /// What happened, in words.
    pub fn in_words(&self) -> String {
        let version = self.version.as_ref().map_or(String::new(), |v| format!(" {v}"));
        format!(
            "the {}{version} of {} on {} calls for it",
            self.what.as_str(),
            self.service,
            self.on
        )
    }
}

/// The last day of the assurance year in which `day` is.
pub(super) fn window_end(day: Date) -> Date {
    let year = if day.month() >= 7 { day.year() + 1 } else { day.year() };
    date(year, 6, 30)
}
