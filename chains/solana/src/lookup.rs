//! Where a transaction stands, as a provider says it.

use confirmd_chain::{At, ChainError, Inclusion, TransactionId};
use confirmd_rpc::{AskError, Failure, Provider};

use crate::calls;
use crate::network::Solana;

const SIGNATURE_BYTES: usize = 64;
/// The most characters that so many bytes have in base58.
const SIGNATURE_CHARACTERS: usize = 88;

/// Whether a text is a signature, by which a transaction is known.
fn is_signature(text: &str) -> bool {
    text.len() <= SIGNATURE_CHARACTERS
        && bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == SIGNATURE_BYTES)
}

impl Solana {
    /// Where a transaction stands, if anywhere.
    pub(crate) async fn inclusion(
        &self,
        id: &TransactionId,
    ) -> Result<Option<Inclusion>, ChainError> {
        if !is_signature(id.as_str()) {
            return Ok(None);
        }
        let asked =
            self.pool.ask(|provider| async move { self.inclusion_from(&provider, id).await });
        Ok(asked.await.map(Some).or_else(AskError::absent)?)
    }

    async fn inclusion_from(
        &self,
        provider: &Provider,
        id: &TransactionId,
    ) -> Result<Inclusion, Failure> {
        calls::check_chain(provider, &self.config).await?;
        let (slot, succeeded) = calls::transaction(provider, id).await?;
        let header = self.header_from(provider, &At::Height(slot)).await?;
        match header.height == slot {
            true => Ok(Inclusion { header, succeeded }),
            // Its branch is gone since.
            false => Err(Failure::Missing(format!("transaction {id}"))),
        }
    }
}
