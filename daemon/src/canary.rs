//! Canaries: test alerts that show whether what is told arrives. Weekly where the destination can be asked whether it has
//! them, quarterly where a person has to look; that one arrived is a record.

pub mod asking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::{Addressed, AlertEvent, Change};
use attestd_core::record::{Arrived, Canary, Record};
use attestd_core::state::{Canaries, State};
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::{Trust, Uptime, after};
use attestd_core::{DestinationName, FindingSpec, Means, Severity, Status, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::monitor::Message;
use crate::monitor::shared::Shared;
use crate::own;
use asking::Asker;

/// The row of a canary in the catalogue.
pub const CANARY: FindingSpec = FindingSpec {
    code: "canary",
    means: Means::Note,
    severity: Severity::Notice,
    message: "a test of whether what attestd tells arrives: nothing is wrong",
    remedy: "{remedy}",
    reference: "attestd semantics D9",
};

/// The code of the finding that no canary arrived.
pub const UNCONFIRMED: &str = "canary_unconfirmed";

/// Its row.
pub const UNCONFIRMED_SPEC: FindingSpec = FindingSpec {
    code: UNCONFIRMED,
    means: Means::Warn,
    severity: Severity::Warning,
    message: "nothing shows that what is told arrives at {component}: no test alert was confirmed since {since}",
    remedy: "look whether {component} shows test alerts, and mend it, or its `canary_query`; a person who sees one says so with `attestd canary confirm {component} --by PERSON`",
    reference: "attestd semantics D9",
};

/// How it is found out whether a canary arrived.
#[derive(Clone)]
pub enum Way {
    /// The destination is asked.
    Asked(Arc<dyn Asker>),
    /// A person looks.
    Person,
}

/// How it is found out, for each destination that has canaries.
pub type Ways = BTreeMap<DestinationName, Way>;

/// How the canaries of one destination stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryView {
    /// The destination.
    pub destination: DestinationName,
    /// Whether it is asked; else a person looks.
    pub asked: bool,
    /// When the newest was sent.
    pub sent: Option<Timestamp>,
    /// Whether that one waits in the outbox still.
    pub waits: bool,
    /// When the newest that arrived was confirmed.
    pub confirmed: Option<Timestamp>,
    /// From when on it is overdue that one arrives.
    pub overdue_at: Timestamp,
}

/// What is to be done about one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    Send,
    Ask,
}

/// Until cancelled.
pub async fn run(
    shared: Arc<Shared>,
    ways: watch::Receiver<Arc<Ways>>,
    monitor: mpsc::Sender<Message>,
    cancel: CancellationToken,
) {
    let mut asked: BTreeMap<DestinationName, (u64, u32, Uptime)> = BTreeMap::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = shared.clock.sleep(LOOK_EVERY) => {}
        }
        let ways = ways.borrow().clone();
        if shared.trust() != Trust::Trusted {
            continue; // what is due by date waits for a date
        }
        let looked = tokio::select! {
            () = cancel.cancelled() => return,
            looked = look(&shared, &ways, &mut asked) => looked,
        };
        match looked {
            Ok(false) => {}
            // It may be gone.
            Ok(true) => drop(monitor.send(Message::Changed(Default::default())).await),
            Err(error) => tracing::error!(%error, "A canary could not be recorded."), // the monitor ends for it
        }
    }
}

/// Sends, asks and says what is overdue; whether the last changed anything.
async fn look(
    shared: &Shared,
    ways: &Ways,
    asked: &mut BTreeMap<DestinationName, (u64, u32, Uptime)>,
) -> Result<bool, StoreError> {
    let now = shared.clock.now();
    let mut changed = false;
    for (name, way) in ways {
        let mut stand = Canaries::default();
        let (mut waits, mut known) = (false, false);
        shared.store.read(&mut |state| {
            known = state.canaries.contains_key(name);
            stand = state.canaries.get(name).cloned().unwrap_or_default();
            waits = is_waiting(state, name, &stand);
        });
        if !known {
            continue;
        }
        match (next(way, &stand, waits, now), way) {
            (Next::Send, _) => drop(send(shared, name, way).await?),
            (Next::Ask, Way::Asked(asker)) => ask(shared, name, &**asker, &stand, asked).await?,
            _ => {}
        }
        let overdue = now >= overdue_at(way, &stand);
        let since = stand.confirmed.unwrap_or(stand.since);
        let values = [("since", attestd_core::obligation::today(since).to_string())];
        let values = overdue.then_some(&values[..]);
        changed |= shared.conditions.set(UNCONFIRMED, Some(name.as_str()), values);
    }
    let served = ways.keys().map(ToString::to_string).collect();
    Ok(changed | shared.conditions.clear_others(UNCONFIRMED, &served))
}

