//! Signs requests as Standard Webhooks has it (<https://www.standardwebhooks.com>): HMAC-SHA256 over id, time and body.

use attestd_core::Timestamp;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::secret::Secret;

/// The keys that sign, of which a receiver must know one: two while a secret is rotated.
pub(crate) struct Keys(Vec<hmac::Key>);

/// Why a secret is none. Never says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not base64, or too short or long.
    #[error(
        "secret {0} is not base64 of {KEY_MIN} to {KEY_MAX} bytes, with or without `{PREFIX}` before it \
         (`openssl rand -base64 32` makes one)"
    )]
    Form(usize),
    /// Not one to three lines.
    #[error("there are not 1 to {KEYS_MAX} secrets, one a line")]
    Count,
}

impl Keys {
    /// Reads secrets, one a line.
    pub(crate) fn read(secret: &Secret) -> Result<Keys, BadKey> {
        let lines = secret.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        let key = |(at, line): (usize, &str)| {
            let bytes = STANDARD.decode(line.strip_prefix(PREFIX).unwrap_or(line));
            let bytes = bytes.ok().filter(|bytes| (KEY_MIN..=KEY_MAX).contains(&bytes.len()));
            let bytes = bytes.ok_or(BadKey::Form(at))?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        let keys: Vec<hmac::Key> =
            (1..).zip(lines).take(KEYS_MAX + 1).map(key).collect::<Result<_, BadKey>>()?;
        if (1..=KEYS_MAX).contains(&keys.len()) { Ok(Keys(keys)) } else { Err(BadKey::Count) }
    }

    fn sign(&self, id: &str, at: i64, body: &[u8]) -> String {
        let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
        let one = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

/// The headers of a request about the event `id`; signed where there are keys.
pub(crate) fn headers(id: &str, now: Timestamp, body: &[u8], keys: Option<&Keys>) -> HeaderMap {
    let at = now.as_second();
    let signature = keys.map(|keys| keys.sign(id, at, body));
    let all = [(ID, Some(id.to_owned())), (TIME, Some(at.to_string())), (SIGNATURE, signature)];
    let header = |(name, value): (&HeaderName, Option<String>)| {
        let value = HeaderValue::try_from(value?).expect("hex, digits and base64 are a header");
        Some((name.clone(), value))
    };
    all.iter().filter_map(|(name, value)| header((name, value.clone()))).collect()
}

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIME: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// How a secret may begin.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, at least (Standard Webhooks, "Signature scheme").
const KEY_MIN: usize = 24;
/// Bytes of a secret, at most (the same).
const KEY_MAX: usize = 64;
/// Secrets at once: an old one and a new one, and one to spare.
const KEYS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Keys, BadKey> {
        Keys::read(&Secret::new(text))
    }

    #[test]
    fn a_signature_is_that_of_the_specifications_own_example() {
        // From the tests of the reference libraries of Standard Webhooks.
        let keys = keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = br#"{"test": 2432232314}"#;
        let at = Timestamp::from_second(1_614_265_330).expect("a time");
        let headers = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body, Some(&keys));
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers["webhook-signature"], expected);
    }

    #[test]
    fn a_secret_is_base64_of_a_good_length_and_a_bad_one_is_not_shown() {
        let good = STANDARD.encode([7; 32]);
        for (text, expected) in [
            (good.clone(), Ok(1)),
            (format!("whsec_{good}\n\n{good}\n"), Ok(2)),
            (String::new(), Err(BadKey::Count)),
            (format!("{good}\n{good}\n{good}\n{good}"), Err(BadKey::Count)),
            ("s3cret".to_owned(), Err(BadKey::Form(1))),
            (format!("{good}\n{}", STANDARD.encode([7; 23])), Err(BadKey::Form(2))),
            (STANDARD.encode([7; 65]), Err(BadKey::Form(1))),
        ] {
            let read = keys(&text);
            assert_eq!(read.as_ref().map(|keys| keys.0.len()).map_err(|e| *e), expected);
            if let Err(error) = read {
                assert!(!error.to_string().contains("s3cret"), "{error}");
            }
        }
    }

    #[test]
    fn while_a_secret_is_rotated_both_sign() {
        let (old, new) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let at = Timestamp::from_second(1).expect("a time");
        let of = |text: &str| {
            let keys = keys(text).expect("secrets");
            headers("e", at, b"body", Some(&keys))["webhook-signature"].clone()
        };
        let both =
            format!("{} {}", of(&new).to_str().expect("text"), of(&old).to_str().expect("text"));
        assert_eq!(of(&format!("{new}\n{old}")), both.as_str());
        assert!(headers("e", at, b"", None).get("webhook-signature").is_none());
    }
}
