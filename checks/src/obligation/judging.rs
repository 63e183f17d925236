//! Judges one duty on one day.

use attestd_core::check::About;
use attestd_core::finding::Finding;
use attestd_core::obligation::{days_until, end_of, severity, tier};
use attestd_core::{BadEvidence, Date, FindingSpec, Judgement, Reason, Unseen};

use super::Duty;
use super::due::{Answer, Asked, Ruling};
use super::findings::*;
use super::presets::{Anchor, Mark, Preset, preset};
use crate::data;
use crate::look::document::Seen;
use crate::register::more::{Auditor, Scheme, State};
use crate::register::{self, Done};

/// Judges a duty.
pub(super) fn judge(duty: &Duty, today: Date) -> Result<Judgement, BadEvidence> {
    let row = &duty.row;
    let preset = preset(&row.kind)
        .ok_or_else(|| BadEvidence(format!("a preset {} that is not there", row.kind)))?;
    let people = row.owner.iter().chain(&row.deputy).cloned();
    let mut judging = Judging { duty, preset, today, findings: Vec::new(), unseen: Vec::new() };
    judging.findings.extend(duty.ignored.as_ref().and_then(register::partly_read));
    if let Some(given) = &row.not_applicable {
        judging.findings.push(register::not_applicable(given, today, data::working_days()));
        let due = end_of(given.review_on);
        let title = format!("review whether it applies: {}", preset.title);
        let judgement = Judgement::new(judging.findings, judging.unseen).titled(&title);
        return Ok(judgement.due(due).answers(people));
    }
    let due = judging.judge();
    let due = due.and_then(end_of);
    let judgement = Judgement::new(judging.findings, judging.unseen).due(due).answers(people);
    Ok(judgement.about(About {
        title: preset.title.clone(),
        action: Some(preset.action.clone()),
        lapse: Some(preset.lapse.clone()),
        link: Some(preset.link.clone()),
    }))
}

/// What is known of a duty, and what of it ruled.
pub(super) fn explain(duty: &Duty) -> String {
    let Some(preset) = preset(&duty.row.kind) else {
        return format!("There is no preset {}.", duty.row.kind);
    };
    let ruling = Ruling::of(preset, &duty.row, &duty.said);
    let mut lines = vec![
        format!("{}: {} ({}).", duty.row.id, preset.title, preset.kind),
        format!("Clause: \"{}\" ({}).", preset.clause, preset.reference),
        format!("Source: {}, {}, {}.", preset.source, preset.dated, preset.mark.in_words()),
        format!("Next date: {}.", preset.anchor_in_words()),
        format!("Period: {} ({}).", preset.period_source, preset.period_mark.in_words()),
        format!("What rules: {}.", ruling.in_words()),
    ];
    lines.extend(duty.said.iter().map(|statement| {
        let said = &statement.said;
        let shown = said.document.as_ref().or(said.link.as_ref());
        let second = said.second.as_ref().map_or(String::new(), |p| format!(" and {p}"));
        format!(
            "Said in record {}: done on {}, by {}{second}; {}.",
            statement.record,
            said.on,
            said.by.as_ref().map_or("nobody who is named", |by| by.as_str()),
            shown.map_or("nothing shows it", String::as_str)
        )
    }));
    lines.extend(duty.happened.iter().map(|event| {
        format!("It happened: {} of {} on {}.", event.what.as_str(), event.service, event.on)
    }));
    lines.push(format!("If it lapses: {}.", preset.lapse));
    lines.push(format!("To do: {}. Evidence: {}.", preset.action, preset.evidence));
    lines.push(preset.link.clone());
    lines.join("\n")
}

/// A finding with what every duty says of itself.
pub(super) fn about(spec: &FindingSpec, preset: &Preset) -> Finding {
    spec.finding()
        .with("title", preset.title.clone())
        .with("do", preset.action.clone())
        .with("lapse", preset.lapse.clone())
        .with("link", preset.link.clone())
        .with("source", preset.reference.clone())
}

/// The tier that `today` has reached of something due by the end of `due`.
pub(super) fn dated(finding: Finding, due: Date, today: Date, leads: &[i32]) -> Finding {
    let reached = tier(due, today, leads, data::working_days());
    let near = reached.map_or(finding.severity, |reached| severity(reached, leads));
    finding
        .severity(near)
        .tier(reached)
        .with("due", due.to_string())
        .with("days", days_until(due, today).abs())
}

struct Judging<'f> {
    duty: &'f Duty,
    preset: &'static Preset,
    today: Date,
    findings: Vec<Finding>,
    unseen: Vec<Unseen>,
}

