//! Answers from a zone file on this machine, before it is published.

use std::path::Path;

use attestd_core::Reason;
use hickory_resolver::proto::rr::{Name, RData, RecordSet, RecordType};
use hickory_resolver::proto::serialize::txt::Parser;

use crate::look::dns::{self, Answer};
use crate::look::document;
use crate::look::tcp::ADDRESSES_MAX;

/// A zone file, read whole.
#[derive(Debug)]
pub(super) struct Zone {
    domain: String,
    sets: Vec<(String, RecordSet)>,
}

impl Zone {
    /// Reads the file at `path`, called `shown`, as the zone of `domain`.
    pub(super) fn read(path: &Path, shown: &str, domain: &str) -> Result<Zone, Reason> {
        let bytes = document::read(path, shown, ZONE_MAX)?;
        let text = document::text(&bytes, shown)?;
        let refuse =
            |why: &str| Reason::new("bad_zone", format!("reading {shown} as a zone file: {why}"));
        // It would make the parser read other files.
        if text.to_ascii_uppercase().contains("$INCLUDE") {
            return Err(refuse("$INCLUDE is not followed"));
        }
        let origin =
            Name::from_ascii(format!("{domain}.")).map_err(|_| refuse("no such domain"))?;
        let parsed = Parser::new(text, None, Some(origin)).parse();
        let (_, sets) = parsed.map_err(|error| {
            let why: String = error.to_string().chars().take(WHY_MAX).collect();
            refuse(&why)
        })?;
        let name = |set: &RecordSet| set.name().to_ascii().to_ascii_lowercase();
        let sets: Vec<(String, RecordSet)> = sets
            .into_values()
            .map(|set| (name(&set).trim_end_matches('.').to_owned(), set))
            .collect();
        match sets.iter().any(|(name, _)| name == domain) {
            true => Ok(Zone { domain: domain.to_owned(), sets }),
            false => Err(refuse(&format!("nothing in it is of {domain}"))),
        }
    }

    /// The texts at `name` that begin with `v=` and `version`.
    pub(super) fn texts(&self, name: &str, version: &str) -> Answer {
        let begin = format!("v={}", version.to_ascii_lowercase());
        self.answer(name, RecordType::TXT, dns::TEXTS_MAX, |data| dns::text_of(data, &begin))
    }

    /// The mail servers of `name`.
    pub(super) fn mail_servers(&self, name: &str) -> Answer {
        self.answer(name, RecordType::MX, ADDRESSES_MAX, dns::mail_server_of)
    }

    fn answer(
        &self,
        name: &str,
        kind: RecordType,
        max: usize,
        wanted: impl Fn(&RData) -> Option<String>,
    ) -> Answer {
        let unseen = |code: &str, why: String| Answer::Unseen(Reason::new(code, why));
        let within = name == self.domain || name.ends_with(&format!(".{}", self.domain));
        if !within {
            let why = format!("{name} is not in the zone file of {}", self.domain);
            return unseen("outside_zone", why);
        }
        let here = || self.sets.iter().filter(|(at, _)| at == name);
        let wild = self.sets.iter().any(|(at, _)| at.starts_with("*."));
        if here().any(|(_, set)| set.record_type() == RecordType::CNAME)
            || (wild && here().next().is_none())
        {
            let why =
                format!("{name} is an alias or a wildcard in the zone file, which is not followed");
            return unseen("zone_alias", why);
        }
        let of_kind = here().filter(|(_, set)| set.record_type() == kind);
        let all: Vec<&RData> = of_kind
            .flat_map(|(_, set)| set.records_without_rrsigs())
            .map(|record| &record.data)
            .collect();
        if all.len() > max {
            return unseen("limit_hit", format!("{name} has {} records of {kind}", all.len()));
        }
        let mut records: Vec<String> = all.into_iter().filter_map(wanted).collect();
        records.sort();
        match (records.is_empty(), here().next().is_some()) {
            (false, _) => Answer::Records(records),
            (true, true) => Answer::NoRecords,
            (true, false) => Answer::NoName,
        }
    }
}

/// A zone file, in bytes: a firm of a thousand hosts has 100 KiB.
const ZONE_MAX: u64 = 1024 * 1024;
/// How much of an error is shown, in characters.
const WHY_MAX: usize = 200;
