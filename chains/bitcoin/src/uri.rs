//! Payment URIs: what a payer's wallet reads from a link or a QR code (BIP-21).

use confirmd_chain::{Address, Amount};

/// Digits of the coin behind the point.
const DECIMALS: u8 = 8;

/// `bitcoin:<address>?amount=<coins>`. A CashAddr brings its scheme along: its prefix.
pub(crate) fn payment_uri(to: &Address, amount: Amount) -> String {
    let scheme = if to.as_str().contains(':') { "" } else { "bitcoin:" };
    format!("{scheme}{to}?amount={}", amount.to_decimal(DECIMALS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_are_written_as_bip_21_shows_them() {
        let cases = [
            // The standard's example, without its label.
            (
                "175tWpb8K1S7NmH4Zx6rewF9WQrcZv245W",
                2_030_000_000,
                "bitcoin:175tWpb8K1S7NmH4Zx6rewF9WQrcZv245W?amount=20.3",
            ),
            (
                "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
                21_000,
                "bitcoin:bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080?amount=0.00021",
            ),
            (
                "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a",
                100_000_000,
                "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a?amount=1",
            ),
        ];
        for (address, satoshis, expected) in cases {
            let address = Address::from_canonical(address);
            assert_eq!(payment_uri(&address, Amount::from(satoshis)), expected);
        }
    }
}
