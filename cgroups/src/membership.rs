//! Which cgroups a process is in.

use alloc::format;
use alloc::string::String;
use kickstage_config::{Context, Result, Role, Text};
use kickstage_sys::file;
use kickstage_sys::process::Pid;

const LIMIT: usize = 1 << 20;

/// /proc/PID/cgroup, as it was when it was read (cgroups(7)).
pub struct Membership(String);

impl Membership {
    /// Reads it.
    pub fn of(pid: Pid) -> Result<Self> {
        let path = Text::new(format!("/proc/{pid}/cgroup")).expect("digits have no NUL");
        let bytes = file::read_host(&path, LIMIT).during_on(Role::Cgroups, "read", &path)?;
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The cgroup in the hierarchy of these controllers, as a group names them; that of v2 has
    /// none.
    pub fn path(&self, controllers: &str) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (found, path) = (fields.next()?, fields.next()?);
            (found == controllers).then_some(path)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hierarchy_is_found_by_all_of_its_controllers() {
        let own = Membership("4:cpu,cpuacct:/a:b\n2:name=systemd:/c\n0::/d\n".into());
        assert_eq!(own.path("cpu,cpuacct"), Some("/a:b"), "a path may hold colons");
        assert_eq!(own.path("name=systemd"), Some("/c"));
        assert_eq!((own.path(""), own.path("cpu")), (Some("/d"), None));
    }
}
