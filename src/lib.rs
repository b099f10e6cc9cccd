//! confirmd.
