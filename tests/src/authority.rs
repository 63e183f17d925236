//! A time stamping authority on loopback, honest or not. It signs nothing: what it gives has the form of a time stamp, and
//! attestd leaves signatures to openssl.

use std::net::SocketAddr;

use attestd::timestamps::token::Question;
use attestd_core::Timestamp;
use attestd_core::check::Blob;
use attestd_core::record::Stamped;
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::{servers, wait};

/// The authority; it answers while this lives.
pub struct Authority {
    _runtime: Runtime,
    address: SocketAddr,
}

/// What was asked: the SHA-256 and the number (RFC 3161 TimeStampReq, as attestd writes it).
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The SHA-256.
    pub digest: [u8; 32],
    /// The number.
    pub nonce: [u8; 8],
}

/// What the authority answers, a word each; `honest` is the one good answer, and `apart` has another clock.
pub const WAYS: &[&str] = &[
    "honest",
    "apart",
    "granted-otherwise",
    "fractions",
    "refused",
    "other-digest",
    "other-nonce",
    "no-nonce",
    "other-hash",
    "unsigned",
    "version-2",
    "no-day",
    "cut",
    "trailing",
    "indefinite",
    "nested",
    "long-length",
    "html",
    "empty",
    "huge",
    "failing",
    "elsewhere",
    "replayed",
];

impl Authority {
    /// Listens on loopback.
    pub fn start() -> Authority {
        let runtime = servers::runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/{way}", post(stamp));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Authority { _runtime: runtime, address }
    }

    /// Where it answers in one of its ways.
    pub fn url(&self, way: &str) -> String {
        format!("http://{}/{way}", self.address)
    }
}

impl Asked {
    /// Reads what attestd asks.
    pub fn read(query: &[u8]) -> Asked {
        let part = |from: usize, to: usize| query.get(from..to).unwrap_or_default();
        Asked {
            digest: part(24, 56).try_into().expect("a query of attestd"),
            nonce: part(58, 66).try_into().expect("a query of attestd"),
        }
    }
}

async fn stamp(Path(way): Path<String>, headers: HeaderMap, query: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    assert_eq!(kind, Some("application/timestamp-query"));
    let reply = [(header::CONTENT_TYPE, "application/timestamp-reply")];
    match way.as_str() {
        "html" => "<!doctype html><title>Log in</title>".into_response(),
        "failing" => (StatusCode::SERVICE_UNAVAILABLE, "come back later").into_response(),
        "elsewhere" => {
            (StatusCode::FOUND, [(header::LOCATION, "/honest")], "moved").into_response()
        }
        "huge" => (reply, vec![0x30; 10_000_000]).into_response(),
        way => (reply, answer(way, Asked::read(&query), wait::now())).into_response(),
    }
}

/// The answer of an authority that works in this way, at `now`.
pub fn answer(way: &str, asked: Asked, now: Timestamp) -> Vec<u8> {
    let Asked { mut digest, mut nonce } = asked;
    let mut time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%SZ").to_string();
    let mut hash = SHA256;
    let (mut version, mut status, mut nonce_tag) = ([1], [0], INTEGER);
    let mut signatures = der(SEQUENCE, &[b"\x02\x01\x01"]);
    match way {
        "apart" => time = "20200101000000Z".to_owned(),
        "fractions" => time = time.replace('Z', ".123456Z"),
        "no-day" => time = "20260230000000Z".to_owned(),
        "granted-otherwise" => status = [1],
        "other-digest" => digest[31] ^= 1,
        "other-nonce" => nonce[7] ^= 1,
        "no-nonce" => nonce_tag = FIRST,
        "other-hash" => hash = b"\x60\x86\x48\x01\x65\x03\x04\x02\x03",
        "unsigned" => signatures.clear(),
        "version-2" => version = [2],
        "replayed" => (digest, nonce) = ([7; 32], [0x41; 8]),
        _ => {}
    }
    let info = der(
        SEQUENCE,
        &[
            &der(INTEGER, &[&version]),
            &der(OID, &[b"\x2a\x03\x04"]),
            &der(
                SEQUENCE,
                &[&der(SEQUENCE, &[&der(OID, &[hash]), &der(NULL, &[])]), &der(OCTETS, &[&digest])],
            ),
            &der(INTEGER, &[&[9]]),
            &der(TIME, &[time.as_bytes()]),
            &der(nonce_tag, &[&nonce]),
        ],
    );
    let content = der(SEQUENCE, &[&der(OID, &[TST_INFO]), &der(FIRST, &[&der(OCTETS, &[&info])])]);
    let signed = der(
        SEQUENCE,
        &[
            &der(INTEGER, &[&[3]]),
            &der(SET, &[&der(SEQUENCE, &[&der(OID, &[SHA256])])]),
            &content,
            &der(FIRST, &[b"\x30\x00"]),
            &der(SET, &[&signatures]),
        ],
    );
    let token = der(SEQUENCE, &[&der(OID, &[SIGNED_DATA]), &der(FIRST, &[&signed])]);
    let granted = der(SEQUENCE, &[&der(INTEGER, &[&status])]);
    let whole = der(SEQUENCE, &[&granted, &token]);
    match way {
        "refused" => {
            let why = der(SEQUENCE, &[&der(UTF8, &["no more\u{202e} today".as_bytes()])]);
            der(SEQUENCE, &[&der(SEQUENCE, &[&der(INTEGER, &[&[2]]), &why])])
        }
        "cut" => whole[..whole.len() - 1].to_vec(),
        "trailing" => [&whole[..], b"\x05\x00"].concat(),
        "indefinite" => [&[SEQUENCE, 0x80], &granted[..], &token, &[0, 0]].concat(),
        "nested" => [SEQUENCE, 0x80].repeat(30_000),
        "long-length" => [&[SEQUENCE, 0x88], &[0xff; 8][..], &granted, &token].concat(),
        "empty" => Vec::new(),
        _ => whole,
    }
}

/// A time stamp token over this SHA-256.
pub fn token(digest: [u8; 32], now: Timestamp) -> Vec<u8> {
    let asked = Asked { digest, nonce: [0x41; 8] };
    let granted = der(SEQUENCE, &[&der(INTEGER, &[&[0]])]);
    let whole = answer("honest", asked, now);
    let at = whole.windows(granted.len()).position(|window| window == granted);
    whole[at.expect("it is granted") + granted.len()..].to_vec()
}

/// A checkpoint that was stamped at `now`: the record, and the token.
pub fn stamped(note: &str, now: Timestamp) -> (Stamped, Blob) {
    let asked = Asked::read(&Question::new(note.as_bytes(), [0; 8]).der());
    let token = Blob::new(token(asked.digest, now));
    let (authority, sha256) = ("https://tsa.example.org".to_owned(), token.sha256.clone());
    (Stamped { at: now, note: note.to_owned(), time: now, token: sha256, authority }, token)
}

/// An element of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let length = match u8::try_from(length) {
        Ok(short @ ..=127) => vec![short],
        Ok(one) => vec![0x81, one],
        Err(_) => {
            [&[0x82], &u16::try_from(length).expect("under 64 KiB").to_be_bytes()[..]].concat()
        }
    };
    [&[tag], &length[..], &content].concat()
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const FIRST: u8 = 0xa0;
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const TST_INFO: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";
