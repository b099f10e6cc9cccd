//! Payments with a reference, through Request Network's own contracts, to one shared address.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use alloy_primitives::{Address as Raw, B256, U256, address};
use confirmd_chain::{
    Asset, At, Block, Chain, ContractProbe, Height, Proof, TransferIndex, WatchSet, WatchVersion,
};
use confirmd_evm::{Evm, EvmConfig, FeeProxies as Configured, Verify, reference_topic};
use support::text;
use xtask::anvil::{Anvil, AnvilOptions};
use xtask::erc20::{Erc20, TokenOptions};
use xtask::fee_proxy::FeeProxies;

const SHOP: Raw = address!("0x00000000000000000000000000000000000051b0");
const OTHER: Raw = address!("0x00000000000000000000000000000000000051b1");
const FIRST: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
const SECOND: [u8; 8] = [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10];

/// A node with the proxies, a token that is registered and one that is not.
struct Shop<'a> {
    anvil: &'a Anvil,
    proxies: FeeProxies<'a>,
    token: Erc20<'a>,
    unknown: Erc20<'a>,
}

impl<'a> Shop<'a> {
    async fn open(anvil: &'a Anvil) -> Self {
        let supply = U256::from(1_000_000);
        Self {
            anvil,
            proxies: FeeProxies::deploy(anvil).await.unwrap(),
            token: Erc20::deploy(anvil, "USD Coin", "USDC", supply).await.unwrap(),
            unknown: Erc20::deploy(anvil, "USD Coin", "USDC", supply).await.unwrap(),
        }
    }

    fn config(&self, verify: Verify) -> EvmConfig {
        let fee_proxies = Configured {
            erc20: Some(text(self.proxies.erc20)),
            native: Some(text(self.proxies.native)),
        };
        EvmConfig { verify, fee_proxies, ..support::config(vec![text(self.token.address)]) }
    }

    fn follow(&self, config: EvmConfig) -> Evm {
        Evm::new(config, support::pool(&[self.anvil.url()])).unwrap()
    }

    /// The block of a transaction that succeeded, decoded for [`SHOP`]; alike alone and in a range.
    async fn block(&self, evm: &Evm, transaction: B256) -> Block {
        let receipt = self.anvil.receipt(transaction).await.unwrap().unwrap();
        assert!(receipt.succeeded());
        let watches = WatchSet::new([evm.watch_key(&text(SHOP))], WatchVersion(1));
        let height = Height(receipt.height());
        let block = evm.block(At::Height(height), &watches).await.unwrap();
        let range = evm.blocks(height, height, &watches).await.unwrap();
        assert_eq!(range, std::slice::from_ref(&block), "a range shows the same");
        block
    }
}

/// Asset, amount, whether its place is a log, and the references of what was credited.
type Credited = (Asset, String, bool, Vec<String>);

fn credited(block: &Block) -> Vec<Credited> {
    let facts = |t: &confirmd_chain::Transfer| {
        let is_log = matches!(t.id.index, TransferIndex::Log(_));
        (t.asset.clone(), t.amount.to_string(), is_log, t.references.clone())
    };
    block.transfers.iter().map(facts).collect()
}

#[tokio::test]
async fn two_payments_to_one_address_are_told_apart_by_reference_i2() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let shop = Shop::open(&anvil).await;
    let (token, proxies) = (&shop.token, &shop.proxies);
    let amount = U256::from(250);
    let tokens = [
        (proxies.pay_token(token, SHOP, amount, &FIRST).await.unwrap(), Some(FIRST)),
        (proxies.pay_token(token, SHOP, amount, &SECOND).await.unwrap(), Some(SECOND)),
        (token.transfer(SHOP, amount).await.unwrap(), None),
    ];
    let coins = [
        (proxies.pay_coin(SHOP, amount, &FIRST).await.unwrap(), FIRST),
        (proxies.pay_coin(SHOP, amount, &SECOND).await.unwrap(), SECOND),
    ];
    for verify in [Verify::Receipts, Verify::Logs] {
        let evm = shop.follow(shop.config(verify));
        let usdc = Asset::Token(text(token.address));
        for (transaction, reference) in &tokens {
            let block = shop.block(&evm, *transaction).await;
            let references = reference.iter().map(reference_topic).collect();
            let expected = (usdc.clone(), "250".to_owned(), true, references);
            assert_eq!(credited(&block), [expected], "{verify:?}: once, and labelled");
            assert_eq!(block.transfers[0].from, Some(text(token.owner)));
            assert_eq!(block.proof == Proof::Commitment, verify == Verify::Receipts);
        }
        for (transaction, reference) in &coins {
            let block = shop.block(&evm, *transaction).await;
            let references = vec![reference_topic(reference)];
            let expected = (Asset::Native, "250".to_owned(), true, references);
            assert_eq!(credited(&block), [expected], "{verify:?}: by its event, once");
            assert_eq!(block.transfers[0].from, None, "the event does not say who paid");
        }
        assert_eq!(
            evm.parse_reference("0123456789abcdef", &Asset::Native),
            Ok(reference_topic(&FIRST))
        );
        assert!(evm.parse_reference("0123456789abcdef00", &Asset::Native).is_err());
    }
}

