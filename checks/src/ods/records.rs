//! Where the records of organisations are read, one by one, by their codes.

use std::path::PathBuf;

use attestd_core::{Blob, Context, ProbeError, Reason};
use serde::{Deserialize, Serialize};

use super::Code;
use super::record::{self, Record};
use crate::look::http;
use crate::look::published::{self, Got, How, Place, Read};

/// Where records are.
pub(crate) struct Records {
    /// Where a record is, `{ODS}` for the code.
    at: String,
    directory: PathBuf,
    ca_bundle: Option<PathBuf>,
}

/// An organisation, as its record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Organisation {
    pub(crate) got: Got,
    pub(crate) record: Record,
}

impl Records {
    /// Records at a URL, or in files, as the setting `key` has it.
    pub(crate) fn of(key: &str, at: &str, context: &Context) -> Result<Records, String> {
        if !at.contains("{ODS}") {
            return Err(format!("`{key}` needs {{ODS}} where the code goes"));
        }
        Place::of(&at.replace("{ODS}", "X"), &context.directory)?;
        let (directory, ca_bundle) = (context.directory.clone(), context.ca_bundle.clone());
        Ok(Records { at: at.to_owned(), directory, ca_bundle })
    }

    /// Where the record of `code` is.
    pub(crate) fn place(&self, code: &Code) -> Place {
        let text = self.at.replace("{ODS}", &code.0);
        Place::of(&text, &self.directory).expect("it was a place with another code in it")
    }

    /// Reads the record of `code`, unless it is as it is `known`. Its bytes, where they are new, are added to `blobs`.
    pub(crate) async fn read(
        &self,
        code: &Code,
        known: &[Organisation],
        blobs: &mut Vec<Blob>,
    ) -> Result<Organisation, ProbeError> {
        let place = self.place(code);
        let before = known.iter().find(|organisation| organisation.record.code == *code);
        let ca_bundle = self.ca_bundle.as_deref();
        let how =
            How { ca_bundle, body_max: http::BODY_MAX, accept: "application/json", token: None };
        let read = place.read(how, before.map(|known| &known.got)).await;
        let (got, body) = match read.map_err(|error| not_registered(error, code))? {
            Read::Unchanged => {
                return Ok(before.expect("only what is known can be unchanged").clone());
            }
            Read::New(got, body) => (got, body),
        };
        let record = record::read(&body, &got.source, code)
            .map_err(|reason| published::kept(reason, &got.source, 200, &body))?;
        blobs.push(Blob::new(body));
        Ok(Organisation { got, record })
    }
}

fn not_registered(mut error: ProbeError, code: &Code) -> ProbeError {
    if error.reason.code == "not_found" {
        let message = format!("{}: {} is not registered under it", error.reason.message, code.0);
        let reason = Reason::new("not_registered", message);
        error.reason = reason
            .remedy("check the ODS code; what closed before April 2017 is not there any more");
    }
    error
}

/// The ORD interface, open and without a key (digital.nhs.uk/developer/api-catalogue/organisation-data-service-ord).
pub(crate) const ORD: &str = "https://directory.spineservices.nhs.uk/ORD/2-0-0/organisations/{ODS}";
