//! What a step writes, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use confirmd_chain::{Amount, Asset, Block, Confirmations, Height, Timestamp, WatchVersion};

use super::followed::KEPT_BLOCKS;
use crate::clock::Clock;
use crate::settlement::{
    Change, DepositChange, Event, Intent, NetworkId, Retraction, apply, deposit_heights,
    step_heights,
};
use crate::store::{
    Actor, Backfill, Cursor, Fence, Found, Recording, Result, Store, StoreError, Transaction,
    WalletDeposit,
};
use crate::webhook::{Endpoints, Waker};

/// Linked blocks that are committed together, oldest first; never empty.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The blocks.
    pub blocks: &'a [Block],
    /// The newest height that both branches share, when the blocks take others' places.
    pub rolled_back_to: Option<Height>,
    /// The newest irreversible height.
    pub finalized: Option<Height>,
}

/// Writes steps. Shared by a network's follower and its backfills.
#[derive(Clone)]
pub struct Committer {
    /// Where to.
    pub store: Store,
    /// The network.
    pub network: NetworkId,
    /// Symbol and decimals of what can be paid with.
    pub assets: Arc<BTreeMap<Asset, (String, u8)>>,
    /// Who gets which event.
    pub endpoints: Endpoints,
    /// How deep deposits must be.
    pub deposits: DepositPolicy,
    /// How long an address is watched after its intent closed.
    pub late_window: Duration,
    /// The time.
    pub clock: Clock,
    /// Woken when there is something to deliver.
    pub courier: Waker,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").field("network", &self.network).finish_non_exhaustive()
    }
}

/// What is asked of the deposits of one network: how deep they must be, unless their wallet says
/// otherwise, and how much.
#[derive(Clone, Debug, Default)]
pub struct DepositPolicy {
    /// The network's threshold in the configuration.
    pub threshold: Confirmations,
    /// Nothing needs fewer.
    pub floor: Confirmations,
    /// The assets that need confirmations of their own.
    pub own: BTreeMap<Asset, Confirmations>,
    /// The smallest amounts; what is less is reported as such.
    pub minimums: BTreeMap<Asset, Amount>,
}

/// What transfers touch.
#[derive(Default)]
struct Touched {
    /// Intents, as `account/id`.
    intents: BTreeSet<String>,
    /// Deposits, by their ids.
    deposits: BTreeSet<String>,
}

impl Touched {
    fn is_empty(&self) -> bool {
        self.intents.is_empty() && self.deposits.is_empty()
    }

    fn extend(&mut self, other: Self) {
        self.intents.extend(other.intents);
        self.deposits.extend(other.deposits);
    }
}

/// What a step changes.
struct Touch<'a> {
    touched: Touched,
    from: Height,
    rolled_back_to: Option<Height>,
    blocks: &'a [Block],
}

impl Committer {
    /// Commits blocks and everything that follows from them, the cursor included (I1).
    ///
    /// # Errors
    /// When the database fails, or another instance follows the network now; then nothing of the
    /// step was written.
    pub async fn commit(&self, fence: &Fence, step: Step<'_>) -> Result<()> {
        let (Some(first), Some(last)) = (step.blocks.first(), step.blocks.last()) else {
            return Ok(());
        };
        let mut tx = self.store.begin().await?;
        tx.advance(fence, &Cursor::from(&last.header), step.finalized).await?;
        let mut touched = Touched::default();
        let Touched { intents, deposits } = &mut touched;
        if let Some(ancestor) = step.rolled_back_to {
            intents.extend(tx.matured_intents_above(&self.network, ancestor).await?);
            intents.extend(tx.displace_transfers_above(&self.network, ancestor).await?);
            deposits.extend(tx.matured_deposits_above(&self.network, ancestor).await?);
            deposits.extend(tx.displace_deposits_above(&self.network, ancestor).await?);
            tx.forget_replacing_blocks_above(&self.network, ancestor).await?;
            tx.remove_blocks_above(&self.network, ancestor).await?;
        }
        let headers = step.blocks.iter().map(|block| &block.header);
        tx.insert_blocks(&self.network, headers).await?;
        for block in step.blocks {
            touched.extend(self.place(&mut tx, block, false).await?);
        }
        let cursor = last.header.height;
        touched.intents.extend(tx.woken_intents(&self.network, cursor).await?);
        touched.deposits.extend(tx.woken_deposits(&self.network, cursor).await?);
        let from = first.header.height;
        let touch =
            Touch { touched, from, rolled_back_to: step.rolled_back_to, blocks: step.blocks };
        let reported = self.settle(&mut tx, touch).await?;
        self.seal(&mut tx, step.blocks).await?;
        tx.record_scans(&self.network, step.blocks, self.clock.now()).await?;
        tx.prune_blocks_below(&self.network, last.header.height.minus(KEPT_BLOCKS)).await?;
        tx.commit().await?;
        if reported {
            self.courier.wake();
        }
        Ok(())
    }

