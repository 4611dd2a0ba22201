//! Kernel parameters: only those that belong to a namespace of the container.

use crate::namespaces::Namespaces;
use crate::text::{self, escape, invalid};
use kickstage_config::{Result, Text};
use kickstage_sys::process::clone;
use oci_spec::runtime::Spec;

/// What begins so lives in this namespace (proc_sys(5), ipc_namespaces(7)).
const OWNERS: [(&str, u64, &str); 12] = [
    ("net/", clone::NEWNET, "network"),
    ("fs/mqueue/", clone::NEWIPC, "ipc"),
    ("kernel/msgmax", clone::NEWIPC, "ipc"),
    ("kernel/msgmnb", clone::NEWIPC, "ipc"),
    ("kernel/msgmni", clone::NEWIPC, "ipc"),
    ("kernel/sem", clone::NEWIPC, "ipc"),
    ("kernel/shmall", clone::NEWIPC, "ipc"),
    ("kernel/shmmax", clone::NEWIPC, "ipc"),
    ("kernel/shmmni", clone::NEWIPC, "ipc"),
    ("kernel/shm_rmid_forced", clone::NEWIPC, "ipc"),
    ("kernel/domainname", clone::NEWUTS, "uts"),
    ("user/", clone::NEWUSER, "user"),
];

/// Path below /proc/sys and value of each.
pub(crate) fn decide(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<(Text, String)>> {
    let given = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut decided = Vec::new();
    for (name, value) in given.into_iter().flatten() {
        let pointer = format!("/linux/sysctl/{}", escape(name));
        let path = path_of(name);
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(&pointer, "it is not the name of a kernel parameter"));
        }
        if path == "kernel/hostname" {
            return Err(
                invalid(&pointer, "the host name has a field of its own").remedy("use /hostname")
            );
        }
        let owner = OWNERS.iter().find(|(prefix, _, _)| {
            path == *prefix || prefix.ends_with('/') && path.starts_with(prefix)
        });
        match owner {
            None => return Err(invalid(&pointer, "it is the host's, not a container's")),
            Some((_, flag, kind)) if !namespaces.separates(*flag) => {
                return Err(invalid(&pointer, format!("it needs a {kind} namespace"))
                    .remedy("without one it would change the host"));
            }
            Some(_) => decided.push((text::text(&pointer, &path)?, value.clone())),
        }
    }
    decided.sort();
    Ok(decided)
}

/// sysctl(8) takes `a.b.c`, and `a/b/c` where a part holds a dot, as in
/// `net/ipv4/conf/eth0.1/forwarding`.
fn path_of(name: &str) -> String {
    match (name.find('.'), name.find('/')) {
        (Some(dot), Some(slash)) if slash < dot => name.to_string(),
        (None, Some(_)) => name.to_string(),
        // as sysctl(8): behind a first dot the two change places
        _ => name
            .chars()
            .map(|character| match character {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes_change_places_as_in_sysctl() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
