//! systemd as the maker of a container's cgroup.
//!
//! Runs with the caller's privileges on the host: systemd asks its own policy who may have units.
//! Gets a unit (name, properties) and a process; gives nothing back but that it is done. Every
//! conversation has an end: a bus that does not answer in time is an error, not a hang.
//!
//! The engine's small image has no standard library and lives for milliseconds, so this speaks
//! the few messages of D-Bus that it needs by itself instead of carrying a client library.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod bus;
mod message;
mod reader;
mod writer;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bus::{Answer, Bus};
use kickstage_config::cgroup::{Property, Unit, UnitName, Value};
use kickstage_config::{Error, Result, Role};
use kickstage_sys::process::Pid;
use message::Call;

const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// Makes the unit with a process inside, and waits until it is there.
pub fn start(unit: &Unit, pid: Option<Pid>) -> Result<()> {
    let mut bus = Bus::connect(&unit.name)?;
    let mut properties: Vec<&Property> = unit.properties.iter().collect();
    let mut has_been_reset = false;
    loop {
        let refused = match bus.job(&start_call(unit, &properties, pid))? {
            Answer::Done => return Ok(()),
            Answer::Refused { name, text } => (name, text),
        };
        match refused {
            // what an earlier container of this name left when it failed
            (name, _) if name.ends_with(".UnitExists") && !has_been_reset => {
                has_been_reset = true;
                bus.call(&unit_call("ResetFailedUnit", &unit.name))?;
            }
            (name, text) => match superfluous(&properties, &text) {
                Some(index) => drop(properties.remove(index)),
                None => return Err(start_refused(unit, &properties, &name, &text)),
            },
        }
    }
}

/// A property that this version of systemd does not know, if the file of the cgroup says the
/// same.
fn superfluous(properties: &[&Property], text: &str) -> Option<usize> {
    let unknown = text.contains("unknown property") || text.contains("Unknown property");
    properties.iter().position(|property| {
        unknown && property.optional && text.split(' ').any(|word| named(word, &property.name))
    })
}

fn named(word: &str, name: &str) -> bool {
    word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()) == name
}

fn start_refused(unit: &Unit, properties: &[&Property], name: &str, text: &str) -> Error {
    let error = failed("start unit", &unit.name, name, text);
    let culprit = properties.iter().find(|p| text.split(' ').any(|word| named(word, &p.name)));
    if name.ends_with(".UnitExists") {
        return error.at("/linux/cgroupsPath").remedy(format!(
            "another container has that unit, or one that was not deleted; see systemctl status {}",
            unit.name.name
        ));
    }
    match culprit {
        Some(property) if !property.key.is_empty() => error.at(&property.key),
        _ => error,
    }
}

/// Changes properties of a unit that is there. One that systemd does not know is left out if the
/// file of the cgroup says the same.
pub fn set_properties(unit: &UnitName, properties: &[Property]) -> Result<()> {
    let mut left: Vec<&Property> = properties.iter().collect();
    let mut bus = Bus::connect(unit)?;
    while !left.is_empty() {
        let mut call = Call::new(MANAGER, "SetUnitProperties", "sba(sv)");
        call.body.text(&unit.name);
        call.body.boolean(true);
        write_properties(&mut call, &left, None);
        let Answer::Refused { name, text } = bus.call(&call)? else { return Ok(()) };
        match superfluous(&left, &text) {
            Some(index) => drop(left.remove(index)),
            None => return Err(failed("change unit", unit, &name, &text)),
        }
    }
    Ok(())
}

/// Ends a unit and what is left of it. One that is gone is fine.
pub fn stop(unit: &UnitName) -> Result<()> {
    let mut bus = Bus::connect(unit)?;
    let mut call = Call::new(MANAGER, "StopUnit", "ss");
    call.body.text(&unit.name);
    call.body.text("replace");
    match bus.job(&call)? {
        Answer::Refused { name, text } if !name.ends_with(".NoSuchUnit") => {
            return Err(failed("stop unit", unit, &name, &text));
        }
        _ => {}
    }
    // one that has failed stays loaded, and in the way of the next of its name
    bus.call(&unit_call("ResetFailedUnit", unit)).map(drop)
}

/// Has a process moved into the cgroup of a unit: for who may not do that himself.
pub fn attach(unit: &UnitName, pid: Pid) -> Result<()> {
    let mut call = Call::new(MANAGER, "AttachProcessesToUnit", "ssau");
    call.body.text(&unit.name);
    call.body.text("");
    call.body.numbers(&[pid.cast_unsigned()]);
    match Bus::connect(unit)?.call(&call)? {
        Answer::Done => Ok(()),
        Answer::Refused { name, text } => Err(failed("attach to unit", unit, &name, &text)),
    }
}

fn start_call(unit: &Unit, properties: &[&Property], pid: Option<Pid>) -> Call {
    let mut call = Call::new(MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))");
    call.body.text(&unit.name.name);
    call.body.text("replace");
    write_properties(&mut call, properties, pid);
    // no further units
    call.body.array(8, |_| {});
    call
}

fn unit_call(member: &'static str, unit: &UnitName) -> Call {
    let mut call = Call::new(MANAGER, member, "s");
    call.body.text(&unit.name);
    call
}

fn write_properties(call: &mut Call, properties: &[&Property], pid: Option<Pid>) {
    call.body.array(8, |list| {
        for property in properties {
            list.align(8);
            list.text(&property.name);
            list.variant(&property.value);
        }
        if let Some(pid) = pid {
            list.align(8);
            list.text("PIDs");
            list.variant(&Value::Numbers(alloc::vec![pid.cast_unsigned()]));
        }
    });
}

fn failed(operation: &str, unit: &UnitName, name: &str, text: &str) -> Error {
    let cause = if text.is_empty() { String::from(name) } else { String::from(text) };
    let error = Error::new(Role::Cgroups, operation).on(&unit.name).because(cause);
    if name.ends_with(".AccessDenied") || name.ends_with("InteractiveAuthorizationRequired") {
        return error.remedy("be root, or have a systemd of your own: loginctl enable-linger");
    }
    error
}
