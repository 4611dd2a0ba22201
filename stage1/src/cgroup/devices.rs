//! Device rules: an ordered list in config.json, lines for v1, an eBPF program for v2.

use super::resources::Values;
use crate::text::invalid;
use kickstage_config::cgroup::{Property, Setting, Value};
use kickstage_config::{Result, Text};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use std::collections::BTreeMap;

/// What may be done with a device (linux/bpf.h, `BPF_DEVCG_ACC_*`).
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// The kind of a device (`BPF_DEVCG_DEV_*`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Block = 1,
    Char = 2,
}

/// Devices of a kind; `None` means any number.
type Which = (Kind, Option<u32>, Option<u32>);

/// What a list of rules comes to: everything is denied (or allowed) but for exceptions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Rules {
    allow: bool,
    exceptions: BTreeMap<Which, u8>,
}

/// What every container may use, as in runc: making any node (using it is another matter), the
/// default devices, terminals, and `/dev/net/tun`, for which it also needs `CAP_NET_ADMIN`.
const ALWAYS: [(Which, u8); 12] = [
    ((Kind::Char, None, None), MKNOD),
    ((Kind::Block, None, None), MKNOD),
    ((Kind::Char, Some(1), Some(3)), ALL),
    ((Kind::Char, Some(1), Some(5)), ALL),
    ((Kind::Char, Some(1), Some(7)), ALL),
    ((Kind::Char, Some(1), Some(8)), ALL),
    ((Kind::Char, Some(1), Some(9)), ALL),
    ((Kind::Char, Some(5), Some(0)), ALL),
    ((Kind::Char, Some(5), Some(1)), ALL),
    ((Kind::Char, Some(5), Some(2)), ALL),
    ((Kind::Char, Some(136), None), ALL),
    ((Kind::Char, Some(10), Some(200)), ALL),
];

impl Rules {
    fn add(&mut self, allow: bool, which: Which, access: u8) {
        if allow == self.allow {
            if let Some(exception) = self.exceptions.get_mut(&which) {
                *exception &= !access;
            }
            self.exceptions.retain(|_, access| *access != 0);
        } else {
            *self.exceptions.entry(which).or_default() |= access;
        }
    }
}

/// Reads `/linux/resources/devices`. Where no rule speaks, access is denied.
pub(super) fn rules(resources: &LinuxResources) -> Result<Rules> {
    let mut rules = Rules::default();
    for (index, rule) in resources.devices().iter().flatten().enumerate() {
        let pointer = format!("/linux/resources/devices/{index}");
        let access = access(&pointer, rule)?;
        let number = |name: &str, value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(value) => u32::try_from(value)
                .map(Some)
                .map_err(|_| invalid(&format!("{pointer}/{name}"), "it is no device number")),
        };
        let (major, minor) = (number("major", rule.major())?, number("minor", rule.minor())?);
        match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A if (major, minor) == (None, None) => {
                rules = Rules { allow: rule.allow(), ..Rules::default() };
            }
            LinuxDeviceType::A => {
                rules.add(rule.allow(), (Kind::Char, major, minor), access);
                rules.add(rule.allow(), (Kind::Block, major, minor), access);
            }
            LinuxDeviceType::B => rules.add(rule.allow(), (Kind::Block, major, minor), access),
            LinuxDeviceType::C | LinuxDeviceType::U => {
                rules.add(rule.allow(), (Kind::Char, major, minor), access);
            }
            LinuxDeviceType::P => {
                return Err(invalid(&format!("{pointer}/type"), "a fifo is not a device"));
            }
        }
    }
    for (which, access) in ALWAYS {
        rules.add(true, which, access);
    }
    Ok(rules)
}

fn access(pointer: &str, rule: &LinuxDeviceCgroup) -> Result<u8> {
    let letters = rule.access().as_deref().filter(|letters| !letters.is_empty()).unwrap_or("rwm");
    letters.chars().try_fold(0, |access, letter| match letter {
        'r' => Ok(access | READ),
        'w' => Ok(access | WRITE),
        'm' => Ok(access | MKNOD),
        _ => Err(invalid(&format!("{pointer}/access"), format!("{letter:?} is not r, w or m"))),
    })
}

/// For v1: the base, then each exception.
pub(super) fn settings(rules: &Rules) -> Values {
    let (base, exception) = if rules.allow {
        ("devices.allow", "devices.deny")
    } else {
        ("devices.deny", "devices.allow")
    };
    let mut values = Values::default();
    let setting = |file: &'static str, value: String| Setting {
        file: Text::from_literal(file),
        value,
        key: "/linux/resources/devices".into(),
        ..Setting::default()
    };
    values.push_setting("devices", setting(base, "a".into()));
    for ((kind, major, minor), access) in &rules.exceptions {
        let kind = if *kind == Kind::Char { 'c' } else { 'b' };
        let number = |value: Option<u32>| value.map_or("*".into(), |value| value.to_string());
        let line = format!("{kind} {}:{} {}", number(*major), number(*minor), letters(*access));
        values.push_setting("devices", setting(exception, line));
    }
    values
}

