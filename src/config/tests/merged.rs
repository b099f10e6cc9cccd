//! The configuration together with the shipped registry.

use super::*;

#[test]
fn a_network_is_followed_by_registry_and_configuration_together() {
    let settings = follow(FULL).expect("right");
    let [bsc] = &settings.networks[..] else { panic!("anvil is not enabled") };
    assert_eq!(
        (bsc.threshold, bsc.threshold_source),
        (Confirmations(100), ThresholdSource::Config)
    );
    assert_eq!((bsc.verify, bsc.quorum), (Verify::Logs, 2));
    assert_eq!(bsc.poll_interval, Duration::from_millis(750));
    assert_eq!(bsc.providers.len(), 2);
    let usdt =
        bsc.asset("eip155:56/erc20:0x55d398326f99059fF775485246999027B3197955").expect("USDT");
    assert_eq!(usdt.confirmations, Some(Confirmations(50)));
    assert_eq!(usdt.minimum.to_decimal(18), "1.5");
    let usdc = bsc.asset("USDC").expect("shipped");
    assert_eq!((usdc.confirmations, usdc.minimum.to_decimal(18)), (None, "1".to_owned()));

    let plain = follow("[networks.bsc]\n[networks.base]\n[networks.arbitrum]\n").expect("right");
    let [arbitrum, base, bsc] = &plain.networks[..] else { panic!("three networks") };
    assert_eq!(
        (bsc.threshold, bsc.threshold_source),
        (Confirmations(200), ThresholdSource::Default)
    );
    for network in [arbitrum, base, bsc] {
        assert_eq!(network.verify, Verify::Receipts, "{}", network.network.id);
    }
    assert_eq!(bsc.poll_interval, Duration::from_millis(500));
    assert_eq!(base.poll_interval, Duration::from_secs(1));
    assert_eq!(bsc.providers[0].name, "publicnode");
}

#[test]
fn a_mempool_is_looked_at_as_often_as_the_head_unless_it_says_otherwise() {
    let text = "[networks.regtest]\npoll_interval = \"2s\"\nmempool_interval = \"30s\"\n\
                [networks.signet]\npoll_interval = \"3s\"\n\
                [[networks.signet.providers]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\n\
                [[networks.regtest.providers]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\n";
    let settings = follow(text).expect("right");
    let intervals = settings.networks.iter().map(|network| network.mempool_interval.as_secs());
    assert_eq!(intervals.collect::<Vec<_>>(), [30, 3]);
    let refused = follow("[networks.bsc]\nmempool_interval = \"30s\"\n").expect_err("refused");
    assert_eq!(
        refused.problems[0].to_string(),
        format!(
            "{FILE}:2: networks.bsc.mempool_interval: is for the family `bitcoin`; this one is \
             `evm`"
        )
    );
}

#[test]
fn a_change_of_any_setting_of_a_provider_is_a_change_of_its_network() {
    let with = |url: &str, lines: &str| {
        follow(&format!(
            "[networks.regtest]\n[[networks.regtest.providers]]\nname = \"a\"\n\
             url = \"http://127.0.0.1:{url}\"\n{lines}"
        ))
        .expect("right")
    };
    let before = with("1", "");
    assert!(Changes::between(&before, &with("1", "")).is_empty());
    for (url, lines) in
        [("2", ""), ("1", "zmq = \"tcp://127.0.0.1:3\"\n"), ("1", "requests_per_second = 5\n")]
    {
        let changes = Changes::between(&before, &with(url, lines));
        let ids: Vec<_> = changes.changed.iter().map(|change| change.network.as_str()).collect();
        assert_eq!(ids, ["regtest"], "{url} {lines}");
    }
}

#[test]
fn a_threshold_below_the_floor_is_raised_and_said() {
    let text = "[networks.bsc]\nthreshold = 3\n\
                [[networks.bsc.providers]]\nname = \"a\"\nurl = \"https://bsc.example\"\n\
                [networks.bsc.tokens.native]\nconfirmations = 14\n";
    let settings = follow(text).expect("right");
    assert_eq!(settings.networks[0].threshold, Confirmations(15));
    let native = settings.networks[0].asset("BNB").expect("native");
    assert_eq!(native.confirmations, Some(Confirmations(15)));
    let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    let below = "is below the floor of bsc, so 15 is used";
    assert_eq!(
        warnings,
        [
            format!("{FILE}:2: networks.bsc.threshold: 3 {below}"),
            format!("{FILE}:7: networks.bsc.tokens.native.confirmations: 14 {below}"),
        ]
    );
}

