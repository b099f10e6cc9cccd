//! Payments in all their forms, and a chain that changes its mind.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use confirmd::clock::Clock;
use confirmd::settlement::rfc3339;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use xtask::anvil::Anvil;
use xtask::erc20::Erc20;

use crate::dice::Dice;
use crate::instance::Api;

/// Whole coins that every intent asks for.
const AMOUNT: u64 = 100;
/// Further payments go to one of the newest intents, while they change.
const NEWEST: usize = 12;

/// What a backend waits for.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    id: String,
    address: Address,
    expires_at: String,
}

impl Intent {
    /// The request that makes it: the same however often it is made.
    pub(crate) fn request(&self) -> Value {
        let rail = json!({ "network": "anvil", "asset": "USDC", "amount": AMOUNT.to_string(),
            "address": self.address.to_string() });
        json!({ "id": self.id, "rails": [rail], "expires_at": self.expires_at })
    }
}

/// A backend's customers.
pub(crate) struct Traffic {
    anvil: &'static Anvil,
    token: Erc20<'static>,
    dice: Dice,
    expires_at: String,
    intents: Vec<Intent>,
    /// Nothing more is paid to these: whether it would be seen before or after what was paid
    /// first, and so what the first event tells, is for the backfill's pace to say.
    prepaid: Vec<Intent>,
    /// The heights of blocks that others took the place of.
    replaced: BTreeSet<u64>,
}

/// What was made of the orders.
pub(crate) struct Made {
    /// Every intent.
    pub(crate) intents: Vec<Intent>,
    /// The heights of blocks that others took the place of.
    pub(crate) replaced: BTreeSet<u64>,
}

impl Traffic {
    /// A token, and nobody who paid with it yet.
    pub(crate) async fn new(anvil: &'static Anvil, dice: Dice) -> Self {
        let token =
            Erc20::deploy(anvil, "USD Coin", "USDC", U256::MAX >> 1).await.expect("deploys");
        // Blocks come faster than their clock ticks, so the chain runs ahead of the wall.
        let expires_at = rfc3339(Clock::system().now().plus_ms(7 * 86_400_000));
        let (intents, prepaid) = (Vec::new(), Vec::new());
        Self { anvil, token, dice, expires_at, intents, prepaid, replaced: BTreeSet::new() }
    }

    /// The token's contract.
    pub(crate) fn token(&self) -> Address {
        self.token.address
    }

    /// Makes a payment for every order, until there are no more.
    pub(crate) async fn run(mut self, api: Api, mut orders: mpsc::Receiver<()>) -> Made {
        while orders.recv().await.is_some() {
            self.pay_somebody(&api).await;
            if self.dice.percent(60) {
                self.anvil.mine(1).await.expect("mines");
            }
            if self.dice.percent(8) {
                let blocks = 1 + self.dice.below(4);
                self.anvil.mine(blocks).await.expect("mines");
            }
            if self.dice.percent(5) {
                self.reorganise().await;
            }
        }
        Made { intents: [self.intents, self.prepaid].concat(), replaced: self.replaced }
    }

    async fn pay_somebody(&mut self, api: &Api) {
        let newcomer = self.intents.is_empty() || self.dice.percent(40);
        if newcomer {
            let intent = self.intent();
            let to = intent.address;
            // Some are paid before they are made (I13).
            let coins = [AMOUNT, AMOUNT, 30, 99, 140][self.choice(5)];
            if self.dice.percent(15) {
                self.pay(to, coins).await;
                self.anvil.mine(1).await.expect("mines");
                api.create(&intent).await;
                self.prepaid.push(intent);
            } else {
                api.create(&intent).await;
                self.pay(to, coins).await;
                self.intents.push(intent);
            }
        } else {
            let newest = self.intents.len().min(NEWEST);
            let index = self.intents.len() - 1 - self.choice(newest);
            let coins = [AMOUNT, 70, 30, 1][self.choice(4)];
            self.pay(self.intents[index].address, coins).await;
        }
    }

    fn choice(&mut self, of: usize) -> usize {
        usize::try_from(self.dice.below(of as u64)).expect("a small number")
    }

    fn intent(&self) -> Intent {
        let number = (self.intents.len() + self.prepaid.len()) as u64 + 1;
        let mut address = [0xc5; 20];
        address[12..].copy_from_slice(&number.to_be_bytes());
        Intent {
            id: format!("order-{number}"),
            address: address.into(),
            expires_at: self.expires_at.clone(),
        }
    }

    async fn pay(&self, to: Address, coins: u64) {
        let units = U256::from(coins) * U256::from(10).pow(U256::from(18));
        self.token.transfer(to, units).await.expect("pays");
    }

    /// Replaces up to four blocks. Some of their payments come back in a block of the new branch,
    /// the rest never happened.
    async fn reorganise(&mut self) {
        // A transaction in the pool would miss those before it that vanish.
        self.anvil.mine(1).await.expect("mines");
        let head = self.anvil.block_number().await.expect("a height");
        // The token itself stays.
        let depth = (1 + self.dice.below(4)).min(head - 1);
        let mut lost: Vec<B256> = Vec::new();
        for height in head + 1 - depth..=head {
            let params = json!([format!("{height:#x}"), false]);
            let block: Value =
                self.anvil.call("eth_getBlockByNumber", params).await.expect("a block");
            self.replaced.insert(height);
            lost.extend(
                serde_json::from_value::<Vec<B256>>(block["transactions"].clone()).expect("hashes"),
            );
        }
        // Of one sender's transactions only the first ones can come back: their nonces say so.
        let kept = self.choice(lost.len() + 1);
        let at = self.dice.below(depth);
        let placed: Vec<_> = lost.into_iter().take(kept).map(|hash| (hash, at)).collect();
        self.anvil.reorg_again(depth, &placed).await.expect("reorganises");
    }
}
