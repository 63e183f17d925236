//! Files: read whole within a limit, found by a glob, and, where they may not be read, the exact remedy.

use std::fmt::Write;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use attestd_core::Reason;

/// Reads a whole regular file of at most `max` bytes, blocking.
pub fn read_now(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe or a device could wait for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is over {max} bytes")));
    }
    Ok(bytes)
}

/// Reads a whole regular file of at most `max` bytes, off the runtime's threads.
pub async fn read(path: &Path, max: u64) -> Result<Vec<u8>, Reason> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        read_now(&owned, max).map_err(|error| reason(&owned, &error))
    });
    read.await.unwrap_or_else(|error| {
        Err(Reason::new("file_unreadable", format!("reading {}: {error}", path.display())))
    })
}

/// Why a file was not read, with the remedy where its permissions are in the way.
pub fn reason(path: &Path, error: &io::Error) -> Reason {
    let shown = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => denied(path),
        ErrorKind::NotFound => Reason::new("file_missing", format!("{shown} does not exist")),
        ErrorKind::InvalidInput => {
            Reason::new("not_a_file", format!("{shown} is not a regular file"))
        }
        ErrorKind::FileTooLarge => Reason::new("limit_hit", format!("reading {shown}: {error}")),
        _ => Reason::new("file_unreadable", format!("reading {shown}: {error}")),
    }
}

/// What a glob found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, in order, at most [`FILES_MAX`].
    pub files: Vec<PathBuf>,
    /// Why the search was not whole, if it was not.
    pub trouble: Option<Reason>,
}

/// Finds the files that match `pattern`, blocking.
pub fn find(pattern: &str) -> Found {
    let mut found = Found::default();
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths,
        Err(error) => {
            let message = format!("{pattern} is no pattern: {error}");
            found.trouble = Some(Reason::new("bad_pattern", message));
            return found;
        }
    };
    for path in paths {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(_) if found.files.len() == FILES_MAX => {
                let message = format!("{pattern} matches more than {FILES_MAX} files");
                found.trouble = Some(Reason::new("limit_hit", message));
                return found;
            }
            Ok(path) => found.files.push(path),
            Err(error) => found.trouble = Some(reason(error.path(), error.error())),
        }
    }
    // The search passes over a directory that it may not enter as if it were empty.
    if found.files.is_empty() && found.trouble.is_none() {
        if has_wildcard(pattern) {
            let directory = fixed_directory(pattern);
            found.trouble = std::fs::read_dir(&directory).err().map(|e| reason(&directory, &e));
        } else {
            let path = Path::new(pattern);
            found.trouble = std::fs::metadata(path).err().map(|error| reason(path, &error));
        }
    }
    found
}

/// Whether `text` is a pattern rather than one path.
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The directory in which a pattern's first wildcard stands: what to watch for new files.
pub fn fixed_directory(pattern: &str) -> PathBuf {
    let fixed: PathBuf =
        Path::new(pattern).components().take_while(|c| !is_wild(c.as_os_str())).collect();
    match has_wildcard(pattern) {
        true => fixed,
        false => fixed.parent().map_or_else(PathBuf::new, Path::to_owned),
    }
}

fn is_wild(component: &std::ffi::OsStr) -> bool {
    component.to_str().is_some_and(has_wildcard)
}

/// A file that may not be read: who may, and the lines that let the service in.
fn denied(path: &Path) -> Reason {
    if path.starts_with(CREDENTIALS) {
        return not_handed_over(path);
    }
    let blocker = blocker(path, LINKS_MAX);
    let shown = path.display();
    let who = blocker.as_ref().map(Blocker::who).unwrap_or_default();
    let remedy = blocker.map_or_else(|| credential(path), |blocker| blocker.remedy(path));
    Reason::new("permission_denied", format!("{shown} may not be read by the service{who}"))
        .remedy(remedy)
}

