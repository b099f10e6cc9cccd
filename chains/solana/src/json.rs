//! Lists in JSON, which end where no honest one goes on, so that an answer cannot take many times
//! its own size in memory (F12, F20).

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::Refusal;

/// The accounts of a transaction are counted by a byte.
pub(crate) const ACCOUNTS: usize = 256;

/// Reads a list of so many at most.
pub(crate) fn list<'a, T: Deserialize<'a>>(
    list: &'a RawValue,
    most: usize,
) -> Result<Vec<T>, Refusal> {
    let mut read = Vec::new();
    AtMost(most, &mut read).deserialize(&mut serde_json::Deserializer::from_str(list.get()))?;
    Ok(read)
}

/// Reads a list with an element for each account, or fewer, into a vector that is used again.
pub(crate) fn read_list<'a, T: Deserialize<'a>>(
    list: &'a RawValue,
    into: &mut Vec<T>,
) -> Result<(), Refusal> {
    into.clear();
    add_list(list, into)
}

/// The same, behind what is there.
pub(crate) fn add_list<'a, T: Deserialize<'a>>(
    list: &'a RawValue,
    into: &mut Vec<T>,
) -> Result<(), Refusal> {
    AtMost(ACCOUNTS, into).deserialize(&mut serde_json::Deserializer::from_str(list.get()))?;
    Ok(())
}

/// Adds what a list has to a vector, which is to have so many at most.
pub(crate) struct AtMost<'v, T>(pub(crate) usize, pub(crate) &'v mut Vec<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for AtMost<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(next) = list.next_element()? {
            if self.1.len() == self.0 {
                return Err(A::Error::custom(format_args!("a list of more than {}", self.0)));
            }
            self.1.push(next);
        }
        Ok(())
    }
}

/// A whole number that is written as text.
pub(crate) fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("expected the digits of a whole number"))
}
