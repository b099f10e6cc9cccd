//! A simulator: one intent, and the chains on which it is paid.
//!
//! It does for settlement what the follower and the store do in the daemon: it keeps each
//! network's blocks, gives every transfer its place, and remembers when it was first seen.

use std::collections::{BTreeMap, BTreeSet};

use confirmd::settlement::{
    AmountPolicy, Change, Credit, Decision, Event, EventId, EventKind, Intent, IntentKey, Matching,
    MoneySeen, NetworkId, OrphanState, Outcome, Patch, PatchError, Place, Rail, Resolution,
    Resolve, ResolveError, Retraction, Role, Sighting, State, apply, cancel, expire, look_again,
    may_expire, patch, resolve,
};
use confirmd_chain::{
    Address, Amount, Asset, BlockHash, Confirmations, FeeRate, Height, Timestamp, TransactionId,
    TransferId, TransferIndex,
};

/// A block's time is its height times this.
pub(crate) const BLOCK_MS: i64 = 1_000;

/// The wall time of everything that happens, later than every block.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000_000);

/// One transfer in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pay {
    /// The transaction.
    pub(crate) tx: String,
    /// The asset's symbol: a rail's, or none of them.
    pub(crate) asset: String,
    /// How much, in base units.
    pub(crate) amount: u64,
    /// What it carries, if anything.
    pub(crate) reference: Option<String>,
    /// Where to; `receiver` where it is left out.
    pub(crate) to: Option<String>,
    /// Several intents could have meant it.
    pub(crate) is_ambiguous: bool,
    /// The confirmations before it can be spent.
    pub(crate) maturity: u32,
    /// The coin that its transaction spends; another one that spends it conflicts.
    pub(crate) coin: Option<String>,
}

impl Pay {
    /// Whether both cannot be mined.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        self.coin.is_some() && self.coin == other.coin && self.tx != other.tx
    }
}

/// A chain as its surviving blocks, from height 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// Each block's transfers.
    pub(crate) blocks: Vec<Vec<Pay>>,
}

/// An intent and its chains.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    /// The intent as it is now.
    pub(crate) intent: Intent,
    /// Its transfers as they are now.
    pub(crate) credits: Vec<Credit>,
    /// Every event so far.
    pub(crate) events: Vec<Event>,
    /// The chains by network.
    pub(crate) chains: BTreeMap<NetworkId, Chain>,
    /// When each transaction was first seen; kept over reorgs.
    pub(crate) seen: BTreeMap<String, Timestamp>,
    /// What was decided about orphans, and the payments as they were then; kept over reorgs.
    pub(crate) resolutions: BTreeMap<String, (Pay, Resolution)>,
    /// What mempools showed, by transaction, and the coins that are spent there; kept over reorgs.
    pub(crate) sightings: BTreeMap<String, (Pay, Sighting)>,
}

impl Sim {
    /// Nothing happened yet.
    pub(crate) fn new(intent: Intent) -> Self {
        let networks = intent.rails.iter().map(|rail| rail.network.clone());
        let chains = networks.map(|network| (network, Chain::default())).collect();
        Self {
            intent,
            credits: Vec::new(),
            events: Vec::new(),
            chains,
            seen: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            sightings: BTreeMap::new(),
        }
    }

    /// How far each network is followed.
    pub(crate) fn cursors(&self) -> BTreeMap<NetworkId, Height> {
        let cursor = |chain: &Chain| Height(chain.blocks.len() as u64);
        self.chains.iter().map(|(network, chain)| (network.clone(), cursor(chain))).collect()
    }

    /// Adds blocks in one step.
    pub(crate) fn extend(&mut self, network: &str, blocks: &[Vec<Pay>]) {
        self.step(network, None, blocks);
    }

    /// Takes back what is above `ancestor` and adds the new branch, in one step.
    pub(crate) fn reorg(&mut self, network: &str, ancestor: u64, blocks: &[Vec<Pay>]) {
        self.step(network, Some(Height(ancestor)), blocks);
    }

