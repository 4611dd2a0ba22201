//! The flags of all commands, and those that several commands share.

use super::{Flag, Value};

/// What may be said in front of (or behind) every command.
pub(crate) const GLOBAL_FLAGS: &[Flag] = &[
    Flag {
        name: "root",
        short: None,
        value: Value::Directory,
        help: "Keep the states of containers in DIR. It is made, with mode 0700, where it is \
               missing; it should be on a tmpfs.",
        default: "/run/kickstage for root, $XDG_RUNTIME_DIR/kickstage for others, who may be root of a user \
                  namespace",
    },
    Flag {
        name: "log",
        short: None,
        value: Value::File("FILE"),
        help: "Append messages to FILE, too.",
        default: "",
    },
    Flag {
        name: "log-format",
        short: None,
        value: Value::Choice("FORMAT", &["text", "json"]),
        help: "Form of the lines in the log; without --log, json is for stderr.",
        default: "text",
    },
    Flag {
        name: "log-level",
        short: None,
        value: Value::Choice("LEVEL", &["debug", "info", "warning", "error"]),
        help: "debug adds debug lines, as --debug does. Warnings and errors always appear.",
        default: "warning",
    },
    Flag {
        name: "debug",
        short: None,
        value: Value::Switch,
        help: "Write debug lines, and at the end the time that each phase took, in microseconds.",
        default: "",
    },
    Flag {
        name: "compat",
        short: None,
        value: Value::Switch,
        help: "Warn of values in config.json that have no effect here and whose absence does no \
               harm, as other engines do, instead of refusing them (docs/SUPPORT.md lists them).",
        default: "",
    },
    Flag {
        name: "trace",
        short: None,
        value: Value::File("FILE"),
        help: "Write the phases to FILE in Chrome's trace format.",
        default: "",
    },
    Flag {
        name: "systemd-cgroup",
        short: None,
        value: Value::Switch,
        help: "Short for --cgroup-manager systemd.",
        default: "",
    },
    Flag {
        name: "cgroup-manager",
        short: None,
        value: Value::Choice("MANAGER", &["cgroupfs", "systemd", "disabled"]),
        help: "Who makes control groups: the engine itself, systemd as transient units (cgroupsPath \
               is then SLICE:PREFIX:NAME), or nobody.",
        default: "cgroupfs",
    },
    Flag {
        name: "criu",
        short: None,
        value: Value::Text("PROGRAM"),
        help: "The program that checkpoint and restore have do their work.",
        default: "criu in $PATH",
    },
    Flag {
        name: "systemd-timeout",
        short: None,
        value: Value::Number,
        help: "How many seconds systemd may take for an answer. For a container that is there: those \
               that it was made with, if this is not given.",
        default: "30",
    },
    Flag {
        name: "rootless",
        short: None,
        value: Value::Choice("WHEN", &["auto", "true", "false"]),
        help: "Whether to do without control groups that may not be made, and to ask the user's own \
               systemd: auto is for who is not root, or root of a user namespace. Unless false, who is not \
               root gets a user namespace and ids where config.json names none.",
        default: "auto",
    },
    Flag {
        name: "help",
        short: Some('h'),
        value: Value::Switch,
        help: "Show help and do nothing.",
        default: "",
    },
    Flag {
        name: "version",
        short: Some('v'),
        value: Value::Switch,
        help: "Show the version and do nothing.",
        default: "",
    },
];

pub(super) const BUNDLE: Flag = Flag {
    name: "bundle",
    short: Some('b'),
    value: Value::Directory,
    help: "The bundle: the directory that holds config.json.",
    default: "the working directory",
};

pub(super) const FORMAT: Flag = Flag {
    name: "format",
    short: Some('f'),
    value: Value::Choice("FORMAT", &["table", "json"]),
    help: "A table for people, or JSON for programs.",
    default: "table",
};

pub(super) const CONSOLE_SOCKET: Flag = Flag {
    name: "console-socket",
    short: None,
    value: Value::File("SOCKET"),
    help: "Send the terminal (the master end of its pty) to this UNIX socket.",
    default: "",
};

