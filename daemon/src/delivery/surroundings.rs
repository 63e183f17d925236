//! What the settings of every destination share: where files are, the environment, and secrets named in a table.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attestd_core::{DestinationName, Settings};

use super::otlp_environment::Variables;
use super::routing::Watched;
use super::secret::Source;

/// What the configuration as a whole tells every destination.
pub struct Surroundings<'a> {
    /// Where relative paths begin: the directory of the configuration file.
    pub directory: &'a Path,
    /// A PEM file of trust anchors besides the system's.
    pub ca_bundle: Option<&'a Path>,
    /// The environment.
    pub variables: Variables<'a>,
    /// The checks there are.
    pub watched: &'a Watched,
    /// The destinations named so far: no two have one name, whatever they are.
    pub named: RefCell<BTreeSet<DestinationName>>,
}

/// What this destination is called; nothing else is called so.
pub(super) fn name(table: &Settings<'_>, around: &Surroundings<'_>) -> Option<DestinationName> {
    table.required_text("name", "what this destination is called, such as \"collector\"");
    let name = table.parsed::<DestinationName>("name")?;
    if name.as_str().starts_with("mail:") {
        table.error("name", "names that begin with `mail:` are those of people");
        return None;
    }
    if !around.named.borrow_mut().insert(name.clone()) {
        table.error("name", format!("two destinations are called {:?}", name.as_str()));
        return None;
    }
    Some(name)
}

/// A secret from the file at `file_key`, or from the credential that `credential_key` names.
pub(crate) fn secret(
    table: &Settings<'_>,
    file_key: &'static str,
    credential_key: &'static str,
    around: &Surroundings<'_>,
) -> Option<Source> {
    let path = file(table, file_key, around);
    let name = table.text(credential_key);
    if let (Some(_), Some(name)) = (&path, &name) {
        let message = format!("`{file_key}` and `{credential_key}` say the same thing: give one");
        table.error_at(name.span.clone(), message);
    }
    if let Some(name) = name {
        if !Source::is_credential_name(&name.value) {
            table.error_at(
                name.span,
                format!("`{credential_key}` is the name of a LoadCredential=, without a path"),
            );
            return None;
        }
        let directory = (around.variables)("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        if let Some(path) = directory.as_ref().map(|directory| directory.join(&name.value))
            && let Err(error) = std::fs::File::open(&path)
        {
            table.error_at(name.span, format!("{} cannot be read: {error}", path.display()));
        }
        return Some(Source::Credential { name: name.value, directory });
    }
    path.map(Source::File)
}

/// A file that is there. One that this user may not read is only warned of: the service may.
pub(super) fn file(
    table: &Settings<'_>,
    key: &'static str,
    around: &Surroundings<'_>,
) -> Option<PathBuf> {
    let text = table.text(key)?;
    let path = around.directory.join(&text.value);
    match std::fs::File::open(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            table.warn(key, format!("{} may not be read by this user", path.display()));
        }
        Err(error) => {
            table.error_at(text.span, format!("{} cannot be read: {error}", path.display()));
        }
    }
    Some(path)
}
