//! Time stamps of the log (T3): once a day an authority outside puts its time to the newest checkpoint (RFC 3161).

pub mod token;

use std::sync::Arc;
use std::time::Duration;

use attestd_core::check::Blob;
use attestd_core::record::{Record, Stamped};
use attestd_core::state::Stamp;
use attestd_core::store::{Draft, StoreError};
use attestd_core::time::Uptime;
use attestd_core::{Context, Settings, Timestamp};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use jiff::SignedDuration;
use rustls::crypto::aws_lc_rs;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::checkpoints::Checkpoints;
use crate::delivery::http_client::{HttpClient, is_loopback};
use crate::delivery::otlp_answer;
use crate::delivery::reach::{Parts, Reach};
use crate::delivery::routing::Watched;
use crate::delivery::surroundings::Surroundings;
use crate::delivery::webhook;
use crate::monitor::Message;
use crate::monitor::shared::Shared;
use crate::own;
use crate::telling::variable;
use token::{BadAnswer, Question};

/// A stamp is due after this, if the log has grown.
const EVERY: SignedDuration = SignedDuration::from_hours(24);
/// How often it is asked whether one is due.
const LOOK: Duration = Duration::from_secs(60);
/// After a failure the authority is asked again this much later: it is somebody else's, and a day has time.
const AGAIN: Duration = Duration::from_secs(3600);
/// Without a stamp for this long, people are told: a weekend of the authority's is nobody's concern.
const MISSED_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Clocks further apart than this are told as apart; an answer takes ten seconds at most.
pub const APART_MIN: SignedDuration = SignedDuration::from_secs(60);

/// A time stamping authority as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    url: String,
    reach: Reach,
}

/// Why there is no time stamp.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// It was not reached, or said no.
    #[error("{url} cannot be asked for a time stamp: {why}")]
    Ask {
        /// The authority.
        url: String,
        /// What came of it.
        why: String,
    },
    /// What it answered is none.
    #[error("{url}: {bad}")]
    Bad {
        /// The authority.
        url: String,
        /// What is wrong with it.
        bad: BadAnswer,
    },
    /// There is nothing to stamp, or the stamp cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Reads `[timestamps]`, where it is there.
    pub fn read(
        settings: &Settings<'_>,
        context: &Context,
        watched: &Watched,
    ) -> Option<Authority> {
        let table = settings.table("timestamps")?;
        let around = Surroundings {
            directory: &context.directory,
            ca_bundle: context.ca_bundle.as_deref(),
            variables: &variable,
            watched,
            named: Default::default(),
        };
        let url =
            table.required_text("authority", "where to ask, such as \"https://tsa.example.org\"");
        let url = url.and_then(|text| match webhook::url(&text.value) {
            Ok(_) => Some(text.value),
            Err(why) => {
                let what = format!("{:?} is no URL of an authority: {why}", text.value);
                table.error_at(text.span, what);
                None
            }
        });
        let reach = Reach::read(&table, "credential", &around);
        table.finish();
        Some(Authority { url: url?, reach })
    }

    /// Asks it for the time of these bytes.
    pub async fn stamp(&self, bytes: &[u8], nonce: [u8; 8]) -> Result<token::Stamp, StampError> {
        let ask = |why: String| StampError::Ask { url: self.url.clone(), why };
        let question = Question::new(bytes, nonce);
        let reach = self.reach.clone();
        // Files are read anew each time: it is once a day.
        let parts = tokio::task::spawn_blocking(move || Parts::read(&reach)).await;
        let parts = parts.map_err(|error| ask(error.to_string()))?;
        let direct = webhook::url(&self.url)
            .is_ok_and(|url| is_loopback(url.host_str().unwrap_or_default()));
        let client = parts
            .and_then(|parts| HttpClient::new(&parts, headers(), self.reach.timeout, direct))
            .map_err(|error| ask(error.to_string()))?;
        let answer = client.post(&self.url, HeaderMap::new(), question.der().into()).await;
        let answer = answer.map_err(|error| ask(error.to_string()))?;
        let answer = answer.http();
        otlp_answer::status(&answer, Timestamp::UNIX_EPOCH).map_err(|no| ask(no.to_string()))?;
        let body = answer.body.ok_or_else(|| ask("the answer is too long, or broke off".into()))?;
        question.answered(body).map_err(|bad| StampError::Bad { url: self.url.clone(), bad })
    }
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/timestamp-query")),
        (ACCEPT, HeaderValue::from_static("application/timestamp-reply")),
    ])
}

/// Has the log stamped.
pub struct Timestamps {
    /// What the monitor and its runs share.
    pub shared: Arc<Shared>,
    /// What makes checkpoints.
    pub checkpoints: Arc<Checkpoints>,
    /// Who is asked, if anybody is.
    pub authority: watch::Receiver<Option<Authority>>,
    /// The monitor.
    pub monitor: mpsc::Sender<Message>,
}

