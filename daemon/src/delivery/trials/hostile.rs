//! One table of what a receiver may do, for OTLP over HTTP and gRPC, webhooks and Alertmanager, each against a real socket; and what becomes of
//! an event by each of them at each point at which the daemon may die, in paused time (D1, D4, D5, D6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::event::{Change, Delivery, Route, Takes};
use attestd_core::record::{Configured, FORMAT, Record, Start, Ticked};
use attestd_core::store::{Draft, Store};
use attestd_core::time::{Clock, Trust};
use attestd_core::{BoxFuture, DestinationName, Status};
use attestd_storage::MemoryStore;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::http::{Pki, answer, reach, read_request, settings, word};
use super::{TrialClock, begin, event, subject, webhook};
use crate::catalogue;
use crate::delivery::alertmanager::{AlertmanagerEmitter, AlertmanagerSettings};
use crate::delivery::http_client::ANSWER_MAX;
use crate::delivery::otlp::Protocol;
use crate::delivery::reach::Reach;
use crate::delivery::{Deliveries, Destination, EmitError, Emitter, Pace};

/// What a receiver does with a connection.
enum Act {
    /// Reads the request, writes this, and closes.
    Says(Vec<u8>),
    /// Writes this without reading, and closes.
    SaysUnasked(Vec<u8>),
    /// Reads the request and closes with a reset.
    Resets,
    /// Reads a part of the request and closes.
    Leaves,
    /// Reads the request, writes this, and never closes.
    Stays(Vec<u8>),
    /// Reads the request and writes a byte each tenth of a second.
    Drips,
    /// Accepts and does nothing.
    Mute,
    /// Nobody listens.
    Closed,
    /// Speaks TLS where none is expected.
    SpeaksTls,
    /// Reads the request, says yes, and then 100 MB.
    Floods,
}

