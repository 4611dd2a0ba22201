//! The host's views of its kernel, procfs and sysfs: where the old root stays below the new one
//! they must not stay reachable.

use crate::mounts::set_propagation;
use alloc::ffi::CString;
use alloc::vec::Vec;
use kickstage_sys::file;
use kickstage_sys::mount::{self, attribute};
use kickstage_sys::{Errno, Fd, FdRef, Result};

/// One line of mountinfo (proc_pid_mountinfo(5)).
struct Line {
    id: u64,
    parent: u64,
    point: CString,
    /// Whether it shows a whole procfs or sysfs.
    view: bool,
}

/// Detaches all of them that are not below `root`, and covers those that can't be detached. The
/// host keeps its own.
pub(crate) fn take_away(root: FdRef<'_>) -> Result<()> {
    // as long as there is a procfs
    let lines = lines(&file::read_host(c"/proc/self/mountinfo", 64 << 20)?);
    let ours = file::mount_id(root)?;
    let outermost = lines.iter().filter(|line| {
        line.view && above(&lines, line).all(|above| !above.view && above.id != ours)
    });
    outermost.filter(|line| line.id != ours).try_for_each(|line| clear(&lines, &line.point))
}

/// Uncovers what lies at a path until that is no view any more.
fn clear(lines: &[Line], point: &CString) -> Result<()> {
    let view = |id| lines.iter().find(|line| line.id == id && line.view);
    loop {
        let top = match file::open_host(point, libc::O_PATH | libc::O_NOFOLLOW) {
            // it has gone with what was below, or the container can't get there either
            Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::EACCES)) => return Ok(()),
            opened => opened?,
        };
        let Some(line) = view(file::mount_id(top.borrow())?) else { return Ok(()) };
        if !detached(lines, line, &top)? {
            let empty = mount::detached(c"tmpfs", &[(c"size", c"0")], attribute::RDONLY)?;
            return mount::attach(empty.borrow(), top.borrow());
        }
    }
}

/// Takes a mount away without a trace on the host, or tells that it can't be.
fn detached(lines: &[Line], line: &Line, top: &Fd) -> Result<bool> {
    // what is mounted below goes too, and is not the host's either
    set_propagation(top.borrow(), libc::MS_SLAVE | libc::MS_REC)?;
    // an unmount propagates as the mount does that it is mounted on
    let Some(below) = lines.iter().find(|below| below.id == line.parent) else { return Ok(false) };
    let parent = file::open_host(&below.point, libc::O_PATH | libc::O_NOFOLLOW)?;
    if file::mount_id(parent.borrow())? != below.id {
        return Ok(false);
    }
    set_propagation(parent.borrow(), libc::MS_SLAVE)?;
    file::change_dir(top.borrow())?;
    match mount::detach(c".") {
        // a user namespace may not show what the host has covered
        Err(Errno(libc::EINVAL | libc::EPERM)) => Ok(false),
        done => done.map(|()| true),
    }
}

/// The mounts that one is mounted on, from the nearest on.
fn above<'a>(lines: &'a [Line], line: &Line) -> impl Iterator<Item = &'a Line> {
    let find = |id| lines.iter().find(move |line| line.id == id);
    core::iter::successors(find(line.parent), move |line| {
        find(line.parent).filter(|parent| parent.id != line.id)
    })
    // a table that was read while it changed could have a ring
    .take(lines.len())
}

fn lines(text: &[u8]) -> Vec<Line> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(text: &[u8]) -> Option<Line> {
    let mut words = text.split(|byte| *byte == b' ');
    let mut number = || core::str::from_utf8(words.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let (root, point) = (words.nth(1)?, words.next()?);
    let kind = words.skip_while(|word| *word != b"-").nth(1)?;
    let view = root == b"/" && matches!(kind, b"proc" | b"sysfs");
    Some(Line { id, parent, point: CString::new(unescaped(point)).ok()?, view })
}

/// Blanks, tabs, newlines and backslashes are octal there.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let value = octal.and_then(|digits| core::str::from_utf8(digits).ok());
        if let Some(byte) = value.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            plain.push(byte);
            rest = &after[3..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_a_view_only_where_it_shows_all_of_the_kernel_file_system() {
        let text = b"28 1 0:25 / /my\\040proc\\134 rw,nosuid shared:9 master:3 - proc proc rw\n\
            29 28 0:25 /sys /sub rw - proc proc rw\n\
            30 1 0:26 / /sys rw - sysfs sysfs rw\n31 30 0:27 / /sys/fs rw - tmpfs - rw\n";
        let lines = lines(text);
        let seen: Vec<_> = lines.iter().map(|line| (line.id, line.parent, line.view)).collect();
        assert_eq!(seen, [(28, 1, true), (29, 28, false), (30, 1, true), (31, 30, false)]);
        assert_eq!(lines[0].point.as_c_str(), c"/my proc\\");
        let above: Vec<_> = above(&lines, &lines[3]).map(|line| line.id).collect();
        assert_eq!(above, [30]);
    }
}