    fn step(&mut self, network: &str, ancestor: Option<Height>, blocks: &[Vec<Pay>]) {
        let network = NetworkId::from(network);
        let chain = self.chains.get_mut(&network).expect("a network of the intent");
        if let Some(ancestor) = ancestor {
            chain.blocks.truncate(usize::try_from(ancestor.0).expect("small"));
            for credit in self.credits.iter_mut().filter(|credit| credit.network == network) {
                if credit.place.as_ref().is_some_and(|place| place.height > ancestor) {
                    credit.place = None;
                }
            }
        }
        let from = Height(chain.blocks.len() as u64 + 1);
        chain.blocks.extend(blocks.iter().cloned());
        for (height, pays) in (from.0..).zip(blocks) {
            for (position, pay) in (0_u32..).zip(pays) {
                self.replace_by(pay);
                if pay.amount > 0 {
                    self.place(&network, Height(height), position, pay);
                }
            }
        }
        self.show_sightings();
        let cursors = self.cursors();
        let times = (1..=cursors[&network].0).map(|h| (Height(h), time_of(Height(h)))).collect();
        let change = Change {
            network: &network,
            rolled_back_to: ancestor,
            from,
            cursors: &cursors,
            times: &times,
            retraction: Retraction::Reorg,
            now: NOW,
        };
        let outcome = apply(self.intent.clone(), self.credits.clone(), &change);
        self.take(outcome);
    }

    fn place(&mut self, network: &NetworkId, height: Height, position: u32, pay: &Pay) {
        let seen = *self.seen.entry(pay.tx.clone()).or_insert_with(|| time_of(height));
        if self.resolutions.get(&pay.tx).is_some_and(|(then, _)| then != pay) {
            self.resolutions.remove(&pay.tx);
        }
        let hash = format!("{height}:{position}:{pay:?}");
        let place =
            Place { height, hash: BlockHash::new(hash.as_str()), time: time_of(height), position };
        if let Some((_, sighting)) = self.sightings.get_mut(&pay.tx) {
            sighting.replaced_by = None;
        }
        let credit_time = seen.min(time_of(height));
        self.put(Credit { place: Some(place), ..self.credit(network, pay, credit_time) });
    }

    /// A mempool shows these transactions; each replaces what conflicts with it.
    pub(crate) fn see(&mut self, network: &str, pays: &[Pay]) {
        let network = NetworkId::from(network);
        let now = time_of(self.cursors()[&network]);
        for pay in pays {
            self.replace_by(pay);
            if pay.amount > 0 {
                self.sight(&network, pay, now);
            }
        }
        self.show_sightings();
        let moment = (self.intent.clone(), self.credits.clone());
        self.take(look_again(moment.0, moment.1, &self.cursors(), now));
    }

    fn sight(&mut self, network: &NetworkId, pay: &Pay, now: Timestamp) {
        let is_known = self.credits.iter().any(|credit| credit.id.transaction.as_str() == pay.tx);
        let seen = *self.seen.entry(pay.tx.clone()).or_insert(now);
        if !is_known {
            self.put(self.credit(network, pay, seen));
        }
        let mut sighting = Sighting {
            fee_rate: FeeRate::new(10, 4),
            replaceable: true,
            shown_at: NOW,
            replaced_by: None,
        };
        // What a block holds is stronger than what a mempool shows.
        let mut mined = self.chains[network].blocks.iter().flatten();
        sighting.replaced_by = mined
            .find(|mined| mined.conflicts(pay))
            .map(|mined| TransactionId::new(mined.tx.as_str()));
        self.sightings.insert(pay.tx.clone(), (pay.clone(), sighting));
    }

    /// Notes that a transaction spends what others would have to.
    fn replace_by(&mut self, by: &Pay) {
        for (pay, sighting) in self.sightings.values_mut() {
            let stands = |block: &Vec<Pay>| block.iter().any(|mined| mined.tx == pay.tx);
            let is_mined = self.chains.values().any(|chain| chain.blocks.iter().any(stands));
            if pay.conflicts(by) && !is_mined {
                sighting.replaced_by = Some(TransactionId::new(by.tx.as_str()));
            }
        }
    }

