//! The unit, as systemd runs it: `tests/systemd/boot` boots a machine of its own with the release build.

use std::process::Command;
use std::time::Duration;

use crate::harness::files::repository;
use crate::harness::program::run;

/// The boot ends itself after three minutes.
const BOOT_MAX: Duration = Duration::from_secs(200);
/// What the checks inside the machine hold, a line each. Fewer means that some were left out.
const SENTENCES_MIN: usize = 60;

#[tokio::test]
async fn the_unit_keeps_its_promises_in_a_booted_machine() {
    let binary = std::env::var_os("ATTESTD_BINARY").expect("see tests/run");
    let mut command = Command::new(repository().join("tests/systemd/boot"));
    let ended = run(command.arg(binary).current_dir(repository()), BOOT_MAX).await;
    let lines = |begin: &str| ended.stdout.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(lines("NOT OK"), 0, "{}", ended.stdout);
    assert!(lines("ok ") >= SENTENCES_MIN, "{}", ended.stdout);
    println!("{} sentences hold", lines("ok "));
}
