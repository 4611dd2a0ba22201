//! Stage 2 as a program of its own: what `kickstage-master` executes in the new namespaces.
//!
//! The operations inside the namespaces are done by a `kickstage-rpc` beside it, which shares
//! its root directory.

mod standalone;

use kickstage_config::channel::{Channel, GateFds, Inherited};
use kickstage_config::{Assembly, Context, Result, Role, handoff};
use kickstage_sys::Fd;
use lexopt::prelude::{Long, ValueExt};

const USAGE: &str = "usage: kickstage-stage2 --config-fd N --channel-fd N --rpc-fd N
       [--gate-fd N --result-fd N] [--console-fd N] [--handler-fd N] [--tree-fd N]...
Run by kickstage-master; --rpc-fd is an open kickstage-rpc.";

fn main() {
    let Ok((numbers, trees)) = parse() else {
        eprintln!("{USAGE}");
        std::process::exit(1);
    };
    match run(numbers, &trees) {
        // not by the C library, which would try for ever where the container's filter forbids it
        Ok(status) => kickstage_sys::process::exit(status),
        Err(error) => {
            eprintln!("kickstage-stage2: {error}");
            std::process::exit(1);
        }
    }
}

const NAMES: [&str; 7] =
    ["config-fd", "channel-fd", "rpc-fd", "gate-fd", "result-fd", "console-fd", "handler-fd"];

/// One number for each of the names.
/// And any number of trees.
fn parse() -> std::result::Result<([Option<i32>; 7], Vec<i32>), lexopt::Error> {
    let (mut numbers, mut trees) = ([None; 7], Vec::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        let Long(name) = argument else { return Err(argument.unexpected()) };
        if name == "tree-fd" {
            trees.push(parser.value()?.parse()?);
            continue;
        }
        let place = NAMES.iter().position(|known| *known == name);
        let Some(place) = place else { return Err(argument.unexpected()) };
        numbers[place] = Some(parser.value()?.parse()?);
    }
    if numbers[..3].contains(&None) || numbers[3].is_some() != numbers[4].is_some() {
        return Err("missing descriptors".into());
    }
    Ok((numbers, trees))
}

fn run(numbers: [Option<i32>; 7], trees: &[i32]) -> Result<i32> {
    let [config, channel, rpc, gate, result, console, handler] = numbers;
    let take = |raw: Option<i32>, what: &str| {
        Fd::inherit(raw.unwrap_or(-1)).during_on(Role::Stage2, "take over the descriptor of", what)
    };
    let mut assembly: Assembly = handoff::open(config.unwrap_or(-1))?;
    if handler.is_some() {
        assembly.descriptors.handler = Some(take(handler, "the handler")?.into_raw());
    }
    let rpc = take(rpc, "kickstage-rpc")?;
    let gate = gate
        .map(|_| Ok(GateFds { gate: take(gate, "the gate")?, result: take(result, "the result")? }))
        .transpose()?;
    let console_socket = console.map(|_| take(console, "the console socket")).transpose()?;
    let channel = Channel::new(take(channel, "the channel")?);
    let trees = trees.iter().map(|tree| take(Some(*tree), "a mount tree"));
    let trees = trees.collect::<Result<_>>()?;
    let inherited = Inherited { channel, gate, console_socket, trees };
    let mut crew = standalone::Crew::start(&assembly, rpc)?;
    Ok(kickstage_stage2::run(&assembly, inherited, &mut crew))
}