/// For systemd, which would else open all devices when it is reloaded. Where it has no words for a
/// rule it is told of none.
pub(super) fn properties(rules: &Rules) -> Vec<Property> {
    let device = |(kind, major, minor): Which| {
        let kind = if kind == Kind::Char { "char" } else { "block" };
        match (major, minor) {
            (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
            (Some(major), None) => Some(format!("{kind}-{major}")),
            (None, None) => Some(format!("{kind}-*")),
            (None, Some(_)) => None,
        }
    };
    let entries = rules.exceptions.iter();
    let entries = entries.map(|(which, access)| Some((device(*which)?, letters(*access))));
    let Some(list) = entries.collect::<Option<Vec<_>>>().filter(|_| !rules.allow) else {
        return Vec::new();
    };
    let property = |name: &str, value| Property {
        name: name.to_string(),
        value,
        key: "/linux/resources/devices".into(),
        optional: true,
    };
    let policy = Value::Text("strict".into());
    vec![property("DevicePolicy", policy), property("DeviceAllow", Value::Pairs(list))]
}

/// As in config.json.
fn letters(access: u8) -> String {
    let all = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    all.iter().filter(|(bit, _)| access & bit != 0).map(|(_, letter)| letter).collect()
}

/// An eBPF program under construction. Registers: r0 verdict, r1 scratch, r2 kind, r3 access,
/// r4 major, r5 minor.
#[derive(Default)]
struct Program {
    insns: Vec<u64>,
    /// Jumps to the end, to be filled in.
    to_exit: Vec<usize>,
}

// Operation codes (linux/bpf.h).
const LOAD_WORD: u8 = 0x61;
const MOV64_IMM: u8 = 0xb7;
const MOV32_REG: u8 = 0xbc;
const AND32_IMM: u8 = 0x54;
const OR32_REG: u8 = 0x4c;
const LSH32_IMM: u8 = 0x64;
const RSH32_IMM: u8 = 0x74;
const JUMP: u8 = 0x05;
const JEQ32_IMM: u8 = 0x16;
const JNE32_IMM: u8 = 0x56;
const EXIT: u8 = 0x95;

impl Program {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: u32) {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = immediate.to_le_bytes();
        self.insns.push(u64::from_le_bytes([code, from << 4 | to, low, high, a, b, c, d]));
    }

    fn jump_to_exit(&mut self, code: u8, register: u8, immediate: u32) {
        self.to_exit.push(self.insns.len());
        self.push(code, register, 0, 0, immediate);
    }

    fn set_offset(&mut self, at: usize, target: usize) {
        let offset = i16::try_from(target - at - 1).unwrap_or(i16::MAX);
        self.insns[at] = self.insns[at] & !0xffff_0000 | u64::from(offset.cast_unsigned()) << 16;
    }

    /// Tests that all must hold for the verdict in r0; the first that fails leads on.
    fn test(&mut self, allow: bool, (kind, major, minor): Which, access: u8) {
        let mut failing = Vec::new();
        let mut unless = |program: &mut Self, code, register, immediate| {
            failing.push(program.insns.len());
            program.push(code, register, 0, 0, immediate);
        };
        unless(self, JNE32_IMM, 2, kind as u32);
        if access != ALL {
            self.push(MOV32_REG, 1, 3, 0, 0);
            if allow {
                // everything that is asked for must be in the exception
                self.push(AND32_IMM, 1, 0, 0, u32::from(!access & ALL));
                unless(self, JNE32_IMM, 1, 0);
            } else {
                // anything that is asked for is
                self.push(AND32_IMM, 1, 0, 0, u32::from(access));
                unless(self, JEQ32_IMM, 1, 0);
            }
        }
        for (register, number) in [(4, major), (5, minor)] {
            if let Some(number) = number {
                unless(self, JNE32_IMM, register, number);
            }
        }
        self.jump_to_exit(JUMP, 0, 0);
        let next = self.insns.len();
        for at in failing {
            self.set_offset(at, next);
        }
    }
}

/// For v2. Rules for one device with all access, the common case, are compared with one key
/// that holds both numbers: a program with fewer branches is verified and run faster.
pub(super) fn program(rules: &Rules) -> Vec<u64> {
    let mut program = Program::default();
    let (kind_word, major, minor) = (0, 4, 8);
    program.push(LOAD_WORD, 2, 1, kind_word, 0);
    program.push(LOAD_WORD, 4, 1, major, 0);
    program.push(LOAD_WORD, 5, 1, minor, 0);
    program.push(MOV64_IMM, 0, 0, 0, u32::from(!rules.allow));
    program.push(MOV32_REG, 3, 2, 0, 0);
    program.push(RSH32_IMM, 3, 0, 0, 16);
    program.push(AND32_IMM, 2, 0, 0, 0xffff);
    let key = |(kind, major, minor): Which, access: u8| match (major, minor) {
        // the kernel's device numbers have 12 and 20 bits
        (Some(major), Some(minor)) if access == ALL && major < 1 << 12 && minor < 1 << 20 => {
            Some((kind, major << 20 | minor))
        }
        _ => None,
    };
    for (which, access) in &rules.exceptions {
        if key(*which, *access).is_none() {
            program.test(!rules.allow, *which, *access);
        }
    }
    let folded: Vec<(Kind, u32)> =
        rules.exceptions.iter().filter_map(|(which, access)| key(*which, *access)).collect();
    program.push(LSH32_IMM, 4, 0, 0, 20);
    program.push(OR32_REG, 4, 5, 0, 0);
    for kind in [Kind::Block, Kind::Char] {
        let keys: Vec<u32> =
            folded.iter().filter(|(of, _)| *of == kind).map(|(_, key)| *key).collect();
        if keys.is_empty() {
            continue;
        }
        let guard = program.insns.len();
        program.push(JNE32_IMM, 2, 0, 0, kind as u32);
        for key in keys {
            program.jump_to_exit(JEQ32_IMM, 4, key);
        }
        let next = program.insns.len();
        program.set_offset(guard, next);
    }
    program.push(MOV64_IMM, 0, 0, 0, u32::from(rules.allow));
    let exit = program.insns.len();
    program.push(EXIT, 0, 0, 0, 0);
    for at in std::mem::take(&mut program.to_exit) {
        program.set_offset(at, exit);
    }
    program.insns
}

#[cfg(test)]
mod tests;
