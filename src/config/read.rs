//! From the file's tree to the typed configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use confirmd_chain::{Amount, Confirmations, Height};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::callable::{UrlError, check_url};
use super::words::NAME;
use super::{
    AmnSignature, ApiKey, Config, Defaults, Dialect, Endpoint, KeyDigest, NetworkConfig, Provider,
    Retention, Scope, Server, SignatureEncoding, Store, StoreKind, Table, TokenConfig, Value,
    Verify, is_name, list_of, nearest,
};
use crate::settlement::{EventKind, Tolerance};

/// The shortest API key that is taken. A digest tells nothing of a key's length.
const KEY_LENGTH: usize = 16;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(super) fn config(root: &Table<'_>, file: &Path) -> Option<Config> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let registry = root.optional("registry", |value| {
        value.some("folders of registry files", |value| registry_folder(value, folder))
    });
    let server = root.optional("server", |value| value.table(server));
    let store = root.optional("store", |value| value.table(store));
    let keys = root.or("keys", Vec::new(), |value| value.list(|key| key.table(api_key)));
    unique_keys(root, &keys);
    let endpoints =
        root.or("endpoints", Vec::new(), |value| value.named(|name, v| named(name, v, endpoint)));
    let endpoints: BTreeMap<_, _> = endpoints.into_iter().collect();
    let defaults = root.optional("defaults", |value| {
        value.table(|table| defaults(table, &root.names_under("endpoints")))
    });
    let networks =
        root.or("networks", Vec::new(), |value| value.named(|id, v| named(id, v, network)));
    let retention = root.optional("retention", |value| value.table(retention));
    Some(Config {
        file: file.to_owned(),
        registry: registry.unwrap_or_else(|| vec![folder.join("networks")]),
        server: server.unwrap_or(Server { listen: LISTEN }),
        store: store.unwrap_or_else(default_store),
        keys,
        endpoints,
        defaults: defaults.unwrap_or_else(default_defaults),
        networks: networks.into_iter().collect(),
        retention: retention.unwrap_or(RETENTION),
    })
}

/// A relative folder is that of the current directory where it exists there, else that beside
/// the configuration file.
fn registry_folder(value: &Value<'_>, beside: &Path) -> Option<PathBuf> {
    let folder = PathBuf::from(value.string()?);
    let beside = beside.join(&folder);
    match (folder.is_dir(), beside.is_dir()) {
        (true, _) => Some(folder),
        (false, true) => Some(beside),
        (false, false) => value.fail(
            "expected a folder of registry files; there is none of this name in the current \
             directory, nor beside this file",
        ),
    }
}

