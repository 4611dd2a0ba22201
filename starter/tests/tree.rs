//! Processes in new namespaces. In a user namespace of one's own none of it needs root.

use kickstage_config::Text;
use kickstage_config::cgroup::CgroupPlan;
use kickstage_config::plan::{Goal, Hooks, HostWork, Plan, Setup, Supervision};
use kickstage_config::starter::{IdMap, IdMapping, KernelPath, NamespaceFlags, StarterConfig};
use kickstage_starter::spawn;
use kickstage_sys::process::{self, Exit};
use std::sync::{Mutex, PoisonError};

/// A fork copies the locks of the other threads, held or not.
static FORKS: Mutex<()> = Mutex::new(());

fn id(get: unsafe extern "C" fn() -> u32) -> u32 {
    // SAFETY: asks only.
    unsafe { get() }
}

/// Own user namespace with the caller as root, and more kinds.
fn config(kinds: i32) -> StarterConfig {
    let mut config = StarterConfig::default();
    let map = |host_id| IdMap::new(vec![IdMapping { container_id: 0, host_id, size: 1 }]).unwrap();
    let privileges = &mut config.container.privileges;
    privileges.uid_map = map(id(libc::geteuid));
    privileges.gid_map = map(id(libc::getegid));
    let flags = (libc::CLONE_NEWUSER | kinds).cast_unsigned();
    config.container.namespaces.flags = NamespaceFlags::new(flags).unwrap();
    config
}

/// Nothing of it matters here but that there is no time namespace.
fn plan() -> Plan {
    let nowhere = || Text::new("/nowhere").unwrap();
    Plan {
        id: nowhere(),
        oci_version: "1.0.2".into(),
        bundle: nowhere(),
        rootfs: nowhere(),
        namespaces: 0,
        annotations: std::collections::BTreeMap::new(),
        state_root: nowhere(),
        goal: Goal::Created,
        supervision: Supervision::Foreign,
        keep: false,
        without_process: false,
        pid_file: None,
        oom_score_adj: None,
        time_offsets: Vec::new(),
        new_time_namespace: false,
        time_namespace: None,
        setup: Setup::default(),
        cgroup: CgroupPlan::default(),
        notify_socket: None,
        host: HostWork::default(),
        hooks: Hooks::default(),
    }
}

/// What the process exits with; 99 if it could not enter its namespaces.
fn run(config: &StarterConfig, body: impl FnOnce() -> i32) -> Exit {
    let _alone = FORKS.lock().unwrap_or_else(PoisonError::into_inner);
    let body = |entered: kickstage_config::Result<()>| entered.map_or(99, |()| body());
    let child = spawn(config, &plan(), None, body).unwrap();
    process::wait(child.pidfd.borrow()).unwrap()
}

#[test]
fn the_body_is_the_first_process_of_its_namespace_and_its_root() {
    // SAFETY: asks only.
    let pid = || unsafe { libc::getpid() };
    let ended = run(&config(libc::CLONE_NEWPID), || {
        i32::from(pid() == 1 && id(libc::getuid) == 0 && id(libc::getgid) == 0)
    });
    assert_eq!(ended, Exit::Code(1));
}

#[test]
fn every_kind_that_is_asked_for_is_new_and_no_other() {
    let kinds =
        [("uts", libc::CLONE_NEWUTS), ("ipc", libc::CLONE_NEWIPC), ("mnt", libc::CLONE_NEWNS)];
    let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let ours = kinds.map(|(name, _)| link(name));
    for wanted in 0..8 {
        let picked = |index: usize| wanted & (1 << index) != 0;
        let flags = (0..3).filter(|index| picked(*index)).map(|index| kinds[index].1);
        let ended = run(&config(flags.sum()), || {
            let as_asked = |index: usize| (link(kinds[index].0) != ours[index]) == picked(index);
            i32::from((0..3).all(as_asked))
        });
        assert_eq!(ended, Exit::Code(1), "{wanted:#b}");
    }
}

#[test]
fn a_namespace_of_the_wrong_kind_is_refused() {
    let mut config = config(0);
    config.container.namespaces.paths.uts = Some(KernelPath::new("/proc/self/ns/ipc").unwrap());
    assert_eq!(run(&config, || 7), Exit::Code(99), "the reason is the body's to tell");
}
