//! A wallet's addresses: its scripts, as the network writes them.

use confirmd_chain::{Derived, Wallet, WalletError};

use crate::address::AddressFormat;
use crate::script::Script;
use crate::wallet::{Keys, WalletRules};

/// The receiving addresses of public keys on one network.
#[derive(Debug)]
struct Receiving {
    keys: Keys,
    format: AddressFormat,
}

/// Reads an output descriptor or an extended public key.
///
/// # Errors
/// When it is none, of another network, or one whose scripts have no address on this network;
/// private keys by name.
pub(crate) fn parse_wallet(
    text: &str,
    rules: WalletRules,
    format: &AddressFormat,
) -> Result<Box<dyn Wallet>, WalletError> {
    let receiving = Receiving { keys: Keys::parse(text, rules)?, format: format.clone() };
    // All of its scripts are of one kind.
    receiving.derive(0)?;
    Ok(Box::new(receiving))
}

impl Wallet for Receiving {
    fn canonical(&self) -> &str {
        self.keys.canonical()
    }

    fn derive(&self, index: u32) -> Result<Derived, WalletError> {
        let (script, path) = self.keys.script(index)?;
        let address = Script::read(script.as_bytes()).and_then(|script| self.format.text(&script));
        let address = address.ok_or_else(|| {
            WalletError::NotDerivable("its scripts have no addresses on this network".to_owned())
        })?;
        Ok(Derived { address, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account of the words in BIP-84: `abandon … about`.
    const ZPUB: &str = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";

    fn format(bech32: Option<&str>) -> AddressFormat {
        AddressFormat { p2pkh: 0, p2sh: 5, bech32: bech32.map(str::to_owned), cashaddr: None }
    }

    #[test]
    fn an_account_gives_the_addresses_of_bip_84() {
        let wallet = parse_wallet(ZPUB, WalletRules::MAIN, &format(Some("bc"))).unwrap();
        let first = wallet.derive(0).unwrap();
        assert_eq!(first.address.as_str(), "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu");
        assert_eq!(first.path, "m/84'/0'/0'/0/0");
        assert_eq!(
            wallet.derive(1).unwrap().address.as_str(),
            "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"
        );
    }

    #[test]
    fn a_network_without_witnesses_has_no_addresses_for_it() {
        let refused = parse_wallet(ZPUB, WalletRules::MAIN, &format(None));
        assert!(matches!(refused, Err(WalletError::NotDerivable(_))), "{refused:?}");
    }
}
