//! The suite that every chain passes.
