//! Debian packages, where we may install them.

use std::process::Command;

use crate::{Error, Result, process, progress};

/// Installs packages where we are root and apt is there; else says which to install.
///
/// # Errors
/// [`Error::Missing`] where we may not; [`Error::Failed`] where apt says no.
pub fn install(program: &str, packages: &[&str]) -> Result<()> {
    let missing = || Error::Missing {
        program: program.to_owned(),
        install: format!("as root, apt-get install {} (or your system's like)", packages.join(" ")),
    };
    if !nix::unistd::geteuid().is_root() || process::find_in_path("apt-get").is_none() {
        return Err(missing());
    }
    progress::during(&format!("installing {} with apt-get", packages.join(" ")), || {
        apt_get(&["update", "-qq"])?;
        apt_get(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
    })
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    process::run(&mut command, "apt-get belongs to Debian").map(drop)
}
