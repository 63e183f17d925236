//! Alertmanager as a destination (`[[alertmanager]]`): its settings, and the emitter that posts all that fires to its v2 API.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestd_core::event::{Delivery, Only, Route, Takes};
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, DestinationName, Settings, Timestamp};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use prost::bytes::Bytes;
use reqwest::Url;
use serde_json::Value;
use tokio::task::JoinSet;

use super::alertmanager_set::FiringSet;
use super::http_client::{HttpClient, Lazy, is_loopback};
use super::reach::{BuildError, Parts, Reach};
use super::sentence::Render;
use super::surroundings::{Surroundings, name};
use super::{BEAT_EVERY, Beat, EmitError, Emitter, otlp_answer, routing};
use crate::canary::asking::Query;

/// One `[[alertmanager]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerSettings {
    /// The destination's name.
    pub name: DestinationName,
    /// What it takes.
    pub only: Only,
    /// Where its members are: each gets everything, for they do not tell each other of alerts.
    pub urls: Vec<String>,
    /// How often all that fires is posted.
    pub every: Duration,
    /// What each alert's `generatorURL` begins with.
    pub generator: Option<String>,
    /// How they are reached.
    pub reach: Reach,
}

impl AlertmanagerSettings {
    /// Reads one `[[alertmanager]]`, and ends the reading.
    pub fn read(table: &Settings<'_>, around: &Surroundings<'_>) -> Option<AlertmanagerSettings> {
        let name = name(table, around);
        let only = routing::only(table, around.watched);
        if !table.has("url") {
            table.missing(
                "url",
                "where it is, or where its members are, such as \"http://127.0.0.1:9093\"",
            );
        }
        let mut urls = Vec::new();
        for text in table.texts("url") {
            match api(&text.value) {
                Ok(url) if urls.contains(&url) => {
                    table.error_at(text.span, format!("{:?} is named twice", text.value));
                }
                Ok(url) => urls.push(url),
                Err(why) => {
                    let problem = format!("{:?} is no URL of an Alertmanager: {why}", text.value);
                    table.error_at(text.span, problem);
                }
            }
        }
        if urls.len() > MEMBERS_MAX {
            table.error("url", format!("there are over {MEMBERS_MAX} members"));
        }
        let every = table.duration("every").unwrap_or(BEAT_EVERY);
        if every > EVERY_MAX {
            table.error("every", "what fires is posted every five minutes at least");
        }
        let generator = table.text("generator_url");
        if let Some(text) = generator.as_ref().filter(|text| Url::parse(&text.value).is_err()) {
            table.error_at(text.span.clone(), format!("{:?} is no URL", text.value));
        }
        let reach = Reach::read(table, "credential", around);
        let clear = |url: &String| {
            let url = Url::parse(url).ok();
            url.is_some_and(|url| {
                url.scheme() == "http" && !url.host_str().is_some_and(is_loopback)
            })
        };
        if !reach.headers_from.is_empty() && urls.iter().any(clear) {
            table.warn("url", "the headers, which may be secret, go over http:// unprotected");
        }
        table.finish();
        let generator = generator.map(|text| text.value);
        (!urls.is_empty()).then_some(())?;
        Some(AlertmanagerSettings { name: name?, only, urls, every, generator, reach })
    }
}

impl AlertmanagerSettings {
    /// Where it is asked whether a test alert is among what fires.
    pub fn queries(&self) -> Vec<Query> {
        let one = |url: &String| Query {
            url: format!("{url}?filter=alertname%3D%22canary%22"),
            reach: self.reach.clone(),
        };
        self.urls.iter().map(one).collect()
    }
}

/// Where alerts are posted.
fn api(text: &str) -> Result<String, &'static str> {
    let mut url = Url::parse(text).map_err(|_| "expected such as \"http://127.0.0.1:9093\"")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it begins with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password do not go into it but into `headers_file` or `credential`");
    }
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/api/v2/alerts"));
    Ok(url.to_string())
}

/// Posts all that fires: with each event, and again every minute.
pub struct AlertmanagerEmitter {
    settings: AlertmanagerSettings,
    clock: Arc<dyn Clock>,
    set: FiringSet,
    clients: Lazy<Clients>,
    /// Held while all that fires is read and posted: an older post must not overtake a newer one.
    posting: tokio::sync::Mutex<()>,
    /// Members that did not take the newest post, while others did.
    behind: Mutex<BTreeSet<String>>,
}

/// A client a member: a proxy is not for those on this machine.
type Clients = Vec<(String, Arc<HttpClient>)>;