    /// What mempools showed is known of every transfer, as the store keeps it.
    fn show_sightings(&mut self) {
        for credit in &mut self.credits {
            let shown = self.sightings.get(credit.id.transaction.as_str());
            credit.sighting = shown.map(|(_, sighting)| sighting.clone());
        }
    }

    /// A transfer that is in no block, as it is when it is first met.
    fn credit(&self, network: &NetworkId, pay: &Pay, credit_time: Timestamp) -> Credit {
        Credit {
            network: network.clone(),
            id: TransferId {
                transaction: TransactionId::new(pay.tx.as_str()),
                index: TransferIndex::Log(0),
            },
            asset: token(&pay.asset),
            symbol: pay.asset.clone(),
            decimals: 0,
            from: None,
            to: Address::from_canonical(pay.to.as_deref().unwrap_or("receiver")),
            amount: Amount::from(pay.amount),
            references: pay.reference.iter().cloned().collect(),
            is_ambiguous: pay.is_ambiguous,
            maturity: Confirmations(pay.maturity),
            place: None,
            sighting: None,
            credit_time,
            role: Role::Gone,
            confirmed_at: None,
            orphan: OrphanState::default(),
            resolution: self.resolutions.get(&pay.tx).map(|(_, resolution)| resolution.clone()),
        }
    }

    /// Adds a transfer, or puts it in the place of what was known of it.
    fn put(&mut self, found: Credit) {
        let known = self
            .credits
            .iter()
            .position(|credit| credit.network == found.network && credit.id == found.id);
        match known {
            Some(index) => {
                let Credit { orphan, confirmed_at, .. } = self.credits[index].clone();
                self.credits[index] = Credit { orphan, confirmed_at, ..found };
            }
            None => self.credits.push(found),
        }
    }

    /// Expires the intent if that is allowed by now.
    pub(crate) fn expire(&mut self) {
        let cursors = self.cursors();
        let deep_times = cursors.iter().map(|(network, cursor)| {
            let required = u64::from(self.intent.required_on(network).0);
            (network.clone(), time_of(cursor.minus(required - 1)))
        });
        if may_expire(&self.intent, &self.credits, &deep_times.collect(), NOW) {
            self.expire_now();
        }
    }

    /// Expires the intent, as was decided elsewhere.
    pub(crate) fn expire_now(&mut self) {
        self.take(expire(self.intent.clone(), self.credits.clone(), &self.cursors(), NOW));
    }

    /// Cancels the intent if nothing was seen.
    pub(crate) fn cancel(&mut self) -> Result<(), MoneySeen> {
        let outcome = cancel(self.intent.clone(), self.credits.clone(), &self.cursors(), NOW)?;
        self.take(outcome);
        Ok(())
    }

    /// Decides about an orphan; answers whether that changed anything.
    pub(crate) fn resolve(&mut self, tx: &str, decision: Decision) -> Result<bool, ResolveError> {
        let orphan = self.credits.iter().position(|credit| credit.id.transaction.as_str() == tx);
        let orphan = orphan.ok_or(ResolveError::NoOrphan)?;
        let cursors = self.cursors();
        let (actor, reason) = ("Ada", "asked for");
        let ask = Resolve { orphan, decision, actor, reason, cursors: &cursors, now: NOW };
        let outcomes = resolve((self.intent.clone(), self.credits.clone()), None, &ask)?;
        let changed = !outcomes.is_empty();
        outcomes.into_iter().for_each(|outcome| self.take(outcome));
        let mut pays = self.chains.values().flat_map(|chain| chain.blocks.iter().flatten());
        if let (Some(pay), Some(made)) =
            (pays.find(|pay| pay.tx == tx), &self.credits[orphan].resolution)
        {
            self.resolutions.insert(tx.to_owned(), (pay.clone(), made.clone()));
        }
        Ok(changed)
    }

    /// Attaches an orphan to the intent that has it.
    pub(crate) fn attach(&mut self, tx: &str) -> Result<bool, ResolveError> {
        self.resolve(tx, Decision::Attached(self.intent.key.id.clone()))
    }

