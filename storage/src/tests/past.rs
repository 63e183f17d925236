//! What was so at a past instant, against the fold of the log up to then: whatever the clock did, both say the same.

use std::collections::BTreeMap;

use attestd_core::event::Change;
use attestd_core::past::{Gap, GapWhy, Past, Then};
use attestd_core::record::{Missed, Record, Restored, Why};
use attestd_core::state::{State, SubjectState};
use attestd_core::store::{HistoryQuery, Store};
use attestd_core::time::Trust;
use attestd_core::{Status, Subject, Timestamp};
use proptest::prelude::*;

use crate::testing::{at, configured, draft, run, same, start, ticked, wait};
use crate::{MemoryStore, SledStore, read_offline};

/// Something that a log may hold next, and how many minutes the clock has gone on, or back, before it.
#[derive(Debug, Clone)]
enum Act {
    Run {
        subject: u8,
        status: Status,
        promises: bool,
        stale_in: u8,
    },
    Same(u8),
    Missed(u8),
    Tick(u8),
    Retire(u8),
    Start(Trust),
    Clock(Trust),
    /// Records that are nobody's, enough to begin new stretches.
    Nothing(u16),
}

const SUBJECTS: [&str; 3] = ["tls/a", "tls/b", "tls-2/a"];

fn act() -> impl Strategy<Value = (Act, i64)> {
    let trust = || prop_oneof![2 => Just(Trust::Trusted), 1 => Just(Trust::BehindLog)];
    let status = prop_oneof![Just(Status::Pass), Just(Status::Fail), Just(Status::Unknown)];
    let act = prop_oneof![
        6 => (0..3u8, status, any::<bool>(), 1..90u8).prop_map(
            |(subject, status, promises, stale_in)| Act::Run { subject, status, promises, stale_in }
        ),
        6 => (0..3u8).prop_map(Act::Same),
        2 => (0..3u8).prop_map(Act::Missed),
        2 => (0..3u8).prop_map(Act::Tick),
        1 => (0..3u8).prop_map(Act::Retire),
        1 => trust().prop_map(Act::Start),
        1 => trust().prop_map(Act::Clock),
        1 => (1..300u16).prop_map(Act::Nothing),
    ];
    (act, prop_oneof![8 => 0..40i64, 1 => -200..0i64, 1 => 100..500i64])
}

/// The record that an act makes in minute `n`, where the log allows it.
fn record(act: &Act, n: u64, state: &State) -> Option<Record> {
    let name = |place: u8| SUBJECTS[usize::from(place)];
    Some(match act {
        Act::Run { subject, status, promises, stale_in } => {
            let Record::Run(mut made) = run(name(*subject), n, None) else { return None };
            made.status = *status;
            made.next = promises.then(|| at(n + 30));
            made.stale_at = Some(at(n + u64::from(*stale_in)));
            Record::Run(made)
        }
        Act::Same(subject) => {
            let subject: Subject = name(*subject).parse().expect("a subject");
            let last = state.subjects.get(&subject)?.last.as_ref()?;
            let Record::Same(mut made) = same(last.of, n) else { return None };
            made.stale_at = Some(at(n + 70));
            Record::Same(made)
        }
        Act::Missed(subject) => Record::Missed(Missed {
            window: None,
            at: at(n),
            subject: name(*subject).parse().expect("a subject"),
            from: at(n.saturating_sub(60)),
            to: at(n.saturating_sub(30)),
            count: Some(2),
            why: Why::NotRunning,
            next: Some(at(n)),
        }),
        Act::Tick(subject) => Record::Ticked(ticked(name(*subject), n, Change::Repeated)),
        Act::Retire(subject) => {
            let watched = state.subjects.keys().any(|known| known.to_string() == name(*subject));
            watched.then(|| Record::Retired(ticked(name(*subject), n, Change::Retired)))?
        }
        Act::Start(trust) => {
            let Record::Start(mut made) = start("origin") else { return None };
            (made.at, made.clock) = (at(n), *trust);
            Record::Start(made)
        }
        Act::Clock(trust) => Record::Clock { at: at(n), trust: *trust },
        Act::Nothing(_) => Record::Stopped { at: at(n) },
    })
}

