//! Bad input is refused with a problem document that names the field (I14).

use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::{Api, WRITER, address, on_both, order};

const PRIVATE_KEY: &str = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const SEED: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// A request with one field set to something else; `null` takes it away.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = order("order-1", &address(1));
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).expect("a parent");
    match parent {
        Value::Object(map) => map.insert(name.to_owned(), value).is_some(),
        _ => panic!("{pointer} is no field"),
    };
    body
}

fn rails(count: u64) -> Value {
    (0..count)
        .map(|n| json!({ "network": "bsc", "asset": "USDT", "amount": "1", "address": address(n) }))
        .collect()
}

#[tokio::test]
async fn every_bad_value_is_named_by_its_pointer_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let wrong_checksum = address(1).replace("CDE", "cDE");
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/id", Value::Null, "missing"),
        ("/id", json!(7), "expected a string, found a number"),
        ("/id", json!(""), "1 to 128"),
        ("/id", json!("a".repeat(129)), "1 to 128"),
        ("/id", json!("a/b"), "1 to 128"),
        ("/id", json!("späti"), "1 to 128"),
        ("/id", json!("orp_ab2"), "begins with `orp_`"),
        ("/id", json!("dep_ab2"), "begins with `dep_`"),
        ("/rails", Value::Null, "missing"),
        ("/rails", json!({}), "expected an array"),
        ("/rails", json!([]), "1 to 16"),
        ("/rails", rails(17), "1 to 16"),
        ("/rails/0/network", Value::Null, "missing"),
        ("/rails/0/network", json!("bcs"), "did you mean `bsc`"),
        ("/rails/0/network", json!("dogecoin"), "is not known"),
        ("/rails/0/network", json!("eip155:999999"), "is not known"),
        ("/rails/0/network", json!("polygon"), "is not followed"),
        ("/rails/0/asset", Value::Null, "missing"),
        ("/rails/0/asset", json!("USTD"), "did you mean `USDT`"),
        ("/rails/0/asset", json!("eip155:1/slip44:60"), "no such asset"),
        ("/rails/0/asset", json!(address(9)), "no such asset"),
        ("/rails/0/amount", Value::Null, "missing"),
        ("/rails/0/amount", json!(12.5), "expected a string, found a number"),
        ("/rails/0/amount", json!("0"), "more than zero"),
        ("/rails/0/amount", json!("0.000"), "more than zero"),
        ("/rails/0/amount", json!("-1"), "decimal string"),
        ("/rails/0/amount", json!("+1"), "decimal string"),
        ("/rails/0/amount", json!("1e3"), "decimal string"),
        ("/rails/0/amount", json!("1,5"), "decimal string"),
        ("/rails/0/amount", json!("1.0000000000000000001"), "19 decimals"),
        ("/rails/0/amount", json!("9".repeat(78)), "too large"),
        ("/rails/0/amount", json!("9".repeat(5_000)), "too large"),
        ("/rails/0/amount", json!("0.99"), "below the smallest amount of this asset, 1"),
        ("/rails/0/address", Value::Null, "missing"),
        ("/rails/0/address", json!(wrong_checksum), "checksum"),
        ("/rails/0/address", json!("0x1234"), "40 hex digits"),
        ("/rails/0/address", json!("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), "40 hex digits"),
        ("/rails/0/address", json!(PRIVATE_KEY), "private key"),
        ("/rails/0/address", json!(format!("0x{PRIVATE_KEY}")), "private key"),
        ("/rails/0/address", json!(SEED), "private key"),
        ("/rails/0/amount_policy", json!("about"), "at_least"),
        ("/rails/0/wallet", json!("shop"), "cannot be beside `address`"),
        ("/rails/0/memo", json!("m"), "carry no memo"),
        ("/rails/0/reference", json!("00"), "16 hex digits"),
        ("/rails/0/reference", json!("0123456789abcdef01"), "16 hex digits"),
        ("/rails/0/reference", json!("0123456789abcdeg"), "16 hex digits"),
        ("/rails/0/reference", json!(7), "expected a string"),
        ("/rails/0/match", json!("about"), "exact_amount"),
        ("/rails/0/amuont", json!("1"), "did you mean `amount`"),
        ("/expires_at", json!("2025-12-31T23:59:59Z"), "in the past"),
        ("/expires_at", json!("2026-01-01T00:00:00Z"), "in the past"),
        ("/expires_at", json!("2027-01-01T00:00:01Z"), "more than a year"),
        ("/expires_at", json!("tomorrow"), "RFC 3339"),
        ("/expires_at", json!(1_767_225_600), "expected a string"),
        ("/confirmations", json!(0), "1 to 10000"),
        ("/confirmations", json!(-3), "1 to 10000"),
        ("/confirmations", json!(1.5), "1 to 10000"),
        ("/confirmations", json!("3"), "1 to 10000"),
        ("/confirmations", json!(10_001), "1 to 10000"),
        ("/tolerance", json!("0.11"), "0.1"),
        ("/tolerance", json!("-0.1"), "0.1"),
        ("/tolerance", json!(0.1), "expected a string"),
        ("/endpoints", json!("backend"), "expected an array"),
        ("/endpoints/0", json!(["bakend"]), "did you mean `backend`"),
        ("/endpoints/1", json!(["backend", 3]), "expected a string"),
        ("/metadata", json!([1]), "expected an object"),
        ("/metadata", json!({ "a": "x".repeat(4_096) }), "more than 4096 bytes"),
        ("/dialect_data", json!("x"), "expected an object"),
        ("/callback", json!({ "url": "https://shop.example/hook" }), "not take it yet"),
        ("/callback/url", json!({ "url": "https://10.0.0.1/hook" }), "not a public address"),
        ("/callback/url", json!({ "url": "https://[::1]/hook" }), "not a public address"),
        ("/callback/url", json!({ "url": "http://shop.example/" }), "https"),
        ("/wnated", json!(1), "is not known"),
    ];
    for (pointer, value, expected) in cases {
        // What is set as a whole may be wrong in a part of it.
        let field = match pointer {
            "/endpoints/0" | "/endpoints/1" => "/endpoints",
            "/callback/url" => "/callback",
            whole => whole,
        };
        let body = with(field, value.clone());
        let answer = api.post("/v1/intents", WRITER, &body).await;
        let pointers = answer.problem(422, "invalid-value");
        assert!(pointers.iter().any(|named| named == pointer), "{pointer} {value}: {pointers:?}");
        let body = answer.json();
        let errors = body["errors"].as_array().expect("errors");
        let named = errors.iter().find(|error| error["pointer"] == pointer).expect("named");
        let detail = named["detail"].as_str().expect("a detail");
        assert!(detail.contains(expected), "{pointer} {value}: {detail}");
    }
    assert_eq!(api.get("/v1/intents?count=true", WRITER).await.expect(200)["total"], 0);
}

