//! Blocks by slot: which of them were skipped, and how that is known.
//!
//! No error code proves that a slot was skipped: a node that is behind, or has lost a piece of its
//! ledger, answers the same. It is the next block that proves it, by the slot of its parent.

use std::sync::Arc;

use confirmd_chain::{At, Block, Header, Height, Proof, WatchSet, WatchVersion, WatchView};
use confirmd_rpc::{Answer, Failure, FaultKind, Provider};
use futures_util::{StreamExt, stream};

use crate::block::{Detail, RawBlock};
use crate::calls::Shown;
use crate::network::Solana;
use crate::{calls, scan};

/// How many blocks of a range are fetched at the same time. Each may be several MB.
const AT_ONCE: usize = 4;
/// How many slots are looked at for the newest block that can be had.
const TIP: u64 = 32;
/// How many blocks are tried there.
const TRIES: usize = 3;

/// A block as a provider answered it.
pub(crate) struct Fetched<'p> {
    pub(crate) provider: &'p Provider,
    answer: Answer,
    /// Its slot, as far as the provider says.
    slot: Height,
    /// What was asked for.
    at: At,
    pub(crate) wanted: Wanted,
}

/// A block with what its own header does not say.
pub(crate) struct Ranged {
    pub(crate) block: Block,
    ordinal: Option<u64>,
}

impl Solana {
    /// The newest block that a provider shows. What it has just confirmed it may not have written
    /// yet: then the one before will do.
    pub(crate) async fn tip_from(
        &self,
        provider: &Provider,
        newest: Height,
    ) -> Result<Header, Failure> {
        let missing = match header_at(provider, newest).await {
            Err(Failure::Missing(words)) => words,
            other => return other,
        };
        let slots = calls::slots(provider, newest.minus(TIP), TIP).await?;
        let below = slots.into_iter().rev().filter(|slot| *slot < newest);
        for slot in below.take(TRIES) {
            match header_at(provider, slot).await {
                Err(Failure::Missing(_)) => {}
                other => return other,
            }
        }
        Err(Failure::stale(format!("shows none of its newest blocks: {missing}")))
    }

    pub(crate) async fn header_from(
        &self,
        provider: &Provider,
        at: &At,
    ) -> Result<Header, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let (slot, answer) = answer_at(provider, at, Detail::Header).await?;
        let header = RawBlock::read(answer.decode()?, slot, Detail::Header)?.header;
        check_place(&header, at)?;
        Ok(header)
    }

    /// A block as one provider shows it, whatever the others do.
    pub(crate) async fn block_from(
        &self,
        provider: &Provider,
        at: &At,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        let fetched = self.fetch(provider, at, Wanted::now(watches)).await?;
        Ok(self.read(&fetched, &watches.view())?.block)
    }

    /// A block as one provider shows it, and as many others as the quorum wants.
    pub(crate) async fn agreed_from(
        &self,
        provider: &Provider,
        at: &At,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        let fetched = self.fetch(provider, at, Wanted::now(watches)).await?;
        Ok(self.agreed(&fetched, watches).await?.block)
    }

    /// Blocks from `from` on up to `to`, each linked to the one before. Where all of these slots
    /// were skipped, the first block above them. Stops before the first that is not there.
    ///
    /// Each has to be shown by as many providers as the quorum wants, not the last one alone: its
    /// hash commits to all before it, but to no transaction.
    pub(crate) async fn range_from(
        &self,
        provider: &Provider,
        from: Height,
        to: Height,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let mut slots = calls::slots(provider, from, to.0.saturating_sub(from.0) + 1).await?;
        let within = slots.iter().take_while(|slot| **slot <= to).count();
        slots.truncate(within.max(1));
        if slots.is_empty() {
            return Err(Failure::Missing(format!("block {from}, or any above it")));
        }
        let starts_there = slots.first() == Some(&from);
        // The first is to prove that those before it were skipped; the links do it for the rest.
        let first = std::iter::once(At::Height(from));
        let rest = slots.iter().skip(1).map(|slot| At::Height(*slot));
        // A loop, since the compiler cannot see that a closure's future is Send here.
        let mut asked = Vec::with_capacity(slots.len());
        for (at, slot) in first.chain(rest).zip(slots.iter().copied()) {
            asked.push(self.ranged_in(provider, at, slot, watches));
        }
        let mut fetched = stream::iter(asked).buffered(AT_ONCE);
        let mut blocks = Vec::<Ranged>::with_capacity(slots.len());
        while let Some(next) = fetched.next().await {
            match next {
                Err(Failure::Missing(_)) if !blocks.is_empty() => break,
                Err(failure) if blocks.is_empty() && !starts_there => {
                    return Err(unless_cleaned_up(provider, from, failure).await);
                }
                next => {
                    let next = next?;
                    if let Some(before) = blocks.last() {
                        check_link(before, &next)?;
                    }
                    blocks.push(next);
                }
            }
        }
        Ok(blocks.into_iter().map(|ranged| ranged.block).collect())
    }

    /// The block at `slot`, which is to be the first from `at` on.
    async fn ranged_in(
        &self,
        provider: &Provider,
        at: At,
        slot: Height,
        watches: &WatchSet,
    ) -> Result<Ranged, Failure> {
        let wanted = Wanted::now(watches);
        let answer = calls::block(provider, slot, wanted.detail).await?;
        self.agreed(&Fetched { provider, answer, slot, at, wanted }, watches).await
    }

    async fn agreed(&self, fetched: &Fetched<'_>, watches: &WatchSet) -> Result<Ranged, Failure> {
        let ranged = self.read(fetched, &watches.view())?;
        self.agree_on(&ranged.block, fetched, watches).await?;
        Ok(ranged)
    }

    pub(crate) async fn fetch<'p>(
        &self,
        provider: &'p Provider,
        at: &At,
        wanted: Wanted,
    ) -> Result<Fetched<'p>, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let (slot, answer) = answer_at(provider, at, wanted.detail).await?;
        Ok(Fetched { provider, answer, slot, at: at.clone(), wanted })
    }

    /// What a block says and what is found in it, under one view of the watches.
    pub(crate) fn read(
        &self,
        fetched: &Fetched<'_>,
        view: &WatchView<'_>,
    ) -> Result<Ranged, Failure> {
        let Fetched { provider, answer, slot, at, wanted } = fetched;
        let raw = RawBlock::read(answer.decode()?, *slot, wanted.detail)?;
        check_place(&raw.header, at)?;
        let discriminates = view.wants_references();
        let found = scan::scan(&raw, wanted.detail, discriminates, &self.rules, view)?;
        // Who began to wait for a memo since it was asked for finds the block by backfill.
        let misses_memos = discriminates && wanted.detail != Detail::Full;
        let watches = if misses_memos { wanted.version } else { view.version() };
        let block = Block {
            header: raw.header,
            transfers: found.transfers,
            spends: Vec::new(),
            proof: Proof::Links,
            provider: Arc::from(provider.name()),
            examined: found.examined,
            watches,
        };
        Ok(Ranged { block, ordinal: raw.ordinal })
    }
}

