//! Real engines that use kickstage in runc's place: podman, buildah, containerd, docker, Slurm, systemd.
//!
//! Each engine has a module that sets it up in directories of its own, so that nothing of the
//! host's is used or changed, and a test file. No registry is needed: images are made of busybox.
//! `make test-clients` installs the engines and runs everything; docs/CLIENTS.md has the results.

pub mod cgroup_manager;
pub mod conmon;
pub mod containerd;
pub mod daemon;
pub mod docker;
pub mod image;
pub mod podman;
pub mod program;
pub mod rootless;
pub mod slurm;
pub mod terminal;
pub mod world;
