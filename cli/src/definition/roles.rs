//! The programs beside the command, each a role by itself: for their manual pages.

use super::Example;

/// A program of its own.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// What it does, as a short line without a full stop.
    pub(crate) summary: &'static str,
    /// What it has to be given.
    pub(crate) arguments: &'static str,
    pub(crate) description: &'static str,
    /// What its exit statuses mean.
    pub(crate) exits: &'static [(&'static str, &'static str)],
    pub(crate) example: Example,
}

const WELL_OR_NOT: &[(&str, &str)] =
    &[("0", "It went well."), ("1", "It failed. One line on stderr says why.")];

/// All of them, in the order in which a container meets them.
pub(crate) static ROLES: &[Program] = &[
    Program {
        name: "kickstage-stage1",
        summary: "turn a bundle into the plan of a container",
        arguments: "--bundle DIR --id ID [FLAGS]",
        description: "Reads config.json and looks at this host, decides everything, and prints \
            the result as JSON: what the programs after it execute. It needs no privilege and \
            touches nothing. Paths are absolute.",
        exits: WELL_OR_NOT,
        example: Example {
            purpose: "See what will be mounted",
            line: "kickstage-stage1 --bundle /srv/web --id web | jq .plan.setup.mounts",
        },
    },
    Program {
        name: "kickstage-master",
        summary: "make the container of a plan and watch it",
        arguments: "--config-fd N",
        description: "Makes the container of the JSON that descriptor N holds, which a person may \
            have edited, out of kickstage-stage2 and kickstage-rpc beside it. In front of a \
            container it exits as the container does.",
        exits: WELL_OR_NOT,
        example: Example {
            purpose: "Make a container of a plan that was edited",
            line: "kickstage-master --config-fd 3 3< plan.json",
        },
    },
    Program {
        name: "kickstage-rpc",
        summary: "do the operations of a plan inside of namespaces",
        arguments: "--config-fd N [--dry-run] | --socket-fd N",
        description: "Mounts, devices, masks and the change of the root: the operations of a plan. \
            With --dry-run it prints them in words, in their order; with --socket-fd it does what \
            it is asked for over a socket.",
        exits: WELL_OR_NOT,
        example: Example {
            purpose: "Read a plan",
            line: "kickstage plan --json -b /srv/web | kickstage-rpc --config-fd 0 --dry-run",
        },
    },
    Program {
        name: "kickstage-stage2",
        summary: "become the program of a container",
        arguments: "--config-fd N --channel-fd N --rpc-fd N [FLAGS]",
        description: "What kickstage-master executes in the new namespaces: it takes terminal, \
            limits, user, capabilities and seccomp filter of the plan, and executes the program. \
            People do not call it; a program that takes its place may.",
        exits: WELL_OR_NOT,
        example: Example {
            purpose: "Run a bundle by the programs, this one among them",
            line: "kickstage run --standalone -b /srv/web web",
        },
    },
    Program {
        name: "kickstage-wasm",
        summary: "run a WebAssembly module as a program",
        arguments: "MODULE [ARG...]",
        description: "What becomes the process of a container whose annotation run.oci.handler is \
            wasm. It interprets a module of WASI preview 1, which gets the arguments, the \
            environment, the standard streams, the working directory and the root directory of its \
            caller.",
        exits: &[
            ("N", "The module ended with exit code N."),
            ("126", "The file is no module that can be run. One line on stderr says why."),
            ("134", "A trap ended the module. One line on stderr says which."),
        ],
        example: Example {
            purpose: "Try a module without a container",
            line: "kickstage-wasm ./hello.wasm world",
        },
    },
    Program {
        name: "kickstage-hooks",
        summary: "run the hooks of one moment by hand",
        arguments: "--config-fd N --moment MOMENT [--pid PID]",
        description: "Runs the hooks that a plan has for a moment, such as createRuntime, with the \
            state on their stdin that they would get.",
        exits: WELL_OR_NOT,
        example: Example {
            purpose: "Try hooks without a container",
            line: "kickstage plan --json | kickstage-hooks --config-fd 0 --moment poststop",
        },
    },
];