/// Accepted, tried again (after so many seconds, where it says), or blocked.
type Word = (&'static str, Option<u64>);

const YES: Word = ("accepted", None);
const LATER: Word = ("retry", None);
const NO: Word = ("blocked", None);

/// What a receiver does, what it means to OTLP and to a webhook, and in words.
struct Behaviour(Act, Word, Word, &'static str);

fn behaviours() -> Vec<Behaviour> {
    use Act::*;
    let says = |status: &str, headers: &str, body: &[u8]| Says(answer(status, headers, body));
    let partial = |rejected, said: &str| {
        let partial_success = Some(ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: said.into(),
        });
        ExportLogsServiceResponse { partial_success }.encode_to_vec()
    };
    let huge = vec![0x0a; ANSWER_MAX + 1];
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = [&chunked[..], b"ffffffff\r\n", &vec![b'x'; 4 * ANSWER_MAX]].concat();
    let json = "Content-Type: application/json\r\n";
    let after = |seconds| ("retry", Some(seconds));
    let date = "Retry-After: Sun, 22 Nov 2026 12:02:00 GMT\r\n";
    vec![
        Behaviour(says("200 OK", "", b""), YES, YES, "full success"),
        Behaviour(says("202 Accepted", "", b""), YES, YES, "any 2xx: Teams' Workflows say so"),
        Behaviour(says("204 No Content", "", b""), YES, YES, "without a body"),
        Behaviour(says("200 OK", "", &partial(0, "said")), YES, YES, "a warning, nothing rejected"),
        Behaviour(says("200 OK", "", &partial(1, "no")), NO, YES, "partial success"),
        Behaviour(says("200 OK", json, b"{}"), YES, YES, "success in JSON"),
        Behaviour(
            says("200 OK", json, br#"{"partialSuccess":{"rejectedLogRecords":"1"}}"#),
            NO,
            YES,
            "partial success in JSON",
        ),
        Behaviour(says("200 OK", json, b"{"), LATER, YES, "JSON that is none"),
        Behaviour(says("200 OK", json, b"[]"), LATER, YES, "JSON that is no answer"),
        Behaviour(says("200 OK", "", b"<html>"), LATER, YES, "a page: who asked for it?"),
        Behaviour(says("200 OK", "", &huge), LATER, YES, "a huge answer"),
        Behaviour(Says(endless), LATER, YES, "an endless answer"),
        Behaviour(
            says("200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b"),
            LATER,
            YES,
            "packed, which was not asked for",
        ),
        Behaviour(
            Says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec()),
            LATER,
            YES,
            "accepts, then cuts",
        ),
        Behaviour(
            Stays(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec()),
            LATER,
            YES,
            "accepts, then dawdles over the rest",
        ),
        Behaviour(Says([&chunked[..], b"zz\r\n"].concat()), LATER, YES, "chunks that are none"),
        Behaviour(
            says("301 Moved", "Location: http://127.0.0.1:1/\r\n", b""),
            NO,
            NO,
            "moved elsewhere",
        ),
        Behaviour(says("302 Found", "Location: /\r\n", b""), NO, NO, "elsewhere for now"),
        Behaviour(says("304 Not Modified", "", b""), NO, NO, "nothing was asked"),
        Behaviour(says("307 Redirect", "Location: /v1/logs\r\n", b""), NO, NO, "to itself"),
        Behaviour(says("400 Bad Request", "", b"invalid_payload"), NO, NO, "400"),
        Behaviour(says("401 Unauthorized", "", b""), NO, NO, "401"),
        Behaviour(says("403 Forbidden", "", b"invalid_token"), NO, NO, "403"),
        Behaviour(says("404 Not Found", "", b"no_service"), NO, NO, "404"),
        Behaviour(says("405 Not Allowed", "", b""), NO, NO, "405"),
        Behaviour(says("410 Gone", "", b"channel_is_archived"), NO, NO, "410"),
        Behaviour(says("413 Too Large", "", &huge), NO, NO, "413, with a huge page"),
        Behaviour(says("415 What", "", b""), NO, NO, "415"),
        Behaviour(says("407 Proxy", "", b""), NO, NO, "a proxy wants to know who asks"),
        Behaviour(says("408 Timeout", "", b""), LATER, LATER, "408"),
        Behaviour(says("429 Slow Down", "", b""), LATER, LATER, "429"),
        Behaviour(says("429 No", "Retry-After: 17\r\n", b""), after(17), after(17), "429 and when"),
        Behaviour(says("429 No", "Retry-After: 0\r\n", b""), after(0), after(0), "429, at once"),
        Behaviour(says("429 No", "Retry-After: soon\r\n", b""), LATER, LATER, "429, some time"),
        Behaviour(says("500 Oops", "", &huge), LATER, LATER, "500, with a huge page"),
        Behaviour(says("502 Bad Gateway", "", b"<html>"), LATER, LATER, "a proxy without it"),
        Behaviour(says("503 Later", "", b""), LATER, LATER, "503"),
        Behaviour(says("503 Later", date, b""), after(119), after(119), "503 until a date"),
        Behaviour(
            says("503 Later", "Retry-After: 99999\r\n", b""),
            after(3600),
            after(3600),
            "an hour at most",
        ),
        Behaviour(says("507 Full", "", b""), LATER, LATER, "its disk is full"),
        Behaviour(says("599 Odd", "", b""), LATER, LATER, "a status that nobody knows"),
        Behaviour(Says(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), LATER, LATER, "no HTTP"),
        Behaviour(Says(vec![0xff; 64]), LATER, LATER, "garbage"),
        Behaviour(Says(b"HTTP/1.1 200 OK\r\n".repeat(20_000)), LATER, LATER, "headers without end"),
        Behaviour(Says(b"HTTP/1.1 20".to_vec()), LATER, LATER, "cut off within the status"),
        Behaviour(Says(Vec::new()), LATER, LATER, "takes it and closes without a word"),
        Behaviour(SaysUnasked(Vec::new()), LATER, LATER, "closes at once"),
        Behaviour(Resets, LATER, LATER, "takes it and resets"),
        Behaviour(Leaves, LATER, LATER, "leaves in the middle of the request"),
        Behaviour(Stays(Vec::new()), LATER, LATER, "answers after the deadline"),
        Behaviour(Drips, LATER, LATER, "a byte at a time"),
        Behaviour(Mute, LATER, LATER, "accepts the connection and reads nothing"),
        Behaviour(Closed, LATER, LATER, "nobody listens"),
        Behaviour(SpeaksTls, LATER, LATER, "TLS where none was expected"),
        Behaviour(Floods, LATER, YES, "100 MB, sent indeed"),
    ]
}

/// A receiver that does so with each connection; gives where it is.
async fn serve(act: Act) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    if matches!(act, Act::Closed) {
        return base;
    }
    let act = Arc::new(act);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let act = Arc::clone(&act);
            // A client that has had enough hangs up: no failure of the receiver's.
            tokio::spawn(async move { drop(connection(stream, &act).await) });
        }
    });
    base
}

