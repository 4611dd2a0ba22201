//! Reads from and writes to block devices.

use super::text;
use kickstage_config::record::CgroupDir;
use serde_json::{Value, json};

/// Of v1 in the order of their worth: those of a scheduler know what reached the device, of all
/// below; the last is there everywhere.
const BYTES: [&str; 4] = [
    "blkio.bfq.io_service_bytes_recursive",
    "blkio.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes_recursive",
    "blkio.throttle.io_service_bytes",
];

/// The same for their number.
const COUNTS: [&str; 4] = [
    "blkio.bfq.io_serviced_recursive",
    "blkio.io_serviced_recursive",
    "blkio.throttle.io_serviced_recursive",
    "blkio.throttle.io_serviced",
];

fn entry(major: u64, minor: u64, op: &str, value: u64) -> Value {
    json!({ "major": major, "minor": minor, "op": op, "value": value })
}

/// `8:0`
fn device(word: &str) -> Option<(u64, u64)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

pub(super) fn v1(dir: &CgroupDir) -> Value {
    let list = |names: &[&str]| {
        let lists = names.iter().filter_map(|name| text(dir, name).ok()).map(|text| rows(&text));
        lists.into_iter().find(|rows| !rows.is_empty()).unwrap_or_default()
    };
    json!({ "ioServiceBytesRecursive": list(&BYTES), "ioServicedRecursive": list(&COUNTS) })
}

/// Lines of `8:0 Read 4096`, and at the end a total.
fn rows(text: &str) -> Vec<Value> {
    let row = |line: &str| {
        let mut words = line.split(' ');
        let (major, minor) = device(words.next()?)?;
        Some(entry(major, minor, words.next()?, words.next()?.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// io.stat: `8:0 rbytes=1 wbytes=2 rios=3 …`.
pub(super) fn v2(dir: &CgroupDir) -> Value {
    let text = text(dir, "io.stat").unwrap_or_default();
    let (mut bytes, mut counts) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse::<u64>() else { continue };
            let (list, op) = match name {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "rios" => (&mut counts, "Read"),
                "wios" => (&mut counts, "Write"),
                _ => continue,
            };
            list.push(entry(major, minor, op, value));
        }
    }
    json!({ "ioServiceBytesRecursive": bytes, "ioServicedRecursive": counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_v1_is_no_device() {
        let read = rows("8:0 Read 4096\n8:0 Discard 0\nTotal 4096\n");
        assert_eq!(read, [entry(8, 0, "Read", 4096), entry(8, 0, "Discard", 0)]);
    }
}
