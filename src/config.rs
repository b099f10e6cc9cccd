//! The typed configuration.
//!
//! [`Config::load`] reads one TOML file; every error names file, line and key and says what was
//! expected, and all of them are reported at once. [`Settings::load`] reads the registry files as
//! well and merges both into what is followed. [`check()`] does the same for `confirmd check`.

mod callable;
mod changes;
mod check;
mod document;
mod duration;
mod problem;
mod read;
mod settings;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use confirmd_chain::{Confirmations, Height};
use confirmd_evm::Verify;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::settlement::{EventKind, Tolerance};

pub(crate) use callable::check_read_url;
pub use callable::{UrlError, check_url, is_public};
pub use changes::{Changes, NetworkChange};
pub use check::{Report, check};
pub(crate) use document::{Environment, Table, Value, read_toml};
pub use duration::parse_duration;
pub use problem::{Origin, Problem};
pub(crate) use read::{MAX_CONFIRMATIONS, providers};
pub use settings::{Followed, FollowedAsset, Settings, ThresholdSource};
pub(crate) use words::{is_name, list_of, nearest};

/// One configuration file, read and typed. It holds no secret in the clear: its `Debug` output
/// may be logged (I12).
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from.
    pub file: PathBuf,
    /// Folders of registry files; a later one's file replaces an earlier one of the same id. By
    /// default `networks` beside the configuration file.
    pub registry: Vec<PathBuf>,
    /// The HTTP server.
    pub server: Server,
    /// The database.
    pub store: Store,
    /// API keys.
    pub keys: Vec<ApiKey>,
    /// Where events go, by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// What an intent gets that does not say otherwise.
    pub defaults: Defaults,
    /// The networks to follow, by registry id. One without a section is not followed.
    pub networks: BTreeMap<String, NetworkConfig>,
    /// How long what grows without end is kept.
    pub retention: Retention,
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The address that the API listens on.
    pub listen: SocketAddr,
}

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    /// `sqlite://…` or `postgres://…`; secret, since it may hold a password.
    pub url: SecretString,
    /// Which of the two.
    pub kind: StoreKind,
    /// How long an instance that is not heard of keeps the networks that it follows.
    pub lease: Duration,
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One file, one instance.
    Sqlite,
    /// For more than one instance.
    Postgres,
}

/// Who may call the API, and what for.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The name under which its doings are recorded.
    pub name: String,
    /// The SHA-256 digest of the key; the key itself is not kept.
    pub digest: KeyDigest,
    /// Whose intents and wallets it sees.
    pub account: String,
    /// What it may do. Scopes do not include each other.
    pub scopes: BTreeSet<Scope>,
    /// How many intents it may have open at a time.
    pub max_open_intents: u32,
}

/// A key's SHA-256 digest. Compare it in constant time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key as it stands behind `Bearer`.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// From its 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Self(digest))
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest([REDACTED])")
    }
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Intents, wallets, endpoints and retries of the own account.
    Write,
    /// Thresholds, registry, orphans, monitor, and every account.
    Admin,
}

impl Scope {
    /// Its name in the configuration and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Where events go.
#[derive(Clone)]
pub struct Endpoint {
    /// Where to post.
    pub url: Url,
    /// The form of what is posted.
    pub dialect: Dialect,
    /// What it is signed with: several while rotating, the first one first.
    pub secrets: Vec<SecretString>,
    /// The event types that it gets; none for all that are on by default.
    pub events: Option<Vec<EventKind>>,
    /// Whether it may stand at a private address, and be plain http.
    pub allow_private: bool,
    /// How many deliveries may be under way to it at once.
    pub max_in_flight: u32,
}

/// A URL's path and query may hold a token, so only its origin is shown (I12).
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("dialect", &self.dialect)
            .field("secrets", &self.secrets)
            .field("events", &self.events)
            .field("allow_private", &self.allow_private)
            .field("max_in_flight", &self.max_in_flight)
            .finish()
    }
}

/// The form of what is posted to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Standard Webhooks 1.0 with the native body.
    Standard,
    /// AMN's envelope, with one signature header.
    Amn(AmnSignature),
}

impl Dialect {
    /// Its name in the configuration and the API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Amn(_) => "amn",
        }
    }
}

/// How AMN's signature is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmnSignature {
    /// The header's name.
    pub header: String,
    /// What stands before the signature, such as `sha256=`.
    pub prefix: String,
    /// How its bytes are written.
    pub encoding: SignatureEncoding,
}

