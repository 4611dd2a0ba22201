//! The flags of checkpoint and restore.

use super::flags::{BUNDLE, CONSOLE_SOCKET, NO_PIVOT, PID_FILE, switch, text};
use super::{Flag, Value};
use kickstage_checkpoint::CgroupsMode;

const IMAGE_PATH: Flag = Flag {
    name: "image-path",
    short: None,
    value: Value::Directory,
    help: "The directory of the images. A checkpoint makes it where it is missing.",
    default: "checkpoint in the working directory",
};

const WORK_PATH: Flag = Flag {
    name: "work-path",
    short: None,
    value: Value::Directory,
    help: "Where CRIU writes its log: dump.log, restore.log.",
    default: "the directory of the images",
};

const TCP_ESTABLISHED: Flag =
    switch("tcp-established", None, "Also open TCP connections; without it they are an error.");

const EXT_UNIX_SK: Flag =
    switch("ext-unix-sk", None, "Also UNIX sockets whose other end is outside the container.");

const SHELL_JOB: Flag =
    switch("shell-job", None, "Also a container that stands on somebody else's terminal.");

const FILE_LOCKS: Flag = switch("file-locks", None, "Also file locks.");

const LAZY_PAGES: Flag = switch(
    "lazy-pages",
    None,
    "Leave memory to where it is until it is asked for (criu lazy-pages, userfaultfd(2)).",
);

const AUTO_DEDUP: Flag =
    switch("auto-dedup", None, "Drop pages from images as soon as nobody needs them any more.");

const EMPTY_NS: Flag = text(
    "empty-ns",
    None,
    "KIND",
    "Make the namespace, and leave what is in it to others; KIND is network.",
);

const MANAGE_CGROUPS_MODE: Flag = Flag {
    name: "manage-cgroups-mode",
    short: None,
    value: Value::Choice("MODE", &CgroupsMode::WORDS),
    help: "What CRIU saves and restores of control groups that the container has made itself \
           (soft), of all (full), the same where none of them exists (strict), or nothing (ignore). \
           The container's own are always those of config.json.",
    default: "soft",
};

/// Those of `checkpoint`.
pub(super) const CHECKPOINT_FLAGS: &[Flag] = &[
    IMAGE_PATH,
    WORK_PATH,
    switch("leave-running", None, "Let the container go on."),
    TCP_ESTABLISHED,
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    switch(
        "pre-dump",
        None,
        "Save only the memory, and let the container go on: the next checkpoint, with \
         --parent-path, then has less to do.",
    ),
    text(
        "parent-path",
        None,
        "DIR",
        "The images of the pre-dump before, as a path relative to --image-path.",
    ),
    LAZY_PAGES,
    text("status-fd", None, "FD", "Write a NUL to this descriptor when pages can be asked for."),
    text("page-server", None, "ADDRESS:PORT", "Send the memory to a page server (criu(8))."),
    MANAGE_CGROUPS_MODE,
    EMPTY_NS,
    AUTO_DEDUP,
];

/// Those of `restore`.
pub(super) const RESTORE_FLAGS: &[Flag] = &[
    BUNDLE,
    IMAGE_PATH,
    WORK_PATH,
    switch("detach", Some('d'), "Do not wait for the program."),
    switch("keep", None, "Do not delete the container at its end."),
    PID_FILE,
    CONSOLE_SOCKET,
    TCP_ESTABLISHED,
    switch("tcp-close", None, "Close the TCP connections that were open."),
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    LAZY_PAGES,
    MANAGE_CGROUPS_MODE,
    EMPTY_NS,
    AUTO_DEDUP,
    text("lsm-profile", None, "TYPE:NAME", "Another profile of the security module."),
    text("lsm-mount-context", None, "CONTEXT", "Another SELinux context of the mounts."),
    switch("no-subreaper", None, "Accepted for runc's sake: kickstage never adopts orphans."),
    Flag { help: "Accepted for runc's sake: CRIU changes the root in its own way.", ..NO_PIVOT },
];
