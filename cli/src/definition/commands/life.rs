//! Commands that change a container.

use super::{ID, NEW_ID};
use crate::commands::launch_options::{create, run, try_it};
use crate::commands::pause::{pause, resume};
use crate::commands::{attach, checkpoint, delete, exec, kill, mounts, restore, start, update};
use crate::definition::criu_flags::{CHECKPOINT_FLAGS, RESTORE_FLAGS};
use crate::definition::flags::{
    ATTACH_FLAGS, BUNDLE, CONSOLE_SOCKET, EMPTY_PROCESS, EXEC_FLAGS, LOG_DRIVER, LOG_FILES,
    LOG_PATH, LOG_SIZE_MAX, MONITOR, NO_NEW_KEYRING, NO_PIVOT, PID_FILE, PIDFD_SOCKET,
    PRESERVE_FDS, SPLIT_CGROUP, STAY, SYNC_SOCKET, UPDATE_FLAGS,
};
use crate::definition::{Argument, Command, Count, Example, Flag, Group, Kind, Value};

pub(super) const RUN: Command = Command {
    name: "run",
    group: Group::Life,
    summary: "create a container, start its program and wait for it",
    description: "Stands in front of the container: its input and output are ours, and signals \
        are passed on. The container is deleted at its end.\n\n\
        With --detach it returns as soon as the program runs, and the container stays until \
        delete. A monitor stays with it, as with --monitor, unless --console-socket or \
        --monitor=false says otherwise.\n\n\
        With --monitor and without --detach we are the first visitor of such a container: \
        Ctrl-P Ctrl-Q leaves one that has a terminal.",
    arguments: &[NEW_ID],
    flags: &[
        BUNDLE,
        Flag {
            name: "detach",
            short: Some('d'),
            value: Value::Switch,
            help: "Do not wait for the program.",
            default: "",
        },
        Flag {
            name: "keep",
            short: None,
            value: Value::Switch,
            help: "Do not delete the container at its end.",
            default: "",
        },
        PID_FILE,
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        PRESERVE_FDS,
        Flag {
            name: "no-subreaper",
            short: None,
            value: Value::Switch,
            help: "Accepted for runc's sake: kickstage never adopts the container's orphans.",
            default: "",
        },
        NO_PIVOT,
        NO_NEW_KEYRING,
        EMPTY_PROCESS,
        MONITOR,
        LOG_PATH,
        LOG_DRIVER,
        LOG_SIZE_MAX,
        LOG_FILES,
        SYNC_SOCKET,
        STAY,
        SPLIT_CGROUP,
        Flag {
            name: "standalone",
            short: None,
            value: Value::Switch,
            help: "Execute every role from its own program instead of the built-in image.",
            default: "",
        },
    ],
    examples: &[
        Example { purpose: "Run the bundle in the working directory", line: "kickstage run web" },
        Example {
            purpose: "Run another bundle in the background, then end and delete it",
            line: "kickstage run -d -b /srv/web web && kickstage delete -f web",
        },
    ],
    run,
};

pub(super) const TRY: Command = Command {
    name: "try",
    group: Group::Life,
    summary: "run a command in a throw-away container made of this host",
    description: "Needs no bundle and no image: the root file system is this host's, \
        read-only, under a layer in memory that takes all changes and vanishes at the end. \
        For who is not root each directory of / has a layer of its own; what belongs to users \
        whose ids he has not, and directories of / with mounts inside, can't be changed; before \
        Linux 6.6 no directory of the host's can be removed.",
    arguments: &[Argument {
        name: "COMMAND",
        help: "The command and its arguments; a shell when there is none.",
        count: Count::Rest,
        kind: Kind::Words,
    }],
    flags: &[],
    examples: &[
        Example { purpose: "Look around", line: "kickstage try" },
        Example { purpose: "See what one command sees", line: "kickstage try -- ip addr" },
    ],
    run: try_it,
};

