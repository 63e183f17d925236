//! The settings of an OTLP receiver: `[[otlp]]`, and the `OTEL_*` environment where they say nothing.

use attestd_core::event::Only;
use attestd_core::{DestinationName, Settings};
use reqwest::Url;

use super::http_client::is_loopback;
use super::otlp_environment as environment;
use super::otlp_sender::Signal;
use super::reach::{HeadersFrom, Reach};
use super::surroundings::{Surroundings, name};
use super::{ATTEMPT_MAX, otlp_headers, routing};
use crate::canary::asking::Query;

/// One `[[otlp]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The destination's name.
    pub name: DestinationName,
    /// What it takes.
    pub only: Only,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Where it is.
    pub endpoints: Endpoints,
    /// How it is reached.
    pub reach: Reach,
    /// Whether requests are packed with gzip.
    pub compression: bool,
    /// Where it is asked whether test alerts arrived; a person looks where it is absent.
    pub canary: Option<Query>,
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`.
    Http,
    /// `grpc`.
    Grpc,
}

/// Where each signal goes: over HTTP a URL each, over gRPC one for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Log records.
    pub logs: String,
    /// Metrics.
    pub metrics: String,
    /// Spans.
    pub traces: String,
}

impl OtlpSettings {
    /// Reads every `[[otlp]]`; where there is none but the environment names an endpoint, that one, called `otlp`.
    pub fn read_all(settings: &Settings<'_>, around: &Surroundings<'_>) -> Vec<OtlpSettings> {
        let mut all = Vec::new();
        let tables = settings.tables("otlp");
        for table in &tables {
            let read = OtlpSettings::read(table, around);
            table.finish();
            all.extend(read);
        }
        if tables.is_empty() && environment::of_logs(around.variables, "ENDPOINT").is_some() {
            let name: DestinationName = "otlp".parse().expect("a destination's name");
            around.named.borrow_mut().insert(name.clone());
            all.extend(OtlpSettings::of(settings, name, Only::default(), around));
        }
        all
    }

    /// Reads one `[[otlp]]`; the caller ends the reading.
    pub fn read(table: &Settings<'_>, around: &Surroundings<'_>) -> Option<OtlpSettings> {
        let name = name(table, around);
        // Read on without a name: every problem is told at once.
        let known = name.is_some();
        let name = name.or_else(|| "unnamed".parse().ok())?;
        let only = routing::only(table, around.watched);
        OtlpSettings::of(table, name, only, around).filter(|_| known)
    }

    fn of(
        table: &Settings<'_>,
        name: DestinationName,
        only: Only,
        around: &Surroundings<'_>,
    ) -> Option<OtlpSettings> {
        let protocol = protocol(table, around);
        let endpoints = endpoints(table, protocol, around);
        let mut reach = Reach::read(table, "credential", around);
        reach.headers_from.splice(0..0, environment_headers(table, around));
        let canary = Query::read(table, around, &reach);
        let words = [("gzip", true), ("none", false)];
        let compression = table.choice("compression", &words).unwrap_or_else(|| {
            environment::of_logs(around.variables, "COMPRESSION").as_deref() == Some("gzip")
        });
        if let Some(timeout) =
            environment::timeout(around.variables).filter(|_| !table.has("timeout"))
        {
            reach.timeout = timeout.min(ATTEMPT_MAX);
        }
        let endpoints = endpoints?;
        let in_the_clear = endpoints.logs.starts_with("http://");
        if in_the_clear && !reach.headers_from.is_empty() && !endpoints.hosts().all(is_loopback) {
            table.warn("endpoint", "the headers, which may be secret, go over http:// unprotected");
        }
        Some(OtlpSettings { name, only, protocol, endpoints, reach, compression, canary })
    }
}

fn protocol(table: &Settings<'_>, around: &Surroundings<'_>) -> Protocol {
    if let Some(chosen) = table.choice("protocol", PROTOCOLS) {
        return chosen;
    }
    let Some(word) = environment::of_logs(around.variables, "PROTOCOL") else {
        return Protocol::Http;
    };
    let known = PROTOCOLS.iter().find(|(name, _)| *name == word);
    if known.is_none() && !table.has("protocol") {
        let message = format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is {word:?}, which is not spoken here: http/protobuf is"
        );
        table.warn("protocol", message);
    }
    known.map_or(Protocol::Http, |(_, protocol)| *protocol)
}

fn endpoints(
    table: &Settings<'_>,
    protocol: Protocol,
    around: &Surroundings<'_>,
) -> Option<Endpoints> {
    let base = table.text("endpoint");
    let place = base.as_ref().map_or_else(|| table.span(), |base| base.span.clone());
    let variables = around.variables;
    let default = match protocol {
        Protocol::Http => "http://localhost:4318",
        Protocol::Grpc => "http://localhost:4317",
    };
    let of_signal = |signal: &str, path: &str| {
        // What the configuration says goes before the environment.
        let (text, whole) = match (&base, environment::of_signal(variables, signal, "ENDPOINT")) {
            (Some(base), _) => (base.value.clone(), false),
            (None, Some(text)) => (text, true),
            (None, None) => {
                let text = environment::of_all(variables, "ENDPOINT");
                (text.unwrap_or_else(|| default.to_owned()), false)
            }
        };
        let append = protocol == Protocol::Http && !whole;
        match endpoint(&text, append.then_some(path)) {
            Ok(url) => Some(url),
            Err(why) => {
                table.error_at(place.clone(), format!("{text:?} is no endpoint: {why}"));
                None
            }
        }
    };
    let logs = of_signal("LOGS", "v1/logs")?;
    Some(Endpoints {
        logs,
        metrics: of_signal("METRICS", "v1/metrics")?,
        traces: of_signal("TRACES", "v1/traces")?,
    })
}

/// A URL that can be an endpoint, with the signal's path where one is to be appended.
fn endpoint(text: &str, path: Option<&str>) -> Result<String, &'static str> {
    let mut url =
        Url::parse(text).map_err(|_| "expected such as \"https://otlp.example.org:4318\"")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it begins with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password do not go into it but into `headers_file` or `credential`");
    }
    if let Some(path) = path {
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
    }
    Ok(url.to_string())
}

/// Headers of the environment, which those of the configuration override.
fn environment_headers(table: &Settings<'_>, around: &Surroundings<'_>) -> Vec<HeadersFrom> {
    let mut from = Vec::new();
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"] {
        if let Some(text) = (around.variables)(name).filter(|text| !text.is_empty()) {
            if let Err(error) = otlp_headers::from_variable(&text) {
                table.error_at(table.span(), format!("{name} cannot be used: {error}"));
            }
            from.push(HeadersFrom::Variable(name.to_owned()));
        }
    }
    from
}

impl Endpoints {
    /// Where a signal goes.
    pub fn of(&self, signal: Signal) -> &str {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Metrics => &self.metrics,
            Signal::Traces => &self.traces,
        }
    }

    /// The hosts.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        [&self.logs, &self.metrics, &self.traces].into_iter().filter_map(|url| host(url))
    }
}

/// The host in a URL that `endpoint` made: between `://` and the port or path.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    }
}

