//! How this host lays its control groups out.

use crate::Rootless;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::Errno;
use kickstage_sys::file::{self, magic};

/// Facts about control groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CgroupHost {
    /// Which hierarchies there are.
    pub layout: Layout,
    /// Whether we have no power over the host (`--rootless`): a container may do without the
    /// cgroups that can't be made here, and systemd is the user's own.
    pub rootless: bool,
    /// Whether containers do without device rules on v2: eBPF for them takes a privilege over the
    /// whole host, which who is root does not lack for being asked to behave as a user.
    pub no_device_programs: bool,
}

impl CgroupHost {
    /// One without control groups.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { layout: Layout::None, rootless: false, no_device_programs: false }
    }

    /// Whether we may make a cgroup: the longest part of the path that exists is writable.
    pub(super) fn can_make(&self, mount: &Text, path: &Text) -> bool {
        if !self.rootless {
            return true;
        }
        let whole = format!("{mount}{path}");
        let above = std::path::Path::new(&whole).ancestors().skip(1);
        above
            .filter_map(|above| Text::new(above.to_str()?).ok())
            .map(|above| file::may_write(&above))
            .find_map(|answer| match answer {
                Err(Errno(libc::ENOENT)) => None,
                answer => Some(answer.is_ok()),
            })
            .unwrap_or(false)
    }
}

/// The hierarchies below /sys/fs/cgroup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// No cgroup file system is mounted.
    None,
    /// Version 2 alone.
    Unified {
        /// Our own cgroup.
        own: String,
    },
    /// Version 1; a v2 hierarchy beside it (hybrid) has no controllers of use.
    Legacy {
        /// Each mounted hierarchy.
        hierarchies: Vec<Hierarchy>,
    },
}

impl Layout {
    /// Our own cgroup, in the hierarchy that tells most.
    pub(super) fn own(&self) -> &str {
        match self {
            Self::None => "",
            Self::Unified { own } => own,
            Self::Legacy { hierarchies } => {
                let named = hierarchies.iter().find(|one| one.controllers == "name=systemd");
                named.map_or("", |one| &one.own)
            }
        }
    }
}

/// One v1 hierarchy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hierarchy {
    /// Its controllers, comma-separated, or `name=…`.
    pub controllers: String,
    /// Where it is mounted.
    pub mount: Text,
    /// Our own cgroup in it.
    pub own: String,
}

const ROOT: &str = "/sys/fs/cgroup";
const LIMIT: usize = 1 << 20;

impl CgroupHost {
    /// Looks at this host.
    pub fn read(rootless: Rootless) -> Result<Self> {
        let rootless = rootless.applies();
        let no_device_programs = rootless && crate::rootless::is_powerless();
        Ok(Self { layout: Layout::read()?, rootless, no_device_programs })
    }
}

impl Layout {
    /// The mount table is not read: it can be long, and the places are a convention of twenty
    /// years (cgroups(7)).
    fn read() -> Result<Self> {
        let Ok(root) = file::open_host(c"/sys/fs/cgroup", libc::O_RDONLY | libc::O_DIRECTORY)
        else {
            return Ok(Self::None);
        };
        let kind = file::filesystem(root.borrow()).during(Role::Stage1, "stat /sys/fs/cgroup")?;
        let own = file::read_host(c"/proc/self/cgroup", LIMIT)
            .during(Role::Stage1, "read /proc/self/cgroup")?;
        let own = String::from_utf8(own).map_err(|_| {
            Error::new(Role::Stage1, "read /proc/self/cgroup").because("it is not UTF-8")
        })?;
        if kind == magic::CGROUP2 {
            return Ok(unified(&own));
        }
        let names = file::entries(root.borrow()).during(Role::Stage1, "list /sys/fs/cgroup")?;
        let names: Vec<&str> = names.iter().filter_map(|name| name.to_str().ok()).collect();
        Ok(legacy(&own, &names))
    }
}

/// Where systemd is: the user's own on the session bus, or the system's (D-Bus specification,
/// "Server Addresses" and "Well-known Message Bus Instances").
pub(super) fn bus(host: &CgroupHost) -> Result<Text> {
    let name = if host.rootless { "DBUS_SESSION_BUS_ADDRESS" } else { "DBUS_SYSTEM_BUS_ADDRESS" };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = match (variable(name), host.rootless) {
        (Some(address), _) => path_of(&address),
        (None, false) => Some("/run/dbus/system_bus_socket".into()),
        (None, true) => variable("XDG_RUNTIME_DIR").map(|dir| format!("{dir}/bus")),
    };
    path.and_then(|path| Text::new(path).ok()).ok_or_else(|| {
        Error::new(Role::Stage1, "find the bus of systemd")
            .because(format!("{name} is not the path of a socket"))
            .remedy(
                "log in by a way that starts a systemd of yours, or use --cgroup-manager cgroupfs",
            )
    })
}

