//! Wallets: output descriptors (BIP-380 and what follows it), and the extended public keys that
//! wallets show (BIP-44, BIP-49, BIP-84 and the prefixes of SLIP-132), which are read as the
//! descriptors that they stand for.

use std::sync::LazyLock;

use bitcoin::bip32::{ChildNumber, DerivationPath, Xpub};
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::{NetworkKind, ScriptBuf, base58};
use confirmd_chain::{INDEX_END, WalletError, looks_secret};
use miniscript::Descriptor;
use miniscript::descriptor::checksum::verify_checksum;
use miniscript::descriptor::{DescriptorPublicKey, XKeyNetwork};

const EXPECTED: &str =
    "expected an xpub, ypub or zpub (tpub, upub, vpub on test networks) or an output descriptor";
/// What an extended key's payload holds after its four bytes of version.
const KEY_BYTES: usize = 74;
/// How far below its master key an account's stands, and that of its receiving addresses.
const ACCOUNT_DEPTH: u8 = 3;
const CHAIN_DEPTH: u8 = 4;

static CURVE: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// What tells the wallets of one network from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletRules {
    /// Whether its extended keys are those of the main network or those for tests.
    pub keys: NetworkKind,
    /// Its coin type (SLIP-44); for the paths of extended keys.
    pub coin_type: u32,
}

impl WalletRules {
    /// Bitcoin's own.
    pub const MAIN: Self = Self { keys: NetworkKind::Main, coin_type: 0 };
    /// Those of every network for tests.
    pub const TEST: Self = Self { keys: NetworkKind::Test, coin_type: 1 };

    const fn prefixes(self) -> &'static str {
        match self.keys {
            NetworkKind::Main => "xpub, ypub or zpub",
            NetworkKind::Test => "tpub, upub or vpub",
        }
    }
}

/// Scripts of public keys, one an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    canonical: String,
    /// Of the receiving addresses, where the text had those for change too.
    descriptor: Descriptor<DescriptorPublicKey>,
    /// The way to a script's key, where it is the text's form that says it.
    account_path: Option<String>,
}

/// What an extended key's version bytes say (SLIP-132).
struct Version {
    bytes: [u8; 4],
    keys: NetworkKind,
    /// The purpose that its path begins with (BIP-43).
    purpose: u32,
    /// The descriptor of its addresses, around the key.
    around: (&'static str, &'static str),
}

const VERSIONS: [Version; 6] = [
    version([0x04, 0x88, 0xb2, 0x1e], NetworkKind::Main, 44, ("pkh(", ")")),
    version([0x04, 0x9d, 0x7c, 0xb2], NetworkKind::Main, 49, ("sh(wpkh(", "))")),
    version([0x04, 0xb2, 0x47, 0x46], NetworkKind::Main, 84, ("wpkh(", ")")),
    version([0x04, 0x35, 0x87, 0xcf], NetworkKind::Test, 44, ("pkh(", ")")),
    version([0x04, 0x4a, 0x52, 0x62], NetworkKind::Test, 49, ("sh(wpkh(", "))")),
    version([0x04, 0x5f, 0x1c, 0xf6], NetworkKind::Test, 84, ("wpkh(", ")")),
];

const fn version(
    bytes: [u8; 4],
    keys: NetworkKind,
    purpose: u32,
    around: (&'static str, &'static str),
) -> Version {
    Version { bytes, keys, purpose, around }
}

impl Keys {
    /// Reads an output descriptor whose keys end in `/*`, or an extended public key: of an account
    /// (`m/84'/0'/0'`), whose receiving addresses are `0/i` below it, or of these addresses.
    /// Of a multipath descriptor (BIP-389) the first path is that of the receiving addresses.
    ///
    /// # Errors
    /// When it is none, of another network, or gives no addresses; private keys by name.
    pub fn parse(text: &str, rules: WalletRules) -> Result<Self, WalletError> {
        let text = text.trim();
        if looks_secret(text) {
            return Err(WalletError::PrivateKey);
        }
        if text.contains('(') {
            return Self::of_descriptor(text, rules);
        }
        Self::of_extended_key(text, rules)
    }

