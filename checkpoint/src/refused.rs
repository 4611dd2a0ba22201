//! What CRIU would lose: a container that has it is not saved.

use kickstage_config::{Assembly, Error, Result, Role};

const NAMESPACES: &str = "/linux/namespaces";

/// Fails at the first thing that a restored container would be without.
pub(crate) fn check(assembly: &Assembly) -> Result<()> {
    let (host, process) = (&assembly.plan.host, &assembly.process);
    let joined = &assembly.starter.container.namespaces.paths;
    let lost = [
        (joined.user.is_some(), NAMESPACES, "a user namespace of others"),
        (joined.cgroup.is_some(), NAMESPACES, "a cgroup namespace of others"),
        (joined.mount.is_some(), NAMESPACES, "a mount namespace of others"),
        (assembly.plan.time_namespace.is_some(), NAMESPACES, "a time namespace of others"),
        // whoever is root in the container gets the same by every exec
        (
            process.uid != 0 && process.capabilities.ambient != 0,
            "/process/capabilities/ambient",
            "ambient capabilities",
        ),
        (process.landlock.is_some(), "/annotations", "the rules of landlock"),
        // its program is a memfd, which CRIU 3.17 saves and can't open again
        (process.handler.is_some(), "/annotations", "a WebAssembly module"),
        (host.listener.is_some(), "/linux/seccomp/listenerPath", "the seccomp agent's connection"),
        (!host.net_devices.is_empty(), "/linux/netDevices", "a network device of the host"),
        (!host.mapped.is_empty(), "/mounts", "an id-mapped mount"),
        (process.memory_policy.is_some(), "/linux/memoryPolicy", "the memory policy"),
        (process.io_priority.is_some(), "/process/ioPriority", "the I/O priority"),
    ];
    match lost.iter().find(|(given, ..)| *given) {
        Some((_, pointer, what)) => Err(Error::new(Role::Checkpoint, "save the container")
            .because(format!("CRIU can't save and restore {what}"))
            .at(pointer)),
        None => Ok(()),
    }
}