async fn connection(mut stream: TcpStream, act: &Act) -> std::io::Result<()> {
    match act {
        Act::Says(bytes) => {
            read_request(&mut stream).await;
            stream.write_all(bytes).await?;
        }
        Act::SaysUnasked(bytes) => stream.write_all(bytes).await?,
        Act::Resets => {
            read_request(&mut stream).await;
            stream.set_zero_linger()?;
        }
        Act::Leaves => {
            stream.read_exact(&mut [0; 16]).await?;
        }
        Act::Stays(bytes) => {
            read_request(&mut stream).await;
            stream.write_all(bytes).await?;
            std::future::pending::<()>().await;
        }
        Act::Drips => {
            read_request(&mut stream).await;
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Act::Mute => std::future::pending::<()>().await,
        Act::Closed => {}
        Act::Floods => {
            read_request(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let megabyte = vec![b'x'; 1_000_000];
            for _ in 0..FLOOD / megabyte.len() {
                stream.write_all(&megabyte).await?;
            }
        }
        Act::SpeaksTls => {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(Pki::make(b"http/1.1").server));
            acceptor.accept(stream).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_behaviour_means_what_it_must() {
    let mut held = 0;
    for Behaviour(act, otlp, hook, why) in behaviours() {
        let base = serve(act).await;
        let mut of_otlp = settings(Protocol::Http, &base);
        let mut of_hook = webhook::settings(&format!("{base}/services/T0/s3cret"));
        let mut of_grpc = settings(Protocol::Grpc, &base);
        for reach in [&mut of_otlp.reach, &mut of_hook.reach, &mut of_grpc.reach] {
            reach.timeout = Duration::from_secs(1);
        }
        // Nothing here speaks HTTP/2; what gRPC itself says is held in `grpc.rs`. To Alertmanager a yes is its status.
        let (of_grpc, posted) = (super::http::emit(of_grpc).await, to_alertmanager(&base).await);
        assert_eq!(word(&of_grpc), LATER, "{why}, by gRPC: {of_grpc:?}");
        let (alertmanager, after) = word(&posted);
        let after = after.map(|s| if (117..=120).contains(&s) { 119 } else { s });
        assert_eq!((alertmanager, after), hook, "{why}, to Alertmanager: {posted:?}");
        held += 2;
        for (told, expected) in
            [(super::http::emit(of_otlp).await, otlp), (webhook::emit(of_hook).await, hook)]
        {
            let (word, after) = word(&told);
            // The clock of the trial goes on while the answer is read.
            let after = after.map(|s| if (117..=120).contains(&s) { 119 } else { s });
            assert_eq!((word, after), expected, "{why}: {told:?}");
            held += 1;
            if let Err(error) = told {
                let text = error.to_string();
                assert!(text.starts_with(&format!("sending to {base}")), "{text}");
                assert!(!text.contains("s3cret"), "the URL may be a secret: {text}");
                assert!(text.len() < 1000, "{} bytes: {why}", text.len());
            }
        }
    }
    println!("{held} meetings with {} behaviours of a receiver mean what they must", held / 4);
}

async fn to_alertmanager(base: &str) -> Result<(), EmitError> {
    let settings = AlertmanagerSettings {
        name: collector(),
        only: Default::default(),
        urls: vec![format!("{base}/api/v2/alerts")],
        every: Duration::from_secs(60),
        generator: None,
        reach: Reach { timeout: Duration::from_secs(1), ..reach() },
    };
    let (render, clock) = (Arc::new(catalogue::sentence), TrialClock::start());
    AlertmanagerEmitter::new(settings, None, render, clock).emit(&[]).await
}

#[tokio::test]
async fn nothing_is_told_to_who_shows_an_expired_certificate_and_it_is_tried_again() {
    for (protocol, alpn) in [(Protocol::Http, &b"http/1.1"[..]), (Protocol::Grpc, b"h2")] {
        let pki = Pki::until(alpn, 2020);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let base = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(pki.server.clone()));
        let shaken = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("asked");
            acceptor.accept(stream).await.is_ok()
        });
        let told = super::http::emit(pki.known(settings(protocol, &base))).await;
        assert_eq!(word(&told), LATER, "{told:?}");
        let text = told.expect_err("refused").to_string().to_lowercase();
        assert!(text.contains("expired"), "the reason is told: {text}");
        assert!(!shaken.await.expect("no panic"), "no handshake, so nothing was said");
    }
}

/// Bytes of the largest answer.
const FLOOD: usize = 100_000_000;

/// Longer than what a receiver makes wait that asks for an hour at each of these attempts.
const LIFE: Duration = Duration::from_secs(6 * 3600);

/// Where the daemon dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// After the commit, before the first attempt.
    BeforeTheAttempt,
    /// While the request is on its way: the receiver does not have it.
    OnTheWay,
    /// When the receiver has it, and its answer is on the way.
    Unanswered,
    /// When the answer came, before it is acknowledged.
    Unacknowledged,
    /// When it is acknowledged, and sled has not written that.
    NotWritten,
    /// When that is written to the log.
    Written,
}

