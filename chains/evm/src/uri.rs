//! Payment URIs: what a payer's wallet reads from a link or a QR code (EIP-681).

use confirmd_chain::{Address, Amount, Asset};

/// `ethereum:<to>@<chain>?value=<wei>` for the native coin, and a call of `transfer` for a token.
pub(crate) fn payment_uri(chain_id: u64, to: &Address, asset: &Asset, amount: Amount) -> String {
    match asset {
        Asset::Native => format!("ethereum:{to}@{chain_id}?value={amount}"),
        Asset::Token(token) => {
            format!("ethereum:{token}@{chain_id}/transfer?address={to}&uint256={amount}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of EIP-681, with the chain id that it calls optional, and numbers in full.
    #[test]
    fn payments_of_coins_and_tokens_are_written_as_eip_681_shows_them() {
        let address = |text: &str| Address::from_canonical(text);
        let to = address("0xfb6916095ca1df60bb79Ce92ce3ea74c37c5d359");
        let amount = Amount::from(2_014_000_000_000_000_000);
        assert_eq!(
            payment_uri(1, &to, &Asset::Native, amount),
            "ethereum:0xfb6916095ca1df60bb79Ce92ce3ea74c37c5d359@1?value=2014000000000000000"
        );
        let token = Asset::Token(address("0x89205a3a3b2a69de6dbf7f01ed13b2108b2c43e7"));
        let to = address("0x8e23ee67d1332ad560396262c48ffbb01f93d052");
        assert_eq!(
            payment_uri(1, &to, &token, Amount::from(1)),
            "ethereum:0x89205a3a3b2a69de6dbf7f01ed13b2108b2c43e7@1/transfer\
             ?address=0x8e23ee67d1332ad560396262c48ffbb01f93d052&uint256=1"
        );
    }
}