#[test]
fn what_the_registry_does_not_allow_is_refused_by_name() {
    let unknown = "there is `anvil`, `arbitrum`, `base`, `bitcoin`, `bitcoincash`, `bsc`, `ethereum`, \
         `optimism`, `polygon`, `regtest`, `signet`, `solana`, `solana-devnet`, `solana-localnet` \
         or `testnet4`";
    let cases = [
        ("[networks.etherium]\n",
         "1: networks.etherium: no registry file has the id `etherium`; did you mean `ethereum`?"
            .to_owned()),
        ("[networks.tron]\n",
         format!("1: networks.tron: no registry file has the id `tron`; {unknown}")),
        ("[networks.arbitrum]\nverify = \"receipts\"\nstart = 1\n",
         "2: networks.arbitrum.verify: `receipts` is refused for arbitrum: `start = 1` is below \
          22207818, from where on the registry allows it".to_owned()),
        ("[networks.polygon]\nverify = \"receipts\"\nstart = 80084799\n",
         "2: networks.polygon.verify: `receipts` is refused for polygon: `start = 80084799` is \
          below 80084800, from where on the registry allows it".to_owned()),
        ("[networks.anvil]\nquorum = 2\n",
         "2: networks.anvil.quorum: expected at most the number of providers, 1, found 2"
            .to_owned()),
        ("[networks.regtest]\nverify = \"logs\"\n",
         "2: networks.regtest.verify: is for the family `evm`; this one is `bitcoin`".to_owned()),
        ("[networks.solana]\ntraces = true\n",
         "2: networks.solana.traces: is for the family `evm`; this one is `solana`".to_owned()),
        ("[networks.bsc]\n[[networks.bsc.providers]]\nname = \"a\"\n\
          url = \"https://a.example\"\nzmq = \"tcp://127.0.0.1:1\"\n",
         "2: networks.bsc.providers: `zmq` of `a` is for the family `bitcoin`; this one is `evm`"
            .to_owned()),
        ("[networks.regtest]\n[[networks.regtest.providers]]\nname = \"a\"\n\
          url = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:2\"\n",
         "2: networks.regtest.providers: `ws` of `a` is for the families `evm` and `solana`; this \
          one is `bitcoin`".to_owned()),
        ("[networks.bsc.tokens.USDX]\n",
         "1: networks.bsc.tokens.USDX: bsc has no asset `USDX`; did you mean `USDC`?".to_owned()),
        ("[networks.ethereum.tokens.USDC]\nminimum = \"0.0000001\"\n",
         "2: networks.ethereum.tokens.USDC.minimum: has 7 decimals, the asset has 6".to_owned()),
    ];
    for (text, expected) in cases {
        let error = follow(text).expect_err(&expected);
        assert_eq!(error.to_string(), format!("{FILE}:{expected}"), "\n{text}");
    }
}

#[test]
fn a_check_says_what_is_unused_or_weak_and_what_it_amounts_to() {
    let text = "[endpoints.spare]\nurl = \"https://a.example\"\ndialect = \"amn\"\n\
                secrets = [\"short\"]\n[networks.anvil]\n";
    let report = check::report(Path::new(FILE), follow(text)).to_string();
    let expected = "\
warning: config/confirmd.toml: endpoints.spare: only intents that name it send events there: it \
is neither in `defaults.endpoints` nor `defaults.ops_endpoint`
warning: config/confirmd.toml: defaults.endpoints: is empty: intents that name no endpoint of \
their own report to nobody
warning: config/confirmd.toml: keys: is empty: nobody can call the API
warning: config/confirmd.toml: endpoints.spare.secrets: has one of fewer than 16 characters
network anvil (eip155:31337): 3 confirmations, verify receipts, ETH from local
endpoint spare (amn) at a.example
config/confirmd.toml: ok, 4 warnings";
    assert_eq!(report, expected);

    let report = check(Path::new("no/such/confirmd.toml"));
    assert!(!report.is_ok());
    assert!(report.to_string().starts_with("error: no/such/confirmd.toml: cannot be read: "));
    assert!(report.to_string().ends_with("no/such/confirmd.toml: 1 error, 0 warnings"));
}
