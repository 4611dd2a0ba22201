//! What a container uses, in runc's form: times in nanoseconds, sizes in bytes.

mod block_io;
mod huge_pages;

use kickstage_config::cgroup::Version;
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Result, Role, Text};
use kickstage_sys::{Errno, file};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A kernel tick of cpuacct.stat (USER_HZ) in nanoseconds.
const TICK: u64 = 10_000_000;

/// Larger files are not read: none of the kernel's is.
const LIMIT: usize = 4 << 20;

/// Whether a cgroup has that controller.
pub(super) fn is_of(dir: &CgroupDir, controller: &str) -> bool {
    dir.version == Version::V2 || dir.controllers.split(',').any(|name| name == controller)
}

/// Everything that the container's cgroups tell.
pub(super) fn read(dirs: &[CgroupDir]) -> Result<Value> {
    let of = |controller: &str| dirs.iter().find(|dir| is_of(dir, controller));
    let v2 = dirs.iter().any(|dir| dir.version == Version::V2);
    let mut all = Map::new();
    let mut add = |name: &str, part: Option<Value>| {
        all.insert(name.into(), part.unwrap_or_else(|| json!({})));
    };
    add("cpu", if v2 { of("cpu").map(cpu_v2) } else { cpu_v1(of("cpuacct"), of("cpu")) });
    add("cpuset", of("cpuset").map(cpuset));
    add("memory", of("memory").map(if v2 { memory_v2 } else { memory_v1 }));
    add("pids", of("pids").map(pids));
    add("blkio", if v2 { of("io").map(block_io::v2) } else { of("blkio").map(block_io::v1) });
    add("hugetlb", of("hugetlb").map(huge_pages::read));
    add("intel_rdt", None);
    // runc has it for devices that it made in the days of libcontainer
    all.insert("network_interfaces".into(), Value::Null);
    // a cgroup that is gone has nothing to tell, which is not a row of zeros
    dirs.first().map_or(Ok(()), |dir| text(dir, "cgroup.procs").map(drop))?;
    Ok(Value::Object(all))
}

fn text(dir: &CgroupDir, name: &str) -> Result<String> {
    let path = Text::new(format!("{}{}/{name}", dir.mount, dir.path)).expect("made of Texts");
    let bytes = file::read_host(&path, LIMIT).during_on(Role::Cli, "read", &path)?;
    String::from_utf8(bytes).map_err(|_| Errno(libc::EILSEQ)).during_on(Role::Cli, "read", &path)
}

/// A file with one number; `None`: it is not there. `max` is the largest.
fn number(dir: &CgroupDir, name: &str) -> Option<u64> {
    let text = text(dir, name).ok()?;
    match text.trim() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A file of names and numbers.
pub(super) fn table(dir: &CgroupDir, name: &str) -> BTreeMap<String, u64> {
    let text = text(dir, name).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, value)| Some((name.into(), value.trim().parse().ok()?))).collect()
}

fn get(table: &BTreeMap<String, u64>, name: &str) -> u64 {
    table.get(name).copied().unwrap_or(0)
}

fn throttling(periods: u64, throttled: u64, nanoseconds: u64) -> Value {
    json!({ "periods": periods, "throttledPeriods": throttled, "throttledTime": nanoseconds })
}

fn cpu_v1(account: Option<&CgroupDir>, quota: Option<&CgroupDir>) -> Option<Value> {
    let account = account?;
    let list = |name| {
        let text = text(account, name).unwrap_or_default();
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>()
    };
    // "cpu user system", and a line of numbers for each
    let both = text(account, "cpuacct.usage_all").unwrap_or_default();
    let column = |place: usize| {
        let rows = both.lines().skip(1);
        let cells = rows.filter_map(|row| row.split(' ').nth(place)?.parse().ok());
        cells.collect::<Vec<u64>>()
    };
    let times = table(account, "cpuacct.stat");
    let limits = quota.map(|dir| table(dir, "cpu.stat")).unwrap_or_default();
    Some(json!({
        "usage": {
            "total": number(account, "cpuacct.usage").unwrap_or(0),
            "percpu": list("cpuacct.usage_percpu"),
            "percpu_kernel": column(2),
            "percpu_user": column(1),
            "kernel": get(&times, "system").saturating_mul(TICK),
            "user": get(&times, "user").saturating_mul(TICK),
        },
        "throttling": throttling(
            get(&limits, "nr_periods"), get(&limits, "nr_throttled"), get(&limits, "throttled_time"),
        ),
    }))
}

fn cpu_v2(dir: &CgroupDir) -> Value {
    let all = table(dir, "cpu.stat");
    let nanoseconds = |name| get(&all, name).saturating_mul(1000);
    json!({
        "usage": {
            "total": nanoseconds("usage_usec"),
            "kernel": nanoseconds("system_usec"),
            "user": nanoseconds("user_usec"),
        },
        "throttling": throttling(
            get(&all, "nr_periods"), get(&all, "nr_throttled"), nanoseconds("throttled_usec"),
        ),
    })
}

/// `0-2,5` as a list of numbers. The kernel's ascend, and so can't be long.
fn numbers(list: &str) -> Vec<u16> {
    let mut numbers: Vec<u16> = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>())
            && numbers.last().is_none_or(|before| first > *before)
        {
            numbers.extend(first..=last);
        }
    }
    numbers
}

