//! The monitor: the one task that decides what runs when. It wakes when a schedule comes due, a file changes, a person
//! asks, a run ends or a deadline passes, and never waits for any of its runs.

mod digesting;
mod listing;
pub mod rows;
mod saying;
pub use listing::COVERAGE_REDUCED;
pub mod look;
mod restating;
pub mod run;
pub mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestd_core::alert::{self, Input};
use attestd_core::check::Blob;
use attestd_core::record::{Record, Ticked};
use attestd_core::state::SubjectState;
use attestd_core::statement::Said;
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::{Trust, Uptime, between};
use attestd_core::{CheckId, Nature, ProbeError, Subject, Target, Timestamp, Trigger};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::ConfiguredCheck;
use crate::limits;
use crate::reminders;
use run::{Ended, Job};
use shared::Shared;

/// The checks in force, by id.
pub type Checks = BTreeMap<CheckId, Arc<ConfiguredCheck>>;

/// What the monitor is told.
pub enum Message {
    /// These files or directories changed.
    Changed(BTreeSet<PathBuf>),
    /// What a check's targets are read from, elsewhere, says something new.
    Moved(CheckId),
    /// A person asks for a run of a check, or of one of its subjects; the answer comes when all have ended.
    Ask {
        /// The check, with or without a target.
        subject: Subject,
        /// The subjects that ran; none where there is no such check or target.
        reply: oneshot::Sender<Vec<Subject>>,
    },
    /// A person says something of a row of a register; the answer comes when all that hangs on it was judged anew.
    Say {
        /// The row, by its id or with its check.
        of: String,
        /// What is said; its subject is found here.
        said: Box<Said>,
        /// In that person's words.
        note: Option<String>,
        /// The document that shows it.
        document: Option<Blob>,
        /// Who entered it.
        user: u32,
        /// The record and the subject; or why not.
        reply: oneshot::Sender<Result<(u64, Subject), String>>,
    },
    /// Another configuration is in force; its `configured` record stands at this index.
    Configured {
        /// Its checks.
        checks: Checks,
        /// The record.
        index: u64,
    },
}

/// Why a check is asked for its targets.
#[derive(Clone)]
enum Cause {
    /// The daemon started, or the configuration changed.
    Started,
    /// A slot came due.
    Due,
    /// Files changed.
    Changed(Arc<BTreeSet<PathBuf>>),
    /// The wall clock is believed again, or no longer: nothing that was judged by date stands.
    Clock,
    /// A person asked.
    Asked { subject: Subject, asker: mpsc::Sender<()>, ran: mpsc::Sender<Subject> },
}

/// What the monitor knows of a subject beyond its record.
struct Live {
    target: Result<Arc<Target>, ProbeError>,
    running: bool,
    /// It left while a run was in flight, and is retired when that ends.
    gone: bool,
    /// To run again as soon as the run in flight ends.
    rerun: Option<(Trigger, Option<mpsc::Sender<()>>)>,
    /// How often it was looked at again, and when next (F7).
    again: Option<(usize, Uptime)>,
}

impl Live {
    /// Where the target is, or, while the check cannot say it, where its targets are listed.
    fn nature(&self, check: &ConfiguredCheck) -> Nature {
        self.target.as_ref().map_or_else(|_| check.check.nature(), |target| target.nature)
    }
}

/// The monitor.
pub struct Monitor {
    shared: Arc<Shared>,
    due: Arc<Notify>,
    inbox: mpsc::Receiver<Message>,
    files: watch::Sender<BTreeSet<PathBuf>>,
    /// Says that the monitor gets round: the watchdog is fed from it.
    progress: watch::Sender<Uptime>,
    checks: Checks,
    live: BTreeMap<Subject, Live>,
    /// Causes that wait for a check's targets; the check is being asked while its entry is there.
    listing: BTreeMap<CheckId, listing::Asked>,
    /// Every check has said its targets since the start: before, some are not counted yet.
    listed: bool,
    listings: JoinSet<listing::Listed>,
    runs: JoinSet<Result<Ended, StoreError>>,
    jobs: BTreeMap<Subject, Arc<Job>>,
    trusted: bool,
    sweep: Duration,
    /// When to look around next.
    look_at: Uptime,
    /// When what is so is next held against what was told.
    restate_at: Uptime,
    /// When the daemon started.
    began: Uptime,
    /// Since when a Monday digest waits for what is being looked at.
    digest_waits: Option<Uptime>,
    /// How often anything in the calendar had moved when that was last looked at.
    calendar_moves: u64,
}