/// The first socket with a path; bytes may be escaped as %41.
fn path_of(address: &str) -> Option<String> {
    let mut servers = address.split(';').filter_map(|server| server.strip_prefix("unix:"));
    let path = servers
        .find_map(|server| server.split(',').find_map(|option| option.strip_prefix("path=")))?;
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// A line is `number:controllers:path`; that of v2 has number 0 and no controllers.
fn lines(own: &str) -> impl Iterator<Item = (&str, &str)> {
    own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, within(fields.next()?)))
    })
}

/// A cgroup that is not below the root of our cgroup namespace is told as a way up from there
/// (cgroup_namespaces(7)), which leads out of the mount. We can't name it, and take the root.
fn within(path: &str) -> &str {
    if path.split('/').any(|part| part == "..") { "/" } else { path }
}

fn unified(own: &str) -> Layout {
    let own = lines(own).find(|(controllers, _)| controllers.is_empty());
    Layout::Unified { own: own.map_or("/", |(_, path)| path).to_string() }
}

fn legacy(own: &str, mounted: &[&str]) -> Layout {
    let mut hierarchies = Vec::new();
    for (controllers, path) in lines(own).filter(|(controllers, _)| !controllers.is_empty()) {
        let directory = controllers.strip_prefix("name=").unwrap_or(controllers);
        if mounted.contains(&directory) {
            hierarchies.push(Hierarchy {
                controllers: controllers.to_string(),
                mount: Text::new(format!("{ROOT}/{directory}")).expect("a name of a directory"),
                own: path.to_string(),
            });
        }
    }
    if hierarchies.is_empty() { Layout::None } else { Layout::Legacy { hierarchies } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: &str = "9:name=systemd:/\n4:cpu,cpuacct:/a:b\n2:net_cls:/\n0::/user.slice/x\n";

    #[test]
    fn a_hybrid_host_has_its_mounted_v1_hierarchies() {
        let Layout::Legacy { hierarchies } = legacy(OWN, &["systemd", "cpu,cpuacct", "unified"])
        else {
            panic!()
        };
        assert_eq!(hierarchies.len(), 2, "net_cls is not mounted");
        assert_eq!(hierarchies[1].mount.as_str(), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(hierarchies[1].own, "/a:b", "a path may hold colons");
    }

    #[test]
    fn the_address_of_a_bus_is_a_path() {
        for (address, path) in [
            ("unix:path=/run/user/7/bus", Some("/run/user/7/bus")),
            ("unix:abstract=/x;unix:guid=5,path=/a%20b", Some("/a b")),
            ("tcp:host=x", None),
            ("unix:path=/%zz", None),
        ] {
            assert_eq!(path_of(address).as_deref(), path, "{address}");
        }
    }

    #[test]
    fn on_v2_our_own_cgroup_is_the_line_without_controllers() {
        assert_eq!(unified(OWN), Layout::Unified { own: "/user.slice/x".into() });
    }

    #[test]
    fn a_cgroup_outside_the_namespace_does_not_lead_out_of_the_mount() {
        assert_eq!(unified("0::/../../x\n"), Layout::Unified { own: "/".into() });
    }

    const MOUNTED: [&str; 5] = ["systemd", "cpu,cpuacct", "net_cls", "unified", "memory"];

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn any_list_of_own_cgroups_stays_below_mounts_that_are_there(
            own in kickstage_fuzz::text(
                &[OWN, "0::/../x\n", ""], &[":", "\n", "0::", "/..", "name=", "memory", "cpu,cpuacct"],
            ),
        ) {
            let Layout::Unified { own: unified } = unified(&own) else { panic!() };
            let mut paths = vec![unified];
            if let Layout::Legacy { hierarchies } = legacy(&own, &MOUNTED) {
                prop_assert!(!hierarchies.is_empty());
                for hierarchy in hierarchies {
                    let directory = hierarchy.mount.as_str().strip_prefix("/sys/fs/cgroup/");
                    prop_assert!(directory.is_some_and(|name| MOUNTED.contains(&name)));
                    paths.push(hierarchy.own);
                }
            }
            for path in paths {
                prop_assert!(path.split('/').all(|part| part != ".."), "{}", path);
            }
        }
    }
}
