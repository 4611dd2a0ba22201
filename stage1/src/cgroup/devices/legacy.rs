//! Device rules for v1, and for systemd: one base, and exceptions to it.

use super::{Base, Devices, Kind, MKNOD, POINTER, READ, Rule, Rules, WRITE};
use crate::cgroup::resources::Values;
use crate::text::invalid;
use kickstage_config::cgroup::{Property, Setting, Value};
use kickstage_config::{Error, Result, Text};

/// Lines for the kernel (admin-guide/cgroup-v1/devices.rst): the base, then each exception.
pub(in crate::cgroup) fn settings(rules: &Rules) -> Result<Values> {
    let denied = rules.on(Base::Denied);
    let ((base, exception), exceptions) = if denied.iter().all(|rule| rule.allow) {
        (("devices.deny", "devices.allow"), joined(denied))
    } else {
        let allowed = rules.on(Base::Allowed);
        if allowed.iter().any(|rule| rule.allow) {
            return Err(exception_to_an_exception(&denied, &allowed));
        }
        (("devices.allow", "devices.deny"), allowed)
    };
    let mut values = Values::default();
    let mut push = |file: &'static str, value: String, key: String| {
        let file = Text::from_literal(file);
        values.push_setting("devices", Setting { file, value, key, ..Setting::default() });
    };
    push(base, "a".into(), POINTER.into());
    for rule in exceptions {
        push(exception, line(&rule), rule.pointer());
    }
    Ok(values)
}

fn line(rule: &Rule) -> String {
    let Devices { kind, major, minor } = rule.devices;
    let kind = if kind == Kind::Char { 'c' } else { 'b' };
    let number = |value: Option<u32>| value.map_or("*".into(), |value| value.to_string());
    format!("{kind} {}:{} {}", number(major), number(minor), letters(rule.access))
}

/// The kernel grants reading and writing at once only by one exception that has both: where one
/// that has this meets one that has that, there is a further one. Making a node is asked for alone.
fn joined(allowed: Vec<Rule>) -> Vec<Rule> {
    let mut all = allowed.clone();
    for (index, one) in allowed.iter().enumerate() {
        for other in &allowed[index + 1..] {
            let Some(devices) = one.devices.meet(other.devices) else { continue };
            let access = one.access | other.access;
            let has_all = |rule: &Rule| access & !rule.access & (READ | WRITE) == 0;
            if has_all(one) || has_all(other) {
                continue;
            }
            match all.iter_mut().find(|known| known.devices == devices) {
                Some(known) => known.access |= access,
                None => all.push(Rule { devices, access, ..other.clone() }),
            }
        }
    }
    all
}

/// On either base there is a rule that the kernel has no word for: the later one is what was asked
/// too much.
fn exception_to_an_exception(denied: &[Rule], allowed: &[Rule]) -> Error {
    let deny = denied.iter().find(|rule| !rule.allow);
    let allow = allowed.iter().find(|rule| rule.allow && rule.index.is_some());
    let rule = deny.into_iter().chain(allow).max_by_key(|rule| rule.index);
    let (pointer, why) = match rule {
        Some(rule) if rule.allow => (rule.pointer(), "it allows a part of what a rule denies"),
        Some(rule) => (rule.pointer(), "it denies a part of what a rule allows"),
        None => (POINTER.into(), "a rule denies a part of what another allows"),
    };
    invalid(&pointer, format!("{why}, and control groups of version 1 have no such exceptions"))
        .remedy("give a rule to each device that is to be allowed, or boot with cgroup v2")
}

/// For systemd, which would else open all devices when it is reloaded. Where it has no words for a
/// rule it is told of none.
pub(in crate::cgroup) fn properties(rules: &Rules) -> Vec<Property> {
    let device = |Devices { kind, major, minor }| {
        let kind = if kind == Kind::Char { "char" } else { "block" };
        match (major, minor) {
            (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
            (Some(major), None) => Some(format!("{kind}-{major}")),
            (None, None) => Some(format!("{kind}-*")),
            (None, Some(_)) => None,
        }
    };
    let rules = rules.on(Base::Denied);
    if !rules.iter().all(|rule| rule.allow) {
        return Vec::new();
    }
    let rules = joined(rules);
    let entries = rules.iter().map(|rule| Some((device(rule.devices)?, letters(rule.access))));
    let Some(list) = entries.collect::<Option<Vec<_>>>() else { return Vec::new() };
    let property = |name: &str, value| Property {
        name: name.to_string(),
        value,
        key: POINTER.into(),
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
