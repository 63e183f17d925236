//! Answers over the control socket: to root, to the daemon's own user, and to members of the socket's group.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::outbox::{Queue, Waiting};
use attestd_core::record::{Discarded, Erased, Record};
use attestd_core::settings::did_you_mean;
use attestd_core::state::State;
use attestd_core::store::{Draft, HistoryQuery, Store, StoreError};
use attestd_core::{CheckId, DestinationName, Nature, PersonId, Subject, Timestamp};
use nix::unistd::{Gid, Uid, User, getgrouplist};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::saying::{self, Saying};
use super::{Answer, CheckedView, Request};
use crate::calendar::{self, Feed};
use crate::canary;
use crate::checkpoints::Checkpoints;
use crate::incidents::IncidentsView;
use crate::limits;
use crate::monitor::shared::Shared;
use crate::monitor::{Checks, Message};
use crate::people::{self, Wish};
use crate::posture::{Log, NotClaimed, PostureView};
use crate::view::alerts::AlertsView;
use crate::view::{HistoryView, NotThen, StatusView, SubjectView};

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 16;
/// A request must come within this.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// A document that comes with it must within this.
const DOCUMENT_WAIT: Duration = Duration::from_secs(30);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The socket cannot be made.
    #[error("the control socket {0} cannot be made")]
    Bind(PathBuf, #[source] std::io::Error),
    /// The path does not fit.
    #[error(
        "the control socket's path {0} is over the 107 bytes that a unix socket may have; set `control_socket` to a shorter one"
    )]
    TooLong(PathBuf),
}

const UNWRITTEN: &str = "the log cannot be written, and what a person did would be forgotten";
const UNSIGNED: &str = "the log cannot be written, and what is not on disk is not signed";

/// What answers are made from.
pub struct Server {
    /// What the monitor and its runs share.
    pub shared: Arc<Shared>,
    /// The monitor.
    pub monitor: mpsc::Sender<Message>,
    /// The checks in force, for explanations.
    pub checks: tokio::sync::watch::Receiver<Checks>,
    /// What signs the log, where it can be written.
    pub checkpoints: Option<Arc<Checkpoints>>,
    /// Who runs this.
    pub organisation: tokio::sync::watch::Receiver<String>,
    /// The people there are.
    pub people: tokio::sync::watch::Receiver<BTreeSet<PersonId>>,
    /// How it is found out whether test alerts arrive.
    pub ways: tokio::sync::watch::Receiver<Arc<canary::Ways>>,
}

/// Makes the socket, for its owner and its group; the store's lock is held, so that one left behind is nobody's.
pub fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |error| ListenError::Bind(path.to_owned(), error);
    if path.as_os_str().len() > 107 {
        return Err(ListenError::TooLong(path.to_owned()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Answers until cancelled.
pub async fn serve(
    server: Arc<Server>,
    listener: UnixListener,
    path: PathBuf,
    cancel: CancellationToken,
) {
    let group = std::fs::metadata(&path).map_or(0, |meta| meta.gid());
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "A control connection could not be taken.");
                server.shared.clock.sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let server = server.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(&server, stream, group).await {
                tracing::debug!(%error, "A control connection ended.");
            }
            drop(permit);
        });
    }
    let _ = std::fs::remove_file(&path); // the next start removes it too
}

async fn connection(server: &Server, mut stream: UnixStream, group: u32) -> std::io::Result<()> {
    let peer = stream.peer_cred()?;
    let answer = if may_ask(peer.uid(), peer.gid(), group) {
        let (read, _) = stream.split();
        let mut line = Vec::new();
        let mut read = BufReader::new(read);
        let mut request = (&mut read).take(limits::CONTROL_REQUEST_MAX as u64);
        tokio::time::timeout(REQUEST_MAX, request.read_until(b'\n', &mut line)).await??;
        match serde_json::from_slice(&line) {
            Ok(Request::Say { of, said, note, document }) => {
                let document = match document {
                    Some(bytes) if bytes > limits::DOCUMENT_MAX => None,
                    Some(bytes) => {
                        let mut document = vec![0; bytes];
                        tokio::time::timeout(DOCUMENT_WAIT, read.read_exact(&mut document))
                            .await??;
                        Some(Some(document))
                    }
                    None => Some(None),
                };
                match document {
                    Some(document) => {
                        let saying = Saying { of, said: *said, note, document, user: peer.uid() };
                        saying::say(server, saying).await
                    }
                    None => Answer::Refused(saying::too_large()),
                }
            }
            Ok(request) => answer(server, request, peer.uid()).await,
            Err(error) => Answer::Refused(format!("this is no request: {error}")),
        }
    } else {
        Answer::Refused("only root, the daemon's user and its group may ask".to_owned())
    };
    let bytes =
        serde_json::to_vec(&answer).expect("answers are plain data, which always serialises");
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

/// Whether a peer may ask: by its user, or by its group or one of its user's further groups.
fn may_ask(uid: u32, gid: u32, group: u32) -> bool {
    if uid == 0 || uid == Uid::effective().as_raw() || gid == group {
        return true;
    }
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return false };
    let Ok(name) = std::ffi::CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&Gid::from_raw(group)))
}

