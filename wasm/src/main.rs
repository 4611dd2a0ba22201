//! `kickstage-wasm MODULE [ARG...]`: what stage2 executes in the place of a module.

use kickstage_wasm::{Command, Failure};
use std::env;
use std::ffi::OsString;
use std::process::exit;

const USAGE: &str = "usage: kickstage-wasm MODULE [ARG...]
Runs a WebAssembly module (WASI preview 1) with everything that its caller may use.";

/// As the shell has it for a program that can't be executed.
const CANNOT_EXECUTE: i32 = 126;
/// As the shell has it for a program that abort(3) has ended.
const TRAPPED: i32 = 128 + 6;

fn main() {
    let mut args = env::args_os().skip(1);
    let module = match args.next() {
        Some(word) if word == "--help" => {
            println!("{USAGE}");
            exit(0)
        }
        Some(word) if word == "--version" => {
            println!("kickstage-wasm {}", env!("CARGO_PKG_VERSION"));
            exit(0)
        }
        Some(word) => word,
        None => {
            eprintln!("{USAGE}");
            exit(1)
        }
    };
    let command = Command {
        args: [module.clone()].into_iter().chain(args).collect(),
        module: module.clone().into(),
        env: environment(),
    };
    kickstage_sys::signal::end_first_process_as_others();
    let status = match kickstage_wasm::run(&command) {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("kickstage-wasm: {}: {failure}", module.display());
            match failure {
                Failure::Unfit(_) => CANNOT_EXECUTE,
                Failure::Trap(_) => TRAPPED,
            }
        }
    };
    // not by the C library, which would try for ever where the container's filter forbids it
    kickstage_sys::process::exit(status)
}

/// Ours, and where we are: a module can't ask for it by any function.
fn environment() -> Vec<(OsString, OsString)> {
    let mut env: Vec<_> = env::vars_os().collect();
    if let (false, Ok(cwd)) = (env.iter().any(|(name, _)| name == "PWD"), env::current_dir()) {
        env.push(("PWD".into(), cwd.into()));
    }
    env
}
