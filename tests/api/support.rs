//! An API on a free port with a fresh store, and a client that talks to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use confirmd::api::{self, Context};
use confirmd::clock::Clock;
use confirmd::config::{Config, Settings};
use confirmd::registry::Registry;
use confirmd::reload::Reloads;
use confirmd::settlement::NetworkId;
use confirmd::store::{Fence, Store};
use confirmd::watcher::{Committer, DepositPolicy, Step};
use confirmd::webhook::{Endpoints, Trials, Waker};
use confirmd::{families, telemetry};
use confirmd_chain::{
    Address, Amount, Asset, Block, BlockHash, Confirmations, Header, Height, Proof, Timestamp,
    TransactionId, Transfer, TransferId, TransferIndex, WatchVersion, Work,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use xtask::postgres::Database;

pub(crate) const READER: &str = "key-of-the-reader";
pub(crate) const WRITER: &str = "key-of-the-writer";
pub(crate) const OTHER: &str = "key-of-the-other-account";
pub(crate) const ADMIN: &str = "key-of-the-admin";
pub(crate) const LIMITED: &str = "key-with-a-small-limit";
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub(crate) const AMN_SECRET: &str = "a-secret-of-the-amn-dialect";
pub(crate) const PROVIDER_KEY: &str = "key-in-a-provider-url";
pub(crate) const URL_TOKEN: &str = "token-in-an-endpoint-url";

/// Every secret of the configuration: none of them may come out (I12).
pub(crate) const SECRETS: [&str; 9] =
    [READER, WRITER, OTHER, ADMIN, LIMITED, SECRET, AMN_SECRET, PROVIDER_KEY, URL_TOKEN];

/// 2026-01-01T00:00:00.000Z.
pub(crate) const START: Timestamp = Timestamp(1_767_225_600_000);
pub(crate) const USDT: &str = "0x55d398326f99059fF775485246999027B3197955";

const CONFIG: &str = r#"
[[keys]]
name = "reader"
key = "key-of-the-reader"
scopes = ["read"]

[[keys]]
name = "writer"
key = "key-of-the-writer"
scopes = ["read", "write"]

[[keys]]
name = "other"
key = "key-of-the-other-account"
account = "other"
scopes = ["read", "write"]

[[keys]]
name = "admin"
key = "key-of-the-admin"
scopes = ["read", "write", "admin"]

[[keys]]
name = "limited"
key = "key-with-a-small-limit"
scopes = ["read", "write"]
max_open_intents = 3

[endpoints.backend]
url = "RECEIVER/token-in-an-endpoint-url"
secrets = ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]
events = ["payment.created", "payment.confirmed", "payment.cancelled"]
allow_private = true

[endpoints.amn]
url = "https://amn.example/token-in-an-endpoint-url"
dialect = "amn"
secrets = ["a-secret-of-the-amn-dialect"]

[defaults]
endpoints = ["backend"]
tolerance = "0.001"

[networks.bsc]
[[networks.bsc.providers]]
name = "main"
url = "http://127.0.0.1:1/key-in-a-provider-url"

[networks.anvil]
[[networks.anvil.providers]]
name = "main"
url = "http://127.0.0.1:1/key-in-a-provider-url"
"#;

/// An API that runs until it is dropped.
pub(crate) struct Api {
    pub(crate) context: Context,
    base: String,
    client: reqwest::Client,
    server: Server,
    /// Where its data is.
    _home: (tempfile::TempDir, Option<Database>),
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Who shows the blocks that tests commit, and how much they hold to look at.
pub(crate) const PROVIDER: &str = "node";
pub(crate) const EXAMINED: u64 = 7;

/// An answer, read in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("a body"),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON: {}", self.text))
    }

    /// The body of an answer of this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Makes sure that it is a problem document of this status and code, and gives its pointers.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Vec<String> {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["type"], format!("urn:confirmd:problem:{code}"), "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let pointer = |error: &Value| error["pointer"].as_str().expect("a pointer").to_owned();
        errors.iter().map(pointer).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Runs a story on both databases.
