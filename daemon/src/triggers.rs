//! The cron side of the triggers: tokio-cron-scheduler with one job for each distinct schedule, kept right by a store
//! of its ticks that computes every one of them with our own schedules (ARCHITECTURE.md, Decisions).
//!
//! A tick says no more than "look at what is due": which slots those are is decided by `core::schedule` from what is
//! recorded, so a tick that is lost, late or doubled loses nothing and runs nothing twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::schedule::Schedule;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, Timestamp};
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio_cron_scheduler::job::job_data::{JobAndNextTick, JobStoredData};
use tokio_cron_scheduler::store::{DataStore, InitStore};
use tokio_cron_scheduler::{
    Job, JobScheduler, JobSchedulerError, MetaDataStorage, SimpleJobCode, SimpleNotificationCode,
    SimpleNotificationStore,
};
use uuid::Uuid;

/// Jobs due in one second are lost beyond the scheduler's channel; ours are a handful of distinct schedules.
const CHANNEL: usize = 4096;
/// Adding a job can hang for ever when the scheduler's own loop has ended.
const ADD_MAX: Duration = Duration::from_secs(5);

/// Why the triggers could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// The scheduler refused.
    #[error("the cron scheduler could not be started")]
    Scheduler(#[from] JobSchedulerError),
    /// The scheduler does not answer.
    #[error("the cron scheduler did not take a job within {} s", ADD_MAX.as_secs())]
    Hangs,
}

/// The running scheduler; its jobs end with `stop`.
pub struct CronTriggers {
    scheduler: JobScheduler,
}

impl CronTriggers {
    /// Starts one job for each distinct schedule; each tick wakes `due`.
    pub async fn start(
        schedules: Vec<Schedule>,
        clock: Arc<dyn Clock>,
        due: Arc<Notify>,
    ) -> Result<CronTriggers, TriggerError> {
        let ticks = Ticks::new(clock);
        let scheduler = JobScheduler::new_with_storage_and_code(
            Box::new(ticks.clone()),
            Box::new(SimpleNotificationStore::default()),
            Box::new(SimpleJobCode::default()),
            Box::new(SimpleNotificationCode::default()),
            CHANNEL,
        )
        .await?;
        let mut distinct: Vec<Schedule> = Vec::new();
        for schedule in schedules {
            if !distinct.contains(&schedule) {
                distinct.push(schedule);
            }
        }
        for schedule in distinct {
            let due = due.clone();
            // The line is never used: `Ticks` computes each tick from the schedule.
            let job = Job::new_async_tz("0 * * * * *", Utc, move |_, _| {
                let due = due.clone();
                Box::pin(async move { due.notify_one() })
            })?;
            ticks.schedule(job.guid(), schedule);
            tokio::time::timeout(ADD_MAX, scheduler.add(job))
                .await
                .map_err(|_| TriggerError::Hangs)??;
        }
        scheduler.start().await?;
        Ok(CronTriggers { scheduler })
    }

    /// Ends the jobs.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "The cron scheduler did not stop.");
        }
    }
}

/// The scheduler's ticks, each from our own schedule: right over clock changes, and never beyond the next occurrence
/// from now, whichever way the clock jumped.
#[derive(Clone)]
struct Ticks {
    clock: Arc<dyn Clock>,
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Default)]
struct Jobs {
    schedules: HashMap<Uuid, Schedule>,
    data: HashMap<Uuid, JobStoredData>,
    listed_at: Option<Timestamp>,
}

/// Between two listings (each half second) the clock moves by about that; anything else was a jump.
const JUMP: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

type Answer<T> = BoxFuture<'static, Result<T, JobSchedulerError>>;

impl Ticks {
    fn new(clock: Arc<dyn Clock>) -> Ticks {
        Ticks { clock, jobs: Arc::default() }
    }

    fn schedule(&self, id: Uuid, schedule: Schedule) {
        self.lock().schedules.insert(id, schedule);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().expect("nothing panics while it holds this lock")
    }

    fn list(&self) -> Vec<JobAndNextTick> {
        let now = self.clock.now();
        let mut jobs = self.lock();
        let jobs = &mut *jobs;
        let moved = jobs.listed_at.map(|then| now.duration_since(then));
        let jumped = moved.is_none_or(|moved| moved.is_negative() || moved > JUMP);
        jobs.listed_at = Some(now);
        let list = jobs.data.iter_mut().map(|(id, data)| {
            if jumped && let Some(next) = jobs.schedules.get(id).and_then(|s| s.next_after(now)) {
                let next = seconds(next);
                data.next_tick = if data.next_tick == 0 { next } else { data.next_tick.min(next) };
                data.last_tick = data.last_tick.filter(|last| *last <= seconds(now));
            }
            JobAndNextTick {
                id: data.id,
                next_tick: data.next_tick,
                last_tick: data.last_tick,
                job_type: data.job_type,
            }
        });
        list.collect()
    }

    fn ticked(&self, id: Uuid) -> Result<(), JobSchedulerError> {
        let now = self.clock.now();
        let mut jobs = self.lock();
        let next = jobs.schedules.get(&id).and_then(|schedule| schedule.next_after(now));
        let data = jobs.data.get_mut(&id).ok_or(JobSchedulerError::UpdateJobData)?;
        data.next_tick = next.map_or(0, seconds);
        data.last_tick = Some(seconds(now));
        Ok(())
    }

    fn add(&self, mut data: JobStoredData) {
        let Some(id) = data.id.as_ref().map(Uuid::from) else { return };
        let mut jobs = self.lock();
        let known = jobs.data.contains_key(&id);
        if !known && let Some(schedule) = jobs.schedules.get(&id) {
            data.next_tick = schedule.next_after(self.clock.now()).map_or(0, seconds);
        }
        jobs.data.insert(id, data);
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or(0)
}

fn ready<T: Send + 'static>(value: Result<T, JobSchedulerError>) -> Answer<T> {
    Box::pin(std::future::ready(value))
}

impl InitStore for Ticks {
    fn init(&mut self) -> Answer<()> {
        ready(Ok(()))
    }

    fn inited(&mut self) -> Answer<bool> {
        ready(Ok(true))
    }
}

impl DataStore<JobStoredData> for Ticks {
    fn get(&mut self, id: Uuid) -> Answer<Option<JobStoredData>> {
        ready(Ok(self.lock().data.get(&id).cloned()))
    }

    fn add_or_update(&mut self, data: JobStoredData) -> Answer<()> {
        self.add(data);
        ready(Ok(()))
    }

    fn delete(&mut self, id: Uuid) -> Answer<()> {
        self.lock().data.remove(&id);
        ready(Ok(()))
    }
}

impl MetaDataStorage for Ticks {
    fn list_next_ticks(&mut self) -> Answer<Vec<JobAndNextTick>> {
        ready(Ok(self.list()))
    }

    fn set_next_and_last_tick(
        &mut self,
        id: Uuid,
        _next: Option<DateTime<Utc>>,
        _last: Option<DateTime<Utc>>,
    ) -> Answer<()> {
        ready(self.ticked(id))
    }

    fn time_till_next_job(&mut self) -> Answer<Option<Duration>> {
        let now = seconds(self.clock.now());
        let next = self.lock().data.values().map(|data| data.next_tick).filter(|t| *t > now).min();
        ready(Ok(next.map(|next| Duration::from_secs(next - now))))
    }
}
