//! `index.html`: the story as a page that an assessor reads without tools. No script, nothing from elsewhere.

use std::fmt::Write;

use attestd_core::obligation::london;
use attestd_core::text::plain;
use attestd_core::{Status, Timestamp};

use super::export::ControlAsked;
use super::files;
use super::manifest::Manifest;
use super::story::{Befell, Document, Piece, Span, Story, Told};
use super::table::{hours, link};

const STYLE: &str = include_str!("page.css");
/// Text from outside is shown up to here; it is whole in the record.
const TEXT_MAX: usize = 600;
/// Rows of one list on the page; the rest stand in the table.
const ROWS_MAX: usize = 40;
/// Rectangles of one bar: more cannot be told apart.
const SPANS_MAX: usize = 2_000;
/// The bar's own measure.
const WIDTH: f64 = 1_000.0;

/// The page.
pub(super) fn page(story: &Story, manifest: &Manifest, control: Option<&ControlAsked>) -> String {
    let mut out = String::new();
    head(&mut out, manifest);
    if let Some(control) = control {
        of_control(&mut out, control);
    }
    summary(&mut out, story);
    out.push_str("<h2>Check by check</h2>\n");
    legend(&mut out);
    for (place, told) in story.subjects.values().enumerate() {
        subject(&mut out, story, told, place);
    }
    befell(&mut out, story);
    out.push_str("</body>\n</html>\n");
    out
}

/// Text from outside, made harmless.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text, TEXT_MAX).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn head(out: &mut String, manifest: &Manifest) {
    let of = match manifest.organisation.as_str() {
        "" => "hosts, names and findings in words left out".to_owned(),
        name => text(name),
    };
    let only = match (manifest.whole, manifest.check.as_str()) {
        (true, _) => String::new(),
        (false, "") if !manifest.control.is_empty() => {
            format!(" Of what supports the control <b>{}</b> only.", text(&manifest.control))
        }
        (false, "") => " Of some checks only.".to_owned(),
        (false, checks) if checks.contains(',') => {
            format!(" Of the checks <b>{}</b> only.", text(checks))
        }
        (false, check) => format!(" Of the check <b>{}</b> only.", text(check)),
    };
    let documents = match manifest.documents {
        true => {
            "Documents, pages and certificate chains are in the pack, under <code>blobs/</code>."
        }
        false => {
            "Documents, pages and certificate chains are named by their SHA-256; they are not in the pack."
        }
    };
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en-GB\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Evidence pack, {of}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <p class=\"soft\">Evidence pack of attestd</p>\n<h1>{of}</h1>\n\
         <p>{} to {}.{only}</p>\n\
         <p class=\"soft\">{} of the {} records of log <code>{}</code>, made on {} by {}. {documents} \
         The same as a table: <a href=\"{}\">{}</a>.</p>\n\
         <p class=\"note\">This page is a reading aid. What proves is the records, the tree over them and the \
         signature: <a href=\"{}\">{}</a> says how to verify all of it, this page included, without trusting attestd \
         or whoever sent the pack. Times are those of London.</p>\n",
        long(manifest.from),
        long(manifest.to),
        manifest.records,
        manifest.size,
        text(&manifest.origin),
        long(manifest.made_at),
        text(&manifest.made_by),
        files::REGISTER,
        files::REGISTER,
        files::GUIDE,
        files::GUIDE,
    );
}

fn of_control(out: &mut String, control: &ControlAsked) {
    let kind = |kind: &String| match control.rows.get(kind) {
        Some(rows) => {
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            text(&format!("{kind} (rows of the kind {})", rows.join(" or ")))
        }
        None => text(kind),
    };
    let kinds: Vec<String> = control.kinds.iter().map(kind).collect();
    let _ = writeln!(
        out,
        "<h2>{} · {}</h2>\n<p>What speaks to this control: {}.</p>\n\
         <p class=\"note\"><b>This does not show</b> {}.</p>",
        text(&control.name),
        text(&control.title),
        match kinds.is_empty() {
            true => "only checks that the configuration says support it".to_owned(),
            false => format!("the checks of the kinds {}", kinds.join(", ")),
        },
        text(&control.not_shown),
    );
}

