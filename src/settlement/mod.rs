//! What a payment means: pure rules, no I/O, no clock but the one passed in.
//!
//! Everything is recomputed from facts: the intent, the transfers given to it, how far each
//! network was followed, and the time ([`assess`]). What was already reported is remembered as
//! milestones, and the difference between the two makes the events. After a reorg the surviving
//! branch is walked again: what it tells too stays, and the rest is retracted (I4).

mod advance;
mod assess;
mod command;
mod credit;
mod deposit;
mod event;
mod intent;
mod rail;
mod resolve;
mod settler;
mod unconfirmed;
mod verify;
mod view;

pub use advance::{Change, apply, required_of, step_heights, wake_height};
pub use assess::{Assessment, assess};
pub use command::{
    MoneySeen, Patch, PatchError, cancel, created, expire, look_again, may_expire, patch,
};
pub use credit::{Credit, OrphanReason, OrphanState, Place, ReportedOrphan, Role};
pub use deposit::{
    Deposit, DepositChange, DepositMemory, DepositStatus, DepositView, Told, WalletKey,
    deposit_heights,
};
pub use event::{Event, EventData, EventId, EventKind, MAX_BODY_BYTES, Retraction};
pub use intent::{
    AmountPolicy, Closed, Confirmed, Intent, IntentKey, Milestone, NetworkId, Rank, State, Status,
    Tolerance, ToleranceError,
};
pub use rail::{Matching, Rail, ReferenceKind};
pub use resolve::{Decision, Held, Resolution, Resolve, ResolveError, resolve};
pub use settler::Outcome;
pub use unconfirmed::{FORGOTTEN_AFTER_MS, Sighting, ToldSighting};
pub use verify::{Claim, Mismatch, verify};
pub use view::{
    IntentView, OrphanView, RailView, ResolutionView, SharedMatch, TransferView, rfc3339,
};
