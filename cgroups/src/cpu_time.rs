//! What a cgroup may have of the processors' time now.

use crate::tree;
use core::ffi::CStr;
use core::str::FromStr;
use kickstage_config::cgroup::{CpuTime, Version};
use kickstage_config::record::CgroupDir;
use kickstage_config::{Context, Result, Role};
use kickstage_sys::{Errno, Fd};

/// Reads it from the one of a container's cgroups that has it. A cgroup without the controller has
/// no limit.
pub fn cpu_time(dirs: &[CgroupDir]) -> Result<CpuTime> {
    let has = |dir: &&CgroupDir| {
        dir.version == Version::V2 || dir.controllers.split(',').any(|name| name == "cpu")
    };
    let Some(record) = dirs.iter().find(has) else { return Ok(CpuTime::default()) };
    let Some(dir) = tree::open(record)? else { return Ok(CpuTime::default()) };
    let time = match record.version {
        Version::V1 => v1(&dir),
        Version::V2 => v2(&dir),
    };
    time.during_on(Role::Cgroups, "read the limit of processors of", &record.path)
}

fn v1(dir: &Fd) -> kickstage_sys::Result<CpuTime> {
    let one = |file| words(dir, file).map(|[value, _]| value);
    Ok(CpuTime { quota: one(c"cpu.cfs_quota_us")?, period: one(c"cpu.cfs_period_us")? })
}

/// Both in one file.
fn v2(dir: &Fd) -> kickstage_sys::Result<CpuTime> {
    words(dir, c"cpu.max").map(|[quota, period]| CpuTime { quota, period })
}

/// The first two words of a file, where they are numbers: `max` and -1 are none.
fn words(dir: &Fd, file: &CStr) -> kickstage_sys::Result<[Option<u64>; 2]> {
    let text = match tree::read(dir.borrow(), file) {
        Err(Errno(libc::ENOENT)) => return Ok([None; 2]),
        text => text?,
    };
    let mut words = core::str::from_utf8(&text).unwrap_or_default().split_whitespace();
    let mut next = || words.next().and_then(|word| u64::from_str(word).ok());
    Ok([next(), next()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_sys::file;
    use std::ffi::CString;

    #[test]
    fn both_versions_tell_quota_and_period() {
        let place = tempfile::tempdir().unwrap();
        let write = |file: &str, value: &str| std::fs::write(place.path().join(file), value);
        let path = CString::new(place.path().to_str().unwrap()).unwrap();
        let dir = file::open_host(&path, libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        assert_eq!((v1(&dir), v2(&dir)), (Ok(CpuTime::default()), Ok(CpuTime::default())));
        for (quota, max, wanted) in [("-1", "max", None), ("20000", "20000", Some(20000))] {
            write("cpu.cfs_quota_us", &format!("{quota}\n")).unwrap();
            write("cpu.cfs_period_us", "50000\n").unwrap();
            write("cpu.max", &format!("{max} 50000\n")).unwrap();
            let wanted = CpuTime { quota: wanted, period: Some(50000) };
            assert_eq!((v1(&dir), v2(&dir)), (Ok(wanted), Ok(wanted)));
        }
    }
}