impl Judging<'_> {
    /// Judges, and says by when it is due.
    fn judge(&mut self) -> Option<Date> {
        let (duty, preset, today) = (self.duty, self.preset, self.today);
        let ruling = Ruling::of(preset, &duty.row, &duty.said);
        let asked = Asked {
            preset,
            row: &duty.row,
            ruling: &ruling,
            happened: &duty.happened,
            certificate: duty.certificate.as_ref(),
            planned: duty.state == Some(State::Planned),
            today,
        };
        if let Some(Seen::Unseen(reason)) = &duty.evidence {
            self.unseen("evidence", reason.clone());
        }
        let due = match asked.answer() {
            Answer::By { day, why } => {
                self.judge_day(day, &why, &ruling);
                Some(day)
            }
            Answer::SomeDay => {
                let finding = about(&OUTSTANDING, preset);
                self.findings.push(finding.with("due", "before its service is sold"));
                None
            }
            Answer::Never => {
                self.findings.push(about(&NEVER, preset));
                None
            }
            Answer::Unknown(reason) => {
                self.unseen.push(Unseen { component: None, reason });
                return None;
            }
            Answer::ForGood => None,
        };
        let Done::On(last) = ruling.done else { return due };
        self.judge_record(last, &ruling);
        if let (Some(day), Some(longest)) = (due, asked.by_preset(last)) {
            self.judge_period(day, longest, &ruling);
        }
        if preset.anchor == Anchor::CalendarYear && duty.certificate.is_none() {
            let reason = Reason::new("certificate_missing", "no row has the certificate it is of")
                .remedy("add the certificate as a row of kind iso27001_certificate");
            self.unseen("certificate", reason);
        }
        self.judge_version();
        if preset.is_test() {
            self.judge_test();
        }
        due
    }

    fn judge_day(&mut self, day: Date, why: &str, ruling: &Ruling) {
        let (preset, today) = (self.preset, self.today);
        let spec = if day < today { &OVERDUE } else { &DUE_SOON };
        let finding = dated(about(spec, preset), day, today, preset.leads());
        if finding.tier.is_some() {
            self.findings.push(finding.with("why", why.to_owned()));
        } else if !matches!(ruling.done, Done::On(_)) && ruling.expires.is_none() {
            let finding = about(&OUTSTANDING, preset);
            self.findings.push(finding.with("due", format!("by {day}")));
        }
    }

    /// Who did it, and what shows it.
    fn judge_record(&mut self, last: Date, ruling: &Ruling) {
        let preset = self.preset;
        if !ruling.shown {
            let finding = about(&EVIDENCE_MISSING, preset).with("last", last.to_string());
            self.findings.push(finding.with("expected", preset.evidence.clone()));
        }
        if preset.signed && ruling.by.is_none() {
            self.findings.push(about(&PERSON_MISSING, preset).with("last", last.to_string()));
        }
    }

    /// A day that is stated may not be later than the rule has it; a period from memory is no rule.
    fn judge_period(&mut self, day: Date, longest: Date, ruling: &Ruling) {
        let preset = self.preset;
        let ruled = preset.anchor != Anchor::Expiry && preset.period_mark != Mark::M;
        if ruled && ruling.record.is_none() && day > longest {
            let finding = about(&TOO_LATE, preset).with("due", day.to_string());
            self.findings.push(finding.with("longest", longest.to_string()));
        }
    }

    fn judge_version(&mut self) {
        let Some(stated) = self.duty.row.version.as_deref().map(str::to_lowercase) else { return };
        let versions = data::obligations().version.iter();
        let old = versions.filter(|version| version.kind == self.preset.kind).find(|version| {
            let words = |word: &str| stated.split([' ', ',', '/']).any(|part| part == word);
            version.names.iter().any(|name| words(name))
        });
        if let Some(old) = old.filter(|old| old.until < self.today) {
            self.findings.push(
                VERSION_OLD
                    .finding()
                    .with("version", old.title.clone())
                    .with("until", old.until.to_string())
                    .with("instead", old.instead.clone())
                    .with("source", format!("{} ({})", old.source, old.mark.in_words())),
            );
        }
    }

    /// Scheme, auditor, scope and what is left of a security test.
    fn judge_test(&mut self) {
        let (row, today) = (&self.duty.row, self.today);
        let missing = |column: &str, what: &str| {
            let reason = Reason::new("cell_missing", format!("{what} is not recorded"));
            reason.remedy(format!("write it into `{column}`"))
        };
        match row.test.scheme {
            Some(Scheme::Check | Scheme::Crest | Scheme::Tiger) => {}
            Some(Scheme::Other) => self.findings.push(SCHEME_OTHER.finding()),
            None => self.unseen("scheme", missing("scheme", "the scheme of the testing company")),
        }
        match row.test.auditor {
            Some(Auditor::ThirdParty | Auditor::Customer) => {}
            Some(Auditor::Nobody) => self.findings.push(NOT_AUDITED.finding()),
            None => self.unseen("auditor", missing("auditor", "who audited it independently")),
        }
        match (&row.scope, &row.service) {
            (None, _) => self.unseen("scope", missing("scope", "what was tested")),
            (Some(scope), Some(service)) if !scope.covers(service) => {
                self.findings.push(OUT_OF_SCOPE.finding().with("service", service.clone()));
            }
            _ => {}
        }
        let Some(open) = row.test.open_actions else {
            let reason = missing("open_actions", "how many of its findings are open");
            return self.unseen("open actions", reason);
        };
        let spec = match row.test.retest {
            _ if open == 0 => return,
            None => return self.findings.push(RETEST_UNPLANNED.finding().with("open", open)),
            Some(retest) if retest < today => &RETEST_OVERDUE,
            Some(_) => &RETEST_DUE,
        };
        let retest = row.test.retest.unwrap_or(today);
        let finding = dated(spec.finding(), retest, today, &register::REVIEW_LEADS);
        self.findings.push(finding.with("open", open));
    }

    fn unseen(&mut self, component: &str, reason: Reason) {
        let component = component.parse().expect("a plain word");
        self.unseen.push(Unseen { component: Some(component), reason });
    }
}
