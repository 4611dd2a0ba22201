//! Block devices: weights and rates.

use super::{Values, setting};
use crate::Judge;
use crate::text::invalid;
use kickstage_config::cgroup::Setting;
use kickstage_config::{Result, Text};
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

/// Clients write a weight of 0 where none is meant.
fn weight(key: &str, weight: Option<u16>) -> Result<Option<u16>> {
    match weight.unwrap_or(0) {
        0 => Ok(None),
        weight @ 10..=1000 => Ok(Some(weight)),
        _ => Err(invalid(&format!("/linux/resources/{key}"), "a weight is 10 to 1000")),
    }
}

/// For a kernel that has no such file.
fn or_else(mut first: Setting, file: &'static str, value: String) -> Setting {
    first.otherwise = Some((Text::from_literal(file), value));
    first
}

fn node(key: &str, major: i64, minor: i64) -> Result<String> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(format!("{major}:{minor}")),
        _ => Err(invalid(&format!("/linux/resources/{key}"), "there is no such device number")),
    }
}

/// The elevator CFQ had the first files; BFQ has others.
pub(super) fn v1(io: &LinuxBlockIo, values: &mut Values) -> Result<()> {
    if let Some(weight) = weight("blockIO/weight", io.weight())? {
        let first = setting("blkio.weight", "blockIO/weight", &weight);
        values.push_setting("blkio", or_else(first, "blkio.bfq.weight", weight.to_string()));
    }
    if let Some(weight) = weight("blockIO/leafWeight", io.leaf_weight())? {
        values.push("blkio", "blkio.leaf_weight", "blockIO/leafWeight", &weight);
    }
    for (index, device) in io.weight_device().iter().flatten().enumerate() {
        let [own, leaf] = device_weights(index, device)?;
        if let Some((key, value)) = own {
            let first = setting("blkio.weight_device", &key, &value);
            values.push_setting("blkio", or_else(first, "blkio.bfq.weight_device", value));
        }
        if let Some((key, value)) = leaf {
            values.push("blkio", "blkio.leaf_weight_device", &key, &value);
        }
    }
    rates(io, |file, _, key, node, rate| {
        values.push("blkio", file, key, &format!("{node} {rate}"));
    })
}

/// BFQ's file takes the same weights; the kernel's own one has a wider range.
pub(super) fn v2(io: &LinuxBlockIo, judge: &Judge, values: &mut Values) -> Result<()> {
    if let Some(weight) = weight("blockIO/weight", io.weight())? {
        let first = setting("io.bfq.weight", "blockIO/weight", &weight);
        values.push_setting("io", or_else(first, "io.weight", widened(weight).to_string()));
    }
    if weight("blockIO/leafWeight", io.leaf_weight())?.is_some() {
        judge.refuse("/linux/resources/blockIO/leafWeight")?;
    }
    for (index, device) in io.weight_device().iter().flatten().enumerate() {
        let [own, leaf] = device_weights(index, device)?;
        if let Some((key, value)) = own {
            let (node, _) = value.split_once(' ').expect("a device and its weight");
            let wide = format!("{node} {}", widened(device.weight().unwrap_or_default()));
            let first = setting("io.bfq.weight", &key, &value);
            values.push_setting("io", or_else(first, "io.weight", wide));
        }
        if let Some((key, _)) = leaf {
            judge.refuse(&format!("/linux/resources/{key}"))?;
        }
    }
    rates(io, |_, name, key, node, rate| {
        // no limit is a word here
        let rate = if rate == 0 { "max".into() } else { rate.to_string() };
        values.push("io", "io.max", key, &format!("{node} {name}={rate}"));
    })
}

/// From 10 to 1000 to 1 to 10000, as runc and crun have it.
fn widened(weight: u16) -> u32 {
    1 + (u32::from(weight).saturating_sub(10)) * 9999 / 990
}

type Keyed = Option<(String, String)>;

/// Its weight and its leaf weight: key, and what the kernel takes.
fn device_weights(index: usize, device: &LinuxWeightDevice) -> Result<[Keyed; 2]> {
    let key = format!("blockIO/weightDevice/{index}");
    let node = node(&key, device.major(), device.minor())?;
    if device.weight().is_none() && device.leaf_weight().is_none() {
        let pointer = format!("/linux/resources/{key}");
        return Err(invalid(&pointer, "it has no weight").remedy("weight, leafWeight"));
    }
    let one = |name: &str, value| -> Result<Keyed> {
        let key = format!("{key}/{name}");
        Ok(weight(&key, value)?.map(|weight| (key, format!("{node} {weight}"))))
    };
    Ok([one("weight", device.weight())?, one("leafWeight", device.leaf_weight())?])
}

/// Gives each limit to `push`: the file of v1, the word of v2, key, device, rate.
fn rates(io: &LinuxBlockIo, mut push: impl FnMut(&str, &str, &str, &str, u64)) -> Result<()> {
    type List<'a> = &'a Option<Vec<LinuxThrottleDevice>>;
    let lists: [(&str, &str, &str, List<'_>); 4] = [
        ("Read", "blkio.throttle.read_bps_device", "rbps", io.throttle_read_bps_device()),
        ("Write", "blkio.throttle.write_bps_device", "wbps", io.throttle_write_bps_device()),
        ("Read", "blkio.throttle.read_iops_device", "riops", io.throttle_read_iops_device()),
        ("Write", "blkio.throttle.write_iops_device", "wiops", io.throttle_write_iops_device()),
    ];
    for (way, file, word, list) in lists {
        let unit = if word.ends_with("bps") { "Bps" } else { "IOPS" };
        for (index, device) in list.iter().flatten().enumerate() {
            let key = format!("blockIO/throttle{way}{unit}Device/{index}");
            let node = node(&key, device.major(), device.minor())?;
            push(file, word, &key, &node, device.rate());
        }
    }
    Ok(())
}
