//! The projection in sled: opened with care, believed only while every checksum and count holds, thrown away otherwise.

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestd_core::outbox::Queue;
use attestd_core::past::{STRETCH, Stretch};
use attestd_core::record::Record;
use attestd_core::state::State;

use crate::ballast;
use crate::fs;
use crate::layout::{self, Broken, Changes, Meta};
use crate::log::Log;
use crate::pending::Pending;
use crate::record;

/// The directory of the projection within the store's.
const DIRECTORY: &str = "sled";
/// What sled may keep in memory, in bytes, by its own count, which leaves much out: having made the projection of 100,000
/// records, the process held 50 MB with 8 MB here, and holds 26 MB with this.
const CACHE_MAX: u64 = 1 << 20;
/// How often sled writes on its own, in milliseconds; what it had not written is replayed from the log.
const FLUSH_EVERY: u64 = 500;
/// How often sled's lock is asked for, and how long is waited between: two seconds in all.
const LOCK_TRIES: usize = 200;
const LOCK_AGAIN: Duration = Duration::from_millis(10);
/// How many broken projections are kept to be studied.
const ASIDE_MAX: usize = 3;

/// The projection, open.
#[derive(Debug)]
pub(crate) struct Projection {
    pub(crate) db: sled::Db,
}

/// What a projection says is so.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The state as of the records it knows.
    pub state: State,
    /// What was accepted and the log does not know yet.
    pub pending: Pending,
}

impl Projection {
    /// Opens it, or an empty one in its place; says what had to be done for that.
    pub fn open(store: &Path) -> Result<(Projection, Vec<String>), Broken> {
        let directory = store.join(DIRECTORY);
        let mut mended = Vec::new();
        wait_for_lock(&directory);
        if move_snapshots(&directory, ".generating")? > 0 {
            mended.push("sled had left a half-written snapshot; it was set aside.".to_owned());
        }
        let error = match start(&directory) {
            Ok(projection) => return Ok((projection, mended)),
            Err(error) => error,
        };
        if move_snapshots(&directory, "")? > 0
            && let Ok(projection) = start(&directory)
        {
            mended.push(format!("sled opened only once its snapshots were set aside ({error})."));
            return Ok((projection, mended));
        }
        mended.push(format!("sled did not open ({error}). {}", move_aside(store)?));
        Ok((start(&directory)?, mended))
    }

    /// Lets go of a projection that is not believed, without the flush and the wait for sled's own thread: either may
    /// panic or never end. What it held in memory stays held until the process ends.
    pub fn abandon(self) {
        std::mem::forget(self);
    }

    /// Writes everything at once, or nothing.
    pub fn write(&self, changes: Changes) -> Result<(), Broken> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        contained(|| Ok(self.db.apply_batch(batch)?))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> Result<bool, Broken> {
        contained(|| Ok(self.db.iter().next().transpose()?.is_none()))
    }

    /// Reads what is so, if it fits the log and everything is there.
    pub fn load(&self, log: &Log) -> Result<Loaded, Broken> {
        contained(|| self.load_all(log))
    }

    fn load_all(&self, log: &Log) -> Result<Loaded, Broken> {
        let meta = meta(self)?;
        fits(&meta, log)?;
        let loaded = loaded(self, meta, log)?;
        self.check_newest(&loaded.state)?;
        Ok(loaded)
    }

    /// What is known of a stretch's times.
    pub(crate) fn stretch(&self, number: u64) -> Result<Stretch, Broken> {
        stretch(self, number)
    }
}

/// Keys and sealed values: sled's, or those of a remnant.
pub(crate) trait Pairs {
    /// The value under a key, without its CRC.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken>;
    /// Shows all of a section, in order, without their CRCs.
    fn each(&self, section: u8, look: &mut Look) -> Result<(), Broken>;
}

type Look<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Broken> + 'a;

impl Pairs for Projection {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let Some(sealed) = self.db.get(key)? else { return Ok(None) };
        Ok(Some(layout::unseal(key, &sealed)?.to_vec()))
    }

    fn each(&self, section: u8, look: &mut Look) -> Result<(), Broken> {
        for pair in self.db.scan_prefix([section]) {
            let (key, sealed) = pair?;
            look(&key, layout::unseal(&key, &sealed)?)?;
            // Sled gives pages up at each 64th access of a 256th of them. A scan accesses each once, and so kept all of it in
            // memory: 20 MB of 100,000 events that wait.
            self.db.get(&key)?;
        }
        Ok(())
    }
}

