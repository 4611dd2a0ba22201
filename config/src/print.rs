//! Plans as a person reads them.

use crate::plan::{AttributeChange, Bind, Mount, Op, SourceSymlink, Step, TargetSymlink};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

impl fmt::Display for Step {
    /// One line: what, on what, how, and which config value asked for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14} {}", self.op.name(), self.op)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, "  [{}]", self.key) }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Propagation { flags } => write!(f, "/ {}", propagation(*flags)),
            Self::Rootfs { path, .. }
            | Self::RootfsInPlace { path }
            | Self::OverlayRootfs { scratch: path }
            | Self::Unmount { path } => write!(f, "{path}"),
            Self::Mount(mount) => write!(f, "{mount}"),
            Self::Bind(bind) => write!(f, "{bind}"),
            Self::Directory { path, mode } => write!(f, "{path} {mode:04o}"),
            Self::Devices { nodes } => {
                let nodes = nodes.iter().map(|node| {
                    format!(
                        "{} {}:{} {:04o}",
                        node.path,
                        node.major,
                        node.minor,
                        node.mode & 0o7777
                    )
                });
                f.write_str(&join(nodes, ", "))
            }
            Self::Symlinks { links } => {
                f.write_str(&join(links.iter().map(|(path, to)| format!("{path} -> {to}")), ", "))
            }
            Self::Attributes { path, changes: list, propagation } => {
                write!(f, "{path}{}", changes(list, propagation))
            }
            Self::Mask { paths, .. } | Self::Readonly { paths } => {
                f.write_str(&join(paths.iter().map(|path| format!("{path}")), " "))
            }
            Self::Label { path, label } => write!(f, "{path} {label}"),
            Self::Sysctl { values } => f.write_str(&join(
                values.iter().map(|(path, value)| format!("{path}={value}")),
                ", ",
            )),
            Self::Hostname { name } | Self::Domainname { name } => f.write_str(name),
            Self::Loopback => f.write_str("lo up"),
            Self::EnterRoot { way, propagation: flags, readonly } => {
                write!(f, "{way:?}")?;
                if *flags != 0 {
                    write!(f, " {}", propagation(*flags))?;
                }
                if *readonly { f.write_str(" read-only") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} type {} flags {:#x}", self.source, self.target, self.kind, self.flags)?;
        if !self.data.is_empty() {
            write!(f, " data {}", self.data)?;
        }
        f.write_str(&changes(&self.changes, &self.propagation))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.recursive { " with all below" } else { "" };
        let source = match self.source_symlink {
            SourceSymlink::Follow => "",
            SourceSymlink::Mount => ", if a symlink then itself,",
            SourceSymlink::Copy => ", if a symlink then a copy,",
        };
        let target = match self.target_symlink {
            TargetSymlink::Follow => "",
            TargetSymlink::Cover => " itself",
        };
        write!(f, "{}{source} on {}{target}{how}", self.source, self.target)?;
        f.write_str(&changes(&self.changes, &self.propagation))
    }
}

fn changes(list: &[AttributeChange], flags: &[u64]) -> String {
    let list = list.iter().map(|change| format!(" {}", attributes(*change)));
    let flags = flags.iter().map(|flags| format!(" {}", propagation(*flags)));
    join(list.chain(flags), "")
}

fn attributes(change: AttributeChange) -> String {
    let how = if change.recursive { "recursively " } else { "" };
    format!("{how}set {:#x} clear {:#x}", change.set, change.clear)
}

fn propagation(flags: u64) -> String {
    let names = [
        (libc::MS_PRIVATE, "private"),
        (libc::MS_SLAVE, "slave"),
        (libc::MS_SHARED, "shared"),
        (libc::MS_UNBINDABLE, "unbindable"),
    ];
    let name = names.iter().find(|(flag, _)| flags & flag != 0).map_or("?", |(_, name)| name);
    let recursive = if flags & libc::MS_REC == 0 { "" } else { "r" };
    format!("{recursive}{name}")
}

fn join(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}
