//! Reading a TOML file so that every mistake in it is reported at once, with its place.
//!
//! Serde stops at the first mistake and knows no keys by path, so the tree is walked by hand: each
//! reader takes what it expects, records what it cannot take, and the walk goes on.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::duration::parse_duration;
use super::problem::{Origin, Problem, join};
use super::words::{NAME, is_name, list_of, nearest};

/// Where the variables of `${NAME}` come from.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file's text. What `build` makes counts only if nothing was recorded on the way.
///
/// # Errors
/// Every problem found, in the order of lines; of a text that is no TOML only where it is none.
pub(crate) fn read_toml<T>(
    file: &str,
    text: &str,
    environment: Environment<'_>,
    build: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Result<T, Vec<Problem>> {
    let document = Document { file, text, environment, problems: RefCell::default() };
    let (tree, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        document.report(error.span().map_or(0, |span| span.start), "", error.message());
    }
    if !document.problems.borrow().is_empty() {
        return Err(document.problems.into_inner());
    }
    let root = Table::new(&document, String::new(), 0, tree.get_ref());
    let built = build(&root);
    root.finish();
    let mut problems = document.problems.into_inner();
    problems.sort();
    match built {
        Some(built) if problems.is_empty() => Ok(built),
        _ => Err(problems),
    }
}

struct Document<'t> {
    file: &'t str,
    text: &'t str,
    environment: Environment<'t>,
    problems: RefCell<Vec<Problem>>,
}

impl Document<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn report(&self, offset: usize, key: &str, message: impl Into<String>) {
        let (file, line) = (self.file.to_owned(), Some(self.line(offset)));
        let problem = Problem { file, line, key: key.to_owned(), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }
}

/// A table whose keys are read one by one; what nobody asked for is unknown.
pub(crate) struct Table<'d> {
    document: &'d Document<'d>,
    path: String,
    offset: usize,
    entries: &'d DeTable<'d>,
    known: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    fn new(
        document: &'d Document<'d>,
        path: String,
        offset: usize,
        entries: &'d DeTable<'d>,
    ) -> Self {
        Self { document, path, offset, entries, known: RefCell::default() }
    }

    /// Reads a key that may be absent.
    pub(crate) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> Option<T> {
        self.known.borrow_mut().push(key);
        self.entry(key).and_then(|value| read(&value))
    }

    /// Reads a key that has a default.
    pub(crate) fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// Reads a key that must be there; `expected` says what to write.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> Option<T> {
        if self.has(key) {
            return self.optional(key, read);
        }
        self.known.borrow_mut().push(key);
        self.fail_at(key, format!("is missing; expected {expected}"));
        None
    }

    /// Whether the key is written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Reads a table in which the keys are names that the operator chose.
    pub(crate) fn named<T>(&self, mut read: impl FnMut(&str, &Value<'d>) -> Option<T>) -> Vec<T> {
        let mut read_all = Vec::new();
        for (name, value) in self.entries {
            let name: &str = name.get_ref();
            let value = self.value(name, value.span().start, value.get_ref());
            read_all.extend(read(name, &value));
        }
        read_all
    }

    /// The keys of a table that stands under `key`, also of entries that are otherwise wrong.
    pub(crate) fn names_under(&self, key: &str) -> Vec<&'d str> {
        let table = self.entry(key).and_then(|value| value.inner.as_table());
        let keys = table.into_iter().flatten();
        keys.map(|(name, _)| name.get_ref().as_ref()).collect()
    }

    /// Records what is wrong with one of this table's keys.
    pub(crate) fn fail_at(&self, key: &str, message: impl Into<String>) {
        let offset = self.entries.iter().find(|(name, _)| name.get_ref() == key);
        let offset = offset.map_or(self.offset, |(name, _)| name.span().start);
        self.document.report(offset, &join(&self.path, key), message);
    }

    /// This table's place.
    pub(crate) fn origin(&self) -> Origin {
        let line = |offset| self.document.line(offset);
        let own = |(name, _): (&Spanned<DeString<'_>>, _)| {
            (name.get_ref().to_string(), line(name.span().start))
        };
        Origin {
            file: self.document.file.to_owned(),
            line: line(self.offset),
            key: self.path.clone(),
            lines: self.entries.iter().map(own).collect(),
        }
    }

    fn entry(&self, key: &str) -> Option<Value<'d>> {
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(self.value(key, value.span().start, value.get_ref()))
    }

    fn value(&self, key: &str, offset: usize, inner: &'d DeValue<'d>) -> Value<'d> {
        Value { document: self.document, path: join(&self.path, key), offset, inner }
    }

    fn finish(&self) {
        let known = self.known.borrow();
        for (name, _) in self.entries {
            let key: &str = name.get_ref();
            if known.contains(&key) {
                continue;
            }
            let message = match nearest(key, known.iter().copied()) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => format!("unknown key; expected one of {}", list_of(known.iter())),
            };
            self.document.report(name.span().start, &join(&self.path, key), message);
        }
    }
}

/// A value with its place.
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    path: String,
    offset: usize,
    inner: &'d DeValue<'d>,
}

impl<'d> Value<'d> {
    /// Records what is wrong with this value.
    pub(crate) fn fail<T>(&self, message: impl Into<String>) -> Option<T> {
        self.document.report(self.offset, &self.path, message);
        None
    }

