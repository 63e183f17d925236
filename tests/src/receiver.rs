//! An OTLP receiver on loopback, over HTTP, that remembers every alert event it accepted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::servers;
use crate::sim::chance::Chance;
use crate::wait;

/// An alert event as it was first accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `attestd.event.id`; empty where it is volatile.
    pub event: String,
    /// `attestd.alert.id`.
    pub alert: String,
    /// `attestd.event.sequence`.
    pub sequence: i64,
    /// `attestd.subject`.
    pub subject: String,
    /// Its name: `attestd.alert.opened`.
    pub name: String,
    /// `attestd.finding.code`.
    pub code: String,
    /// When it happened, in nanoseconds since 1970.
    pub at: u64,
}

/// The receiver: down until it is told to listen.
pub struct Receiver {
    runtime: Runtime,
    address: SocketAddr,
    memory: Arc<Memory>,
    waiting: Option<TcpSocket>,
}

#[derive(Default)]
struct Memory {
    accepted: Mutex<Accepted>,
    /// Where there is chance there are moods.
    moods: Mutex<Option<Chance>>,
}

/// What was accepted.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// By event id.
    pub has: BTreeMap<String, Told>,
    /// Event ids in the order in which they were first accepted.
    pub order: Vec<String>,
    /// When each came first, in nanoseconds since 1970.
    pub arrived: BTreeMap<String, u64>,
    /// How often one came that was there already.
    pub repeats: u64,
    /// What came marked volatile: it stands in no log, and has neither id nor sequence.
    pub volatile: Vec<Told>,
    /// The checkpoints that came with heartbeats, signed notes.
    pub checkpoints: Vec<String>,
}

impl Receiver {
    /// A receiver that is down: its port is kept, and refuses every connection.
    pub fn down() -> Receiver {
        let runtime = servers::runtime();
        let (waiting, address) = runtime.block_on(async { servers::closed() });
        Receiver { runtime, address, memory: Arc::default(), waiting: Some(waiting) }
    }

    /// Listens from now on.
    pub fn up(&mut self) {
        let socket = self.waiting.take().expect("it comes up once");
        let router = Router::new()
            .route("/v1/logs", post(logs))
            .route("/v1/metrics", post(|| async { StatusCode::OK }))
            .with_state(self.memory.clone());
        self.runtime.spawn(async move {
            let listener = socket.listen(128).expect("its port is kept for it");
            axum::serve(listener, router).await
        });
    }

    /// Where it is, as the endpoint of an `[[otlp]]`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it also refuses, dawdles, and accepts without an answer, as `chance` has it; never, with none.
    pub fn moods(&self, chance: Option<Chance>) {
        *self.memory.moods.lock().expect("nothing panics while it holds this lock") = chance;
    }

    /// What it accepted so far.
    pub fn accepted(&self) -> Accepted {
        self.memory.accepted.lock().expect("nothing panics while it holds this lock").clone()
    }
}

/// What it does with a request.
enum Mood {
    Accept,
    Dawdle,
    Refuse,
    AcceptInSilence,
}

async fn logs(State(memory): State<Arc<Memory>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportLogsServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    match memory.mood() {
        Mood::Refuse => return StatusCode::SERVICE_UNAVAILABLE,
        Mood::Dawdle => tokio::time::sleep(Duration::from_millis(150)).await,
        Mood::Accept => {}
        Mood::AcceptInSilence => {
            memory.accept(&request);
            return std::future::pending().await;
        }
    }
    memory.accept(&request);
    StatusCode::OK
}

impl Memory {
    fn mood(&self) -> Mood {
        let mut moods = self.moods.lock().expect("nothing panics while it holds this lock");
        match moods.as_mut().map(|chance| chance.below(10)) {
            Some(0) => Mood::Refuse,
            Some(1) => Mood::AcceptInSilence,
            Some(2 | 3) => Mood::Dawdle,
            _ => Mood::Accept,
        }
    }

    fn accept(&self, request: &ExportLogsServiceRequest) {
        let mut accepted = self.accepted.lock().expect("nothing panics while it holds this lock");
        let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        let records: Vec<&LogRecord> = scopes.flat_map(|scope| &scope.log_records).collect();
        for beat in records.iter().filter(|record| record.event_name == "attestd.heartbeat") {
            accepted.checkpoints.extend(text(beat, "attestd.checkpoint"));
        }
        let alerts = records.iter().copied().filter(|r| r.event_name.starts_with("attestd.alert."));
        for told in alerts.map(told) {
            if told.event.is_empty() {
                accepted.volatile.push(told);
                continue;
            }
            match accepted.has.get(&told.event) {
                None => {
                    accepted.order.push(told.event.clone());
                    let now = u64::try_from(wait::now().as_nanosecond()).expect("after 1970");
                    accepted.arrived.insert(told.event.clone(), now);
                    accepted.has.insert(told.event.clone(), told);
                }
                Some(known) => {
                    assert_eq!(known, &told, "an event says the same each time");
                    accepted.repeats += 1;
                }
            }
        }
    }
}

fn told(record: &LogRecord) -> Told {
    let text = |name: &str| text(record, name).unwrap_or_else(|| panic!("{name} is text"));
    let volatile = value(record, "attestd.event.volatile").is_some();
    let sequence = match value(record, "attestd.event.sequence") {
        Some(Value::IntValue(number)) => number,
        None if volatile => 0,
        other => panic!("a sequence is a number, not {other:?}"),
    };
    Told {
        event: if volatile { String::new() } else { text("attestd.event.id") },
        alert: text("attestd.alert.id"),
        sequence,
        subject: text("attestd.subject"),
        name: record.event_name.clone(),
        code: text("attestd.finding.code"),
        at: record.time_unix_nano,
    }
}

fn value(record: &LogRecord, name: &str) -> Option<Value> {
    let pair = record.attributes.iter().find(|pair| pair.key == name)?;
    pair.value.as_ref()?.value.clone()
}

fn text(record: &LogRecord, name: &str) -> Option<String> {
    match value(record, name)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
