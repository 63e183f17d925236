//! Metrics for Prometheus: the same table as text, at `/metrics` on loopback; and beside it the calendar.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::Settings;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::export::Source;
use super::metrics::{Kind, METRICS, Snapshot, Spec};
use crate::calendar::Feed;

/// Connections at once: a Prometheus keeps one open.
const CONNECTIONS_MAX: usize = 32;
/// How long one lasts, idle or not: a client that says nothing holds its place for no longer, and Prometheus connects
/// again.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// After a connection could not be accepted, for want of file descriptors mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// `[metrics]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// Where it listens: on loopback only.
    pub listen: SocketAddr,
}

impl PrometheusSettings {
    /// Reads `[metrics]`, and ends the reading.
    pub fn read(table: &Settings<'_>) -> Option<PrometheusSettings> {
        let listen = table.parsed::<SocketAddr>("listen");
        if !table.has("listen") {
            table.missing("listen", "an address on loopback, such as \"127.0.0.1:9464\"");
        }
        table.finish();
        let listen = listen?;
        if !listen.ip().is_loopback() {
            table
                .error("listen", "metrics are served on loopback only, such as \"127.0.0.1:9464\"");
            return None;
        }
        Some(PrometheusSettings { listen })
    }
}

/// Serves `/metrics` and `/calendar.ics` on a bound listener until told to stop.
pub async fn serve(
    listener: TcpListener,
    source: Source,
    calendar: Feed,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = TowerToHyperService::new(router(source, calendar, listener.local_addr()?.port()));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tasks = JoinSet::new(); // aborts them when dropped
    loop {
        while tasks.try_join_next().is_some() {}
        let permit = connections.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), app.clone());
        tasks.spawn(async move {
            let _permit = permit;
            // Whoever asks so slowly, or hangs up, has no answer.
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
        });
    }
}

/// The routes, behind the exact list of hosts that are ours at `port`.
pub fn router(source: Source, calendar: Feed, port: u16) -> Router {
    let hosts: Vec<String> =
        ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")).into();
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(source)
        .merge(Router::new().route("/calendar.ics", get(feed)).with_state(calendar))
        .layer(from_fn_with_state(Arc::<[String]>::from(hosts), only_our_hosts))
}

async fn metrics(State(source): State<Source>) -> Response {
    ([(CONTENT_TYPE, TEXT)], text(&source())).into_response()
}

