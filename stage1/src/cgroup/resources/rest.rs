//! Huge pages, packets of version 1, and RDMA adapters.

use super::{Values, setting};
use crate::Judge;
use crate::text::{escape, invalid};
use kickstage_config::Result;
use kickstage_config::cgroup::Version;
use oci_spec::runtime::LinuxResources;

/// Each size has two limits: of pages in use, and of pages set aside by mmap(2) (Linux 5.7),
/// without which a program dies of a page fault instead of seeing mmap fail.
pub(super) fn huge_pages(
    resources: &LinuxResources,
    version: Version,
    values: &mut Values,
) -> Result<()> {
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        let key = format!("hugepageLimits/{index}");
        let (size, bytes) = (limit.page_size(), limit.limit());
        if !is_page_size(size) {
            let pointer = format!("/linux/resources/{key}/pageSize");
            return Err(invalid(&pointer, "it is no size of a page")
                .remedy("2MB, 1GB, 64KB: see /sys/kernel/mm/hugepages"));
        }
        if bytes < 0 {
            return Err(invalid(&format!("/linux/resources/{key}/limit"), "it is below zero"));
        }
        let (used, set_aside) = match version {
            Version::V1 => ("limit_in_bytes", "rsvd.limit_in_bytes"),
            Version::V2 => ("max", "rsvd.max"),
        };
        values.push("hugetlb", &format!("hugetlb.{size}.{used}"), &key, &bytes);
        let mut set_aside = setting(&format!("hugetlb.{size}.{set_aside}"), &key, &bytes);
        set_aside.optional = true;
        values.push_setting("hugetlb", set_aside);
    }
    Ok(())
}

/// A number without a leading zero and its unit, as in the names of the files (config-linux.md, "Huge
/// page limits").
fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|number| {
        !number.starts_with('0')
            && !number.is_empty()
            && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// Marks and priorities of packets; on version 2 that is the business of eBPF and nftables.
pub(super) fn network(
    resources: &LinuxResources,
    version: Version,
    judge: &Judge,
    values: &mut Values,
) -> Result<()> {
    let Some(network) = resources.network() else { return Ok(()) };
    let priorities = network.priorities().as_deref().unwrap_or_default();
    if version == Version::V2 {
        if network.class_id().is_some() {
            judge.refuse("/linux/resources/network/classID")?;
        }
        if !priorities.is_empty() {
            judge.refuse("/linux/resources/network/priorities")?;
        }
        return Ok(());
    }
    if let Some(class) = network.class_id() {
        values.push("net_cls", "net_cls.classid", "network/classID", &class);
    }
    for (index, priority) in priorities.iter().enumerate() {
        let key = format!("network/priorities/{index}");
        let value = format!("{} {}", priority.name(), priority.priority());
        values.push("net_prio", "net_prio.ifpriomap", &key, &value);
    }
    Ok(())
}

/// The same file in both versions.
pub(super) fn rdma(resources: &LinuxResources, values: &mut Values) -> Result<()> {
    let mut adapters: Vec<_> = resources.rdma().iter().flatten().collect();
    adapters.sort_by_key(|(name, _)| *name);
    for (name, limit) in adapters {
        let key = format!("rdma/{}", escape(name));
        if name.is_empty() || name.contains(char::is_whitespace) {
            let pointer = format!("/linux/resources/{key}");
            return Err(invalid(&pointer, "it must be the name of an adapter"));
        }
        let mut value = name.clone();
        for (word, number) in
            [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())]
        {
            if let Some(number) = number {
                value.push_str(&format!(" {word}={number}"));
            }
        }
        if value.len() == name.len() {
            let pointer = format!("/linux/resources/{key}");
            return Err(invalid(&pointer, "it has no limit").remedy("hcaHandles, hcaObjects"));
        }
        values.push("rdma", "rdma.max", &key, &value);
    }
    Ok(())
}
