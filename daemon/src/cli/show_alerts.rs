//! How alerts and silences look in a terminal.

use attestd_core::{Date, Severity, ending};
use comfy_table::{Attribute, Cell, Color};

use super::show::{clean, from_now, paint, table, time};
use crate::people::ID_SHOWN;
use crate::view::alerts::{AlertView, AlertsView, SilenceView};

/// What is pending and what fires, and what is silent.
pub fn alerts(view: &AlertsView) -> String {
    let (silent, told): (Vec<_>, Vec<_>) =
        view.alerts.iter().partition(|alert| alert.silence.is_some());
    let mut out = format!("\n  {}   {}\n\n", time(view.at), counts(view));
    if view.alerts.is_empty() {
        out.push_str("  Nothing is pending, and nothing fires.\n");
    }
    let mut shown = table(&["ALERT", "SEVERITY", "SUBJECT", "WHAT", "SINCE", "WITH"]);
    for alert in told.iter().chain(&silent) {
        shown.add_row([
            Cell::new(alert.id.get(..ID_SHOWN).unwrap_or(&alert.id)),
            severity(alert),
            Cell::new(clean(&alert.subject.to_string())),
            Cell::new(what(alert)),
            Cell::new(from_now(alert.since, view.at)),
            Cell::new(with(alert)),
        ]);
    }
    if !view.alerts.is_empty() {
        out.push_str(&shown.to_string());
        out.push('\n');
    }
    if !view.silences.is_empty() {
        out.push_str(&silences(view, attestd_core::obligation::today(view.at)));
    }
    out
}

/// Silences and accepted risks in force.
pub fn silences(view: &AlertsView, today: Date) -> String {
    if view.silences.is_empty() {
        return "Nothing is silenced, and no risk is accepted.\n".to_owned();
    }
    let mut shown = table(&["NUMBER", "SILENT", "ABOUT", "UNTIL", "BY", "WHY", "ALERTS"]);
    for silence in &view.silences {
        shown.add_row([
            Cell::new(silence.id),
            Cell::new(if silence.approver.is_some() { "accepted risk" } else { "silence" }),
            Cell::new(clean(&silence.of)),
            Cell::new(until(silence, view, today)),
            Cell::new(by(silence)),
            Cell::new(why(silence)),
            Cell::new(silence.alerts),
        ]);
    }
    format!("\n{shown}\n")
}

fn counts(view: &AlertsView) -> String {
    let firing = |severity| {
        let of = view.alerts.iter().filter(|alert| alert.silence.is_none());
        of.filter(|alert| alert.fires_at.is_none() && alert.severity == severity).count()
    };
    let silent = view.alerts.iter().filter(|alert| alert.silence.is_some()).count();
    let pending = view.alerts.iter().filter(|alert| alert.fires_at.is_some()).count();
    let counts = [
        (firing(Severity::Critical), "critical"),
        (firing(Severity::Warning), "warning"),
        (firing(Severity::Notice), "notice"),
        (pending, "pending"),
        (silent, "silent"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if counts.is_empty() { "no alerts".to_owned() } else { counts.join("  ") }
}

fn severity(alert: &AlertView) -> Cell {
    let (text, colour) = match alert.severity {
        Severity::Critical => ("✖ CRITICAL", Color::Red),
        Severity::Warning => ("▲ warning", Color::Yellow),
        Severity::Notice => ("● notice", Color::Blue),
    };
    let text = match alert.fires_at {
        Some(_) => format!("{text}\npending"),
        None => text.to_owned(),
    };
    paint(Cell::new(text), |cell| match alert.silence {
        Some(_) => cell.add_attribute(Attribute::Dim),
        None => cell.fg(colour).add_attribute(Attribute::Bold),
    })
}

fn what(alert: &AlertView) -> String {
    let mut lines = vec![clean(&alert.message)];
    lines.extend(alert.fires_at.map(|at| format!("fires {} if it lasts", time(at))));
    if let (Some(id), Some(until)) = (alert.silence, alert.silent_until) {
        let what = if alert.accepted { "accepted" } else { "silenced" };
        lines.push(format!("{what} until {} ({id})", ending::until(until)));
    }
    lines.push(format!("→ {}", clean(&alert.remedy)));
    lines.join("\n")
}

fn with(alert: &AlertView) -> String {
    match (&alert.with, alert.taken_until) {
        (Some(person), Some(until)) => format!("{person}\nuntil {}", ending::until(until)),
        (Some(person), None) if alert.handed_on > 0 => format!("nobody\nhanded on to {person}"),
        (Some(person), None) => format!("nobody\ntold: {person}"),
        (None, _) => "nobody".to_owned(),
    }
}

fn until(silence: &SilenceView, view: &AlertsView, today: Date) -> String {
    let mut text =
        format!("{}\n{}", ending::until(silence.until), from_now(silence.until, view.at));
    if let Some(review) = silence.review {
        let overdue = if review < today { ", overdue" } else { "" };
        text.push_str(&format!("\nreview {review}{overdue}"));
    }
    text
}

fn by(silence: &SilenceView) -> String {
    match &silence.approver {
        Some(approver) => format!("{}\napproved by {approver}", silence.by),
        None => silence.by.to_string(),
    }
}

fn why(silence: &SilenceView) -> String {
    let reference = silence.reference.as_ref().map(|text| format!("\n{}", clean(text)));
    clean(&silence.reason) + &reference.unwrap_or_default()
}
