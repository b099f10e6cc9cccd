//! Solidity's compiler from the npm registry; what it made is cached by the source's hash.

use std::{fs, process::Command};

use alloy_primitives::{Bytes, hex, keccak256};

use crate::{Error, Result, cache::Cache, npm, process};

/// The pinned version.
pub const VERSION: &str = "0.8.30";

/// The OpenZeppelin contracts that a source may import.
const CONTRACTS: &str = "@openzeppelin/contracts@5.4.0";

/// The creation code of `contract` in `source`, which may import `@openzeppelin/contracts` 5.4.0.
///
/// # Errors
/// [`Error::Failed`] with the compiler's words where it does not compile.
pub fn compile(source: &str, contract: &str) -> Result<Bytes> {
    let hash = keccak256(format!("{VERSION} {CONTRACTS} {source}"));
    let key = format!("solidity-{}", hex::encode(&hash[..8]));
    let entry = Cache::open()?.entry(&key, |folder| {
        let modules = npm::install(&[&format!("solc@{VERSION}"), CONTRACTS])?;
        let file = folder.join("source.sol");
        fs::write(&file, source).map_err(Error::path("write", &file))?;
        let mut solc = Command::new("node");
        solc.current_dir(folder).arg(modules.join("solc/solc.js"));
        solc.args(["source.sol", "--bin", "--optimize", "--output-dir", "."]);
        solc.args(["--base-path", "."]).arg("--include-path").arg(&modules);
        process::run(&mut solc, npm::INSTALL_NODE)?;
        Ok(())
    })?;
    let file = entry.join(format!("source_sol_{contract}.bin"));
    let code = fs::read_to_string(&file).map_err(Error::path("read", &file))?;
    code.trim()
        .parse()
        .map_err(|error| Error::unexpected(format!("the code of {contract}"), &error))
}
