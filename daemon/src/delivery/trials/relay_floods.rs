//! Mail against relays that never come to an end, and against what is said in the clear beside their answer to STARTTLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::http::word;
use super::relay::{Says, answer, send, send_trusting};
use crate::delivery::mail::MailTls;

/// Bytes that a relay would say where it is let.
const FLOOD: usize = 100_000_000;
/// More than the machine keeps between two sockets, and far less than that.
const KEPT_MAX: usize = FLOOD / 4;

/// Lines after which another comes, as long as a relay may make them: lettre reads all of them again with each.
const LINES: [&[u8]; 3] = [
    b"220-relay, of which there is much to be told before anything can be said to it........\r\n",
    b"250-8BITMIME and many an extension more, of which nobody has heard before this day...\r\n",
    b"354-and before the mail may come there is one thing more that has to be considered...\r\n",
];

/// Takes mail as any relay does, and at one point says the same over and over (or, where that is nothing, falls silent); gives
/// how many bytes of that it could say.
async fn flood<S: AsyncRead + AsyncWrite + Unpin>(stream: S, at: &str, unit: &[u8]) -> usize {
    let mut stream = BufReader::new(stream);
    let mut command = "GREET".to_owned();
    loop {
        if command.starts_with(at) {
            if unit.is_empty() {
                return std::future::pending().await;
            }
            let much = unit.repeat(FLOOD / 100 / unit.len());
            let mut said = 0;
            while said < FLOOD && stream.write_all(&much).await.is_ok() {
                said += much.len();
            }
            return said;
        }
        let reply = match command.trim_end() {
            "GREET" => "220 relay ESMTP\r\n",
            "DATA" => "354 go on\r\n",
            _ => "250 fine\r\n",
        };
        let takes_mail = command.trim_end() == "DATA";
        command.clear();
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return 0;
        }
        while stream.read_line(&mut command).await.is_ok_and(|read| read > 0) {
            if !takes_mail || command.ends_with("\r\n.\r\n") {
                break;
            }
        }
        if takes_mail {
            command = "END".to_owned();
        }
    }
}

/// A relay with a certificate of its own, and where that is.
fn with_tls(directory: &Path) -> (TlsAcceptor, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let path = directory.join("relay.pem");
    std::fs::write(&path, made.cert.pem()).expect("written");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    (TlsAcceptor::from(Arc::new(config)), path)
}

/// A relay for one connection, within TLS where there is some.
async fn floods(
    tls: Option<TlsAcceptor>,
    at: &'static str,
    unit: &'static [u8],
) -> (u16, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let said = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        match tls {
            Some(tls) => flood(tls.accept(stream).await.expect("TLS"), at, unit).await,
            None => flood(stream, at, unit).await,
        }
    });
    (port, said)
}

#[tokio::test]
async fn a_relay_that_never_comes_to_an_end_is_heard_no_longer_than_it_may_speak() {
    let directory = tempfile::tempdir().expect("a directory");
    let (tls, ca) = with_tls(directory.path());
    let mut held = 0;
    for (at, unit, expected, why) in [
        ("GREET", &b"2"[..], "retry", "a banner of 100 MB, in one line"),
        ("GREET", LINES[0], "retry", "a banner that goes on line by line"),
        ("GREET", b"\0", "retry", "zeros"),
        ("GREET", b"\xff", "retry", "no text"),
        ("GREET", b"\n", "retry", "empty lines"),
        ("EHLO", LINES[1], "retry", "all that it can do, without end"),
        ("EHLO", b"250 x", "retry", "and in one line"),
        ("MAIL", LINES[1], "retry", "about the sender"),
        ("RCPT", b"550 x", "retry", "a no that never ends is none"),
        ("DATA", LINES[2], "retry", "before the mail"),
        ("END", b"250 x", "retry", "after the mail, a yes that never ends is none either"),
        ("END", LINES[1], "retry", "nor one that goes on line by line"),
        ("QUIT", b"221 x", "accepted", "it has the mail, whatever its goodbye is like"),
    ] {
        for within in [None, Some(&tls)] {
            let (port, said) = floods(within.cloned(), at, unit).await;
            let told = match within {
                None => send(port, MailTls::None).await,
                Some(_) => send_trusting(port, MailTls::Implicit, &ca).await,
            };
            assert_eq!(word(&told), (expected, None), "{at}, {why}: {told:?}");
            let said = said.await.expect("no panic");
            assert!((1..KEPT_MAX).contains(&said), "{at}, {why}: {said} bytes were taken");
            held += 1;
        }
    }
    println!("{held} relays that speak without end, and are not heard for long");
}

#[tokio::test]
async fn a_relay_that_has_the_mail_and_says_no_goodbye_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let mute = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        flood(stream, "QUIT", b"").await
    });
    assert_eq!(send(port, MailTls::None).await, Ok(()));
    mute.abort();
}

/// A relay that says this in the clear, in one breath, when it is asked for TLS, and within TLS answers as `says` maps it.
async fn begins_tls(
    tls: TlsAcceptor,
    clear: &'static str,
    says: Says,
) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let (took, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let (mut stream, mut line) = (BufReader::new(stream), String::new());
        for reply in ["220 relay\r\n", "250-relay\r\n250 STARTTLS\r\n"] {
            stream.write_all(reply.as_bytes()).await?;
            stream.read_line(&mut line).await?;
        }
        stream.write_all(clear.as_bytes()).await?;
        let mut stream = BufReader::new(tls.accept(stream.into_inner()).await?);
        answer(&mut stream, says, &took).await
    });
    (port, mails)
}

#[tokio::test]
async fn what_comes_in_the_clear_beside_the_answer_to_starttls_is_no_word_of_the_relay() {
    const INJECTED: &str =
        "220 go\r\n250 relay\r\n250 fine\r\n250 fine\r\n354 go on\r\n250 taken\r\n";
    const REFUSES: Says = &[("", "421 not today")];
    let directory = tempfile::tempdir().expect("a directory");
    let (tls, ca) = with_tls(directory.path());
    for (clear, says, trusted, expected, why) in [
        ("220 go\r\n", &[][..], true, "accepted", "a relay as it should be"),
        ("220 go\r\n", &[], false, "retry", "a relay that anyone could be"),
        ("454 no TLS today\r\n", &[], true, "retry", "it may have TLS later"),
        ("554 never\r\n", &[], true, "blocked", "it says that it has, and has not"),
        (INJECTED, REFUSES, true, "retry", "somebody between us took the mail, as they say"),
    ] {
        let (port, mut mails) = begins_tls(tls.clone(), clear, says).await;
        let told = match trusted {
            true => send_trusting(port, MailTls::Starttls, &ca).await,
            false => send(port, MailTls::Starttls).await,
        };
        assert_eq!(word(&told), (expected, None), "{why}: {told:?}");
        assert_eq!(mails.try_recv().is_ok(), expected == "accepted", "{why}");
    }
}