impl Timestamps {
    /// Whenever a stamp is due, until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let clock = self.shared.clock.clone();
        let mut again = Uptime(Duration::ZERO);
        loop {
            let authority = self.authority.borrow_and_update().clone();
            let looked = async {
                match clock.uptime() < again {
                    true => Ok(()),
                    false => self.look(authority.as_ref()).await,
                }
            };
            let looked = tokio::select! {
                () = cancel.cancelled() => return,
                looked = looked => looked,
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "The log was not stamped; the authority is asked again in an hour.");
                again = Uptime(clock.uptime().0.saturating_add(AGAIN));
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = clock.sleep(LOOK) => {}
                changed = self.authority.changed() => match changed {
                    Ok(()) => again = Uptime(Duration::ZERO),
                    Err(_) => return,
                },
            }
        }
    }

    /// Asks where that is due, and says where it has failed for too long; nothing waits for what comes of it.
    pub async fn look(&self, authority: Option<&Authority>) -> Result<(), StampError> {
        let (mut last, mut size) = (None, 0);
        self.shared.store.read(&mut |state| {
            (last, size) = (state.stamped.clone(), state.size);
        });
        let stamped = match authority {
            Some(_) if !is_due(last.as_ref(), size, self.shared.clock.now()) => return Ok(()),
            Some(authority) => self.stamp(authority).await,
            None => Ok(()),
        };
        if self.say(last.as_ref(), stamped.as_ref().err()) {
            let _ = self.monitor.send(Message::Changed(Default::default())).await; // it may be gone
        }
        stamped
    }

    /// Has the newest checkpoint stamped, and records it.
    async fn stamp(&self, authority: &Authority) -> Result<(), StampError> {
        let note = self.checkpoints.clone().made().await?;
        let mut nonce = [0; 8];
        let random = aws_lc_rs::default_provider().secure_random;
        random.fill(&mut nonce).expect("the operating system gives random bytes");
        let token::Stamp { token, time } = authority.stamp(note.as_bytes(), nonce).await?;
        let (at, token) = (self.shared.clock.now(), Blob::new(token));
        if at.duration_since(time).abs() > APART_MIN {
            tracing::warn!(%time, ours = %at, "The authority's clock and ours are apart.");
        }
        let stamped = Stamped {
            at,
            note: note.to_string(),
            time,
            token: token.sha256.clone(),
            authority: authority.url.clone(),
        };
        let draft = Draft { record: Record::Stamped(stamped), blobs: vec![token] };
        let record = self.shared.commit(draft).await?.index;
        tracing::info!(record, %time, authority = authority.url, "The log was stamped.");
        Ok(())
    }

    /// Says as a condition that there was no stamp for too long: since `last`, or since the log began. Whether that
    /// changed anything.
    fn say(&self, last: Option<&Stamp>, error: Option<&StampError>) -> bool {
        let Shared { conditions, clock, store, .. } = &*self.shared;
        let since = last.map(|last| last.at);
        // A log whose beginning is pruned is older than a week.
        let since = since.or_else(|| store.record(0).ok().map(|first| first.at()));
        let long = since.is_none_or(|since| clock.now().duration_since(since) > MISSED_MAX);
        let values = error.filter(|_| long).map(|error| {
            let since = since.map_or("its beginning".to_owned(), |since| since.to_string());
            [("since", since), ("error", error.to_string())]
        });
        conditions.set(own::TIMESTAMP_MISSING, None, values.as_ref().map(|values| &values[..]))
    }
}

/// Whether a stamp is due: a day after the last, or where the clock has gone back behind it; never of what is stamped.
fn is_due(last: Option<&Stamp>, size: u64, now: Timestamp) -> bool {
    let Some(last) = last else { return true };
    let since = now.duration_since(last.at);
    size > last.record + 1 && (since >= EVERY || since.is_negative())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_grown_is_stamped_once_a_day() {
        let at = |text: &str| text.parse().expect("a time");
        let noon: Timestamp = at("2026-11-22T12:00:00Z");
        let last = Stamp { record: 9, at: noon, time: noon };
        for (says, last, size, now, due) in [
            ("never stamped", None, 3, noon, true),
            ("just stamped", Some(&last), 12, noon, false),
            ("nearly a day ago", Some(&last), 12, at("2026-11-23T11:59:59Z"), false),
            ("a day ago", Some(&last), 12, at("2026-11-23T12:00:00Z"), true),
            ("a day ago, nothing since", Some(&last), 10, at("2026-11-23T12:00:00Z"), false),
            ("the clock went back", Some(&last), 12, at("2025-11-22T12:00:00Z"), true),
        ] {
            assert_eq!(is_due(last, size, now), due, "{says}");
        }
    }
}
