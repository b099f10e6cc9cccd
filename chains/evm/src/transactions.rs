//! Transactions: read, encoded, and held against the root that the header commits to.

use alloy_primitives::{Address, B256, Signature, U64, U256, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use serde::Deserialize;

use crate::Refusal;
use crate::header::ProvenHeader;
use crate::receipts::DEPOSIT;
use crate::rlp::{self, Items};

mod arbitrum;

/// A transaction as `eth_getBlockBy…` has it, of any type. Its calldata stays hex.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction<'a> {
    /// The hash that it claims; [`Transactions`] proves it.
    pub hash: B256,
    #[serde(rename = "type")]
    kind: Option<U64>,
    chain_id: Option<U64>,
    #[serde(default)]
    nonce: U64,
    gas_price: Option<U256>,
    max_fee_per_gas: Option<U256>,
    max_priority_fee_per_gas: Option<U256>,
    max_fee_per_blob_gas: Option<U256>,
    gas: U64,
    /// The receiver; none where a contract is created.
    pub to: Option<Address>,
    /// As it is shown. What it carries is [`Transaction::carries`].
    value: U256,
    #[serde(borrow)]
    input: &'a str,
    #[serde(default)]
    v: U256,
    y_parity: Option<U64>,
    #[serde(default)]
    r: U256,
    #[serde(default)]
    s: U256,
    access_list: Option<Vec<AccessItem>>,
    blob_versioned_hashes: Option<Vec<B256>>,
    authorization_list: Option<Vec<Authorization>>,
    /// Proven by the signature, except in what a network itself puts into a block, which encodes
    /// it instead.
    from: Option<Address>,
    source_hash: Option<B256>,
    mint: Option<U256>,
    is_system_tx: Option<bool>,
    // Arbitrum's own types.
    request_id: Option<B256>,
    ticket_id: Option<B256>,
    refund_to: Option<Address>,
    max_refund: Option<U256>,
    submission_fee_refund: Option<U256>,
    l1_base_fee: Option<U256>,
    deposit_value: Option<U256>,
    retry_to: Option<Address>,
    retry_value: Option<U256>,
    retry_data: Option<&'a str>,
    beneficiary: Option<Address>,
    max_submission_fee: Option<U256>,
}

/// An entry of an EIP-2930 access list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessItem {
    address: Address,
    storage_keys: Vec<B256>,
}

/// An entry of an EIP-7702 authorization list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    chain_id: U256,
    address: Address,
    nonce: U64,
    y_parity: U64,
    r: U256,
    s: U256,
}

/// Polygon's state-sync transactions (PIP-74). They carry no value, and what they consist of is
/// not shown in a block's JSON.
const STATE_SYNC: u64 = 0x7f;

/// What is encoded: the transaction as it stands in the block, or what its sender signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    InBlock,
    ToSign,
}