impl Pairs for Changes {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let Some(Some(sealed)) = self.0.get(key) else { return Ok(None) };
        Ok(Some(layout::unseal(key, sealed)?.to_vec()))
    }

    fn each(&self, section: u8, look: &mut Look) -> Result<(), Broken> {
        for (key, sealed) in self.0.range(vec![section]..vec![section + 1]) {
            let Some(sealed) = sealed else { continue };
            look(key, layout::unseal(key, sealed)?)?;
        }
        Ok(())
    }
}

/// What a remnant says was so at its end.
pub(crate) fn state_of(image: &Changes, log: &Log) -> Result<State, Broken> {
    Ok(loaded(image, meta(image)?, log)?.state)
}

fn meta(pairs: &impl Pairs) -> Result<Meta, Broken> {
    let value = pairs.get(layout::META)?.ok_or_else(|| Broken("it is unfinished".into()))?;
    layout::parse(layout::META, &value)
}

fn stretch(pairs: &impl Pairs, number: u64) -> Result<Stretch, Broken> {
    let value = pairs.get(&layout::stretch_key(number))?;
    let value = value.ok_or_else(|| Broken(format!("stretch {number} is missing")))?;
    let stretch = layout::read_stretch(&value);
    stretch.ok_or_else(|| Broken(format!("stretch {number} cannot be read")))
}

