//! Labels of a security module. A CRIU that was built without the module's library saves none,
//! and says nothing of it: what it restores has the label of CRIU itself. (One that finds labels
//! of a module that it does not know refuses them.)

use crate::wire::{Fields, Value};
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd};

/// Neither a label nor the inventory is larger.
const LIMIT: usize = 64 << 10;

/// Fails if the container's first process has a label, and the images have none.
pub(crate) fn check_saved(images: &Fd, pid: i32) -> Result<()> {
    let label = of(pid)?;
    if label.is_empty() || label == of(std::process::id().cast_signed())? || are_in(images)? {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&label);
    Err(lost(text.trim_end_matches(['\0', '\n'])))
}

/// Fails if the first process is to have a label, and the images have none.
pub(crate) fn check_images(images: &Fd, spec: &ProcessSpec) -> Result<()> {
    let asked = [
        (&spec.apparmor_profile, "/process/apparmorProfile"),
        (&spec.selinux_label, "/process/selinuxLabel"),
    ];
    match asked.iter().find_map(|(label, key)| label.as_ref().map(|label| (label, key))) {
        Some((label, key)) if !are_in(images)? => Err(lost(label.as_str()).at(key)),
        _ => Ok(()),
    }
}

fn lost(label: &str) -> Error {
    Error::new(Role::Checkpoint, "find the security label in the images")
        .on(label)
        .because("criu has lost it")
        .remedy(
            "install a criu that was built with the library of the security module (libselinux)",
        )
}

/// The label of a process; nothing where the kernel has no module.
fn of(pid: i32) -> Result<Vec<u8>> {
    let path = Text::new(format!("/proc/{pid}/attr/current")).expect("has no NUL");
    match file::read_host(&path, LIMIT) {
        Err(Errno(libc::EINVAL | libc::ENOENT)) => Ok(Vec::new()),
        read => read.during_on(Role::Checkpoint, "read", &path),
    }
}

/// Whether labels of any module have been saved.
fn are_in(images: &Fd) -> Result<bool> {
    let bytes =
        file::open(images.borrow(), c"inventory.img", libc::O_RDONLY, 0, Resolve::NoSymlinks)
            .and_then(|inventory| file::read_all(inventory.borrow(), LIMIT))
            .during(Role::Checkpoint, "read inventory.img")?;
    Ok(module(&bytes) != 0)
}

/// `lsmtype` of an `inventory_entry`, which follows two magic numbers and its length.
fn module(inventory: &[u8]) -> i64 {
    const LSMTYPE: u64 = 6;
    let entry = inventory.get(12..).unwrap_or_default();
    let module = Fields(entry).find_map(|field| match field {
        (LSMTYPE, Value::Number(module)) => Some(module),
        _ => None,
    });
    module.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    #[test]
    fn an_inventory_names_the_module_or_none() {
        let mut entry = Message::default();
        entry.number(1, 1).message(3, &Message::default());
        let image = |entry: &Message| [&[0; 12], entry.as_bytes()].concat();
        assert_eq!(module(&image(&entry)), 0);
        assert_eq!(module(&image(entry.number(6, 2))), 2);
        assert_eq!(module(b"cut off"), 0);
    }
}
