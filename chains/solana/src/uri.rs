//! Payment URIs: what a payer's wallet reads from a link or a QR code (Solana Pay's transfer
//! requests).

use confirmd_chain::{Address, Amount};

use crate::config::Token;
use crate::memo::MEMO;

/// Digits of the native coin behind the point.
const COIN_DECIMALS: u8 = 9;

/// `solana:<owner>?amount=<decimal>&spl-token=<mint>&reference=<key>&memo=<text>`. Without a token
/// the native coin is asked for. `carried` is what the transfer is to carry, as it shows it.
pub(crate) fn payment_uri(
    to: &Address,
    token: Option<&Token>,
    amount: Amount,
    carried: Option<&str>,
) -> String {
    let decimals = token.map_or(COIN_DECIMALS, |token| token.decimals);
    let mut uri = format!("solana:{to}?amount={}", amount.to_decimal(decimals));
    if let Some(token) = token {
        uri += &format!("&spl-token={}", token.mint);
    }
    match carried.map(|carried| carried.strip_prefix(MEMO).ok_or(carried)) {
        Some(Ok(memo)) => uri += &format!("&memo={}", escaped(memo)),
        Some(Err(reference)) => uri += &format!("&reference={reference}"),
        None => {}
    }
    uri
}

/// With all but RFC 3986's unreserved characters percent-encoded.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::TokenProgram;

    #[test]
    fn payments_are_written_as_solana_pay_shows_them() {
        // The specification's examples, without label and message.
        let owner = Address::from_canonical("mvines9iiHiQTysrwkJjGf2gb9Ex9jXJX8ns3qwf2kN");
        let usdc = Token {
            mint: Address::from_canonical("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
            decimals: 6,
            program: TokenProgram::Token,
        };
        let uri =
            |token, units: u64, carried| payment_uri(&owner, token, Amount::from(units), carried);
        assert_eq!(
            uri(None, 1_000_000_000, Some("memo:OrderId12345")),
            "solana:mvines9iiHiQTysrwkJjGf2gb9Ex9jXJX8ns3qwf2kN?amount=1&memo=OrderId12345"
        );
        assert_eq!(
            uri(Some(&usdc), 10_000, None),
            "solana:mvines9iiHiQTysrwkJjGf2gb9Ex9jXJX8ns3qwf2kN?amount=0.01\
             &spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
        );
        assert_eq!(
            uri(None, 5, Some("82ZJ7nbGpixjeDCmEhUcmwXYfvurzAgGdtSMuHnUgyny")),
            "solana:mvines9iiHiQTysrwkJjGf2gb9Ex9jXJX8ns3qwf2kN?amount=0.000000005\
             &reference=82ZJ7nbGpixjeDCmEhUcmwXYfvurzAgGdtSMuHnUgyny"
        );
        let memo = uri(None, 5, Some("memo:wihngo:6f0c & é"));
        assert!(memo.ends_with("&memo=wihngo%3A6f0c%20%26%20%C3%A9"), "{memo}");
    }
}
