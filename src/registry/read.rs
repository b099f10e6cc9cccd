//! From a registry file's tree to a network.

use std::collections::BTreeSet;

use confirmd_chain::{Address, Amount, Asset, Confirmations, Height};
use confirmd_evm::{FeeProxies, Finality, ReceiptEncoding, Tag};
use confirmd_solana::TokenProgram;

use super::{AssetInfo, Explorer, Family, Network, bitcoin};
use crate::config::{MAX_CONFIRMATIONS, Table, Value, is_name, providers};

const FAMILIES: [(&str, Family); 3] =
    [("evm", Family::Evm), ("bitcoin", Family::Bitcoin), ("solana", Family::Solana)];
const ENCODINGS: [(&str, ReceiptEncoding); 3] = [
    ("ethereum", ReceiptEncoding::Ethereum),
    ("optimism", ReceiptEncoding::Optimism),
    ("arbitrum", ReceiptEncoding::Arbitrum),
];
const PROGRAMS: [(&str, TokenProgram); 2] =
    [("token", TokenProgram::Token), ("token-2022", TokenProgram::Token2022)];
/// Ether's coin type in SLIP-44, which networks with ether as native coin share.
const SLIP44_ETHER: u32 = 60;
/// 10^77 is the largest power of ten that an amount can hold; no asset comes near.
const MOST_DECIMALS: u64 = 36;

pub(super) fn network(root: &Table<'_>) -> Option<Network> {
    let expected = "an id of 1 to 64 characters of a-z, 0-9, `_` and `-`";
    let id = root.required("id", expected, |value| {
        let lower = |text: &str| is_name(text) && !text.bytes().any(|b| b.is_ascii_uppercase());
        value.parsed(expected, |text| lower(text).then(|| text.to_owned()))
    });
    let name = root.required("name", "the network's name", text);
    let short_name = root.optional("short_name", text).or_else(|| name.clone());
    let words = "`evm`, `bitcoin` or `solana`";
    let family = root.required("family", words, |v| v.choice(&FAMILIES));
    let known_family = family.unwrap_or(Family::Evm);
    let caip2 = root.required("caip2", "a CAIP-2 id such as \"eip155:56\"", |value| {
        value.parsed("a CAIP-2 id such as \"eip155:56\"", |text| {
            is_caip2(text).then(|| text.to_owned())
        })
    });
    let chain_id = chain_id(root, known_family, caip2.as_deref());
    let block_time = root.required("block_time", "a duration such as \"12s\"", Value::duration);
    let confirmations =
        root.required("confirmations", "such as { default = 50, floor = 12 }", |value| {
            value.table(confirmations)
        });
    let finality = root
        .required("finality", "{ tag = \"finalized\" } or { depth = 64 }", |v| v.table(finality));
    let chain = caip2.clone().unwrap_or_default();
    let assets = assets(root, known_family, &chain);
    let bitcoin = match known_family {
        Family::Bitcoin => bitcoin::facts(root, id.as_deref().unwrap_or_default(), finality),
        Family::Evm | Family::Solana => None,
    };
    if family == Some(Family::Bitcoin) && bitcoin.is_none() {
        return None;
    }
    if family == Some(Family::Solana) && matches!(finality, Some(Finality::Depth(_))) {
        root.fail_at(
            "finality",
            "expected { tag = \"finalized\" }, as this family's nodes tell it",
        );
    }
    let confirmations = confirmations?;
    Some(Network {
        receipts: root.optional("receipts", |value| value.choice(&ENCODINGS)),
        verify_from: root
            .or("verify_from", Height(0), |v| v.integer(0..=i64::MAX.unsigned_abs()).map(Height)),
        zero_bloom: root.or("zero_bloom", false, Value::boolean),
        traces: root.optional("traces", Value::boolean),
        bitcoin,
        explorer: root.optional("explorer", |value| value.table(explorer)),
        fee_proxies: root.or("fee_proxies", FeeProxies::default(), |v| {
            v.table(|t| fee_proxies(t, known_family))
        }),
        id: id?,
        name: name?,
        short_name: short_name?,
        family: family?,
        caip2: caip2?,
        chain_id,
        block_time: block_time?,
        confirmations: confirmations.0,
        floor: confirmations.1,
        finality: finality?,
        providers: providers(root),
        assets: assets?,
        origin: root.origin(),
    })
}

fn text(value: &Value<'_>) -> Option<String> {
    value.parsed("a text that is not empty", |text| {
        (!text.trim().is_empty()).then(|| text.to_owned())
    })
}

/// `namespace:reference`, as CAIP-2 has it.
fn is_caip2(text: &str) -> bool {
    let Some((namespace, reference)) = text.split_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (3..=8).contains(&namespace.len())
        && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && (1..=32).contains(&reference.len())
        && reference.bytes().all(plain)
}

fn chain_id(root: &Table<'_>, family: Family, caip2: Option<&str>) -> Option<u64> {
    let read = |value: &Value<'_>| value.integer(1..=i64::MAX.unsigned_abs());
    if family != Family::Evm {
        let chain_id = root.optional("chain_id", read);
        if chain_id.is_some() {
            root.fail_at("chain_id", format!("is for the family `evm`; this one is `{family}`"));
        }
        return None;
    }
    let chain_id = root.required("chain_id", "the EVM chain id", read)?;
    let expected = format!("eip155:{chain_id}");
    if caip2.is_some_and(|caip2| caip2 != expected) {
        root.fail_at("caip2", format!("expected \"{expected}\", as `chain_id` says"));
    }
    Some(chain_id)
}

