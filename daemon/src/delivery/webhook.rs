//! A webhook as a destination: its settings (`[[webhook]]`), and the emitter that posts to it.

use std::sync::Arc;

use attestd_core::event::{Delivery, Only};
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, DestinationName, Settings};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use reqwest::Url;

use super::card::{Card, say};
use super::http_client::{HttpClient, Lazy, is_loopback};
use super::reach::{BuildError, Parts, Reach};
use super::secret::Source;
use super::sentence::Render;
use super::surroundings::{Surroundings, name, secret};
use super::webhook_sign::{self, Keys};
use super::{EmitError, Emitter, otlp_answer, routing, webhook_body};
use crate::canary::asking::Query;

/// One `[[webhook]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The destination's name.
    pub name: DestinationName,
    /// What it takes.
    pub only: Only,
    /// Where it is.
    pub url: Place,
    /// What signs.
    pub secret: Option<Source>,
    /// What is sent.
    pub format: Format,
    /// How it is reached.
    pub reach: Reach,
    /// Where it is asked whether test alerts arrived; a person looks where it is absent.
    pub canary: Option<Query>,
}

/// Where a webhook is: those of Teams and Slack are secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the configuration, which is kept in the evidence log.
    Url(String),
    /// In a file or a systemd credential.
    Secret(Source),
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The event, by the published schema.
    Json,
    /// An Adaptive Card, for a webhook of Teams' Workflows.
    Teams,
    /// Blocks, for an incoming webhook of Slack.
    Slack,
}

impl WebhookSettings {
    /// Reads one `[[webhook]]`, and ends the reading.
    pub fn read(table: &Settings<'_>, around: &Surroundings<'_>) -> Option<WebhookSettings> {
        let name = name(table, around);
        let only = routing::only(table, around.watched);
        let words = [("json", Format::Json), ("teams", Format::Teams), ("slack", Format::Slack)];
        let format = table.choice("format", &words).unwrap_or(Format::Json);
        let place = place(table, format, around);
        let signs = secret(table, "secret_file", "secret_credential", around);
        if let Some(Ok(secret)) = signs.as_ref().map(Source::read)
            && let Err(error) = Keys::read(&secret)
        {
            let key = if table.has("secret_file") { "secret_file" } else { "secret_credential" };
            table.error(key, format!("what signs cannot be used: {error}"));
        }
        if signs.is_none() && format == Format::Json {
            let problem = "it is not signed: give `secret_file` or `secret_credential`, so that the receiver can tell \
                           our requests from anybody's";
            table.warn("name", problem);
        }
        let reach = Reach::read(table, "credential", around);
        let canary = Query::read(table, around, &reach);
        table.finish();
        let (name, url) = (name?, place?);
        Some(WebhookSettings { name, only, url, secret: signs, format, reach, canary })
    }
}

fn place(table: &Settings<'_>, format: Format, around: &Surroundings<'_>) -> Option<Place> {
    let hidden = secret(table, "url_file", "url_credential", around);
    let shown = table.text("url");
    match (shown, hidden) {
        (Some(url), Some(_)) => {
            table.error_at(
                url.span,
                "`url` and the file or credential say the same thing: give one",
            );
            None
        }
        (None, None) => {
            if !table.has("url_file") && !table.has("url_credential") {
                table.missing(
                    "url",
                    "where to post, or `url_file` or `url_credential` that says so",
                );
            }
            None
        }
        (None, Some(source)) => {
            if let Ok(text) = source.read()
                && let Err(why) = url(text.expose())
            {
                let key = if table.has("url_file") { "url_file" } else { "url_credential" };
                table.error(key, format!("what it holds is no URL of a webhook: {why}"));
            }
            Some(Place::Secret(source))
        }
        (Some(text), None) => match url(&text.value) {
            Ok(_) => {
                if format != Format::Json {
                    let problem = "whoever knows this URL can post there, and the configuration is kept in the \
                                   evidence log: put it into `url_file` or `url_credential`";
                    table.warn("url", problem);
                }
                Some(Place::Url(text.value))
            }
            Err(why) => {
                table
                    .error_at(text.span, format!("{:?} is no URL of a webhook: {why}", text.value));
                None
            }
        },
    }
}

/// A URL that can be posted to: what is told may name hosts and people, and goes unprotected to this machine only.
pub(crate) fn url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim())
        .map_err(|_| "expected such as \"https://hooks.example.org/attestd\"")?;
    let host = url.host_str().unwrap_or_default();
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password do not go into it but into `headers_file` or `credential`");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(host) => Ok(url),
        "http" => Err("it begins with https://, or goes to this machine"),
        _ => Err("it begins with https://"),
    }
}

