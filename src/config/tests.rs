use std::fs;

mod entries;
mod merged;

use super::*;
use crate::registry::Registry;

const FILE: &str = "config/confirmd.toml";
const API_KEY: &str = "0123456789abcdef-api-key";
const STANDARD: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "CONFIRMD_BACKEND_KEY" => API_KEY,
        "CONFIRMD_WEBHOOK_SECRET" => STANDARD,
        "AMN_SCANNER_WEBHOOK_SECRET" => "amn-secret-of-its-own",
        "CONFIRMD_OPERATOR_KEY" => "fedcba9876543210-operator-key",
        "ETHEREUM_KEY" | "BITCOIND_PASSWORD" | "SOLANA_KEY" => "provider-key-7f3a",
        "STORE_PASSWORD" => "pa55-of-the-store",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new(FILE), text, &environment)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn follow(text: &str) -> Result<Settings, ConfigError> {
    let registry = Registry::load(&[root().join("config/networks")]).expect("shipped");
    Settings::merge(parse(text).expect("the file alone is right"), registry)
}

const FULL: &str = r#"
registry = ["config/networks"]

[server]
listen = "0.0.0.0:9000"

[store]
url = "postgres://confirmd:${STORE_PASSWORD}@db/confirmd"
lease = "30s"

[[keys]]
name = "backend"
key = "${CONFIRMD_BACKEND_KEY}"
scopes = ["read", "write"]

[[keys]]
name = "ops"
key_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
account = "shop"
scopes = ["admin"]
max_open_intents = 5

[endpoints.backend]
url = "https://shop.example/hook?token=${ETHEREUM_KEY}"
secrets = ["${CONFIRMD_WEBHOOK_SECRET}"]
events = ["payment.confirmed", "test"]

[endpoints.amn]
url = "http://10.0.0.7:3000/hook"
dialect = "amn"
secrets = ["${AMN_SCANNER_WEBHOOK_SECRET}"]
allow_private = true
max_in_flight = 8
signature = { header = "X-Signature", prefix = "sha256=", encoding = "base64" }

[defaults]
endpoints = ["backend", "amn"]
ops_endpoint = "backend"
look_back = "1h"
late_window = "2d"
tolerance = "0.001"
expires_in = "90m"

[retention]
ledger = "30d"

[networks.bsc]
threshold = 100
verify = "logs"
quorum = 2
poll_interval = "750ms"
start = 45_000_000

[[networks.bsc.providers]]
name = "main"
url = "https://bsc.example/${ETHEREUM_KEY}"
ws = "wss://bsc.example/${ETHEREUM_KEY}"
requests_per_second = 20

[[networks.bsc.providers]]
name = "spare"
url = "http://127.0.0.1:8545"

[networks.bsc.tokens.USDT]
minimum = "1.5"
confirmations = 50

[networks.anvil]
enabled = false
"#;

#[test]
fn every_key_arrives_where_it_belongs() {
    let config = parse(FULL).expect("right");
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(config.store.kind, StoreKind::Postgres);
    assert_eq!(config.store.lease, Duration::from_secs(30));
    let [backend, ops] = &config.keys[..] else { panic!("two keys") };
    assert_eq!((backend.account.as_str(), backend.max_open_intents), ("default", 10_000));
    assert_eq!(backend.digest, KeyDigest::of(API_KEY));
    assert_eq!(backend.scopes, BTreeSet::from([Scope::Read, Scope::Write]));
    assert_eq!((ops.account.as_str(), ops.max_open_intents), ("shop", 5));
    assert_eq!(ops.digest, KeyDigest::of("test"), "known by its digest alone");

    let backend = &config.endpoints["backend"];
    assert_eq!((&backend.dialect, backend.max_in_flight), (&Dialect::Standard, 256));
    assert_eq!(backend.events, Some(vec![EventKind::PaymentConfirmed, EventKind::Test]));
    let amn = &config.endpoints["amn"];
    assert!(amn.allow_private && amn.max_in_flight == 8 && amn.events.is_none());
    let signature = AmnSignature {
        header: "X-Signature".to_owned(),
        prefix: "sha256=".to_owned(),
        encoding: SignatureEncoding::Base64,
    };
    assert_eq!(amn.dialect, Dialect::Amn(signature));

    let defaults = &config.defaults;
    assert_eq!(defaults.ops_endpoint.as_deref(), Some("backend"));
    assert_eq!(defaults.look_back, Duration::from_secs(3_600));
    assert_eq!(defaults.expires_in, Duration::from_secs(5_400));
    assert_eq!(defaults.tolerance.to_string(), "0.001");
    assert_eq!(config.retention.ledger, Duration::from_secs(30 * 86_400));
    assert_eq!(config.retention.deliveries, Duration::from_secs(90 * 86_400));

    let bsc = &config.networks["bsc"];
    assert_eq!((bsc.threshold, bsc.start), (Some(Confirmations(100)), Some(Height(45_000_000))));
    assert_eq!((bsc.verify, bsc.quorum), (Some(Verify::Logs), 2));
    assert_eq!(bsc.providers[0].requests_per_second, Some(20));
    assert_eq!(bsc.tokens["USDT"].confirmations, Some(Confirmations(50)));
    assert!(!config.networks["anvil"].enabled);
}

