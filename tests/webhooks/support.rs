//! What the stories are told with: intents, events, stores, and a courier at work.

use std::collections::BTreeMap;
use std::time::Duration;

use confirmd::clock::Clock;
use confirmd::config::{Dialect, Endpoint};
use confirmd::settlement::{
    AmountPolicy, Credit, Event, EventId, EventKind, Intent, IntentKey, IntentView, Matching,
    NetworkId, OrphanState, Place, Rail, Role, State, Tolerance,
};
use confirmd::store::{Delivery, DeliveryFilter, NewDelivery, NumberedAttempt, Store};
use confirmd::webhook::{Courier, Endpoints, Waker};
use confirmd_chain::{
    Address, Amount, Asset, BlockHash, Confirmations, Height, Timestamp, TransactionId, TransferId,
    TransferIndex,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xtask::postgres::Database;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_767_225_600_000);
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OLD_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn anvil() -> NetworkId {
    NetworkId::from("anvil")
}

/// An intent of 12.5 USDT that reports to these endpoints.
pub(crate) fn intent(id: &str, endpoints: &[&str]) -> Intent {
    let token = "0x55d398326f99059fF775485246999027B3197955";
    Intent {
        key: IntentKey { account: "default".into(), id: id.into() },
        rails: vec![Rail {
            rail_id: "r1".into(),
            network: anvil(),
            caip2: "eip155:31337".into(),
            chain_id: Some(31_337),
            asset: Asset::from(token),
            caip19: format!("eip155:31337/erc20:{token}"),
            symbol: "USDT".into(),
            decimals: 18,
            amount: Amount::parse_decimal("12.5", 18).unwrap(),
            address: Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            matching: Matching::Address,
            policy: AmountPolicy::AtLeast,
            required: Confirmations(12),
            token_account: None,
            payment_uri: None,
            replaced_at: None,
        }],
        created_at: START,
        expires_at: START.plus_ms(3_600_000),
        tolerance: Tolerance::default(),
        confirmations: None,
        endpoints: endpoints.iter().map(ToString::to_string).collect(),
        wants_progress: false,
        metadata: serde_json::json!({ "order_id": "ORD-1" }),
        dialect_data: serde_json::json!({}),
        state: State::new(START),
    }
}

/// A payment of an intent's rail, in block 100.
pub(crate) fn credit(intent: &Intent, amount: &str) -> Credit {
    let rail = &intent.rails[0];
    Credit {
        network: rail.network.clone(),
        id: TransferId {
            transaction: TransactionId::new(format!("0x{}", "ab".repeat(32))),
            index: TransferIndex::Log(3),
        },
        asset: rail.asset.clone(),
        symbol: rail.symbol.clone(),
        decimals: rail.decimals,
        from: None,
        to: rail.address.clone(),
        amount: Amount::parse_decimal(amount, rail.decimals).unwrap(),
        references: Vec::new(),
        is_ambiguous: false,
        maturity: Confirmations(0),
        place: Some(Place {
            height: Height(100),
            hash: BlockHash::new(format!("0x{}", "cd".repeat(32))),
            time: START.plus_ms(60_000),
            position: 0,
        }),
        sighting: None,
        credit_time: START.plus_ms(60_000),
        role: Role::Pays(0),
        confirmed_at: None,
        orphan: OrphanState::default(),
        resolution: None,
    }
}

/// An event of the intent, with its transfers, as of this height.
pub(crate) fn event(
    intent: &Intent,
    credits: &[Credit],
    height: u64,
    sequence: u32,
    kind: EventKind,
) -> Event {
    let cursors = BTreeMap::from([(anvil(), Height(height))]);
    let view = IntentView::at(intent, credits, &cursors, START);
    let id = EventId::derive(&intent.key.account, &intent.key.id, sequence, kind);
    Event::of_intent(id, kind, &intent.key, sequence, START.plus_ms(60_000), view)
}

/// An endpoint on this machine.
pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        url: url.parse().unwrap(),
        dialect: Dialect::Standard,
        secrets: vec![SECRET.into()],
        events: None,
        allow_private: true,
        max_in_flight: 256,
    }
}