#[tokio::test]
async fn all_bad_values_of_a_request_are_told_at_once_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let body = json!({
        "rails": [
            { "network": "bsc", "asset": "USDT", "amount": "-1", "address": "0x12" },
            { "network": "nowhere", "asset": "X", "amount": "1", "address": PRIVATE_KEY },
        ],
        "expires_at": "2025-01-01T00:00:00Z",
        "colour": "blue",
    });
    let answer = api.post("/v1/intents", WRITER, &body).await;
    let mut pointers = answer.problem(422, "invalid-value");
    pointers.sort();
    assert_eq!(
        pointers,
        [
            "/colour",
            "/expires_at",
            "/id",
            "/rails/0/address",
            "/rails/0/amount",
            "/rails/1/address",
            "/rails/1/network",
        ]
    );
}

#[tokio::test]
async fn rails_that_repeat_each_other_are_refused_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let rail = |network: &str, asset: &str, address: &str| {
        let amount = "2";
        json!({ "network": network, "asset": asset, "amount": amount, "address": address })
    };
    let usdt = "0x55d398326f99059ff775485246999027b3197955";
    let body = json!({ "id": "twice", "rails": [
        rail("bsc", "USDT", &address(1)),
        rail("bsc", "USDC", &address(1)),
        rail("eip155:56", usdt, &address(1).to_lowercase()),
    ]});
    let answer = api.post("/v1/intents", WRITER, &body).await;
    assert_eq!(answer.problem(422, "invalid-value"), ["/rails/2"]);
}

#[tokio::test]
async fn rails_that_share_an_address_are_held_to_what_can_tell_them_apart_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let reference = json!("0123456789abcdef");
    let exact = json!("exact_amount");
    let cases = [
        (json!({ "match": exact, "amount_policy": "at_least" }), "/rails/0/amount_policy"),
        (json!({ "match": exact, "reference": reference }), "/rails/0/match"),
        (
            json!({ "network": "anvil", "asset": "native", "reference": reference }),
            "/rails/0/reference",
        ),
    ];
    for (fields, pointer) in cases {
        let mut body = order("shared", &address(1));
        for (name, value) in fields.as_object().expect("an object") {
            body["rails"][0][name] = value.clone();
        }
        let answer = api.post("/v1/intents", WRITER, &body).await;
        assert_eq!(answer.problem(422, "invalid-value"), [pointer], "{fields}");
    }
    let mut body = order("shared", &address(1));
    body["rails"][0]["match"] = exact;
    body["tolerance"] = json!("0.01");
    let answer = api.post("/v1/intents", WRITER, &body).await;
    assert_eq!(answer.problem(422, "invalid-value"), ["/tolerance"]);
    body["tolerance"] = json!("0");
    let rails = api.post("/v1/intents", WRITER, &body).await.expect(201)["rails"].clone();
    assert_eq!([&rails[0]["match"], &rails[0]["amount_policy"]], ["exact_amount", "exact"]);
}

