//! One daemon, one payment backend, and the stories that are told with them.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedSender};
use xtask::{
    Error, Result,
    process::Server,
    receiver::{Received, Receiver},
};

use super::{
    api::{API_KEY, Api},
    story::{Story, Teller, words},
};

const SECRET: &str = "whsec_ZGVtby1vbmx5LW5vdC1hLXNlY3JldC1hbnl3aGVyZSE=";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longer than any story waits for a webhook.
const QUIET: Duration = Duration::from_secs(3600);

/// Everything that the stories need, stopped when dropped.
pub(super) struct Stage {
    stories: Vec<Box<dyn Story>>,
    receiver: Receiver,
    confirmd: Server,
    api: Api,
    folder: TempDir,
    began: Instant,
}

impl Stage {
    /// Starts the payment backend and the daemon, which follows the stories' networks.
    pub(super) async fn set(confirmd: &Path, stories: Vec<Box<dyn Story>>) -> Result<Self> {
        for line in stories.iter().flat_map(|story| story.cast()) {
            println!("  {line}");
        }
        let receiver = Receiver::start(SECRET).await?;
        let url = receiver.url();
        println!("  a payment backend with the stock Standard Webhooks verifier at {url}");
        let folder = TempDir::with_prefix("confirmd-demo-").map_err(Error::io("a folder"))?;
        let port = free_port()?;
        let configuration = configuration(port, &receiver, folder.path(), &stories);
        write(folder.path(), "confirmd.toml", &configuration)?;
        fs::create_dir(folder.path().join("networks")).map_err(Error::io("a folder"))?;
        for story in &stories {
            let name = format!("networks/{}.toml", story.network());
            write(folder.path(), &name, &story.registry())?;
        }
        let api = Api::new(format!("http://127.0.0.1:{port}"))?;
        let confirmd = follow(confirmd, folder.path(), &api).await?;
        println!("  confirmd on SQLite, its API at {}", api.base);
        Ok(Self { stories, receiver, confirmd, api, folder, began: Instant::now() })
    }

    /// Tells the stories, side by side.
    pub(super) async fn tell(&mut self) -> Result<()> {
        println!("\n  the story            what happens");
        let mut inboxes = HashMap::new();
        let several = self.stories.len() > 1;
        let told = self.stories.iter().map(|story| {
            let (inbox, webhooks) = mpsc::unbounded_channel();
            let intent = intent_of(story.as_ref());
            inboxes.insert(intent.clone(), inbox);
            let mut teller = Teller {
                api: self.api.clone(),
                intent,
                webhooks,
                began: self.began,
                label: several.then_some(story.network()),
            };
            async move { story.tell(&mut teller).await }
        });
        let told = try_join_all(told.collect::<Vec<_>>());
        let outcome = tokio::select! {
            outcome = told => outcome.map(drop),
            error = distribute(&mut self.receiver, &inboxes) => Err(error),
        };
        if outcome.is_err() {
            println!("\nThe last that confirmd said:\n{}", self.confirmd.output());
        }
        outcome
    }

    /// Stays up, shows webhooks as they come, until Ctrl-C.
    pub(super) async fn stay(&mut self) -> Result<()> {
        let base = &self.api.base;
        println!(
            "\nEverything stays up until Ctrl-C. Look around:\n\
             \x20 {base}/docs                    the API, to try out (key: {API_KEY})\n\
             \x20 curl -H 'authorization: bearer {API_KEY}' {base}/scanner/status\n\
             \x20 {}    configuration, registry and database",
            self.folder.path().display(),
        );
        for story in &self.stories {
            let intent = intent_of(story.as_ref());
            println!(
                "  curl -H 'authorization: bearer {API_KEY}' {base}/v1/intents/{intent}/timeline"
            );
        }
        println!();
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(()),
                received = self.receiver.next(QUIET) => match received {
                    Ok(Received { verified, event, .. }) => {
                        println!("webhook, verified: {verified}  {}", words(&event));
                    }
                    Err(Error::TimedOut { .. }) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

fn intent_of(story: &dyn Story) -> String {
    format!("order-{}", story.network())
}

/// Gives each webhook to the story of its intent, until the backend breaks down.
async fn distribute(
    receiver: &mut Receiver,
    inboxes: &HashMap<String, UnboundedSender<Received>>,
) -> Error {
    loop {
        let received = match receiver.next(QUIET).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        let intent = received.event["data"]["intent"]["id"].as_str();
        let inbox = intent.and_then(|intent| inboxes.get(intent));
        // Refused only by a story that is over: then it came too many, which nobody waits for.
        let taken = inbox.is_some_and(|inbox| inbox.send(received.clone()).is_ok());
        if !taken {
            return Error::unexpected("a webhook that nobody waits for", &format!("{received:?}"));
        }
    }
}

/// Starts the daemon and waits until it follows every network.
async fn follow(confirmd: &Path, folder: &Path, api: &Api) -> Result<Server> {
    let mut command = Command::new(confirmd);
    command.current_dir(folder).arg("--config").arg("confirmd.toml");
    command.env("CONFIRMD_DEMO_KEY", API_KEY).env("CONFIRMD_DEMO_SECRET", SECRET);
    command.env("CONFIRMD_LOG_FORMAT", "text").env("NO_COLOR", "1");
    let mut confirmd = Server::start("confirmd", &mut command, Signal::SIGTERM)?;
    confirmd
        .until("confirmd to follow the chains", READY_WITHIN, async || {
            let status = api.get("/scanner/status").await.ok()?;
            let networks = status["networks"].as_array()?;
            let following = networks.iter().all(|network| network["state"] == "following");
            (!networks.is_empty() && following).then_some(())
        })
        .await?;
    Ok(confirmd)
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Error::io("a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("a free port"))?.port())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::path("write", &path))
}

fn configuration(
    port: u16,
    receiver: &Receiver,
    folder: &Path,
    stories: &[Box<dyn Story>],
) -> String {
    let networks: Vec<_> = stories.iter().map(|story| story.configuration()).collect();
    format!(
        r#"# The demo's configuration: an ordinary one.
registry = ["networks"]

[server]
listen = "127.0.0.1:{port}"

[store]
url = "sqlite://{}"

[[keys]]
name = "shop"
key = "${{CONFIRMD_DEMO_KEY}}"
scopes = ["read", "write", "admin"]

[endpoints.shop]
url = "{}"
dialect = "standard"
secrets = ["${{CONFIRMD_DEMO_SECRET}}"]
allow_private = true                   # the backend stands on this machine

[defaults]
endpoints = ["shop"]

{}"#,
        folder.join("confirmd.db").display(),
        receiver.url(),
        networks.join("\n"),
    )
}
