//! bitcoind is compiled, once, from the sources that a crate carries: no registry that we may use
//! has it as a program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    Error, Result, apt,
    cache::Cache,
    process::{self, cargo},
    progress,
};

/// The pinned version: what it says of itself.
pub const VERSION: &str = "30.99";

const CRATE: &str = "libbitcoinkernel-sys";
const CRATE_VERSION: &str = "0.2.0";
const PACKAGES: &[&str] =
    &["cmake", "g++", "ninja-build", "libboost-dev", "libevent-dev", "libzmq3-dev", "pkg-config"];
/// A header that the crate leaves out.
const MISSING_HEADERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/bitcoind");
/// With ZMQ, and without what no test uses. `-O1` compiles faster and is quick enough.
const OPTIONS: &[&str] = &[
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
    "-DBUILD_TESTS=OFF",
    "-DBUILD_BENCH=OFF",
    "-DENABLE_IPC=OFF",
    "-DENABLE_EXTERNAL_SIGNER=OFF",
    "-DBUILD_BITCOIN_BIN=OFF",
    "-DBUILD_TX=OFF",
    "-DBUILD_UTIL=OFF",
    "-DWITH_CCACHE=OFF",
    "-DINSTALL_MAN=OFF",
    "-DENABLE_WALLET=OFF",
    "-DWITH_ZMQ=ON",
];
const PROGRAMS: &[&str] = &["bitcoind", "bitcoin-cli"];

/// The path of bitcoind, compiled on first use; `bitcoin-cli` lies beside it.
///
/// # Errors
/// [`Error::Missing`] where the compiler or a library is not there and we may not install it;
/// [`Error::Failed`] with the end of what the compiler said.
pub fn binary() -> Result<PathBuf> {
    let entry = Cache::open()?.entry(&format!("bitcoind-{VERSION}"), build)?;
    let bitcoind = entry.join("bitcoind");
    // The cache may have outlived the libraries that it was linked with.
    if version_of(&bitcoind).is_err() {
        apt::install("a library of bitcoind", PACKAGES)?;
        version_of(&bitcoind)?;
    }
    Ok(bitcoind)
}

fn version_of(bitcoind: &Path) -> Result<String> {
    process::run(Command::new(bitcoind).arg("-version"), "remove it from the cache and try again")
}

fn build(folder: &Path) -> Result<()> {
    progress::say(
        "bitcoind is compiled once: usually 4 to 6 minutes on two cores, longer on a busy machine",
    );
    let sources = sources(&folder.join("crate"))?;
    let build = folder.join("build");
    if configure(&sources, &build).is_err() {
        apt::install("what bitcoind is compiled with", PACKAGES)?;
        // What it did not find it remembers as absent.
        if build.exists() {
            fs::remove_dir_all(&build).map_err(Error::path("remove", &build))?;
        }
        configure(&sources, &build)?;
    }
    compile(&build)?;
    for program in PROGRAMS {
        let built = build.join("bin").join(program);
        fs::rename(&built, folder.join(program)).map_err(Error::path("move", &built))?;
    }
    fs::remove_dir_all(&build).map_err(Error::path("remove", &build))
}

/// The folder of the sources, fetched as a dependency of a package that is nothing else.
fn sources(package: &Path) -> Result<PathBuf> {
    let manifest = package.join("Cargo.toml");
    let library = package.join("src/lib.rs");
    fs::create_dir_all(package.join("src")).map_err(Error::path("create", package))?;
    fs::write(&library, "").map_err(Error::path("write", &library))?;
    let text = format!(
        "[package]\nname = \"bitcoind-sources\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{CRATE} = \"={CRATE_VERSION}\"\n"
    );
    fs::write(&manifest, text).map_err(Error::path("write", &manifest))?;
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(&manifest);
    let answer = process::run(&mut metadata, "cargo comes with Rust")?;
    let answer: Value =
        serde_json::from_str(&answer).map_err(|error| Error::unexpected("metadata", &error))?;
    let packages = answer["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages
        .iter()
        .find(|package| package["name"] == CRATE)
        .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .map(|folder| folder.join("bitcoin"))
        .ok_or_else(|| Error::unexpected("metadata", &format!("without {CRATE}")))
}

fn configure(sources: &Path, build: &Path) -> Result<()> {
    let mut cmake = Command::new("cmake");
    cmake.arg("-S").arg(sources).arg("-B").arg(build).args(["-G", "Ninja"]).args(OPTIONS);
    cmake.arg(format!("-DCMAKE_CXX_FLAGS=-I{MISSING_HEADERS}"));
    process::run(&mut cmake, "install CMake").map(drop)
}

fn compile(build: &Path) -> Result<()> {
    let mut ninja = Command::new("ninja");
    ninja.arg("-C").arg(build).args(PROGRAMS);
    let mut percent = progress::Percent::of("compiling bitcoind");
    process::follow(&mut ninja, "install ninja", |line| {
        if let Some((done, all)) = steps(line) {
            percent.reach(done, all);
        }
    })
}

/// `[3/10] Building …`: 3 of 10.
fn steps(line: &str) -> Option<(u64, u64)> {
    let (steps, _) = line.strip_prefix('[')?.split_once(']')?;
    let (done, all) = steps.split_once('/')?;
    Some((done.trim().parse().ok()?, all.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn the_compilers_progress_is_read_and_its_warnings_are_not() {
        assert_eq!(steps("[3/300] Building CXX object src/a.cpp.o"), Some((3, 300)));
        assert_eq!(steps("src/a.cpp:3:1: warning: unused [-Wunused]"), None);
        assert_eq!(steps("[the end]"), None);
    }
}
