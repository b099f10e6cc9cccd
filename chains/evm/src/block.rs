//! One block: by its receipts, or by its logs.

use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;
use confirmd_chain::{At, Block, Height, Proof, WatchSet, WatchVersion, WatchView};
use confirmd_rpc::{Answer, Failure, Provider};

use crate::config::{ReceiptEncoding, Verify};
use crate::credits::{self, Credit};
use crate::header::{self, ProvenHeader};
use crate::logs::{self, Log};
use crate::network::Evm;
use crate::receipts::{self, Receipt};
use crate::traces::BlockTraces;
use crate::transactions::{self, Transaction, Transactions};
use crate::{Refusal, calls};

/// A block as `eth_getBlockBy…` answered it, its header proven.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) header: ProvenHeader,
    /// The hashes of its transactions, in order, as claimed.
    hashes: Vec<B256>,
    /// Its transactions, where they were asked for whole; [`Evm::whole`] takes and proves them.
    whole: Option<Vec<Transaction<'a>>>,
    /// What its call traces show, where they are used; [`Evm::trace`] asks for them.
    pub(crate) traces: BlockTraces,
    /// Where the traces were left out since nobody waited for anything: the watches' version then.
    pub(crate) nobody_as_of: Option<WatchVersion>,
}

/// What a provider's answer says at first sight.
enum FirstLook {
    /// Nothing for us.
    Nothing(WatchVersion),
    /// These transactions, by their place in the block, are to be looked at.
    Hits(WatchVersion, Vec<usize>),
    /// No logs, where the bloom says that there may be some for us (F1, F2).
    Doubtful,
}

impl<'a> Body<'a> {
    pub(crate) fn read(answer: &'a Answer, whole: bool) -> Result<Self, Refusal> {
        if !whole {
            let (header, hashes) = header::read(answer.json()?)?;
            return Ok(Self::new(header, hashes, None));
        }
        let (header, list) = header::read::<Transaction<'_>>(answer.json()?)?;
        let hashes = list.iter().map(|transaction| transaction.hash).collect();
        Ok(Self::new(header, hashes, Some(list)))
    }

    fn new(header: ProvenHeader, hashes: Vec<B256>, whole: Option<Vec<Transaction<'a>>>) -> Self {
        Self { header, hashes, whole, traces: BlockTraces::default(), nobody_as_of: None }
    }

    /// Refuses a block that is not the one that was asked for.
    pub(crate) fn check_place(&self, at: &At) -> Result<(), Refusal> {
        let agrees = match at {
            At::Height(height) => self.header.number == height.0,
            At::Block { height, hash } => {
                self.header.number == height.0 && self.header.hash.to_string() == hash.as_str()
            }
        };
        if agrees {
            return Ok(());
        }
        Err(Refusal::unproven(format!("answers with block {} for another", self.header.number)))
    }

    /// How many movements of native coin it shows, by transactions and calls.
    pub(crate) fn moves(&self, whole: Option<&Transactions<'_>>) -> usize {
        whole.map_or(0, |list| list.as_slice().len()) + self.traces.transfers.len()
    }

    /// The block with these credits, decoded for the watches of this version.
    pub(crate) fn block(
        &self,
        provider: &Provider,
        examined: usize,
        mut credits: Vec<Credit>,
        proof: Proof,
        watches: WatchVersion,
    ) -> Block {
        let watches = self.nobody_as_of.map_or(watches, |version| version.min(watches));
        credits.sort_by(Credit::in_order);
        let transfers = credits.into_iter().map(Credit::into_transfer).collect();
        let (header, spends) = (self.header.to_chain(), Vec::new());
        let (provider, examined) = (provider.name().into(), examined as u64);
        Block { header, transfers, spends, proof, provider, examined, watches }
    }
}

