//! surfpool is compiled, once, from the package in `xtask/surfpool`: a library and a command line.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use alloy_primitives::{Keccak256, hex};

use crate::{
    Error, Result, apt,
    cache::Cache,
    process::{self, cargo},
    progress,
};

/// The pinned version: that of `surfpool-core`.
pub const VERSION: &str = "1.6.1";

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/surfpool");
const FILES: &[&str] = &["Cargo.toml", "Cargo.lock", "src/main.rs"];
const PROGRAM: &str = "surfpool";
const INSTALL_CARGO: &str = "cargo comes with Rust";
const PACKAGES: &[&str] = &["gcc", "libc6-dev", "libssl-dev", "make", "pkg-config"];
/// What our caller's cargo is told to build, and how, is not meant for this package.
const NOT_INHERITED: &[&str] =
    &["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"];

/// The path of the node, compiled on first use.
///
/// # Errors
/// [`Error::Missing`] where a C compiler, make or OpenSSL is not there and we may not install it;
/// [`Error::Failed`] with the end of what the compiler said.
pub fn binary() -> Result<PathBuf> {
    let surfpool = Cache::open()?.entry(&key()?, build)?.join(PROGRAM);
    // The cache may have outlived the libraries that it was linked with.
    if version_of(&surfpool).is_err() {
        apt::install("a library of surfpool", PACKAGES)?;
        version_of(&surfpool)?;
    }
    Ok(surfpool)
}

fn version_of(surfpool: &Path) -> Result<String> {
    process::run(Command::new(surfpool).arg("--version"), "remove it from the cache and try again")
}

/// Another one wherever a file of the package changes.
fn key() -> Result<String> {
    let mut digest = Keccak256::new();
    for file in FILES {
        let path = Path::new(PACKAGE).join(file);
        digest.update(fs::read(&path).map_err(Error::path("read", &path))?);
    }
    Ok(format!("surfpool-{VERSION}-{}", hex::encode(&digest.finalize()[..4])))
}

fn build(folder: &Path) -> Result<()> {
    progress::say(
        "surfpool is compiled once: usually 4 to 6 minutes on two cores, longer on a busy machine",
    );
    if !has_tools() {
        apt::install("what surfpool is compiled with", PACKAGES)?;
    }
    let build = folder.join("build");
    copy_package(&build)?;
    compile(&build)?;
    let built = build.join("target/release").join(PROGRAM);
    fs::rename(&built, folder.join(PROGRAM)).map_err(Error::path("move", &built))?;
    fs::remove_dir_all(&build).map_err(Error::path("remove", &build))
}

fn has_tools() -> bool {
    let mut openssl = Command::new("pkg-config");
    let has_openssl = process::run(openssl.args(["--exists", "openssl"]), "").is_ok();
    has_openssl && ["cc", "make"].iter().all(|name| process::find_in_path(name).is_some())
}

/// Outside the checkout, so that no configuration or workspace around it is seen.
fn copy_package(to: &Path) -> Result<()> {
    fs::create_dir_all(to.join("src")).map_err(Error::path("create", to))?;
    for file in FILES {
        let from = Path::new(PACKAGE).join(file);
        fs::copy(&from, to.join(file)).map_err(Error::path("copy", &from))?;
    }
    Ok(())
}

fn compile(package: &Path) -> Result<()> {
    let all = packages(package)?;
    let mut build = cargo_in(package);
    build.args(["build", "--release", "--locked", "--target-dir", "target"]);
    let mut percent = progress::Percent::of("compiling surfpool");
    let mut done = 0;
    process::follow(&mut build, INSTALL_CARGO, |line| {
        if line.trim_start().starts_with("Compiling ") {
            done += 1;
            percent.reach(done, all);
        }
    })
}

/// How many packages there are to compile.
fn packages(package: &Path) -> Result<u64> {
    let mut tree = cargo_in(package);
    tree.args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none"]);
    let tree = process::run(&mut tree, INSTALL_CARGO)?;
    // One that is named again is marked with a star.
    let packages: HashSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    Ok(packages.len() as u64)
}

fn cargo_in(package: &Path) -> Command {
    let mut cargo = cargo();
    cargo.current_dir(package).env("CARGO_TERM_COLOR", "never");
    // The system's OpenSSL, which is there: to compile it takes as long as all the rest.
    cargo.env("OPENSSL_NO_VENDOR", "1");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if NOT_INHERITED.iter().any(|start| text.starts_with(start)) {
            cargo.env_remove(&name);
        }
    }
    cargo
}