    /// A table of known keys.
    pub(crate) fn table<T>(&self, build: impl FnOnce(&Table<'d>) -> Option<T>) -> Option<T> {
        let Some(entries) = self.inner.as_table() else { return self.wrong_type("a table") };
        let table = Table::new(self.document, self.path.clone(), self.offset, entries);
        let built = build(&table);
        table.finish();
        built
    }

    /// A table whose keys are names that the operator chose.
    pub(crate) fn named<T>(&self, read: impl FnMut(&str, &Self) -> Option<T>) -> Option<Vec<T>> {
        let Some(entries) = self.inner.as_table() else { return self.wrong_type("a table") };
        Some(Table::new(self.document, self.path.clone(), self.offset, entries).named(read))
    }

    /// An array; elements that cannot be read are recorded and left out.
    pub(crate) fn list<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        let Some(array) = self.inner.as_array() else { return self.wrong_type("an array") };
        let mut read_all = Vec::new();
        for (index, value) in array.iter().enumerate() {
            read_all.extend(read(&Value {
                document: self.document,
                path: format!("{}[{index}]", self.path),
                offset: value.span().start,
                inner: value.get_ref(),
            }));
        }
        Some(read_all)
    }

    /// An array of at least one element, of what `expected` says.
    pub(crate) fn some<T>(
        &self,
        expected: &str,
        read: impl Fn(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        match self.inner.as_array() {
            Some(array) if array.is_empty() => {
                self.fail(format!("is empty; expected a list of {expected}"))
            }
            _ => self.list(read),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        self.inner.as_bool().or_else(|| self.wrong_type("true or false"))
    }

    /// A whole number in a range.
    pub(crate) fn integer<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        let (least, most) = (range.start(), range.end());
        let expected = match *most {
            u64::MAX => format!("a whole number of at least {least}"),
            most => format!("a whole number from {least} to {most}"),
        };
        let Some(number) = self.inner.as_integer() else { return self.wrong_type(&expected) };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let read = read.filter(|read| range.contains(read)).and_then(|read| T::try_from(read).ok());
        read.or_else(|| self.fail(format!("expected {expected}, found {number}")))
    }

    /// A string with the environment's variables put in.
    pub(crate) fn string(&self) -> Option<String> {
        let Some(raw) = self.inner.as_str() else { return self.wrong_type("a string") };
        match substitute(raw, self.document.environment) {
            Ok(text) => Some(text),
            Err(message) => self.fail(message),
        }
    }

    /// The string as it is written, without the environment's variables, for messages.
    pub(crate) fn raw(&self) -> &'d str {
        self.inner.as_str().unwrap_or_default()
    }

    /// A string of a certain form. The message quotes it as it is written in the file.
    pub(crate) fn parsed<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.string()?;
        let raw = self.raw();
        parse(&text).or_else(|| self.fail(format!("expected {expected}, found {raw:?}")))
    }

    /// A string of a certain form that may hold a secret, so the message does not quote it.
    pub(crate) fn parsed_secretly<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.string()?;
        parse(&text).or_else(|| self.fail(format!("expected {expected}")))
    }

    /// One of a closed set of words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let raw = self.raw();
        let words = choices.iter().map(|(word, _)| *word);
        let hint = nearest(&text, words.clone());
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        self.fail(format!("expected {}, found {raw:?}{hint}", list_of(words)))
    }

    /// A duration such as `"15s"`.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let expected = "a duration such as \"750ms\", \"15s\", \"2m\", \"24h\" or \"90d\"";
        if !self.inner.is_str() {
            return self.wrong_type(expected);
        }
        self.parsed(expected, parse_duration)
    }

    /// A name that may stand in a URL, a metric and a log.
    pub(crate) fn name(&self) -> Option<String> {
        self.parsed(NAME, |text| is_name(text).then(|| text.to_owned()))
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fail(format!("expected {expected}, found {found}"))
    }
}

/// Puts the variables of `${NAME}` in; `$${` stands for `${`.
fn substitute(raw: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            text.push_str(escaped);
            text.push_str("${");
            rest = &reference[2..];
            continue;
        }
        text.push_str(before);
        let Some((name, after)) = reference[2..].split_once('}') else {
            return Err("`${` without a closing `}`; write `$${` for the characters `${`".into());
        };
        if !is_variable(name) {
            return Err("`${…}` must hold a variable's name, such as `${API_KEY}`".into());
        }
        let value = environment(name);
        text.push_str(&value.ok_or_else(|| format!("environment variable `{name}` is not set"))?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_dollars_escaped() {
        let environment = |name: &str| match name {
            "KEY" => Some("s3cret".to_owned()),
            "TRAP" => Some("${KEY}".to_owned()),
            _ => None,
        };
        let cases = [
            ("plain", Ok("plain")),
            ("a${KEY}b${KEY}", Ok("as3cretbs3cret")),
            ("$${KEY}", Ok("${KEY}")),
            ("$ $$ $KEY", Ok("$ $$ $KEY")),
            ("${TRAP}", Ok("${KEY}")), // what a variable holds is not read again
            ("${GONE}", Err("environment variable `GONE` is not set")),
            ("${KEY", Err("`${` without a closing `}`; write `$${` for the characters `${`")),
            ("${}", Err("`${…}` must hold a variable's name, such as `${API_KEY}`")),
        ];
        for (raw, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(substitute(raw, &environment), expected, "{raw}");
        }
    }
}