#[tokio::test]
async fn a_patch_that_cannot_be_is_refused_by_its_pointer_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    api.post("/v1/intents", WRITER, &order("order-1", &address(1))).await.expect(201);
    let before = api.get("/v1/intents/order-1", WRITER).await.expect(200);
    let cases = [
        (json!({ "rails": null }), "/rails"),
        (json!({ "rails": [] }), "/rails"),
        (json!({ "rails": rails(17) }), "/rails"),
        (json!({ "rails": [{ "network": "bsc" }] }), "/rails/0/asset"),
        (json!({ "expires_at": null }), "/expires_at"),
        (json!({ "expires_at": "2025-12-31T23:59:59Z" }), "/expires_at"),
        (json!({ "metadata": [1] }), "/metadata"),
        (json!({ "metadata": { "a": "x".repeat(4_096) } }), "/metadata"),
        (json!({ "tolerance": "0.1" }), "/tolerance"),
        (json!([]), ""),
    ];
    for (body, pointer) in cases {
        let answer = api.patch("/v1/intents/order-1", WRITER, &body).await;
        let pointers = answer.problem(422, "invalid-value");
        assert!(pointers.iter().any(|named| named == pointer), "{body}: {pointers:?}");
    }
    assert_eq!(api.get("/v1/intents/order-1", WRITER).await.expect(200), before);
}

#[tokio::test]
async fn a_private_key_is_refused_by_name_and_not_repeated_i12() {
    let api = Api::start("http://127.0.0.1:1").await;
    for secret in [PRIVATE_KEY, SEED] {
        for field in ["/rails/0/address", "/rails/0/network", "/rails/0/asset"] {
            let answer = api.post("/v1/intents", WRITER, &with(field, json!(secret))).await;
            answer.problem(422, "invalid-value");
            assert!(!answer.text.contains(secret), "{field}: {}", answer.text);
        }
        let filter = format!("/v1/intents?address={}", secret.replace(' ', "+"));
        let answer = api.get(&filter, WRITER).await;
        assert_eq!(answer.problem(422, "invalid-value"), ["?address"]);
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let post = |kind: &'static str, body: Vec<u8>| {
        let request = api.request(Method::POST, "/v1/intents", WRITER);
        api.send(request.header("content-type", kind).body(body))
    };
    let json = "application/json";
    let fits = serde_json::to_vec(&order("order-1", &address(1))).expect("JSON");
    let mut padded = fits.clone();
    padded.resize(64 * 1024, b' ');
    let mut too_large = padded.clone();
    too_large.push(b' ');
    let malformed = [
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"id\": \"a\",}".to_vec(),
        b"{} {}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[".repeat(10_000),
    ];
    for body in malformed {
        let shown = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
        let answer = post(json, body).await;
        assert_eq!(answer.problem(400, "malformed-json"), [] as [&str; 0], "{shown}");
    }
    post(json, b"[]".to_vec()).await.problem(422, "invalid-value");
    post(json, b"null".to_vec()).await.problem(422, "invalid-value");
    post("text/plain", fits.clone()).await.problem(415, "unsupported-media-type");
    post("application/x-www-form-urlencoded", fits).await.problem(415, "unsupported-media-type");
    post(json, too_large.clone()).await.problem(413, "body-too-large");
    post(json, padded.clone()).await.expect(201);
    // Without a length announced it is counted while it comes.
    assert_eq!(chunked(&api, &too_large).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(chunked(&api, &padded).await, "HTTP/1.1 200 OK");
}

/// Posts in chunks, and gives the answer's first line.
async fn chunked(api: &Api, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.host()).await.expect("a connection");
    let head = format!(
        "POST /v1/intents HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {WRITER}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        api.host()
    );
    stream.write_all(head.as_bytes()).await.expect("a request");
    for chunk in body.chunks(1_000) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.expect("a chunk");
        stream.write_all(chunk).await.expect("a chunk");
        stream.write_all(b"\r\n").await.expect("a chunk");
    }
    stream.write_all(b"0\r\n\r\n").await.expect("the end");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.expect("an answer");
    line.trim_end().to_owned()
}

