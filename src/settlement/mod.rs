//! What a payment means: pure rules, no I/O, no clock but the one passed in.
//!
//! Everything is recomputed from facts: the intent, the transfers given to it, how far each
//! network was followed, and the time. What was already reported is remembered as milestones, and
//! the difference between the two makes the events. So a reorg needs no rules of its own (I4).

mod advance;
mod assess;
mod event;
mod intent;
mod view;

pub use advance::{
    Change, MoneySeen, Outcome, apply, cancel, created, expire, may_expire, required_of,
    step_heights, wake_height,
};
pub use assess::{Assessment, assess};
pub use event::{Event, EventData, EventId, EventKind, MAX_BODY_BYTES, Retraction};
pub use intent::{
    AmountPolicy, Closed, Confirmed, Credit, Intent, IntentKey, Milestone, NetworkId, OrphanReason,
    OrphanState, Place, Rail, Rank, ReportedOrphan, Role, State, Status, Tolerance, ToleranceError,
};
pub use view::{IntentView, OrphanView, RailView, TransferView, rfc3339};
