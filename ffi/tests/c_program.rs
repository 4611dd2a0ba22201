//! libkickstage as a C program sees it: header, static library, shared library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The struct that the library takes is laid out for one architecture.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where a test may write. Each uses names of its own.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What cargo has built for this test lies beside it.
fn built(name: &str) -> PathBuf {
    env::current_exe().expect("a test has a path").with_file_name(name)
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("names are ASCII")
}

/// The static library as it is installed.
fn static_library(name: &str) -> PathBuf {
    let library = scratch(name);
    let mut script = Command::new(source("hide-symbols.sh"));
    stdout(script.arg(built("libkickstage.a")).arg(&library));
    library
}

/// What the pkg-config file tells programs to link with a static libkickstage.
fn private_libraries() -> Vec<String> {
    let template = fs::read_to_string(source("kickstage.pc.in")).unwrap();
    let line = template.lines().find_map(|line| line.strip_prefix("Libs.private: "));
    line.expect("it has that line").split(' ').map(str::to_owned).collect()
}

/// Compiles a program of `tests/c`, without tolerating a warning, and links it statically.
fn compile(program: &str, language: &mut cc::Build) -> PathBuf {
    let executable = scratch(&format!("{program}.exe"));
    let mut compiler = language
        .cargo_metadata(false)
        .host(TARGET)
        .target(TARGET)
        .opt_level(1)
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .flag("-pedantic")
        .include(source("include"))
        .include(source("../starter-sys/include"))
        .get_compiler()
        .to_command();
    compiler.arg(source("tests/c").join(program)).arg("-o").arg(&executable);
    compiler.arg(static_library(&format!("{program}.a"))).args(private_libraries());
    stdout(&mut compiler);
    executable
}

/// The names of all defined symbols that others can link to.
fn exported(nm: &mut Command) -> BTreeSet<String> {
    let table = stdout(nm.arg("--defined-only"));
    let names = table.lines().filter_map(|line| line.split(' ').nth(2));
    names.map(str::to_owned).collect()
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(source("include/kickstage.h")).unwrap();
    let declarations = header.lines().filter(|line| line.ends_with(");"));
    let name = |line: &str| line[line.find("ks_")?..].split('(').next().map(str::to_owned);
    declarations.filter_map(name).collect()
}

#[test]
fn a_c11_program_gets_what_the_header_promises() {
    let program = compile("program.c", cc::Build::new().std("c11"));
    stdout(Command::new(program).arg(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_cpp_program_can_use_the_header() {
    let program = compile("program.cpp", cc::Build::new().cpp(true).std("c++11"));
    stdout(&mut Command::new(program));
}

#[test]
fn the_static_library_has_no_symbols_but_those_of_the_header() {
    let library = static_library("symbols.a");
    assert_eq!(exported(Command::new("nm").arg("-g").arg(library)), declared());
}

#[test]
fn the_shared_library_has_no_symbols_but_those_of_the_header() {
    let library = built("libkickstage.so");
    assert_eq!(exported(Command::new("nm").arg("-D").arg(library)), declared());
}
