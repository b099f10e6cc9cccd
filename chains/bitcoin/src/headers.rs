//! The headers that are known, linked: what a block's time and target are judged by.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use confirmd_chain::{BlockHash, Header, Height, Timestamp, Work};
use confirmd_rpc::{Failure, Provider};

use crate::config::BitcoinConfig;
use crate::header::RawHeader;
use crate::work::{Needs, Timed};
use crate::{Hash256, calls};

/// How many are kept: two periods of difficulty, and what a reorg takes.
const KEPT: usize = 6_000;
/// A block's time is the median of so many, its own the last of them.
pub(crate) const MEDIAN_OF: usize = 11;

/// A header in its place. Its own proof of work was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    hash: Hash256,
    parent: Hash256,
    timed: Timed,
    /// Whether its target is the one that its ancestors demand.
    is_due: bool,
}

/// Headers of the last time, by their hashes.
#[derive(Debug, Default)]
pub(crate) struct Headers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    links: HashMap<Hash256, Link>,
    /// The oldest first.
    order: VecDeque<Hash256>,
}

impl Known {
    fn insert(&mut self, link: Link) {
        if self.links.insert(link.hash, link).is_none() {
            self.order.push_back(link.hash);
        }
        while self.order.len() > KEPT {
            let Some(oldest) = self.order.pop_front() else { break };
            self.links.remove(&oldest);
        }
    }

    /// From `hash` down, as many as are known and asked for.
    fn down_from(&self, mut hash: Hash256, count: usize) -> Vec<Link> {
        let mut links = Vec::new();
        while links.len() < count
            && let Some(link) = self.links.get(&hash)
        {
            links.push(*link);
            if link.timed.height == 0 {
                break;
            }
            hash = link.parent;
        }
        links
    }
}

impl Headers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere cannot leave a map of plain values half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all: one of the heights was not what a provider said.
    pub(crate) fn forget(&self) {
        *self.lock() = Known::default();
    }

    /// The height of a block that is known.
    fn height_of(&self, hash: Hash256) -> Option<u64> {
        self.lock().links.get(&hash).map(|link| link.timed.height)
    }

    /// A header that was put in its place before.
    pub(crate) fn placed(&self, hash: Hash256) -> Option<Header> {
        let known = self.lock();
        let links = known.down_from(hash, MEDIAN_OF);
        let newest = *links.first().filter(|link| link.is_due)?;
        let reaches = links.len() == MEDIAN_OF || links.last()?.timed.height == 0;
        reaches.then(|| header(&newest, &links))
    }

    /// Proves that a header stands at this height: its work meets its target, its target is the
    /// one that its ancestors demand, and they link. Missing ancestors are asked of the provider.
    pub(crate) async fn place(
        &self,
        provider: &Provider,
        config: &BitcoinConfig,
        raw: &RawHeader,
        height: u64,
    ) -> Result<Header, Failure> {
        if let Some(placed) = self.placed(raw.hash) {
            return self.agree(placed.height.0, height, raw.hash).map(|()| placed);
        }
        let rules = &config.proof_of_work;
        raw.check_work(rules)?;
        if let Some(parent) = self.height_of(raw.parent) {
            self.agree(parent + 1, height, raw.hash)?;
        }
        let mut wanted = MEDIAN_OF - 1;
        let (before, bits) = loop {
            let before = self.ancestors(provider, config, raw, height, wanted).await?;
            let timed: Vec<Timed> = before.iter().map(|link| link.timed).collect();
            match rules.difficulty.required(rules.limit, height, raw.time, &timed) {
                Ok(bits) => break (before, bits),
                Err(Needs(more)) => wanted = more,
            }
        };
        if raw.bits != bits && rules.difficulty.is_known_at(height) {
            return Err(Failure::unproven(format!(
                "block {height} has the target {:08x} where {:08x} is due",
                raw.bits.0, bits.0
            )));
        }
        let timed = Timed { height, time: raw.time, bits: raw.bits };
        let link = Link { hash: raw.hash, parent: raw.parent, timed, is_due: true };
        self.lock().insert(link);
        let links: Vec<Link> = [link].into_iter().chain(before).take(MEDIAN_OF).collect();
        Ok(header(&link, &links))
    }

    /// Heights come from providers, until a block's own coinbase tells it. Where two disagree,
    /// nothing of it is kept: which of them is wrong cannot be told here.
    fn agree(&self, known: u64, said: u64, hash: Hash256) -> Result<(), Failure> {
        if known == said {
            return Ok(());
        }
        self.forget();
        Err(Failure::unproven(format!("block {hash} stands at height {known}, not at {said}")))
    }

    /// The `count` headers before one, the newest first; fewer only where the chain begins.
    async fn ancestors(
        &self,
        provider: &Provider,
        config: &BitcoinConfig,
        raw: &RawHeader,
        height: u64,
        count: usize,
    ) -> Result<Vec<Link>, Failure> {
        let all = usize::try_from(height).unwrap_or(usize::MAX).min(count);
        loop {
            let links = self.lock().down_from(raw.parent, all);
            if links.len() >= all {
                return Ok(links);
            }
            let (missing, at) = match links.last() {
                Some(last) => (last.parent, last.timed.height.saturating_sub(1)),
                None => (raw.parent, height.saturating_sub(1)),
            };
            self.fetch_down(provider, config, missing, at, all - links.len()).await?;
        }
    }

    /// Asks for the header `wanted` at height `at`, and for as many below it as belong to it.
    async fn fetch_down(
        &self,
        provider: &Provider,
        config: &BitcoinConfig,
        mut wanted: Hash256,
        at: u64,
        count: usize,
    ) -> Result<(), Failure> {
        let lowest = at.saturating_sub(count.saturating_sub(1) as u64);
        // Heights name the provider's own branch only; another one is walked header by header.
        let fetched = match calls::block_hashes(provider, (lowest..=at).rev()).await {
            Ok(hashes) if hashes.first() == Some(&wanted) => {
                calls::headers(provider, &hashes).await?
            }
            Ok(_) | Err(Failure::Missing(_)) => vec![calls::header(provider, wanted).await?],
            Err(failure) => return Err(failure),
        };
        for ((raw, _), height) in fetched.into_iter().zip((0..=at).rev()) {
            if raw.hash != wanted {
                return Err(Failure::unproven(format!("header {height} does not link")));
            }
            raw.check_work(&config.proof_of_work)?;
            let timed = Timed { height, time: raw.time, bits: raw.bits };
            let mut known = self.lock();
            let link = Link { hash: raw.hash, parent: raw.parent, timed, is_due: false };
            if !known.links.contains_key(&raw.hash) {
                known.insert(link);
            }
            wanted = raw.parent;
        }
        Ok(())
    }
}

/// As the contract has it; `links` are the block itself and those before it.
fn header(link: &Link, links: &[Link]) -> Header {
    let mut times: Vec<u32> = links.iter().map(|link| link.timed.time).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Header {
        height: Height(link.timed.height),
        hash: block_hash(&link.hash),
        parent: block_hash(&link.parent),
        parent_height: Height(link.timed.height).minus(1),
        time: Timestamp::from_seconds(u64::from(median)),
        mined_at: Timestamp::from_seconds(u64::from(link.timed.time)),
        work: Work::new(link.timed.bits.work()),
    }
}

/// The contract's text of a hash.
pub(crate) fn block_hash(hash: &Hash256) -> BlockHash {
    BlockHash::new(hash.to_string())
}
