//! Development tasks: `cargo xtask help` lists them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod tasks;

use tasks::{ci, demo, test};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all tests, against real nodes and a real PostgreSQL that this starts
    Test(test::Arguments),
    /// Show payments, from the intent to the verified webhook, on real nodes
    Demo(demo::Arguments),
    /// Run what CI runs: format, clippy, licences and bans, docs, tests
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Ci => ci::run(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