/// The log, oldest first, in both stores.
struct Told {
    directory: tempfile::TempDir,
    sled: SledStore,
    memory: MemoryStore,
    log: Vec<Record>,
}

impl Told {
    fn tell(acts: &[(Act, i64)]) -> Told {
        let directory = tempfile::tempdir().expect("a directory");
        let (sled, _) = SledStore::open(directory.path()).expect("it opens");
        let mut told = Told { directory, sled, memory: MemoryStore::new(), log: Vec::new() };
        told.commit(start("origin"), 1);
        told.commit(configured(&["otlp"]), 1);
        let mut minute = 1_000;
        for (act, passed) in acts {
            minute = (minute + passed).max(0);
            let now = super::store::state(&told.memory);
            let Some(record) = record(act, minute.unsigned_abs(), &now) else { continue };
            told.commit(record, if let Act::Nothing(n) = act { *n } else { 1 });
        }
        told
    }

    /// Commits a record so many times, as a group.
    fn commit(&mut self, record: Record, times: u16) {
        wait(async {
            let mut answers = Vec::new();
            for _ in 0..times {
                let mut answer = self.sled.commit(draft(record.clone()));
                let sent = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(answer.as_mut().poll(context))
                });
                if sent.await.is_pending() {
                    answers.push(answer);
                }
                self.memory.commit(draft(record.clone())).await.expect("committed");
                self.log.push(record.clone());
            }
            for answer in answers {
                answer.await.expect("committed");
            }
        });
        for (index, record) in self.log.iter_mut().enumerate().rev().take(times.into()) {
            *record = self.memory.record(index as u64).expect("it was committed");
        }
    }

    /// The last record that counts as written by `time`, by the rule as it is written down.
    fn newest(&self, time: Timestamp) -> Option<usize> {
        let (mut newest, mut believed) = (None, false);
        for (index, record) in self.log.iter().enumerate() {
            believed = record.trust().map_or(believed, |trust| trust == Trust::Trusted);
            let follows = newest.is_some_and(|newest: usize| newest + 1 == index);
            if if believed { record.at() <= time } else { follows } {
                newest = Some(index);
            }
        }
        newest
    }

    fn fold(&self, newest: usize) -> State {
        let mut state = State::default();
        for record in &self.log[..=newest] {
            let subject_of = |of: u64| match self.log.get(usize::try_from(of).ok()?)? {
                Record::Run(run) => Some(run.subject.clone()),
                _ => None,
            };
            state.apply(record, &subject_of).expect("it was committed");
        }
        state
    }

    /// Holds an answer against the fold; where something was pruned, what is no longer known says so.
    fn hold(&self, time: Timestamp, past: Option<&Past>, pruned: bool) {
        let Some(newest) = self.newest(time) else {
            assert_eq!(past, None, "at {time} nothing was recorded");
            return;
        };
        let past = past.unwrap_or_else(|| panic!("at {time} something was recorded"));
        assert_eq!(past.newest, newest as u64, "the newest record at {time}");
        assert_eq!(past.at, self.log[newest].at());
        let ended = matches!(self.log.get(newest + 1), Some(Record::Start(_)));
        assert_eq!(past.stopped.is_some(), ended, "no daemon ran at {time}");
        let state = self.fold(newest);
        let known: BTreeMap<&Subject, &Then> =
            past.subjects.iter().filter(|(_, then)| then.lost.is_none()).collect();
        assert!(pruned || known.len() == past.subjects.len(), "nothing was pruned: {past:?}");
        for then in past.subjects.values().filter(|then| then.lost.is_some()) {
            assert_eq!(then.status(time), Status::Unknown);
        }
        for (subject, expected) in &state.subjects {
            match known.get(subject) {
                Some(then) => {
                    let forgot = pruned && then.next.is_none();
                    assert!(
                        forgot || then.next == expected.next,
                        "the promise at {time}: {then:?}"
                    );
                    self.hold_one(time, then, expected, newest);
                }
                None => assert!(pruned, "{subject} was watched at {time}"),
            }
        }
        assert!(known.keys().all(|subject| state.subjects.contains_key(subject)), "at {time}");
    }

    fn hold_one(&self, time: Timestamp, then: &Then, expected: &SubjectState, newest: usize) {
        assert_eq!(then.last, expected.last, "the newest run at {time}");
        assert_eq!(then.status(time), expected.status(time));
        let Some(last) = &expected.last else { return };
        let Record::Run(run) = &self.log[usize::try_from(last.of).expect("an index")] else {
            panic!("{} is no run", last.of)
        };
        assert_eq!((then.judgement.as_ref(), &then.kind), (run.judged(), &expected.kind));
        assert!(!expected.is_stale(time) || then.gap.is_some(), "stale is a gap at {time}");
        if let Some(gap) = &then.gap {
            assert_eq!(gap.from, last.at);
            let later = self.log.get(newest + 1..).unwrap_or_default();
            let look = later.iter().find(|record| match record {
                Record::Run(later) => later.subject == run.subject,
                Record::Same(same) => same.of == last.of,
                Record::Retired(retired) => retired.subject == run.subject,
                _ => false,
            });
            assert_eq!(gap.to, look.map(Record::at), "looked at again after {time}");
        }
    }

    /// The records that count as written in the time that a query asks for, by the rule.
    fn within(&self, query: &HistoryQuery) -> std::ops::Range<usize> {
        let nanosecond = jiff::SignedDuration::from_nanos(1);
        let before = |at: Timestamp| self.newest(at - nanosecond).map_or(0, |newest| newest + 1);
        query.from.map_or(0, before)..query.to.map_or(self.log.len(), before)
    }

    /// Whose history each record is in.
    fn subject(&self, record: &Record) -> Option<Subject> {
        match record {
            Record::Same(same) => self.subject(&self.log[usize::try_from(same.of).ok()?]),
            other => crate::record::subject_of(other).cloned(),
        }
    }

    /// Every gap within what a query asks for, found by looking at each pair of neighbours in the log.
    fn gaps(&self, query: &HistoryQuery, now: Timestamp) -> Vec<Gap> {
        let (within, end) = (self.within(query), query.to.unwrap_or(now).min(now));
        let mut gaps = Vec::new();
        let seen = within.start..=within.end;
        for (index, pair) in
            self.log.windows(2).enumerate().filter(|(i, _)| seen.contains(&(i + 1)))
        {
            let [before, Record::Start(start)] = pair else { continue };
            let stopped = matches!(before, Record::Stopped { .. });
            let (from, to) = (before.at(), Some(start.at.max(before.at())));
            let why = if stopped { GapWhy::Stopped } else { GapWhy::Died };
            gaps.push(Gap { subject: None, from, to, why, index: index as u64 + 1 });
        }
        for subject in SUBJECTS.map(|name| name.parse::<Subject>().expect("a subject")) {
            let looks = self.log.iter().enumerate().filter(|(_, record)| {
                let ends = matches!(record, Record::Run(_) | Record::Same(_) | Record::Retired(_));
                ends && self.subject(record).as_ref() == Some(&subject)
            });
            let looks: Vec<(usize, &Record)> = looks.collect();
            for (place, (index, record)) in looks.iter().enumerate() {
                let stale_at = match record {
                    Record::Run(run) => run.stale_at,
                    Record::Same(same) => same.stale_at,
                    _ => None,
                };
                let next = looks.get(place + 1);
                let over = next.is_some_and(|(next, _)| *next < within.start);
                let Some(from) = stale_at.filter(|_| *index < within.end && !over) else {
                    continue;
                };
                let to = next.map(|(_, next)| next.at());
                let index = next.map_or(self.log.len(), |(next, _)| *next) as u64;
                if to.is_none_or(|to| from < to) {
                    let subject = Some(subject.clone());
                    gaps.push(Gap { subject, from, to, why: GapWhy::Stale, index });
                }
            }
        }
        gaps.retain(|gap| gap.from < end);
        gaps.retain(|gap| query.from.is_none_or(|from| gap.to.is_none_or(|to| to > from)));
        gaps.sort_by(|a, b| (b.index, b.from, &a.subject).cmp(&(a.index, a.from, &b.subject)));
        let watched = self.log.iter().any(|record| self.subject(record).is_some());
        if watched && within.end > 0 { gaps } else { Vec::new() }
    }

    fn times(&self) -> Vec<Timestamp> {
        let minute = jiff::SignedDuration::from_mins(1);
        let mut times: Vec<Timestamp> =
            self.log.iter().flat_map(|r| [r.at() - minute, r.at(), r.at() + minute * 75]).collect();
        times.sort();
        times.dedup();
        times
    }
}

