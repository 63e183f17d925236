//! Our own ClientHello for SSL 3.0 to TLS 1.3, and a bounded reader of what comes back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::look::parameters;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// SSL 3.0 (RFC 6101), prohibited by RFC 7568.
    #[serde(rename = "ssl3.0")]
    Ssl3,
    /// TLS 1.0 (RFC 2246), deprecated by RFC 8996.
    #[serde(rename = "tls1.0")]
    Tls10,
    /// TLS 1.1 (RFC 4346), deprecated by RFC 8996.
    #[serde(rename = "tls1.1")]
    Tls11,
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "tls1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "tls1.3")]
    Tls13,
}

impl Version {
    /// Every version, in the order in which they are asked for: the likeliest first.
    pub const ALL: [Version; 5] =
        [Version::Tls12, Version::Tls13, Version::Tls11, Version::Tls10, Version::Ssl3];

    /// The version on the wire.
    pub fn wire(self) -> u16 {
        match self {
            Version::Ssl3 => 0x0300,
            Version::Tls10 => 0x0301,
            Version::Tls11 => 0x0302,
            Version::Tls12 => 0x0303,
            Version::Tls13 => 0x0304,
        }
    }

    /// The version of these bytes.
    pub fn of_wire(wire: u16) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.wire() == wire)
    }

    /// The version as a component: `tls1.0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Ssl3 => "ssl3.0",
            Version::Tls10 => "tls1.0",
            Version::Tls11 => "tls1.1",
            Version::Tls12 => "tls1.2",
            Version::Tls13 => "tls1.3",
        }
    }

    /// Whether S3 clause 5 allows it: TLS 1.2 or better.
    pub fn is_modern(self) -> bool {
        self >= Version::Tls12
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, number) = self.as_str().split_at(3);
        write!(f, "{} {number}", family.to_uppercase())
    }
}

impl FromStr for Version {
    type Err = ();
    fn from_str(text: &str) -> Result<Version, ()> {
        Version::ALL.into_iter().find(|version| version.as_str() == text).ok_or(())
    }
}

/// How much an offer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// What clients commonly offer: servers that refuse long lists answer it.
    Common,
    /// Every assigned suite and group of the version: a refusal then means the version.
    All,
}

/// What an offer is made of besides the version.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The version asked for, and no other.
    pub version: Version,
    /// How much it lists.
    pub breadth: Breadth,
    /// The name in the SNI extension; none for an address.
    pub name: Option<&'a str>,
    /// 32 bytes of chance.
    pub random: [u8; 32],
    /// An X25519 public key, for TLS 1.3.
    pub key_share: &'a [u8],
}

impl Offer<'_> {
    /// The ClientHello in its record.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(1200);
        body.extend(self.version.min(Version::Tls12).wire().to_be_bytes());
        body.extend(self.random);
        // TLS 1.3 wants a session id for middleboxes that expect one (RFC 8446 D.4); it is chance too.
        match self.version {
            Version::Tls13 => list8(&mut body, &self.random),
            _ => list8(&mut body, &[]),
        }
        let suites = match self.breadth {
            Breadth::All => parameters::suites(self.version),
            Breadth::Common => common_suites(self.version),
        };
        list16(&mut body, &words(suites.into_iter().chain(self.signalling())));
        list8(&mut body, &[0]);
        if self.version != Version::Ssl3 {
            let extensions = self.extensions();
            list16(&mut body, &extensions);
        }

        let mut message = vec![CLIENT_HELLO];
        list24(&mut message, &body);
        let mut record = vec![HANDSHAKE];
        record.extend(self.version.min(Version::Tls10).wire().to_be_bytes());
        list16(&mut record, &message);
        record
    }

    /// The suite value that stands for the renegotiation extension (RFC 5746), which some servers insist on.
    fn signalling(&self) -> Option<u16> {
        (self.version != Version::Tls13).then_some(RENEGOTIATION_SCSV)
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(name) = self.name {
            let mut entry = vec![0];
            list16(&mut entry, name.as_bytes());
            extension(&mut all, 0, |data| list16(data, &entry));
        }
        let groups = match self.breadth {
            Breadth::All => parameters::groups(self.version),
            Breadth::Common => COMMON_GROUPS.to_vec(),
        };
        extension(&mut all, 10, |data| list16(data, &words(groups)));
        if self.version != Version::Tls13 {
            extension(&mut all, 11, |data| list8(data, &[0]));
        }
        if self.version.is_modern() {
            extension(&mut all, 13, |data| list16(data, &words(SIGNATURE_SCHEMES)));
        }
        if self.version == Version::Tls13 {
            extension(&mut all, 43, |data| list8(data, &Version::Tls13.wire().to_be_bytes()));
            extension(&mut all, 45, |data| list8(data, &[1]));
            let mut share = X25519.to_be_bytes().to_vec();
            list16(&mut share, self.key_share);
            extension(&mut all, 51, |data| list16(data, &share));
        }
        all
    }
}

