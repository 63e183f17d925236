//! Asks a resolver for the records of a name: bounded in time and number, and telling "there is none" from "not seen".

use std::net::SocketAddr;
use std::time::Duration;

use attestd_core::Reason;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::tcp::{ADDRESSES_MAX, DNS_TIMEOUT};

/// What was answered of one name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The records that were asked for, as text, in order.
    Records(Vec<String>),
    /// The name has none of this type.
    NoRecords,
    /// There is no such name.
    NoName,
    /// It is not known.
    Unseen(Reason),
}

/// A resolver: the one given, or the system's.
pub struct Resolver {
    resolver: TokioResolver,
}

impl Resolver {
    /// Asks the resolver at `at`, or those of `/etc/resolv.conf`, which is read anew.
    pub fn at(at: Option<SocketAddr>) -> Result<Resolver, Reason> {
        let cannot = |error: NetError| {
            Reason::new("resolver_unusable", format!("setting up the resolver: {error}"))
        };
        let mut builder = match at {
            None => TokioResolver::builder_tokio().map_err(cannot)?,
            Some(at) => {
                let mut server = NameServerConfig::udp_and_tcp(at.ip());
                server.connections.iter_mut().for_each(|connection| connection.port = at.port());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.attempts = ATTEMPTS;
        options.timeout = ATTEMPT_TIMEOUT;
        options.use_hosts_file = ResolveHosts::Never;
        options.try_tcp_on_error = true;
        Ok(Resolver { resolver: builder.build().map_err(cannot)? })
    }

    /// The texts at `name` that begin with `v=` and `version`, whatever its case.
    pub async fn texts(&self, name: &str, version: &str) -> Answer {
        let begin = format!("v={}", version.to_ascii_lowercase());
        self.records(name, RecordType::TXT, TEXTS_MAX, |data| text_of(data, &begin)).await
    }

    /// The mail servers of `name`, as `10 mail.example.org`; `0 .` where it takes no mail.
    pub async fn mail_servers(&self, name: &str) -> Answer {
        self.records(name, RecordType::MX, ADDRESSES_MAX, mail_server_of).await
    }

    async fn records(
        &self,
        name: &str,
        kind: RecordType,
        max: usize,
        wanted: impl Fn(&RData) -> Option<String>,
    ) -> Answer {
        let unseen = |code: &str, why: &str| {
            Answer::Unseen(Reason::new(code, format!("asking for {kind} of {name}: {why}")))
        };
        // Whole names alone: the search list of this machine is none of theirs.
        let Ok(whole) = Name::from_ascii(format!("{name}.")) else {
            return unseen("bad_name", "that is no name");
        };
        let found = match timeout(DNS_TIMEOUT, self.resolver.lookup(whole, kind)).await {
            Err(_) => {
                let seconds = DNS_TIMEOUT.as_secs();
                return unseen("dns_timeout", &format!("no answer within {seconds} s"));
            }
            Ok(Err(error)) => return refused(&error, unseen),
            Ok(Ok(found)) => found,
        };
        let of_kind: Vec<&RData> = found
            .answers()
            .iter()
            .filter(|record| record.record_type() == kind)
            .map(|record| &record.data)
            .collect();
        if of_kind.len() > max {
            return unseen(
                "limit_hit",
                &format!("{} answers, where {max} are the most", of_kind.len()),
            );
        }
        let mut records: Vec<String> = of_kind.into_iter().filter_map(wanted).collect();
        if records.iter().any(|record| record.len() > TEXT_MAX) {
            return unseen("limit_hit", &format!("a record of over {TEXT_MAX} bytes"));
        }
        // Resolvers turn the order of records at each answer.
        records.sort();
        if records.is_empty() { Answer::NoRecords } else { Answer::Records(records) }
    }
}

/// The text of a TXT record that begins with `begin`, whatever its case.
pub fn text_of(data: &RData, begin: &str) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    let text = String::from_utf8_lossy(&txt.txt_data.concat()).into_owned();
    text.to_ascii_lowercase().starts_with(begin).then_some(text)
}

/// The mail server of an MX record.
pub fn mail_server_of(data: &RData) -> Option<String> {
    let RData::MX(mx) = data else { return None };
    let host = mx.exchange.to_ascii().to_ascii_lowercase();
    let host = if host == "." { "." } else { host.trim_end_matches('.') };
    Some(format!("{} {host}", mx.preference))
}

fn refused(error: &NetError, unseen: impl Fn(&str, &str) -> Answer) -> Answer {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Answer::NoName,
            // A referral says who knows, and not that there is none.
            ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
                unseen("dns_referral", "the resolver does not resolve, and names others to ask")
            }
            ResponseCode::NoError => Answer::NoRecords,
            other => unseen("dns_failed", &format!("the resolver answered {other}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            unseen("dns_failed", &format!("the resolver answered {code}"))
        }
        NetError::Timeout => unseen("dns_timeout", "the resolver did not answer"),
        other => {
            let why: String = other.to_string().chars().take(WHY_MAX).collect();
            unseen("dns_failed", &why)
        }
    }
}

