//! Blocks: visited without being built, and proven by the merkle root.

use confirmd_chain::{
    Amount, Asset, Confirmations, Spend, TransactionId, Transfer, TransferId, TransferIndex,
    WatchKey, WatchView,
};

use crate::bytes::Reader;
use crate::config::BitcoinConfig;
use crate::hash::merkle_root;
use crate::header::RawHeader;
use crate::script::{self, Data, Script};
use crate::transaction::Transaction;
use crate::{Hash256, Refusal};

/// What hit a watch, and the header that commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The header. That it is of this network, and stands where it should, is for others to prove.
    pub header: RawHeader,
    /// The transfers to watched scripts, in the order of the block.
    pub transfers: Vec<Transfer>,
    /// The watched outpoints that are spent, in the order of the block.
    pub spends: Vec<Spend>,
    /// How many outputs were held against the watches.
    pub examined: u64,
    /// The script of the coinbase's input, at the beginning of which the height stands.
    coinbase: Vec<u8>,
}

/// Reads a whole block, and nothing behind it. Its transactions are exactly those that its header
/// commits to, so none was hidden, added or changed; but for their witnesses, which credit nothing.
///
/// That a node of the merkle tree is shown as a transaction is ruled out as well: both have 64
/// bytes to a hash, but the first would have to be a coinbase, whose zeros are no hash.
///
/// # Errors
/// When the block cannot be read, or its transactions are not its header's.
pub fn scan(
    bytes: &[u8],
    config: &BitcoinConfig,
    watches: &WatchView<'_>,
) -> Result<Scanned, Refusal> {
    let mut reader = Reader::new(bytes);
    let header = RawHeader::take(&mut reader)?;
    let count = reader.count()?;
    // What is announced may be a lie: no transaction is shorter than 60 bytes.
    let mut ids = Vec::with_capacity(count.min(bytes.len() / 60));
    let mut found = Found::default();
    let mut coinbase = Vec::new();
    for position in 0..count {
        let transaction = Transaction::read(&mut reader)?;
        if transaction.is_coinbase() != (position == 0) {
            return Err(Refusal::unproven("a block has one coinbase, its first transaction"));
        }
        if position == 0 {
            coinbase = transaction.inputs().flat_map(|input| input.script.to_vec()).collect();
        }
        let id = transaction.id();
        found.look(&transaction, id, config, watches);
        ids.push(id);
    }
    if !reader.is_empty() {
        return Err(Refusal::malformed("bytes behind the block"));
    }
    if merkle_root(ids) != Some(header.merkle_root) {
        return Err(Refusal::unproven(format!(
            "the transactions of block {} do not hash to its merkle root",
            header.hash
        )));
    }
    let Found { transfers, spends, examined } = found;
    Ok(Scanned { header, transfers, spends, examined, coinbase })
}

impl Scanned {
    /// Holds the height that the coinbase tells against the one that the block is said to have.
    ///
    /// # Errors
    /// When they differ.
    pub fn check_height(&self, height: u64, config: &BitcoinConfig) -> Result<(), Refusal> {
        if height < config.heights_from.0 || self.coinbase.starts_with(&height_push(height)) {
            return Ok(());
        }
        let hash = self.header.hash;
        Err(Refusal::unproven(format!("block {hash} does not stand at height {height}")))
    }
}

/// A height as BIP-34 has it: the shortest push of the number.
fn height_push(height: u64) -> Vec<u8> {
    match u8::try_from(height) {
        Ok(0) => vec![0],
        Ok(small @ 1..=16) => vec![0x50 + small],
        _ => {
            let mut number = height.to_le_bytes().to_vec();
            while number.last() == Some(&0) {
                number.pop();
            }
            // The highest bit is the sign's.
            if number.last().is_some_and(|last| *last >= 0x80) {
                number.push(0);
            }
            let length = u8::try_from(number.len()).unwrap_or_default();
            [&[length], &number[..]].concat()
        }
    }
}

/// What hit a watch.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) spends: Vec<Spend>,
    /// Outputs.
    pub(crate) examined: u64,
}

