//! What surrounds the commands: exit statuses, environment variables, files, related pages. Each
//! is said once, with the commands that it concerns.

use super::{COMMANDS, Command};

/// Something that the page of a command names.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    concerns: Concerns,
}

/// Whose page it is on.
enum Concerns {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

impl Concerns {
    fn include(&self, command: &str) -> bool {
        match self {
            Self::These(names) => names.contains(&command),
            Self::AllBut(names) => !names.contains(&command),
        }
    }
}

/// Those that exit as the container's program does.
const MIRRORS: &[&str] = &["run", "try", "attach", "exec"];
/// Those that read a bundle to decide about a container.
const DECIDERS: &[&str] = &["run", "create", "check", "plan"];
/// Those that make a container.
const MAKERS: &[&str] = &["run", "try", "create"];
/// Those that need no container's state.
const STATELESS: &[&str] = &["check", "plan", "spec", "features", "help"];

/// What the numbers mean.
pub(crate) static EXIT_STATUSES: &[Entry] = &[
    Entry { name: "0", help: "It went well.", concerns: Concerns::AllBut(MIRRORS_AND_CHECK) },
    Entry {
        name: "0",
        help: "The container can be made here. There may be warnings.",
        concerns: Concerns::These(&["check"]),
    },
    Entry {
        name: "N",
        help: "The program ended with exit code N. With --detach, 0: it runs.",
        concerns: Concerns::These(&["run", "exec"]),
    },
    Entry {
        name: "N",
        help: "The program ended with exit code N.",
        concerns: Concerns::These(&["try", "attach"]),
    },
    Entry {
        name: "128 + N",
        help: "Signal N ended the program.",
        concerns: Concerns::These(MIRRORS),
    },
    Entry {
        name: "1",
        help: "The container can not be made here, and the output says why.",
        concerns: Concerns::These(&["check"]),
    },
    Entry {
        name: "1",
        help: "It failed. One line on stderr says why.",
        concerns: Concerns::AllBut(&["check", "exec"]),
    },
    Entry {
        name: "255",
        help: "The program could not be executed. One line on stderr says why.",
        concerns: Concerns::These(&["exec"]),
    },
];

/// Those for which 0 alone would not say it.
const MIRRORS_AND_CHECK: &[&str] = &["run", "try", "attach", "exec", "check"];

/// What is read of the environment.
pub(crate) static ENVIRONMENT: &[Entry] = &[
    Entry {
        name: "XDG_RUNTIME_DIR",
        help: "Where the states of containers are if we are not root and --root does not say it: \
               in kickstage below it.",
        concerns: Concerns::AllBut(STATELESS),
    },
    Entry {
        name: "PATH",
        help: "Where newuidmap(1) and newgidmap(1) are looked for, which map the ids of a \
               container that is not root's.",
        concerns: Concerns::These(&["run", "create", "check"]),
    },
    Entry { name: "PATH", help: "Where ps(1) is looked for.", concerns: Concerns::These(&["ps"]) },
    Entry {
        name: "SHELL",
        help: "What is run if no command is given; /bin/sh where it is not set.",
        concerns: Concerns::These(&["try"]),
    },
    Entry {
        name: "PATH, TERM, HOME, LANG",
        help: "The container gets these variables, and no others.",
        concerns: Concerns::These(&["try"]),
    },
];

/// What is read and written.
pub(crate) static FILES: &[Entry] = &[
    Entry {
        name: "config.json",
        help: "In the bundle: what the container is to be, as the OCI runtime specification has \
               it.",
        concerns: Concerns::These(&["run", "create", "exec", "check", "plan", "spec"]),
    },
    Entry {
        name: "/run/kickstage/ID",
        help: "The state of a container of root's, mode 0700. See --root in kickstage(1).",
        concerns: Concerns::AllBut(STATELESS),
    },
    Entry {
        name: "/run/kickstage/ID/container.log",
        help: "What a monitored container prints, unless --log-path names another file.",
        concerns: Concerns::These(&["run", "create", "logs"]),
    },
    Entry {
        name: "/run/kickstage/ID/attach.sock",
        help: "Where the monitor takes visitors.",
        concerns: Concerns::These(&["attach"]),
    },
    Entry {
        name: "/etc/subuid, /etc/subgid",
        help: "The ids that a user who is not root may give to containers.",
        concerns: Concerns::These(DECIDERS),
    },
];

/// Commands that are used together; each page refers to the others of its families.
static FAMILIES: &[&[&str]] = &[
    &["create", "start", "state", "kill", "delete"],
    &["run", "exec", "list", "delete"],
    &["run", "attach", "logs", "wait"],
    &["pause", "resume", "update"],
    &["events", "ps", "state"],
    &["check", "plan", "spec", "run"],
    &["features", "check"],
    &["try", "run"],
];

/// Pages of others.
pub(crate) static ELSEWHERE: &[Entry] = &[
    page("newuidmap(1)", Concerns::These(MAKERS)),
    page("namespaces(7)", Concerns::These(MAKERS)),
    page("capabilities(7)", Concerns::These(&["exec"])),
    page("cgroups(7)", Concerns::These(&["update", "pause", "events"])),
    page("ps(1)", Concerns::These(&["ps"])),
    page("signal(7)", Concerns::These(&["kill"])),
];

const fn page(name: &'static str, concerns: Concerns) -> Entry {
    Entry { name, help: "", concerns }
}

/// Those that concern a command, in their order.
pub(crate) fn concerning(
    entries: &'static [Entry],
    command: &Command,
) -> impl Iterator<Item = &'static Entry> {
    entries.iter().filter(|entry| entry.concerns.include(command.name))
}

/// Those that concern nearly every command.
pub(crate) fn general(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| matches!(entry.concerns, Concerns::AllBut(_)))
}

/// The commands that are used together with one, in the order of the table.
pub(crate) fn relatives(command: &Command) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|other| {
        let both = |names: &&&[&str]| names.contains(&command.name) && names.contains(&other.name);
        other.name != command.name && FAMILIES.iter().any(|names| both(&names))
    })
}

/// Whether a command exits in ways that are worth a word on the terminal.
pub(crate) fn exits_in_its_own_way(command: &Command) -> bool {
    MIRRORS_AND_CHECK.contains(&command.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition;

    #[test]
    fn every_name_is_that_of_a_command() {
        let named = [EXIT_STATUSES, ENVIRONMENT, FILES, ELSEWHERE].into_iter().flatten();
        let lists = named.map(|entry| match entry.concerns {
            Concerns::These(names) | Concerns::AllBut(names) => names,
        });
        for name in lists.chain(FAMILIES.iter().copied()).flatten() {
            assert!(definition::command(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_command_says_how_it_exits_when_it_goes_well_and_when_not() {
        for command in COMMANDS {
            assert!(concerning(EXIT_STATUSES, command).count() >= 2, "{}", command.name);
        }
    }
}
