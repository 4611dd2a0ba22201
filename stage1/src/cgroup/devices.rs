//! Device rules: an ordered list in config.json, of which the last that matches decides.

mod legacy;
mod program;

pub(super) use legacy::{properties, settings};
pub(super) use program::program;

use crate::text::invalid;
use kickstage_config::Result;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

/// What may be done with a device (linux/bpf.h, `BPF_DEVCG_ACC_*`).
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

const POINTER: &str = "/linux/resources/devices";

/// Each rule is compared with each, and the jumps of a program reach 32767 instructions.
const MAX_RULES: usize = 4096;

/// The kind of a device (`BPF_DEVCG_DEV_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Block = 1,
    Char = 2,
}

/// Devices of a kind; `None` means any number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Devices {
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
}

impl Devices {
    /// Those that are in both.
    fn meet(self, other: Self) -> Option<Self> {
        let number = |one: Option<u32>, other: Option<u32>| match (one, other) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => Some(one.or(other)),
        };
        let major = number(self.major, other.major)?;
        let minor = number(self.minor, other.minor)?;
        (self.kind == other.kind).then_some(Self { kind: self.kind, major, minor })
    }

    fn contain(self, other: Self) -> bool {
        self.meet(other) == Some(other)
    }
}

/// One rule, as in config.json.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    allow: bool,
    devices: Devices,
    access: u8,
    /// Its place there; `None`: nobody gave it.
    index: Option<usize>,
}

impl Rule {
    fn pointer(&self) -> String {
        self.index.map_or_else(|| POINTER.into(), |index| format!("{POINTER}/{index}"))
    }
}

/// In order. Each kind of access is decided by the last rule that is about it; where none is, it
/// is denied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

const fn char(major: Option<u32>, minor: Option<u32>) -> Devices {
    Devices { kind: Kind::Char, major, minor }
}

/// What every container may use, as in runc: making any node (using it is another matter), the
/// default devices, terminals, and `/dev/net/tun`, for which it also needs `CAP_NET_ADMIN`.
const ALWAYS: [(Devices, u8); 12] = [
    (char(None, None), MKNOD),
    (Devices { kind: Kind::Block, major: None, minor: None }, MKNOD),
    (char(Some(1), Some(3)), ALL),
    (char(Some(1), Some(5)), ALL),
    (char(Some(1), Some(7)), ALL),
    (char(Some(1), Some(8)), ALL),
    (char(Some(1), Some(9)), ALL),
    (char(Some(5), Some(0)), ALL),
    (char(Some(5), Some(1)), ALL),
    (char(Some(5), Some(2)), ALL),
    (char(Some(136), None), ALL),
    (char(Some(10), Some(200)), ALL),
];

/// Reads `/linux/resources/devices`.
pub(super) fn rules(resources: &LinuxResources) -> Result<Rules> {
    let list = resources.devices().as_deref().unwrap_or_default();
    if list.len() > MAX_RULES {
        return Err(invalid(POINTER, format!("more than {MAX_RULES} rules"))
            .remedy("-1 as major or minor stands for all numbers"));
    }
    let mut rules = Vec::new();
    for (index, rule) in list.iter().enumerate() {
        let pointer = format!("{POINTER}/{index}");
        let access = access(&pointer, rule)?;
        let number = |name: &str, value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(value) => u32::try_from(value)
                .map(Some)
                .map_err(|_| invalid(&format!("{pointer}/{name}"), "it is no device number")),
        };
        let (major, minor) = (number("major", rule.major())?, number("minor", rule.minor())?);
        for kind in kinds(&pointer, rule.typ().unwrap_or_default())? {
            let devices = Devices { kind: *kind, major, minor };
            rules.push(Rule { allow: rule.allow(), devices, access, index: Some(index) });
        }
    }
    let always = |(devices, access)| Rule { allow: true, devices, access, index: None };
    rules.extend(ALWAYS.map(always));
    Ok(Rules(rules))
}

fn kinds(pointer: &str, of: LinuxDeviceType) -> Result<&'static [Kind]> {
    match of {
        LinuxDeviceType::A => Ok(&[Kind::Char, Kind::Block]),
        LinuxDeviceType::B => Ok(&[Kind::Block]),
        LinuxDeviceType::C | LinuxDeviceType::U => Ok(&[Kind::Char]),
        LinuxDeviceType::P => {
            Err(invalid(&format!("{pointer}/type"), "a fifo is not a device").remedy("a, b or c"))
        }
    }
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

/// What no rule is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Base {
    Denied,
    Allowed,
}

impl Base {
    fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

impl Rules {
    /// The same decisions on this base, without rules that decide nothing.
    fn on(&self, base: Base) -> Vec<Rule> {
        let deny = |kind| {
            let devices = Devices { kind, major: None, minor: None };
            Rule { allow: false, devices, access: ALL, index: None }
        };
        let mut all = match base {
            Base::Denied => Vec::new(),
            Base::Allowed => vec![deny(Kind::Char), deny(Kind::Block)],
        };
        all.extend(self.0.iter().cloned());
        let mut kept: Vec<Rule> = Vec::new();
        for rule in without_overruled(&all) {
            if said_before(&kept, &rule, base) == rule.access {
                continue;
            }
            match twin(&mut kept, &rule) {
                Some(twin) => twin.access |= rule.access,
                None => kept.push(rule),
            }
        }
        kept
    }
}

/// Leaves out what later rules decide for all of a rule's devices; what they only repeat stays as
/// long as the rule does, since one that is about all access is the shortest.
fn without_overruled(rules: &[Rule]) -> Vec<Rule> {
    let mut heard: Vec<Rule> = Vec::new();
    for rule in rules.iter().rev() {
        let (mut open, mut access) = (rule.access, rule.access);
        for later in heard.iter().filter(|later| later.devices.contain(rule.devices)) {
            open &= !later.access;
            access &= if later.allow == rule.allow { ALL } else { !later.access };
        }
        if open != 0 {
            heard.push(Rule { access, ..rule.clone() });
        }
    }
    heard.reverse();
    heard
}

/// The part of its access about which a rule says what earlier ones say of all its devices.
fn said_before(earlier: &[Rule], rule: &Rule, base: Base) -> u8 {
    let (mut open, mut said) = (rule.access, 0);
    for earlier in earlier.iter().rev() {
        if earlier.allow != rule.allow {
            let touches = earlier.devices.meet(rule.devices).is_some();
            open &= if touches { !earlier.access } else { ALL };
        } else if earlier.devices.contain(rule.devices) {
            said |= open & earlier.access;
            open &= !earlier.access;
        }
    }
    if rule.allow == base.is_allowed() { said | open } else { said }
}

/// An earlier rule about the same devices, if it may as well be said there.
fn twin<'a>(earlier: &'a mut [Rule], rule: &Rule) -> Option<&'a mut Rule> {
    let commutes =
        |one: &&mut Rule| one.allow == rule.allow || one.devices.meet(rule.devices).is_none();
    earlier.iter_mut().rev().take_while(commutes).find(|one| one.devices == rule.devices)
}

#[cfg(test)]
mod tests;
