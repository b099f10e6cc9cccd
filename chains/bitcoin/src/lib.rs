//! The Bitcoin family.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `wallet` | scripts from output descriptors and extended public keys |

pub mod wallet;
