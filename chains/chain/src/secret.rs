//! Private keys by their looks, so that they are refused before anything reads them further.

/// An extended key has 111 characters in Base58Check; a few may be lost in copying.
const EXTENDED_KEY_AT_LEAST: usize = 90;
/// A private key in wallet import format, without and with the mark of a compressed public key.
const WIF_LENGTHS: [usize; 2] = [51, 52];
const WIF_BEGINNINGS: [u8; 5] = *b"5KL9c";

/// Whether a text is, or holds, what spends money: an extended private key (`xprv…`, BIP-32, and
/// the prefixes of SLIP-132), a key in wallet import format, 64 hex digits, or a seed phrase of 12
/// and more words (BIP-39).
///
/// It goes by form alone, so a key with a typing error is caught as well, and a public key or an
/// address of no family is mistaken for one. Whoever finds one refuses it and never repeats it, in
/// a log, an error or an answer (I12).
#[must_use]
pub fn looks_secret(text: &str) -> bool {
    let text = text.trim();
    is_raw_key(text) || is_seed_phrase(text) || base58_runs(text).any(is_encoded_key)
}

fn is_raw_key(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_seed_phrase(text: &str) -> bool {
    let is_word = |word: &str| {
        (3..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    text.split_whitespace().count() >= 12 && text.split_whitespace().all(is_word)
}

/// The keys of an output descriptor stand between signs that Base58 has not.
fn base58_runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
}

fn is_encoded_key(run: &str) -> bool {
    let is_extended = run.get(1..4) == Some("prv") && run.len() >= EXTENDED_KEY_AT_LEAST;
    let begins = run.bytes().next().is_some_and(|first| WIF_BEGINNINGS.contains(&first));
    is_extended || (begins && WIF_LENGTHS.contains(&run.len()))
}

#[cfg(test)]
mod tests {
    use super::looks_secret;

    /// Of BIP-32's first test vector.
    const XPRV: &str = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
    const XPUB: &str = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";

    #[test]
    fn what_spends_money_is_known_by_its_looks_i12() {
        let hex = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
        let secrets = [
            XPRV.to_owned(),
            format!("  {XPRV}\n"),
            XPRV[..105].to_owned(),
            XPRV.replacen('x', "z", 1),
            XPRV.replacen('x', "t", 1),
            format!("wpkh([d34db33f/84h/0h/0h]{XPRV}/0/*)"),
            format!("wsh(multi(1,{XPUB}/0/*,{XPRV}/0/*))"),
            hex.to_owned(),
            format!("0x{hex}"),
            "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ".to_owned(),
            "KwdMAjGmerYanjeui5SHS7JkmpZvVipYvB2LJGU1ZxJwYvP98617".to_owned(),
            "wpkh(cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA)".to_owned(),
            "test test test test test test test test test test test junk".to_owned(),
        ];
        for secret in secrets {
            assert!(looks_secret(&secret));
        }
    }

    #[test]
    fn what_everybody_may_know_is_none() {
        let public = [
            XPUB.to_owned(),
            format!("tr([d34db33f/86h/0h/0h]{XPUB}/<0;1>/*)#abcdefgh"),
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".to_owned(),
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr".to_owned(),
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu".to_owned(),
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2".to_owned(),
            String::new(),
        ];
        for text in public {
            assert!(!looks_secret(&text), "{text}");
        }
    }
}
