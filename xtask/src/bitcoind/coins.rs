//! The key that a node's payments come from, and what is signed with it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bitcoin::{
    Address, Amount, EcdsaSighashType, FeeRate, KnownHrp, OutPoint, PrivateKey, ScriptBuf,
    Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime,
    ecdsa,
    key::{CompressedPublicKey, Secp256k1},
    opcodes::all::OP_RETURN,
    script::{Builder, PushBytesBuf},
    secp256k1::{All, Message},
    sighash::SighashCache,
    transaction::Version,
};
use serde::Deserialize;
use serde_json::json;

use super::{Bitcoind, MATURITY};
use crate::{Error, Result};

/// Satoshis a virtual byte, where a test does not say.
const FEE_RATE: u32 = 10;
/// What a replacement pays more, as a factor.
const RAISE: u32 = 5;

/// An unspent output of the node's own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// Where it stands.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
}

/// What a transaction does, beside giving the change back.
#[derive(Debug, Clone)]
pub struct Payment {
    /// Its outputs; the change follows them.
    pub outputs: Vec<TxOut>,
    /// What it pays for a place in a block.
    pub fee_rate: FeeRate,
    /// Says that it may be replaced (BIP-125).
    pub replaceable: bool,
}

impl Payment {
    /// To one receiver.
    pub fn to(script: impl Into<ScriptBuf>, value: Amount) -> Self {
        Self::outputs([TxOut { value, script_pubkey: script.into() }])
    }

    /// To several.
    pub fn outputs(outputs: impl IntoIterator<Item = TxOut>) -> Self {
        Self {
            outputs: outputs.into_iter().collect(),
            fee_rate: FeeRate::from_sat_per_vb_u32(FEE_RATE),
            replaceable: false,
        }
    }

    /// With one receiver more.
    #[must_use]
    pub fn and(mut self, script: impl Into<ScriptBuf>, value: Amount) -> Self {
        self.outputs.push(TxOut { value, script_pubkey: script.into() });
        self
    }

    /// With an `OP_RETURN` output of `data`, which is cut at the 520 bytes of a push.
    #[must_use]
    pub fn with_data(mut self, data: &[u8]) -> Self {
        let mut push = PushBytesBuf::new();
        for byte in data.iter().take(520) {
            // Refused only beyond 4 GiB.
            let _ = push.push(*byte);
        }
        let script_pubkey = Builder::new().push_opcode(OP_RETURN).push_slice(push).into_script();
        self.outputs.push(TxOut { value: Amount::ZERO, script_pubkey });
        self
    }

    /// Says that it may be replaced (BIP-125).
    #[must_use]
    pub fn replaceable(mut self) -> Self {
        self.replaceable = true;
        self
    }

    /// Paying so much for a place in a block.
    #[must_use]
    pub fn at_fee_rate(mut self, satoshis_per_vbyte: u32) -> Self {
        self.fee_rate = FeeRate::from_sat_per_vb_u32(satoshis_per_vbyte);
        self
    }
}

/// The key, its address, and what was ever spent from it.
#[derive(Debug)]
pub(super) struct Purse {
    secp: Secp256k1<All>,
    key: PrivateKey,
    public: CompressedPublicKey,
    address: Address,
    /// What a replacement or a double spend spends once more.
    spent: Mutex<HashMap<OutPoint, Coin>>,
    /// Held from choosing a coin until the mempool knows that it is spent; also, the node makes
    /// one scan at a time.
    choosing: tokio::sync::Mutex<()>,
}

#[derive(Deserialize)]
struct Scan {
    height: u32,
    unspents: Vec<Unspent>,
}

#[derive(Deserialize)]
struct Unspent {
    txid: Txid,
    vout: u32,
    #[serde(with = "bitcoin::amount::serde::as_btc")]
    amount: Amount,
    coinbase: bool,
    height: u32,
}

#[derive(Deserialize)]
struct Spending {
    #[serde(rename = "spendingtxid")]
    by: Option<Txid>,
}

impl Bitcoind {
    /// Outputs of the node's own key that stand in a block, are mature, and are spent neither in a
    /// block nor in the mempool.
    pub async fn coins(&self) -> Result<Vec<Coin>> {
        let _one_scan = self.purse.choosing.lock().await;
        self.spendable().await
    }

    /// Pays `value` to a script, through the mempool.
    ///
    /// # Errors
    /// As [`Bitcoind::pay`].
    pub async fn pay_to(&self, script: impl Into<ScriptBuf>, value: Amount) -> Result<Transaction> {
        self.pay(&Payment::to(script, value)).await
    }

    /// Pays, through the mempool, from one coin that is worth enough.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where there is no such coin: [`Bitcoind::fund`] makes some.
    pub async fn pay(&self, payment: &Payment) -> Result<Transaction> {
        let _chosen = self.purse.choosing.lock().await;
        let transaction = self.signed_from_any_coin(payment).await?;
        self.send(&transaction).await?;
        Ok(transaction)
    }

    /// Signs a payment that nobody is told of: for a block to hold.
    ///
    /// # Errors
    /// As [`Bitcoind::pay`].
    pub async fn prepare(&self, payment: &Payment) -> Result<Transaction> {
        let _chosen = self.purse.choosing.lock().await;
        self.signed_from_any_coin(payment).await
    }

    /// Signs a payment from these coins, which nobody is told of.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where they are not worth it.
    pub fn sign(&self, coins: &[Coin], payment: &Payment) -> Result<Transaction> {
        self.purse.sign(coins, payment)
    }

