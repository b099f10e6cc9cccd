//! RLP and the ordered trie, written straight from the JSON's hex into one reused buffer.

use alloy_primitives::{B256, hex};
use alloy_rlp::Header;
use alloy_trie::root::ordered_trie_root_encoded;

use crate::Refusal;

/// Appends a list whose items `items` writes.
pub(crate) fn list(
    out: &mut Vec<u8>,
    items: impl FnOnce(&mut Vec<u8>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let start = out.len();
    items(out)?;
    let header = Header { list: true, payload_length: out.len() - start };
    header.encode(out);
    // The length is known only now; bring the header in front of its payload.
    out[start..].rotate_right(header.length());
    Ok(())
}

/// Appends a string given as `0x…` hex.
pub(crate) fn hex_string(text: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    push_hex(text, out)?;
    let length = out.len() - start;
    // A single byte below 0x80 is its own encoding.
    if length != 1 || out[start] >= 0x80 {
        let header = Header { list: false, payload_length: length };
        header.encode(out);
        out[start..].rotate_right(header.length());
    }
    Ok(())
}

/// Appends the bytes of a `0x…` text.
pub(crate) fn push_hex(text: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let digits = text.strip_prefix("0x").ok_or_else(|| Refusal::malformed("data without 0x"))?;
    let start = out.len();
    out.resize(start + digits.len() / 2, 0);
    hex::decode_to_slice(digits, &mut out[start..])
        .map_err(|_| Refusal::malformed("data that is not hex"))
}

/// The encoded items of a list that a block header commits to.
#[derive(Debug, Default)]
pub(crate) struct Items {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Items {
    /// Encodes `items` one behind the other; `encode` is told each one's place.
    pub(crate) fn encode<T>(
        items: &[T],
        encode: impl Fn(usize, &T, &mut Vec<u8>) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        let mut bytes = Vec::with_capacity(items.len() * 512);
        let mut ends = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            encode(at, item, &mut bytes)?;
            ends.push(bytes.len());
        }
        Ok(Self { bytes, ends })
    }

    /// The n-th item's encoding; empty where there is none.
    pub(crate) fn get(&self, n: usize) -> &[u8] {
        let start = n.checked_sub(1).map_or(0, |before| self.ends.get(before).map_or(0, |e| *e));
        self.ends.get(n).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }

    /// The root of the trie that maps RLP(index) to item.
    pub(crate) fn root(&self) -> B256 {
        let items: Vec<&[u8]> = (0..self.ends.len()).map(|n| self.get(n)).collect();
        ordered_trie_root_encoded(&items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rlp::Encodable;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_and_lists_are_encoded_as_alloy_does(
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)
        ) {
            let mut ours = Vec::new();
            list(&mut ours, |out| {
                strings.iter().try_for_each(|s| hex_string(&hex::encode_prefixed(s), out))
            }).unwrap();
            let bytes: Vec<alloy_primitives::Bytes> =
                strings.into_iter().map(Into::into).collect();
            let mut theirs = Vec::new();
            bytes.encode(&mut theirs);
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn what_is_not_hex_is_refused_f20() {
        for wrong in ["", "0", "00", "0x0", "0xzz", "0x0é"] {
            assert!(hex_string(wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        }
    }
}
