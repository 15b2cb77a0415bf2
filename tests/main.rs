//! The index of the integration tests: one binary, one module for each subject.

/// House rules that a machine can check.
mod tidy;

/// The store: durability, conflicts, failing disks.
mod store;
