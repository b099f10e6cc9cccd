//! `cargo xtask test`: everything that tests need, then all tests, then one line that says how
//! it went.

use std::{
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    process::{Command, ExitCode, Stdio},
    thread,
};

use xtask::{
    Error, Result, install_all,
    postgres::{Postgres, PostgresOptions, SHARED_URL},
    process::cargo,
    progress,
};

use super::summary::Summary;

#[derive(Default, clap::Args)]
pub(crate) struct Arguments {
    /// Only tests whose name contains one of these
    filters: Vec<String>,
}

/// Runs the tests; the exit code says whether all passed, and there were some.
///
/// # Errors
/// What stands in the way of running any.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    install_all()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Error::io("start a runtime"))?;
    let postgres = runtime.block_on(Postgres::start(PostgresOptions::default()))?;
    progress::say("PostgreSQL is up, and is stopped when the tests are done");

    let mut summary = Summary::default();
    let mut all_well = true;
    for mut command in runners(&arguments.filters) {
        let (well, counted) = count(command.env(SHARED_URL, postgres.url()))?;
        all_well &= well;
        summary += counted;
    }
    drop(postgres);

    if !all_well && summary.failed == 0 {
        progress::say("something failed before it could run as a test: see above");
        summary.failed = 1;
    }
    if summary.passed + summary.failed == 0 {
        progress::say("no test has such a name");
        all_well = false;
    }
    println!("{summary}");
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The commands that together run every test: cargo-nextest where it is installed, which runs no
/// documentation tests, else cargo alone.
fn runners(filters: &[String]) -> Vec<Command> {
    let runner = |arguments: &[&str], before_filters: &[&str]| {
        let mut command = cargo();
        command.args(arguments).arg("--workspace").args(before_filters).args(filters);
        command
    };
    if has_nextest() {
        let nextest = runner(&["nextest", "run"], &["--no-tests=pass"]);
        return vec![nextest, runner(&["test", "--doc"], &["--"])];
    }
    progress::say("cargo-nextest is not installed: cargo runs the tests, without time limits");
    vec![runner(&["test", "--no-fail-fast"], &["--"])]
}

fn has_nextest() -> bool {
    let version = cargo().args(["nextest", "--version"]).output();
    version.is_ok_and(|output| output.status.success())
}

/// Runs a command, passes on what it prints as it comes, and gives whether it ended well and the
/// tests that it counted.
fn count(command: &mut Command) -> Result<(bool, Summary)> {
    if io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let what = format!("run {command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(&what))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let summary = thread::scope(|scope| {
        let on_stdout = scope.spawn(|| pass_on(stdout, &mut io::stdout()));
        let mut summary = pass_on(stderr, &mut io::stderr());
        summary += on_stdout.join().unwrap_or_default();
        summary
    });
    let status = child.wait().map_err(Error::io(what))?;
    Ok((status.success(), summary))
}

/// Copies line by line, and counts the tests in what goes by.
fn pass_on(from: Option<impl Read>, to: &mut impl Write) -> Summary {
    let mut summary = Summary::default();
    let Some(from) = from else { return summary };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // A terminal that went away is no reason to stop counting.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        summary.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    summary
}
