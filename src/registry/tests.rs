use std::fs;
use std::path::Path;

use confirmd_bitcoin::script::Script;
use confirmd_chain::Address;
use confirmd_evm::Tag;
use proptest::prelude::*;

use super::*;

fn shipped() -> Registry {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/networks");
    Registry::load(&[folder]).expect("the shipped registry is right")
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("random bytes");
        let path = std::env::temp_dir().join(format!("confirmd-test-{}", hex::encode(random)));
        fs::create_dir_all(&path).expect("a folder");
        for (name, text) in files {
            fs::write(path.join(name), text).expect("a file");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(id: &str, chain_id: u64, name: &str) -> String {
    format!(
        r#"
id = "{id}"
name = "{name}"
family = "evm"
caip2 = "eip155:{chain_id}"
chain_id = {chain_id}
block_time = "2s"
confirmations = {{ default = 10, floor = 2 }}
finality = {{ depth = 64 }}
native = {{ symbol = "ETH", name = "Ether", decimals = 18 }}
"#
    )
}

#[test]
fn the_shipped_networks_have_their_facts() {
    let registry = shipped();
    // id, chain id, default, floor, native symbol, receipts encoding
    use ReceiptEncoding::{Arbitrum, Ethereum, Optimism};
    let expected = [
        ("anvil", 31337, 3, 1, "ETH", Ethereum),
        ("arbitrum", 42161, 240, 40, "ETH", Arbitrum),
        ("base", 8453, 60, 10, "ETH", Optimism),
        ("bsc", 56, 200, 15, "BNB", Ethereum),
        ("ethereum", 1, 50, 12, "ETH", Ethereum),
        ("optimism", 10, 60, 10, "ETH", Optimism),
        ("polygon", 137, 128, 16, "POL", Ethereum),
    ];
    let evm: Vec<_> = registry.networks().filter(|network| network.family == Family::Evm).collect();
    assert_eq!(evm.len(), expected.len());
    for (network, expected) in evm.into_iter().zip(expected) {
        let (id, chain_id, default, floor, native, receipts) = expected;
        assert_eq!(network.id, id);
        assert_eq!(network.chain_id, Some(chain_id), "{id}");
        assert_eq!(network.caip2, format!("eip155:{chain_id}"), "{id}");
        assert_eq!((network.confirmations.0, network.floor.0), (default, floor), "{id}");
        assert_eq!(network.assets[0].symbol, native, "{id}");
        assert_eq!(network.receipts, Some(receipts), "{id}");
        assert_eq!(network.finality, Finality::Tag(Tag::Finalized), "{id}");
        assert!(!network.zero_bloom && !network.providers.is_empty(), "{id}");
    }
    for network in registry.networks() {
        let from = match network.id.as_str() {
            "arbitrum" => 22_207_818,
            "optimism" => 105_235_063,
            "polygon" => 80_084_800,
            _ => 0,
        };
        assert_eq!(network.verify_from, Height(from), "{}", network.id);
    }
}

#[test]
fn the_shipped_networks_of_bitcoin_s_family_have_their_facts() {
    let registry = shipped();
    // id, first bytes of an address's text, easiest target, default, floor
    let expected = [
        ("bitcoin", "bc1q", 0x1d00_ffff, 6, 1),
        ("bitcoincash", "bitcoincash:q", 0x1d00_ffff, 15, 6),
        ("regtest", "bcrt1q", 0x207f_ffff, 3, 1),
        ("signet", "tb1q", 0x1e03_77ae, 3, 1),
        ("testnet4", "tb1q", 0x1d00_ffff, 6, 1),
    ];
    let ours = |network: &&Arc<Network>| network.family == Family::Bitcoin;
    assert_eq!(registry.networks().filter(ours).count(), expected.len());
    for (network, expected) in registry.networks().filter(ours).zip(expected) {
        let (id, address, limit, default, floor) = expected;
        assert_eq!(network.id, id);
        assert_eq!((network.confirmations.0, network.floor.0), (default, floor), "{id}");
        let facts = network.bitcoin.as_ref().expect("its facts");
        assert_eq!((facts.network.as_str(), facts.final_depth), (id, 100));
        assert_eq!(facts.proof_of_work.limit.0, limit, "{id}");
        let hash = [7; 20];
        let script = match id {
            "bitcoincash" => Script::P2pkh(hash),
            _ => Script::P2wpkh(hash),
        };
        let text = facts.addresses.text(&script).expect("an address");
        assert!(text.as_str().starts_with(address), "{text}");
        // CAIP-2's bip122: the first 32 digits of the block by which the chain is known; Bitcoin
        // itself is known by its first block, though it shares that with Bitcoin Cash.
        let known = &facts.identity.hash.to_string()[..32];
        assert_eq!(network.caip2 == format!("bip122:{known}"), id != "bitcoin", "{id}");
        assert_eq!(network.assets[0].decimals, 8);
    }
}

#[test]
fn the_shipped_clusters_of_solana_have_their_facts() {
    let registry = shipped();
    const USDC: &str = "USDC EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
    const USDT: &str = "USDT Es9vMFrzaCERmJfrF4H2FYD4KCoNky11McCe8BenwNYB";
    const EURC: &str = "EURC HzwqbKZw8HxMN6bF2yFZNrht3c2iXXzpKcFu7uBEDKtr";
    const DEVNET_USDC: &str = "USDC 4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU";
    let expected = [
        ("solana", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", vec![USDC, USDT, EURC]),
        ("solana-devnet", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", vec![DEVNET_USDC, EURC]),
        ("solana-localnet", "solana:localnet", vec![USDC, USDT, EURC]),
    ];
    let ours = |network: &&Arc<Network>| network.family == Family::Solana;
    assert_eq!(registry.networks().filter(ours).count(), expected.len());
    for (network, (id, caip2, mints)) in registry.networks().filter(ours).zip(expected) {
        assert_eq!((network.id.as_str(), network.caip2.as_str()), (id, caip2));
        // 32 confirmations are the network's own word for final.
        assert_eq!(network.confirmations, confirmd_solana::FINAL_DEPTH, "{id}");
        assert_eq!(network.finality, Finality::Tag(Tag::Finalized), "{id}");
        let (coin, tokens) = network.assets.split_first().expect("the coin");
        assert_eq!(
            (coin.decimals, coin.caip19.clone()),
            (9, format!("{caip2}/slip44:501")),
            "{id}"
        );
        let shown = tokens.iter().map(|token| format!("{} {}", token.symbol, token.asset));
        assert_eq!(shown.collect::<Vec<_>>(), mints, "{id}");
        assert!(tokens.iter().all(|token| token.decimals == 6), "{id}");
    }
}

#[test]
fn the_shipped_tokens_have_their_addresses_and_decimals() {
    let registry = shipped();
    let expected = [
        ("ethereum", "USDC", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", 6),
        ("ethereum", "USDT", "0xdAC17F958D2ee523a2206206994597C13D831ec7", 6),
        ("bsc", "USDC", "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d", 18),
        ("bsc", "USDT", "0x55d398326f99059fF775485246999027B3197955", 18),
        ("polygon", "USDC", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", 6),
        ("polygon", "USDT", "0xc2132D05D31c914a87C6611C10748AEb04B58e8F", 6),
        ("base", "USDC", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", 6),
        ("base", "USDT", "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2", 6),
        ("arbitrum", "USDC", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", 6),
        ("arbitrum", "USDT", "0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9", 6),
        ("optimism", "USDC", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85", 6),
        ("optimism", "USDT", "0x94b008aA00579c1307B0EF2c499aD98a8ce58e58", 6),
    ];
    for (network, symbol, address, decimals) in expected {
        let network = registry.network(network).expect("shipped");
        let info = network.asset(symbol).expect("shipped");
        assert_eq!(info.asset, Asset::Token(Address::from_canonical(address)), "{symbol}");
        assert_eq!(info.decimals, decimals, "{symbol} on {}", network.id);
        assert_eq!(info.caip19, format!("{}/erc20:{address}", network.caip2));
        assert_eq!(info.min_deposit.to_decimal(decimals), "1");
    }
    let evm = registry.networks().filter(|network| network.family == Family::Evm);
    let tokens = evm.map(|network| network.assets.len() - 1).sum::<usize>();
    assert_eq!(tokens, expected.len(), "every shipped token is in the table");
}

/// What is written in mixed case passed its checksum when it was read; this makes sure that the
/// files have nothing without one.
#[test]
fn every_shipped_address_carries_its_checksum() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/networks");
    let mut addresses = 0;
    for entry in fs::read_dir(folder).expect("the folder") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a text");
        for (at, _) in text.match_indices("\"0x") {
            let address = &text[at + 1..at + 43];
            let parsed: alloy_primitives::Address = address.parse().expect("an address");
            assert_eq!(parsed.to_checksum(None), address);
            addresses += 1;
        }
    }
    assert_eq!(addresses, 12 + 6 * 2, "twelve tokens and two fee proxies on six networks");
}

/// A line that begins with `#` and no blank is a key that may be left out, as in the configuration.
#[test]
fn every_key_that_the_example_of_a_registry_file_explains_exists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/network.example.toml");
    let example = fs::read_to_string(path).expect("the example");
    let all = example.lines().fold(String::new(), |text, line| {
        let key = line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        text + key.unwrap_or(line) + "\n"
    });
    for (text, receipts) in [(&example, None), (&all, Some(ReceiptEncoding::Ethereum))] {
        let folder = Folder::new(&[("example.toml", text.as_str())]);
        let registry = Registry::load(std::slice::from_ref(&folder.0)).expect("every key exists");
        let network = registry.network("example").expect("the example");
        assert_eq!((network.assets.len(), network.receipts), (2, receipts));
    }
}

#[test]
fn a_network_and_an_asset_are_found_under_all_their_names() {
    let registry = shipped();
    for name in ["bsc", "eip155:56", "56"] {
        assert_eq!(registry.network(name).map(|network| network.id.as_str()), Some("bsc"));
    }
    for name in ["BSC", "eip155:057", "tron", "", "-1", "99"] {
        assert!(registry.network(name).is_none(), "{name}");
    }
    let bsc = registry.network("bsc").expect("shipped");
    for (name, expected) in [
        ("USDT", Some("USDT")),
        ("0x55d398326f99059ff775485246999027b3197955", Some("USDT")),
        ("0x55d398326f99059fF775485246999027B3197955", Some("USDT")),
        ("eip155:56/erc20:0x55d398326f99059ff775485246999027b3197955", Some("USDT")),
        ("native", Some("BNB")),
        ("BNB", Some("BNB")),
        ("eip155:56/slip44:714", Some("BNB")),
        ("usdt", None), // symbols are as they are written: a look-alike is another token
        ("Native", None),
        ("eip155:1/slip44:60", None),
        ("0xdAC17F958D2ee523a2206206994597C13D831ec7", None),
    ] {
        assert_eq!(bsc.asset(name).map(|info| info.symbol.as_str()), expected, "{name}");
    }
    let usdt = bsc.asset("USDT").expect("shipped");
    assert_eq!(bsc.asset_info(&usdt.asset), Some(usdt));
    let explorer = bsc.explorer.as_ref().expect("shipped");
    assert_eq!(explorer.transaction("0xab"), "https://bscscan.com/tx/0xab");
    assert_eq!(explorer.address("0xcd"), "https://bscscan.com/address/0xcd");
}

#[test]
fn what_is_wrong_with_a_registry_file_is_named() {
    let token = |address: &str| {
        format!("[[tokens]]\nsymbol = \"T\"\nname = \"T\"\naddress = \"{address}\"\ndecimals = 6\n")
    };
    let right = file("one", 1, "One");
    let cases = [
        (
            right.replace("chain_id = 1\n", "chain_id = 2\n"),
            "5: caip2: expected \"eip155:2\", as `chain_id` says",
        ),
        (
            right.replace("floor = 2", "floor = 20"),
            "8: confirmations.default: expected at least the floor, 20",
        ),
        (
            right.replace("block_time = \"2s\"\n", ""),
            "1: block_time: is missing; expected a duration such as \"12s\"",
        ),
        (right.replace("family", "famly"), "4: famly: unknown key; did you mean `family`?"),
        (
            right.replace("\"evm\"", "\"evn\""),
            "4: family: expected `evm`, `bitcoin` or `solana`, found \"evn\"; did you mean `evm`?",
        ),
        (
            right.replace("{ depth = 64 }", "{ tag = \"finalized\", depth = 64 }"),
            "9: finality.tag: expected either `tag` or `depth`",
        ),
        (
            right.clone() + &token("0xdAC17F958D2ee523a2206206994597C13D831eC7"),
            "14: tokens[0].address: the checksum is wrong; check the address for typing errors",
        ),
        (
            right.clone() + &token("0xdac17f958d2ee523a2206206994597c13d831ec7").repeat(2),
            "11: tokens: two assets have the symbol `T`",
        ),
    ];
    for (text, expected) in cases {
        let folder = Folder::new(&[("one.toml", &text)]);
        let error = Registry::load(std::slice::from_ref(&folder.0)).expect_err(expected);
        let file = folder.0.join("one.toml").display().to_string();
        let found: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert!(found.contains(&format!("{file}:{expected}")), "{expected}\nfound {found:#?}");
    }
}

#[test]
fn two_files_of_one_id_or_chain_are_refused() {
    let (one, again) = (file("one", 1, "One"), file("one", 2, "Again"));
    let folder = Folder::new(&[("a.toml", &one), ("b.toml", &again), ("notes.txt", "x")]);
    let error = Registry::load(std::slice::from_ref(&folder.0)).expect_err("one id");
    assert!(error.to_string().contains("b.toml:2: id: `one` is the id of "), "{error}");

    let other = file("other", 1, "Other");
    let folder = Folder::new(&[("a.toml", &one), ("b.toml", &other)]);
    let error = Registry::load(std::slice::from_ref(&folder.0)).expect_err("one chain");
    let message = "b.toml:5: caip2: `eip155:1` is the chain of `one` as well";
    assert!(error.to_string().ends_with(message), "{error}");

    let nowhere = Registry::load(&[folder.0.join("nowhere")]).expect_err("no folder");
    assert!(nowhere.to_string().contains("expected a folder of registry files"), "{nowhere}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the folders hold, a network is the one of the last folder that has it.
    #[test]
    fn a_later_folders_file_wins(
        folders in prop::collection::vec(prop::collection::btree_set(0_u64..4, 0..4), 1..4)
    ) {
        let mut expected = BTreeMap::new();
        let mut written = Vec::new();
        for (position, ids) in folders.iter().enumerate() {
            let mut files = Vec::new();
            for id in ids {
                let (id, chain_id) = (format!("n{id}"), id + 1);
                let name = format!("from {position}");
                files.push((format!("{position}-{id}.toml"), file(&id, chain_id, &name)));
                expected.insert(id, name);
            }
            let files: Vec<_> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
            written.push(Folder::new(&files));
        }
        let paths: Vec<PathBuf> = written.iter().map(|folder| folder.0.clone()).collect();
        let registry = Registry::load(&paths).expect("all files are right");
        let found: BTreeMap<String, String> =
            registry.networks().map(|n| (n.id.clone(), n.name.clone())).collect();
        prop_assert_eq!(found, expected);
    }
}
