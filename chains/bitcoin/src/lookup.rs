//! Where a transaction stands, as a provider says it.

use confirmd_chain::{Height, Inclusion};
use confirmd_rpc::{Failure, Provider};

use crate::network::Bitcoin;
use crate::{Hash256, calls};

/// How many of a transaction's outputs are looked for among those that are not spent.
const OUTPUTS: u32 = 8;

impl Bitcoin {
    /// A node with an index of transactions knows each; else one of ours is found in the block
    /// where it was seen, and any other as long as one of its first outputs is not spent.
    pub(crate) async fn inclusion_from(
        &self,
        provider: &Provider,
        id: Hash256,
    ) -> Result<Inclusion, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let missing = || Failure::Missing(format!("transaction {id}"));
        let mut told = calls::told(provider, id, None).await?;
        if told.is_none()
            && let Some(block) = self.recent.block_of(id)
        {
            told = calls::told(provider, id, Some(block)).await?;
        }
        let (block, height) = match told {
            // Of a block that lost its place, the index tells it without confirmations.
            Some(told) if told.confirmations > 0 => {
                let block: Hash256 = told
                    .blockhash
                    .and_then(|hash| hash.parse().ok())
                    .ok_or_else(|| Failure::malformed("a block whose hash is none"))?;
                (block, None)
            }
            Some(_) => return Err(missing()),
            None => {
                let found = calls::unspent(provider, id, OUTPUTS).await?.ok_or_else(missing)?;
                let best = found.bestblock.parse::<Hash256>();
                let best = best.map_err(|_| Failure::malformed("a block whose hash is none"))?;
                let best = self.header_of(provider, best, None).await?;
                let below = found.confirmations.saturating_sub(1);
                let height = best.height.0.checked_sub(below).ok_or_else(missing)?;
                (calls::block_hash(provider, height).await?, Some(Height(height)))
            }
        };
        let header = self.header_of(provider, block, height).await?;
        Ok(Inclusion { header, succeeded: true })
    }
}
