//! RFC 3161 as far as it is needed: what is asked of a time stamping authority, and what it may answer. Every byte of an
//! answer is foreign. That the authority signed it is not looked at here: `openssl ts -verify` says so.

use asn1_rs::{Any, FromDer};
use attestd_core::Timestamp;
use attestd_core::text::plain;
use sha2::{Digest, Sha256};

/// What is asked: a time for these bytes, by their SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    digest: [u8; 32],
    nonce: [u8; 8],
}

/// A time stamp: an answer that is one, to what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The token (CMS), as it came.
    pub token: Vec<u8>,
    /// When, by the authority's clock.
    pub time: Timestamp,
}

/// Why an answer is no time stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Not of the form that RFC 3161 has.
    #[error("the answer is no time stamp response: {0}")]
    Form(&'static str),
    /// The authority gives none.
    #[error("the authority gives no time stamp: status {status}{said}")]
    Refused {
        /// The number (RFC 3161 2.4.2).
        status: u64,
        /// In its own words.
        said: String,
    },
    /// It is over something else.
    #[error("the time stamp is over something else than was asked")]
    Digest,
    /// It may be an old one.
    #[error("the time stamp does not have the number that was asked with, so it may be an old one")]
    Nonce,
}

/// DER identifiers: the class, whether there is more inside, and the tag in one byte (X.690 8.1.2).
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OCTETS: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const UTF8: u8 = 0x0c;
    pub const TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const FIRST: u8 = 0xa0;
    pub const SECOND: u8 = 0xa1;
    pub const BOOLEAN: u8 = 0x01;
}

/// 2.16.840.1.101.3.4.2.1
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 1.2.840.113549.1.7.2: signed data (CMS)
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.16.1.4: what a time stamp says
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
/// What is shown of an authority's own words, in characters.
const SAID_MAX: usize = 200;

impl Question {
    /// A question for the time of these bytes, with chance that nobody can guess.
    pub fn new(bytes: &[u8], mut nonce: [u8; 8]) -> Question {
        // A positive number of eight bytes, however chance falls: DER has one way to write it.
        nonce[0] = nonce[0] & 0x3f | 0x40;
        Question { digest: Sha256::digest(bytes).into(), nonce }
    }

    /// As it is sent: TimeStampReq, with the wish for the authority's certificate.
    pub fn der(&self) -> Vec<u8> {
        const BEFORE: [u8; 24] = [
            tag::SEQUENCE,
            0x43,
            tag::INTEGER,
            1,
            1,
            tag::SEQUENCE,
            0x31,
            tag::SEQUENCE,
            0x0d,
            tag::OID,
            9,
            0x60,
            0x86,
            0x48,
            0x01,
            0x65,
            0x03,
            0x04,
            0x02,
            0x01,
            tag::NULL,
            0,
            tag::OCTETS,
            32,
        ];
        let certificate = [tag::BOOLEAN, 1, 0xff];
        [&BEFORE[..], &self.digest, &[tag::INTEGER, 8], &self.nonce, &certificate].concat()
    }

    /// Reads the answer to it: TimeStampResp.
    pub fn answered(&self, answer: &[u8]) -> Result<Stamp, BadAnswer> {
        let mut whole = Elements(answer);
        let mut response = whole.within(tag::SEQUENCE, "it does not begin as one")?;
        whole.end()?;
        let mut status = response.within(tag::SEQUENCE, "it has no status")?;
        match number(status.take(tag::INTEGER, "its status is no number")?) {
            Some(0 | 1) => {} // granted, or granted otherwise than was wished: what it says is looked at
            status_is => {
                let status_is = status_is.unwrap_or(u64::MAX);
                return Err(BadAnswer::Refused { status: status_is, said: said(&mut status) });
            }
        }
        let token = response.0;
        let info = Info::read(&mut response)?;
        response.end()?;
        if info.digest != self.digest {
            return Err(BadAnswer::Digest);
        }
        if info.nonce != Some(&self.nonce) {
            return Err(BadAnswer::Nonce);
        }
        Ok(Stamp { token: token.to_vec(), time: info.time })
    }
}

/// Whether a token is over this SHA-256, as far as a look without the authority's certificate goes: the digest stands in
/// it, as an octet string. Whoever could make one in which it stands elsewhere could as well make one that is over it.
pub fn is_over(token: &[u8], digest: &[u8; 32]) -> bool {
    let octets = [&[tag::OCTETS, 32], &digest[..]].concat();
    token.windows(octets.len()).any(|window| window == octets)
}

/// What a token says.
struct Info<'a> {
    digest: &'a [u8],
    nonce: Option<&'a [u8]>,
    time: Timestamp,
}

