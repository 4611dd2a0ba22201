//! Commands that need no container, and those that help hides.

use crate::commands::{features, generate_docs, help, monitor, spec};
use crate::definition::flags::BUNDLE;
use crate::definition::{Argument, Command, Count, Example, Flag, Group, Kind, Value};

pub(super) const SPEC: Command = Command {
    name: "spec",
    group: Group::Prepare,
    summary: "write a config.json to begin with",
    description: "It runs sh on a terminal, in namespaces of its own, with the root file \
        system in rootfs beside it. Edit it as you need. An existing file is not touched.",
    arguments: &[],
    flags: &[
        Flag { help: "Directory to write it to.", ..BUNDLE },
        Flag {
            name: "rootless",
            short: None,
            value: Value::Switch,
            help: "For a container of a user without privileges: a user namespace in which \
                   the caller is root, the host's network, no control group limits.",
            default: "",
        },
    ],
    examples: &[Example {
        purpose: "Make a bundle of busybox and run it",
        line: "mkdir -p rootfs/bin && cp /bin/busybox rootfs/bin/sh && kickstage spec && \
               kickstage run box",
    }],
    run: spec::run,
};

pub(super) const FEATURES: Command = Command {
    name: "features",
    group: Group::Prepare,
    summary: "show as JSON what this engine can do",
    description: "The document is that of runtime-spec, features.md. It is made from the \
        tables that the parser of config.json reads.",
    arguments: &[],
    flags: &[],
    examples: &[Example {
        purpose: "See the mount options",
        line: "kickstage features | jq .mountOptions",
    }],
    run: features::run,
};

pub(super) const HELP: Command = Command {
    name: "help",
    group: Group::Prepare,
    summary: "show help for a command",
    description: "The same as --help behind the command.",
    arguments: &[Argument {
        name: "COMMAND",
        help: "The command; the list of them when there is none.",
        count: Count::Optional,
        kind: Kind::Command,
    }],
    flags: &[],
    examples: &[Example { purpose: "Learn how to delete", line: "kickstage help delete" }],
    run: help::run,
};

pub(super) const MONITOR: Command = Command {
    name: "monitor",
    group: Group::Hidden,
    summary: "stay with a container",
    description: "What the master of a monitored container becomes.",
    arguments: &[
        Argument {
            name: "FD",
            help: "Number of an inherited descriptor.",
            count: Count::One,
            kind: Kind::Words,
        },
        Argument {
            name: "ID",
            help: "The container, for ps.",
            count: Count::Optional,
            kind: Kind::Words,
        },
    ],
    flags: &[],
    examples: &[],
    run: monitor::run,
};

pub(super) const GENERATE_DOCS: Command = Command {
    name: "generate-docs",
    group: Group::Hidden,
    summary: "write man pages and shell completions",
    description: "Lays them out as below /usr/share.",
    arguments: &[Argument {
        name: "DIR",
        help: "An existing directory.",
        count: Count::One,
        kind: Kind::Directory,
    }],
    flags: &[],
    examples: &[Example {
        purpose: "Write them to where a package is made",
        line: "kickstage generate-docs debian/kickstage/usr/share",
    }],
    run: generate_docs::run,
};
