//! scriptPubKeys: whom an output pays, and what it says.

use confirmd_chain::WatchKey;

/// The longest OP_RETURN data that is shown as a reference. Nodes relay 80 bytes of it by
/// tradition, and no reference needs more.
const MOST_DATA: usize = 256;

/// The scripts that have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Pay to the hash of a public key.
    P2pkh([u8; 20]),
    /// Pay to the hash of a script.
    P2sh([u8; 20]),
    /// The same with 32 bytes of hash (Bitcoin Cash).
    P2sh32([u8; 32]),
    /// Pay to a witness of version 0, by the hash of a public key.
    P2wpkh([u8; 20]),
    /// Pay to a witness of version 0, by the hash of a script.
    P2wsh([u8; 32]),
    /// Pay to a witness of version 1, taproot.
    P2tr([u8; 32]),
}

const OP_RETURN: u8 = 0x6a;
const OP_PUSHDATA1: u8 = 0x4c;
const OP_PUSHDATA2: u8 = 0x4d;

impl Script {
    /// Reads a scriptPubKey; none where it has no address.
    #[must_use]
    pub fn read(script: &[u8]) -> Option<Self> {
        match *script {
            [0x76, 0xa9, 20, ref hash @ .., 0x88, 0xac] => hash.try_into().ok().map(Self::P2pkh),
            [0xa9, 20, ref hash @ .., 0x87] => hash.try_into().ok().map(Self::P2sh),
            [0xaa, 32, ref hash @ .., 0x87] => hash.try_into().ok().map(Self::P2sh32),
            [0, 20, ref hash @ ..] => hash.try_into().ok().map(Self::P2wpkh),
            [0, 32, ref hash @ ..] => hash.try_into().ok().map(Self::P2wsh),
            [0x51, 32, ref key @ ..] => key.try_into().ok().map(Self::P2tr),
            _ => None,
        }
    }

    /// The scriptPubKey as the key that decoders look up.
    #[must_use]
    pub fn watch_key(&self) -> WatchKey {
        let script = match self {
            Self::P2pkh(hash) => [&[0x76, 0xa9, 20], &hash[..], &[0x88, 0xac]].concat(),
            Self::P2sh(hash) => [&[0xa9, 20], &hash[..], &[0x87]].concat(),
            Self::P2sh32(hash) => [&[0xaa, 32], &hash[..], &[0x87]].concat(),
            Self::P2wpkh(hash) => [&[0, 20], &hash[..]].concat(),
            Self::P2wsh(hash) => [&[0, 32], &hash[..]].concat(),
            Self::P2tr(key) => [&[0x51, 32], &key[..]].concat(),
        };
        // The longest is one of 35 bytes, so there always is a key.
        WatchKey::new(&script).unwrap_or(WatchKey::from([0; 20]))
    }
}

/// What the first OP_RETURN output of a transaction carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Its data as text, where it is one.
    pub text: Option<String>,
    /// Its data in hex.
    pub hex: String,
}

/// The data of an OP_RETURN script: all of its pushes, one after the other. None where there is
/// none, or too much of it to be a reference.
#[must_use]
pub fn data(script: &[u8]) -> Option<Data> {
    let (&OP_RETURN, mut rest) = script.split_first()? else { return None };
    let mut data = Vec::new();
    while let Some((&code, behind)) = rest.split_first() {
        let (length, behind) = match code {
            1..OP_PUSHDATA1 => (usize::from(code), behind),
            OP_PUSHDATA1 => behind.split_first().map(|(&n, behind)| (usize::from(n), behind))?,
            OP_PUSHDATA2 => {
                let (length, behind) = behind.split_first_chunk()?;
                (usize::from(u16::from_le_bytes(*length)), behind)
            }
            _ => break,
        };
        let (push, behind) = behind.split_at_checked(length)?;
        data.extend_from_slice(push);
        rest = behind;
    }
    if data.is_empty() || data.len() > MOST_DATA {
        return None;
    }
    let hex = alloy_primitives::hex::encode(&data);
    let is_text = |text: &String| !text.chars().any(char::is_control);
    Some(Data { text: String::from_utf8(data).ok().filter(is_text), hex })
}

/// Reads a reference as [`Data`] shows it: any text without control characters that fits.
#[must_use]
pub(crate) fn parse_reference(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MOST_DATA && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_script_with_an_address_reads_back_from_its_key() {
        let scripts = [
            Script::P2pkh([1; 20]),
            Script::P2sh([2; 20]),
            Script::P2sh32([3; 32]),
            Script::P2wpkh([4; 20]),
            Script::P2wsh([5; 32]),
            Script::P2tr([6; 32]),
        ];
        for script in scripts {
            let key = script.watch_key();
            assert_eq!(Script::read(key.as_bytes()), Some(script));
            assert_ne!(key.as_bytes().len(), 36, "no script is taken for an outpoint");
        }
        for other in [&[][..], &[0x51], &[0, 20, 1], &[0x6a, 1, 2], &[0x52, 32], &[0x76; 25]] {
            assert_eq!(Script::read(other), None, "{other:x?}");
        }
    }

    #[test]
    fn what_op_return_says_is_shown_as_text_and_hex() {
        let told = |script: &[u8]| data(script).map(|data| (data.text, data.hex));
        let text = Some((Some("order-1".to_owned()), "6f726465722d31".to_owned()));
        assert_eq!(told(b"\x6a\x07order-1"), text);
        assert_eq!(told(b"\x6a\x4c\x07order-1"), text);
        assert_eq!(told(b"\x6a\x4d\x07\x00order-1"), text);
        assert_eq!(told(b"\x6a\x05order\x02-1"), text, "pushes are one");
        assert_eq!(told(b"\x6a\x02\xff\xfe"), Some((None, "fffe".to_owned())));
        assert_eq!(told(b"\x6a\x02\x0a\x0b"), Some((None, "0a0b".to_owned())));
        for nothing in [&b"\x6a"[..], b"", b"\x6a\x07order", b"\x6a\x4c", b"\x6a\x5d", b"\x76\x01a"]
        {
            assert_eq!(data(nothing), None, "{nothing:x?}");
        }
        assert_eq!(data(&[&[0x6a, 0x4d, 1, 1][..], &[b'a'; 257]].concat()), None);
    }

    proptest! {
        #[test]
        fn any_script_is_read_without_panic_f20(script in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = data(&script);
            if let Some(read) = Script::read(&script) {
                let key = read.watch_key();
                prop_assert_eq!(key.as_bytes(), &script[..]);
            }
        }
    }
}
