//! A proxy and an extra CA bundle, as a hospital's or an office's network wants them: for sources and for OTLP.
//!
//! Names under `.test` resolve nowhere, so whatever arrives came through the proxy.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::attestd::{Daemon, Supplier, command, looked};
use crate::harness::pki::{Made, authority, make};
use crate::harness::program::Program;
use crate::harness::{SOON, nginx, ports};

/// What the proxy was asked for, a line each.
type Asked = Arc<Mutex<Vec<String>>>;

/// A row: what is so, the environment, what is then said of the source, and how many tunnels were asked for.
type Way<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, usize);

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_fetched_through_the_proxy_and_verified_by_the_extra_bundle() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let ca = authority("Inspecting Proxy", None);
    ca.write(home, "bundle", &[]);
    let page = tls_server(&named("toolkit.test", &ca), PAGE).await;
    let (proxy, asked) = proxy(&[("toolkit.test:443", page)]).await;
    let through = format!("http://127.0.0.1:{proxy}");

    let says = |views: &[attestd::control::CheckedView]| {
        let view = &views[0];
        format!("{:?} {}", view.view.unseen, view.explanation)
    };
    let source = |home: &Path, bundle: &str| {
        let text = format!(
            "{bundle}\n[[check]]\nid = \"toolkit\"\nkind = \"dspt\"\ncodes = [\"8ZZ99\"]\n\
             source = \"page\"\npage = \"https://toolkit.test/organisation/{{ODS}}\"\n"
        );
        std::fs::write(home.join("attestd.toml"), text).expect("written");
    };
    let rows: [Way<'_>; 5] = [
        ("through the proxy", &[("HTTPS_PROXY", &through)], "2025-26 Standards Met", 1),
        ("in lower case too", &[("https_proxy", &through)], "2025-26 Standards Met", 1),
        (
            "not what NO_PROXY names",
            &[("HTTPS_PROXY", &through), ("NO_PROXY", "toolkit.test")],
            "toolkit.test",
            0,
        ),
        ("no proxy, no way", &[], "toolkit.test", 0),
        ("another proxy's variable", &[("HTTP_PROXY", &through)], "toolkit.test", 0),
    ];
    for (what, environment, expected, tunnels) in rows {
        source(home, "[sources]\nca_bundle = \"bundle.pem\"");
        let before = asked.lock().expect("whole").len();
        let mut check = command();
        check.args(["check", "toolkit", "--explain", "--config"]).arg(home.join("attestd.toml"));
        let (views, _) = looked(check.envs(environment.iter().copied())).await;
        let said = says(&views);
        assert!(said.contains(expected), "{what}: {said}");
        let after = asked.lock().expect("whole").clone();
        assert_eq!(after.len() - before, tunnels, "{what}: {after:?}");
        assert!(after.iter().all(|line| line == "CONNECT toolkit.test:443 HTTP/1.1"), "{after:?}");
    }
    println!(
        "{} ways of the environment, {} tunnels",
        rows.len(),
        asked.lock().expect("whole").len()
    );
    // The bundle is what makes it trusted.
    source(home, "");
    let mut check = command();
    check.args(["check", "toolkit", "--config"]).arg(home.join("attestd.toml"));
    let (views, code) = looked(check.env("HTTPS_PROXY", &through)).await;
    let remedy = views[0].view.remedy.clone().unwrap_or_default();
    assert!(remedy.contains("name its CA with `ca_bundle`"), "{:?}", views[0]);
    assert_eq!(code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_a_collector_beyond_the_proxy_over_http_and_over_grpc() {
    let supplier = Supplier::new();
    let home = supplier.directory.path();
    let ca = authority("Inspecting Proxy", None);
    ca.write(home, "bundle", &[]);
    named("collector.test", &ca).write(home, "collector", &[]);
    let [http, grpc, collector_http, collector_grpc] = [(); 4].map(|()| ports::free());
    let _collector = collector(home, collector_http, collector_grpc).await;
    let tls = |port: u16, more: &str, pass: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl {more}; ssl_certificate {0}/collector.pem;\n\
             ssl_certificate_key {0}/collector.key; location / {{ {pass}; }} }}\n",
            home.display()
        )
    };
    let servers = [
        tls(http, "", &format!("proxy_pass http://127.0.0.1:{collector_http}")),
        tls(grpc, "http2", &format!("grpc_pass grpc://127.0.0.1:{collector_grpc}")),
    ];
    let _nginx = nginx::start(home, &servers.concat(), http).await;
    let (port, asked) =
        proxy(&[("collector.test:4318", http), ("collector.test:4317", grpc)]).await;
    let table = "[[otlp]]\nname = \"collector\"\n";
    let two = format!(
        "[sources]\nca_bundle = \"bundle.pem\"\n\
         [[otlp]]\nname = \"by-http\"\nendpoint = \"https://collector.test:4318\"\n\
         [[otlp]]\nname = \"by-grpc\"\nprotocol = \"grpc\"\nendpoint = \"https://collector.test:4317\"\n\
         {table}"
    );
    supplier.edit(&[(table, &two)]);

    let through = format!("http://127.0.0.1:{port}");
    let daemon = Daemon::start_with(&supplier.config(), &[("HTTPS_PROXY", &through)]).await;
    for name in ["by-http", "by-grpc"] {
        daemon.emptied(name, SOON).await;
    }
    let asked = asked.lock().expect("whole").clone();
    for at in ["collector.test:4318", "collector.test:4317"] {
        assert!(asked.iter().any(|line| line.starts_with(&format!("CONNECT {at} "))), "{asked:?}");
    }
    // What goes to this machine goes there by itself: the third collector, which is down.
    assert!(asked.iter().all(|line| line.contains("collector.test:")), "{asked:?}");
    assert!(daemon.waiting("collector").await > 0);
    println!("{} tunnels", asked.len());
    daemon.stop().await;
}

