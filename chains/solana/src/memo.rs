//! What tells payments to one owner apart: memos, and Solana Pay's reference keys.

use confirmd_chain::AddressError;
use serde::Deserialize;

use crate::Refusal;
use crate::address::{MEMO_PROGRAMS, is_everybodys, parse_address};
use crate::block::Key;
use crate::block::Transaction;

/// How a memo begins among a transfer's references. No key in base58 has a colon.
pub(crate) const MEMO: &str = "memo:";
/// The longest memo that is read, in bytes. Longer ones tell nothing that anybody asked for.
pub(crate) const MEMO_BYTES: usize = 512;
/// The most characters that so many bytes have in base58.
const MEMO_CHARACTERS: usize = 700;
/// The most memos of one transaction that are read.
const MOST_MEMOS: usize = 16;
/// The most keys of one transaction that are taken for references; none has that many accounts
/// beside its parties.
const MOST_KEYS: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instruction<'a> {
    program_id_index: usize,
    data: &'a str,
}

/// What a program called, of the n-th instruction; how deep, does not matter.
#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    instructions: Vec<Instruction<'a>>,
}

/// Reads a memo that a payer is told into the text by which transfers show it: any text without
/// control characters of at most [`MEMO_BYTES`] bytes.
pub(crate) fn parse_memo(text: &str) -> Option<String> {
    is_memo(text).then(|| format!("{MEMO}{text}"))
}

/// Reads a Solana Pay reference into the key's canonical text.
pub(crate) fn parse_reference(text: &str) -> Option<String> {
    let key: Result<_, AddressError> = parse_address(text);
    key.ok().map(|key| key.as_str().to_owned())
}

fn is_memo(text: &str) -> bool {
    (1..=MEMO_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The memos of a transaction with its instructions: of both memo programs, wherever they are
/// called; those that the transaction itself calls before those that programs call.
pub(crate) fn memos(
    transaction: &Transaction<'_>,
    keys: &[Key<'_>],
) -> Result<Vec<String>, Refusal> {
    let outer: Vec<Instruction<'_>> =
        serde_json::from_str(transaction.message()?.instructions.get())?;
    // A node that was not told to keep them shows none, not an empty list.
    let inner = transaction.meta()?.inner_instructions.ok_or_else(|| {
        Refusal::unproven("a transaction without what its programs called, where memos may be")
    })?;
    let inner: Vec<Inner<'_>> = serde_json::from_str(inner.get())?;
    let all = outer.iter().chain(inner.iter().flat_map(|inner| &inner.instructions));
    let mut memos = Vec::new();
    for instruction in all {
        let program = keys.get(instruction.program_id_index);
        let program = program.ok_or_else(|| Refusal::unproven("a program that is no account"))?;
        if !MEMO_PROGRAMS.contains(&program.text) || memos.len() == MOST_MEMOS {
            continue;
        }
        memos.extend(memo(instruction.data)?.filter(|memo| !memos.contains(memo)));
    }
    Ok(memos)
}

/// The text of a memo's data; none where it is not text, or too long.
fn memo(data: &str) -> Result<Option<String>, Refusal> {
    if data.len() > MEMO_CHARACTERS {
        return Ok(None);
    }
    let bytes = bs58::decode(data).into_vec();
    let bytes = bytes.map_err(|_| Refusal::malformed("an instruction's data that is no base58"))?;
    Ok(String::from_utf8(bytes).ok().filter(|text| is_memo(text)))
}

/// The keys by which a transaction may be referred to: of these accounts, those that do not sign
/// and are not what every payment names.
pub(crate) fn references<'k, 'a: 'k>(
    accounts: impl Iterator<Item = &'k Key<'a>>,
) -> impl Iterator<Item = &'a str> {
    let plain = accounts.filter(|key| !key.is_signer && !is_everybodys(key.text));
    plain.map(|key| key.text).take(MOST_KEYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_is_text_that_a_database_can_keep() {
        assert_eq!(parse_memo("wihngo:6f0c é"), Some("memo:wihngo:6f0c é".to_owned()));
        let long = "x".repeat(MEMO_BYTES);
        assert!(parse_memo(&long).is_some());
        for wrong in ["", "a\u{0}b", "a\nb", &format!("{long}x")] {
            assert_eq!(parse_memo(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_memo_of_the_longest_text_is_read_and_a_longer_one_is_none() {
        // Of printable text, the one whose base58 is longest.
        let longest = "~".repeat(MEMO_BYTES);
        let data = |text: &str| bs58::encode(text).into_string();
        assert_eq!(memo(&data(&longest)), Ok(Some(longest.clone())));
        assert_eq!(memo(&data(&format!("{longest}~"))), Ok(None));
        assert_eq!(memo(&data(&"~".repeat(10_000))), Ok(None));
        assert_eq!(memo(&bs58::encode([0xff, 0xfe]).into_string()), Ok(None));
        assert!(matches!(memo("0OIl"), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_reference_is_a_key_that_is_not_everybodys() {
        let key = "82ZJ7nbGpixjeDCmEhUcmwXYfvurzAgGdtSMuHnUgyny";
        assert_eq!(parse_reference(key), Some(key.to_owned()));
        for wrong in ["", "0123456789abcdef", "11111111111111111111111111111111", &key[1..20]] {
            assert_eq!(parse_reference(wrong), None, "{wrong:?}");
        }
    }
}
