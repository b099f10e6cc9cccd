//! Packages of the npm registry, each in a cache entry of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Result, cache::Cache, process};

/// What to say where Node.js or npm is missing.
pub const INSTALL_NODE: &str =
    "install Node.js 18 or newer with npm (Debian: apt-get install nodejs npm)";

/// Installs packages (`name@version`) together, without running their scripts, and gives the
/// `node_modules` folder that holds them.
///
/// # Errors
/// [`Error::Missing`] without npm; [`Error::Failed`] where npm says no.
pub fn install(packages: &[&str]) -> Result<PathBuf> {
    let names: Vec<_> = packages.iter().map(|name| name.trim_start_matches('@')).collect();
    let key = format!("npm-{}", names.join("+").replace(['/', '@'], "-"));
    let entry = Cache::open()?.entry(&key, |folder| fetch(packages, folder))?;
    Ok(entry.join("node_modules"))
}

fn fetch(packages: &[&str], folder: &Path) -> Result<()> {
    // A manifest of its own keeps npm from looking for one further up.
    let manifest = folder.join("package.json");
    fs::write(&manifest, r#"{"private":true}"#).map_err(Error::path("write", &manifest))?;
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"])
        .args(packages);
    process::run(&mut npm, INSTALL_NODE)?;
    Ok(())
}
