//! Addresses: base58, bech32 and CashAddr in, one canonical text out, and secrets refused.

use bitcoin::base58;
use bitcoin::bech32::primitives::decode::{SegwitHrpstring, SegwitHrpstringError};
use bitcoin::bech32::{Fe32, Hrp, segwit};
use confirmd_chain::{Address, AddressError, looks_secret};

use crate::cashaddr::{self, CashAddrError};
use crate::script::Script;

/// How a network writes addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressFormat {
    /// The version byte of base58 addresses of public keys' hashes.
    pub p2pkh: u8,
    /// The same of scripts' hashes.
    pub p2sh: u8,
    /// The human-readable part of bech32 addresses; none where the network has no witnesses.
    pub bech32: Option<String>,
    /// The prefix of CashAddr addresses, which are canonical where there is one.
    pub cashaddr: Option<String>,
}

/// The longest text that is looked at: base58 takes time that grows with its square.
const LONGEST: usize = 128;

impl AddressFormat {
    /// Reads an address of this network.
    ///
    /// # Errors
    /// When it is none. Private keys (WIF, BIP-38, extended ones), and seed phrases are refused by
    /// name and never repeated (I12).
    pub fn parse(&self, text: &str) -> Result<Address, AddressError> {
        let script = self.read(text)?;
        self.text(&script).ok_or_else(|| self.malformed())
    }

    /// Whom an address pays.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn read(&self, text: &str) -> Result<Script, AddressError> {
        let text = text.trim();
        if is_secret(text) {
            return Err(AddressError::PrivateKey);
        }
        if text.is_empty() || text.len() > LONGEST || !text.is_ascii() {
            return Err(self.malformed());
        }
        if let Some(prefix) = &self.cashaddr
            && let Some(script) = read_cashaddr(prefix, text)
        {
            return script.map_err(|error| match error {
                CashAddrError::Checksum => AddressError::Checksum,
                CashAddrError::Form => self.malformed(),
            });
        }
        if let Some((part, _)) = text.rsplit_once('1')
            && self.bech32.as_ref().is_some_and(|ours| ours.eq_ignore_ascii_case(part))
        {
            return self.read_bech32(text);
        }
        self.read_base58(text)
    }

    /// The canonical text of an address; none where the network has no such addresses.
    #[must_use]
    pub fn text(&self, script: &Script) -> Option<Address> {
        let text = match (script, &self.cashaddr) {
            (Script::P2pkh(hash), Some(prefix)) => cash(prefix, 0, hash),
            (Script::P2sh(hash), Some(prefix)) => cash(prefix, 1, hash),
            (Script::P2sh32(hash), Some(prefix)) => cash(prefix, 1, hash),
            (Script::P2pkh(hash), None) => legacy(self.p2pkh, hash),
            (Script::P2sh(hash), None) => legacy(self.p2sh, hash),
            (Script::P2sh32(_), None) => return None,
            (Script::P2wpkh(hash), _) => self.bech32(segwit::VERSION_0, hash)?,
            (Script::P2wsh(hash), _) => self.bech32(segwit::VERSION_0, hash)?,
            (Script::P2tr(key), _) => self.bech32(segwit::VERSION_1, key)?,
        };
        Some(Address::from_canonical(text))
    }

    fn bech32(&self, version: Fe32, program: &[u8]) -> Option<String> {
        let part = Hrp::parse(self.bech32.as_deref()?).ok()?;
        segwit::encode(part, version, program).ok()
    }

    fn read_bech32(&self, text: &str) -> Result<Script, AddressError> {
        let read = SegwitHrpstring::new(text).map_err(|error| match error {
            SegwitHrpstringError::Checksum(_) => AddressError::Checksum,
            _ => self.malformed(),
        })?;
        let (version, program) = (read.witness_version(), read.byte_iter().collect::<Vec<u8>>());
        let script = match version {
            segwit::VERSION_0 if program.len() == 20 => sized(&program).map(Script::P2wpkh),
            segwit::VERSION_0 => sized(&program).map(Script::P2wsh),
            segwit::VERSION_1 => sized(&program).map(Script::P2tr),
            _ => None,
        };
        script.ok_or_else(|| {
            AddressError::Malformed(
                "expected a witness of version 0, or taproot's: others are not known".to_owned(),
            )
        })
    }

    fn read_base58(&self, text: &str) -> Result<Script, AddressError> {
        let bytes = match base58::decode_check(text) {
            Ok(bytes) => bytes,
            // Of a length that no address has, a checksum tells nothing.
            Err(base58::Error::IncorrectChecksum(_)) if (26..=35).contains(&text.len()) => {
                return Err(AddressError::Checksum);
            }
            Err(_) => return Err(self.malformed()),
        };
        let Some((version, Some(hash))) =
            bytes.split_first().map(|(version, hash)| (*version, sized(hash)))
        else {
            return Err(self.malformed());
        };
        match version {
            version if version == self.p2pkh => Ok(Script::P2pkh(hash)),
            version if version == self.p2sh => Ok(Script::P2sh(hash)),
            _ => Err(AddressError::Malformed("an address of another network".to_owned())),
        }
    }

    fn malformed(&self) -> AddressError {
        let example = match (&self.cashaddr, &self.bech32) {
            (Some(prefix), _) => format!("{prefix}:q…"),
            (None, Some(part)) => format!("{part}1…"),
            (None, None) => "in base58".to_owned(),
        };
        AddressError::Malformed(format!("expected an address of this network, such as {example}"))
    }
}

