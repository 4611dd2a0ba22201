//! The table of commands.

mod life;
mod look;
mod prepare;

use super::{Argument, Command, Count, Kind};

const ID: Argument = Argument {
    name: "ID",
    help: "Name of the container.",
    count: Count::One,
    kind: Kind::Container,
};

const NEW_ID: Argument = Argument {
    name: "ID",
    help: "Name for the container, unique below --root: letters, digits and _ + - . (255 at most).",
    count: Count::One,
    kind: Kind::NewContainer,
};

/// All of them, in the order in which help shows them.
pub(crate) static COMMANDS: &[Command] = &[
    life::RUN,
    life::TRY,
    life::CREATE,
    life::START,
    life::ATTACH,
    look::LOGS,
    life::EXEC,
    life::KILL,
    look::EVENTS,
    look::WAIT,
    life::UPDATE,
    life::PAUSE,
    life::RESUME,
    life::MOUNTS,
    life::CHECKPOINT,
    life::RESTORE,
    life::DELETE,
    look::LIST,
    look::STATE,
    look::PS,
    look::CHECK,
    look::PLAN,
    prepare::SPEC,
    prepare::FEATURES,
    prepare::HELP,
    prepare::MONITOR,
    prepare::GENERATE_DOCS,
];
