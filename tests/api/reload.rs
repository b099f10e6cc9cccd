//! Reloading the registry: what it takes, what it refuses, and that it does all or nothing.

use std::path::PathBuf;

use confirmd::clock::Clock;
use confirmd::config::Settings;
use confirmd::daemon::Daemon;
use serde_json::{Value, json};
use xtask::postgres::Database;

use crate::support::{ADMIN, Answer, Api, READER, WRITER, address};

const CONFIG: &str = r#"
registry = ["networks"]

[server]
listen = "127.0.0.1:0"

[store]
url = "STORE"

[[keys]]
name = "writer"
key = "key-of-the-writer"
scopes = ["read", "write"]

[[keys]]
name = "admin"
key = "key-of-the-admin"
scopes = ["read", "write", "admin"]

[networks.one]
[[networks.one.providers]]
name = "main"
url = "http://127.0.0.1:1/key-in-a-provider-url"
"#;

const ONE: &str = r#"
id = "one"
name = "One"
family = "evm"
caip2 = "eip155:901"
chain_id = 901
block_time = "1s"
confirmations = { default = 3, floor = 1 }
finality = { depth = 64 }
receipts = "ethereum"
native = { symbol = "ETH", name = "Ether", decimals = 18 }

[[tokens]]
symbol = "USDT"
name = "Tether"
address = "0x55d398326f99059fF775485246999027B3197955"
decimals = 6
"#;

const USDC: &str = r#"
[[tokens]]
symbol = "USDC"
name = "USD Coin"
address = "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d"
decimals = 6
"#;

/// A daemon whose providers do not answer, on files that the test changes.
struct House {
    daemon: Daemon,
    http: reqwest::Client,
    folder: tempfile::TempDir,
    _database: Option<Database>,
}

impl House {
    async fn start(database: Option<Database>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("networks")).expect("a folder");
        let sqlite = || format!("sqlite://{}/confirmd.db", folder.path().display());
        let store = database.as_ref().map_or_else(sqlite, |database| database.url().to_owned());
        std::fs::write(folder.path().join("networks/one.toml"), ONE).expect("writes");
        let file = folder.path().join("confirmd.toml");
        std::fs::write(&file, CONFIG.replace("STORE", &store)).expect("writes");
        let settings = Settings::load(&file).expect("settings");
        let daemon = Daemon::start(settings, Clock::system()).await.expect("starts");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { daemon, http, folder, _database: database }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("writes");
    }

    /// Changes a file; answers what it said.
    fn change(&self, name: &str, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(self.file(name)).expect("is there");
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, &text.replace(from, to));
        text
    }

    async fn ask(&self, method: reqwest::Method, path: &str, key: &str, body: &Value) -> Answer {
        let url = format!("http://{}{path}", self.daemon.address());
        let mut request = self.http.request(method, url).bearer_auth(key);
        if !body.is_null() {
            request = request.json(body);
        }
        Answer::of(request.send().await.expect("an answer")).await
    }

    async fn reload(&self) -> Answer {
        let body = json!({ "actor": "Ada" });
        self.ask(reqwest::Method::POST, "/v1/networks/reload", ADMIN, &body).await
    }

    async fn order(&self, id: &str, asset: &str, to: u64) -> Answer {
        let rail =
            json!({ "network": "one", "asset": asset, "amount": "1", "address": address(to) });
        let body = json!({ "id": id, "rails": [rail] });
        self.ask(reqwest::Method::POST, "/v1/intents", WRITER, &body).await
    }

    /// One that is told apart by its reference, through the native fee proxy.
    async fn order_with_reference(&self, id: &str, to: u64) -> Answer {
        let rail = json!({ "network": "one", "asset": "native", "amount": "1",
            "address": address(to), "reference": "0123456789abcdef" });
        let body = json!({ "id": id, "rails": [rail] });
        self.ask(reqwest::Method::POST, "/v1/intents", WRITER, &body).await
    }

    async fn networks(&self) -> Value {
        let path = "/v1/networks";
        self.ask(reqwest::Method::GET, path, WRITER, &Value::Null).await.expect(200)
    }

    /// Makes sure that a reload is refused, names this place, and changes nothing.
    async fn refused(&self, status: u16, code: &str, place: &str, expected: &str) {
        let before = self.networks().await;
        let answer = self.reload().await;
        let pointers = answer.problem(status, code);
        assert!(pointers.iter().any(|pointer| pointer.ends_with(place)), "{place}: {pointers:?}");
        assert!(answer.text.contains(expected), "{expected}: {}", answer.text);
        assert!(!answer.text.contains("key-in-a-provider-url"), "{}", answer.text);
        assert_eq!(self.networks().await, before);
    }
}

