//! A subject as support of controls: which kind of register row it is, and which of its findings count.

use std::collections::BTreeMap;

use attestd_checks::controls::{self, By};
use attestd_core::record::Configured;
use attestd_core::{Means, Status};

use super::{Log, SupportView};
use crate::view::SubjectView;

/// A subject, and what decides which controls it supports.
pub(super) struct Stand<'a> {
    /// How it stands.
    pub view: &'a SubjectView,
    kind: &'a str,
    /// What kind of register row it is, if any: none where that cannot be read.
    row: Option<String>,
}

impl<'a> Stand<'a> {
    /// What a subject is, `asks` holding the kinds of which a control asks for one sort of row.
    pub fn of(
        view: &'a SubjectView,
        configured: &'a Configured,
        log: &Log<'_>,
        asks: &mut BTreeMap<String, bool>,
    ) -> Stand<'a> {
        let known = configured.checks.get(view.subject.check.as_str()).map(String::as_str);
        let kind = if view.kind.is_empty() { known.unwrap_or_default() } else { &view.kind };
        // Only for those evidence is read.
        let asks = *asks.entry(kind.to_owned()).or_insert_with(|| {
            let mut by = controls::of_kind(kind).flat_map(|(_, item)| &item.by);
            by.any(|by| by.kind == kind && by.row.is_some())
        });
        let seen = view.record.filter(|_| asks).and_then(|index| (log.evidence)(index).ok());
        let row = seen.and_then(|seen| controls::row(&seen.facts).map(str::to_owned));
        Stand { view, kind, row }
    }

    /// How it supports a control by this; none where it does not.
    pub fn by(&self, by: &By) -> Option<Status> {
        if by.kind != self.kind {
            return None;
        }
        match (&by.row, &self.row) {
            (None, _) => Some(self.status(by)),
            (Some(asked), Some(row)) => (asked == row).then(|| self.status(by)),
            // It may be such a row: what cannot be read is not left out, and never a pass.
            (Some(_), None) => Some(Status::Unknown),
        }
    }

    /// The status, as far as the findings that count say.
    fn status(&self, by: &By) -> Status {
        let view = self.view;
        if by.codes.is_empty() {
            return view.status;
        }
        let any = |means, counted: bool| {
            let found = view.findings.iter().filter(|finding| finding.means == means);
            found.into_iter().any(|finding| !counted || by.counts(&finding.code))
        };
        let unexplained = view.status == Status::Fail && !any(Means::Fail, false);
        match view.status {
            _ if any(Means::Fail, true) => Status::Fail,
            Status::Unknown => Status::Unknown,
            _ if view.unseen.is_some() || unexplained => Status::Unknown,
            _ if any(Means::Warn, true) => Status::Warn,
            _ => Status::Pass,
        }
    }

    /// It as support of a control, by what counts there; by all of it where nothing says otherwise.
    pub fn support(&self, status: Status, bys: &[By]) -> SupportView {
        let counts = |code: &str| bys.is_empty() || bys.iter().any(|by| by.counts(code));
        let found = self
            .view
            .findings
            .iter()
            .filter(|finding| finding.means != Means::Note && counts(&finding.code));
        let unseen = self.view.unseen.iter().cloned();
        SupportView {
            subject: self.view.subject.clone(),
            kind: self.kind.to_owned(),
            status,
            seen_at: self.view.seen_at,
            record: self.view.record,
            says: unseen.chain(found.map(|finding| finding.message.clone())).collect(),
        }
    }
}