#[tokio::test]
async fn a_reference_with_a_wrong_token_or_receiver_labels_nothing_f24() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let shop = Shop::open(&anvil).await;
    let proxies = &shop.proxies;
    let amount = U256::from(250);
    let unknown = proxies.pay_token(&shop.unknown, SHOP, amount, &FIRST).await.unwrap();
    let elsewhere = proxies.pay_token(&shop.token, OTHER, amount, &FIRST).await.unwrap();
    let coin_elsewhere = proxies.pay_coin(OTHER, amount, &FIRST).await.unwrap();
    let nothing = proxies.pay_coin(SHOP, U256::ZERO, &FIRST).await.unwrap();
    let paid = proxies.pay_token(&shop.token, SHOP, amount, &FIRST).await.unwrap();
    let coin = proxies.pay_coin(SHOP, amount, &FIRST).await.unwrap();
    for verify in [Verify::Receipts, Verify::Logs] {
        let evm = shop.follow(shop.config(verify));
        for transaction in [unknown, elsewhere, coin_elsewhere, nothing] {
            assert_eq!(credited(&shop.block(&evm, transaction).await), [], "{verify:?}");
        }

        // Of contracts that are not the registered proxies, an event is worth nothing.
        let mut config = shop.config(verify);
        config.fee_proxies = Configured {
            erc20: Some(text(shop.proxies.native)),
            native: Some(text(shop.proxies.erc20)),
        };
        let evm = shop.follow(config);
        let block = shop.block(&evm, paid).await;
        assert_eq!(block.transfers[0].references, [""; 0], "{verify:?}: paid, and not labelled");
        let by_call = (Asset::Native, "250".to_owned(), false, vec![]);
        assert_eq!(credited(&shop.block(&evm, coin).await), [by_call], "{verify:?}: by its call");

        // Nor is it where the native coin is not looked for.
        let evm = shop.follow(EvmConfig { native: false, ..shop.config(verify) });
        assert_eq!(credited(&shop.block(&evm, coin).await), [], "{verify:?}");
    }
}

/// The proxy's event names what was sent, a token with a fee lets less arrive: the amounts do not
/// agree, and the payment is credited as what it is, without the label.
#[tokio::test]
async fn a_reference_whose_amount_did_not_arrive_labels_nothing_i11_f24() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let mut shop = Shop::open(&anvil).await;
    let options = TokenOptions { fee_basis_points: 100, ..TokenOptions::default() };
    shop.token = Erc20::deploy_variant(&anvil, options).await.unwrap();
    let paid = shop.proxies.pay_token(&shop.token, SHOP, U256::from(100), &FIRST).await.unwrap();
    let evm = shop.follow(shop.config(Verify::Receipts));
    let block = shop.block(&evm, paid).await;
    let usdc = Asset::Token(text(shop.token.address));
    assert_eq!(credited(&block), [(usdc, "99".to_owned(), true, vec![])]);
}

#[tokio::test]
async fn a_probe_says_whether_the_fee_proxy_is_there_and_takes_payments() {
    let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
    let shop = Shop::open(&anvil).await;
    let nobody = address!("0x000000000000000000000000000000000000dead");
    let cases = [
        (shop.proxies.erc20, true, true),
        // A contract, and another one.
        (shop.proxies.native, true, false),
        (nobody, false, false),
    ];
    for (proxy, has_code, call_valid) in cases {
        let mut config = shop.config(Verify::Receipts);
        config.fee_proxies.erc20 = Some(text(proxy));
        config.fee_proxies.native = None;
        let reports = shop.follow(config).probe().await;
        let expected = ContractProbe { has_code, call_valid };
        assert_eq!(reports[0].fee_proxies.get("erc20"), Some(&expected), "{proxy}");
    }
    let config = support::config(vec![text(shop.token.address)]);
    assert!(shop.follow(config).probe().await[0].fee_proxies.is_empty(), "none is configured");
}
