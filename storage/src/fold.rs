//! The state and what folding the next record into it needs.

use std::collections::HashMap;

use attestd_core::name::Subject;
use attestd_core::record::Record;
use attestd_core::state::{Changed, Dangling, State};

/// The state, and whose the whole runs are that `same` records refer to.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// What is so now.
    pub state: State,
    /// The subjects of each one's newest whole runs, by index: two a subject at most.
    runs: HashMap<u64, Subject>,
}

impl Fold {
    /// Goes on from a state.
    pub fn of(state: State) -> Fold {
        let mut runs = HashMap::new();
        for subject in state.subjects.keys() {
            runs.extend(
                newest(&state, subject).into_iter().flatten().map(|of| (of, subject.clone())),
            );
        }
        Fold { state, runs }
    }

    /// Folds in the next record; `read` finds the subject of an older whole run.
    pub fn apply(
        &mut self,
        record: &Record,
        read: &dyn Fn(u64) -> Option<Subject>,
    ) -> Result<Changed, Dangling> {
        let before = match record {
            Record::Run(run) => newest(&self.state, &run.subject),
            Record::Retired(retired) => newest(&self.state, &retired.subject),
            _ => [None; 2],
        };
        let index = self.state.size;
        let runs = &self.runs;
        let changed =
            self.state.apply(record, &|of| runs.get(&of).cloned().or_else(|| read(of)))?;
        if let Record::Run(run) = record {
            self.runs.insert(index, run.subject.clone());
        }
        if let Some(subject) = &changed.subject {
            let after = newest(&self.state, subject);
            for of in before.into_iter().flatten().filter(|of| !after.contains(&Some(*of))) {
                self.runs.remove(&of);
            }
        }
        Ok(changed)
    }

    /// Whether a record's reference to a run holds: it is its subject's newest, and the subject is not retired.
    pub fn refers(&self, record: &Record, read: &dyn Fn(u64) -> Option<Subject>) -> bool {
        let Record::Same(same) = record else { return true };
        let subject = self.runs.get(&same.of).cloned().or_else(|| read(same.of));
        let known = subject.and_then(|subject| self.state.subjects.get(&subject));
        known.and_then(|known| known.last.as_ref()).is_some_and(|last| last.of == same.of)
    }
}

/// The whole runs that a subject's state refers to.
fn newest(state: &State, subject: &Subject) -> [Option<u64>; 2] {
    let Some(state) = state.subjects.get(subject) else { return [None; 2] };
    [state.last.as_ref().map(|last| last.of), state.seen.as_ref().map(|seen| seen.of)]
}
