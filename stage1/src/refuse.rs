//! Fields that this version does not enforce. They are refused: a container that looks confined
//! and is not would be worse than none.

use crate::text::invalid;
use kickstage_config::{Error, Result};
use oci_spec::runtime::Spec;

/// Fails on the first field that would have no effect.
pub(crate) fn what_is_not_enforced(spec: &Spec) -> Result<()> {
    let platforms = [
        ("/solaris", spec.solaris().is_some()),
        ("/windows", spec.windows().is_some()),
        ("/vm", spec.vm().is_some()),
        ("/zos", spec.zos().is_some()),
    ];
    if let Some((pointer, _)) = platforms.iter().find(|(_, given)| *given) {
        return Err(invalid(pointer, "it is for another platform than Linux"));
    }
    if spec.process().as_ref().is_some_and(|process| process.command_line().is_some()) {
        return Err(invalid("/process/commandLine", "it is for Windows"));
    }
    let Some(linux) = spec.linux() else { return Ok(()) };
    let fields = [
        ("/linux/intelRdt", linux.intel_rdt().is_some()),
        ("/linux/memoryPolicy", linux.memory_policy().is_some()),
        ("/linux/netDevices", linux.net_devices().as_ref().is_some_and(|map| !map.is_empty())),
        ("/linux/mountLabel", linux.mount_label().as_ref().is_some_and(|label| !label.is_empty())),
    ];
    match fields.iter().find(|(_, given)| *given) {
        Some((pointer, _)) => Err(not_enforced(pointer)),
        None => Ok(()),
    }
}

/// The error for a field of the specification that has no effect here yet.
pub(crate) fn not_enforced(pointer: &str) -> Error {
    invalid(pointer, "this version can't enforce it").remedy("remove it from config.json")
}
