//! The suite that every chain passes.
//!
//! A family's test makes a [`Subject`] around a real node and hands it to [`run`], which tells the
//! stories below on it, one after the other, and panics with the story's words where the chain
//! breaks the contract.

#![allow(clippy::expect_used, reason = "a test suite: a panic is its verdict")]

use async_trait::async_trait;

use crate::{
    Address, AddressError, Amount, Asset, At, Block, Chain, ChainError, Header, Heads, Height,
    TransactionId, Transfer, WatchKey, WatchSet, WatchVersion,
};

/// A chain on a node of its own, and what a test can do to that node.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The chain under test.
    fn chain(&self) -> &dyn Chain;

    /// The assets that [`Self::pay`] can pay; each of them is to be found.
    fn assets(&self) -> Vec<Asset>;

    /// The n-th address of the network that nobody used before.
    fn address(&self, n: u64) -> Address;

    /// Texts that are private keys or seeds in the family's forms.
    fn private_keys(&self) -> Vec<String>;

    /// Makes so many blocks and returns when the chain shows them.
    async fn mine(&self, blocks: u64);

    /// Pays in a new block and returns when the chain shows it.
    async fn pay(&self, asset: &Asset, to: &Address, amount: Amount) -> TransactionId;

    /// Replaces the newest `depth` blocks by at least as many without their transactions. False
    /// where the node cannot.
    async fn reorg(&self, depth: u64) -> bool;
}

/// Tells all stories.
///
/// # Panics
/// Where the chain breaks the contract; the message says how.
pub async fn run(subject: &dyn Subject) {
    addresses_read_back_and_secrets_are_refused(subject);
    parent_links_hold(subject).await;
    a_height_that_is_not_made_yet_is_not_found(subject).await;
    transfers_are_found_exactly(subject).await;
    a_transaction_is_looked_up(subject).await;
    nothing_is_invented_for_nobody(subject).await;
    the_version_of_the_watches_is_carried(subject).await;
    many_blocks_equal_single_ones(subject).await;
    a_reorg_never_mixes_branches(subject).await;
    providers_are_shown(subject).await;
}

/// A paid transaction is found in its block; one that was never made, or is no id, nowhere.
pub async fn a_transaction_is_looked_up(subject: &dyn Subject) {
    let chain = subject.chain();
    let assets = subject.assets();
    let asset = assets.first().expect("the subject can pay something");
    let id = subject.pay(asset, &subject.address(900), Amount::from(7)).await;
    let found = chain.transaction(&id).await.expect("an answer").expect("it was mined");
    assert!(found.succeeded, "a payment succeeded");
    let again = chain.header(found.header.at()).await;
    assert_eq!(again.as_ref(), Ok(&found.header), "it stands in a block of the chain");
    let unknown = format!("{}0", &id.as_str()[..id.as_str().len() - 1]);
    let other = if unknown == id.as_str() { unknown.replace('0', "1") } else { unknown };
    for nothing in [other.as_str(), "", "no-id", &"f".repeat(10_000)] {
        let found = chain.transaction(&TransactionId::new(nothing)).await;
        assert_eq!(found, Ok(None), "{nothing:?} stands nowhere");
    }
}

/// Canonical addresses are read as themselves, each has a key of its own, and what is none is
/// refused without a panic.
pub fn addresses_read_back_and_secrets_are_refused(subject: &dyn Subject) {
    let chain = subject.chain();
    let addresses: Vec<Address> = (0..8).map(|n| subject.address(n)).collect();
    let mut keys: Vec<WatchKey> = addresses.iter().map(|a| chain.watch_key(a)).collect();
    for address in &addresses {
        let read = chain.parse_address(address.as_str());
        assert_eq!(read.as_ref(), Ok(address), "a canonical address reads as itself");
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), addresses.len(), "each address has a watch key of its own");
    for secret in subject.private_keys() {
        let error = chain.parse_address(&secret).expect_err("a private key is no address");
        assert_eq!(error, AddressError::PrivateKey, "a private key is refused by name");
        assert!(!error.to_string().contains(&secret), "a private key is not repeated (I12)");
    }
    for junk in ["", " ", "0", "0x", "é", "\u{0}", "bc1", &"1".repeat(10_000)] {
        assert!(chain.parse_address(junk).is_err(), "{junk:?} is no address");
    }
}