/// Runs a story on both databases.
async fn on_both(story: impl AsyncFn(&House)) {
    let database = Database::create("reload").await.expect("PostgreSQL");
    for database in [None, Some(database)] {
        let house = House::start(database).await;
        story(&house).await;
        let House { daemon, .. } = house;
        daemon.stop().await;
    }
}

#[tokio::test]
async fn only_an_admin_reloads() {
    let api = Api::start("http://127.0.0.1:1").await;
    for key in [READER, WRITER] {
        api.command("/v1/networks/reload", key).await.problem(403, "forbidden");
    }
    let unknown = api.post("/v1/networks/reload", ADMIN, &json!({ "folder": "/etc" })).await;
    assert_eq!(unknown.problem(422, "invalid-value"), ["/folder"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_files_add_change_and_leave_out_is_told_and_can_be_used_at_once() {
    on_both(async |house| {
        let nothing = json!({ "added": [], "changed": [], "removed": [], "warnings": [] });
        assert_eq!(house.reload().await.expect(200), nothing);

        house.order("early", "USDC", 1).await.problem(422, "invalid-value");
        house.write("networks/one.toml", &format!("# A comment.\n{ONE}{USDC}"));
        let two = ONE.replace("one", "two").replace("One", "Two").replace("901", "902");
        house.write("networks/two.toml", &two);
        let answer = house.reload().await.expect(200);
        assert_eq!(answer["added"][0]["network"], "two", "{answer}");
        assert_eq!(answer["added"][0]["followed"], false, "{answer}");
        assert_eq!(answer["added"][0]["assets_added"], json!(["ETH", "USDT"]), "{answer}");
        let changed = json!([{ "network": "one", "followed": true, "assets_added": ["USDC"],
            "assets_changed": [], "assets_removed": [] }]);
        assert_eq!((&answer["changed"], &answer["removed"]), (&changed, &json!([])));
        house.order("in-time", "USDC", 1).await.expect(201);

        // The section decides whether a network is followed; the rest of the file waits for a start.
        let more = "[networks.two]\nthreshold = 1\n[[networks.two.providers]]\nname = \"main\"\n\
                    url = \"http://127.0.0.1:1\"\n[[keys]]\nname = \"new\"\n\
                    key = \"key-that-is-not-known-yet\"\nscopes = [\"read\"]\n";
        let text = std::fs::read_to_string(house.file("confirmd.toml")).expect("is there");
        house.write("confirmd.toml", &format!("{text}{more}"));
        let answer = house.reload().await.expect(200);
        assert_eq!(answer["changed"][0]["network"], "two", "{answer}");
        assert_eq!(answer["changed"][0]["followed"], true, "{answer}");
        let get = reqwest::Method::GET;
        let path = "/v1/networks";
        let stranger = "key-that-is-not-known-yet";
        house.ask(get, path, stranger, &Value::Null).await.problem(401, "unauthorized");

        house.write("confirmd.toml", &text);
        std::fs::remove_file(house.file("networks/two.toml")).expect("is there");
        house.change("networks/one.toml", "Tether", "Tether USD");
        let answer = house.reload().await.expect(200);
        assert_eq!(answer["removed"][0]["network"], "two", "{answer}");
        assert_eq!(answer["changed"][0]["assets_changed"], json!(["USDT"]), "{answer}");
        assert_eq!(house.networks().await["data"].as_array().map(Vec::len), Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_any_file_is_named_and_nothing_changes_i14() {
    let house = House::start(None).await;
    // What is right beside a mistake is not taken either.
    house.write("networks/two.toml", &ONE.replace("one", "two").replace("901", "902"));
    for (file, from, to, place, expected) in [
        ("networks/one.toml", "decimals = 6", "decimals = 99", ": tokens[0].decimals", "36"),
        ("networks/one.toml", "caip2 =", "caip =", ": caip", "did you mean `caip2`?"),
        ("networks/one.toml", "id = \"one\"", "id = ", "/networks/one.toml:2", "value"),
        ("networks/two.toml", TWO, ONCE_MORE, ": caip2", "is the chain of `one` as well"),
        ("networks/two.toml", "\"two\"", "\"one\"", ": id", "is the id of"),
        ("confirmd.toml", "[networks.one]", "[networks.on]", ": networks.on", "`one`"),
        ("confirmd.toml", "main", "${CONFIRMD_NOT_SET}", "].name", "CONFIRMD_NOT_SET"),
        ("confirmd.toml", "[networks.one]", "[networks.one]\nquorum = 2", ".quorum", "found 2"),
        ("confirmd.toml", "scopes", "scope", ": keys[0].scope", "did you mean `scopes`?"),
        ("confirmd.toml", "[\"networks\"]", "[\"elsewhere\"]", "registry[0]", "folder"),
    ] {
        let before = house.change(file, from, to);
        house.refused(422, "invalid-registry", place, expected).await;
        house.write(file, &before);
    }
    std::fs::remove_file(house.file("confirmd.toml")).expect("is there");
    house.refused(422, "invalid-registry", "confirmd.toml", "cannot be read").await;
}

const TWO: &str = "eip155:902\"\nchain_id = 902";
const ONCE_MORE: &str = "eip155:901\"\nchain_id = 901";

#[tokio::test(flavor = "multi_thread")]
async fn what_intents_wait_for_is_not_taken_from_them() {
    on_both(async |house| {
        house.write("networks/one.toml", &format!("{ONE}{USDC}"));
        house.reload().await.expect(200);
        house.order("open", "USDT", 1).await.expect(201);
        house.order("closed", "native", 2).await.expect(201);
        let cancel = "/v1/intents/closed/cancel";
        house.ask(reqwest::Method::POST, cancel, WRITER, &Value::Null).await.expect(200);

        let of = |from: &str, to: &str| house.change("networks/one.toml", from, to);
        for (from, to, place, expected) in [
            ("eip155:901\"\nchain_id = 901", "eip155:7\"\nchain_id = 7", "caip2", "`eip155:901`"),
            ("0x55d398326f99059fF775485246999027B3197955", OTHER, "tokens", "USDT (0x55d3"),
            ("decimals = 6", "decimals = 18", "tokens", "with 6 decimals"),
            // Its intent is over, but late payments are still looked for.
            ("symbol = \"ETH\", name = \"Ether\", decimals = 18", POOR, "tokens", "ETH (native)"),
        ] {
            let before = of(from, to);
            house.refused(409, "registry-in-use", place, expected).await;
            house.write("networks/one.toml", &before);
        }
        of("native =", "fee_proxies = { native = \"PROXY\" }\nnative =");
        house.change("networks/one.toml", "PROXY", OTHER);
        house.reload().await.expect(200);
        house.order_with_reference("referred", 4).await.expect(201);
        let with_proxy = of("cd5800", "cd5801");
        house.refused(409, "registry-in-use", "fee_proxies", "to stay as they are").await;
        house.write("networks/one.toml", &with_proxy);

        let section =
            house.change("confirmd.toml", "[networks.one]", "[networks.one]\nenabled=false");
        house.refused(409, "registry-in-use", "networks.one", "is not followed any more").await;
        house.write("confirmd.toml", &section);

        // Nobody waits for USDC.
        house.write("networks/one.toml", &with_proxy.replace(USDC, ""));
        let answer = house.reload().await.expect(200);
        assert_eq!(answer["changed"][0]["assets_removed"], json!(["USDC"]), "{answer}");
        house.order("late", "USDC", 3).await.problem(422, "invalid-value");
        house.order("next", "USDT", 3).await.expect(201);
    })
    .await;
}

const OTHER: &str = "0x8ac76a51cc950d9822d68b83fe1ad97b32cd5800";
const POOR: &str = "symbol = \"ETH\", name = \"Ether\", decimals = 9";

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_become_another_chain_while_nothing_was_followed_or_asked_under_it() {
    let house = House::start(None).await;
    house.change("networks/one.toml", "901", "7");
    let answer = house.reload().await.expect(200);
    assert_eq!(answer["changed"][0]["network"], "one");
    assert_eq!(house.networks().await["data"][0]["caip2"], "eip155:7");
}
