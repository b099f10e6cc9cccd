//! The command line.

mod check;
mod remote;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Watches blockchains for payments and reports every change by a signed webhook.
#[derive(Debug, Parser)]
#[command(name = "confirmd", version, propagate_version = true)]
struct Cli {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        env = "CONFIRMD_CONFIG",
        default_value = "config/confirmd.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the networks and serve the API (what it does without a command).
    Run,
    /// Read the configuration and the registry, and say what is wrong with them.
    Check,
    /// Ask the running daemon whether it is ready; for container health checks.
    Health,
    /// Show the running daemon's networks, webhooks and problems.
    Status(remote::Access),
    /// Send the dead and waiting webhooks again, of one intent or of all.
    Retry {
        #[command(flatten)]
        access: remote::Access,
        /// The intent; all of the key's account without it.
        #[arg(long)]
        intent: Option<String>,
    },
}

/// Runs the command line; what goes wrong is said on standard error.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&cli.config),
        Command::Check => check::check(&cli.config),
        Command::Health => remote::health(&cli.config),
        Command::Status(access) => remote::status(&cli.config, &access),
        Command::Retry { access, intent } => remote::retry(&cli.config, &access, intent.as_deref()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("confirmd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What went wrong, in words for whoever typed the command.
type CliError = Box<dyn std::error::Error + Send + Sync>;
