//! The daemon's own log: the journal under systemd, else stderr for people.

use std::io::IsTerminal;
use std::os::linux::fs::MetadataExt;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// A layer that may be put beside the log: that of `spans`.
pub type Beside = Box<dyn Layer<Registry> + Send + Sync>;

/// Why the log could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `ATTESTD_LOG` cannot be read.
    #[error("ATTESTD_LOG is {0:?}, expected such as \"info\" or \"attestd=debug\": {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// The journal cannot be reached.
    #[error("the journal cannot be reached: {0}")]
    Journal(#[from] std::io::Error),
    /// There is a log already.
    #[error("there is a log already")]
    Twice,
}

/// Begins the log, once a process. `level` is what `ATTESTD_LOG` says; `info` without.
pub fn start(level: Option<&str>, beside: Option<Beside>) -> Result<(), LogError> {
    let filter = filter(level)?;
    let log: Beside = if is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref()) {
        tracing_journald::layer()?.with_syslog_identifier("attestd".to_owned()).boxed()
    } else {
        let no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = std::io::stderr().is_terminal() && !no;
        fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false).boxed()
    };
    let layers: Vec<Beside> = beside.into_iter().chain([log.with_filter(filter).boxed()]).collect();
    tracing_subscriber::registry().with(layers).try_init().map_err(|_| LogError::Twice)
}

fn filter(level: Option<&str>) -> Result<EnvFilter, LogError> {
    let text = level.filter(|text| !text.trim().is_empty()).unwrap_or("info");
    // What carries our own telemetry says nothing: each export would cause the next.
    // Spans of runs are no lines of it.
    let quiet = "attestd::spans=off,tokio_cron_scheduler=warn,h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,reqwest=warn,rustls=warn,opentelemetry=warn,opentelemetry_sdk=warn";
    let whole = format!("{quiet},{text}");
    EnvFilter::try_new(&whole).map_err(|error| LogError::Filter(text.to_owned(), error))
}

/// Whether stderr is the journal: `$JOURNAL_STREAM` names the device and inode of the stream that systemd made, and
/// stderr may have been sent elsewhere since (systemd.exec(5)).
fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    let same = |text: &str, number: u64| text.parse() == Ok(number);
    same(device, stderr.st_dev()) && same(inode, stderr.st_ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_info_or_what_is_asked() {
        for good in [None, Some(""), Some("debug"), Some("warn,attestd=trace")] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        let error = filter(Some("attestd=loud")).expect_err("no level").to_string();
        assert!(error.starts_with("ATTESTD_LOG is \"attestd=loud\", expected such as"), "{error}");
    }

    #[test]
    fn another_stream_than_the_journals_is_not_the_journal() {
        let stderr = std::fs::metadata("/proc/self/fd/2").expect("there");
        let (device, inode) = (stderr.st_dev(), stderr.st_ino());
        for (stream, expected) in [
            (None, false),
            (Some(format!("{device}:{inode}")), true),
            (Some(format!("{device}:{}", inode + 1)), false),
            (Some(format!("{device}")), false),
            (Some("a:b".to_owned()), false),
        ] {
            assert_eq!(is_journal(stream.as_deref()), expected, "{stream:?}");
        }
    }
}