pub(crate) fn endpoints<const N: usize>(list: [(&str, Endpoint); N]) -> BTreeMap<String, Endpoint> {
    list.into_iter().map(|(name, endpoint)| (name.to_owned(), endpoint)).collect()
}

/// Tells a story on an empty SQLite store, and on an empty PostgreSQL one.
pub(crate) async fn on_both(story: impl AsyncFn(Store)) {
    crate::log::keep();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/confirmd.db", folder.path().display());
    let store = Store::open(&url).await.unwrap();
    story(store.clone()).await;
    store.close().await;
    let database = Database::create("webhooks").await.unwrap();
    let store = Store::open(database.url()).await.unwrap();
    story(store.clone()).await;
    store.close().await;
}

/// Commits one `payment.detected` for each subject and sequence, as a step of the watcher does.
pub(crate) async fn commit(
    store: &Store,
    to: &str,
    events: impl IntoIterator<Item = (String, u32)>,
) {
    let mut transaction = store.begin().await.unwrap();
    for (id, sequence) in events {
        let event = event(&intent(&id, &[to]), &[], 100, sequence, EventKind::PaymentDetected);
        let delivery = NewDelivery { endpoint: to.to_owned(), body: event.body() };
        transaction.record_event(&event, &[delivery], START).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// `order-0`, `order-1`, …, each with its first event.
pub(crate) fn orders(n: usize) -> impl Iterator<Item = (String, u32)> {
    (0..n).map(|i| (format!("order-{i}"), 1))
}

/// A courier at work.
pub(crate) struct Work {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) waker: Waker,
    pub(crate) endpoints: Endpoints,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Work {
    pub(crate) fn start<const N: usize>(
        store: &Store,
        clock: &Clock,
        list: [(&str, Endpoint); N],
    ) -> Self {
        Self::start_with_grace(store, clock, list, Duration::ZERO)
    }

    pub(crate) fn start_with_grace<const N: usize>(
        store: &Store,
        clock: &Clock,
        list: [(&str, Endpoint); N],
        grace: Duration,
    ) -> Self {
        let endpoints = Endpoints::new(self::endpoints(list), None);
        let courier = Courier::new(store.clone(), endpoints.clone(), clock.clone()).unwrap();
        let (waker, stop) = (courier.waker(), CancellationToken::new());
        let task = tokio::spawn(courier.run(stop.clone(), grace));
        Self { store: store.clone(), clock: clock.clone(), waker, endpoints, stop, task }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Moves the clock to this time.
    pub(crate) fn advance_to(&self, time: Timestamp) {
        let ms = u64::try_from(time.0 - self.clock.now().0).unwrap();
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Waits until the only delivery of an intent is as wanted.
    pub(crate) async fn delivery(
        &self,
        intent: &str,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> (Delivery, Vec<NumberedAttempt>) {
        let found = async || {
            let delivery = only(&self.store, intent).await;
            wanted(&delivery.0).then_some(delivery)
        };
        eventually(found, intent).await
    }

    /// Waits until so many deliveries are in this state.
    pub(crate) async fn count(&self, filter: &DeliveryFilter, n: u64) {
        let reached =
            async || (self.store.count_deliveries(filter).await.unwrap() == n).then_some(());
        eventually(reached, &format!("{n} of {filter:?}")).await;
    }
}

pub(crate) async fn only(store: &Store, intent: &str) -> (Delivery, Vec<NumberedAttempt>) {
    let filter = DeliveryFilter { intent: Some(intent.to_owned()), ..DeliveryFilter::default() };
    let found = store.deliveries(&filter, None, 2).await.unwrap();
    assert_eq!(found.len(), 1, "deliveries of {intent}");
    store.delivery(&found[0].id).await.unwrap().unwrap()
}

/// Waits for a condition, with a deadline.
pub(crate) async fn eventually<T>(found: impl AsyncFn() -> Option<T>, what: &str) -> T {
    let waiting = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(SOON, waiting).await;
    found.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
