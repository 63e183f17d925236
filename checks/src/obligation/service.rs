//! Judges a service: what must come before it is sold was done before.

use std::collections::BTreeMap;

use attestd_core::finding::Finding;
use attestd_core::obligation::end_of;
use attestd_core::statement::{Statement, What};
use attestd_core::{Component, Date, FindingSpec, Judgement, Reason, TargetName, Unseen};
use serde::{Deserialize, Serialize};

use super::findings::{BEFORE_SALE, LIVE_WITHOUT};
use super::judging::{about, dated};
use super::presets::{Preset, preset};
use super::{Before, Service, of};
use crate::data;
use crate::register::more::State;
use crate::register::{self, Done, Row};

/// What a service needs before it is sold, and which rows may show it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Needed {
    /// The preset.
    preset: String,
    /// The rows of it that cover the service.
    rows: Vec<Shown>,
    /// Rows that cannot be read: one of them may be of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    id: String,
    done: Done,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not_applicable: bool,
}

/// What a service needs before it is sold.
pub(super) fn needs(service: &Row, rows: &[&Row], bad: &[String]) -> Vec<Needed> {
    let covers = |row: &&&Row| match (&row.service, &row.scope) {
        (Some(own), _) => *own == service.id,
        (None, Some(scope)) => scope.covers(&service.id),
        (None, None) => false,
    };
    let mut needs = Vec::new();
    for preset in &data::obligations().preset {
        let Some(before) = preset.before else { continue };
        let of_it = rows.iter().filter(|row| row.kind == preset.kind).filter(covers);
        let shown: Vec<Shown> = of_it
            .map(|row| Shown {
                id: row.id.clone(),
                done: row.last_done,
                not_applicable: row.not_applicable.is_some(),
            })
            .collect();
        if before == Before::Always || !shown.is_empty() {
            let unreadable = bad.to_vec();
            needs.push(Needed { preset: preset.kind.clone(), rows: shown, unreadable });
        }
    }
    needs
}

impl Needed {
    /// Takes in what was said of its rows.
    pub fn hear(&mut self, said: &BTreeMap<TargetName, Vec<Statement>>) {
        for shown in &mut self.rows {
            let newest = of(said, &shown.id, &[What::Done]).last().map(|newest| newest.said.on);
            shown.done = match (shown.done, newest) {
                (Done::On(day), Some(newest)) => Done::On(day.max(newest)),
                (_, Some(newest)) => Done::On(newest),
                (done, None) => done,
            };
        }
    }

    /// Whether one of its rows was done. A row has the newest day alone, so whether that was before the first sale is not
    /// known of what is done again each year.
    fn is_done(&self, today: Date) -> bool {
        self.rows.iter().any(|shown| matches!(shown.done, Done::On(day) if day <= today))
    }

    fn why(&self) -> String {
        match self.rows.as_slice() {
            [] => "the register has no row of it".to_owned(),
            rows => {
                let ids: Vec<&str> = rows.iter().map(|shown| shown.id.as_str()).collect();
                format!("not done by {}", ids.join(", "))
            }
        }
    }
}

/// Judges a service.
pub(super) fn judge(service: &Service, today: Date) -> Judgement {
    let row = &service.row;
    let people = row.owner.iter().chain(&row.deputy).cloned();
    let (mut findings, mut unseen) = (Vec::new(), Vec::new());
    findings.extend(service.ignored.as_ref().and_then(register::partly_read));
    if let Some(given) = &row.not_applicable {
        findings.push(register::not_applicable(given, today, data::working_days()));
        return Judgement::new(findings, unseen).answers(people);
    }
    let sold = service.happened.iter().find(|event| event.what == What::FirstSale);
    let sold = sold.map(|event| event.on);
    let live = match row.lifecycle.state {
        Some(State::Retired) => return Judgement::new(findings, unseen).answers(people),
        Some(State::Live) => true,
        Some(State::Planned) => sold.is_some_and(|sold| sold <= today),
        None => {
            let reason = Reason::new("cell_missing", "whether it is sold is not recorded")
                .remedy("write `planned`, `live` or `retired` into `state`");
            unseen.push(Unseen { component: Some(component("state")), reason });
            return Judgement::new(findings, unseen).answers(people);
        }
    };
    for needed in &service.needs {
        let Some(preset) = preset(&needed.preset) else { continue };
        let on = component(&needed.preset);
        if needed.rows.iter().any(|shown| shown.not_applicable) {
            continue; // its own row shows that
        }
        if needed.is_done(today) {
            continue;
        }
        if !needed.unreadable.is_empty() {
            let rows = needed.unreadable.join(", ");
            let message = format!("{}: it may be one of the rows {rows}", preset.title);
            let reason = Reason::new("row_unreadable", message);
            unseen.push(Unseen { component: Some(on), reason });
        } else if live {
            findings.push(without(&LIVE_WITHOUT, preset, needed).on(on));
        } else {
            findings.push(before_sale(preset, needed, sold, today).on(on));
        }
    }
    let due = sold.filter(|_| !live).and_then(end_of);
    Judgement::new(findings, unseen).due(due).answers(people).titled("first sale")
}

fn without(spec: &FindingSpec, preset: &Preset, needed: &Needed) -> Finding {
    about(spec, preset).with("why", needed.why())
}

fn before_sale(preset: &Preset, needed: &Needed, sold: Option<Date>, today: Date) -> Finding {
    let finding = without(&BEFORE_SALE, preset, needed);
    match sold {
        Some(sold) => {
            dated(finding, sold, today, preset.leads()).with("when", format!(" on {sold}"))
        }
        None => finding.with("when", ""),
    }
}

/// What a service needs, and what there is of it.
pub(super) fn explain(service: &Service) -> String {
    let mut lines = vec![format!("{}: a service.", service.row.id)];
    lines.extend(service.happened.iter().map(|event| {
        let version = event.version.as_ref().map_or(String::new(), |v| format!(" {v}"));
        format!("It happened: {}{version} on {}.", event.what.as_str(), event.on)
    }));
    for needed in &service.needs {
        let rows: Vec<String> = needed
            .rows
            .iter()
            .map(|shown| match shown.done {
                Done::On(day) => format!("{} on {day}", shown.id),
                Done::Never => format!("{}, never", shown.id),
                Done::Unrecorded => format!("{}, not recorded", shown.id),
            })
            .collect();
        let rows = if rows.is_empty() { "no row of it".to_owned() } else { rows.join("; ") };
        lines.push(format!("Before it is sold: {}: {rows}.", needed.preset));
    }
    lines.join("\n")
}

fn component(text: &str) -> Component {
    text.parse().expect("a plain word")
}