    /// Notes that the follower knows every watch up to `version`, while no block is on its way.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn seal_at(
        &self,
        fence: &Fence,
        version: WatchVersion,
        cursor: Height,
    ) -> Result<()> {
        let mut tx = self.store.begin().await?;
        tx.hold(fence).await?;
        tx.seal_backfills(&self.network, version, cursor).await?;
        tx.commit().await
    }

    /// Commits what a backfill found up to `next`, exclusive. Blocks that are not ours any more
    /// are refused: the caller has to look again.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_backfill(
        &self,
        fence: &Fence,
        jobs: &[Backfill],
        blocks: &[Block],
        next: Height,
    ) -> Result<bool> {
        let mut tx = self.store.begin().await?;
        tx.hold(fence).await?;
        let mut touched = Touched::default();
        let mut from = next;
        let hit = |block: &&Block| !(block.transfers.is_empty() && block.spends.is_empty());
        for block in blocks.iter().filter(hit) {
            if !tx.is_ours(&self.network, &block.header).await? {
                return Ok(false);
            }
            let here = self.place(&mut tx, block, true).await?;
            if !here.is_empty() {
                from = from.min(block.header.height);
            }
            touched.extend(here);
        }
        let reported =
            self.settle(&mut tx, Touch { touched, from, rolled_back_to: None, blocks }).await?;
        for job in jobs {
            tx.advance_backfill(&job.id, next).await?;
        }
        tx.commit().await?;
        if reported {
            self.courier.wake();
        }
        Ok(true)
    }

    /// Puts a block's transfers at their places, and notes what it spends; answers the intents that
    /// this touches. A backfill takes only those that no rail has yet.
    async fn place(&self, tx: &mut Transaction, block: &Block, only_new: bool) -> Result<Touched> {
        let now = self.clock.now();
        let mut touched = Touched::default();
        for (position, transfer) in (0_u32..).zip(&block.transfers) {
            // The chain decodes registered assets only, so an unknown one cannot come.
            let Some((symbol, decimals)) = self.assets.get(&transfer.asset) else { continue };
            if only_new
                && (tx.is_deposited(&self.network, &transfer.id).await?
                    || !tx.is_unplaced(&self.network, transfer).await?)
            {
                continue;
            }
            let found =
                Found { transfer, header: &block.header, position, symbol, decimals: *decimals };
            touched.extend(self.allocate(tx, &found, now).await?);
        }
        for spend in &block.spends {
            let height = Some(block.header.height);
            touched.intents.extend(tx.replace_by(&self.network, spend, height).await?);
        }
        Ok(touched)
    }

    /// Gives a transfer to whoever has it already, else to an intent, else to the wallet of its
    /// address (I2).
    async fn allocate(
        &self,
        tx: &mut Transaction,
        found: &Found<'_>,
        now: Timestamp,
    ) -> Result<Touched> {
        let mut touched = Touched::default();
        if let Some(deposit) = tx.place_deposit_again(&self.network, found).await? {
            touched.deposits.insert(deposit);
            return Ok(touched);
        }
        tx.address_paid(&self.network, &found.transfer.to, now).await?;
        touched.intents = tx.place_transfer(&self.network, found, now).await?;
        if touched.intents.is_empty() {
            let set = tx.thresholds().await?.get(&self.network).copied();
            let policy = &self.deposits;
            let own = policy.own.get(&found.transfer.asset).copied();
            let usual = own.or(set).unwrap_or(policy.threshold);
            let least = policy.floor.max(found.transfer.maturity);
            let required = |wish: Option<Confirmations>| wish.unwrap_or(usual).max(least);
            let minimum = policy.minimums.get(&found.transfer.asset).copied().unwrap_or_default();
            let placed = tx.place_new_deposit(&self.network, found, minimum, required, now).await?;
            touched.deposits.extend(placed);
        }
        Ok(touched)
    }

    /// Locks every touched intent in the order of their keys, settles it afresh, and writes what
    /// came of it. Answers whether there is anything to deliver.
    async fn settle(&self, tx: &mut Transaction, touch: Touch<'_>) -> Result<bool> {
        if touch.touched.is_empty() {
            return Ok(false);
        }
        let now = self.clock.now();
        let intents = tx.lock_intents(&touch.touched.intents).await?;
        // Only now: another network's follower may have moved an intent and its own cursor while
        // this one waited for the lock.
        let cursors = tx.cursors().await?;
        let cursor = cursors.get(&self.network).copied().unwrap_or(touch.from);
        let actor = Actor { kind: "chain".to_owned(), name: self.network.to_string() };
        let route = |intent: &Intent, event: &Event| self.endpoints.route(intent, event);
        let recording = Recording {
            cursors: &cursors,
            route: &route,
            actor: &actor,
            late_window: self.late_window,
            now,
        };
        let mut reported = false;
        for (intent, credits) in intents {
            let heights = step_heights(&intent, &credits, &self.network, touch.from, cursor);
            let times = self.times(tx, heights, touch.blocks).await?;
            let outcome = apply(
                intent,
                credits,
                &Change {
                    network: &self.network,
                    rolled_back_to: touch.rolled_back_to,
                    from: touch.from,
                    cursors: &cursors,
                    times: &times,
                    retraction: Retraction::Reorg,
                    now,
                },
            );
            reported |= !outcome.events.is_empty();
            tx.record_outcome(&outcome, &recording).await?;
        }
        reported |= self.settle_deposits(tx, &touch, cursor).await?;
        Ok(reported)
    }

    async fn settle_deposits(
        &self,
        tx: &mut Transaction,
        touch: &Touch<'_>,
        cursor: Height,
    ) -> Result<bool> {
        let now = self.clock.now();
        let mut reported = false;
        for id in &touch.touched.deposits {
            let missing = || StoreError::Corrupt(format!("a deposit is gone: {id}"));
            let WalletDeposit { deposit, endpoints } = tx.deposit(id).await?.ok_or_else(missing)?;
            let heights = deposit_heights(&deposit, touch.from, cursor);
            let (deposit, events) = deposit.settle(&DepositChange {
                rolled_back_to: touch.rolled_back_to,
                from: touch.from,
                cursor,
                times: &self.times(tx, heights, touch.blocks).await?,
                retraction: Retraction::Reorg,
                now,
            });
            reported |= !events.is_empty();
            let routed = |event: Event| {
                let deliveries = self.endpoints.route_to(&endpoints, &event);
                (event, deliveries)
            };
            let events: Vec<_> = events.into_iter().map(routed).collect();
            tx.record_deposit(&deposit, cursor, &events, now).await?;
        }
        Ok(reported)
    }

    /// Block times: of the step's own blocks, and of the kept ones.
    async fn times(
        &self,
        tx: &mut Transaction,
        heights: BTreeSet<Height>,
        blocks: &[Block],
    ) -> Result<BTreeMap<Height, Timestamp>> {
        let mut times: BTreeMap<_, _> =
            blocks.iter().map(|block| (block.header.height, block.header.time)).collect();
        let missing = heights.into_iter().filter(|height| !times.contains_key(height));
        let missing: Vec<_> = missing.collect();
        times.extend(tx.block_times(&self.network, missing.into_iter()).await?);
        Ok(times)
    }

    /// Ends the range of every backfill whose watches the step's blocks were decoded with.
    async fn seal(&self, tx: &mut Transaction, blocks: &[Block]) -> Result<()> {
        for (version, below) in seals(blocks) {
            tx.seal_backfills(&self.network, version, below).await?;
        }
        Ok(())
    }
}

