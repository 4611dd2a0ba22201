//! Changes of the mounts of a running container.

use crate::Report;
use crate::handoff::Descriptors;
use crate::plan::{MappedTree, Step};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The work for one such change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LiveMounts {
    /// The container's first process: an inherited descriptor that always means it.
    pub container: i32,
    /// The namespaces to join, as `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// Copies of the host's mount trees to make before; a bind names one by its place.
    pub trees: Vec<MappedTree>,
    /// What to do in the container's root, in order.
    pub steps: Vec<Step>,
    /// Where messages go.
    pub report: Report,
    /// What is open besides.
    pub descriptors: Descriptors,
}
