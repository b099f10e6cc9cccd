//! What several providers say of the same slot. No hash proves what a block shows of its
//! transactions, so that two providers agree on a block is worth more here than elsewhere.

use confirmd_chain::{At, BlockHash, Header, Height, Timestamp, Witness};
use confirmd_rpc::{Failure, Fault, FaultKind, Provider};
use futures_util::future::join_all;

use crate::chain::Solana;

impl Solana {
    /// Holds a block that one provider showed against what the others name at its slot. Those that
    /// name another one, where enough name this one, are put aside.
    pub(crate) async fn check_quorum(
        &self,
        header: &Header,
        shown_by: &Provider,
    ) -> Result<(), Failure> {
        let (height, hash, quorum) = (header.height, &header.hash, self.quorum);
        let mut agreed = vec![shown_by.name().to_owned()];
        let (mut differ, mut silent) = (Vec::new(), Vec::new());
        for provider in self.pool.order() {
            if agreed.len() >= quorum {
                break;
            }
            let name = provider.name().to_owned();
            if name == shown_by.name() || !provider.status().healthy {
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

    /// What each provider names at these slots, the one that is asked first before the others; also
    /// of those that are put aside, unless they asked for it.
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

    /// The time of a provider's newest block, and the blocks that it names; none at a slot that it
    /// proves to be skipped.
    async fn names(
        &self,
        provider: &Provider,
        heights: &[Height],
    ) -> Result<(Timestamp, Vec<Option<BlockHash>>), Failure> {
        let newest = self.heads_from(provider).await?.latest.time;
        let mut names = Vec::with_capacity(heights.len());
        for height in heights {
            let header = self.header_from(provider, &At::Height(*height)).await.ok();
            let header = header.filter(|header| header.height == *height);
            names.push(header.map(|header| header.hash));
        }
        Ok((newest, names))
    }
}
