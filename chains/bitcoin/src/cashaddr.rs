//! CashAddr, Bitcoin Cash's own encoding of addresses.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM: usize = 8;
const GENERATORS: [u64; 5] =
    [0x98_f2bc_8e61, 0x79_b76d_99e2, 0xf3_3e5f_b3c4, 0xae_2eab_e2a8, 0x1e_4f43_e470];

/// What a CashAddr holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// 0: a public key's hash, 1: a script's; 2 and 3: the same, of who can hold tokens.
    pub(crate) kind: u8,
    pub(crate) hash: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CashAddrError {
    /// Not of the form at all.
    Form,
    Checksum,
}

/// Reads what stands behind `prefix:`, in lower case.
pub(crate) fn decode(prefix: &str, text: &str) -> Result<Payload, CashAddrError> {
    let value = |byte: u8| ALPHABET.iter().position(|&letter| letter == byte);
    let values: Option<Vec<u8>> =
        text.bytes().map(|byte| value(byte).and_then(|n| u8::try_from(n).ok())).collect();
    let values = values.filter(|values| (CHECKSUM + 1..=112).contains(&values.len()));
    let values = values.ok_or(CashAddrError::Form)?;
    if polymod(prefix, &values) != 0 {
        return Err(CashAddrError::Checksum);
    }
    let data = &values[..values.len() - CHECKSUM];
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for &value in data {
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    let is_padded = count < 5 && bits & ((1 << count) - 1) == 0;
    match bytes.split_first() {
        Some((&version, hash)) if is_padded && hash.len() == size(version) && version < 128 => {
            Ok(Payload { kind: version >> 3, hash: hash.to_vec() })
        }
        _ => Err(CashAddrError::Form),
    }
}

/// The text behind `prefix:`. The hash has 20 or 32 bytes.
pub(crate) fn encode(prefix: &str, kind: u8, hash: &[u8]) -> String {
    let version = kind << 3 | if hash.len() == 32 { 3 } else { 0 };
    let (mut bits, mut count, mut values) = (0_u32, 0, Vec::new());
    let five = |bits: u32| u8::try_from(bits & 31).unwrap_or_default();
    for &byte in std::iter::once(&version).chain(hash) {
        bits = (bits << 8 | u32::from(byte)) & 0xfff;
        count += 8;
        while count >= 5 {
            count -= 5;
            values.push(five(bits >> count));
        }
    }
    if count > 0 {
        values.push(five(bits << (5 - count)));
    }
    let data = values.len();
    values.extend([0; CHECKSUM]);
    let checksum = polymod(prefix, &values);
    for at in 0..CHECKSUM {
        let rest = checksum >> (5 * (CHECKSUM - 1 - at)) & 31;
        values[data + at] = u8::try_from(rest).unwrap_or_default();
    }
    values.iter().map(|&value| char::from(ALPHABET[usize::from(value)])).collect()
}

/// The bytes of hash that a version names.
fn size(version: u8) -> usize {
    [20, 24, 28, 32, 40, 48, 56, 64][usize::from(version & 7)]
}

/// Zero where the values end in the right checksum; else, over a checksum of zeros, the right one.
fn polymod(prefix: &str, values: &[u8]) -> u64 {
    let prefix = prefix.bytes().map(|byte| byte & 31).chain([0]);
    let mut sum = 1_u64;
    for value in prefix.chain(values.iter().copied()) {
        let top = sum >> 35;
        sum = (sum & 0x07_ffff_ffff) << 5 ^ u64::from(value);
        for (bit, generator) in GENERATORS.iter().enumerate() {
            if top >> bit & 1 == 1 {
                sum ^= generator;
            }
        }
    }
    sum ^ 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use proptest::prelude::*;

    #[test]
    fn the_specification_s_vectors_read_and_write() {
        let hash = hex::decode("f5bf48b397dae70be82b3cca4793f8eb2b6cdac9").unwrap();
        let long = hex::decode("3173ef6623c6b48ffd1a3dcc0cc6489b0a07bb47a37f47cfef4fe69de825c060");
        let cases = [
            ("bitcoincash", 0, &hash, "qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2"),
            ("bchtest", 1, &hash, "pr6m7j9njldwwzlg9v7v53unlr4jkmx6eyvwc0uz5t"),
            (
                "bitcoincash",
                0,
                &long.unwrap(),
                "qvch8mmxy0rtfrlarg7ucrxxfzds5pamg73h7370aa87d80gyhqxq5nlegake",
            ),
        ];
        for (prefix, kind, hash, text) in cases {
            assert_eq!(encode(prefix, kind, hash), text);
            assert_eq!(decode(prefix, text), Ok(Payload { kind, hash: hash.clone() }));
            assert_eq!(decode("other", text), Err(CashAddrError::Checksum));
        }
    }

    proptest! {
        #[test]
        fn one_wrong_letter_is_noticed(hash in prop::array::uniform20(any::<u8>()), at in 0_usize..42, letter in 1_u8..32) {
            let text = encode("bitcoincash", 0, &hash);
            prop_assert_eq!(decode("bitcoincash", &text).unwrap().hash, hash);
            let mut wrong = text.into_bytes();
            let value = ALPHABET.iter().position(|&l| l == wrong[at]).unwrap();
            wrong[at] = ALPHABET[(value + usize::from(letter)) % 32];
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(decode("bitcoincash", &wrong), Err(CashAddrError::Checksum));
        }

        #[test]
        fn any_text_is_read_without_panic_f20(text in ".{0,130}") {
            let _ = decode("bitcoincash", &text);
        }
    }
}
