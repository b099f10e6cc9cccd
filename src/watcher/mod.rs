//! From blocks to outcomes: one follower a network, its backfills beside it, and the clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `followed` | one network as its tasks need it, and how they wait for it |
//! | `follower` | the cursor, block by block; reorgs |
//! | `step` | how many blocks a step takes at most, and why it may fail |
//! | `branch` | another branch, held against ours down to the common ancestor |
//! | `dispute` | whose branch counts, where providers show different ones |
//! | `progress` | the status and the gauges |
//! | `commit` | what a step writes, in one transaction |
//! | `backfill` | looking again for watches that came later |
//! | `beside` | how what is done beside the blocks goes |
//! | `mempool` | what is in no block yet, beside the blocks |
//! | `sightings` | what a look at the mempool writes |
//! | `adjust` | open intents follow a threshold that an admin changed |
//! | `expiry` | intents whose time is over |
//! | `housekeeping` | what grows without end is pruned |
//! | `lookahead` | wallets' addresses are watched before they are handed out |
//! | `sharing` | which networks this instance follows, where there are several |

mod adjust;
mod backfill;
mod beside;
mod branch;
mod commit;
mod dispute;
mod expiry;
mod followed;
mod follower;
mod housekeeping;
mod lookahead;
mod mempool;
mod progress;
mod sharing;
mod sightings;
mod step;

pub use adjust::{Adjuster, Exempt};
pub use commit::{Committer, DepositPolicy, Step};
pub use expiry::Expirer;
pub use followed::{Followed, KEPT_BLOCKS};
pub use follower::Follower;
pub use housekeeping::Housekeeper;
pub use lookahead::{LookAhead, Lookup, extend_wallet};
pub use sharing::{Grant, Sharing};
pub use sightings::Sightings;