impl Default for AmnSignature {
    fn default() -> Self {
        Self {
            header: "X-AMN-Signature".to_owned(),
            prefix: String::new(),
            encoding: SignatureEncoding::Hex,
        }
    }
}

/// How a signature's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureEncoding {
    /// Lower-case hex digits.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// What an intent gets that does not say otherwise.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The endpoints that get its events.
    pub endpoints: Vec<String>,
    /// The endpoint that gets every event, whatever the dialects of others cannot say.
    pub ops_endpoint: Option<String>,
    /// How far before its creation a new intent's payment is looked for.
    pub look_back: Duration,
    /// How long after its end an intent's late payments are still its own.
    pub late_window: Duration,
    /// The share of the amount that may be missing.
    pub tolerance: Tolerance,
    /// How long an intent stays open.
    pub expires_in: Duration,
}

/// How a network is followed, as the configuration has it. [`Followed`] has it with the
/// registry's facts and defaults.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// False keeps the section without following the network.
    pub enabled: bool,
    /// The confirmations that an intent needs; else the registry's default.
    pub threshold: Option<Confirmations>,
    /// How answers are proven; else as well as the registry allows.
    pub verify: Option<Verify>,
    /// Whether call traces are used; else where a provider shows them.
    pub traces: Option<bool>,
    /// How many providers must name a block's hash.
    pub quorum: usize,
    /// The time between two looks at the head; else from the block time.
    pub poll_interval: Option<Duration>,
    /// The time between two looks at the mempool; else that between two looks at the head.
    pub mempool_interval: Option<Duration>,
    /// Whom to ask, in this order when all are well; else the registry's public ones.
    pub providers: Vec<Provider>,
    /// What differs for single assets, by symbol or `native`.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// The first height to scan where no cursor is stored; else the newest irreversible block of that moment.
    pub start: Option<Height>,
    /// Where it is written.
    pub origin: Origin,
}

/// One RPC endpoint of a network.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the status and the metrics.
    pub name: String,
    /// Where it is asked; secret, since it may hold a key.
    pub url: SecretString,
    /// Where it announces new heads; secret likewise.
    pub ws: Option<SecretString>,
    /// Where a node of Bitcoin's family announces new blocks by ZMQ: host and port.
    pub zmq: Option<String>,
    /// How often it may be asked; none for no limit.
    pub requests_per_second: Option<u32>,
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        let urls = |of: &Self| {
            [Some(&of.url), of.ws.as_ref()].map(|url| url.map(|url| url.expose_secret().to_owned()))
        };
        self.name == other.name
            && urls(self) == urls(other)
            && self.zmq == other.zmq
            && self.requests_per_second == other.requests_per_second
    }
}

/// What differs for one asset of a network.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The smallest amount that an intent may ask for, as a decimal string; else the registry's.
    /// A part of it counts; a deposit to a wallet that is smaller is reported as `below_minimum`.
    pub minimum: Option<String>,
    /// The confirmations that it needs; else the network's threshold.
    pub confirmations: Option<Confirmations>,
    /// Where it is written.
    pub origin: Origin,
}

/// How long what grows without end is kept. What is not final, and what makes a request
/// repeatable, is never pruned.
#[derive(Clone, Debug)]
pub struct Retention {
    /// The scan ledger.
    pub ledger: Duration,
    /// The delivery log.
    pub deliveries: Duration,
    /// The log of events.
    pub events: Duration,
}

/// Why a configuration cannot be used: everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems, in the order of files and lines; never empty.
    pub problems: Vec<Problem>,
}

/// One problem a line.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a configuration file, with `${NAME}` from the process's environment.
    ///
    /// # Errors
    /// When it cannot be read, or with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, &|name| std::env::var(name).ok())
    }

    fn load_with(path: &Path, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let text = read_file(path).map_err(|problem| ConfigError { problems: vec![problem] })?;
        Self::parse(path, &text, environment)
    }

    /// Reads a configuration's text as if it stood in the file `path`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        read_toml(&path.display().to_string(), text, environment, |root| read::config(root, path))
            .map_err(|problems| ConfigError { problems })
    }
}

/// The file's text, or the problem that there is none.
pub(crate) fn read_file(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| Problem {
        file: path.display().to_string(),
        line: None,
        key: String::new(),
        message: format!("cannot be read: {error}"),
    })
}

#[cfg(test)]
mod tests;