/// The ends by which the monitor is reached.
pub struct Ends {
    /// Woken when something may be due.
    pub due: Arc<Notify>,
    /// What the monitor is told.
    pub inbox: mpsc::Receiver<Message>,
    /// The files of interest.
    pub files: watch::Sender<BTreeSet<PathBuf>>,
    /// When the monitor last got round.
    pub progress: watch::Sender<Uptime>,
    /// It looks around at least this often: `limits::SWEEP`, but where years are simulated.
    pub sweep: Duration,
}

impl Monitor {
    /// A monitor of these checks; their `configured` record is in force.
    pub fn new(shared: Arc<Shared>, checks: Checks, ends: Ends) -> Monitor {
        // As it was when the daemon stopped, until every check has said its targets.
        let down = shared.conditions.has(crate::own::NETWORK_UNREACHABLE);
        shared.network_down.store(down, Ordering::Relaxed);
        let began = shared.clock.uptime();
        Monitor {
            shared,
            due: ends.due,
            inbox: ends.inbox,
            files: ends.files,
            progress: ends.progress,
            checks,
            live: BTreeMap::new(),
            listing: BTreeMap::new(),
            listed: false,
            listings: JoinSet::new(),
            runs: JoinSet::new(),
            jobs: BTreeMap::new(),
            trusted: true,
            sweep: ends.sweep,
            look_at: Uptime(Duration::ZERO),
            restate_at: Uptime(Duration::ZERO),
            began,
            digest_waits: None,
            calendar_moves: 0,
        }
    }

