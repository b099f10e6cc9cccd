//! Addresses: EIP-55 in, EIP-55 out, and secrets refused.

use alloy_primitives::{Address as Raw, hex};
use confirmd_chain::{Address, AddressError, WatchKey, looks_secret};

/// Reads an address: `0x` and 40 hex digits. Mixed case must be right by EIP-55; all lower or all
/// upper case carries no checksum and is taken.
///
/// # Errors
/// When it is none. Private keys and seed phrases are refused by name and never repeated (I12).
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let text = text.trim();
    if looks_secret(text) {
        return Err(AddressError::PrivateKey);
    }
    let digits = text.strip_prefix("0x").ok_or_else(malformed)?;
    let mut raw = [0; 20];
    if digits.len() != 40 || hex::decode_to_slice(digits, &mut raw).is_err() {
        return Err(malformed());
    }
    let raw = Raw::new(raw);
    if raw.is_zero() {
        return Err(AddressError::Malformed("the zero address belongs to nobody".to_owned()));
    }
    let canonical = raw.to_checksum(None);
    let upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
    let lower = digits.bytes().any(|byte| byte.is_ascii_lowercase());
    if upper && lower && canonical != text {
        return Err(AddressError::Checksum);
    }
    Ok(Address::from_canonical(canonical))
}

/// The contract's text of an address.
pub(crate) fn canonical(address: &Raw) -> Address {
    Address::from_canonical(address.to_checksum(None))
}

/// The 20 bytes of an address that [`parse_address`] made.
pub(crate) fn raw(address: &Address) -> Option<Raw> {
    address.as_str().parse().ok()
}

/// What a decoder looks up for an address.
pub(crate) fn watch_key(address: &Raw) -> WatchKey {
    WatchKey::from(address.into_array())
}

fn malformed() -> AddressError {
    AddressError::Malformed("expected 0x and 40 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOME: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn addresses_of_eip_55_are_taken_in_its_case_and_without_case() {
        for text in [
            SOME,
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let lower = text.to_lowercase();
            let upper = format!("0x{}", text[2..].to_uppercase());
            for form in [text, &lower, &upper, &format!(" {text}\n")] {
                assert_eq!(parse_address(form).unwrap().as_str(), text, "{form:?}");
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name_i14() {
        let cases = [
            ("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".to_owned(), AddressError::Checksum),
            (SOME[2..].to_owned(), malformed()),
            (format!("0X{}", &SOME[2..]), malformed()),
            (SOME[..41].to_owned(), malformed()),
            (format!("{SOME}0"), malformed()),
            (format!("0x{}", "g".repeat(40)), malformed()),
            (String::new(), malformed()),
            ("0x".to_owned() + &"é".repeat(20), malformed()),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_address(&text), Err(expected), "{text:?}");
        }
        assert!(matches!(
            parse_address(&format!("0x{}", "0".repeat(40))),
            Err(AddressError::Malformed(_))
        ));
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated_i12() {
        let key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
        let phrase = "test test test test test test test test test test test junk";
        for secret in [key.to_owned(), format!("0x{key}"), phrase.to_owned()] {
            let error = parse_address(&secret).unwrap_err();
            assert_eq!(error, AddressError::PrivateKey);
            assert!(!error.to_string().contains(&secret));
        }
    }

    proptest! {
        #[test]
        fn any_address_reads_back_as_written(bytes in prop::array::uniform20(1_u8..)) {
            let address = canonical(&Raw::new(bytes));
            prop_assert_eq!(parse_address(address.as_str()), Ok(address.clone()));
            prop_assert_eq!(raw(&address), Some(Raw::new(bytes)));
        }

        #[test]
        fn any_text_is_read_without_panic_f20(text in ".{0,80}") {
            let _ = parse_address(&text);
        }
    }
}
