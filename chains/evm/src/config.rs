//! What is true of one EVM network, as the registry says it.

use confirmd_chain::{Address, Height};
use serde::{Deserialize, Serialize};

/// One EVM network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvmConfig {
    /// The registry's id, for messages.
    pub network: String,
    /// The EVM chain id that every provider must name.
    pub chain_id: u64,
    /// Which blocks the network calls irreversible.
    pub finality: Finality,
    /// How receipts hash to the receipts root; none where it is not known.
    pub receipts: Option<ReceiptEncoding>,
    /// The lowest height at which [`Verify::Receipts`] holds. Below it nodes may show transactions
    /// and receipts that the header does not commit to.
    pub verify_from: Height,
    /// How a block's transfers are known to be complete.
    pub verify: Verify,
    /// The token contracts whose transfers count.
    pub tokens: Vec<Address>,
    /// Whether the network's headers carry an empty bloom whatever logs they have.
    pub zero_bloom: bool,
    /// Whether transfers of the native coin are looked for.
    pub native: bool,
    /// Whose events name a payment's reference.
    pub fee_proxies: FeeProxies,
    /// Whether native coin that contracts send is looked for, where native coin is.
    pub traces: Traces,
}

/// Whether call traces are used. They cost a call a block, and show native coin that contracts
/// send; nothing else does, and nothing proves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Traces {
    /// No.
    Never,
    /// From the first provider on that shows them. Then a block without them is not taken.
    #[default]
    WhereOffered,
    /// A block without them is not taken.
    Always,
}

/// Request Network's fee proxy contracts on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeeProxies {
    /// `ERC20FeeProxy`.
    pub erc20: Option<Address>,
    /// `EthereumFeeProxy`, for the native coin.
    pub native: Option<Address>,
}

/// Which blocks are irreversible: `{ tag = "finalized" }` or `{ depth = 64 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finality {
    /// Those up to the block with this tag.
    Tag(Tag),
    /// Those with so many blocks on them.
    Depth(u64),
}

/// A block tag that providers keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tag {
    /// Cannot be reverted without slashing a third of the stake.
    Finalized,
    /// Unlikely to be reverted.
    Safe,
}

impl Tag {
    /// As the RPC has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finalized => "finalized",
            Self::Safe => "safe",
        }
    }
}

/// How a network encodes receipts for the receipts root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptEncoding {
    /// EIP-2718 over the yellow paper's four fields.
    Ethereum,
    /// The OP stack's, with nonce and version of deposits.
    Optimism,
    /// Arbitrum Nitro's: Ethereum's four fields, whatever else a receipt shows (`gasUsedForL1`).
    Arbitrum,
}

/// How a block's transfers are known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// All receipts are fetched and the receipts root rebuilt.
    Receipts,
    /// Logs are queried, and emptiness held against the header's bloom.
    Logs,
}

impl Verify {
    /// As the configuration and the status have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receipts => "receipts",
            Self::Logs => "logs",
        }
    }
}

impl ReceiptEncoding {
    /// As the registry has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ethereum => "ethereum",
            Self::Optimism => "optimism",
            Self::Arbitrum => "arbitrum",
        }
    }
}

impl EvmConfig {
    /// Why the network cannot be followed as configured, if it cannot.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let unknown = self.verify == Verify::Receipts && self.receipts.is_none();
        let network = &self.network;
        unknown.then(|| {
            format!(
                "{network}: verify = \"receipts\" needs to know how the network encodes receipts; \
                 use verify = \"logs\""
            )
        })
    }
}
