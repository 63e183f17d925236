//! Faults that a test puts under a directory of its own: the n-th operation fails, the disk is full, a write is short.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::SYNC;

/// What an operation meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails so.
    Errno(i32),
    /// It is a write, and writes so many bytes; then all goes on.
    Short(usize),
    /// It is a write, and writes so many bytes; what is written on fails so.
    ShortThen(usize, i32),
}

pub(crate) const EINTR: i32 = 4;
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// Which operations under a directory meet a fault, and what there was to see.
#[derive(Debug)]
struct Planned {
    under: PathBuf,
    doing: Option<&'static str>,
    skip: usize,
    times: usize,
    fault: Fault,
    seen: Seen,
    /// Files whose sync failed.
    lost: BTreeSet<PathBuf>,
}

/// What was seen under a directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Operations.
    pub operations: usize,
    /// What was being done when a fault struck, and to which file.
    pub struck: Vec<(&'static str, PathBuf)>,
    /// What was done to a file after its sync had failed.
    pub touched: Vec<(&'static str, PathBuf)>,
}

static PLANNED: Mutex<Vec<Planned>> = Mutex::new(Vec::new());

/// The next `times` operations that are `doing` something to a path under `under` fail with EIO.
pub(crate) fn plan(doing: &'static str, under: &Path, times: usize) {
    add(under, Some(doing), 0, times, Fault::Errno(EIO));
}

/// Under `under`, `skip` operations go well, and the next `times` meet the fault.
pub(crate) fn script(under: &Path, skip: usize, times: usize, fault: Fault) {
    add(under, None, skip, times, fault);
}

/// How many faults have struck under a directory.
pub(crate) fn struck(under: &Path) -> usize {
    let planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    planned.iter().find(|p| p.under == under).map_or(0, |plan| plan.seen.struck.len())
}

/// The process ends: the next one may sync what this one could not.
pub(crate) fn end_of_process(under: &Path) {
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    planned.iter_mut().filter(|p| p.under == under).for_each(|plan| plan.lost.clear());
}

/// Ends the faults under a directory; says what there was to see.
pub(crate) fn end(under: &Path) -> Seen {
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    let place = planned.iter().position(|p| p.under == under);
    place.map(|place| planned.remove(place).seen).unwrap_or_default()
}

fn add(under: &Path, doing: Option<&'static str>, skip: usize, times: usize, fault: Fault) {
    let under = under.to_owned();
    let (seen, lost) = (Seen::default(), BTreeSet::new());
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    planned.push(Planned { under, doing, skip, times, fault, seen, lost });
}

pub(super) fn check(doing: &'static str, path: &Path) -> io::Result<()> {
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    let about = |p: &&mut Planned| {
        path.starts_with(&p.under) && p.doing.is_none_or(|planned| planned == doing)
    };
    // A plan for one kind of operation goes before one for all.
    match planned.iter_mut().filter(about).find_map(|plan| plan.meet(doing, path)) {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Ok(()),
    }
}

/// How many of the bytes about to be written are.
pub(super) fn part(path: &Path, length: usize) -> usize {
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    let due = |p: &&mut Planned| {
        path.starts_with(&p.under) && p.doing.is_none() && p.skip == 0 && p.times > 0
    };
    match planned.iter_mut().find(due) {
        Some(plan) => match plan.fault {
            Fault::Errno(_) => length,
            Fault::Short(most) => {
                plan.times -= 1;
                plan.seen.struck.push(("write", path.to_owned()));
                most.min(length)
            }
            Fault::ShortThen(most, errno) => {
                plan.fault = Fault::Errno(errno);
                plan.skip = 1; // this one
                most.min(length)
            }
        },
        None => length,
    }
}

/// What a full disk has left.
pub(super) fn room(directory: &Path, available: u64) -> u64 {
    let planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    let full = |p: &Planned| {
        directory.starts_with(&p.under)
            && p.fault == Fault::Errno(ENOSPC)
            && p.skip == 0
            && p.times > 1
    };
    if planned.iter().any(full) { 0 } else { available }
}

impl Planned {
    fn meet(&mut self, doing: &'static str, path: &Path) -> Option<i32> {
        self.seen.operations += 1;
        if self.lost.contains(path) && matches!(doing, "write" | "cut" | SYNC) {
            self.seen.touched.push((doing, path.to_owned()));
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let Fault::Errno(errno) = self.fault else { return None };
        // On a full disk only what needs room fails, until some is given back.
        if doing == "cut" && path.ends_with("ballast") {
            self.times = 0;
        }
        let needs_room = matches!(doing, "write" | "create" | "create directory" | "allocate");
        if self.times == 0 || self.times > 1 && errno == ENOSPC && !needs_room {
            return None;
        }
        self.times -= 1;
        self.seen.struck.push((doing, path.to_owned()));
        if doing == SYNC {
            self.lost.insert(path.to_owned());
        }
        Some(errno)
    }
}