/// Asks a destination whether it has the newest; each time after twice the wait, up to an hour.
async fn ask(
    shared: &Shared,
    name: &DestinationName,
    asker: &dyn Asker,
    stand: &Canaries,
    asked: &mut BTreeMap<DestinationName, (u64, u32, Uptime)>,
) -> Result<(), StoreError> {
    let Some((index, _)) = stand.sent else { return Ok(()) };
    let uptime = shared.clock.uptime();
    let before = asked.get(name).copied().filter(|(of, _, _)| *of == index);
    let (times, at) = before.map_or((0, uptime), |(_, times, at)| (times, at));
    let wait = LOOK_EVERY.saturating_mul(2_u32.saturating_pow(times)).min(ASK_EVERY_MAX);
    if before.is_some() && uptime.since(at) < wait {
        return Ok(());
    }
    asked.insert(name.clone(), (index, times.saturating_add(1), uptime));
    let mut id = String::new();
    shared.store.read(&mut |state| id = state.event_id_at(index, 0));
    match asker.has(&id).await {
        Ok(true) => {
            let arrived = Some(Arrived { destination: name.clone(), of: index });
            commit(shared, Vec::new(), arrived).await.map(drop)
        }
        Ok(false) => Ok(()),
        Err(error) => {
            tracing::warn!(destination = %name, %error, "It cannot be asked whether its test alert arrived.");
            Ok(())
        }
    }
}

/// Sends one; the index of its record.
pub async fn send(shared: &Shared, name: &DestinationName, way: &Way) -> Result<u64, StoreError> {
    let remedy = match way {
        Way::Asked(_) => "nothing: attestd asks by itself whether it arrived".to_owned(),
        Way::Person => format!("say that you saw it: attestd canary confirm {name} --by PERSON"),
    };
    let finding = CANARY.finding().with("remedy", remedy);
    let event = AlertEvent::new(Change::Canary, finding, Severity::Notice, shared.clock.now());
    let to = vec![Addressed { destination: name.clone(), sequence: 0 }];
    commit(shared, vec![AlertEvent { to, ..event }], None).await
}

async fn commit(
    shared: &Shared,
    events: Vec<AlertEvent>,
    arrived: Option<Arrived>,
) -> Result<u64, StoreError> {
    let (at, subject, kind) = (shared.clock.now(), own::subject(), own::KIND.name.to_owned());
    let status = shared.state(&subject).map_or(Status::Unknown, |own| own.status(at));
    let record = Record::Canary(Canary { at, subject, kind, status, events, arrived });
    Ok(shared.commit(Draft { record, blobs: Vec::new() }).await?.index)
}

/// How every destination stands.
pub fn list(state: &State, ways: &Ways) -> Vec<CanaryView> {
    let one = |(name, way): (&DestinationName, &Way)| {
        let stand = state.canaries.get(name).cloned().unwrap_or_default();
        CanaryView {
            destination: name.clone(),
            asked: matches!(way, Way::Asked(_)),
            sent: stand.sent.map(|(_, at)| at),
            waits: is_waiting(state, name, &stand),
            confirmed: stand.confirmed,
            overdue_at: overdue_at(way, &stand),
        }
    };
    ways.iter().map(one).collect()
}

fn is_waiting(state: &State, name: &DestinationName, stand: &Canaries) -> bool {
    let Some((index, _)) = stand.sent else { return false };
    let queue = state.outbox.0.get(name);
    queue.is_some_and(|queue| queue.waiting.values().any(|waiting| waiting.index == index))
}

fn next(way: &Way, stand: &Canaries, waits: bool, now: Timestamp) -> Next {
    let (every, first) = match way {
        Way::Asked(_) => (EVERY_ASKED, after(stand.since, FIRST_ASKED)),
        Way::Person => (EVERY_PERSON, after(stand.since, EVERY_PERSON)),
    };
    let due = stand.sent.map_or(first, |(_, sent)| after(sent, every));
    match way {
        // One that waits says enough: others would only wait behind it.
        _ if due <= now && !waits => Next::Send,
        Way::Asked(_) if stand.sent.is_some() && !stand.arrived && !waits => Next::Ask,
        _ => Next::Nothing,
    }
}

