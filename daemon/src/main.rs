//! The program `attestd`.

fn main() -> std::process::ExitCode {
    attestd::cli::main()
}
