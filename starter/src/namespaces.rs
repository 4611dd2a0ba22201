//! Joining the namespaces that a process can enter by itself, without a fork.

use crate::join;
use kickstage_config::Result;
use kickstage_config::starter::StarterConfig;

/// In the container process: every namespace that is named by a path and takes effect at once.
/// The mount namespace is last: the other paths are the host's.
pub(crate) fn join_own(config: &StarterConfig) -> Result<()> {
    let paths = config.container.namespaces.paths.by_kind();
    let at_once =
        |flag: i32| !matches!(flag, libc::CLONE_NEWPID | libc::CLONE_NEWUSER | libc::CLONE_NEWNS);
    let mount = |flag: i32| flag == libc::CLONE_NEWNS;
    for wanted in [&at_once as &dyn Fn(i32) -> bool, &mount] {
        for (kind, flag, path) in paths {
            if let Some(path) = path.filter(|_| wanted(flag)) {
                join(kind, path, flag as u64)?;
            }
        }
    }
    Ok(())
}
