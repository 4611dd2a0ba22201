//! Mounts that come from outside: CRIU saves their names only, and gets what they mean at a
//! restore. The name is the mount point of config.json; that of a mask is the null device.

use crate::options::field;
use crate::wire::Message;
use kickstage_config::plan::{Op, Plan};
use kickstage_config::{Context, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, FdRef};

/// What covers files that are masked.
const NULL: &str = "/dev/null";

/// Mount points of config.json and what is mounted there, as a path of the host.
pub(crate) fn sources(plan: &Plan) -> Vec<(&Text, Text)> {
    let mut found = Vec::new();
    for step in plan.setup.steps() {
        match &step.op {
            Op::Bind(bind) => found.push((&bind.target, bind.source.clone())),
            // CRIU would mount them anew, which takes the options of the host's own mount away
            Op::Mount(mount) if matches!(mount.kind.as_str(), "cgroup" | "cgroup2") => {
                found.extend(hierarchy(plan, &mount.data).map(|source| (&mount.target, source)));
            }
            // in a user namespace they are lent by the host
            Op::Devices { nodes } => {
                found.extend(nodes.iter().map(|node| (&node.path, node.path.clone())));
            }
            Op::Mask { paths, .. } => {
                found.extend(paths.iter().map(|path| (path, Text::from_literal(NULL))));
            }
            _ => {}
        }
    }
    found
}

/// The container's part of a hierarchy; v2 has no options to tell which.
fn hierarchy(plan: &Plan, options: &Text) -> Option<Text> {
    let wanted = options.as_str().trim_start_matches("none,");
    let group = plan.cgroup.groups.iter().find(|group| group.controllers == wanted)?;
    Text::new(format!("{}{}", group.mount, group.path)).ok()
}

/// Names them for a checkpoint of a process.
pub(crate) fn name(plan: &Plan, pid: i32, options: &mut Message) -> Result<()> {
    let table = Table::read(pid)?;
    for (target, source) in sources(plan) {
        // a mask over a directory is a file system of the container's own
        let Some(point) = table
            .point(target)?
            .filter(|point| source.as_str() != NULL || !point.kind.starts_with("tmpfs"))
        else {
            continue;
        };
        map(options, &point.path, name_of(target, &source));
    }
    Ok(())
}

/// Says what the names mean.
pub(crate) fn find(plan: &Plan, options: &mut Message) {
    for (target, source) in sources(plan) {
        map(options, name_of(target, &source), source.as_str());
    }
}

/// All masks share one.
fn name_of<'a>(target: &'a Text, source: &Text) -> &'a str {
    if source.as_str() == NULL { NULL } else { target.as_str() }
}

fn map(options: &mut Message, key: &str, value: &str) {
    let mut pair = Message::default();
    pair.text(1, key).text(2, value);
    options.message(field::EXT_MNT, &pair);
}

/// The mounts of a process (proc_pid_mountinfo(5)), and its root.
struct Table {
    text: String,
    root: kickstage_sys::Fd,
}

struct Point {
    path: String,
    kind: String,
}

impl Table {
    fn read(pid: i32) -> Result<Self> {
        const LIMIT: usize = 64 << 20;
        let path = |name: &str| Text::new(format!("/proc/{pid}/{name}")).expect("has no NUL");
        let info = path("mountinfo");
        let bytes = file::read_host(&info, LIMIT).during_on(Role::Checkpoint, "read", &info)?;
        let root = path("root");
        let root = file::open_host(&root, libc::O_PATH | libc::O_DIRECTORY).during_on(
            Role::Checkpoint,
            "open",
            &root,
        )?;
        Ok(Self { text: String::from_utf8_lossy(&bytes).into_owned(), root })
    }

    /// The mount whose very top a path leads to. The path may have symlinks, the mount point has
    /// none.
    fn point(&self, path: &Text) -> Result<Option<Point>> {
        let found = match file::open(self.root.borrow(), path, libc::O_PATH, 0, Resolve::InRoot) {
            Ok(found) => found,
            Err(Errno(libc::ENOENT | libc::ENOTDIR)) => return Ok(None),
            Err(errno) => return Err(errno).during_on(Role::Checkpoint, "look at", path),
        };
        let id = mount_id(found.borrow())?;
        let link = Text::new(format!("/proc/self/fd/{}", found.raw())).expect("has no NUL");
        let real = file::read_link(FdRef::CWD, &link).during_on(Role::Checkpoint, "read", &link)?;
        let point = self.text.lines().find_map(|line| Point::read(line, &id));
        Ok(point.filter(|point| point.path.as_bytes() == real))
    }
}

impl Point {
    /// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - KIND SOURCE OPTIONS`
    fn read(line: &str, id: &str) -> Option<Self> {
        let mut words = line.split(' ');
        (words.next()? == id).then_some(())?;
        let path = unescape(words.nth(3)?);
        let kind = line.split_once(" - ")?.1.split(' ').next()?;
        // the root is not one that has been mounted by config.json
        (path != "/").then(|| Self { path, kind: kind.into() })
    }
}

/// Blanks, tabs, line ends and backslashes are octal there.
fn unescape(word: &str) -> String {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| str::from_utf8(digits).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// proc_pid_fdinfo(5).
fn mount_id(fd: FdRef<'_>) -> Result<String> {
    let path = Text::new(format!("/proc/self/fdinfo/{}", fd.raw())).expect("has no NUL");
    let bytes = file::read_host(&path, 4096).during_on(Role::Checkpoint, "read", &path)?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(id.unwrap_or_default().trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_mount_point_and_kind() {
        let line = r"71 60 0:45 /null /proc/a\040b ro,nosuid master:5 - devtmpfs udev rw,mode=755";
        let point = Point::read(line, "71").unwrap();
        assert_eq!((point.path.as_str(), point.kind.as_str()), ("/proc/a b", "devtmpfs"));
        assert!(Point::read(line, "7").is_none());
        assert!(Point::read("71 60 0:45 / / rw - ext4 /dev/vda rw", "71").is_none());
        assert_eq!(unescape(r"a\134b\"), r"a\b\");
    }
}
