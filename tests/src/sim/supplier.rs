//! A supplier whose register people keep, watched through years of simulated time by the daemon's real checks: what is
//! told to whom, day by day.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd::config;
use attestd::delivery::{Destination, EmitError, Emitter};
use attestd::monitor::Message;
use attestd::rules::Rules;
use attestd_core::event::Delivery;
use attestd_core::obligation::today;
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, Date, Status, Subject, Timestamp};
use attestd_storage::MemoryStore;
use tempfile::TempDir;

use super::clock::SimClock;
use super::life::{Begins, Life};

/// Cron ticks come so often; deadlines of alerts and delivery's times are their own.
const TICK: Duration = Duration::from_secs(3 * 3600);

/// A mail as it went.
#[derive(Debug, Clone)]
pub struct Mail {
    /// To whom, as `mail:PERSON`.
    pub to: String,
    /// When.
    pub at: Timestamp,
    /// What it tells.
    pub tells: Vec<Delivery>,
}

/// The supplier, its files and its daemon.
pub struct Supplied {
    /// The clock.
    pub clock: Arc<SimClock>,
    /// Every mail.
    pub mails: Arc<Mutex<Vec<Mail>>>,
    directory: TempDir,
    store: Arc<MemoryStore>,
    life: Option<Life>,
}

/// Takes every mail, which must stand in the outbox.
struct Postbox {
    mails: Arc<Mutex<Vec<Mail>>>,
    clock: Arc<SimClock>,
    store: Arc<MemoryStore>,
}

impl Emitter for Postbox {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        for delivery in deliveries {
            let waiting = self.store.waiting(&delivery.destination, delivery.sequence, 1);
            let first = waiting.expect("the store can be read").pop();
            assert_eq!(first.as_ref(), Some(delivery), "what is told waits in the outbox");
        }
        let to = deliveries[0].destination.to_string();
        let mail = Mail { to, at: self.clock.now(), tells: deliveries.to_vec() };
        self.mails.lock().expect("whole").push(mail);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Supplied {
    /// One that begins at `base`, without files yet.
    pub fn new(base: Timestamp) -> Supplied {
        Supplied {
            clock: Arc::new(SimClock::new(base)),
            mails: Arc::default(),
            directory: tempfile::tempdir().expect("a directory"),
            store: Arc::new(MemoryStore::new()),
            life: None,
        }
    }

    /// Today in London.
    pub fn today(&self) -> Date {
        today(self.clock.now())
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Somebody writes a file; the daemon, where it runs, sees that it changed.
    pub async fn write(&self, name: &str, text: &str) {
        let file = self.file(name);
        std::fs::create_dir_all(file.parent().expect("it lies in the directory")).expect("made");
        std::fs::write(&file, text).expect("written");
        // An export without a time in its name is as old as its file.
        let written = std::fs::File::options().write(true).open(&file).expect("it opens");
        written.set_modified(self.clock.now().into()).expect("its time can be set");
        if let Some(life) = &self.life {
            let changed = [file.clone(), file.parent().expect("as above").to_owned()].into();
            life.tell.send(Message::Changed(changed)).await.expect("the monitor runs");
        }
    }

    /// The daemon starts, with the configuration as it is now.
    pub async fn start(&mut self) {
        let path = self.file("attestd.toml");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        let config = config::parse(&path, text).unwrap_or_else(|error| panic!("{error}"));
        let clock: Arc<dyn Clock> = self.clock.clone();
        let postbox = Arc::new(Postbox {
            mails: self.mails.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
        });
        let real = config.telling.destinations(&[], "", None, &clock);
        let destinations =
            real.into_iter().map(|one| Destination { emitter: postbox.clone(), ..one }).collect();
        let begins = Begins {
            checks: config.checks,
            text: config.text,
            routes: config.telling.routes,
            rules: Rules { people: config.people, windows: config.windows },
            destinations,
            canaries: Default::default(),
            keeps: false, // it would wake each second of five years
            sweep: TICK,
            seed: 1,
        };
        let begun = Life::begin(clock, self.store.clone(), begins).await;
        self.life = Some(begun.expect("the store can be written"));
    }

    /// The daemon stops.
    pub async fn stop(&mut self) {
        self.life.take().expect("it runs").stop().await;
        self.store = Arc::new(self.store.crash(true));
    }

    /// Time passes, whether the daemon runs or not.
    pub async fn pass(&mut self, time: Duration) {
        let end = self.clock.uptime().0 + time;
        while self.clock.uptime().0 < end {
            let step = TICK.min(end - self.clock.uptime().0);
            match &self.life {
                None => tokio::time::sleep(step).await,
                Some(life) => tokio::select! {
                    () = tokio::time::sleep(step) => life.tick(),
                    () = life.told() => {}
                },
            }
        }
    }

    /// How every subject stands, by its name.
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        let mut statuses = BTreeMap::new();
        self.store.read(&mut |state| {
            let status = |(subject, of): (&Subject, &attestd_core::state::SubjectState)| {
                Some((subject.to_string(), of.last.as_ref()?.status))
            };
            statuses = state.subjects.iter().filter_map(status).collect();
        });
        statuses
    }
}