/// systemd closes the directory of credentials to a service that has none.
fn not_handed_over(path: &Path) -> Reason {
    let file = path.file_name().map_or_else(|| "NAME".into(), |n| n.to_string_lossy());
    Reason::new("permission_denied", format!("{} was not handed to the service", path.display()))
        .remedy(format!(
            "have systemd hand it over: put this in a drop-in (`systemctl edit attestd`), with the path of the \
             original, and restart attestd:\n[Service]\nLoadCredential={file}:/PATH"
        ))
}

/// What stands in the way: the file itself, or the innermost directory above it that may not be entered.
struct Blocker {
    path: PathBuf,
    is_directory: bool,
    mode: u32,
    uid: u32,
    gid: u32,
}

fn blocker(path: &Path, links_left: u32) -> Option<Blocker> {
    for place in path.ancestors() {
        let Ok(seen) = std::fs::symlink_metadata(place) else { continue };
        if seen.is_symlink() && links_left > 0 {
            let target = std::fs::read_link(place).ok()?;
            let whole = place.parent()?.join(target);
            return blocker(&whole, links_left - 1);
        }
        return Some(Blocker {
            path: place.to_owned(),
            is_directory: seen.is_dir(),
            mode: seen.mode(),
            uid: seen.uid(),
            gid: seen.gid(),
        });
    }
    None
}

impl Blocker {
    fn who(&self) -> String {
        format!(
            " ({}{} belongs to user {} and group {}, mode {:04o})",
            if self.is_directory { "the directory " } else { "" },
            self.path.display(),
            self.uid,
            group_name(self.gid),
            self.mode & 0o7777
        )
    }

    fn remedy(&self, path: &Path) -> String {
        let needed = if self.is_directory { 0o050 } else { 0o040 };
        // Joining root's group would give more than this file.
        if self.gid != 0 && self.mode & needed == needed {
            return format!(
                "put this in a drop-in (`systemctl edit attestd`), then restart attestd:\n\
                 [Service]\nSupplementaryGroups={}",
                group_name(self.gid)
            );
        }
        let access = if self.is_directory { "rx" } else { "r" };
        let mut remedy = format!(
            "let the group attestd in: setfacl -m g:attestd:{access} {}",
            quoted(&self.path)
        );
        // A whole directory is never handed over: there may be keys in it.
        if self.path != path || !self.is_directory {
            let _ = write!(remedy, "\nor {}", credential(path));
        }
        remedy
    }
}

