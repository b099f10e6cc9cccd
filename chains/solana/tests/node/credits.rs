//! What arrives is credited, however it was sent.

use confirmd_chain::{Asset, Chain, TransferIndex};
use solana_keypair::{Keypair, Signer};
use solana_pubkey::Pubkey;
use xtask::surfpool::{SOL, pay_lamports};

use crate::oracle::{Credits, recount};
use crate::support::{FEE, FIRST, Node, PRICE, address, facts};

/// What one payment must bring its receiver: nothing, or so much of an asset.
async fn brings(node: &Node, signature: &str, to: &Pubkey, expected: &[(Asset, u64)]) {
    node.mine().await;
    for references in [false, true] {
        let watches = node.watching(&[*to], references);
        let mut transfers = node.transfers(&watches).await;
        transfers.retain(|transfer| transfer.id.transaction.as_str() == signature);
        let brought: Vec<_> =
            transfers.iter().map(|transfer| (transfer.asset.clone(), facts(transfer).3)).collect();
        assert_eq!(brought, expected, "with references: {references}");
        for transfer in &transfers {
            assert_eq!(transfer.to, address(to));
            assert!(matches!(transfer.id.index, TransferIndex::Account(_)));
        }
    }
}

#[tokio::test]
async fn a_payment_makes_the_receivers_account_and_the_next_finds_it_there() {
    let node = Node::start().await;
    let shop = Pubkey::new_unique();
    for round in 1..=2 {
        let paid = node.usdc.pay(&node.buyer, &shop, round * PRICE).await.unwrap();
        brings(&node, &paid, &shop, &[(node.usdc(), round * PRICE)]).await;
    }
    let account = node.chain.token_account(&address(&shop), &node.usdc()).unwrap();
    assert_eq!(account, address(&node.usdc.account_of(&shop)));
    assert_eq!(node.usdc.balance_of(&shop).await.unwrap(), 3 * PRICE);
}

#[tokio::test]
async fn a_tokens_fee_is_not_credited_f24_i11() {
    let node = Node::start().await;
    let shop = Pubkey::new_unique();
    let paid = node.taxed.pay(&node.buyer, &shop, PRICE).await.unwrap();
    let arrived = PRICE - PRICE * u64::from(FEE.basis_points) / 10_000;
    brings(&node, &paid, &shop, &[(node.taxed(), arrived)]).await;
    let account = node.chain.token_account(&address(&shop), &node.taxed()).unwrap();
    assert_eq!(account, address(&node.taxed.account_of(&shop)));
}

#[tokio::test]
async fn a_failed_payment_a_payment_of_nothing_and_a_look_alike_credit_nothing_f24_i11() {
    let node = Node::start().await;
    let shop = Pubkey::new_unique();
    node.usdc.pay(&node.buyer, &shop, PRICE).await.unwrap();
    let too_much = node.usdc.transferring(&node.buyer.pubkey(), &shop, 9_000 * PRICE);
    let coin = pay_lamports(&node.buyer.pubkey(), &shop, SOL);
    let failed = node.surfpool.send_failing(&[coin, too_much], &[&node.buyer]).await.unwrap();
    brings(&node, &failed, &shop, &[]).await;
    let nothing = node.usdc.pay(&node.buyer, &shop, 0).await.unwrap();
    brings(&node, &nothing, &shop, &[]).await;
    let fake = node.fake.pay(&node.buyer, &shop, PRICE).await.unwrap();
    brings(&node, &fake, &shop, &[]).await;
}

#[tokio::test]
async fn coin_is_credited_to_its_account_and_rent_for_tokens_is_not() {
    let node = Node::start().await;
    let (shop, buyer) = (Pubkey::new_unique(), node.buyer.pubkey());
    let pay = pay_lamports(&buyer, &shop, 3 * SOL);
    let paid = node.surfpool.send(&[pay], &[&node.buyer]).await.unwrap();
    brings(&node, &paid, &shop, &[(Asset::Native, 3 * SOL)]).await;
    // Somebody pays for the shop's token account, and nothing else.
    let opened = node.surfpool.send(&[node.usdc.opening(&shop)], &[]).await.unwrap();
    brings(&node, &opened, &shop, &[]).await;
}

