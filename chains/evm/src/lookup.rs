//! Where a transaction stands, as a provider says it.

use alloy_primitives::{B256, U64};
use confirmd_chain::{At, Height, Inclusion, TransactionId};
use confirmd_rpc::{CallError, Failure, Provider};
use serde::Deserialize;

use crate::calls;
use crate::header::block_hash;
use crate::network::Evm;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_hash: B256,
    block_number: U64,
    /// Receipts of before Byzantium have none.
    status: Option<U64>,
}

impl Evm {
    pub(crate) async fn inclusion_from(
        &self,
        provider: &Provider,
        id: &TransactionId,
    ) -> Result<Inclusion, Failure> {
        calls::check_chain(provider, self.config.chain_id).await?;
        let answer = provider.call("eth_getTransactionReceipt", (id.as_str(),)).await;
        let answer = answer.map_err(CallError::indivisible)?;
        if answer.is_null() {
            return Err(Failure::Missing(format!("transaction {id}")));
        }
        let receipt: Receipt = answer.decode()?;
        let height = Height(receipt.block_number.to());
        let at = At::Block { height, hash: block_hash(&receipt.block_hash) };
        let header = self.header_from(provider, &at).await?;
        let succeeded = receipt.status.is_none_or(|status| status == U64::from(1));
        Ok(Inclusion { header, succeeded })
    }
}