fn credential(path: &Path) -> String {
    let file = path.file_name().map_or_else(|| "certificate".into(), |n| n.to_string_lossy());
    format!(
        "have systemd hand a copy over: put this in a drop-in (`systemctl edit attestd`), give \
         /run/credentials/attestd.service/{file} in `files`, and restart attestd whenever the file changes:\n\
         [Service]\nLoadCredential={file}:{}",
        path.display()
    )
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// The group's name as `/etc/group` has it; its number where that has none.
fn group_name(gid: u32) -> String {
    let groups = read_now(Path::new("/etc/group"), GROUPS_FILE_MAX).unwrap_or_default();
    let groups = String::from_utf8_lossy(&groups);
    let of_line = |line: &str| {
        let mut cells = line.split(':');
        let name = cells.next()?;
        (cells.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    };
    groups.lines().find_map(of_line).unwrap_or_else(|| gid.to_string())
}

/// How many files one pattern may name: each is a target with its own history.
pub const FILES_MAX: usize = 1000;
/// Where systemd puts the credentials of services (systemd.exec(5)).
const CREDENTIALS: &str = "/run/credentials";
/// How many symbolic links are followed to find what stands in the way (Linux follows 40).
const LINKS_MAX: u32 = 40;
/// The most of `/etc/group` that is read, in bytes.
const GROUPS_FILE_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("f");
        std::fs::write(&path, b"12345").expect("a file");
        assert_eq!(read_now(&path, 5).expect("five bytes"), b"12345");
        for (given, code) in [
            (path.clone(), "limit_hit"),
            (directory.path().to_owned(), "not_a_file"),
            (directory.path().join("none"), "file_missing"),
            (PathBuf::from("/dev/zero"), "not_a_file"),
        ] {
            let error = read_now(&given, 4).expect_err(code);
            assert_eq!(reason(&given, &error).code, code);
        }
    }

    #[test]
    fn a_pattern_names_files_in_order_and_says_when_there_are_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["b.pem", "a.pem", "c.txt"] {
            std::fs::write(at(name), b"x").expect("a file");
        }
        std::fs::create_dir(at("d.pem")).expect("a directory");
        let found = find(&at("*.pem"));
        assert_eq!(found.files, [PathBuf::from(at("a.pem")), at("b.pem").into()]);
        assert!(found.trouble.is_none());
        let none = find(&at("*.der"));
        assert!(none.files.is_empty() && none.trouble.is_none());
        assert_eq!(find(&at("gone/*.pem")).trouble.expect("a reason").code, "file_missing");
        assert_eq!(find(&at("gone.pem")).trouble.expect("a reason").code, "file_missing");
        assert_eq!(find("a[").trouble.expect("a reason").code, "bad_pattern");
    }

    #[test]
    fn what_is_watched_is_the_directory_before_the_first_wildcard() {
        for (pattern, directory) in [
            ("/etc/ssl/a.pem", "/etc/ssl"),
            ("/etc/letsencrypt/live/*/fullchain.pem", "/etc/letsencrypt/live"),
            ("/etc/ssl/*.pem", "/etc/ssl"),
        ] {
            assert_eq!(fixed_directory(pattern), PathBuf::from(directory), "{pattern}");
        }
    }

    #[test]
    fn the_remedy_lets_in_as_little_as_it_can() {
        let path = Path::new("/etc/tls/portal.pem");
        let blocker = |is_directory, mode, gid| Blocker {
            path: if is_directory { "/etc/tls".into() } else { path.to_owned() },
            is_directory,
            mode,
            uid: 0,
            gid,
        };
        for (blocker, holds, sentence) in [
            (blocker(false, 0o640, 999_999), "SupplementaryGroups=999999", "its group may read"),
            (blocker(false, 0o600, 999_999), "g:attestd:r '/etc/tls/portal.pem'", "no group may"),
            (blocker(false, 0o640, 0), "g:attestd:r '/etc/tls", "root's group is too much"),
            (blocker(true, 0o750, 999_999), "SupplementaryGroups=999999", "its group may enter"),
            (blocker(true, 0o700, 0), "g:attestd:rx '/etc/tls'", "the directory is closed"),
            (
                blocker(true, 0o700, 0),
                "LoadCredential=portal.pem:/etc/tls/portal.pem",
                "or systemd hands a copy over",
            ),
        ] {
            let remedy = blocker.remedy(path);
            assert!(remedy.contains(holds), "{sentence}: {remedy}");
        }
        let remedy = blocker(true, 0o700, 0).remedy(Path::new("/etc/tls"));
        assert_eq!(remedy, "let the group attestd in: setfacl -m g:attestd:rx '/etc/tls'");
    }

    #[test]
    fn what_stands_in_the_way_is_found_through_links() {
        let directory = tempfile::tempdir().expect("a directory");
        let real = directory.path().join("real.pem");
        std::fs::write(&real, b"x").expect("a file");
        let link = directory.path().join("link.pem");
        std::os::unix::fs::symlink("real.pem", &link).expect("a link");
        let found = blocker(&link, LINKS_MAX).expect("what stands in the way");
        assert_eq!(found.path, real);
        let reason = denied(&link);
        assert_eq!(reason.code, "permission_denied");
        assert!(reason.message.contains("mode 0644"), "{}", reason.message);
    }

    #[test]
    fn a_credential_that_was_not_handed_over_is_not_a_matter_of_permissions() {
        let reason = denied(Path::new("/run/credentials/attestd.service/portal.pem"));
        assert!(reason.message.ends_with("portal.pem was not handed to the service"));
        assert!(reason.remedy.is_some_and(|r| r.ends_with("LoadCredential=portal.pem:/PATH")));
    }

    #[test]
    fn a_group_is_named_where_it_has_a_name() {
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(4_000_000_000), "4000000000");
    }
}