    /// Requires another depth of its first rail.
    pub(crate) fn require(&mut self, depth: Confirmations) {
        self.intent.rails[0].required = depth;
        self.take(look_again(self.intent.clone(), self.credits.clone(), &self.cursors(), NOW));
    }

    /// Gives the intent other rails at a time.
    pub(crate) fn repoint(&mut self, rails: Vec<Rail>, at: Timestamp) -> Result<bool, PatchError> {
        let asked = Patch { rails: Some(rails), ..Patch::default() };
        let changed = patch(self.intent.clone(), &self.credits, asked, at)?;
        let is_changed = changed.is_some();
        if let Some(intent) = changed {
            for rail in &intent.rails {
                self.chains.entry(rail.network.clone()).or_default();
            }
            self.intent = intent;
        }
        Ok(is_changed)
    }

    /// Goes on with what became of it.
    pub(crate) fn take(&mut self, outcome: Outcome) {
        // As the store does: what is remembered goes through JSON.
        let state = serde_json::to_string(&outcome.intent.state).expect("a state is JSON");
        let state: State = serde_json::from_str(&state).expect("and reads back");
        assert_eq!(state, outcome.intent.state);
        self.intent = outcome.intent;
        self.credits = outcome.credits;
        // A replacement may have been first seen with what it replaced.
        for credit in &self.credits {
            let first = self.seen.entry(credit.id.transaction.to_string());
            let first = first.or_insert(credit.credit_time);
            *first = credit.credit_time.min(*first);
        }
        self.events.extend(outcome.events);
    }

    /// The events that no later one takes back.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Event> {
        let taken: BTreeSet<&EventId> =
            self.events.iter().flat_map(|event| &event.data.retracts).collect();
        self.events.iter().filter(move |event| !taken.contains(&event.id))
    }

    /// The events in short: `3 detected 10/10 depth 1/3 (t1 t2)`, `reverted … takes back 1 2`,
    /// `orphan.received t3 late`.
    pub(crate) fn story(&self) -> Vec<String> {
        self.events.iter().map(|event| self.tell(event)).collect()
    }

    fn tell(&self, event: &Event) -> String {
        let kind = event.kind.as_str().trim_start_matches("payment.");
        let reason = match event.data.reason {
            Some(Retraction::Replaced) => " replaced",
            _ => "",
        };
        let back: Vec<_> = event
            .data
            .retracts
            .iter()
            .map(|id| self.events.iter().find(|event| event.id == *id).expect("was told"))
            .map(|event| event.sequence.to_string())
            .collect();
        let back = match back.as_slice() {
            [] => String::new(),
            ids => format!(" takes back {}", ids.join(" ")),
        };
        if let Some(orphan) = &event.data.orphan {
            return format!("{kind} {} {}{back}", orphan.transaction, orphan.reason.as_str());
        }
        let view = event.data.intent.as_ref().expect("every payment event shows its intent");
        let rail = view.leading_rail().expect("an intent has a rail");
        let over = rail.overpaid_by.as_ref().map_or(String::new(), |by| format!(" +{by}"));
        let depth = format!("{}/{}", event.data.confirmations, event.data.required_confirmations);
        let sequence = event.sequence;
        format!("{sequence} {kind}{reason} {} {}{over} {depth}{back}", rail.rail_id, rail.received)
    }

    /// Each transfer's part, by transaction: `t1 pays r1`, `t2 late`, `t3 gone`.
    pub(crate) fn roles(&self) -> BTreeMap<String, String> {
        let role = |credit: &Credit| match credit.role {
            Role::Pays(rail) => format!("pays {}", self.intent.rails[rail].rail_id),
            Role::Orphan(reason) => reason.as_str().to_owned(),
            Role::Seen(rail) => format!("seen {}", self.intent.rails[rail].rail_id),
            Role::Gone if credit.replaced_by().is_some() => "replaced".to_owned(),
            Role::Gone => "gone".to_owned(),
        };
        let name = |credit: &Credit| credit.id.transaction.to_string();
        self.credits.iter().map(|credit| (name(credit), role(credit))).collect()
    }

    /// Whether every event is numbered after the one before it, per subject, under its own id.
    pub(crate) fn check_numbers(&self) {
        let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for event in &self.events {
            let newest = newest.entry(&event.subject).or_default();
            assert_eq!(event.sequence, *newest + 1, "sequences are contiguous");
            *newest = event.sequence;
            assert!(ids.insert(&event.id), "an id is used once");
            let again = EventId::derive(&event.account, &event.subject, event.sequence, event.kind);
            assert_eq!(event.id, again, "an id is stable");
        }
    }

    /// I6: no event tells more confirmations than required, and `confirmed` not fewer.
    pub(crate) fn check_depths(&self) {
        for event in &self.events {
            assert!(event.data.confirmations <= event.data.required_confirmations, "{event:?}");
            if event.kind == EventKind::PaymentConfirmed {
                assert_eq!(event.data.confirmations, event.data.required_confirmations);
            }
        }
    }
}