fn loaded(pairs: &impl Pairs, meta: Meta, log: &Log) -> Result<Loaded, Broken> {
    let mut loaded = Loaded::default();
    let state = &mut loaded.state;
    (state.origin, state.earlier) = (meta.origin, meta.earlier);
    state.size = meta.applied;
    state.config = meta.config;
    (state.clock_trusted, state.trusted_at) = (meta.clock_trusted, meta.trusted_at);
    (state.pruned, state.digests) = (meta.pruned, meta.digests);
    state.canaries = meta.canaries;
    state.stamped = meta.stamped;
    if let Ok(bytes) = log.read(meta.config)
        && let Ok(Record::Configured(configured)) = record::decode(meta.config, &bytes)
        && meta.config < meta.applied
    {
        (state.routes, state.labels) = (configured.routes, configured.labels);
    }
    pairs.each(layout::SUBJECT, &mut |key, value| {
        let name = layout::name(key)?;
        let subject = name.parse().map_err(|error| Broken(format!("{name}: {error}")))?;
        state.subjects.insert(subject, layout::parse(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::GONE, &mut |key, value| {
        let name = layout::name(key)?;
        let subject = name.parse().map_err(|error| Broken(format!("{name}: {error}")))?;
        state.gone.insert(subject, layout::number(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::SILENCES, &mut |key, value| {
        let index = layout::number(key, &key[1..])?;
        state.silences.insert(index, layout::parse(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::INCIDENTS, &mut |key, value| {
        let number = layout::number(key, &key[1..])?;
        state.incidents.all.insert(number, layout::parse(key, value)?);
        Ok(())
    })?;
    state.incidents.count = meta.incidents.1;
    pairs.each(layout::SAID, &mut |key, value| {
        let name = layout::name(key)?;
        let subject = name.parse().map_err(|error| Broken(format!("{name}: {error}")))?;
        state.said.0.insert(subject, layout::parse(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::CALENDAR, &mut |key, value| {
        let name = layout::name(key)?;
        let subject = name.parse().map_err(|error| Broken(format!("{name}: {error}")))?;
        state.calendar.0.insert(subject, layout::parse(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::NEWEST, &mut |key, value| {
        let newest = layout::number(key, value)?;
        let queue = Queue { newest, ..Queue::default() };
        state.outbox.0.insert(destination(layout::name(key)?)?, queue);
        Ok(())
    })?;
    pairs.each(layout::WAITING, &mut |key, value| {
        let (name, sequence) = layout::name_and_number(key)?;
        let queue = state.outbox.0.get_mut(&destination(name)?);
        let queue = queue.ok_or_else(|| Broken(format!("{name} has no newest number")))?;
        queue.waiting.insert(sequence, layout::parse(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::TOLD, &mut |key, value| {
        let both = layout::name(key)?.split_once('\0');
        let (name, alert) = both.ok_or_else(|| Broken("it knows an alert of nobody".into()))?;
        let queue = state.outbox.0.get_mut(&destination(name)?);
        let queue = queue.ok_or_else(|| Broken(format!("{name} has no newest number")))?;
        queue.told.insert(alert.to_owned(), layout::parse(key, value)?);
        Ok(())
    })?;
    pairs.each(layout::ACCEPTED, &mut |key, _| {
        let (name, sequence) = layout::name_and_number(key)?;
        loaded.pending.add(&destination(name)?, sequence);
        Ok(())
    })?;
    if let Some(newest) = state.size.checked_sub(1) {
        state.stretch = stretch(pairs, newest / STRETCH)?;
    }
    let outbox = &state.outbox;
    let (subjects, said) = (state.subjects.len(), state.said.0.len());
    let (dated, incidents) = (state.calendar.0.len(), state.incidents.all.len());
    let known = (subjects, said, dated, state.silences.len(), incidents);
    let found = (known, outbox.0.len(), outbox.len(), outbox.told());
    let known = (meta.subjects, meta.said, meta.dated, meta.silences, meta.incidents.0);
    let stated = (known, meta.destinations, meta.waiting, meta.told);
    if found != stated {
        return Err(Broken(format!(
            "it says it has {stated:?} subjects, subjects spoken of, dates, silences and incidents, destinations, events and known alerts, and has {found:?}"
        )));
    }
    Ok(loaded)
}

impl From<sled::Error> for Broken {
    fn from(error: sled::Error) -> Broken {
        Broken(format!("sled: {error}"))
    }
}

/// Calls into sled, which panics on some damage.
pub(crate) fn contained<T>(call: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Broken(format!("sled panicked: {}", text.unwrap_or("without a word"))))
    })
}

/// Moves a broken projection out of the way; says where to.
pub(crate) fn move_aside(store: &Path) -> Result<String, Broken> {
    let from = store.join(DIRECTORY);
    if !ballast::has_room(store) {
        std::fs::remove_dir_all(&from).map_err(fs::at("remove", &from)).map_err(broken)?;
        return Ok("It was removed: there is no room on the disk to keep it.".to_owned());
    }
    let aside = (0..ASIDE_MAX).map(|n| store.join(format!("sled.corrupt-{n}")));
    match aside.into_iter().find(|path| !path.exists()) {
        Some(to) => {
            fs::rename(&from, &to).map_err(broken)?;
            Ok(format!("It was set aside as {}.", to.display()))
        }
        None => {
            std::fs::remove_dir_all(&from).map_err(fs::at("remove", &from)).map_err(broken)?;
            Ok(format!("It was removed: {ASIDE_MAX} such are kept already."))
        }
    }
}

/// Sled's own threads may hold its lock for a moment after it was closed in this process. Nobody else can: ours is held.
#[expect(clippy::disallowed_methods, reason = "nothing tells when sled's threads let go")]
fn wait_for_lock(directory: &Path) {
    let Ok(file) = File::open(directory.join("db")) else { return };
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            _ => return,
        }
    }
}

fn start(directory: &Path) -> Result<Projection, Broken> {
    contained(|| {
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(CACHE_MAX)
            .flush_every_ms(Some(FLUSH_EVERY));
        Ok(Projection { db: config.open()? })
    })
}

/// Moves snapshots whose name ends so into a directory beside them; sled rebuilds them.
fn move_snapshots(directory: &Path, ending: &str) -> Result<usize, Broken> {
    if !directory.is_dir() {
        return Ok(0);
    }
    let names = fs::names(directory).map_err(broken)?;
    let is_one = |name: &&String| name.starts_with("snap.") && name.ends_with(ending);
    let found: Vec<&String> = names.iter().filter(is_one).collect();
    let aside: PathBuf = directory.join("snapshots-aside");
    for name in &found {
        fs::create_dir(&aside).map_err(broken)?;
        fs::rename(&directory.join(name), &aside.join(name)).map_err(broken)?;
    }
    Ok(found.len())
}

fn fits(meta: &Meta, log: &Log) -> Result<(), Broken> {
    if meta.version != layout::VERSION {
        return Err(Broken(format!("it has layout {}", meta.version)));
    }
    if meta.applied > log.len() {
        return Err(Broken(format!("it knows {} records of {}", meta.applied, log.len())));
    }
    match meta.applied.checked_sub(1).map(|newest| log.crc(newest)) {
        None => Ok(()),
        Some(Ok(crc)) if crc == meta.crc => Ok(()),
        Some(_) => Err(Broken("it was made of another log".to_owned())),
    }
}

fn destination(name: &str) -> Result<attestd_core::name::DestinationName, Broken> {
    name.parse().map_err(|error| Broken(format!("{name}: {error}")))
}

fn broken(error: fs::FsError) -> Broken {
    Broken(fs::chain(&error))
}
