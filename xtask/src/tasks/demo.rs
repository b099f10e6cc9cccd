//! `cargo xtask demo`: payments on real nodes, from the intent to the verified webhook, and what
//! takes them back.

use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Instant,
};

use clap::ValueEnum;
use serde_json::Value;
use xtask::{Error, Result, anvil, bitcoind, erc20, process::cargo, progress, receiver, surfpool};

mod api;
mod bitcoin;
mod evm;
mod solana;
mod stage;
mod story;

use stage::Stage;
use story::Story;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The chain that is paid on
    #[arg(long, value_enum, default_value = "evm")]
    chain: Chain,
    /// All chains, side by side under one daemon
    #[arg(long, conflicts_with = "chain")]
    all: bool,
    /// End when the story is told, with 0 if every webhook came and was verified, else with 1
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Chain {
    Evm,
    Bitcoin,
    Solana,
}

impl Chain {
    /// Gets ready what its story needs.
    fn install(self) -> Result<()> {
        match self {
            Self::Evm => anvil::binary().and_then(|_| erc20::install()),
            Self::Bitcoin => bitcoind::binary().map(drop),
            Self::Solana => surfpool::binary().map(drop),
        }
    }

    async fn start(self) -> Result<Box<dyn Story>> {
        Ok(match self {
            Self::Evm => Box::new(evm::Evm::start().await?),
            Self::Bitcoin => Box::new(bitcoin::Bitcoin::start().await?),
            Self::Solana => Box::new(solana::Solana::start().await?),
        })
    }
}

/// Tells the stories; stays up after them unless they are to be told once.
///
/// # Errors
/// Where a story went another way, or what stands in the way of telling it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let began = Instant::now();
    let chains = match arguments.all {
        true => Chain::value_variants(),
        false => std::slice::from_ref(&arguments.chain),
    };
    chains.iter().try_for_each(|chain| chain.install())?;
    receiver::install()?;
    let confirmd = progress::during("building confirmd (some 3 minutes the first time)", build)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Error::io("start a runtime"))?;
    runtime.block_on(async {
        let mut stories = Vec::with_capacity(chains.len());
        for chain in chains {
            stories.push(chain.start().await?);
        }
        let mut stage = Stage::set(&confirmd, stories).await?;
        stage.tell().await?;
        println!("\nAll webhooks came and were verified; {:.1?} in all.", began.elapsed());
        if !arguments.once {
            stage.stay().await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Builds the daemon as a user would, and gives the binary.
fn build() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "--bin", "confirmd"]);
    let arguments = ["--message-format", "json-render-diagnostics"];
    let output = build.args(arguments).stderr(Stdio::inherit()).output();
    let output = output.map_err(Error::io("run cargo build"))?;
    if !output.status.success() {
        return Err(Error::Failed {
            command: "cargo build".into(),
            status: output.status.to_string(),
            output: "see above".into(),
        });
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Error::unexpected("cargo build", "named no binary"))
}
