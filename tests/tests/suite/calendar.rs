//! Dates that move while the daemon dies, its disk fails and the mailbox refuses: each move counts once, and what a
//! calendar was told last is what is so.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::calendar::{self, Entry};
use attestd_core::record::Record;
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{Subject, Timestamp};
use attestd_tests::program::{self, Daemon};
use attestd_tests::sim::receiver::{Accepted, Receiver};
use attestd_tests::sim::world::Simulation;
use attestd_tests::{servers, sim, wait};
use jiff::SignedDuration;
use nix::sys::signal::Signal;

const SEEDS: u64 = 12;

#[derive(Debug, Default)]
struct Counts {
    moves: u64,
    lives: u64,
    told: usize,
    cancelled: usize,
}

/// A day of one seed, in which dates of the quick check move, come and go.
async fn day(seed: u64) -> Counts {
    let mut sim = Simulation::new(seed);
    sim.mailbox = Some(Arc::new(Receiver::new(sim.chance.fork("mailbox"))));
    let mut draw = sim.chance.fork("dates");
    sim.start().await.expect("the store can be written");
    for _ in 0..96 {
        sim.pass(Duration::from_secs(15 * 60)).await;
        sim.write_accepted().await;
        let target = format!("t{}", draw.below(3));
        let days = i64::try_from(1 + draw.below(80)).expect("small");
        match draw.below(6) {
            0 | 1 => {
                let due = sim.base() + SignedDuration::from_hours(24 * days);
                sim.set_due("quick", &target, Some(due));
            }
            2 if draw.one_in(2) => sim.set_due("quick", &target, None),
            _ => {}
        }
        match sim.chance.below(24) {
            0 => {
                sim.crash().await;
                sim.pass(Duration::from_secs(600)).await;
                sim.start().await.expect("the store can be written");
            }
            1 => {
                sim.fail_store().await;
                sim.start().await.expect("the store can be written");
            }
            2 => {
                sim.stop().await;
                sim.start().await.expect("the store can be written");
            }
            3 => sim.change_targets(),
            _ => {}
        }
    }
    let mailbox = sim.mailbox.clone().expect("it has one");
    mailbox.calm();
    sim.pass(Duration::from_secs(2 * 3600)).await;
    sim.stop().await;
    hold(seed, &sim, &mailbox)
}

/// What must be so at the end.
fn hold(seed: u64, sim: &Simulation, mailbox: &Receiver) -> Counts {
    let (mut entries, mut size, mut dates) = (Vec::new(), 0, BTreeMap::new());
    sim.store.read(&mut |state| {
        (entries, size) = (calendar::entries(state), state.size);
        let all = state.calendar.0.iter();
        dates =
            all.map(|(subject, dated)| (subject.clone(), (dated.due, dated.sequence))).collect();
    });
    // Told from the records by themselves: a move is a record that says something else than the one before it.
    let mut seen: BTreeMap<Subject, (Option<Timestamp>, u32)> = BTreeMap::new();
    let mut moves = 0;
    for index in 0..size {
        let (subject, due) = match sim.store.record(index).expect("it is there") {
            Record::Run(run) if run.judgement.is_some() => {
                (run.subject, run.judgement.and_then(|judged| judged.due))
            }
            Record::Retired(ticked) => (ticked.subject, None),
            _ => continue,
        };
        match seen.get_mut(&subject) {
            None if due.is_some() => drop(seen.insert(subject, (due, 0))),
            Some(known) if known.0 != due => {
                *known = (due, known.1 + 1);
                moves += 1;
            }
            _ => {}
        }
    }
    assert_eq!(dates, seen, "seed {seed}: one for each move, over {} lives", sim.lives);

    let has = mailbox.has.lock().expect("whole");
    let mut told: BTreeMap<&str, Vec<&Accepted>> = BTreeMap::new();
    for accepted in has.values() {
        let Some(_) = calendar::moved(&accepted.finding) else { continue };
        told.entry(&accepted.alert_id).or_default().push(accepted);
    }
    let (mut counts, now) =
        (Counts { moves, lives: sim.lives, ..Counts::default() }, sim.clock.now());
    for (id, all) in &mut told {
        all.sort_by_key(|accepted| accepted.sequence);
        let number = |accepted: &Accepted| {
            let moved = calendar::moved(&accepted.finding).expect("it is an entry");
            moved + u32::from(accepted.change.closes())
        };
        let numbers: Vec<u32> = all.iter().map(|accepted| number(accepted)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "seed {seed}: {id} was told {numbers:?}");
        let last = all.last().expect("it was told");
        let entry = entries.iter().find(|entry| entry.id == *id);
        match entry {
            None => assert!(last.change.closes(), "seed {seed}: {id} is over"),
            Some(entry) => {
                assert_eq!(number(last), entry.sequence, "seed {seed}: {id} is told as it is");
                let due = last.finding.values["due"].as_str().map(str::to_owned);
                assert_eq!(due, Some(entry.day().to_string()), "seed {seed}: {id}");
            }
        }
        counts.told += all.len();
        counts.cancelled += all.iter().filter(|accepted| accepted.change.closes()).count();
    }
    let untold = |entry: &&Entry| entry.due > now && !told.contains_key(entry.id.as_str());
    let untold: Vec<&Entry> = entries.iter().filter(untold).collect();
    assert!(untold.is_empty(), "seed {seed}: nobody was told of {untold:?}");
    counts
}