impl<'a> Info<'a> {
    /// Reads the next element, which is to be a token: CMS signed data, and in it a TSTInfo.
    fn read(response: &mut Elements<'a>) -> Result<Info<'a>, BadAnswer> {
        let mut content = response.within(tag::SEQUENCE, "it has no token")?;
        content.expect(tag::OID, SIGNED_DATA, "its token is not signed")?;
        let mut explicit = content.within(tag::FIRST, "its token is empty")?;
        content.end()?;
        let mut signed = explicit.within(tag::SEQUENCE, "its token is empty")?;
        explicit.end()?;
        signed.take(tag::INTEGER, "its token has no version")?;
        signed.take(tag::SET, "its token has no digests")?;
        let mut inner = signed.within(tag::SEQUENCE, "its token has no content")?;
        inner.expect(tag::OID, TST_INFO, "its token is not that of a time stamp")?;
        let mut octets = inner.within(tag::FIRST, "its token has no content")?;
        inner.end()?;
        let mut info = Elements(octets.take(tag::OCTETS, "its token has no content")?);
        octets.end()?;
        for optional in [tag::FIRST, tag::SECOND] {
            signed.optional(optional)?; // certificates, and lists of revoked ones
        }
        if signed.take(tag::SET, "its token has no signatures")?.is_empty() {
            return Err(BadAnswer::Form("nobody signed its token"));
        }
        signed.end()?;
        let body = info.within(tag::SEQUENCE, "its token says nothing")?;
        info.end()?;
        Info::of(body)
    }

    fn of(mut info: Elements<'a>) -> Result<Info<'a>, BadAnswer> {
        info.expect(tag::INTEGER, &[1], "its version is not 1")?;
        info.take(tag::OID, "it has no policy")?;
        let mut imprint = info.within(tag::SEQUENCE, "it is over nothing")?;
        let mut algorithm = imprint.within(tag::SEQUENCE, "it is over nothing")?;
        algorithm.expect(tag::OID, SHA256, "it is not over a SHA-256")?;
        let digest = imprint.take(tag::OCTETS, "it is over nothing")?;
        imprint.end()?;
        info.take(tag::INTEGER, "it has no serial number")?;
        let time = info.take(tag::TIME, "it has no time")?;
        let time = instant(time).ok_or(BadAnswer::Form("its time is none"))?;
        for optional in [tag::SEQUENCE, tag::BOOLEAN] {
            info.optional(optional)?; // how exact it is, and whether stamps are in order
        }
        let nonce = info.optional(tag::INTEGER)?;
        for optional in [tag::FIRST, tag::SECOND] {
            info.optional(optional)?; // the authority's name, and extensions
        }
        info.end()?;
        Ok(Info { digest, nonce, time })
    }
}

/// Elements of DER, one after the other: definite lengths only. None is looked into but by name, so nothing nests.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the next, which has this tag.
    fn take(&mut self, tag: u8, otherwise: &'static str) -> Result<&'a [u8], BadAnswer> {
        self.optional(tag)?.ok_or(BadAnswer::Form(otherwise))
    }

    /// The content of the next, if it has this tag.
    fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, BadAnswer> {
        if self.0.first() != Some(&tag) {
            return Ok(None);
        }
        let read = Any::from_der(self.0);
        let (rest, any) = read.map_err(|_| BadAnswer::Form("it is cut off, or no DER"))?;
        self.0 = rest;
        Ok(Some(any.data))
    }

    /// What is in the next, which has this tag.
    fn within(&mut self, tag: u8, otherwise: &'static str) -> Result<Elements<'a>, BadAnswer> {
        self.take(tag, otherwise).map(Elements)
    }

    /// Passes over the next, which has this tag and content.
    fn expect(&mut self, tag: u8, is: &[u8], otherwise: &'static str) -> Result<(), BadAnswer> {
        match self.take(tag, otherwise)? == is {
            true => Ok(()),
            false => Err(BadAnswer::Form(otherwise)),
        }
    }

    /// Holds that there is no more.
    fn end(&self) -> Result<(), BadAnswer> {
        match self.0 {
            [] => Ok(()),
            _ => Err(BadAnswer::Form("it goes on after its end")),
        }
    }
}

/// What an authority says of its refusal: PKIFreeText.
fn said(status: &mut Elements<'_>) -> String {
    let mut texts = status.within(tag::SEQUENCE, "it says nothing");
    let first = texts.as_mut().ok().and_then(|texts| texts.optional(tag::UTF8).ok()).flatten();
    first.map_or_else(String::new, |text| {
        format!(" ({})", plain(&String::from_utf8_lossy(text), SAID_MAX))
    })
}

fn number(bytes: &[u8]) -> Option<u64> {
    let [first, ..] = bytes else { return None };
    (bytes.len() <= 8 && *first < 0x80)
        .then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// `YYYYMMDDhhmmss[.s...]Z` (RFC 3161 2.4.2), of which nanoseconds are kept.
fn instant(time: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |from: usize, to: usize| &whole[from..to];
    let fraction = &fraction[..fraction.len().min(9)];
    let (day, hour) = (part(6, 8), part(8, 10));
    let (year, month, minute, second) = (part(0, 4), part(4, 6), part(10, 12), part(12, 14));
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{fraction}Z").parse().ok()
}