/// What `protocol` may say.
const PROTOCOLS: &[(&str, Protocol)] =
    &[("http/protobuf", Protocol::Http), ("grpc", Protocol::Grpc)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::routing::Watched;
    use attestd_core::settings::Problems;
    use toml::de::DeTable;

    fn read(text: &str, variables: &[(&str, &str)]) -> (Vec<OtlpSettings>, Vec<String>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let settings = Settings::new(table.get_ref(), table.span(), "the configuration", &problems);
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let around = Surroundings {
            directory: std::path::Path::new(env!("CARGO_MANIFEST_DIR")),
            ca_bundle: None,
            variables: &variable,
            watched: &Watched::default(),
            named: Default::default(),
        };
        let read = OtlpSettings::read_all(&settings, &around);
        settings.finish();
        drop(settings);
        (read, problems.into_vec().into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn the_configuration_goes_before_the_environment_and_that_before_the_defaults() {
        let name = "[[otlp]]\nname = \"c\"\n";
        for (rest, variables, expected, why) in [
            ("", vec![], "http://localhost:4318/v1/logs", "the default of the specification"),
            ("protocol = \"grpc\"", vec![], "http://localhost:4317/", "and of gRPC"),
            (
                "endpoint = \"https://o.example.org/base/\"",
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:1")],
                "https://o.example.org/base/v1/logs",
                "the path is appended; the environment is not asked",
            ),
            (
                "",
                vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:1")],
                "http://x:1/v1/logs",
                "the variable of all signals is a base",
            ),
            (
                "",
                vec![
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:1"),
                    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://y:2/own"),
                ],
                "http://y:2/own",
                "the variable of the logs is a whole URL",
            ),
            (
                "",
                vec![("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "http://localhost:4317/",
                "the protocol of the environment",
            ),
        ] {
            let (read, told) = read(&format!("{name}{rest}"), &variables);
            assert_eq!(told, Vec::<String>::new(), "{why}");
            assert_eq!(read[0].endpoints.logs, expected, "{why}");
        }
    }

    #[test]
    fn the_environment_alone_makes_a_destination() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "99000"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret"),
        ];
        let (read, told) = read("", &variables);
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(read[0].name.as_str(), "otlp");
        assert!(read[0].compression);
        assert_eq!(read[0].reach.timeout, ATTEMPT_MAX, "ten seconds an attempt at most");
        assert!(!format!("{read:?}").contains("s3cret"));
        assert!(self::tests::read("", &[]).0.is_empty(), "and without it there is none");
    }

    #[test]
    fn every_problem_is_told_with_what_was_expected() {
        for (rest, expected) in [
            ("endpoint = \"collector:4318\"", "it begins with http:// or https://"),
            ("endpoint = \"nonsense\"", "expected such as \"https://otlp.example.org:4318\""),
            ("endpoint = \"https://u:p@x\"", "user and password do not go into it"),
            ("protocol = \"http/json\"", "is one of http/protobuf, grpc, not \"http/json\""),
            ("compression = \"zstd\"", "is one of gzip, none"),
            ("timeout = \"30s\"", "one attempt takes 10 s at most"),
            ("ca = \"gone.pem\"", "gone.pem cannot be read: No such file"),
            ("client_key = \"Cargo.toml\"", "go together"),
            ("credential = \"a/b\"", "without a path"),
            ("credential = \"c\"\nheaders_file = \"Cargo.toml\"", "say the same thing"),
            ("headers = { \"bad name\" = \"x\" }", "a name that HTTP does not allow"),
            ("headers = { Authorization = \"x\" }", "kept in the evidence log"),
            (
                "endpoint = \"http://10.0.0.1:4318\"\nheaders = { x = \"y\" }",
                "over http:// unprotected",
            ),
            ("endpont = \"x\"", "has no key `endpont`; did you mean `endpoint`?"),
            ("[[otlp]]\nname = \"c\"", "two destinations are called \"c\""),
            ("[[otlp]]\nname = \"mail:x\"", "those of people"),
            ("[[otlp]]", "[[otlp]] needs `name`"),
        ] {
            let (_, told) = read(&format!("[[otlp]]\nname = \"c\"\n{rest}"), &[]);
            assert_eq!(told.len(), 1, "{rest}: {told:?}");
            assert!(told[0].contains(expected), "{rest}: {told:?}");
        }
        let odd = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
        let (_, told) = read("[[otlp]]\nname = \"c\"", &odd);
        assert!(told[0].contains("is not spoken here"), "{told:?}");
    }

    #[test]
    fn the_host_is_what_decides_about_proxies() {
        for (url, expected) in [
            ("http://127.0.0.1:4318/v1/logs", "127.0.0.1"),
            ("https://[::1]:4317/", "::1"),
            ("https://o.example.org/x", "o.example.org"),
        ] {
            assert_eq!(host(url), Some(expected));
        }
    }
}
