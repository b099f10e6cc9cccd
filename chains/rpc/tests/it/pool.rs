//! Who is asked, in which order, and who is put aside. The clock is tokio's and paused, so that
//! minutes pass at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use confirmd_chain::ChainError;
use confirmd_rpc::{
    AskError, CallError, ConfigError, Failure, Fault, FaultKind, Limits, Pool, Provider,
    ProviderConfig, RpcError,
};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::support::{config, pool_of};

/// A pool of providers that are never called: the attempts decide by their names.
fn pool(names: &[&str]) -> Pool {
    pool_of(&names.iter().map(|name| config(name, "http://127.0.0.1:1")).collect::<Vec<_>>())
}

/// Asks once; says whom, and what came of it.
async fn ask(
    pool: &Pool,
    answer: impl Fn(&Provider) -> Result<(), Failure> + Sync,
) -> (Vec<String>, Result<(), AskError>) {
    let asked = Mutex::new(Vec::new());
    let outcome = pool
        .ask(|provider: Arc<Provider>| {
            asked.lock().expect("not poisoned").push(provider.name().to_owned());
            let answer = answer(&provider);
            async { answer }
        })
        .await;
    (asked.into_inner().expect("not poisoned"), outcome)
}

fn healthy(pool: &Pool) -> Vec<bool> {
    pool.statuses().iter().map(|status| status.healthy).collect()
}

