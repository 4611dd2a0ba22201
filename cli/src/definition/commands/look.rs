//! Commands that look at containers.

use super::{ID, NEW_ID};
use crate::commands::{check, events, list, logs, plan, ps, state, wait};
use crate::definition::flags::{BUNDLE, EVENTS_FLAGS, FORMAT, LOGS_FLAGS};
use crate::definition::{Argument, Command, Count, Example, Flag, Group, Kind, Value};

pub(super) const LOGS: Command = Command {
    name: "logs",
    group: Group::Look,
    summary: "show what a monitored container has printed",
    description: "What it printed to stderr goes to stderr.",
    arguments: &[ID],
    flags: LOGS_FLAGS,
    examples: &[Example {
        purpose: "The last lines, and all that follow",
        line: "kickstage logs -f --tail 20 web",
    }],
    run: logs::run,
};

pub(super) const EVENTS: Command = Command {
    name: "events",
    group: Group::Look,
    summary: "show what a container uses, as JSON",
    description: "A line of JSON every interval until the container ends, and one whenever \
        it runs out of memory. Times are nanoseconds, sizes bytes.",
    arguments: &[ID],
    flags: EVENTS_FLAGS,
    examples: &[Example {
        purpose: "How much memory now",
        line: "kickstage events --stats web | jq .data.memory.usage",
    }],
    run: events::run,
};

pub(super) const WAIT: Command = Command {
    name: "wait",
    group: Group::Look,
    summary: "wait until a container has ended",
    description: "Prints the exit code of its first process, or 128 + N after signal N. It is \
        known from Linux 6.15 on, if the container ends while we wait; else nothing is printed.",
    arguments: &[ID],
    flags: &[],
    examples: &[Example { purpose: "Wait for it", line: "kickstage wait web" }],
    run: wait::run,
};

pub(super) const LIST: Command = Command {
    name: "list",
    group: Group::Look,
    summary: "list containers",
    description: "Lists the containers below --root. One whose state is damaged is shown as \
        such, with a warning on stderr that says what is wrong.",
    arguments: &[],
    flags: &[
        FORMAT,
        Flag {
            name: "quiet",
            short: Some('q'),
            value: Value::Switch,
            help: "Show the names only.",
            default: "",
        },
    ],
    examples: &[
        Example { purpose: "Show a table", line: "kickstage list" },
        Example {
            purpose: "Delete all",
            line: "kickstage list -q | xargs -rn1 kickstage delete -f",
        },
    ],
    run: list::run,
};

pub(super) const STATE: Command = Command {
    name: "state",
    group: Group::Look,
    summary: "show the state of a container as JSON",
    description: "The status is creating, created, running or stopped, as the kernel knows it \
        at this moment.",
    arguments: &[ID],
    flags: &[],
    examples: &[Example { purpose: "Show it", line: "kickstage state web" }],
    run: state::run,
};

pub(super) const PS: Command = Command {
    name: "ps",
    group: Group::Look,
    summary: "show the processes in a container",
    description: "Runs ps(1) of this host with the options given and shows the lines of this \
        container's processes. The output must have a PID column.",
    arguments: &[
        ID,
        Argument {
            name: "OPTIONS",
            help: "Options of ps(1); -ef when there are none.",
            count: Count::Rest,
            kind: Kind::Words,
        },
    ],
    flags: &[Flag { help: "Lines of ps(1), or the process ids as JSON.", ..FORMAT }],
    examples: &[
        Example { purpose: "Show them all", line: "kickstage ps web" },
        Example { purpose: "Show what they use", line: "kickstage ps web aux" },
    ],
    run: ps::run,
};

pub(super) const CHECK: Command = Command {
    name: "check",
    group: Group::Look,
    summary: "tell what is wrong with a bundle on this host",
    description: "Reads the bundle and looks at this host: mistakes, unknown properties, and \
        what the host lacks, each with what to do about it. Nothing runs and nothing changes.",
    arguments: &[Argument {
        help: "The name that it would have: the default path of its control group holds it.",
        count: Count::Optional,
        ..NEW_ID
    }],
    flags: &[
        BUNDLE,
        Flag {
            name: "json",
            short: None,
            value: Value::Switch,
            help: "Print a list of objects: severity, pointer, message, remedy.",
            default: "",
        },
        Flag {
            name: "support",
            short: None,
            value: Value::Switch,
            help: "Print what of the specification is supported, and nothing else.",
            default: "",
        },
    ],
    examples: &[
        Example { purpose: "Look before it runs", line: "kickstage check -b /srv/web" },
        Example {
            purpose: "For a program",
            line: "kickstage check --json -b /srv/web | jq -r '.[].pointer'",
        },
    ],
    run: check::run,
};

pub(super) const PLAN: Command = Command {
    name: "plan",
    group: Group::Look,
    summary: "show what would be done to make a container",
    description: "Reads the bundle, decides everything and prints it in order, without \
        privilege and without touching anything.",
    arguments: &[Argument {
        help: "The name that it would have: the default path of its control group holds it.",
        count: Count::Optional,
        ..NEW_ID
    }],
    flags: &[
        BUNDLE,
        Flag {
            name: "json",
            short: None,
            value: Value::Switch,
            help: "Print what the stages read.",
            default: "",
        },
    ],
    examples: &[Example { purpose: "Read it", line: "kickstage plan -b /srv/web web | less" }],
    run: plan::run,
};