/// The calendar; its words are read from the log.
async fn feed(State(calendar): State<Feed>) -> Response {
    match tokio::task::spawn_blocking(move || calendar()).await {
        Ok(text) => ([(CONTENT_TYPE, "text/calendar; charset=utf-8")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A page of another site that a browser was tricked to send here (DNS rebinding) names another host.
async fn only_our_hosts(
    State(hosts): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    let mut named = request.headers().get_all(HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let ours = |host: &str| hosts.iter().any(|our| our.eq_ignore_ascii_case(host));
    let authority = request.uri().authority().map(ToString::to_string);
    let uri_is_ours = authority.as_deref().is_none_or(ours);
    if named.next().is_some() || !host.is_some_and(ours) || !uri_is_ours {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    next.run(request).await
}

/// The whole table in the text format 0.0.4.
pub fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for spec in METRICS {
        let points = (spec.observe)(snapshot);
        if points.is_empty() {
            continue;
        }
        let name = name(spec);
        let kind = match spec.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let help = spec.description.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for point in points {
            text.push_str(&name);
            let labels: Vec<String> =
                point.attributes.iter().map(|(name, value)| label(name, value)).collect();
            if !labels.is_empty() {
                let _ = write!(text, "{{{}}}", labels.join(","));
            }
            let _ = writeln!(text, " {}", point.value);
        }
    }
    text
}

/// The name as OpenTelemetry's rules for Prometheus translate it: underscores, the unit, `_total` for counters;
/// units in braces are left out.
pub fn name(spec: &Spec) -> String {
    let mut name = spec.name.replace('.', "_");
    if spec.unit == "s" {
        name.push_str("_seconds");
    }
    if spec.kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{}=\"{value}\"", name.replace('.', "_"))
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::super::metrics::tests::snapshot;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn calendar() -> Feed {
        Arc::new(|| "BEGIN:VCALENDAR\r\n".to_owned())
    }

    #[test]
    fn the_table_reads_as_prometheus_expects() {
        let text = text(&snapshot(&["a \"b\"\\c"]));
        for line in [
            "# TYPE attestd_heartbeat_time_seconds gauge",
            "attestd_heartbeat_time_seconds 1795348800.5",
            "attestd_subject_status{attestd_check_id=\"portal\",attestd_check_kind=\"certificate\",\
             attestd_target=\"a \\\"b\\\"\\\\c\",attestd_status=\"warn\"} 1",
            "# TYPE attestd_slot_missed_total counter",
            "attestd_outbox_events{attestd_destination=\"collector\"} 2",
            "attestd_destination_failures{attestd_destination=\"collector\"} 3",
            "attestd_subject_stale_time_seconds{attestd_check_id=\"portal\",\
             attestd_check_kind=\"certificate\",attestd_target=\"a \\\"b\\\"\\\\c\"} 1795392000",
            "attestd_log_records_total 42",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("last_observed"), "nothing to say, nothing said");
    }

    #[tokio::test]
    async fn only_our_own_hosts_are_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let stop = CancellationToken::new();
        let source: Source = Arc::new(|| snapshot(&["a:443"]));
        let served = tokio::spawn(serve(listener, source, calendar(), stop.clone()));
        for (request, expected) in [
            (format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"), "200"),
            (format!("GET /metrics HTTP/1.1\r\nHost: LocalHost:{port}\r\n"), "200"),
            (format!("GET /metrics HTTP/1.1\r\nHost: [::1]:{port}\r\n"), "200"),
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n".to_owned(), "421"),
            (format!("GET /metrics HTTP/1.1\r\nHost: evil.example:{port}\r\n"), "421"),
            (format!("GET /metrics HTTP/1.1\r\nHost: localhost:{port}.evil.example\r\n"), "421"),
            (
                format!("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost:{port}\r\n"),
                "421",
            ),
            ("GET /metrics HTTP/1.0\r\n".to_owned(), "421"),
            (
                format!(
                    "POST /metrics HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 0\r\n"
                ),
                "405",
            ),
            (format!("GET /calendar.ics HTTP/1.1\r\nHost: evil.example:{port}\r\n"), "421"),
            (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n"), "404"),
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
            let request = format!("{request}Connection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("answered");
            let status = answer.split(' ').nth(1);
            assert_eq!(status, Some(expected), "{request}{answer}");
            assert_eq!(answer.contains("attestd_subject_status"), expected == "200");
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        let request = format!(
            "GET /calendar.ics HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains("content-type: text/calendar") && answer.ends_with("VCALENDAR\r\n")
        );
        stop.cancel();
        served.await.expect("no panic").expect("ended well");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_say_nothing_do_not_keep_others_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let source: Source = Arc::new(|| snapshot(&["a:443"]));
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, source, calendar(), stop.clone()));
        let mut mute = Vec::new();
        for _ in 0..CONNECTIONS_MAX + 1 {
            mute.push(TcpStream::connect(address).await.expect("connected"));
        }
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        stop.cancel();
        served.await.expect("no panic").expect("ended well");
    }

    #[test]
    fn it_listens_on_loopback_only() {
        let read = |text: &str| {
            crate::delivery::trials::problems(text, |s, _| PrometheusSettings::read(s))
        };
        assert!(read("listen = \"127.0.0.1:9464\"").0.is_some());
        assert!(read("listen = \"[::1]:9464\"").0.is_some());
        for text in ["listen = \"0.0.0.0:9464\"", "listen = \"localhost\"", ""] {
            let (settings, told) = read(text);
            assert!(settings.is_none() && told.len() == 1, "{text}: {told:?}");
        }
    }
}
