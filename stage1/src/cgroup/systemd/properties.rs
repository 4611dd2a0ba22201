//! From files of cgroups to properties of units, so that systemd knows what is written there
//! and does not write something else when it is reloaded (systemd.resource-control(5)).

use crate::cpu_list;
use kickstage_config::cgroup::{CpuTime, Property, Setting, Value};

/// No limit.
const INFINITY: u64 = u64::MAX;
/// Microseconds: what the kernel assumes for a quota without period.
const PERIOD: u64 = 100_000;

/// Files that hold one number or `max`, and the property of the same meaning.
const NUMBERS: [(&str, &str); 12] = [
    ("memory.max", "MemoryMax"),
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
    ("pids.max", "TasksMax"),
    ("cpu.weight", "CPUWeight"),
    ("io.weight", "IOWeight"),
    ("memory.limit_in_bytes", "MemoryLimit"),
    ("cpu.shares", "CPUShares"),
    ("blkio.weight", "BlockIOWeight"),
    ("blkio.bfq.weight", "BlockIOWeight"),
];

/// Files that hold a list such as `0-3,7`.
const LISTS: [(&str, &str); 2] =
    [("cpuset.cpus", "AllowedCPUs"), ("cpuset.mems", "AllowedMemoryNodes")];

/// Words of `io.max`.
const RATES: [(&str, &str); 4] = [
    ("rbps", "IOReadBandwidthMax"),
    ("wbps", "IOWriteBandwidthMax"),
    ("riops", "IOReadIOPSMax"),
    ("wiops", "IOWriteIOPSMax"),
];

/// All that systemd has a word for. The engine writes each file itself, too: what is rounded
/// here is exact there, and what is left out here is there. `present` is what the unit may have of
/// the processors' time as yet.
pub fn of_settings<'a>(
    settings: impl IntoIterator<Item = &'a Setting>,
    present: CpuTime,
) -> Vec<Property> {
    let mut all: Vec<Property> = Vec::new();
    let mut time = Time { of: present, key: None };
    for setting in settings {
        let (file, value) = (setting.file.as_str(), setting.value.as_str());
        let found = NUMBERS.iter().find(|(of, _)| *of == file);
        if let Some((_, name)) = found {
            push(&mut all, name, number(value).map(Value::Large), setting);
        }
        if let Some((_, name)) = LISTS.iter().find(|(of, _)| *of == file) {
            push(&mut all, name, mask(value).map(Value::Bytes), setting);
        }
        if file == "io.bfq.weight" {
            let weight = number(value).map(of_bfq).map(Value::Large);
            push(&mut all, "IOWeight", weight, setting);
        }
        if file == "io.max" {
            rate(&mut all, setting);
        }
        time.look_at(setting);
    }
    all.extend(time.properties());
    all
}

fn push(all: &mut Vec<Property>, name: &str, value: Option<Value>, setting: &Setting) {
    if let Some(value) = value {
        // the last one wins, as in the file
        all.retain(|property| property.name != name);
        let (name, key) = (name.to_string(), setting.key.clone());
        all.push(Property { name, value, key, optional: true });
    }
}

fn number(value: &str) -> Option<u64> {
    match value.trim() {
        "max" => Some(INFINITY),
        value => {
            let number: i64 = value.parse().ok()?;
            Some(u64::try_from(number).unwrap_or(INFINITY))
        }
    }
}

/// What systemd makes this weight of BFQ (1 to 1000) of, among its own (1 to 10000): 100 is 100,
/// and the rest in proportion (`BFQ_WEIGHT`). v1 has no such range: there a weight above 100 is
/// systemd's after a reload, with runc as well.
fn of_bfq(weight: u64) -> u64 {
    weight.min(100) + weight.saturating_sub(100).saturating_mul(11)
}

/// One bit a number, the lowest first.
fn mask(list: &str) -> Option<Vec<u8>> {
    let words = cpu_list::parse("", list).ok()?;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Some(bytes)
}

/// `MAJOR:MINOR word=rate`.
fn rate(all: &mut Vec<Property>, setting: &Setting) {
    let mut words = setting.value.split(' ');
    let Some(device) = words.next() else { return };
    for word in words {
        let Some((word, rate)) = word.split_once('=') else { continue };
        let Some((_, name)) = RATES.iter().find(|(of, _)| *of == word) else { continue };
        let Some(rate) = number(rate) else { continue };
        let entry = (format!("/dev/block/{device}"), rate);
        match all.iter_mut().find(|property| property.name == *name) {
            Some(Property { value: Value::Rates(rates), .. }) => rates.push(entry),
            _ => push(all, name, Some(Value::Rates(vec![entry])), setting),
        }
    }
}

/// Time of the processors, which is two files on v1 and one on v2. systemd wants to know the quota
/// by the second, for which it takes both.
struct Time {
    of: CpuTime,
    /// What asked for a change, if anything did.
    key: Option<String>,
}

impl Time {
    fn look_at(&mut self, setting: &Setting) {
        let value = setting.value.as_str();
        match setting.file.as_str() {
            "cpu.max" => {
                let mut words = value.split(' ');
                self.of.quota = words.next().and_then(number);
                self.of.period = words.next().and_then(number).or(self.of.period);
            }
            "cpu.cfs_quota_us" => self.of.quota = number(value),
            "cpu.cfs_period_us" => self.of.period = number(value),
            _ => return,
        }
        self.key = Some(setting.key.clone());
    }

    fn properties(self) -> Vec<Property> {
        let Some(key) = self.key else { return Vec::new() };
        let property = |name: &str, value| Property {
            name: name.to_string(),
            value: Value::Large(value),
            key: key.clone(),
            optional: true,
        };
        let mut all = Vec::new();
        if let Some(period) = self.of.period {
            all.push(property("CPUQuotaPeriodUSec", period));
        }
        if let Some(quota) = self.of.quota {
            all.push(property("CPUQuotaPerSecUSec", a_second(quota, self.of.period)));
        }
        all
    }
}

/// systemd rounds down to whole percents: up is what was asked for at least.
fn a_second(quota: u64, period: Option<u64>) -> u64 {
    if quota == INFINITY {
        return INFINITY;
    }
    let period = u128::from(period.filter(|period| *period != 0).unwrap_or(PERIOD));
    let exact = (u128::from(quota) * 1_000_000).div_ceil(period);
    u64::try_from(exact.next_multiple_of(10_000)).unwrap_or(INFINITY)
}