    /// The text by which the same keys are read again.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The script at an index, and the path of its (first) key.
    ///
    /// # Errors
    /// [`WalletError::IndexTooHigh`].
    pub fn script(&self, index: u32) -> Result<(ScriptBuf, String), WalletError> {
        if index >= INDEX_END {
            return Err(WalletError::IndexTooHigh);
        }
        let definite = self.descriptor.at_derivation_index(index).map_err(|_| hardened())?;
        let path = match &self.account_path {
            Some(account) => format!("{account}{index}"),
            None => {
                let first = definite.iter_pk().next();
                first.map(|key| path_of(key.as_descriptor_public_key())).unwrap_or_default()
            }
        };
        Ok((definite.derived_descriptor(&*CURVE).script_pubkey(), path))
    }

    fn of_descriptor(text: &str, rules: WalletRules) -> Result<Self, WalletError> {
        check_typing(text)?;
        let descriptor: Descriptor<DescriptorPublicKey> =
            text.parse().map_err(|_| WalletError::Malformed(EXPECTED.to_owned()))?;
        if matches!(descriptor, Descriptor::Bare(_)) {
            let why = "this descriptor has no address; use one of pkh, wpkh, sh, wsh or tr";
            return Err(WalletError::NotDerivable(why.to_owned()));
        }
        descriptor.sanity_check().map_err(|_| {
            WalletError::NotDerivable("nobody could safely spend by this descriptor".to_owned())
        })?;
        match descriptor.xkey_network() {
            XKeyNetwork::Single(keys) if keys == rules.keys => {}
            XKeyNetwork::Single(_) => return Err(other_network(rules)),
            XKeyNetwork::Mixed => {
                let why = "its keys are of several networks".to_owned();
                return Err(WalletError::Malformed(why));
            }
            XKeyNetwork::NoXKeys => return Err(not_ranged()),
        }
        let canonical = descriptor.to_string();
        let singles = descriptor.into_single_descriptors().ok();
        let receiving = singles.and_then(|singles| singles.into_iter().next());
        let descriptor = receiving.ok_or_else(|| {
            WalletError::NotDerivable("its keys have different numbers of paths".to_owned())
        })?;
        if !descriptor.has_wildcard() {
            return Err(not_ranged());
        }
        descriptor.at_derivation_index(0).map_err(|_| hardened())?;
        Ok(Self { canonical, descriptor, account_path: None })
    }

    fn of_extended_key(text: &str, rules: WalletRules) -> Result<Self, WalletError> {
        let malformed = || WalletError::Malformed(EXPECTED.to_owned());
        let payload = base58::decode_check(text).map_err(|error| match error {
            base58::Error::IncorrectChecksum(_) => WalletError::Checksum,
            _ => malformed(),
        })?;
        let (bytes, rest) = payload.split_first_chunk::<4>().ok_or_else(malformed)?;
        let version = VERSIONS.iter().find(|version| version.bytes == *bytes);
        let version = version.filter(|_| rest.len() == KEY_BYTES).ok_or_else(malformed)?;
        if version.keys != rules.keys {
            return Err(other_network(rules));
        }
        // Read under the version that stands for nothing but a key.
        let plain = VERSIONS.iter().find(|one| one.keys == version.keys && one.purpose == 44);
        let plain = plain.map_or(version.bytes, |plain| plain.bytes);
        let key = Xpub::decode(&[&plain[..], rest].concat()).map_err(|_| malformed())?;
        let purpose = version.purpose;
        let (step, account_path) = match (key.depth, key.child_number) {
            (ACCOUNT_DEPTH, ChildNumber::Hardened { index }) => {
                ("/0", format!("m/{purpose}'/{}'/{index}'/0/", rules.coin_type))
            }
            (CHAIN_DEPTH, ChildNumber::Normal { .. }) => ("", String::new()),
            (depth, _) => {
                let why = format!(
                    "the key stands {depth} steps below its master key; expected an account's \
                     (m/{purpose}'/{}'/0'), or an output descriptor",
                    rules.coin_type
                );
                return Err(WalletError::NotDerivable(why));
            }
        };
        let (before, after) = version.around;
        let keys = Self::of_descriptor(&format!("{before}{key}{step}/*{after}"), rules)?;
        let canonical = text.to_owned();
        Ok(Self { canonical, account_path: Some(account_path), ..keys })
    }
}

/// Typing errors have checksums against them: the descriptor's (BIP-380), where it is given, and
/// each key's.
fn check_typing(descriptor: &str) -> Result<(), WalletError> {
    verify_checksum(descriptor).map_err(|_| WalletError::Checksum)?;
    for run in descriptor.split(|c: char| !c.is_ascii_alphanumeric()) {
        let is_key = run.get(1..4) == Some("pub");
        let error = base58::decode_check(run).err();
        if is_key && matches!(error, Some(base58::Error::IncorrectChecksum(_))) {
            return Err(WalletError::Checksum);
        }
    }
    Ok(())
}

