//! The outbox: deliveries are claimed, attempted by the courier, and their outcomes written.
//!
//! A delivery is `waiting`, `in_flight` under a claim, or finished: `taken`, `dead` or
//! `superseded`. Whoever claims it holds a token; the outcome of an attempt is written only under
//! that token, and a claim that ran out makes the delivery wait again (F16).

use std::collections::BTreeMap;

use confirmd_chain::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::database::{Kind, Result, Store, Transaction, column, number, signed};
use super::deliveries::{Attempt, DeliveryState, pause};

/// How many waiting retries of an endpoint one success brings forward.
const BROUGHT_FORWARD: u64 = 10;

/// A delivery that this process alone may attempt now. It is consumed by the outcome.
#[derive(Debug)]
pub struct Claimed {
    id: String,
    endpoint: String,
    claim: String,
    /// The event's id.
    pub event: String,
    /// What is to be posted.
    pub body: String,
    /// How many attempts were made before.
    pub attempts: u32,
    /// Its place in the retry schedule: how many of the schedule's attempts failed.
    pub step: u32,
    /// Its time by the schedule, where this attempt was brought forward.
    pub resume_at: Option<Timestamp>,
}

/// What comes after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was taken.
    Taken,
    /// Another attempt.
    Again {
        /// When.
        at: Timestamp,
        /// The delivery's place in the retry schedule.
        step: u32,
        /// The time that the schedule or the endpoint set; a success does not bring the delivery
        /// forward (again) before it.
        resume_at: Option<Timestamp>,
        /// Whether later events need not wait for this one any more.
        passable: bool,
    },
    /// The endpoint asked not to be called: it is paused, and the delivery held.
    Pause {
        /// What it answered, for people.
        reason: String,
    },
    /// Nothing: it is given up.
    Dead,
}

/// How an attempt went and what comes after it.
#[derive(Debug)]
pub struct AttemptOutcome {
    claimed: Claimed,
    attempt: Attempt,
    next: Next,
}

impl Claimed {
    /// The delivery's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What became of the attempt that it was claimed for.
    #[must_use]
    pub const fn outcome(self, attempt: Attempt, next: Next) -> AttemptOutcome {
        AttemptOutcome { claimed: self, attempt, next }
    }
}

impl AttemptOutcome {
    /// The endpoint's name.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.claimed.endpoint
    }
}

/// Whether a waiting delivery `d` may be attempted once its time has come: a first attempt waits
/// until the endpoint took the subject's earlier events, gave them up or refused them.
const IN_TURN: &str = "
    (d.attempts > 0 OR NOT EXISTS (
        SELECT 1 FROM deliveries earlier
        WHERE earlier.endpoint = d.endpoint AND earlier.account = d.account
            AND earlier.subject = d.subject AND earlier.sequence < d.sequence
            AND earlier.state IN ('waiting', 'in_flight') AND earlier.passable = 0))
    AND NOT EXISTS (SELECT 1 FROM paused_endpoints p WHERE p.endpoint = d.endpoint)";

/// What the courier needs.
impl Store {
    /// When an endpoint next has something to do: a delivery whose turn it is falls due, or a
    /// claim runs out. Asks no lock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self, endpoint: &str) -> Result<Option<Timestamp>> {
        let text = format!(
            "SELECT MIN(due) AS due FROM (
                 SELECT claim_until AS due FROM deliveries
                     WHERE endpoint = $1 AND state = 'in_flight'
                 UNION ALL
                 SELECT due FROM (SELECT d.next_at AS due FROM deliveries d
                     WHERE d.endpoint = $1 AND d.state = 'waiting' AND {IN_TURN}
                     ORDER BY d.next_at LIMIT 1) AS first) AS times"
        );
        let row = sqlx::query(AssertSqlSafe(text)).bind(endpoint).fetch_one(&self.read).await?;
        Ok(column::<Option<i64>>(&row, "due")?.map(Timestamp))
    }

    /// Claims due deliveries of an endpoint, the longest due first, until `until`. Claims of
    /// others that ran out are given back first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_deliveries(
        &self,
        endpoint: &str,
        limit: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Claimed>> {
        let lock = match self.kind {
            Kind::Sqlite => "",
            Kind::Postgres => " FOR UPDATE OF d SKIP LOCKED",
        };
        let text = format!(
            "UPDATE deliveries SET state = 'in_flight', claim = $1, claim_until = $2
             WHERE id IN (SELECT d.id FROM deliveries d
                 WHERE d.endpoint = $3 AND d.state = 'waiting' AND d.next_at <= $4 AND {IN_TURN}
                 ORDER BY d.next_at, d.sequence LIMIT $5{lock})
             RETURNING id, event, body, attempts, step, resume_at"
        );
        let claim = format!("{}/{}", self.instance, ulid::Ulid::new());
        let mut transaction = self.begin().await?;
        transaction.return_claims(endpoint, now).await?;
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(&claim)
            .bind(until.0)
            .bind(endpoint)
            .bind(now.0)
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction.inner)
            .await?;
        transaction.commit().await?;
        let claimed = |row: &AnyRow| {
            Ok(Claimed {
                id: column(row, "id")?,
                endpoint: endpoint.to_owned(),
                claim: claim.clone(),
                event: column(row, "event")?,
                body: column(row, "body")?,
                attempts: number(row, "attempts")?,
                step: number(row, "step")?,
                resume_at: column::<Option<i64>>(row, "resume_at")?.map(Timestamp),
            })
        };
        rows.iter().map(claimed).collect()
    }

    /// Writes what became of many attempts, in one commit. Outcomes whose claim somebody else
    /// holds by now are left out: that one's will be written.
    ///
    /// # Errors
    /// When the database fails; then nothing of it was written.
    pub async fn record_attempts(&self, outcomes: &[AttemptOutcome], now: Timestamp) -> Result<()> {
        let mut transaction = self.begin().await?;
        let mut successes = BTreeMap::<&str, u64>::new();
        for outcome in outcomes {
            transaction.record_attempt(outcome, now).await?;
            if outcome.next == Next::Taken {
                *successes.entry(outcome.endpoint()).or_default() += 1;
            }
        }
        for (endpoint, successes) in successes {
            transaction.bring_forward(endpoint, successes * BROUGHT_FORWARD, now).await?;
        }
        transaction.commit().await
    }
}