fn named<T>(
    name: &str,
    value: &Value<'_>,
    build: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Option<(String, T)> {
    if !is_name(name) {
        return value.fail(format!("expected {NAME}"));
    }
    value.table(build).map(|built| (name.to_owned(), built))
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn server(table: &Table<'_>) -> Option<Server> {
    let expected = "an address and port such as \"127.0.0.1:8080\"";
    let listen = table.or("listen", LISTEN, |v| v.parsed(expected, |text| text.parse().ok()));
    Some(Server { listen })
}

const LEASE: Duration = Duration::from_secs(15);

fn default_store() -> Store {
    let url = "sqlite://data/confirmd.db".to_owned().into();
    Store { url, kind: StoreKind::Sqlite, lease: LEASE }
}

fn store(table: &Table<'_>) -> Option<Store> {
    let expected = "\"sqlite://path/to/file.db\" or \"postgres://user:password@host/database\"";
    let lease = table.or("lease", LEASE, |value| {
        let lease = value.duration()?;
        let fits = (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&lease);
        if fits { Some(lease) } else { value.fail("expected \"1s\" to \"10m\"") }
    });
    table.required("url", expected, |value| {
        value.parsed_secretly(expected, |text| {
            let (scheme, rest) = text.split_once("://")?;
            let kind = match scheme {
                "sqlite" => StoreKind::Sqlite,
                "postgres" | "postgresql" => StoreKind::Postgres,
                _ => return None,
            };
            (!rest.is_empty()).then(|| Store { url: text.to_owned().into(), kind, lease })
        })
    })
}

fn api_key(table: &Table<'_>) -> Option<ApiKey> {
    let name = table.required("name", NAME, Value::name);
    let digest = key_digest(table);
    let account = table.or("account", "default".to_owned(), Value::name);
    let scope = |value: &Value<'_>| {
        value.choice(&[("read", Scope::Read), ("write", Scope::Write), ("admin", Scope::Admin)])
    };
    let words = "`read`, `write` or `admin`";
    let scopes =
        table.required("scopes", &format!("a list of {words}"), |value| value.some(words, scope));
    let scopes = scopes.map(|scopes| scopes.into_iter().collect());
    let max_open_intents =
        table.or("max_open_intents", 10_000, |v| v.integer(1..=u64::from(u32::MAX)));
    Some(ApiKey { name: name?, digest: digest?, account, scopes: scopes?, max_open_intents })
}

fn key_digest(table: &Table<'_>) -> Option<KeyDigest> {
    if table.has("key") && table.has("key_sha256") {
        table.fail_at("key_sha256", "stands beside `key`; expected one of the two");
    }
    let digest = table.optional("key_sha256", |value| {
        value.parsed_secretly("the 64 hex digits of the key's SHA-256", KeyDigest::from_hex)
    });
    if table.has("key_sha256") && !table.has("key") {
        return digest;
    }
    let expected = format!("a key of at least {KEY_LENGTH} characters");
    table.required("key", &format!("{expected}, or `key_sha256`"), |value| {
        value.parsed_secretly(&expected, |text| {
            (text.chars().count() >= KEY_LENGTH).then(|| KeyDigest::of(text))
        })
    })
}

fn unique_keys(root: &Table<'_>, keys: &[ApiKey]) {
    let (mut names, mut digests) = (BTreeSet::new(), BTreeMap::new());
    for key in keys {
        if !names.insert(&key.name) {
            root.fail_at("keys", format!("two keys are named `{}`", key.name));
        }
        if let Some(other) = digests.insert(key.digest, &key.name) {
            let both = format!("`{other}` and `{}` are the same key", key.name);
            root.fail_at("keys", format!("{both}; expected one of its own for each"));
        }
    }
}

fn endpoint(table: &Table<'_>) -> Option<Endpoint> {
    let allow_private = table.or("allow_private", false, Value::boolean);
    let url =
        table.required("url", "where to post events", |value| endpoint_url(value, allow_private));
    let dialect = dialect(table);
    let kind = match dialect {
        Dialect::Standard => STANDARD_SECRET,
        Dialect::Amn(_) => "the secrets that the backend verifies with",
    };
    let secrets = table.required("secrets", &format!("a list of {kind}"), |value| {
        value.some(kind, |value| secret(value, &dialect))
    });
    let events = table.optional("events", |value| value.list(event_kind));
    let max_in_flight = table.or("max_in_flight", 256, |value| value.integer(1..=10_000));
    Some(Endpoint { url: url?, dialect, secrets: secrets?, events, allow_private, max_in_flight })
}

/// What no delivery could be made to is refused here, not at each of them.
fn endpoint_url(value: &Value<'_>, allow_private: bool) -> Option<Url> {
    let meant = "write `allow_private = true` if it is meant";
    match check_url(&value.string()?, allow_private) {
        Ok(url) => Some(url),
        Err(UrlError::NotPublic(address)) => {
            value.fail(format!("{address} is not a public address; {meant}"))
        }
        Err(UrlError::LocalName(_)) => {
            value.fail(format!("names a host of this machine or network; {meant}"))
        }
        Err(UrlError::TooLong) => value.fail(UrlError::TooLong.to_string()),
        Err(_) if allow_private => value.fail("expected an http or https URL without credentials"),
        Err(_) => value.fail(
            "expected an https URL without credentials (plain http needs `allow_private = true`)",
        ),
    }
}

fn dialect(table: &Table<'_>) -> Dialect {
    let amn = table.or("dialect", false, |v| v.choice(&[("standard", false), ("amn", true)]));
    let signature = table.optional("signature", |value| value.table(amn_signature));
    match (amn, table.has("signature")) {
        (true, _) => Dialect::Amn(signature.unwrap_or_default()),
        (false, false) => Dialect::Standard,
        (false, true) => {
            table.fail_at("signature", "is for `dialect = \"amn\"`; `standard` has a fixed one");
            Dialect::Standard
        }
    }
}

fn amn_signature(table: &Table<'_>) -> Option<AmnSignature> {
    let plain = AmnSignature::default();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let header = table.or("header", plain.header, |value| {
        value.parsed("a header's name", |text| {
            (!text.is_empty() && text.bytes().all(token)).then(|| text.to_owned())
        })
    });
    let visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let prefix = table.or("prefix", plain.prefix, |value| {
        value.parsed("visible ASCII characters", |text| visible(text).then(|| text.to_owned()))
    });
    let encodings = [("hex", SignatureEncoding::Hex), ("base64", SignatureEncoding::Base64)];
    let encoding = table.or("encoding", plain.encoding, |value| value.choice(&encodings));
    Some(AmnSignature { header, prefix, encoding })
}

const STANDARD_SECRET: &str = "secrets `whsec_` + base64 of 24 to 64 bytes";

fn secret(value: &Value<'_>, dialect: &Dialect) -> Option<SecretString> {
    match dialect {
        Dialect::Standard => value.parsed_secretly(STANDARD_SECRET, |text| {
            let key = BASE64.decode(text.strip_prefix("whsec_")?).ok()?;
            (24..=64).contains(&key.len()).then(|| text.to_owned().into())
        }),
        Dialect::Amn(_) => value.parsed_secretly("a secret that is not empty", |text| {
            (!text.trim().is_empty()).then(|| text.to_owned().into())
        }),
    }
}

fn event_kind(value: &Value<'_>) -> Option<EventKind> {
    let text = value.string()?;
    if let Some(kind) = EventKind::ALL.into_iter().find(|kind| kind.as_str() == text) {
        return Some(kind);
    }
    let names = EventKind::ALL.map(EventKind::as_str);
    match nearest(&text, names) {
        Some(near) => value.fail(format!("is no event type; did you mean `{near}`?")),
        None => value.fail(format!("is no event type; expected {}", list_of(names))),
    }
}

fn default_defaults() -> Defaults {
    Defaults {
        endpoints: Vec::new(),
        ops_endpoint: None,
        look_back: HOUR / 2,
        late_window: DAY,
        tolerance: Tolerance::default(),
        expires_in: 6 * HOUR,
    }
}

fn defaults(table: &Table<'_>, endpoints: &[&str]) -> Option<Defaults> {
    let known = |value: &Value<'_>| {
        let name = value.string()?;
        if endpoints.contains(&name.as_str()) {
            return Some(name);
        }
        let raw = value.raw();
        match nearest(&name, endpoints.iter().copied()) {
            Some(near) => value.fail(format!("no endpoint `{raw}`; did you mean `{near}`?")),
            None => value.fail(format!("no endpoint `{raw}`; there is {}", list_of(endpoints))),
        }
    };
    let plain = default_defaults();
    let tolerance = "a share from \"0\" to \"0.1\" as a string, such as \"0.001\"";
    Some(Defaults {
        endpoints: table.or("endpoints", plain.endpoints, |value| value.list(known)),
        ops_endpoint: table.optional("ops_endpoint", known),
        look_back: table.or("look_back", plain.look_back, |v| at_most(v, DAY, "24h")),
        late_window: table.or("late_window", plain.late_window, |v| at_most(v, YEAR, "365d")),
        tolerance: table.or("tolerance", plain.tolerance, |value| {
            value.parsed(tolerance, |text| text.parse().ok())
        }),
        expires_in: table.or("expires_in", plain.expires_in, |v| at_most(v, YEAR, "365d")),
    })
}