/// From the master key where the descriptor says how its own is derived, else from that.
fn path_of(key: &DescriptorPublicKey) -> String {
    let is_known = match key {
        DescriptorPublicKey::Single(key) => key.origin.is_some(),
        DescriptorPublicKey::XPub(key) => key.origin.is_some() || key.xkey.depth == 0,
        DescriptorPublicKey::MultiXPub(key) => key.origin.is_some() || key.xkey.depth == 0,
    };
    let path: DerivationPath = key.full_derivation_path().unwrap_or_default();
    if is_known { format!("m/{path}") } else { path.to_string() }
}

fn other_network(rules: WalletRules) -> WalletError {
    WalletError::Malformed(format!(
        "the key is of another network; those of this one are {}",
        rules.prefixes()
    ))
}

fn not_ranged() -> WalletError {
    let why = "this descriptor has one address only; let its keys end in /*";
    WalletError::NotDerivable(why.to_owned())
}

fn hardened() -> WalletError {
    let why = "a hardened step (' or h) after a key needs the private key; put it before the key, \
               as in [d34db33f/84h/0h/0h]xpub…/0/*";
    WalletError::NotDerivable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use bitcoin::bip32::Xpriv;
    use bitcoin::{Address, KnownHrp, Network};

    use super::*;

    /// BIP-39: eleven times `abandon`, and `about`. BIP-49, BIP-84 and BIP-86 show its addresses.
    const SEED: &str = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1\
                        9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4";
    const ZPUB: &str = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";
    const BIP86: &str = "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ";
    /// BIP-32's second test vector: the master key, and `m/0`.
    const MASTER: &str = "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB";
    const MASTER_0: &str = "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH";

    fn private(keys: NetworkKind, path: &str) -> Xpriv {
        let seed = bitcoin::hex::FromHex::from_hex(SEED);
        let seed: Vec<u8> = seed.unwrap();
        let path: DerivationPath = path.parse().unwrap();
        Xpriv::new_master(keys, &seed).unwrap().derive_priv(&Secp256k1::new(), &path).unwrap()
    }

    /// The public key at a path, under the version bytes of a prefix.
    fn extended(keys: NetworkKind, path: &str, version: [u8; 4]) -> String {
        let key = Xpub::from_priv(&Secp256k1::new(), &private(keys, path));
        let bytes = [&version[..], &key.encode()[4..]].concat();
        base58::encode_check(&bytes)
    }

    fn xpub(path: &str) -> String {
        extended(NetworkKind::Main, path, VERSIONS[0].bytes)
    }

    fn at(keys: &Keys, index: u32, network: Network) -> (String, String) {
        let (script, path) = keys.script(index).unwrap();
        (Address::from_script(&script, network).unwrap().to_string(), path)
    }

    fn main(text: &str, index: u32) -> (String, String) {
        at(&Keys::parse(text, WalletRules::MAIN).unwrap(), index, Network::Bitcoin)
    }

    #[test]
    fn extended_keys_give_the_addresses_of_bip_44_49_84_and_86() {
        let (bip44, bip84) = (xpub("m/44'/0'/0'"), ZPUB);
        let cases = [
            (&*bip44, 0, "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA", "m/44'/0'/0'/0/0"),
            (&*bip44, 1, "1Ak8PffB2meyfYnbXZR9EGfLfFZVpzJvQP", "m/44'/0'/0'/0/1"),
            (bip84, 0, "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "m/84'/0'/0'/0/0"),
            (bip84, 1, "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g", "m/84'/0'/0'/0/1"),
            (
                &format!("tr([73c5da0a/86'/0'/0']{BIP86}/<0;1>/*)"),
                0,
                "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
                "m/86'/0'/0'/0/0",
            ),
            (
                &format!("tr({BIP86}/0/*)"),
                1,
                "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
                "0/1",
            ),
        ];
        for (text, index, address, path) in cases {
            assert_eq!(main(text, index), (address.to_owned(), path.to_owned()), "{text}");
        }
        let upub = extended(NetworkKind::Test, "m/49'/1'/0'", VERSIONS[4].bytes);
        assert!(upub.starts_with("upub"));
        let keys = Keys::parse(&upub, WalletRules::TEST).unwrap();
        let bip49 =
            ("2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2".to_owned(), "m/49'/1'/0'/0/0".to_owned());
        assert_eq!(at(&keys, 0, Network::Testnet), bip49);
    }

    #[test]
    fn keys_below_a_master_are_those_of_bip_32() {
        let child: Xpub = MASTER_0.parse().unwrap();
        let expected = Address::p2wpkh(&child.to_pub(), KnownHrp::Mainnet).to_string();
        assert_eq!(main(&format!("wpkh({MASTER}/*)"), 0), (expected, "m/0".to_owned()));
    }

    #[test]
    fn every_form_of_one_account_gives_the_same_addresses() {
        let key = xpub("m/84'/0'/0'");
        let forms = [
            ZPUB.to_owned(),
            extended(NetworkKind::Main, "m/84'/0'/0'/0", VERSIONS[2].bytes),
            format!("wpkh([73c5da0a/84'/0'/0']{key}/0/*)"),
            format!("wpkh([73c5da0a/84h/0h/0h]{key}/<0;1>/*)"),
            format!(" wpkh({key}/0/*)\n"),
        ];
        for form in &forms {
            let (address, path) = main(form, 0);
            assert_eq!(address, "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", "{form}");
            assert!(path.ends_with('0'), "{path}");
            let keys = Keys::parse(form, WalletRules::MAIN).unwrap();
            let again = Keys::parse(keys.canonical(), WalletRules::MAIN).unwrap();
            assert_eq!(keys, again);
        }
        let nested = main(&format!("sh(wpkh({key}/0/*))"), 0).0;
        assert!(nested.starts_with('3'), "{nested}");
        let several = main(&format!("wsh(sortedmulti(1,{key}/0/*,{BIP86}/0/*))"), 0).0;
        assert_eq!(several.len(), "bc1q".len() + 58);
    }

    #[test]
    fn what_gives_no_addresses_is_refused_with_what_is_wrong_i14() {
        let key = xpub("m/84'/0'/0'");
        let mut typo = key.clone();
        typo.replace_range(50..51, if &key[50..51] == "x" { "y" } else { "x" });
        let right = Keys::parse(&format!("wpkh({key}/0/*)"), WalletRules::MAIN).unwrap();
        let wrong_sum = right.canonical().replace("/0/*", "/1/*");
        let tpub = extended(NetworkKind::Test, "m/84'/1'/0'", VERSIONS[3].bytes);
        let point = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let cases = [
            (typo.clone(), "checksum"),
            (format!("wpkh({typo}/0/*)"), "checksum"),
            (wrong_sum, "checksum"),
            (tpub.clone(), "of another network"),
            (format!("wpkh({tpub}/0/*)"), "of another network"),
            (format!("wsh(multi(1,{tpub}/*,{key}/*))"), "several networks"),
            (format!("wpkh({key}/0/7)"), "/*"),
            (format!("wpkh({point})"), "/*"),
            (format!("wpkh({key}/0/*h)"), "hardened"),
            (format!("wpkh({key}/0'/*)"), "hardened"),
            (format!("wsh(multi(1,{key}/<0;1>/*,{BIP86}/<0;1;2>/*))"), "expected"),
            (format!("pk({key}/*)"), "no address"),
            (format!("combo({key}/*)"), "expected"),
            (format!("wpkh({key}/0/*"), "expected"),
            (xpub("m"), "0 steps below"),
            (xpub("m/44/0/0"), "3 steps below"),
            ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2".to_owned(), "expected"),
            ("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu".to_owned(), "expected"),
            ("\u{e9}(".to_owned(), "checksum"),
            (String::new(), "expected"),
        ];
        for (text, expected) in cases {
            let error = Keys::parse(&text, WalletRules::MAIN).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert_eq!(right.script(INDEX_END), Err(WalletError::IndexTooHigh));
        assert!(right.script(INDEX_END - 1).is_ok());
    }

    #[test]
    fn private_keys_are_refused_by_name_and_not_repeated_i12() {
        let key = private(NetworkKind::Main, "m/84'/0'/0'");
        let secrets = [
            key.to_string(),
            private(NetworkKind::Test, "m").to_string(),
            format!("wpkh({key}/0/*)"),
            format!("wpkh({})", key.to_priv().to_wif()),
            key.to_priv().to_wif(),
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
             abandon about"
                .to_owned(),
        ];
        for secret in secrets {
            let error = Keys::parse(&secret, WalletRules::MAIN).unwrap_err();
            assert_eq!(error, WalletError::PrivateKey);
            assert!(!error.to_string().contains(&secret[4..20]));
        }
    }
}
