//! Which commit a file's working copy stands at, by reading git's own small files; git is never run.

use std::path::{Path, PathBuf};

use super::document;

/// The commit that is checked out where `path` lies, where that is a working copy of git. Whether the file is as that
/// commit has it is not said.
pub fn commit(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let directory = path.ancestors().skip(1).take(DEPTH_MAX).find_map(git_directory)?;
    let head = small(&directory.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return id(&head) };
    // A reference is a path below the repository; nothing else is followed.
    if !name.starts_with("refs/") || name.split('/').any(|part| part == ".." || part.is_empty()) {
        return None;
    }
    let common = small(&directory.join("commondir"))
        .map_or_else(|| directory.clone(), |shared| directory.join(shared));
    let loose = small(&directory.join(name)).or_else(|| small(&common.join(name)));
    loose.as_deref().and_then(id).or_else(|| packed(&common, name))
}

/// Git's directory in `place`: itself, or where a working copy of its own says (`gitdir: PATH`).
fn git_directory(place: &Path) -> Option<PathBuf> {
    let git = place.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let elsewhere = small(&git)?;
    Some(place.join(elsewhere.strip_prefix("gitdir: ")?))
}

fn packed(directory: &Path, name: &str) -> Option<String> {
    let bytes = document::read(&directory.join("packed-refs"), "packed-refs", PACKED_MAX).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let found =
        text.lines().find_map(|line| line.split_once(' ').filter(|(_, known)| *known == name));
    found.and_then(|(commit, _)| id(commit))
}

/// A commit's id: SHA-1 or SHA-256 in hex.
fn id(text: &str) -> Option<String> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && [40, 64].contains(&text.len())).then(|| text.to_owned())
}

/// One line of a small file.
fn small(path: &Path) -> Option<String> {
    let bytes = document::read(path, "git", SMALL_MAX).ok()?;
    Some(String::from_utf8(bytes).ok()?.trim().to_owned())
}

/// Directories above a file that may hold `.git`.
const DEPTH_MAX: usize = 40;
/// `HEAD`, `commondir` or a reference, in bytes: a path and a few words.
const SMALL_MAX: u64 = 8 * 1024;
/// All packed references, in bytes: a hundred thousand.
const PACKED_MAX: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn write(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn the_commit_is_found_however_git_keeps_it() {
        for (files, expected, why) in [
            (&[(".git/HEAD", ONE)][..], Some(ONE), "no branch is checked out"),
            (
                &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", ONE)],
                Some(ONE),
                "a branch",
            ),
            (
                &[
                    (".git/HEAD", "ref: refs/heads/main\n"),
                    (
                        ".git/packed-refs",
                        "# pack-refs with: peeled\n2222222222222222222222222222222222222222 refs/heads/main\n",
                    ),
                ],
                Some(TWO),
                "a packed branch",
            ),
            (
                &[
                    (".git", "gitdir: repo/.git/worktrees/w\n"),
                    ("repo/.git/worktrees/w/HEAD", "ref: refs/heads/w"),
                    ("repo/.git/worktrees/w/commondir", "../.."),
                    ("repo/.git/refs/heads/w", TWO),
                ],
                Some(TWO),
                "a working copy of its own",
            ),
            (&[(".git/HEAD", "ref: refs/heads/new")], None, "nothing is committed"),
            (&[(".git/HEAD", "ref: ../../etc/passwd")], None, "no reference"),
            (&[(".git/HEAD", "ref: refs/../../secret"), ("secret", ONE)], None, "out of it"),
            (&[(".git/HEAD", "nonsense")], None, "no id"),
            (&[], None, "no working copy"),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            for (name, text) in files {
                write(directory.path().join(name), text);
            }
            let file = directory.path().join("policies/a.md");
            write(file.clone(), "x");
            assert_eq!(commit(&file).as_deref(), expected, "{why}");
        }
        assert_eq!(commit(Path::new("/nowhere/a.md")), None);
    }
}