async fn answer(server: &Server, request: Request, by: u32) -> Answer {
    match request {
        Request::Say { .. } => Answer::Refused("its document did not come with it".to_owned()),
        Request::Status => Answer::Status(server.status()),
        Request::Alerts => Answer::Alerts(server.alerts()),
        Request::Incidents => Answer::Incidents(server.incidents()),
        Request::Act(wish) => server.act(*wish, by).await,
        Request::Erase { reason, .. } if reason.trim().is_empty() => {
            Answer::Refused("--reason must say why".to_owned())
        }
        Request::Erase { sha256, reason } => {
            let erased = Erased { at: server.shared.clock.now(), sha256, by, reason };
            match server.shared.store.erase(erased).await {
                Ok(()) => Answer::Erased,
                Err(error) => Answer::Refused(error.to_string()),
            }
        }
        Request::Canaries => {
            let (mut list, ways) = (Vec::new(), server.ways.borrow().clone());
            server.shared.store.read(&mut |state| list = canary::list(state, &ways));
            Answer::Canaries(list)
        }
        Request::SendCanary { destination } => server.send_canary(&destination).await,
        Request::Calendar => {
            let feed = server.feed();
            reading(move || Ok(Answer::Calendar(feed()))).await
        }
        Request::Outbox(asked) => {
            let store = server.shared.store.clone();
            reading(move || {
                let mut state = State::default();
                store.read(&mut |all| state = asked.within(all));
                Ok(Answer::Outbox(asked.queues(&state, &|index| store.record(index).ok())))
            })
            .await
        }
        Request::Discard { destination, event, reason } => {
            server.discard(destination, event, reason, by).await
        }
        Request::StatusAt { at } => server.status_at(at).await,
        Request::Posture { at } => server.posture(at).await,
        Request::Check { subject } => server.check(subject).await,
        Request::History { subject, from, to, limit } => {
            server.history(subject, from, to, limit).await
        }
        Request::Checkpoint => match &server.checkpoints {
            None => Answer::Refused(UNSIGNED.to_owned()),
            Some(checkpoints) => match checkpoints.clone().made().await {
                Ok(note) => Answer::Checkpoint {
                    note: note.to_string(),
                    key: checkpoints.verifier().to_string(),
                },
                Err(error) => Answer::Refused(error.to_string()),
            },
        },
        Request::Seal { sums } => match &server.checkpoints {
            None => Answer::Refused(UNSIGNED.to_owned()),
            Some(checkpoints) => match checkpoints.seal(&sums) {
                Some(note) => Answer::Sealed(note),
                None => Answer::Refused("only a SHA-256 is sealed".to_owned()),
            },
        },
    }
}

impl Server {
    /// Whether every local subject has been seen, so that its status is worth showing.
    pub fn is_settled(&self) -> bool {
        let expected =
            self.shared.expected.lock().expect("nothing panics while it holds this lock");
        let mut settled =
            self.checks.borrow().keys().all(|id| expected.keys().any(|s| s.check == *id));
        self.shared.store.read(&mut |state| {
            let seen = |subject| state.subjects.get(subject).is_some_and(|s| s.last.is_some());
            let mut local = expected.iter().filter(|(_, nature)| **nature == Nature::Local);
            settled = settled && local.all(|(subject, _)| seen(subject));
        });
        settled
    }

