//! The daemon as a process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::Address;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use xtask::anvil::Anvil;
use xtask::process::{Server, Signal};

use crate::traffic::Intent;

const KEY: &str = "crash-backend-key-0123456789";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A daemon with a database of its own, that can be killed and started again.
pub(crate) struct Instance {
    name: &'static str,
    folder: TempDir,
    postgres: Option<String>,
    server: Option<Server>,
    api: Api,
}

/// The API of a daemon that may be dead just now.
#[derive(Clone)]
pub(crate) struct Api {
    /// Every life has a port of its own: somebody else may have taken the last one.
    url: Arc<Mutex<String>>,
    http: reqwest::Client,
}

impl Instance {
    /// One that was never started.
    pub(crate) fn new(
        name: &'static str,
        anvil: &Anvil,
        token: Address,
        receiver: &str,
        postgres: Option<&str>,
    ) -> Self {
        let folder = TempDir::with_prefix("confirmd-crash-").expect("a folder");
        let file = format!("sqlite://{}", folder.path().join("confirmd.db").display());
        let config = configuration(&anvil.url(), receiver, postgres.unwrap_or(&file));
        std::fs::write(folder.path().join("confirmd.toml"), config).expect("writes");
        std::fs::create_dir(folder.path().join("networks")).expect("a folder");
        std::fs::write(folder.path().join("networks/anvil.toml"), registry(token)).expect("writes");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build();
        let api = Api { url: Arc::default(), http: http.expect("a client") };
        let postgres = postgres.map(str::to_owned);
        Self { name, folder, postgres, server: None, api }
    }

    /// Its API, which survives it.
    pub(crate) fn api(&self) -> Api {
        self.api.clone()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("confirmd.toml")
    }

    /// Starts it, and does not wait for it: it may be killed while it starts, too.
    pub(crate) async fn start(&mut self) {
        self.let_leases_run_out().await;
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let mut command = Command::new(env!("CARGO_BIN_EXE_confirmd"));
        command.arg("--config").arg(self.config()).arg("run");
        command.env("CRASH_LISTEN", address.to_string()).env("NO_COLOR", "1");
        let server = Server::start(self.name, &mut command, Signal::SIGKILL).expect("starts");
        *self.api.url.lock().expect("no test panics with it") = format!("http://{address}");
        self.server = Some(server);
    }

    /// Kills it. False where its port was taken, so that it did not live: that was no kill.
    pub(crate) fn kill(&mut self) -> bool {
        let mut server = self.server.take().expect("it was started");
        let lived = server.is_running();
        let said = server.output();
        assert!(lived || said.contains("server.listen"), "it ended by itself: {said}");
        server.kill();
        lived
    }

    /// Ends it for good.
    pub(crate) fn stop(&mut self) {
        self.kill();
    }

    /// The end of what it logged.
    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(Server::output).unwrap_or_default()
    }

    /// The lease of a killed instance runs out. On PostgreSQL that instance might live on another
    /// machine, so nothing less tells that it is gone; here the wait is skipped. (A SQLite file
    /// has one process: its next start knows.)
    async fn let_leases_run_out(&self) {
        let Some(url) = &self.postgres else { return };
        let pool = sqlx::PgPool::connect(url).await.expect("PostgreSQL answers");
        // A life may have ended before there were tables.
        let tables = "SELECT 1 FROM pg_tables WHERE tablename = 'leases'";
        let migrated = sqlx::query(tables).fetch_optional(&pool).await.expect("an answer");
        if migrated.is_some() {
            for table in ["instances", "leases"] {
                let text = format!("UPDATE {table} SET until = 0");
                sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.expect("updates");
            }
        }
        pool.close().await;
    }

    /// Registers an intent.
    pub(crate) async fn create(&self, intent: &Intent) {
        self.api.create(intent).await;
    }

    /// All items of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{separator}limit=200{cursor}")).await;
            items.extend(page["data"].as_array().expect("a list").iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return items };
            cursor = format!("&cursor={next}");
        }
    }

    /// What a path answers, once there is an answer.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (code, answer) = self.api.call(Method::GET, path, None).await;
        assert_eq!(code, 200, "{path}: {answer}");
        answer
    }

    /// Has the deliveries that wait for their next try sent now.
    pub(crate) async fn retry(&self) {
        self.api.call(Method::POST, "/scanner/webhooks/retry", None).await;
    }
}

impl Api {
    /// Registers an intent, as a backend does: until there is an answer.
    pub(crate) async fn create(&self, intent: &Intent) {
        let (code, answer) = self.call(Method::POST, "/v1/intents", Some(intent.request())).await;
        assert!(code == 201 || code == 200, "{code} {answer}");
    }

    /// Asks until a whole answer comes; answers its code and body.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let asked = async {
            let mut tries = tokio::time::interval(Duration::from_millis(20));
            loop {
                tries.tick().await;
                if let Ok(answer) = self.try_call(&method, path, body.as_ref()).await {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(Duration::from_mins(2), asked).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} is never answered"))
    }

    async fn try_call(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let url = self.url.lock().expect("no test panics with it").clone();
        let mut request = self.http.request(method.clone(), url + path).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }
}

fn registry(token: Address) -> String {
    format!(
        "id = \"anvil\"\nname = \"Anvil\"\nshort_name = \"ANVIL\"\nfamily = \"evm\"\n\
         caip2 = \"eip155:31337\"\nchain_id = 31337\nblock_time = \"1s\"\n\
         confirmations = {{ default = 3, floor = 1 }}\nfinality = {{ tag = \"finalized\" }}\n\
         receipts = \"ethereum\"\nverify_from = 0\n\
         native = {{ symbol = \"ETH\", name = \"Ether\", decimals = 18 }}\n\
         [[tokens]]\nsymbol = \"USDC\"\nname = \"USD Coin\"\naddress = \"{token}\"\ndecimals = 18\n"
    )
}

fn configuration(anvil: &str, receiver: &str, store: &str) -> String {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/networks");
    // Every event is asked for: also those that are off by default must survive.
    format!(
        "registry = [\"{shipped}\", \"networks\"]\n\
         [server]\nlisten = \"${{CRASH_LISTEN}}\"\n\
         [store]\nurl = \"{store}\"\n\
         [[keys]]\nname = \"backend\"\nkey = \"{KEY}\"\naccount = \"default\"\n\
         scopes = [\"read\", \"write\", \"admin\"]\n\
         [endpoints.backend]\nurl = \"{receiver}\"\ndialect = \"standard\"\n\
         secrets = [\"{SECRET}\"]\nallow_private = true\n\
         events = [\"payment.created\", \"payment.detected\", \"payment.partial\", \
         \"payment.confirming\", \"payment.confirmed\", \"payment.reverted\", \
         \"orphan.received\", \"orphan.reverted\"]\n\
         [defaults]\nendpoints = [\"backend\"]\nlook_back = \"24h\"\n\
         [networks.anvil]\nthreshold = 3\nverify = \"receipts\"\nstart = 1\n\
         poll_interval = \"50ms\"\n\
         [[networks.anvil.providers]]\nname = \"node\"\nurl = \"{anvil}\"\n"
    )
}
