//! Addresses: base58 in, base58 out, and secrets refused.

use confirmd_chain::{Address, AddressError, WatchKey, looks_secret};
use solana_pubkey::Pubkey;

/// The mint of the native coin where it is wrapped as a token.
pub(crate) const WRAPPED_COIN: &str = "So11111111111111111111111111111111111111112";
/// SPL Memo, the first and the second version.
pub(crate) const MEMO_PROGRAMS: [&str; 2] =
    ["Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo", "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"];

const TOKEN: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const TOKEN_2022: Pubkey = Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const ASSOCIATED_TOKEN: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

/// Programs and other fixed accounts that a payment names beside its parties. None of them can be
/// paid, nor tell one payment from another.
const EVERYBODYS: [&str; 13] = [
    "11111111111111111111111111111111",
    "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
    "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
    MEMO_PROGRAMS[0],
    MEMO_PROGRAMS[1],
    WRAPPED_COIN,
    "ComputeBudget111111111111111111111111111111",
    "Vote111111111111111111111111111111111111111",
    "Stake11111111111111111111111111111111111111",
    "AddressLookupTab1e1111111111111111111111111",
    "BPFLoaderUpgradeab1e11111111111111111111111",
    "1nc1nerator11111111111111111111111111111111",
];
const SYSVAR: &str = "Sysvar";

/// The bytes of a key pair: the private key and the public one.
const KEY_PAIR_BYTES: usize = 64;
/// The most characters that so many bytes have in base58.
const KEY_PAIR_CHARACTERS: usize = 88;

/// Reads the address of an owner: 32 bytes in base58. It need not be the key of a person: a
/// program's accounts own tokens, too. The address of a token account cannot be told from an
/// owner's; what is sent to a token account is credited to its owner.
///
/// # Errors
/// When it is none, or is that of a program. Private keys and seed phrases are refused by name and
/// never repeated (I12).
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let text = text.trim();
    if is_secret(text) {
        return Err(AddressError::PrivateKey);
    }
    let malformed = |words: &str| AddressError::Malformed(words.to_owned());
    let key: Pubkey =
        text.parse().map_err(|_| malformed("expected 32 bytes in base58, 32 to 44 characters"))?;
    let canonical = key.to_string();
    if is_everybodys(&canonical) {
        return Err(malformed(
            "this is an account of the network itself; nobody can be paid there",
        ));
    }
    Ok(Address::from_canonical(canonical))
}

/// Whether a text is one of the network's own accounts.
pub(crate) fn is_everybodys(text: &str) -> bool {
    text.starts_with(SYSVAR) || EVERYBODYS.contains(&text)
}

/// Whether a text is a private key: in a form that all families know, a key pair in base58, or one
/// as key files have it, a list of 64 numbers.
pub(crate) fn is_secret(text: &str) -> bool {
    looks_secret(text) || is_key_file(text) || is_key_pair(text)
}

fn is_key_pair(text: &str) -> bool {
    text.len() <= KEY_PAIR_CHARACTERS
        && bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == KEY_PAIR_BYTES)
}

fn is_key_file(text: &str) -> bool {
    let list = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let is_byte = |number: &str| number.trim().parse::<u8>().is_ok();
    // A few numbers may be lost in copying.
    list.is_some_and(|list| list.split(',').count() >= 32 && list.split(',').all(is_byte))
}

/// The 32 bytes of a key's text.
pub(crate) fn bytes(text: &str) -> Option<[u8; 32]> {
    text.parse::<Pubkey>().ok().map(|key| key.to_bytes())
}

/// The 32 bytes of an address that [`parse_address`] made.
pub(crate) fn raw(address: &Address) -> Option<[u8; 32]> {
    bytes(address.as_str())
}

/// What a decoder looks up for an owner.
pub(crate) fn watch_key(owner: &[u8; 32]) -> WatchKey {
    // Never falls back: 32 bytes fit.
    WatchKey::new(owner).unwrap_or(WatchKey::from([0; 20]))
}

