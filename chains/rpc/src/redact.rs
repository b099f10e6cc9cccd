//! Keeps URLs and credentials out of everything that is shown (I12).
//!
//! Providers repeat the key that they refuse ("project ID … is over its limit"), and TLS errors
//! name the host. So every text that comes from outside passes through here before it becomes an
//! error, a log line or a status.

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// Longest text that is kept, in characters.
const MAX_WORDS: usize = 300;
/// Shorter parts of a URL ("v2", "rpc") are no secret, and removing them would garble the text.
const MIN_SECRET: usize = 4;

/// The parts of a provider's URLs that may not be shown.
pub(crate) struct Redaction {
    /// Longest first, so that a part never hides the whole that it belongs to.
    secrets: Vec<SecretString>,
}

impl Redaction {
    /// Of a provider with these URLs.
    pub(crate) fn new<'u>(urls: impl IntoIterator<Item = &'u Url>) -> Self {
        let mut secrets = Vec::new();
        for url in urls {
            secrets.extend([url.to_string(), url.path().to_owned()]);
            secrets.extend(url.host_str().map(str::to_owned));
            secrets.extend(url.query().map(str::to_owned));
            secrets.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
            secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
            secrets.push(url.username().to_owned());
            secrets.extend(url.password().map(str::to_owned));
            secrets.extend(userinfo_as_typed(url));
        }
        secrets.retain(|secret| secret.chars().count() >= MIN_SECRET);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets: secrets.into_iter().map(SecretString::from).collect() }
    }

    /// The text without secrets and URLs, on one line, at most [`MAX_WORDS`] characters long.
    pub(crate) fn clean(&self, text: &str) -> String {
        // Cut with room to spare first, so that a huge text is not copied once per secret; and to
        // size last, so that no secret is cut in half and missed.
        let mut words: String = text.chars().take(16 * MAX_WORDS).collect();
        for secret in &self.secrets {
            if words.contains(secret.expose_secret()) {
                words = words.replace(secret.expose_secret(), "[redacted]");
            }
        }
        let words = without_urls(&words);
        words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
    }
}

/// User and password without percent-encoding: the form in which a server may repeat them.
fn userinfo_as_typed(url: &Url) -> impl Iterator<Item = String> {
    let decode = |part: &str| {
        // A query's values are percent-decoded by the parser, so let it decode ours.
        let query = part.replace('+', "%2B").replace('&', "%26");
        let pair = Url::parse(&format!("x://x/?x={query}")).ok()?;
        let decoded = pair.query_pairs().next()?.1.into_owned();
        Some(decoded)
    };
    [decode(url.username()), url.password().and_then(decode)].into_iter().flatten()
}

/// Replaces every `scheme://…` up to the next space or quote.
pub(crate) fn without_urls(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start = rest[..at]
            .rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))
            .map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        clean.push_str(&rest[..start]);
        clean.push_str("[url]");
        let tail = &rest[at..];
        let end = tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '>'));
        rest = end.map_or("", |end| &tail[end..]);
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_url_that_may_be_a_secret_is_removed_i12() {
        let url = "https://us%2Ber:p%40ssw0rd@node.example:8443/v2/K3YinPATH?apikey=K3YinQUERY";
        let redaction = Redaction::new([&Url::parse(url).expect("a URL")]);
        let texts = [
            "project K3YinPATH is over its limit",
            "bad apikey=K3YinQUERY",
            "certificate is not valid for node.example",
            "user us+er with p@ssw0rd, or us%2Ber with p%40ssw0rd",
            "see https://node.example:8443/v2/K3YinPATH?apikey=K3YinQUERY",
            "cannot POST /v2/K3YinPATH",
        ];
        for text in texts {
            let clean = redaction.clean(text);
            for secret in ["K3Yin", "p@ss", "p%40ss", "us+er", "us%2Ber", "node.example"] {
                assert!(!clean.contains(secret), "{clean:?} still holds {secret:?}");
            }
        }
    }

    #[test]
    fn other_urls_go_and_the_words_around_them_stay() {
        let redaction = Redaction::new([]);
        let cases = [
            ("see https://a.example/x?key=1 for more", "see [url] for more"),
            ("(\"ws://a\") https://b", "(\"[url]\") [url]"),
            ("nothing here", "nothing here"),
            ("two\nlines\u{7}", "two lines "),
            ("é://x", "é[url]"),
        ];
        for (text, expected) in cases {
            assert_eq!(redaction.clean(text), expected);
        }
        assert_eq!(redaction.clean(&"x".repeat(1_000_000)).len(), MAX_WORDS);
    }
}
