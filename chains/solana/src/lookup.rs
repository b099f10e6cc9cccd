//! Where a transaction stands, as a provider says it.

use confirmd_chain::{At, Inclusion, TransactionId};
use confirmd_rpc::{Failure, Provider};

use crate::calls;
use crate::chain::Solana;

const SIGNATURE_BYTES: usize = 64;
/// The most characters that so many bytes have in base58.
const SIGNATURE_CHARACTERS: usize = 88;

/// Whether a text is a signature, by which a transaction is known.
pub(crate) fn is_signature(text: &str) -> bool {
    text.len() <= SIGNATURE_CHARACTERS
        && bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == SIGNATURE_BYTES)
}

impl Solana {
    pub(crate) async fn inclusion_from(
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
