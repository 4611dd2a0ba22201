//! From the bytes of a module to its exit status.

use crate::wasi::{Wasi, link};
use crate::{Command, module};
use std::fmt;
use wasmi::{Config, Engine, Error, ExternType, Linker, Module, Store};

/// Why a module has given no exit status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It can't be run: none of its code has been.
    Unfit(String),
    /// It did what the WebAssembly machine does not allow.
    Trap(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(why) => f.write_str(why),
            Self::Trap(why) => write!(f, "trap: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// What every WASI program begins with.
const START: &str = "_start";

/// Calls deep; a program that recurses for ever ends with a trap.
const DEPTH: usize = 1 << 16;
/// Bytes of parameters, locals and operands, which that many calls may take.
const STACK: usize = 64 << 20;

/// Runs a module to its end. Gives the exit status: what it has told, or 0 when it returns.
pub fn run(command: &Command) -> Result<i32, Failure> {
    let bytes = module::read(&command.module)?;
    let wasi = Wasi::new(command).map_err(Failure::Unfit)?;
    Loaded::new(&config(), &bytes, wasi)?.start()
}

fn config() -> Config {
    let mut config = Config::default();
    config.set_max_recursion_depth(DEPTH).set_max_stack_height(STACK).ignore_custom_sections(true);
    config
}

/// A module of which no code has run.
struct Loaded {
    module: Module,
    linker: Linker<Wasi>,
    store: Store<Wasi>,
}

impl Loaded {
    fn new(config: &Config, bytes: &[u8], wasi: Wasi) -> Result<Self, Failure> {
        let engine = Engine::new(config);
        let module = Module::new(&engine, bytes)
            .map_err(|error| Failure::Unfit(format!("it is no valid module: {error}")))?;
        let (mut linker, mut store) = (Linker::new(&engine), Store::new(&engine, wasi));
        link(&mut linker, &mut store).expect("no function has the name of another");
        check(&module, &linker, &store)?;
        Ok(Self { module, linker, store })
    }

    fn start(mut self) -> Result<i32, Failure> {
        let instance = match self.linker.instantiate_and_start(&mut self.store, &self.module) {
            Ok(instance) => instance,
            Err(error) => return ended(&error),
        };
        let start = instance
            .get_typed_func::<(), ()>(&self.store, START)
            .map_err(|error| Failure::Unfit(format!("its {START} can't be called: {error}")))?;
        match start.call(&mut self.store, ()) {
            Ok(()) => Ok(0),
            Err(error) => ended(&error),
        }
    }
}

/// Before any of its code runs: whether there is all that it imports, and what we need of it.
fn check(module: &Module, linker: &Linker<Wasi>, store: &Store<Wasi>) -> Result<(), Failure> {
    let unknown: Vec<String> = module
        .imports()
        .filter(|import| {
            let known = linker.get(store, import.module(), import.name());
            !known.is_some_and(|known| fits(&known.ty(store), import.ty()))
        })
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    if !unknown.is_empty() {
        return Err(Failure::Unfit(format!(
            "it imports what WASI preview 1 does not have: {}",
            unknown.join(", ")
        )));
    }
    match module.get_export(START) {
        Some(ExternType::Func(_)) => Ok(()),
        _ => Err(Failure::Unfit(format!("it exports no function {START}: it is a library"))),
    }
}

/// Ours are functions.
fn fits(ours: &ExternType, wanted: &ExternType) -> bool {
    matches!((ours, wanted), (ExternType::Func(ours), ExternType::Func(wanted)) if ours == wanted)
}

/// A module also ends by saying so in the middle.
fn ended(error: &Error) -> Result<i32, Failure> {
    match (error.i32_exit_status(), error.as_trap_code()) {
        // as the kernel does it
        (Some(status), _) => Ok(status & 0xff),
        (None, Some(_)) => Err(Failure::Trap(error.to_string())),
        (None, None) => Err(Failure::Unfit(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Modules that do a little of everything.
    fn seeds() -> Vec<Vec<u8>> {
        let text = |body: &str| {
            wat::parse_str(format!(
                "(module
                    (import \"wasi_snapshot_preview1\" \"args_get\" (func $args (param i32 i32) (result i32)))
                    (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
                    (import \"wasi_snapshot_preview1\" \"path_open\"
                        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                    (memory (export \"memory\") 1 4) (table 3 funcref) (elem (i32.const 0) $f $g)
                    (global $n (mut i32) (i32.const 5)) (data (i32.const 16) \"\\20\\00\\00\\00hello\")
                    (func $f (result i32) (i32.load (global.get $n)))
                    (func $g (result i32) (call $args (i32.const 0) (call $f)))
                    (func (export \"_start\") {body}))"
            ))
            .expect("text of ours")
        };
        [
            "(drop (call_indirect (result i32) (global.get $n)))",
            "(loop $l (global.set $n (i32.add (global.get $n) (call $g))) (br_if $l (memory.grow (i32.const 1))))",
            "(drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0)))
             (memory.fill (i32.const 0) (i32.const 1) (i32.const 99)) unreachable",
            "(drop (call $open (i32.const 3) (i32.const 1) (i32.const 20) (i32.const 5) (i32.const 15)
                (i64.const -1) (i64.const -1) (i32.const 31) (i32.const 65533)))",
        ]
        .map(text)
        .into()
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        /// With nothing open, and not for ever.
        #[test]
        fn any_module_ends_traps_or_is_refused(
            bytes in kickstage_fuzz::bytes(seeds(), &["fd_read", "random_get", "fd_readdir", "_start"]),
        ) {
            let mut config = config();
            config.consume_fuel(true);
            if let Ok(mut loaded) = Loaded::new(&config, &bytes, Wasi::with_nothing()) {
                loaded.store.set_fuel(100_000).expect("it is consumed");
                match loaded.start() {
                    Ok(status) => prop_assert!((0..256).contains(&status)),
                    Err(failure) => prop_assert!(!failure.to_string().is_empty()),
                }
            }
        }
    }
}