    /// Replaces one of our transactions in the mempool by a payment from the same coins that pays
    /// five times the fee rate (or its own, where that is higher).
    ///
    /// # Errors
    /// [`Error::Rpc`] where the mempool does not take it.
    pub async fn replace(&self, old: &Transaction, payment: &Payment) -> Result<Transaction> {
        let raised = FeeRate::from_sat_per_vb_u32(FEE_RATE * RAISE);
        let payment = Payment { fee_rate: payment.fee_rate.max(raised), ..payment.clone() };
        let new = self.conflict(old, &payment)?;
        self.send(&new).await?;
        Ok(new)
    }

    /// Signs a payment from the coins that one of our transactions spends, which nobody is told
    /// of: a double spend, for a block to hold.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where the transaction is not ours.
    pub fn conflict(&self, with: &Transaction, payment: &Payment) -> Result<Transaction> {
        let coins = self.purse.coins_of(with)?;
        self.purse.sign(&coins, payment)
    }

    async fn signed_from_any_coin(&self, payment: &Payment) -> Result<Transaction> {
        let coins = self.spendable().await?;
        let signed =
            coins.iter().find_map(|coin| self.purse.sign(std::slice::from_ref(coin), payment).ok());
        signed.ok_or_else(|| Error::unexpected("a coin that is worth enough", "there is none"))
    }

    async fn spendable(&self) -> Result<Vec<Coin>> {
        let ours = format!("addr({})", self.purse.address);
        let scan: Scan = self.call("scantxoutset", json!(["start", [ours]])).await?;
        let mature = |coin: &Unspent| !coin.coinbase || scan.height + 1 >= coin.height + MATURITY;
        let mut coins: Vec<_> = scan.unspents.iter().filter(|coin| mature(coin)).collect();
        coins.sort_by_key(|coin| (coin.height, coin.txid, coin.vout));
        let places: Vec<_> =
            coins.iter().map(|coin| json!({ "txid": coin.txid, "vout": coin.vout })).collect();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let spending: Vec<Spending> = self.call("gettxspendingprevout", json!([places])).await?;
        let unspent = coins.iter().zip(spending).filter(|(_, spending)| spending.by.is_none());
        Ok(unspent
            .map(|(coin, _)| Coin {
                outpoint: OutPoint::new(coin.txid, coin.vout),
                value: coin.amount,
            })
            .collect())
    }
}

impl Purse {
    /// # Errors
    /// None: the key is a constant within the curve's order.
    pub(super) fn new() -> Result<Self> {
        let secp = Secp256k1::new();
        let key = PrivateKey::from_slice(&[0xc0; 32], bitcoin::Network::Regtest)
            .map_err(|error| Error::unexpected("the node's key", &error))?;
        let public = CompressedPublicKey::from_private_key(&secp, &key)
            .map_err(|error| Error::unexpected("the node's key", &error))?;
        let address = Address::p2wpkh(&public, KnownHrp::Regtest);
        let (spent, choosing) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { secp, key, public, address, spent, choosing })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    fn coins_of(&self, transaction: &Transaction) -> Result<Vec<Coin>> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let coin = |input: &TxIn| spent.get(&input.previous_output).cloned();
        let coins: Option<Vec<_>> = transaction.input.iter().map(coin).collect();
        let id = transaction.compute_txid();
        coins.ok_or_else(|| Error::unexpected(format!("transaction {id}"), "is not ours"))
    }

    fn sign(&self, coins: &[Coin], payment: &Payment) -> Result<Transaction> {
        let worth: Amount = coins.iter().map(|coin| coin.value).sum();
        let paid: Amount = payment.outputs.iter().map(|output| output.value).sum();
        let mut change = TxOut { value: worth, script_pubkey: self.address.script_pubkey() };
        // Signed once to see how big it is, which the change's value does not alter.
        let draft = self.signed(coins, payment, change.clone())?;
        let fee = payment.fee_rate.fee_wu(draft.weight());
        change.value = fee
            .and_then(|fee| worth.checked_sub(paid)?.checked_sub(fee))
            .filter(|value| *value >= change.script_pubkey.minimal_non_dust())
            .ok_or_else(|| Error::unexpected("the coins", "are not worth the payment"))?;
        let transaction = self.signed(coins, payment, change)?;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.extend(coins.iter().map(|coin| (coin.outpoint, coin.clone())));
        Ok(transaction)
    }

    fn signed(&self, coins: &[Coin], payment: &Payment, change: TxOut) -> Result<Transaction> {
        let sequence = match payment.replaceable {
            true => Sequence::ENABLE_RBF_NO_LOCKTIME,
            false => Sequence::MAX,
        };
        let input = |coin: &Coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence,
            witness: Witness::new(),
        };
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: coins.iter().map(input).collect(),
            output: payment.outputs.iter().cloned().chain([change]).collect(),
        };
        let script = self.address.script_pubkey();
        for (index, coin) in coins.iter().enumerate() {
            let sighash_type = EcdsaSighashType::All;
            let hash = SighashCache::new(&transaction)
                .p2wpkh_signature_hash(index, &script, coin.value, sighash_type)
                .map_err(|error| Error::unexpected("the signature hash", &error))?;
            let signature = self.secp.sign_ecdsa_low_r(&Message::from(hash), &self.key.inner);
            let signature = ecdsa::Signature { signature, sighash_type };
            transaction.input[index].witness = Witness::p2wpkh(&signature, &self.public.0);
        }
        Ok(transaction)
    }
}
