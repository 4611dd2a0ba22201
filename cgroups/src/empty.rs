//! The processes of cgroups, and their end.

use crate::{freeze, tree};
use alloc::vec::Vec;
use core::ffi::CStr;
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::poll::poll;
use kickstage_sys::{Errno, FdRef, process};

const PROCESSES: &CStr = c"cgroup.procs";

/// How often processes that fork while they are killed are looked for again.
const ROUNDS: u32 = 100;

/// So many processes are signalled together: each needs a descriptor meanwhile, and each time all
/// are listed again.
const TOGETHER: usize = 256;

/// All processes of a container, those of cgroups inside its own included.
pub fn processes(dirs: &[CgroupDir]) -> Result<Vec<i32>> {
    let Some(record) = best(dirs) else { return Ok(Vec::new()) };
    let Some(dir) = tree::open(record)? else { return Ok(Vec::new()) };
    listed_in(dir.borrow(), PROCESSES).during_on(Role::Cgroups, "list", &record.path)
}

/// Those of one cgroup and all inside; threads if the file is v1's `tasks`.
pub(crate) fn listed_in(dir: FdRef<'_>, file: &CStr) -> kickstage_sys::Result<Vec<i32>> {
    let mut pids = Vec::new();
    collect(dir, file, &mut pids)?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The hierarchy that tells most: v2, or the one with the freezer or pids.
fn best(dirs: &[CgroupDir]) -> Option<&CgroupDir> {
    let rank = |dir: &&CgroupDir| match (dir.version, dir.controllers.as_str()) {
        (Version::V2, _) => 0,
        (Version::V1, "freezer") => 1,
        (Version::V1, "pids") => 2,
        (Version::V1, _) => 3,
    };
    dirs.iter().min_by_key(rank)
}

fn collect(dir: FdRef<'_>, file: &CStr, pids: &mut Vec<i32>) -> kickstage_sys::Result<()> {
    let mut list = |dir: FdRef<'_>| match tree::read(dir, file) {
        Ok(procs) => {
            pids.extend(listed(&procs));
            Ok(())
        }
        // a threaded cgroup lists no processes; its domain does. One that is gone has none
        Err(Errno(libc::EOPNOTSUPP | libc::ENODEV | libc::ENOENT)) => Ok(()),
        Err(errno) => Err(errno),
    };
    list(dir)?;
    tree::each_below(dir, &mut list)
}

/// How many processes are in a cgroup and all inside, those of other pid namespaces included.
pub(crate) fn count(dir: FdRef<'_>) -> kickstage_sys::Result<usize> {
    let lines = |procs: &[u8]| procs.split(|byte| *byte == b'\n').count() - 1;
    let mut count = lines(&tree::read(dir, PROCESSES)?);
    tree::each_below(dir, &mut |inside| {
        match tree::read(inside, PROCESSES) {
            Ok(procs) => count += lines(&procs),
            // it is threaded: the one above lists them
            Err(Errno(libc::EOPNOTSUPP)) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    })?;
    Ok(count)
}

/// The pids of a cgroup.procs. Those of processes that our pid namespace does not have are told as
/// 0, which for kill(2) means our own process group.
fn listed(procs: &[u8]) -> impl Iterator<Item = i32> {
    let lines =
        procs.split(|byte| *byte == b'\n').filter_map(|line| core::str::from_utf8(line).ok());
    lines.filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0)
}

/// Sends a signal to all processes of a container. None is no error.
pub fn signal_all(dirs: &[CgroupDir], signal: i32) -> Result<()> {
    let Some(record) = best(dirs) else { return Ok(()) };
    let Some(dir) = tree::open(record)? else { return Ok(()) };
    let pids = listed_in(dir.borrow(), PROCESSES).during_on(Role::Cgroups, "list", &record.path)?;
    signal_listed(dir.borrow(), &pids, signal)
}

