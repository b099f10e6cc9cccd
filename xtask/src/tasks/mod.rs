//! One file per task.

pub(crate) mod ci;
pub(crate) mod demo;
pub(crate) mod summary;
pub(crate) mod test;