#[tokio::test]
async fn an_inner_instruction_pays_like_any_other() {
    let node = Node::start().await;
    let shop = Keypair::new();
    node.usdc.mint_to(&shop.pubkey(), 1).await.unwrap();
    node.usdc.mint_to(&node.usdc.account_of(&shop.pubkey()), PRICE).await.unwrap();
    let recover = node.usdc.recovering(&shop.pubkey());
    let paid = node.surfpool.send(&recover, &[&shop]).await.unwrap();
    node.mine().await;
    let watches = node.watching(&[shop.pubkey()], true);
    let transfers = node.transfers(&watches).await;
    let of_tokens = transfers
        .iter()
        .find(|transfer| transfer.id.transaction.as_str() == paid && transfer.asset == node.usdc());
    assert_eq!(facts(of_tokens.unwrap()).3, PRICE);
}

#[tokio::test]
async fn a_versioned_payment_through_a_look_up_table_is_credited() {
    let node = Node::start().await;
    let (shop, coin_shop) = (Pubkey::new_unique(), Pubkey::new_unique());
    node.usdc.mint_to(&shop, 1).await.unwrap();
    let hidden = [node.usdc.account_of(&shop), node.usdc.address, coin_shop];
    let table = node.surfpool.lookup_table(&hidden).await.unwrap();
    let pays = [
        node.usdc.transferring(&node.buyer.pubkey(), &shop, PRICE),
        pay_lamports(&node.buyer.pubkey(), &coin_shop, SOL),
    ];
    let paid = node.surfpool.send_v0(&pays, &[&node.buyer], &table).await.unwrap();
    brings(&node, &paid, &shop, &[(node.usdc(), PRICE)]).await;
    brings(&node, &paid, &coin_shop, &[(Asset::Native, SOL)]).await;
}

#[tokio::test]
async fn the_reference_client_recounts_the_chain_and_finds_the_same_i2_i10() {
    let node = Node::start().await;
    let shops: Vec<Keypair> = (0..6).map(|_| Keypair::new()).collect();
    let owners: Vec<Pubkey> = shops.iter().map(Signer::pubkey).collect();
    let hidden: Vec<Pubkey> = owners.iter().map(|owner| node.usdc.account_of(owner)).collect();
    let table = node.surfpool.lookup_table(&hidden).await.unwrap();
    for (round, (shop, key)) in owners.iter().zip(&shops).enumerate() {
        let buyer = node.buyer.pubkey();
        let amount = PRICE + u64::try_from(round).unwrap();
        node.usdc.pay(&node.buyer, shop, amount).await.unwrap();
        node.taxed.pay(&node.buyer, shop, amount).await.unwrap();
        node.fake.pay(&node.buyer, shop, amount).await.unwrap();
        let pays = [
            node.usdc.transferring(&buyer, shop, amount),
            pay_lamports(&buyer, shop, SOL),
            node.usdc.transferring(&buyer, shop, 1),
        ];
        node.surfpool.send_v0(&pays, &[&node.buyer], &table).await.unwrap();
        let too_much = node.usdc.transferring(&buyer, shop, 9_000 * PRICE);
        node.surfpool.send_failing(&[too_much], &[&node.buyer]).await.unwrap();
        if round % 2 == 0 {
            node.mine().await;
        }
        // From one of them to the next.
        let next = owners[(round + 1) % owners.len()];
        node.usdc.pay(key, &next, 5).await.unwrap();
        node.usdc.mint_to(&node.usdc.account_of(shop), 7).await.unwrap();
        node.surfpool.send(&node.usdc.recovering(shop), &[key]).await.unwrap();
    }
    node.mine().await;

    let to = node.chain.heads().await.unwrap().latest.height.0;
    let url = node.surfpool.url();
    let mints = [node.usdc.address, node.taxed.address];
    let theirs = recount(&url, (FIRST.0, to), &owners, &mints).await;
    for references in [false, true] {
        let mut ours = Credits::new();
        for transfer in node.transfers(&node.watching(&owners, references)).await {
            let (id, owner, asset, amount) = facts(&transfer);
            *ours.entry((id, owner, asset)).or_default() += amount;
        }
        assert_eq!(ours, theirs, "with references: {references}");
    }
    assert!(theirs.len() >= 6 * 6, "the chain has something to find: {theirs:?}");
}