async fn collector(home: &Path, http: u16, grpc: u16) -> Program {
    let mut command = std::process::Command::new("rotel-agent");
    command.args(["start", "--exporter", "blackhole"]);
    command.arg("--otlp-http-endpoint").arg(format!("127.0.0.1:{http}"));
    command.arg("--otlp-grpc-endpoint").arg(format!("127.0.0.1:{grpc}"));
    command.arg("--pid-file").arg(home.join("rotel.pid"));
    command.arg("--log-file").arg(home.join("rotel.file"));
    let collector = Program::start("rotel", &mut command, home).listening(http).await;
    collector.listening(grpc).await
}

fn named(name: &str, ca: &Made) -> Made {
    make(Some(ca), |params| {
        let name = name.try_into().expect("a name");
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    })
}

/// A proxy that knows these names, and nothing else: `CONNECT` leads to a port on loopback.
async fn proxy(names: &[(&str, u16)]) -> (u16, Asked) {
    let names: Vec<(String, u16)> =
        names.iter().map(|(n, port)| ((*n).to_owned(), *port)).collect();
    let (listener, port) = listener().await;
    let asked = Asked::default();
    let told = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tunnel(BufReader::new(stream), names.clone(), told.clone()));
        }
    });
    (port, asked)
}

async fn tunnel(mut stream: BufReader<TcpStream>, names: Vec<(String, u16)>, asked: Asked) {
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() {
        return;
    }
    let line = line.trim().to_owned();
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().expect("whole").push(line);
    let mut header = String::new();
    while stream.read_line(&mut header).await.is_ok_and(|read| read > 2) {
        header.clear();
    }
    let known = names.iter().find(|(name, _)| *name == target);
    let Some((_, port)) = known else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        return;
    };
    let Ok(mut beyond) = TcpStream::connect(("127.0.0.1", *port)).await else { return };
    if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        let _ = copy_bidirectional(&mut stream, &mut beyond).await;
    }
}

/// A TLS server that answers every request with `page`.
async fn tls_server(made: &Made, page: &'static str) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(made.pem.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(made.key_pem().as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// An organisation's page of the toolkit.
const PAGE: &str = "<html><main><h1>EXAMPLE HEALTH SYSTEMS LTD (8ZZ99)</h1><table>\
    <thead><tr><th>Status</th><th>Date Published</th></tr></thead>\
    <tbody><tr><td>2025-26 Standards Met</td><td>12 June 2026</td></tr></tbody></table></main></html>";