impl Evm {
    /// A block with its transfers, as one provider shows and proves it.
    pub(crate) async fn block_from(
        &self,
        provider: &Provider,
        at: &At,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        let answer = calls::block(provider, at, self.config.native).await?;
        let mut body = Body::read(&answer, self.config.native)?;
        body.check_place(at)?;
        match self.encoding_at(body.header.number) {
            Some(encoding) if self.config.verify == Verify::Receipts => {
                let whole = self.whole(provider, &mut body, Proof::Commitment).await?;
                self.trace(provider, &mut body, whole.as_ref(), watches).await?;
                self.by_receipts(provider, body, whole, Some(encoding), watches).await
            }
            _ => {
                let answer = self.logs_answer(provider, &body.header).await?;
                let logs = match &answer {
                    Some(answer) => answer.decode::<Vec<Log<'_>>>()?,
                    None => Vec::new(),
                };
                self.by_logs(provider, body, &logs, watches).await
            }
        }
    }

    /// The encoding by which the receipts root of a block at this height can be rebuilt.
    pub(crate) fn encoding_at(&self, height: u64) -> Option<ReceiptEncoding> {
        self.config.receipts.filter(|_| self.is_committed(height))
    }

    /// Whether headers of this height commit to all that nodes show.
    fn is_committed(&self, height: u64) -> bool {
        Height(height) >= self.config.verify_from
    }

    async fn logs_answer(
        &self,
        provider: &Provider,
        header: &ProvenHeader,
    ) -> Result<Option<Answer>, Failure> {
        if self.filter.is_empty() || header.receipts_root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        calls::logs_of(provider, &header.hash, &self.filter).await.map(Some)
    }

    /// A block from all its receipts. With an encoding the receipts root is rebuilt; without one
    /// the logs must add up to the bloom.
    pub(crate) async fn by_receipts(
        &self,
        provider: &Provider,
        body: Body<'_>,
        whole: Option<Transactions<'_>>,
        encoding: Option<ReceiptEncoding>,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        // The empty root proves that there are no receipts.
        let answer = match body.header.receipts_root == EMPTY_ROOT_HASH {
            true => None,
            false => Some(calls::receipts(provider, &body.header.hash).await?),
        };
        let receipts = match &answer {
            // Null is never an empty list (F4).
            Some(answer) => answer.decode()?,
            None => Vec::new(),
        };
        receipts::check_order(&body.header, &body.hashes, &receipts)?;
        match encoding {
            Some(encoding) => receipts::prove(&body.header, &receipts, encoding)?,
            None if self.is_committed(body.header.number) => {
                receipts::explain_bloom(&body.header, &receipts)?;
            }
            None => receipts::cover_bloom(&body.header, &receipts)?,
        }
        let proven = encoding.is_some() && whole.as_ref().is_none_or(Transactions::are_proven);
        let proof = if proven { Proof::Commitment } else { Proof::Logs };
        let (version, credits) = self.decode(&receipts, whole.as_ref(), &body.traces, watches)?;
        if proven && !credits.is_empty() {
            match &whole {
                Some(list) => check_hashes(list, &credits)?,
                None => self.prove_hashes(provider, &body.header, &credits).await?,
            }
        }
        let logs = receipts.iter().map(|receipt| receipt.logs.len()).sum::<usize>();
        let examined = logs + body.moves(whole.as_ref());
        Ok(body.block(provider, examined, credits, proof, version))
    }

