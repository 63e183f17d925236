//! The outbox of the real program against a real receiver: down first, then up.

use std::time::Duration;

use attestd::view::QueueView;
use attestd_core::record::Record;
use attestd_tests::log;
use attestd_tests::program::Daemon;
use attestd_tests::receiver::Receiver;
use attestd_tests::supplier::Supplier;
use nix::sys::signal::Signal;

/// Longer than a destination that was down for seconds waits before it is tried again, and the rest.
const LONG: Duration = Duration::from_secs(40);

/// How many events wait for the receiver, by a daemon's status.
fn waiting(view: &attestd::view::StatusView) -> usize {
    let collector = view.outbox.iter().find(|waiting| waiting.destination == "collector");
    collector.map_or(0, |waiting| waiting.events)
}

#[test]
fn what_waits_for_a_receiver_that_is_down_arrives_when_it_is_up() {
    let mut receiver = Receiver::down();
    let supplier = Supplier::copy();
    supplier.edit("attestd.toml", |text| {
        let ours = text.replace("http://127.0.0.1:4318", &receiver.endpoint());
        assert_ne!(ours, text, "the example has a receiver");
        ours
    });
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let events = daemon.until(LONG, "events wait", |view| {
        let seen =
            view.subjects.iter().all(|subject| subject.unseen.as_deref() != Some("not yet seen"));
        Some(waiting(view)).filter(|events| seen && *events >= 5)
    });
    // A life later they still wait: what is told is first on disk.
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    assert!(receiver.accepted().has.is_empty());
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon
        .until(LONG, "they wait in the next life", |view| (waiting(view) >= events).then_some(()));
    receiver.up();
    // What is resolved meanwhile belongs to an alert whose opening was told late.
    supplier.edit("policies/incident-response.md", |text| text.replace("2025-10-06", "2026-11-20"));
    daemon.until(LONG, "all arrive, the end of one alert too", |view| {
        let resolved =
            receiver.accepted().has.values().any(|told| told.name == "attestd.alert.resolved");
        (waiting(view) == 0 && resolved).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let log = log::read(&supplier.file("state"));
    let told = log.hold_delivery("collector", &receiver.accepted());
    assert!(told > events, "{told}");
    let accepted = log.records.iter().any(|record| matches!(record, Record::Accepted(_)));
    assert!(accepted, "the log learns of it at the latest when the daemon stops");
    println!("{told} events accepted, {} of them while the receiver was down", events);
}

#[test]
fn who_is_told_of_a_beginning_by_label_is_told_of_the_end_when_the_check_is_gone() {
    let mut receiver = Receiver::down();
    receiver.up();
    let supplier = Supplier::copy();
    let check = |id: &str, labels: &str| {
        let files = "files = [\"certificates/old-portal.pem\"]";
        format!("[[check]]\nid = \"{id}\"\nkind = \"certificate\"\n{files}\n{labels}\n")
    };
    let told = |daemon: &mut Daemon, what: &str| {
        daemon.until(LONG, what, |_| {
            let accepted = receiver.accepted();
            let mut events = accepted.has.into_values();
            events.find(|told| told.subject.starts_with("web/") && told.name.ends_with(what))
        })
    };
    let to = format!(
        "[[otlp]]\nname = \"collector\"\nendpoint = \"{}\"\nlabels = {{ team = \"web\" }}\n",
        receiver.endpoint()
    );
    let (web, rest) = (check("web", "labels = { team = \"web\" }"), check("rest", ""));
    supplier.edit("attestd.toml", |_| format!("{web}{rest}{to}"));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let opened = told(&mut daemon, "opened");
    supplier.edit("attestd.toml", |_| format!("{rest}{to}"));
    daemon.signal(Signal::SIGHUP);
    let retired = told(&mut daemon, "retired");
    assert!(retired.sequence > opened.sequence);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let accepted = receiver.accepted().has;
    let others: Vec<_> =
        accepted.values().filter(|told| !told.subject.starts_with("web/")).collect();
    assert!(others.is_empty(), "nobody asked for these: {others:?}");
    println!("{} events of the labelled check, and none of the other", accepted.len());
}

#[test]
fn what_a_person_discards_goes_with_a_record_and_what_fires_is_told_anew() {
    let mut receiver = Receiver::down();
    let supplier = Supplier::copy();
    let collector =
        format!("[[otlp]]\nname = \"collector\"\nendpoint = \"{}\"\n", receiver.endpoint());
    let check = "[[check]]\nid = \"web\"\nkind = \"certificate\"\nfiles = [\"certificates/old-portal.pem\"]\n";
    supplier.edit("attestd.toml", |_| format!("{check}{collector}"));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let waits = daemon.until(LONG, "events wait", |view| {
        let seen = view.subjects.iter().all(|subject| subject.seen_at.is_some());
        Some(waiting(view)).filter(|events| seen && *events >= 2)
    });
    let run = |arguments: &[&str]| attestd_tests::program::run(supplier.path(), arguments);
    let listed = run(&["outbox", "list", "--json"]);
    let listed: Vec<QueueView> = serde_json::from_str(&listed.out).expect("what waits");
    assert_eq!((listed[0].events, listed[0].first.len()), (waits, waits));
    let expired = listed[0].first.iter().find(|event| event.code == "certificate_expired");
    let expired = expired.expect("it waits").event_id.clone();

    let one = run(&["outbox", "discard", "--event", &expired, "--reason", "it is known"]);
    assert_eq!((one.code, one.err.as_str()), (Some(0), ""), "{}", one.out);
    let again = run(&["outbox", "discard", "--event", &expired, "--reason", "it is known"]);
    assert!(again.code == Some(1) && again.err.contains("nothing like that waits"), "{again:?}");
    let nameless = run(&["outbox", "discard", "--reason", "all of it"]);
    assert_eq!(nameless.code, Some(2), "{nameless:?}");
    daemon.until(LONG, "one is gone", |view| (waiting(view) == waits - 1).then_some(()));

    // Removed, its set is kept and shown as that, until a person discards it.
    supplier.edit("attestd.toml", |_| check.to_owned());
    daemon.signal(Signal::SIGHUP);
    daemon.until(LONG, "it is configured no more", |view| {
        view.outbox.iter().any(|waiting| !waiting.configured).then_some(())
    });
    let shown = run(&["status"]);
    assert!(shown.out.contains("configured no more"), "{}", shown.out);
    let rest = run(&["outbox", "discard", "collector", "--reason", "we moved"]);
    assert!(rest.out.starts_with(&format!("{} event", waits - 1)), "{rest:?}");
    daemon.until(LONG, "nothing waits", |view| view.outbox.is_empty().then_some(()));

    // Named again, it is told what fires, by new events.
    receiver.up();
    supplier.edit("attestd.toml", |_| format!("{check}{collector}"));
    daemon.signal(Signal::SIGHUP);
    let told = daemon.until(LONG, "what fires is told anew", |view| {
        let has = receiver.accepted().has;
        let mut restated = has.values().filter(|told| told.name == "attestd.alert.restated");
        let found = restated.any(|told| told.code == "certificate_expired");
        (found && waiting(view) == 0).then_some(has)
    });
    assert!(!told.contains_key(&expired), "the event that was discarded never goes");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let log = log::read(&supplier.file("state"));
    let discarded = log.records.iter().filter_map(|record| match record {
        Record::Discarded(discarded) => Some(discarded.reason.as_str()),
        _ => None,
    });
    assert_eq!(discarded.collect::<Vec<_>>(), ["it is known", "we moved"]);
    let alone = run(&["outbox", "discard", "collector", "--reason", "why not"]);
    assert!(alone.err.contains("no daemon is running"), "{}", alone.err);
    assert_eq!(run(&["outbox", "list"]).out, "Nothing waits to be told.\n");
    println!("{waits} events discarded, {} told anew", told.len());
}

#[test]
fn what_waits_for_a_destination_that_left_the_configuration_is_told_until_a_person_discards_it() {
    let (gone, mut stays) = (Receiver::down(), Receiver::down());
    stays.up();
    let supplier = Supplier::copy();
    let check = "[[check]]\nid = \"web\"\nkind = \"certificate\"\nfiles = [\"certificates/old-portal.pem\"]\n";
    let to = |name: &str, receiver: &Receiver| {
        format!("[[otlp]]\nname = \"{name}\"\nendpoint = \"{}\"\n", receiver.endpoint())
    };
    let (collector, other) = (to("collector", &gone), to("other", &stays));
    supplier.edit("attestd.toml", |_| format!("{check}{other}{collector}"));
    // A watchdog has the daemon look at its own conditions more often than every ten seconds.
    let start = || {
        Daemon::start(supplier.path(), |command| {
            command.env("WATCHDOG_USEC", "3000000");
        })
    };
    let told = |change: &str| -> Vec<attestd_tests::receiver::Told> {
        let mut told = stays.accepted().has.into_values().collect::<Vec<_>>();
        told.retain(|told| told.code == "delivery_abandoned" && told.name.ends_with(change));
        told
    };
    let mut daemon = start();
    let waits = daemon.until(LONG, "events wait", |view| {
        let seen = view.subjects.iter().all(|subject| subject.seen_at.is_some());
        Some(waiting(view)).filter(|events| seen && *events >= 2)
    });
    assert!(told("").is_empty(), "while it is named, it is only late");

    supplier.edit("attestd.toml", |_| format!("{check}{other}"));
    daemon.signal(Signal::SIGHUP);
    let opened = daemon.until(LONG, "others are told", |_| told("opened").pop());
    assert!(opened.subject.starts_with("attestd/"), "{opened:?}");

    // It lasts over a restart, and nothing but a person ends it.
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let mut daemon = start();
    daemon.until(LONG, "all waits in the next life", |view| {
        let seen = view.subjects.iter().all(|subject| subject.seen_at.is_some());
        (seen && waiting(view) >= waits).then_some(())
    });
    let run = |arguments: &[&str]| attestd_tests::program::run(supplier.path(), arguments);
    let alerts = run(&["alerts"]);
    assert!(
        alerts.out.contains("wait for collector, which the configuration does not name"),
        "{alerts:?}"
    );
    assert_eq!((told("resolved").len(), gone.accepted().has.len()), (0, 0));

    let discarded = run(&["outbox", "discard", "collector", "--reason", "we moved"]);
    assert_eq!(discarded.code, Some(0), "{discarded:?}");
    let resolved = daemon.until(LONG, "others are told that it is over", |view| {
        told("resolved").pop().filter(|_| view.outbox.is_empty())
    });
    assert_eq!(resolved.alert, opened.alert);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let log = log::read(&supplier.file("state"));
    let ends = log.records.iter().position(|record| matches!(record, Record::Discarded(_)));
    assert!(ends.is_some(), "a record says who discarded it");
    println!("{waits} events were kept for a destination that is gone, until they were discarded");
}