pub(super) const CREATE: Command = Command {
    name: "create",
    group: Group::Life,
    summary: "make a container that waits for start",
    description: "Makes everything but the last step: the user's program is executed by \
        start. Input and output of the program are those of this command, or a terminal that \
        is sent to --console-socket. Nothing of kickstage stays behind; the container's first \
        process becomes a child of the nearest subreaper above the caller.\n\n\
        With --monitor a process of kickstage stays instead, and input and output are its: \
        see attach and logs.",
    arguments: &[NEW_ID],
    flags: &[
        BUNDLE,
        PID_FILE,
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        PRESERVE_FDS,
        NO_PIVOT,
        NO_NEW_KEYRING,
        EMPTY_PROCESS,
        MONITOR,
        LOG_PATH,
        LOG_DRIVER,
        LOG_SIZE_MAX,
        LOG_FILES,
        SYNC_SOCKET,
    ],
    examples: &[Example {
        purpose: "Make a container, start it and see that it runs",
        line: "kickstage create -b /srv/web web && kickstage start web && kickstage state web",
    }],
    run: create,
};

pub(super) const START: Command = Command {
    name: "start",
    group: Group::Life,
    summary: "execute the program of a created container",
    description: "Returns when the program runs, or fails with the reason why it does not.\n\n\
        If $NOTIFY_SOCKET was set at create and is set now, it waits until the program says \
        that it is ready, and tells the service manager so, and its pid (sd_notify(3)).",
    arguments: &[ID],
    flags: &[],
    examples: &[Example { purpose: "Start it", line: "kickstage start web" }],
    run: start::run,
};

pub(super) const ATTACH: Command = Command {
    name: "attach",
    group: Group::Life,
    summary: "connect to the streams of a monitored container",
    description: "What the container prints from now on is shown, stdout and stderr in one; \
        with a terminal, its last line too. What we read goes to it, and where it has no \
        terminal the end of our input does, too. Signals are passed on. Ctrl-P Ctrl-Q leaves \
        one that has a terminal, with exit code 0.\n\n\
        Nobody waits for a visitor who is too slow: a line tells how much was left out, and \
        logs has it all.",
    arguments: &[ID],
    flags: ATTACH_FLAGS,
    examples: &[Example { purpose: "See and type", line: "kickstage attach web" }],
    run: attach::run,
};

pub(super) const EXEC: Command = Command {
    name: "exec",
    group: Group::Life,
    summary: "execute another program in a running container",
    description: "The program gets the container's namespaces, control groups and seccomp \
        filter, and what config.json said of its own process when it was created, but for what \
        the flags change. What a process file leaves out of limits, capabilities and labels is \
        as in config.json.",
    arguments: &[
        ID,
        Argument {
            name: "COMMAND",
            help: "The program and its arguments; none with --process.",
            count: Count::Rest,
            kind: Kind::Words,
        },
    ],
    flags: EXEC_FLAGS,
    examples: &[
        Example { purpose: "A shell", line: "kickstage exec -t web sh" },
        Example {
            purpose: "As another user, in the background",
            line: "kickstage exec -d -u 1000:1000 --pid-file /run/job.pid web job --now",
        },
    ],
    run: exec::run,
};

pub(super) const KILL: Command = Command {
    name: "kill",
    group: Group::Life,
    summary: "send a signal to a container",
    description: "Sends it to the container's first process. Whoever it reaches is surely of \
        this container, however often process ids have been used since.",
    arguments: &[
        ID,
        Argument {
            name: "SIGNAL",
            help: "A name with or without SIG (TERM, SIGKILL, RTMIN+3) or a number; TERM when \
                   there is none. 0 only asks whether the process is there.",
            count: Count::Optional,
            kind: Kind::Signal,
        },
    ],
    flags: &[
        Flag {
            name: "all",
            short: Some('a'),
            value: Value::Switch,
            help: "Send it to every process in the container's control groups.",
            default: "",
        },
        Flag {
            name: "timeout",
            short: Some('t'),
            value: Value::Number,
            help: "Wait so many seconds for its end, then send KILL; 0 does not wait.",
            default: "0",
        },
    ],
    examples: &[
        Example { purpose: "Ask it to end", line: "kickstage kill web" },
        Example { purpose: "End it", line: "kickstage kill web KILL" },
    ],
    run: kill::run,
};

pub(super) const UPDATE: Command = Command {
    name: "update",
    group: Group::Life,
    summary: "change the limits of a container",
    description: "Takes effect at once. What no flag or file names stays as it is; device \
        rules always do.",
    arguments: &[ID],
    flags: UPDATE_FLAGS,
    examples: &[
        Example { purpose: "Less memory", line: "kickstage update --memory 64m web" },
        Example {
            purpose: "The \"resources\" of a config.json",
            line: "jq .linux.resources config.json | kickstage update -r - web",
        },
    ],
    run: update::run,
};

