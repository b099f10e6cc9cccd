//! What is wrong with a file, and where.

use std::collections::BTreeMap;
use std::fmt;

/// One thing that is wrong, or worth knowing, about a configuration or registry file.
///
/// Its message quotes values only as they are written in the file, before any variable is put
/// in, and those of secret keys not at all (I12).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, counted from 1; none where it is about the whole file.
    pub line: Option<usize>,
    /// The key by its path (`networks.bsc.providers[0].url`); empty where there is none.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

/// `config/confirmd.toml:12: networks.bsc.threshold: expected …`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

impl Problem {
    /// Where it is: `config/confirmd.toml:12: networks.bsc.threshold`.
    #[must_use]
    pub fn place(&self) -> String {
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        let key = if self.key.is_empty() { String::new() } else { format!(": {}", self.key) };
        format!("{}{line}{key}", self.file)
    }
}

/// The place of a table, kept where its values can only be judged later, against another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The table by its path.
    pub key: String,
    /// The lines of its own keys.
    pub(super) lines: BTreeMap<String, usize>,
}

impl Origin {
    /// A problem of the table.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        let (file, key) = (self.file.clone(), self.key.clone());
        Problem { file, line: Some(self.line), key, message: message.into() }
    }

    /// A problem of one of the table's keys; of the table where the key is not written.
    #[must_use]
    pub fn problem_at(&self, key: &str, message: impl Into<String>) -> Problem {
        let line = self.lines.get(key).copied().unwrap_or(self.line);
        Problem { line: Some(line), key: join(&self.key, key), ..self.problem(message) }
    }
}

/// A key's path under that of its table.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