    /// Runs until cancelled, or until the store cannot be written (S1).
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), StoreError> {
        self.retire_unconfigured().await?;
        self.list_all(&Cause::Started);
        loop {
            let now = self.shared.clock.uptime();
            if self.look_at <= now {
                self.look_around().await?;
                self.look_at = Uptime(self.shared.clock.uptime().0 + self.wait());
                self.progress.send_replace(self.shared.clock.uptime());
            }
            let wait = self.look_at.since(self.shared.clock.uptime());
            tokio::select! {
                biased;
                () = cancel.cancelled() => return self.stop().await,
                Some(ended) = self.runs.join_next() => {
                    let ended = ended.expect("a run's panics are caught where it looks and judges");
                    self.ended(ended?).await?;
                    self.look_within(limits::PACE);
                }
                Some(listed) = self.listings.join_next() => {
                    self.listed(listed.expect("a listing's panics are caught where it looks")).await?;
                    self.look_within(limits::PACE);
                }
                Some(message) = self.inbox.recv() => {
                    self.told(message).await?;
                    self.look_within(Duration::ZERO);
                }
                () = self.due.notified() => self.look_within(Duration::ZERO),
                () = self.shared.clock.sleep(wait) => {}
            }
        }
    }

    /// Looks around no later than `time` from now.
    fn look_within(&mut self, time: Duration) {
        let at = Uptime(self.shared.clock.uptime().0 + time);
        self.look_at = self.look_at.min(at);
    }

    /// Whatever is due by now: slots, second looks, deadlines of alerts.
    async fn look_around(&mut self) -> Result<(), StoreError> {
        let (now, uptime) = (self.shared.clock.now(), self.shared.clock.uptime());
        let trusted = self.shared.trust() == Trust::Trusted;
        if std::mem::replace(&mut self.trusted, trusted) != trusted {
            self.list_all(&Cause::Clock);
        }
        let (mut due, mut turned) = (BTreeSet::new(), Vec::new());
        self.shared.store.read(&mut |state| {
            for (subject, state) in &state.subjects {
                let Some(live) = self.live.get(subject).filter(|live| !live.running) else {
                    continue;
                };
                if state.next.is_some_and(|next| next <= now) {
                    due.insert(subject.check.clone());
                } else if self.turns(subject, live, state).is_some_and(|at| at <= now) {
                    turned.push(subject.clone());
                }
            }
        });
        for subject in turned {
            self.start(&subject, Trigger::Change, None);
        }
        for check in due {
            self.list(&check, Cause::Due);
        }
        let again: Vec<Subject> = self
            .live
            .iter()
            .filter(|(_, live)| !live.running && live.again.is_some_and(|(_, at)| at <= uptime))
            .map(|(subject, _)| subject.clone())
            .collect();
        for subject in again {
            self.start(&subject, Trigger::Again, None);
        }
        self.look_at_network();
        let mut changed = false;
        let conditions = &self.shared.conditions;
        self.shared.store.read(&mut |state| changed = reminders::follow(conditions, state, now));
        if changed {
            self.look_at_own();
        }
        self.tick(now).await?;
        if trusted {
            self.digest(now).await?;
        }
        let mut moves = 0;
        self.shared.store.read(&mut |state| moves = state.calendar.moves());
        if std::mem::replace(&mut self.calendar_moves, moves) != moves {
            self.restate_at = self.restate_at.min(Uptime(uptime.0 + restating::GATHER));
        }
        if self.restate_at <= uptime {
            self.restate_at = self.restate().await?;
        }
        Ok(())
    }

    /// When a subject is judged otherwise than it was, though nothing else happens.
    fn turns(&self, subject: &Subject, live: &Live, state: &SubjectState) -> Option<Timestamp> {
        let (check, target) = (self.checks.get(&subject.check)?, live.target.as_ref().ok()?);
        check.check.turns(target, state.last.as_ref()?.at)
    }

    /// Steps every subject whose alerts reached a deadline.
    async fn tick(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut due = Vec::new();
        self.each_deadline(|subject, check, nature, deadline| {
            if deadline <= now {
                due.push((subject.clone(), check.clone(), nature));
            }
        });
        for (subject, check, nature) in due {
            let Some(state) = self.shared.state(&subject) else { continue };
            let policy = self.shared.policy_of(&check, &subject, nature, None, now);
            let (alerts, events) = alert::step(&state.alerts, Input::Tick, &policy, now);
            if alerts == state.alerts {
                continue;
            }
            let kind = check.kind.name.to_owned();
            let status = state.status(now);
            let record = Record::Ticked(Ticked { at: now, subject, kind, status, alerts, events });
            self.shared.commit(Draft { record, blobs: Vec::new() }).await?;
        }
        Ok(())
    }

    fn each_deadline(
        &self,
        mut with: impl FnMut(&Subject, &Arc<ConfiguredCheck>, Nature, Timestamp),
    ) {
        let now = self.shared.clock.now();
        self.shared.store.read(&mut |state| {
            for (subject, of) in state.subjects.iter().filter(|(_, s)| !s.alerts.0.is_empty()) {
                let Some(live) = self.live.get(subject).filter(|live| !live.running) else {
                    continue;
                };
                let Some(check) = self.checks.get(&subject.check) else { continue };
                let people = state.people(subject, check.kind.name, &check.hand_on);
                let nature = live.nature(check);
                let policy = self.shared.ticking(check, people, now);
                if let Some(deadline) = alert::next_deadline(&of.alerts, &policy) {
                    with(subject, check, nature, deadline);
                }
            }
        });
    }

    /// How long there is nothing to do.
    fn wait(&self) -> Duration {
        let (now, uptime) = (self.shared.clock.now(), self.shared.clock.uptime());
        let mut wait = self.sweep;
        self.each_deadline(|_, _, _, deadline| wait = wait.min(between(now, deadline)));
        for (_, at) in self.live.values().filter(|live| !live.running).filter_map(|live| live.again)
        {
            wait = wait.min(at.since(uptime));
        }
        wait = wait.min(self.restate_at.since(uptime));
        let digest = attestd_checks::data::working_days().next_digest_time(now);
        wait = digest.map_or(wait, |digest| wait.min(between(now, digest)));
        wait.max(Duration::from_millis(10))
    }

    /// All remote targets unseen at once is this machine's own network: one alert, not a hundred (F7). When it is back,
    /// what was unseen is looked at again at once.
    fn look_at_network(&mut self) {
        self.listed |= self.listing.is_empty();
        if !self.listed {
            return;
        }
        let remote =
            |live: &Live| live.target.as_ref().is_ok_and(|target| target.nature != Nature::Local);
        let (mut all, mut unseen) = (0, Vec::new());
        self.shared.store.read(&mut |state| {
            for (subject, _) in self.live.iter().filter(|(_, live)| remote(live)) {
                let Some(last) = state.subjects.get(subject).and_then(|s| s.last.as_ref()) else {
                    continue;
                };
                all += 1;
                if last.unseen.is_some() {
                    unseen.push(subject.clone());
                }
            }
        });
        let down = all >= 2 && unseen.len() == all;
        if self.shared.network_down.swap(down, Ordering::Relaxed) && !down {
            for subject in unseen {
                self.start(&subject, Trigger::Again, None);
            }
        }
        let condition = down.then_some(&[][..]);
        if self.shared.conditions.set(crate::own::NETWORK_UNREACHABLE, None, condition) {
            self.look_at_own();
        }
    }

    /// A condition of the daemon's own changed.
    fn look_at_own(&mut self) {
        let own: Vec<Subject> = self
            .live
            .keys()
            .filter(|s| s.check.as_str() == crate::own::KIND.name)
            .cloned()
            .collect();
        for subject in own {
            self.start(&subject, Trigger::Change, None);
        }
    }

    async fn told(&mut self, message: Message) -> Result<(), StoreError> {
        match message {
            Message::Changed(files) if files.is_empty() => {
                self.look_at_own();
                let ends = |(id, check): (&CheckId, &Arc<ConfiguredCheck>)| {
                    check.check.ends().then(|| id.clone())
                };
                let said_of: Vec<CheckId> = self.checks.iter().filter_map(ends).collect();
                for id in said_of {
                    self.list(&id, Cause::Changed(Arc::default()));
                }
            }
            Message::Changed(files) => self.list_all(&Cause::Changed(Arc::new(files))),
            Message::Moved(check) => self.list(&check, Cause::Changed(Arc::default())),
            Message::Ask { subject, reply } => self.ask(subject, reply),
            Message::Say { of, said, note, document, user, reply } => {
                let saying = saying::Saying { said: *said, note, document, user };
                self.say(&of, saying, reply).await?;
            }
            Message::Configured { checks, index } => {
                self.shared.config.store(index, Ordering::Relaxed);
                self.checks = checks;
                self.restate_at = Uptime(Duration::ZERO);
                self.live.retain(|subject, live| {
                    self.checks.contains_key(&subject.check) || live.running
                });
                self.retire_unconfigured().await?;
                self.list_all(&Cause::Started);
            }
        }
        Ok(())
    }

    fn ask(&mut self, subject: Subject, reply: oneshot::Sender<Vec<Subject>>) {
        // Two channels: `asker` closes when every run it was cloned into has ended, `ran` collects which those were.
        let (asker, mut ended) = mpsc::channel(1);
        let (ran, mut subjects) = mpsc::channel(limits::TARGETS_MAX);
        if self.checks.contains_key(&subject.check) {
            self.list(&subject.check.clone(), Cause::Asked { subject, asker, ran });
        } else {
            drop((asker, ran));
        }
        tokio::spawn(async move {
            while ended.recv().await.is_some() {}
            let mut all = Vec::new();
            while let Some(subject) = subjects.recv().await {
                all.push(subject);
            }
            let _ = reply.send(all); // who asked may be gone
        });
    }

    /// Starts a run of a subject, or has it run again once the run in flight ends.
    fn start(&mut self, subject: &Subject, trigger: Trigger, asker: Option<mpsc::Sender<()>>) {
        let Some(check) = self.checks.get(&subject.check).cloned() else { return };
        let Some(live) = self.live.get_mut(subject) else { return };
        if live.running {
            // A slot that is still due when the run in flight ends is seen then.
            if !matches!(trigger, Trigger::Again | Trigger::Slot) {
                live.rerun = Some((trigger, asker));
            }
            return;
        }
        live.running = true;
        let target = live.target.clone();
        let slot = OnceLock::new();
        let mut job = Job {
            check,
            subject: subject.clone(),
            target,
            trigger,
            slot,
            delay: Duration::ZERO,
            asker,
        };
        if trigger == Trigger::Slot && job.nature() != Nature::Local {
            job.delay = self.shared.spread(&job.check);
        }
        let (job, shared) = (Arc::new(job), self.shared.clone());
        self.jobs.insert(subject.clone(), job.clone());
        self.runs.spawn(async move { run::perform(&shared, &job).await });
    }

    async fn ended(&mut self, ended: Ended) -> Result<(), StoreError> {
        let job = self.jobs.remove(&ended.subject);
        let uptime = self.shared.clock.uptime();
        let Some(live) = self.live.get_mut(&ended.subject) else { return Ok(()) };
        live.running = false;
        if live.gone {
            let kind = job.map_or("", |job| job.check.kind.name);
            return self.retire(&ended.subject, kind).await;
        }
        live.again = match (ended.unseen, live.again) {
            // What a window paused is looked at once it is closed.
            _ if ended.paused.is_some() => {
                let rest = ended.paused.map(|until| between(self.shared.clock.now(), until));
                Some((0, Uptime(uptime.0 + rest.unwrap_or_default())))
            }
            (None, later) => later,
            (Some(false), _) => None,
            (Some(true), None) => Some((0, Uptime(uptime.0 + limits::AGAIN[0]))),
            (Some(true), Some((n, at))) if at <= uptime => {
                let wait = |n: usize| limits::AGAIN.get(n).map(|wait| *wait - limits::AGAIN[n - 1]);
                // After the last look there is none before the next slot; `MAX` says so until something is seen.
                Some((
                    n + 1,
                    wait(n + 1).map_or(Uptime(Duration::MAX), |wait| Uptime(uptime.0 + wait)),
                ))
            }
            (Some(true), later) => later,
        };
        if let Some((trigger, asker)) = live.rerun.take() {
            self.start(&ended.subject, trigger, asker);
        }
        if ended.told {
            let same = |one: &&Subject| one.check == ended.subject.check;
            let all: Vec<Subject> = self.live.keys().filter(same).cloned().collect();
            all.iter().for_each(|one| self.start(one, Trigger::Change, None));
        }
        Ok(())
    }

    /// Ends within `STOP_MAX`: what is not done by then is dropped, and recorded as that.
    async fn stop(mut self) -> Result<(), StoreError> {
        let deadline = self.shared.clock.sleep(limits::STOP_MAX / 2);
        tokio::pin!(deadline);
        while self.jobs.values().any(|job| job.has_begun()) {
            tokio::select! {
                ended = self.runs.join_next() => match ended {
                    Some(Ok(ended)) => drop(self.jobs.remove(&ended?.subject)),
                    Some(Err(_)) => {}
                    None => break,
                },
                () = &mut deadline => break,
            }
        }
        self.runs.shutdown().await;
        let now = self.shared.clock.now();
        // A run that had not begun is not recorded: its slot stays due, and runs late after the next start.
        let records: Vec<Record> =
            self.jobs.values().filter_map(|job| run::dropped(job, now)).collect();
        for record in records {
            self.shared.commit(Draft { record, blobs: Vec::new() }).await?;
        }
        self.shared.store.write_accepted(now).await?;
        let record = Record::Stopped { at: now };
        self.shared.commit(Draft { record, blobs: Vec::new() }).await.map(drop)
    }
}
