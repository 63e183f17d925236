//! How things look in a terminal: tables, colours, times, and text from outside made harmless.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

use attestd_core::ending::last_day;
use attestd_core::obligation::london;
use attestd_core::past::Gap;
use attestd_core::state::Stamp;
use attestd_core::{Status, Timestamp};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use comfy_table::{LineStyle, TableStyle};

use attestd_core::text::plain;

use crate::posture::ClaimsView;
use crate::timestamps::APART_MIN;
use crate::view::{FindingView, PastView, PrunedView, StatusView, SubjectView, spell, until};

/// Prints it, as it is. Where nobody reads on (`| head`), that is the end: without a word, and not as if all were well.
pub fn out(text: impl Display) {
    let mut stdout = std::io::stdout().lock();
    let printed = write!(stdout, "{text}").and_then(|()| stdout.flush());
    if let Err(error) = printed {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(READ_NO_FURTHER);
        }
        eprintln!("attestd: printing: {error}");
        std::process::exit(1);
    }
}

/// What a shell says of a program that SIGPIPE ended: 128 and its number.
const READ_NO_FURTHER: i32 = 141;

/// Prints it, and ends the line.
pub fn line(text: impl Display) {
    out(format_args!("{text}\n"));
}

/// Prints it as JSON.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Whether to colour: only on a terminal, and never with NO_COLOR (https://no-color.org).
pub fn colour() -> bool {
    let no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !no
}

/// Text from outside, without anything that a terminal would obey.
pub fn clean(text: &str) -> String {
    plain(text, CLEAN_MAX)
}

/// The longest text from outside that is shown whole.
const CLEAN_MAX: usize = 4096;

/// Text of several lines from outside, cleaned line by line.
pub fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line) + "\n").collect()
}

/// An error with its causes, once.
pub fn error(error: &anyhow::Error) -> String {
    format!("attestd: {}", clean(&format!("{error:#}")))
}

/// A table with only the lines that help.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none_or(|width| width == 0) {
        table.set_width(PIPE_WIDTH);
    }
    let bold = |text: &&str| paint(Cell::new(text), |cell| cell.add_attribute(Attribute::Dim));
    table.set_header(header.iter().map(bold));
    table
}

/// A pipe has no width, and a serial line says that its is 0; logs and pagers show about this much.
const PIPE_WIDTH: u16 = 160;

/// A cell in colour, where there is colour.
pub fn paint(cell: Cell, with: impl FnOnce(Cell) -> Cell) -> Cell {
    if colour() { with(cell) } else { cell }
}

/// Text that stands out, where there is colour.
pub fn bold(text: &str) -> String {
    if colour() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// A status as a cell.
pub fn status_cell(status: Status) -> Cell {
    let (text, colour) = match status {
        Status::Pass => ("✔ pass", Color::Green),
        Status::Warn => ("▲ warn", Color::Yellow),
        Status::Fail => ("✖ FAIL", Color::Red),
        Status::Unknown => ("? unknown", Color::Magenta),
    };
    paint(Cell::new(text), |cell| cell.fg(colour).add_attribute(Attribute::Bold))
}

/// A subject's status as a cell: what fails and is accepted still fails (F6).
fn standing_cell(subject: &SubjectView) -> Cell {
    let cell = status_cell(subject.status);
    let until = subject.accepted_until.filter(|_| subject.status == Status::Fail);
    let Some(until) = until else { return cell };
    let text = format!("{}, accepted\nuntil {}", cell.content(), date(until));
    paint(Cell::new(text), |cell| cell.fg(Color::Red))
}

/// A time as people in London read it.
pub fn time(at: Timestamp) -> String {
    at.to_zoned(london()).strftime("%-d %b %Y %H:%M").to_string()
}

/// The last good day of what ends then, for a column of a table.
pub fn date(at: Timestamp) -> String {
    last_day(at).strftime("%-d %b %Y").to_string()
}

/// How long ago, or in how long.
pub fn from_now(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.duration_since(now).as_secs();
    let (n, unit) = match seconds.unsigned_abs() {
        0..=59 => (seconds.unsigned_abs(), "s"),
        s @ 60..=3599 => (s / 60, "min"),
        s @ 3600..=172_799 => (s / 3600, "h"),
        s => (s / 86_400, "days"),
    };
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {n} {unit}"),
        _ => format!("{n} {unit} ago"),
    }
}

/// How everything stands, for people.
pub fn status(view: &StatusView) -> String {
    let count = |status| view.subjects.iter().filter(|s| s.status == status).count();
    let counts = Status::ALL.map(|status| (count(status), status));
    let counts: Vec<String> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, status)| paint_text(&format!("{n} {}", status.as_str()), *status))
        .collect();
    let source = if view.running { "" } else { "\n  from the log: no daemon is running" };
    let mut out = format!(
        "\n{}  {}   {}   {}{source}\n\n",
        view.past.as_ref().map(|past| as_at(view.at, past)).unwrap_or_default(),
        clean(&view.organisation),
        time(view.at),
        if counts.is_empty() { "nothing is watched yet".to_owned() } else { counts.join("  ") },
    );
    let next = if view.past.is_some() { "NEXT THEN" } else { "NEXT" };
    let mut table = table(&["STATUS", "CHECK", "TARGET", "WHAT", "ENDS", "SEEN", next]);
    if table.width().is_some_and(|width| width < NARROW) {
        table = narrow(view);
    } else {
        for subject in &view.subjects {
            table.add_row(row(subject, view));
        }
    }
    out.push_str(&table.to_string());
    out.push('\n');
    for waiting in &view.outbox {
        let events = if waiting.events == 1 { "alert event waits" } else { "alert events wait" };
        out.push_str(&format!(
            "\n  {} {events} for {}",
            waiting.events,
            clean(&waiting.destination)
        ));
        if !waiting.configured {
            out.push_str(", which is configured no more (`attestd outbox discard`)");
        }
    }
    if !view.outbox.is_empty() {
        out.push('\n');
    }
    out.extend(view.claims.as_ref().and_then(claims));
    out.extend(view.pruned.as_ref().map(|gone| format!("\n  {}\n", pruned(gone))));
    out.extend(view.stamped.as_ref().map(|stamp| format!("\n  {}\n", stamped(stamp))));
    out
}

