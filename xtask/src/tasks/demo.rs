//! `cargo xtask demo`: a payment on a real node, from the intent to the verified webhook, and a
//! reorganisation that takes it back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, U256, address};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::{
    Error, Result,
    anvil::{self, Anvil, AnvilOptions},
    erc20::{self, Erc20},
    process::{Server, cargo},
    progress,
    receiver::{self, Receiver},
};

const API_KEY: &str = "demo-key-only-for-this-machine";
const SECRET: &str = "whsec_ZGVtby1vbmx5LW5vdC1hLXNlY3JldC1hbnl3aGVyZSE=";
/// Where the shop of the demo wants its money.
const SHOP: Address = address!("0x5409ED021D9299bf6814279A6A1411A7e866A631");
const INTENT: &str = "order-1";
const READY_WITHIN: Duration = Duration::from_secs(20);
const TOLD_WITHIN: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// End when the story is told, with 0 if every webhook came and was verified, else with 1
    #[arg(long)]
    once: bool,
}

/// Tells the story; stays up after it unless it is to be told once.
///
/// # Errors
/// Where the story went another way, or what stands in the way of telling it.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let began = Instant::now();
    progress::during("getting anvil, a token and a webhook verifier ready", || {
        anvil::binary()?;
        erc20::install()?;
        receiver::install()
    })?;
    let confirmd = progress::during("building confirmd (some 3 minutes the first time)", build)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Error::io("start a runtime"))?;
    runtime.block_on(async {
        let mut stage = Stage::set(&confirmd).await?;
        stage.tell().await?;
        println!("\nAll webhooks came and were verified; {:.1?} in all.", began.elapsed());
        if !arguments.once {
            stage.stay().await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Builds the daemon as a user would, and gives the binary.
fn build() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "--bin", "confirmd"]);
    let arguments = ["--message-format", "json-render-diagnostics"];
    let output = build.args(arguments).stderr(Stdio::inherit()).output();
    let output = output.map_err(Error::io("run cargo build"))?;
    if !output.status.success() {
        return Err(Error::Failed {
            command: "cargo build".into(),
            status: output.status.to_string(),
            output: "see above".into(),
        });
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Error::unexpected("cargo build", "named no binary"))
}

/// Everything that the story needs, stopped when dropped.
struct Stage {
    anvil: &'static Anvil,
    token: Erc20<'static>,
    receiver: Receiver,
    confirmd: Server,
    api: Api,
    folder: TempDir,
    began: Instant,
}

impl Stage {
    async fn set(confirmd: &Path) -> Result<Self> {
        let anvil: &'static Anvil =
            Box::leak(Box::new(Anvil::start(AnvilOptions::default()).await?));
        say(&format!("anvil, an Ethereum node, at {}", anvil.url()));
        let supply = units(1_000_000);
        let token = Erc20::deploy(anvil, "USD Coin", "USDC", supply).await?;
        say(&format!("an ERC-20 (OpenZeppelin's bytecode) at {}", token.address));
        let receiver = Receiver::start(SECRET).await?;
        say(&format!(
            "a payment backend with the stock Standard Webhooks verifier at {}",
            receiver.url()
        ));
        let folder = TempDir::with_prefix("confirmd-demo-").map_err(Error::io("a folder"))?;
        let port = free_port()?;
        write(folder.path(), "confirmd.toml", &configuration(port, anvil, &receiver, &folder))?;
        fs::create_dir(folder.path().join("networks")).map_err(Error::io("a folder"))?;
        write(folder.path(), "networks/anvil.toml", &registry(token.address))?;
        let mut command = Command::new(confirmd);
        command.current_dir(folder.path()).arg("--config").arg("confirmd.toml");
        command.env("CONFIRMD_DEMO_KEY", API_KEY).env("CONFIRMD_DEMO_SECRET", SECRET);
        command.env("CONFIRMD_LOG_FORMAT", "text").env("NO_COLOR", "1");
        let mut confirmd = Server::start("confirmd", &mut command, Signal::SIGTERM)?;
        let api = Api::new(format!("http://127.0.0.1:{port}"))?;
        confirmd
            .until("confirmd to follow the chain", READY_WITHIN, async || {
                let status = api.call("GET", "/scanner/status", None).await.ok()?;
                (status["networks"][0]["state"] == "following").then_some(())
            })
            .await?;
        say(&format!("confirmd on SQLite, its API at {}", api.base));
        Ok(Self { anvil, token, receiver, confirmd, api, folder, began: Instant::now() })
    }

    async fn tell(&mut self) -> Result<()> {
        println!("\n  the story            what happens");
        let intent = json!({ "id": INTENT, "rails": [{ "network": "anvil", "asset": "USDC",
            "amount": "10", "address": SHOP.to_string() }], "metadata": { "cart": "two books" } });
        self.api.call("POST", "/v1/intents", Some(&intent)).await?;
        self.line("the shop", "waits for 10 USDC, 3 confirmations deep");

        self.pay(4).await?;
        self.webhook("payment.partial").await?;
        self.anvil.mine(1).await?;
        self.pay(6).await?;
        self.webhook("payment.detected").await?;
        self.anvil.mine(2).await?;
        self.webhook("payment.confirmed").await?;

        self.anvil.reorg(3).await?;
        self.line("the chain", "takes another branch: its newest three blocks are gone");
        self.anvil.mine(1).await?;
        self.webhook("payment.reverted").await?;
        self.pay(6).await?;
        self.webhook("payment.detected").await?;
        self.anvil.mine(2).await?;
        self.webhook("payment.confirmed").await?;

        let intent = self.api.call("GET", &format!("/v1/intents/{INTENT}"), None).await?;
        match intent["status"].as_str() {
            Some("confirmed") => Ok(()),
            other => Err(Error::unexpected("the intent's status", other.unwrap_or("none"))),
        }
    }

