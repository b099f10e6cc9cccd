//! What one of several providers names at some heights.

use alloy_primitives::B256;
use confirmd_chain::{At, BlockHash, Height};
use confirmd_rpc::{Answer, CallError, Failure, Names, Provider};

use crate::block::Body;
use crate::network::Evm;
use crate::{calls, header};

impl Evm {
    /// The time of a provider's newest block, and the blocks that it names.
    pub(crate) async fn names_of(
        &self,
        provider: &Provider,
        heights: &[Height],
    ) -> Result<Names, Failure> {
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
