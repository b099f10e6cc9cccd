//! What several providers say of the same height.

use alloy_primitives::B256;
use confirmd_chain::{At, BlockHash, Header, Height, Timestamp, Witness};
use confirmd_rpc::{Answer, CallError, Failure, Fault, FaultKind, Provider};
use futures_util::future::join_all;

use crate::block::Body;
use crate::chain::Evm;
use crate::{calls, header};

impl Evm {
    /// Holds a block that one provider proved against what the others name at its height. Those
    /// that name another one, where enough name this one, are put aside.
    pub(crate) async fn check_quorum(
        &self,
        header: &Header,
        proven_by: &Provider,
    ) -> Result<(), Failure> {
        let (height, hash, quorum) = (header.height, &header.hash, self.quorum);
        let mut agreed = vec![proven_by.name().to_owned()];
        let (mut differ, mut silent) = (Vec::new(), Vec::new());
        for provider in self.pool.order() {
            if agreed.len() >= quorum {
                break;
            }
            let name = provider.name().to_owned();
            if name == proven_by.name() || !provider.status().healthy {
                continue;
            }
            match self.header_from(&provider, &At::Height(height)).await {
                Ok(theirs) if theirs.hash == *hash => agreed.push(name),
                Ok(theirs) => differ.push((name, theirs.hash)),
                Err(failure) => silent.push((name, failure)),
            }
        }
        if agreed.len() >= quorum {
            for (name, theirs) in differ {
                let words =
                    format!("names {theirs} at {height}, {} name {hash}", agreed.join(", "));
                self.pool.accuse(&name, &Fault::new(FaultKind::Forked, words));
            }
            return Ok(());
        }
        let lacks = |(_, failure): &(String, Failure)| matches!(failure, Failure::Missing(_));
        let is_early = differ.is_empty() && !silent.is_empty() && silent.iter().all(lacks);
        let differ = differ.into_iter().map(|(name, hash)| format!("{name} names {hash}"));
        let silent = silent.into_iter().map(|(name, failure)| format!("{name}: {failure}"));
        let others: Vec<String> = differ.chain(silent).collect();
        let words = format!(
            "block {height}: {quorum} providers have to name {hash}, so far {}; {}",
            agreed.join(", "),
            others.join("; ")
        );
        Err(if is_early { Failure::Missing(words) } else { Failure::Contested(words) })
    }

    /// What each provider names at these heights, the one that is asked first before the others;
    /// also of those that are put aside, unless they asked for it.
    pub(crate) async fn ask_witnesses(&self, heights: &[Height]) -> Vec<Witness> {
        let order = self.pool.order();
        let able = order.iter().filter(|provider| !provider.is_resting());
        let asked = able.map(|provider| self.witness(provider, heights));
        join_all(asked).await
    }

    async fn witness(&self, provider: &Provider, heights: &[Height]) -> Witness {
        let said = self.names(provider, heights).await;
        let (newest, names) = said.unwrap_or_else(|_| (Timestamp(0), vec![None; heights.len()]));
        Witness { provider: provider.name().to_owned(), newest, names }
    }

    /// The time of a provider's newest block, and the blocks that it names.
    async fn names(
        &self,
        provider: &Provider,
        heights: &[Height],
    ) -> Result<(Timestamp, Vec<Option<BlockHash>>), Failure> {
        calls::check_chain(provider, self.config.chain_id).await?;
        let mut requests = vec![calls::latest()?];
        for height in heights {
            requests.push(calls::block_at(*height, false)?);
        }
        let mut answers = provider.batch(&requests).await?.into_iter();
        let newest = answers.next().ok_or_else(|| Failure::malformed("no answer"))??;
        let (newest, _) = header::read::<B256>(newest.json()?)?;
        let names = answers.zip(heights).map(|(answer, height)| named(answer, *height));
        Ok((newest.to_chain().time, names.collect()))
    }
}

/// The hash of the block that an answer shows at a height, once it is proven.
fn named(answer: Result<Answer, CallError>, height: Height) -> Option<BlockHash> {
    let answer = answer.ok().filter(|answer| !answer.is_null())?;
    let body = Body::read(&answer, false).ok()?;
    body.check_place(&At::Height(height)).ok()?;
    Some(header::block_hash(&body.header.hash))
}