#[test]
fn an_empty_file_has_the_documented_defaults() {
    let config = parse("").expect("right");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.kind, StoreKind::Sqlite);
    assert_eq!(config.store.lease, Duration::from_secs(15));
    let defaults = &config.defaults;
    assert_eq!(defaults.look_back, Duration::from_secs(30 * 60));
    assert_eq!(defaults.late_window, Duration::from_secs(24 * 3_600));
    assert_eq!(defaults.expires_in, Duration::from_secs(6 * 3_600));
    assert_eq!(defaults.tolerance, Tolerance::default());
    assert_eq!(config.retention.events, Duration::from_secs(30 * 86_400));
    assert!(config.networks.is_empty() && config.keys.is_empty());
}

/// Each file is wrong in one way, and its only message is the expected one.
#[test]
fn what_is_wrong_is_named_by_file_line_and_key() {
    let cases = [
        ("[server]\nlistn = \"x\"", "2: server.listn: unknown key; did you mean `listen`?"),
        (
            "colour = 1",
            "1: colour: unknown key; expected one of `registry`, `server`, `store`, `keys`, \
          `endpoints`, `defaults`, `networks` or `retention`",
        ),
        (
            "\n[networks.bsc]\nprovider = []",
            "3: networks.bsc.provider: unknown key; did you mean `providers`?",
        ),
        (
            "[[networks.bsc.providers]]\nname = \"a\"\nurl = \"https://x\"\nrequests_per_sec \
             = 5",
            "4: networks.bsc.providers[0].requests_per_sec: unknown key; did you mean \
          `requests_per_second`?",
        ),
        (
            "[server]\nlisten = \"8080\"",
            "2: server.listen: expected an address and port such as \"127.0.0.1:8080\", found \
             \"8080\"",
        ),
        ("[server]\nlisten = 8080", "2: server.listen: expected a string, found an integer"),
        (
            "registry = [\"nowhere\"]",
            "1: registry[0]: expected a folder of registry files; there is none of this name in the \
          current directory, nor beside this file",
        ),
        ("registry = []", "1: registry: is empty; expected a list of folders of registry files"),
        ("server = 1", "1: server: expected a table, found an integer"),
        (
            "[store]\nurl = \"mysql://u:hidden@h/d\"",
            "2: store.url: expected \"sqlite://path/to/file.db\" or \
          \"postgres://user:password@host/database\"",
        ),
        (
            "[store]\nurl = \"postgres://u@h/d\"\nlease = \"100ms\"",
            "3: store.lease: expected \"1s\" to \"10m\"",
        ),
        (
            "[store]\n",
            "1: store.url: is missing; expected \"sqlite://path/to/file.db\" or \
          \"postgres://user:password@host/database\"",
        ),
        (
            "[defaults]\n\nlook_back = \"soon\"",
            "3: defaults.look_back: expected a duration such as \"750ms\", \"15s\", \"2m\", \
             \"24h\" \
          or \"90d\", found \"soon\"",
        ),
        (
            "[defaults]\nlook_back = 30",
            "2: defaults.look_back: expected a duration such as \"750ms\", \"15s\", \"2m\", \
             \"24h\" \
          or \"90d\", found an integer",
        ),
        ("[defaults]\nlook_back = \"25h\"", "2: defaults.look_back: expected at most \"24h\""),
        (
            "[defaults]\ntolerance = \"0.11\"",
            "2: defaults.tolerance: expected a share from \"0\" to \"0.1\" as a string, such \
             as \
          \"0.001\", found \"0.11\"",
        ),
        (
            "[defaults]\ntolerance = 0.001",
            "2: defaults.tolerance: expected a string, found a float",
        ),
        (
            "[defaults]\nendpoints = [\"backnd\"]\n[endpoints.backend]\nurl = \"https://a.b\"\n\
          dialect = \"amn\"\nsecrets = [\"x\"]",
            "2: defaults.endpoints[0]: no endpoint `backnd`; did you mean `backend`?",
        ),
        ("[retention]\nevents = \"1h\"", "2: retention.events: expected at least \"1d\""),
        (
            "[networks.bsc]\nthreshold = 0",
            "2: networks.bsc.threshold: expected a whole number from 1 to 10000, found 0",
        ),
        (
            "[networks.bsc]\nthreshold = -5",
            "2: networks.bsc.threshold: expected a whole number from 1 to 10000, found -5",
        ),
        (
            "[networks.bsc]\nthreshold = 10001",
            "2: networks.bsc.threshold: expected a whole number from 1 to 10000, found 10001",
        ),
        (
            "[networks.bsc.tokens.USDT]\nconfirmations = 10001",
            "2: networks.bsc.tokens.USDT.confirmations: expected a whole number from 1 to 10000, \
             found 10001",
        ),
        (
            "[networks.bsc]\nverify = \"recipts\"",
            "2: networks.bsc.verify: expected `receipts` or `logs`, found \"recipts\"; did \
             you mean \
          `receipts`?",
        ),
        (
            "[networks.bsc]\nproviders = [{ name = \"a\", url = \"ftp://secret\" }]",
            "2: networks.bsc.providers[0].url: expected an http or https URL",
        ),
        (
            "[networks.bsc.tokens.USDT]\nminimum = \"one\"",
            "2: networks.bsc.tokens.USDT.minimum: expected a decimal string such as \"1.50\", \
             found \
          \"one\"",
        ),
        (
            "[networks.\"b s c\"]",
            "1: networks.b s c: expected a name of 1 to 64 characters of A-Z, a-z, 0-9, `_` \
             and `-`",
        ),
        (
            "[store]\nurl = \"postgres://u:${NO_SUCH}@h/d\"",
            "2: store.url: environment variable `NO_SUCH` is not set",
        ),
        (
            "[server]\nlisten = \"${unclosed\"",
            "2: server.listen: `${` without a closing `}`; write `$${` for the characters `${`",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(text).expect_err(expected);
        assert_eq!(error.to_string(), format!("{FILE}:{expected}"), "\n{text}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_lines() {
    let error = parse("[server]\nlistn = 1\n[defaults]\nlook_back = 5\ntolerance = \"1\"\n")
        .expect_err("three mistakes");
    let places: Vec<_> = error.problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    let expected = [
        (Some(2), "server.listn"),
        (Some(4), "defaults.look_back"),
        (Some(5), "defaults.tolerance"),
    ];
    assert_eq!(places, expected);
    assert_eq!(error.to_string().lines().count(), 3);

    let error = parse("a = \nb = 1\nb = 2\n").expect_err("not TOML");
    let lines: Vec<_> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(1), Some(3)], "{error}");
}

#[test]
fn two_keys_may_not_be_confused() {
    let key = |name: &str, key: &str| {
        format!("[[keys]]\nname = \"{name}\"\nkey = \"{key}\"\nscopes = [\"read\"]\n")
    };
    let named = key("a", "0123456789abcdef") + &key("a", "0123456789abcdeg");
    let error = parse(&named).expect_err("one name");
    assert_eq!(error.to_string(), format!("{FILE}:1: keys: two keys are named `a`"));
    let same = key("a", "0123456789abcdef") + &key("b", "0123456789abcdef");
    let error = parse(&same).expect_err("one key").to_string();
    assert!(error.contains("`a` and `b` are the same key"), "{error}");
    assert!(!error.contains("0123456789abcdef"), "{error}");
}

#[test]
fn secrets_are_never_shown_i12() {
    let secrets = [
        API_KEY,
        STANDARD,
        "amn-secret-of-its-own",
        "provider-key-7f3a",
        "pa55-of-the-store",
        "9f86d081884c7d65",
    ];
    let config = parse(FULL).expect("right");
    let settings = follow(FULL).expect("right");
    let report = check::report(Path::new(FILE), Ok(settings.clone()));
    // Secrets of the wrong form are not quoted, variables in the wrong place by their names.
    let mistakes = [
        ("\"https:", "\"${ETHEREUM_KEY}:"),
        ("\"postgres:", "\"nosql:"),
        ("${CONFIRMD_WEBHOOK_SECRET}", "${AMN_SCANNER_WEBHOOK_SECRET}"),
        ("0.0.0.0:9000", "${ETHEREUM_KEY}"),
        ("\"1h\"", "\"${ETHEREUM_KEY}\""),
        ("[\"backend\", \"amn\"]", "[\"${ETHEREUM_KEY}\"]"),
    ];
    let broken = mistakes.iter().fold(FULL.to_owned(), |text, (right, wrong)| {
        assert!(text.contains(right), "{right}");
        text.replace(right, wrong)
    });
    let error = parse(&broken).expect_err("broken");
    assert!(error.problems.len() > mistakes.len(), "{error}");
    for shown in [
        format!("{config:?} {config:#?}"),
        format!("{settings:?}"),
        format!("{report} {report:?}"),
        format!("{error} {error:?}"),
    ] {
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

fn shipped_text() -> String {
    fs::read_to_string(root().join(FILE)).expect("the shipped configuration")
}

#[test]
fn the_shipped_configuration_is_a_starting_point() {
    let path = root().join(FILE);
    let config = Config::load_with(&path, &environment).expect("loads as it is");
    assert_eq!(config.registry, [root().join("config/networks")], "found beside the file");
    let registry = Registry::load(&config.registry).expect("shipped");
    let settings = Settings::merge(config, registry).expect("fits the registry");
    let [ethereum] = &settings.networks[..] else { panic!("one network") };
    assert_eq!(ethereum.network.caip2, "eip155:1");
    assert_eq!(ethereum.verify, Verify::Receipts);
    let report = check::report(&path, Ok(settings));
    assert!(report.is_ok() && report.warnings.len() == 1, "{report}");
    assert_eq!(report.warnings[0].key, "networks.ethereum.providers");
}

#[test]
fn the_configuration_of_the_container_fits_the_registry() {
    let environment = |name: &str| match name {
        "CONFIRMD_STORE_URL" => Some("postgres://confirmd:pw@database/confirmd".to_owned()),
        "CONFIRMD_WEBHOOK_URL" => Some("https://shop.example/webhooks".to_owned()),
        other => environment(other),
    };
    let path = root().join("config/compose.toml");
    let config = Config::load_with(&path, &environment).expect("loads");
    let registry = Registry::load(&config.registry).expect("shipped");
    let settings = Settings::merge(config, registry).expect("fits the registry");
    assert_eq!((settings.config.store.kind, settings.networks.len()), (StoreKind::Postgres, 1));
}

#[test]
fn the_shipped_configuration_names_the_variables_it_needs() {
    let error = Config::load_with(&root().join(FILE), &|_| None).expect_err("no variables");
    let messages: Vec<_> = error.problems.iter().map(|problem| problem.message.as_str()).collect();
    let missing = |name: &str| format!("environment variable `{name}` is not set");
    assert_eq!(messages, [missing("CONFIRMD_BACKEND_KEY"), missing("CONFIRMD_WEBHOOK_SECRET")]);
}

/// A line that begins with `#` and no blank is a setting: all of them, put in use, load as well,
/// and those that show a default change nothing.
#[test]
fn every_setting_that_the_shipped_configuration_explains_exists() {
    let mut settings = 0;
    let lines = shipped_text().lines().fold(String::new(), |text, line| {
        let setting =
            line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        settings += usize::from(setting.is_some());
        text + setting.unwrap_or(line) + "\n"
    });
    assert!(settings > 20, "{settings}");
    let all = parse(&lines).expect("all settings exist");
    let plain = parse(&shipped_text()).expect("right");
    assert_eq!(format!("{:?}", all.retention), format!("{:?}", plain.retention));
    assert_eq!(format!("{:?}", &all.keys[..1]), format!("{:?}", plain.keys));
    assert_eq!(all.defaults.look_back, plain.defaults.look_back);
    assert_eq!(all.defaults.late_window, plain.defaults.late_window);
    assert_eq!(all.defaults.expires_in, plain.defaults.expires_in);
    assert_eq!(all.endpoints["amn"].dialect, Dialect::Amn(AmnSignature::default()));
    let (ethereum, registry) = (&all.networks["ethereum"], root().join("config/networks"));
    let registry = Registry::load(&[registry]).expect("shipped");
    let network = registry.network("ethereum").expect("shipped");
    assert_eq!(ethereum.threshold, Some(network.confirmations));
    Settings::merge(all, registry).expect("all settings fit the registry");
}
