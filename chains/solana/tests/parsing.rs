//! What people write: addresses, wallets, references; and what they are shown.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use confirmd_chain::{Amount, Asset, Chain, ChainError, WalletError};
use confirmd_solana::{Solana, Token, TokenProgram};
use support::{PYUSD, USDC, WRAPPED, address, chain, config, key, pool};

fn nowhere() -> Vec<String> {
    vec!["http://127.0.0.1:1".to_owned()]
}

#[test]
fn a_wallet_is_a_list_of_addresses_and_the_error_says_so() {
    let xpub = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8";
    for text in [xpub, "wpkh([d34db33f/84h/0h/0h]xpub/0/*)", &key(1), ""] {
        let error = chain(&nowhere()).parse_wallet(text).unwrap_err();
        let WalletError::NotDerivable(words) = &error else { panic!("{text:?}: {error:?}") };
        assert!(words.contains("ed25519") && words.contains("list of addresses"), "{words}");
        assert!(text.is_empty() || !words.contains(text));
    }
    let file = format!("[{}]", [7; 64].map(|byte: u8| byte.to_string()).join(","));
    let xprv = xpub.replacen("pub", "prv", 1);
    for secret in [file, bs58::encode([7; 64]).into_string(), xprv] {
        let error = chain(&nowhere()).parse_wallet(&secret).unwrap_err();
        assert_eq!(error, WalletError::PrivateKey, "by name (I12)");
    }
}

#[test]
fn a_mint_is_not_taken_for_an_owner() {
    let chain = chain(&nowhere());
    for wrong in [USDC, PYUSD, WRAPPED] {
        assert!(chain.parse_address(wrong).is_err(), "{wrong}");
    }
    assert_eq!(chain.parse_address(&key(3)).unwrap().as_str(), key(3));
}

#[test]
fn a_payer_is_told_what_to_pay_and_people_where_it_is_kept() {
    let chain = chain(&nowhere());
    let (owner, usdc) = (address(&key(3)), Asset::Token(address(USDC)));
    let amount = Amount::from(12_500_000);
    let memo = chain.parse_memo("wihngo:1").unwrap();
    let uri = chain.payment_uri(&owner, &usdc, amount, Some(&memo)).unwrap();
    let expected = format!("solana:{owner}?amount=12.5&spl-token={USDC}&memo=wihngo%3A1");
    assert_eq!(uri, expected);
    let unknown = Asset::Token(address(&key(9)));
    assert_eq!(chain.payment_uri(&owner, &unknown, amount, None), None);
    let accounts = [usdc, Asset::Token(address(PYUSD)), Asset::Native, unknown];
    let accounts = accounts.map(|asset| chain.token_account(&owner, &asset));
    assert!(accounts[0].is_some() && accounts[1].is_some() && accounts[0] != accounts[1]);
    assert_eq!((&accounts[2], &accounts[3]), (&None, &None));
}

#[test]
fn a_configuration_that_cannot_be_kept_is_refused() {
    for wrong in [WRAPPED, "no mint"] {
        let mut config = config();
        let mint = address(wrong);
        config.tokens.push(Token { mint, decimals: 9, program: TokenProgram::Token });
        let refused = Solana::new(config, pool(&nowhere()));
        assert!(matches!(refused, Err(ChainError::Misconfigured(_))), "{wrong}");
    }
}
