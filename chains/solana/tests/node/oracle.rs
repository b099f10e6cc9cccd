//! The reference client recounts what blocks credit.

use std::collections::BTreeMap;

use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_types::config::RpcBlockConfig;
use solana_transaction_status_client_types::{
    EncodedTransactionWithStatusMeta, TransactionDetails, UiLoadedAddresses, UiTransactionEncoding,
    UiTransactionTokenBalance,
};

/// A transaction, who gets what in it, and how much in all.
pub(crate) type Credits = BTreeMap<(String, String, String), u64>;

/// What every block from `from` to `to` credits to these owners: of the registered mints by what
/// all accounts of an owner hold more than before, of the native coin by what the owner's own
/// account does, less what its token accounts gave back.
pub(crate) async fn recount(
    url: &str,
    (from, to): (u64, u64),
    owners: &[Pubkey],
    mints: &[Pubkey],
) -> Credits {
    let client = RpcClient::new(url.to_owned());
    let how = RpcBlockConfig {
        encoding: Some(UiTransactionEncoding::Base64),
        transaction_details: Some(TransactionDetails::Full),
        rewards: Some(false),
        commitment: Some(CommitmentConfig::confirmed()),
        max_supported_transaction_version: Some(0),
    };
    let mut credits = Credits::new();
    for slot in from..=to {
        let block = client.get_block_with_config(slot, how).await.unwrap();
        for transaction in block.transactions.unwrap() {
            let told = Told::of(transaction);
            if told.failed {
                continue;
            }
            for owner in owners.iter().map(ToString::to_string) {
                let mints = mints.iter().map(ToString::to_string);
                let tokens = mints.map(|mint| (told.of_token(&owner, &mint), mint));
                for (amount, asset) in tokens.chain([(told.of_coin(&owner), "SOL".to_owned())]) {
                    if amount > 0 {
                        let key = (told.id.clone(), owner.clone(), asset);
                        credits.insert(key, u64::try_from(amount).unwrap());
                    }
                }
            }
        }
    }
    credits
}

/// One transaction as the client decodes it.
struct Told {
    id: String,
    failed: bool,
    keys: Vec<String>,
    coin: [Vec<u64>; 2],
    tokens: [Vec<UiTransactionTokenBalance>; 2],
}

impl Told {
    fn of(shown: EncodedTransactionWithStatusMeta) -> Self {
        let (meta, transaction) = (shown.meta.unwrap(), shown.transaction.decode().unwrap());
        let keys = transaction.message.static_account_keys().iter().map(ToString::to_string);
        let loaded: Option<UiLoadedAddresses> = meta.loaded_addresses.into();
        let loaded = loaded.map(|loaded| [loaded.writable, loaded.readonly].concat());
        let tokens = [meta.pre_token_balances, meta.post_token_balances];
        Self {
            id: transaction.signatures[0].to_string(),
            failed: meta.err.is_some(),
            keys: keys.chain(loaded.into_iter().flatten()).collect(),
            coin: [meta.pre_balances, meta.post_balances],
            tokens: tokens.map(|balances| Option::from(balances).unwrap_or_default()),
        }
    }

    fn of_token(&self, owner: &str, mint: &str) -> i128 {
        let [before, after] = [0, 1].map(|at| {
            let owned = self.tokens[at].iter().filter(|balance| {
                let owned_by: Option<String> = balance.owner.clone().into();
                owned_by.as_deref() == Some(owner) && balance.mint == mint
            });
            let amount = |balance: &UiTransactionTokenBalance| {
                balance.ui_token_amount.amount.parse::<i128>().unwrap()
            };
            owned.map(amount).sum::<i128>()
        });
        after - before
    }

    fn of_coin(&self, owner: &str) -> i128 {
        let rise = |n: usize| i128::from(self.coin[1][n]) - i128::from(self.coin[0][n]);
        let Some(own) = self.keys.iter().position(|key| key == owner) else { return 0 };
        let returned = self.tokens[0].iter().filter(|balance| {
            let owned_by: Option<String> = balance.owner.clone().into();
            owned_by.as_deref() == Some(owner)
        });
        let returned = returned.map(|balance| rise(usize::from(balance.account_index)).min(0));
        rise(own) + returned.sum::<i128>()
    }
}
