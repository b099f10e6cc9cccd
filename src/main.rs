//! confirmd.

fn main() {}