/// From the newest block down, each names the one below as its parent, and a block asked for by
/// hash is the one asked for by height.
pub async fn parent_links_hold(subject: &dyn Subject) {
    subject.mine(5).await;
    let chain = subject.chain();
    let Heads { latest, finalized, .. } = heads(chain).await;
    assert!(finalized.is_none_or(|height| height <= latest.height), "finalized is below latest");
    let mut above = chain.header(latest.at()).await.expect("the newest block");
    assert_eq!(above, latest, "the newest block by hash is what heads says");
    for _ in 0..4 {
        let by_hash = chain.header(above.parent_at()).await.expect("a parent");
        let by_height = chain.header(At::Height(by_hash.height)).await.expect("the same");
        assert_eq!(by_hash, by_height, "a header by hash equals the one by height");
        assert_eq!(by_hash.hash, above.parent, "the parent is who the child names");
        assert_eq!(by_hash.height, above.parent_height, "the parent is where the child says");
        assert!(by_hash.height < above.height, "a parent is below its child");
        assert!(by_hash.time <= above.time, "a parent is not later than its child");
        above = by_hash;
    }
}

/// A block in the future is not found; it is neither an empty one nor a failure.
pub async fn a_height_that_is_not_made_yet_is_not_found(subject: &dyn Subject) {
    let chain = subject.chain();
    let future = At::Height(heads(chain).await.latest.height.plus(100_000));
    let watches = watching(subject, &[subject.address(0)], 1);
    assert_eq!(chain.header(future.clone()).await, Err(ChainError::NotFound));
    assert_eq!(chain.block(future, &watches).await, Err(ChainError::NotFound));
}

/// Of a payment to us, one to somebody else and an empty block, the payment is found: once, with
/// all that it says. So it is by hash as by height.
pub async fn transfers_are_found_exactly(subject: &dyn Subject) {
    let chain = subject.chain();
    let (ours, theirs) = (subject.address(10), subject.address(11));
    let watches = watching(subject, std::slice::from_ref(&ours), 1);
    for (asset, units) in subject.assets().iter().zip(1_000_u64..) {
        let amount = Amount::from(units);
        let before = heads(chain).await.latest.height;
        let transaction = subject.pay(asset, &ours, amount).await;
        subject.pay(asset, &theirs, Amount::from(7)).await;
        subject.mine(1).await;
        let blocks = since(chain, before, &watches).await;
        let found: Vec<&Transfer> = blocks.iter().flat_map(|block| &block.transfers).collect();
        assert_eq!(found.len(), 1, "one payment of {asset} to us, found {found:?}");
        let transfer = found[0];
        assert_eq!(transfer.id.transaction, transaction, "the transaction of {asset}");
        assert_eq!(&transfer.asset, asset, "the asset");
        assert_eq!(transfer.to, ours, "the receiver of {asset}");
        assert_eq!(transfer.watch, chain.watch_key(&ours), "the watch that {asset} hit");
        assert_eq!(transfer.amount, amount, "the amount of {asset}");
        assert_ne!(transfer.from.as_ref(), Some(&ours), "the sender of {asset}");
        for block in &blocks {
            let by_hash = chain.block(block.header.at(), &watches).await;
            assert_eq!(by_hash.as_ref(), Ok(block), "a block by hash equals the one by height");
        }
    }
}

/// Where nobody waits for anything there are no transfers.
pub async fn nothing_is_invented_for_nobody(subject: &dyn Subject) {
    let chain = subject.chain();
    let before = heads(chain).await.latest.height;
    for asset in subject.assets() {
        subject.pay(&asset, &subject.address(20), Amount::from(3_000)).await;
    }
    for block in since(chain, before, &WatchSet::default()).await {
        assert_eq!(block.transfers, [], "nobody waits for anything");
    }
}

/// A block carries the version that it was decoded with, and a watch that came later is hit by
/// the same block when it is asked for again.
pub async fn the_version_of_the_watches_is_carried(subject: &dyn Subject) {
    let chain = subject.chain();
    let ours = subject.address(30);
    let watches = watching(subject, &[subject.address(31)], 7);
    let before = heads(chain).await.latest.height;
    for asset in subject.assets() {
        subject.pay(&asset, &ours, Amount::from(4_000)).await;
    }
    let early = since(chain, before, &watches).await;
    assert!(early.iter().all(|block| block.watches == WatchVersion(7)), "version 7 is carried");
    assert!(early.iter().all(|block| block.transfers.is_empty()), "nobody waits for it yet");
    watches.add([chain.watch_key(&ours)], WatchVersion(8));
    let late = since(chain, before, &watches).await;
    assert!(late.iter().all(|block| block.watches == WatchVersion(8)), "version 8 is carried");
    let found: usize = late.iter().map(|block| block.transfers.len()).sum();
    assert_eq!(found, subject.assets().len(), "now it is waited for");
}