impl Store {
    /// Gives back every claim. Only for who knows that nobody is left who holds one: the outcome
    /// of an attempt that a killed process made is unknown, so it is made again (F13, F16).
    pub(super) async fn return_every_claim(&self) -> Result<()> {
        sqlx::query(
            "UPDATE deliveries SET state = 'waiting', claim = NULL, claim_until = NULL
             WHERE state = 'in_flight'",
        )
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Gives back what an instance had claimed that is gone. Its outcomes still count unless
    /// somebody else claims first: it may be paused only.
    pub(super) async fn return_claims_of(&self, instance: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        let text = format!(
            "UPDATE deliveries SET state = 'waiting', claim_until = NULL
             WHERE id IN (SELECT id FROM deliveries
                 WHERE state = 'in_flight' AND claim LIKE $1{})",
            transaction.skip_locked()
        );
        sqlx::query(AssertSqlSafe(text))
            .bind(format!("{instance}/%"))
            .execute(&mut *transaction.inner)
            .await?;
        transaction.commit().await
    }
}

impl Transaction {
    /// The token stays, so that a late outcome still counts unless somebody else claims first.
    async fn return_claims(&mut self, endpoint: &str, now: Timestamp) -> Result<()> {
        let text = format!(
            "UPDATE deliveries SET state = 'waiting', claim_until = NULL
             WHERE id IN (SELECT id FROM deliveries
                 WHERE endpoint = $1 AND state = 'in_flight' AND claim_until <= $2{})",
            self.skip_locked()
        );
        sqlx::query(AssertSqlSafe(text))
            .bind(endpoint)
            .bind(now.0)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    async fn record_attempt(&mut self, outcome: &AttemptOutcome, now: Timestamp) -> Result<()> {
        let AttemptOutcome { claimed, attempt, next } = outcome;
        let (state, at, step, resume_at, passable) = match next {
            Next::Taken => (DeliveryState::Taken, now, claimed.step, None, false),
            Next::Again { at, step, resume_at, passable } => {
                (DeliveryState::Waiting, *at, *step, *resume_at, *passable)
            }
            Next::Pause { .. } => (DeliveryState::Waiting, now, claimed.step, None, false),
            Next::Dead => (DeliveryState::Dead, now, claimed.step, None, true),
        };
        let finished = (state != DeliveryState::Waiting).then_some(now.0);
        let row = sqlx::query(
            "UPDATE deliveries SET state = $3, next_at = $4, step = $5, resume_at = $6,
                 passable = CASE WHEN $7 = 1 THEN 1 ELSE passable END, attempts = attempts + 1,
                 last_status = $8, last_error = $9, finished_at = $10, claim = NULL,
                 claim_until = NULL
             WHERE id = $1 AND claim = $2 RETURNING attempts",
        )
        .bind(&claimed.id)
        .bind(&claimed.claim)
        .bind(state.as_str())
        .bind(at.0)
        .bind(i64::from(step))
        .bind(resume_at.map(|time| time.0))
        .bind(i64::from(passable))
        .bind(attempt.status_code.map(i64::from))
        .bind(attempt.error.as_deref())
        .bind(finished)
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(()) };
        if let Next::Pause { reason } = next {
            pause(&mut self.inner, &claimed.endpoint, reason, now).await?;
        }
        sqlx::query(
            "INSERT INTO attempts (delivery, number, at, status_code, latency_ms, error, answer)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&claimed.id)
        .bind(column::<i64>(&row, "attempts")?)
        .bind(attempt.at.0)
        .bind(attempt.status_code.map(i64::from))
        .bind(signed(attempt.latency_ms))
        .bind(attempt.error.as_deref())
        .bind(attempt.answer.as_deref())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Makes an endpoint's next retries due, each at most once between two tries of its schedule:
    /// else a delivery that the endpoint never takes would be tried after every success.
    async fn bring_forward(&mut self, endpoint: &str, most: u64, now: Timestamp) -> Result<()> {
        let lock = self.skip_locked();
        let text = format!(
            "UPDATE deliveries SET resume_at = next_at, next_at = $2
             WHERE id IN (SELECT id FROM deliveries
                 WHERE endpoint = $1 AND state = 'waiting' AND attempts > 0 AND next_at > $2
                     AND resume_at IS NULL
                 ORDER BY next_at LIMIT $3{lock})"
        );
        sqlx::query(AssertSqlSafe(text))
            .bind(endpoint)
            .bind(now.0)
            .bind(signed(most))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
