//! Many irreversible blocks at once.

use confirmd_chain::{At, Block, Height, Proof, WatchSet};
use confirmd_rpc::{Answer, CallError, Failure, Provider};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::block::Body;
use crate::config::{ReceiptEncoding, Verify};
use crate::logs::Log;
use crate::network::Evm;
use crate::transactions::Transactions;
use crate::{calls, credits};

/// How many blocks' receipts are fetched at once.
const AT_ONCE: usize = 4;

impl Evm {
    /// Blocks from `from` on up to `to`, each linked to the one before, as one provider shows and
    /// proves them. Stops before the first that the provider does not have.
    pub(crate) async fn range_from(
        &self,
        provider: &Provider,
        from: Height,
        to: Height,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, Failure> {
        let whole = self.config.native;
        let heights: Vec<Height> = (from.0..=to.0).map(Height).collect();
        let requests = heights.iter().map(|height| calls::block_at(*height, whole));
        let answers = provider.batch(&requests.collect::<Result<Vec<_>, _>>()?).await?;
        let answers = present(answers, from)?;
        let bodies = linked(&answers, &heights, whole)?;
        match (self.config.verify, self.encoding_at(from.0)) {
            (Verify::Receipts, Some(encoding)) => {
                // A loop, since the compiler cannot see that a closure's future is Send here.
                let mut blocks = Vec::with_capacity(bodies.len());
                for body in bodies {
                    blocks.push(self.ranged_by_receipts(provider, body, encoding, watches));
                }
                stream::iter(blocks).buffered(AT_ONCE).try_collect().await
            }
            _ => self.ranged_by_logs(provider, bodies, watches).await,
        }
    }

    async fn ranged_by_receipts(
        &self,
        provider: &Provider,
        mut body: Body<'_>,
        encoding: ReceiptEncoding,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        let whole = self.whole(provider, &mut body, Proof::Commitment).await?;
        self.trace(provider, &mut body, whole.as_ref(), watches).await?;
        if let Some(empty) = self.ruled_out(provider, &body, whole.as_ref(), watches) {
            return Ok(empty);
        }
        self.by_receipts(provider, body, whole, Some(encoding), watches).await
    }

    /// The block, where its proven bloom rules out that it holds a token transfer to a watched
    /// address, and its proven transactions that one sends coin to it.
    fn ruled_out(
        &self,
        provider: &Provider,
        body: &Body<'_>,
        whole: Option<&Transactions<'_>>,
        watches: &WatchSet,
    ) -> Option<Block> {
        let view = watches.view();
        let coin = whole.map(Transactions::as_slice).unwrap_or_default();
        let no_coin = !coin.iter().any(|transaction| credits::may_credit(transaction, &view))
            && !body.traces.transfers.iter().any(|moved| credits::is_internal_hit(moved, &view));
        let no_tokens =
            !self.config.zero_bloom && !self.blooms.may_hold_hit(&body.header.bloom, &view);
        (no_coin && no_tokens).then(|| {
            let examined = body.moves(whole);
            body.block(provider, examined, vec![], Proof::Commitment, view.version())
        })
    }

    async fn ranged_by_logs(
        &self,
        provider: &Provider,
        bodies: Vec<Body<'_>>,
        watches: &WatchSet,
    ) -> Result<Vec<Block>, Failure> {
        let (Some(first), Some(last)) = (bodies.first(), bodies.last()) else {
            return Ok(Vec::new());
        };
        let (first, last) = (first.header.number, last.header.number);
        let answer = match self.filter.is_empty() {
            true => None,
            false => Some(calls::logs_between(provider, first, last, &self.filter).await?),
        };
        let logs: Vec<Log<'_>> = match &answer {
            Some(answer) => answer.decode()?,
            None => Vec::new(),
        };
        let mut rest = logs.as_slice();
        let mut blocks = Vec::with_capacity(bodies.len());
        for body in bodies {
            let own = rest.iter().take_while(|log| log.block_number() == body.header.number);
            let (own, later) = rest.split_at(own.count());
            rest = later;
            blocks.push(self.by_logs(provider, body, own, watches).await?);
        }
        if rest.is_empty() {
            return Ok(blocks);
        }
        Err(Failure::unproven(format!("logs out of order or range between {first} and {last}")))
    }
}

/// The answers up to the first that is not there. None at all is no answer.
fn present(answers: Vec<Result<Answer, CallError>>, from: Height) -> Result<Vec<Answer>, Failure> {
    let mut present = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(answer) if !answer.is_null() => present.push(answer),
            Ok(_) | Err(CallError::Missing(_)) => break,
            Err(_) if !present.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    match present.is_empty() {
        true => Err(Failure::Missing(format!("block {from}"))),
        false => Ok(present),
    }
}

/// The blocks, each at its height and linked to the one before (F8).
fn linked<'a>(
    answers: &'a [Answer],
    heights: &[Height],
    whole: bool,
) -> Result<Vec<Body<'a>>, Failure> {
    let mut bodies = Vec::<Body<'_>>::with_capacity(answers.len());
    for (answer, height) in answers.iter().zip(heights) {
        let body = Body::read(answer, whole)?;
        body.check_place(&At::Height(*height))?;
        if bodies.last().is_some_and(|before| before.header.hash != body.header.parent) {
            return Err(Failure::unproven(format!(
                "block {height} does not link to the one before it"
            )));
        }
        bodies.push(body);
    }
    Ok(bodies)
}
