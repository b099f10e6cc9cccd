//! Several daemons, each a process of its own, on one PostgreSQL and three networks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use alloy_primitives::{Address, U256};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::process::{Server, Signal};

use crate::receiver::Receiver;

const KEY: &str = "fleet-backend-key-0123456789";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const NETWORKS: [&str; 3] = ["red", "green", "blue"];
/// What every intent of a fleet asks for.
const WEI: u64 = 1_000_000_000_000_000;

/// The nodes, the receiver, and the daemons that share them.
pub(crate) struct Fleet {
    pub(crate) receiver: Receiver,
    nodes: BTreeMap<&'static str, Anvil>,
    folder: TempDir,
    http: reqwest::Client,
    /// The intents of the test, each with its network and its address.
    intents: BTreeMap<String, (&'static str, Address)>,
}

/// One of the daemons.
pub(crate) struct Instance {
    pub(crate) server: Server,
    url: String,
    /// As the status calls it.
    pub(crate) name: String,
}

impl Fleet {
    /// Starts the nodes; no daemon yet.
    pub(crate) async fn new(store_url: &str) -> Self {
        let folder = TempDir::with_prefix("confirmd-fleet-").expect("a folder");
        std::fs::create_dir(folder.path().join("networks")).expect("a folder");
        let receiver = Receiver::start().await;
        let mut config = configuration(store_url, &receiver.url);
        let mut nodes = BTreeMap::new();
        for (chain_id, network) in (31_401..).zip(NETWORKS) {
            let options = AnvilOptions { chain_id, ..AnvilOptions::default() };
            let node = Anvil::start(options).await.expect("anvil starts");
            let file = folder.path().join(format!("networks/{network}.toml"));
            std::fs::write(file, registry(network, chain_id)).expect("writes");
            config += &followed(network, &node.url());
            nodes.insert(network, node);
        }
        std::fs::write(folder.path().join("confirmd.toml"), config).expect("writes");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
        let http = http.expect("a client");
        Self { receiver, nodes, folder, http, intents: BTreeMap::new() }
    }

    /// Starts a daemon and waits until its API answers.
    pub(crate) async fn start(&self) -> Instance {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let mut command = Command::new(env!("CARGO_BIN_EXE_confirmd"));
        command.arg("--config").arg(self.folder.path().join("confirmd.toml")).arg("run");
        command.env("FLEET_LISTEN", address.to_string()).env("NO_COLOR", "1");
        let mut server = Server::start("confirmd", &mut command, Signal::SIGKILL).expect("starts");
        let url = format!("http://{address}");
        let status = server.until("its API", Duration::from_secs(40), async || {
            self.try_call(&url, Method::GET, "/scanner/status", None).await
        });
        let (_, status) = status.await.expect("the API answers");
        let name = status["instance"].as_str().expect("a name").to_owned();
        Instance { server, url, name }
    }

    /// Registers an intent through one daemon.
    pub(crate) async fn expect(&mut self, instance: &Instance, id: &str, network: &'static str) {
        let to = self.address();
        let rail = json!({ "network": network, "asset": "native", "amount": "0.001",
            "address": to.to_string() });
        let body = json!({ "id": id, "rails": [rail] });
        let (code, answer) = self.call(instance, Method::POST, "/v1/intents", Some(body)).await;
        assert_eq!(code, 201, "{answer}");
        self.intents.insert(id.to_owned(), (network, to));
    }

    /// Registers an intent for a cent of a token with 6 decimals; answers its address.
    pub(crate) async fn expect_token(
        &mut self,
        instance: &Instance,
        id: &str,
        network: &'static str,
        symbol: &str,
    ) -> Address {
        let to = self.address();
        let rail = json!({ "network": network, "asset": symbol, "amount": "0.01",
            "address": to.to_string() });
        let body = json!({ "id": id, "rails": [rail] });
        let (code, answer) = self.call(instance, Method::POST, "/v1/intents", Some(body)).await;
        assert_eq!(code, 201, "{answer}");
        self.intents.insert(id.to_owned(), (network, to));
        to
    }