fn common_suites(version: Version) -> Vec<u16> {
    let usable = parameters::suites(version);
    COMMON_SUITES.iter().copied().filter(|suite| usable.contains(suite)).collect()
}

fn words(values: impl IntoIterator<Item = u16>) -> Vec<u8> {
    values.into_iter().flat_map(u16::to_be_bytes).collect()
}

fn extension(all: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let mut data = Vec::new();
    write(&mut data);
    all.extend(kind.to_be_bytes());
    list16(all, &data);
}

fn list8(out: &mut Vec<u8>, data: &[u8]) {
    out.push(u8::try_from(data.len()).expect("our own lists are shorter than 256 bytes"));
    out.extend(data);
}

fn list16(out: &mut Vec<u8>, data: &[u8]) {
    let length = u16::try_from(data.len()).expect("our own lists are shorter than 64 KiB");
    out.extend(length.to_be_bytes());
    out.extend(data);
}

fn list24(out: &mut Vec<u8>, data: &[u8]) {
    out.push(0);
    list16(out, data);
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It chose: the version that it chose is in here.
    ServerHello(ServerHello),
    /// It sent an alert, by its number (RFC 8446 B.2).
    Alert(u8),
    /// It answered something that is not TLS.
    NotTls,
    /// It answered TLS that cannot be.
    Malformed(&'static str),
}

/// What a ServerHello, or a HelloRetryRequest, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHello {
    /// The version on the wire: from the extension `supported_versions` where it is there.
    pub version: u16,
    /// The cipher suite.
    pub suite: u16,
    /// The key exchange group that TLS 1.3 names here.
    pub group: Option<u16>,
}

/// Reads the reply in `bytes`, as far as they came: nothing yet where they are too few.
pub fn read_reply(bytes: &[u8]) -> Option<Reply> {
    let flight = match flight(bytes) {
        Ok(flight) => flight,
        Err(reply) => return Some(reply),
    };
    if let Some((kind, body)) = messages(&flight.handshake).next() {
        return Some(match (kind, server_hello(body)) {
            (SERVER_HELLO, Some(hello)) => Reply::ServerHello(hello),
            (SERVER_HELLO, None) => Reply::Malformed("a ServerHello that ends too soon"),
            _ => Reply::Malformed("a handshake message before the ServerHello"),
        });
    }
    flight.alert.map(Reply::Alert)
}

/// The group that the ServerKeyExchange of TLS 1.2 and before names; nothing yet where it has not come.
/// `Some(None)`: the server's messages ended, or named no curve.
pub fn read_group(bytes: &[u8]) -> Option<Option<u16>> {
    let Ok(flight) = flight(bytes) else { return Some(None) };
    for (kind, body) in messages(&flight.handshake) {
        match (kind, body) {
            (SERVER_KEY_EXCHANGE, [NAMED_CURVE, high, low, ..]) => {
                return Some(Some(u16::from_be_bytes([*high, *low])));
            }
            (SERVER_KEY_EXCHANGE | SERVER_HELLO_DONE, _) => return Some(None),
            _ => {}
        }
    }
    flight.alert.map(|_| None)
}