impl AlertmanagerEmitter {
    /// An emitter of what fires in `store`; without one, of what it is given alone.
    pub fn new(
        settings: AlertmanagerSettings,
        store: Option<Arc<dyn Store>>,
        render: Render,
        clock: Arc<dyn Clock>,
    ) -> AlertmanagerEmitter {
        let only = settings.only.clone();
        let route = Route { only, ..Route::new(settings.name.clone(), Takes::Everything) };
        let lasts = settings.every.saturating_mul(LASTS);
        let said = (lasts, settings.generator.clone());
        let set = FiringSet::new(store, route, render, clock.clone(), said);
        let (clients, behind) = (Lazy::new(), Mutex::default());
        let posting = tokio::sync::Mutex::default();
        AlertmanagerEmitter { settings, clock, set, clients, posting, behind }
    }

    fn clients(&self) -> Result<Arc<Clients>, BuildError> {
        self.clients.get(|| {
            let parts = Parts::read(&self.settings.reach)?;
            let client = |url: &String| {
                let mut headers = HeaderMap::new();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let parsed = Url::parse(url).ok();
                let direct = parsed.is_some_and(|url| url.host_str().is_some_and(is_loopback));
                let client = HttpClient::new(&parts, headers, self.settings.reach.timeout, direct)?;
                Ok((url.clone(), Arc::new(client)))
            };
            self.settings.urls.iter().map(client).collect()
        })
    }

    /// Posts to every member at once. One that takes all of it is enough: it tells, and the others are posted the same
    /// every minute, so that a member that is down does not stop the outbox of a cluster that works.
    async fn post(&self, alerts: &[Value]) -> Result<(), EmitError> {
        let clients = self.clients().map_err(|error| EmitError::Blocked {
            reason: format!("posting to Alertmanager: {error}"),
        })?;
        let mut bodies: Vec<Bytes> =
            alerts.chunks(ALERTS_MAX).map(|some| Value::from(some).to_string().into()).collect();
        if bodies.is_empty() {
            bodies.push(Bytes::from_static(b"[]"));
        }
        let bodies = Arc::new(bodies);
        let mut posting = JoinSet::new();
        for (url, client) in clients.iter().cloned() {
            let (bodies, now) = (bodies.clone(), self.clock.now());
            posting.spawn(async move {
                let told = post(&client, &url, &bodies, now).await;
                (told.map_err(|error| error.of(&url)), url)
            });
        }
        let (mut taken, mut refused) = (false, None);
        while let Some(joined) = posting.join_next().await {
            let Ok((told, url)) = joined else { continue };
            let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
            match told {
                Ok(()) => {
                    taken = true;
                    behind.remove(&url);
                }
                Err(error) => {
                    if behind.insert(url) {
                        tracing::warn!(destination = %self.settings.name, %error, "A member did not take what fires.");
                    }
                    if !matches!(refused, Some(EmitError::Retry { .. })) {
                        refused = Some(error);
                    }
                }
            }
        }
        if refused.is_some() {
            self.clients.forget();
        }
        let silent = || EmitError::Retry { after: None, reason: "no member answered".to_owned() };
        if taken { Ok(()) } else { Err(refused.unwrap_or_else(silent)) }
    }
}

async fn post(
    client: &HttpClient,
    url: &str,
    bodies: &[Bytes],
    now: Timestamp,
) -> Result<(), EmitError> {
    for body in bodies {
        let answer = client.post_for_status(url, HeaderMap::new(), body.clone()).await?;
        otlp_answer::status(&answer.http(), now)?;
    }
    Ok(())
}

impl Emitter for AlertmanagerEmitter {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            let _one = self.posting.lock().await;
            self.post(&self.set.alerts(deliveries)).await
        })
    }

    /// What fires, again.
    fn beat<'a>(&'a self, _: &'a Beat) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            let _one = self.posting.lock().await;
            let alerts = self.set.alerts(&[]);
            if alerts.is_empty() { Ok(()) } else { self.post(&alerts).await }
        })
    }
}

/// How many posts ahead `endsAt` is: four may be lost before an alert is taken for resolved, as with Prometheus.
const LASTS: u32 = 5;
/// The longest time between two posts: Alertmanager's own `resolve_timeout` is as long.
const EVERY_MAX: Duration = Duration::from_secs(5 * 60);
/// Members of one cluster.
const MEMBERS_MAX: usize = 16;
/// Alerts in one post: as many as Prometheus sends (its `maxBatchSize`).
const ALERTS_MAX: usize = 256;