/// Texts beside one another at a name: what proves domains to others stands there too, dozens in large firms, so the
/// 16 of addresses would leave those Unknown for ever.
pub const TEXTS_MAX: usize = 64;
/// One text, in bytes: the longest record that a common provider's panel takes.
const TEXT_MAX: usize = 4_096;
/// How often one server is asked again.
const ATTEMPTS: usize = 1;
/// How long one server may take, so that another is asked within the 5 s of all.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of an error is shown, in characters.
const WHY_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::testing::{DnsFault, dns};
    use std::collections::BTreeMap;

    fn zone(rows: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let row = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|v| (*v).to_owned()).collect())
        };
        rows.iter().map(row).collect()
    }

    #[tokio::test]
    async fn records_none_and_no_name_are_told_apart() {
        let at = dns(
            zone(&[
                ("MX example.org", &["20 b.example.org", "10 A.example.org"]),
                ("MX null.example", &["0 ."]),
                ("TXT example.org", &["v=spf1 -all", "proof=1", "V=SPF1 x"]),
            ]),
            DnsFault::None,
        )
        .await;
        let resolver = Resolver::at(Some(at)).expect("a resolver");
        let records = |all: &[&str]| Answer::Records(all.iter().map(|r| (*r).to_owned()).collect());
        let mx = resolver.mail_servers("example.org").await;
        assert_eq!(mx, records(&["10 a.example.org", "20 b.example.org"]));
        assert_eq!(resolver.mail_servers("null.example").await, records(&["0 ."]));
        let spf = resolver.texts("example.org", "spf1").await;
        assert_eq!(spf, records(&["V=SPF1 x", "v=spf1 -all"]));
        assert_eq!(resolver.texts("example.org", "DMARC1").await, Answer::NoRecords);
        assert_eq!(resolver.texts("null.example", "spf1").await, Answer::NoRecords);
        assert_eq!(resolver.texts("none.example", "spf1").await, Answer::NoName);
        assert!(matches!(resolver.texts("a..b", "spf1").await, Answer::Unseen(_)));
    }

    #[tokio::test]
    async fn a_long_answer_comes_over_tcp() {
        let long = format!("v=spf1 {} -all", "ip4:192.0.2.1 ".repeat(250));
        let at = dns(zone(&[("TXT example.org", &[long.as_str()])]), DnsFault::None).await;
        let seen = Resolver::at(Some(at)).expect("a resolver").texts("example.org", "spf1").await;
        assert_eq!(seen, Answer::Records(vec![long]));
    }

    #[tokio::test]
    async fn every_limit_and_fault_is_unseen() {
        let many: Vec<String> = (0..17).map(|n| format!("10 m{n}.example.org")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let texts: Vec<String> = (0..65).map(|n| format!("proof={n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let long = format!("v=spf1 {}", "a ".repeat(2_100));
        let zone = zone(&[
            ("MX example.org", &many),
            ("TXT example.org", &texts),
            ("TXT long.example", &[long.as_str()]),
        ]);
        for (fault, name, mx, code) in [
            (DnsFault::None, "example.org", true, "limit_hit"),
            (DnsFault::None, "example.org", false, "limit_hit"),
            (DnsFault::None, "long.example", false, "limit_hit"),
            (DnsFault::ServFail, "example.org", false, "dns_failed"),
            (DnsFault::Refused, "example.org", true, "dns_failed"),
            (DnsFault::Referral, "example.org", true, "dns_referral"),
            (DnsFault::Noise, "example.org", true, "dns_timeout"),
            (DnsFault::Mute, "example.org", true, "dns_timeout"),
        ] {
            let at = dns(zone.clone(), fault).await;
            let resolver = Resolver::at(Some(at)).expect("a resolver");
            let seen = match mx {
                true => resolver.mail_servers(name).await,
                false => resolver.texts(name, "spf1").await,
            };
            let Answer::Unseen(reason) = seen else { panic!("{fault:?} {name}: {seen:?}") };
            assert_eq!(reason.code, code, "{fault:?}: {}", reason.message);
        }
    }
}
