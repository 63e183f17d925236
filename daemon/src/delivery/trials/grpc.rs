//! OTLP over gRPC against receivers on loopback.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::http::{Pki, emit, first_line, settings, word};
use crate::delivery::otlp::Protocol;
use crate::delivery::otlp_grpc::GrpcClient;
use crate::delivery::otlp_sender::Signal;
use crate::delivery::reach::{HeadersFrom, Parts};

/// Does with a request as it is told.
#[derive(Clone)]
struct Receiver(Arc<dyn Fn(Request<ExportLogsServiceRequest>) -> Told + Send + Sync>);

type Told = Result<ExportLogsServiceResponse, Status>;

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        (self.0)(request).map(Response::new)
    }
}

/// Serves on loopback; gives the port.
async fn serve(
    told: impl Fn(Request<ExportLogsServiceRequest>) -> Told + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let service = LogsServiceServer::new(Receiver(Arc::new(told)))
        .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
    let server = Server::builder().serve_with_incoming(service, TcpIncoming::from(listener));
    tokio::spawn(server);
    port
}

#[tokio::test]
async fn each_status_means_what_it_must() {
    let partial = |rejected| ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: "said".into(),
        }),
    };
    let huge = || ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 0,
            error_message: "x".repeat(100_000),
        }),
    };
    let status = |code| Err(Status::new(code, "said"));
    let cases: Vec<(Told, &str)> = vec![
        (Ok(ExportLogsServiceResponse::default()), "accepted"),
        (Ok(partial(0)), "accepted"),
        (Ok(partial(1)), "blocked"),
        (Ok(huge()), "retry"),
        (status(Code::Unavailable), "retry"),
        (status(Code::DeadlineExceeded), "retry"),
        (status(Code::ResourceExhausted), "retry"),
        (status(Code::Aborted), "retry"),
        (status(Code::Cancelled), "retry"),
        (status(Code::Internal), "blocked"),
        (status(Code::Unknown), "blocked"),
        (status(Code::InvalidArgument), "blocked"),
        (status(Code::Unauthenticated), "blocked"),
        (status(Code::PermissionDenied), "blocked"),
        (status(Code::Unimplemented), "blocked"),
        (status(Code::OutOfRange), "blocked"),
        (status(Code::DataLoss), "blocked"),
    ];
    for (answer, expected) in cases {
        let given = answer.clone();
        let port = serve(move |_| given.clone()).await;
        let told = emit(settings(Protocol::Grpc, &format!("http://127.0.0.1:{port}"))).await;
        assert_eq!(word(&told).0, expected, "{answer:?}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_no_grpc_is_tried_again() {
    for (bytes, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..], "HTTP/1.1"),
        (&b"220 mail.example.org ESMTP\r\n"[..], "a mail server"),
        (&[0xff; 64][..], "garbage"),
        (&b""[..], "closed without a word"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(bytes).await;
            }
        });
        let told = emit(settings(Protocol::Grpc, &base)).await;
        assert_eq!(word(&told).0, "retry", "{why}: {told:?}");
    }
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base = format!("http://{}", mute.local_addr().expect("bound"));
    let mut short = settings(Protocol::Grpc, &base);
    short.reach.timeout = Duration::from_millis(200);
    let told = emit(short).await;
    assert_eq!(word(&told).0, "retry", "a mute server: {told:?}");
    drop(mute);
    let told = emit(settings(Protocol::Grpc, &base)).await;
    assert_eq!(word(&told).0, "retry", "a closed port: {told:?}");
}

#[tokio::test]
async fn headers_and_compression_arrive() {
    for compression in [false, true] {
        let port = serve(move |request| {
            let tenant = request.metadata().get("x-tenant").map(|value| value.as_bytes().to_vec());
            let records = &request.get_ref().resource_logs[0].scope_logs[0].log_records;
            let well = tenant.as_deref() == Some(b"nhs")
                && records[0].event_name == "attestd.alert.opened";
            if well { Ok(Default::default()) } else { Err(Status::invalid_argument("not well")) }
        })
        .await;
        let mut settings = settings(Protocol::Grpc, &format!("http://127.0.0.1:{port}"));
        settings.compression = compression;
        settings.reach.headers_from =
            vec![HeadersFrom::Settings(vec![("x-tenant".into(), "nhs".into())])];
        assert_eq!(emit(settings).await, Ok(()));
    }
}

#[tokio::test]
async fn tls_needs_the_right_anchors_and_shows_who_we_are() {
    let pki = Pki::make(b"h2");
    let behind = serve(|_| Ok(ExportLogsServiceResponse::default())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(pki.server.clone()));
    // TLS ends here, as at a proxy before a collector.
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let inner = tokio::net::TcpStream::connect(("127.0.0.1", behind)).await;
                let mut inner = inner.expect("connected");
                let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    let plain = settings(Protocol::Grpc, &base);
    assert_eq!(emit(pki.known(plain.clone())).await, Ok(()));
    let unknown_ca = emit(plain.clone()).await;
    assert_eq!(word(&unknown_ca).0, "retry", "{unknown_ca:?}");
    let mut nameless = pki.known(plain);
    nameless.reach.client = None;
    let nameless = emit(nameless).await;
    assert_eq!(word(&nameless).0, "retry", "no client certificate: {nameless:?}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_but_not_to_this_machine() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = format!("http://{}", proxy.local_addr().expect("bound"));
    let behind = serve(|_| Ok(ExportLogsServiceResponse::default())).await;
    let asked = tokio::spawn(async move {
        let (mut stream, _) = proxy.accept().await.expect("asked");
        drop(proxy);
        let line = first_line(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("said");
        let mut inner = tokio::net::TcpStream::connect(("127.0.0.1", behind)).await.expect("there");
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
        line
    });
    let proxies = Matcher::builder().all(address).build();
    let parts = Parts { headers: Default::default(), ca: None, ca_bundle: None, identity: None };
    let client = |host: &str, port: u16| {
        let settings = settings(Protocol::Grpc, &format!("http://{host}:{port}"));
        GrpcClient::new(&settings, &parts, &proxies).expect("a client")
    };
    let through = client("collector.invalid", 4317);
    through.send(Signal::Logs, prost::bytes::Bytes::new()).await.expect("accepted");
    drop(through);
    assert_eq!(asked.await.expect("ended"), "CONNECT collector.invalid:4317 HTTP/1.1");
    // The proxy is gone by now.
    let direct = client("localhost", behind);
    direct.send(Signal::Logs, prost::bytes::Bytes::new()).await.expect("accepted");
}
