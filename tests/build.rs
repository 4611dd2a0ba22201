//! Compiles the programs that tests run as WebAssembly modules, with the C library that Debian has
//! for them. Where tests run there may be no compiler: a guest has only what was built here.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const PROGRAMS: [&str; 1] = ["box"];

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it for build scripts"));
    for name in PROGRAMS {
        let source = format!("fixtures/wasm/{name}.c");
        println!("cargo::rerun-if-changed={source}");
        let mut compiler = Command::new("clang");
        compiler
            .args(["--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-Wall", "-Wextra", "-Werror"])
            .args(["-Wl,--strip-all", "-o"])
            .arg(out.join(format!("{name}.wasm")))
            .arg(&source);
        let status = compiler.status();
        assert!(status.is_ok_and(|status| status.success()), "{compiler:?}: make deps");
    }
}