fn confirmations(table: &Table<'_>) -> Option<(Confirmations, Confirmations)> {
    let number = |value: &Value<'_>| value.integer::<u32>(1..=u64::from(MAX_CONFIRMATIONS));
    let default = table.required("default", "the confirmations of an ordinary intent", number);
    let floor = table.required("floor", "the fewest confirmations that may be asked for", number);
    let (default, floor) = (default?, floor?);
    if default < floor {
        table.fail_at("default", format!("expected at least the floor, {floor}"));
    }
    Some((Confirmations(default), Confirmations(floor)))
}

fn finality(table: &Table<'_>) -> Option<Finality> {
    let tags = [("finalized", Finality::Tag(Tag::Finalized)), ("safe", Finality::Tag(Tag::Safe))];
    let tag = table.optional("tag", |value| value.choice(&tags));
    let depth = table.optional("depth", |value| value.integer(1..=1_000_000));
    if table.has("tag") == table.has("depth") {
        table.fail_at("tag", "expected either `tag` or `depth`");
    }
    tag.or(depth.map(Finality::Depth))
}

fn explorer(table: &Table<'_>) -> Option<Explorer> {
    let page = |key: &'static str| {
        let expected = "an https URL in which `{}` stands for the id";
        table.required(key, expected, |value| {
            value.parsed(expected, |text| {
                let right = text.starts_with("https://") && text.matches("{}").count() == 1;
                right.then(|| text.to_owned())
            })
        })
    };
    let (transaction, address) = (page("transaction"), page("address"));
    Some(Explorer { transaction: transaction?, address: address? })
}

fn fee_proxies(table: &Table<'_>, family: Family) -> Option<FeeProxies> {
    let proxy = |value: &Value<'_>| address(value, family);
    Some(FeeProxies {
        erc20: table.optional("erc20", proxy),
        native: table.optional("native", proxy),
    })
}

fn assets(root: &Table<'_>, family: Family, caip2: &str) -> Option<Vec<AssetInfo>> {
    let expected = "such as { symbol = \"ETH\", name = \"Ether\", decimals = 18 }";
    let native = root.required("native", expected, |v| v.table(|t| native(t, caip2)));
    let tokens =
        root.or("tokens", Vec::new(), |v| v.list(|v| v.table(|t| token(t, family, caip2))));
    let assets: Vec<_> = native.into_iter().chain(tokens).collect();
    let (mut symbols, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for info in &assets {
        if !symbols.insert(&info.symbol) {
            root.fail_at("tokens", format!("two assets have the symbol `{}`", info.symbol));
        }
        if !seen.insert(&info.asset) {
            root.fail_at("tokens", format!("{} is there twice", info.asset));
        }
    }
    Some(assets)
}

fn native(table: &Table<'_>, caip2: &str) -> Option<AssetInfo> {
    let symbol = table.required("symbol", SYMBOL, symbol);
    let name = table.required("name", "the coin's name", text);
    let decimals = decimals(table);
    let slip44 = table.or("slip44", SLIP44_ETHER, |value| value.integer(0..=0x7fff_ffff));
    let min_deposit = min_deposit(table, decimals);
    Some(AssetInfo {
        asset: Asset::Native,
        symbol: symbol?,
        name: name?,
        decimals: decimals?,
        caip19: format!("{caip2}/slip44:{slip44}"),
        min_deposit,
        program: TokenProgram::default(),
    })
}

fn token(table: &Table<'_>, family: Family, caip2: &str) -> Option<AssetInfo> {
    let symbol = table.required("symbol", SYMBOL, symbol);
    let name = table.required("name", "the token's name", text);
    let address =
        table.required("address", "the token's contract or mint", |value| address(value, family));
    let decimals = decimals(table);
    let min_deposit = min_deposit(table, decimals);
    let program = match family {
        Family::Solana => table.or("program", TokenProgram::default(), |v| v.choice(&PROGRAMS)),
        Family::Evm | Family::Bitcoin => TokenProgram::default(),
    };
    let address = address?;
    let namespace = if family == Family::Evm { "erc20" } else { "token" };
    Some(AssetInfo {
        caip19: format!("{caip2}/{namespace}:{address}"),
        asset: Asset::Token(address),
        symbol: symbol?,
        name: name?,
        decimals: decimals?,
        min_deposit,
        program,
    })
}

const SYMBOL: &str = "a symbol such as \"USDT\", 1 to 16 characters of A-Z, a-z, 0-9 and `.`";

fn symbol(value: &Value<'_>) -> Option<String> {
    value.parsed(SYMBOL, |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        // `native` is what every network's own coin is called.
        let right = (1..=16).contains(&text.len()) && plain && text != "native";
        right.then(|| text.to_owned())
    })
}

fn decimals(table: &Table<'_>) -> Option<u8> {
    table.required("decimals", "the digits behind the point", |v| v.integer(0..=MOST_DECIMALS))
}

fn min_deposit(table: &Table<'_>, decimals: Option<u8>) -> Amount {
    table.or("min_deposit", Amount::ZERO, |value| {
        // Without decimals no amount can be read; that they are missing is recorded already.
        let decimals = decimals?;
        let expected = format!("a decimal string with at most {decimals} decimals");
        value.parsed(&expected, |text| Amount::parse_decimal(text, decimals).ok())
    })
}

/// An address in its family's canonical text.
fn address(value: &Value<'_>, family: Family) -> Option<Address> {
    let read = match family {
        Family::Evm => confirmd_evm::parse_address,
        Family::Solana => confirmd_solana::parse_address,
        Family::Bitcoin => return text(value).map(Address::from_canonical),
    };
    // Not even an address is quoted: what was written may be a private key (I12).
    let text = value.string()?;
    read(&text).map_or_else(|error| value.fail(error.to_string()), Some)
}
