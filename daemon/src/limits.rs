//! The daemon's own limits, each with its reason; those of a way of looking stand beside it in `checks/src/look`.

use std::time::Duration;

/// A configuration file over this is not one.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Checks in one configuration: a hundred times what a supplier has.
pub const CHECKS_MAX: usize = 10_000;
/// Targets of one check: a register of 2,000 rows is large, a glob over everything a mistake.
pub const TARGETS_MAX: usize = 10_000;
/// Runs at once, unless configured: enough for a thousand remote targets an hour with 30 s each.
pub const CONCURRENCY: i64 = 16;
/// The longest a run may take (hostile input: a probe has 30 s).
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// The deadline of a run that fetches a file of hundreds of megabytes.
pub const DOWNLOAD_MAX: Duration = Duration::from_secs(600);
/// The longest spread of remote targets after their slot; a tenth of the time between slots where that is less (C7).
pub const SPREAD_MAX: Duration = Duration::from_secs(300);
/// A run that begins later than this after its slot and spread is recorded as late.
pub const LATE_MIN: Duration = Duration::from_secs(60);
/// Grace beyond the second later slot before an observation is stale (F3).
pub const STALE_GRACE: Duration = Duration::from_secs(600);
/// The monitor looks at everything at least this often, so that no lost wake-up loses more than this.
pub const SWEEP: Duration = Duration::from_secs(30);
/// After a run ended the monitor looks at everything within this, once for all the runs that end meanwhile: looking
/// after each would cost a thousand runs a million looks.
pub const PACE: Duration = Duration::from_millis(20);
/// An unseen target is looked at again after these (F7).
pub const AGAIN: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];
/// An unseen target is told after three slots, but not before this (F7).
pub const NOT_SEEN_MIN: Duration = Duration::from_secs(3600);
/// An unseen public register is told after this (F7).
pub const NOT_SEEN_PUBLIC: Duration = Duration::from_secs(7 * 86_400);
/// Accepted events are written to the log in a batch at most this often (D11).
pub const ACCEPTED_EVERY: Duration = Duration::from_secs(60);
/// History entries pruned in one step.
pub const PRUNE_STEP: usize = 2_000;
/// Old history is looked for this often: each time costs sled a write for each subject.
pub const PRUNE_EVERY: Duration = Duration::from_secs(86_400);
/// Old records are not removed before the daemon has run for this long.
pub const RETAIN_AFTER: Duration = Duration::from_secs(3_600);
/// What may wait for the monitor; senders wait when it is full.
pub const INBOX: usize = 1024;
/// SIGTERM ends the daemon within this; then runs in flight are recorded and dropped.
pub const STOP_MAX: Duration = Duration::from_secs(4);
/// A request over the control socket, and its answer.
pub const CONTROL_REQUEST_MAX: usize = 64 * 1024;
/// A document that shows that something was done: a scanned report of a hundred pages.
pub const DOCUMENT_MAX: usize = 16 * 1024 * 1024;
/// The longest answer over the control socket: status of 10,000 subjects.
pub const CONTROL_ANSWER_MAX: usize = 64 * 1024 * 1024;
/// History entries told at once.
pub const HISTORY_MAX: usize = 10_000;
/// A simulation plays a subject's slots no closer together than this: what is looked at each minute is decided by dates.
pub const PLAYED_EVERY: Duration = Duration::from_secs(3_600);
/// How far ahead a simulation plays where nothing is said: a year, and the lead times of its end.
pub const FORESEEN: Duration = Duration::from_secs(400 * 86_400);
/// The furthest: the dated rules that ship are not known for longer.
pub const FORESEEN_MAX: Duration = Duration::from_secs(5 * 366 * 86_400);
