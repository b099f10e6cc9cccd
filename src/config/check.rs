//! What `confirmd check` finds.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use secrecy::ExposeSecret as _;

use super::{Config, ConfigError, Dialect, Problem, Settings};

/// What there is to say of a configuration file and its registry.
#[derive(Clone, Debug)]
pub struct Report {
    /// The configuration file.
    pub file: String,
    /// What makes it unusable.
    pub errors: Vec<Problem>,
    /// What works, but perhaps not as meant.
    pub warnings: Vec<Problem>,
    /// What it amounts to, a line each; empty where there are errors.
    pub summary: Vec<String>,
}

impl Report {
    /// Whether the daemon would start with it.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }
}

/// For the terminal: errors, warnings, what it amounts to, and the verdict last.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(f, "error: {error}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for line in &self.summary {
            writeln!(f, "{line}")?;
        }
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let warnings = count(self.warnings.len(), "warning");
        match self.errors.len() {
            0 => write!(f, "{}: ok, {warnings}", self.file),
            errors => write!(f, "{}: {}, {warnings}", self.file, count(errors, "error")),
        }
    }
}

/// Reads a configuration and its registry as the daemon would, and says all there is to say.
/// Asks no provider.
#[must_use]
pub fn check(path: &Path) -> Report {
    report(path, Settings::load(path))
}

pub(super) fn report(path: &Path, settings: Result<Settings, ConfigError>) -> Report {
    let file = path.display().to_string();
    match settings {
        Err(error) => {
            Report { file, errors: error.problems, warnings: Vec::new(), summary: Vec::new() }
        }
        Ok(settings) => {
            let mut warnings = settings.warnings.clone();
            warnings.extend(unused(&file, &settings.config));
            warnings.extend(weak(&file, &settings.config));
            Report { file, errors: Vec::new(), warnings, summary: summary(&settings) }
        }
    }
}

fn about(file: &str, key: &str, message: impl Into<String>) -> Problem {
    Problem { file: file.to_owned(), line: None, key: key.to_owned(), message: message.into() }
}

/// What is there without use, or missing though something needs it.
fn unused(file: &str, config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let by_default: BTreeSet<&String> =
        config.defaults.endpoints.iter().chain(&config.defaults.ops_endpoint).collect();
    for name in config.endpoints.keys().filter(|name| !by_default.contains(name)) {
        let message = "only intents that name it send events there: it is neither in \
                       `defaults.endpoints` nor `defaults.ops_endpoint`";
        warnings.push(about(file, &format!("endpoints.{name}"), message));
    }
    if config.defaults.endpoints.is_empty() {
        let message = "is empty: intents that name no endpoint of their own report to nobody";
        warnings.push(about(file, "defaults.endpoints", message));
    }
    if config.keys.is_empty() {
        warnings.push(about(file, "keys", "is empty: nobody can call the API"));
    }
    if !config.networks.values().any(|network| network.enabled) {
        warnings.push(about(file, "networks", "names none to follow: no payment will be seen"));
    }
    warnings
}

/// Secrets that are easy to guess, and events that nobody is told of.
fn weak(file: &str, config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for (name, endpoint) in &config.endpoints {
        let short = |secret: &&secrecy::SecretString| secret.expose_secret().len() < 16;
        if endpoint.secrets.iter().find(short).is_some() {
            let key = format!("endpoints.{name}.secrets");
            warnings.push(about(file, &key, "has one of fewer than 16 characters"));
        }
    }
    let ops = config.defaults.ops_endpoint.as_ref().and_then(|name| config.endpoints.get(name));
    if ops.is_some_and(|endpoint| endpoint.dialect != Dialect::Standard) {
        let message = "should speak the dialect `standard`, which alone can say every event";
        warnings.push(about(file, "defaults.ops_endpoint", message));
    }
    warnings
}

fn summary(settings: &Settings) -> Vec<String> {
    let mut lines = Vec::new();
    for followed in &settings.networks {
        let providers: Vec<&str> = followed.providers.iter().map(|p| p.name.as_str()).collect();
        let assets: Vec<&str> = followed.assets.iter().map(|a| a.info.symbol.as_str()).collect();
        lines.push(format!(
            "network {} ({}): {} confirmations, verify {}, {} from {}",
            followed.network.id,
            followed.network.caip2,
            followed.threshold,
            followed.verified_by(),
            assets.join(" "),
            providers.join(", "),
        ));
    }
    for (name, endpoint) in &settings.config.endpoints {
        let host = endpoint.url.host_str().unwrap_or_default();
        let dialect = match endpoint.dialect {
            Dialect::Standard => "standard",
            Dialect::Amn(_) => "amn",
        };
        lines.push(format!("endpoint {name} ({dialect}) at {host}"));
    }
    lines
}