pub(crate) async fn on_both(story: impl AsyncFn(Api)) {
    story(Api::start("http://127.0.0.1:1").await).await;
    story(Api::on_postgres("http://127.0.0.1:1").await).await;
}

impl Api {
    /// On SQLite.
    pub(crate) async fn start(receiver: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/confirmd.db", folder.path().display());
        Self::start_on(&url, receiver, (folder, None)).await
    }

    pub(crate) async fn on_postgres(receiver: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::create("api").await.expect("PostgreSQL");
        let url = database.url().to_owned();
        Self::start_on(&url, receiver, (folder, Some(database))).await
    }

    async fn start_on(
        url: &str,
        receiver: &str,
        home: (tempfile::TempDir, Option<Database>),
    ) -> Self {
        let store = Store::open(url).await.expect("the store");
        let context = context(store, receiver);
        let (base, server) = serve(&context).await;
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { context, base, client, server, _home: home }
    }

    /// Serves anew, with something changed.
    pub(crate) async fn serve_with(&mut self, change: impl FnOnce(&mut Context)) {
        self.server.abort();
        change(&mut self.context);
        (self.base, self.server) = serve(&self.context).await;
    }

    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if key.is_empty() { request } else { request.bearer_auth(key) }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        self.send(self.request(Method::GET, path, key)).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, key).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path, key).json(body)).await
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A POST without a body.
    pub(crate) async fn command(&self, path: &str, key: &str) -> Answer {
        self.send(self.request(Method::POST, path, key)).await
    }

    /// A block of bsc that pays an address, and blocks on it until it is this deep.
    pub(crate) async fn pay(&self, height: u64, address: &str, amount: &str, depth: u64) {
        let transfer = self.transfer(height, address, amount);
        self.commit(height, depth, None, &[transfer]).await;
    }

    /// A transfer on bsc, in the transaction of this number.
    pub(crate) fn transfer(&self, number: u64, address: &str, amount: &str) -> Transfer {
        let chain = &self.context.chains[&NetworkId::from("bsc")];
        let to = chain.parse_address(address).expect("an address");
        Transfer {
            id: TransferId {
                transaction: TransactionId::new(format!("0x{number:064x}")),
                index: TransferIndex::Log(0),
            },
            asset: Asset::Token(Address::from_canonical(USDT)),
            from: None,
            watch: chain.watch_key(&to),
            to,
            amount: Amount::parse_decimal(amount, 18).expect("an amount"),
            memo: None,
            references: Vec::new(),
            maturity: Confirmations::default(),
        }
    }

    /// Empty blocks of bsc.
    pub(crate) async fn grow(&self, height: u64, blocks: u64) {
        self.commit(height, blocks, None, &[]).await;
    }

    /// Empty blocks of a network.
    pub(crate) async fn grow_on(&self, network: &str, height: u64, blocks: u64) {
        self.commit_on(&network.into(), height, blocks, None, &[]).await;
    }

    /// Every backfill has looked through its range.
    pub(crate) async fn end_backfills(&self, network: &str) {
        let backfills = self.context.store.backfills(&network.into(), 100).await;
        let mut transaction = self.context.store.begin().await.expect("a transaction");
        for backfill in backfills.expect("the backfills") {
            let ended = transaction.advance_backfill(&backfill.id, backfill.to.next()).await;
            ended.expect("is ended");
        }
        transaction.commit().await.expect("commits");
    }

    /// Blocks of bsc from a height on, the first with these transfers; what stands above
    /// `rolled_back_to` is taken back before.
    pub(crate) async fn commit(
        &self,
        height: u64,
        blocks: u64,
        rolled_back_to: Option<u64>,
        transfers: &[Transfer],
    ) {
        self.commit_on(&"bsc".into(), height, blocks, rolled_back_to, transfers).await;
    }

    async fn commit_on(
        &self,
        network: &NetworkId,
        height: u64,
        blocks: u64,
        rolled_back_to: Option<u64>,
        transfers: &[Transfer],
    ) {
        let mut blocks: Vec<_> = (height..height + blocks).map(|at| self.block(at)).collect();
        blocks[0].transfers = transfers.to_vec();
        let committer = self.committer(network);
        let fence = take_over(&self.context.store, network).await;
        let rolled_back_to = rolled_back_to.map(Height);
        let step = Step { blocks: &blocks, rolled_back_to, finalized: None };
        committer.commit(&fence, step).await.expect("a commit");
    }

    /// An empty block.
    pub(crate) fn block(&self, at: u64) -> Block {
        let hash = |height: u64| BlockHash::new(format!("0x{height:064x}"));
        Block {
            header: Header {
                height: Height(at),
                hash: hash(at),
                parent: hash(at - 1),
                parent_height: Height(at - 1),
                time: self.context.clock.now(),
                mined_at: self.context.clock.now(),
                work: Work::ONE,
            },
            transfers: Vec::new(),
            spends: Vec::new(),
            proof: Proof::Commitment,
            provider: PROVIDER.into(),
            examined: EXAMINED,
            watches: WatchVersion(u64::MAX >> 1),
        }
    }

    /// What writes a network's steps.
    pub(crate) fn committer(&self, network: &NetworkId) -> Committer {
        let usdt = Asset::Token(Address::from_canonical(USDT));
        Committer {
            store: self.context.store.clone(),
            network: network.clone(),
            assets: Arc::new(BTreeMap::from([(usdt, ("USDT".to_owned(), 18))])),
            endpoints: self.context.endpoints.clone(),
            deposits: DepositPolicy { floor: Confirmations(15), ..DepositPolicy::default() },
            late_window: Duration::from_secs(86_400),
            clock: self.context.clock.clone(),
            courier: Waker::default(),
        }
    }
}

