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

/// No reply that is longer is an error.
const LONG: usize = 64 << 10;

/// The result of a call: the bytes as they came. Decoding borrows from them.
#[derive(Clone)]
pub struct Answer {
    text: Text,
    redaction: Arc<Redaction>,
}

#[derive(Clone)]
enum Text {
    /// The result alone.
    Result(Bytes),
    /// A whole reply, and the id of its call. It is not looked into before it is decoded, so that
    /// a block of several MB is walked through only once.
    Reply(Bytes, u64),
}

impl Answer {
    pub(crate) fn new(result: Bytes, redaction: Arc<Redaction>) -> Self {
        Self { text: Text::Result(result), redaction }
    }

    /// The answer to the call of this id, where the body is too long for anything but its result.
    pub(crate) fn long(body: &Bytes, id: u64, redaction: &Arc<Redaction>) -> Option<Self> {
        (body.len() > LONG && !is_list(body))
            .then(|| Self { text: Text::Reply(body.clone(), id), redaction: Arc::clone(redaction) })
    }

    /// Reads the result. Types may borrow: `&str` where nothing is escaped, `Cow<str>` and
    /// `&RawValue` always. A `null` is `None` for an `Option` and an error for all else.
    ///
    /// # Errors
    /// [`CallError::Malformed`] where the result is of another form, or a long reply is none to the
    /// call that was made.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, CallError> {
        let decoded = match &self.text {
            Text::Result(result) => serde_json::from_slice(result).map_err(|e| e.to_string()),
            Text::Reply(reply, id) => Envelope::read(reply).and_then(|reply| reply.result_of(*id)),
        };
        // serde's message may quote the value, and the value repeat what the provider was sent.
        decoded.map_err(|words| CallError::Malformed(self.redaction.clean(&words)))
    }

    /// Whether the result is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.text, Text::Result(result) if &**result == b"null")
    }

    /// The result's JSON.
    ///
    /// # Errors
    /// [`CallError::Malformed`] where a long reply is none to the call that was made.
    pub fn json(&self) -> Result<&[u8], CallError> {
        match &self.text {
            Text::Result(result) => Ok(result),
            Text::Reply(..) => Ok(self.decode::<&RawValue>()?.get().as_bytes()),
        }
    }
}

/// How long it is, not what is in it.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Text::Result(text) | Text::Reply(text, _)) = &self.text;
        write!(f, "Answer({} bytes)", text.len())
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
        if !is_list(body) {
            return Envelope::read(body)?.reply(body).map(Self::One);
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

fn is_list(json: &[u8]) -> bool {
    json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Envelope<'a, T> {
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: Option<T>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

/// A `null` result is a result; only its absence is `None`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(json: D) -> Result<Option<T>, D::Error> {
    T::deserialize(json).map(Some)
}

impl<'a, T: Deserialize<'a>> Envelope<'a, T> {
    fn read(reply: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(reply).map_err(|error| error.to_string())
    }

    fn id(&self) -> Option<u64> {
        self.id.and_then(|id| id.get().parse().ok())
    }

    fn result_of(self, call: u64) -> Result<T, String> {
        match (self.id() == Some(call), self.result, self.error) {
            (true, Some(result), None) => Ok(result),
            (false, ..) => Err(OTHER_CALL.to_owned()),
            _ => Err("a long reply that is no result".to_owned()),
        }
    }
}

/// What a reply of another id is.
pub(crate) const OTHER_CALL: &str = "the answer is to another call";

impl<'a> Envelope<'a, &'a RawValue> {
    fn reply(&self, body: &Bytes) -> Result<Reply, String> {
        let outcome = match (self.result, self.error) {
            (_, Some(error)) => Err(read_error(error)),
            (Some(result), None) => Ok(body.slice_ref(result.get().as_bytes())),
            (None, None) => return Err("neither result nor error".to_owned()),
        };
        Ok(Reply { id: self.id(), outcome })
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
    type Value = Vec<Envelope<'de, &'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = Vec<Envelope<'de, &'de RawValue>>;

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
