//! The store: every SQL statement of confirmd, for SQLite and PostgreSQL alike.
//!
//! One text of each query serves both databases; only lock clauses differ. A step's effects are
//! written in one [`Transaction`], so a crash falls before it or after it (I1).

mod backfills;
mod blocks;
mod database;
mod deliveries;
mod deposits;
mod events;
mod intents;
mod leases;
mod matching;
mod networks;
mod open;
mod orphans;
mod outbox;
mod outcome;
mod rails;
mod repoint;
mod scans;
mod status;
mod tally;
mod thresholds;
mod transfers;
mod unconfirmed;
mod wallets;

pub use backfills::Backfill;
pub use database::{Kind, Result, Store, StoreError, Transaction};
pub use deliveries::{
    Attempt, Delivery, DeliveryFilter, DeliveryState, EndpointCounts, NumberedAttempt, Retry,
};
pub use deposits::{DepositFilter, WalletDeposit};
pub use events::{Actor, LoggedEvent, NewDelivery, TimelineEntry};
pub use intents::{CreateError, IntentFilter, NewIntent};
pub use leases::{Lease, Leases};
pub use networks::{Awaited, Cursor, Fence, NetworkRow};
pub use orphans::{Orphan, OrphanFilter, OrphanStatus};
pub use outbox::{AttemptOutcome, Claimed, Next};
pub use outcome::Recording;
pub use repoint::Repoint;
pub use scans::Scan;
pub use status::{BesideStatus, FollowerState, FollowerStatus, ProviderState};
pub use thresholds::{Required, ThresholdChange};
pub use transfers::Found;
pub use unconfirmed::Sighted;
pub use wallets::{NewAddress, Wallet, WalletAddress, Which};
