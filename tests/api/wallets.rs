//! Wallets: registered, handed out address by address, and paid without an intent.

use std::sync::Arc;

use confirmd::watcher::LookAhead;
use serde_json::{Value, json};

use crate::qr::read_back;
use crate::support::{ADMIN, Api, OTHER, READER, START, USDT, WRITER, on_both, order};

/// The account `m/44'/60'/0'` of the phrase that every development node starts with.
const XPUB: &str = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP";
const ADDRESSES: [&str; 3] = [
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
];

fn wallet(id: &str) -> Value {
    json!({ "id": id, "network": "bsc", "public_keys": XPUB })
}

async fn take(api: &Api, wallet: &str, body: Value) -> Value {
    api.post(&format!("/v1/wallets/{wallet}/addresses"), WRITER, &body).await.expect(200)
}

async fn events(api: &Api, kind: &str) -> Vec<Value> {
    let page = api.get(&format!("/v1/events?type={kind}"), READER).await.expect(200);
    page["data"].as_array().expect("events").clone()
}

async fn deposits(api: &Api, query: &str) -> Vec<Value> {
    let page = api.get(&format!("/v1/deposits{query}"), READER).await.expect(200);
    page["data"].as_array().expect("deposits").clone()
}

#[tokio::test]
async fn a_wallet_hands_out_its_addresses_one_after_the_other_and_by_name_the_same() {
    on_both(async |api| {
        let made = api.post("/v1/wallets", WRITER, &wallet("shop")).await;
        let made = made.expect(201);
        assert_eq!(made["public_keys"], XPUB);
        assert_eq!((made["available"].clone(), made["low"].clone()), (json!(20), json!(false)));
        assert_eq!(made["endpoints"], json!(["backend"]));

        let first = take(&api, "shop", json!({ "external_id": "user-1" })).await;
        assert_eq!(first["address"], ADDRESSES[0]);
        assert_eq!(first["path"], "m/44'/60'/0'/0/0");
        assert_eq!(first["network"], "bsc");
        let second = api.command("/v1/wallets/shop/addresses", WRITER).await.expect(200);
        assert_eq!(second["address"], ADDRESSES[1]);
        assert_eq!(take(&api, "shop", json!({ "external_id": "user-1" })).await, first);
        let third = take(&api, "shop", json!({ "index": 2, "external_id": "user-2" })).await;
        assert_eq!(third["address"], ADDRESSES[2]);
        assert_eq!(take(&api, "shop", json!({ "index": 2 })).await, third);
        assert_eq!(take(&api, "shop", json!({})).await["index"], 3);

        let path = "/v1/wallets/shop/addresses";
        let taken = json!({ "index": 2, "external_id": "user-3" });
        api.post(path, WRITER, &taken).await.problem(409, "address-taken");
        let moved = json!({ "index": 7, "external_id": "user-1" });
        api.post(path, WRITER, &moved).await.problem(409, "address-taken");
        api.post(path, READER, &json!({})).await.problem(403, "forbidden");
        api.post(path, OTHER, &json!({})).await.problem(404, "not-found");
        let page = api.get("/v1/wallets/shop/addresses?limit=3&count=true", READER).await;
        let page = page.expect(200);
        assert_eq!(page["total"], 4);
        let indexes: Vec<_> =
            page["data"].as_array().expect("addresses").iter().map(|a| &a["index"]).collect();
        assert_eq!(indexes, [3, 2, 1]);
        let cursor = page["next_cursor"].as_str().expect("another page");
        let rest = api.get(&format!("{path}?cursor={cursor}"), READER).await.expect(200);
        assert_eq!(rest["data"], json!([first]));
        let shown = api.get("/v1/wallets/shop", READER).await.expect(200);
        assert_eq!(
            (shown["next_index"].clone(), shown["available"].clone()),
            (json!(4), json!(16))
        );
    })
    .await;
}

