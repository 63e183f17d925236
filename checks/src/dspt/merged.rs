//! Whose status counts for a code that was merged into another: that of its successor in the ODS, which it is shown as.

use attestd_core::{Date, Evidence, ProbeError, Reason};

use super::{Code, export, source};
use crate::ods::{Organisation, Record, Standing};

/// The code whose status is meant by `code`: its own, or the last of those that it was `merged` into, one after another.
pub(super) fn follow<'a>(
    code: &'a Code,
    merged: &'a [Organisation],
    today: Date,
) -> Result<&'a Code, Reason> {
    let mut passed = vec![code];
    let mut last = code;
    for Organisation { record, .. } in merged {
        if record.code != *last {
            let message = format!("the record of {} stands for {}", record.code.0, last.0);
            return Err(unclear(message));
        }
        last = successor(record, today).map_err(unclear)?;
        if passed.contains(&last) {
            return Err(unclear(format!("the successors of {} lead back to {}", code.0, last.0)));
        }
        passed.push(last);
    }
    if merged.len() > MERGERS_MAX {
        let message = format!("{} was merged on over {MERGERS_MAX} times", code.0);
        return Err(unclear(message));
    }
    Ok(last)
}

/// The one code that took its place in law, by today.
fn successor(record: &Record, today: Date) -> Result<&Code, String> {
    let code = &record.code.0;
    if record.standing().map_err(|reason| reason.message)? == Standing::Active {
        return Err(format!("the ODS has {code} as Active, so nothing took its place"));
    }
    let Some(first) = record.successors.first() else {
        return Err(format!("the ODS has {code} as Inactive and names no successor"));
    };
    if record.successors.iter().any(|other| other.code != first.code) {
        let named: Vec<&str> = record.successors.iter().map(|s| s.code.0.as_str()).collect();
        return Err(format!("the ODS names several successors of {code}: {}", named.join(", ")));
    }
    let Some(day) = record.successors.iter().find_map(|successor| successor.legal.as_deref())
    else {
        return Err(format!(
            "the ODS does not say that {} is {code}'s legal successor",
            first.code.0
        ));
    };
    match day.parse::<Date>() {
        Ok(date) if date <= today => Ok(&first.code),
        Ok(date) => Err(format!("{} takes the place of {code} on {date} only", first.code.0)),
        Err(_) => Err(format!("{day:?}, when {} was succeeded, is no date that is known", code)),
    }
}

/// `8ZZ51, and that into 8ZZ50`.
pub(super) fn into(merged: &[Organisation], last: &Code) -> String {
    let between = merged.iter().skip(1).map(|organisation| &organisation.record.code);
    let codes: Vec<&str> = between.chain([last]).map(|code| code.0.as_str()).collect();
    codes.join(", and that into ")
}

/// Whether a source has nothing of a code, so that it may have been merged into another.
pub(super) fn is_absent(reason: &Reason) -> bool {
    [export::CODE_NOT_FOUND, source::NOT_REGISTERED].contains(&reason.code.as_str())
}

/// Why nothing was seen of a code that is absent: its record could not be read, or leads to no other.
pub(super) fn unseen(absent: &Reason, why: ProbeError, merged: &[Organisation]) -> ProbeError {
    let code = match why.reason.code.as_str() {
        UNCLEAR => UNCLEAR,
        _ => "successor_unseen",
    };
    let message = format!("{}; {}", absent.message, why.reason.message);
    let remedy = why.reason.remedy.or_else(|| absent.remedy.clone());
    let seen = why.seen.or_else(|| {
        let read = || Evidence::of(&serde_json::json!({ "merged": merged }));
        (!merged.is_empty()).then(|| Box::new(read()))
    });
    ProbeError { reason: Reason { code: code.to_owned(), message, remedy }, seen }
}

fn unclear(message: String) -> Reason {
    Reason::new(UNCLEAR, message)
        .remedy("look the code up in the ODS, and put the one in its place that counts now")
}

/// The reason where the records say of no one code that it took a code's place.
const UNCLEAR: &str = "successor_unclear";
/// Mergers that are followed, one after another: those of April 2026 took two steps at most.
const MERGERS_MAX: usize = 3;