/// The CPUs and memory nodes that it may use.
fn cpuset(dir: &CgroupDir) -> Value {
    let list = |name: &str| {
        let effective = name.replace("cpuset.", "cpuset.effective_");
        let of_v2 = format!("{name}.effective");
        let found = [effective.as_str(), of_v2.as_str(), name];
        let text = found.iter().find_map(|name| text(dir, name).ok()).unwrap_or_default();
        numbers(&text)
    };
    // v2 has none of them
    let flag = |name: &str| {
        let text = text(dir, &format!("cpuset.{name}")).unwrap_or_default();
        text.trim().parse::<i64>().unwrap_or(0)
    };
    json!({
        "cpus": list("cpuset.cpus"),
        "cpu_exclusive": flag("cpu_exclusive"),
        "mems": list("cpuset.mems"),
        "mem_hardwall": flag("mem_hardwall"),
        "mem_exclusive": flag("mem_exclusive"),
        "memory_migrate": flag("memory_migrate"),
        "memory_spread_page": flag("memory_spread_page"),
        "memory_spread_slab": flag("memory_spread_slab"),
        "memory_pressure": flag("memory_pressure"),
        "sched_load_balance": flag("sched_load_balance"),
        "sched_relax_domain_level": flag("sched_relax_domain_level"),
    })
}

fn memory_v1(dir: &CgroupDir) -> Value {
    let one = |prefix: &str| {
        let file = |name: &str| number(dir, &format!("memory.{prefix}{name}")).unwrap_or(0);
        json!({
            "limit": file("limit_in_bytes"),
            "usage": file("usage_in_bytes"),
            "max": file("max_usage_in_bytes"),
            "failcnt": file("failcnt"),
        })
    };
    let raw = table(dir, "memory.stat");
    json!({
        "cache": get(&raw, "cache"),
        "usage": one(""),
        "swap": one("memsw."),
        "kernel": one("kmem."),
        "kernelTCP": one("kmem.tcp."),
        "raw": raw,
    })
}

fn memory_v2(dir: &CgroupDir) -> Value {
    let file = |name: &str| number(dir, &format!("memory.{name}")).unwrap_or(0);
    let events = table(dir, "memory.events");
    let raw = table(dir, "memory.stat");
    // memory and swap together, as v1 and the specification count
    let limit = file("max").saturating_add(file("swap.max"));
    let usage = file("current").saturating_add(file("swap.current"));
    json!({
        "cache": get(&raw, "file"),
        "usage": {
            "limit": file("max"),
            "usage": file("current"),
            "max": file("peak"),
            "failcnt": get(&events, "max"),
        },
        "swap": { "limit": limit, "usage": usage, "failcnt": 0 },
        // v2 counts them with the rest
        "kernel": { "limit": 0, "failcnt": 0 },
        "kernelTCP": { "limit": 0, "failcnt": 0 },
        "raw": raw,
    })
}

fn pids(dir: &CgroupDir) -> Value {
    // no limit is told as 0, as runc does
    let limit = number(dir, "pids.max").filter(|limit| *limit != u64::MAX).unwrap_or(0);
    json!({ "current": number(dir, "pids.current").unwrap_or(0), "limit": limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One of each form that the kernel writes.
    const SEEDS: [&str; 5] = [
        "user 12\nsystem 7\nusage_usec 18446744073709551615\nnr_periods 1\noom_kill 2\n",
        "18446744073709551615\n",
        "0-2,5\n",
        "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=9\n",
        "max\n",
    ];
    const WORDS: [&str; 9] =
        ["\n", " ", "=", "-", ",", "18446744073709551616", "65535", "max", "8:0 rbytes="];

    const V1: [&str; 13] = [
        "cpuacct.usage",
        "cpuacct.usage_percpu",
        "cpuacct.stat",
        "cpu.stat",
        "cpuset.effective_cpus",
        "cpuset.mems",
        "memory.limit_in_bytes",
        "memory.memsw.usage_in_bytes",
        "memory.stat",
        "memory.failcnt",
        "pids.current",
        "pids.max",
        "cgroup.procs",
    ];
    const V2: [&str; 14] = [
        "cpu.stat",
        "cpuset.cpus.effective",
        "cpuset.mems",
        "memory.max",
        "memory.swap.max",
        "memory.current",
        "memory.swap.current",
        "memory.events",
        "memory.stat",
        "memory.peak",
        "pids.current",
        "pids.max",
        "io.stat",
        "cgroup.procs",
    ];

    #[test]
    fn a_list_of_cpus_is_no_longer_than_there_are_numbers() {
        assert_eq!(numbers("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(numbers("0-65535,0-65535,7").len(), 65_536);
        assert!(numbers("").is_empty() && numbers("3-1").is_empty());
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded_with(128))]
        #[test]
        fn any_cgroup_files_become_an_event(
            texts in prop::collection::vec(kickstage_fuzz::text(&SEEDS, &WORDS), V2.len()),
            version in prop::sample::select(vec![Version::V1, Version::V2]),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let names: &[&str] = if version == Version::V1 { &V1 } else { &V2 };
            for (name, text) in names.iter().zip(&texts) {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            let cgroup = CgroupDir {
                version,
                controllers: "cpu,cpuacct,cpuset,memory,pids".into(),
                mount: Text::new(dir.path().to_str().unwrap()).unwrap(),
                path: Text::from_literal(""),
                made: 0,
            };
            let all = read(&[cgroup]).unwrap();
            prop_assert!(all["cpu"]["usage"]["total"].is_u64() && all["pids"]["current"].is_u64());
            prop_assert!(all.to_string().len() < 1 << 20);
        }
    }
}
