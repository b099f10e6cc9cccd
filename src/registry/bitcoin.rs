//! What a registry file says of a network of Bitcoin's family.

use confirmd_bitcoin::wallet::WalletRules;
use confirmd_bitcoin::{
    AddressFormat, Anchor, BitcoinConfig, Bits, Difficulty, Hash256, Identity, ProofOfWork,
};
use confirmd_chain::{Confirmations, Height};
use confirmd_evm::Finality;

use crate::config::{Table, Value};

#[derive(Clone, Copy)]
enum Rule {
    Constant,
    Periods,
    PeriodsWithPauses,
    Asert,
}

const RULES: [(&str, Rule); 4] = [
    ("constant", Rule::Constant),
    ("periods", Rule::Periods),
    ("periods-with-pauses", Rule::PeriodsWithPauses),
    ("asert", Rule::Asert),
];
const HASH: &str = "a block's hash: 64 hex digits in lower case";
const TARGET: &str = "a compact target as headers have it: 8 hex digits";

const KEYS: [(&str, WalletRules); 2] = [("main", WalletRules::MAIN), ("test", WalletRules::TEST)];

/// The keys that this family has beside those that all have.
pub(super) fn facts(
    root: &Table<'_>,
    id: &str,
    finality: Option<Finality>,
) -> Option<BitcoinConfig> {
    let expected = "a block by which providers are known: { height = 0, hash = \"…\" }";
    let identity = root.required("identity", expected, |value| value.table(identity));
    let expected = "the rules of proof of work: { limit = \"1d00ffff\", difficulty = \"periods\" }";
    let work = root.required("proof_of_work", expected, |value| value.table(proof_of_work));
    let expected = "how addresses are written: { p2pkh = 0, p2sh = 5, bech32 = \"bc\" }";
    let addresses = root.required("addresses", expected, |value| value.table(addresses));
    let expected = "which extended keys are its own: { keys = \"main\", coin_type = 0 }";
    let wallets = root.required("wallets", expected, |value| value.table(wallets));
    let maturity = root.or("coinbase_maturity", 100, |value| value.integer(0..=1_000_000));
    let heights_from = root.or("heights_from", 1, height);
    let final_depth = match finality {
        Some(Finality::Depth(depth)) => Some(depth),
        Some(Finality::Tag(_)) => {
            root.fail_at("finality", "expected `depth`: this family has no tags");
            None
        }
        None => None,
    };
    Some(BitcoinConfig {
        network: id.to_owned(),
        identity: identity?,
        final_depth: final_depth?,
        proof_of_work: work?,
        addresses: addresses?,
        wallets: wallets?,
        coinbase_maturity: Confirmations(maturity),
        heights_from: Height(heights_from),
    })
}

fn height(value: &Value<'_>) -> Option<u64> {
    value.integer(0..=i64::MAX.unsigned_abs())
}

fn identity(table: &Table<'_>) -> Option<Identity> {
    let height = table.required("height", "the block's height", height);
    let hash = table
        .required("hash", HASH, |value| value.parsed(HASH, |text| text.parse::<Hash256>().ok()));
    Some(Identity { height: Height(height?), hash: hash? })
}

fn bits(value: &Value<'_>) -> Option<Bits> {
    value.parsed(TARGET, |text| {
        let bits = Bits(u32::from_str_radix(text, 16).ok()?);
        (text.len() == 8 && bits.target().is_some()).then_some(bits)
    })
}

fn proof_of_work(table: &Table<'_>) -> Option<ProofOfWork> {
    let limit = table.required("limit", TARGET, bits);
    let expected = "`constant`, `periods`, `periods-with-pauses` or `asert`";
    let rule = table.required("difficulty", expected, |value| value.choice(&RULES));
    let is_asert = matches!(rule, Some(Rule::Asert));
    if !is_asert && table.has("anchor") {
        table.fail_at("anchor", "is for the difficulty `asert`");
    }
    let difficulty = match rule? {
        Rule::Constant => Difficulty::Constant,
        Rule::Periods => Difficulty::Periods,
        Rule::PeriodsWithPauses => Difficulty::PeriodsWithPauses,
        Rule::Asert => {
            let expected = "where the schedule begins: { height, bits, parent_time }";
            let anchor = table.required("anchor", expected, |value| value.table(anchor));
            Difficulty::Asert(anchor?)
        }
    };
    Some(ProofOfWork { limit: limit?, difficulty })
}

fn anchor(table: &Table<'_>) -> Option<Anchor> {
    let height = table.required("height", "the anchor block's height", height);
    let bits = table.required("bits", TARGET, bits);
    let expected = "the time of the block before it, in seconds since 1970";
    let time = table.required("parent_time", expected, |v| v.integer(0..=u64::from(u32::MAX)));
    Some(Anchor { height: height?, bits: bits?, parent_time: time? })
}

fn addresses(table: &Table<'_>) -> Option<AddressFormat> {
    let version = |value: &Value<'_>| value.integer(0..=255);
    let expected = "a prefix of 1 to 20 lower-case letters";
    let prefix = |value: &Value<'_>| {
        value.parsed(expected, |text| {
            let plain = text.bytes().all(|byte| byte.is_ascii_lowercase());
            (plain && (1..=20).contains(&text.len())).then(|| text.to_owned())
        })
    };
    let p2pkh = table.required("p2pkh", "the version byte of base58 addresses", version);
    let p2sh = table.required("p2sh", "the version byte of base58 addresses of scripts", version);
    let bech32 = table.optional("bech32", prefix);
    let cashaddr = table.optional("cashaddr", prefix);
    Some(AddressFormat { p2pkh: p2pkh?, p2sh: p2sh?, bech32, cashaddr })
}

fn wallets(table: &Table<'_>) -> Option<WalletRules> {
    let rules = table.required("keys", "`main` (xpub) or `test` (tpub)", |v| v.choice(&KEYS));
    let expected = "the coin type of its paths, as SLIP-44 has it";
    let coin_type = table.required("coin_type", expected, |v| v.integer(0..=0x7fff_ffff));
    Some(WalletRules { coin_type: coin_type?, ..rules? })
}
