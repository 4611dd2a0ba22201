//! Device nodes that every container gets, and those of config.json.

use crate::text::{self, clean, invalid};
use kickstage_config::plan::Device;
use kickstage_config::{Result, Text};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use serde_json::Value;

/// runtime-spec, config-linux.md, "Default Devices".
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// "/dev symbolic links" of the same, `/dev/ptmx`, and `/dev/core`, which every engine makes and
/// which leads nowhere where `/proc/kcore` is masked or missing.
pub(crate) const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/core", "/proc/kcore"),
];

const NUMBERS: &str = "name its major and minor, as ls -l shows them; a fifo (p) has none";

/// The model takes a number that is not there for a 0: where it has one, config.json is asked.
pub(crate) fn refuse_missing_numbers(spec: &Spec, config: &[u8]) -> Result<()> {
    let list = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref());
    let in_doubt = |device: &LinuxDevice| {
        let has_numbers = !matches!(device.typ(), LinuxDeviceType::P | LinuxDeviceType::A);
        has_numbers && (device.major() == 0 || device.minor() == 0)
    };
    let in_doubt: Vec<usize> = list
        .unwrap_or_default()
        .iter()
        .enumerate()
        .filter_map(|(index, device)| in_doubt(device).then_some(index))
        .collect();
    if in_doubt.is_empty() {
        return Ok(());
    }
    let config: Value = serde_json::from_slice(config).unwrap_or_default();
    for index in in_doubt {
        for name in ["major", "minor"] {
            let pointer = format!("/linux/devices/{index}/{name}");
            if config.pointer(&pointer).is_none() {
                return Err(invalid(&pointer, "it is missing").remedy(NUMBERS));
            }
        }
    }
    Ok(())
}

/// The nodes to make. One of config.json replaces the default of the same path.
pub(crate) fn decide(spec: &Spec) -> Result<Vec<Device>> {
    let list = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref());
    let mut nodes = Vec::new();
    for (index, wanted) in list.unwrap_or_default().iter().enumerate() {
        let pointer = format!("/linux/devices/{index}");
        let node = read(&pointer, wanted)?;
        if nodes.iter().any(|known: &Device| known.path == node.path) {
            return Err(invalid(&pointer, format!("a second device {}", node.path)));
        }
        nodes.push(node);
    }
    for (path, major, minor) in DEFAULTS {
        if nodes.iter().all(|node| node.path.as_str() != path) {
            let mode = libc::S_IFCHR | 0o666;
            let path = Text::from_literal(path);
            nodes.push(Device { path, mode, major, minor, uid: 0, gid: 0 });
        }
    }
    Ok(nodes)
}

fn read(pointer: &str, wanted: &LinuxDevice) -> Result<Device> {
    let path = text::path(&format!("{pointer}/path"), wanted.path())?;
    if !path.as_str().starts_with('/') {
        return Err(invalid(&format!("{pointer}/path"), "it must be absolute"));
    }
    let kind = match wanted.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => {
            return Err(invalid(&format!("{pointer}/type"), "a is for device rules only"));
        }
    };
    let number = |name: &str, value: i64| {
        u32::try_from(value).map_err(|_| {
            invalid(&format!("{pointer}/{name}"), format!("{value} is no number of a device"))
        })
    };
    let is_fifo = kind == libc::S_IFIFO;
    if !is_fifo && (wanted.major(), wanted.minor()) == (0, 0) {
        return Err(invalid(pointer, "no device has the numbers 0:0").remedy(NUMBERS));
    }
    Ok(Device {
        path: text::text(pointer, &clean(path.as_str()))?,
        mode: kind | wanted.file_mode().unwrap_or(0o666) & 0o7777,
        major: if is_fifo { 0 } else { number("major", wanted.major())? },
        minor: if is_fifo { 0 } else { number("minor", wanted.minor())? },
        uid: wanted.uid().unwrap_or(0),
        gid: wanted.gid().unwrap_or(0),
    })
}