fn order(pool: &Pool) -> Vec<String> {
    pool.order().iter().map(|provider| provider.name().to_owned()).collect()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_serves_as_long_as_it_proves_its_answers() {
    let pool = pool(&["a", "b"]);
    for _ in 0..3 {
        assert_eq!(ask(&pool, |_| Ok(())).await, (vec!["a".to_owned()], Ok(())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_prove_its_answer_is_put_aside_and_the_next_serves_f1() {
    let pool = pool(&["a", "b"]);
    let lies = |provider: &Provider| match provider.name() {
        "a" => Err(Failure::unproven("no logs, though the bloom says so")),
        _ => Ok(()),
    };
    assert_eq!(ask(&pool, lies).await, (vec!["a".to_owned(), "b".to_owned()], Ok(())));
    assert_eq!(ask(&pool, lies).await.0, ["b"], "nobody asks it while it is put aside");

    let status = &pool.statuses()[0];
    assert!(!status.healthy);
    assert_eq!(status.faults["unproven"], 1);
    assert_eq!(status.faults["stale"], 0);
    let words = "unproven: no logs, though the bloom says so";
    assert_eq!(status.last_fault.as_deref(), Some(words));
    assert_eq!(order(&pool), ["b", "a"], "last, so that there is always somebody to ask");

    pass(1).await;
    assert_eq!(healthy(&pool), [true, true]);
    assert_eq!(order(&pool), ["b", "a"], "on probation behind the other");
    pass(60).await;
    assert_eq!(order(&pool), ["a", "b"], "as good as new");
}

#[tokio::test(start_paused = true)]
async fn what_fails_beside_the_blocks_is_counted_and_puts_nobody_aside_i9() {
    let pool = pool(&["a", "b"]);
    let beside = async |failure: Failure| {
        pool.ask_beside(|provider: Arc<Provider>| {
            let answer = if provider.name() == "a" { Err(failure.clone()) } else { Ok(()) };
            async { answer }
        })
        .await
    };
    let unreachable = CallError::Unreachable("no answer in time".to_owned());
    assert_eq!(beside(unreachable.into()).await, Ok(()), "the next one is asked");
    assert_eq!(healthy(&pool), [true, true]);
    assert_eq!(ask(&pool, |_| Ok(())).await.0, ["a"], "blocks are asked for as before");
    let status = &pool.statuses()[0];
    assert_eq!(status.faults["unreachable"], 1);
    assert_eq!(status.last_fault.as_deref(), Some("unreachable: no answer in time"));
    let limited = CallError::RateLimited { words: "slow down".to_owned(), retry_after: None };
    assert_eq!(beside(limited.into()).await, Ok(()));
    assert_eq!(healthy(&pool), [false, true], "it asked to be left alone");
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_counted_under_its_kind() {
    let faults = [
        (Failure::unproven("x"), "unproven"),
        (Failure::stale("x"), "stale"),
        (Failure::wrong_chain("x"), "wrong_chain"),
        (Failure::malformed("x"), "malformed"),
        (CallError::Unreachable("x".to_owned()).into(), "unreachable"),
        (CallError::Malformed("x".to_owned()).into(), "malformed"),
        (CallError::Refused(RpcError { code: 1, message: "x".to_owned() }).into(), "unreachable"),
        (
            CallError::RateLimited { words: "x".to_owned(), retry_after: None }.into(),
            "rate_limited",
        ),
    ];
    for (failure, kind) in faults {
        let pool = pool(&["a", "b"]);
        let by = |provider: &Provider| match provider.name() {
            "a" => Err(failure.clone()),
            _ => Ok(()),
        };
        assert_eq!(ask(&pool, by).await.0, ["a", "b"], "{kind}");
        assert_eq!(healthy(&pool), [false, true], "{kind}");
        let faults = &pool.statuses()[0].faults;
        assert_eq!(faults[kind], 1);
        assert_eq!(faults.values().sum::<u64>(), 1);
        assert_eq!(faults.len(), FaultKind::ALL.len(), "the status shows every kind");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_fault_puts_nobody_aside() {
    let missing = || Failure::Missing("null".to_owned());
    let unsupported = || Failure::Unsupported("eth_getBlockReceipts".to_owned());
    for failure in [missing(), unsupported(), Failure::Invalid("finalized".to_owned())] {
        let pool = pool(&["a", "b"]);
        let (asked, _) = ask(&pool, |_| Err(failure.clone())).await;
        assert_eq!(asked, ["a", "b"], "{failure}");
        assert_eq!(healthy(&pool), [true, true], "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn shrinking_and_giving_up_ask_nobody_else() {
    let failures: [(Failure, AskError); 2] = [
        (
            CallError::TooMuch("10001 results".to_owned()).into(),
            AskError::TooMuch("10001 results".to_owned()),
        ),
        (Failure::GiveUp("no".to_owned()), AskError::GiveUp("no".to_owned())),
    ];
    for (failure, expected) in failures {
        let pool = pool(&["a", "b"]);
        let outcome = ask(&pool, |_| Err(failure.clone())).await;
        assert_eq!(outcome, (vec!["a".to_owned()], Err(expected)));
        assert_eq!(healthy(&pool), [true, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_weighs_most_is_what_the_chain_hears() {
    let unproven = || Failure::unproven("u");
    let missing = || Failure::Missing("m".to_owned());
    let unreachable = || Failure::from(CallError::Unreachable("x".to_owned()));
    let unsupported = || Failure::Unsupported("s".to_owned());
    let invalid = || Failure::Invalid("i".to_owned());
    let wrong = || Failure::wrong_chain("w");
    let unavailable = |words: &str| ChainError::Unavailable(words.to_owned());
    let misconfigured = |words: &str| ChainError::Misconfigured(words.to_owned());
    let cases = [
        (missing(), unproven(), ChainError::Unproven("a: not there: m; b: unproven: u".to_owned())),
        (unreachable(), missing(), ChainError::NotFound),
        (unreachable(), unsupported(), unavailable("a: unreachable: x; b: unsupported: s")),
        (unreachable(), wrong(), unavailable("a: unreachable: x; b: wrong_chain: w")),
        (invalid(), unsupported(), misconfigured("a: invalid request: i; b: unsupported: s")),
        (wrong(), wrong(), misconfigured("a: wrong_chain: w; b: wrong_chain: w")),
    ];
    for (a, b, expected) in cases {
        let pool = pool(&["a", "b"]);
        let by =
            |provider: &Provider| Err(if provider.name() == "a" { a.clone() } else { b.clone() });
        let error = ask(&pool, by).await.1.expect_err("both fail");
        assert_eq!(ChainError::from(error), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_others_lack_is_not_given_up_while_one_is_put_aside() {
    let pool = pool(&["a", "b"]);
    let by = |provider: &Provider| match provider.name() {
        "a" => Err(Failure::stale("behind")),
        _ => Err(Failure::Unsupported("eth_getBlockReceipts".to_owned())),
    };
    for asked in [vec!["a", "b"], vec!["b"]] {
        let (who, outcome) = ask(&pool, by).await;
        assert_eq!(who, asked);
        let error = ChainError::from(outcome.expect_err("nobody can"));
        assert!(!matches!(error, ChainError::Misconfigured(_)), "{error}");
    }
}

#[tokio::test]
async fn asking_may_borrow_and_move_between_threads() {
    fn can_move<T: Send>(future: T) -> T {
        future
    }
    let pool = pool(&["a"]);
    let (block, full) = (String::from("0x1"), true);
    let asking = pool.ask(|provider| {
        let block = &block;
        async move {
            let answer = provider.call("eth_getBlockByNumber", (block, full)).await?;
            Ok(answer.decode::<Option<u64>>()?)
        }
    });
    can_move(asking).await.expect_err("nobody listens there");
}

#[tokio::test(start_paused = true)]
async fn with_all_put_aside_it_waits_for_the_first_to_come_back() {
    let pool = pool(&["a", "b"]);
    let fault = |time: u64| {
        let mut fault = Fault::new(FaultKind::RateLimited, "slow down");
        fault.retry_after = Some(Duration::from_secs(time));
        fault
    };
    let busy = |provider: &Provider| {
        Err(Failure::Fault(fault(if provider.name() == "a" { 25 } else { 20 })))
    };
    ask(&pool, busy).await.1.expect_err("both are busy");
    let began = Instant::now();
    assert_eq!(ask(&pool, |_| Ok(())).await, (vec!["b".to_owned()], Ok(())));
    assert!(began.elapsed() >= Duration::from_secs(20), "not a moment sooner");
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_patience_is_an_error_at_once_and_nobody_is_hammered() {
    let pool = pool(&["a"]);
    let mut fault = Fault::new(FaultKind::RateLimited, "daily request count exceeded");
    fault.retry_after = Some(Duration::from_secs(200));
    ask(&pool, |_| Err(fault.clone().into())).await.1.expect_err("busy");
    let began = Instant::now();
    let (asked, outcome) = ask(&pool, |_| Ok(())).await;
    assert!(asked.is_empty());
    let error = outcome.expect_err("nobody to ask").to_string();
    assert!(error.contains("a comes back in 20"), "{error}");
    assert!(error.contains("daily request count exceeded"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_only_provider_is_asked_every_fifteen_seconds_through_a_long_outage() {
    let pool = pool(&["a"]);
    let down = |_: &Provider| Err(CallError::Unreachable("refused".to_owned()).into());
    let began = Instant::now();
    let mut attempts = 0;
    while began.elapsed() < Duration::from_mins(30) {
        let (asked, outcome) = ask(&pool, down).await;
        outcome.expect_err("down");
        attempts += asked.len();
    }
    assert!((120..=126).contains(&attempts), "{attempts} attempts in half an hour");
    let recovered = Instant::now();
    ask(&pool, |_| Ok(())).await.1.expect("it is back");
    assert!(recovered.elapsed() <= Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn the_chain_id_is_checked_at_the_start_after_each_failover_and_after_a_fault() {
    let pool = pool(&["a", "b"]);
    let checks = Mutex::new(Vec::new());
    let check = |provider: &Provider| {
        if !provider.is_trusted() {
            checks.lock().expect("not poisoned").push(provider.name().to_owned());
            provider.trust();
        }
    };
    let works = |provider: &Provider| {
        check(provider);
        Ok(())
    };
    let a_fails = |provider: &Provider| {
        check(provider);
        if provider.name() == "a" { Err(Failure::stale("behind")) } else { Ok(()) }
    };
    let seen = || std::mem::take(&mut *checks.lock().expect("not poisoned"));

    ask(&pool, works).await.1.expect("a serves");
    ask(&pool, works).await.1.expect("a serves");
    assert_eq!(seen(), ["a"], "once at the start");
    ask(&pool, a_fails).await.1.expect("b serves");
    assert_eq!(seen(), ["b"], "b took over");
    pass(120).await;
    ask(&pool, works).await.1.expect("a serves again");
    assert_eq!(seen(), ["a"], "a took over");
    ask(&pool, a_fails).await.1.expect("b serves");
    assert_eq!(seen(), ["b"], "though it was checked before");
}

#[test]
fn a_pool_is_refused_with_words_that_name_the_provider_and_never_its_url_i12() {
    let refused = |providers: &[ProviderConfig]| {
        let error = Pool::new("testnet", providers, Limits::default()).expect_err("refused");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        error
    };
    let network = "testnet".to_owned();
    assert_eq!(refused(&[]), ConfigError::NoProviders { network: network.clone() });
    let twice = config("a", "http://127.0.0.1:1");
    let name = "a".to_owned();
    assert_eq!(refused(&[twice.clone(), twice]), ConfigError::DuplicateName { network, name });
    for url in ["", "s3cret", "ftp://h/s3cret", "https://", "http://[s3cret", "ws://h/s3cret"] {
        assert!(matches!(refused(&[config("a", url)]), ConfigError::Url { key: "url", .. }));
    }
    let mut ws = config("a", "http://127.0.0.1:1");
    ws.ws = Some(SecretString::from("http://h/s3cret"));
    assert!(matches!(refused(&[ws]), ConfigError::Url { key: "ws", .. }));
}

#[test]
fn a_provider_is_read_from_toml_and_unknown_keys_are_errors() {
    let text = r#"
        name = "main"
        url = "https://bsc.example/key"
        ws = "wss://bsc.example/key"
        requests_per_second = 20
    "#;
    let provider: ProviderConfig = toml::from_str(text).expect("a provider");
    assert_eq!(provider.name, "main");
    assert_eq!(provider.requests_per_second.map(u32::from), Some(20));
    assert!(provider.ws.is_some() && provider.batch_size.is_none());
    assert!(!format!("{provider:?}").contains("bsc.example"));
    for wrong in ["name = 1", "name = 'a'", "name = 'a'\nurl = 'u'\nrps = 1"] {
        assert!(toml::from_str::<ProviderConfig>(wrong).is_err(), "{wrong}");
    }
    let zero = "name = 'a'\nurl = 'u'\nrequests_per_second = 0";
    assert!(toml::from_str::<ProviderConfig>(zero).is_err());
}
