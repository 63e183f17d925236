//! The assigned TLS cipher suites and groups: `checks/data/tls_*.csv`, read once.

use std::sync::OnceLock;

use crate::look::hello::Version;

/// The cipher suites, with source and date, in the order in which they are offered.
pub const SUITES_CSV: &str = include_str!("../../data/tls_cipher_suites.csv");
/// The key exchange groups, with source and date, in the order in which they are offered.
pub const GROUPS_CSV: &str = include_str!("../../data/tls_groups.csv");

/// One assigned value: its identifier, its name, and the third column of its table.
struct Row {
    id: u16,
    name: &'static str,
    versions: &'static str,
}

/// Every suite that `version` may use.
pub fn suites(version: Version) -> Vec<u16> {
    let usable = |row: &&Row| match version {
        Version::Tls13 => row.versions == "tls1.3",
        Version::Tls12 => row.versions != "tls1.3",
        Version::Tls11 | Version::Tls10 => matches!(row.versions, "ssl3.0" | "tls1.0"),
        Version::Ssl3 => row.versions == "ssl3.0",
    };
    suite_rows().iter().filter(usable).map(|row| row.id).collect()
}

/// Every group that `version` may use.
pub fn groups(version: Version) -> Vec<u16> {
    let wanted = if version == Version::Tls13 { "new" } else { "old" };
    let usable = |row: &&Row| row.versions == "both" || row.versions == wanted;
    group_rows().iter().filter(usable).map(|row| row.id).collect()
}

/// The name of a suite, or `unassigned`.
pub fn suite_name(id: u16) -> &'static str {
    name(suite_rows(), id)
}

/// The name of a group, or `unassigned`.
pub fn group_name(id: u16) -> &'static str {
    name(group_rows(), id)
}

fn name(rows: &'static [Row], id: u16) -> &'static str {
    rows.iter().find(|row| row.id == id).map_or("unassigned", |row| row.name)
}

fn suite_rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| rows(SUITES_CSV))
}

fn group_rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| rows(GROUPS_CSV))
}

/// Reads a table of ours; a test holds that every row is well formed.
fn rows(csv: &'static str) -> Vec<Row> {
    let row = |line: &'static str| {
        let mut cells = line.split(',');
        let id = u16::from_str_radix(cells.next()?, 16).ok()?;
        Some(Row { id, name: cells.next()?, versions: cells.next()? })
    };
    csv.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_of_the_tables_is_read_once() {
        for (csv, rows, words) in [
            (SUITES_CSV, suite_rows(), &["ssl3.0", "tls1.0", "tls1.2", "tls1.3"][..]),
            (GROUPS_CSV, group_rows(), &["old", "both", "new"][..]),
        ] {
            let lines = csv.lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(rows.len(), lines - 1, "all lines but the heading");
            assert!(rows.iter().all(|row| words.contains(&row.versions)));
            assert_eq!(rows.iter().map(|row| row.id).collect::<BTreeSet<_>>().len(), rows.len());
            assert!(csv.contains("# source: ") && csv.contains("# verified_on: "));
        }
    }

    #[test]
    fn the_signalling_values_are_offered_by_no_version() {
        for version in Version::ALL {
            let suites = suites(version);
            assert!(!suites.is_empty());
            assert!(!suites.contains(&0x00ff) && !suites.contains(&0x5600), "{version:?}");
        }
    }

    #[test]
    fn suites_are_offered_only_where_they_may_be_used() {
        for (id, version, usable) in [
            (0x1301, Version::Tls13, true),
            (0x1301, Version::Tls12, false),
            (0xc02f, Version::Tls12, true),
            (0xc02f, Version::Tls11, false),
            (0x003c, Version::Tls10, false),
            (0xc013, Version::Tls10, true),
            (0xc013, Version::Ssl3, false),
            (0x000a, Version::Ssl3, true),
        ] {
            assert_eq!(suites(version).contains(&id), usable, "{id:04x} in {version:?}");
        }
        assert_eq!(suite_name(0x1302), "TLS_AES_256_GCM_SHA384");
        assert_eq!(group_name(0x001d), "x25519");
        assert_eq!(group_name(0x4242), "unassigned");
    }
}
