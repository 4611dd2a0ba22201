//! Whatever another process has put into the struct, reading it gives a config or an error.

use kickstage_config::process::Capabilities;
use kickstage_config::starter::{
    Container, Fds, Gids, Id, IdMap, IdMapping, Invalid, KernelPath, MountPropagation,
    NamespaceFlags, NamespacePaths, Namespaces, Privileges, Starter, StarterConfig,
};
use kickstage_starter_sys::abi::starterConfig;
use kickstage_starter_sys::{Fault, snapshot};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::ffi::c_char;
use std::mem::size_of;

const SIZE: usize = size_of::<starterConfig>();

fn empty() -> Box<starterConfig> {
    Box::new(starterConfig::from(&StarterConfig::default()))
}

fn overwrite(c: &mut starterConfig, offset: usize, bytes: &[u8]) {
    let fitting = bytes.len().min(SIZE - offset);
    // SAFETY: `offset + fitting` is within the struct, of which any bytes are a valid value.
    unsafe { (&raw mut *c).cast::<u8>().add(offset).copy_from(bytes.as_ptr(), fitting) };
}

/// What reading complains about: the field and the fault.
fn complaint(c: &starterConfig) -> (&'static str, Fault) {
    let error = StarterConfig::try_from(c).unwrap_err();
    assert!(error.to_string().starts_with(error.field));
    (error.field, error.fault)
}

#[test]
fn the_empty_struct_is_the_default() {
    assert_eq!(StarterConfig::try_from(&*empty()).unwrap(), StarterConfig::default());
}

#[test]
fn a_string_without_an_end_is_refused() {
    let mut c = empty();
    c.container.namespace.pid = [b'x' as c_char; 4096];
    assert_eq!(complaint(&c), ("/container/namespace/pid", Fault::Unterminated));
    c.container.namespace.pid[4095] = 0;
    assert!(StarterConfig::try_from(&*c).is_ok());
}

#[test]
fn a_string_that_is_not_utf8_is_refused() {
    let mut c = empty();
    c.container.privileges.newuidmapPath[0] = 0xff_u8 as c_char;
    assert_eq!(complaint(&c), ("/container/privileges/newuidmapPath", Fault::NotUtf8));
}

#[test]
fn a_count_beyond_its_array_is_refused() {
    let mut c = empty();
    for given in [-1, 33, i32::MIN, i32::MAX] {
        c.container.privileges.numGID = given;
        let fault = Fault::Count { given, limit: 32 };
        assert_eq!(complaint(&c), ("/container/privileges/numGID", fault));
    }
    c.container.privileges.numGID = 32;
    for given in [-1, 1025] {
        c.starter.numfds = given;
        assert_eq!(complaint(&c), ("/starter/numfds", Fault::Count { given, limit: 1024 }));
    }
}

#[test]
fn a_bool_that_is_neither_is_refused() {
    let mut c = empty();
    c.starter.nvCCLICaps = 2;
    assert_eq!(complaint(&c), ("/starter/nvCCLICaps", Fault::NotBool(2)));
}

#[test]
fn values_that_the_kernel_would_misread_are_refused_by_name() {
    let mut c = empty();
    c.starter.workingDirectoryFd = -100; // AT_FDCWD
    assert_eq!(complaint(&c), ("/starter/workingDirectoryFd", Fault::NotFd(-100)));
    c.starter.workingDirectoryFd = -1;
    c.container.privileges.targetUID = u32::MAX;
    let fault = Fault::Invalid(Invalid::ReservedId);
    assert_eq!(complaint(&c), ("/container/privileges/targetUID", fault));
    c.container.privileges.targetUID = 0;
    c.container.namespace.flags = 0x100; // CLONE_VM
    let fault = Fault::Invalid(Invalid::NamespaceFlags { bits: 0x100 });
    assert_eq!(complaint(&c), ("/container/namespace/flags", fault));
}

#[test]
fn a_snapshot_does_not_follow_its_original() {
    let mut shared = empty();
    // SAFETY: a reference is valid.
    let copy = unsafe { snapshot(&raw const *shared) };
    shared.container.pid = 7;
    assert_eq!((copy.container.pid, shared.container.pid), (0, 7));
}

prop_compose! {
    fn any_path()(path in option::of("[^\\x00]{1,1000}")) -> Option<KernelPath> {
        path.map(|path| KernelPath::new(path).unwrap())
    }
}

