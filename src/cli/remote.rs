//! Commands that ask the running daemon over its API.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::CliError;
use crate::config::Config;

/// Where the daemon is, and who asks.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// The daemon's address; the configuration's `server.listen` without it.
    #[arg(long, env = "CONFIRMD_URL")]
    url: Option<String>,
    /// An API key with the scope that the command needs.
    #[arg(long, env = "CONFIRMD_API_KEY", hide_env_values = true)]
    key: SecretString,
}

/// Ready or not, for container health checks.
pub(super) fn health(config: &Path) -> Result<ExitCode, CliError> {
    let (status, body) = ask(config, None, "GET", "/readyz", None)?;
    println!("{body}");
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The status as a table.
pub(super) fn status(config: &Path, access: &Access) -> Result<ExitCode, CliError> {
    let (code, status) = ask(config, Some(access), "GET", "/scanner/status", None)?;
    if code != 200 {
        return Err(refusal(code, &status));
    }
    println!("confirmd {} ({} store)", text(&status["version"]), text(&status["store"]["kind"]));
    println!(
        "\n{:<16} {:<12} {:>12} {:>12} {:>8}  providers",
        "network", "state", "scanned", "head", "behind"
    );
    for network in status["networks"].as_array().into_iter().flatten() {
        let providers = network["providers"].as_array().into_iter().flatten().map(|provider| {
            let mark = if provider["healthy"] == true { "" } else { " (put aside)" };
            format!("{}{mark}", text(&provider["name"]))
        });
        println!(
            "{:<16} {:<12} {:>12} {:>12} {:>8}  {}",
            text(&network["network"]),
            text(&network["state"]),
            text(&network["scanned"]),
            text(&network["head"]),
            text(&network["lagBlocks"]),
            providers.collect::<Vec<_>>().join(", ")
        );
    }
    let webhooks = &status["webhooks"];
    println!(
        "\nwebhooks: {} waiting, {} in flight, {} dead",
        text(&webhooks["waiting"]),
        text(&webhooks["inFlight"]),
        text(&webhooks["dead"])
    );
    let problems = status["problems"].as_array().map_or(&[][..], Vec::as_slice);
    for problem in problems {
        println!(
            "\n{} {} since {}\n  {}",
            text(&problem["code"]),
            text(&problem["subject"]),
            text(&problem["since"]),
            text(&problem["action"])
        );
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Makes dead and waiting webhooks due again.
pub(super) fn retry(
    config: &Path,
    access: &Access,
    intent: Option<&str>,
) -> Result<ExitCode, CliError> {
    let body = intent.map_or_else(|| json!({}), |intent| json!({ "intentId": intent }));
    let (code, answer) = ask(config, Some(access), "POST", "/scanner/webhooks/retry", Some(&body))?;
    if code != 200 {
        return Err(refusal(code, &answer));
    }
    println!("{} webhooks are due again", text(&answer["retried"]));
    Ok(ExitCode::SUCCESS)
}

fn ask(
    config: &Path,
    access: Option<&Access>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), CliError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let base = match access.and_then(|access| access.url.clone()) {
        Some(url) => url,
        None => {
            let mut listen = Config::load(config)?.server.listen;
            if listen.ip().is_unspecified() {
                listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            format!("http://{listen}")
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let mut request = client.request(method.parse()?, url);
        if let Some(access) = access {
            request = request.bearer_auth(access.key.expose_secret());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| format!("the daemon does not answer at {base}: {error}"))?;
        let code = answer.status().as_u16();
        Ok((code, answer.json().await.unwrap_or(Value::Null)))
    })
}

fn refusal(code: u16, problem: &Value) -> CliError {
    let detail = problem["detail"].as_str().or_else(|| problem["title"].as_str());
    format!("the daemon answered {code}: {}", detail.unwrap_or("no reason given")).into()
}

/// A JSON value as a person reads it: text without quotes, nothing as a dash.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
