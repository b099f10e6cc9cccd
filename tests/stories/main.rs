//! The stories that confirmd is for, told against real nodes and real databases: the daemon as it
//! runs, with its configuration file, its API and its webhooks.

#![allow(clippy::expect_used, reason = "a test's helper that fails, fails the test")]

mod bitcoin;
mod cli;
mod cluster;
mod databases;
mod descriptors;
mod explain;
mod fleet;
mod forks;
mod instances;
mod lifecycle;
mod mempool;
mod orphans;
mod payments;
mod providers;
mod proxy;
#[path = "../shared/qr.rs"]
mod qr;
mod rails;
mod readme;
mod receiver;
mod reload;
mod reorgs;
mod rig;
mod solana;
mod verify;
mod wallets;
