//! What one certificate run costs in CPU (look, judge, step, commit), beside a bare rustls handshake with the same
//! server, both 16 at a time and in turn, slice by slice, so that a busy machine is busy for both.
//!
//! `cargo bench -p attestd-tests --bench run`. Not criterion: what counts is the CPU of all threads, not the time.
//! The server is another process, so that its CPU is not counted; `tests/benches/peers` names an nginx instead.
#![expect(clippy::disallowed_methods, reason = "a benchmark asks what time it is")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestd::clock::SystemClock;
use attestd::config;
use attestd::monitor::run::{self, Job};
use attestd::monitor::shared::Shared;
use attestd::own::Conditions;
use attestd_core::record::{Configured, FORMAT, Record, Start};
use attestd_core::store::{Draft, Store};
use attestd_core::time::{Clock, Trust};
use attestd_core::{Subject, Trigger};
use attestd_storage::SledStore;
use nix::sys::resource::{UsageWho, getrusage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How many at a time: the daemon's default.
const CONCURRENCY: usize = 16;
/// How many subjects each of them has.
const SUBJECTS: usize = 20;
/// How often each subject runs in one slice.
const ROUNDS: usize = 5;
const SLICES: usize = 8;
/// The name on the server's certificate.
const NAME: &str = "portal.example.org";
/// What a run may cost, in bare handshakes.
const RATIO_MAX: f64 = 1.8;

/// Set in the process that is the server: the directory of its certificate.
const SERVE: &str = "ATTESTD_BENCH_SERVE";
/// Another server instead, as address and port, with a certificate for [`NAME`]..
const SERVER: &str = "ATTESTD_BENCH_SERVER";
/// ..and the file of its authority.
const CA: &str = "ATTESTD_BENCH_CA";

fn main() {
    if let Some(directory) = std::env::var_os(SERVE) {
        return serve(Path::new(&directory));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure(directory.path(), &server));
}

async fn measure(directory: &Path, server: &Server) {
    let (shared, jobs) = prepare(directory, server).await;
    let bare = Bare::new(server);
    let first = cpu_of(runs(&shared, &jobs, 1)).await;
    cpu_of(bare.handshakes()).await;
    let mut ratios = Vec::new();
    let (mut ours, mut theirs) = (Cost::default(), Cost::default());
    for _ in 0..SLICES {
        let (handshakes, runs) =
            (cpu_of(bare.handshakes()).await, cpu_of(runs(&shared, &jobs, ROUNDS)).await);
        ratios.push(runs.cpu().as_secs_f64() / handshakes.cpu().as_secs_f64());
        theirs.add(&handshakes);
        ours.add(&runs);
    }
    let (each, all) = (CONCURRENCY * SUBJECTS, CONCURRENCY * SUBJECTS * ROUNDS * SLICES);
    println!("CPU (user + system), {CONCURRENCY} at a time:");
    theirs.show("bare rustls handshake, verified", all);
    ours.show("run, unchanged, committed", all);
    first.show("run, first of its subject", each);
    ratios.sort_by(f64::total_cmp);
    let ratio = ours.cpu().as_secs_f64() / theirs.cpu().as_secs_f64();
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let verdict = if ratio <= RATIO_MAX { "within" } else { "OVER" };
    println!(
        "  ratio run to handshake {ratio:.2} ({least:.2} to {most:.2} over {SLICES} slices), \
         {verdict} the limit of {RATIO_MAX}"
    );
}

/// What a piece of work took.
#[derive(Default)]
struct Cost {
    user: Duration,
    system: Duration,
    wall: Duration,
}

impl Cost {
    fn cpu(&self) -> Duration {
        self.user + self.system
    }

    fn add(&mut self, other: &Cost) {
        self.user += other.user;
        self.system += other.system;
        self.wall += other.wall;
    }

    fn show(&self, what: &str, count: usize) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        println!(
            "  {what:32} {:6.0} us each ({:.0} user, {:.0} system), {:.0} a second",
            each(self.cpu()),
            each(self.user),
            each(self.system),
            count as f64 / self.wall.as_secs_f64()
        );
    }
}

/// The CPU that every thread of this process took while `work` was done.
async fn cpu_of(work: impl Future<Output = ()>) -> Cost {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("Linux counts it");
        let time = |time: nix::sys::time::TimeVal| {
            Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs())
        };
        (time(usage.user_time()), time(usage.system_time()))
    };
    let (before, began) = (used(), Instant::now());
    work.await;
    let (after, wall) = (used(), began.elapsed());
    Cost { user: after.0 - before.0, system: after.1 - before.1, wall }
}

