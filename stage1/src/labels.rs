//! Labels of the security modules: AppArmor's profile, SELinux' labels.

use crate::Judge;
use crate::text::{self, invalid};
use kickstage_config::{Result, Text};
use kickstage_sys::{Errno, file};

/// Reads `/process/apparmorProfile`. `unconfined` is a profile like others, for an engine that is
/// confined itself; only where AppArmor does not run everything is so already.
pub(crate) fn apparmor(judge: &Judge, value: Option<&str>) -> Result<Option<Text>> {
    if value == Some("unconfined") && !apparmor_is_on() {
        return Ok(None);
    }
    label(judge, "/process/apparmorProfile", value, apparmor_is_on)
}

/// Reads a label for SELinux, which its policy must know.
pub(crate) fn selinux(judge: &Judge, pointer: &str, value: Option<&str>) -> Result<Option<Text>> {
    let label = label(judge, pointer, value, selinux_is_on)?;
    if let Some(unknown) = label.as_ref().filter(|label| !policy_knows(label)) {
        let unknown =
            format!("the SELinux policy of this host has no label {:?}", unknown.as_str());
        return Err(invalid(pointer, unknown).remedy("USER:ROLE:TYPE:LEVEL; see seinfo(1)"));
    }
    Ok(label)
}

/// The kernel must have the security module.
fn label(
    judge: &Judge,
    pointer: &str,
    value: Option<&str>,
    is_on: fn() -> bool,
) -> Result<Option<Text>> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    if !is_on() {
        judge.refuse_because(pointer, "this kernel runs without that security module")?;
        return Ok(None);
    }
    text::text(pointer, value).map(Some)
}

fn apparmor_is_on() -> bool {
    file::read_host(c"/sys/module/apparmor/parameters/enabled", 16)
        .is_ok_and(|answer| answer.starts_with(b"Y"))
}

/// Its file system is there exactly if it runs (selinux(8)).
fn selinux_is_on() -> bool {
    file::open_host(c"/sys/fs/selinux/enforce", libc::O_PATH).is_ok()
}

/// Asks the kernel (security_check_context(3)). Where we may not ask, it tells later.
fn policy_knows(label: &Text) -> bool {
    let asked = file::open_host(c"/sys/fs/selinux/context", libc::O_RDWR)
        .and_then(|file| file::write(file.borrow(), label.to_bytes()));
    asked != Err(Errno(libc::EINVAL))
}
