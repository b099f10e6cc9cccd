//! Instructions of the programs that payments use.

use solana_address_lookup_table_interface::instruction as table;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::{Pubkey, pubkey};
use spl_associated_token_account_interface::{
    address::get_associated_token_address_with_program_id,
    instruction::create_associated_token_account_idempotent,
};
use spl_token_interface::instruction::TokenInstruction;

const COMPUTE_BUDGET: Pubkey = pubkey!("ComputeBudget111111111111111111111111111111");
const SET_COMPUTE_UNIT_PRICE: u8 = 3;
const TRANSFER_FEE_EXTENSION: u8 = 26;
const INITIALIZE_TRANSFER_FEE_CONFIG: u8 = 0;
/// A `COption` without a value.
const NONE: u8 = 0;
const RECOVER_NESTED: u8 = 2;

/// The programs that tokens belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenProgram {
    /// SPL Token.
    Token,
    /// Token-2022, whose mints have extensions.
    Token2022,
}

impl TokenProgram {
    /// Its address.
    pub fn id(self) -> Pubkey {
        match self {
            Self::Token => spl_token_interface::ID,
            Self::Token2022 => pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
        }
    }
}

/// The programs that take memos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoProgram {
    /// The first one.
    V1,
    /// The one that wallets use.
    V2,
}

impl MemoProgram {
    /// Its address.
    pub fn id(self) -> Pubkey {
        match self {
            Self::V1 => pubkey!("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
            Self::V2 => pubkey!("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
        }
    }
}

/// A memo that nobody signs for.
pub fn memo(program: MemoProgram, text: &str) -> Instruction {
    Instruction { program_id: program.id(), accounts: Vec::new(), data: text.as_bytes().to_vec() }
}

/// A payment of lamports, which `from` signs.
pub fn pay_lamports(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    solana_system_interface::instruction::transfer(from, to, lamports)
}

/// The instruction with more keys that it only mentions: references, as Solana Pay has them.
#[must_use]
pub fn referring(mut instruction: Instruction, keys: &[Pubkey]) -> Instruction {
    let mentioned = keys.iter().map(|key| AccountMeta::new_readonly(*key, false));
    instruction.accounts.extend(mentioned);
    instruction
}

/// What makes a mint: the account, its fee where there is one, and the mint itself.
pub(super) struct NewMint {
    pub(super) program: TokenProgram,
    pub(super) address: Pubkey,
    pub(super) authority: Pubkey,
    pub(super) decimals: u8,
    pub(super) fee: Option<super::Fee>,
}

/// Bytes of a mint, and of one with a transfer fee: the size of a token account, its type, and
/// the extension's type, length and value.
const MINT_BYTES: u64 = 82;
const MINT_WITH_FEE_BYTES: u64 = 165 + 1 + 2 + 2 + 108;

impl NewMint {
    pub(super) fn bytes(&self) -> u64 {
        if self.fee.is_some() { MINT_WITH_FEE_BYTES } else { MINT_BYTES }
    }

    pub(super) fn instructions(&self, payer: &Pubkey, rent: u64) -> Vec<Instruction> {
        let program = self.program.id();
        let mint = || vec![AccountMeta::new(self.address, false)];
        let create = solana_system_interface::instruction::create_account(
            payer,
            &self.address,
            rent,
            self.bytes(),
            &program,
        );
        let fee = self.fee.map(|fee| {
            let mut data = vec![TRANSFER_FEE_EXTENSION, INITIALIZE_TRANSFER_FEE_CONFIG, NONE, NONE];
            data.extend(fee.basis_points.to_le_bytes());
            data.extend(fee.maximum.to_le_bytes());
            Instruction { program_id: program, accounts: mint(), data }
        });
        let data = TokenInstruction::InitializeMint2 {
            decimals: self.decimals,
            mint_authority: self.authority,
            freeze_authority: None.into(),
        };
        let initialize = Instruction { program_id: program, accounts: mint(), data: data.pack() };
        [create].into_iter().chain(fee).chain([initialize]).collect()
    }
}

/// The account that holds an owner's tokens of a mint.
pub(super) fn account_of(owner: &Pubkey, mint: &Pubkey, program: TokenProgram) -> Pubkey {
    get_associated_token_address_with_program_id(owner, mint, &program.id())
}

/// Makes that account where it is not there yet.
pub(super) fn open_account(
    payer: &Pubkey,
    owner: &Pubkey,
    mint: &Pubkey,
    program: TokenProgram,
) -> Instruction {
    create_associated_token_account_idempotent(payer, owner, mint, &program.id())
}

/// New tokens for a token account, which the mint's authority signs.
pub(super) fn mint_to(
    program: TokenProgram,
    mint: &Pubkey,
    account: &Pubkey,
    authority: &Pubkey,
    amount: u64,
) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*mint, false),
        AccountMeta::new(*account, false),
        AccountMeta::new_readonly(*authority, true),
    ];
    let data = TokenInstruction::MintTo { amount }.pack();
    Instruction { program_id: program.id(), accounts, data }
}

/// Where tokens go from and to.
pub(super) struct Route {
    pub(super) from: Pubkey,
    pub(super) owner: Pubkey,
    pub(super) to: Pubkey,
}

/// A transfer between token accounts, which the owner of the first signs.
pub(super) fn transfer(
    program: TokenProgram,
    mint: &Pubkey,
    decimals: u8,
    route: &Route,
    amount: u64,
) -> Instruction {
    let accounts = vec![
        AccountMeta::new(route.from, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new(route.to, false),
        AccountMeta::new_readonly(route.owner, true),
    ];
    let data = TokenInstruction::TransferChecked { amount, decimals }.pack();
    Instruction { program_id: program.id(), accounts, data }
}

/// Has the account program move, by an inner instruction, what lies in a token account that
/// belongs to the wallet's token account into the latter.
pub(super) fn recover_nested(wallet: &Pubkey, mint: &Pubkey, program: TokenProgram) -> Instruction {
    let account = account_of(wallet, mint, program);
    let nested = account_of(&account, mint, program);
    let accounts = vec![
        AccountMeta::new(nested, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new(account, false),
        AccountMeta::new_readonly(account, false),
        AccountMeta::new_readonly(*mint, false),
        AccountMeta::new(*wallet, true),
        AccountMeta::new_readonly(program.id(), false),
    ];
    let program_id = spl_associated_token_account_interface::program::ID;
    Instruction { program_id, accounts, data: vec![RECOVER_NESTED] }
}

/// Sets what a unit of computing costs, in millionths of a lamport.
pub(super) fn compute_unit_price(micro_lamports: u64) -> Instruction {
    let mut data = vec![SET_COMPUTE_UNIT_PRICE];
    data.extend(micro_lamports.to_le_bytes());
    Instruction { program_id: COMPUTE_BUDGET, accounts: Vec::new(), data }
}

/// An empty look-up table, and its address.
pub(super) fn create_table(authority: &Pubkey, recent_slot: u64) -> (Instruction, Pubkey) {
    table::create_lookup_table(*authority, *authority, recent_slot)
}

/// More addresses for a look-up table.
pub(super) fn extend_table(authority: &Pubkey, key: Pubkey, addresses: &[Pubkey]) -> Instruction {
    table::extend_lookup_table(key, *authority, Some(*authority), addresses.to_vec())
}
