//! The words of messages: names, lists, and what a mistyped word meant.

/// What [`is_name`] takes, in words.
pub(crate) const NAME: &str = "a name of 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`";

/// Whether the text may name a key, an endpoint, a provider or a network.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// The candidate that a mistyped word most likely meant.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_ascii_lowercase();
    let distance =
        |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase());
    let near = candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min()?;
    // A third of the letters wrong is still a typing error; more is another word.
    (near.0 <= (word.len() / 3).max(1)).then_some(near.1)
}

/// `a`, `b` or `c`, in backticks.
pub(crate) fn list_of<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_suggested_and_a_far_one_is_not() {
        let keys = ["url", "ws", "requests_per_second", "providers"];
        for (word, expected) in [
            ("provider", Some("providers")),
            ("Providers", Some("providers")),
            ("request_per_sec", Some("requests_per_second")),
            ("urll", Some("url")),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
