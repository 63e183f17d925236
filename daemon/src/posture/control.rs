//! One control as claimed: what supports it, what is missing, and how it stands.

use attestd_checks::controls::{Answer, By, Item};
use attestd_core::record::Configured;
use attestd_core::{Assertion, CheckId, Status, Subject};

use super::stand::Stand;
use super::{Answered, ControlView, SupportView};

/// The control.
pub(super) fn control(
    assertion: &Assertion,
    item: &Item,
    configured: &Configured,
    stands: &[Stand<'_>],
) -> ControlView {
    let Gathered { support, mut gaps, bare, by_say } = gather(assertion, item, configured, stands);
    // A check that says nothing, a target that nothing looks at: what is missing so far makes it unknown.
    let missing = !gaps.is_empty();
    let answer = match item.answer {
        _ if support.is_empty() && !missing => Answered::Unwatched,
        _ if by_say => Answered::BySay,
        Answer::Decides => Answered::Decided,
        Answer::Partly | Answer::NotCovered => Answered::InPart,
    };
    let worst = support.iter().map(|support| support.status).reduce(worse);
    let status = match worst {
        Some(Status::Fail) => Status::Fail,
        Some(_) if missing => Status::Unknown,
        Some(_) if answer == Answered::Decided && !bare.is_empty() => Status::Unknown,
        Some(worst) => worst,
        None => Status::Unknown,
    };
    if !bare.is_empty() {
        gaps.push(format!("no check watches it by {}", bare.join(", ")));
    }
    let seen = support.iter().filter(|support| support.status != Status::Unknown);
    let newest = seen.filter_map(|support| support.seen_at).max();
    let not_shown = match answer {
        Answered::BySay => "that these checks support it is the configuration's word".to_owned(),
        _ => item.not_shown.clone(),
    };
    let (id, title) = (item.id.clone(), item.title.clone());
    ControlView { id, title, status, answer, support, newest, gaps, not_shown }
}

/// What there is of a control.
struct Gathered {
    support: Vec<SupportView>,
    gaps: Vec<String>,
    /// What could speak to it, and nothing of which is watched.
    bare: Vec<String>,
    /// Whether it is supported by the configuration's word.
    by_say: bool,
}

fn gather(
    assertion: &Assertion,
    item: &Item,
    configured: &Configured,
    stands: &[Stand<'_>],
) -> Gathered {
    let (mut support, mut gaps, mut by_say) = (Vec::new(), Vec::new(), false);
    let mut found = vec![false; item.by.len()];
    for (check, kind) in &configured.checks {
        let Ok(id) = check.parse::<CheckId>() else { continue };
        let none = Default::default();
        let labels = configured.labels.get(&id).unwrap_or(&none);
        let speaks = item.by.iter().any(|by| by.kind == *kind);
        if !assertion.takes(&id, labels, speaks) {
            continue;
        }
        by_say |= !speaks;
        let of_check = || stands.iter().filter(|stand| stand.view.subject.check == id);
        for stand in of_check().filter(|stand| within(assertion, &stand.view.subject)) {
            let by: Vec<Option<Status>> = item.by.iter().map(|by| stand.by(by)).collect();
            found.iter_mut().zip(&by).for_each(|(found, by)| *found |= by.is_some());
            let status = match speaks {
                true => by.into_iter().flatten().reduce(worse),
                false => Some(stand.view.status),
            };
            let counts: &[By] = if speaks { &item.by } else { &[] };
            support.extend(status.map(|status| stand.support(status, counts)));
        }
        if of_check().next().is_none() {
            gaps.push(format!("{check} has not said yet what it looks at"));
        }
    }
    for target in &assertion.targets {
        let is = |support: &SupportView| support.subject.target.as_ref() == Some(target);
        if !support.iter().any(is) && (by_say || !item.by.is_empty()) {
            gaps.push(format!("nothing that supports it looks at {target}"));
        }
    }
    let bare = item.by.iter().zip(&found).filter(|(_, found)| !**found && !by_say);
    let bare = bare.map(|(by, _)| by.row.clone().unwrap_or(by.kind.clone())).collect();
    Gathered { support, gaps, bare, by_say }
}

/// Whether a subject is among the targets that an assertion names; a check that cannot say its targets always is.
fn within(assertion: &Assertion, subject: &Subject) -> bool {
    let named = |target| assertion.targets.contains(target);
    assertion.targets.is_empty() || subject.target.as_ref().is_none_or(named)
}

/// The worse of two, as F2 has it.
fn worse(a: Status, b: Status) -> Status {
    let order = [Status::Fail, Status::Unknown, Status::Warn, Status::Pass];
    order.into_iter().find(|status| [a, b].contains(status)).unwrap_or(Status::Unknown)
}
