//! Transactions as `getBlock` shows them, in either detail.

use serde_json::{Value, json};

use super::{MEMO_2, SYSTEM, TOKEN, key, signature};

/// The balance of a token account: its place, mint, owner and amount.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a>(pub usize, pub &'a str, pub &'a str, pub u64);

/// An instruction: its program and its data.
pub type Instruction = (String, Vec<u8>);

/// A transaction before it is shown.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub signature: String,
    /// Those that were signed; the first one signs and pays the fee.
    pub keys: Vec<String>,
    pub signers: usize,
    /// From look-up tables: writable, read-only.
    pub loaded: (Vec<String>, Vec<String>),
    pub before: Vec<u64>,
    pub after: Vec<u64>,
    pub tokens_before: Vec<Value>,
    pub tokens_after: Vec<Value>,
    pub outer: Vec<Instruction>,
    /// What the n-th instruction calls.
    pub inner: Vec<(usize, Vec<Instruction>)>,
    pub err: Value,
    pub version: Value,
}

/// What every transaction here pays for itself.
pub const FEE: u64 = 5_000;
const PLENTY: u64 = 10_000_000_000;

impl Transaction {
    /// Of these accounts, the first of which signs and pays the fee; nothing else moves yet.
    pub fn of(id: u64, accounts: &[&str]) -> Self {
        let mut before = vec![PLENTY; accounts.len()];
        let mut after = before.clone();
        after[0] -= FEE;
        let mut keys: Vec<String> = accounts.iter().map(|&account| account.to_owned()).collect();
        for program in [SYSTEM, TOKEN] {
            keys.push(program.to_owned());
            before.push(1);
            after.push(1);
        }
        Self {
            signature: signature(id),
            keys,
            signers: 1,
            loaded: (Vec::new(), Vec::new()),
            before,
            after,
            tokens_before: Vec::new(),
            tokens_after: Vec::new(),
            outer: vec![(TOKEN.to_owned(), vec![12, 1, 0, 0, 0, 0, 0, 0, 0, 6])],
            inner: Vec::new(),
            err: Value::Null,
            version: json!(0),
        }
    }

    /// Sends coin.
    pub fn of_coin(id: u64, to: &str, lamports: u64) -> Self {
        Self::of(id, &[&key(901), to]).moving(0, 1, lamports)
    }

    /// Sends tokens from one account to another, which both have some.
    pub fn of_tokens(id: u64, mint: &str, to: &str, amount: u64) -> Self {
        let payer = key(902);
        Self::of(id, &[&payer, &key(903), &format_account(to, mint)]).with_tokens(
            &[Tokens(1, mint, &payer, 1_000_000 + amount), Tokens(2, mint, to, 7)],
            &[Tokens(1, mint, &payer, 1_000_000), Tokens(2, mint, to, 7 + amount)],
        )
    }

    pub fn moving(mut self, from: usize, to: usize, lamports: u64) -> Self {
        self.after[from] -= lamports;
        self.after[to] += lamports;
        self
    }

    pub fn with_tokens(mut self, before: &[Tokens<'_>], after: &[Tokens<'_>]) -> Self {
        self.tokens_before = before.iter().map(shown).collect();
        self.tokens_after = after.iter().map(shown).collect();
        self
    }

    /// Names one more account, which signs nothing.
    pub fn naming(mut self, account: &str) -> Self {
        self.keys.push(account.to_owned());
        self.before.push(0);
        self.after.push(0);
        self
    }

    /// Takes one more account from a look-up table.
    pub fn loading(mut self, account: &str, writable: bool, balances: (u64, u64)) -> Self {
        // Those that can be written stand before the others.
        let place = self.keys.len() + self.loaded.0.len();
        let place = if writable { place } else { place + self.loaded.1.len() };
        let list = if writable { &mut self.loaded.0 } else { &mut self.loaded.1 };
        list.push(account.to_owned());
        self.before.insert(place, balances.0);
        self.after.insert(place, balances.1);
        self
    }

    /// Calls a program before all else, or after it.
    pub fn calling(self, program: &str, data: &[u8], first: bool) -> Self {
        let is_named = self.keys.iter().any(|key| key == program);
        let mut this = if is_named { self } else { self.naming(program) };
        let place = if first { 0 } else { this.outer.len() };
        this.outer.insert(place, (program.to_owned(), data.to_vec()));
        this
    }

