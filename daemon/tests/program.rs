//! The program itself, as cargo built it: that it starts. Its being here has cargo build it for the suites in `tests/`,
//! which run it.

use std::process::Command;

#[test]
fn the_program_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_attestd")).arg("--version").output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let expected = format!("attestd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
