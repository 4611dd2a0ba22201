//! The layout that every starter has been compiled with. A change of `starter.h` that moves
//! anything stops the build here.

use crate::abi::{capabilities, container, engine, namespace, privileges, starter, starterConfig};
use kickstage_config::starter::{MAX_FDS, MAX_GIDS, PATH_MAX};
use std::mem::{align_of, offset_of, size_of};

const _: () = assert!(size_of::<capabilities>() == 40 && align_of::<capabilities>() == 8);
const _: () = assert!(offset_of!(capabilities, permitted) == 0);
const _: () = assert!(offset_of!(capabilities, effective) == 8);
const _: () = assert!(offset_of!(capabilities, inheritable) == 16);
const _: () = assert!(offset_of!(capabilities, bounding) == 24);
const _: () = assert!(offset_of!(capabilities, ambient) == 32);

const _: () = assert!(size_of::<namespace>() == 28_696 && align_of::<namespace>() == 8);
const _: () = assert!(offset_of!(namespace, flags) == 0);
const _: () = assert!(offset_of!(namespace, mountPropagation) == 8);
const _: () = assert!(offset_of!(namespace, joinOnly) == 16);
const _: () = assert!(offset_of!(namespace, bringLoopbackInterface) == 17);
const _: () = assert!(offset_of!(namespace, network) == 18);
const _: () = assert!(offset_of!(namespace, mount) == 4114);
const _: () = assert!(offset_of!(namespace, user) == 8210);
const _: () = assert!(offset_of!(namespace, ipc) == 12_306);
const _: () = assert!(offset_of!(namespace, uts) == 16_402);
const _: () = assert!(offset_of!(namespace, cgroup) == 20_498);
const _: () = assert!(offset_of!(namespace, pid) == 24_594);

const _: () = assert!(size_of::<privileges>() == 16_568 && align_of::<privileges>() == 8);
const _: () = assert!(offset_of!(privileges, noNewPrivs) == 0);
const _: () = assert!(offset_of!(privileges, uidMap) == 1);
const _: () = assert!(offset_of!(privileges, gidMap) == 4097);
const _: () = assert!(offset_of!(privileges, allowSetgroups) == 8193);
const _: () = assert!(offset_of!(privileges, newuidmapPath) == 8194);
const _: () = assert!(offset_of!(privileges, newgidmapPath) == 12_290);
const _: () = assert!(offset_of!(privileges, targetUID) == 16_388);
const _: () = assert!(offset_of!(privileges, targetGID) == 16_392);
const _: () = assert!(offset_of!(privileges, numGID) == 16_520);
const _: () = assert!(offset_of!(privileges, capabilities) == 16_528);

const _: () = assert!(size_of::<container>() == 45_272 && align_of::<container>() == 8);
const _: () = assert!(offset_of!(container, pid) == 0);
const _: () = assert!(offset_of!(container, isInstance) == 4);
const _: () = assert!(offset_of!(container, privileges) == 8);
const _: () = assert!(offset_of!(container, namespace) == 16_576);

const _: () = assert!(size_of::<starter>() == 4108 && align_of::<starter>() == 4);
const _: () = assert!(offset_of!(starter, workingDirectoryFd) == 0);
const _: () = assert!(offset_of!(starter, fds) == 4);
const _: () = assert!(offset_of!(starter, numfds) == 4100);
const _: () = assert!(offset_of!(starter, isSuid) == 4104);
const _: () = assert!(offset_of!(starter, masterPropagateMount) == 4105);
const _: () = assert!(offset_of!(starter, hybridWorkflow) == 4106);
const _: () = assert!(offset_of!(starter, nvCCLICaps) == 4107);

const _: () = assert!(size_of::<engine>() == 24 && align_of::<engine>() == 8);
const _: () = assert!(offset_of!(engine, size) == 0);
const _: () = assert!(offset_of!(engine, map_size) == 8);
const _: () = assert!(offset_of!(engine, config) == 16);

const _: () = assert!(size_of::<starterConfig>() == 49_408 && align_of::<starterConfig>() == 8);
const _: () = assert!(offset_of!(starterConfig, container) == 0);
const _: () = assert!(offset_of!(starterConfig, starter) == 45_272);
const _: () = assert!(offset_of!(starterConfig, engine) == 49_384);

// The checked types promise that their values fit.
const _: () = assert!(crate::abi::STARTER_PATH_MAX as usize == PATH_MAX);
const _: () = assert!(crate::abi::STARTER_MAX_GIDS as usize == MAX_GIDS);
const _: () = assert!(crate::abi::STARTER_MAX_FDS as usize == MAX_FDS);