pub(super) const PID_FILE: Flag = Flag {
    name: "pid-file",
    short: None,
    value: Value::File("FILE"),
    help: "Write the process id of the container's first process to FILE.",
    default: "",
};

pub(super) const PIDFD_SOCKET: Flag = Flag {
    name: "pidfd-socket",
    short: None,
    value: Value::File("SOCKET"),
    help: "Send a descriptor of the process (pidfd_open(2)) to this UNIX socket.",
    default: "",
};

pub(super) const PRESERVE_FDS: Flag = Flag {
    name: "preserve-fds",
    short: None,
    value: Value::Number,
    help: "Pass N more descriptors to the program, besides stdio and those of $LISTEN_FDS.",
    default: "0",
};

pub(super) const MONITOR: Flag = Flag {
    name: "monitor",
    short: None,
    value: Value::Switch,
    help: "A monitor of kickstage's own stays with the container: it keeps the log, takes \
           visitors (attach) and requests, and tells the exit code.",
    default: "",
};

pub(super) const LOG_PATH: Flag = Flag {
    name: "log-path",
    short: None,
    value: Value::File("FILE"),
    help: "Monitor: write what the container prints to FILE, mode 0640.",
    default: "container.log in the container's state directory",
};

pub(super) const LOG_DRIVER: Flag = Flag {
    name: "log-driver",
    short: None,
    value: Value::Choice("FORMAT", &["kubernetes", "json", "basic", "passthrough"]),
    help: "Monitor: form of the lines in that log. passthrough: there is none; input and output of \
           the container are the caller's, a journal's for instance.",
    default: "kubernetes",
};

pub(super) const STAY: Flag = Flag {
    name: "stay",
    short: None,
    value: Value::Switch,
    help: "Become the monitor, instead of leaving one behind: for a service manager, which watches \
           this very process. It is told at $NOTIFY_SOCKET when the program runs (sd_notify(3)).",
    default: "",
};

pub(super) const SPLIT_CGROUP: Flag = Flag {
    name: "split-cgroup",
    short: None,
    value: Value::Switch,
    help: "In a service with Delegate=yes: leave its control group (v2) to the container, and move \
           ourselves into a child, supervisor. A relative cgroupsPath is then below the service's, \
           and so are all its limits.",
    default: "",
};

pub(super) const LOG_SIZE_MAX: Flag = text(
    "log-size-max",
    None,
    "SIZE",
    "Monitor: begin another log before one grows larger than SIZE bytes (k, m and g mean 2^10, \
     2^20, 2^30).",
);

pub(super) const LOG_FILES: Flag = Flag {
    name: "log-files",
    short: None,
    value: Value::Number,
    help: "Monitor: keep N full logs beside the current one, FILE.1 being the youngest.",
    default: "1",
};

pub(super) const SYNC_SOCKET: Flag = Flag {
    name: "sync-socket",
    short: None,
    value: Value::File("SOCKET"),
    help: "Monitor: connect to this UNIX socket at every change of the state and write the state \
           as JSON.",
    default: "",
};

pub(super) const NO_PIVOT: Flag = Flag {
    name: "no-pivot",
    short: None,
    value: Value::Switch,
    help: "Move the root file system over / instead of pivot_root: for a host that runs from an \
           initramfs. A container with CAP_SYS_ADMIN may find a way back.",
    default: "",
};

pub(super) const NO_NEW_KEYRING: Flag = Flag {
    name: "no-new-keyring",
    short: None,
    value: Value::Switch,
    help: "Leave the caller's session keyring to the container.",
    default: "",
};

pub(super) const fn text(
    name: &'static str,
    short: Option<char>,
    of: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, short, value: Value::Text(of), help, default: "" }
}

pub(super) const fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag { name, short, value: Value::Switch, help, default: "" }
}