impl Transaction<'_> {
    fn kind(&self) -> u64 {
        self.kind.unwrap_or_default().to()
    }

    /// Whether this version knows how transactions of its type are encoded.
    fn is_known(&self) -> bool {
        self.is_signed() || self.kind() == DEPOSIT || arbitrum::is_known(self.kind())
    }

    /// Whether somebody signed it: Ethereum's own types. A network itself makes the others.
    fn is_signed(&self) -> bool {
        matches!(self.kind(), 0..=4)
    }

    /// What it carries to its receiver, in wei: nothing where its type has no value, whatever is
    /// shown. Only what is encoded is proven.
    #[must_use]
    pub fn carries(&self) -> U256 {
        match self.is_signed() || self.kind() == DEPOSIT || arbitrum::has_value(self.kind()) {
            true => self.value,
            false => U256::ZERO,
        }
    }

    /// Whether nodes may show no call traces of it, or ones that say little: transactions that a
    /// network itself makes, other than the OP stack's deposits. Polygon's were shown as of type 0
    /// once, without a signature.
    pub(crate) fn may_be_untraced(&self) -> bool {
        let unsigned = !self.is_signed() || (self.kind() == 0 && self.r.is_zero());
        unsigned && self.kind() != DEPOSIT
    }

    fn unknown(&self) -> Refusal {
        Refusal::unproven(format!(
            "transaction {} is of type {:#04x}, whose encoding is not known",
            self.hash,
            self.kind()
        ))
    }

    /// EIP-155: the chain id in a legacy transaction's `v`; none in those from before it.
    fn legacy_chain_id(&self) -> Option<U256> {
        (self.v >= U256::from(35)).then(|| (self.v - U256::from(35)) >> 1)
    }

    fn y_parity(&self) -> bool {
        match (self.kind(), self.y_parity) {
            (0, _) if self.v >= U256::from(35) => !self.v.bit(0),
            (0, _) => self.v == U256::from(28),
            (_, Some(parity)) => parity == U64::from(1),
            (_, None) => self.v == U256::from(1),
        }
    }

    /// Who receives its value: whom it calls, or the contract that it creates.
    #[must_use]
    pub fn receiver(&self) -> Option<Address> {
        // The nonces of the others count elsewhere.
        let created =
            || self.is_signed().then(|| Some(self.sender().ok()?.create(self.nonce.to())));
        self.to.or_else(|| created().flatten())
    }

    /// The sender, recovered from the signature over what the block commits to; where nobody
    /// signed, as it is named.
    ///
    /// # Errors
    /// When the signature recovers to nobody, or nobody is named.
    pub fn sender(&self) -> Result<Address, Refusal> {
        let nobody = || Refusal::unproven(format!("transaction {} has no sender", self.hash));
        if !self.is_signed() {
            return self.from.ok_or_else(nobody);
        }
        let mut signed = Vec::new();
        self.encode(Form::ToSign, &mut signed)?;
        Signature::new(self.r, self.s, self.y_parity())
            .recover_address_from_prehash(&keccak256(&signed))
            .map_err(|_| nobody())
    }

    fn encode(&self, form: Form, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let kind = self.kind();
        if let Some(byte) = u8::try_from(kind).ok().filter(|byte| *byte != 0) {
            out.push(byte);
        }
        rlp::list(out, |out| match kind {
            0 => self.legacy_fields(form, out),
            1..=4 => self.typed_fields(kind, form, out),
            DEPOSIT => self.deposit_fields(out),
            _ if arbitrum::is_known(kind) => self.arbitrum_fields(kind, out),
            _ => Err(self.unknown()),
        })
    }

    /// Its hash, from how it is encoded in the block.
    fn hash_of(&self, encoded: &[u8]) -> B256 {
        let Some((kind, payload)) = encoded.split_first().filter(|_| self.kind() == STATE_SYNC)
        else {
            return keccak256(encoded);
        };
        // Bor hashes these as a list of one field, and encodes that field alone.
        let mut hashed = vec![*kind];
        let header = Header { list: true, payload_length: payload.len() };
        header.encode(&mut hashed);
        hashed.extend_from_slice(payload);
        keccak256(&hashed)
    }

    /// Its encoding as a provider has it. That it is of the type that is shown matters: what is
    /// taken raw is not looked into, and a payment must not pass for a type without value.
    fn push_raw(&self, raw: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        rlp::push_hex(raw, out)?;
        match out.get(start).map(|first| u64::from(*first)) {
            Some(first) if first == self.kind() => Ok(()),
            _ => Err(Refusal::unproven(format!(
                "transaction {} is shown with another type than it is encoded with",
                self.hash
            ))),
        }
    }

    fn legacy_fields(&self, form: Form, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.nonce.encode(out);
        self.given(self.gas_price, "gasPrice")?.encode(out);
        self.payload(out)?;
        match (form, self.legacy_chain_id()) {
            (Form::InBlock, _) => {
                self.v.encode(out);
                self.r.encode(out);
                self.s.encode(out);
            }
            (Form::ToSign, Some(chain_id)) => {
                chain_id.encode(out);
                out.extend([EMPTY_STRING_CODE, EMPTY_STRING_CODE]);
            }
            (Form::ToSign, None) => {}
        }
        Ok(())
    }

    /// EIP-2930, EIP-1559, EIP-4844 and EIP-7702, each of which adds to the one before.
    fn typed_fields(&self, kind: u64, form: Form, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.given(self.chain_id, "chainId")?.encode(out);
        self.nonce.encode(out);
        if kind == 1 {
            self.given(self.gas_price, "gasPrice")?.encode(out);
        } else {
            self.given(self.max_priority_fee_per_gas, "maxPriorityFeePerGas")?.encode(out);
            self.given(self.max_fee_per_gas, "maxFeePerGas")?.encode(out);
        }
        self.payload(out)?;
        rlp::list(out, |out| {
            self.access_list.iter().flatten().try_for_each(|item| item.encode(out))
        })?;
        if kind == 3 {
            self.given(self.max_fee_per_blob_gas, "maxFeePerBlobGas")?.encode(out);
            rlp::list(out, |out| {
                self.blob_versioned_hashes.iter().flatten().for_each(|hash| hash.encode(out));
                Ok(())
            })?;
        }
        if kind == 4 {
            rlp::list(out, |out| {
                self.authorization_list.iter().flatten().try_for_each(|entry| entry.encode(out))
            })?;
        }
        if form == Form::InBlock {
            u8::from(self.y_parity()).encode(out);
            self.r.encode(out);
            self.s.encode(out);
        }
        Ok(())
    }

    /// The OP stack's deposits, from the L1 to the L2.
    fn deposit_fields(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.given(self.source_hash, "sourceHash")?.encode(out);
        self.given(self.from, "from")?.encode(out);
        Self::encode_address(self.to, out);
        self.mint.unwrap_or_default().encode(out);
        self.value.encode(out);
        self.gas.encode(out);
        self.is_system_tx.unwrap_or_default().encode(out);
        rlp::hex_string(self.input, out)
    }

    /// The fields that all signed types have in this order.
    fn payload(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.gas.encode(out);
        Self::encode_address(self.to, out);
        self.value.encode(out);
        rlp::hex_string(self.input, out)
    }

    /// An address; an empty string in the place of none.
    fn encode_address(address: Option<Address>, out: &mut Vec<u8>) {
        match address {
            Some(address) => address.encode(out),
            None => out.push(EMPTY_STRING_CODE),
        }
    }

    /// A field that its type has to have.
    fn given<T>(&self, field: Option<T>, name: &str) -> Result<T, Refusal> {
        field.ok_or_else(|| Refusal::malformed(format!("transaction {} has no {name}", self.hash)))
    }
}