#[test]
fn each_move_of_a_date_counts_once_whatever_dies() {
    sim::quiet();
    let mut total = Counts::default();
    for seed in 1..=SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let counts = runtime.block_on(day(seed));
        total.moves += counts.moves;
        total.lives += counts.lives;
        total.told += counts.told;
        total.cancelled += counts.cancelled;
    }
    println!("{SEEDS} simulated days of dates that move: {total:?}");
    assert!(total.moves > 60 && total.told > 90 && total.cancelled > 8, "{total:?}");
    assert!(total.lives > 3 * SEEDS, "{total:?}");
}

/// Longer than anything here should ever take.
const LONG: Duration = Duration::from_secs(30);

/// Where the calendar is put: refuses the first time, then keeps what came and who said they were.
struct Shelf {
    _runtime: tokio::runtime::Runtime,
    url: String,
    has: Arc<Mutex<Vec<(String, String)>>>,
}

impl Shelf {
    fn new() -> Shelf {
        let runtime = servers::runtime();
        let (has, refused) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let kept = has.clone();
        let put =
            axum::routing::put(move |headers: axum::http::HeaderMap, text: String| async move {
                if !refused.swap(true, Ordering::Relaxed) {
                    return axum::http::StatusCode::SERVICE_UNAVAILABLE;
                }
                let who = headers.get("authorization").and_then(|value| value.to_str().ok());
                let who = who.unwrap_or_default().to_owned();
                kept.lock().expect("whole").push((who, text));
                axum::http::StatusCode::CREATED
            });
        let router = axum::Router::new().route("/due.ics", put);
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("bound");
        let url = format!("http://{}/due.ics", listener.local_addr().expect("bound"));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Shelf { _runtime: runtime, url, has }
    }

    fn newest(&self) -> Option<(String, String)> {
        self.has.lock().expect("whole").last().cloned()
    }
}

/// What is served at a path of a port here.
fn served(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

fn property<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

#[test]
fn the_calendar_is_where_others_read_it_and_moves_with_the_register() {
    let (directory, shelf) = (tempfile::tempdir().expect("a directory"), Shelf::new());
    let home = directory.path();
    let today = attestd_core::obligation::today(wait::now());
    let day = |days: i64| today.saturating_add(jiff::Span::new().days(days));
    let register = |expires: attestd_core::Date| {
        let text = format!(
            "id,kind,owner,last_done,expires,reference,version,scope\n\
             ce-2026,cyber_essentials,alex,{},{expires},ref,3.3 Danzell,organisation\n",
            day(-10)
        );
        std::fs::write(home.join("new.csv"), text).expect("written");
        std::fs::rename(home.join("new.csv"), home.join("register.csv")).expect("renamed");
    };
    register(day(60));
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let metrics = unused.local_addr().expect("bound").port();
    drop(unused);
    let config = format!(
        "[[person]]\nid = \"alex\"\nname = \"Alex\"\n\
         [[check]]\nid = \"held\"\nkind = \"cyber_essentials\"\nregister = \"register.csv\"\nclaims = [\"organisation\"]\n\
         [calendar]\nfile = \"due.ics\"\nurl = \"{}\"\nheaders_file = \"token\"\n\
         [metrics]\nlisten = \"127.0.0.1:{metrics}\"\n",
        shelf.url
    );
    std::fs::write(home.join("attestd.toml"), config).expect("written");
    std::fs::write(home.join("token"), "Authorization: Bearer s3cret\n").expect("written");
    let mut daemon = Daemon::start(home, |_| {});

    let read = || std::fs::read_to_string(home.join("due.ics")).unwrap_or_default();
    let begins =
        |date: attestd_core::Date| format!("DTSTART;VALUE=DATE:{}", date.strftime("%Y%m%d"));
    let on = |date| {
        wait::until(LONG, "the file has it", || Some(read()).filter(|t| t.contains(&begins(date))))
    };
    let first = on(day(60));
    assert_eq!(property(&first, "SEQUENCE:"), "0");
    assert_eq!(property(&first, "SUMMARY:"), "Cyber Essentials (ce-2026)");
    let put = wait::until(LONG, "it is put", || shelf.newest().filter(|(_, text)| *text == first));
    assert_eq!(put.0, "Bearer s3cret");
    assert_eq!(served(metrics, "/calendar.ics"), first);
    assert_eq!(program::run(home, &["calendar"]).out, first);

    register(day(70));
    let second = on(day(70));
    assert_eq!(property(&second, "SEQUENCE:"), "1", "it moved once");
    assert_eq!(property(&second, "UID:"), property(&first, "UID:"));
    wait::until(LONG, "it is put", || shelf.newest().filter(|(_, text)| *text == second));

    // What cannot be written is told of, and comes when it can.
    std::fs::remove_file(home.join("due.ics")).expect("removed");
    std::fs::create_dir(home.join("due.ics")).expect("made");
    register(day(80));
    let of_calendar = |view: &attestd::view::StatusView| {
        let all = view.subjects.iter().flat_map(|subject| &subject.findings);
        all.filter(|finding| finding.code == "calendar_not_published").count()
    };
    daemon.until(LONG, "that is told", |view| (of_calendar(view) == 1).then_some(()));
    std::fs::remove_dir(home.join("due.ics")).expect("removed");
    let third = on(day(80));
    daemon.until(LONG, "that is over", |view| (of_calendar(view) == 0).then_some(()));

    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let said = program::run(home, &["calendar", "--out", "copy.ics"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""), "{}", said.err);
    let copy = std::fs::read_to_string(home.join("copy.ics")).expect("written");
    assert_eq!(copy, third, "by the log at rest it is the same");
}
