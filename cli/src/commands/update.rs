//! `kickstage update [--resources FILE|-] [FLAGS] ID`

use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::{Error, Result, Role};
use kickstage_stage1::cgroup::{self, LinuxResources};
use serde_json::{Map, Value, json};
use std::io::Read;

/// Each number: the flag, and where it is in the resources of config.json.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("pids-limit", "pids", "limit"),
];

/// The same for sizes in bytes.
const SIZES: [(&str, &str, &str); 3] = [
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
];

/// The same for lists.
const LISTS: [(&str, &str, &str); 2] =
    [("cpuset-cpus", "cpu", "cpus"), ("cpuset-mems", "cpu", "mems")];

/// Changes limits of a running container.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let container = super::open(global, parsed)?;
    let resources = match parsed.text("resources") {
        Some("-") => read(std::io::stdin().lock(), "stdin")?,
        Some(path) => {
            let failed = |error: std::io::Error| unreadable(path, error.to_string());
            read(std::fs::File::open(path).map_err(failed)?, path)?
        }
        None => from_flags(parsed)?,
    };
    let present = container.cpu_time()?;
    let changes = cgroup::update(&resources, container.cgroups()?, present, &global.judge)?;
    global.warn();
    let settings = changes.iter().flat_map(|(_, settings)| settings);
    container.update(&changes, &cgroup::unit_properties(settings, present))?;
    container.update_rdt(&schemata(parsed))?;
    Ok(0)
}

fn read(from: impl Read, name: &str) -> Result<LinuxResources> {
    const LIMIT: u64 = 16 << 20;
    let mut bytes = Vec::new();
    from.take(LIMIT).read_to_end(&mut bytes).map_err(|e| unreadable(name, e.to_string()))?;
    cgroup::read_resources(name, &bytes)
}

fn unreadable(name: &str, why: String) -> Error {
    Error::new(Role::Cli, "read resources from").on(name).because(why)
}

fn from_flags(parsed: &Parsed) -> Result<LinuxResources> {
    let mut all = Map::new();
    let mut set = |group: &str, name: &str, value: Value| {
        let group = all.entry(group).or_insert_with(|| json!({}));
        group[name] = value;
    };
    for (flag, group, name) in NUMBERS {
        if let Some(text) = parsed.text(flag) {
            let number: i64 = text.parse().map_err(|_| wrong(flag, "it must be a whole number"))?;
            set(group, name, json!(number));
        }
    }
    for (flag, group, name) in SIZES {
        if let Some(text) = parsed.text(flag) {
            let bytes = size(text).ok_or_else(|| {
                wrong(flag, "it must be a number of bytes, with k, m or g behind it, or -1")
            })?;
            set(group, name, json!(bytes));
        }
    }
    for (flag, group, name) in LISTS {
        if let Some(text) = parsed.text(flag) {
            set(group, name, json!(text));
        }
    }
    if all.is_empty() && schemata(parsed).is_empty() {
        return Err(Error::new(Role::Cli, "parse arguments")
            .because("nothing to change")
            .remedy("see kickstage update --help"));
    }
    serde_json::from_value(Value::Object(all))
        .map_err(|error| Error::new(Role::Cli, "parse arguments").because(error.to_string()))
}

/// Lines for resctrl.
fn schemata(parsed: &Parsed) -> Vec<String> {
    ["l3-cache-schema", "mem-bw-schema"]
        .iter()
        .filter_map(|flag| parsed.text(flag).map(String::from))
        .collect()
}

fn wrong(flag: &str, why: &str) -> Error {
    Error::new(Role::Cli, "parse arguments").because(format!("--{flag}: {why}"))
}

/// As runc and docker write sizes: 512, 64k, 32M, 1g, 10MB, 10MiB; -1 is no limit.
fn size(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let shift = match bare.chars().last()? {
        'k' => 10,
        'm' => 20,
        'g' => 30,
        't' => 40,
        _ => 0,
    };
    let digits = if shift == 0 { bare } else { &bare[..bare.len() - 1] };
    let number: i64 = digits.trim_end().parse().ok().filter(|number| *number >= 0)?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_runc() {
        let sizes = [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64k", 65536),
            ("32M", 32 << 20),
            ("1g", 1 << 30),
            ("10MB", 10 << 20),
            ("10MiB", 10 << 20),
            ("2 kb", 2048),
            ("-1", -1),
        ];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "k", "-2", "1x", "9999999999g", "1.5g"] {
            assert_eq!(size(wrong), None, "{wrong:?}");
        }
    }
}
