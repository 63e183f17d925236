//! rotel, a real collector: down first and then up; over HTTP and gRPC; behind nginx that wants client certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attestd_core::DestinationName;
use attestd_core::event::{alert_id, event_id};
use attestd_core::record::Record;

use attestd_tests::receiver::{Accepted, Told};
use attestd_tests::sim::chance::Chance;
use attestd_tests::{load, log, program, wait};
use nix::sys::signal::Signal;

use crate::harness::attestd::{Daemon, Supplier};
use crate::harness::pki::{authority, client, make};
use crate::harness::program::Program;
use crate::harness::{SOON, nginx, ports, until};

/// The events of the example supplier at its first start are at least these many, whatever the day.
const EVENTS_MIN: usize = 10;
/// How long the collector is down under load, in seconds, where `tests/soak` says nothing else.
const DOWN_S: u64 = 60;
/// Between two changes of a document meanwhile.
const LOAD_EVERY: Duration = Duration::from_millis(50);
/// How long an outbox may take to empty once the collector is up: a few attempts, a few seconds apart.
const EMPTY_MAX: Duration = Duration::from_secs(45);

#[tokio::test]
async fn over_http_nothing_is_lost_while_the_collector_is_down() {
    let supplier = Supplier::new();
    down_first_then_up(&supplier, Endpoint::Http(supplier.collector)).await;
}

#[tokio::test]
async fn over_grpc_nothing_is_lost_while_the_collector_is_down() {
    let supplier = Supplier::new();
    supplier.edit(&[("\"http/protobuf\"", "\"grpc\"")]);
    down_first_then_up(&supplier, Endpoint::Grpc(supplier.collector)).await;
}

async fn down_first_then_up(supplier: &Supplier, endpoint: Endpoint) {
    let environment = [("OTEL_METRIC_EXPORT_INTERVAL", "1000")];
    let daemon = Daemon::start_with(&supplier.config(), &environment).await;
    until("a failed delivery", SOON, || {
        let output = daemon.output();
        let failed = output.contains("Delivery failed; it is tried again")
            && output.contains("destination=collector");
        if failed { Ok(()) } else { Err(output) }
    })
    .await;
    let waited = daemon.waiting("collector").await;
    assert!(waited >= EVENTS_MIN, "{waited} events wait");

    let collector = Collector::start(supplier.directory.path(), &endpoint).await;
    daemon.emptied("collector", EMPTY_MAX).await;
    until("metrics of every subject", SOON, || {
        let targets = collector.metric_targets();
        if targets.contains("Str(8ZZ99)") { Ok(()) } else { Err(format!("{targets:?}")) }
    })
    .await;
    assert!(daemon.output().contains("Delivery works again."), "{}", daemon.output());
    daemon.stop().await;
    let committed = committed(supplier.directory.path(), "collector");
    let arrived = until("every event arrives", SOON, || {
        let arrived = collector.alert_events();
        if arrived.len() >= waited { Ok(arrived) } else { Err(format!("{arrived:?}")) }
    })
    .await;
    assert_eq!(arrived, committed, "what arrived is what is in the log, by event id");
    assert!(collector.metrics().contains("attestd.heartbeat.time"));
    println!("{waited} events waited, {} arrived, the outbox is empty", arrived.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_is_lost_while_the_collector_is_down_for_long() {
    let asked = std::env::var("ATTESTD_TEST_DOWN_SECONDS").ok();
    let down = Duration::from_secs(asked.map_or(DOWN_S, |n| n.parse().expect("a number")));
    let directory = tempfile::tempdir().expect("a directory");
    let (home, port) = (directory.path(), ports::free());
    load::configure(home, &[("collector", &format!("http://127.0.0.1:{port}"))]);
    let mut what = Chance::of(20_261_122).fork("what");
    let mut daemon = program::Daemon::start(home, |_| {});
    daemon.until(SOON, "it answers", |_| Some(()));
    let (began, mut early) = (wait::uptime(), None);
    while wait::uptime().since(began) < down {
        load::write(home, what.below(load::CHECKS as u64), what.below(4));
        wait::pause(LOAD_EVERY);
        if early.is_none() && wait::uptime().since(began) > down / 4 {
            early = Some(resident(daemon.pid()));
        }
    }
    let waited: usize =
        daemon.status().expect("it answers").outbox.iter().map(|waiting| waiting.events).sum();
    let late = resident(daemon.pid());
    let collector = Collector::start(home, &Endpoint::Http(port)).await;
    // A reload tries at once what would else wait for its turn, for up to five minutes.
    daemon.signal(Signal::SIGHUP);
    let first = until("the first arrives", SOON, || {
        let arrived = collector.alert_events().len();
        if arrived > 0 { Ok(arrived) } else { Err("nothing yet".to_owned()) }
    })
    .await;
    let began = wait::uptime();
    daemon.until(EMPTY_MAX, "the outbox is empty", |view| view.outbox.is_empty().then_some(()));
    let took = wait::uptime().since(began);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(SOON).success());
    let log = log::read(&home.join("state"));
    let arrived = until("the collector has printed all", SOON, || {
        let accepted = collector.accepted();
        if accepted.has.len() >= waited { Ok(accepted) } else { Err(waited.to_string()) }
    })
    .await;
    let events = log.hold_delivery("collector", &arrived);
    assert!(waited > 50, "there was load: {waited}");
    let rate = waited.saturating_sub(first) as f64 / took.as_secs_f64();
    println!(
        "down for {down:?}: {waited} events waited, {events} arrived in order with their times, {} twice, {rate:.0} a \
         second; resident {} kB after a quarter, {late} kB at the end",
        arrived.repeats,
        early.unwrap_or_default(),
    );
}

/// The resident memory of a process, in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a process has a size")
}