fn overdue_at(way: &Way, stand: &Canaries) -> Timestamp {
    let (every, grace) = match way {
        Way::Asked(_) => (EVERY_ASKED, GRACE_ASKED),
        Way::Person => (EVERY_PERSON, GRACE_PERSON),
    };
    after(stand.confirmed.unwrap_or(stand.since), every + grace)
}

/// How often it is looked at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a destination that can be asked gets one.
const EVERY_ASKED: Duration = Duration::from_secs(7 * 86_400);
/// When it gets the first: who has just configured it is still trying it out.
const FIRST_ASKED: Duration = Duration::from_secs(3600);
/// How often one that a person looks at does: a quarter.
const EVERY_PERSON: Duration = Duration::from_secs(92 * 86_400);
/// How long a destination may take to show it: a store that is down for a day is told of otherwise.
const GRACE_ASKED: Duration = Duration::from_secs(86_400);
/// How long a person may: a holiday.
const GRACE_PERSON: Duration = Duration::from_secs(21 * 86_400);
/// The longest between two times that it is asked.
const ASK_EVERY_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Asker for Nowhere {
        fn has<'a>(&'a self, _: &'a str) -> attestd_core::BoxFuture<'a, Result<bool, String>> {
            Box::pin(async { Err("nobody is there".to_owned()) })
        }
    }

    fn day(day: u64) -> Timestamp {
        let begin: Timestamp = "2026-11-23T00:00:00Z".parse().expect("a timestamp");
        after(begin, Duration::from_secs(day * 86_400))
    }

    #[test]
    fn one_goes_each_week_or_quarter_and_its_absence_is_overdue() {
        let asked = Way::Asked(Arc::new(Nowhere));
        let person = Way::Person;
        /// How it is found out; the days on which one was sent, and confirmed; whether it arrived, or waits; the day; what
        /// is next; whether one is overdue; why.
        type Row<'a> = (&'a Way, [Option<u64>; 2], [bool; 2], u64, Next, bool, &'a str);
        let rows: &[Row<'_>] = &[
            (
                &asked,
                [None, None],
                [false, false],
                0,
                Next::Nothing,
                false,
                "not in its first hour",
            ),
            (&asked, [None, None], [false, false], 1, Next::Send, false, "the first"),
            (&asked, [Some(1), None], [false, true], 2, Next::Nothing, false, "it waits"),
            (&asked, [Some(1), None], [false, false], 2, Next::Ask, false, "it was accepted"),
            (&asked, [Some(1), Some(1)], [true, false], 7, Next::Nothing, false, "it arrived"),
            (&asked, [Some(1), Some(1)], [true, false], 8, Next::Send, false, "a week later"),
            (&asked, [Some(8), Some(1)], [false, false], 9, Next::Ask, true, "eight days without"),
            (
                &asked,
                [Some(1), None],
                [false, true],
                9,
                Next::Nothing,
                true,
                "none is sent behind one that waits",
            ),
            (
                &asked,
                [Some(1), None],
                [false, false],
                9,
                Next::Send,
                true,
                "what was lost is tried again",
            ),
            (
                &person,
                [None, None],
                [false, false],
                91,
                Next::Nothing,
                false,
                "a quarter is longer",
            ),
            (&person, [None, None], [false, false], 92, Next::Send, false, "a quarter"),
            (
                &person,
                [Some(92), None],
                [false, false],
                112,
                Next::Nothing,
                false,
                "three weeks to look",
            ),
            (&person, [Some(92), None], [false, false], 113, Next::Nothing, true, "and not longer"),
            (
                &person,
                [Some(92), Some(95)],
                [true, false],
                184,
                Next::Send,
                false,
                "the next quarter",
            ),
            (
                &person,
                [Some(92), Some(95)],
                [true, false],
                208,
                Next::Send,
                true,
                "nobody looked again",
            ),
        ];
        for (way, [sent, confirmed], [arrived, waits], now, expected, overdue, why) in rows {
            let stand = Canaries {
                since: day(0),
                sent: sent.map(|on| (7, day(on))),
                arrived: *arrived,
                confirmed: confirmed.map(day),
            };
            assert_eq!(next(way, &stand, *waits, day(*now)), *expected, "{why}");
            assert_eq!(day(*now) >= overdue_at(way, &stand), *overdue, "{why}");
        }
        println!("{} ways for a test alert to go", rows.len());
    }
}
