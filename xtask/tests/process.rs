//! What we start ends with us.

use std::{env, process::Command, time::Duration};

use nix::sys::signal::Signal;
use xtask::{
    Error,
    anvil::{Anvil, AnvilOptions},
    process::{Server, follow},
    rpc::JsonRpc,
};

const SOON: Duration = Duration::from_secs(20);
const VICTIM: &str = "CONFIRMD_TEST_VICTIM";

/// The test runs itself a second time as the process to be killed.
#[tokio::test]
async fn a_node_ends_even_when_the_process_that_started_it_is_killed() {
    if env::var_os(VICTIM).is_some() {
        let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
        println!("\nanvil at {}", anvil.url());
        std::future::pending::<()>().await;
    }
    let name = "a_node_ends_even_when_the_process_that_started_it_is_killed";
    let mut victim = Command::new(env::current_exe().unwrap());
    victim.args(["--exact", name, "--nocapture"]).env(VICTIM, "1");
    let mut victim = Server::start("victim", &mut victim, Signal::SIGKILL).unwrap();
    let url = loop {
        let line = victim.line(SOON).await.unwrap();
        if let Some(url) = line.strip_prefix("anvil at ") {
            break url.to_owned();
        }
    };
    let rpc = JsonRpc::new(url).unwrap();
    let answers = async || rpc.call::<String>("eth_chainId", serde_json::json!([])).await.is_ok();
    assert!(answers().await);

    victim.kill();

    let gone = async {
        while answers().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the node outlived its parent");
}

#[tokio::test]
async fn a_program_that_fails_to_start_is_shown_with_its_own_words() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo no such luck >&2; exit 3"]);
    let mut server = Server::start("sh", &mut command, Signal::SIGKILL).unwrap();
    let error = server.line(SOON).await.unwrap_err().to_string();
    assert!(error.contains("no such luck") && error.contains("exit status: 3"), "{error}");
    assert_eq!(server.ended(SOON).await.unwrap(), Some(3));
}

#[test]
fn a_followed_command_shows_what_it_prints_and_fails_with_the_end_of_it() {
    let shown = |script: &str| {
        let mut lines = Vec::new();
        let outcome = follow(Command::new("sh").args(["-c", script]), "", |line| {
            lines.push(line.to_owned());
        });
        (outcome, lines)
    };
    let (outcome, lines) = shown("echo one; echo two >&2; echo three");
    outcome.unwrap();
    assert_eq!(lines, ["one", "two", "three"]);

    let (outcome, lines) = shown("seq 1000; echo broken >&2; exit 3");
    assert_eq!(lines.len(), 1001);
    let Err(Error::Failed { output, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(output.ends_with("1000\nbroken"), "{output}");
    assert!(!output.contains("\n1\n"), "only the end: {output}");
}