/// Any JSON, of modest depth and size.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[0-9.eE+-]{0,90}".prop_map(Value::from),
        "(0x)?[0-9a-fA-F]{38,66}".prop_map(Value::from),
        "[+-]?[0-9]{1,6}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00(Z|[+-][0-9]{2}:00)"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,10}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Some field of a good request, set to anything.
fn any_request() -> impl Strategy<Value = Value> {
    let fields = [
        "/id",
        "/rails",
        "/rails/0/network",
        "/rails/0/asset",
        "/rails/0/amount",
        "/rails/0/address",
        "/rails/0/amount_policy",
        "/rails/0/memo",
        "/rails/0/reference",
        "/rails/0/match",
        "/expires_at",
        "/confirmations",
        "/tolerance",
        "/endpoints",
        "/metadata",
        "/dialect_data",
        "/callback",
    ];
    let one = (prop::sample::select(fields.to_vec()), any_json());
    prop_oneof![1 => any_json(), 9 => one.prop_map(|(field, value)| with(field, value))]
}

#[test]
fn whatever_is_asked_is_answered_i14_f20() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let api = runtime.block_on(Api::start("http://127.0.0.1:1"));
    proptest!(|(body in any_request())| {
        let answer = runtime.block_on(api.post("/v1/intents", WRITER, &body));
        match answer.status {
            200 | 201 => prop_assert!(answer.json()["id"].is_string()),
            409 => prop_assert!(!answer.json()["code"].is_null()),
            _ => drop(answer.problem(422, "invalid-value")),
        }
        let list = runtime.block_on(api.get("/v1/intents?limit=200", WRITER));
        prop_assert_eq!(list.status, 200);
    });
}

#[tokio::test]
async fn bad_parameters_are_named_i14() {
    let api = Api::start("http://127.0.0.1:1").await;
    let cases = [
        ("/v1/intents?limit=0", "?limit"),
        ("/v1/intents?limit=201", "?limit"),
        ("/v1/intents?limit=many", "?limit"),
        ("/v1/intents?cursor=%00", "?cursor"),
        ("/v1/intents?cursor=bm9uc2Vuc2U", "?cursor"),
        ("/v1/intents?count=maybe", "?count"),
        ("/v1/intents?status=paid", "?status"),
        ("/v1/intents?network=nowhere", "?network"),
        ("/v1/intents?endpoint=nobody", "?endpoint"),
        ("/v1/intents?created_from=yesterday", "?created_from"),
        ("/v1/intents?stauts=pending", "?stauts"),
        ("/v1/intents?limit=1&limit=2", "?limit"),
        ("/v1/events?type=payment.paid", "?type"),
        ("/v1/events?after=evt_nothing", "?after"),
        ("/v1/events?cursor=eA", "?cursor"),
        ("/v1/orphans?reason=none", "?reason"),
        ("/v1/deliveries?state=lost", "?state"),
        ("/v1/networks?colour=blue", "?colour"),
        ("/v1/intents/a?b=c", "?b"),
    ];
    for (path, pointer) in cases {
        let answer = api.get(path, WRITER).await;
        assert_eq!(answer.problem(422, "invalid-value"), [pointer], "{path}");
    }
}

#[tokio::test]
async fn names_with_control_characters_are_nobodys_i14_f20() {
    on_both(async |api| {
        for path in ["/v1/intents/%00", "/v1/intents/a%0Ab/timeline", "/v1/deliveries/%00"] {
            api.get(path, WRITER).await.problem(404, "not-found");
        }
        let cases = [
            ("/v1/events?intent=%00", "?intent"),
            ("/v1/orphans?intent=a%00b", "?intent"),
            ("/v1/deliveries?endpoint=%7F", "?endpoint"),
            // `1:` and NUL.
            ("/v1/intents?cursor=MToA", "?cursor"),
        ];
        for (path, pointer) in cases {
            let answer = api.get(path, WRITER).await;
            assert_eq!(answer.problem(422, "invalid-value"), [pointer], "{path}");
        }
        let rail = json!({ "network": "bsc", "asset": "USDT", "amount": "1", "wallet": "a\0" });
        let body = json!({ "id": "order-1", "rails": [rail] });
        let answer = api.post("/v1/intents", WRITER, &body).await;
        assert_eq!(answer.problem(422, "invalid-value"), ["/rails/0/wallet"]);
    })
    .await;
}
