//! What the README shows works as it is shown.

use std::process::Stdio;

use tokio::process::Command;

use crate::rig::{Options, Rig};

const README: &str = include_str!("../../README.md");

/// The README's shell blocks that call the API.
fn examples() -> Vec<&'static str> {
    let blocks = README.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("curl ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_curl_example_of_the_readme_is_answered_with_success() {
    let rig = Rig::start(Options::default()).await;
    let examples = examples();
    assert!(examples.len() >= 2, "the README has examples");
    for example in examples {
        // A refusal ends the script; --fail-with-body shows what was wrong.
        let script =
            format!("set -eu\ncurl() {{ command curl --fail-with-body \"$@\"; echo; }}\n{example}");
        let output = Command::new("bash")
            .args(["-c", &script])
            .env("CONFIRMD", rig.url())
            .env("KEY", rig.key())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("bash runs");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{example}\n{out}\n{err}");
    }
}