/// Those of `exec`.
pub(super) const EXEC_FLAGS: &[Flag] = &[
    switch("tty", Some('t'), "Give it a terminal."),
    switch("detach", Some('d'), "Do not wait for the program."),
    Flag {
        name: "process",
        short: Some('p'),
        value: Value::File("FILE"),
        help: "Take everything from FILE: the \"process\" of a config.json.",
        default: "",
    },
    text("user", Some('u'), "UID[:GID]", "The user, and the group, as numbers."),
    text("additional-gids", Some('g'), "GID", "A further group, as a number. Repeatable."),
    text("cwd", None, "DIR", "The working directory, in the container."),
    text("env", Some('e'), "NAME=VALUE", "A further environment variable. Repeatable."),
    text("cap", Some('c'), "CAP", "A further capability, such as CAP_KILL. Repeatable."),
    switch("no-new-privs", None, "No exec may give more privilege."),
    text("apparmor", None, "PROFILE", "The AppArmor profile."),
    text("process-label", None, "LABEL", "The SELinux label."),
    text(
        "cgroup",
        None,
        "[CTRL:]PATH",
        "A control group below the container's; with v1 for some controllers only. Repeatable.",
    ),
    switch("ignore-paused", None, "Also in a paused container: it then runs after resume."),
    PID_FILE,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PRESERVE_FDS,
    NO_NEW_KEYRING,
    switch("no-subreaper", None, "Accepted for runc's sake: kickstage never adopts orphans."),
];

/// Those of `update`.
pub(super) const UPDATE_FLAGS: &[Flag] = &[
    text("resources", Some('r'), "FILE", "Read them from FILE as JSON, or from stdin if it is -."),
    text("memory", None, "BYTES", "Limit of memory, such as 64m; -1 for none."),
    text(
        "memory-reservation",
        None,
        "BYTES",
        "What memory is kept from others, as far as possible.",
    ),
    text("memory-swap", None, "BYTES", "Limit of memory and swap together; -1 for none."),
    text("cpu-share", None, "N", "Share of processor time beside others, 2 to 262144."),
    text("cpu-period", None, "USECS", "Length of a period."),
    text("cpu-quota", None, "USECS", "Processor time in a period; -1 for no limit."),
    text("cpu-burst", None, "USECS", "What may be saved up over periods."),
    text("cpu-idle", None, "N", "1: runs only when nobody else wants to."),
    text("cpu-rt-period", None, "USECS", "Length of a period of real-time scheduling; v1 only."),
    text("cpu-rt-runtime", None, "USECS", "Real-time processor time in a period; v1 only."),
    text("cpuset-cpus", None, "LIST", "The processors, such as 0-3,7."),
    text("cpuset-mems", None, "LIST", "The memory nodes."),
    text("pids-limit", None, "N", "How many processes and threads; -1 for no limit."),
    text(
        "blkio-weight",
        None,
        "N",
        "Share of block I/O beside others, 10 to 1000; needs the I/O scheduler BFQ.",
    ),
    text("l3-cache-schema", None, "SCHEMA", "The line L3 of its class of service (resctrl)."),
    text("mem-bw-schema", None, "SCHEMA", "The line MB of its class of service (resctrl)."),
];

/// Those of `events`.
pub(super) const EVENTS_FLAGS: &[Flag] = &[
    switch("stats", None, "One line now, and no more."),
    Flag {
        name: "interval",
        short: None,
        value: Value::Text("TIME"),
        help: "Time between two lines: 500ms, 5s, 2m, 1h.",
        default: "5s",
    },
];

pub(super) const EMPTY_PROCESS: Flag = Flag {
    name: "empty-process",
    short: None,
    value: Value::Switch,
    help: "Execute no program: the process holds the namespaces, as of a pod, and reaps orphans \
           until INT or TERM.",
    default: "",
};

/// Those of `logs`.
pub(super) const LOGS_FLAGS: &[Flag] = &[
    switch("follow", Some('f'), "Go on with what the container prints, until it ends."),
    text(
        "since",
        None,
        "TIME",
        "Only what was printed at or after TIME: 2026-01-31T12:00:00Z, or a duration before now \
         such as 90s, 10m, 2h, 1d.",
    ),
    text("tail", Some('n'), "N", "Only the last N lines."),
    switch("timestamps", Some('t'), "Show when each line was printed."),
];

/// Those of `attach`.
pub(super) const ATTACH_FLAGS: &[Flag] =
    &[switch("no-stdin", None, "Leave the container's input alone: only look.")];