/// Says what is claimed and does not hold, or is not watched; nothing where all of it is known and holds.
fn claims(claims: &ClaimsView) -> Option<String> {
    let ClaimsView { controls, known, failing, unwatched } = *claims;
    if known == controls && failing == 0 {
        return None;
    }
    let mut parts = vec![format!("{known} of {controls} claimed controls known")];
    for (n, what) in [(failing, "failing"), (unwatched, "not watched by anything")] {
        parts.extend((n > 0).then(|| format!("{n} {what}")));
    }
    Some(format!("\n  {}: attestd posture\n", parts.join(", ")))
}

/// Says what nobody can be shown any more.
pub fn pruned(pruned: &PrunedView) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    format!(
        "Records from before {} were pruned on {} by retention.",
        day(pruned.before),
        day(pruned.on)
    )
}

/// Says what an authority put its time to, and whether its clock is ours.
fn stamped(stamp: &Stamp) -> String {
    let apart = match stamp.at.duration_since(stamp.time).abs() > APART_MIN {
        true => format!("; by our clock it was {}", time(stamp.at)),
        false => String::new(),
    };
    format!("The log was stamped on {} (record {}){apart}.", time(stamp.time), stamp.record)
}

/// Below this many columns, what there is to say stands below each subject instead of beside it.
const NARROW: u16 = 120;

/// Says loudly that what follows is not how things stand now.
pub fn as_at(at: Timestamp, past: &PastView) -> String {
    let loud = format!("══ AS AT {} ({at}): THE PAST, NOT NOW ══", time(at));
    let loud = if colour() { format!("\x1b[7;1m{loud}\x1b[0m") } else { loud };
    let recorded =
        format!("as recorded up to record {} of {}", past.newest, time(past.recorded_at));
    let gap = past.stopped.as_ref().map(|gap| format!("  ── {}\n", spelled(gap)));
    format!("  {loud}\n  {recorded}\n{}\n", gap.unwrap_or_default())
}

fn spelled(gap: &Gap) -> String {
    spell(gap, &format!("from {} {}", time(gap.from), until(gap, time)))
}

fn row(subject: &SubjectView, view: &StatusView) -> [Cell; 7] {
    // Beside a past instant, "2 h ago" would be read as from now.
    let when = |at| if view.past.is_some() { time(at) } else { from_now(at, view.at) };
    let target = subject.subject.target.as_ref();
    [
        standing_cell(subject),
        Cell::new(subject.subject.check.as_str()),
        Cell::new(target.map_or("-".to_owned(), |target| clean(target.as_str()))),
        Cell::new(what(subject)),
        Cell::new(subject.due.map_or(String::new(), date)),
        Cell::new(subject.seen_at.map_or("never".to_owned(), when)),
        Cell::new(subject.next.map_or("-".to_owned(), when)),
    ]
}

fn narrow(view: &StatusView) -> Table {
    let mut table = table(&["STATUS", "SUBJECT", "ENDS"]);
    for subject in &view.subjects {
        let said: String = what(subject).lines().map(|line| format!("\n{line}")).collect();
        table.add_row([
            standing_cell(subject),
            Cell::new(clean(&subject.subject.to_string()) + &said),
            Cell::new(subject.due.map_or(String::new(), date)),
        ]);
    }
    table
}

/// What there is to say of a subject, the worst first.
pub fn what(subject: &SubjectView) -> String {
    let mut lines: Vec<String> =
        subject.unseen.iter().map(|reason| clean_lines(reason).trim_end().to_owned()).collect();
    lines.splice(0..0, subject.gap.iter().map(spelled));
    lines.extend(subject.remedy.iter().map(|remedy| format!("→ {}", clean(remedy))));
    let told = subject.findings.iter().filter(|f| f.code != attestd_core::alert::NOT_SEEN.code);
    lines.extend(told.map(|finding| clean(&finding.message) + &about(finding)));
    let paused = subject.paused.as_ref();
    let paused = paused.map(|(name, until)| format!("paused by {name} until {}", time(*until)));
    lines.splice(0..0, paused);
    lines.join("\n")
}

/// What people did about a finding.
fn about(finding: &FindingView) -> String {
    let mut about = String::new();
    if let (Some(by), Some(until)) = (&finding.taken_by, finding.taken_until) {
        about.push_str(&format!(" (taken by {by} until {})", time(until)));
    }
    if let Some(until) = finding.silent_until {
        let what = if finding.accepted { "accepted" } else { "silenced" };
        about.push_str(&format!(" ({what} until {})", time(until)));
    }
    about
}

fn paint_text(text: &str, status: Status) -> String {
    let code = match status {
        Status::Pass => "32",
        Status::Warn => "33",
        Status::Fail => "31;1",
        Status::Unknown => "35",
    };
    if colour() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
