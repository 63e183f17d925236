//! Reads the text of a security.txt (RFC 9116 2 and 4), signed or not, within limits.

use attestd_core::Reason;
use serde::{Deserialize, Serialize};

/// What the file says, as it stands there; only the judge makes sense of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    /// Whether it stands in an OpenPGP cleartext signature, which is not verified here.
    pub(super) signed: bool,
    /// The values of every `Contact`.
    pub(super) contact: Vec<String>,
    /// The values of every `Expires`.
    pub(super) expires: Vec<String>,
    /// The values of every `Canonical`.
    pub(super) canonical: Vec<String>,
    /// Lines that are no field, comment or empty line.
    pub(super) strange_lines: usize,
}

/// Reads the bytes of what `shown` gave.
pub(super) fn read(bytes: &[u8], shown: &str) -> Result<Text, Reason> {
    let refuse = |code: &str, what: &str| Err(Reason::new(code, format!("{shown}: {what}")));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse("not_utf8", "it is not UTF-8");
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return refuse("empty", "the answer is empty");
    }
    let lines: Vec<&str> = text.lines().take(LINES_MAX + 1).collect();
    if lines.len() > LINES_MAX {
        return refuse("limit_lines", &format!("it has over {LINES_MAX} lines"));
    }
    let signed = lines.iter().any(|line| line.trim_end() == SIGNED);
    let inside = match signed {
        false => lines,
        true => match unwrapped(&lines) {
            Some(inside) => inside,
            None => {
                return refuse(
                    "signature_malformed",
                    "its OpenPGP signature is not whole, or not around all of it",
                );
            }
        },
    };
    let mut read = Text { signed, ..Text::default() };
    let mut fields = 0_usize;
    for line in
        inside.into_iter().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let Some((name, value)) = field(line) else {
            read.strange_lines += 1;
            continue;
        };
        fields += usize::from(KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)));
        let kept = match name.to_ascii_lowercase().as_str() {
            "contact" => &mut read.contact,
            "expires" => &mut read.expires,
            "canonical" => &mut read.canonical,
            _ => continue,
        };
        if value.len() > VALUE_MAX {
            return refuse("limit_value", &format!("a {name} of it is over {VALUE_MAX} bytes"));
        }
        if kept.len() == VALUES_MAX {
            return refuse("limit_fields", &format!("it has over {VALUES_MAX} of {name}"));
        }
        kept.push(value.to_owned());
    }
    // A login page or a home page is an answer, and no security.txt.
    match fields {
        0 => refuse(
            "not_security_txt",
            "what answers is no security.txt: no field of RFC 9116 stands in it",
        ),
        _ => Ok(read),
    }
}

/// `Name: value`, the name being of letters and `-` alone.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain.then(|| (name, value.trim()))
}

/// The text within a cleartext signature (RFC 4880 7) that stands around all of the file, its dashes unescaped.
fn unwrapped<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let at = |mark: &str| lines.iter().position(|line| line.trim_end() == mark);
    let (begin, signature, end) = (at(SIGNED)?, at(SIGNATURE)?, at(END)?);
    let only = |marks: &[&str]| {
        lines.iter().filter(|line| marks.contains(&line.trim_end())).count() == marks.len()
    };
    let blank = |lines: &[&str]| lines.iter().all(|line| line.trim().is_empty());
    let whole = begin < signature && signature < end && only(&[SIGNED, SIGNATURE, END]);
    if !whole || !blank(&lines[..begin]) || !blank(&lines[end + 1..]) {
        return None;
    }
    let headers = lines[begin + 1..signature].iter().position(|line| line.trim().is_empty())?;
    let armour = &lines[begin + 1..begin + 1 + headers];
    if !armour.iter().all(|line| line.starts_with("Hash:")) {
        return None;
    }
    let inside = &lines[begin + 2 + headers..signature];
    Some(inside.iter().map(|line| line.strip_prefix("- ").unwrap_or(line)).collect())
}

/// The fields that RFC 9116 2.5 and the registry of IANA know.
const KNOWN: [&str; 9] = [
    "Acknowledgments",
    "Canonical",
    "Contact",
    "CSAF",
    "Encryption",
    "Expires",
    "Hiring",
    "Policy",
    "Preferred-Languages",
];
const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";
/// Lines of a file: the longest seen, with comments in two languages and a signature, have under 100.
const LINES_MAX: usize = 1_000;
/// One value, in bytes: what common servers take as a URL.
const VALUE_MAX: usize = 2_048;
/// Values of one field, so that all of them fit a record: RFC 9116 gives no limit.
const VALUES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> String {
        read(text.as_bytes(), "it").expect_err(text).code
    }

    #[test]
    fn fields_are_found_whatever_their_case_and_line_ends() {
        let text = "# ours\r\nCONTACT: mailto:a@example.org\r\nexpires:2027-01-01T00:00:00Z\r\n\r\nX-Own: 1\r\nwhat is this\r\n";
        let read = read(text.as_bytes(), "it").expect("a file");
        assert_eq!(read.contact, ["mailto:a@example.org"]);
        assert_eq!(read.expires, ["2027-01-01T00:00:00Z"]);
        assert_eq!((read.signed, read.strange_lines), (false, 1));
    }

    #[test]
    fn a_signed_file_is_read_and_its_dashes_unescaped() {
        let text = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n- -- \nContact: tel:+44-1\n- Expires: 2027-01-01T00:00:00Z\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
        let read = read(text.as_bytes(), "it").expect("a file");
        assert_eq!(
            (read.signed, read.contact, read.strange_lines),
            (true, vec!["tel:+44-1".to_owned()], 1)
        );
        assert_eq!(read.expires.len(), 1);
    }

    #[test]
    fn what_stands_outside_a_signature_is_not_believed() {
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nContact: tel:+44-1\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
        assert!(read(signed.as_bytes(), "it").is_ok());
        for spoilt in [
            format!("Expires: 2027-01-01T00:00:00Z\n{signed}"),
            format!("{signed}Expires: 2027-01-01T00:00:00Z\n"),
            signed.replace("-----END PGP SIGNATURE-----\n", ""),
            signed.replace("-----BEGIN PGP SIGNATURE-----\n", ""),
            signed.replace("Hash: SHA512\n\n", ""),
            signed.replace("Hash: SHA512", "Contact: tel:+1"),
            format!("{signed}{signed}"),
        ] {
            assert_eq!(code(&spoilt), "signature_malformed", "{spoilt}");
        }
    }

    #[test]
    fn what_is_no_security_txt_is_refused() {
        assert_eq!(code(""), "empty");
        assert_eq!(code("\u{feff} \n"), "empty");
        assert_eq!(code("<!doctype html>\n<p>Contact us: here</p>\n"), "not_security_txt");
        assert_eq!(code("X-Own: 1\n# Contact: a"), "not_security_txt");
        assert_eq!(read(b"Contact: \xff", "it").expect_err("foreign").code, "not_utf8");
        assert_eq!(code(&"#\n".repeat(LINES_MAX + 1)), "limit_lines");
        assert_eq!(code(&"Contact: tel:1\n".repeat(VALUES_MAX + 1)), "limit_fields");
        assert_eq!(code(&format!("Contact: {}", "x".repeat(VALUE_MAX + 1))), "limit_value");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(-----BEGIN PGP SIGN(ED MESSAGE|ATURE)-----|-----END PGP SIGNATURE-----|Contact: x|Hash: a|- |\n|\\PC){0,60}") {
            let _ = read(text.as_bytes(), "it");
        }
    }
}