const DEATHS: [Dies; 6] = [
    Dies::BeforeTheAttempt,
    Dies::OnTheWay,
    Dies::Unanswered,
    Dies::Unacknowledged,
    Dies::NotWritten,
    Dies::Written,
];

/// A receiver that behaves so at the first two attempts of each alert, and then well; it outlives the daemon.
struct Hostile {
    word: Word,
    dies: Dies,
    /// Whether the daemon's first life goes on.
    first: Mutex<bool>,
    seen: Mutex<Seen>,
    /// What ends where the daemon dies.
    ends: Mutex<Option<Arc<tokio::sync::Mutex<Deliveries>>>>,
}

#[derive(Default)]
struct Seen {
    /// By alert.
    attempts: BTreeMap<String, usize>,
    /// The ids that it has, in the order in which they came, doubles and all.
    has: Vec<(String, String, u64)>,
}

impl Hostile {
    /// The daemon dies now: its end is queued before the loop that waits for an answer.
    fn end(&self) {
        if let Some(deliveries) = self.ends.lock().expect("no panic").take() {
            tokio::spawn(async move { deliveries.lock().await.stop().await });
        }
    }
}

impl Emitter for Hostile {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            let first = *self.first.lock().expect("no panic");
            if first && self.dies == Dies::OnTheWay {
                self.end();
                std::future::pending::<()>().await;
            }
            let behaves = {
                let mut seen = self.seen.lock().expect("no panic");
                let attempts = seen.attempts.entry(deliveries[0].alert_id.clone()).or_default();
                *attempts += 1;
                *attempts <= 2
            };
            let has = || {
                let one = |d: &Delivery| (d.event_id.clone(), d.alert_id.clone(), d.sequence);
                self.seen.lock().expect("no panic").has.extend(deliveries.iter().map(one));
            };
            match self.word {
                ("retry", after) if behaves => {
                    let after = after.map(Duration::from_secs);
                    return Err(EmitError::Retry { after, reason: "hostile".into() });
                }
                ("blocked", _) if behaves => {
                    return Err(EmitError::Blocked { reason: "hostile".into() });
                }
                _ => has(),
            }
            if first && self.dies == Dies::Unanswered {
                self.end();
                std::future::pending::<()>().await;
            }
            self.end();
            Ok(())
        })
    }
}

fn collector() -> DestinationName {
    "collector".parse().expect("a destination")
}

/// Three alerts, each begun and ended.
async fn told() -> MemoryStore {
    let store = MemoryStore::new();
    let start = Record::Start(Box::new(Start {
        format: FORMAT,
        origin: "0123456789abcdef0123456789abcdef".to_owned(),
        at: begin(),
        uptime: attestd_core::time::Uptime(Duration::ZERO),
        boot: "boot".to_owned(),
        version: String::new(),
        binary: String::new(),
        data: BTreeMap::new(),
        clock: Trust::Trusted,
    }));
    let configured = Record::Configured(Box::new(Configured {
        at: begin(),
        config: String::new(),
        checks: BTreeMap::new(),
        labels: BTreeMap::new(),
        assertions: Vec::new(),
        before: None,
        routes: vec![Route::new(collector(), Takes::Everything)],
    }));
    let mut records = vec![start, configured];
    for change in [Change::Opened, Change::Resolved] {
        for part in ["a", "b", "c"] {
            let mut event = event(part, begin());
            event.change = change;
            records.push(Record::Ticked(Ticked {
                at: begin(),
                subject: subject(),
                kind: "certificate".to_owned(),
                status: Status::Warn,
                alerts: Default::default(),
                events: vec![event],
            }));
        }
    }
    for record in records {
        store.commit(Draft { record, blobs: Vec::new() }).await.expect("committed");
    }
    store
}