/// A store with its first records, and a job for each of the subjects of a real configuration.
async fn prepare(directory: &Path, server: &Server) -> (Arc<Shared>, Vec<Job>) {
    let mut text = "[[check]]\nid = \"portals\"\nkind = \"certificate\"\n".to_owned();
    for n in 0..CONCURRENCY * SUBJECTS {
        text += &format!(
            "[[check.target]]\nname = \"portal-{n}\"\nendpoint = \"{}\"\nsni = \"{NAME}\"\nca = {:?}\n",
            server.address, server.ca,
        );
    }
    let config = config::parse(&directory.join("attestd.toml"), text);
    let config = config.unwrap_or_else(|error| panic!("a configuration without errors: {error}"));
    let (store, _) = SledStore::open(&directory.join("state")).expect("a store");
    let (clock, store) = (Arc::new(SystemClock::new()), Arc::new(store));
    for record in [started(&*clock), configured(&*clock)] {
        store.commit(Draft { record, blobs: Vec::new() }).await.expect("committed");
    }
    let conditions = Arc::new(Conditions::default());
    let shared = Arc::new(Shared::new(clock, store, conditions, CONCURRENCY, None));
    shared.config.store(1, std::sync::atomic::Ordering::Relaxed);
    let check = config.checks.values().next().expect("the one there is");
    let job = |target: attestd_core::Target| Job {
        check: check.clone(),
        subject: Subject::new(check.id.clone(), Some(target.name.clone())),
        target: Ok(Arc::new(target)),
        trigger: Trigger::Person,
        slot: Default::default(),
        delay: Duration::ZERO,
        asker: None,
    };
    let targets = check.check.targets().await.expect("targets");
    (shared, targets.into_iter().map(job).collect())
}

fn started(clock: &dyn Clock) -> Record {
    Record::Start(Box::new(Start {
        format: FORMAT,
        origin: "benchmark".to_owned(),
        at: clock.now(),
        uptime: clock.uptime(),
        boot: clock.boot().to_owned(),
        version: String::new(),
        binary: String::new(),
        data: Default::default(),
        clock: Trust::Trusted,
    }))
}

fn configured(clock: &dyn Clock) -> Record {
    Record::Configured(Box::new(Configured {
        at: clock.now(),
        config: String::new(),
        checks: Default::default(),
        labels: Default::default(),
        routes: Vec::new(),
        assertions: Vec::new(),
        before: None,
    }))
}

/// Runs every job `rounds` times, each of the concurrent tasks its share of them.
async fn runs(shared: &Arc<Shared>, jobs: &[Job], rounds: usize) {
    let mut tasks = JoinSet::new();
    for jobs in jobs.chunks(SUBJECTS) {
        let jobs: Vec<Job> = jobs.iter().map(again).collect();
        let shared = shared.clone();
        tasks.spawn(async move {
            for job in (0..rounds).flat_map(|_| &jobs) {
                let ended = run::perform(&shared, job).await.expect("committed");
                assert_eq!(ended.unseen, Some(false), "{} was not seen", job.subject);
            }
        });
    }
    tasks.join_all().await;
}

fn again(job: &Job) -> Job {
    Job {
        check: job.check.clone(),
        subject: job.subject.clone(),
        target: job.target.clone(),
        trigger: job.trigger,
        slot: Default::default(),
        delay: job.delay,
        asker: None,
    }
}

/// What a run is measured against: connect, shake hands with chain and name verified, say goodbye.
struct Bare {
    connector: TlsConnector,
    address: SocketAddr,
}

impl Bare {
    fn new(server: &Server) -> Bare {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&server.ca).expect("the authority"))
            .expect("added");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Bare { connector: TlsConnector::from(Arc::new(config)), address: server.address }
    }

    /// As many as a slice has runs.
    async fn handshakes(&self) {
        let mut tasks = JoinSet::new();
        for _ in 0..CONCURRENCY {
            let (connector, address) = (self.connector.clone(), self.address);
            tasks.spawn(async move {
                for _ in 0..SUBJECTS * ROUNDS {
                    let stream = TcpStream::connect(address).await.expect("connected");
                    stream.set_nodelay(true).expect("set");
                    let name = ServerName::try_from(NAME).expect("a name");
                    let mut stream = connector.connect(name, stream).await.expect("verified");
                    stream.shutdown().await.expect("closed");
                }
            });
        }
        tasks.join_all().await;
    }
}

/// The server: a process of our own, or one that was named.
struct Server {
    address: SocketAddr,
    ca: std::path::PathBuf,
    /// Ends when its standard input does, and so with us.
    process: Option<Child>,
}

impl Server {
    fn start(directory: &Path) -> Server {
        if let (Ok(address), Some(ca)) = (std::env::var(SERVER), std::env::var_os(CA)) {
            let address = address.parse().expect("an address and a port");
            return Server { address, ca: ca.into(), process: None };
        }
        certify(directory);
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(program)
            .env(SERVE, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let said = process.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it says where it is");
        let address = line.trim().parse().expect("an address and a port");
        Server { address, ca: directory.join("ca.pem"), process: Some(process) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            process.wait().expect("the server ends");
        }
    }
}

/// Makes an authority, and a P-256 certificate for [`NAME`].
fn certify(directory: &Path) {
    let key = || rcgen::KeyPair::generate().expect("a key on P-256");
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (ca_key, key) = (key(), key());
    let certificate = ca.self_signed(&ca_key).expect("an authority");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let leaf = rcgen::CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &issuer).expect("a leaf");
    let write = |name: &str, pem: String| std::fs::write(directory.join(name), pem);
    write("ca.pem", certificate.pem()).expect("written");
    write("leaf.pem", leaf.pem()).expect("written");
    write("leaf.key", key.serialize_pem()).expect("written");
}

/// In the process of the server.
fn serve(directory: &Path) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let leaf = CertificateDer::from_pem_file(directory.join("leaf.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.join("leaf.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            println!("{}", listener.local_addr().expect("its address"));
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                });
            }
        });
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new()); // until our parent is done, or gone
}