pub(super) const PAUSE: Command = Command {
    name: "pause",
    group: Group::Life,
    summary: "stop all processes of a container where they are",
    description: "Returns when all have stopped. They use no processor time any more, and \
        keep their memory.",
    arguments: &[ID],
    flags: &[],
    examples: &[Example { purpose: "Stop it", line: "kickstage pause web" }],
    run: pause,
};

pub(super) const RESUME: Command = Command {
    name: "resume",
    group: Group::Life,
    summary: "let the processes of a paused container go on",
    description: "The opposite of pause.",
    arguments: &[ID],
    flags: &[],
    examples: &[Example { purpose: "Let it go on", line: "kickstage resume web" }],
    run: resume,
};

pub(super) const MOUNTS: Command = Command {
    name: "mounts",
    group: Group::Life,
    summary: "add mounts to a container, or remove them again",
    description: "FILE holds a list of mounts as in a config.json, or an object with such a \
        list as its \"mounts\"; - is the standard input. They come in order, with all options \
        of config.json, until the first that fails. Sources are those of the host.\n\n\
        Only what has been added can be removed: the mounts of config.json, and what is \
        masked or read-only, stay. Both need the right to mount on the host.",
    arguments: &[
        Argument { name: "ACTION", help: "add or remove.", count: Count::One, kind: Kind::Words },
        ID,
        Argument {
            name: "FILE",
            help: "The mounts; remove looks at nothing but their destination.",
            count: Count::One,
            kind: Kind::Words,
        },
    ],
    flags: &[],
    examples: &[
        Example {
            purpose: "Show a directory of the host, read-only",
            line: "echo '[{\"destination\":\"/data\",\"source\":\"/srv\",\"options\":[\"rro\"]}]' | \
                   kickstage mounts add web -",
        },
        Example {
            purpose: "Take it away again",
            line: "echo '[{\"destination\": \"/data\"}]' | kickstage mounts remove web -",
        },
    ],
    run: mounts::run,
};

pub(super) const CHECKPOINT: Command = Command {
    name: "checkpoint",
    group: Group::Life,
    summary: "save a running container to a directory",
    description: "Has CRIU write down all processes of the container and end them, then \
        deletes the container. What it cannot save is said before anything happens, or by \
        CRIU, whose log stays in --work-path. Needs root and the package criu.",
    arguments: &[ID],
    flags: CHECKPOINT_FLAGS,
    examples: &[
        Example {
            purpose: "Save it, and let it go on where it was",
            line: "kickstage checkpoint --image-path /srv/web.images web && kickstage restore \
                   -d -b /srv/web --image-path /srv/web.images web",
        },
        Example {
            purpose: "Save it for the bad day",
            line: "kickstage checkpoint --leave-running --image-path /srv/web.images web",
        },
    ],
    run: checkpoint::run,
};

pub(super) const RESTORE: Command = Command {
    name: "restore",
    group: Group::Life,
    summary: "make a container out of what checkpoint has saved",
    description: "Control groups, mounts from outside and hooks (prestart, createRuntime) \
        are those of config.json in the bundle, which may have changed since; processes, and \
        all that is inside, are those of the images. Without --detach it stands in front of \
        the container as run does.",
    arguments: &[NEW_ID],
    flags: RESTORE_FLAGS,
    examples: &[Example {
        purpose: "Let it go on in the background",
        line: "kickstage restore -d -b /srv/web --image-path /srv/web.images web",
    }],
    run: restore::run,
};

pub(super) const DELETE: Command = Command {
    name: "delete",
    group: Group::Life,
    summary: "remove a container and all that belongs to it",
    description: "Removes a container that is created or stopped: its processes, control \
        groups and state; then the poststop hooks run.",
    arguments: &[ID],
    flags: &[Flag {
        name: "force",
        short: Some('f'),
        value: Value::Switch,
        help: "Kill it first if it runs; clear also what is left of a half-made or damaged \
               one; be content if there is none.",
        default: "",
    }],
    examples: &[Example {
        purpose: "Remove it, whatever its state",
        line: "kickstage delete --force web",
    }],
    run: delete::run,
};
