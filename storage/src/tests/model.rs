//! The store on disk against the store in memory: whatever is done, both say the same.

use attestd_core::event::Change;
use attestd_core::name::DestinationName;
use attestd_core::record::Record;
use attestd_core::store::{Store, StoreError};
use proptest::prelude::*;

use super::store::{indexes, state};
use crate::testing::{
    acted, at, attested, closed, configured, draft, opened, query, run, same, silence, stamped,
    start, take, ticked, told, wait, widened,
};
use crate::{MemoryStore, SledStore};

#[derive(Debug, Clone)]
enum Act {
    Run(u8, Option<Change>),
    Same(u8),
    Tick(u8, Change),
    Retire(u8),
    Take(u8),
    Silence(u8),
    End(u8),
    Attest(u8, i8),
    Stamp,
    Incident(u8),
    Configure(bool),
    Acknowledge(bool, u8),
    Tell,
    Prune(u8, u8),
    Reopen,
    LoseSled,
}

const SUBJECTS: [&str; 4] = ["tls/a", "tls/b", "tls-2/a", "tls"];
const DESTINATIONS: [&str; 2] = ["otlp", "mail:ada"];

fn act() -> impl Strategy<Value = Act> {
    let change = prop_oneof![
        Just(Change::Opened),
        Just(Change::Repeated),
        Just(Change::Worsened),
        Just(Change::Resolved)
    ];
    prop_oneof![
        6 => (0..4u8, prop::option::of(change.clone())).prop_map(|(s, c)| Act::Run(s, c)),
        4 => any::<u8>().prop_map(Act::Same),
        2 => (0..4u8, change).prop_map(|(s, c)| Act::Tick(s, c)),
        1 => (0..4u8).prop_map(Act::Retire),
        1 => (0..4u8).prop_map(Act::Take),
        1 => any::<u8>().prop_map(Act::Silence),
        1 => any::<u8>().prop_map(Act::End),
        1 => (0..4u8, 1..28i8).prop_map(|(s, d)| Act::Attest(s, d)),
        1 => Just(Act::Stamp),
        2 => (0..9u8).prop_map(Act::Incident),
        1 => any::<bool>().prop_map(Act::Configure),
        4 => (any::<bool>(), 0..20u8).prop_map(|(d, s)| Act::Acknowledge(d, s)),
        1 => Just(Act::Tell),
        1 => (any::<u8>(), 0..6u8).prop_map(|(m, l)| Act::Prune(m, l)),
        1 => Just(Act::Reopen),
        1 => Just(Act::LoseSled),
    ]
}

/// Both stores, and the minute it is.
struct Pair {
    directory: tempfile::TempDir,
    sled: Option<SledStore>,
    memory: MemoryStore,
    minute: u64,
}

impl Pair {
    fn commit(&mut self, record: &Record) {
        let on_disk = wait(self.sled().commit(draft(record.clone())));
        let in_memory = wait(self.memory.commit(draft(record.clone())));
        match (on_disk, in_memory) {
            (Ok(a), Ok(b)) => assert_eq!(a, b),
            (Err(StoreError::Missing(a)), Err(StoreError::Missing(b))) => assert_eq!(a, b),
            differing => panic!("{differing:?}"),
        }
    }

    fn sled(&self) -> &SledStore {
        self.sled.as_ref().expect("open between acts")
    }

    fn reopen(&mut self) {
        let (store, mended) = SledStore::open(self.directory.path()).expect("it opens");
        let lost = mended.iter().all(|text| text.contains("was missing"));
        assert!(lost, "{mended:?}");
        self.sled = Some(store);
    }