#[tokio::test]
async fn behind_client_certificates_only_a_known_client_delivers() {
    let supplier = Supplier::new();
    let home = supplier.directory.path();
    let [http, grpc, http_tls, grpc_tls] = [(); 4].map(|()| ports::free());
    let (ours, theirs) = (authority("Our Root", None), authority("Their Root", None));
    ours.write(home, "our-ca", &[]);
    make(Some(&ours), |_| {}).write(home, "server", &[]);
    client("attestd", &ours).write(home, "client", &[]);
    client("attestd", &theirs).write(home, "stranger", &[]);
    std::fs::write(home.join("headers"), "X-Token: a long secret\n").expect("written");
    let otlp = |name: &str, protocol: &str, port: u16, client: &str| {
        format!(
            "[[otlp]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nca = \"our-ca.pem\"\n\
             endpoint = \"https://localhost:{port}\"\nheaders_file = \"headers\"\n{client}\n"
        )
    };
    let known = "client_certificate = \"client.pem\"\nclient_key = \"client.key\"";
    let unknown = "client_certificate = \"stranger.pem\"\nclient_key = \"stranger.key\"";
    let table = "[[otlp]]\nname = \"collector\"\n";
    let four = [
        otlp("by-http", "http/protobuf", http_tls, known),
        otlp("by-grpc", "grpc", grpc_tls, known),
        otlp("stranger", "http/protobuf", http_tls, unknown),
        otlp("nobody", "grpc", grpc_tls, ""),
    ];
    supplier.edit(&[(table, &format!("{}{table}", four.concat()))]);

    let collectors = home.join("collectors");
    std::fs::create_dir(&collectors).expect("a directory");
    let by_http = Collector::start(&collectors, &Endpoint::Http(http)).await;
    let by_grpc = Collector::start(&collectors, &Endpoint::Grpc(grpc)).await;
    let tls = |port: u16, options: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl {options}; ssl_certificate {0}/server.pem;\n\
             ssl_certificate_key {0}/server.key; ssl_client_certificate {0}/our-ca.pem;\n\
             ssl_verify_client on; if ($http_x_token != \"a long secret\") {{ return 401; }}\n",
            home.display()
        )
    };
    let servers = format!(
        "{}location / {{ proxy_pass http://127.0.0.1:{http}; }} }}\n\
         {}location / {{ grpc_pass grpc://127.0.0.1:{grpc}; }} }}\n",
        tls(http_tls, ""),
        tls(grpc_tls, "http2")
    );
    let _nginx = nginx::start(home, &servers, http_tls).await;

    let daemon = Daemon::start(&supplier.config()).await;
    daemon.emptied("by-http", EMPTY_MAX).await;
    daemon.emptied("by-grpc", EMPTY_MAX).await;
    for collector in [&by_http, &by_grpc] {
        until("a heartbeat", SOON, || {
            let names = collector.event_names();
            if names.contains("attestd.heartbeat") { Ok(()) } else { Err(format!("{names:?}")) }
        })
        .await;
    }
    until("both strangers are turned away", SOON, || {
        let output = daemon.output();
        let away = ["stranger", "nobody"].map(|name| {
            let named = format!("destination={name} ");
            output.lines().any(|line| line.contains("Delivery ") && line.contains(&named))
        });
        if away == [true; 2] { Ok(()) } else { Err(output) }
    })
    .await;
    let status = daemon.status().await;
    let all = status.outbox.iter().find(|w| w.destination == "collector").map(|w| w.events);
    for name in ["stranger", "nobody"] {
        assert_eq!(Some(daemon.waiting(name).await), all, "{name} gets nothing, and loses nothing");
    }
    let output = daemon.output();
    assert!(!output.contains("a long secret"), "the header is nowhere: {output}");
    daemon.stop().await;

    let requests = nginx::requests(home, http_tls);
    let known = |path: &str| format!("200 {path} [a long secret] CN=attestd");
    for path in ["/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"] {
        assert!(requests.contains(&known(path)), "{path}: {requests}");
    }
    for (collector, name) in [(&by_http, "by-http"), (&by_grpc, "by-grpc")] {
        assert_eq!(collector.alert_events(), committed(home, name), "{name}");
    }
    println!("{} requests through nginx", requests.lines().count());
}