fn summary(out: &mut String, story: &Story) {
    out.push_str(
        "<h2>In short</h2>\n<table>\n<tr><th>Check</th><th>Target</th><th>At the end</th><th class=\"n\">Lapses</th>\
         <th class=\"n\">Failed for</th><th class=\"n\">Not known for</th><th class=\"n\">Gaps</th></tr>\n",
    );
    for (place, told) in story.subjects.values().enumerate() {
        let lapses = told.lapses();
        let for_ = |status| {
            let spans = told.spans.iter().filter(|span| span.status == status);
            spans.map(|span| hours(span.from, span.to)).sum::<f64>()
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td><a href=\"#s{place}\">{}</a></td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            text(or_kind(told)),
            text(&told.target),
            word(told.last()),
            none_if_zero(lapses.len()),
            length(for_(Some(Status::Fail))),
            length(for_(Some(Status::Unknown))),
            none_if_zero(told.gaps.len()),
        );
    }
    out.push_str("</table>\n");
}

/// What befell the log itself, and who put a time to it.
fn befell(out: &mut String, story: &Story) {
    let stamps = "<p>A time stamping authority put its time to these checkpoints of the log: what is recorded before was \
                  there by then. Whether it signed that, <code>openssl</code> says, as in <a href=\"VERIFY.md\">VERIFY.md</a>.</p>\n";
    list(out, "What befell the log itself", "", &story.log);
    list(out, "Time stamps", stamps, &story.stamps);
}

fn list(out: &mut String, title: &str, says: &str, all: &[Befell]) {
    if all.is_empty() {
        return;
    }
    let _ = write!(out, "<h2>{title}</h2>\n{says}<table>\n");
    // The newest say most.
    for befell in all.iter().rev().take(ROWS_MAX) {
        let hash = match befell.sha256.as_str() {
            "" => String::new(),
            sha256 => format!("<span class=\"hash\">{}</span>", cut(sha256)),
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"t\">{}</td><td class=\"t\">{}</td><td>{} (record {})</td><td>{hash}</td></tr>",
            long(befell.at),
            befell.what,
            text(&befell.says),
            befell.record,
        );
    }
    out.push_str("</table>\n");
    more(out, all.len());
}

fn or_kind(told: &Told) -> &str {
    if told.check.is_empty() { &told.kind } else { &told.check }
}

fn legend(out: &mut String) {
    out.push_str("<p class=\"legend\">");
    for (status, means) in [
        (Some(Status::Pass), "pass: seen, and nothing broken"),
        (Some(Status::Warn), "warn: something is near"),
        (Some(Status::Unknown), "unknown: not seen, never a pass"),
        (Some(Status::Fail), "fail: a requirement is broken"),
        (None, "not watched"),
    ] {
        let (top, height) = extent(status);
        let _ = write!(
            out,
            "<span><svg viewBox=\"0 0 22 30\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"{}\" \
             y=\"{top}\" width=\"22\" height=\"{height}\"/></svg>{means}</span>",
            class(status),
        );
    }
    out.push_str("</p>\n");
}

fn subject(out: &mut String, story: &Story, told: &Told, place: usize) {
    let check =
        if told.check.is_empty() { String::new() } else { format!("{} · ", text(&told.check)) };
    let _ = writeln!(
        out,
        "<section id=\"s{place}\">\n<div class=\"head\"><h3>{}</h3><span>{}</span></div>\n\
         <p class=\"soft\">{check}kind {}</p>",
        text(&told.target),
        word(told.last()),
        text(&told.kind),
    );
    bar(out, story, told);
    lapses(out, told, story.to);
    gaps(out, told);
    acts(out, told);
    evidence(out, story, told);
    out.push_str("</section>\n");
}

