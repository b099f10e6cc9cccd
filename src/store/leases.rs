//! Leases: which instance follows which network. Their times are the database's, so that the
//! clocks of the instances need not agree.
//!
//! A lease only says who should follow. What keeps a former follower from writing is the
//! [`Fence`](super::Fence), whose epoch rises whenever a network is taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::database::{Result, Store, column, json, to_json};
use crate::settlement::NetworkId;

/// A network's lease that has not run out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub instance: String,
    /// How long it lasts unless it is renewed.
    pub remaining: Duration,
}

/// Who lives and who follows what, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// The networks that each living instance can follow.
    pub instances: BTreeMap<String, BTreeSet<NetworkId>>,
    /// The leases that have not run out.
    pub held: BTreeMap<NetworkId, Lease>,
}

impl Store {
    /// Notes that an instance lives and which networks it can follow, renews its leases, also one
    /// that ran out and that nobody took, and answers how all leases stand. What a gone instance
    /// had claimed of the outbox is given back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_leases(
        &self,
        instance: &str,
        networks: &BTreeSet<NetworkId>,
        lease: Duration,
    ) -> Result<Leases> {
        let now = self.kind.now();
        let heard = format!(
            "INSERT INTO instances (instance, networks, until) VALUES ($1, $2, {now} + $3)
             ON CONFLICT (instance) DO UPDATE SET networks = $2, until = {now} + $3"
        );
        sqlx::query(AssertSqlSafe(heard))
            .bind(instance)
            .bind(to_json(networks)?)
            .bind(millis(lease))
            .execute(&self.write)
            .await?;
        let renewed = format!("UPDATE leases SET until = {now} + $2 WHERE instance = $1");
        sqlx::query(AssertSqlSafe(renewed))
            .bind(instance)
            .bind(millis(lease))
            .execute(&self.write)
            .await?;
        let gone = format!("DELETE FROM instances WHERE until <= {now} RETURNING instance");
        let gone: Vec<(String,)> =
            sqlx::query_as(AssertSqlSafe(gone)).fetch_all(&self.write).await?;
        for (gone,) in &gone {
            self.return_claims_of(gone).await?;
        }
        self.leases().await
    }

    async fn leases(&self) -> Result<Leases> {
        let now = self.kind.now();
        let living = format!("SELECT instance, networks FROM instances WHERE until > {now}");
        let rows = sqlx::query(AssertSqlSafe(living)).fetch_all(&self.write).await?;
        let instance = |row: &AnyRow| Ok((column(row, "instance")?, json(row, "networks")?));
        let instances = rows.iter().map(instance).collect::<Result<_>>()?;
        let held = format!(
            "SELECT network, instance, until - {now} AS remaining FROM leases WHERE until > {now}"
        );
        let rows = sqlx::query(AssertSqlSafe(held)).fetch_all(&self.write).await?;
        let lease = |row: &AnyRow| {
            let remaining: i64 = column(row, "remaining")?;
            let remaining = Duration::from_millis(u64::try_from(remaining).unwrap_or(0));
            let network: String = column(row, "network")?;
            Ok((network.as_str().into(), Lease { instance: column(row, "instance")?, remaining }))
        };
        Ok(Leases { instances, held: rows.iter().map(lease).collect::<Result<_>>()? })
    }

    /// Takes the lease of a network, if nobody has it or it has run out. Answers whether it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_lease(
        &self,
        network: &NetworkId,
        instance: &str,
        lease: Duration,
    ) -> Result<bool> {
        let now = self.kind.now();
        let text = format!(
            "INSERT INTO leases (network, instance, until) VALUES ($1, $2, {now} + $3)
             ON CONFLICT (network) DO UPDATE SET instance = $2, until = {now} + $3
                 WHERE leases.until <= {now}"
        );
        let done = sqlx::query(AssertSqlSafe(text))
            .bind(network.as_str())
            .bind(instance)
            .bind(millis(lease))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a lease back, so that another instance need not wait until it has run out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up_lease(&self, network: &NetworkId, instance: &str) -> Result<()> {
        sqlx::query("DELETE FROM leases WHERE network = $1 AND instance = $2")
            .bind(network.as_str())
            .bind(instance)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Gives every lease of an instance back, which lives no longer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up_leases(&self, instance: &str) -> Result<()> {
        for table in ["instances", "leases"] {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE instance = $1")))
                .bind(instance)
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }

    /// Whoever used a SQLite file before is gone: its lock file says so.
    pub(super) async fn forget_instances(&self) -> Result<()> {
        for table in ["instances", "leases"] {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&self.write).await?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