/// Follows a network, as the instance `test`.
pub(crate) async fn take_over(store: &Store, network: &NetworkId) -> Fence {
    store.take_lease(network, "test", Duration::from_secs(600)).await.expect("the lease");
    store.take_over(network, "test").await.expect("the network")
}

type Server = tokio::task::JoinHandle<std::io::Result<()>>;

/// On a free port.
async fn serve(context: &Context) -> (String, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let router = api::router(context.clone());
    (base, tokio::spawn(api::serve(listener, router, std::future::pending())))
}

fn context(store: Store, receiver: &str) -> Context {
    let clock = Clock::manual(START);
    let text = CONFIG.replace("RECEIVER", receiver);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::parse(&root.join("test.toml"), &text, &|_| None).expect("a configuration");
    let registry = Registry::load(&[root.join("config/networks")]).expect("a registry");
    let settings = Settings::merge(config, registry).expect("settings");
    let trials = Trials::new(clock.clone()).expect("a client");
    let ids = settings.networks.iter().map(|followed| followed.network.id.as_str().into());
    let wakes = ids.clone().map(|id: NetworkId| (id, Arc::new(Notify::new()))).collect();
    let chains = settings.networks.iter().map(|n| families::build(n).expect("a chain"));
    Context {
        store,
        endpoints: Endpoints::new(settings.config.endpoints.clone(), None),
        chains: Arc::new(ids.zip(chains).collect()),
        wakes: Arc::new(wakes),
        reloads: Reloads::channel().0,
        replaced: CancellationToken::new(),
        looks: confirmd::api::Looks::default(),
        courier: Waker::default(),
        trials,
        metrics: telemetry::metrics(),
        started_at: clock.now(),
        instance: "test".into(),
        problems: Vec::new().into(),
        settings: Arc::new(settings),
        clock,
    }
}

/// An address that nobody else uses.
pub(crate) fn address(number: u64) -> String {
    let raw = format!("0x{:040x}", 0xabcd_ef00_0000_0000_u64 + number);
    confirmd_evm::parse_address(&raw).expect("an address").to_string()
}

/// A request for 12.5 USDT on bsc at an address.
pub(crate) fn order(id: &str, address: &str) -> Value {
    json!({
        "id": id,
        "rails": [{ "network": "bsc", "asset": "USDT", "amount": "12.50", "address": address }],
    })
}
