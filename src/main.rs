//! The `confirmd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    confirmd::cli::main()
}
