//! Payments with a reference: the events of Request Network's fee proxies.
//!
//! A proxy pays the receiver and writes `TransferWithReferenceAndFee`, whose reference is indexed:
//! its topic is the reference's keccak256, and that topic is what
//! [`Transfer::references`](confirmd_chain::Transfer::references) carries. Who waits for a
//! reference hashes it with [`reference_topic`] and compares.
//!
//! - The proxy for tokens moves them by `transferFrom`, so the token's own `Transfer` log stands
//!   before the event. That log is the credit; the event only labels it.
//! - The proxy for the native coin pays by an internal call, of which the event is the proof: the
//!   contract reverts unless the receiver took the coin, and the receipts root commits to the
//!   event. So the event is the credit, known by its log's place whatever else a provider shows;
//!   the same movement in a call trace is passed over (I2). Who paid, the event does not say.

use alloy_primitives::{Address, B256, Bytes, U256, b256, hex, keccak256};

use crate::Refusal;
use crate::logs::Log;

/// `TransferWithReferenceAndFee(address,address,uint256,bytes,uint256,address)`, of tokens.
pub const TOKEN_PAYMENT: B256 =
    b256!("0x9f16cbcc523c67a60c450e5ffe4f3b7b6dbe772e7abcadb2686ce029a9a0a2b6");

/// `TransferWithReferenceAndFee(address,uint256,bytes,uint256,address)`, of the native coin.
pub const NATIVE_PAYMENT: B256 =
    b256!("0xa1c241e337c4610a9d0f881111e977e9dc8690c85fe2108897bb1483c66e6a96");

/// How a transfer's references show this one: the keccak256 of its eight bytes, `0x` and lower
/// case.
#[must_use]
pub fn reference_topic(reference: &[u8; 8]) -> String {
    keccak256(reference).to_string()
}

/// The eight bytes of a reference, written as 16 hex digits with or without `0x`.
pub(crate) fn parse(text: &str) -> Option<[u8; 8]> {
    let mut reference = [0; 8];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut reference).ok()?;
    (digits.len() == 16).then_some(reference)
}

/// What a fee proxy says that it paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferredPayment {
    /// The token; none for the native coin.
    pub token: Option<Address>,
    /// The receiver.
    pub to: Address,
    /// What was sent to it; the fee comes on top.
    pub amount: U256,
    /// The keccak256 of the reference.
    pub reference: B256,
}

/// Reads an event of the proxy for tokens; none where it is another event.
///
/// # Errors
/// When the event's data is not laid out as its signature says.
pub fn token_payment(log: &Log<'_>) -> Result<Option<ReferredPayment>, Refusal> {
    let [TOKEN_PAYMENT, reference] = log.topics.as_slice() else { return Ok(None) };
    let [token, to, amount, ..] = words::<5>(log)?;
    let (token, to) = (Some(address(&token)?), address(&to)?);
    let amount = U256::from_be_bytes(amount);
    Ok(Some(ReferredPayment { token, to, amount, reference: *reference }))
}

/// Reads an event of the proxy for the native coin; none where it is another event.
///
/// # Errors
/// When the event's data is not laid out as its signature says.
pub fn native_payment(log: &Log<'_>) -> Result<Option<ReferredPayment>, Refusal> {
    let [NATIVE_PAYMENT, reference] = log.topics.as_slice() else { return Ok(None) };
    let [to, amount, ..] = words::<4>(log)?;
    let amount = U256::from_be_bytes(amount);
    Ok(Some(ReferredPayment { token: None, to: address(&to)?, amount, reference: *reference }))
}

/// The words of an event's data, which has so many.
fn words<const N: usize>(log: &Log<'_>) -> Result<[[u8; 32]; N], Refusal> {
    let mut words = [[0; 32]; N];
    let digits = log.data.strip_prefix("0x").unwrap_or_default();
    hex::decode_to_slice(digits, words.as_flattened_mut())
        .map_err(|_| Refusal::malformed("a fee proxy's event of another shape"))?;
    Ok(words)
}

fn address(word: &[u8; 32]) -> Result<Address, Refusal> {
    let (padding, address) = word.split_at(12);
    match padding.iter().all(|byte| *byte == 0) {
        true => Ok(Address::from_slice(address)),
        false => Err(Refusal::malformed("a fee proxy's event with no address in an address")),
    }
}

/// The call data of a payment of nothing in `token` to `to`, through the proxy for tokens.
pub(crate) fn payment_of_nothing(token: Address, to: Address) -> Bytes {
    const PAY: &str =
        "transferFromWithReferenceAndFee(address,address,uint256,bytes,uint256,address)";
    let nothing = U256::ZERO.to_be_bytes::<32>();
    // The reference's length and bytes stand behind the six arguments.
    let place = U256::from(6 * 32).to_be_bytes::<32>();
    let length = U256::from(8).to_be_bytes::<32>();
    let words = [token.into_word().0, to.into_word().0, nothing, place, nothing, nothing, length];
    let words = words.iter().chain([&nothing]).flatten().copied();
    keccak256(PAY)[..4].iter().copied().chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_shown_by_its_hash() {
        let reference = parse("0123456789abcdef").unwrap();
        let topic = "0x0c3d72390ac0ce0233c551a3c5278f8625ba996f5985dc8d612a9fc55f1de15a";
        assert_eq!(reference_topic(&reference), topic);
        assert_eq!(parse("0x0123456789ABCDEF"), Some(reference));
        for wrong in ["", "0x", "0123456789abcde", "0123456789abcdefab", "0123456789abcdeg", "é"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
