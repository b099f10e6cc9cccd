//! What a payment means: pure rules, no I/O, no clock but the one passed in.
//!
//! Everything is recomputed from facts: the intent, the transfers given to it, how far each
//! network was followed, and the time ([`assess`]). What was already reported is remembered as
//! milestones, and the difference between the two makes the events. After a reorg the surviving
//! branch is walked again: what it tells too stays, and the rest is retracted (I4).
//!
//! Each file stands on those above it:
//!
//! | module | what it holds |
//! | --- | --- |
//! | `kinds`, `ids`, `rfc3339` | what happens, by what things are known, how times are written |
//! | `sighting`, `credit` | what mempools showed; the transfers given to intents |
//! | `rail`, `intent`, `deposit` | what is asked for, and what is remembered of it |
//! | `assess` | what the facts amount to |
//! | `view`, `event` | how all that looks outside; what a backend must learn of |
//! | `step` | a step of one network, and the moments in it |
//! | `settler` | an intent on its way from one state to the next, and the events on that way |
//! | `unconfirmed`, `payments`, `orphans` | what it tells and takes back |
//! | `advance`, `command`, `resolve` | what carries an intent on: a step, people or the clock, an admin |
//! | `deposit_step` | what carries a deposit on: a step |
//! | `verify` | whether one transaction pays an intent |

mod advance;
mod assess;
mod command;
mod credit;
mod deposit;
mod deposit_step;
mod event;
mod ids;
mod intent;
mod kinds;
mod orphans;
mod payments;
mod rail;
mod resolve;
mod rfc3339;
mod settler;
mod sighting;
mod step;
mod unconfirmed;
mod verify;
mod view;

pub use advance::apply;
pub use assess::{Assessment, assess};
pub use command::{
    MoneySeen, Patch, PatchError, cancel, created, expire, look_again, may_expire, patch,
};
pub use credit::{
    Credit, Decision, OrphanReason, OrphanState, Place, ReportedOrphan, Resolution, Role,
};
pub use deposit::{Deposit, DepositMemory, DepositStatus, DepositView, Told};
pub use deposit_step::{DepositChange, deposit_heights};
pub use event::{Event, EventData, MAX_BODY_BYTES};
pub use ids::{EventId, IntentKey, NetworkId, WalletKey};
pub use intent::{
    Closed, Confirmed, Intent, Milestone, Rank, State, Status, Tolerance, ToleranceError,
    required_of,
};
pub use kinds::{EventKind, Retraction};
pub use rail::{AmountPolicy, Matching, Rail, ReferenceKind};
pub use resolve::{Held, Resolve, ResolveError, resolve};
pub use rfc3339::rfc3339;
pub use settler::Outcome;
pub use sighting::{FORGOTTEN_AFTER_MS, Sighting, ToldSighting};
pub use step::{Change, step_heights, wake_height};
pub use verify::{Claim, Mismatch, verify};
pub use view::{IntentView, OrphanView, RailView, ResolutionView, SharedMatch, TransferView};
