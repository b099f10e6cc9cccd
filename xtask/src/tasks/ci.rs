//! `cargo xtask ci`: what must hold before a change lands, each step with its time.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use xtask::{
    Error, Result,
    cache::Cache,
    process::{self, cargo},
};

use super::test;

const DENY_VERSION: &str = "0.20.2";

/// Runs the steps, the quick ones first, and stops at the first that fails. The last line is the
/// tests' summary.
///
/// # Errors
/// The step that failed.
pub(crate) fn run() -> Result<ExitCode> {
    step("format", || cargo_step(&["fmt", "--all", "--check"], &[]))?;
    step("bans, licences and sources of dependencies", || {
        let mut deny = Command::new(cargo_deny()?);
        succeed(deny.args(["--locked", "check", "bans", "licenses", "sources"]))
    })?;
    step("clippy", || {
        let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        cargo_step(&clippy, &[])
    })?;
    step("documentation", || {
        let doc = ["doc", "--workspace", "--no-deps", "--locked"];
        cargo_step(&doc, &[("RUSTDOCFLAGS", "-D warnings")])
    })?;
    announce("tests");
    test::run(&test::Arguments::default())
}

fn cargo_step(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    succeed(cargo().args(arguments).envs(environment.iter().copied()))
}

/// Runs a command whose output goes straight to the terminal.
fn succeed(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    let status = command.stdin(Stdio::null()).status().map_err(Error::io(&name))?;
    if status.success() {
        return Ok(());
    }
    let output = "see above".into();
    Err(Error::Failed { command: name, status: status.to_string(), output })
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    announce(name);
    let began = Instant::now();
    let outcome = work();
    let word = if outcome.is_ok() { "done" } else { "FAILED" };
    println!("==> {} {name}: {word} in {:.1?}", time_of_day(), began.elapsed());
    outcome
}

fn announce(name: &str) {
    println!("==> {} {name}", time_of_day());
}

/// UTC, to the second.
#[allow(clippy::disallowed_methods, reason = "a log line for people, which no test injects")]
fn time_of_day() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// cargo-deny, built on first use. Unoptimised: it builds twice as fast and is asked once.
fn cargo_deny() -> Result<PathBuf> {
    let entry = Cache::open()?.entry(&format!("cargo-deny-{DENY_VERSION}"), |folder| {
        let target = folder.join("target");
        let mut install = cargo();
        install
            .args(["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--debug"])
            .arg("--root")
            .arg(folder)
            .arg("--target-dir")
            .arg(&target);
        process::run(&mut install, "cargo comes with Rust")?;
        std::fs::remove_dir_all(&target).map_err(Error::path("remove", &target))
    })?;
    Ok(entry.join("bin/cargo-deny"))
}