    /// The status of everything, now.
    pub fn status(&self) -> StatusView {
        let now = self.shared.clock.now();
        let expected =
            self.shared.expected.lock().expect("nothing panics while it holds this lock").clone();
        let organisation = self.organisation.borrow().clone();
        let mut view = None;
        self.shared.store.read(&mut |state| {
            view = Some(StatusView::of(state, &organisation, now, Some(&expected)));
        });
        let mut view = view.expect("the store calls back");
        let checks = self.checks.borrow();
        for one in &mut view.subjects {
            let check = checks.get(&one.subject.check);
            one.paused = check.and_then(|check| self.shared.pause(check, now));
        }
        drop(checks);
        // Where nobody claims anything, this reads one record.
        view.claims = claimed(&*self.shared.store, &view).ok().and_then(|all| all.in_numbers());
        view
    }

    /// What makes the calendar as it is whenever it is asked.
    pub fn feed(&self) -> Feed {
        let (store, organisation) = (self.shared.store.clone(), self.organisation.clone());
        Arc::new(move || {
            let organisation = organisation.borrow().clone();
            calendar::feed_of(&*store, &organisation)
        })
    }

    fn alerts(&self) -> AlertsView {
        let (now, checks) = (self.shared.clock.now(), self.checks.borrow().clone());
        let order = |id: &CheckId| checks.get(id).map(|c| c.hand_on.clone()).unwrap_or_default();
        let mut view = None;
        self.shared.store.read(&mut |state| view = Some(AlertsView::of(state, &order, now)));
        view.expect("the store calls back")
    }

    fn incidents(&self) -> IncidentsView {
        let now = self.shared.clock.now();
        let mut view = None;
        let look = &mut |state: &State| view = Some(IncidentsView::of(&state.incidents, now));
        self.shared.store.read(look);
        view.expect("the store calls back")
    }

    async fn posture(&self, at: Option<Timestamp>) -> Answer {
        let view = match at {
            None => self.status(),
            Some(at) => match self.status_at(at).await {
                Answer::Status(view) => view,
                refused => return refused,
            },
        };
        let store = self.shared.store.clone();
        reading(move || {
            Ok(match claimed(&*store, &view) {
                Ok(posture) => Answer::Posture(posture),
                Err(error) => Answer::Refused(error.to_string()),
            })
        })
        .await
    }

