//! From a name to its addresses, and from an address to a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use attestd_core::Reason;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A host and a port, as `host:port`, `192.0.2.1:443` or `[2001:db8::1]:443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

/// A host, by name or by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A DNS name in its ASCII form.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Which of a name's addresses are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Every address.
    All,
    /// Only IPv4, for a machine without an IPv6 route.
    Ipv4,
    /// Only IPv6.
    Ipv6,
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Those to look at, in order, at most [`ADDRESSES_MAX`].
    pub kept: Vec<SocketAddr>,
    /// How many more there are.
    pub left: usize,
}

/// The addresses of `endpoint`: the one given instead of asking, its own, or what the system's resolver says.
pub async fn addresses(
    endpoint: &Endpoint,
    instead: Option<IpAddr>,
    family: Family,
) -> Result<Addresses, Reason> {
    let found = match (instead, &endpoint.host) {
        (Some(address), _) => vec![address],
        (None, Host::Address(address)) => vec![*address],
        (None, Host::Name(name)) => resolve(name, endpoint.port).await?,
    };
    let wanted = |address: &IpAddr| match family {
        Family::All => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    };
    let mut found: Vec<IpAddr> = found.into_iter().filter(wanted).collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        let message = format!("{endpoint} has no address of the family that is looked at");
        return Err(Reason::new("name_without_address", message));
    }
    let left = found.len().saturating_sub(ADDRESSES_MAX);
    found.truncate(ADDRESSES_MAX);
    let kept = found.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect();
    Ok(Addresses { kept, left })
}

async fn resolve(name: &str, port: u16) -> Result<Vec<IpAddr>, Reason> {
    match timeout(DNS_TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(Reason::new(
            "name_not_resolved",
            format!("the name {name} did not resolve: {error}"),
        )),
        Err(_) => Err(Reason::new(
            "dns_timeout",
            format!("the name {name} did not resolve within {} s", DNS_TIMEOUT.as_secs()),
        )),
    }
}

/// Connects to one address.
pub async fn connect(address: SocketAddr) -> Result<TcpStream, Reason> {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // One small message goes each way: waiting to gather more only delays it.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(refused(address, &error)),
        Err(_) => Err(Reason::new(
            "connect_timeout",
            format!("{address}: no connection within {} s", CONNECT_TIMEOUT.as_secs()),
        )),
    }
}

fn refused(address: SocketAddr, error: &std::io::Error) -> Reason {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            Reason::new("connect_refused", format!("{address}: the connection was refused"))
        }
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::AddrNotAvailable => {
            let reason =
                Reason::new("connect_unreachable", format!("{address}: no route from this host"));
            if address.is_ipv6() {
                return reason.remedy(
                    "give this host an IPv6 route, or set `addresses = \"ipv4\"` on the check \
                     or the target to leave IPv6 out",
                );
            }
            reason
        }
        _ => Reason::new("connect_failed", format!("{address}: connecting failed: {error}")),
    }
}

/// Looks at every address at once, and ends with the last of them; dropping it ends them all.
pub async fn each<T, F>(
    addresses: &[SocketAddr],
    look: impl Fn(SocketAddr) -> F,
) -> BTreeMap<SocketAddr, T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    if let [only] = addresses {
        return BTreeMap::from([(*only, look(*only).await)]);
    }
    let mut tasks = JoinSet::new();
    for address in addresses {
        let look = look(*address);
        let address = *address;
        tasks.spawn(async move { (address, look.await) });
    }
    let mut seen = BTreeMap::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((address, saw)) => drop(seen.insert(address, saw)),
            // The runner catches a panic of a probe, wherever in it that began.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => continue,
            },
        }
    }
    seen
}

/// Why an endpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is host:port, 192.0.2.1:443 or [2001:db8::1]:443, not {0:?}")]
pub struct BadEndpoint(String);

impl FromStr for Endpoint {
    type Err = BadEndpoint;
    fn from_str(text: &str) -> Result<Endpoint, BadEndpoint> {
        parse(text).ok_or_else(|| BadEndpoint(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    if let Some(literal) = host.strip_prefix('[') {
        let address: Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
        return Some(Endpoint { host: Host::Address(address.into()), port });
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_ipv4().then_some(Endpoint { host: Host::Address(address), port });
    }
    let name = rustls::pki_types::DnsName::try_from(host).ok()?;
    Some(Endpoint { host: Host::Name(name.as_ref().to_owned()), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(address) => write!(f, "{}", SocketAddr::new(*address, self.port)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(address) => write!(f, "{address}"),
        }
    }
}

/// How long a name may take to resolve (semantics, "Hostile input").
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5);
/// How many addresses of a name are looked at in one run (semantics, "Hostile input").
pub const ADDRESSES_MAX: usize = 16;
/// How long one connection may take to open (semantics, "Hostile input").
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_as_it_was_written() {
        for text in ["portal.example.org:443", "192.0.2.1:8443", "[2001:db8::1]:443", "localhost:1"]
        {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            ":443",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "host:https",
            "https://host:443",
            "host/path:443",
            "2001:db8::1:443",
            "[2001:db8::1]",
            "[192.0.2.1]:443",
            "ho st:443",
            "hôst:443",
        ] {
            let error = bad.parse::<Endpoint>().expect_err(bad).to_string();
            assert!(error.starts_with("an endpoint is host:port"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_address_given_instead_is_not_asked_of_the_resolver() {
        let endpoint: Endpoint = "name.invalid:443".parse().expect("an endpoint");
        let given = Some("192.0.2.7".parse().expect("an address"));
        let found = addresses(&endpoint, given, Family::All).await.expect("addresses");
        assert_eq!(found.kept, ["192.0.2.7:443".parse().expect("an address")]);
        let none = addresses(&endpoint, given, Family::Ipv6).await.expect_err("no IPv6");
        assert_eq!(none.code, "name_without_address");
    }

    #[test]
    fn no_ipv6_route_says_how_to_leave_ipv6_out() {
        let error = std::io::Error::from(ErrorKind::NetworkUnreachable);
        let reason = refused("[2001:db8::1]:443".parse().expect("an address"), &error);
        assert_eq!(reason.code, "connect_unreachable");
        assert!(reason.remedy.expect("a remedy").contains("addresses = \"ipv4\""));
    }

    #[tokio::test]
    async fn every_address_is_looked_at() {
        let all: Vec<SocketAddr> =
            ["127.0.0.1:1", "127.0.0.2:1"].map(|a| a.parse().expect("an address")).to_vec();
        let seen = each(&all, |address| async move { address.ip().to_string() }).await;
        assert_eq!(seen.into_values().collect::<Vec<_>>(), ["127.0.0.1", "127.0.0.2"]);
    }
}