/// A block's time.
pub(crate) fn time_of(height: Height) -> Timestamp {
    Timestamp(i64::try_from(height.0).expect("small") * BLOCK_MS)
}

fn token(symbol: &str) -> Asset {
    Asset::Token(Address::from_canonical(symbol))
}

/// A rail: network, symbol, amount in base units, required depth.
pub(crate) fn rail(id: &str, network: &str, symbol: &str, amount: u64, required: u32) -> Rail {
    Rail {
        rail_id: id.to_owned(),
        network: network.into(),
        caip2: "eip155:1".to_owned(),
        chain_id: Some(1),
        asset: token(symbol),
        caip19: format!("eip155:1/erc20:{symbol}"),
        symbol: symbol.to_owned(),
        decimals: 0,
        amount: Amount::from(amount),
        address: Address::from_canonical("receiver"),
        matching: Matching::Address,
        policy: AmountPolicy::AtLeast,
        required: Confirmations(required),
        token_account: None,
        payment_uri: None,
        replaced_at: None,
    }
}

/// An intent that expires at a time, in ms.
pub(crate) fn intent(rails: Vec<Rail>, expires_at: i64) -> Intent {
    Intent {
        key: IntentKey { account: "default".to_owned(), id: "order-1".to_owned() },
        rails,
        created_at: Timestamp(0),
        expires_at: Timestamp(expires_at),
        tolerance: "0".parse().expect("valid"),
        confirmations: None,
        endpoints: vec!["backend".to_owned()],
        wants_progress: false,
        metadata: serde_json::json!({}),
        dialect_data: serde_json::json!({}),
        state: State::new(Timestamp(0)),
    }
}

/// Reads blocks: `t1=5 | t2=3 t3=2@EUR | -` is three of them; `t1=5#ref` carries a reference,
/// `t1=5>old` goes to another address, `t1=5?` could be meant for several intents, and `t1=5~100`
/// cannot be spent before it has 100 confirmations. `t1=5$c1` spends the coin `c1`, and `x$c1` does
/// so without paying.
pub(crate) fn blocks(text: &str) -> Vec<Vec<Pay>> {
    let pay = |word: &str| {
        let (word, coin) = word.split_once('$').map_or((word, None), |(word, c)| (word, Some(c)));
        let (word, maturity) = word.split_once('~').unwrap_or((word, "0"));
        let (tx, rest) = word.split_once('=').unwrap_or((word, "0"));
        let is_ambiguous = rest.ends_with('?');
        let rest = rest.trim_end_matches('?');
        let (rest, to) = rest.split_once('>').map_or((rest, None), |(rest, to)| (rest, Some(to)));
        let (rest, reference) =
            rest.split_once('#').map_or((rest, None), |(rest, told)| (rest, Some(told)));
        let (amount, asset) = rest.split_once('@').unwrap_or((rest, "USD"));
        Pay {
            tx: tx.to_owned(),
            asset: asset.to_owned(),
            amount: amount.parse().expect("a number"),
            reference: reference.map(str::to_owned),
            to: to.map(str::to_owned),
            is_ambiguous,
            maturity: maturity.parse().expect("a number"),
            coin: coin.map(str::to_owned),
        }
    };
    let block = |text: &str| text.split_whitespace().filter(|w| *w != "-").map(pay).collect();
    text.split('|').map(block).collect()
}