/// None where the text is not of that form at all.
fn read_cashaddr(prefix: &str, text: &str) -> Option<Result<Script, CashAddrError>> {
    let lower = text.to_ascii_lowercase();
    let has_one_case = text == lower || text == text.to_ascii_uppercase();
    let payload = match lower.split_once(':') {
        Some((named, payload)) if named == prefix => payload,
        Some(_) => return None,
        // Base58 addresses of 20 bytes are shorter, and CashAddr has no `1`, with which they begin.
        None if has_one_case && lower.len() >= 42 => lower.as_str(),
        None => return None,
    };
    if !has_one_case {
        return Some(Err(CashAddrError::Form));
    }
    let read = cashaddr::decode(prefix, payload).and_then(|payload| {
        let script = match payload.kind {
            0 | 2 => sized(&payload.hash).map(Script::P2pkh),
            1 | 3 if payload.hash.len() == 20 => sized(&payload.hash).map(Script::P2sh),
            1 | 3 => sized(&payload.hash).map(Script::P2sh32),
            _ => None,
        };
        script.ok_or(CashAddrError::Form)
    });
    Some(read)
}

fn cash(prefix: &str, kind: u8, hash: &[u8]) -> String {
    format!("{prefix}:{}", cashaddr::encode(prefix, kind, hash))
}

fn legacy(version: u8, hash: &[u8; 20]) -> String {
    base58::encode_check(&[&[version], &hash[..]].concat())
}

fn sized<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Private keys in any form, BIP-38's encrypted ones among them.
fn is_secret(text: &str) -> bool {
    let is_encrypted = text.len() == 58
        && text.starts_with("6P")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    looks_secret(text) || is_encrypted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bitcoin() -> AddressFormat {
        AddressFormat { p2pkh: 0, p2sh: 5, bech32: Some("bc".to_owned()), cashaddr: None }
    }

    fn bitcoin_cash() -> AddressFormat {
        let cashaddr = Some("bitcoincash".to_owned());
        AddressFormat { p2pkh: 0, p2sh: 5, bech32: None, cashaddr }
    }

    #[test]
    fn addresses_have_one_canonical_text() {
        let cases = [
            ("1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu", "1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu"),
            (" 3CWFddi6m4ndiGyKqzYvsFYagqDLPVMTzC\n", "3CWFddi6m4ndiGyKqzYvsFYagqDLPVMTzC"),
            (
                "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            ),
            (
                "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
                "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
            ),
            (
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            ),
        ];
        for (text, canonical) in cases {
            assert_eq!(bitcoin().parse(text).unwrap().as_str(), canonical, "{text:?}");
        }
    }

    #[test]
    fn bitcoin_cash_takes_legacy_addresses_and_shows_its_own() {
        let own = "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a";
        let script = "bitcoincash:ppm2qsznhks23z7629mms6s4cwef74vcwvn0h829pq";
        let cases = [
            ("1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu", own),
            (own, own),
            (&own[12..], own),
            (&own.to_uppercase(), own),
            ("3CWFddi6m4ndiGyKqzYvsFYagqDLPVMTzC", script),
            (script, script),
        ];
        for (text, canonical) in cases {
            assert_eq!(bitcoin_cash().parse(text).unwrap().as_str(), canonical, "{text:?}");
        }
        let typo = own.replace("qpm2", "qpm3");
        assert_eq!(bitcoin_cash().parse(&typo), Err(AddressError::Checksum));
        assert_eq!(bitcoin_cash().parse(&typo[12..]), Err(AddressError::Checksum));
        assert!(bitcoin().parse(own).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_by_name_i14() {
        let checksum = [
            "1BpEi6DfDAUFd7GtittLSdBeYJvcoaVgg1",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jjq",
        ];
        for text in checksum {
            assert_eq!(bitcoin().parse(text), Err(AddressError::Checksum), "{text:?}");
        }
        let malformed = [
            "",
            "bc1",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
            "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
            "bc1sw50qgdz25j",
            "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7Kv8f3t4",
            "bitcoin:1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu",
        ];
        for text in malformed {
            let refused = bitcoin().parse(text);
            assert!(matches!(refused, Err(AddressError::Malformed(_))), "{text:?}: {refused:?}");
        }
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated_i12() {
        let secrets = [
            "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
            "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617",
            "cMzLdeGd5vEqxB8B6VFQoRopQ3sLAAvEzDAoQgvX54xwofSWj1fx",
            "6PRVWUbkzzsbcVac2qwfssoUJAN1Xhrg6bNk8J7Nzm5H7kxEbn2Nh2ZoGg",
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
            "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318",
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
        ];
        for format in [bitcoin(), bitcoin_cash()] {
            for secret in secrets {
                let error = format.parse(secret).unwrap_err();
                assert_eq!(error, AddressError::PrivateKey, "{secret}");
                assert!(!error.to_string().contains(secret));
            }
        }
    }

    proptest! {
        #[test]
        fn any_address_reads_back_as_written(short in any::<[u8; 20]>(), long in any::<[u8; 32]>()) {
            let ours = [Script::P2pkh(short), Script::P2sh(short), Script::P2wpkh(short), Script::P2wsh(long), Script::P2tr(long)];
            for script in ours {
                let text = bitcoin().text(&script).unwrap();
                prop_assert_eq!(bitcoin().read(text.as_str()), Ok(script));
            }
            for script in [Script::P2pkh(short), Script::P2sh(short), Script::P2sh32(long)] {
                let text = bitcoin_cash().text(&script).unwrap();
                prop_assert_eq!(bitcoin_cash().read(text.as_str()), Ok(script));
            }
        }

        #[test]
        fn any_text_is_read_without_panic_f20(text in ".{0,130}") {
            let _ = bitcoin().parse(&text);
            let _ = bitcoin_cash().parse(&text);
        }
    }
}