prop_compose! {
    /// Ranges in steps of 1000, so that they are apart.
    fn any_map()(sizes in vec(1..1000_u32, 0..50)) -> IdMap {
        let range = |(index, size)| {
            let id = index as u32 * 1000;
            IdMapping { container_id: id, host_id: id + 100_000, size }
        };
        IdMap::new(sizes.into_iter().enumerate().map(range).collect()).unwrap()
    }
}

prop_compose! {
    fn any_privileges()(
        flags in any::<[bool; 2]>(),
        uid_map in any_map(),
        gid_map in any_map(),
        newuidmap_path in any_path(),
        newgidmap_path in any_path(),
        uid in 0..u32::MAX,
        gids in vec(0..u32::MAX, 0..=32),
        sets in any::<[u64; 5]>(),
    ) -> Privileges {
        let gids = gids.into_iter().map(|gid| Id::new(gid).unwrap()).collect();
        let [bounding, effective, permitted, inheritable, ambient] = sets;
        Privileges {
            no_new_privs: flags[0],
            uid_map,
            gid_map,
            allow_setgroups: flags[1],
            newuidmap_path,
            newgidmap_path,
            target_uid: Id::new(uid).unwrap(),
            target_gids: Gids::new(gids).unwrap(),
            capabilities: Capabilities { bounding, effective, permitted, inheritable, ambient },
        }
    }
}

prop_compose! {
    fn any_namespaces()(
        flags in any::<u32>(),
        propagation in proptest::sample::select(&[0_u64, 1 << 17, 1 << 18, 1 << 19, 1 << 20][..]),
        bools in any::<[bool; 2]>(),
        paths in [any_path(), any_path(), any_path(), any_path(), any_path(), any_path(), any_path()],
    ) -> Namespaces {
        let [network, mount, user, ipc, uts, cgroup, pid] = paths;
        Namespaces {
            flags: NamespaceFlags::new(flags & 0x7e02_0080).unwrap(),
            mount_propagation: MountPropagation::new(propagation).unwrap(),
            join_only: bools[0],
            bring_loopback_interface: bools[1],
            paths: NamespacePaths { network, mount, user, ipc, uts, cgroup, pid },
        }
    }
}

prop_compose! {
    fn any_config()(
        pid in any::<i32>(),
        is_instance in any::<bool>(),
        privileges in any_privileges(),
        namespaces in any_namespaces(),
        working_directory_fd in option::of(0..i32::MAX),
        fds in vec(0..i32::MAX, 0..=1024),
        bools in any::<[bool; 4]>(),
    ) -> StarterConfig {
        let [is_suid, master_propagate_mount, hybrid_workflow, nv_ccli_caps] = bools;
        StarterConfig {
            container: Container { pid, is_instance, privileges, namespaces },
            starter: Starter {
                working_directory_fd,
                fds: Fds::new(fds).unwrap(),
                is_suid,
                master_propagate_mount,
                hybrid_workflow,
                nv_ccli_caps,
            },
        }
    }
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_config_comes_back_from_c_as_it_was(config in any_config()) {
        let c = Box::new(starterConfig::from(&config));
        prop_assert_eq!(StarterConfig::try_from(&*c).unwrap(), config);
    }

    #[test]
    fn any_damage_is_an_error_or_a_config_that_can_be_stored(
        config in any_config(),
        damage in vec((0..SIZE, vec(any::<u8>(), 1..64)), 0..6),
    ) {
        let mut c = Box::new(starterConfig::from(&config));
        for (offset, bytes) in &damage {
            overwrite(&mut c, *offset, bytes);
        }
        if let Ok(read) = StarterConfig::try_from(&*c) {
            let again = Box::new(starterConfig::from(&read));
            prop_assert_eq!(StarterConfig::try_from(&*again).unwrap(), read);
        }
    }

    #[test]
    fn any_noise_is_read_or_refused_by_its_field(pattern in vec(any::<u8>(), 1..5000), offset in 0..SIZE) {
        let mut c = empty();
        let noise: Vec<u8> = pattern.iter().copied().cycle().take(SIZE).collect();
        overwrite(&mut c, offset, &noise);
        if let Err(error) = StarterConfig::try_from(&*c) {
            prop_assert!(error.to_string().starts_with(error.field));
        }
        let _ = c.engine.check();
    }
}