fn at_most(value: &Value<'_>, most: Duration, in_words: &str) -> Option<Duration> {
    let duration = value.duration()?;
    match duration <= most {
        true => Some(duration),
        false => value.fail(format!("expected at most \"{in_words}\"")),
    }
}

fn network(table: &Table<'_>) -> Option<NetworkConfig> {
    let confirmations = |value: &Value<'_>| value.integer(1..=u64::from(MAX_CONFIRMATIONS));
    let modes = [("receipts", Verify::Receipts), ("logs", Verify::Logs)];
    let tokens = table.or("tokens", Vec::new(), |value| {
        value.named(|symbol, v| v.table(token).map(|token| (symbol.to_owned(), token)))
    });
    Some(NetworkConfig {
        enabled: table.or("enabled", true, Value::boolean),
        threshold: table.optional("threshold", confirmations).map(Confirmations),
        verify: table.optional("verify", |value| value.choice(&modes)),
        traces: table.optional("traces", Value::boolean),
        quorum: table.or("quorum", 1, |value| value.integer(1..=16)),
        poll_interval: table.optional("poll_interval", |v| at_most(v, HOUR, "1h")),
        mempool_interval: table.optional("mempool_interval", |v| at_most(v, HOUR, "1h")),
        providers: providers(table),
        tokens: tokens.into_iter().collect(),
        start: table.optional("start", |v| v.integer(0..=MOST_HEIGHT)).map(Height),
        origin: table.origin(),
    })
}

