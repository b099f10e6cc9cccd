//! No container engine runs where the tests do, so what the image is made of is checked by name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The paths that the Dockerfile copies from the checkout, not from another stage.
fn copied() -> Vec<String> {
    let dockerfile = read("Dockerfile").replace("\\\n", " ");
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    copies
        .filter(|copy| !copy.contains("--from="))
        .flat_map(|copy| {
            let mut words: Vec<_> = copy.split_whitespace().map(str::to_owned).collect();
            words.retain(|word| !word.starts_with("--"));
            words.pop().unwrap();
            words
        })
        .collect()
}

#[test]
fn every_path_that_the_image_copies_is_in_the_checkout() {
    let copied = copied();
    assert!(copied.iter().any(|path| path == "src"), "{copied:?}");
    let ignored = read(".dockerignore");
    for path in copied {
        assert!(root().join(&path).exists(), "the Dockerfile copies {path}, which is not there");
        assert!(!ignored.lines().any(|line| line == path), "{path} is hidden by .dockerignore");
    }
}

#[test]
fn every_package_that_cargo_looks_for_is_copied_into_the_image() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let copied = copied();
    for member in members {
        let member = Path::new(member.as_str().unwrap());
        assert!(copied.iter().any(|path| member.starts_with(path)), "{} is not", member.display());
    }
}

/// A target that the manifest names must be there, also where only another one is built.
#[test]
fn every_benchmark_that_the_manifest_names_is_copied_into_the_image() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    assert!(!manifest["bench"].as_array().unwrap().is_empty());
    assert!(copied().iter().any(|path| path == "benches"));
}

#[test]
fn every_file_that_compose_mounts_is_in_the_checkout() {
    let compose = read("compose.yaml");
    let mounts = compose.lines().filter_map(|line| line.trim().strip_prefix("- ./"));
    let files: Vec<_> = mounts.filter_map(|mount| mount.split(':').next()).collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(root().join(file).is_file(), "compose.yaml mounts {file}, which is not there");
    }
}
