//! The command as an operator types it.

use std::process::{Command, Output};
use std::time::Duration;

use xtask::process::Server;
use xtask::process::Signal;

use crate::rig::{Options, Rig};

const CONFIRMD: &str = env!("CARGO_BIN_EXE_confirmd");

fn run(rig: &Rig, arguments: &[&str]) -> Output {
    let mut command = Command::new(CONFIRMD);
    command.arg("--config").arg(rig.config_file()).args(arguments);
    command.env("CONFIRMD_API_KEY", rig.key()).output().expect("confirmd runs")
}

fn words(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].concat().iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_starts_checks_asks_and_stops_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut rig = Rig::start(Options::default()).await;
        rig.stop().await;
        let port = free_port();
        rig.write_config(port);

        let check = run(&rig, &["check"]);
        assert!(check.status.success(), "{}", words(&check));
        assert!(words(&check).contains("confirmd.toml: ok"), "{}", words(&check));
        let health = run(&rig, &["health"]);
        assert!(!health.status.success());
        assert!(words(&health).contains("does not answer at http://127.0.0.1:"));

        let mut command = Command::new(CONFIRMD);
        command.arg("--config").arg(rig.config_file());
        let mut daemon = Server::start("confirmd", &mut command, Signal::SIGKILL).expect("starts");
        let ready = async || run(&rig, &["health"]).status.success().then_some(());
        daemon.until("it to be ready", Duration::from_secs(20), ready).await.expect("is ready");
        let status = run(&rig, &["status"]);
        assert!(words(&status).contains("anvil"), "{}", words(&status));
        let retry = run(&rig, &["retry"]);
        assert_eq!(words(&retry), "0 webhooks are due again\n");
        let retry = run(&rig, &["retry", "--intent", "nobody"]);
        assert!(words(&retry).contains("the daemon answered 404"), "{}", words(&retry));

        let second = run(&rig, &["run"]);
        assert!(!second.status.success());
        let said = words(&second);
        assert!(said.contains("in use by another confirmd; stop that one first"), "{said}");

        daemon.signal(signal).expect("is sent");
        let code = daemon.ended(Duration::from_secs(10)).await.expect("stops in time");
        assert_eq!(code, Some(0), "{}", daemon.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_configuration_is_named_by_file_line_and_key() {
    let mut rig = Rig::start(Options::default()).await;
    rig.stop().await;
    rig.write_config(free_port());
    let text = std::fs::read_to_string(rig.config_file()).expect("is there");
    let wrong = text.replace("poll_interval", "pol_interval");
    std::fs::write(rig.config_file(), &wrong).expect("is written");
    let line =
        wrong.lines().position(|line| line.contains("pol_interval")).expect("it is there") + 1;
    for command in ["check", "run"] {
        let refused = run(&rig, &[command]);
        assert!(!refused.status.success());
        let said = words(&refused);
        assert!(
            said.contains(&format!("confirmd.toml:{line}: networks.anvil.pol_interval")),
            "{said}"
        );
        assert!(said.contains("poll_interval"), "{said}");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}
