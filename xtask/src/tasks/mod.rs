//! One file per task.

use std::{env, process::Command};

pub(crate) mod ci;
pub(crate) mod demo;
pub(crate) mod summary;
pub(crate) mod test;

/// A `cargo` command with the environment that a shell would give it.
///
/// `cargo run` tells us about our own package in variables that some build scripts look at: passed
/// on, they would make each `cargo xtask` rebuild what a plain `cargo` has built, and back again.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}