    async fn pay(&self, usdc: u64) -> Result<()> {
        let hash = self.token.transfer(SHOP, units(usdc)).await?;
        self.line("the buyer", &format!("pays {usdc} USDC in {}", shortened(&hash.to_string())));
        Ok(())
    }

    /// Waits for the next webhook, which must be verified and of this type.
    async fn webhook(&mut self, kind: &str) -> Result<()> {
        let received = self.receiver.next(TOLD_WITHIN).await?;
        let event = &received.event;
        if !received.verified || event["type"] != kind {
            let what = format!("a verified {kind} was expected next");
            return Err(Error::unexpected(
                what,
                &format!("{received:?}\n{}", self.confirmd.output()),
            ));
        }
        let data = &event["data"];
        let mut words = format!(
            "{kind}: {} of {} USDC, {}/{} confirmations, the intent is {}",
            data["intent"]["rails"][0]["received"].as_str().unwrap_or("?"),
            data["intent"]["rails"][0]["amount"].as_str().unwrap_or("?"),
            data["confirmations"],
            data["required_confirmations"],
            data["intent"]["status"].as_str().unwrap_or("?"),
        );
        if let Some(retracts) = data["retracts"].as_array().filter(|list| !list.is_empty()) {
            words += &format!(" (takes back {} events)", retracts.len());
        }
        self.line("webhook, verified", &words);
        Ok(())
    }

    fn line(&self, who: &str, what: &str) {
        println!("  {:>6.2} s  {who:<18} {what}", self.began.elapsed().as_secs_f64());
    }

    /// Stays up, shows webhooks as they come, until Ctrl-C.
    async fn stay(&mut self) -> Result<()> {
        let base = &self.api.base;
        println!(
            "\nEverything stays up until Ctrl-C. Look around:\n\
             \x20 {base}/docs                    the API, to try out (key: {API_KEY})\n\
             \x20 curl -H 'authorization: bearer {API_KEY}' {base}/scanner/status\n\
             \x20 curl -H 'authorization: bearer {API_KEY}' {base}/v1/intents/{INTENT}/timeline\n\
             \x20 {}    configuration, registry and database\n\
             \x20 anvil: {}    the token: {}\n",
            self.folder.path().display(),
            self.anvil.url(),
            self.token.address,
        );
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(()),
                received = self.receiver.next(Duration::from_secs(3600)) => match received {
                    Ok(received) => println!("webhook, verified: {}  {}", received.verified,
                        received.event["type"]),
                    Err(Error::TimedOut { .. }) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

fn say(line: &str) {
    println!("  {line}");
}

/// Whole USDC in base units: the published token has 18 decimals.
fn units(usdc: u64) -> U256 {
    U256::from(usdc) * U256::from(10).pow(U256::from(18))
}

fn shortened(hash: &str) -> String {
    format!("{}…{}", &hash[..10], &hash[hash.len() - 4..])
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Error::io("a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("a free port"))?.port())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::path("write", &path))
}

fn configuration(port: u16, anvil: &Anvil, receiver: &Receiver, folder: &TempDir) -> String {
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

[networks.anvil]
poll_interval = "100ms"

[[networks.anvil.providers]]
name = "anvil"
url = "{}"
ws = "{}"
"#,
        folder.path().join("confirmd.db").display(),
        receiver.url(),
        anvil.url(),
        anvil.ws_url(),
    )
}

fn registry(token: Address) -> String {
    format!(
        r#"# A local chain with one token.
id = "anvil"
name = "Anvil (local)"
short_name = "ANVIL"
family = "evm"
caip2 = "eip155:31337"
chain_id = 31337
block_time = "1s"
confirmations = {{ default = 3, floor = 1 }}
finality = {{ tag = "finalized" }}
receipts = "ethereum"
verify_from = 0
native = {{ symbol = "ETH", name = "Ether", decimals = 18 }}

[[tokens]]
symbol = "USDC"
name = "USD Coin"
address = "{token}"
decimals = 18
"#
    )
}

/// The daemon's API, as the shop uses it.
struct Api {
    base: String,
    http: reqwest::Client,
}

impl Api {
    fn new(base: String) -> Result<Self> {
        Ok(Self { base, http: xtask::rpc::http_client()? })
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let http = |source: reqwest::Error| Error::Http { method: path.to_owned(), source };
        let url = format!("{}{path}", self.base);
        let mut request = match method {
            "POST" => self.http.post(url),
            _ => self.http.get(url),
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.bearer_auth(API_KEY).send().await.map_err(http)?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(http)?;
        match status.is_success() {
            true => Ok(body),
            false => Err(Error::unexpected(format!("{method} {path}: {status}"), &body)),
        }
    }
}
