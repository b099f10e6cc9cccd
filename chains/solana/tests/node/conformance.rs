//! The suite that every chain passes. The node knows no forks: that part of it is told on a cluster
//! of our own (`tests/conformance.rs`).

use async_trait::async_trait;
use confirmd_chain::conformance::{self, Subject};
use confirmd_chain::{Address, Amount, Asset, Chain, TransactionId};
use solana_keypair::Signer;
use solana_pubkey::Pubkey;
use xtask::surfpool::{SOL, pay_lamports};

use crate::support::{FEE, Node, address};

/// How many of the suite's addresses have coin from the start: a new account needs more to stand
/// than the suite pays.
const FUNDED: u64 = 64;

#[tokio::test]
async fn solana_on_a_real_node() {
    let node = Node::start().await;
    for n in 0..FUNDED {
        node.surfpool.airdrop(&owner(n), SOL).await.unwrap();
    }
    node.mine().await;
    conformance::run(&node).await;
}

/// The n-th owner.
fn owner(n: u64) -> Pubkey {
    let mut bytes = [0x5b; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Pubkey::new_from_array(bytes)
}

/// What has to be sent of a token with a fee for so much to arrive; the fee is rounded up.
fn before_fee(arriving: u64) -> u64 {
    let fee = |sent: u64| (sent * u64::from(FEE.basis_points)).div_ceil(10_000);
    (arriving..).find(|sent| sent - fee(*sent) == arriving).unwrap()
}

#[async_trait]
impl Subject for Node {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn assets(&self) -> Vec<Asset> {
        vec![self.usdc(), self.taxed(), Asset::Native]
    }

    fn address(&self, n: u64) -> Address {
        address(&owner(n))
    }

    fn private_keys(&self) -> Vec<String> {
        let pair = self.buyer.to_bytes();
        let file = format!("[{}]", pair.map(|byte| byte.to_string()).join(","));
        vec![file, self.buyer.to_base58_string()]
    }

    async fn mine(&self, blocks: u64) {
        self.surfpool.mine(blocks).await.unwrap();
    }

    async fn pay(&self, asset: &Asset, to: &Address, amount: Amount) -> TransactionId {
        let to: Pubkey = to.as_str().parse().unwrap();
        let units = u64::try_from(amount.base_units()).unwrap();
        let paid = match asset {
            Asset::Native => {
                let payment = pay_lamports(&self.buyer.pubkey(), &to, units);
                self.surfpool.send(&[payment], &[&self.buyer]).await
            }
            token if *token == self.usdc() => self.usdc.pay(&self.buyer, &to, units).await,
            _ => self.taxed.pay(&self.buyer, &to, before_fee(units)).await,
        };
        Node::mine(self).await;
        TransactionId::new(paid.unwrap())
    }

    async fn reorg(&self, _: u64) -> bool {
        false
    }
}