/// The status over the period, as a bar of time: the worse, the higher, so that it reads without colour too.
fn bar(out: &mut String, story: &Story, told: &Told) {
    let place = |at: Timestamp| {
        let whole = hours(story.from, story.to).max(f64::MIN_POSITIVE);
        (hours(story.from, at) / whole * WIDTH).clamp(0.0, WIDTH)
    };
    let _ = write!(
        out,
        "<svg class=\"bar\" viewBox=\"0 0 {WIDTH} 30\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"status over the period\">"
    );
    for span in told.spans.iter().take(SPANS_MAX) {
        let (left, right) = (place(span.from), place(span.to));
        let (top, height) = extent(span.status);
        let _ = write!(
            out,
            "<rect class=\"{}\" x=\"{left:.2}\" y=\"{top}\" width=\"{:.2}\" height=\"{height}\"><title>{}</title></rect>",
            class(span.status),
            (right - left).max(0.6),
            text(&in_words(span)),
        );
    }
    out.push_str(
        "<line x1=\"0\" x2=\"1000\" y1=\"29.5\" y2=\"29.5\"/></svg>\n<div class=\"axis\">",
    );
    for (at, label) in marks(story.from, story.to) {
        let _ = write!(out, "<span style=\"left:{:.2}%\">{label}</span>", place(at) / 10.0);
    }
    out.push_str("</div>\n");
}

fn in_words(span: &Span) -> String {
    let status = span.status.map_or("not watched", Status::as_str);
    let stretch = format!("{} to {}: {status}", long(span.from), long(span.to));
    if span.says.is_empty() || span.status.is_none() {
        stretch
    } else {
        format!("{stretch}. {}", span.says)
    }
}

fn lapses(out: &mut String, told: &Told, end: Timestamp) {
    let lapses = told.lapses();
    if lapses.is_empty() {
        return;
    }
    out.push_str("<h4>Lapses</h4>\n<table>\n");
    for lapse in lapses.iter().take(ROWS_MAX) {
        let until = if lapse.to == end { "still at the end".to_owned() } else { long(lapse.to) };
        let _ = writeln!(
            out,
            "<tr><td class=\"t\">{} – {until}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            long(lapse.from),
            length(hours(lapse.from, lapse.to)),
            text(&lapse.says),
        );
    }
    out.push_str("</table>\n");
    more(out, lapses.len());
}

fn gaps(out: &mut String, told: &Told) {
    if told.gaps.is_empty() {
        return;
    }
    out.push_str("<h4>Gaps: slots that were not kept</h4>\n<table>\n");
    for gap in told.gaps.iter().take(ROWS_MAX) {
        let count = gap.count.map_or("many".to_owned(), |count| count.to_string());
        let stretch = match gap.from == gap.to {
            true => long(gap.from),
            false => format!("{} – {}", long(gap.from), long(gap.to)),
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"t\">{stretch}</td><td class=\"n\">{count}</td><td>{} (record {})</td></tr>",
            gap.why, gap.record
        );
    }
    out.push_str("</table>\n");
    more(out, told.gaps.len());
}

fn acts(out: &mut String, told: &Told) {
    if told.acts.is_empty() {
        return;
    }
    out.push_str("<h4>What people did about its alerts</h4>\n<table>\n");
    for act in told.acts.iter().rev().take(ROWS_MAX) {
        let _ = writeln!(
            out,
            "<tr><td class=\"t\">{}</td><td>{} (record {})</td></tr>",
            long(act.at),
            text(&act.says),
            act.record
        );
    }
    out.push_str("</table>\n");
    more(out, told.acts.len());
}

fn evidence(out: &mut String, story: &Story, told: &Told) {
    if told.evidence.is_empty() {
        return;
    }
    out.push_str(
        "<h4>Evidence</h4>\n<table>\n<tr><th>Record</th><th>Seen</th><th>Status</th><th>Found</th>\
         <th>SHA-256</th></tr>\n",
    );
    // The newest say most.
    for piece in told.evidence.iter().rev().take(ROWS_MAX) {
        let _ = writeln!(
            out,
            "<tr><td class=\"t\"><a href=\"{}\">{}</a></td><td class=\"t\">{}{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            files::RECORDS,
            piece.record,
            long(piece.at),
            again(piece),
            word(Some(piece.status)),
            match piece.says.as_str() {
                "" => "<span class=\"soft\">nothing</span>".to_owned(),
                says => text(says),
            },
            hashes(piece, story.documents),
        );
    }
    out.push_str("</table>\n");
    more(out, told.evidence.len());
}

fn again(piece: &Piece) -> String {
    match piece.again {
        0 => String::new(),
        n => format!("<br><span class=\"soft\">the same {n}× until {}</span>", long(piece.last)),
    }
}

