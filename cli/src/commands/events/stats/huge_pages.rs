//! Huge pages, by their size.

use super::{number, table};
use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use serde_json::{Map, Value, json};

/// Under the kernel's names of the sizes, such as `2MB`.
pub(super) fn read(dir: &CgroupDir) -> Value {
    let path = format!("{}{}", dir.mount, dir.path);
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let sizes = names.iter().filter_map(|name| size(name, dir.version));
    let all: Map<String, Value> = sizes.map(|size| (size.into(), usage(dir, size))).collect();
    Value::Object(all)
}

/// The size that a file is about, if it tells the usage.
fn size(file: &str, version: Version) -> Option<&str> {
    let end = match version {
        Version::V1 => ".usage_in_bytes",
        Version::V2 => ".current",
    };
    let size = file.strip_prefix("hugetlb.")?.strip_suffix(end)?;
    // reservations are told beside
    (!size.contains('.')).then_some(size)
}

fn usage(dir: &CgroupDir, size: &str) -> Value {
    let file = |name: &str| number(dir, &format!("hugetlb.{size}.{name}")).unwrap_or(0);
    match dir.version {
        Version::V1 => json!({
            "usage": file("usage_in_bytes"),
            "max": file("max_usage_in_bytes"),
            "failcnt": file("failcnt"),
        }),
        Version::V2 => {
            let events = table(dir, &format!("hugetlb.{size}.events"));
            json!({ "usage": file("current"), "failcnt": super::get(&events, "max") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_once() {
        assert_eq!(size("hugetlb.2MB.usage_in_bytes", Version::V1), Some("2MB"));
        assert_eq!(size("hugetlb.1GB.current", Version::V2), Some("1GB"));
        for other in ["hugetlb.2MB.rsvd.current", "hugetlb.2MB.max", "memory.current"] {
            assert_eq!(size(other, Version::V2), None, "{other}");
        }
    }
}