    /// Whether a daemon knows an asset of this symbol.
    pub(crate) async fn knows(
        &self,
        instance: &Instance,
        network: &str,
        symbol: &str,
    ) -> Option<()> {
        let (_, networks) = self.call(instance, Method::GET, "/v1/networks", None).await;
        let mut networks = networks["data"].as_array().expect("a list").iter();
        let found = networks.find(|shown| shown["id"] == network)?;
        let mut assets = found["assets"].as_array().expect("a list").iter();
        assets.any(|asset| asset["symbol"] == symbol).then_some(())
    }

    /// A network's node.
    pub(crate) fn node(&self, network: &str) -> &Anvil {
        &self.nodes[network]
    }

    /// Changes a network's registry file.
    pub(crate) fn change_registry(&self, network: &str, change: impl FnOnce(String) -> String) {
        let file = self.folder.path().join(format!("networks/{network}.toml"));
        let text = change(std::fs::read_to_string(&file).expect("is there"));
        std::fs::write(file, text).expect("is written");
    }

    /// A network as one daemon shows it.
    pub(crate) async fn network(&self, instance: &Instance, network: &str) -> Value {
        let (_, status) = self.call(instance, Method::GET, "/scanner/status", None).await;
        let mut networks = status["networks"].as_array().expect("networks").iter();
        networks.find(|shown| shown["network"] == network).cloned().expect("it is shown")
    }

    /// An address that no intent has.
    fn address(&self) -> Address {
        let number = u64::try_from(self.intents.len()).expect("few") + 1;
        let mut bytes = [0xc1; 20];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        Address::from(bytes)
    }

    /// Registers an intent on each network, named after it.
    pub(crate) async fn expect_on_all(&mut self, instance: &Instance, prefix: &str) {
        for network in NETWORKS {
            self.expect(instance, &format!("{prefix}-{network}"), network).await;
        }
    }

    /// Pays the intents whose names begin so, and mines until they are deep enough.
    pub(crate) async fn pay(&self, prefix: &str) {
        for (id, (network, to)) in &self.intents {
            if id.starts_with(prefix) {
                let node = &self.nodes[network];
                node.pay(node.accounts()[0], *to, U256::from(WEI)).await.expect("pays");
            }
        }
        for node in self.nodes.values() {
            node.mine(3).await.expect("mines");
        }
    }

    /// Waits until every intent is confirmed and the receiver knows of it.
    pub(crate) async fn until_all_confirmed(&self, instance: &Instance) {
        for id in self.intents.keys() {
            self.until(&format!("{id} is confirmed"), async |fleet| {
                let (_, intent) =
                    fleet.try_call(&instance.url, Method::GET, &intent_path(id), None).await?;
                (intent["status"] == "confirmed").then_some(())
            })
            .await;
            self.receiver.wait_for_event(id, "payment.confirmed").await;
        }
    }

    /// The instances that follow the networks, as one daemon shows them.
    pub(crate) async fn followers(&self, instance: &Instance) -> BTreeMap<String, Option<String>> {
        let (_, status) = self.call(instance, Method::GET, "/scanner/status", None).await;
        let networks = status["networks"].as_array().expect("networks").iter();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        networks
            .map(|network| (text(&network["network"]).expect("an id"), text(&network["instance"])))
            .collect()
    }

    /// Waits until exactly these instances follow the networks, and none is without one.
    pub(crate) async fn until_followed_by(&self, asked: &Instance, instances: &[&Instance]) {
        let wanted: BTreeSet<_> = instances.iter().map(|of| Some(of.name.clone())).collect();
        self.until("the networks are shared out", async |fleet| {
            let followers: BTreeSet<_> = fleet.followers(asked).await.into_values().collect();
            (followers == wanted).then_some(())
        })
        .await;
    }