/// One life after another, the first ending as `dies` says; gives how many events came twice.
async fn lives(word: Word, dies: Dies, why: &str) -> usize {
    let clock = TrialClock::start();
    let (first, seen) = (Mutex::new(true), Mutex::default());
    let receiver = Arc::new(Hostile { word, dies, first, seen, ends: Mutex::default() });
    let mut store = Arc::new(told().await);
    let serve = |store: &Arc<MemoryStore>| {
        let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = (store.clone(), clock.clone());
        Deliveries::new(store, clock, 7)
    };
    let to = || {
        let emitter = Arc::<Hostile>::clone(&receiver);
        let pace = Pace { beats: None, ..Pace::machine() };
        vec![Destination { name: collector(), emitter, pace }]
    };
    if dies != Dies::BeforeTheAttempt {
        let deliveries = Arc::new(tokio::sync::Mutex::new(serve(&store)));
        if matches!(dies, Dies::OnTheWay | Dies::Unanswered | Dies::Unacknowledged) {
            *receiver.ends.lock().expect("no panic") = Some(deliveries.clone());
        }
        deliveries.lock().await.serve(to()).await;
        tokio::time::sleep(LIFE).await;
        deliveries.lock().await.stop().await;
        if dies == Dies::Written {
            store.write_accepted(clock.now()).await.expect("written");
        }
    }
    *receiver.first.lock().expect("no panic") = false;
    if dies == Dies::Unacknowledged {
        store.read(&mut |state| assert_eq!(state.outbox.len(), 6, "{why}, {word:?}: acknowledged"));
    }
    let told_before = receiver.seen.lock().expect("no panic").has.len();
    // Of what was acknowledged, what sled had not written and the log does not know is gone.
    store = Arc::new(store.crash(dies == Dies::Written));
    let mut waits = 0;
    store.read(&mut |state| waits = state.outbox.len());
    if dies == Dies::Written {
        assert_eq!(waits, 0, "{why}, {dies:?}: what the log knows is not sent again");
    }
    let mut deliveries = serve(&store);
    deliveries.serve(to()).await;
    tokio::time::sleep(LIFE).await;
    deliveries.stop().await;
    let mut left = 0;
    store.read(&mut |state| left = state.outbox.len());
    assert_eq!(left, 0, "{why}, {dies:?}: all is told in the end");

    let seen = receiver.seen.lock().expect("no panic");
    let ids: BTreeSet<&str> = seen.has.iter().map(|(id, _, _)| id.as_str()).collect();
    assert_eq!(ids.len(), 6, "{why}, {dies:?}: none is lost, and a double has the same id");
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut had = BTreeSet::new();
    for (id, alert, sequence) in seen.has.iter().filter(|(id, _, _)| had.insert(id)) {
        let before = newest.insert(alert, *sequence);
        assert!(before < Some(*sequence), "{why}, {dies:?}: {id} out of order");
    }
    // Of what was acknowledged nothing but what sled had not written comes twice.
    let doubles = seen.has.len() - ids.len();
    let may = match dies {
        Dies::BeforeTheAttempt | Dies::OnTheWay | Dies::Written => 0,
        _ => told_before,
    };
    assert!(doubles <= may, "{why}, {dies:?}: {doubles} came twice, of {may} that might");
    doubles
}

#[tokio::test(start_paused = true)]
async fn whatever_a_receiver_does_and_wherever_the_daemon_dies_nothing_is_lost() {
    let (mut trials, mut doubles) = (0, 0);
    for Behaviour(_, otlp, hook, why) in behaviours() {
        let words: BTreeSet<Word> = [otlp, hook].into();
        for (word, dies) in words.iter().flat_map(|word| DEATHS.map(|dies| (*word, dies))) {
            doubles += lives(word, dies, why).await;
            trials += 1;
        }
    }
    println!("{trials} trials of a behaviour and a death: 0 events lost, {doubles} came twice");
    assert!(trials >= 40 * DEATHS.len(), "{trials}");
}