/// Those of the listed that are still in the cgroup, or inside: a number that was free for a
/// moment may by now be a stranger's.
fn signal_listed(dir: FdRef<'_>, pids: &[i32], signal: i32) -> Result<()> {
    for some in pids.chunks(TOGETHER) {
        let mut opened = Vec::with_capacity(some.len());
        for pid in some {
            match process::pidfd(*pid) {
                Ok(process) => opened.push((pid, process)),
                // EINVAL: the number is a thread's now
                Err(Errno(libc::ESRCH | libc::EINVAL)) => {}
                Err(errno) => return Err(errno).during_on(Role::Cgroups, "open process", pid),
            }
        }
        let ours = listed_in(dir, PROCESSES).during(Role::Cgroups, "list processes again")?;
        for (pid, process) in opened.iter().filter(|(pid, _)| ours.binary_search(pid).is_ok()) {
            match process::signal(process.borrow(), signal) {
                Ok(()) | Err(Errno(libc::ESRCH)) => {}
                Err(errno) => {
                    return Err(errno).during_on(Role::Cgroups, "send signal to process", pid);
                }
            }
        }
    }
    Ok(())
}

/// Kills every process in the cgroups and waits until they are gone.
pub fn kill_all(dirs: &[CgroupDir]) -> Result<()> {
    let Some(record) = best(dirs) else { return Ok(()) };
    let Some(dir) = tree::open(record)? else { return Ok(()) };
    // Linux 5.14, all at once
    if record.version == Version::V2 && tree::write(dir.borrow(), c"cgroup.kill", b"1").is_ok() {
        return Ok(());
    }
    let list = || listed_in(dir.borrow(), PROCESSES).during_on(Role::Cgroups, "list", &record.path);
    let mut was_frozen = false;
    for round in 0..ROUNDS {
        if list()?.is_empty() {
            return Ok(());
        }
        // frozen, they can't fork away from us
        was_frozen = was_frozen || freeze::stop(dirs).is_ok();
        // listed again: that may have taken long
        signal_listed(dir.borrow(), &list()?, libc::SIGKILL)?;
        freeze::thaw_inside(dirs)?;
        if was_frozen {
            match freeze::thaw(dirs) {
                // they are gone, and with them, by systemd, their cgroup
                Err(_) if tree::open(record)?.is_none() => return Ok(()),
                thawed => thawed?,
            }
            was_frozen = false;
        }
        poll(&mut [], i32::try_from(round / 4).unwrap_or(0)).during(Role::Cgroups, "wait")?;
    }
    Err(Error::new(Role::Cgroups, "kill the processes of")
        .on(&record.path)
        .because("some are still there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_sys::file;
    use proptest::prelude::*;

    #[test]
    fn a_process_of_another_pid_namespace_is_not_our_process_group() {
        assert_eq!(listed(b"7\n0\n\n12\n").collect::<Vec<_>>(), [7, 12]);
    }

    #[test]
    fn a_cgroup_that_is_removed_while_it_is_listed_has_no_processes() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("gone");
        std::fs::create_dir(&path).unwrap();
        let text = kickstage_config::Text::new(path.to_str().unwrap()).unwrap();
        let dir = file::open_host(&text, libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        std::fs::remove_dir(&path).unwrap();
        let mut pids = Vec::new();
        assert_eq!(collect(dir.borrow(), PROCESSES, &mut pids), Ok(()));
        assert_eq!(tree::children(dir.borrow()), Ok(Vec::new()));
    }

    #[test]
    fn a_process_that_has_got_the_number_of_one_in_the_cgroup_is_not_signalled() {
        let sleeper = || std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (mut inside, mut bystander) = (sleeper(), sleeper());
        let numbers = [&inside, &bystander].map(|child| child.id().cast_signed());
        // what the kernel would list
        let above = tempfile::tempdir().unwrap();
        std::fs::write(above.path().join("cgroup.procs"), std::format!("{}\n", numbers[0]))
            .unwrap();
        let path = kickstage_config::Text::new(above.path().to_str().unwrap()).unwrap();
        let dir = file::open_host(&path, libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        signal_listed(dir.borrow(), &numbers, libc::SIGKILL).unwrap();
        assert!(!inside.wait().unwrap().success());
        assert!(bystander.try_wait().unwrap().is_none(), "it was signalled");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn any_cgroup_procs_lists_single_processes_only(
            procs in kickstage_fuzz::bytes(
                vec![b"1\n4711\n0\n".to_vec()], &["-", "0", "\n", "2147483647", "4294967295", "-1"],
            ),
        ) {
            prop_assert!(listed(&procs).all(|pid| pid > 0));
        }
    }
}