/// A program that keeps tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenProgram {
    /// SPL Token.
    #[default]
    Token,
    /// Token-2022, or Token Extensions.
    Token2022,
}

impl TokenProgram {
    /// As the registry has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Token2022 => "token-2022",
        }
    }

    fn id(self) -> Pubkey {
        match self {
            Self::Token => TOKEN,
            Self::Token2022 => TOKEN_2022,
        }
    }
}

/// Where wallets send an owner's tokens of a mint: its associated token account.
pub(crate) fn token_account(
    owner: &Address,
    mint: &Address,
    program: TokenProgram,
) -> Option<Address> {
    let program = program.id();
    let seeds = [&raw(owner)?[..], program.as_ref(), &raw(mint)?];
    let (account, _) = Pubkey::try_find_program_address(&seeds, &ASSOCIATED_TOKEN)?;
    Some(Address::from_canonical(account.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: &str = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM";
    const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

    #[test]
    fn an_owner_on_or_off_the_curve_is_taken() {
        let vault = token_account(
            &Address::from_canonical(OWNER),
            &Address::from_canonical(USDC),
            TokenProgram::Token,
        );
        let vault = vault.unwrap().to_string();
        assert!(!vault.parse::<Pubkey>().unwrap().is_on_curve());
        for text in [OWNER, &vault, USDC, &format!(" {OWNER}\n")] {
            assert_eq!(parse_address(text).unwrap().as_str(), text.trim());
        }
    }

    #[test]
    fn what_is_no_owner_is_refused_by_name_i14() {
        let others = [
            String::new(),
            OWNER[..30].to_owned(),
            format!("{OWNER}1"),
            OWNER.replace('9', "0"),
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".to_owned(),
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu".to_owned(),
            "é".repeat(20),
            "SysvarC1ock11111111111111111111111111111111".to_owned(),
        ];
        for text in others.iter().map(String::as_str).chain(EVERYBODYS) {
            assert!(matches!(parse_address(text), Err(AddressError::Malformed(_))), "{text:?}");
        }
        for text in EVERYBODYS {
            assert!(bytes(text).is_some(), "{text} is written right");
        }
    }

    #[test]
    fn a_private_key_is_refused_and_not_repeated_i12() {
        let pair = bs58::encode([7; 64]).into_string();
        let file = format!("[{}]", [7; 64].map(|byte: u8| byte.to_string()).join(","));
        let seed = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        for secret in [&pair, &file, &file.replace(',', ", "), seed, words] {
            let error = parse_address(secret).unwrap_err();
            assert_eq!(error, AddressError::PrivateKey);
            assert!(!error.to_string().contains(secret));
        }
    }

    #[test]
    fn token_accounts_are_derived_by_the_mints_program() {
        // The example of the token library's own tests.
        let owner = Address::from_canonical("B8UwBUUnKwCyKuGMbFKWaG7exYdDk2ozZrPg72NyVbfj");
        let mint = Address::from_canonical("7o36UsWR1JQLpZ9PE2gn9L4SQ69CNNiWAXd4Jt7rqz9Z");
        let account = token_account(&owner, &mint, TokenProgram::Token).unwrap();
        assert_eq!(account.as_str(), "DShWnroshVbeUp28oopA3Pu7oFPDBtC1DBmPECXXAQ9n");
        assert_ne!(token_account(&owner, &mint, TokenProgram::Token2022), Some(account));
        assert_eq!(token_account(&Address::from_canonical("?"), &mint, TokenProgram::Token), None);
    }

    proptest! {
        #[test]
        fn any_key_reads_back_as_written(key in prop::array::uniform32(1_u8..)) {
            let text = Pubkey::from(key).to_string();
            let address = parse_address(&text).unwrap();
            prop_assert_eq!(address.as_str(), text.as_str());
            prop_assert_eq!(raw(&address), Some(key));
        }

        #[test]
        fn any_text_is_read_without_panic_f20(text in ".{0,120}") {
            let _ = parse_address(&text);
        }
    }
}