    /// What a person does is a record, and told of at once.
    async fn act(&self, wish: Wish, by: u32) -> Answer {
        if self.checkpoints.is_none() {
            return Answer::Refused(UNWRITTEN.to_owned());
        }
        match people::act(&self.shared, wish, by).await {
            Ok(said) => {
                let _ = self.monitor.send(Message::Changed(Default::default())).await; // it may be stopping
                Answer::Acted(said)
            }
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    async fn send_canary(&self, destination: &DestinationName) -> Answer {
        if self.checkpoints.is_none() {
            return Answer::Refused(UNWRITTEN.to_owned());
        }
        let ways = self.ways.borrow().clone();
        let Some(way) = ways.get(destination) else {
            let hint = did_you_mean(destination.as_str(), ways.keys().map(|name| name.as_str()));
            let what = format!("no destination `{destination}` gets test alerts{hint}");
            return Answer::Refused(what);
        };
        match canary::send(&self.shared, destination, way).await {
            Ok(record) => Answer::Acted(format!(
                "a test alert is on its way to {destination}, by record {record}"
            )),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    async fn check(&self, subject: Subject) -> Answer {
        let (reply, subjects) = oneshot::channel();
        if self.monitor.send(Message::Ask { subject: subject.clone(), reply }).await.is_err() {
            return Answer::Refused("the daemon is stopping".to_owned());
        }
        let subjects = subjects.await.unwrap_or_default();
        if subjects.is_empty() {
            return Answer::Refused(format!(
                "there is no check or subject {subject}; `attestd status` lists them"
            ));
        }
        Answer::Checked(self.checked(&subjects))
    }

    /// How subjects stand that just ran.
    pub(super) fn checked(&self, subjects: &[Subject]) -> Vec<CheckedView> {
        let now = self.shared.clock.now();
        let one = |subject: &Subject| {
            let (mut state, mut view) = (None, None);
            self.shared.store.read(&mut |all| {
                state = all.subjects.get(subject).cloned();
                view = state.as_ref().map(|state| SubjectView::of(all, subject, state, now));
            });
            let state = state?;
            let check = self.checks.borrow().get(&subject.check).cloned();
            let evidence =
                state.last.as_ref().and_then(|last| self.shared.store.evidence(last.of).ok());
            let explanation = match (check, evidence) {
                (Some(check), Some(evidence)) => check.check.explain(&evidence),
                _ => "nothing was seen".to_owned(),
            };
            Some(CheckedView { view: view?, explanation })
        };
        subjects.iter().filter_map(one).collect()
    }

    /// Removes what was asked for: a record for each destination says so first.
    async fn discard(
        &self,
        destination: Option<DestinationName>,
        event: Option<String>,
        reason: String,
        by: u32,
    ) -> Answer {
        let mut found = Vec::new();
        self.shared.store.read(&mut |state| {
            let named = |(name, _): &(&DestinationName, &Queue)| {
                destination.as_ref().is_none_or(|destination| destination == *name)
            };
            for (name, queue) in state.outbox.0.iter().filter(named) {
                let is_it = |waiting: &Waiting| {
                    event.as_ref().is_none_or(|event| state.event_id(waiting) == *event)
                };
                let mut all = queue.waiting.iter().filter(|(_, waiting)| is_it(waiting));
                let Some((first, _)) = all.next() else { continue };
                let rest: Vec<u64> = all.map(|(sequence, _)| *sequence).collect();
                let last = rest.last().unwrap_or(first);
                found.push((name.clone(), *first, *last, 1 + rest.len()));
            }
        });
        if destination.is_none() && event.is_none() {
            return Answer::Refused("name a destination, or an event, or both".to_owned());
        }
        if found.is_empty() {
            return Answer::Refused(
                "nothing like that waits; `attestd outbox list` shows what does".to_owned(),
            );
        }
        let mut count = 0;
        for (destination, first, last, events) in found {
            let (at, reason) = (self.shared.clock.now(), reason.clone());
            let record = Record::Discarded(Discarded { at, destination, first, last, by, reason });
            if let Err(error) = self.shared.commit(Draft { record, blobs: Vec::new() }).await {
                return Answer::Refused(error.to_string());
            }
            count += events;
        }
        Answer::Discarded(count)
    }

    async fn status_at(&self, at: Timestamp) -> Answer {
        if let Err(ahead) = NotThen::if_ahead(at, self.shared.clock.now()) {
            return Answer::Refused(ahead.to_string());
        }
        let organisation = self.organisation.borrow().clone();
        let store = self.shared.store.clone();
        reading(move || {
            Ok(match store.past(at)? {
                Some(past) => {
                    let mut view = StatusView::as_at(&past, &organisation, at, true);
                    let posture = claimed(&*store, &view).ok();
                    view.claims = posture.and_then(|posture| posture.in_numbers());
                    Answer::Status(view)
                }
                None => {
                    let first = store.record(0).ok().map(|record| record.at());
                    Answer::Refused(NotThen::too_early(at, first).to_string())
                }
            })
        })
        .await
    }

    async fn history(
        &self,
        subject: Option<Subject>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        limit: usize,
    ) -> Answer {
        let limit = limit.min(limits::HISTORY_MAX);
        // One more than is shown: whether there is one is told.
        let query = HistoryQuery { subject, from, to, limit: limit.saturating_add(1) };
        let (store, now) = (self.shared.store.clone(), self.shared.clock.now());
        reading(move || {
            let records = store.history(&query)?;
            let gaps = |query: &_, oldest| store.gaps(query, oldest, now);
            let whole = |index| store.record(index).ok();
            Ok(Answer::History(HistoryView::of(query, records, gaps, &whole)?))
        })
        .await
    }
}

fn claimed(store: &dyn Store, view: &StatusView) -> Result<PostureView, NotClaimed> {
    let mut newest = 0;
    store.read(&mut |state| newest = state.config);
    let (record, evidence) = (&|index| store.record(index), &|index| store.evidence(index));
    PostureView::of(view, newest, &Log { record, evidence })
}

/// Answers from the store, on a thread that may wait for the disk.
async fn reading(read: impl FnOnce() -> Result<Answer, StoreError> + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::Refused(error.to_string()),
        Err(_) => Answer::Refused("reading history panicked: a defect of attestd".to_owned()),
    }
}