/// A range of irreversible blocks is linked, without gaps, and holds what its blocks hold when
/// they are asked for one by one.
pub async fn many_blocks_equal_single_ones(subject: &dyn Subject) {
    let chain = subject.chain();
    let ours = subject.address(40);
    let watches = watching(subject, std::slice::from_ref(&ours), 3);
    let from = heads(chain).await.latest.height;
    for asset in subject.assets() {
        subject.pay(&asset, &ours, Amount::from(5_000)).await;
        subject.mine(2).await;
    }
    let to = heads(chain).await.latest.height;
    finalize(subject, to).await;
    let mut ranged: Vec<Block> = Vec::new();
    let mut next = from;
    while next <= to {
        let blocks = chain.blocks(next, to, &watches).await.expect("irreversible blocks");
        let last = blocks.last().expect("a range is never empty").header.height;
        assert!(next <= last, "a range begins where it was asked to");
        ranged.extend(blocks);
        next = last.next();
    }
    for pair in ranged.windows(2) {
        assert_eq!(pair[1].header.parent, pair[0].header.hash, "a range is linked");
    }
    let single = since(chain, from.minus(1), &watches).await;
    let highest = ranged.last().map(|block| block.header.height);
    let single = single.iter().filter(|block| Some(block.header.height) <= highest);
    let facts = |block: &Block| (block.header.clone(), block.transfers.clone(), block.watches);
    let single: Vec<_> = single.map(facts).collect();
    let ranged: Vec<_> = ranged.iter().map(facts).collect();
    assert_eq!(ranged, single, "a range equals its blocks");
    let found: usize = ranged.iter().map(|(_, transfers, _)| transfers.len()).sum();
    assert_eq!(found, subject.assets().len(), "every payment is in the range");
}

/// After a reorg the height shows the new branch, linked and without the lost payment; the old
/// hash is gone, or still shows all of the old block.
pub async fn a_reorg_never_mixes_branches(subject: &dyn Subject) {
    let chain = subject.chain();
    let ours = subject.address(50);
    let watches = watching(subject, std::slice::from_ref(&ours), 1);
    let Some(asset) = subject.assets().into_iter().next() else { return };
    let before = heads(chain).await.latest.height;
    subject.pay(&asset, &ours, Amount::from(6_000)).await;
    subject.mine(1).await;
    let old = since(chain, before, &watches).await;
    let depth = old.len() as u64;
    if !subject.reorg(depth).await {
        return;
    }
    for block in &old {
        match chain.block(block.header.at(), &watches).await {
            Err(ChainError::NotFound) => {}
            shown => assert_eq!(shown.as_ref(), Ok(block), "a lost block is gone or as it was"),
        }
    }
    let new = since(chain, before, &watches).await;
    assert!(new.len() >= old.len(), "the new branch reaches as high");
    for (new, old) in new.iter().zip(&old) {
        assert_ne!(new.header.hash, old.header.hash, "the height shows the new branch");
        assert_eq!(new.transfers, [], "the payment is lost with its branch");
    }
    let below = chain.header(At::Height(before)).await.expect("the common ancestor");
    assert_eq!(new[0].header.parent, below.hash, "the new branch stands on the old chain");
}

/// The providers are named, and answer.
pub async fn providers_are_shown(subject: &dyn Subject) {
    let chain = subject.chain();
    assert!(!chain.providers().is_empty(), "the status names the providers");
    for report in chain.probe().await {
        assert!(report.reachable && report.chain_agrees, "{report:?}");
        assert!(report.head.is_some(), "{report:?}");
        assert_eq!(report.problem, None, "{report:?}");
    }
}

fn watching(subject: &dyn Subject, addresses: &[Address], version: u64) -> WatchSet {
    let keys = addresses.iter().map(|address| subject.chain().watch_key(address));
    WatchSet::new(keys, WatchVersion(version))
}

async fn heads(chain: &dyn Chain) -> Heads {
    chain.heads().await.expect("the heads of a node that runs")
}

/// All blocks above `before` up to the newest, each linked to the one below, whatever heights the
/// chain skipped between them.
async fn since(chain: &dyn Chain, before: Height, watches: &WatchSet) -> Vec<Block> {
    let latest = heads(chain).await.latest;
    let mut blocks = Vec::<Block>::new();
    let mut height = before.next();
    while height <= latest.height {
        let block = chain.block(At::Height(height), watches).await;
        let block = block.unwrap_or_else(|error| panic!("block {height}: {error}"));
        assert!(block.header.parent_height < height, "no block is left out below {height}");
        height = block.header.height.next();
        blocks.push(block);
    }
    let headers: Vec<&Header> = blocks.iter().map(|block| &block.header).collect();
    for pair in headers.windows(2) {
        assert_eq!(pair[1].parent, pair[0].hash, "blocks link by parent hash");
    }
    blocks
}

/// Makes blocks until `height` is irreversible.
async fn finalize(subject: &dyn Subject, height: Height) {
    const ENOUGH: u64 = 1_000;
    for _ in 0..ENOUGH {
        if heads(subject.chain()).await.finalized.is_some_and(|finalized| finalized >= height) {
            return;
        }
        subject.mine(1).await;
    }
    panic!("block {height} is not irreversible after {ENOUGH} more");
}