    /// The credits of these receipts, and of the transactions where native coin is looked for.
    /// One view of the watches, so that the version holds for both.
    fn decode(
        &self,
        receipts: &[Receipt<'_>],
        whole: Option<&Transactions<'_>>,
        traces: &BlockTraces,
        watches: &WatchSet,
    ) -> Result<(WatchVersion, Vec<Credit>), Refusal> {
        let view = watches.view();
        let mut credits = credits::of_receipts(receipts, &self.sources, &view)?;
        let succeeded = receipts.iter().filter(|receipt| receipt.succeeded());
        for receipt in succeeded {
            let at = usize::try_from(receipt.index()).unwrap_or(usize::MAX);
            if traces.failed.binary_search(&at).is_ok() {
                return Err(Refusal::unproven(format!(
                    "the trace of {} has it fail, its receipt succeed",
                    receipt.transaction_hash
                )));
            }
            let moved = traces.of(at).filter(|moved| credits::is_internal_hit(moved, &view));
            let internal =
                credits::of_internal(receipt.transaction_hash, moved, &credits, &self.sources);
            credits.extend(internal);
            if let Some(whole) = whole {
                credits.extend(native_credit(whole, at, &view)?);
            }
        }
        Ok((view.version(), credits))
    }

    /// Proves the hashes of the transactions with credits: receipts do not commit to them.
    async fn prove_hashes(
        &self,
        provider: &Provider,
        header: &ProvenHeader,
        credits: &[Credit],
    ) -> Result<(), Failure> {
        let at = header.to_chain().at();
        let answer = calls::block(provider, &at, true).await?;
        let mut body = Body::read(&answer, true)?;
        body.check_place(&at)?;
        match self.whole(provider, &mut body, Proof::Commitment).await? {
            Some(list) => Ok(check_hashes(&list, credits)?),
            None => Err(Failure::malformed("a block without transactions")),
        }
    }

    /// The block's transactions, held against their root. Where the block itself is only known by
    /// its logs, those of a type that this version cannot encode, or that may stand outside the
    /// root, leave the list as it is said to be.
    pub(crate) async fn whole<'a>(
        &self,
        provider: &Provider,
        body: &mut Body<'a>,
        proof: Proof,
    ) -> Result<Option<Transactions<'a>>, Failure> {
        let Some(list) = body.whole.take() else { return Ok(None) };
        let provable = self.is_committed(body.header.number) && transactions::all_known(&list);
        if proof == Proof::Logs && !provable {
            return Ok(Some(Transactions::as_said(list)));
        }
        let opaque = transactions::opaque(&list, self.config.native)?;
        let answers = calls::raw_transactions(provider, &body.header.hash, &opaque).await?;
        let raw: Vec<&str> = answers.iter().map(Answer::decode).collect::<Result<_, _>>()?;
        let raw: Vec<(usize, &str)> = opaque.into_iter().zip(raw).collect();
        Ok(Some(Transactions::prove(&body.header, list, &raw)?))
    }

    /// A block from its logs, each hit held against its transaction's receipt.
    pub(crate) async fn by_logs(
        &self,
        provider: &Provider,
        mut body: Body<'_>,
        logs: &[Log<'_>],
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        logs::check_order(&body.header, &body.hashes, logs)?;
        self.check_filter(&body.header, logs)?;
        let whole = self.whole(provider, &mut body, Proof::Logs).await?;
        self.trace(provider, &mut body, whole.as_ref(), watches).await?;
        let examined = logs.len() + body.moves(whole.as_ref());
        let (version, hits) = match self.look(&body, logs, whole.as_ref(), watches) {
            FirstLook::Nothing(version) => {
                return Ok(body.block(provider, examined, vec![], Proof::Logs, version));
            }
            FirstLook::Hits(version, hits) => (version, hits),
            FirstLook::Doubtful => return self.settle_doubt(provider, body, whole, watches).await,
        };
        let hashes: Vec<B256> =
            hits.iter().filter_map(|at| body.hashes.get(*at).copied()).collect();
        let answers = calls::transaction_receipts(provider, &hashes).await?;
        let receipts: Vec<Receipt<'_>> =
            answers.iter().map(Answer::decode).collect::<Result<_, _>>()?;
        for ((receipt, at), hash) in receipts.iter().zip(&hits).zip(&hashes) {
            receipt.belongs_to(&body.header, *at as u64, hash)?;
            self.check_agreement(receipt, logs)?;
        }
        let (_, credits) = self.decode(&receipts, whole.as_ref(), &body.traces, watches)?;
        Ok(body.block(provider, examined, credits, Proof::Logs, version))
    }

    fn look(
        &self,
        body: &Body<'_>,
        logs: &[Log<'_>],
        whole: Option<&Transactions<'_>>,
        watches: &WatchSet,
    ) -> FirstLook {
        let view = watches.view();
        let bloom_counts = !self.config.zero_bloom && logs.is_empty();
        if bloom_counts && self.blooms.may_hold_hit(&body.header.bloom, &view) {
            return FirstLook::Doubtful;
        }
        let of_logs = logs.iter().filter(|log| self.sources.is_hit(log, &view));
        let of_logs = of_logs.filter_map(|log| usize::try_from(log.transaction_index()).ok());
        let whole = whole.map(Transactions::as_slice).unwrap_or_default().iter().enumerate();
        let of_values = whole.filter(|(_, tx)| credits::may_credit(tx, &view)).map(|(at, _)| at);
        let of_calls = body.traces.transfers.iter();
        let of_calls = of_calls.filter(|moved| credits::is_internal_hit(moved, &view));
        let of_calls = of_calls.map(|moved| moved.at);
        let mut hits: Vec<usize> = of_logs.chain(of_values).chain(of_calls).collect();
        hits.sort_unstable();
        hits.dedup();
        match hits.is_empty() {
            true => FirstLook::Nothing(view.version()),
            false => FirstLook::Hits(view.version(), hits),
        }
    }

    /// The answer holds no logs, though the bloom says that there may be some for us: the receipts
    /// decide. A provider without them cannot prove its emptiness.
    async fn settle_doubt(
        &self,
        provider: &Provider,
        body: Body<'_>,
        whole: Option<Transactions<'_>>,
        watches: &WatchSet,
    ) -> Result<Block, Failure> {
        let (number, encoding) = (body.header.number, self.encoding_at(body.header.number));
        match self.by_receipts(provider, body, whole, encoding, watches).await {
            Err(Failure::Unsupported(_)) => Err(Failure::unproven(format!(
                "no logs in block {number}, whose bloom says that there may be some, and \
                 eth_getBlockReceipts is not there to settle it"
            ))),
            settled => settled,
        }
    }

    /// Refuses logs that were not asked for, or that the header's bloom rules out.
    fn check_filter(&self, header: &ProvenHeader, logs: &[Log<'_>]) -> Result<(), Refusal> {
        let ruled_out = !logs.is_empty()
            && !self.config.zero_bloom
            && self.is_committed(header.number)
            && !self.blooms.may_hold_credit(&header.bloom);
        if ruled_out || !logs.iter().all(|log| self.sources.credits(log)) {
            return Err(Refusal::unproven(format!(
                "logs in block {} that were not asked for, or that its bloom rules out",
                header.number
            )));
        }
        Ok(())
    }

    /// Holds the logs of a transaction against its receipt: each has what the other has.
    fn check_agreement(&self, receipt: &Receipt<'_>, logs: &[Log<'_>]) -> Result<(), Refusal> {
        let in_answer = logs.iter().filter(|log| log.transaction_index() == receipt.index());
        let in_receipt = receipt.logs.iter().filter(|log| self.sources.credits(log));
        if in_answer.eq(in_receipt) {
            return Ok(());
        }
        Err(Refusal::unproven(format!(
            "the logs of transaction {} do not agree with its receipt",
            receipt.transaction_hash
        )))
    }
}

/// Refuses credits whose transaction does not stand, by its proven hash, where they say.
fn check_hashes(list: &Transactions<'_>, credits: &[Credit]) -> Result<(), Refusal> {
    for credit in credits {
        let transaction = list.get(usize::try_from(credit.at).unwrap_or(usize::MAX))?;
        if transaction.hash != credit.transaction {
            return Err(Refusal::unproven(format!(
                "a receipt names transaction {}, where {} stands",
                credit.transaction, transaction.hash
            )));
        }
    }
    Ok(())
}

/// The native credit of the transaction at this place, which succeeded.
fn native_credit(
    whole: &Transactions<'_>,
    at: usize,
    view: &WatchView<'_>,
) -> Result<Option<Credit>, Refusal> {
    if !whole.as_slice().get(at).is_some_and(|tx| credits::may_credit(tx, view)) {
        return Ok(None);
    }
    credits::of_value(at as u64, whole.get(at)?)
}