/// Up to which height the watches of a version are still to be looked for: below the first block
/// from which on *every* one was decoded with them. Blocks that are fetched together are decoded
/// in any order, and watches may come in between: a lower block may know of more than a higher one.
fn seals(blocks: &[Block]) -> Vec<(WatchVersion, Height)> {
    let mut seals: Vec<(WatchVersion, Height)> = Vec::new();
    let mut known_above = WatchVersion(u64::MAX);
    for block in blocks.iter().rev() {
        known_above = known_above.min(block.watches);
        let below = block.header.height.minus(1);
        match seals.last_mut() {
            Some((version, height)) if *version == known_above => *height = below,
            _ => seals.push((known_above, below)),
        }
    }
    // The lowest version first: what it seals, the later ones leave alone.
    seals.reverse();
    seals
}

#[cfg(test)]
mod tests {
    use confirmd_chain::{BlockHash, Header, Proof, Work};

    use super::*;

    fn decoded_with(versions: &[u64]) -> Vec<Block> {
        let block = |(height, version): (u64, &u64)| Block {
            header: Header {
                height: Height(height),
                hash: BlockHash::new(format!("{height}")),
                parent: BlockHash::new(format!("{}", height - 1)),
                parent_height: Height(height - 1),
                time: Timestamp(0),
                mined_at: Timestamp(0),
                work: Work::ONE,
            },
            transfers: Vec::new(),
            spends: Vec::new(),
            proof: Proof::Commitment,
            provider: "node".into(),
            examined: 7,
            watches: WatchVersion(*version),
        };
        (10..).zip(versions).map(block).collect()
    }

    #[test]
    fn a_watch_is_looked_for_below_the_first_block_from_which_on_all_know_it_i13() {
        type Seals = &'static [(u64, u64)];
        let cases: [(&[u64], Seals); 6] = [
            (&[], &[]),
            (&[4, 4, 4], &[(4, 9)]),
            (&[4, 4, 5], &[(4, 9), (5, 11)]),
            // Of two blocks on their way at once, the lower one was decoded last.
            (&[5, 4, 5], &[(4, 9), (5, 11)]),
            (&[6, 5, 4], &[(4, 9)]),
            (&[3, 6, 5, 6], &[(3, 9), (5, 10), (6, 12)]),
        ];
        for (versions, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(version, below)| (WatchVersion(*version), Height(*below)))
                .collect();
            assert_eq!(seals(&decoded_with(versions)), expected, "{versions:?}");
        }
    }
}