/// The most confirmations that may be asked for. As many blocks as are kept: a deeper reorg takes
/// an operator anyway (I5).
pub(crate) const MAX_CONFIRMATIONS: u32 = 10_000;
/// Heights are kept in signed 64 bits by the databases.
const MOST_HEIGHT: u64 = i64::MAX.unsigned_abs();

/// The providers of a network, in a configuration or a registry file.
pub(crate) fn providers(table: &Table<'_>) -> Vec<Provider> {
    let providers = table.or("providers", Vec::new(), |value| value.list(|v| v.table(provider)));
    let mut names = BTreeSet::new();
    for provider in &providers {
        if !names.insert(&provider.name) {
            table.fail_at("providers", format!("two providers are named `{}`", provider.name));
        }
    }
    providers
}

fn provider(table: &Table<'_>) -> Option<Provider> {
    let url = |value: &Value<'_>, expected: &str, schemes: [&str; 2]| {
        value.parsed_secretly(expected, |text| {
            let url = Url::parse(text).ok()?;
            (schemes.contains(&url.scheme()) && url.has_host())
                .then(|| SecretString::from(text.to_owned()))
        })
    };
    let name = table.required("name", NAME, Value::name);
    let http = "an http or https URL";
    let http = table.required("url", http, |value| url(value, http, ["http", "https"]));
    let ws = table.optional("ws", |value| url(value, "a ws or wss URL", ["ws", "wss"]));
    let tcp = "a URL such as \"tcp://127.0.0.1:28332\"";
    let zmq = table.optional("zmq", |value| value.parsed(tcp, zmq_address));
    let requests_per_second =
        table.optional("requests_per_second", |value| value.integer(1..=100_000));
    Some(Provider { name: name?, url: http?, ws, zmq, requests_per_second })
}

/// Host and port of a node's ZMQ publisher.
fn zmq_address(text: &str) -> Option<String> {
    let address = text.strip_prefix("tcp://")?;
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| address.to_owned())
}

fn token(table: &Table<'_>) -> Option<TokenConfig> {
    let decimal = "a decimal string such as \"1.50\"";
    // How precise it may be is known once the registry is read.
    let digits = |text: &str| Amount::parse_decimal(text, 36).ok().map(|_| text.to_owned());
    let confirmations =
        table.optional("confirmations", |v| v.integer(1..=u64::from(MAX_CONFIRMATIONS)));
    Some(TokenConfig {
        minimum: table.optional("minimum", |value| value.parsed(decimal, digits)),
        confirmations: confirmations.map(Confirmations),
        origin: table.origin(),
    })
}

const RETENTION: Retention = Retention {
    ledger: Duration::from_secs(90 * 86_400),
    deliveries: Duration::from_secs(90 * 86_400),
    events: Duration::from_secs(30 * 86_400),
};

fn retention(table: &Table<'_>) -> Option<Retention> {
    let kept = |value: &Value<'_>| {
        let kept = value.duration()?;
        if kept < DAY { value.fail("expected at least \"1d\"") } else { Some(kept) }
    };
    Some(Retention {
        ledger: table.or("ledger", RETENTION.ledger, kept),
        deliveries: table.or("deliveries", RETENTION.deliveries, kept),
        events: table.or("events", RETENTION.events, kept),
    })
}

/// Whether a plain-text URL leads to another machine.
pub(super) fn is_plain_remote(url: &SecretString) -> bool {
    let Ok(url) = Url::parse(url.expose_secret()) else { return false };
    let local = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        // A name without a dot is one of this machine or its container network.
        Some(url::Host::Domain(name)) => !name.contains('.'),
        None => true,
    };
    matches!(url.scheme(), "http" | "ws") && !local
}
