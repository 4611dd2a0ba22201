//! What needs a newer kernel than this host's, by the number that it tells of itself.

use super::Finding;
use crate::text::invalid;
use kickstage_config::Assembly;
use kickstage_config::plan::Op;
use kickstage_sys::mount::attribute;
use std::fs;

/// Major and minor.
type Release = (u32, u32);

/// What is asked of the kernel: by which property, in words, and since when it is there.
type Asked = (String, &'static str, Release);

/// Warnings: distributors bring some of it to older numbers.
pub(super) fn lacks(assembly: &Assembly, found: &mut Vec<Finding>) {
    let told = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let Some(own) = release(&told) else { return };
    let asked = [mounts(assembly), memory(assembly), cgroups(assembly)].concat();
    for (pointer, what, since) in asked.into_iter().filter(|(_, _, since)| own < *since) {
        let why = format!("{what} came with Linux {}.{}", since.0, since.1);
        let remedy = format!("uname -r says {}: take a newer, or one that has it too", told.trim());
        found.push(Finding::warning(invalid(&pointer, why).remedy(remedy)));
    }
}

fn release(told: &str) -> Option<Release> {
    let mut numbers = told.split(|other: char| !other.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn mounts(assembly: &Assembly) -> Vec<Asked> {
    let plan = &assembly.plan;
    // the propagation of every new root is set by it
    let always = (String::new(), "mount_setattr(2), without which no root is entered,", (5, 12));
    let mapped =
        plan.host.mapped.iter().map(|tree| (tree.key.clone(), "id-mapped mounts", (5, 12)));
    let strict = plan.setup.steps().filter(|step| {
        let (Op::Bind(kickstage_config::plan::Bind { changes, .. })
        | Op::Attributes { changes, .. }) = &step.op
        else {
            return false;
        };
        changes.iter().any(|change| (change.set | change.clear) & attribute::NOSYMFOLLOW != 0)
    });
    let strict = strict.map(|step| (step.key.clone(), "bind mounts with nosymfollow", (5, 14)));
    std::iter::once(always).chain(mapped).chain(strict).collect()
}

/// set_mempolicy(2).
fn memory(assembly: &Assembly) -> Vec<Asked> {
    const FLAGS: i32 = 0b111 << 13;
    const NUMA_BALANCING: i32 = 1 << 13;
    let Some(policy) = &assembly.process.memory_policy else { return Vec::new() };
    let at = |name: &str| format!("/linux/memoryPolicy/{name}");
    let mode = match policy.mode & !FLAGS {
        5 => Some((at("mode"), "MPOL_PREFERRED_MANY", (5, 15))),
        6 => Some((at("mode"), "MPOL_WEIGHTED_INTERLEAVE", (6, 9))),
        _ => None,
    };
    let balancing = policy.mode & NUMA_BALANCING != 0;
    let balancing = balancing.then(|| (at("flags"), "MPOL_F_NUMA_BALANCING", (5, 12)));
    mode.into_iter().chain(balancing).collect()
}

fn cgroups(assembly: &Assembly) -> Vec<Asked> {
    const NEWER: [(&str, &str, Release); 2] = [
        ("/linux/resources/cpu/burst", "bursts", (5, 14)),
        ("/linux/resources/cpu/idle", "idle control groups", (5, 15)),
    ];
    let settings = assembly.plan.cgroup.groups.iter().flat_map(|group| &group.settings);
    let newer = settings.filter_map(|setting| NEWER.iter().find(|(key, ..)| setting.key == *key));
    newer.map(|(key, what, since)| ((*key).to_string(), *what, *since)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_of_a_release_are_compared_as_numbers() {
        assert_eq!(release("6.18.44-fc-v669\n"), Some((6, 18)));
        assert_eq!(release("5.4-rc1"), Some((5, 4)));
        assert!(release("5.4.0-42-generic") < release("5.12.0"));
        assert_eq!(release("new"), None);
    }
}
