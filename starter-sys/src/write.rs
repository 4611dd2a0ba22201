//! To C: the checked types guarantee that everything fits.

use crate::abi::{STARTER_PATH_MAX, capabilities, namespace, privileges, starter, starterConfig};
use kickstage_config::process::Capabilities;
use kickstage_config::starter::{
    IdMap, KernelPath, NamespacePaths, Namespaces, Privileges, Starter, StarterConfig,
};
use std::ffi::{c_char, c_int};

impl starterConfig {
    /// Replaces all but the engine's JSON, which stays where it is. Nothing of what was there
    /// before remains behind the end of a string or of a list.
    pub fn store(&mut self, config: &StarterConfig) {
        self.container.pid = config.container.pid;
        self.container.isInstance = config.container.is_instance.into();
        store_privileges(&config.container.privileges, &mut self.container.privileges);
        store_namespaces(&config.container.namespaces, &mut self.container.namespace);
        store_starter(&config.starter, &mut self.starter);
    }
}

/// A struct without JSON.
impl From<&StarterConfig> for starterConfig {
    fn from(config: &StarterConfig) -> Self {
        // SAFETY: any bytes are a valid struct.
        let mut c: Self = unsafe { std::mem::zeroed() };
        c.store(config);
        c
    }
}

fn store_privileges(config: &Privileges, c: &mut privileges) {
    c.noNewPrivs = config.no_new_privs.into();
    store_id_map(&config.uid_map, &mut c.uidMap);
    store_id_map(&config.gid_map, &mut c.gidMap);
    c.allowSetgroups = config.allow_setgroups.into();
    store_path(config.newuidmap_path.as_ref(), &mut c.newuidmapPath);
    store_path(config.newgidmap_path.as_ref(), &mut c.newgidmapPath);
    c.targetUID = config.target_uid.get();
    c.numGID = store_list(config.target_gids.iter().map(|gid| gid.get()), &mut c.targetGID);
    store_capabilities(&config.capabilities, &mut c.capabilities);
}

fn store_capabilities(config: &Capabilities, c: &mut capabilities) {
    *c = capabilities {
        permitted: config.permitted,
        effective: config.effective,
        inheritable: config.inheritable,
        bounding: config.bounding,
        ambient: config.ambient,
    };
}

fn store_namespaces(config: &Namespaces, c: &mut namespace) {
    c.flags = config.flags.bits();
    c.mountPropagation = config.mount_propagation.bits();
    c.joinOnly = config.join_only.into();
    c.bringLoopbackInterface = config.bring_loopback_interface.into();
    let NamespacePaths { network, mount, user, ipc, uts, cgroup, pid } = &config.paths;
    store_path(network.as_ref(), &mut c.network);
    store_path(mount.as_ref(), &mut c.mount);
    store_path(user.as_ref(), &mut c.user);
    store_path(ipc.as_ref(), &mut c.ipc);
    store_path(uts.as_ref(), &mut c.uts);
    store_path(cgroup.as_ref(), &mut c.cgroup);
    store_path(pid.as_ref(), &mut c.pid);
}

fn store_starter(config: &Starter, c: &mut starter) {
    c.workingDirectoryFd = config.working_directory_fd.unwrap_or(-1);
    c.numfds = store_list(config.fds.iter().copied(), &mut c.fds);
    c.isSuid = config.is_suid.into();
    c.masterPropagateMount = config.master_propagate_mount.into();
    c.hybridWorkflow = config.hybrid_workflow.into();
    c.nvCCLICaps = config.nv_ccli_caps.into();
}

/// Fills the array with the list and zeroes. Returns the length of the list.
fn store_list<T: Default>(list: impl ExactSizeIterator<Item = T>, array: &mut [T]) -> c_int {
    let count = list.len();
    let zeroes = std::iter::repeat_with(T::default);
    array.iter_mut().zip(list.chain(zeroes)).for_each(|(entry, value)| *entry = value);
    count as c_int
}

type CString4096 = [c_char; STARTER_PATH_MAX as usize];

fn store_path(path: Option<&KernelPath>, array: &mut CString4096) {
    store_string(path.map_or("", |path| path.as_str()), array);
}

fn store_id_map(map: &IdMap, array: &mut CString4096) {
    store_string(&map.to_string(), array);
}

/// At least one NUL follows: paths and id maps are shorter than the array.
fn store_string(text: &str, array: &mut CString4096) {
    store_list(text.bytes().map(|byte| byte as c_char), array);
}
