//! A daemon in this process, on a real node and a real database, with a receiver beside it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use confirmd::clock::Clock;
use confirmd::config::{Config, Settings};
use confirmd::daemon::Daemon;
use confirmd::registry::Registry;
use serde_json::{Value, json};
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::erc20::{Erc20, TokenOptions};
use xtask::postgres::Database;

use crate::receiver::Receiver;

/// The API key of the rig's backend.
const KEY: &str = "rig-backend-key-0123456789";
/// The receiver's Standard Webhooks secret.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Which database the daemon keeps its state in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum StoreKind {
    /// A file.
    #[default]
    Sqlite,
    /// A server.
    Postgres,
}

/// How a rig is set up.
#[derive(Debug)]
pub(crate) struct Options {
    /// Which database.
    pub(crate) store: StoreKind,
    /// A database of the test's own instead.
    pub(crate) store_url: Option<String>,
    /// `verify`.
    pub(crate) verify: &'static str,
    /// The confirmations that intents need.
    pub(crate) threshold: u32,
    /// `[defaults] late_window`.
    pub(crate) late_window: &'static str,
    /// How far behind the head blocks are final: twice this.
    pub(crate) slots_in_an_epoch: u64,
    /// `quorum`.
    pub(crate) quorum: usize,
    /// Names and URLs of the providers; the node itself where there are none.
    pub(crate) providers: Vec<(&'static str, String)>,
    /// More TOML for the configuration.
    pub(crate) more: String,
    /// Request Network's fee proxies on the node: for tokens, for the native coin.
    pub(crate) fee_proxies: Option<[Address; 2]>,
    /// More registry files.
    pub(crate) networks: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            store: StoreKind::Sqlite,
            store_url: None,
            verify: "receipts",
            threshold: 3,
            late_window: "24h",
            slots_in_an_epoch: 32,
            quorum: 1,
            providers: Vec::new(),
            more: String::new(),
            fee_proxies: None,
            networks: Vec::new(),
        }
    }
}

/// The node and its tokens; the daemon and whatever it talks to.
pub(crate) struct Rig {
    pub(crate) receiver: Receiver,
    daemon: Option<Daemon>,
    config: String,
    folder: PathBuf,
    http: reqwest::Client,
    usdc: Address,
    dai: Address,
    taxed: Address,
    anvil: &'static Anvil,
    _database: Option<Database>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Starts a node. It lives as long as the test's process.
pub(crate) async fn node(slots_in_an_epoch: u64) -> &'static Anvil {
    let options = AnvilOptions { slots_in_an_epoch, ..AnvilOptions::default() };
    Box::leak(Box::new(Anvil::start(options).await.expect("anvil starts")))
}

impl Rig {
    /// Starts a node of its own and a daemon on it.
    pub(crate) async fn start(options: Options) -> Self {
        let anvil = node(options.slots_in_an_epoch).await;
        Self::on(anvil, options).await
    }

    /// Starts a daemon on this node.
    pub(crate) async fn on(anvil: &'static Anvil, options: Options) -> Self {
        let token = |symbol: &str, fee| TokenOptions {
            symbol: symbol.to_owned(),
            fee_basis_points: fee,
            ..TokenOptions::default()
        };
        let usdc = Erc20::deploy(anvil, "USD Coin", "USDC", U256::MAX >> 1).await.expect("deploys");
        let dai = Erc20::deploy_variant(anvil, token("DAI", 0)).await.expect("deploys");
        let taxed = Erc20::deploy_variant(anvil, token("TAX", 100)).await.expect("deploys");
        Self::with_tokens(anvil, options, [usdc.address, dai.address, taxed.address]).await
    }

    /// Starts another daemon on the same chain, with a database and a receiver of its own.
    pub(crate) async fn beside(&self) -> Self {
        Self::with_tokens(self.anvil, Options::default(), [self.usdc, self.dai, self.taxed]).await
    }

