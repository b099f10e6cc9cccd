//! Reading requests: bodies and parameters, with every bad value collected before any is told.

use std::collections::BTreeMap;

use axum::body::{Bytes, to_bytes};
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, header, request::Parts};
use confirmd_chain::Timestamp;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::problem::{FieldError, Problem};
use crate::config::nearest;

/// The most bytes that a request's body may have.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The most characters of a person's name.
const MAX_NAME: usize = 100;

/// A request's body: JSON, whatever it holds.
#[derive(Debug)]
pub(super) struct Body(pub(super) Value);

/// A request's body where there need be none: an empty one reads as `{}`.
#[derive(Debug)]
pub(super) struct OptionalBody(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let typed = is_json(request.headers());
        let bytes = read(request).await?;
        if !typed {
            return Err(Problem::UnsupportedMediaType);
        }
        parse(&bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let typed = is_json(request.headers());
        let bytes = read(request).await?;
        match (bytes.is_empty(), typed) {
            (true, _) => Ok(Self(Value::Object(Map::new()))),
            (false, true) => parse(&bytes).map(Self),
            (false, false) => Err(Problem::UnsupportedMediaType),
        }
    }
}

/// `application/json`, with parameters or without, or a type built on it (`…+json`).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let too_large = Problem::BodyTooLarge { limit: MAX_BODY_BYTES };
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large);
    }
    to_bytes(request.into_body(), MAX_BODY_BYTES).await.map_err(|error| {
        let limit = std::error::Error::source(&error)
            .is_some_and(|source| source.to_string().contains("length limit"));
        if limit { too_large } else { Problem::Malformed("the body ended early") }
    })
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::MalformedJson {
        fault: if error.is_eof() { "it ends early" } else { "a syntax error" },
        line: error.line(),
        column: error.column(),
    })
}

/// Reads an RFC 3339 time; finer parts than milliseconds are cut off.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
}

/// The person behind the key, in a body that holds nothing else.
pub(super) fn read_actor(body: &Value) -> Result<Option<String>, Problem> {
    let mut errors = Errors::default();
    let actor = Field::root(body).object(&mut errors).and_then(|mut object| {
        let actor = object.optional("actor").and_then(|field| field.name(&mut errors));
        object.end(&mut errors);
        actor
    });
    errors.check()?;
    Ok(actor)
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses the request if anything was wrong.
    pub(super) fn check(self) -> Result<(), Problem> {
        if self.is_empty() { Ok(()) } else { Err(Problem::Invalid(self.0)) }
    }

    /// As [`Self::check`], with what was made of a request that has nothing wrong.
    pub(super) fn finish<T>(mut self, made: Option<T>) -> Result<T, Problem> {
        if made.is_none() && self.is_empty() {
            self.add("", "cannot be used");
        }
        match made {
            Some(made) if self.is_empty() => Ok(made),
            _ => Err(Problem::Invalid(self.0)),
        }
    }
}

/// A value of a body, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Field<'v> {
    pub(super) pointer: String,
    pub(super) value: &'v Value,
}

impl<'v> Field<'v> {
    /// The whole body.
    pub(super) fn root(value: &'v Value) -> Self {
        Self { pointer: String::new(), value }
    }