#[test]
fn what_a_backup_does_not_hold_is_a_gap_up_to_the_next_start() {
    let mut told = Told::tell(&[]);
    told.commit(run("tls/a", 1_000, None), 1);
    told.commit(
        Record::Restored(Restored {
            at: at(2_000),
            origin: "another".to_owned(),
            from: "origin".to_owned(),
            size: 3,
            root: String::new(),
            key: String::new(),
            by: "ada".to_owned(),
        }),
        1,
    );
    assert_eq!(told.sled.past(at(1_500)).expect("an answer").expect("recorded").stopped, None);
    let Record::Start(mut again) = start("another") else { unreachable!("start makes a start") };
    again.at = at(2_060);
    told.commit(Record::Start(again), 1);
    let (from, to) = (at(1_000), Some(at(2_060)));
    let gap = Gap { subject: None, from, to, why: GapWhy::Restored, index: 4 };
    for (minute, newest) in [(1_500, 2), (2_010, 3)] {
        let past = told.sled.past(at(minute)).expect("an answer").expect("something was recorded");
        assert_eq!((past.newest, past.stopped.as_ref()), (newest, Some(&gap)));
    }
    let query = crate::testing::query(None, 10);
    assert_eq!(told.sled.gaps(&query, None, at(3_000)).expect("an answer"), [gap]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_past_is_what_the_fold_of_the_log_says(
        acts in prop::collection::vec(act(), 1..60), before in 0..2_000u64, limit in 0..40usize,
        from in 900..2_200u64, to in 900..2_200u64,
    ) {
        let told = Told::tell(&acts);
        let offline = read_offline(told.directory.path()).expect("it reads");
        for time in told.times() {
            let past = told.sled.past(time).expect("it answers");
            told.hold(time, past.as_ref(), false);
            assert_eq!(past, told.memory.past(time).expect("it answers"));
            assert_eq!(past, offline.past(time).expect("it answers"));
        }
        let minute = |n: u64| Some(at(n));
        for (from, to) in [(None, None), (minute(from), None), (None, minute(to)), (minute(from), minute(to))] {
            let query = HistoryQuery { subject: None, from, to, limit };
            let now = at(4_000);
            let expected = told.gaps(&query, now);
            assert_eq!(told.sled.gaps(&query, None, now).ok().as_ref(), Some(&expected), "{from:?} {to:?}");
            assert_eq!(offline.gaps(&query, None, now).ok(), Some(expected));
            let within = told.within(&query);
            let entries = (0..told.log.len()).rev().filter(|index| {
                within.contains(index) && told.subject(&told.log[*index]).is_some()
            });
            let expected: Vec<u64> = entries.take(limit).map(|index| index as u64).collect();
            let found = told.sled.history(&query).expect("history");
            let found: Vec<u64> = found.iter().map(|committed| committed.index).collect();
            assert_eq!(found, expected, "{from:?} {to:?}");
        }
        let (sled, memory) = (told.sled.prune(at(before), limit), told.memory.prune(at(before), limit));
        assert_eq!(sled.ok(), memory.ok());
        for time in told.times() {
            let past = told.sled.past(time).expect("it answers");
            told.hold(time, past.as_ref(), true);
            assert_eq!(past, told.memory.past(time).expect("it answers"));
        }
    }
}