/// How much of a block its watches need, as they stand before it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    detail: Detail,
    version: WatchVersion,
}

impl Wanted {
    fn now(watches: &WatchSet) -> Self {
        let view = watches.view();
        let detail = if view.wants_references() { Detail::Full } else { Detail::Accounts };
        Self { detail, version: view.version() }
    }
}

async fn header_at(provider: &Provider, slot: Height) -> Result<Header, Failure> {
    let answer = calls::block(provider, slot, Detail::Header).await?;
    Ok(RawBlock::read(answer.decode()?, slot, Detail::Header)?.header)
}

/// The block that is asked for, and its slot: for a height that has none, the first above it.
async fn answer_at(
    provider: &Provider,
    at: &At,
    detail: Detail,
) -> Result<(Height, Answer), Failure> {
    let slot = match at {
        At::Height(height) | At::Block { height, .. } => *height,
    };
    let missing = match calls::look(provider, slot, detail).await? {
        Shown::Block(answer) => return Ok((slot, answer)),
        Shown::CleanedUp(words) => return Err(Failure::Missing(words)),
        Shown::Nothing(words) => words,
    };
    if let At::Height(_) = at
        && let Some(first) = calls::slots(provider, slot, 1).await?.first().copied()
        && first > slot
    {
        return Ok((first, calls::block(provider, first, detail).await?));
    }
    Err(Failure::Missing(missing))
}

/// Why a provider's first block from `from` on is refused. One that keeps only later ones has told
/// no lie by naming the first of these.
async fn unless_cleaned_up(provider: &Provider, from: Height, failure: Failure) -> Failure {
    match &failure {
        Failure::Fault(fault) if fault.kind == FaultKind::Unproven => {}
        _ => return failure,
    }
    match calls::look(provider, from, Detail::Header).await {
        Ok(Shown::CleanedUp(words)) => Failure::Missing(words),
        _ => failure,
    }
}

/// Refuses a block that is not the one that was asked for.
fn check_place(header: &Header, at: &At) -> Result<(), Failure> {
    let Header { height, parent_height: parent, hash, .. } = header;
    match at {
        At::Height(from) if from == height || (parent < from && from < height) => Ok(()),
        At::Height(from) => Err(Failure::unproven(format!(
            "shows block {height}, which stands on {parent}, as the first from {from} on"
        ))),
        At::Block { hash: asked, .. } if asked == hash => Ok(()),
        // Another one stands there now.
        At::Block { hash: asked, .. } => Err(Failure::Missing(format!("block {asked}"))),
    }
}

/// Refuses a block that is not the one after `before` (F8, F10).
fn check_link(before: &Ranged, next: &Ranged) -> Result<(), Failure> {
    let (parent, header) = (&before.block.header, &next.block.header);
    let links = header.parent == parent.hash && header.parent_height == parent.height;
    let counts = match (before.ordinal, next.ordinal) {
        (Some(below), Some(above)) => below.checked_add(1) == Some(above),
        _ => true,
    };
    if links && counts && parent.time <= header.time {
        return Ok(());
    }
    let (slot, below) = (header.height, parent.height);
    Err(Failure::unproven(format!("block {slot} does not link to {below}, the one before it")))
}
