//! Requests and answers on the wire.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::redact::Redaction;
use crate::{CallError, RpcError};

/// One call: a method and its parameters.
#[derive(Clone, Debug)]
pub struct Request {
    method: Cow<'static, str>,
    params: Box<RawValue>,
}

impl Request {
    /// A call with these parameters: a tuple or slice for positions, a struct or map for names,
    /// `()` for none.
    ///
    /// # Errors
    /// [`CallError::Invalid`] where the parameters are not JSON, as a map with keys that are no
    /// strings.
    pub fn new<P: Serialize + ?Sized>(
        method: impl Into<Cow<'static, str>>,
        params: &P,
    ) -> Result<Self, CallError> {
        let method = method.into();
        let params = serde_json::value::to_raw_value(params).map_err(|error| {
            let message = format!("the parameters of {method} are not JSON: {error}");
            CallError::Invalid(RpcError { code: INVALID_PARAMS, message })
        })?;
        Ok(Self { method, params })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The call as JSON-RPC 2.0 writes it.
    pub(crate) fn write(&self, id: u64, out: &mut String) {
        // Many servers insist on parameters, though the specification does not.
        let params = if self.params.get() == "null" { "[]" } else { self.params.get() };
        let method = serde_json::Value::from(&*self.method);
        *out += &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#);
    }
}

/// JSON-RPC 2.0: invalid method parameters.
pub(crate) const INVALID_PARAMS: i64 = -32602;

/// The result of a call: the bytes as they came. Decoding borrows from them.
#[derive(Clone)]
pub struct Answer {
    result: Bytes,
    redaction: Arc<Redaction>,
}

impl Answer {
    pub(crate) fn new(result: Bytes, redaction: Arc<Redaction>) -> Self {
        Self { result, redaction }
    }

    /// Reads the result. Types may borrow: `&str` where nothing is escaped, `Cow<str>` and
    /// `&RawValue` always. A `null` is `None` for an `Option` and an error for all else.
    ///
    /// # Errors
    /// [`CallError::Malformed`] where the result is of another form.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, CallError> {
        // serde's message may quote the value, and the value repeat what the provider was sent.
        serde_json::from_slice(&self.result)
            .map_err(|error| CallError::Malformed(self.redaction.clean(&error.to_string())))
    }

    /// Whether the result is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.result == b"null"
    }

    /// The result's JSON.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.result
    }
}

/// How long it is, not what is in it.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} bytes)", self.result.len())
    }
}

/// A provider's error object before it is classified.
#[derive(Debug)]
pub(crate) struct ErrorObject {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<String>,
}

/// One element of an answer's body.
#[derive(Debug)]
pub(crate) struct Reply {
    /// None for `null`, absent, or anything but a whole number.
    pub(crate) id: Option<u64>,
    pub(crate) outcome: Result<Bytes, ErrorObject>,
}

/// What an answer's body holds.
#[derive(Debug)]
pub(crate) enum Replies {
    /// One object: the answer to a single call, or a refusal of a whole batch.
    One(Reply),
    /// A batch's answers, in any order.
    Many(Vec<Reply>),
}

impl Replies {
    /// Reads a body with at most `max` replies.
    pub(crate) fn read(body: &Bytes, max: usize) -> Result<Self, String> {
        let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        if !is_list {
            let envelope: Envelope<'_> =
                serde_json::from_slice(body).map_err(|error| error.to_string())?;
            return envelope.reply(body).map(Self::One);
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let envelopes = AtMost(max)
            .deserialize(&mut json)
            .and_then(|envelopes| json.end().map(|()| envelopes))
            .map_err(|error| error.to_string())?;
        envelopes
            .into_iter()
            .map(|envelope| envelope.reply(body))
            .collect::<Result<_, _>>()
            .map(Self::Many)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

/// A `null` result is a result; only its absence is `None`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Envelope<'_> {
    fn reply(&self, body: &Bytes) -> Result<Reply, String> {
        let id = self.id.and_then(|id| id.get().parse().ok());
        let outcome = match (self.result, self.error) {
            (_, Some(error)) => Err(read_error(error)),
            (Some(result), None) => Ok(body.slice_ref(result.get().as_bytes())),
            (None, None) => return Err("neither result nor error".to_owned()),
        };
        Ok(Reply { id, outcome })
    }
}

/// Reads an error in whatever form: some gateways send a bare string, or codes that are no number.
fn read_error(raw: &RawValue) -> ErrorObject {
    #[derive(Deserialize)]
    struct Specified<'a> {
        #[serde(default, borrow)]
        code: Option<&'a RawValue>,
        #[serde(borrow)]
        message: Cow<'a, str>,
        #[serde(default, borrow)]
        data: Option<&'a RawValue>,
    }
    let text = raw.get();
    serde_json::from_str::<Specified<'_>>(text).map_or_else(
        |_| ErrorObject { code: 0, message: text.to_owned(), data: None },
        |error| ErrorObject {
            code: error
                .code
                .and_then(|code| code.get().trim_matches('"').parse().ok())
                .unwrap_or(0),
            message: error.message.into_owned(),
            data: error.data.map(|data| data.get().to_owned()),
        },
    )
}

/// Reads a list that is refused as soon as it is too long: a body of `{},{},…` would otherwise
/// take many times its own size.
struct AtMost(usize);

impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = Vec<Envelope<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = Vec<Envelope<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} answers", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut envelopes = Vec::new();
        while let Some(envelope) = list.next_element()? {
            if envelopes.len() == self.0 {
                return Err(serde::de::Error::custom("more answers than calls"));
            }
            envelopes.push(envelope);
        }
        Ok(envelopes)
    }
}
