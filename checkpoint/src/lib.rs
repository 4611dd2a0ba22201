//! Checkpoint and restore, by way of CRIU.
//!
//! Runs with the caller's privileges, as a part of the command. Gets a container or an assembly;
//! gives images in a directory, or a running container out of them. CRIU saves and makes the
//! processes; cgroups, hooks, state and console are the master's, as for any other container.
//! It never writes outside of the images, the work directory, and the root file system's mount
//! points.

mod criu;
mod descriptors;
mod directories;
mod dump;
mod label;
mod mounts;
mod options;
mod refused;
mod replay;
mod restore;
mod wire;

pub use dump::{Dump, checkpoint};
pub use options::{CgroupsMode, Common};
pub use restore::{Restore, restore};
