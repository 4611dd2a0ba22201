//! Network devices of the host that become the container's, with their addresses.

use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use kickstage_config::plan::{HostWork, NetDevice};
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::netlink::{self, Address, Netlink};
use kickstage_sys::process::{self, clone};
use kickstage_sys::{Errno, Fd, file};

/// Moves them, and sets them up. When the namespace ends the kernel gives devices of hardware
/// back to the host.
pub(crate) fn give(work: &HostWork, pid: i32) -> Result<()> {
    let theirs = match &work.net_namespace {
        Some(path) => namespace(path)?,
        None => namespace(&Text::new(format!("/proc/{pid}/ns/net")).expect("has no NUL"))?,
    };
    let ours = namespace(&Text::from_literal("/proc/self/ns/net"))?;
    let host = Netlink::open().during(Role::Master, "open a netlink socket")?;
    let mut moved = Vec::new();
    for device in &work.net_devices {
        let addresses = move_one(&host, device, &theirs).map_err(|errno| refused(device, errno))?;
        moved.push((device, addresses));
    }
    process::join(theirs.borrow(), clone::NEWNET)
        .during(Role::Master, "enter the network namespace")?;
    let set_up = moved.iter().try_for_each(|(device, addresses)| {
        set_up(device, addresses).map_err(|errno| refused(device, errno))
    });
    process::join(ours.borrow(), clone::NEWNET)
        .during(Role::Master, "leave the network namespace")?;
    set_up
}

fn namespace(path: &Text) -> Result<Fd> {
    file::open_host(path, libc::O_RDONLY).during_on(Role::Master, "open namespace", path)
}

fn move_one(host: &Netlink, device: &NetDevice, to: &Fd) -> kickstage_sys::Result<Vec<Address>> {
    let index = netlink::index(&name(&device.name))?;
    // moving takes them away
    let addresses = host.addresses(index)?;
    host.move_device(index, to.borrow(), &name(&device.rename))?;
    Ok(addresses)
}

/// In the container's network namespace.
fn set_up(device: &NetDevice, addresses: &[Address]) -> kickstage_sys::Result<()> {
    let container = Netlink::open()?;
    let index = netlink::index(&name(&device.rename))?;
    for address in addresses {
        let mut address = address.clone();
        if !address.label.is_empty() {
            // the kernel demands that it begins with the device's name
            address.label = name(&device.rename).into_bytes_with_nul();
        }
        container.add_address(index, &address)?;
    }
    container.set_up(index)
}

fn name(name: &str) -> CString {
    CString::new(name).expect("stage1 takes no name with a NUL")
}

fn refused(device: &NetDevice, errno: Errno) -> Error {
    let error = Error::new(Role::Master, "move network device")
        .on(&device.name)
        .errno(errno)
        .at(&device.key);
    match errno.0 {
        libc::ENODEV => error.remedy("the host has no such device: see ip link"),
        libc::EEXIST => error.remedy("the container has a device of that name already"),
        libc::EINVAL => error.remedy("devices such as bridges and lo can't be moved"),
        libc::EPERM => error.remedy("it takes CAP_NET_ADMIN on the host"),
        _ => error,
    }
}