/// What the evidence log says of a destination after a clean end: every event by its id, with its name and alert; all
/// of them recorded as accepted.
fn committed(home: &Path, destination: &str) -> Events {
    let log = attestd_storage::read_offline(&home.join("state")).expect("the log");
    let name: DestinationName = destination.parse().expect("a name");
    let queue = log.state.outbox.0.get(&name).expect("it was told something");
    assert_eq!(queue.waiting.len(), 0, "the log says that {destination} accepted everything");
    let mut events = Events::new();
    let mut accepted = 0;
    for index in 0..log.state.size {
        let (subject, told) = match log.record(index).expect("a record") {
            Record::Run(run) => (run.subject, run.events),
            Record::Ticked(ticked) | Record::Retired(ticked) => (ticked.subject, ticked.events),
            Record::Accepted(batch) => {
                let ranges = batch.by.get(&name).into_iter().flatten();
                accepted += ranges.map(|(first, last)| last - first + 1).sum::<u64>();
                continue;
            }
            _ => continue,
        };
        let origin = &log.state.origin;
        for (ordinal, event) in told.iter().enumerate() {
            if event.to.iter().any(|to| to.destination == name) {
                let alert = alert_id(origin, &subject, &event.finding.key, event.since);
                let named = format!("attestd.alert.{}", event.change.as_str());
                events.insert(event_id(origin, index, ordinal), (named, alert));
            }
        }
    }
    assert_eq!(accepted, events.len() as u64, "each was accepted, and no more");
    events
}

/// Alert events by their id: the event's name and its alert's id.
type Events = BTreeMap<String, (String, String)>;

/// How a collector is spoken to, and where.
#[derive(Clone, Copy)]
enum Endpoint {
    Http(u16),
    Grpc(u16),
}

/// A collector whose record is its output.
struct Collector(Program);

impl Collector {
    async fn start(directory: &Path, endpoint: &Endpoint) -> Collector {
        let (http, grpc, port) = match *endpoint {
            Endpoint::Http(port) => (port, ports::free(), port),
            Endpoint::Grpc(port) => (ports::free(), port, port),
        };
        let mut command = Command::new("rotel-agent");
        command.args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"]);
        command.args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"]);
        command.arg("--otlp-http-endpoint").arg(format!("127.0.0.1:{http}"));
        command.arg("--otlp-grpc-endpoint").arg(format!("127.0.0.1:{grpc}"));
        command.arg("--pid-file").arg(directory.join(format!("rotel-{port}.pid")));
        command.arg("--log-file").arg(directory.join(format!("rotel-{port}.file")));
        let name = format!("rotel-{port}");
        Collector(Program::start(&name, &mut command, directory).listening(port).await)
    }

    /// The alert events that it printed: event id to event name and alert id.
    fn alert_events(&self) -> Events {
        let output = self.0.output();
        let mut events = Events::new();
        for record in output.split("\nLogRecord #").skip(1) {
            let value = |name: &str| {
                let line = record.lines().find_map(|line| line.trim().strip_prefix(name));
                line.map(|value| value.trim_start_matches(" Str(").trim_end_matches(')').to_owned())
            };
            let name = value("EventName: ").unwrap_or_default();
            let (event, alert) = (value("-> attestd.event.id:"), value("-> attestd.alert.id:"));
            if let (Some(event), Some(alert)) = (event, alert) {
                events.insert(event, (name, alert));
            }
        }
        events
    }

    /// The same in the order in which they came, with their times, as the suites hold them against the log.
    fn accepted(&self) -> Accepted {
        let output = self.0.output();
        let mut accepted = Accepted::default();
        for record in output.split("\nLogRecord #").skip(1) {
            let value = |name: &str| {
                let line = record.lines().find_map(|line| line.trim().strip_prefix(name));
                line.map(|value| value.trim_end_matches(')').to_owned()).unwrap_or_default()
            };
            let event = value("-> attestd.event.id: Str(");
            if event.is_empty() {
                continue;
            }
            let told = Told {
                event: event.clone(),
                alert: value("-> attestd.alert.id: Str("),
                sequence: value("-> attestd.event.sequence: Int(").parse().expect("a number"),
                subject: value("-> attestd.subject: Str("),
                name: value("EventName: "),
                code: value("-> attestd.finding.code: Str("),
                at: value("Timestamp: ").parse().expect("nanoseconds"),
            };
            match accepted.has.insert(event.clone(), told) {
                None => accepted.order.push(event),
                Some(_) => accepted.repeats += 1,
            }
        }
        accepted
    }

    fn event_names(&self) -> BTreeSet<String> {
        let output = self.0.output();
        let names = output.lines().filter_map(|line| line.strip_prefix("EventName: "));
        names.map(str::to_owned).collect()
    }

    fn metrics(&self) -> BTreeSet<String> {
        let output = self.0.output();
        let names = output.lines().filter_map(|line| line.trim().strip_prefix("-> Name: "));
        names.map(str::to_owned).collect()
    }

    fn metric_targets(&self) -> BTreeSet<String> {
        let output = self.0.output();
        let points = output.split("\nMetric #").skip(1).flat_map(str::lines);
        let targets = points.filter_map(|line| line.trim().strip_prefix("-> attestd.target: "));
        targets.map(str::to_owned).collect()
    }
}
