//! A mount namespace of a test's own, for tests that mount file systems: what they mounted is gone when their processes
//! are, however these end. Needs root.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const PLACE: &str = "ATTESTD_TEST_NAMESPACE";

/// Runs another test of this program in a namespace, and shows what it said; it must succeed.
pub fn run(test: &str) {
    assert!(nix::unistd::geteuid().is_root(), "this test mounts file systems: it must be root");
    // In memory where there is such a place: what these tests try is not this machine's disk.
    let memory = std::path::Path::new("/dev/shm");
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let place = place.expect("a directory");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command.arg(std::env::current_exe().expect("this test"));
    command.args(["--exact", test, "--nocapture", "--include-ignored"]);
    let said = command.env(PLACE, place.path()).stdin(Stdio::null()).output();
    let said = said.expect("unshare, of util-linux");
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    println!("{out}");
    assert!(said.status.success(), "{test}: {err}");
    assert!(out.contains("1 passed"), "there is no test {test}");
}

/// The directory for this test's files, where it runs in a namespace.
pub fn inside() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(OsString::into).filter(|place: &PathBuf| place.is_dir())
}

/// Runs a program, which must succeed.
pub fn command(program: &str, arguments: &[&str]) {
    let said = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{program} {arguments:?}: {error}");
}