fn hashes(piece: &Piece, documents: bool) -> String {
    let mut out = format!(
        "<span class=\"hash\" title=\"of the record's private part\">{}</span>",
        cut(&piece.hash)
    );
    for Document { sha256, erased } in &piece.blobs {
        let hash = cut(sha256);
        let _ = match (erased, documents) {
            (true, _) => write!(out, "<br><span class=\"hash soft\">{hash} erased</span>"),
            (false, true) => {
                write!(out, "<br><a class=\"hash\" href=\"{}\">{hash}</a>", link(sha256))
            }
            (false, false) => {
                write!(out, "<br><span class=\"hash soft\" title=\"not in the pack\">{hash}</span>")
            }
        };
    }
    out
}

/// As much of a hash as tells it from others; it is whole in the table.
fn cut(hash: &str) -> String {
    text(&format!("{}…", hash.get(..16).unwrap_or(hash)))
}

fn more(out: &mut String, all: usize) {
    if all > ROWS_MAX {
        let _ = writeln!(
            out,
            "<p class=\"soft\">and {} more in <a href=\"{}\">{}</a></p>",
            all - ROWS_MAX,
            files::REGISTER,
            files::REGISTER
        );
    }
}

fn word(status: Option<Status>) -> String {
    let (sign, word) = match status {
        Some(Status::Pass) => ("✔", "pass"),
        Some(Status::Warn) => ("▲", "warn"),
        Some(Status::Fail) => ("✖", "fail"),
        Some(Status::Unknown) => ("?", "unknown"),
        None => ("–", "not watched"),
    };
    format!("<span class=\"word {}\">{sign} {word}</span>", class(status))
}

fn class(status: Option<Status>) -> &'static str {
    status.map_or("none", Status::as_str)
}

/// From where down a status fills the bar's 30, and how far.
fn extent(status: Option<Status>) -> (u8, u8) {
    match status {
        Some(Status::Fail) => (0, 30),
        Some(Status::Unknown) => (8, 22),
        Some(Status::Warn) => (14, 16),
        Some(Status::Pass) => (20, 10),
        None => (27, 3),
    }
}

fn none_if_zero(count: usize) -> String {
    if count == 0 { "–".to_owned() } else { count.to_string() }
}

/// Hours, as people say them.
fn length(hours: f64) -> String {
    match hours {
        h if h <= 0.0 => "–".to_owned(),
        h if h < 1.0 => format!("{:.0} min", (h * 60.0).max(1.0)),
        h if h < 48.0 => format!("{h:.1} h"),
        h => format!("{:.1} days", h / 24.0),
    }
}

fn long(at: Timestamp) -> String {
    at.to_zoned(london()).strftime("%-d %b %Y %H:%M").to_string()
}

/// Where the axis is marked: at midnights or at the first of months, six or so.
fn marks(from: Timestamp, to: Timestamp) -> Vec<(Timestamp, String)> {
    let days = hours(from, to) / 24.0;
    let (step, format) = match days {
        d if d < 2.0 => (jiff::Span::new().hours(6), "%-d %b %H:%M"),
        d if d < 12.0 => (jiff::Span::new().days(1), "%-d %b"),
        d if d < 70.0 => (jiff::Span::new().days(7), "%-d %b"),
        d if d < 400.0 => (jiff::Span::new().months(1), "%b %Y"),
        _ => (jiff::Span::new().years(1), "%Y"),
    };
    let begin = from.to_zoned(london());
    let begin = match days {
        d if d < 70.0 => begin.start_of_day(),
        d if d < 400.0 => begin.first_of_month().and_then(|day| day.start_of_day()),
        _ => begin.first_of_year().and_then(|day| day.start_of_day()),
    };
    let Ok(begin) = begin else { return Vec::new() };
    let all = (0..MARKS_MAX).map_while(|n| begin.checked_add(step.checked_mul(n).ok()?).ok());
    let within = all.filter(|at| at.timestamp() >= from && at.timestamp() < to);
    within.map(|at| (at.timestamp(), at.strftime(format).to_string())).collect()
}

/// Marks of one axis.
const MARKS_MAX: i64 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_text() {
        for (given, expected) in [
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("\" onload=\"x", "&quot; onload=&quot;x"),
            ("a&b\u{202e}c", "a&amp;b\\u{202e}c"),
        ] {
            assert_eq!(text(given), expected);
        }
    }
}