#[tokio::test]
async fn registering_again_answers_the_same_and_another_wallet_is_refused() {
    on_both(async |api| {
        api.post("/v1/wallets", WRITER, &wallet("shop")).await.expect(201);
        api.post("/v1/wallets", WRITER, &wallet("shop")).await.expect(200);
        let mut other = wallet("shop");
        other["gap_limit"] = json!(5);
        let pointers = api.post("/v1/wallets", WRITER, &other).await.problem(409, "id-conflict");
        assert_eq!(pointers, ["/id"]);
        let again = api.post("/v1/wallets", WRITER, &wallet("shop-2")).await;
        assert_eq!(again.problem(409, "address-in-use"), ["/public_keys"]);
        let listed = json!({ "id": "list", "network": "bsc",
            "addresses": [{ "address": ADDRESSES[1] }] });
        let listed = api.post("/v1/wallets", OTHER, &listed).await;
        assert_eq!(listed.problem(409, "address-in-use"), ["/addresses/0/address"]);
        let page = api.get("/v1/wallets?count=true", READER).await.expect(200);
        assert_eq!(
            (page["total"].clone(), page["data"][0]["id"].clone()),
            (json!(1), json!("shop"))
        );
        assert_eq!(api.get("/v1/wallets", OTHER).await.expect(200)["data"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn private_keys_and_lists_with_doubles_are_refused_and_not_repeated_i12_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let xprv = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
    let words = "test test test test test test test test test test test junk";
    for secret in [xprv, words] {
        for network in ["bsc", "nowhere"] {
            let body = json!({ "id": "w", "network": network, "public_keys": secret });
            let answer = api.post("/v1/wallets", WRITER, &body).await;
            assert!(answer.problem(422, "invalid-value").contains(&"/public_keys".to_owned()));
            assert!(answer.text.contains("private key"), "{}", answer.text);
            assert!(!answer.text.contains(secret), "{}", answer.text);
        }
    }
    let list = |addresses: Value| json!({ "id": "w", "network": "bsc", "addresses": addresses });
    let cases = [
        (
            json!([{ "address": ADDRESSES[0] }, { "address": ADDRESSES[0].to_lowercase() }]),
            "/addresses/1",
        ),
        (
            json!([{ "address": ADDRESSES[0], "index": 1 }, { "address": ADDRESSES[1] }]),
            "/addresses/1",
        ),
        (json!([{ "address": "0x12" }]), "/addresses/0/address"),
        (json!([{ "address": ADDRESSES[0], "index": -1 }]), "/addresses/0/index"),
        (json!([{ "address": ADDRESSES[0], "path": xprv }]), "/addresses/0/path"),
        (json!([]), "/addresses"),
    ];
    for (addresses, pointer) in cases {
        let answer = api.post("/v1/wallets", WRITER, &list(addresses)).await;
        assert_eq!(answer.problem(422, "invalid-value"), [pointer]);
    }
    let both = json!({ "id": "w", "network": "bsc", "public_keys": XPUB, "addresses": [] });
    let none = json!({ "id": "w", "network": "bsc", "gap_limit": 0, "endpoints": ["nope"] });
    let both = api.post("/v1/wallets", WRITER, &both).await;
    assert_eq!(both.problem(422, "invalid-value"), ["/public_keys"]);
    let none = api.post("/v1/wallets", WRITER, &none).await;
    let pointers = none.problem(422, "invalid-value");
    assert_eq!(pointers, ["/endpoints/0", "/gap_limit", "/public_keys"]);
    let missing = api.get("/v1/wallets/w", READER).await;
    missing.problem(404, "not-found");
}

#[tokio::test]
async fn the_gap_limit_ends_until_an_address_is_paid_and_a_list_ends_for_good() {
    on_both(async |api| {
        let mut shop = wallet("shop");
        shop["gap_limit"] = json!(2);
        api.post("/v1/wallets", WRITER, &shop).await.expect(201);
        take(&api, "shop", json!({})).await;
        take(&api, "shop", json!({})).await;
        let path = "/v1/wallets/shop/addresses";
        let refused = api.post(path, WRITER, &json!({})).await;
        refused.problem(409, "gap-limit");
        assert!(refused.text.contains("gap_limit"), "{}", refused.text);
        api.post(path, WRITER, &json!({ "index": 3 })).await.problem(409, "gap-limit");
        take(&api, "shop", json!({ "index": 1 })).await;
        let shown = api.get("/v1/wallets/shop", READER).await.expect(200);
        assert_eq!((shown["available"].clone(), shown["low"].clone()), (json!(0), json!(true)));

        api.grow(1, 1).await;
        api.pay(2, ADDRESSES[1], "1", 1).await;
        assert_eq!(take(&api, "shop", json!({})).await["index"], 2);

        let list = json!({ "id": "list", "network": "bsc", "addresses": [
            { "address": "0x00000000000000000000000000000000000000A1", "path": "vault/7" },
            { "address": "0x00000000000000000000000000000000000000A2", "index": 9 },
        ] });
        let made = api.post("/v1/wallets", WRITER, &list).await.expect(201);
        assert_eq!((made["available"].clone(), made["low"].clone()), (json!(2), json!(true)));
        let first = take(&api, "list", json!({ "external_id": "a" })).await;
        assert_eq!((first["path"].clone(), first["index"].clone()), (json!("vault/7"), json!(0)));
        assert_eq!(take(&api, "list", json!({})).await["index"], 9);
        let path = "/v1/wallets/list/addresses";
        api.post(path, WRITER, &json!({})).await.problem(409, "wallet-empty");
        assert_eq!(take(&api, "list", json!({ "external_id": "a" })).await, first);

        let status = api.get("/scanner/status", READER).await.expect(200);
        let low = status["problems"].as_array().and_then(|problems| problems.first());
        let low = low.map(|problem| (&problem["code"], &problem["subject"]));
        assert_eq!(low, Some((&json!("wallet-low"), &json!("default/list"))), "{status}");
        let more = json!({ "addresses": [
            { "address": "0x00000000000000000000000000000000000000A1" },
            { "address": "0x00000000000000000000000000000000000000A3" },
        ] });
        let path = "/v1/wallets/list/import";
        for _ in 0..2 {
            let imported = api.post(path, WRITER, &more).await.expect(200);
            assert_eq!(imported["available"], 1, "what is there already is passed over");
        }
        let third = take(&api, "list", json!({})).await;
        assert_eq!(
            (&third["index"], &third["address"]),
            (&json!(11), &json!("0x00000000000000000000000000000000000000A3"))
        );
        let taken = json!({ "addresses": [
            { "address": "0x00000000000000000000000000000000000000A4" },
            { "address": ADDRESSES[0] },
        ] });
        api.post(path, WRITER, &taken).await.problem(409, "address-in-use");
        let shown = api.get("/v1/wallets/list", READER).await.expect(200);
        assert_eq!(shown["available"], 0, "none of them was imported");
        api.post("/v1/wallets/shop/import", WRITER, &more).await.problem(422, "invalid-value");
        api.post("/v1/wallets/none/import", WRITER, &more).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn a_payment_without_an_intent_is_a_deposit_detected_confirmed_and_taken_back_i1_i4() {
    on_both(async |api| {
        let mut shop = wallet("shop");
        shop["confirmations"] = json!(3);
        shop["endpoints"] = json!(["backend"]);
        api.post("/v1/wallets", WRITER, &shop).await.expect(201);
        take(&api, "shop", json!({ "external_id": "user-1" })).await;
        api.grow(1, 1).await;
        api.pay(2, ADDRESSES[0], "12.5", 2).await;

        let detected = events(&api, "deposit.detected").await;
        assert_eq!(detected.len(), 1);
        let deposit = deposits(&api, "?wallet=shop").await.remove(0);
        assert_eq!(deposit["status"], "confirming");
        assert_eq!(deposit["confirmations"], 2);
        assert_eq!(deposit["required_confirmations"], 15, "bsc's floor is not undercut");
        assert_eq!(deposit["external_id"], "user-1");
        assert_eq!(deposit["address"], ADDRESSES[0]);
        assert_eq!(deposit["path"], "m/44'/60'/0'/0/0");
        assert_eq!(
            (deposit["asset"].clone(), deposit["amount"].clone()),
            (json!("USDT"), json!("12.5"))
        );

        api.grow(4, 13).await;
        let confirmed = events(&api, "deposit.confirmed").await;
        assert_eq!(confirmed.len(), 1);
        let deposit = deposits(&api, "?status=confirmed&external_id=user-1").await.remove(0);
        assert_eq!(deposit["confirmations"], 15);
        assert!(deposit["confirmed_at"].is_string());

        // The lost branch held the payment; the surviving one does not.
        api.commit(2, 20, Some(1), &[]).await;
        let reverted = events(&api, "deposit.reverted").await;
        assert_eq!(reverted.len(), 1);
        let body = &reverted[0]["data"];
        assert_eq!(body["reason"], "reorg");
        assert_eq!(body["retracts"], json!([detected[0]["id"], confirmed[0]["id"]]));
        assert_eq!(body["deposit"]["status"], "reverted");
        let deposit = deposits(&api, "?network=bsc").await.remove(0);
        assert_eq!(
            (deposit["status"].clone(), deposit["confirmations"].clone()),
            (json!("reverted"), json!(0))
        );
        assert_eq!(api.get("/v1/deposits", OTHER).await.expect(200)["data"], json!([]));
        let all = api.get("/v1/deposits?count=true", ADMIN).await.expect(200);
        assert_eq!(all["total"], 1);
        api.get("/v1/deposits?status=lost", READER).await.problem(422, "invalid-value");
    })
    .await;
}

#[tokio::test]
async fn a_rail_takes_a_fresh_address_of_a_wallet_and_the_wallet_gets_what_comes_after() {
    on_both(async |api| {
        api.post("/v1/wallets", WRITER, &wallet("shop")).await.expect(201);
        let rail = json!({ "network": "bsc", "asset": "USDT", "amount": "10", "wallet": "shop" });
        let order = json!({ "id": "order-1", "rails": [rail] });
        let made = api.post("/v1/intents", WRITER, &order).await.expect(201);
        assert_eq!(made["rails"][0]["address"], ADDRESSES[0]);
        let again = api.post("/v1/intents", WRITER, &order).await.expect(200);
        assert_eq!(again["rails"][0]["address"], ADDRESSES[0]);
        let next = json!({ "id": "order-2", "rails": [rail] });
        let next = api.post("/v1/intents", WRITER, &next).await.expect(201);
        assert_eq!(next["rails"][0]["address"], ADDRESSES[1]);
        let named = api.get("/v1/wallets/shop/addresses", READER).await.expect(200);
        assert_eq!(named["data"][1]["external_id"], "intent/order-1/0");
        let patch = json!({ "rails": [
            { "network": "bsc", "asset": "USDT", "amount": "11", "wallet": "shop" }] });
        let patched = api.patch("/v1/intents/order-2", WRITER, &patch).await.expect(200);
        assert_eq!(patched["rails"][0]["address"], ADDRESSES[1]);

        api.grow(1, 1).await;
        api.pay(2, ADDRESSES[0], "10", 1).await;
        let intent = api.get("/v1/intents/order-1", READER).await.expect(200);
        assert_eq!(intent["status"], "confirming");
        assert_eq!(deposits(&api, "").await, [] as [Value; 0]);
        // Nobody was given the third address yet, and it is paid.
        api.pay(3, ADDRESSES[2], "7", 1).await;
        assert_eq!(deposits(&api, "").await[0]["address_index"], 2);
        assert_eq!(take(&api, "shop", json!({})).await["index"], 3);

        let wrong = |wallet: &str, network: &str| {
            json!({ "id": "order-3", "rails": [
                { "network": network, "asset": "native", "amount": "1", "wallet": wallet }] })
        };
        let cases = [wrong("nope", "bsc"), wrong("shop", "anvil")];
        for body in cases {
            let answer = api.post("/v1/intents", WRITER, &body).await;
            assert_eq!(answer.problem(422, "invalid-value"), ["/rails/0/wallet"]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_payment_far_ahead_widens_the_look_ahead() {
    on_both(async |api| {
        api.post("/v1/wallets", WRITER, &wallet("shop")).await.expect(201);
        let ahead = "0xBcd4042DE499D14e55001CcbB24a551F3b954096";
        api.grow(1, 1).await;
        api.pay(2, ahead, "1", 1).await;
        let index = deposits(&api, "").await[0]["address_index"].as_u64().expect("an index");
        assert_eq!(index, 10);
        let shown = api.get("/v1/wallets/shop", READER).await.expect(200);
        assert_eq!(shown["next_index"], 11);
        let store = &api.context.store;
        let watched = store.watch_count(&"bsc".into()).await.expect("a count");
        for _ in 0..50 {
            let mut transaction = store.begin().await.expect("a transaction");
            let key = confirmd::settlement::WalletKey {
                account: "default".to_owned(),
                id: "shop".to_owned(),
            };
            let wallet = transaction.lock_wallet(&key).await.expect("a wallet").expect("there");
            let which = confirmd::store::Which::Next;
            transaction.hand_out(&wallet, which, None, START).await.expect("an address");
            transaction.commit().await.expect("commits");
        }
        let look_ahead = LookAhead {
            store: store.clone(),
            followed: Arc::new({
                let (chains, wakes) = (api.context.chains.clone(), api.context.wakes.clone());
                move |network| Some((chains.get(network)?.clone(), wakes.get(network)?.clone()))
            }),
            look_back: std::time::Duration::from_secs(1_800),
            clock: api.context.clock.clone(),
        };
        look_ahead.look().await.expect("looks");
        let now = store.watch_count(&"bsc".into()).await.expect("a count");
        assert_eq!((watched, now), (100, 161));
        let (keys, _) = store.watches_since(&"bsc".into(), Default::default()).await.expect("keys");
        assert_eq!(keys.len(), 161);
        assert_ne!(USDT, ahead);
    })
    .await;
}

#[tokio::test]
async fn a_rail_shows_its_payment_uri_and_draws_it() {
    let api = Api::start("http://127.0.0.1:1").await;
    let rails = json!([
        { "network": "bsc", "asset": "USDT", "amount": "12.5", "address": ADDRESSES[0] },
        { "network": "anvil", "asset": "native", "amount": "0.1", "address": ADDRESSES[1] },
    ]);
    let made = api.post("/v1/intents", WRITER, &json!({ "id": "order-1", "rails": rails })).await;
    let made = made.expect(201);
    let token = format!(
        "ethereum:{USDT}@56/transfer?address={}&uint256=12500000000000000000",
        ADDRESSES[0]
    );
    let native = format!("ethereum:{}@31337?value=100000000000000000", ADDRESSES[1]);
    assert_eq!(made["rails"][0]["payment_uri"], token);
    assert_eq!(made["rails"][1]["payment_uri"], native);
    for (query, uri) in [("", &token), ("&rail=r1", &token), ("&rail=r2", &native)] {
        let path = format!("/v1/intents/order-1/qr?format=png{query}");
        let picture = api.request(reqwest::Method::GET, &path, READER).send().await;
        let picture = picture.expect("an answer");
        assert_eq!(picture.headers()["content-type"], "image/png");
        assert_eq!(picture.headers()["cache-control"], "max-age=60");
        assert_eq!(&read_back(&picture.bytes().await.expect("a picture")), uri);
    }
    let picture = api.get("/v1/intents/order-1/qr?rail=r2&format=svg", READER).await;
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/svg+xml"));
    assert!(picture.text.contains("<svg"), "{}", picture.text);
    api.get("/v1/intents/order-1/qr?rail=r9", READER).await.problem(404, "not-found");
    api.get("/v1/intents/order-1/qr?format=gif", READER).await.problem(422, "invalid-value");
    api.get("/v1/intents/order-1/qr", OTHER).await.problem(404, "not-found");
}

#[tokio::test]
async fn an_address_of_another_accounts_wallet_is_refused() {
    on_both(async |api| {
        api.post("/v1/wallets", WRITER, &wallet("shop")).await.expect(201);
        let theirs = api.post("/v1/intents", OTHER, &order("theirs", ADDRESSES[0])).await;
        theirs.problem(409, "address-in-use");
        api.post("/v1/intents", WRITER, &order("ours", ADDRESSES[0])).await.expect(201);
    })
    .await;
}
