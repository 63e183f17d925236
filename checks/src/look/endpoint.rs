//! Endpoints as the settings of a check name them: `endpoints = [..]` and `[[check.target]]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use attestd_core::{Context, Nature, Settings, Target, TargetName};
use rustls::pki_types::ServerName;
use serde_json::json;

use crate::look::tcp::{Endpoint, Family, Host};

/// One endpoint to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointTarget {
    /// Host and port.
    pub endpoint: Endpoint,
    /// The name asked for and held against the certificate: `sni`, or the host.
    pub name: ServerName<'static>,
    /// An address instead of those of the name.
    pub resolve: Option<IpAddr>,
    /// Which of the name's addresses are looked at.
    pub family: Family,
    /// A file of trust anchors instead of the system's.
    pub ca: Option<PathBuf>,
    /// Who can reach it.
    pub exposure: Exposure,
}

/// Who can reach an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Its traffic traverses the internet: S3 clause 5 applies.
    Internet,
    /// It is reached only from within.
    Internal,
}

/// Every endpoint of a check, by target name.
pub type Endpoints = BTreeMap<TargetName, EndpointTarget>;

/// Reads the endpoints of a check. Both kinds of endpoint check know the same keys, so that one table can serve both.
pub fn read(settings: &Settings<'_>, context: &Context) -> Endpoints {
    let mut endpoints = Endpoints::new();
    let defaults = Defaults {
        family: family(settings).unwrap_or(Family::All),
        exposure: exposure(settings).unwrap_or(Exposure::Internet),
        ca: ca(settings, context),
    };
    for text in settings.texts("endpoints") {
        match text.value.parse::<Endpoint>() {
            Ok(endpoint) => {
                let target = defaults.target(endpoint);
                add(settings, text.span, &mut endpoints, text.value, target);
            }
            Err(error) => settings.error_at(text.span, error.to_string()),
        }
    }
    for table in settings.tables("target") {
        if let Some((name, target)) = one(&table, context, &defaults) {
            add(settings, table.span(), &mut endpoints, name, target);
        }
        table.finish();
    }
    endpoints
}

struct Defaults {
    family: Family,
    exposure: Exposure,
    ca: Option<PathBuf>,
}

impl Defaults {
    fn target(&self, endpoint: Endpoint) -> EndpointTarget {
        EndpointTarget {
            name: match &endpoint.host {
                Host::Address(address) => (*address).into(),
                Host::Name(name) => ServerName::try_from(name.clone())
                    .expect("an endpoint's name was parsed as a DNS name"),
            },
            endpoint,
            resolve: None,
            family: self.family,
            ca: self.ca.clone(),
            exposure: self.exposure,
        }
    }
}

/// One `[[check.target]]`. Every key is read before any is missed, so that all that is wrong is told.
fn one(
    table: &Settings<'_>,
    context: &Context,
    defaults: &Defaults,
) -> Option<(String, EndpointTarget)> {
    table.required_text("endpoint", "host:port, such as \"portal.example.org:443\"");
    let endpoint = table.parsed::<Endpoint>("endpoint");
    let name = table.text("name").map(|name| name.value);
    let sni = table.text("sni");
    let resolve = table.parsed::<IpAddr>("resolve");
    let family = family(table);
    let exposure = exposure(table);
    let ca = ca(table, context);

    let mut target = defaults.target(endpoint?);
    if let Some(sni) = sni {
        match ServerName::try_from(sni.value.clone()) {
            Ok(name) => target.name = name,
            Err(_) => table
                .error_at(sni.span, format!("`sni` is a DNS name in ASCII, not {:?}", sni.value)),
        }
    }
    target.resolve = resolve;
    target.family = family.unwrap_or(target.family);
    target.exposure = exposure.unwrap_or(target.exposure);
    target.ca = ca.or(target.ca);
    Some((name.unwrap_or_else(|| target.endpoint.to_string()), target))
}

fn add(
    settings: &Settings<'_>,
    span: std::ops::Range<usize>,
    endpoints: &mut Endpoints,
    name: String,
    target: EndpointTarget,
) {
    match name.parse::<TargetName>() {
        Err(error) => settings.error_at(span, error.to_string()),
        Ok(name) if endpoints.contains_key(&name) => settings
            .error_at(span, format!("two targets are called {name}: give one a `name` of its own")),
        Ok(name) => drop(endpoints.insert(name, target)),
    }
}

fn family(settings: &Settings<'_>) -> Option<Family> {
    settings.choice(
        "addresses",
        &[("all", Family::All), ("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)],
    )
}

fn exposure(settings: &Settings<'_>) -> Option<Exposure> {
    settings
        .choice("exposure", &[("internet", Exposure::Internet), ("internal", Exposure::Internal)])
}

fn ca(settings: &Settings<'_>, context: &Context) -> Option<PathBuf> {
    let text = settings.text("ca")?;
    let path = context.directory.join(&text.value);
    if let Err(error) = crate::look::trust::Anchors::file(&path) {
        settings.error_at(text.span, error);
    }
    Some(path)
}

impl EndpointTarget {
    /// The target as the daemon knows it.
    pub fn target(&self, name: &TargetName) -> Target {
        let mut asked = json!({ "endpoint": self.endpoint.to_string() });
        let name_asked = self.name.to_str();
        if name_asked != self.endpoint.host.to_string() {
            asked["sni"] = json!(name_asked);
        }
        if let Some(resolve) = self.resolve {
            asked["resolve"] = json!(resolve);
        }
        if let Some(ca) = &self.ca {
            asked["ca"] = json!(ca.display().to_string());
        }
        Target {
            name: name.clone(),
            nature: Nature::Remote,
            files: self.ca.iter().cloned().collect(),
            spec: asked,
        }
    }

    /// The name for the SNI extension, which no address has (RFC 6066 3).
    pub fn sni(&self) -> Option<String> {
        match &self.name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            _ => None,
        }
    }
}