/// The handshake bytes of the whole records that came, and the alert that ended them.
struct Flight {
    handshake: Vec<u8>,
    alert: Option<u8>,
}

fn flight(bytes: &[u8]) -> Result<Flight, Reply> {
    let mut reader = Reader(bytes);
    let mut flight = Flight { handshake: Vec::new(), alert: None };
    while let Some(kind) = reader.byte() {
        if !matches!(kind, ALERT | HANDSHAKE) {
            let first = flight.handshake.is_empty();
            return if first { Err(Reply::NotTls) } else { Ok(flight) };
        }
        let Some(major) = reader.byte() else { break };
        if major != 3 {
            return Err(Reply::NotTls);
        }
        let (Some(_minor), Some(length)) = (reader.byte(), reader.word()) else { break };
        if usize::from(length) > RECORD_MAX {
            return Err(Reply::Malformed("a record that is longer than any may be"));
        }
        let Some(data) = reader.take(length.into()) else { break };
        match (kind, data) {
            (HANDSHAKE, data) => flight.handshake.extend(data),
            // A warning goes before a ServerHello (an unrecognised name); a refusal counts at any level.
            (_, [WARNING, other]) if !matches!(*other, HANDSHAKE_FAILURE | PROTOCOL_VERSION) => {}
            (_, [_level, description]) => {
                flight.alert = Some(*description);
                break;
            }
            _ => return Err(Reply::Malformed("an alert that is not two bytes")),
        }
    }
    Ok(flight)
}

/// The whole handshake messages in `bytes`.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut reader = Reader(bytes);
    std::iter::from_fn(move || {
        let kind = reader.byte()?;
        let high = reader.byte()?;
        let low = reader.word()?;
        let length = usize::from(high) << 16 | usize::from(low);
        Some((kind, reader.take(length)?))
    })
}

fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut reader = Reader(body);
    let version = reader.word()?;
    let random = reader.take(32)?;
    let session = reader.byte()?;
    reader.take(session.into())?;
    let suite = reader.word()?;
    let _compression = reader.byte()?;
    let mut hello = ServerHello { version, suite, group: None };
    // Before TLS 1.3 there may be no extensions at all.
    let extensions = match reader.word() {
        Some(length) => reader.take(length.into())?,
        None => &[],
    };
    let mut extensions = Reader(extensions);
    while let Some(kind) = extensions.word() {
        let length = extensions.word()?;
        let mut data = Reader(extensions.take(length.into())?);
        match kind {
            43 => hello.version = data.word()?,
            51 => hello.group = Some(data.word()?),
            _ => {}
        }
    }
    // A HelloRetryRequest accepts the version as well: it only asks for another key.
    let retry = random == HELLO_RETRY;
    (!retry || hello.version == Version::Tls13.wire()).then_some(hello)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn word(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

/// The alert that says "this version not" (RFC 8446 6.2).
pub const PROTOCOL_VERSION: u8 = 70;
/// The alert that says "nothing in common" (RFC 8446 6.2).
pub const HANDSHAKE_FAILURE: u8 = 40;
/// Alert `internal_error` (RFC 8446 6.2): what OpenSSL 3 says to TLS 1.0 and 1.1 at its default security level.
pub const INTERNAL_ERROR: u8 = 80;
/// The most of a reply that is read: a chain and a key, far more than any server needs to send before it waits.
pub const REPLY_MAX: usize = 64 * 1024;

/// The longest record there may be: 2^14 bytes and what TLS 1.2 allows encryption to add (RFC 5246 6.2.3).
const RECORD_MAX: usize = 16_384 + 2048;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const WARNING: u8 = 1;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const SERVER_KEY_EXCHANGE: u8 = 12;
const SERVER_HELLO_DONE: u8 = 14;
const NAMED_CURVE: u8 = 3;
const RENEGOTIATION_SCSV: u16 = 0x00ff;
const X25519: u16 = 0x001d;
/// The random that makes a ServerHello a HelloRetryRequest (RFC 8446 4.1.3).
const HELLO_RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// What browsers and older clients offer, strongest first; each version takes what it may use.
const COMMON_SUITES: [u16; 27] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009e, 0x009f, 0xc023,
    0xc027, 0xc009, 0xc013, 0xc00a, 0xc014, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x002f, 0x0035,
    0x000a, 0x0005, 0x0004,
];
/// X25519, P-256, P-384, P-521.
const COMMON_GROUPS: [u16; 4] = [X25519, 0x0017, 0x0018, 0x0019];
/// Every signature scheme a server might have to choose from (IANA "TLS SignatureScheme", and the pairs of hash and
/// signature of RFC 5246 7.4.1.4.1), so that none of them is why a version is refused.
const SIGNATURE_SCHEMES: [u16; 34] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401,
    0x0501, 0x0601, 0x081a, 0x081b, 0x081c, 0x0708, 0x0709, 0x070a, 0x070b, 0x070c, 0x070d, 0x070e,
    0x070f, 0x0402, 0x0502, 0x0602, 0x0301, 0x0303, 0x0201, 0x0203, 0x0202, 0x0101,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        list16(&mut record, data);
        record
    }

    fn hello(version: u16, random: [u8; 32], extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend(random);
        list8(&mut body, &[7; 32]);
        body.extend([0x13, 0x01, 0]);
        if !extensions.is_empty() {
            list16(&mut body, extensions);
        }
        let mut message = vec![SERVER_HELLO];
        list24(&mut message, &body);
        message
    }

    fn chosen(version: u16, group: Option<u16>) -> Option<Reply> {
        Some(Reply::ServerHello(ServerHello { version, suite: 0x1301, group }))
    }

    const TLS13: [u8; 6] = [0, 43, 0, 2, 3, 4];
    const SHARE: [u8; 10] = [0, 51, 0, 6, 0, 29, 0, 2, 1, 2];
    const RETRY_SHARE: [u8; 6] = [0, 51, 0, 2, 0, 23];

    #[test]
    fn a_reply_is_read_as_far_as_it_came() {
        let old = record(22, &hello(0x0301, [1; 32], &[]));
        let new = record(22, &hello(0x0303, [1; 32], &[&TLS13[..], &SHARE[..]].concat()));
        let retry = record(22, &hello(0x0303, HELLO_RETRY, &[&TLS13[..], &RETRY_SHARE].concat()));
        let split = {
            let message = hello(0x0303, [1; 32], &[]);
            [record(22, &message[..10]), record(22, &message[10..])].concat()
        };
        let warned = [record(21, &[1, 112]), old.clone()].concat();
        for (bytes, reply, sentence) in [
            (&old[..], chosen(0x0301, None), "a ServerHello without extensions"),
            (&new[..], chosen(0x0304, Some(29)), "supported_versions decides"),
            (&retry[..], chosen(0x0304, Some(23)), "a HelloRetryRequest accepts 1.3"),
            (&split[..], chosen(0x0303, None), "a message in two records"),
            (&warned[..], chosen(0x0301, None), "a warning before it"),
            (&old[..old.len() - 1], None, "one byte short"),
            (&[][..], None, "nothing yet"),
            (&[21, 3, 1, 0, 2, 2, 70][..], Some(Reply::Alert(70)), "alert 70"),
            (&[21, 3, 1, 0, 2, 1, 40][..], Some(Reply::Alert(40)), "alert 40 as a warning"),
            (&[21, 3, 1, 0, 2, 1, 0][..], None, "close_notify: the close itself follows"),
            (b"HTTP/1.1 400 Bad Request", Some(Reply::NotTls), "HTTP"),
            (&[0x80, 0x2e, 1][..], Some(Reply::NotTls), "SSL 2.0"),
            (&[22, 9, 9][..], Some(Reply::NotTls), "another protocol that begins with 22"),
        ] {
            assert_eq!(read_reply(bytes), reply, "{sentence}");
        }
    }

    #[test]
    fn what_cannot_be_is_malformed() {
        let finished = record(22, &[20, 0, 0, 1, 0]);
        let short = record(22, &[2, 0, 0, 2, 3, 3]);
        let cut = record(22, &hello(0x0303, [1; 32], &[0, 43, 0, 9, 3, 4]));
        let retry_old = record(22, &hello(0x0303, HELLO_RETRY, &[]));
        for bytes in
            [&finished[..], &short, &cut, &retry_old, &[22, 3, 3, 0xff, 0xff], &[21, 3, 3, 0, 1, 2]]
        {
            assert!(matches!(read_reply(bytes), Some(Reply::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn the_group_of_tls_1_2_is_in_the_key_exchange() {
        let mut flight = record(22, &hello(0x0303, [1; 32], &[]));
        assert_eq!(read_group(&flight), None, "not yet");
        flight.extend(record(22, &[11, 0, 0, 1, 0]));
        assert_eq!(read_group(&flight), None, "a certificate, and not yet");
        let with = [flight.clone(), record(22, &[12, 0, 0, 4, 3, 0, 23, 9])].concat();
        assert_eq!(read_group(&with), Some(Some(23)));
        let without = [flight, record(22, &[14, 0, 0, 0])].concat();
        assert_eq!(read_group(&without), Some(None), "a static key");
    }

    #[test]
    fn an_offer_names_one_version_and_fits_its_record() {
        for version in Version::ALL {
            for breadth in [Breadth::Common, Breadth::All] {
                let offer = Offer {
                    version,
                    breadth,
                    name: Some("portal.example.org"),
                    random: [5; 32],
                    key_share: &[9; 32],
                };
                let bytes = offer.bytes();
                let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
                assert_eq!(bytes.len(), 5 + length);
                assert_eq!(bytes[0], HANDSHAKE);
                let in_hello = u16::from_be_bytes([bytes[9], bytes[10]]);
                assert_eq!(in_hello, version.min(Version::Tls12).wire());
                let names = bytes.windows(18).any(|w| w == b"portal.example.org");
                assert_eq!(names, version != Version::Ssl3, "SSL 3.0 has no extensions");
            }
        }
    }

    #[test]
    fn the_longest_offer_is_as_short_as_the_documentation_says() {
        let name = "a".repeat(253);
        let longest = |breadth| {
            let offer = |version| Offer {
                version,
                breadth,
                name: Some(&name),
                random: [5; 32],
                key_share: &[9; 32],
            };
            Version::ALL.map(|version| offer(version).bytes().len()).into_iter().max()
        };
        assert!(longest(Breadth::Common) < Some(600), "{:?}", longest(Breadth::Common));
        assert!(longest(Breadth::All) < Some(1400), "{:?}", longest(Breadth::All));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_reply(&bytes);
            let _ = read_group(&bytes);
        }

        #[test]
        fn no_damage_to_a_real_reply_makes_the_reader_fail(
            at in 0usize..200, value: u8, cut in 0usize..200,
        ) {
            let mut bytes = record(22, &hello(0x0303, [1; 32], &[&TLS13[..], &SHARE[..]].concat()));
            bytes.extend(record(22, &[12, 0, 0, 4, 3, 0, 23, 9]));
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(cut.min(bytes.len()));
            let _ = read_reply(&bytes);
            let _ = read_group(&bytes);
        }

        #[test]
        fn more_bytes_never_change_an_answer(cut in 0usize..200) {
            let bytes = record(22, &hello(0x0303, [1; 32], &[&TLS13[..], &SHARE[..]].concat()));
            let cut = cut.min(bytes.len());
            prop_assert!(read_reply(&bytes[..cut]).is_none() || cut == bytes.len());
        }
    }
}