    fn act(&mut self, act: &Act) {
        self.minute += 1;
        let n = self.minute;
        match act {
            Act::Run(subject, change) => self.commit(&run(name(*subject), n, *change)),
            Act::Same(of) => {
                let size = state(&self.memory).size;
                self.commit(&same(size.saturating_sub(1 + u64::from(of % 8)), n));
            }
            Act::Tick(subject, change) => {
                self.commit(&Record::Ticked(ticked(name(*subject), n, *change)));
            }
            Act::Retire(subject) => {
                self.commit(&Record::Retired(ticked(name(*subject), n, Change::Retired)));
            }
            Act::Take(subject) => self.commit(&acted(name(*subject), n, take(n + 50))),
            Act::Silence(minutes) => {
                self.commit(&acted("tls/a", n, silence(n + u64::from(*minutes))));
            }
            Act::End(back) => {
                let of = state(&self.memory).size.saturating_sub(1 + u64::from(back % 8));
                self.commit(&acted("tls/b", n, attestd_core::act::Act::End { of }));
            }
            Act::Attest(subject, day) => {
                self.commit(&attested(name(*subject), n, *day));
            }
            Act::Stamp => self.commit(&stamped(n)),
            Act::Incident(what) => {
                let next = state(&self.memory).incidents.next();
                let number = next.saturating_sub(u64::from(what / 4)).max(1);
                let said = [opened, told, widened, closed][usize::from(what % 4)];
                self.commit(&acted(&format!("incident/{number}"), n, said(number)));
            }
            Act::Configure(both) => {
                self.commit(&configured(if *both { &DESTINATIONS } else { &DESTINATIONS[..1] }));
            }
            Act::Acknowledge(second, sequence) => {
                let destination = destination(usize::from(*second));
                let sequence = u64::from(*sequence);
                self.sled().acknowledge(&destination, sequence).expect("acknowledged");
                self.memory.acknowledge(&destination, sequence).expect("acknowledged");
            }
            Act::Tell => {
                wait(self.sled().write_accepted(at(n))).expect("told");
                wait(self.memory.write_accepted(at(n))).expect("told");
            }
            Act::Prune(minutes, limit) => {
                let (before, limit) = (at(u64::from(minutes % 64)), usize::from(*limit));
                let pruned = self.sled().prune(before, limit).expect("pruned");
                assert_eq!(pruned, self.memory.prune(before, limit).expect("pruned"));
            }
            Act::Reopen => {
                self.sled = None;
                self.reopen();
            }
            Act::LoseSled => {
                self.sled = None;
                std::fs::remove_dir_all(self.directory.path().join("sled")).expect("removed");
                self.memory = self.memory.crash(false);
                self.reopen();
            }
        }
    }

    fn compare(&self) {
        assert_eq!(state(self.sled()), state(&self.memory));
        for subject in [None, Some("tls"), Some("tls/a"), Some("tls-2"), Some("none")] {
            for limit in [2, 100] {
                let (a, b) =
                    (indexes(self.sled(), subject, limit), indexes(&self.memory, subject, limit));
                assert_eq!(a, b, "history of {subject:?}");
            }
        }
        let mut within = query(None, 5);
        (within.from, within.to) = (Some(at(10)), Some(at(20)));
        assert_eq!(self.sled().history(&within).ok(), self.memory.history(&within).ok());
        for place in 0..DESTINATIONS.len() {
            let waiting =
                |store: &dyn Store| store.waiting(&destination(place), 2, 5).expect("it reads");
            assert_eq!(waiting(self.sled()), waiting(&self.memory));
        }
    }
}

fn name(place: u8) -> &'static str {
    SUBJECTS[usize::from(place)]
}

fn destination(place: usize) -> DestinationName {
    DESTINATIONS[place].parse().expect("a name")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_say_the_same(acts in prop::collection::vec(act(), 1..50)) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut pair = Pair { directory, sled: None, memory: MemoryStore::new(), minute: 0 };
        pair.reopen();
        pair.commit(&start("origin"));
        pair.commit(&configured(&DESTINATIONS));
        for act in &acts {
            pair.act(act);
        }
        pair.compare();
    }
}
