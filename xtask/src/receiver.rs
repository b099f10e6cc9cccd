//! A webhook receiver that is not our code: Node.js with the stock `standardwebhooks` package.

use std::{path::PathBuf, process::Command, time::Duration};

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error, Result, npm,
    process::{Server, on_blocking_thread},
};

const PACKAGE: &str = "standardwebhooks@1.1.1";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/receiver.cjs");
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A webhook as the receiver saw it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Received {
    /// Whether the package found the signature good and the timestamp near. It was answered 204
    /// if so, else 401.
    pub verified: bool,
    /// The `webhook-id` header.
    pub id: Option<String>,
    /// The `webhook-timestamp` header, in seconds since the epoch.
    pub timestamp: Option<String>,
    /// The body, where it is verified.
    #[serde(default)]
    pub event: Value,
    /// The package's words, where it is not.
    pub error: Option<String>,
}

/// A running receiver, killed when dropped.
#[derive(Debug)]
pub struct Receiver {
    server: Server,
    port: u16,
}

impl Receiver {
    /// Starts one on a free port, for a Standard Webhooks secret (`whsec_…`).
    ///
    /// # Errors
    /// What stands in the way of installing the package or starting it.
    pub async fn start(secret: &str) -> Result<Self> {
        Self::launch(secret, None).await
    }

    /// Like [`Receiver::start`], with a clock that stands at `now_s` seconds since the epoch: for
    /// senders with a clock of the test's own, whose timestamps are far from today's.
    ///
    /// # Errors
    /// As [`Receiver::start`].
    pub async fn start_at(secret: &str, now_s: u64) -> Result<Self> {
        Self::launch(secret, Some(now_s)).await
    }

    async fn launch(secret: &str, now_s: Option<u64>) -> Result<Self> {
        #[derive(Deserialize)]
        struct Ready {
            listening: u16,
        }
        let modules = on_blocking_thread(install).await?;
        let mut node = Command::new("node");
        node.arg(SCRIPT).env("NODE_PATH", modules).env("WEBHOOK_SECRET", secret);
        if let Some(now_s) = now_s {
            node.env("CLOCK_S", now_s.to_string());
        }
        let mut server = Server::start("receiver", &mut node, Signal::SIGKILL)?;
        let ready: Ready = parse(&server.line(READY_WITHIN).await?)?;
        Ok(Self { server, port: ready.listening })
    }

    /// Where it takes webhooks: any path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/webhooks", self.port)
    }

    /// Waits for the next webhook.
    ///
    /// # Errors
    /// [`Error::TimedOut`] where none comes.
    pub async fn next(&mut self, within: Duration) -> Result<Received> {
        parse(&self.server.line(within).await?)
    }
}

/// Installs the package and gives the `node_modules` folder that holds it.
///
/// # Errors
/// As [`npm::install`].
pub fn install() -> Result<PathBuf> {
    npm::install(&[PACKAGE])
}

fn parse<T: for<'a> Deserialize<'a>>(line: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| Error::unexpected(line, &error))
}
