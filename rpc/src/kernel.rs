//! Values that the kernel keeps for each namespace.

use alloc::string::String;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::{net, process};

/// Writes kernel parameters. The container's /proc could be anything; the host's is still
/// reachable and is checked to be one (CVE-2025-52881).
pub(crate) fn sysctl(values: &[(Text, String)]) -> Result<()> {
    let proc = file::open_host(c"/proc/sys", libc::O_PATH | libc::O_DIRECTORY)
        .during(Role::Rpc, "open the host's /proc/sys")?;
    if file::filesystem(proc.borrow()).during(Role::Rpc, "stat /proc/sys")? != magic::PROC {
        return Err(Error::new(Role::Rpc, "open the host's /proc/sys")
            .because("it is not a procfs")
            .remedy("mount one: mount -t proc proc /proc"));
    }
    for (path, value) in values {
        let write = || {
            let file = file::open(proc.borrow(), path, libc::O_WRONLY, 0, Resolve::NoSymlinks)?;
            file::write_all(file.borrow(), value.as_bytes())
        };
        write().during_on(Role::Rpc, "write sysctl", path)?;
    }
    Ok(())
}

pub(crate) fn hostname(name: &str) -> Result<()> {
    process::set_hostname(name.as_bytes()).during_on(Role::Rpc, "set host name", name)
}

pub(crate) fn domainname(name: &str) -> Result<()> {
    process::set_domainname(name.as_bytes()).during_on(Role::Rpc, "set domain name", name)
}

pub(crate) fn loopback() -> Result<()> {
    net::loopback_up().during(Role::Rpc, "bring the loopback interface up")
}
