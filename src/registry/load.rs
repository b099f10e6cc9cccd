//! From folders to the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Network, Registry, read};
use crate::config::{Problem, read_file};

pub(super) fn registry(folders: &[PathBuf]) -> Result<Registry, Vec<Problem>> {
    let mut networks = BTreeMap::new();
    let mut problems = Vec::new();
    for folder in folders {
        // Whole files are replaced, never single keys: what an operator's file says is all.
        networks.extend(read_folder(folder, &mut problems));
    }
    problems.extend(double_chains(&networks));
    if problems.is_empty() { Ok(Registry { networks }) } else { Err(problems) }
}

fn read_folder(folder: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, Arc<Network>> {
    let mut networks: BTreeMap<String, Arc<Network>> = BTreeMap::new();
    let files = match registry_files(folder) {
        Ok(files) => files,
        Err(problem) => {
            problems.push(problem);
            return networks;
        }
    };
    for file in files {
        match read_network(&file) {
            Err(found) => problems.extend(found),
            Ok(network) => match networks.get(&network.id) {
                Some(other) => problems.push(network.origin.problem_at(
                    "id",
                    format!("`{}` is the id of {} as well", network.id, other.origin.file),
                )),
                None => {
                    networks.insert(network.id.clone(), Arc::new(network));
                }
            },
        }
    }
    networks
}

/// The folder's `*.toml`, in the order of their names.
fn registry_files(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| Problem {
        file: folder.display().to_string(),
        line: None,
        key: String::new(),
        message: format!("expected a folder of registry files: {error}"),
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_network(path: &Path) -> Result<Network, Vec<Problem>> {
    let text = read_file(path).map_err(|problem| vec![problem])?;
    let environment = |name: &str| std::env::var(name).ok();
    crate::config::read_toml(&path.display().to_string(), &text, &environment, read::network)
}

/// Two ids for one chain would follow it twice and make its CAIP-2 id ambiguous.
fn double_chains(networks: &BTreeMap<String, Arc<Network>>) -> Vec<Problem> {
    let mut seen: BTreeMap<&str, &Network> = BTreeMap::new();
    let mut problems = Vec::new();
    for network in networks.values() {
        if let Some(other) = seen.insert(&network.caip2, network) {
            let message = format!("`{}` is the chain of `{}` as well", network.caip2, other.id);
            problems.push(network.origin.problem_at("caip2", message));
        }
    }
    problems
}