    /// The events of the log, of an intent, through one daemon: id and type, in order.
    async fn log(&self, instance: &Instance, id: &str) -> Vec<(String, String)> {
        let path = format!("/v1/events?after=0&limit=200&intent={id}");
        let (code, events) = self.call(instance, Method::GET, &path, None).await;
        assert_eq!(code, 200, "{events}");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let events = events["data"].as_array().expect("a list").iter();
        events.map(|event| (text(&event["id"]), text(&event["type"]))).collect()
    }

    /// Nothing is lost, nothing is told twice under two ids, and no id has two bodies (I7).
    pub(crate) async fn assert_told_once(&self, instance: &Instance) {
        let mut bodies = BTreeMap::<String, BTreeSet<String>>::new();
        for webhook in self.receiver.inbox() {
            let id = webhook.body["id"].as_str().expect("an id").to_owned();
            bodies.entry(id).or_default().insert(webhook.raw);
        }
        let mut expected = BTreeSet::new();
        for id in self.intents.keys() {
            let mut log = self.log(instance, id).await;
            // The backend made it, so it is not told of that.
            log.retain(|(_, kind)| kind != "payment.created");
            let kinds: Vec<_> = log.iter().map(|(_, kind)| kind.as_str()).collect();
            assert_eq!(kinds, ["payment.detected", "payment.confirmed"], "{id}");
            expected.extend(log.into_iter().map(|(event, _)| event));
        }
        for (id, bodies) in &bodies {
            assert_eq!(bodies.len(), 1, "{id} was told in two ways: {bodies:#?}");
        }
        assert_eq!(bodies.into_keys().collect::<BTreeSet<_>>(), expected);
    }

    /// Waits for a condition, at most 60 seconds.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        condition: impl AsyncFn(&Self) -> Option<T>,
    ) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            if let Some(found) = condition(self).await {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: never");
            looks.tick().await;
        }
    }

    /// Whether a daemon is ready to serve.
    pub(crate) async fn is_ready(&self, instance: &Instance) -> bool {
        let answer = self.try_call(&instance.url, Method::GET, "/readyz", None).await;
        answer.is_some_and(|(code, _)| code == 200)
    }

    async fn call(
        &self,
        instance: &Instance,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let answer = self.try_call(&instance.url, method, path, body).await;
        answer.unwrap_or_else(|| panic!("no answer: {}", instance.server.output()))
    }

    async fn try_call(
        &self,
        url: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, format!("{url}{path}")).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        let code = answer.status().as_u16();
        Some((code, answer.json().await.unwrap_or_default()))
    }
}

fn intent_path(id: &str) -> String {
    format!("/v1/intents/{id}")
}

fn registry(network: &str, chain_id: u64) -> String {
    format!(
        "id = \"{network}\"\nname = \"{network}\"\nshort_name = \"{network}\"\nfamily = \"evm\"\n\
         caip2 = \"eip155:{chain_id}\"\nchain_id = {chain_id}\nblock_time = \"1s\"\n\
         confirmations = {{ default = 3, floor = 1 }}\nfinality = {{ tag = \"finalized\" }}\n\
         receipts = \"ethereum\"\nverify_from = 0\n\
         native = {{ symbol = \"ETH\", name = \"Ether\", decimals = 18 }}\n"
    )
}

fn configuration(store: &str, receiver: &str) -> String {
    format!(
        "registry = [\"networks\"]\n\
         [server]\nlisten = \"${{FLEET_LISTEN}}\"\n\
         [store]\nurl = \"{store}\"\nlease = \"3s\"\n\
         [[keys]]\nname = \"backend\"\nkey = \"{KEY}\"\nscopes = [\"read\", \"write\"]\n\
         [endpoints.backend]\nurl = \"{receiver}\"\ndialect = \"standard\"\n\
         secrets = [\"{SECRET}\"]\nallow_private = true\n\
         [defaults]\nendpoints = [\"backend\"]\n"
    )
}

fn followed(network: &str, node: &str) -> String {
    format!(
        "[networks.{network}]\npoll_interval = \"100ms\"\n\
         [[networks.{network}.providers]]\nname = \"node\"\nurl = \"{node}\"\n"
    )
}