    pub(super) fn string(&self, errors: &mut Errors) -> Option<&'v str> {
        let text = self.expect(self.value.as_str(), "a string", errors)?;
        if text.contains('\0') {
            errors.add(&self.pointer, "holds a NUL character");
            return None;
        }
        Some(text)
    }

    /// A short text for people.
    pub(super) fn name(&self, errors: &mut Errors) -> Option<String> {
        let text = self.string(errors)?;
        let fits =
            (1..=MAX_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if !fits {
            errors.add(&self.pointer, format!("expected 1 to {MAX_NAME} characters"));
        }
        fits.then(|| text.to_owned())
    }

    pub(super) fn array(&self, errors: &mut Errors) -> Option<Vec<Self>> {
        let items = self.expect(self.value.as_array(), "an array", errors)?;
        let field = |(index, value)| Field { pointer: format!("{}/{index}", self.pointer), value };
        Some(items.iter().enumerate().map(field).collect())
    }

    pub(super) fn object(&self, errors: &mut Errors) -> Option<Object<'v>> {
        let map = self.expect(self.value.as_object(), "an object", errors)?;
        let left = map.iter().map(|(name, value)| (name.as_str(), value)).collect();
        Some(Object { pointer: self.pointer.clone(), left, known: Vec::new() })
    }

    pub(super) fn expect<T>(
        &self,
        value: Option<T>,
        expected: &str,
        errors: &mut Errors,
    ) -> Option<T> {
        if value.is_none() {
            let found = match self.value {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::String(_) => "a string",
                Value::Array(_) => "an array",
                Value::Object(_) => "an object",
            };
            errors.add(&self.pointer, format!("expected {expected}, found {found}"));
        }
        value
    }
}

/// An object whose fields are taken one by one; those that nobody takes are unknown.
#[derive(Debug)]
pub(super) struct Object<'v> {
    pointer: String,
    left: BTreeMap<&'v str, &'v Value>,
    known: Vec<&'static str>,
}

impl<'v> Object<'v> {
    /// A field that may be missing; `null` is the same.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Field<'v>> {
        self.known.push(name);
        let value = self.left.remove(name).filter(|value| !value.is_null())?;
        Some(Field { pointer: self.pointer_to(name), value })
    }

    /// A field that must be there; `expected` says what it holds.
    pub(super) fn required(
        &mut self,
        name: &'static str,
        expected: &str,
        errors: &mut Errors,
    ) -> Option<Field<'v>> {
        let field = self.optional(name);
        if field.is_none() {
            errors.add(&self.pointer_to(name), format!("is missing; expected {expected}"));
        }
        field
    }

    /// Every field was asked for: what is left has no meaning.
    pub(super) fn end(self, errors: &mut Errors) {
        for name in self.left.keys() {
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("is not known; did you mean `{near}`?"),
                None => "is not known".to_owned(),
            };
            errors.add(&self.pointer_to(name), hint);
        }
    }

    /// RFC 6901, with names cut where somebody sends very long ones.
    fn pointer_to(&self, name: &str) -> String {
        let name: String = name.chars().take(64).collect();
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }
}

/// The name in a request's path, as axum's of the same name reads it.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for Path<String> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Path::<String>::from_request_parts(parts, state).await {
            Ok(extract::Path(name)) if is_plain(&name) => Ok(Self(name)),
            // Nothing has such a name, and PostgreSQL cannot even be asked for it.
            Ok(_) => Err(Problem::NotFound("thing")),
            Err(_) => Err(Problem::Malformed("the path is not UTF-8")),
        }
    }
}

/// Whether a text is without control characters: no name has one.
pub(super) fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The parameters behind `?`, taken one by one.
#[derive(Debug)]
pub(super) struct Parameters {
    left: BTreeMap<String, String>,
    known: Vec<&'static str>,
    pub(super) errors: Errors,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let mut left = BTreeMap::new();
        let mut errors = Errors::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !is_plain(&value) {
                errors.add(&format!("?{name}"), "holds a control character");
            } else if left.insert(name.to_string(), value.into_owned()).is_some() {
                errors.add(&format!("?{name}"), "is given twice");
            }
        }
        Ok(Self { left, known: Vec::new(), errors })
    }
}

impl Parameters {
    /// A parameter that may be missing; an empty one is the same.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.left.remove(name).filter(|value| !value.is_empty())
    }

    /// A parameter that may be missing; `expected` says what it holds.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.errors.add(&format!("?{name}"), format!("expected {expected}"));
        }
        value
    }

    /// Every parameter was asked for: what is left has no meaning.
    pub(super) fn end(mut self) -> Result<(), Problem> {
        for name in self.left.keys() {
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("is not known; did you mean `{near}`?"),
                None => "is not known".to_owned(),
            };
            let name: String = name.chars().take(64).collect();
            self.errors.add(&format!("?{name}"), hint);
        }
        self.errors.check()
    }
}