impl AccessItem {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        rlp::list(out, |out| {
            self.address.encode(out);
            rlp::list(out, |out| {
                self.storage_keys.iter().for_each(|key| key.encode(out));
                Ok(())
            })
        })
    }
}

impl Authorization {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        rlp::list(out, |out| {
            self.chain_id.encode(out);
            self.address.encode(out);
            self.nonce.encode(out);
            self.y_parity.encode(out);
            self.r.encode(out);
            self.s.encode(out);
            Ok(())
        })
    }
}

/// A block's transactions, held against its transactions root.
#[derive(Debug)]
pub struct Transactions<'a> {
    list: Vec<Transaction<'a>>,
    /// None where they were not held against the root.
    encoded: Option<Items>,
}

impl<'a> Transactions<'a> {
    /// Rebuilds the transactions root: none can be hidden, invented or altered. `raw` holds the
    /// encodings, as hex, of those that [`opaque`] names by their place.
    ///
    /// # Errors
    /// When the root is not the header's, or a transaction is of a type that is not known.
    pub fn prove(
        header: &ProvenHeader,
        list: Vec<Transaction<'a>>,
        raw: &[(usize, &str)],
    ) -> Result<Self, Refusal> {
        let encoded = Items::encode(&list, |at, transaction, out| {
            match raw.iter().find(|(place, _)| *place == at) {
                Some((_, raw)) => transaction.push_raw(raw, out),
                None => transaction.encode(Form::InBlock, out),
            }
        })?;
        if encoded.root() != header.transactions_root {
            return Err(Refusal::unproven(format!(
                "the transactions of block {} do not hash to its transactions root",
                header.number
            )));
        }
        Ok(Self { list, encoded: Some(encoded) })
    }

    /// Takes them as the provider says they are.
    pub(crate) fn as_said(list: Vec<Transaction<'a>>) -> Self {
        Self { list, encoded: None }
    }

    /// Whether they were held against the root.
    #[must_use]
    pub fn are_proven(&self) -> bool {
        self.encoded.is_some()
    }

    /// The n-th transaction, once its hash is proven too.
    ///
    /// # Errors
    /// When there is none, or it claims another hash than it has.
    pub fn get(&self, n: usize) -> Result<&Transaction<'a>, Refusal> {
        let transaction = self
            .list
            .get(n)
            .ok_or_else(|| Refusal::unproven(format!("there is no transaction {n}")))?;
        let hash = self.encoded.as_ref().map(|encoded| transaction.hash_of(encoded.get(n)));
        if hash.is_some_and(|hash| hash != transaction.hash) {
            return Err(Refusal::unproven(format!(
                "transaction {} does not hash to its hash",
                transaction.hash
            )));
        }
        Ok(transaction)
    }

    /// The transactions; their hashes are as claimed.
    #[must_use]
    pub fn as_slice(&self) -> &[Transaction<'a>] {
        &self.list
    }
}

/// The places of the transactions that this version cannot encode from what a block's JSON shows
/// of them; [`Transactions::prove`] takes them raw.
///
/// # Errors
/// When native coin is looked for, and such a transaction is of a type that may carry some: then
/// it can neither be read nor left aside.
pub fn opaque(list: &[Transaction<'_>], native: bool) -> Result<Vec<usize>, Refusal> {
    let unknown = list.iter().enumerate().filter(|(_, transaction)| !transaction.is_known());
    let place = |(at, transaction): (usize, &Transaction<'_>)| {
        if native && transaction.kind() != STATE_SYNC {
            return Err(transaction.unknown());
        }
        Ok(at)
    };
    unknown.map(place).collect()
}

/// Whether this version can encode all of them.
#[must_use]
pub fn all_known(list: &[Transaction<'_>]) -> bool {
    list.iter().all(Transaction::is_known)
}
