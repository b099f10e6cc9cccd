//! `confirmd check`.

use std::path::Path;
use std::process::ExitCode;

use super::CliError;
use crate::config;

/// Prints what is wrong with the configuration, or what it amounts to.
pub(super) fn check(path: &Path) -> Result<ExitCode, CliError> {
    let report = config::check(path);
    print!("{report}");
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