impl Found {
    /// Looks through a transaction. Nothing is allocated where nothing hits.
    pub(crate) fn look(
        &mut self,
        transaction: &Transaction<'_>,
        id: Hash256,
        config: &BitcoinConfig,
        watches: &WatchView<'_>,
    ) {
        if watches.is_empty() {
            return;
        }
        for input in transaction.inputs() {
            let watch = outpoint_key(input.outpoint);
            if watches.contains(&watch) {
                self.spends.push(Spend { watch, by: transaction_id(&id) });
            }
        }
        let mut data: Option<Data> = None;
        for (vout, output) in (0_u32..).zip(transaction.outputs()) {
            self.examined += 1;
            let Some(watch) = WatchKey::new(output.script).filter(|key| watches.contains(key))
            else {
                continue;
            };
            // A watch that is no address is an outpoint, and nobody is paid by nothing.
            let to = Script::read(output.script).and_then(|script| config.addresses.text(&script));
            let Some(to) = to.filter(|_| output.value > 0) else { continue };
            let data = data.get_or_insert_with(|| said(transaction));
            let maturity = match transaction.is_coinbase() {
                true => config.coinbase_maturity,
                false => Confirmations::default(),
            };
            self.transfers.push(Transfer {
                id: TransferId {
                    transaction: transaction_id(&id),
                    index: TransferIndex::Vout(vout),
                },
                asset: Asset::Native,
                // Who spends an output may be anybody: an input names no sender.
                from: None,
                to,
                watch,
                amount: Amount::from(output.value),
                memo: data.text.clone(),
                references: references(data),
                maturity,
            });
        }
    }
}

/// The first OP_RETURN data of a transaction.
fn said(transaction: &Transaction<'_>) -> Data {
    transaction.outputs().find_map(|output| script::data(output.script)).unwrap_or_default()
}

fn references(data: &Data) -> Vec<String> {
    let hex = Some(&data.hex).filter(|hex| !hex.is_empty());
    data.text.iter().chain(hex).cloned().collect()
}

/// The contract's text of an id.
pub(crate) fn transaction_id(id: &Hash256) -> TransactionId {
    TransactionId::new(id.to_string())
}

/// The key of an outpoint. No script with an address is as long.
pub(crate) fn outpoint_key(outpoint: &[u8; 36]) -> WatchKey {
    // 36 bytes are the longest key.
    WatchKey::new(outpoint).unwrap_or(WatchKey::from([0; 20]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressFormat;
    use crate::wallet::WalletRules;
    use crate::{Bits, Difficulty, Identity, ProofOfWork};
    use alloy_primitives::hex;
    use confirmd_chain::{Height, WatchSet, WatchVersion};
    use proptest::prelude::*;

    /// The first block of all.
    const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c0101000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000";

    fn config() -> BitcoinConfig {
        BitcoinConfig {
            network: "test".to_owned(),
            identity: Identity { height: Height(0), hash: Hash256::default() },
            final_depth: 100,
            proof_of_work: ProofOfWork {
                limit: Bits(0x1d00_ffff),
                difficulty: Difficulty::Periods,
            },
            addresses: AddressFormat {
                p2pkh: 0,
                p2sh: 5,
                bech32: Some("bc".to_owned()),
                cashaddr: None,
            },
            wallets: WalletRules::MAIN,
            coinbase_maturity: Confirmations(100),
            heights_from: Height(227_931),
        }
    }

    fn watches() -> WatchSet {
        WatchSet::new([Script::P2wpkh([1; 20]).watch_key()], WatchVersion(1))
    }

    #[test]
    fn a_height_is_pushed_as_bip_34_has_it() {
        let cases: [(u64, &[u8]); 7] = [
            (0, &[0]),
            (1, &[0x51]),
            (16, &[0x60]),
            (17, &[1, 17]),
            (128, &[2, 0x80, 0]),
            (227_931, &[3, 0x5b, 0x7a, 0x03]),
            (0x80_0000, &[4, 0, 0, 0x80, 0]),
        ];
        for (height, expected) in cases {
            assert_eq!(height_push(height), expected, "{height}");
        }
    }

    #[test]
    fn the_first_block_is_read_and_none_of_its_bits_can_change_f3_f20() {
        let bytes = hex::decode(GENESIS).unwrap();
        let scanned = scan(&bytes, &config(), &watches().view()).unwrap();
        assert_eq!(scanned.check_height(0, &config()), Ok(()));
        assert!(scanned.check_height(227_931, &config()).is_err());
        for at in 36..bytes.len() {
            // Beside the merkle root and what it commits to there are time, target and nonce, for
            // which the header's own hash stands.
            if (68..80).contains(&at) {
                continue;
            }
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(scan(&changed, &config(), &watches().view()).is_err(), "at {at}");
        }
        for end in 0..bytes.len() {
            assert!(scan(&bytes[..end], &config(), &watches().view()).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned_without_panic_f20(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = scan(&bytes, &config(), &watches().view());
        }
    }
}