    /// A program calls another.
    pub fn calling_within(self, program: &str, data: &[u8]) -> Self {
        let mut this = self.naming(program);
        this.inner.push((0, vec![(program.to_owned(), data.to_vec())]));
        this
    }

    pub fn with_memo(self, memo: &str) -> Self {
        self.calling(MEMO_2, memo.as_bytes(), false)
    }

    pub fn failed(mut self) -> Self {
        self.err = json!({ "InstructionError": [0, { "Custom": 1 }] });
        self
    }

    /// All accounts, those of look-up tables last.
    fn accounts(&self) -> Vec<String> {
        let (writable, readonly) = &self.loaded;
        self.keys.iter().chain(writable).chain(readonly).cloned().collect()
    }

    /// As `transactionDetails: "accounts"` shows it.
    pub fn accounts_shown(&self) -> Value {
        let signed = self.keys.len();
        let account = |(n, key): (usize, &String)| {
            let source = if n < signed { "transaction" } else { "lookupTable" };
            let is_signer = n < self.signers;
            json!({ "pubkey": key, "signer": is_signer, "source": source, "writable": n < 3 })
        };
        let accounts: Vec<Value> = self.accounts().iter().enumerate().map(account).collect();
        json!({
            "transaction": { "signatures": [self.signature], "accountKeys": accounts },
            "meta": self.meta(),
            "version": self.version,
        })
    }

    /// As `transactionDetails: "full"` shows it.
    pub fn full_shown(&self) -> Value {
        let mut meta = self.meta();
        let inner = self
            .inner
            .iter()
            .map(|(n, calls)| json!({ "index": n, "instructions": self.instructions(calls) }));
        meta["innerInstructions"] = inner.collect();
        meta["logMessages"] = json!(["Program 11111111111111111111111111111111 invoke [1]"]);
        meta["loadedAddresses"] = json!({ "writable": self.loaded.0, "readonly": self.loaded.1 });
        json!({
            "transaction": {
                "signatures": [self.signature],
                "message": {
                    "accountKeys": self.keys,
                    "header": {
                        "numRequiredSignatures": self.signers,
                        "numReadonlySignedAccounts": 0,
                        "numReadonlyUnsignedAccounts": 2,
                    },
                    "instructions": self.instructions(&self.outer),
                    "recentBlockhash": key(0),
                },
            },
            "meta": meta,
            "version": self.version,
        })
    }

    fn instructions(&self, calls: &[Instruction]) -> Value {
        let accounts = self.accounts();
        let shown = |(program, data): &Instruction| {
            let place = accounts.iter().position(|key| key == program).unwrap();
            let data = bs58::encode(data).into_string();
            json!({ "programIdIndex": place, "accounts": [0, 1], "data": data, "stackHeight": 1 })
        };
        calls.iter().map(shown).collect()
    }

    fn meta(&self) -> Value {
        let status =
            if self.err.is_null() { json!({ "Ok": null }) } else { json!({ "Err": self.err }) };
        json!({
            "err": self.err,
            "status": status,
            "fee": FEE,
            "preBalances": self.before,
            "postBalances": self.after,
            "preTokenBalances": self.tokens_before,
            "postTokenBalances": self.tokens_after,
        })
    }
}

/// The place where an owner's tokens are kept, as far as these tests care.
pub fn format_account(owner: &str, mint: &str) -> String {
    let (owner, mint) = (owner.as_bytes(), mint.as_bytes());
    let mixed: Vec<u8> = (0..32).map(|n| (owner[n].wrapping_mul(31) ^ mint[n]) | 1).collect();
    bs58::encode(mixed).into_string()
}

fn shown(tokens: &Tokens<'_>) -> Value {
    let Tokens(place, mint, owner, amount) = tokens;
    json!({
        "accountIndex": place,
        "mint": mint,
        "owner": owner,
        "programId": TOKEN,
        "uiTokenAmount": {
            "amount": amount.to_string(),
            "decimals": 6,
            "uiAmount": null,
            "uiAmountString": amount.to_string(),
        },
    })
}