/// Posts each event.
pub struct WebhookEmitter {
    settings: WebhookSettings,
    resource: Vec<(String, String)>,
    render: Render,
    clock: Arc<dyn Clock>,
    hook: Lazy<Hook>,
}

/// What the files said when it was made.
struct Hook {
    client: HttpClient,
    url: Url,
    keys: Option<Keys>,
}

impl WebhookEmitter {
    /// An emitter; `resource` tells this daemon from others.
    pub fn new(
        settings: WebhookSettings,
        resource: Vec<(String, String)>,
        render: Render,
        clock: Arc<dyn Clock>,
    ) -> WebhookEmitter {
        WebhookEmitter { settings, resource, render, clock, hook: Lazy::new() }
    }

    fn hook(&self) -> Result<Arc<Hook>, BuildError> {
        self.hook.get(|| {
            let text = match &self.settings.url {
                Place::Url(url) => url.clone(),
                Place::Secret(source) => source.read()?.expose().to_owned(),
            };
            let url = url(&text).map_err(|why| BuildError::Client(format!("no URL: {why}")))?;
            let keys = match &self.settings.secret {
                Some(source) => {
                    let keys = Keys::read(&source.read()?);
                    Some(keys.map_err(|error| BuildError::Client(error.to_string()))?)
                }
                None => None,
            };
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let parts = Parts::read(&self.settings.reach)?;
            let direct = url.host_str().is_some_and(is_loopback);
            let client = HttpClient::new(&parts, headers, self.settings.reach.timeout, direct)?;
            Ok(Hook { client, url, keys })
        })
    }

    async fn post(&self, hook: &Hook, delivery: &Delivery) -> Result<(), EmitError> {
        let body = match self.settings.format {
            Format::Json => {
                let sentence = say(delivery, &self.render);
                webhook_body::event(&self.resource, delivery, &sentence)
            }
            Format::Teams => webhook_body::teams(&Card::of(delivery, &self.render)),
            Format::Slack => webhook_body::slack(&Card::of(delivery, &self.render)),
        };
        let body = body.to_string().into_bytes();
        let now = self.clock.now();
        let headers = webhook_sign::headers(&delivery.event_id, now, &body, hook.keys.as_ref());
        let answer = hook.client.post_for_status(hook.url.as_str(), headers, body.into()).await?;
        otlp_answer::status(&answer.http(), now)
    }
}

impl Emitter for WebhookEmitter {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            let hook = self.hook().map_err(|error| {
                EmitError::Blocked { reason: error.to_string() }.of("the webhook")
            })?;
            for delivery in deliveries {
                // Its path may be a secret.
                self.post(&hook, delivery).await.map_err(|error| {
                    self.hook.forget();
                    error.of(&hook.url.origin().ascii_serialization())
                })?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::problems;

    #[test]
    fn every_problem_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let (short, no_url) = (file("short", "c2hvcnQ="), file("no-url", "hooks.example.org"));
        for (text, expected) in [
            ("", "[test] needs `url`: where to post"),
            ("url = \"https://h.example.org/\"", "it is not signed"),
            ("url = \"http://h.example.org/\"", "it begins with https://, or goes to this machine"),
            ("url = \"ftp://h.example.org/\"", "it begins with https://"),
            ("url = \"https://u:p@h.example.org/\"", "user and password do not go into it"),
            (
                "url = \"https://h.example.org/\"\nformat = \"slack\"",
                "whoever knows this URL can post",
            ),
            (
                "url = \"https://h.example.org/\"\nformat = \"discord\"",
                "is one of json, teams, slack",
            ),
            (
                "url = \"https://h.example.org/\"\nurl_credential = \"u\"",
                "say the same thing: give one",
            ),
            (&format!("url_file = \"{no_url}\""), "what it holds is no URL of a webhook"),
            (
                &format!("secret_file = \"{short}\""),
                "what signs cannot be used: secret 1 is not base64",
            ),
            ("secret_file = \"gone\"", "cannot be read"),
            (
                "url = \"https://h.example.org/\"\ntimeout = \"1m\"",
                "one attempt takes 10 s at most",
            ),
            ("secret = \"x\"", "[test] has no key `secret`"),
        ] {
            let text = format!("name = \"hook\"\n{text}");
            let (_, told) = problems(&text, WebhookSettings::read);
            assert!(told.iter().any(|t| t.contains(expected)), "{text}: {told:?}");
        }
    }
}