    async fn with_tokens(
        anvil: &'static Anvil,
        options: Options,
        [usdc, dai, taxed]: [Address; 3],
    ) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("confirmd-{}-{number}", std::process::id()));
        std::fs::create_dir_all(folder.join("networks")).expect("a folder");
        std::fs::write(folder.join("networks/anvil.toml"), registry(&options, [usdc, dai, taxed]))
            .expect("a registry file");
        for (number, network) in options.networks.iter().enumerate() {
            let path = folder.join(format!("networks/more-{number}.toml"));
            std::fs::write(path, network).expect("a registry file");
        }
        let database = match options.store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(Database::create("stories").await.expect("PostgreSQL")),
        };
        let store = match (&options.store_url, &database) {
            (Some(url), _) => url.clone(),
            (None, Some(database)) => database.url().to_owned(),
            (None, None) => format!("sqlite://{}", folder.join("confirmd.db").display()),
        };
        let receiver = Receiver::start().await;
        let config = configuration(&options, anvil, &store, &receiver.url);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
        let mut rig = Self {
            receiver,
            daemon: None,
            config,
            folder,
            http: http.expect("a client"),
            usdc,
            dai,
            taxed,
            anvil,
            _database: database,
        };
        rig.restart().await;
        rig
    }

    /// Stops the daemon, if it runs.
    pub(crate) async fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
    }

    /// Stops the daemon, if it runs, and starts it again on the same database.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let daemon = Daemon::start(self.settings(), Clock::system()).await.expect("starts");
        self.daemon = Some(daemon);
        self.until("the network is followed", async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            (status["networks"][0]["state"] == "following").then_some(())
        })
        .await;
    }

    /// The settings that the daemon starts with.
    pub(crate) fn settings(&self) -> Settings {
        let config = Config::parse(&self.config_file(), &self.config, &|_| None);
        let config = config.expect("a configuration");
        let registry = Registry::load(&config.registry).expect("a registry");
        Settings::merge(config, registry).expect("settings")
    }

    /// The network's registry file.
    pub(crate) fn registry_file(&self) -> PathBuf {
        self.folder.join("networks/anvil.toml")
    }

    /// Changes the network's registry file; answers what it says then.
    pub(crate) fn change_registry(&self, change: impl FnOnce(String) -> String) -> String {
        let file = self.registry_file();
        let text = change(std::fs::read_to_string(&file).expect("is there"));
        std::fs::write(file, &text).expect("is written");
        text
    }

    /// Where [`Self::write_config`] writes.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join("confirmd.toml")
    }

    /// Writes the configuration for a daemon in a process of its own that listens on this port.
    pub(crate) fn write_config(&self, port: u16) {
        let text = self.config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
        std::fs::write(self.config_file(), text).expect("a configuration file");
    }

    /// Where the API is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.daemon.as_ref().expect("the daemon runs").address())
    }

    /// A key with every scope.
    pub(crate) fn key(&self) -> &'static str {
        KEY
    }

    /// The node.
    pub(crate) fn anvil(&self) -> &'static Anvil {
        self.anvil
    }

    /// 18 decimals, OpenZeppelin's own bytecode.
    pub(crate) fn usdc(&self) -> Erc20<'static> {
        self.token(self.usdc)
    }

    /// Another registered token, 6 decimals.
    pub(crate) fn dai(&self) -> Erc20<'static> {
        self.token(self.dai)
    }

    /// A token that keeps one percent of every transfer, 6 decimals.
    pub(crate) fn taxed(&self) -> Erc20<'static> {
        self.token(self.taxed)
    }

    fn token(&self, address: Address) -> Erc20<'static> {
        Erc20::at(self.anvil, address)
    }

    /// An address that nobody used before.
    pub(crate) fn fresh_address(&self) -> Address {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bytes = [0xc0; 20];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        Address::from(bytes)
    }

    /// `GET`, as the backend: status code and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(reqwest::Method::GET, path, None).await
    }

    /// `POST`, as the backend: status code and body.
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    /// `GET`, as anybody: the body as text.
    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.url())).send().await;
        answer.expect("the daemon answers").text().await.expect("text")
    }

    /// `GET`, as the backend: status code, content type and bytes.
    pub(crate) async fn file(&self, path: &str) -> (u16, String, Vec<u8>) {
        let request = self.http.get(format!("{}{path}", self.url())).bearer_auth(KEY);
        let answer = request.send().await.expect("the daemon answers");
        let code = answer.status().as_u16();
        let kind = answer.headers()["content-type"].to_str().expect("a content type").to_owned();
        (code, kind, answer.bytes().await.expect("a body").to_vec())
    }

    /// `PATCH`, as the backend: status code and body.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(reqwest::Method::PATCH, path, Some(body)).await
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.url());
        let mut request = self.http.request(method, url).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the daemon answers");
        let code = answer.status().as_u16();
        (code, answer.json().await.unwrap_or(Value::Null))
    }

    /// Registers an intent with one rail.
    pub(crate) async fn expect(&self, id: &str, asset: &str, amount: &str, to: Address) -> Value {
        self.expect_with(id, asset, amount, to, json!({})).await
    }

    /// Registers an intent with one rail and more fields.
    pub(crate) async fn expect_with(
        &self,
        id: &str,
        asset: &str,
        amount: &str,
        to: Address,
        more: Value,
    ) -> Value {
        let rail = json!({ "network": "anvil", "asset": asset, "amount": amount,
            "address": to.to_string() });
        let mut body = json!({ "id": id, "rails": [rail] });
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let (code, intent) = self.post("/v1/intents", body).await;
        assert_eq!(code, 201, "{intent}");
        intent
    }

    /// An intent as the API shows it.
    pub(crate) async fn intent(&self, id: &str) -> Value {
        let (code, intent) = self.get(&format!("/v1/intents/{id}")).await;
        assert_eq!(code, 200, "{intent}");
        intent
    }

    /// Waits until an intent has this status, and answers it.
    pub(crate) async fn until_status(&self, id: &str, status: &str) -> Value {
        self.until(&format!("{id} is {status}"), async |rig| {
            let intent = rig.intent(id).await;
            (intent["status"] == status).then_some(intent)
        })
        .await
    }

    /// Waits until the daemon has scanned the node's newest block.
    pub(crate) async fn until_scanned(&self) {
        let head = self.anvil.block_number().await.expect("a height");
        self.until(&format!("block {head} is scanned"), async |rig| {
            let (_, status) = rig.get("/scanner/status").await;
            (status["networks"][0]["scanned"].as_u64() >= Some(head)).then_some(())
        })
        .await;
    }

    /// The orphans that are deep enough to have been reported, newest first.
    pub(crate) async fn orphans(&self) -> Vec<Value> {
        let (code, orphans) = self.get("/v1/orphans").await;
        assert_eq!(code, 200, "{orphans}");
        let orphans = orphans["data"].as_array().expect("a list").iter();
        orphans.filter(|orphan| orphan["reported"] == true).cloned().collect()
    }

    /// Waits for a condition, at most 40 seconds.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        condition: impl AsyncFn(&Self) -> Option<T>,
    ) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
        let mut looks = tokio::time::interval(Duration::from_millis(25));
        loop {
            if let Some(found) = condition(self).await {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: never");
            looks.tick().await;
        }
    }

    /// A mined transaction as it was signed.
    pub(crate) async fn raw(&self, transaction: B256) -> Bytes {
        let raw = self.anvil.call("debug_getRawTransaction", json!([transaction])).await;
        raw.expect("the transaction")
    }

    /// Mines empty blocks and waits until they are scanned.
    pub(crate) async fn mine(&self, blocks: u64) {
        self.anvil.mine(blocks).await.expect("mines");
        self.until_scanned().await;
    }

    /// Pays whole USDC and waits until the block is scanned.
    pub(crate) async fn pay(&self, to: Address, usdc: u64) -> B256 {
        self.pay_units(to, U256::from(usdc) * U256::from(10).pow(U256::from(18))).await
    }

    /// Pays base units of USDC and waits until the block is scanned.
    pub(crate) async fn pay_units(&self, to: Address, units: U256) -> B256 {
        let transaction = self.usdc().transfer(to, units).await.expect("pays");
        self.until_scanned().await;
        transaction
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn registry(options: &Options, [usdc, dai, taxed]: [Address; 3]) -> String {
    let token = |symbol: &str, address: Address, decimals: u8| {
        format!(
            "\n[[tokens]]\nsymbol = \"{symbol}\"\nname = \"{symbol}\"\naddress = \"{address}\"\n\
             decimals = {decimals}\n"
        )
    };
    let proxies = options.fee_proxies.map(|[erc20, native]| {
        format!("fee_proxies = {{ erc20 = \"{erc20}\", native = \"{native}\" }}\n")
    });
    format!(
        "id = \"anvil\"\nname = \"Anvil\"\nshort_name = \"ANVIL\"\nfamily = \"evm\"\n\
         caip2 = \"eip155:31337\"\nchain_id = 31337\nblock_time = \"1s\"\n\
         confirmations = {{ default = 3, floor = 1 }}\nfinality = {{ tag = \"finalized\" }}\n\
         receipts = \"ethereum\"\nverify_from = 0\n\
         native = {{ symbol = \"ETH\", name = \"Ether\", decimals = 18 }}\n{}{}{}{}",
        proxies.unwrap_or_default(),
        token("USDC", usdc, 18),
        token("DAI", dai, 6),
        token("TAX", taxed, 6),
    )
}

fn configuration(options: &Options, anvil: &Anvil, store: &str, receiver: &str) -> String {
    let own = vec![("node", anvil.url())];
    let providers = if options.providers.is_empty() { &own } else { &options.providers };
    let providers: String = providers
        .iter()
        .map(|(name, url)| {
            format!("\n[[networks.anvil.providers]]\nname = \"{name}\"\nurl = \"{url}\"\n")
        })
        .collect();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/networks");
    let Options { verify, threshold, late_window, quorum, more, .. } = options;
    format!(
        "registry = [\"{shipped}\", \"networks\"]\n\
         [server]\nlisten = \"127.0.0.1:0\"\n\
         [store]\nurl = \"{store}\"\n\
         [[keys]]\nname = \"backend\"\nkey = \"{KEY}\"\naccount = \"default\"\n\
         scopes = [\"read\", \"write\", \"admin\"]\n\
         [endpoints.backend]\nurl = \"{receiver}\"\ndialect = \"standard\"\n\
         secrets = [\"{SECRET}\"]\nallow_private = true\n\
         [defaults]\nendpoints = [\"backend\"]\nlate_window = \"{late_window}\"\n\
         [networks.anvil]\nthreshold = {threshold}\nverify = \"{verify}\"\n\
         quorum = {quorum}\n\
         poll_interval = \"50ms\"\n{providers}\n{more}\n"
    )
}
