//! How a receiver over HTTP is reached: headers, trust anchors, who we say we are, and how long we wait.

use std::path::{Path, PathBuf};
use std::time::Duration;

use attestd_core::Settings;
use http::HeaderMap;

use super::ATTEMPT_MAX;
use super::otlp_headers::{self, BadHeaders};
use super::secret::{SecretError, Source, read_text};
use super::surroundings::{Surroundings, file, secret};

/// How a receiver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Where the headers of every request come from; later ones override.
    pub headers_from: Vec<HeadersFrom>,
    /// A PEM file of the only trust anchors.
    pub ca: Option<PathBuf>,
    /// A PEM file of trust anchors besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Who we say we are in TLS.
    pub client: Option<ClientFiles>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Where headers come from. Shows places, never values of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadersFrom {
    /// An environment variable.
    Variable(String),
    /// The configuration, which is kept in the evidence log.
    Settings(Vec<(String, String)>),
    /// A file or a systemd credential.
    Secret(Source),
}

/// Our certificate chain and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Reach {
    /// Reads `ca`, `client_certificate`, `client_key`, `headers`, `headers_file` or the credential that
    /// `headers_credential` names, and `timeout`.
    pub(crate) fn read(
        table: &Settings<'_>,
        headers_credential: &'static str,
        around: &Surroundings<'_>,
    ) -> Reach {
        let mut headers_from: Vec<HeadersFrom> = Some(named_headers(table))
            .filter(|pairs| !pairs.is_empty())
            .into_iter()
            .map(HeadersFrom::Settings)
            .collect();
        let hidden = secret(table, "headers_file", headers_credential, around);
        headers_from.extend(hidden.map(HeadersFrom::Secret));
        let ca = file(table, "ca", around);
        let certificate = file(table, "client_certificate", around);
        let key = file(table, "client_key", around);
        if certificate.is_some() != key.is_some()
            && (table.has("client_certificate") != table.has("client_key"))
        {
            table.error("client_certificate", "`client_certificate` and `client_key` go together");
        }
        let timeout = table.duration("timeout");
        if timeout.is_some_and(|timeout| timeout > ATTEMPT_MAX) {
            table
                .error("timeout", format!("one attempt takes {} s at most", ATTEMPT_MAX.as_secs()));
        }
        Reach {
            headers_from,
            ca,
            ca_bundle: around.ca_bundle.map(Path::to_owned),
            client: certificate.zip(key).map(|(certificate, key)| ClientFiles { certificate, key }),
            timeout: timeout.unwrap_or(ATTEMPT_MAX).min(ATTEMPT_MAX),
        }
    }
}

fn named_headers(table: &Settings<'_>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut tried = http::HeaderMap::new();
    for (name, value) in table.named_texts("headers") {
        if let Err(error) =
            otlp_headers::add(&mut tried, pairs.len() + 1, &name.value, &value.value)
        {
            table.error_at(name.span.clone(), format!("`headers`: {error}"));
        }
        if ["authorization", "api-key", "x-api-key"].contains(&name.value.to_lowercase().as_str()) {
            table.warn(
                "headers",
                "the configuration is kept in the evidence log: put secrets into `headers_file` or `credential`",
            );
        }
        pairs.push((name.value, value.value));
    }
    pairs
}

/// What a client is made of, read from its files.
pub(crate) struct Parts {
    /// Headers of every request.
    pub headers: HeaderMap,
    /// The only trust anchors, in PEM.
    pub ca: Option<String>,
    /// Trust anchors besides the system's, in PEM.
    pub ca_bundle: Option<String>,
    /// Our certificate chain and key, in PEM.
    pub identity: Option<(String, String)>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("a file for the connection cannot be used: {0}")]
    File(#[from] SecretError),
    #[error("headers from {0} cannot be used: {1}")]
    Headers(String, BadHeaders),
    #[error("{0}")]
    Client(String),
}

impl Parts {
    /// Reads the files.
    pub(crate) fn read(settings: &Reach) -> Result<Parts, BuildError> {
        let read = |path: &Option<std::path::PathBuf>| path.as_deref().map(read_text).transpose();
        let identity = match &settings.client {
            Some(client) => Some((read_text(&client.certificate)?, read_text(&client.key)?)),
            None => None,
        };
        Ok(Parts {
            headers: headers(settings)?,
            ca: read(&settings.ca)?,
            ca_bundle: read(&settings.ca_bundle)?,
            identity,
        })
    }
}

/// Headers of the environment, of the configuration, of the file or credential: each overrides the ones before.
fn headers(settings: &Reach) -> Result<HeaderMap, BuildError> {
    let mut all = HeaderMap::new();
    for from in &settings.headers_from {
        let (place, headers) = match from {
            HeadersFrom::Variable(name) => {
                let text = std::env::var(name).unwrap_or_default();
                (name.clone(), otlp_headers::from_variable(&text))
            }
            HeadersFrom::Secret(source) => {
                let text = source.read()?;
                (format!("{source:?}"), otlp_headers::from_lines(text.expose()))
            }
            HeadersFrom::Settings(pairs) => {
                let mut headers = HeaderMap::new();
                let added = (1..).zip(pairs).try_for_each(|(at, (name, value))| {
                    otlp_headers::add(&mut headers, at, name, value)
                });
                ("`headers`".to_owned(), added.map(|()| headers))
            }
        };
        let headers = headers.map_err(|error| BuildError::Headers(place, error))?;
        for (name, value) in &headers {
            all.insert(name, value.clone());
        }
    }
    Ok(all)
}
